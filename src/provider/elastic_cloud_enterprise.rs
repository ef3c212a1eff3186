//! Elastic Cloud Enterprise: `POST {url}/api/v1/users/auth/_refresh`; it must not be told apart by free text.
//!
//! The bearer token authenticates its own replacement and nothing is spent, so every refusal but the end of the session may be
//! asked for again (vendor's API page "Refresh authentication token").

use chrono::{DateTime, Utc};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::reply::{Members, answered, error, error_codes, has_object, revoked, token_set, verified};
use super::request::{ask, bearer, below, needed, post};
use super::{
    Beside, Body, Class, Reached, RefreshInput, Reply, RequestError, Semantics, Sketch, TokenApi, TokenError, TokenRequest, Wish,
};
use crate::api::{Proxy, RequestSpec, Timeouts, Tls, object_rule, value_rule};
use crate::token::{SecretText, TokenSet};

/// Elastic Cloud Enterprise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::proxy_reads_nothing(&["url"]))]
pub struct ElasticCloudEnterprise {
    /// Base URL of the installation, such as `https://ece.example.com:12443`.
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

impl ElasticCloudEnterprise {
    /// What a manifest begins with.
    pub const SKETCH: Sketch = Sketch {
        name: "elasticCloudEnterprise",
        title: "Elastic Cloud Enterprise",
        provider: "{url: '{url}'}",
        url: "https://ece.example.com:12443",
        seed: "access_token",
        request: None,
    };
}

impl TokenApi for ElasticCloudEnterprise {
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
        matches!(wish, Wish::FirstTokens | Wish::Trial)
    }

    fn beside(&self) -> Beside<'_> {
        Beside::Nothing
    }

    fn semantics(&self) -> Semantics {
        Semantics::RenewsItself
    }

    fn creation(&self, _wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        login(self, input)
    }

    fn request(&self, _wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        let token = needed(input.held.access_token.as_ref().map(|token| &token.0), "access_token (seed or state Secret)")?;
        Ok(post(below(&self.url, "/api/v1/users/auth/_refresh")?, Some(bearer(token, "access_token")?), None))
    }

    fn read(&self, _wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        read(reply, sent)
    }

    /// `GET {url}/api/v1/users/auth`: what the API knows about the session (API description of cloud-sdk-go).
    fn verification(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        let token = &input.held.access_token.as_ref()?.0;
        Some(below(&self.url, "/api/v1/users/auth").and_then(|url| Ok(ask(url, bearer(token, "access_token")?))))
    }

    fn read_verification(&self, reply: &Reply) -> Result<(), TokenError> {
        match refusal(reply.status, reply) {
            (Class::Configuration, detail) if reply.status == 401 => Err(answered(reply, Class::Unknown, detail)),
            _ => verified(reply),
        }
    }

    fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        Some(revocation(self, input))
    }

    /// 200; or what says that the session has ended before.
    fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        match refusal(reply.status, reply) {
            (Class::ChainOver, _) => Ok(()),
            _ => revoked(reply, sent, &[200]),
        }
    }
}

/// `TokenResponse` of the vendor page; there is no refresh token and no relative expiry.
const MEMBERS: Members = Members { access_token: "token", refresh_token: None, expiration_time: Some("session_expiration_time") };

/// The request that begins a session: `POST {url}/api/v1/users/auth/_login` with user name and password (vendor's API page "Login to
/// ECE").
fn login(spec: &ElasticCloudEnterprise, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let username = needed(input.login.username.as_ref(), "username (seed Secret)")?;
    let password = needed(input.login.password.as_ref(), "password (seed Secret)")?;
    let content = serde_json::json!({ "username": username.reveal(), "password": password.reveal() });
    let body = Body { content_type: "application/json", content: SecretText::new(content.to_string()) };
    Ok(post(below(&spec.url, "/api/v1/users/auth/_login")?, None, Some(body)))
}

fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
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
fn revocation(spec: &ElasticCloudEnterprise, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let token = needed(input.held.access_token.as_ref().map(|token| &token.0), "access_token (state Secret)")?;
    Ok(post(below(&spec.url, "/api/v1/users/auth/_logout")?, Some(bearer(token, "access_token")?), None))
}
