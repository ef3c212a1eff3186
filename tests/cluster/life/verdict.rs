//! What programs read: `kubectl wait`, observedGeneration, kstatus.

use refreshable_token_operator::api::ConditionType;
use serde_json::json;
use testbed::issuer::{Fault, Rule};

use crate::manifest::{LONG, keys};
use crate::sight::{Kstatus, kstatus};
use crate::world::{condition, test};

#[test]
fn kubectl_wait_returns_when_the_token_is_there() {
    test("verdict-wait", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        scene.put(&scene.access("a", LONG)).await;
        let wait = ["wait", "--for=condition=Ready", "rtok/a", "--timeout=60s"];
        scene.kubectl(&wait, None).await.checked().unwrap();
        assert_eq!(scene.calls(&pair), 1);
        let mut object = scene.access("a", LONG);
        for percent in [0, 20] {
            object["spec"]["refresh"] = json!({"jitterPercent": percent});
            scene.put(&object).await;
            scene.kubectl(&wait, None).await.checked().unwrap();
            let seen = scene.status("a").await;
            let generation = scene.objects().get("a").await.unwrap().metadata.generation;
            assert_eq!(seen.observed_generation, generation);
            assert!(seen.conditions.iter().all(|condition| condition.observed_generation == generation));
        }
        let object = scene.healthy("a").await;
        assert_eq!(condition(&object, ConditionType::Stalled), None);
        assert_eq!(condition(&object, ConditionType::Reconciling), None);
        assert_eq!(scene.calls(&pair), 1);
    });
}

#[test]
fn a_new_object_is_in_progress_until_its_first_token_is_there() {
    test("verdict-new", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        scene.world.issuer.arm(Rule::once(Fault::Delay { before_ms: 3000, answer_ms: 0 }).chain(pair.chain));
        let created = scene.try_put(&scene.access("a", LONG)).await.unwrap();
        let created = serde_json::from_value(serde_json::to_value(created).unwrap()).unwrap();
        assert_eq!(kstatus(&created), Kstatus::InProgress, "as it is created");
        scene
            .until("a", "the call", |object| {
                assert!(kstatus(object) == Kstatus::InProgress || scene.world.issuer.refreshes(pair.chain) == 1);
                scene.calls(&pair) == 1
            })
            .await;
        scene.healthy("a").await;
    });
}
