//! Token APIs as values: a request is built from what is held, a reply is read into a `TokenSet` or a classed `TokenError`.
//!
//! Nothing here holds a client, a socket or a clock. A new API is one file here, one arm in [`Provider`] and a table of
//! recorded replies in `tests/providers.rs`.

mod assertion;
mod discovery;
mod elastic_cloud_enterprise;
mod http;
mod jfrog_access;
mod jfrog_distribution;
mod oauth2;
mod reply;
mod request;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::{ProviderSpec, RequestSpec};
use crate::token::{HeldTokens, Login, SecretText, TokenSet};

pub use assertion::Assertion;
pub use discovery::{Endpoints, NoEndpoints, endpoints, metadata_requests};

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
}

/// An HTTP request to a token API. `Debug` shows method and URL only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenRequest {
    /// HTTP method: POST, but for one revocation and what a manifest declares.
    pub method: Method,
    /// Absolute URL without secrets.
    pub url: String,
    /// Header fields; values are secret as a rule (`Authorization`).
    pub headers: Vec<(Cow<'static, str>, SecretText)>,
    /// The body and its media type.
    pub body: Option<Body>,
    /// What the client signs when the request leaves; see [`TokenRequest::signed`].
    pub assertion: Option<Assertion>,
}

/// The methods that token APIs use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// HTTP GET: a server's metadata.
    Get,
    /// HTTP POST.
    Post,
    /// HTTP PUT.
    Put,
    /// HTTP PATCH.
    Patch,
    /// HTTP DELETE.
    Delete,
}

/// A request body.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Body {
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The encoded body; holds tokens.
    pub content: SecretText,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.url)
    }
}

/// A complete HTTP answer of a token API, before anything of it was parsed. `Debug` shows status and length only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// Names (lower case) and values of the header fields; values that are not visible ASCII are left out.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: RawBody,
}

/// The bytes of an answer: secret, and kept as they came until they are safe.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RawBody(pub Vec<u8>);

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} {:?}", self.status, self.body)
    }
}

impl Reply {
    /// The first value of a header field; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a refusal proves about the token that was presented. Only the class decides what happens next (design section 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Nothing was spent; the same request may succeed later.
    Transient,
    /// Nothing was spent; the API asked for a pause.
    Throttled,
    /// Nothing was spent; a person or another system has to change something first.
    Configuration,
    /// The chain is over: this token will never be accepted again.
    ChainOver,
    /// Nobody can tell whether the token was spent.
    Unknown,
}

/// Why a token API gave no tokens. Holds nothing that the API wrote but codes from fixed lists.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[error("the token API answered HTTP {status}: {detail}")]
pub struct TokenError {
    /// What the answer proves.
    pub class: Class,
    /// HTTP status code of the answer.
    pub status: u16,
    /// A code from a fixed list (RFC 6749 section 5.2, a vendor's page) or our own words; never text of the answer.
    pub detail: &'static str,
    /// How long the API asked us to wait (`Retry-After`), limited to 1 s .. 1 h.
    pub retry_after: Option<Duration>,
}

/// Most bytes of an answer's body that are read. Our choice: more than ten times the largest answer of a token API that we know, and a
/// quarter of what a Secret may hold, so that an answer that cannot be read still fits beside the tokens of a state Secret.
pub const MOST_BODY: usize = 256 * 1024;

/// How the one sending of a request ended, as far as the sender can prove.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Delivery {
    /// A complete answer came.
    Answered(Reply),
    /// Not one byte of the request left: nothing can be spent.
    NotSent(NotSent),
    /// The request may have arrived, and no complete answer came.
    Lost {
        /// What happened.
        why: Lost,
        /// What had come of the answer, at most [`MOST_BODY`]; kept for a person to look at.
        partial: Option<Reply>,
    },
}

/// Why not one byte of a request left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum NotSent {
    /// The endpoint policy does not allow the address.
    #[error("the endpoint policy does not allow this address")]
    EndpointNotAllowed,
    /// The host has no address.
    #[error("the host name cannot be resolved")]
    NameNotResolved,
    /// No TCP connection.
    #[error("no connection can be made")]
    NotConnected,
    /// No TLS session: certificate, name or protocol.
    #[error("the TLS connection cannot be verified: certificate authority, host name or protocol version")]
    TlsRejected,
    /// The connection took longer than `timeouts.connect`.
    #[error("the connection took longer than timeouts.connect")]
    ConnectTimeout,
    /// The bundle of certificate authorities cannot be used.
    #[error("the bundle of certificate authorities is not PEM, is empty or is over 64 KiB")]
    CaBundleInvalid,
    /// The server does not take the client's certificate, or wants one and was shown none.
    #[error("the server refuses the client's certificate, or asks for one: see tls.clientCertificateRef")]
    ClientCertificateRejected,
    /// The client's private key did not sign.
    #[error("the client's private key could not sign")]
    NotSigned,
    /// Too much time had passed since the claim, or the operator is shutting down: held back on purpose.
    #[error("the request was held back: too much time had passed since the claim, or the operator is stopping")]
    HeldBack,
}

/// Why no complete answer came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum Lost {
    /// No complete answer within `timeouts.request`.
    #[error("no complete answer came within timeouts.request")]
    Timeout,
    /// The connection ended first.
    #[error("the connection ended before the answer was complete")]
    ConnectionEnded,
    /// The answer was larger than [`MOST_BODY`] or its header larger than 64 KiB.
    #[error("the answer was larger than the operator reads (256 KiB)")]
    TooLarge,
    /// The task that waited for the answer broke down.
    #[error("the operator broke down while it waited for the answer")]
    Broken,
}

