//! Bad inputs of docs/bad-inputs.md that the core alone decides about: copies that are too old or from too far, answers and outputs of
//! which nothing can be made.

use refreshable_token_operator::api::{AttemptState, AttemptStatus, OutputFile, Reason};
use refreshable_token_operator::provider::Semantics;
use refreshable_token_operator::refresh::exchange::spendable;
use refreshable_token_operator::refresh::state::{Claim, State};
use refreshable_token_operator::token::{FingerprintKey, RefreshToken};

use super::issuer::Kind;
use super::operator::{Operator, stalled};
use super::plan::Plan;
use super::scenario::{Start, begin, plant};
use super::world::World;

/// A chain that is refreshed twice, when its third refresh is due; and the state Secret as it was before the second.
fn due_again() -> (World, Operator, State) {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let old = world.decoded().unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.handled, 2);
    world.now = world.status.next_refresh_time.unwrap();
    (world, operator, old)
}

/// The object waits for this reason, whoever looks at it, and nothing was presented; a new seed begins a new chain.
fn waits_for_a_seed(mut world: World, operator: Operator, reason: Reason) {
    let handled = world.issuer.handled;
    for mut operator in [operator, Operator::new(2)] {
        operator.live(&mut world, &mut Plan::none(), 2000);
        assert_eq!(stalled(&world), Some(reason.as_str()), "{:?}", world.status);
        assert_eq!((world.issuer.handled, world.issuer.replays.len()), (handled, 0), "the token was presented");
    }
    plant(&mut world);
    Operator::new(3).settle(&mut world, &mut Plan::none());
    assert_eq!((stalled(&world), world.issuer.handled), (None, handled + 1), "{:?}", world.status);
}

#[test]
fn bad_input_60_the_token_of_an_older_copy_is_not_presented() {
    for same in [true, false] {
        let (mut world, operator, old) = due_again();
        world.replace_state(old.encode(), same);
        waits_for_a_seed(world, operator, Reason::Regressed);
    }
    // The token that a mark names, under a generation that was edited.
    let (mut world, operator, old) = due_again();
    let raised = State { generation: world.decoded().unwrap().generation + 5, ..old };
    world.replace_state(raised.encode(), true);
    waits_for_a_seed(world, operator, Reason::Regressed);
}

/// Of two replicas one knows that its claim has spent nothing, and makes another; the other has waited that first claim out, and takes
/// it for a lost answer. (Found by `SIM_SEED=46829` and `SIM_SEED=49679` of the random walks, as `Regressed`.)
#[test]
fn a_claim_that_has_spent_nothing_is_closed_by_the_next() {
    let (mut world, mut operator, _) = due_again();
    let mut claimed = world.decoded().unwrap();
    let held = spendable(&claimed.tokens, Semantics::SingleUse, &world.key).unwrap();
    claimed.claim = Some(Claim { fingerprint: held.to_string(), ..Claim::new("void".to_owned(), "pod", "0") });
    world.replace_state(claimed.encode(), true);
    operator.memory.void_claims.push("void".to_owned());
    operator.turn(&mut world, &mut Plan { down: true, ..Plan::none() });
    assert_eq!((world.decoded().unwrap().claim, world.issuer.handled), (None, 2), "the next claim was made and given back");
    world.status.attempt =
        Some(Box::new(AttemptStatus { id: "void".to_owned(), state: AttemptState::Unknown, start_time: world.now }));
    world.status.spent_fingerprints.push(held.to_string());
    world.object_version += 1;
    let mut other = Operator::new(2);
    other.live(&mut world, &mut Plan::none(), 900);
    assert_eq!((stalled(&world), world.issuer.replays.len()), (None, 0), "{:?}", world.status);
    assert_eq!(world.issuer.handled, 3);
}

/// The same where nothing is due: the other would take the claim for an open exchange for ever. (`SIM_SEED=89973`: two replicas whose
/// clocks are twenty minutes apart put each other off for hours.)
#[test]
fn a_claim_that_has_spent_nothing_is_closed_when_the_outputs_are_looked_after() {
    let (mut world, mut operator, _) = due_again();
    world.now -= chrono::TimeDelta::minutes(10);
    let mut claimed = world.decoded().unwrap();
    claimed.claim = Some(Claim::new("void".to_owned(), "pod", "0"));
    world.replace_state(claimed.encode(), true);
    operator.memory.void_claims.push("void".to_owned());
    world.outputs.clear();
    operator.settle(&mut world, &mut Plan::none());
    let state = world.decoded().unwrap();
    assert_eq!((state.claim, state.closed_claims.last().map(String::as_str)), (None, Some("void")));
    assert_eq!((world.outputs.len(), world.issuer.handled), (1, 2));
}

