//! Answers that never came: the token is not presented again, unless the API promises that it may be.

use chrono::TimeDelta;
use refreshable_token_operator::api::{AttemptState, ConditionStatus, ConditionType};
use serde_json::json;
use testbed::issuer::{Api as Kind, Client, ClientAuth, Fault, Issuer, Replay, Rotation, Rule};

use crate::manifest::{client_keys, keys, oauth2};
use crate::sight::{Kstatus, calls_at, kstatus, wait};
use crate::world::{condition, test};

const FINALIZER: &str = "refreshabletoken.io/open-claim";

#[test]
fn a_token_whose_answer_was_lost_is_never_presented_again() {
    test("unknown", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        let issuer = &scene.world.issuer;
        let (spent, output) = (issuer.newest(pair.chain).unwrap(), scene.secret("a-token").await);
        issuer.arm(Rule::once(Fault::DropAnswer { reset: false }).chain(pair.chain));
        scene.force("a", "now").await;
        let object = scene.stalled("a", "RefreshOutcomeUnknown").await;
        assert_eq!(kstatus(&object), Kstatus::Failed);
        assert_eq!(object.status.as_ref().unwrap().attempt.as_ref().unwrap().state, AttemptState::Unknown);
        assert_eq!(condition(&object, ConditionType::Ready).unwrap().0, ConditionStatus::True, "the old token still works");
        let state = scene.secret("a-state").await;
        assert_eq!(state.metadata.finalizers, Some(vec![FINALIZER.to_owned()]), "the claim stays open");
        assert_eq!(scene.state("a").await["claim"]["id"], object.status.unwrap().attempt.unwrap().id);
        assert_eq!(scene.secret("a-token").await.data, output.data, "the outputs stay");

        scene.force("a", "again").await;
        scene.kubectl(&["delete", "secret", "a-token"], None).await.checked().unwrap();
        scene.until_secret("a-token", "put back", |secret| secret.data == output.data).await;
        scene.quiet(&pair, 3).await;
        assert_eq!(issuer.presented(spent.refresh()), 1);
        assert_eq!(scene.secret("a-state").await.metadata.resource_version, state.metadata.resource_version, "untouched");

        let new = scene.hour("a").await;
        scene.put_seed("a", &keys(&new)).await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &new).await;
        let healed = scene.healthy("a").await.status.unwrap();
        assert_eq!(healed.attempt, None);
        assert_eq!(scene.secret("a-state").await.metadata.finalizers, None);
        assert_eq!(issuer.presented(spent.refresh()), 1);
    });
}

#[test]
fn an_answer_that_cannot_be_read_is_kept_for_a_person() {
    test("unknown-garbage", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        let body = r#"{"access_token": "almost"#;
        scene.world.issuer.arm(Rule::once(Fault::Malformed { body: body.into() }).chain(pair.chain));
        scene.force("a", "now").await;
        scene.stalled("a", "RefreshOutcomeUnknown").await;
        assert_eq!(scene.value("a-state", "unparsed_response").await.as_deref(), Some(body));
        scene.quiet(&pair, 2).await;
        assert_eq!(scene.calls(&pair), 2);
    });
}

#[test]
fn a_lost_answer_is_asked_for_again_within_a_declared_grace_window() {
    test("unknown-grace", |scene| async move {
        let client = Client { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read".into() };
        let rotation = Rotation::Grace { window: TimeDelta::seconds(20), replay: Replay::SamePair };
        let issuer = Issuer::builder().client("client", client).rotation(rotation).family_revocation(true).start().await.unwrap();
        let pair = issuer.seed_oauth2("grace", "client", TimeDelta::hours(1));
        scene.put_seed("a", &client_keys(&pair, "secret")).await;
        let mut object = scene.manifest("a", oauth2(&issuer));
        object["spec"]["provider"]["oauth2"]["rotation"] = "Grace".into();
        object["spec"]["provider"]["oauth2"]["graceSeconds"] = json!(20);
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        issuer.arm(Rule::once(Fault::DropAnswer { reset: true }).chain(pair.chain));
        let spent = issuer.newest(pair.chain).unwrap();
        scene.force("a", "now").await;
        scene.refreshed("a", 2).await;
        let newest = issuer.newest(pair.chain).unwrap();
        wait("the newest token in the output", || async {
            scene.value("a-token", "access_token").await.filter(|text| *text == newest.access_token)
        })
        .await;
        assert_eq!((issuer.presented(spent.refresh()), calls_at(&issuer, &pair)), (2, 3));
        assert_eq!(issuer.double_spends(), 0, "the repeat came inside the window");
        scene.healthy("a").await;
    });
}

#[test]
fn an_answer_without_a_new_refresh_token_is_the_last_one() {
    test("unknown-last", |scene| async move {
        let issuer = Issuer::builder().start().await.unwrap();
        let pair = issuer.seed_jfrog_access("ci", TimeDelta::hours(1));
        issuer.with(|core, _| core.config.allow_refreshable = false);
        let provider = crate::stage::provider_yaml(Kind::JfrogAccess, &issuer);
        let seed = crate::stage::seed_yaml("a-seed", scene.namespace, Kind::JfrogAccess, &pair);
        let object = format!(
            "---\napiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: a}}\nspec:\n{provider}  credential: {{seedSecretRef: {{name: a-seed}}}}\n  outputs: [{{secretName: a-token, opaque: {{}}}}]\n"
        );
        scene.apply(&format!("{seed}{object}")).await;
        let stalled = scene.stalled("a", "ChainLost").await;
        assert_eq!(condition(&stalled, ConditionType::Ready).unwrap().0, ConditionStatus::True, "the last token works");
        let newest = issuer.newest(pair.chain).unwrap();
        assert_eq!((newest.generation, newest.refresh_token), (1, None));
        assert_eq!(scene.value("a-token", "access_token").await, Some(newest.access_token));
        scene.force("a", "now").await;
        scene
            .until("a", "the request handled", |object| {
                object.status.as_ref().is_some_and(|status| status.last_handled_refresh_request.is_some())
            })
            .await;
        assert_eq!((issuer.presented(pair.refresh()), issuer.double_spends()), (1, 0));
    });
}
