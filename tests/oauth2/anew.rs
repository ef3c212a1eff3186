//! Tokens that the client's own credentials bring, each time anew (RFC 6749 section 4.4).

use refreshable_token_operator::api::RequestSpec;
use refreshable_token_operator::provider::{Class, RefreshInput, RequestError, Semantics, StepResults};
use refreshable_token_operator::token::{AccessToken, HeldTokens, Login};
use serde_json::json;

use crate::{EC, ask, fields, held, now, provider, reply, secret, signer, wishing};

fn login() -> Login {
    Login { client_id: secret("app"), client_secret: secret("s e"), ..Login::default() }
}

#[test]
fn the_request_names_no_token() {
    let wish =
        RequestSpec { scope: Some("a b".into()), audience: Some("https://api.example.com".into()), ..RequestSpec::default() };
    let rows =
        [(json!({}), vec![]), (json!({"clientAuthentication": "Post"}), vec![("client_id", "app"), ("client_secret", "s e")])];
    for (mut spec, rest) in rows {
        spec["grant"] = json!("ClientCredentials");
        let provider = wishing(spec, wish.clone());
        assert_eq!(provider.semantics(), Semantics::Reissue);
        // Whatever is held of an earlier grant stays where it is.
        for held in [HeldTokens::default(), held("RT-1")] {
            let sent = ask(&provider, &held, &login(), "a");
            let mut expected =
                vec![("grant_type", "client_credentials"), ("audience", "https://api.example.com"), ("scope", "a b")];
            expected.extend(&rest);
            let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(fields(&sent), expected);
        }
    }
    let provider = provider(json!({"grant": "ClientCredentials", "clientAuthentication": "PrivateKeyJWT"}));
    let sent = ask(&provider, &HeldTokens::default(), &signer("app", EC, None), "a");
    let names: Vec<_> = fields(&sent.signed(now()).unwrap()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["grant_type", "client_id", "client_assertion_type", "client_assertion"]);
    let nobody = provider.request(&RefreshInput {
        held: &held("RT-1"),
        login: &Login::default(),
        now: now(),
        attempt: "a",
        results: &StepResults::default(),
    });
    assert!(matches!(nobody, Err(RequestError::Missing(_))));
}

#[test]
fn another_token_is_exchanged_or_shown() {
    const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    let wish = RequestSpec { scope: Some("a b".into()), ..RequestSpec::default() };
    let to = |audience: &str| RequestSpec { audience: Some(audience.into()), ..wish.clone() };
    let subject = || Login { subject_token: secret("ST+1"), ..Login::default() };
    let client = || Login { subject_token: secret("ST+1"), ..login() };
    let post = json!({"grant": "TokenExchange", "clientAuthentication": "Post", "subjectTokenType": "urn:x:saml2",
        "requestedTokenType": "urn:x:jwt"});
    let rows = [
        (
            json!({"grant": "TokenExchange", "clientAuthentication": "None"}),
            to("https://api.example.com"),
            subject(),
            vec![
                ("grant_type", EXCHANGE),
                ("subject_token", "ST+1"),
                ("subject_token_type", JWT),
                ("audience", "https://api.example.com"),
                ("scope", "a b"),
            ],
        ),
        (
            post,
            wish.clone(),
            client(),
            vec![
                ("grant_type", EXCHANGE),
                ("subject_token", "ST+1"),
                ("subject_token_type", "urn:x:saml2"),
                ("requested_token_type", "urn:x:jwt"),
                ("scope", "a b"),
                ("client_id", "app"),
                ("client_secret", "s e"),
            ],
        ),
        (
            json!({"grant": "JWTBearer", "clientAuthentication": "None"}),
            wish.clone(),
            subject(),
            vec![("grant_type", BEARER), ("assertion", "ST+1"), ("scope", "a b")],
        ),
        (
            json!({"grant": "JWTBearer", "clientAuthentication": "None"}),
            wish.clone(),
            client(),
            vec![("grant_type", BEARER), ("assertion", "ST+1"), ("scope", "a b"), ("client_id", "app")],
        ),
        (
            json!({"grant": "JWTBearer"}),
            wish.clone(),
            client(),
            vec![("grant_type", BEARER), ("assertion", "ST+1"), ("scope", "a b")],
        ),
    ];
    for (spec, wish, login, expected) in rows {
        let provider = wishing(spec.clone(), wish);
        assert_eq!(provider.semantics(), Semantics::Reissue);
        let sent = ask(&provider, &held("RT-1"), &login, "a");
        let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(fields(&sent), expected, "{spec}");
        let authorized = sent.headers.iter().any(|(name, _)| name == "authorization");
        assert_eq!(authorized, spec["clientAuthentication"].is_null(), "{spec}");
        let nothing = Login { subject_token: None, ..login };
        let refused = provider.request(&RefreshInput {
            held: &held("RT-1"),
            login: &nothing,
            now: now(),
            attempt: "a",
            results: &StepResults::default(),
        });
        assert_eq!(refused, Err(RequestError::Missing("subject_token (seed Secret, or credential.serviceAccountRef)")));
    }
}

