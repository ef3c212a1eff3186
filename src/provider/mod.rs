//! Token APIs as values: a request is built from what is held, a reply is read into a `TokenSet` or a classed `TokenError`.
//!
//! Nothing here holds a client, a socket or a clock. A new API is one file here with its manifest, its facts and its messages, one
//! arm in [`ProviderSpec`] and a table of recorded replies in `tests/providers.rs`.

mod assertion;
mod discovery;
mod elastic_cloud_enterprise;
mod http;
mod jfrog_access;
mod jfrog_distribution;
mod message;
mod oauth2;
mod outcome;
mod reply;
mod request;
mod step;
mod token_api;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::api::{ProviderSpec, RequestSpec};
use crate::token::{AccessToken, HeldTokens, Login, TokenSet};

pub use assertion::Assertion;
pub use discovery::{Endpoints, NoEndpoints, endpoints, metadata_requests};
pub use elastic_cloud_enterprise::ElasticCloudEnterprise;
pub use jfrog_access::JfrogAccess;
pub use jfrog_distribution::JfrogDistribution;
pub use message::{Body, MOST_BODY, Method, RawBody, Reply, TokenRequest};
pub use outcome::{Class, Delivery, Lost, NotSent, RequestError, TokenError};
pub use step::{Probed, StepResults};
pub use token_api::Sketch;
pub(crate) use token_api::{Begins, Beside, Reached, TokenApi, Wish};

/// A token API, ready to build requests for one `RefreshableToken`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Provider {
    spec: ProviderSpec,
    wish: RequestSpec,
    /// The first tokens of a chain are asked for. Never kept: what is asked for so spends nothing.
    #[serde(skip)]
    creates: bool,
}

/// What a token API promises about a token that was presented; only this decides what a lost answer means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Semantics {
    /// The refresh token works once: presenting it again may revoke the whole chain.
    SingleUse,
    /// The refresh token works once, and for this long after its first use the same request may be repeated.
    Grace(Duration),
    /// The refresh token works once, and the same request may be repeated under the same key: the API gives the same answer.
    IdempotencyKey,
    /// The refresh token stays valid: a lost answer is simply asked for again.
    Reusable,
    /// There is no refresh token: the access token authenticates its own replacement and stays valid.
    RenewsItself,
    /// There is no refresh token: credentials beside the tokens bring a new one each time, and a lost answer is simply asked for
    /// again.
    Reissue,
}

impl Semantics {
    /// Whether a refresh spends something that cannot be had again, so that the claim and the mark are needed.
    #[must_use]
    pub fn spends(self) -> bool {
        match self {
            Self::SingleUse | Self::Grace(_) | Self::IdempotencyKey => true,
            Self::Reusable | Self::RenewsItself | Self::Reissue => false,
        }
    }

    /// The longest time that one request may take, whatever the spec allows: a third of a grace window, so that a repeat still
    /// fits into it (reference protocol, step 7).
    #[must_use]
    pub fn longest_request(self) -> Option<Duration> {
        match self {
            Self::Grace(window) => Some(window / 3),
            Self::SingleUse | Self::IdempotencyKey | Self::Reusable | Self::RenewsItself | Self::Reissue => None,
        }
    }
}

/// What a request is built from.
#[derive(Clone, Copy, Debug)]
pub struct RefreshInput<'a> {
    /// The chain's tokens as read from the state Secret or the seed.
    pub held: &'a HeldTokens,
    /// Credentials beside the tokens.
    pub login: &'a Login,
    /// The time of the decision; used only to tell whether the held access token has expired.
    pub now: DateTime<Utc>,
    /// Name of the attempt, the same in every repeat of a request: the key where the API takes one.
    pub attempt: &'a str,
    /// What the steps before brought; empty for the first of them, and where there are none.
    pub results: &'a StepResults,
}

impl Provider {
    /// The provider of a spec with the wishes of the same spec.
    #[must_use]
    pub fn new(spec: ProviderSpec, wish: RequestSpec) -> Self {
        Self { spec, wish, creates: false }
    }

    /// The same API, asked for the first tokens of a chain: with credentials beside the tokens, so that nothing is spent.
    #[must_use]
    pub fn creating(self) -> Self {
        Self { creates: true, ..self }
    }

