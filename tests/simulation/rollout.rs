//! Roll-outs: whatever goes wrong, each change of the output restarts a workload once, and nothing else does.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::fake_cluster::Kind as Resource;
use tokio::time::Instant;

use crate::check;
use crate::simulation::count::Count;
use crate::simulation::fault::{FAULTS, Fault};
use crate::simulation::issuer::Kind;
use crate::simulation::run::{Start, begin, come_to_rest, guarded, simulate, sum};
use crate::simulation::scenarios::walks::{ALIKE, LONG};
use crate::simulation::world::{Setup, World};
use crate::simulation::{NAME, NAMESPACE};

const WORKLOAD: &str = "web";
const MARK: &str = "/spec/template/metadata/annotations/restarted-for.refreshabletoken.io~1demo";
/// Longer than the longest pause between two tries.
const TRIED_WITHIN: Duration = Duration::from_secs(400);
/// Longer than any refresh without faults takes.
const REFRESH: Duration = Duration::from_secs(30);

/// A world whose object restarts a workload that is older than every token.
fn stage(setup: Setup) -> World {
    let world = World::new(setup);
    let template = json!({ "metadata": { "labels": { "app": WORKLOAD } } });
    let metadata = json!({ "name": WORKLOAD, "namespace": NAMESPACE });
    world.cluster.put(Resource::Deployment, json!({ "metadata": metadata, "spec": { "template": template } }));
    world.cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
        object["spec"]["rollout"] = json!({ "targets": [{ "kind": "Deployment", "name": WORKLOAD }], "minInterval": "0s" });
    });
    world
}

impl World {
    fn workload(&self) -> Value {
        self.cluster.get(Resource::Deployment, NAMESPACE, WORKLOAD).map(|object| Value::clone(&object)).unwrap_or_default()
    }

    /// How often the workload's spec was changed.
    fn restarts(&self) -> i64 {
        self.workload()["metadata"]["generation"].as_i64().unwrap_or(0) - 1
    }

    fn refreshes(&self) -> i64 {
        self.object()["status"]["chainGeneration"].as_i64().unwrap_or(0)
    }

    /// Whether the workload was restarted for what the status says, and nothing is left to be done.
    fn is_rolled_out(&self) -> bool {
        let entry = self.object()["status"]["rollouts"][0].clone();
        let mark = self.workload().pointer(MARK).cloned().unwrap_or_default();
        mark.is_string() && entry["contentHash"] == mark && entry["reason"].is_null()
    }

    async fn until_rolled_out(&mut self) -> bool {
        self.until(Instant::now() + TRIED_WITHIN, Duration::from_secs(1), Self::is_rolled_out).await
    }
}

/// Effects of a refresh with the roll-out after it, when nothing goes wrong.
fn effects() -> usize {
    simulate(async || {
        let mut world = stage(Setup::of(Kind::Strict));
        begin(&mut world, Start::Steady).await;
        assert_eq!((world.restarts(), world.refreshes()), (1, 1), "older than the token: {}", world.report());
        world.control.arm();
        world.pass(REFRESH).await;
        assert!(world.is_rolled_out() && world.restarts() == 2, "{}", world.report());
        world.control.effects()
    })
}

/// A refresh that this fault meets, or the roll-out after it.
fn faulty(index: usize, fault: Fault) -> Count {
    let what = format!("{fault:?} at {index}");
    guarded(&what, || {
        simulate(async || {
            let mut world = stage(Setup::of(Kind::Strict));
            begin(&mut world, Start::Steady).await;
            world.control.fault(index, fault);
            world.control.arm();
            world.pass(REFRESH).await;
            world.control.disarm();
            come_to_rest(&mut world).await;
            let rolled_out = world.until_rolled_out().await;
            let mut count = world.count(&what);
            let (restarts, refreshes) = (world.restarts(), world.refreshes());
            if !rolled_out || restarts > refreshes {
                count.problem(format!("{what}: {restarts} restarts for {refreshes} refreshes\n{}", world.report()));
            }
            count
        })
    })
}

#[test]
fn one_fault_at_any_effect_of_a_refresh_or_of_its_roll_out() {
    let plans: Vec<(usize, Fault)> = (0..effects()).flat_map(|index| FAULTS.map(|fault| (index, fault))).collect();
    check("roll-out", &sum(&plans, |(index, fault)| faulty(*index, *fault)));
}

#[test]
fn an_operator_that_starts_again_or_lost_the_status_restarts_nothing() {
    simulate(async || {
        let mut world = stage(Setup { lifetime: LONG, ..Setup::of(Kind::Strict) });
        world.start();
        assert!(world.settle().await && world.until_rolled_out().await, "{}", world.report());
        assert_eq!(world.restarts(), 1, "{}", world.report());
        world.kill_all();
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(world.restarts(), 1, "started again: {}", world.report());
        for lost in ["/status/rollouts", "/status"] {
            let refreshes = world.judge.issuer().rotations;
            world.cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
                *object.pointer_mut(lost).unwrap() = if lost == "/status" { json!({}) } else { json!([]) };
            });
            world.kill_all();
            world.pass(Duration::from_secs(60)).await;
            assert!(world.until_rolled_out().await, "{lost}: {}", world.report());
            let since = i64::from(world.judge.issuer().rotations - refreshes);
            assert_eq!(world.restarts(), 1 + since, "{lost}: {}", world.report());
        }
    });
}

/// Each sees the other's restart in the workload.
#[test]
fn two_replicas_restart_once() {
    simulate(async || {
        let mut world = stage(Setup { skews: &ALIKE, ..Setup::of(Kind::Strict) });
        world.start();
        assert!(world.settle().await && world.until_rolled_out().await, "{}", world.report());
        for _ in 0..5 {
            world.until_due().await;
            world.pass(REFRESH).await;
            assert!(world.until_rolled_out().await, "{}", world.report());
            assert_eq!(world.restarts(), world.refreshes(), "{}", world.report());
        }
    });
}

/// Nothing of a refresh waits for a workload that is not there.
#[test]
fn a_missing_workload_holds_up_no_refresh() {
    simulate(async || {
        let mut world = stage(Setup::of(Kind::Strict));
        world.cluster.delete_by_force(Resource::Deployment, NAMESPACE, WORKLOAD);
        world.start();
        assert!(world.settle().await, "{}", world.report());
        world.pass(Duration::from_secs(3600)).await;
        assert!(world.refreshes() >= 8 && world.judge.verdict().healthy, "{}", world.report());
        assert_eq!(world.object()["status"]["rollouts"][0]["reason"], "RolloutTargetMissing", "{}", world.report());
        let events = world.cluster.list(Resource::Event, NAMESPACE);
        let told = events.iter().filter(|event| event["reason"] == "RolloutTargetMissing").count();
        assert_eq!(told, 1, "told once: {}", world.report());
    });
}
