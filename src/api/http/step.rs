//! Requests of a declared token API beside that of the refresh: before it, after a lost answer to it, and with what it brought.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{HttpRequest, HttpSuccess};
use crate::api::{http_rule, http_step_rule, value_rule};

/// A request before that of the refresh. Its results are secrets: they are put into later requests with fromResult, and kept
/// nowhere. What `reply.errors` lists holds for its answer too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpStep {
    /// The request.
    pub request: HttpRequest,
    /// What the answer must be like. Default: status 200 or 201.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<HttpSuccess>,
    /// What is taken from the answer, 1 to 8.
    #[schemars(length(min = 1, max = 8))]
    pub results: Vec<HttpResult>,
}

/// Something that is taken from the answer to a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpResult {
    /// What later requests call it. Each name stands only once in all steps.
    #[schemars(length(max = 64))]
    #[x_kube(validation = http_step_rule::result_name())]
    pub name: String,
    /// Where it is: a text that is not empty, or a whole number.
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub pointer: String,
}

/// A harmless question about a refresh token. An answer that fits neither list, or both, tells nothing; then nothing is done that would
/// not be done without the question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// The request. It must change nothing at the API, whatever it answers, and must not count as a use of the refresh token.
    pub request: HttpRequest,
    /// Answers that say that the refresh token was not spent, 1 to 8: it is presented again then.
    #[schemars(length(min = 1, max = 8))]
    pub unspent: Vec<HttpSign>,
    /// Answers that say that the refresh token was spent or is not valid any more, 1 to 8: with `recovery.onLostChain: Bootstrap` another
    /// chain is begun then. List only what the API says of the token itself.
    #[schemars(length(min = 1, max = 8))]
    pub spent: Vec<HttpSign>,
}

/// What an answer must be like to say something. Status and pointer must both fit where both are given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = http_step_rule::sign_says_something(), validation = http_rule::equals_has_pointer())]
pub struct HttpSign {
    /// The status code, 200 to 299 or 400 to 499 but 408 and 429: a redirect, a pause and a failure say nothing of a token.
    #[schemars(range(min = 200, max = 499))]
    pub status: i32,
    /// Where something must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub pointer: Option<String>,
    /// What must be there: a text, or a number or truth value as JSON writes it. Without it: anything but null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = value_rule::one_line())]
    pub equals: Option<String>,
}

/// A harmless request with the access token. With status 401 or 403 the API refuses the token; so it does where success requires
/// something that is not in the answer. With any other answer nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpVerify {
    /// The request. It must change nothing at the API.
    pub request: HttpRequest,
    /// What an answer must be like to say that the token is taken. Default: any status from 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<HttpSuccess>,
}
