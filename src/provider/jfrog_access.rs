//! JFrog Access: `POST {url}/access/api/v1/tokens` with the refresh token grant; it must never ask for a lasting token.
//!
//! Sources: the vendor's "Refresh Token" page (jfrog.com/help/r/jfrog-rest-apis/refresh-token), the published company guide
//! "Refresh JFrog Token", and the code of JFrog's own clients.

use chrono::{DateTime, Utc};

use super::reply::{Members, error, error_codes, revoked, spending_refusal, token_set};
use super::request::{Form, basic, bearer, below, delete, needed, post, present};
use super::{Class, RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::api::{JfrogAccess, RequestSpec};
use crate::token::{SecretText, TokenSet};

/// The refresh request.
///
/// Every wish is repeated, since a refresh gives the default for what it does not name (the reference token for one).
/// `refreshable` is not sent: the company guide and the vendor's page both show a refresh without it that answers with the next
/// refresh token, and JFrog's own Vault plug-in leaves it out too. (jfrog-client-go sends `refreshable=true`.)
pub(super) fn request(spec: &JfrogAccess, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let refresh_token = input.held.refresh_token.as_ref().map(|token| &token.0);
    let form = wishes(Form::refresh(needed(refresh_token, "refresh_token (seed or state Secret)")?)?, wish);
    Ok(post(below(&spec.url, "/access/api/v1/tokens")?, Some(authorization(input)?), Some(form.body())))
}

/// The request for the first pair of a chain: `POST {url}/access/api/v1/tokens` without a grant (JFrog's REST reference, "Create
/// Token"), with a token that the seed holds, such as an identity token, or with user name and password.
pub(super) fn creation(spec: &JfrogAccess, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
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

pub(super) fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
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
pub(super) fn revocation(spec: &JfrogAccess, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let plain = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let held = input.held;
    let (id, authorization) = if let Some(id) = held.token_id.as_deref().filter(plain) {
        (id, authorization(input)?)
    } else {
        let token = held.access_token.as_ref().map(|token| &token.0).or(held.reference_token.as_ref());
        ("me", bearer(needed(token, "access_token (state Secret)")?, "access_token")?)
    };
    Ok(delete(below(&spec.url, &format!("/access/api/v1/tokens/{id}"))?, authorization))
}

/// 200: revoked; 204: it was already; 404: no such token is left (JFrog's REST reference).
pub(super) fn read_revocation(reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
    revoked(reply, sent, &[200, 204, 404])
}
