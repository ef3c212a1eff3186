//! Exchanges that a dead process, a refused write or a lost answer left open, and how they end.

use std::time::Duration;

use chrono::TimeDelta;
use refreshable_token_operator::api::{AttemptState, ConditionType};
use serde_json::{Value, json};
use testbed::issuer::{Client, ClientAuth, Fault, Issuer, Pair, Replay, Rotation, Rule};

use crate::manifest::{client_keys, keys, oauth2};
use crate::sight::wait;
use crate::stage::OPERATOR_NAMESPACE;
use crate::world::{Scene, World, alone, test};

#[test]
fn an_open_claim_of_a_dead_process_is_told_at_once_where_the_journal_proves_its_death() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("claim").await;
        let journal = tempfile::tempdir().unwrap();
        let operator = world.operator_with(journal.path(), &["claim"]).await.unwrap();
        let (_, pair) = scene.begun("a").await;
        let output = scene.secret("a-token").await;
        let spent = world.issuer.newest(pair.chain).unwrap();
        world.issuer.arm(Rule::once(Fault::Hang { process: true }).chain(pair.chain));
        scene.force("a", "now").await;
        wait("the call", || async { (scene.calls(&pair) == 2).then_some(()) }).await;
        // The process dies with the answer outstanding: nothing of it runs on.
        operator.kill();
        let state = scene.secret("a-state").await;
        let marked = scene.status("a").await.attempt.unwrap();
        assert_eq!(marked.state, AttemptState::Sending);

        let operator = world.operator_with(journal.path(), &["claim"]).await.unwrap();
        let object = scene.stalled("a", "RefreshOutcomeUnknown").await;
        let status = object.status.as_ref().unwrap();
        let attempt = status.attempt.as_ref().unwrap();
        assert_eq!((&attempt.id, attempt.state), (&marked.id, AttemptState::Unknown));
        let message = Scene::message(&object, ConditionType::Stalled);
        assert!(message.contains("not sent again before the access token has expired, and then once"), "{message}");
        let expiration = status.token.as_ref().unwrap().expiration_time.unwrap();
        // A second after the end, which the API server's clock must have passed too: it counts from when the answer was stored.
        let repeat = status.next_refresh_time.unwrap() - expiration;
        assert!((TimeDelta::seconds(1)..TimeDelta::seconds(15)).contains(&repeat), "{repeat}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = scene.secret("a-state").await;
        assert_eq!(now.metadata.resource_version, state.metadata.resource_version, "untouched");
        assert_eq!(scene.secret("a-token").await.data, output.data);
        assert_eq!(world.issuer.presented(spent.refresh()), 1);

        let new = scene.hour("a").await;
        scene.put_seed("a", &keys(&new)).await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &new).await;
        scene.healthy("a").await;
        operator.stop().await.unwrap();
    });
}

#[test]
fn a_new_token_that_cannot_be_stored_waits_in_escrow() {
    test("escrow", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        let slow = Fault::Delay { before_ms: 0, answer_ms: 2000 };
        scene.world.issuer.arm(Rule::once(slow).chain(pair.chain));
        scene.force("a", "now").await;
        wait("the call", || async { (scene.calls(&pair) == 2).then_some(()) }).await;
        // Between the claim and the commit somebody freezes the Secret.
        let freeze = ["patch", "secret", "a-state", "-p", r#"{"immutable": true}"#];
        scene.kubectl(&freeze, None).await.checked().unwrap();
        let note = scene.event("a", "WriteFailed").await;
        let attempt = scene.status("a").await.attempt.unwrap();
        let name = format!("refreshable-token-escrow-{}", attempt.id);
        assert!(note.contains(&format!("safe in Secret {name} of the operator's namespace")), "{note}");
        let newest = scene.world.issuer.newest(pair.chain).unwrap();
        assert!(escrowed(&scene, &name).await.unwrap().contains(newest.refresh()));

        // What the message asks for: the frozen Secret goes, and the operator makes a new one.
        let unhold = ["patch", "secret", "a-state", "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#];
        scene.kubectl(&unhold, None).await.checked().unwrap();
        scene.remove("a-state").await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &pair).await;
        scene.never_twice(&pair);
        scene.healthy("a").await;
        wait("the end of the escrow", || async { escrowed(&scene, &name).await.is_none().then_some(()) }).await;
    });
}

