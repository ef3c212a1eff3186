//! `provider.http`: a token API that the manifest declares, for those that have no key of their own.

mod reply;
mod request;
mod step;

use std::collections::BTreeSet;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Proxy, Timeouts, Tls, http_rule, http_step_rule, object_rule};

pub use reply::{HttpCheck, HttpClass, HttpError, HttpExpiry, HttpExpiryFormat, HttpMissing, HttpReply, HttpStatus, HttpSuccess};
pub use request::{
    HttpAuth, HttpAuthHeader, HttpBasic, HttpEncoding, HttpField, HttpFrom, HttpHeader, HttpJsonType, HttpMethod, HttpRequest,
    HttpSource, HttpToken,
};
pub use step::{HttpProbe, HttpResult, HttpSign, HttpStep, HttpVerify};

/// A token API, declared: its requests, how their answers are read, and what the API promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = http_rule::presents(),
    validation = http_rule::reissues(),
    validation = http_rule::no_refresh_token(),
    validation = http_rule::successor(),
    validation = http_rule::idempotency_key(),
    validation = http_rule::spends(),
    validation = http_rule::revokes(),
    validation = http_rule::revoke_has_no_attempt(),
    validation = http_step_rule::nothing_spent(),
    validation = http_step_rule::results_once(),
    validation = http_step_rule::results_exist(),
    validation = http_step_rule::results_earlier(),
    validation = http_step_rule::no_results("revoke"),
    validation = http_step_rule::no_results("probe"),
    validation = http_step_rule::no_results("verify"),
    validation = http_step_rule::probe_needed(),
    validation = http_step_rule::probe_presents(),
    validation = http_step_rule::verify_presents(),
    validation = http_rule::proxy_reads_nothing()
)]
pub struct Http {
    /// Requests that come before that of the refresh, 1 to 4, in this order, where one alone does not bring a token. With rotation
    /// Reusable, RenewsItself and Reissue only: a request that spends something is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub steps: Option<Vec<HttpStep>>,
    /// The request of a refresh.
    pub request: HttpRequest,
    /// Where the answer has what.
    pub reply: HttpReply,
    /// What the API promises about a token that was presented. It decides what follows on a lost answer, so nothing is taken for
    /// granted.
    pub semantics: HttpSemantics,
    /// A harmless question that tells whether a refresh token was spent. It is asked when the answer to a refresh was lost. With
    /// rotation Strict, Grace and IdempotencyKey only; the others have nothing to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<HttpProbe>,
    /// A harmless request that tells whether the API takes a new access token. For `recovery.verifyBeforePublish`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<HttpVerify>,
    /// The request that revokes what is held. For `deletionPolicy: Revoke`, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<HttpRevoke>,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The proxy that the token API is reached through. Without it: none, whatever the operator's environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// What the API promises about a token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::grace())]
pub struct HttpSemantics {
    /// `Strict`: the refresh token works once. `Grace`: it works once, and within graceSeconds the same request may be repeated.
    /// `IdempotencyKey`: it works once, and a request with the same AttemptID is answered as the first was. `Reusable`: it stays
    /// valid. `RenewsItself`: there is none; the access token authenticates its own renewal and stays valid. `Reissue`: there is
    /// none; what the seed holds brings a new access token each time. If in doubt: `Strict`.
    pub rotation: HttpRotation,
    /// How many seconds after its first use a refresh token may be presented again. A lost answer is asked for again within this
    /// time, never after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub grace_seconds: Option<i32>,
}

/// What the API does with a token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpRotation {
    /// The refresh token works once.
    Strict,
    /// It works once, and may be presented again for a while.
    Grace,
    /// It works once, and a request with the same key is answered as the first was.
    IdempotencyKey,
    /// It stays valid.
    Reusable,
    /// There is none: the access token renews itself.
    RenewsItself,
    /// There is none: what the seed holds brings each token.
    Reissue,
}

/// How tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRevoke {
    /// The request.
    pub request: HttpRequest,
    /// Status codes that say that the token is not valid any more, 1 to 8. Default: 200 and 204. What `reply.errors` lists as
    /// ChainOver says so too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub statuses: Option<Vec<HttpStatus>>,
}

impl Http {
    /// The steps, in their order.
    #[must_use]
    pub fn steps(&self) -> &[HttpStep] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// All requests: of a refresh, and those beside it.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &HttpRequest> {
        let others = [
            self.revoke.as_ref().map(|revoke| &revoke.request),
            self.probe.as_ref().map(|probe| &probe.request),
            self.verify.as_ref().map(|verify| &verify.request),
        ];
        self.obtaining().chain(others.into_iter().flatten())
    }

    /// The keys of the seed Secret that its requests name.
    #[must_use]
    pub fn seed_keys(&self) -> BTreeSet<&str> {
        self.requests().flat_map(seed_keys).collect()
    }

    /// The keys of the seed Secret that a refresh needs.
    #[must_use]
    pub fn obtaining_keys(&self) -> BTreeSet<&str> {
        self.obtaining().flat_map(seed_keys).collect()
    }

    /// The requests of a refresh.
    pub(super) fn obtaining(&self) -> impl Iterator<Item = &HttpRequest> {
        self.steps().iter().map(|step| &step.request).chain(std::iter::once(&self.request))
    }
}

fn seed_keys(request: &HttpRequest) -> impl Iterator<Item = &str> {
    request.sources().filter_map(|source| match source {
        HttpSource::SeedKey(key) => Some(key),
        HttpSource::Literal(_) | HttpSource::Held(_) | HttpSource::Result(_) => None,
    })
}
