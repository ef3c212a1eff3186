//! A declared request.
//!
//! Values come by reference and are encoded by code, one by one: there is no template, so nothing that a token or a seed holds
//! can end one value and begin another.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{http_rule, http_step_rule, schema, value_rule};

/// A request. Its values are literals of the manifest, held tokens, keys of the seed Secret, or results of steps; never put a
/// secret into a literal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = http_rule::auth_header_once(),
    validation = http_rule::encoding_has_fields(),
    validation = http_rule::json_type_has_json(),
    validation = http_rule::get_has_no_fields()
)]
pub struct HttpRequest {
    /// Default: `POST`. Not `GET` for a refresh or a revocation: what lies between may repeat it.
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
    /// `Form` (default, `application/x-www-form-urlencoded`) or `JSON` (one object).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<HttpEncoding>,
    /// The fields of the body, at most 32, each name once. Without them there is no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = http_rule::fields_once())]
    pub fields: Option<Vec<HttpField>>,
}

/// Default: `POST`. Not `GET` for a refresh or a revocation: what lies between may repeat it.
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
    /// `GET`, without fields.
    Get,
}

/// `Form` (default, `application/x-www-form-urlencoded`) or `JSON` (one object).
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

/// A header field that authenticates. Exactly one of from, seedKey and fromResult.
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
    /// Result of an earlier step that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = http_step_rule::result_name())]
    pub from_result: Option<String>,
}

/// A header field. Exactly one of value, from, seedKey and fromResult.
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
    /// Result of an earlier step that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = http_step_rule::result_name())]
    pub from_result: Option<String>,
}

/// A field of a body. Exactly one of value, from, seedKey and fromResult.
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
    /// Result of an earlier step that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = http_step_rule::result_name())]
    pub from_result: Option<String>,
    /// What a literal is in JSON, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_type: Option<HttpJsonType>,
}

/// What a literal is in JSON, where it is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HttpJsonType {
    /// A number, such as 3600.
    Number,
    /// true or false.
    Boolean,
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
    /// What an earlier step brought.
    Result(&'a str),
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
        source(None, self.from.map(HttpFrom::from), self.seed_key.as_deref(), self.from_result.as_deref())
    }
}

impl HttpHeader {
    /// Where the value comes from; none where the object names no source or several, which the CRD refuses.
    #[must_use]
    pub fn source(&self) -> Option<HttpSource<'_>> {
        source(self.value.as_deref(), self.from, self.seed_key.as_deref(), self.from_result.as_deref())
    }
}

impl HttpField {
    /// Where the value comes from; none where the object names no source or several, which the CRD refuses.
    #[must_use]
    pub fn source(&self) -> Option<HttpSource<'_>> {
        source(self.value.as_deref(), self.from, self.seed_key.as_deref(), self.from_result.as_deref())
    }
}

fn source<'a>(
    value: Option<&'a str>,
    from: Option<HttpFrom>,
    seed_key: Option<&'a str>,
    result: Option<&'a str>,
) -> Option<HttpSource<'a>> {
    match (value, from, seed_key, result) {
        (Some(value), None, None, None) => Some(HttpSource::Literal(value)),
        (None, Some(from), None, None) => Some(HttpSource::Held(from)),
        (None, None, Some(key), None) => Some(HttpSource::SeedKey(key)),
        (None, None, None, Some(name)) => Some(HttpSource::Result(name)),
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

    /// Whether the request names this.
    #[must_use]
    pub fn names(&self, source: HttpSource<'_>) -> bool {
        self.sources().any(|named| named == source)
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
