//! Chains that credentials begin: the first one, and another after one that was lost.

use refreshable_token_operator::api::{ConditionType, RefreshableToken};
use serde_json::{Value, json};
use testbed::issuer::{Api as Kind, Client, ClientAuth, Issuer, Operation};

use crate::manifest::{LONG, access, oauth2};
use crate::world::{Scene, test};

const IDENTITY: &str = "identity-canary-token";
const PASSWORD: &str = "password-canary-1";
const AUDIENCE: &str = "https://idp.example.com";

async fn server() -> Issuer {
    let builder = Issuer::builder().user("ci", "ci-password", false).identity_token(IDENTITY, "ci");
    builder.family_revocation(true).start().await.unwrap()
}

/// An object whose chain the credentials in the seed begin, and begin again where `recovers`.
fn created(scene: Scene<'_>, name: &str, provider: Value, recovers: bool) -> Value {
    let mut object = scene.manifest(name, provider);
    object["spec"]["credential"]["bootstrap"] = "Create".into();
    if recovers {
        object["spec"]["recovery"] = json!({"onLostChain": "Bootstrap"});
    }
    object
}

fn ece(issuer: &Issuer) -> Value {
    json!({"elasticCloudEnterprise": {"url": issuer.url()}})
}

/// How many chains were begun.
fn begun(issuer: &Issuer) -> usize {
    issuer.log().iter().filter(|call| call.operation == Operation::Create && call.status == 200).count()
}

/// The output holds the newest token of the newest chain.
async fn holds_newest(scene: Scene<'_>, name: &str, issuer: &Issuer) {
    let newest = issuer.chains().last().unwrap().pairs.last().unwrap().access_token.clone();
    assert_eq!(scene.value(&format!("{name}-token"), "access_token").await, Some(newest));
}

#[test]
fn an_identity_token_begins_a_chain_that_goes_on_by_itself() {
    test("bootstrap-access", |scene| async move {
        let issuer = server().await;
        scene.put_seed("a", &[("access_token", IDENTITY)]).await;
        let mut object = created(scene, "a", access(&issuer), false);
        object["spec"]["request"] = json!({"lifetime": LONG, "scope": "applied-permissions/user"});
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        scene.event("a", "Bootstrapped").await;
        scene.force("a", "second").await;
        scene.refreshed("a", 2).await;
        holds_newest(scene, "a", &issuer).await;
        assert_eq!((begun(&issuer), issuer.double_spends()), (1, 0));
        let state = scene.secrets().get("a-state").await.unwrap().data.unwrap();
        assert!(state.contains_key("refresh_token"));
        let kept = |value: &[u8]| value.windows(IDENTITY.len()).any(|part| part == IDENTITY.as_bytes());
        assert!(!state.values().any(|value| kept(&value.0)), "the identity token is kept nowhere");
    });
}

#[test]
fn a_lost_chain_is_followed_by_another_where_that_is_wanted() {
    test("bootstrap-again", |scene| async move {
        let issuer = server().await;
        for (name, recovers) in [("waits", false), ("recovers", true)] {
            scene.put_seed(name, &[("access_token", IDENTITY)]).await;
            let mut object = created(scene, name, access(&issuer), recovers);
            object["spec"]["request"] = json!({"lifetime": LONG});
            scene.put(&object).await;
            scene.refreshed(name, 1).await;
            let pair = issuer.chains().last().unwrap().pairs.last().unwrap().clone();
            let (before, spent) = (begun(&issuer), pair.refresh().to_owned());
            // Somebody else uses the pair: the operator's token is spent.
            let form = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh())];
            let url = format!("{}/access/api/v1/tokens", issuer.url());
            let used = reqwest::Client::new().post(url).bearer_auth(&pair.access_token).form(&form).send().await.unwrap();
            assert_eq!(used.status(), 200);
            scene.force(name, "lost").await;
            if recovers {
                scene.refreshed(name, 2).await;
                scene.healthy(name).await;
                holds_newest(scene, name, &issuer).await;
                assert_eq!(begun(&issuer), before + 1);
                let aside = scene.value(&format!("{name}-state"), "orphaned.replaced.refresh_token").await;
                assert_eq!(aside, Some(spent), "what the old chain ended with is set aside");
            } else {
                let object = scene.until(name, "trouble", stalls).await;
                assert_eq!(object.status.unwrap().chain_generation, Some(1));
                assert_eq!(begun(&issuer), before);
            }
        }
    });
}

