//! Roll-outs: a workload is restarted once for each change of the outputs, by whichever process, and no refresh hangs on it.

use std::time::Duration;

use refreshable_token_operator::api::{ConditionStatus, ConditionType, RefreshableToken, RolloutStatus};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::manifest::{LONG, keys};
use crate::stage::Running;
use crate::world::{PATIENCE, Scene, World, alone, condition, test};

/// Where the object `a` remembers what it restarted a workload for.
const MARK: &str = "/spec/template/metadata/annotations/restarted-for.refreshabletoken.io~1a";

impl Scene<'_> {
    /// Creates a workload with the label `app: <name>`.
    async fn workload(&self, kind: &str, name: &str) {
        let labels = json!({"app": name});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "example.com/c"}]}});
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        });
        if kind == "StatefulSet" {
            object["spec"]["serviceName"] = name.into();
        }
        self.apply(&object.to_string()).await;
    }

    /// How often the spec of a workload was changed since it is there, and what it was restarted for.
    async fn seen(&self, workload: &str) -> (i64, Option<String>) {
        let text = self.kubectl(&["get", workload, "-o", "json"], None).await.checked().unwrap();
        let object: Value = serde_json::from_str(&text).unwrap();
        let mark = object.pointer(MARK).and_then(Value::as_str).map(str::to_owned);
        (object["metadata"]["generation"].as_i64().unwrap() - 1, mark)
    }

    /// An object with these targets, whose token lives long.
    async fn rolled(&self, name: &str, rollout: Value) -> Value {
        let pair = self.hour(name).await;
        self.put_seed(name, &keys(&pair)).await;
        let mut object = self.access(name, LONG);
        object["spec"]["rollout"] = rollout;
        self.put(&object).await;
        object
    }

    /// Waits until every target of the object is up to date after that many refreshes; gives their entries.
    async fn up_to_date(&self, name: &str, generation: i64) -> Vec<RolloutStatus> {
        self.refreshed(name, generation).await;
        let done = |object: &RefreshableToken| {
            let targets = object.spec.rollout.as_ref().unwrap().targets.len();
            let known = &object.status.as_ref().unwrap().rollouts;
            known.len() == targets && known.iter().all(|one| one.message.is_none() && one.content_hash == known[0].content_hash)
        };
        // What the first entry holds is told by the workloads.
        self.until(name, "the roll-out", done).await.status.unwrap().rollouts
    }

    /// Waits until a workload was restarted that many times; gives what for.
    async fn restarted(&self, workload: &str, times: i64) -> String {
        let begun = Instant::now();
        loop {
            let (count, mark) = self.seen(workload).await;
            assert!(count <= times, "{workload} was restarted {count} times");
            if let Some(mark) = mark.filter(|_| count == times) {
                return mark;
            }
            assert!(begun.elapsed() < PATIENCE, "{workload} was restarted {count} times only");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the one target's entry is about these contents.
    async fn recorded(&self, name: &str, hash: &str) -> RolloutStatus {
        self.recorded_of(name, None, hash).await
    }

    /// The same, once it is about this target.
    async fn recorded_of(&self, name: &str, target: Option<&str>, hash: &str) -> RolloutStatus {
        let fits = |known: &RolloutStatus| target.is_none() || known.name.as_deref() == target;
        let about = |object: &RefreshableToken| {
            let first = object.status.as_ref().unwrap().rollouts.first();
            first.is_some_and(|known| fits(known) && known.content_hash.as_deref() == Some(hash))
        };
        self.until(name, "the entry", about).await.status.unwrap().rollouts.remove(0)
    }
}

#[test]
fn each_change_restarts_each_workload_once_and_none_that_was_born_after_it() {
    test("rollout", |scene| async move {
        for (kind, name) in [("Deployment", "web"), ("StatefulSet", "db"), ("StatefulSet", "other"), ("DaemonSet", "agent")] {
            scene.workload(kind, name).await;
        }
        // Times of the API server are whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let targets = json!([
            {"kind": "Deployment", "name": "web"}, {"kind": "StatefulSet", "selector": {"matchLabels": {"app": "db"}}},
            {"kind": "DaemonSet", "name": "agent"},
        ]);
        let mut object = scene.rolled("a", json!({"targets": targets, "minInterval": "0s"})).await;
        let first = scene.restarted("deployment/web", 1).await;
        let known = scene.up_to_date("a", 1).await;
        assert!(first.starts_with("hmac:") && known[0].content_hash.as_ref() == Some(&first), "{known:?}");
        assert!(known.iter().all(|known| known.last_restart_time.is_some()));
        assert_eq!(scene.restarted("statefulset/db", 1).await, first);
        assert_eq!(scene.restarted("daemonset/agent", 1).await, first);
        let told = scene.event("a", "WorkloadRestarted").await;
        assert!(told.contains("restarted "), "{told}");

        // The same contents, written again: nobody is restarted.
        scene.remove("a-token").await;
        scene.until_secret("a-token", "put back", |_| true).await;
        scene.force("a", "1").await;
        let second = scene.restarted("deployment/web", 2).await;
        assert_ne!(second, first);
        assert_eq!(scene.restarted("statefulset/db", 2).await, second);

        // One that is named for the first time, and is younger than the contents.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        scene.workload("Deployment", "young").await;
        object["spec"]["rollout"]["targets"] = json!([{"kind": "Deployment", "name": "young"}]);
        scene.put(&object).await;
        let young = scene.recorded_of("a", Some("young"), &second).await;
        assert_eq!((young.name.as_deref(), young.last_restart_time), (Some("young"), None));
        assert_eq!(scene.seen("deployment/young").await, (0, None));
        assert_eq!(scene.seen("statefulset/other").await, (0, None), "it has other labels");
        scene.healthy("a").await;
    });
}

