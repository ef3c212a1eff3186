//! Requests beside that of a refresh: steps before it, the question after a lost answer, the verification of what it brought, and
//! the revocation of what it replaced.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

use proptest::prelude::*;
use refreshable_token_operator::api::{ProviderSpec, RequestSpec};
use refreshable_token_operator::provider::{
    Class, Method, Probed, Provider, RefreshInput, Reply, RequestError, Semantics, StepResults, TokenError, TokenRequest,
};
use refreshable_token_operator::token::{AccessToken, HeldTokens, Login, RefreshToken, SecretText};
use serde_json::{Value, json};

use super::http::{declared, example, headers};
use super::{Api, at, held, jwt, reply, sent};

fn provider(change: &Value) -> Provider {
    named(&json!({"http": declared(change)}))
}

fn named(spec: &Value) -> Provider {
    let spec: ProviderSpec = serde_json::from_value(spec.clone()).unwrap();
    Provider::new(spec, RequestSpec::default())
}

fn login(keys: &[(&str, &str)]) -> Login {
    let named = keys.iter().map(|(key, value)| ((*key).to_owned(), SecretText::new(*value))).collect();
    Login { named, ..super::login() }
}

fn input<'a>(held: &'a HeldTokens, login: &'a Login, results: &'a StepResults) -> RefreshInput<'a> {
    RefreshInput { held, login, now: sent(), attempt: "attempt-1", results }
}

fn form(request: &TokenRequest) -> Vec<(String, String)> {
    let body = request.body.as_ref().unwrap();
    assert_eq!(body.content_type, "application/x-www-form-urlencoded");
    url::form_urlencoded::parse(body.content.reveal().as_bytes()).into_owned().collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a refused answer proves.
fn class<T: std::fmt::Debug>(read: Result<T, TokenError>) -> Class {
    read.unwrap_err().class
}

// ---------------------------------------------------------------- steps

/// Azure/acr, docs/AAD-OAuth.md: the requests, the answers, and the refusal of a request without credentials; Entra's answer as in
/// Microsoft, "OAuth 2.0 client credentials flow".
#[test]
fn azure_container_registry_as_documented() {
    let object = example(include_str!("../../examples/manifests/azure-container-registry.yaml"));
    let acr = Provider::new(object.spec.provider.unwrap(), RequestSpec::default());
    assert_eq!((acr.semantics(), acr.steps()), (Semantics::Reissue, 2));
    let (held, login) = (HeldTokens::default(), login(&[("client_id", "app"), ("client_secret", "s+e c")]));
    let mut results = StepResults::default();

    let first = acr.step(0, &input(&held, &login, &results)).unwrap();
    let entra = "https://login.microsoftonline.com/409520d4-8100-4d1d-ad47-72432ddcc120/oauth2/v2.0/token";
    assert_eq!((first.method, first.url.as_str()), (Method::Post, entra));
    let scope = ("scope", "https://management.azure.com/.default");
    let sends = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "s+e c"), scope];
    assert_eq!(form(&first), pairs(&sends));
    let answer = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "eyJ0eXAi.H-g+/="});
    acr.read_step(0, &reply(200, answer.to_string()), &mut results).unwrap();

    let second = acr.step(1, &input(&held, &login, &results)).unwrap();
    assert_eq!(second.url, "https://contosoregistry.azurecr.io/oauth2/exchange");
    let tenant = ("tenant", "409520d4-8100-4d1d-ad47-72432ddcc120");
    let service = ("service", "contosoregistry.azurecr.io");
    assert_eq!(form(&second), pairs(&[("grant_type", "access_token"), service, tenant, ("access_token", "eyJ0eXAi.H-g+/=")]));
    acr.read_step(1, &reply(200, r#"{"refresh_token":"eyJ...L7a"}"#), &mut results).unwrap();

    let last = acr.request(&input(&held, &login, &results)).unwrap();
    assert_eq!(last.url, "https://contosoregistry.azurecr.io/oauth2/token");
    let scope = ("scope", "repository:build/app:pull");
    assert_eq!(form(&last), pairs(&[("grant_type", "refresh_token"), service, scope, ("refresh_token", "eyJ...L7a")]));
    let now = sent().timestamp();
    let token =
        jwt(&json!({"jti": "ec425c1e", "sub": "app", "nbf": now, "iat": now, "exp": now + 4500, "grant_type": "access_token"}));
    let set = acr.read(&reply(200, json!({ "access_token": token }).to_string()), sent()).unwrap();
    assert_eq!((set.access_token, set.refresh_token, set.expiration_time), (Some(AccessToken::new(token)), None, at(4500)));

    // Nothing is spent by any of them, whatever happens.
    let unauthorized = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}"#;
    for (status, body, expected) in [
        (401, unauthorized, Class::Configuration),
        (400, r#"{"error":"invalid_request"}"#, Class::Configuration),
        (429, "", Class::Throttled),
        (503, "<html>", Class::Transient),
        (200, "<html>", Class::Transient),
        (200, "{}", Class::Configuration),
    ] {
        for index in [0, 1] {
            assert_eq!(
                class(acr.read_step(index, &reply(status, body), &mut results.clone())),
                expected,
                "{index}: {status} {body}"
            );
        }
    }
}

const TWO: &str = r#"{"semantics": {"rotation": "Reusable"}, "reply": {"errors": [
    {"status": 400, "pointer": "/error", "equals": "gone", "class": "ChainOver"},
    {"status": 409, "class": "Unknown"}, {"status": 200, "pointer": "/error", "equals": "busy", "class": "Throttled"}]},
    "request": {"auth": {"bearer": null, "header": {"name": "Authorization", "prefix": "Bearer", "fromResult": "b"}},
        "headers": [{"name": "X-A", "fromResult": "a"}]},
    "steps": [
        {"request": {"url": "https://one.example.com/x", "auth": {"bearer": "RefreshToken"}},
            "success": {"statuses": [200, 202], "require": [{"pointer": "/ok", "equals": "true"}]},
            "results": [{"name": "a", "pointer": "/a/0"}, {"name": "id", "pointer": "/id"}]},
        {"request": {"method": "GET", "url": "https://two.example.com/y", "headers": [{"name": "X-Id", "fromResult": "id"}]},
            "results": [{"name": "b", "pointer": "/b"}]}]}"#;