fn stalls(object: &RefreshableToken) -> bool {
    let conditions = object.status.as_ref().map(|status| &status.conditions);
    conditions.is_some_and(|conditions| conditions.iter().any(|c| c.type_ == ConditionType::Stalled && c.reason == "ChainLost"))
}

#[test]
fn a_login_begins_a_session_and_another_when_it_has_ended() {
    test("bootstrap-ece", |scene| async move {
        let issuer = server().await;
        scene.put_seed("a", &[("username", "ci"), ("password", "wrong")]).await;
        scene.put(&created(scene, "a", ece(&issuer), true)).await;
        let object = scene.stalled("a", "ConfigurationRejected").await;
        assert!(Scene::message(&object, ConditionType::Stalled).contains("the credentials in the seed are not accepted"));
        assert_eq!(begun(&issuer), 0);
        scene.put_seed("a", &[("username", "ci"), ("password", "ci-password")]).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        let chain = issuer.chain_of(Kind::ElasticCloudEnterprise, "ci").unwrap();
        issuer.revoke_chain(chain);
        scene.force("a", "ended").await;
        scene.refreshed("a", 2).await;
        scene.healthy("a").await;
        holds_newest(scene, "a", &issuer).await;
        assert_eq!(begun(&issuer), 2);
    });
}

#[test]
fn a_seed_that_can_begin_nothing_is_told() {
    test("bootstrap-empty", |scene| async move {
        let issuer = server().await;
        scene.put_seed("a", &[("username", "ci")]).await;
        scene.put(&created(scene, "a", access(&issuer), true)).await;
        let object = scene.stalled("a", "SeedInvalid").await;
        assert!(Scene::message(&object, ConditionType::Stalled).contains("neither tokens nor what brings the first ones"));
        assert!(issuer.log().is_empty());
    });
}

