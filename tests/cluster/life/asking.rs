//! What the API is asked beside new tokens: whether one works, and to end one that was replaced.

use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde_json::{Value, json};
use testbed::issuer::{Client, ClientAuth, Fault, Issuer, Operation, Pair, Rule};

use crate::sight::wait;
use crate::world::{Scene, test};

/// An issuer with one client, and a chain of it.
async fn issuer(name: &str) -> (Issuer, Pair) {
    let client = Client { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read".into() };
    let issuer = Issuer::builder().client("client", client).start().await.unwrap();
    let pair = issuer.seed_oauth2(name, "client", chrono::TimeDelta::hours(1));
    (issuer, pair)
}

async fn object(scene: Scene<'_>, issuer: &Issuer, pair: &Pair) -> Value {
    scene.put_seed("a", &[("refresh_token", pair.refresh()), ("client_id", "client"), ("client_secret", "secret")]).await;
    let url = issuer.url();
    scene.manifest(
        "a",
        json!({"oauth2": {
            "tokenURL": format!("{url}/oauth2/token"), "introspectionURL": format!("{url}/oauth2/introspect"),
            "revocationURL": format!("{url}/oauth2/revoke"),
        }}),
    )
}

fn newest(issuer: &Issuer) -> String {
    issuer.chains().last().unwrap().pairs.last().unwrap().access_token.clone()
}

/// The access tokens that this was asked about, in order.
fn asked(issuer: &Issuer, operation: Operation) -> Vec<String> {
    let log = issuer.log();
    log.iter().filter(|call| call.operation == operation).filter_map(|call| call.token.clone()).collect()
}

#[test]
fn a_token_that_was_not_accepted_is_not_published() {
    test("asking-verify", |scene| async move {
        let (issuer, pair) = issuer("verify").await;
        let mut object = object(scene, &issuer, &pair).await;
        object["spec"]["recovery"] = json!({"verifyBeforePublish": true});
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        let first = newest(&issuer);
        assert_eq!(asked(&issuer, Operation::Inspect), std::slice::from_ref(&first));
        assert!(scene.status("a").await.token.unwrap().verified_time.is_some());

        let away = Fault::Status { code: 503, headers: Vec::new(), body: String::new(), process: false };
        issuer.arm(Rule::once(away).operation(Operation::Inspect));
        scene.force("a", "again").await;
        let shown = scene.says("a", ConditionType::SecretsSynced, ConditionStatus::False, "TokenNotVerified").await;
        assert!(Scene::message(&shown, ConditionType::SecretsSynced).contains("could not be tried"));
        assert_eq!(scene.value("a-token", "access_token").await.as_ref(), Some(&first), "the outputs keep the old one");
        assert_ne!(newest(&issuer), first);
        // It is tried again by itself.
        scene.healthy("a").await;
        assert_eq!(scene.value("a-token", "access_token").await, Some(newest(&issuer)));
        assert_eq!(scene.status("a").await.chain_generation, Some(2), "no token was obtained for that");
    });
}

#[test]
fn a_token_that_was_replaced_is_revoked_after_its_grace_and_the_chain_goes_on() {
    test("asking-retire", |scene| async move {
        let (issuer, pair) = issuer("retire").await;
        let mut object = object(scene, &issuer, &pair).await;
        object["spec"]["refresh"] = json!({"revokeReplacedAfter": "2s"});
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        let first = newest(&issuer);
        scene.force("a", "again").await;
        scene.refreshed("a", 2).await;
        assert!(asked(&issuer, Operation::Revoke).is_empty());
        wait("the replaced token to be revoked", || async { asked(&issuer, Operation::Revoke).first().cloned() }).await;
        scene
            .until("a", "the status to forget it", |object| {
                object.status.as_ref().is_some_and(|status| status.token.as_ref().is_some_and(|token| token.previous.is_none()))
            })
            .await;
        assert_eq!(asked(&issuer, Operation::Revoke), [first]);
        scene.force("a", "once more").await;
        scene.refreshed("a", 3).await;
        scene.healthy("a").await;
        assert_eq!(scene.value("a-token", "access_token").await, Some(newest(&issuer)));
    });
}

/// A login brings what the request for a token is made with; each time both are asked for anew.
#[test]
fn a_refresh_in_two_steps_begins_anew_after_any_failure() {
    test("asking-steps", |scene| async move {
        let issuer = Issuer::builder().start().await.unwrap();
        let url = issuer.url();
        let mut object = scene.manifest("a", Value::Null);
        object["spec"]["provider"] = json!({"http": {
            "steps": [{
                "request": {"url": format!("{url}/api/v1/users/auth/_login"), "encoding": "JSON", "fields": [
                    {"name": "username", "seedKey": "user"}, {"name": "password", "seedKey": "pass"},
                ]},
                "results": [{"name": "session", "pointer": "/token"}],
            }],
            "request": {"url": format!("{url}/api/v1/users/auth/_refresh"),
                "auth": {"header": {"name": "Authorization", "prefix": "Bearer", "fromResult": "session"}}},
            "reply": {"accessToken": "/token"},
            "semantics": {"rotation": "Reissue"},
        }});
        scene.put_seed("a", &[("user", "ci"), ("pass", "ci-password")]).await;
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        let first = scene.value("a-token", "access_token").await;
        let calls = |operation| issuer.log().iter().filter(|call| call.operation == operation).count();
        assert_eq!((calls(Operation::Create), calls(Operation::Refresh)), (1, 1));
        // The answer to the step is lost, then the one to the request.
        for operation in [Operation::Create, Operation::Refresh] {
            issuer.arm(Rule::once(Fault::DropAnswer { reset: true }).operation(operation));
            scene.force("a", &format!("{operation:?}")).await;
            let before = scene.status("a").await.chain_generation.unwrap();
            scene.refreshed("a", before + 1).await;
        }
        scene.healthy("a").await;
        assert_ne!(scene.value("a-token", "access_token").await, first);
        assert_eq!((calls(Operation::Create), calls(Operation::Refresh)), (5, 4), "a failed step, and a failed request");
        assert!(scene.status("a").await.attempt.is_none());
    });
}
