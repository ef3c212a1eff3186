//! Chains whose first tokens another grant brings, and whose others refresh tokens do.

use refreshable_token_operator::api::RequestSpec;
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::provider::{Class, Provider, RefreshInput, RequestError, Semantics, StepResults};
use refreshable_token_operator::token::{HeldTokens, Login, RefreshToken};
use serde_json::{Value, json};
use testbed::issuer::{Client, ClientAuth, Issuer};

use crate::{ask, fields, held, now, provider, reply, secret, send, wishing};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const AUDIENCE: &str = "https://idp.example.com";
const GRANTS: [&str; 4] = ["ClientCredentials", "Password", "TokenExchange", "JWTBearer"];

/// The client, and all that any of the grants wants.
fn login() -> Login {
    Login {
        client_id: secret("app"),
        client_secret: secret("s e"),
        username: secret("ci"),
        password: secret("p&w"),
        subject_token: secret(&subject()),
        ..Login::default()
    }
}

/// A token that is shown: unsigned, since the simulated server does not look.
fn subject() -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = json!({"sub": "builder", "aud": [AUDIENCE], "exp": 9_999_999_999_i64});
    format!("{}.{}.x", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn by(grant: &str) -> Provider {
    provider(json!({ "bootstrapGrant": grant })).creating()
}

#[test]
fn each_grant_is_asked_for_as_its_source_says() {
    let wish = RequestSpec {
        scope: Some("read offline_access".into()),
        audience: Some("https://api.example.com".into()),
        ..RequestSpec::default()
    };
    let subject = subject();
    let subject = subject.as_str();
    let (scope, audience) = (("scope", "read offline_access"), ("audience", "https://api.example.com"));
    let rows = [
        (json!({"bootstrapGrant": "ClientCredentials"}), vec![("grant_type", "client_credentials"), audience, scope]),
        (
            json!({"bootstrapGrant": "Password", "clientAuthentication": "None"}),
            vec![("grant_type", "password"), ("username", "ci"), ("password", "p&w"), audience, scope, ("client_id", "app")],
        ),
        (
            json!({"bootstrapGrant": "TokenExchange", "clientAuthentication": "Post", "requestedTokenType": "urn:x"}),
            vec![
                ("grant_type", EXCHANGE),
                ("subject_token", subject),
                ("subject_token_type", JWT),
                ("requested_token_type", "urn:x"),
                audience,
                scope,
                ("client_id", "app"),
                ("client_secret", "s e"),
            ],
        ),
        (json!({"bootstrapGrant": "JWTBearer"}), vec![("grant_type", BEARER), ("assertion", subject), scope]),
    ];
    for (spec, expected) in rows {
        let goes_on = wishing(spec.clone(), wish.clone());
        let begins = goes_on.clone().creating();
        assert_eq!((goes_on.semantics(), begins.semantics()), (Semantics::SingleUse, Semantics::Reissue), "{spec}");
        // Whatever is held of a chain before stays where it is.
        let sent = ask(&begins, &held("RT-1"), &login(), "a");
        let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(fields(&sent), expected, "{spec}");
        assert_eq!(
            sent.headers.iter().any(|(name, _)| name == "authorization"),
            spec["clientAuthentication"].is_null(),
            "{spec}"
        );
        // What brought the first tokens is not sent with a refresh, and the audience is no parameter of one.
        let refresh = fields(&ask(&goes_on, &held("RT-1"), &login(), "a"));
        let client = refresh.iter().filter(|(name, _)| name.starts_with("client_")).count();
        assert_eq!(refresh[0], ("grant_type".to_owned(), "refresh_token".to_owned()));
        assert_eq!(refresh.len() - client, 3, "{refresh:?}");
    }
}

#[test]
fn without_what_brings_them_nothing_is_asked() {
    let lacks = |grant: &str, login: &Login| {
        by(grant).request(&RefreshInput {
            held: &HeldTokens::default(),
            login,
            now: now(),
            attempt: "a",
            results: &StepResults::default(),
        })
    };
    let rows = [
        ("Password", Login { username: None, ..login() }, "username (seed Secret)"),
        ("Password", Login { password: secret(""), ..login() }, "password (seed Secret)"),
        (
            "TokenExchange",
            Login { subject_token: None, ..login() },
            "subject_token (seed Secret, or credential.serviceAccountRef)",
        ),
        ("JWTBearer", Login { subject_token: None, ..login() }, "subject_token (seed Secret, or credential.serviceAccountRef)"),
    ];
    for (grant, login, missing) in rows {
        assert_eq!(lacks(grant, &login), Err(RequestError::Missing(missing)), "{grant}");
    }
    for grant in GRANTS {
        // A refresh token is bound to its client, so nobody begins a chain without one.
        let nobody = Login { client_id: None, ..login() };
        let missing = Err(RequestError::Missing("client_id (Secret of clientSecretRef, or the seed)"));
        assert_eq!(lacks(grant, &nobody), missing, "{grant}");
        let public = provider(json!({"bootstrapGrant": grant, "clientAuthentication": "None"})).creating();
        let input = RefreshInput {
            held: &HeldTokens::default(),
            login: &nobody,
            now: now(),
            attempt: "a",
            results: &StepResults::default(),
        };
        assert_eq!(public.request(&input), missing, "{grant}");
    }
    let line = Login { password: secret("a\nb"), ..login() };
    assert_eq!(lacks("Password", &line), Err(RequestError::NotSendable("password")));
    let unnamed = provider(json!({})).creating();
    let input = RefreshInput {
        held: &HeldTokens::default(),
        login: &login(),
        now: now(),
        attempt: "a",
        results: &StepResults::default(),
    };
    assert_eq!(unnamed.request(&input), Err(RequestError::Missing("provider.oauth2.bootstrapGrant")));
}

#[test]
fn an_answer_without_a_refresh_token_begins_nothing() {
    // RFC 6749 sections 4.3.3 and 4.4.3.
    let with = r#"{"access_token":"AT-1","token_type":"Bearer","expires_in":3600,"refresh_token":"RT-1"}"#;
    let without = r#"{"access_token":"AT-1","token_type":"Bearer","expires_in":3600}"#;
    // RFC 8693 section 2.2.1: a refresh token that was asked for by its type is told as access_token, and there is no other.
    let typed =
        r#"{"access_token":"RT-1","issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token","token_type":"N_A"}"#;
    for grant in GRANTS {
        let begins = by(grant);
        let granted = begins.read(&reply(200, with), now()).unwrap();
        assert_eq!(granted.refresh_token, Some(RefreshToken::new("RT-1")));
        for answer in [without, typed] {
            let error = begins.read(&reply(200, answer), now()).unwrap_err();
            assert_eq!(error.class, Class::Configuration, "{grant}");
            assert!(error.detail.contains("no refresh token, so that no chain can begin"), "{}", error.detail);
        }
        // A refresh may leave it out.
        assert!(provider(json!({"bootstrapGrant": grant})).read(&reply(200, without), now()).is_ok());
    }
}

#[test]
fn no_answer_says_that_anything_was_spent_or_is_over() {
    use Class::{Configuration, Throttled, Transient, Unknown};
    let rows = [
        (400, r#"{"error":"invalid_grant"}"#, Configuration),
        (400, r#"{"error":"unsupported_grant_type"}"#, Configuration),
        (400, r#"{"error":"unauthorized_client"}"#, Configuration),
        (401, r#"{"error":"invalid_client"}"#, Configuration),
        (200, r#"{"error":"bad_refresh_token"}"#, Configuration),
        (400, "<html>", Unknown),
        (404, "", Configuration),
        (429, "", Throttled),
        (408, "", Transient),
        (500, r#"{"error":"server_error"}"#, Transient),
        (503, "", Transient),
        (200, "", Unknown),
    ];
    // Gitea and Dex use codes of their own for a chain that is over.
    for preset in [json!(null), json!("Gitea"), json!("Dex")] {
        for grant in GRANTS {
            let begins = provider(json!({"bootstrapGrant": grant, "preset": preset})).creating();
            for (status, body, expected) in rows {
                let error = begins.read(&reply(status, body), now()).unwrap_err();
                assert_eq!(error.class, expected, "{grant} {preset}: {status} {body}");
            }
        }
    }
    // The same answers to a refresh: a chain can be over, and an error of the server may have spent the token.
    let goes_on = provider(json!({"bootstrapGrant": "Password"}));
    assert_eq!(goes_on.read(&reply(400, r#"{"error":"invalid_grant"}"#), now()).unwrap_err().class, Class::ChainOver);
    assert_eq!(goes_on.read(&reply(500, ""), now()).unwrap_err().class, Class::Unknown);
}

async fn server(first_refresh_tokens: bool) -> Issuer {
    let client = Client { secret: "s e".into(), auth: ClientAuth::Basic, scope: "read".into() };
    let builder = Issuer::builder().client("app", client).user("ci", "p&w", false).configure(|config| {
        config.first_refresh_tokens = first_refresh_tokens;
        config.subject_audience = Some(AUDIENCE.into());
    });
    builder.family_revocation(true).start().await.unwrap()
}

fn at(issuer: &Issuer, grant: &str) -> Value {
    json!({"tokenURL": format!("{}/oauth2/token", issuer.url()), "bootstrapGrant": grant})
}

#[tokio::test]
async fn a_chain_begins_once_and_goes_on_by_refresh_tokens() {
    for (grant, whose) in GRANTS.into_iter().zip(["app", "ci", "builder", "builder"]) {
        let issuer = server(true).await;
        let goes_on = provider(at(&issuer, grant));
        let begins = goes_on.clone().creating();
        let sent = ask(&begins, &HeldTokens::default(), &login(), "a");
        let first = begins.read(&send(&sent).await, SystemClock.now()).unwrap().refresh_token.unwrap();
        // A lost answer is asked for again: nothing was spent.
        assert!(begins.read(&send(&sent).await, SystemClock.now()).is_ok());
        let chain = issuer.chains().first().unwrap().clone();
        assert_eq!((chain.subject.as_str(), issuer.chains().len()), (whose, 2), "{grant}");
        let refreshed = send(&ask(&goes_on, &held(first.reveal()), &login(), "b")).await;
        let second = goes_on.read(&refreshed, SystemClock.now()).unwrap().refresh_token.unwrap();
        assert_ne!(first, second);
        assert_eq!((issuer.refreshes(chain.id), issuer.double_spends()), (1, 0), "{grant}");
    }
}

#[tokio::test]
async fn a_server_that_gives_no_refresh_token_is_told_apart_from_one_that_refuses() {
    let issuer = server(false).await;
    for (grant, says) in
        GRANTS.into_iter().zip(["no refresh token", "unsupported_grant_type", "no refresh token", "no refresh token"])
    {
        let begins = provider(at(&issuer, grant)).creating();
        let answer = send(&ask(&begins, &HeldTokens::default(), &login(), "a")).await;
        let error = begins.read(&answer, SystemClock.now()).unwrap_err();
        assert!(error.class == Class::Configuration && error.detail.contains(says), "{grant}: {error}");
    }
}
