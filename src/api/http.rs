//! `provider.http`: a token API that the manifest declares, for those that have no key of their own.
//!
//! Values come by reference and are encoded by code, one by one: there is no template, so nothing that a token or a seed holds
//! can end one value and begin another.

use std::collections::BTreeSet;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Timeouts, Tls, http_rule, object_rule, schema, value_rule};

/// A token API, declared: one request, how its answer is read, and what the API promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = http_rule::presents(),
    validation = http_rule::renews_itself(),
    validation = http_rule::successor(),
    validation = http_rule::idempotency_key(),
    validation = http_rule::revoke_has_no_attempt()
)]
pub struct Http {
    /// The request of a refresh.
    pub request: HttpRequest,
    /// Where the answer has what.
    pub reply: HttpReply,
    /// What the API promises about a token that was presented. It decides what follows on a lost answer, so nothing is taken for
    /// granted.
    pub semantics: HttpSemantics,
    /// The request that revokes what is held. For `deletionPolicy: Revoke`, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<HttpRevoke>,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// A request. Its values are literals of the manifest, held tokens, or keys of the seed Secret; never put a secret into a literal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = http_rule::auth_header_once(),
    validation = http_rule::encoding_has_fields(),
    validation = http_rule::json_type_has_json()
)]
pub struct HttpRequest {
    /// Method of HTTP. Default: `POST`. There is no `GET`: what lies between may repeat it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// The URL, query included, such as `https://vault.example.com/v1/auth/token/renew-self`. It holds no secrets: servers log it.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub url: String,
    /// How the request authenticates. Without it: by its headers or fields, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    /// Further header fields, at most 16. `Accept: application/json` is sent unless another one stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = http_rule::headers_once())]
    pub headers: Option<Vec<HttpHeader>>,
    /// How the fields are written. Default: `Form`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<HttpEncoding>,
    /// The fields of the body, at most 32, each name once. Without them there is no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = http_rule::fields_once())]
    pub fields: Option<Vec<HttpField>>,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// How fields are written into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum HttpEncoding {
    /// `application/x-www-form-urlencoded`.
    #[default]
    Form,
    /// `application/json`: one object.
    #[serde(rename = "JSON")]
    Json,
}

/// A held token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpToken {
    /// The access token.
    AccessToken,
    /// The refresh token.
    RefreshToken,
}

/// What is put in for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpFrom {
    /// The access token.
    AccessToken,
    /// The refresh token.
    RefreshToken,
    /// A name of the attempt, the same in every repeat of a request: the key where the API takes one.
    #[serde(rename = "AttemptID")]
    AttemptId,
}

/// How a request authenticates. Exactly one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_key)]
pub enum HttpAuth {
    /// `Authorization: Bearer` with this token (RFC 6750).
    Bearer(HttpToken),
    /// `Authorization: Basic` with a user name and a password of the seed Secret (RFC 7617).
    Basic(HttpBasic),
    /// A header field with a token, such as `PRIVATE-TOKEN`, or `Authorization` with another scheme than Bearer.
    Header(HttpAuthHeader),
}

/// Keys of the seed Secret for Basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpBasic {
    /// Key of the user name.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub username_key: String,
    /// Key of the password.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub password_key: String,
}

/// A header field that authenticates. Exactly one of from and seedKey.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = http_rule::one_secret())]
pub struct HttpAuthHeader {
    /// Name of the field. `Authorization` is allowed here, and only here.
    #[schemars(length(max = 64))]
    #[x_kube(validation = http_rule::header_name(), validation = http_rule::free_header())]
    pub name: String,
    /// A word before the value, and a space between them: the scheme of RFC 9110 section 11.1, such as `ApiKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = http_rule::header_name())]
    pub prefix: Option<String>,
    /// The token to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HttpToken>,
    /// Key of the seed Secret whose value is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub seed_key: Option<String>,
}

/// A header field. Exactly one of value, from and seedKey.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = http_rule::one_value())]
pub struct HttpHeader {
    /// Name of the field. Refused: `Authorization` and `Proxy-…` (see auth), `Content-Type` (see encoding), and what frames a
    /// message, such as `Host` and `Content-Length`.
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = http_rule::header_name(),
        validation = http_rule::free_header(),
        validation = http_rule::no_authorization()
    )]
    pub name: String,
    /// A literal: visible ASCII characters, with spaces inside only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = http_rule::header_value())]
    pub value: Option<String>,
    /// What to put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HttpFrom>,
    /// Key of the seed Secret whose value is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub seed_key: Option<String>,
}

