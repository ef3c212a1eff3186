//! The product's requests against a server that none of us wrote: npm `oidc-provider`.
//!
//! It needs Node and npm: without them the test says so and is skipped, with `CI=true` it fails.

use std::io::Write as _;

use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::provider::Class;
use refreshable_token_operator::token::{HeldTokens, Login};
use serde_json::json;

use crate::oidc_server::{Server, node};
use crate::{EC, RSA, ask, held, provider, secret, send, signer};

/// The server; none where it cannot run.
async fn server() -> Option<Server> {
    if let Err(missing) = node() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the capture of the test harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "SKIPPED oauth2: {missing}");
        return None;
    }
    // The client of the test's own questions wants one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Some(Server::start().await.unwrap())
}

#[tokio::test]
async fn a_real_server_takes_what_a_client_signs_and_takes_it_once() {
    let Some(server) = server().await else { return };
    let url = &server.greeting.url;
    assert_eq!(server.greeting.signers.len(), 2);
    for client in &server.greeting.signers {
        let pem = if client.client_id == "rsa" { RSA } else { EC };
        let login = signer(&client.client_id, pem, Some("1"));
        // Its audience is the token endpoint, or the issuer.
        for mut more in [json!({}), json!({"assertionAudience": url})] {
            more["tokenURL"] = json!(format!("{url}/token"));
            more["clientAuthentication"] = json!("PrivateKeyJWT");
            let mut anew = more.clone();
            anew["grant"] = json!("ClientCredentials");
            let anew = provider(anew);
            let sent = ask(&anew, &HeldTokens::default(), &login, "anew");
            let signed = sent.signed(SystemClock.now()).unwrap();
            let granted = anew.read(&send(&signed).await, SystemClock.now()).unwrap();
            assert!(granted.access_token.is_some() && granted.refresh_token.is_none() && granted.expiration_time.is_some());
            let replay = anew.read(&send(&signed).await, SystemClock.now()).unwrap_err();
            assert_eq!(replay.class, Class::Configuration, "{replay}");
            assert!(
                anew.read(&send(&sent.signed(SystemClock.now()).unwrap()).await, SystemClock.now()).is_ok(),
                "signed once more"
            );
        }
        let refreshes = provider(json!({"tokenURL": format!("{url}/token"), "clientAuthentication": "PrivateKeyJWT"}));
        let mut token = client.refresh_token.clone();
        for attempt in ["1", "2", "3"] {
            let sent = ask(&refreshes, &held(&token), &login, attempt);
            let granted = refreshes.read(&send(&sent.signed(SystemClock.now()).unwrap()).await, SystemClock.now()).unwrap();
            token = granted.refresh_token.unwrap().reveal().to_owned();
        }
        assert!(server.is_active(&token).await, "a refused assertion must not have cost the family");
    }
    // A secret is as good for a token that is obtained anew.
    let (id, password) = (&server.greeting.client_id, &server.greeting.client_secret);
    let basic = Login { client_id: secret(id), client_secret: secret(password), ..Login::default() };
    let anew = provider(json!({"tokenURL": format!("{url}/token"), "grant": "ClientCredentials"}));
    assert!(anew.read(&send(&ask(&anew, &HeldTokens::default(), &basic, "b")).await, SystemClock.now()).is_ok());
}

#[tokio::test]
async fn a_real_server_goes_on_with_a_chain_that_a_password_began() {
    let Some(server) = server().await else { return };
    let crate::oidc_server::Greeting { url, client_id, client_secret, user, .. } = &server.greeting;
    let login = Login {
        client_id: secret(client_id),
        client_secret: secret(client_secret),
        username: secret(&user.username),
        password: secret(&user.password),
        ..Login::default()
    };
    let goes_on = provider(json!({"tokenURL": format!("{url}/token"), "bootstrapGrant": "Password"}));
    let begins = goes_on.clone().creating();
    let wrong = Login { password: secret("wrong"), ..login.clone() };
    let refused = send(&ask(&begins, &HeldTokens::default(), &wrong, "a")).await;
    assert_eq!(begins.read(&refused, SystemClock.now()).unwrap_err().class, Class::Configuration);
    let answer = send(&ask(&begins, &HeldTokens::default(), &login, "a")).await;
    let first = begins.read(&answer, SystemClock.now()).unwrap().refresh_token.unwrap();
    let mut token = first.clone();
    for attempt in ["1", "2", "3"] {
        let answer = send(&ask(&goes_on, &held(token.reveal()), &login, attempt)).await;
        token = goes_on.read(&answer, SystemClock.now()).unwrap().refresh_token.unwrap();
    }
    assert!(server.is_active(token.reveal()).await && !server.is_active(first.reveal()).await);
    // Section 4.4.3 of RFC 6749: this server gives no refresh token for a client's own credentials.
    let begins = provider(json!({"tokenURL": format!("{url}/token"), "bootstrapGrant": "ClientCredentials"})).creating();
    let answer = send(&ask(&begins, &HeldTokens::default(), &login, "b")).await;
    let error = begins.read(&answer, SystemClock.now()).unwrap_err();
    assert!(error.class == Class::Configuration && error.detail.contains("no refresh token"), "{error}");
}