#[test]
fn what_changes_within_the_interval_goes_out_together_when_it_is_over() {
    test("rollout-interval", |scene| async move {
        scene.workload("Deployment", "web").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        scene.rolled("a", json!({"targets": [{"kind": "Deployment", "name": "web"}], "minInterval": "12s"})).await;
        let first = scene.restarted("deployment/web", 1).await;
        let began = scene.recorded("a", &first).await.last_restart_time.unwrap();
        for (value, generation) in [("1", 2), ("2", 3), ("3", 4)] {
            scene.force("a", value).await;
            scene.refreshed("a", generation).await;
        }
        assert_eq!(scene.seen("deployment/web").await.0, 1, "the interval is not over");
        let second = scene.restarted("deployment/web", 2).await;
        let known = scene.recorded("a", &second).await;
        assert!((known.last_restart_time.unwrap() - began).num_seconds() >= 12, "{known:?} after {began}");
        tokio::time::sleep(Duration::from_secs(13)).await;
        assert_eq!(scene.seen("deployment/web").await.0, 2, "three refreshes were one restart");
        assert_eq!(scene.status("a").await.chain_generation, Some(4));
    });
}

/// Waits until the object's first target has this reason; gives the message.
async fn complains(scene: Scene<'_>, reason: &str) -> String {
    let first = |object: &RefreshableToken| object.status.as_ref().and_then(|status| status.rollouts.first()).cloned();
    let about = |object: &RefreshableToken| first(object).is_some_and(|known| known.reason.as_deref() == Some(reason));
    let object = scene.until("a", reason, about).await;
    assert_eq!(condition(&object, ConditionType::Ready).unwrap().0, ConditionStatus::True);
    first(&object).unwrap().message.unwrap()
}

#[test]
fn a_missing_workload_is_told_and_holds_up_nothing() {
    test("rollout-missing", |scene| async move {
        scene.rolled("a", json!({"targets": [{"kind": "Deployment", "name": "web"}]})).await;
        let message = complains(scene, "RolloutTargetMissing").await;
        assert!(message.starts_with("there is no Deployment/web in this namespace"), "{message}");
        assert!(scene.event("a", "RolloutTargetMissing").await.contains("Deployment/web"));
        scene.force("a", "1").await;
        scene.refreshed("a", 2).await;
        scene.healthy("a").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        scene.workload("Deployment", "web").await;
        let mended = |object: &RefreshableToken| {
            object.status.as_ref().unwrap().rollouts.first().is_some_and(|known| known.message.is_none())
        };
        scene.until("a", "no message", mended).await;
        assert_eq!(scene.seen("deployment/web").await, (0, None), "its Pods begin with the newest token");
    });
}

#[test]
fn an_operator_that_starts_again_restarts_nothing() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("rollout-again").await;
        scene.workload("Deployment", "web").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let operator = world.operator(&["rollout-again"]).await.unwrap();
        scene.rolled("a", json!({"targets": [{"kind": "Deployment", "name": "web"}], "minInterval": "0s"})).await;
        let first = scene.restarted("deployment/web", 1).await;
        scene.recorded("a", &first).await;
        operator.kill();
        let operator = world.operator(&["rollout-again"]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(scene.seen("deployment/web").await, (1, Some(first.clone())));
        operator.stop().await.unwrap();

        // Killed between the restart and the word about it: the workload itself tells.
        let forget = r#"{"status":{"rollouts":null}}"#;
        scene.kubectl(&["patch", "rtok/a", "--subresource=status", "--type=merge", "-p", forget], None).await.checked().unwrap();
        let operator = world.operator(&["rollout-again"]).await.unwrap();
        scene.recorded("a", &first).await;
        assert_eq!(scene.seen("deployment/web").await, (1, Some(first.clone())));

        // A tool puts the template back: nobody fights it, and the next change counts again.
        let revert = r#"[{"op":"remove","path":"/spec/template/metadata/annotations"}]"#;
        scene.kubectl(&["patch", "deployment/web", "--type=json", "-p", revert], None).await.checked().unwrap();
        scene.kubectl(&["label", "rtok/a", "touched=yes"], None).await.checked().unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(scene.seen("deployment/web").await, (2, None));
        scene.force("a", "1").await;
        assert_ne!(scene.restarted("deployment/web", 3).await, first);
        operator.stop().await.unwrap();
    });
}

