//! JFrog Distribution: `POST {url}/distribution/api/v1/security/token`; it must never ask for a lasting token.
//!
//! Source: the vendor's "Refresh a Token" page (jfrog.com/help/r/jfrog-rest-apis/refresh-a-token). The page documents no
//! refusal at all, so what is known of JFrog Access, the same vendor's service, is used for refusals.

use chrono::{DateTime, Utc};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::reply::{Members, error, error_codes, revoked, spending_refusal, token_set};
use super::request::{Form, basic, below, needed, post};
use super::{
    Beside, Class, Reached, RefreshInput, Reply, RequestError, Semantics, Sketch, TokenApi, TokenError, TokenRequest, Wish,
};
use crate::api::{Proxy, RequestSpec, Timeouts, Tls, object_rule, value_rule};
use crate::token::TokenSet;

/// JFrog Distribution.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::proxy_reads_nothing(&["url"]))]
pub struct JfrogDistribution {
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

impl JfrogDistribution {
    /// What a manifest begins with.
    pub const SKETCH: Sketch = Sketch {
        name: "jfrogDistribution",
        title: "JFrog Distribution",
        provider: "{url: '{url}'}",
        url: "https://art.example.com",
        seed: "access_token, refresh_token, username, password",
        request: Some("{lifetime: 1h}        # required: without it the API gives tokens that never expire"),
    };
}

impl TokenApi for JfrogDistribution {
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
        wish == Wish::Lifetime
    }

    fn needs_lifetime(&self) -> bool {
        true
    }

    fn beside(&self) -> Beside<'_> {
        Beside::Password
    }

    fn semantics(&self) -> Semantics {
        Semantics::SingleUse
    }

    fn keeps_omitted_refresh_token(&self) -> bool {
        false
    }

    fn request(&self, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        request(self, wish, input)
    }

    fn read(&self, _wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        read(reply, sent)
    }

    fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        Some(revocation(self, input))
    }

    /// 200: revoked; 404: no such token (JFrog's REST reference).
    fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        revoked(reply, sent, &[200, 204, 404])
    }
}

/// The refresh request: both tokens, and always a lifetime, because the API's default is a token that never expires.
fn request(spec: &JfrogDistribution, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let refresh_token = input.held.refresh_token.as_ref().map(|token| &token.0);
    let access_token = input.held.access_token.as_ref().map(|token| &token.0);
    let seconds = wish.lifetime.map(|lifetime| lifetime.get().as_secs()).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or(RequestError::Missing("request.lifetime (spec)"))?.to_string();
    let form = Form::refresh(needed(refresh_token, "refresh_token (seed or state Secret)")?)?
        .secret("access_token", needed(access_token, "access_token (seed or state Secret)")?)?
        .wish("expires_in", Some(&seconds))
        .wish("refreshable", Some("true"));
    let username = needed(input.login.username.as_ref(), "username (seed Secret)")?;
    let password = needed(input.login.password.as_ref(), "password (seed Secret)")?;
    let url = below(&spec.url, "/distribution/api/v1/security/token")?;
    Ok(post(url, Some(basic(username, password)?), Some(form.body())))
}

fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    let (class, detail) = match reply.status {
        200 | 201 => match token_set(reply, sent, &Members::RFC_6749) {
            Ok(granted) => return Ok(granted),
            Err(detail) => (Class::Unknown, detail),
        },
        400 => (Class::Configuration, "the request is invalid, or another JFrog instance issued the tokens"),
        401 => (Class::Configuration, "the user name or the password of the seed is not accepted"),
        403 => (Class::Configuration, "forbidden: only an administrator may refresh another user's token"),
        // Undocumented here; JFrog Access answers so to a refresh token that was spent or never existed.
        404 if error_codes(reply).iter().any(|code| code == "NOT_FOUND") => {
            (Class::ChainOver, "NOT_FOUND: no token belongs to this refresh token; it was used before, revoked or cleaned up")
        }
        status => spending_refusal(status),
    };
    Err(error(reply, sent, class, detail))
}

/// `POST {url}/distribution/api/v1/security/token/revoke` with exactly one of `token_id` and `token`, by an administrator
/// (JFrog's REST reference, "Revoke Token").
fn revocation(spec: &JfrogDistribution, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let form = if let Some(id) = input.held.token_id.as_deref() {
        Form::empty().wish("token_id", Some(id))
    } else {
        let token = input.held.access_token.as_ref().map(|token| &token.0);
        Form::empty().secret("token", needed(token, "access_token (state Secret)")?)?
    };
    let username = needed(input.login.username.as_ref(), "username (seed Secret)")?;
    let password = needed(input.login.password.as_ref(), "password (seed Secret)")?;
    let url = below(&spec.url, "/distribution/api/v1/security/token/revoke")?;
    Ok(post(url, Some(basic(username, password)?), Some(form.body())))
}