#[test]
fn answers_are_read_as_those_to_a_refresh() {
    let provider = provider(json!({"grant": "ClientCredentials"}));
    // oidc-provider 9.13.3: these members and no others.
    let granted = provider.read(&reply(200, r#"{"access_token":"AT-2","expires_in":600,"token_type":"Bearer"}"#), now()).unwrap();
    assert_eq!(granted.access_token, Some(AccessToken::new("AT-2")));
    assert_eq!((granted.refresh_token, granted.expiration_time), (None, Some(now() + chrono::TimeDelta::seconds(600))));
    assert!(provider.keeps_omitted_refresh_token());
}

#[test]
fn an_exchange_brings_any_kind_of_token() {
    let provider = provider(json!({"grant": "TokenExchange", "clientAuthentication": "None"}));
    // RFC 8693 section 2.3, figure 2.
    let answer = r#"{"access_token":"AT-2","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":60}"#;
    let granted = provider.read(&reply(200, answer), now()).unwrap();
    assert_eq!(granted.access_token, Some(AccessToken::new("AT-2")));
    // Section 2.2.1: N_A where the token is none for Bearer; Entra, Keycloak and others write it in their own case.
    let answer = r#"{"access_token":"AT-2","issued_token_type":"urn:ietf:params:oauth:token-type:jwt","token_type":"N_A"}"#;
    assert_eq!(provider.read(&reply(200, answer), now()).unwrap().access_token, Some(AccessToken::new("AT-2")));
    // Section 2.2.2.
    for code in ["invalid_request", "invalid_target", "invalid_grant"] {
        let error = provider.read(&reply(400, &format!(r#"{{"error":"{code}"}}"#)), now()).unwrap_err();
        assert_eq!(error.class, Class::Configuration, "{code}");
    }
}

#[test]
fn nothing_can_be_over_and_nothing_can_be_spent() {
    use Class::{Configuration, Throttled, Transient, Unknown};
    let rows = [
        // A code that ends a chain of refresh tokens: here a person mends the client, and tokens come again.
        (400, r#"{"error":"invalid_grant"}"#, Configuration),
        (400, r#"{"error":"unauthorized_client"}"#, Configuration),
        (401, r#"{"error":"invalid_client"}"#, Configuration),
        (400, r#"{"error":"invalid_scope"}"#, Configuration),
        (400, "<html>", Unknown),
        (404, "", Configuration),
        (429, "", Throttled),
        (408, "", Transient),
        (500, r#"{"error":"server_error"}"#, Transient),
        (502, "<html>", Transient),
        (503, "", Transient),
        (200, "", Unknown),
    ];
    for spec in [json!({"grant": "ClientCredentials"}), json!({"grant": "ClientCredentials", "preset": "Gitea"})] {
        let provider = provider(spec);
        for (status, body, expected) in rows {
            let error = provider.read(&reply(status, body), now()).unwrap_err();
            assert_eq!(error.class, expected, "{status} {body}");
            assert!(!error.detail.contains("refresh token"), "{}", error.detail);
        }
        let mut busy = reply(503, "");
        busy.headers.push(("retry-after".into(), "120".into()));
        let pause = provider.read(&busy, now()).unwrap_err().retry_after;
        assert_eq!(pause, Some(std::time::Duration::from_secs(120)));
    }
}