fn two() -> Provider {
    provider(&serde_json::from_str(TWO).unwrap())
}

#[test]
fn results_reach_the_requests_after_them_and_no_others() {
    let (two, held, login) = (two(), held(), Login::default());
    let mut results = StepResults::default();
    assert_eq!(two.steps(), 2);
    let first = two.step(0, &input(&held, &login, &results)).unwrap();
    assert_eq!(headers(&first), [("accept", "application/json"), ("authorization", "Bearer RT+1/=&")]);
    // Before its result is there, a request cannot be built.
    let early = two.step(1, &input(&held, &login, &results));
    assert_eq!(early, Err(RequestError::Declared("a value names a result that no earlier step brings")));
    two.read_step(0, &reply(202, r#"{"ok":true,"a":["A 1"],"id":12345678901}"#), &mut results).unwrap();
    let second = two.step(1, &input(&held, &login, &results)).unwrap();
    assert_eq!((second.method, second.url.as_str()), (Method::Get, "https://two.example.com/y"));
    assert_eq!(headers(&second), [("accept", "application/json"), ("X-Id", "12345678901")]);
    assert!(second.body.is_none());
    two.read_step(1, &reply(200, r#"{"b":"B-1"}"#), &mut results).unwrap();
    let last = two.request(&input(&held, &login, &results)).unwrap();
    assert_eq!(headers(&last), [("accept", "application/json"), ("Authorization", "Bearer B-1"), ("X-A", "A 1")]);
    assert_eq!(results.get("b"), Some(&SecretText::new("B-1")));
    // Neither printed nor there under another name.
    assert!(results.get("c").is_none() && !format!("{results:?} {last:?}").contains("B-1"));
    assert_eq!(two.step(2, &input(&held, &login, &results)), Err(RequestError::Declared("there is no such step")));
}

#[test]
fn a_result_that_its_place_cannot_carry_is_refused_without_its_text() {
    let (two, held, login) = (two(), held(), Login::default());
    for broken in ["a\r\nX: y", "é", &"x".repeat(64 * 1024 + 1)] {
        let mut results = StepResults::default();
        two.read_step(0, &reply(200, json!({"ok": true, "a": ["a"], "id": broken}).to_string()), &mut results).unwrap();
        let refused = two.step(1, &input(&held, &login, &results)).unwrap_err();
        assert_eq!(refused, RequestError::NotSendable("the result of a step"), "{broken:.10}");
    }
}

#[test]
fn a_step_without_its_results_proves_that_nothing_was_spent() {
    let two = two();
    let rows = [
        (200, r#"{"ok":false,"a":["a"],"id":"i"}"#, Class::Configuration),
        (200, r#"{"ok":true,"a":[],"id":"i"}"#, Class::Configuration),
        (200, r#"{"ok":true,"a":[""],"id":"i"}"#, Class::Configuration),
        (200, r#"{"ok":true,"a":[{"t":"a"}],"id":"i"}"#, Class::Configuration),
        (200, r#"{"ok":true,"a":["a"],"id":1.5}"#, Class::Configuration),
        (200, r#"{"ok":true,"a":["a"],"id":true}"#, Class::Configuration),
        (200, r#"{"ok":true,"ok":true,"a":["a"],"id":"i"}"#, Class::Transient),
        (200, "", Class::Transient),
        (200, r#"{"error":"busy"}"#, Class::Throttled),
        // Where nothing is spent, no answer has to be kept, so none is Unknown.
        (201, r#"{"ok":true,"a":["a"],"id":"i"}"#, Class::Transient),
        (400, r#"{"error":"gone"}"#, Class::ChainOver),
        (400, r#"{"error":"else"}"#, Class::Configuration),
        (409, "", Class::Transient),
        (401, "", Class::Configuration),
        (302, "", Class::Configuration),
        (408, "", Class::Transient),
        (429, "", Class::Throttled),
        (500, "", Class::Transient),
    ];
    for (status, body, expected) in rows {
        let mut results = StepResults::default();
        assert_eq!(class(two.read_step(0, &reply(status, body), &mut results)), expected, "{status} {body}");
        assert_eq!(results, StepResults::default(), "{status} {body}");
    }
    let busy = Reply { headers: vec![("retry-after".into(), "7".into())], ..reply(503, "") };
    let pause = two.read_step(0, &busy, &mut StepResults::default()).unwrap_err().retry_after;
    assert_eq!(pause, Some(std::time::Duration::from_secs(7)));
}

#[test]
fn no_chain_is_over_where_each_token_is_obtained_anew() {
    let mut change: Value = serde_json::from_str(TWO).unwrap();
    for (rotation, expected) in [("Reusable", Class::ChainOver), ("Reissue", Class::Configuration)] {
        change["semantics"] = json!({ "rotation": rotation });
        let (provider, gone) = (provider(&change), reply(400, r#"{"error":"gone"}"#));
        assert_eq!(class(provider.read_step(0, &gone, &mut StepResults::default())), expected, "{rotation}");
        assert_eq!(class(provider.read(&gone, sent())), expected, "{rotation}");
    }
}

/// The CRD refuses it; a stored object can be older.
#[test]
fn there_are_no_steps_where_a_token_is_spent() {
    let mut change: Value = serde_json::from_str(TWO).unwrap();
    for rotation in ["Strict", "IdempotencyKey", "Grace"] {
        change["semantics"] = json!({ "rotation": rotation });
        assert_eq!(provider(&change).steps(), 0);
    }
    for api in super::ALL {
        assert_eq!(super::provider(api).steps(), 0);
    }
}

// ---------------------------------------------------------------- the question after a lost answer

#[test]
fn only_what_is_listed_says_something_of_a_refresh_token() {
    let change = json!({"probe": {
        "request": {"method": "GET", "url": "https://api.example.com/me", "auth": {"header": {"name": "X-T", "from": "RefreshToken"}}},
        "unspent": [{"status": 200, "pointer": "/state", "equals": "active"}, {"status": 204}],
        "spent": [{"status": 200, "pointer": "/state", "equals": "used"}, {"status": 404, "pointer": "/code"}, {"status": 200, "pointer": "/both"}]}});
    let (asking, held, login, none) = (provider(&change), held(), Login::default(), StepResults::default());
    let asked = asking.probe(&input(&held, &login, &none)).unwrap().unwrap();
    assert_eq!((asked.method, asked.url.as_str()), (Method::Get, "https://api.example.com/me"));
    assert_eq!(headers(&asked), [("accept", "application/json"), ("X-T", "RT+1/=&")]);
    let rows = [
        (200, r#"{"state":"active"}"#, Probed::Unspent),
        (204, "", Probed::Unspent),
        (200, r#"{"state":"used"}"#, Probed::Spent),
        (404, r#"{"code":7}"#, Probed::Spent),
        // Both at once, or neither.
        (200, r#"{"state":"active","both":1}"#, Probed::Unclear),
        (200, r#"{"state":"other"}"#, Probed::Unclear),
        (200, r#"{"state":"active","state":"used"}"#, Probed::Unclear),
        (200, "<html>", Probed::Unclear),
        (404, "", Probed::Unclear),
        (404, r#"{"code":null}"#, Probed::Unclear),
        (401, r#"{"state":"used"}"#, Probed::Unclear),
        (500, r#"{"state":"used"}"#, Probed::Unclear),
    ];
    for (status, body, expected) in rows {
        assert_eq!(asking.read_probe(&reply(status, body)), expected, "{status} {body}");
    }
    // Nothing to ask, or nobody who is asked.
    let reusable = json!({"semantics": {"rotation": "Reusable"}, "probe": change["probe"]});
    assert!(provider(&reusable).probe(&input(&held, &login, &none)).is_none());
    assert!(provider(&json!({})).probe(&input(&held, &login, &none)).is_none());
    assert_eq!(provider(&json!({})).read_probe(&reply(200, r#"{"active":false}"#)), Probed::Unclear);
    for api in super::ALL {
        assert!(super::provider(api).probe(&input(&held, &super::login(), &none)).is_none());
        assert_eq!(super::provider(api).read_probe(&reply(404, r#"{"errors":[{"code":"NOT_FOUND"}]}"#)), Probed::Unclear);
    }
}

/// The CRD refuses such signs; a stored object can be older.
#[test]
fn a_failure_a_pause_and_a_redirect_say_nothing_of_a_refresh_token() {
    for status in [100, 199, 302, 408, 429, 500, 503, 599] {
        let probe = json!({"request": {"url": "https://api.example.com/me", "auth": {"bearer": "RefreshToken"}},
            "unspent": [{"status": 200}], "spent": [{ "status": status }]});
        assert_eq!(provider(&json!({ "probe": probe })).read_probe(&reply(status, "{}")), Probed::Unclear, "{status}");
    }
}

// ---------------------------------------------------------------- verification

/// JFrog: REST reference, "Get Token by ID"; ECE: API description of cloud-sdk-go, `GET /users/auth`.
#[test]
fn a_new_access_token_is_shown_to_its_api() {
    let (held, none) = (held(), StepResults::default());
    let shown = |api: Api| {
        let request = super::provider(api).verification(&input(&held, &super::login(), &none))?.unwrap();
        assert!(request.method == Method::Get && request.body.is_none());
        assert_eq!(headers(&request), [("accept", "application/json"), ("authorization", "Bearer AT-1")]);
        Some(request.url)
    };
    assert_eq!(shown(Api::Access).as_deref(), Some("https://api.example.com/access/api/v1/tokens/me"));
    assert_eq!(shown(Api::Ece).as_deref(), Some("https://api.example.com/api/v1/users/auth"));
    assert_eq!(shown(Api::Distribution), None);
    assert_eq!(shown(Api::Oauth2), None, "no introspection endpoint is known");
    let nothing = HeldTokens::default();
    for api in super::ALL {
        assert!(super::provider(api).verification(&input(&nothing, &super::login(), &none)).is_none());
    }
    let rows = [
        (200, r#"{"token_id":"a","subject":"jfrt@1/users/ci"}"#, None),
        (204, "", None),
        (401, "", Some(Class::Configuration)),
        (403, r#"{"errors":[{"code":"FORBIDDEN"}]}"#, Some(Class::Configuration)),
        (404, "", Some(Class::Unknown)),
        (400, "", Some(Class::Unknown)),
        (302, "", Some(Class::Unknown)),
        (429, "", Some(Class::Throttled)),
        (500, "", Some(Class::Transient)),
        (408, "", Some(Class::Transient)),
    ];
    for api in [Api::Access, Api::Ece] {
        for (status, body, expected) in rows {
            let read = super::provider(api).read_verification(&reply(status, body));
            assert_eq!(read.err().map(|error| error.class), expected, "{api:?}: {status} {body}");
        }
    }
    // What stands in front of Elastic Cloud Enterprise asks for credentials of its own.
    assert_eq!(class(super::provider(Api::Ece).read_verification(&reply(401, "<html>"))), Class::Unknown);
}

#[test]
fn a_declared_verification_is_read_as_declared() {
    let verify = |success: Value| {
        provider(&json!({"verify": {"success": success,
            "request": {"method": "GET", "url": "https://api.example.com/me", "auth": {"bearer": "AccessToken"}}}}))
    };
    let (held, login, none) = (held(), Login::default(), StepResults::default());
    let asked = verify(Value::Null).verification(&input(&held, &login, &none)).unwrap().unwrap();
    assert_eq!((asked.method, asked.url.as_str()), (Method::Get, "https://api.example.com/me"));
    assert_eq!(headers(&asked), [("accept", "application/json"), ("authorization", "Bearer AT-1")]);
    assert!(provider(&json!({})).verification(&input(&held, &login, &none)).is_none());
    let required = json!({"statuses": [200], "require": [{"pointer": "/active", "equals": "true"}]});
    let rows = [
        (Value::Null, 200, "", None),
        (Value::Null, 299, "<html>", None),
        (Value::Null, 401, "", Some(Class::Configuration)),
        (required.clone(), 200, r#"{"active":true}"#, None),
        (required.clone(), 200, r#"{"active":false}"#, Some(Class::Configuration)),
        (required.clone(), 200, "<html>", Some(Class::Unknown)),
        (required.clone(), 201, r#"{"active":true}"#, Some(Class::Unknown)),
        (required.clone(), 403, r#"{"active":true}"#, Some(Class::Configuration)),
        (required, 502, "", Some(Class::Transient)),
    ];
    for (success, status, body, expected) in rows {
        let read = verify(success).read_verification(&reply(status, body));
        assert_eq!(read.err().map(|error| error.class), expected, "{status} {body}");
    }
}

// ---------------------------------------------------------------- the revocation of what was replaced

#[test]
fn a_replaced_token_is_revoked_where_that_leaves_the_chain_alone() {
    let none = StepResults::default();
    let old = AccessToken::new(jwt(&json!({"jti": "0b5e-1f", "exp": 1})));
    let held = HeldTokens { access_token: Some(AccessToken::new(jwt(&json!({"jti": "77aa"})))), ..held() };
    let retired = |api: Api, old: &AccessToken, held: &HeldTokens| {
        super::provider(api).retirement(old, &input(held, &super::login(), &none)).map(Result::unwrap)
    };
    let access = retired(Api::Access, &old, &held).unwrap();
    assert_eq!((access.method, access.url.as_str()), (Method::Delete, "https://api.example.com/access/api/v1/tokens/0b5e-1f"));
    // The new token revokes the old one, which is not sent at all.
    let shown = format!("Bearer {}", held.access_token.as_ref().unwrap().reveal());
    assert_eq!(headers(&access), [("accept", "application/json"), ("authorization", shown.as_str())]);
    assert!(access.body.is_none());

    let oauth2 = retired(Api::Oauth2, &old, &held).unwrap();
    assert_eq!((oauth2.method, oauth2.url.as_str()), (Method::Post, "https://api.example.com/revoke"));
    assert_eq!(form(&oauth2), pairs(&[("token", old.reveal()), ("token_type_hint", "access_token")]));

    // Of these the one ends a session with all its tokens, and of the other it is not known.
    assert!(retired(Api::Ece, &old, &held).is_none() && retired(Api::Distribution, &old, &held).is_none());
    // Ids that are not there, no part of a path, or those of the token that is held.
    for claims in [json!({"exp": 1}), json!({"jti": "../me"}), json!({"jti": ""}), json!({"jti": "77aa"})] {
        let old = AccessToken::new(jwt(&claims));
        assert!(retired(Api::Access, &old, &held).is_none(), "{claims}");
    }
    assert!(retired(Api::Access, &AccessToken::new("opaque"), &held).is_none());
    let same_id = HeldTokens { access_token: Some(AccessToken::new("opaque")), token_id: Some("0b5e-1f".into()), ..held.clone() };
    assert!(retired(Api::Access, &old, &same_id).is_none());
    for api in super::ALL {
        // The same token again, nothing that replaced it, or none.
        let same = HeldTokens { access_token: Some(old.clone()), ..held.clone() };
        let nothing = HeldTokens { access_token: None, ..held.clone() };
        assert!(retired(api, &old, &same).is_none() && retired(api, &old, &nothing).is_none());
        assert!(retired(api, &AccessToken::new(""), &held).is_none());
    }
}

#[test]
fn what_ends_a_chain_is_not_used_for_one_token() {
    let (held, none, login) = (held(), StepResults::default(), super::login());
    let old = AccessToken::new("AT-0");
    // A declared revocation revokes all that is held; with any token of it Hydra ends the grant.
    let declared =
        provider(&json!({"revoke": {"request": {"url": "https://api.example.com/r", "auth": {"bearer": "AccessToken"}}}}));
    assert!(declared.revocation(&input(&held, &login, &none)).is_some());
    assert!(declared.retirement(&old, &input(&held, &login, &none)).is_none());
    let oauth2 = |preset: &str| {
        named(
            &json!({"oauth2": {"tokenURL": "https://idp.example.com/t", "revocationURL": "https://idp.example.com/r", "preset": preset}}),
        )
    };
    assert!(oauth2("Hydra").retirement(&old, &input(&held, &login, &none)).is_none());
    assert!(oauth2("Keycloak").retirement(&old, &input(&held, &login, &none)).is_some());
}

// ---------------------------------------------------------------- properties

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_result_and_no_answer_is_printed(canary in "[A-Za-z0-9+/&=%]{24,40}", status in 100_u16..600, named in any::<bool>()) {
        let two = two();
        let held = HeldTokens { refresh_token: Some(RefreshToken::new(canary.as_str())), ..held() };
        let mut results = StepResults::default();
        let body = if named { json!({"ok": true, "a": [canary], "id": canary}) } else { json!({"error": canary, "a": canary}) };
        let read = two.read_step(0, &reply(status, body.to_string()), &mut results);
        prop_assert_eq!(read.is_ok(), named && matches!(status, 200 | 202));
        prop_assert!(read.as_ref().err().is_none_or(|error| error.class != Class::Unknown));
        let built = two.step(1, &input(&held, &Login::default(), &results));
        let mut broken = StepResults::default();
        let line = json!({"ok": true, "a": [canary], "id": format!("{canary}\n")});
        two.read_step(0, &reply(200, line.to_string()), &mut broken).unwrap();
        let refused = two.step(1, &input(&held, &Login::default(), &broken));
        prop_assert!(refused.is_err());
        let printed = format!("{results:?} {broken:?} {read:?} {built:?} {:?} {refused:?}", built.as_ref().map(|built| &built.headers));
        for disguise in super::disguises(&canary) {
            prop_assert!(!printed.contains(&disguise), "{}", printed);
        }
    }

    #[test]
    fn verdicts_are_total(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..60)) {
        let asking = provider(&json!({"probe": {"request": {"url": "https://api.example.com/me", "auth": {"bearer": "RefreshToken"}},
            "unspent": [{"status": 200}], "spent": [{"status": 404}]}}));
        let expected = match status {
            200 => Probed::Unspent,
            404 => Probed::Spent,
            _ => Probed::Unclear,
        };
        prop_assert_eq!(asking.read_probe(&reply(status, &body)), expected);
        for api in super::ALL {
            let verdict = super::provider(api).read_verification(&reply(status, &body));
            prop_assert!(verdict.is_ok() || !matches!(status, 200..=299) || api == Api::Oauth2);
        }
    }
}
