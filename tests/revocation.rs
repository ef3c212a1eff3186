//! Revocation as values: what each token API is sent, and what its answers prove.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use refreshable_token_operator::api::{ProviderSpec, RequestSpec};
use refreshable_token_operator::provider::{
    Class, Method, Provider, RawBody, RefreshInput, Reply, RequestError, StepResults, TokenRequest,
};
use refreshable_token_operator::token::{AccessToken, HeldTokens, Login, RefreshToken, SecretText};
use serde_json::json;

const APIS: [&str; 4] = ["jfrogAccess", "jfrogDistribution", "elasticCloudEnterprise", "oauth2"];

fn provider(api: &str) -> Provider {
    let spec = match api {
        "oauth2" => json!({"tokenURL": "https://a.example.com/token", "revocationURL": "https://a.example.com/revoke?t=1"}),
        _ => json!({"url": "https://a.example.com/base/"}),
    };
    let spec: ProviderSpec = serde_json::from_value(json!({ api: spec })).unwrap();
    Provider::new(spec, RequestSpec::default())
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn held() -> HeldTokens {
    HeldTokens {
        access_token: Some(AccessToken::new("AT-1")),
        refresh_token: Some(RefreshToken::new("RT+1")),
        token_id: Some("0b5e-1f".to_owned()),
        ..HeldTokens::default()
    }
}

fn login() -> Login {
    let secret = |text: &str| Some(SecretText::new(text));
    let (client_id, client_secret) = (secret("app"), secret("cs"));
    Login { username: secret("ci"), password: secret("pw"), client_id, client_secret, ..Login::default() }
}

fn revocation(api: &str, held: &HeldTokens, login: &Login) -> Option<Result<TokenRequest, RequestError>> {
    provider(api).revocation(&RefreshInput { held, login, now: now(), attempt: "", results: &StepResults::default() })
}

/// Method, URL, Authorization and body.
fn told(request: &TokenRequest) -> (Method, &str, Option<&str>, Option<&str>) {
    let authorization = request.headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| value.reveal());
    (request.method, &request.url, authorization, request.body.as_ref().map(|body| body.content.reveal()))
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[test]
fn each_api_is_sent_what_its_page_says() {
    let (ci, app) = (basic("ci:pw"), basic("app:cs"));
    let rows = [
        ("jfrogAccess", (Method::Delete, "https://a.example.com/base/access/api/v1/tokens/0b5e-1f", Some("Bearer AT-1"), None)),
        (
            "jfrogDistribution",
            (
                Method::Post,
                "https://a.example.com/base/distribution/api/v1/security/token/revoke",
                Some(ci.as_str()),
                Some("token_id=0b5e-1f"),
            ),
        ),
        (
            "elasticCloudEnterprise",
            (Method::Post, "https://a.example.com/base/api/v1/users/auth/_logout", Some("Bearer AT-1"), None),
        ),
        (
            "oauth2",
            (
                Method::Post,
                "https://a.example.com/revoke?t=1",
                Some(app.as_str()),
                Some("token=RT%2B1&token_type_hint=refresh_token"),
            ),
        ),
    ];
    for (api, wanted) in rows {
        let request = revocation(api, &held(), &login()).unwrap().unwrap();
        assert_eq!(told(&request), wanted);
    }
}

#[test]
fn what_is_missing_is_made_up_for_where_it_can_be() {
    let nameless = HeldTokens { token_id: None, ..held() };
    let access = revocation("jfrogAccess", &nameless, &Login::default()).unwrap().unwrap();
    assert_eq!(told(&access).1, "https://a.example.com/base/access/api/v1/tokens/me");
    let distribution = revocation("jfrogDistribution", &nameless, &login()).unwrap().unwrap();
    assert_eq!(told(&distribution).3, Some("token=AT-1"));
    let oauth2 = revocation("oauth2", &HeldTokens { refresh_token: None, ..held() }, &login()).unwrap().unwrap();
    assert_eq!(told(&oauth2).3, Some("token=AT-1&token_type_hint=access_token"));
    // Past its end the access token revokes nothing any more: the login does.
    let expired = HeldTokens { expiration_time: Some(now()), ..held() };
    let access = revocation("jfrogAccess", &expired, &login()).unwrap().unwrap();
    assert_eq!(told(&access).2, Some(basic("ci:pw").as_str()));

    let missing = revocation("jfrogDistribution", &held(), &Login::default()).unwrap();
    assert_eq!(missing, Err(RequestError::Missing("username (seed Secret)")));
    let missing = revocation("oauth2", &held(), &Login::default()).unwrap();
    assert!(matches!(missing, Err(RequestError::Missing(_))));
    for api in APIS {
        assert_eq!(revocation(api, &HeldTokens::default(), &login()), None, "{api}: nothing is held");
    }
    let spec = serde_json::from_value(json!({"oauth2": {"tokenURL": "https://a.example.com/token"}})).unwrap();
    let input = RefreshInput { held: &held(), login: &login(), now: now(), attempt: "", results: &StepResults::default() };
    assert_eq!(Provider::new(spec, RequestSpec::default()).revocation(&input), None, "nobody said where");
}

/// The id comes from the token API, which is not trusted with the path.
#[test]
fn a_token_id_cannot_change_the_path() {
    for id in ["../../api/system", "a/b", "..", "", "a?b", "a#b", "%2e%2e", "a b", "é"] {
        let odd = HeldTokens { token_id: Some(id.to_owned()), ..held() };
        let request = revocation("jfrogAccess", &odd, &login()).unwrap().unwrap();
        assert_eq!(told(&request).1, "https://a.example.com/base/access/api/v1/tokens/me", "{id}");
    }
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: vec![("retry-after".to_owned(), "7".to_owned())], body: RawBody(body.as_bytes().to_vec()) }
}

/// What an answer proves; none: the tokens are revoked.
fn class(api: &str, status: u16, body: &str) -> Option<Class> {
    provider(api).read_revocation(&reply(status, body), now()).err().map(|error| error.class)
}

#[test]
fn answers_prove_what_the_pages_say() {
    let done = [
        ("jfrogAccess", [200, 204, 404].as_slice()),
        ("jfrogDistribution", &[200, 204, 404]),
        ("elasticCloudEnterprise", &[200]),
        ("oauth2", &[200, 204]),
    ];
    for (api, statuses) in done {
        for status in 100..600 {
            let expected = match status {
                status if statuses.contains(&status) => None,
                401 if api == "elasticCloudEnterprise" => None,
                429 => Some(Class::Throttled),
                408 | 500..=599 => Some(Class::Transient),
                _ => Some(Class::Configuration),
            };
            assert_eq!(class(api, status, ""), expected, "{api} {status}");
        }
    }
    assert_eq!(class("elasticCloudEnterprise", 401, "<html>"), Some(Class::Configuration), "a proxy wrote that");
    let busy = provider("oauth2").read_revocation(&reply(503, ""), now()).unwrap_err();
    assert_eq!(busy.retry_after, Some(std::time::Duration::from_secs(7)));
}

proptest! {
    #[test]
    fn no_answer_panics_or_is_repeated(api in prop::sample::select(APIS.to_vec()), status in 100_u16..700, canary in "[A-Za-z0-9]{24}") {
        let body = format!(r#"{{"error": "{canary}", "errors": [{{"code": "{canary}"}}]}}"#);
        if let Err(error) = provider(api).read_revocation(&reply(status, &body), now()) {
            let told = format!("{error} {error:?}");
            prop_assert!(!told.contains(&canary));
        }
    }
}
