//! What a token API is to the rest of the program: what can be asked of it, its requests, and what its answers prove.
//!
//! Each API says it once, in its own file; nothing else tells APIs apart. What most have in common stands here.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::reply::{answered, verified};
use super::{Class, Probed, RefreshInput, Reply, RequestError, Semantics, StepResults, TokenError, TokenRequest};
use crate::api::{Invalid, Oauth2, Proxy, RequestSpec, Timeouts, Tls, check_base_url};
use crate::token::{AccessToken, TokenSet};

/// What a manifest for a token API begins with, for people.
#[derive(Clone, Copy, Debug)]
pub struct Sketch {
    /// The key in the manifest.
    pub name: &'static str,
    /// What API that is.
    pub title: &'static str,
    /// What stands at the key, with `{url}` where the URL belongs: in one line, or in lines of its own that are indented by six.
    pub provider: &'static str,
    /// An example of the URL.
    pub url: &'static str,
    /// The keys of the seed.
    pub seed: &'static str,
    /// `spec.request`, where one is needed.
    pub request: Option<&'static str>,
}

/// A token API as a manifest names it. Every function is total and without effects.
pub(crate) trait TokenApi {
    /// The key in the manifest; also the name in columns, logs and metrics.
    fn name(&self) -> &'static str;

    /// The URL that the operator calls, or that the call's URL is made from.
    fn url(&self) -> &str;

    /// How the API is connected to, where the manifest says.
    fn connection(&self) -> Reached<'_>;

    /// The URLs that are called, as far as the manifest says them.
    fn urls(&self) -> Vec<&str> {
        vec![self.url()]
    }

    /// The CRD's rules of this API once more; those of an API below a base URL.
    fn check(&self) -> Result<(), Invalid> {
        check_base_url(self.name(), self.url())
    }

    /// Whether an object may ask for this.
    fn takes(&self, wish: Wish) -> bool;

    /// Whether an object may ask for this with the first tokens of a chain, whatever holds for a refresh.
    fn takes_at_first(&self, _wish: Wish) -> bool {
        false
    }

    /// Whether an object must say how long its tokens are to live.
    fn needs_lifetime(&self) -> bool {
        false
    }

    /// What a refresh needs beside the tokens.
    fn beside(&self) -> Beside<'_>;

    /// What brings the first tokens of a chain.
    fn begins(&self) -> Begins {
        Begins::Password
    }

    /// What the API promises about a presented token.
    fn semantics(&self) -> Semantics;

    /// See [`super::Provider::keeps_omitted_refresh_token`]. As in RFC 6749 section 6.
    fn keeps_omitted_refresh_token(&self) -> bool {
        true
    }

    /// The request for the first tokens of a chain. Asked for only where the API takes [`Wish::FirstTokens`].
    fn creation(&self, _wish: &RequestSpec, _input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        Err(RequestError::Declared("this provider gives no first tokens for credentials"))
    }

    /// The field that must be set before first tokens can be asked for, if it is not.
    fn first_tokens_lack(&self) -> Option<&'static str> {
        None
    }

    /// The one request of a refresh.
    fn request(&self, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError>;

    /// Reads the answer to it.
    fn read(&self, wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError>;

    /// Reads the answer to [`TokenApi::creation`]; as any other where it says no more.
    fn read_creation(&self, wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        self.read(wish, reply, sent)
    }

    /// How many requests come before that one.
    fn steps(&self) -> usize {
        0
    }

    /// The request of a step.
    fn step(&self, _index: usize, _input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        Err(RequestError::Declared("there is no such step"))
    }

    /// Reads the answer to a step.
    fn read_step(&self, _index: usize, reply: &Reply, _results: &mut StepResults) -> Result<(), TokenError> {
        Err(answered(reply, Class::Configuration, "there is no such step"))
    }

    /// Whether there is a question what became of a refresh token.
    fn probes(&self) -> bool {
        false
    }

    /// The harmless question whether the refresh token is still good. Asked for only where a refresh spends it.
    fn probe(&self, _input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        None
    }

    /// What the answer to it says.
    fn read_probe(&self, _reply: &Reply) -> Probed {
        Probed::Unclear
    }

    /// One harmless request with the held access token.
    fn verification(&self, _input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        None
    }

    /// Reads the answer to it. Default: any status of success, else what HTTP says.
    fn read_verification(&self, reply: &Reply) -> Result<(), TokenError> {
        verified(reply)
    }

    /// The request that revokes one access token that was replaced, and not the chain.
    fn retirement(&self, _access_token: &AccessToken, _input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        None
    }

    /// The field that must be set before the API can be asked to revoke, if it is not.
    fn revocation_lacks(&self) -> Option<&'static str> {
        None
    }

    /// The request that revokes what is held; none where the manifest does not say where.
    fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>>;

    /// Reads the answer to it: success means that the API no longer accepts what was held.
    fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError>;
}

/// How a token API is connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached<'a> {
    /// How the connection is verified.
    pub(crate) tls: Option<&'a Tls>,
    /// The proxy that lies between.
    pub(crate) proxy: Option<&'a Proxy>,
    /// How long one request may take.
    pub(crate) timeouts: Option<Timeouts>,
}

/// What an object may ask of some token APIs only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// `spec.request.lifetime`.
    Lifetime,
    /// `spec.request.scope`.
    Scope,
    /// `spec.request.audience`.
    Audience,
    /// `spec.request.username`, `description`, `projectKey` and `includeReferenceToken`.
    JfrogDetails,
    /// `spec.credential.bootstrap`: the first tokens of a chain, for credentials.
    FirstTokens,
    /// `spec.credential.serviceAccountRef`: tokens for the token of a ServiceAccount.
    ServiceAccount,
    /// `spec.recovery.verifyBeforePublish`: a harmless call with a new token.
    Trial,
    /// `spec.refresh.revokeReplacedAfter`: the revocation of one access token.
    Retirement,
}

/// What brings the first tokens of a chain; it stands in the seed Secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begins {
    /// User name and password.
    Password,
    /// A token under the key of access tokens, or user name and password.
    TokenOrPassword,
    /// The credentials of the client of every refresh.
    Client,
    /// Another token: `subject_token`, or that of a ServiceAccount.
    Subject,
}

/// What a refresh needs beside the tokens, and so where it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// User name and password, from the seed Secret.
    Password,
    /// An OAuth 2.0 client's credentials, from the Secret of `clientSecretRef` or the seed.
    Client(&'a Oauth2),
    /// What stands under these keys of the seed Secret.
    Keys(BTreeSet<&'a str>),
}
