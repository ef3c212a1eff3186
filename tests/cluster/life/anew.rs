//! Tokens that the client's own credentials bring: nothing of theirs can be lost, and everything is asked for again.

use std::time::Duration;

use chrono::TimeDelta;
use refreshable_token_operator::api::ConditionType;
use serde_json::{Value, json};
use testbed::issuer::{Api as Kind, Client, ClientAuth, Fault, Issuer, Operation, PublicKey, Rule};

use crate::manifest::oauth2;
use crate::sight::wait;
use crate::world::{Scene, test};

const KEY: &str = include_str!("../../oauth2/keys/rfc7515-a3.pkcs8.pem");

/// A server with a client that has a secret, and one that signs by the key of RFC 7515 appendix A.3.
async fn server() -> Issuer {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let client = |auth| Client { secret: "secret".into(), auth, scope: "read".into() };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let x = part("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    let point = [vec![4], x, part("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")].concat();
    let builder = Issuer::builder().client("client", client(ClientAuth::Basic));
    let builder = builder.client("signer", client(ClientAuth::PrivateKeyJwt)).configure(|config| {
        config.client_keys.insert("signer".into(), PublicKey::Es256(point));
        config.oauth2_lifetime = TimeDelta::seconds(30);
    });
    builder.family_revocation(true).start().await.unwrap()
}

fn anew(scene: &Scene<'_>, name: &str, issuer: &Issuer) -> Value {
    let mut object = scene.manifest(name, oauth2(issuer));
    object["spec"]["provider"]["oauth2"]["grant"] = "ClientCredentials".into();
    object["spec"]["credential"]["seedSecretRef"]["name"] = "shared-seed".into();
    object
}

/// Tokens that were asked for by a client's credentials.
fn created(issuer: &Issuer) -> usize {
    issuer.log().iter().filter(|seen| seen.operation == Operation::Create).count()
}

/// The output holds a token of this issuer that is among its newest.
async fn holds_a_new_token(scene: &Scene<'_>, name: &str, before: Option<String>, issuer: &Issuer) -> String {
    wait("a new token in the output", || async {
        let held = scene.value(&format!("{name}-token"), "access_token").await.filter(|held| Some(held) != before.as_ref())?;
        issuer.chains().iter().any(|chain| chain.pairs.iter().any(|pair| pair.access_token == held)).then_some(held)
    })
    .await
}

#[test]
fn one_seed_serves_many_objects_and_nothing_that_goes_wrong_ends_them() {
    test("anew", |scene| async move {
        let issuer = server().await;
        scene.put_seed("shared", &[("client_id", "client"), ("client_secret", "secret")]).await;
        for name in ["a", "b"] {
            scene.put(&anew(&scene, name, &issuer)).await;
        }
        for name in ["a", "b"] {
            scene.refreshed(name, 2).await;
            scene.healthy(name).await;
            assert_eq!(scene.value(&format!("{name}-state"), "refresh_token").await, None);
        }

        // The answer is lost: asked for again.
        let (held, calls) = (scene.value("a-token", "access_token").await, created(&issuer));
        let rule = Rule { operation: Some(Operation::Create), ..Rule::once(Fault::DropAnswer { reset: true }) };
        issuer.arm(rule);
        scene.force("a", "lost").await;
        let held = holds_a_new_token(&scene, "a", held, &issuer).await;
        assert!(created(&issuer) >= calls + 2, "the lost one and its repeat");

        // The state Secret is gone: there was nothing in it that could not be had again.
        let generation = scene.status("a").await.chain_generation.unwrap();
        scene.remove("a-state").await;
        scene.force("a", "gone").await;
        scene.refreshed("a", generation + 1).await;
        let held = holds_a_new_token(&scene, "a", Some(held), &issuer).await;
        scene.healthy("a").await;

        // The secret is changed at the server: said so; and at once again when the seed follows.
        issuer.with(|core, _| core.config.clients.get_mut("client").unwrap().secret = "changed".into());
        scene.force("a", "changed").await;
        scene.stalled("a", "ConfigurationRejected").await;
        scene.put_seed("shared", &[("client_id", "client"), ("client_secret", "changed")]).await;
        holds_a_new_token(&scene, "a", Some(held), &issuer).await;
        for name in ["a", "b"] {
            scene.healthy(name).await;
        }
    });
}

#[test]
fn a_client_that_signs_is_told_what_is_wrong_with_its_key_before_anything_is_sent() {
    test("anew-key", |scene| async move {
        let issuer = server().await;
        let mut object = anew(&scene, "a", &issuer);
        object["spec"]["provider"]["oauth2"]["clientAuthentication"] = "PrivateKeyJWT".into();
        let sec1 = include_str!("../../oauth2/keys/rfc7515-a3.sec1.pem");
        let bad = [
            ("", "private_key"),
            ("hunter2", "no private key in PEM form"),
            (sec1, "openssl pkcs8 -topk8"),
            (include_str!("../../oauth2/keys/rsa-1024.pem"), "RSA key of 2048 to 4096 bits"),
        ];
        scene.put_seed("shared", &[("client_id", "signer"), ("private_key", bad[0].0)]).await;
        scene.put(&object).await;
        for (key, says) in bad {
            scene.put_seed("shared", &[("client_id", "signer"), ("private_key", key)]).await;
            let told = |object: &refreshable_token_operator::api::RefreshableToken| {
                object
                    .status
                    .as_ref()
                    .is_some_and(|status| status.conditions.iter().any(|c| c.reason == "SeedInvalid" && c.message.contains(says)))
            };
            let object = scene.until("a", says, told).await;
            let message = Scene::message(&object, ConditionType::Stalled);
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert_eq!(created(&issuer), 0);
        scene.put_seed("shared", &[("client_id", "signer"), ("private_key", KEY), ("key_id", "1")]).await;
        scene.refreshed("a", 2).await;
        scene.healthy("a").await;
        assert!(issuer.log().iter().all(|seen| seen.status == 200), "each request had an assertion of its own");
    });
}

#[test]
fn a_signed_refresh_whose_answer_was_lost_is_repeated_with_another_assertion() {
    test("anew-grace", |scene| async move {
        use testbed::issuer::{Replay, Rotation};
        let issuer = server().await;
        issuer.with(|core, _| {
            core.config.rotation = Rotation::Grace { window: TimeDelta::seconds(20), replay: Replay::SamePair };
        });
        let pair = issuer.seed_oauth2("grace", "signer", TimeDelta::hours(1));
        let seed = [("refresh_token", pair.refresh()), ("client_id", "signer"), ("private_key", KEY)];
        scene.put_seed("a", &seed).await;
        let mut object = scene.manifest("a", oauth2(&issuer));
        let more = json!({"clientAuthentication": "PrivateKeyJWT", "rotation": "Grace", "graceSeconds": 20});
        object["spec"]["provider"]["oauth2"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        issuer.arm(Rule::once(Fault::DropAnswer { reset: true }).chain(pair.chain));
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        assert_eq!((issuer.presented(pair.refresh()), issuer.double_spends()), (2, 0));
    });
}

#[test]
fn an_unspent_refresh_token_is_kept_when_the_grant_changes() {
    test("anew-grant", |scene| async move {
        let issuer = server().await;
        let pair = issuer.seed_oauth2("grant", "client", TimeDelta::hours(1));
        let seed = [("refresh_token", pair.refresh()), ("client_id", "client"), ("client_secret", "secret")];
        scene.put_seed("a", &seed).await;
        let mut object = scene.manifest("a", oauth2(&issuer));
        issuer.with(|core, _| core.config.oauth2_lifetime = TimeDelta::hours(1));
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        let held = scene.value("a-token", "access_token").await;
        let unspent = scene.value("a-state", "refresh_token").await.unwrap();
        object["spec"]["provider"]["oauth2"]["grant"] = "ClientCredentials".into();
        scene.put(&object).await;
        tokio::time::timeout(Duration::from_secs(60), holds_a_new_token(&scene, "a", held, &issuer)).await.unwrap();
        scene.healthy("a").await;
        assert_eq!(scene.value("a-state", "refresh_token").await, None);
        assert_eq!(scene.value("a-state", "orphaned.replaced.refresh_token").await, Some(unspent.clone()));
        assert_eq!(issuer.presented(&unspent), 0);
        assert_eq!(issuer.chain_of(Kind::Oauth2, "grant"), Some(pair.chain));
    });
}

/// Who a token is by the word of the API server.
async fn reviewed(scene: &Scene<'_>, token: &str) -> Option<String> {
    use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
    let reviews: kube::Api<TokenReview> = kube::Api::all(scene.world.client.clone());
    let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![AUDIENCE.to_owned()]) };
    let asked = TokenReview { spec, ..TokenReview::default() };
    let told = reviews.create(&kube::api::PostParams::default(), &asked).await.unwrap().status.unwrap();
    told.user.filter(|_| told.authenticated == Some(true)).and_then(|user| user.username)
}

const AUDIENCE: &str = "https://idp.example.com";

#[test]
fn tokens_of_a_service_account_bring_others() {
    test("anew-account", |scene| async move {
        scene.put_seed("empty", &[]).await;
        for (name, grant) in [("exchange", "TokenExchange"), ("bearer", "JWTBearer")] {
            let issuer = server().await;
            issuer.with(|core, _| core.config.subject_audience = Some(AUDIENCE.to_owned()));
            let account = format!("{name}-account");
            let mut object = anew(&scene, name, &issuer);
            object["spec"]["provider"]["oauth2"]["grant"] = grant.into();
            object["spec"]["provider"]["oauth2"]["clientAuthentication"] = "None".into();
            object["spec"]["credential"] = json!({
                "seedSecretRef": {"name": "empty-seed"}, "serviceAccountRef": {"name": account, "audience": AUDIENCE}});
            scene.put(&object).await;
            let told = scene.stalled(name, "ServiceAccountTokenUnavailable").await;
            assert!(Scene::message(&told, ConditionType::Stalled).contains(&format!("ServiceAccount {account} does not exist")));
            assert_eq!(created(&issuer), 0);

            scene.kubectl(&["create", "serviceaccount", &account], None).await.checked().unwrap();
            scene.force(name, "account").await;
            scene.refreshed(name, 2).await;
            scene.healthy(name).await;
            let user = format!("system:serviceaccount:{}:{account}", scene.namespace);
            let calls = issuer.log().into_iter().filter(|call| call.operation == Operation::Create);
            let shown: Vec<String> = calls.filter_map(|call| call.token).collect();
            assert!(shown.len() >= 2 && shown.windows(2).all(|two| two[0] != two[1]), "each call shows a new token");
            for token in &shown {
                assert_eq!(reviewed(&scene, token).await.as_deref(), Some(user.as_str()));
            }
            let state = scene.secrets().get(&format!("{name}-state")).await.unwrap();
            let kept: Vec<Vec<u8>> = state.data.unwrap_or_default().into_values().map(|value| value.0).collect();
            let held = |token: &String| kept.iter().any(|value| value.windows(token.len()).any(|part| part == token.as_bytes()));
            assert!(!shown.iter().any(held), "it is kept nowhere");
            assert!(issuer.chains().iter().any(|chain| chain.subject == user));
        }
    });
}

#[test]
fn a_declared_api_gives_tokens_for_what_the_seed_holds() {
    test("anew-http", |scene| async move {
        let issuer = server().await;
        let mut object = scene.manifest("a", Value::Null);
        object["spec"]["provider"] = json!({"http": {
            "request": {"url": format!("{}/oauth2/token", issuer.url()), "auth": {"basic": {"usernameKey": "app", "passwordKey": "key"}},
                "fields": [{"name": "grant_type", "value": "client_credentials"}]},
            "reply": {"accessToken": "/access_token", "expiry": {"pointer": "/expires_in", "format": "Seconds"}},
            "semantics": {"rotation": "Reissue"},
        }});
        scene.put_seed("a", &[("unused", "x")]).await;
        scene.put(&object).await;
        let told = Scene::message(&scene.stalled("a", "SeedInvalid").await, ConditionType::Stalled);
        assert!(told.contains("has no key app"), "{told}");
        assert_eq!(created(&issuer), 0);
        scene.put_seed("a", &[("app", "client"), ("key", "secret")]).await;
        scene.refreshed("a", 2).await;
        scene.healthy("a").await;
        assert_eq!(scene.value("a-state", "refresh_token").await, None);

        // The answer is lost: asked for again. New credentials bring a new token at once.
        let (held, calls) = (scene.value("a-token", "access_token").await, created(&issuer));
        issuer.arm(Rule { operation: Some(Operation::Create), ..Rule::once(Fault::DropAnswer { reset: true }) });
        scene.force("a", "lost").await;
        let held = holds_a_new_token(&scene, "a", held, &issuer).await;
        assert!(created(&issuer) >= calls + 2, "the lost one and its repeat");
        issuer.with(|core, _| core.config.clients.get_mut("client").unwrap().secret = "changed".into());
        scene.put_seed("a", &[("app", "client"), ("key", "changed")]).await;
        holds_a_new_token(&scene, "a", Some(held), &issuer).await;
        scene.healthy("a").await;
    });
}
