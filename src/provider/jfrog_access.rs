//! JFrog Access: `POST {url}/access/api/v1/tokens` with the refresh token grant; it must never ask for a lasting token.
//!
//! Sources: the vendor's "Refresh Token" page (jfrog.com/help/r/jfrog-rest-apis/refresh-token), the published company guide
//! "Refresh JFrog Token", and the code of JFrog's own clients.

use chrono::{DateTime, Utc};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::reply::{Members, error, error_codes, revoked, spending_refusal, token_set};
use super::request::{Form, ask, basic, bearer, below, delete, needed, post, present};
use super::{
    Begins, Beside, Class, Reached, RefreshInput, Reply, RequestError, Semantics, Sketch, TokenApi, TokenError, TokenRequest,
    Wish,
};
use crate::api::{Proxy, RequestSpec, Timeouts, Tls, object_rule, value_rule};
use crate::token::{AccessToken, SecretText, TokenSet, jwt_claims};

/// JFrog Access.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::proxy_reads_nothing(&["url"]))]
pub struct JfrogAccess {
    /// Base URL of the JFrog platform, such as `https://art.example.com`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = value_rule::base_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub url: String,
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

impl JfrogAccess {
    /// What a manifest begins with.
    pub const SKETCH: Sketch = Sketch {
        name: "jfrogAccess",
        title: "JFrog Access (Artifactory)",
        provider: "{url: '{url}'}",
        url: "https://art.example.com",
        seed: "access_token, refresh_token",
        request: Some("{lifetime: 1h}        # the server may have a lower limit; status says what it gave"),
    };
}

impl TokenApi for JfrogAccess {
    fn name(&self) -> &'static str {
        Self::SKETCH.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn connection(&self) -> Reached<'_> {
        Reached { tls: self.tls.as_ref(), proxy: self.proxy.as_ref(), timeouts: self.timeouts }
    }

    fn takes(&self, wish: Wish) -> bool {
        match wish {
            Wish::Lifetime
            | Wish::Scope
            | Wish::Audience
            | Wish::JfrogDetails
            | Wish::FirstTokens
            | Wish::Trial
            | Wish::Retirement => true,
            Wish::ServiceAccount => false,
        }
    }

    fn beside(&self) -> Beside<'_> {
        Beside::Password
    }

    fn begins(&self) -> Begins {
        Begins::TokenOrPassword
    }

    fn semantics(&self) -> Semantics {
        Semantics::SingleUse
    }

    fn keeps_omitted_refresh_token(&self) -> bool {
        false
    }

    fn creation(&self, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        creation(self, wish, input)
    }

    fn request(&self, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        request(self, wish, input)
    }

    fn read(&self, _wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        read(reply, sent)
    }

    /// `GET {url}/access/api/v1/tokens/me` (7.53.1 and later; JFrog's REST reference, "Get Token by ID"): 401 for a token that is not
    /// valid. Older versions answer 404, which says nothing about it.
    fn verification(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        let token = present(input.held.access_token.as_ref().map(|token| &token.0))?;
        Some(below(&self.url, "/access/api/v1/tokens/me").and_then(|url| Ok(ask(url, bearer(token, "access_token")?))))
    }

    fn retirement(&self, access_token: &AccessToken, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        retirement(self, access_token, input)
    }

    fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        Some(revocation(self, input))
    }

    /// 200: revoked; 204: it was already; 404: no such token is left (JFrog's REST reference).
    fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        revoked(reply, sent, &[200, 204, 404])
    }
}

/// The refresh request.
///
/// Every wish is repeated, since a refresh gives the default for what it does not name (the reference token for one).
/// `refreshable` is not sent: the company guide and the vendor's page both show a refresh without it that answers with the next
/// refresh token, and JFrog's own Vault plug-in leaves it out too. (jfrog-client-go sends `refreshable=true`.)
fn request(spec: &JfrogAccess, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let refresh_token = input.held.refresh_token.as_ref().map(|token| &token.0);
    let form = wishes(Form::refresh(needed(refresh_token, "refresh_token (seed or state Secret)")?)?, wish);
    Ok(post(below(&spec.url, "/access/api/v1/tokens")?, Some(authorization(input)?), Some(form.body())))
}

/// The request for the first pair of a chain: `POST {url}/access/api/v1/tokens` without a grant (JFrog's REST reference, "Create
/// Token"), with a token that the seed holds, such as an identity token, or with user name and password.
fn creation(spec: &JfrogAccess, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    const NEEDED: &str = "access_token, or username and password (seed Secret)";
    let login = input.login;
    let authorization = match present(login.subject_token.as_ref()) {
        Some(token) => bearer(token, "access_token")?,
        None => basic(needed(login.username.as_ref(), NEEDED)?, needed(login.password.as_ref(), NEEDED)?)?,
    };
    let form = wishes(Form::empty(), wish).wish("refreshable", Some("true"));
    Ok(post(below(&spec.url, "/access/api/v1/tokens")?, Some(authorization), Some(form.body())))
}

