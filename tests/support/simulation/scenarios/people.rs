//! What people and other programs do to the Secrets and the object, at every effect of a refresh.

use serde_json::{Value, json};
use testbed::fake_cluster::{FakeCluster, Kind as Resource, set_secret_value};

use crate::simulation::count::Count;
use crate::simulation::run::{Start, effects, run, sum};
use crate::simulation::world::{Setup, World};
use crate::simulation::{NAME, NAMESPACE, STATE};

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Labels the state Secret.
    Label,
    /// Puts a key of their own into the state Secret.
    ForeignKey,
    /// `kubectl delete` of the state Secret.
    Delete,
    /// Deletes the state Secret and takes its finalizers away.
    DeleteByForce,
    /// Puts back the state Secret as it was before this refresh.
    Restore,
    /// Deletes the state Secret by force and puts it back as it was before this refresh.
    DeleteAndRestore,
    /// Makes the state Secret immutable.
    MakeImmutable,
    /// Empties the state Secret.
    Empty,
    /// Changes the object's spec.
    EditSpec,
    /// Clears the object's status.
    ClearStatus,
    /// Deletes the output.
    DeleteOutput,
    /// Edits the output.
    EditOutput,
}

/// All deeds.
pub const DEEDS: [Deed; 12] = [
    Deed::Label,
    Deed::ForeignKey,
    Deed::Delete,
    Deed::DeleteByForce,
    Deed::Restore,
    Deed::DeleteAndRestore,
    Deed::MakeImmutable,
    Deed::Empty,
    Deed::EditSpec,
    Deed::ClearStatus,
    Deed::DeleteOutput,
    Deed::EditOutput,
];

impl Deed {
    /// The reason with which the object waits for a person afterwards.
    fn waits_as(self) -> Option<&'static str> {
        match self {
            Self::MakeImmutable => Some("StateImmutable"),
            Self::Empty => Some("StateConflict"),
            _ => None,
        }
    }

    /// It takes no token away, and brings no old one back.
    pub fn is_gentle(self) -> bool {
        match self {
            Self::Label | Self::ForeignKey | Self::EditSpec | Self::DeleteOutput | Self::EditOutput => true,
            Self::Delete
            | Self::DeleteByForce
            | Self::Restore
            | Self::DeleteAndRestore
            | Self::MakeImmutable
            | Self::Empty
            | Self::ClearStatus => false,
        }
    }
}

/// Each deed at every effect of a refresh.
pub fn deeds(setup: Setup) -> Count {
    let plans: Vec<(usize, Deed)> =
        (0..effects(setup, Start::Steady)).flat_map(|index| DEEDS.map(|deed| (index, deed))).collect();
    sum(&plans, |(index, deed)| {
        let what = || format!("{setup:?} {deed:?} at {index}");
        let mut count = run(setup, Start::Steady, |world| arrange(world, *index, *deed), what);
        // Some deeds only a person can undo: the object says so and waits, and the newest pair is kept.
        let waits =
            |problem: &String| deed.waits_as().is_some_and(|reason| problem.contains(&format!("stalled: Some({reason:?})")));
        if count.lost == 0 && count.double_spends == 0 && count.problems.iter().all(waits) {
            (count.waiting, count.stuck) = (count.stuck, 0);
            count.problems.clear();
        }
        count
    })
}

/// Arranges that somebody does this just before an effect.
pub fn arrange(world: &World, index: usize, deed: Deed) {
    let (cluster, judge) = (world.cluster.clone(), std::sync::Arc::clone(&world.judge));
    let copy = cluster.get(Resource::Secret, NAMESPACE, STATE).map(|copy| Value::clone(&copy));
    let act = move || judge.person_destroys(|| perform(&cluster, deed, copy));
    world.control.act(index, Box::new(act));
}

fn perform(cluster: &FakeCluster, deed: Deed, copy: Option<Value>) {
    let edit = |change: &dyn Fn(&mut Value)| {
        cluster.edit(Resource::Secret, NAMESPACE, STATE, change);
    };
    match deed {
        Deed::Label => edit(&|secret| secret["metadata"]["labels"]["team"] = "a".into()),
        Deed::ForeignKey => edit(&|secret| set_secret_value(secret, "note", Some(b"mine"))),
        Deed::Delete => cluster.delete(Resource::Secret, NAMESPACE, STATE),
        Deed::DeleteByForce => cluster.delete_by_force(Resource::Secret, NAMESPACE, STATE),
        Deed::Restore => {
            if let Some(copy) = copy {
                cluster.put(Resource::Secret, copy);
            }
        }
        Deed::DeleteAndRestore => {
            cluster.delete_by_force(Resource::Secret, NAMESPACE, STATE);
            if let Some(copy) = copy {
                cluster.put(Resource::Secret, copy);
            }
        }
        Deed::MakeImmutable => edit(&|secret| secret["immutable"] = true.into()),
        Deed::Empty => edit(&|secret| secret["data"] = json!({})),
        Deed::EditSpec => {
            cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
                let spec = &mut object["spec"];
                // What a declared request asks for stands in its body.
                if spec["provider"]["http"].is_object() {
                    spec["refresh"] = json!({ "jitterPercent": 7 });
                } else {
                    spec["request"] = json!({ "scope": "a" });
                }
            });
        }
        Deed::ClearStatus => {
            cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
                object["status"] = json!({ "observedGeneration": -1 });
            });
        }
        Deed::DeleteOutput => cluster.delete(Resource::Secret, NAMESPACE, "demo-token"),
        Deed::EditOutput => {
            cluster.edit(Resource::Secret, NAMESPACE, "demo-token", |secret| {
                set_secret_value(secret, "access_token", Some(b"edited"));
            });
        }
    }
}