/// Why no request can be built from what is there. Nothing was sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
pub enum RequestError {
    /// A credential, or a wish that the API needs, is missing; named with the place where it belongs.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A credential cannot be sent: it holds a character that its place does not allow, or is too large.
    #[error("{0} cannot be sent: it holds a line break or another character that is not allowed there, or is over 64 KiB")]
    NotSendable(&'static str),
    /// The URL of the provider cannot be used.
    #[error("the provider's URL is not valid: {0}")]
    Url(&'static str),
    /// A key of the seed Secret, which a declared request names, is not there or empty.
    #[error("key {0} of the seed Secret is missing or empty, and provider.http names it")]
    MissingKey(String),
    /// The value of a key of the seed Secret cannot be sent, for the same reasons.
    #[error(
        "key {0} of the seed Secret cannot be sent where provider.http puts it: it holds a character that is not allowed there, or is over 64 KiB"
    )]
    KeyNotSendable(String),
    /// The declared request is none; the CRD refuses it, and an old object can be older than a rule.
    #[error("the request that provider.http declares is not valid: {0}")]
    Declared(&'static str),
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
        match &self.spec {
            ProviderSpec::JfrogAccess(_) | ProviderSpec::JfrogDistribution(_) => Semantics::SingleUse,
            ProviderSpec::ElasticCloudEnterprise(_) => Semantics::RenewsItself,
            ProviderSpec::Oauth2(spec) => oauth2::semantics(spec),
            ProviderSpec::Http(spec) => http::semantics(spec),
        }
    }

    /// Whether an answer that names no refresh token leaves the old one in force.
    ///
    /// RFC 6749 section 6 says so. At JFrog each refresh spends its token, and an answer without a new one (an administrator
    /// has set `token.allow-refreshable: false`) ends the chain with the access token that it brought.
    #[must_use]
    pub fn keeps_omitted_refresh_token(&self) -> bool {
        match &self.spec {
            ProviderSpec::JfrogAccess(_) | ProviderSpec::JfrogDistribution(_) => false,
            ProviderSpec::ElasticCloudEnterprise(_) | ProviderSpec::Oauth2(_) => true,
            ProviderSpec::Http(spec) => http::keeps_omitted_refresh_token(spec),
        }
    }

    /// The one request of a refresh, or for the first tokens.
    pub fn request(&self, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        if self.creates {
            return match &self.spec {
                ProviderSpec::JfrogAccess(spec) => jfrog_access::creation(spec, &self.wish, input),
                ProviderSpec::ElasticCloudEnterprise(spec) => elastic_cloud_enterprise::login(spec, input),
                ProviderSpec::JfrogDistribution(_) | ProviderSpec::Oauth2(_) | ProviderSpec::Http(_) => {
                    Err(RequestError::Declared("this provider gives no first tokens for credentials"))
                }
            };
        }
        match &self.spec {
            ProviderSpec::JfrogAccess(spec) => jfrog_access::request(spec, &self.wish, input),
            ProviderSpec::JfrogDistribution(spec) => jfrog_distribution::request(spec, &self.wish, input),
            ProviderSpec::ElasticCloudEnterprise(spec) => elastic_cloud_enterprise::request(spec, input),
            ProviderSpec::Oauth2(spec) => oauth2::request(spec, &self.wish, input),
            ProviderSpec::Http(spec) => http::request(spec, input),
        }
    }

    /// Reads the answer. `sent` is the instant before the request was sent; relative expiries count from it.
    ///
    /// After [`Class::Unknown`] the raw answer must be kept: tokens may be in it that could not be read.
    pub fn read(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        let read = match &self.spec {
            ProviderSpec::JfrogAccess(_) => jfrog_access::read(reply, sent),
            ProviderSpec::JfrogDistribution(_) => jfrog_distribution::read(reply, sent),
            ProviderSpec::ElasticCloudEnterprise(_) => elastic_cloud_enterprise::read(reply, sent),
            ProviderSpec::Oauth2(spec) => oauth2::read(spec, &self.wish, reply, sent),
            ProviderSpec::Http(spec) => http::read(spec, reply, sent),
        };
        if self.creates { read.map_err(created) } else { read }
    }

    /// The one request that revokes what is held, for a chain that ends with its object; none if there is nothing to revoke or
    /// the spec does not say where. It may be repeated as often as one likes.
    #[must_use]
    pub fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        let held = input.held;
        if held.access_token.is_none() && held.refresh_token.is_none() && held.reference_token.is_none() {
            return None;
        }
        match &self.spec {
            ProviderSpec::JfrogAccess(spec) => Some(jfrog_access::revocation(spec, input)),
            ProviderSpec::JfrogDistribution(spec) => Some(jfrog_distribution::revocation(spec, input)),
            ProviderSpec::ElasticCloudEnterprise(spec) => Some(elastic_cloud_enterprise::revocation(spec, input)),
            ProviderSpec::Oauth2(spec) => oauth2::revocation(spec, input),
            ProviderSpec::Http(spec) => http::revocation(spec, input),
        }
    }

    /// Reads the answer to a revocation: success means that the API no longer accepts what was held.
    pub fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        match &self.spec {
            ProviderSpec::JfrogAccess(_) => jfrog_access::read_revocation(reply, sent),
            ProviderSpec::JfrogDistribution(_) => jfrog_distribution::read_revocation(reply, sent),
            ProviderSpec::ElasticCloudEnterprise(_) => elastic_cloud_enterprise::read_revocation(reply, sent),
            ProviderSpec::Oauth2(_) => oauth2::read_revocation(reply, sent),
            ProviderSpec::Http(spec) => http::read_revocation(spec, reply, sent),
        }
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