/// What is asked for beside the grant.
fn wishes(form: Form, wish: &RequestSpec) -> Form {
    // 0 would ask for a token that never expires; the CRD refuses it, and here it is as if nothing was wished.
    let seconds = wish.lifetime.map(|lifetime| lifetime.get().as_secs()).filter(|seconds| *seconds > 0);
    form.wish("expires_in", seconds.map(|seconds| seconds.to_string()).as_deref())
        .wish("include_reference_token", wish.include_reference_token.filter(|wished| *wished).map(|_| "true"))
        .wish("scope", wish.scope.as_deref())
        .wish("audience", wish.audience.as_deref())
        .wish("username", wish.username.as_deref())
        .wish("description", wish.description.as_deref())
        .wish("project_key", wish.project_key.as_deref())
}

/// The access token while it lives, or the reference token where there is none (company guide: "can be used in place of").
///
/// Once it has expired: user name and password if both are there (7.63.2, where an administrator allows it), otherwise the
/// expired token, which the server accepts for `token.refresh-expiry` after its end, as JFrog's own clients rely on.
fn authorization(input: &RefreshInput<'_>) -> Result<SecretText, RequestError> {
    let access_token = present(input.held.access_token.as_ref().map(|token| &token.0)).map(|token| (token, "access_token"));
    let reference_token = present(input.held.reference_token.as_ref()).map(|token| (token, "reference_token"));
    let login = present(input.login.username.as_ref()).zip(present(input.login.password.as_ref()));
    let expired = input.held.expiration_time.is_some_and(|end| end <= input.now);
    match (access_token.or(reference_token), login) {
        (Some(_), Some((username, password))) if expired => basic(username, password),
        (Some((token, name)), _) => bearer(token, name),
        (None, Some((username, password))) => basic(username, password),
        (None, None) => Err(RequestError::Missing("access_token (seed or state Secret)")),
    }
}

fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    let (class, detail) = match reply.status {
        200 | 201 => match token_set(reply, sent, &Members::RFC_6749) {
            Ok(granted) => return Ok(granted),
            Err(detail) => (Class::Unknown, detail),
        },
        400 => (
            Class::Configuration,
            "the request is invalid, or another JFrog instance issued the token: check the URL and the wishes of spec.request",
        ),
        401 => (
            Class::Configuration,
            "the access token or the login is not accepted: past its expiry, username and password in the seed can take its place",
        ),
        403 => (Class::Configuration, "forbidden: user, scope or lifetime is more than the token may ask for"),
        // The answer to a refresh token that was spent or never existed (jfrog-cli issue 2490).
        404 if error_codes(reply).iter().any(|code| code == "NOT_FOUND") => {
            (Class::ChainOver, "NOT_FOUND: no token belongs to this refresh token; it was used before, revoked or cleaned up")
        }
        status => spending_refusal(status),
    };
    Err(error(reply, sent, class, detail))
}

/// `DELETE {url}/access/api/v1/tokens/{token_id}`; without an id that fits a path, the token that the request itself bears (`me`).
/// The refresh token goes with its token (JFrog's REST reference, "Revoke Token by ID").
fn revocation(spec: &JfrogAccess, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let held = input.held;
    let (id, authorization) = if let Some(id) = held.token_id.as_deref().filter(|id| is_path_part(id)) {
        (id, authorization(input)?)
    } else {
        let token = held.access_token.as_ref().map(|token| &token.0).or(held.reference_token.as_ref());
        ("me", bearer(needed(token, "access_token (state Secret)")?, "access_token")?)
    };
    Ok(delete(below(&spec.url, &format!("/access/api/v1/tokens/{id}"))?, authorization))
}

/// `DELETE {url}/access/api/v1/tokens/{token_id}` for a token that was replaced, as long as it tells its own id (`jti`) and the id is not
/// that of the token that is held. Its refresh token, which goes with it, was spent by the refresh.
fn retirement(
    spec: &JfrogAccess,
    access_token: &AccessToken,
    input: &RefreshInput<'_>,
) -> Option<Result<TokenRequest, RequestError>> {
    let id = jwt_claims(access_token)?.token_id.filter(|id| is_path_part(id))?;
    let claimed = input.held.access_token.as_ref().and_then(jwt_claims).and_then(|claims| claims.token_id);
    if input.held.token_id.as_ref() == Some(&id) || claimed.as_ref() == Some(&id) {
        return None;
    }
    let url = below(&spec.url, &format!("/access/api/v1/tokens/{id}"));
    Some(url.and_then(|url| Ok(delete(url, authorization(input)?))))
}

/// Whether an id can stand in a path as it is.
fn is_path_part(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