#[test]
fn two_objects_restart_one_workload_each_for_its_own_token() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("rollout-shared").await;
        scene.workload("Deployment", "web").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let operator = world.operator(&["rollout-shared"]).await.unwrap();
        let rollout = json!({"targets": [{"kind": "Deployment", "name": "web"}], "minInterval": "0s"});
        for name in ["a", "b"] {
            scene.rolled(name, rollout.clone()).await;
            scene.up_to_date(name, 1).await;
        }
        assert_eq!(scene.seen("deployment/web").await.0, 2, "one restart for each");
        operator.stop().await.unwrap();
        // Nobody remembers but the workload, and what it remembers of the one is not what it remembers of the other.
        for name in ["rtok/a", "rtok/b"] {
            let forget = r#"{"status":{"rollouts":null}}"#;
            scene.kubectl(&["patch", name, "--subresource=status", "--type=merge", "-p", forget], None).await.checked().unwrap();
        }
        let operator = world.operator(&["rollout-shared"]).await.unwrap();
        for name in ["a", "b"] {
            scene.up_to_date(name, 1).await;
        }
        assert_eq!(scene.seen("deployment/web").await.0, 2);
        scene.force("b", "1").await;
        scene.refreshed("b", 2).await;
        scene.restarted("deployment/web", 3).await;
        operator.stop().await.unwrap();
    });
}

/// Lets `limited` do everything but with workloads and providers: what may not be listed must not keep the operator from its end.
async fn grant_the_rest(world: &World) {
    let rule = |(group, resources): (&str, &[&str])| json!({"apiGroups": [group], "resources": resources, "verbs": ["*"]});
    let objects = ["refreshabletokens", "refreshabletokens/status", "refreshabletokens/finalizers"];
    let rules: Vec<Value> = [("", &["*"][..]), ("refreshabletoken.io", &objects), ("events.k8s.io", &["*"])].map(rule).into();
    let rest = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "rest"}, "rules": rules});
    world.plane.kubectl(&["apply", "-f", "-"], Some(&rest.to_string())).await.unwrap().checked().unwrap();
    bind(world, "rest").await;
}

async fn bind(world: &World, role: &str) {
    let arguments = ["create", "clusterrolebinding", role, &format!("--clusterrole={role}"), "--user=limited"];
    world.plane.kubectl(&arguments, None).await.unwrap().checked().unwrap();
}

#[test]
fn what_may_not_be_restarted_is_told_and_refreshes_go_on() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("rollout-forbidden").await;
        grant_the_rest(&world).await;
        scene.workload("Deployment", "web").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let limited = &world.plane.user("limited").unwrap().yaml;
        let operator = Running::start(limited, &["rollout-forbidden"]).await.unwrap();
        scene.rolled("a", json!({"targets": [{"kind": "Deployment", "name": "web"}], "minInterval": "0s"})).await;
        let message = complains(scene, "RolloutForbidden").await;
        assert!(message.contains("does not let the operator restart Deployment/web"), "{message}");
        assert!(scene.event("a", "RolloutForbidden").await.contains("rollout.enabled=true"));
        for generation in 2..5 {
            scene.force("a", &generation.to_string()).await;
            scene.refreshed("a", generation).await;
        }
        scene.healthy("a").await;
        assert_eq!(scene.seen("deployment/web").await, (0, None));
        let failed = scene.events("a").await.into_iter().filter(|(reason, _)| reason == "RolloutForbidden").count();
        assert_eq!(failed, 1, "told once");

        let create = ["create", "clusterrole", "workloads", "--verb=get,list,patch", "--resource=deployments.apps"];
        world.plane.kubectl(&create, None).await.unwrap().checked().unwrap();
        bind(&world, "workloads").await;
        let mark = scene.restarted("deployment/web", 1).await;
        assert_eq!(scene.recorded("a", &mark).await.message, None);
        operator.stop().await.unwrap();
    });
}
