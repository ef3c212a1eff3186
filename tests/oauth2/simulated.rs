//! The product's requests against the simulated server, on a socket.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::provider::{Class, Provider};
use refreshable_token_operator::token::{HeldTokens, Login};
use serde_json::json;
use testbed::issuer::{Client, ClientAuth, Issuer, PublicKey};

use crate::{EC, RSA, ask, held, provider, secret, send, signer};

/// A server that knows the keys of RFC 7515.
async fn server() -> Issuer {
    let client = |auth| Client { secret: "secret".into(), auth, scope: "read".into() };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let x = part("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    let y = part("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let point = [vec![4], x, y].concat();
    let rsa = ring::signature::RsaKeyPair::from_pkcs8(&der(RSA)).unwrap();
    let rsa = ring::signature::KeyPair::public_key(&rsa).as_ref().to_vec();
    let builder =
        Issuer::builder().client("ec", client(ClientAuth::PrivateKeyJwt)).client("rsa", client(ClientAuth::PrivateKeyJwt));
    let keys = [("ec".to_owned(), PublicKey::Es256(point)), ("rsa".to_owned(), PublicKey::Rs256(rsa))];
    let builder = builder.client("basic", client(ClientAuth::Basic)).configure(|config| config.client_keys.extend(keys));
    builder.family_revocation(true).start().await.unwrap()
}

fn der(pem: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(pem.to_vec()).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

fn at(issuer: &Issuer, more: serde_json::Value) -> Provider {
    let mut more = more;
    more["tokenURL"] = json!(format!("{}/oauth2/token", issuer.url()));
    provider(more)
}

#[tokio::test]
async fn signed_requests_refresh_and_a_refused_client_spends_nothing() {
    let issuer = server().await;
    for (id, pem) in [("ec", EC), ("rsa", RSA)] {
        let pair = issuer.seed_oauth2(id, id, TimeDelta::hours(1));
        let provider = at(&issuer, json!({"clientAuthentication": "PrivateKeyJWT", "assertionAudience": issuer.url()}));
        let login = signer(id, pem, Some("1"));
        let sent = ask(&provider, &held(pair.refresh()), &login, "attempt");
        let signed = sent.signed(SystemClock.now()).unwrap();
        let first = provider.read(&send(&signed).await, SystemClock.now()).unwrap();
        let second = first.refresh_token.unwrap();
        // The same attempt signed once more is another assertion.
        let again = ask(&provider, &held(second.reveal()), &login, "attempt");
        assert!(provider.read(&send(&again.signed(SystemClock.now()).unwrap()).await, SystemClock.now()).is_ok());
        // An old one, another client's key, and none.
        let newest = issuer.newest(pair.chain).unwrap();
        let late = ask(&provider, &held(newest.refresh()), &login, "late");
        let other = ask(&provider, &held(newest.refresh()), &signer(id, if id == "ec" { RSA } else { EC }, None), "other");
        for refused in
            [late.signed(SystemClock.now() - TimeDelta::seconds(300)).unwrap(), other.signed(SystemClock.now()).unwrap()]
        {
            let error = provider.read(&send(&refused).await, SystemClock.now()).unwrap_err();
            assert_eq!(error.class, Class::Configuration, "{error}");
        }
        let error = provider.read(&send(&late).await, SystemClock.now()).unwrap_err();
        assert_eq!(error.class, Class::Configuration, "unsigned: {error}");
        assert_eq!((issuer.newest(pair.chain).unwrap().generation, issuer.double_spends()), (2, 0));
    }
}

#[tokio::test]
async fn client_credentials_bring_a_token_as_often_as_they_are_asked() {
    let issuer = server().await;
    let basic = Login { client_id: secret("basic"), client_secret: secret("secret"), ..Login::default() };
    let rows = [
        (json!({"grant": "ClientCredentials"}), basic),
        (json!({"grant": "ClientCredentials", "clientAuthentication": "PrivateKeyJWT"}), signer("ec", EC, None)),
    ];
    for (spec, login) in rows {
        let provider = at(&issuer, spec);
        let mut seen = Vec::new();
        for attempt in ["a", "b"] {
            let sent = ask(&provider, &HeldTokens::default(), &login, attempt);
            let signed = sent.signed(SystemClock.now()).unwrap();
            let granted = provider.read(&send(&signed).await, SystemClock.now()).unwrap();
            assert_eq!(granted.refresh_token, None);
            seen.push(granted.access_token.unwrap());
            // The very same bytes again: a secret is as good as before, an assertion is used up.
            let again = provider.read(&send(&signed).await, SystemClock.now());
            assert_eq!(again.is_err(), sent.assertion.is_some());
            assert!(again.err().is_none_or(|error| error.class == Class::Configuration));
        }
        assert_ne!(seen[0], seen[1]);
    }
    let wrong = Login { client_id: secret("basic"), client_secret: secret("wrong"), ..Login::default() };
    let provider = at(&issuer, json!({"grant": "ClientCredentials"}));
    let error = provider.read(&send(&ask(&provider, &HeldTokens::default(), &wrong, "c")).await, SystemClock.now()).unwrap_err();
    assert_eq!(error.class, Class::Configuration);
}
