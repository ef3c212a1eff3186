//! How the answers of a declared token API are read.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{http_rule, value_rule};

/// How an answer is read. Places in it are JSON Pointers (RFC 6901), such as `/auth/client_token`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = http_rule::missing_refresh_token())]
pub struct HttpReply {
    /// What an answer must be like to be read as tokens. Default: status 200 or 201.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<HttpSuccess>,
    /// Where the new access token is. It may be the same as the old one.
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub access_token: String,
    /// Where the new refresh token is. The same place as accessToken where a token is exchanged for its successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub refresh_token: Option<String>,
    /// What an answer without a refresh token means: `Keep` (default): the old one stays in force, as in RFC 6749 section 6.
    /// `EndChain`: the old one is spent, and the access token of this answer is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_missing_refresh_token: Option<HttpMissing>,
    /// Where the API's own name for the access token is, which is shown in status. Default: `jti` if the token is a JWT.
    #[serde(rename = "tokenID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub token_id: Option<String>,
    /// Where the granted scope is, which is shown in status: a text, or a list of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub scope: Option<String>,
    /// Where it says whom the token speaks for, which is shown in status. Default: `sub` if the token is a JWT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub subject: Option<String>,
    /// When the access token ends. Without it, or where the answer does not say: `exp` if the token is a JWT, else unknown; then
    /// refresh.maxInterval counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<HttpExpiry>,
    /// When the refresh token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expiry: Option<HttpExpiry>,
    /// What answers without tokens prove, at most 32; the first that fits counts. What fits none is read as HTTP says; where that
    /// says too little, nobody can tell whether a token that works once was spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub errors: Option<Vec<HttpError>>,
}

/// What an answer without a refresh token means: `Keep` (default): the old one stays in force, as in RFC 6749 section 6. `EndChain`:
/// the old one is spent, and the access token of this answer is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum HttpMissing {
    /// The old one stays in force.
    #[default]
    Keep,
    /// The old one is spent, and there is no other.
    EndChain,
}

/// What an answer must be like to be read as tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpSuccess {
    /// Status codes of success, 1 to 8. Default: 200 and 201.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub statuses: Option<Vec<HttpStatus>>,
    /// What must be in the answer too, at most 8, such as `ok` with the value true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub require: Option<Vec<HttpCheck>>,
}

/// A status code of success, 200 to 299.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HttpStatus(#[schemars(range(min = 200, max = 299))] pub i32);

/// Something that must be in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Where.
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub pointer: String,
    /// What must be there: a text, or a number or truth value as JSON writes it. Without it: anything but null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = value_rule::one_line())]
    pub equals: Option<String>,
}

/// When a token ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpExpiry {
    /// Where.
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub pointer: String,
    /// How it is written. Numbers may be texts too; zero and less mean that the answer does not say.
    pub format: HttpExpiryFormat,
}

/// How the end of a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpExpiryFormat {
    /// Seconds from the request on.
    Seconds,
    /// A time such as `2026-11-28T15:04:05Z`.
    #[serde(rename = "RFC3339")]
    Rfc3339,
    /// A day such as `2026-11-28`: its beginning in UTC, the earliest that can be meant.
    Date,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMilliseconds,
}

/// What an answer without tokens proves. Status and pointer must both fit where both are given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = http_rule::error_says_enough(), validation = http_rule::equals_has_pointer())]
pub struct HttpError {
    /// The status code. Without it: any below 500; a server that failed may have spent the token first, so those are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<i32>,
    /// Where something must be. Needed with a status below 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = http_rule::pointer())]
    pub pointer: Option<String>,
    /// What must be there: a text, or a number or truth value as JSON writes it. Without it: anything but null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = value_rule::one_line())]
    pub equals: Option<String>,
    /// What it proves. `Transient`: nothing was spent, the same request may succeed later. `Throttled`: the same, and the API
    /// asks for a pause. `Configuration`: nothing was spent, somebody has to change something. `ChainOver`: the API will never
    /// accept this token again. `Unknown`: nobody can tell whether the token was spent.
    pub class: HttpClass,
}

/// What an answer without tokens proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpClass {
    /// Nothing was spent; the same request may succeed later.
    Transient,
    /// Nothing was spent; the API asks for a pause.
    Throttled,
    /// Nothing was spent; somebody has to change something.
    Configuration,
    /// The API will never accept this token again.
    ChainOver,
    /// Nobody can tell whether the token was spent.
    Unknown,
}
