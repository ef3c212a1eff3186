//! OAuth 2.0 beyond one strict server: presets, clients that sign, tokens that are obtained anew, chains that a grant begins.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

#[path = "../support/oidc.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the server")]
mod oidc_server;

mod anew;
mod begun;
mod introspection;
mod keys;
mod presets;
mod real;
mod simulated;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::{ProviderSpec, RequestSpec};
use refreshable_token_operator::operator::endpoint::{EndpointPolicy, Reach};
use refreshable_token_operator::operator::transport::{Connection, TlsMaterial, Transport};
use refreshable_token_operator::provider::{Delivery, Provider, RawBody, RefreshInput, Reply, StepResults, TokenRequest};
use refreshable_token_operator::token::{HeldTokens, Login, RefreshToken, SecretText, SigningKey};
use serde_json::{Value, json};

/// RFC 7515 appendices A.2 and A.3: keys that everybody knows.
const RSA: &[u8] = include_bytes!("keys/rfc7515-a2.pkcs8.pem");
const EC: &[u8] = include_bytes!("keys/rfc7515-a3.pkcs8.pem");

/// A provider of OAuth 2.0 with these lines beside its token URL.
fn provider(more: Value) -> Provider {
    wishing(more, RequestSpec::default())
}

fn wishing(mut oauth2: Value, wish: RequestSpec) -> Provider {
    let spec = oauth2.as_object_mut().unwrap();
    spec.entry("tokenURL").or_insert_with(|| json!("https://idp.example.com/token"));
    let spec: ProviderSpec = serde_json::from_value(json!({ "oauth2": oauth2 })).unwrap();
    Provider::new(spec, wish)
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

#[expect(clippy::unnecessary_wraps, reason = "what a login holds is optional")]
fn secret(text: &str) -> Option<SecretText> {
    Some(SecretText::new(text))
}

fn held(refresh_token: &str) -> HeldTokens {
    HeldTokens { refresh_token: Some(RefreshToken::new(refresh_token)), ..HeldTokens::default() }
}

/// A client with a key.
fn signer(id: &str, pem: &[u8], key_id: Option<&str>) -> Login {
    let client_key = Some(SigningKey::parse(pem).unwrap());
    Login { client_id: secret(id), client_key, client_key_id: key_id.and_then(secret), ..Login::default() }
}

fn ask(provider: &Provider, held: &HeldTokens, login: &Login, attempt: &str) -> TokenRequest {
    provider.request(&RefreshInput { held, login, now: now(), attempt, results: &StepResults::default() }).unwrap()
}

/// The values of a form under a name.
fn fields(request: &TokenRequest) -> Vec<(String, String)> {
    let body = request.body.as_ref().unwrap().content.reveal();
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn field(request: &TokenRequest, name: &str) -> Option<String> {
    fields(request).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: Vec::new(), body: RawBody(body.as_bytes().to_vec()) }
}

/// Sends a request to a server on this machine, as the operator does.
async fn send(request: &TokenRequest) -> Reply {
    let rules = "rules: [{hosts: [\"127.0.0.1\"], addresses: [127.0.0.0/8], schemes: [http]}]";
    let connection = Connection {
        reach: Reach::Namespace,
        tls: TlsMaterial::default(),
        proxy: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(20),
    };
    match Transport::new(&EndpointPolicy::from_yaml(rules).unwrap()).send(request, &connection).await {
        Delivery::Answered(reply) => reply,
        other => panic!("no answer: {other:?}"),
    }
}
