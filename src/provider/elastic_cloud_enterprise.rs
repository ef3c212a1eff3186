//! Elastic Cloud Enterprise: `POST {url}/api/v1/users/auth/_refresh`; it must not be told apart by free text.
//!
//! The bearer token authenticates its own replacement and nothing is spent, so every refusal but the end of the session may be
//! asked for again (vendor's API page "Refresh authentication token").

use chrono::{DateTime, Utc};

use super::reply::{Members, error, error_codes, has_object, revoked, token_set};
use super::request::{bearer, below, needed, post};
use super::{Body, Class, RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::api::ElasticCloudEnterprise;
use crate::token::{SecretText, TokenSet};

/// `TokenResponse` of the vendor page; there is no refresh token and no relative expiry.
const MEMBERS: Members = Members { access_token: "token", refresh_token: None, expiration_time: Some("session_expiration_time") };

pub(super) fn request(spec: &ElasticCloudEnterprise, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let token = needed(input.held.access_token.as_ref().map(|token| &token.0), "access_token (seed or state Secret)")?;
    Ok(post(below(&spec.url, "/api/v1/users/auth/_refresh")?, Some(bearer(token, "access_token")?), None))
}

/// The request that begins a session: `POST {url}/api/v1/users/auth/_login` with user name and password (vendor's API page "Login to
/// ECE").
pub(super) fn login(spec: &ElasticCloudEnterprise, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let username = needed(input.login.username.as_ref(), "username (seed Secret)")?;
    let password = needed(input.login.password.as_ref(), "password (seed Secret)")?;
    let content = serde_json::json!({ "username": username.reveal(), "password": password.reveal() });
    let body = Body { content_type: "application/json", content: SecretText::new(content.to_string()) };
    Ok(post(below(&spec.url, "/api/v1/users/auth/_login")?, None, Some(body)))
}

pub(super) fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    let (class, detail) = match reply.status {
        200 | 201 => match token_set(reply, sent, &MEMBERS) {
            Ok(granted) => return Ok(granted),
            Err(detail) => (Class::Unknown, detail),
        },
        status => refusal(status, reply),
    };
    Err(error(reply, sent, class, detail))
}

fn refusal(status: u16, reply: &Reply) -> (Class, &'static str) {
    let codes = error_codes(reply);
    let has = |code: &str| codes.iter().any(|found| found == code);
    match status {
        // A 401 in another format than JSON was written by something in front of the API and says nothing about the session.
        401 if codes.is_empty() && !reply.body.0.is_empty() && !has_object(reply) => {
            (Class::Configuration, "a server in front of Elastic Cloud Enterprise asks for credentials of its own")
        }
        401 if has("root.unauthorized") => (Class::ChainOver, "root.unauthorized: the token is invalid or its session has ended"),
        401 => (Class::ChainOver, "unauthorized: the token is invalid or its session has ended"),
        429 => (Class::Throttled, "the API asks for fewer requests"),
        // Older versions ask for a second login this way (cloud-sdk-go).
        449 => (Class::Configuration, "the token needs elevated permissions: log in again as an administrator"),
        501 if has("authc.no_authentication_cluster") => (
            Class::Configuration,
            "authc.no_authentication_cluster: an administrator has to configure the authentication cluster",
        ),
        501 => (Class::Configuration, "the API does not offer this request: an administrator has to configure authentication"),
        502 if has("authc.authentication_cluster_error") => {
            (Class::Transient, "authc.authentication_cluster_error: the authentication cluster could not answer")
        }
        408 | 500..=599 => (Class::Transient, "the API or a server in front of it could not answer"),
        300..=399 => (Class::Configuration, "the API redirects, and redirects are not followed: the URL is not the API's"),
        404 | 405 | 415 => (Class::Configuration, "there is no Elastic Cloud Enterprise API at this URL"),
        400..=499 => (Class::Configuration, "the API refuses the request"),
        _ => (Class::Unknown, "the answer is none that the API is documented to give"),
    }
}

/// `POST {url}/api/v1/users/auth/_logout`: destroys the session that the token belongs to (API description of cloud-sdk-go).
pub(super) fn revocation(spec: &ElasticCloudEnterprise, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let token = needed(input.held.access_token.as_ref().map(|token| &token.0), "access_token (state Secret)")?;
    Ok(post(below(&spec.url, "/api/v1/users/auth/_logout")?, Some(bearer(token, "access_token")?), None))
}

/// 200; or what says that the session has ended before.
pub(super) fn read_revocation(reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
    match refusal(reply.status, reply) {
        (Class::ChainOver, _) => Ok(()),
        _ => revoked(reply, sent, &[200]),
    }
}