/// The answer in an escrow Secret.
async fn escrowed(scene: &Scene<'_>, name: &str) -> Option<String> {
    use base64::Engine as _;
    let args = ["get", "secret", name, "-n", OPERATOR_NAMESPACE, "-o", "json", "--ignore-not-found"];
    let text = scene.world.plane.kubectl(&args, None).await.unwrap().checked().unwrap();
    let decode = |text: &str| base64::prelude::BASE64_STANDARD.decode(text).unwrap();
    let secret: Value = serde_json::from_str(&text).ok()?;
    let entry: Value = serde_json::from_slice(&decode(secret["data"]["entry.json"].as_str()?)).unwrap();
    Some(String::from_utf8(decode(entry["answer"]["body"].as_str()?)).unwrap())
}

/// A chain of this issuer with the given wishes; the issuer's lifetimes are short.
async fn begun_at(scene: Scene<'_>, issuer: &Issuer, rotation: &str, grace: Option<i32>) -> Pair {
    let pair = issuer.seed_oauth2("short", "client", TimeDelta::hours(1));
    scene.put_seed("a", &client_keys(&pair, "secret")).await;
    let mut object = scene.manifest("a", oauth2(issuer));
    let provider = &mut object["spec"]["provider"]["oauth2"];
    provider["rotation"] = rotation.into();
    provider["timeouts"] = json!({"request": "2s", "connect": "1s"});
    if let Some(seconds) = grace {
        provider["graceSeconds"] = json!(seconds);
    }
    scene.put(&object).await;
    scene.refreshed("a", 1).await;
    pair
}

fn client() -> Client {
    Client { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read".into() }
}

async fn strict(lifetime: TimeDelta) -> Issuer {
    let issuer = Issuer::builder().client("client", client()).rotation(Rotation::Strict).family_revocation(true);
    issuer.configure(|config| config.oauth2_lifetime = lifetime).start().await.unwrap()
}

#[test]
fn the_one_late_repeat_heals_a_chain_whose_request_never_arrived() {
    test("late-heals", |scene| async move {
        let issuer = strict(TimeDelta::seconds(20)).await;
        let pair = begun_at(scene, &issuer, "Strict", None).await;
        let spent = issuer.newest(pair.chain).unwrap();
        issuer.arm(Rule::once(Fault::Hang { process: false }).chain(pair.chain));
        let object = scene.stalled("a", "RefreshOutcomeUnknown").await;
        let expiration = object.status.unwrap().token.unwrap().expiration_time.unwrap();
        assert_eq!(issuer.presented(spent.refresh()), 1);
        let object = scene.refreshed("a", 2).await;
        let renewed = object.status.unwrap().token.unwrap().issued_time.unwrap();
        assert!(renewed >= expiration, "not while the access token was alive: {renewed} {expiration}");
        assert_eq!((issuer.presented(spent.refresh()), issuer.double_spends()), (2, 0));
        scene.healthy("a").await;
    });
}

#[test]
fn the_one_late_repeat_ends_a_chain_whose_answer_was_lost() {
    test("late-ends", |scene| async move {
        let issuer = strict(TimeDelta::seconds(20)).await;
        let pair = begun_at(scene, &issuer, "Strict", None).await;
        let spent = issuer.newest(pair.chain).unwrap();
        issuer.arm(Rule::once(Fault::DropAnswer { reset: true }).chain(pair.chain));
        scene.stalled("a", "RefreshOutcomeUnknown").await;
        scene.stalled("a", "ChainLost").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(issuer.presented(spent.refresh()), 2, "once more, and never again");
        scene.event("a", "ChainLost").await;
    });
}

#[test]
fn a_process_that_dies_in_flight_loses_nothing_inside_a_grace_window() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("grace").await;
        let journal = tempfile::tempdir().unwrap();
        let operator = world.operator_with(journal.path(), &["grace"]).await.unwrap();
        let rotation = Rotation::Grace { window: TimeDelta::seconds(60), replay: Replay::SamePair };
        let issuer =
            Issuer::builder().client("client", client()).rotation(rotation).family_revocation(true).start().await.unwrap();
        let pair = begun_at(scene, &issuer, "Grace", Some(60)).await;
        let spent = issuer.newest(pair.chain).unwrap();
        issuer.arm(Rule::once(Fault::Hang { process: true }).chain(pair.chain));
        scene.force("a", "now").await;
        wait("the call", || async { (issuer.presented(spent.refresh()) == 1).then_some(()) }).await;
        operator.kill();

        let operator = world.operator_with(journal.path(), &["grace"]).await.unwrap();
        scene.refreshed("a", 2).await;
        let newest = issuer.newest(pair.chain).unwrap();
        assert_eq!(scene.value("a-state", "refresh_token").await, newest.refresh_token);
        assert_eq!((issuer.presented(spent.refresh()), issuer.double_spends()), (2, 0), "repeated once, inside the window");
        scene.healthy("a").await;
        operator.stop().await.unwrap();
    });
}