#[test]
fn bad_input_64_the_token_of_another_cluster_is_not_presented() {
    let (mut world, operator, _) = due_again();
    let mut copied = world.decoded().unwrap();
    copied.owner.cluster = "another".into();
    world.replace_state(copied.encode(), false);
    waits_for_a_seed(world, operator, Reason::ForeignCluster);
}

/// Each operator has a key of its own, and by another's marks nobody can tell a new seed from one that came along: the person says it.
#[test]
fn the_state_of_another_operators_cluster_has_to_be_deleted() {
    let (mut world, mut operator, _) = due_again();
    let handled = world.issuer.handled;
    let mut copied = world.decoded().unwrap();
    copied.owner.cluster = "another".into();
    copied.key = Some(FingerprintKey::new(b"another operator").name());
    world.replace_state(copied.encode(), false);
    operator.live(&mut world, &mut Plan::none(), 2000);
    plant(&mut world);
    operator.live(&mut world, &mut Plan::none(), 2000);
    assert_eq!((stalled(&world), world.issuer.handled), (Some(Reason::ForeignCluster.as_str()), handled));
    let told = format!("{:?}", world.status.conditions);
    assert!(told.contains("then delete this copy of the state Secret"), "{told}");
    world.state = None;
    operator.live(&mut world, &mut Plan::none(), 2000);
    assert_eq!((stalled(&world), world.issuer.handled, world.issuer.replays.len()), (None, handled + 1, 0), "{:?}", world.status);
}

/// With the object's status as the copy of the whole namespace brings it, and without.
#[test]
fn a_copy_of_everything_in_another_cluster_waits_too() {
    for status_too in [true, false] {
        let (mut world, _, _) = due_again();
        let mut copied = world.decoded().unwrap();
        copied.owner.cluster = "another".into();
        world.replace_state(copied.encode(), false);
        world.uid = "object-2".into();
        if !status_too {
            world.status = refreshable_token_operator::api::RefreshableTokenStatus::default();
        }
        waits_for_a_seed_that_was_copied(world);
    }
}

/// The seed that came along was adopted before: the state that came along says so.
fn waits_for_a_seed_that_was_copied(mut world: World) {
    let handled = world.issuer.handled;
    let mut operator = Operator::new(2);
    operator.live(&mut world, &mut Plan::none(), 2000);
    assert_eq!(stalled(&world), Some(Reason::ForeignCluster.as_str()), "{:?}", world.status);
    assert_eq!((world.issuer.handled, world.issuer.replays.len()), (handled, 0), "the token was presented");
}

#[test]
fn bad_input_36_an_output_that_cannot_be_written_is_told_before_anything_is_spent() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let files = &mut world.spec.outputs[0].files;
    let template = Some("{{ token.access }}".repeat(400));
    files.push(OutputFile { key: "large".into(), template, ..OutputFile::default() });
    world.generation += 1;
    operator.live(&mut world, &mut Plan::none(), 2000);
    assert_eq!(stalled(&world), Some(Reason::OutputInvalid.as_str()), "{:?}", world.status);
    assert_eq!(world.issuer.handled, 1, "nothing is spent");
    world.spec.outputs[0].files.clear();
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((stalled(&world), world.issuer.handled), (None, 2), "{:?}", world.status);
}

#[test]
fn bad_input_45_a_refresh_token_without_an_access_token_is_kept_and_asked_on_with_pauses() {
    for start in [Start::First, Start::Steady] {
        let (mut world, mut operator) = begin(Kind::Strict, start);
        world.issuer.withholds = true;
        let (begun, before) = (world.now, world.issuer.handled);
        operator.live(&mut world, &mut Plan::none(), 7200);
        let held = world.decoded().unwrap().tokens.refresh_token;
        assert_eq!(held, Some(RefreshToken::new(world.issuer.chain().current.as_str())), "{start:?}");
        assert!(world.issuer.replays.is_empty(), "{start:?}");
        let minutes = (world.now - begun).num_minutes();
        let calls = i64::from(world.issuer.handled - before);
        assert!((2..=minutes + 1).contains(&calls), "{start:?}: {calls} calls in {minutes} minutes");
        // The API comes to its senses.
        world.issuer.withholds = false;
        operator.live(&mut world, &mut Plan::none(), 120);
        let output = &world.outputs["out"].data["access_token"];
        assert_eq!(output, world.issuer.chain().access.as_bytes(), "{start:?} {:?}", world.status);
    }
}
