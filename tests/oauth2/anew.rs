//! Tokens that the client's own credentials bring, each time anew (RFC 6749 section 4.4).

use refreshable_token_operator::api::RequestSpec;
use refreshable_token_operator::provider::{Class, RefreshInput, RequestError, Semantics};
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
    let nobody = provider.request(&RefreshInput { held: &held("RT-1"), login: &Login::default(), now: now(), attempt: "a" });
    assert!(matches!(nobody, Err(RequestError::Missing(_))));
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