/// A server of OAuth 2.0 that gives refresh tokens for other grants too, or not.
async fn authorization_server(first_refresh_tokens: bool) -> Issuer {
    let client = Client { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read".into() };
    let builder = Issuer::builder().user("ci", PASSWORD, false).client("client", client).configure(|config| {
        config.first_refresh_tokens = first_refresh_tokens;
        config.subject_audience = Some(AUDIENCE.to_owned());
    });
    builder.family_revocation(true).start().await.unwrap()
}

fn begun_by(issuer: &Issuer, grant: &str) -> Value {
    let mut provider = oauth2(issuer);
    provider["oauth2"]["bootstrapGrant"] = grant.into();
    provider
}

/// Whether the state Secret of an object holds this text in any of its values.
async fn keeps(scene: Scene<'_>, name: &str, text: &str) -> bool {
    let state = scene.secrets().get(&format!("{name}-state")).await.unwrap().data.unwrap_or_default();
    state.values().any(|value| value.0.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[test]
fn a_password_begins_a_chain_of_oauth2_and_another_when_it_is_lost() {
    test("bootstrap-password", |scene| async move {
        let issuer = authorization_server(true).await;
        scene.put_seed("client", &[("client_id", "client"), ("client_secret", "secret")]).await;
        scene.put_seed("a", &[("username", "ci"), ("password", "wrong")]).await;
        let mut provider = begun_by(&issuer, "Password");
        provider["oauth2"]["clientSecretRef"] = json!({"name": "client-seed"});
        scene.put(&created(scene, "a", provider, true)).await;
        let object = scene.stalled("a", "ConfigurationRejected").await;
        let message = Scene::message(&object, ConditionType::Stalled);
        assert!(message.contains("no token for its credentials") && !message.contains("wrong"), "{message}");
        assert_eq!(begun(&issuer), 0);
        scene.put_seed("a", &[("username", "ci"), ("password", PASSWORD)]).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        scene.event("a", "Bootstrapped").await;
        scene.force("a", "second").await;
        scene.refreshed("a", 2).await;
        holds_newest(scene, "a", &issuer).await;
        assert_eq!(begun(&issuer), 1, "a refresh token brought the second");
        issuer.revoke_chain(issuer.chain_of(Kind::Oauth2, "ci").unwrap());
        scene.force("a", "lost").await;
        scene.refreshed("a", 3).await;
        scene.healthy("a").await;
        holds_newest(scene, "a", &issuer).await;
        assert_eq!((begun(&issuer), issuer.double_spends()), (2, 0));
        assert!(!keeps(scene, "a", PASSWORD).await, "the password is kept nowhere");
    });
}

#[test]
fn a_service_account_begins_a_chain_of_oauth2_and_is_not_needed_again() {
    test("bootstrap-account", |scene| async move {
        let issuer = authorization_server(true).await;
        scene.put_seed("a", &[("client_id", "client"), ("client_secret", "secret")]).await;
        let mut object = created(scene, "a", begun_by(&issuer, "TokenExchange"), false);
        object["spec"]["credential"]["serviceAccountRef"] = json!({"name": "builder", "audience": AUDIENCE});
        scene.put(&object).await;
        let told = scene.stalled("a", "ServiceAccountTokenUnavailable").await;
        assert!(Scene::message(&told, ConditionType::Stalled).contains("ServiceAccount builder does not exist"));
        assert!(issuer.log().is_empty());
        scene.kubectl(&["create", "serviceaccount", "builder"], None).await.checked().unwrap();
        scene.force("a", "account").await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        scene.kubectl(&["delete", "serviceaccount", "builder"], None).await.checked().unwrap();
        scene.force("a", "second").await;
        scene.refreshed("a", 2).await;
        scene.healthy("a").await;
        holds_newest(scene, "a", &issuer).await;
        let user = format!("system:serviceaccount:{}:builder", scene.namespace);
        assert!(issuer.chain_of(Kind::Oauth2, &user).is_some());
        let shown: Vec<String> =
            issuer.log().into_iter().filter(|call| call.operation == Operation::Create).filter_map(|call| call.token).collect();
        assert_eq!((shown.len(), issuer.double_spends()), (1, 0), "it is shown for the first tokens only");
        assert!(!keeps(scene, "a", &shown[0]).await, "it is kept nowhere");
    });
}

#[test]
fn a_server_that_gives_no_refresh_token_is_told_and_asked_again_on_request() {
    test("bootstrap-none", |scene| async move {
        let issuer = authorization_server(false).await;
        scene.put_seed("a", &[("client_secret", "secret")]).await;
        scene.put(&created(scene, "a", begun_by(&issuer, "ClientCredentials"), true)).await;
        let object = scene.stalled("a", "SeedInvalid").await;
        let message = Scene::message(&object, ConditionType::Stalled);
        assert!(message.contains("neither tokens nor what brings the first ones (client_id"), "{message}");
        assert!(issuer.log().is_empty());
        scene.put_seed("a", &[("client_id", "client"), ("client_secret", "secret")]).await;
        let object = scene.stalled("a", "ConfigurationRejected").await;
        let message = Scene::message(&object, ConditionType::Stalled);
        assert!(message.contains("no refresh token, so that no chain can begin"), "{message}");
        assert_eq!(scene.value("a-token", "access_token").await, None, "what cannot go on is not handed out");
        issuer.with(|core, _| core.config.first_refresh_tokens = true);
        scene.force("a", "allowed").await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        holds_newest(scene, "a", &issuer).await;
    });
}
