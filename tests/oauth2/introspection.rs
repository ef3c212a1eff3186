//! Introspection (RFC 7662): the question whether a refresh token was spent, and whether an access token is taken.

use refreshable_token_operator::provider::{Class, Method, Probed, RefreshInput, RequestError, StepResults};
use refreshable_token_operator::token::{AccessToken, HeldTokens, Login};
use serde_json::{Value, json};

use crate::{EC, field, fields, held, now, provider, reply, secret, signer};

const URL: &str = "https://idp.example.com/introspect";

fn login() -> Login {
    Login { client_id: secret("app"), client_secret: secret("cs"), ..Login::default() }
}

fn input<'a>(held: &'a HeldTokens, login: &'a Login, results: &'a StepResults) -> RefreshInput<'a> {
    RefreshInput { held, login, now: now(), attempt: "attempt-1", results }
}

/// The form and the authentication of RFC 7662 section 2.1.
#[test]
fn a_token_is_asked_about_as_the_client_authenticates_elsewhere() {
    let none = StepResults::default();
    let held = HeldTokens { access_token: Some(AccessToken::new("AT&1")), ..held("RT+1") };
    let named = provider(json!({ "introspectionURL": URL }));
    let asked = named.probe(&input(&held, &login(), &none)).unwrap().unwrap();
    assert_eq!((asked.method, asked.url.as_str()), (Method::Post, URL));
    let sent = [("token", "RT+1"), ("token_type_hint", "refresh_token")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fields(&asked), sent);
    let authorization = asked.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.reveal());
    assert_eq!(authorization, Some("Basic YXBwOmNz"));
    let asked = named.verification(&input(&held, &login(), &none)).unwrap().unwrap();
    let sent = [("token", "AT&1"), ("token_type_hint", "access_token")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fields(&asked), sent);
    assert_eq!(
        named.probe(&input(&held, &Login::default(), &none)),
        Some(Err(RequestError::Missing("client_id (Secret of clientSecretRef, or the seed)")))
    );
    // A client that signs does so here too.
    let signing = provider(json!({"introspectionURL": URL, "clientAuthentication": "PrivateKeyJWT"}));
    let asked = signing.probe(&input(&held, &signer("app", EC, None), &none)).unwrap().unwrap();
    assert!(field(&asked.signed(now()).unwrap(), "client_assertion").is_some_and(|assertion| assertion.split('.').count() == 3));
}

#[test]
fn there_is_no_question_where_nothing_is_spent_or_nobody_answers() {
    let none = StepResults::default();
    let held = HeldTokens { access_token: Some(AccessToken::new("AT-1")), ..held("RT-1") };
    let asks = |more: Value| provider(more).probe(&input(&held, &login(), &none)).is_some();
    assert!(!asks(json!({})));
    for (rotation, expected) in [
        (json!({"rotation": "Strict"}), true),
        (json!({"rotation": "Grace", "graceSeconds": 30}), true),
        (json!({"rotation": "IdempotencyKey"}), true),
        (json!({"rotation": "Reusable"}), false),
        (json!({"preset": "Entra"}), false),
        (json!({"grant": "ClientCredentials"}), false),
    ] {
        let mut more = rotation.clone();
        more["introspectionURL"] = URL.into();
        assert_eq!(asks(more.clone()), expected, "{rotation}");
        // What a new access token is, can be asked in any case.
        assert!(provider(more).verification(&input(&held, &login(), &none)).is_some(), "{rotation}");
    }
    let nothing = HeldTokens::default();
    let named = provider(json!({ "introspectionURL": URL }));
    assert!(named.probe(&input(&nothing, &login(), &none)).is_none());
    assert!(named.verification(&input(&nothing, &login(), &none)).is_none());
}

/// Section 2.2 with its examples, section 2.3, and what is no answer of the protocol.
#[test]
fn only_the_word_of_the_server_about_the_token_counts() {
    let active = r#"{"active": true, "client_id": "l238j323ds-23ij4", "username": "jdoe", "scope": "read write dolphin",
        "sub": "Z5O3upPC88QrAjx00dis", "aud": "https://protected.example.net/resource", "iss": "https://server.example.com/",
        "exp": 1419356238, "iat": 1419350238, "extension_field": "twenty-seven"}"#;
    let inactive = r#"{"active": false}"#;
    let rows = [
        (200, active, Probed::Unspent, None),
        (200, inactive, Probed::Spent, Some(Class::Configuration)),
        (200, r#"{"active": "false"}"#, Probed::Unclear, Some(Class::Unknown)),
        (200, r#"{"active": null}"#, Probed::Unclear, Some(Class::Unknown)),
        (200, r#"{"active": 0}"#, Probed::Unclear, Some(Class::Unknown)),
        (200, r#"{"active": true, "active": false}"#, Probed::Unclear, Some(Class::Unknown)),
        (200, r#"[{"active": false}]"#, Probed::Unclear, Some(Class::Unknown)),
        (200, "{}", Probed::Unclear, Some(Class::Unknown)),
        (200, "<html>", Probed::Unclear, Some(Class::Unknown)),
        (200, "", Probed::Unclear, Some(Class::Unknown)),
        (201, inactive, Probed::Unclear, Some(Class::Unknown)),
        (302, inactive, Probed::Unclear, Some(Class::Unknown)),
        // The client's credentials, and not the token, are refused.
        (400, r#"{"error":"invalid_request"}"#, Probed::Unclear, Some(Class::Unknown)),
        (401, r#"{"error":"invalid_client"}"#, Probed::Unclear, Some(Class::Unknown)),
        (403, inactive, Probed::Unclear, Some(Class::Unknown)),
        (404, inactive, Probed::Unclear, Some(Class::Unknown)),
        (429, inactive, Probed::Unclear, Some(Class::Throttled)),
        (500, inactive, Probed::Unclear, Some(Class::Transient)),
    ];
    let named = provider(json!({ "introspectionURL": URL }));
    for (status, body, probed, verified) in rows {
        let answer = reply(status, body);
        assert_eq!(named.read_probe(&answer), probed, "{status} {body}");
        assert_eq!(named.read_verification(&answer).err().map(|error| error.class), verified, "{status} {body}");
    }
}