/// A field of a body. Exactly one of value, from and seedKey.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = http_rule::one_value(), validation = http_rule::json_type())]
pub struct HttpField {
    /// Name of the field.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = value_rule::one_line())]
    pub name: String,
    /// A literal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = value_rule::one_line())]
    pub value: Option<String>,
    /// What to put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HttpFrom>,
    /// Key of the seed Secret whose value is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub seed_key: Option<String>,
    /// What a literal is in JSON, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_type: Option<HttpJsonType>,
}

/// What a literal is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpJsonType {
    /// A number, such as 3600.
    Number,
    /// true or false.
    Boolean,
}

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

/// What an answer without a refresh token means.
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

/// What the API promises about a token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::grace())]
pub struct HttpSemantics {
    /// `Strict`: the refresh token works once. `Grace`: it works once, and within graceSeconds the same request may be repeated.
    /// `IdempotencyKey`: it works once, and a request with the same AttemptID is answered as the first was. `Reusable`: it stays
    /// valid. `RenewsItself`: there is none; the access token authenticates its own renewal and stays valid. If in doubt:
    /// `Strict`.
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

/// Where a value of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpSource<'a> {
    /// The manifest.
    Literal(&'a str),
    /// What the operator holds.
    Held(HttpFrom),
    /// A key of the seed Secret.
    SeedKey(&'a str),
}

impl From<HttpToken> for HttpFrom {
    fn from(token: HttpToken) -> Self {
        match token {
            HttpToken::AccessToken => Self::AccessToken,
            HttpToken::RefreshToken => Self::RefreshToken,
        }
    }
}

impl HttpAuthHeader {
    /// Where the value comes from; none where the object names no source or several, which the CRD refuses.
    #[must_use]
    pub fn source(&self) -> Option<HttpSource<'_>> {
        source(None, self.from.map(HttpFrom::from), self.seed_key.as_deref())
    }
}

impl HttpHeader {
    /// Where the value comes from; none where the object names no source or several, which the CRD refuses.
    #[must_use]
    pub fn source(&self) -> Option<HttpSource<'_>> {
        source(self.value.as_deref(), self.from, self.seed_key.as_deref())
    }
}

impl HttpField {
    /// Where the value comes from; none where the object names no source or several, which the CRD refuses.
    #[must_use]
    pub fn source(&self) -> Option<HttpSource<'_>> {
        source(self.value.as_deref(), self.from, self.seed_key.as_deref())
    }
}

fn source<'a>(value: Option<&'a str>, from: Option<HttpFrom>, seed_key: Option<&'a str>) -> Option<HttpSource<'a>> {
    match (value, from, seed_key) {
        (Some(value), None, None) => Some(HttpSource::Literal(value)),
        (None, Some(from), None) => Some(HttpSource::Held(from)),
        (None, None, Some(key)) => Some(HttpSource::SeedKey(key)),
        _ => None,
    }
}

impl HttpRequest {
    /// Further header fields.
    #[must_use]
    pub fn headers(&self) -> &[HttpHeader] {
        self.headers.as_deref().unwrap_or_default()
    }

    /// The fields of the body.
    #[must_use]
    pub fn fields(&self) -> &[HttpField] {
        self.fields.as_deref().unwrap_or_default()
    }

    /// Every source that the request names, those of Basic authentication included.
    pub fn sources(&self) -> impl Iterator<Item = HttpSource<'_>> {
        let auth = match &self.auth {
            Some(HttpAuth::Bearer(token)) => [Some(HttpSource::Held((*token).into())), None],
            Some(HttpAuth::Basic(HttpBasic { username_key, password_key })) => {
                [Some(HttpSource::SeedKey(username_key)), Some(HttpSource::SeedKey(password_key))]
            }
            Some(HttpAuth::Header(header)) => [header.source(), None],
            None => [None, None],
        };
        let headers = self.headers().iter().filter_map(HttpHeader::source);
        let fields = self.fields().iter().filter_map(HttpField::source);
        auth.into_iter().flatten().chain(headers).chain(fields)
    }
}

impl Http {
    /// The keys of the seed Secret that its requests name.
    #[must_use]
    pub fn seed_keys(&self) -> BTreeSet<&str> {
        let revoke = self.revoke.iter().flat_map(|revoke| revoke.request.sources());
        let key = |source| match source {
            HttpSource::SeedKey(key) => Some(key),
            HttpSource::Literal(_) | HttpSource::Held(_) => None,
        };
        self.request.sources().chain(revoke).filter_map(key).collect()
    }
}
