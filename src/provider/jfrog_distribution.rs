//! JFrog Distribution: `POST {url}/distribution/api/v1/security/token`; it must never ask for a lasting token.
//!
//! Source: the vendor's "Refresh a Token" page (jfrog.com/help/r/jfrog-rest-apis/refresh-a-token). The page documents no
//! refusal at all, so what is known of JFrog Access, the same vendor's service, is used for refusals.

use chrono::{DateTime, Utc};

use super::reply::{Members, error, error_codes, revoked, spending_refusal, token_set};
use super::request::{Form, basic, below, needed, post};
use super::{Class, RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::api::{JfrogDistribution, RequestSpec};
use crate::token::TokenSet;

/// The refresh request: both tokens, and always a lifetime, because the API's default is a token that never expires.
pub(super) fn request(
    spec: &JfrogDistribution,
    wish: &RequestSpec,
    input: &RefreshInput<'_>,
) -> Result<TokenRequest, RequestError> {
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

pub(super) fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
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
pub(super) fn revocation(spec: &JfrogDistribution, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
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

/// 200: revoked; 404: no such token (JFrog's REST reference).
pub(super) fn read_revocation(reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
    revoked(reply, sent, &[200, 204, 404])
}
