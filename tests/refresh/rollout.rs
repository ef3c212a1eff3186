//! What a roll-out rests on: the contents as the operator's own loop leaves them in the status, and what is known of the targets.

use chrono::TimeDelta;
use refreshable_token_operator::api::{RefreshableToken, RolloutKind, RolloutSpec, RolloutStatus, RolloutTarget, SpecDuration};
use refreshable_token_operator::refresh::rollout::{Contents, contents};

use super::issuer::Kind;
use super::operator::Operator;
use super::plan::Plan;
use super::scenario::{Start, begin};
use super::world::World;

fn target(name: &str) -> RolloutTarget {
    RolloutTarget { kind: RolloutKind::Deployment, name: Some(name.to_owned()), selector: None }
}

/// A running chain that rolls out to these targets; its next refresh is due.
fn rolling(names: &[&str]) -> (World, Operator) {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let due = world.now;
    world.now -= TimeDelta::minutes(10);
    let opaque = world.spec.outputs[0].opaque.as_mut().unwrap();
    opaque.previous_access_token_key = Some("previous".into());
    opaque.previous_access_token_grace = Some(SpecDuration::from_secs(120));
    let targets = names.iter().map(|name| target(name)).collect();
    world.spec.rollout = Some(Box::new(RolloutSpec { targets, min_interval: None }));
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    world.now = due;
    (world, operator)
}

/// What is to be rolled out, if it is time.
fn holds(world: &World) -> Option<Contents> {
    let mut object = RefreshableToken::new("token", world.spec.clone());
    object.metadata.generation = Some(world.generation);
    object.status = Some(world.status.clone());
    contents(&object, &world.key)
}

#[test]
fn contents_change_with_a_refresh_and_neither_with_a_repair_nor_with_the_end_of_a_previous_token() {
    let (mut world, mut operator) = rolling(&["web"]);
    let first = holds(&world).unwrap();
    operator.settle(&mut world, &mut Plan::none());
    let second = holds(&world).unwrap();
    assert_ne!(second.revision, first.revision);
    assert_eq!(second.issued, world.status.token.as_ref().unwrap().issued_time);
    world.outputs.clear();
    world.pass(60);
    operator.settle(&mut world, &mut Plan::none());
    let repaired = holds(&world).unwrap();
    assert_eq!((&repaired.revision, repaired.issued), (&second.revision, second.issued));
    assert!(repaired.written > second.written, "which is why the age of the token counts where nobody remembers");
    assert!(world.outputs["out"].data.contains_key("previous"));
    world.pass(120);
    operator.settle(&mut world, &mut Plan::none());
    assert!(!world.outputs["out"].data.contains_key("previous"));
    assert_eq!(holds(&world).unwrap().revision, second.revision);
    assert_eq!(world.issuer.handled, 2);
}

#[test]
fn what_is_known_of_a_target_outlives_refreshes_and_goes_with_the_target() {
    let (mut world, mut operator) = rolling(&["web", "other"]);
    let known = |name: &str| RolloutStatus { content_hash: Some(format!("hash of {name}")), ..RolloutStatus::new(&target(name)) };
    world.status.rollouts = vec![known("web"), known("other")];
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.handled, 2, "refreshed");
    assert_eq!(world.status.rollouts, [known("web"), known("other")]);
    world.spec.rollout.as_mut().unwrap().targets.remove(0);
    world.generation += 1;
    assert_eq!(holds(&world), None, "not before the new spec was looked at");
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.rollouts, [known("other")]);
    world.spec.rollout = None;
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.rollouts, []);
}