    /// Whether the first tokens of a chain are asked for.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.creates
    }

    /// What the manifest says of the token API.
    #[must_use]
    pub fn spec(&self) -> &ProviderSpec {
        &self.spec
    }

    /// The key of the token API in the manifest.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.spec.name()
    }

    /// The URL that the operator calls, or that the call's URL is made from.
    #[must_use]
    pub fn url(&self) -> &str {
        self.spec.url()
    }

    /// What the API promises about a presented token.
    #[must_use]
    pub fn semantics(&self) -> Semantics {
        if self.creates {
            return Semantics::Reissue;
        }
        self.spec.api().semantics()
    }

    /// Whether an answer that names no refresh token leaves the old one in force.
    ///
    /// RFC 6749 section 6 says so. At JFrog each refresh spends its token, and an answer without a new one (an administrator
    /// has set `token.allow-refreshable: false`) ends the chain with the access token that it brought.
    #[must_use]
    pub fn keeps_omitted_refresh_token(&self) -> bool {
        self.spec.api().keeps_omitted_refresh_token()
    }

    /// How many requests come before the one that brings tokens. Above zero only where nothing is spent.
    #[must_use]
    pub fn steps(&self) -> usize {
        if self.creates || self.semantics().spends() { 0 } else { self.spec.api().steps() }
    }

    /// The request of step `index`, which is below [`steps`](Self::steps), from the results so far.
    pub fn step(&self, index: usize, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        self.spec.api().step(index, input)
    }

    /// Reads the answer to step `index` and adds its results to those so far. After an error there are none of this step.
    ///
    /// Nothing was spent, so no error is of [`Class::Unknown`], and there is nothing to keep.
    pub fn read_step(&self, index: usize, reply: &Reply, results: &mut StepResults) -> Result<(), TokenError> {
        self.spec.api().read_step(index, reply, results)
    }

    /// The request that brings tokens: of a refresh, after its steps, or for the first ones.
    pub fn request(&self, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        let api = self.spec.api();
        if self.creates { api.creation(&self.wish, input) } else { api.request(&self.wish, input) }
    }

    /// Reads the answer. `sent` is the instant before the request was sent; relative expiries count from it.
    ///
    /// After [`Class::Unknown`] the raw answer must be kept: tokens may be in it that could not be read.
    pub fn read(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        let api = self.spec.api();
        if self.creates {
            return api.read_creation(&self.wish, reply, sent).map_err(created);
        }
        api.read(&self.wish, reply, sent)
    }

    /// The one request that revokes what is held, for a chain that ends with its object; none if there is nothing to revoke or
    /// the spec does not say where. It may be repeated as often as one likes.
    #[must_use]
    pub fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        let held = input.held;
        if held.access_token.is_none() && held.refresh_token.is_none() && held.reference_token.is_none() {
            return None;
        }
        self.spec.api().revocation(input)
    }

    /// Reads the answer to a revocation: success means that the API no longer accepts what was held.
    pub fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        self.spec.api().read_revocation(reply, sent)
    }

    /// Whether the API can be asked what became of a refresh token.
    #[must_use]
    pub fn probes(&self) -> bool {
        self.semantics().spends() && self.spec.api().probes()
    }

    /// The harmless question whether the refresh token of `input` is still good. None where nothing is spent, or where the API or the
    /// spec has no such question.
    #[must_use]
    pub fn probe(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        if self.semantics().spends() { self.spec.api().probe(input) } else { None }
    }

    /// What the answer to it says. Only [`Probed::Unspent`] allows presenting the token again; [`Probed::Spent`] alone ends no chain that nothing can follow.
    #[must_use]
    pub fn read_probe(&self, reply: &Reply) -> Probed {
        self.spec.api().read_probe(reply)
    }

    /// One harmless request with the access token of `input`; none where there is no token, or where the API or the spec has none.
    #[must_use]
    pub fn verification(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        input.held.access_token.as_ref()?;
        self.spec.api().verification(input)
    }

    /// Reads the answer to it: success means that the API takes the token, [`Class::Configuration`] that it refuses it. With any
    /// other error nobody knows.
    pub fn read_verification(&self, reply: &Reply) -> Result<(), TokenError> {
        self.spec.api().read_verification(reply)
    }

    /// The request that revokes this one access token, which was replaced by that of `input`, and not the chain. None where the API
    /// has none that is so narrow, and where the token was not replaced by another. [`read_revocation`](Self::read_revocation)
    /// reads the answer; the request may be repeated.
    #[must_use]
    pub fn retirement(&self, access_token: &AccessToken, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        // Some APIs answer with the same token again.
        let replaced = input.held.access_token.as_ref().is_some_and(|held| held != access_token);
        if replaced && !access_token.0.is_empty() { self.spec.api().retirement(access_token, input) } else { None }
    }
}

/// What a refusal of first tokens proves: no chain can be over that has not begun.
fn created(error: TokenError) -> TokenError {
    match error.class {
        Class::ChainOver => {
            TokenError { class: Class::Configuration, detail: "the credentials in the seed are not accepted", ..error }
        }
        Class::Transient | Class::Throttled | Class::Configuration | Class::Unknown => error,
    }
}
