//! What each outcome comes to: conditions, reasons, times, memory, events; and what holds after any of them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use refreshable_token_operator::api::{
    AttemptState, AttemptStatus, ConditionStatus, ConditionType, Reason, RefreshableTokenStatus, SpecDuration,
};
use refreshable_token_operator::provider::{Class, Lost, Semantics, TokenError};
use refreshable_token_operator::refresh::conclude::{Conclusion, Note, conclude, conclude_halt, conclude_wait};
use refreshable_token_operator::refresh::decide::{Memory, SeedView, Trigger};
use refreshable_token_operator::refresh::exchange::{Finished, Outcome, OutputOutcome, OutputProblem};
use refreshable_token_operator::refresh::state::{Claim, State};
use refreshable_token_operator::token::{AccessToken, Fingerprint, FingerprintKey, Purpose, RefreshToken};

use super::issuer::Kind;
use super::operator::{Operator, facts, stalled};
use super::plan::{Fault, Plan};
use super::scenario::{Start, begin, output, plant, seed};
use super::world::World;

/// A running chain some minutes before its refresh is due.
fn running() -> World {
    let (mut world, _) = begin(Kind::Strict, Start::Steady);
    world.now -= TimeDelta::minutes(10);
    world
}

fn view(world: &World) -> SeedView {
    world.seed.as_ref().map_or(SeedView::NotSeen, |(version, _)| SeedView::Seen(version.to_string()))
}

fn finished(world: &World, outcome: Outcome) -> Finished {
    Finished {
        outcome,
        state: world.decoded(),
        unrendered: None,
        outputs: Vec::new(),
        spent: None,
        unmark: None,
        void_claim: None,
        adopted: None,
        rest: None,
        open: false,
        claim: world.decoded().and_then(|state| state.claim),
        asks: false,
        fate: None,
        verified: None,
        retired: None,
    }
}

/// The state after one more refresh.
fn next_state(world: &World) -> State {
    let mut state = world.decoded().unwrap();
    state.generation += 1;
    state.tokens.access_token = Some(AccessToken::new("access-next"));
    state.tokens.refresh_token = Some(RefreshToken::new("refresh-next"));
    state.tokens.issued_time = Some(world.now);
    state.tokens.expiration_time = Some(world.now + TimeDelta::hours(1));
    state
}

fn fingerprint(world: &World, text: &str) -> Fingerprint {
    world.key.fingerprint(Purpose::Token, text.as_bytes())
}

fn written(world: &World, result: Result<(), OutputProblem>) -> OutputOutcome {
    let content_hash = fingerprint(world, "contents");
    OutputOutcome { name: "out".into(), type_: "Opaque", content_hash, lasting_hash: None, result }
}

fn after_with(world: &World, memory: &Memory, finished: &Finished, trigger: Trigger) -> Conclusion {
    conclude(&facts(world, &world.status, memory, &view(world)), finished, trigger, Semantics::SingleUse, world.now)
}

fn after(world: &World, finished: &Finished, trigger: Trigger) -> Conclusion {
    after_with(world, &Memory::default(), finished, trigger)
}

fn wait(world: &World) -> Conclusion {
    conclude_wait(&facts(world, &world.status, &Memory::default(), &view(world)), world.now)
}

/// Whatever holds the object up meanwhile: a lost CA bundle, or a person who suspends it.
#[test]
fn the_one_repeat_of_an_open_attempt_outlives_halts_and_suspensions() {
    let mut world = running();
    let planned = world.status.next_refresh_time;
    let memory = Memory { looked_at: Some("claim".to_owned()), ..Memory::default() };
    let halt = |world: &World| {
        let facts = facts(world, &world.status, &memory, &view(world));
        conclude_halt(&facts, Reason::CaBundleInvalid, "mend it", world.now).status.next_refresh_time
    };
    assert_eq!(halt(&world), None, "nothing is open: no refresh is planned");
    let attempt = AttemptStatus { id: "claim".to_owned(), state: AttemptState::Unknown, start_time: world.now };
    (world.status.attempt, world.status.consecutive_failures) = (Some(Box::new(attempt)), Some(1));
    assert!(planned.is_some());
    assert_eq!(halt(&world), planned);
    world.spec.suspend = Some(true);
    let suspended = conclude_wait(&facts(&world, &world.status, &memory, &view(&world)), world.now);
    assert_eq!((suspended.status.next_refresh_time, &suspended.memory.looked_at), (None, &None));
    // Nobody has committed a refresh yet, so that nothing else has the attempt looked at again.
    world.spec.suspend = None;
    world.status = RefreshableTokenStatus { chain_generation: Some(0), ..suspended.status };
    world.generation += 1;
    let (mut operator, mut plan) = (Operator::new(1), Plan::none());
    operator.memory = suspended.memory;
    operator.turn(&mut world, &mut plan);
    assert!(plan.log.iter().any(|line| line.starts_with("Drift Publish")), "{:?}", plan.log);
}

fn rejected(class: Class, retry_after: Option<u64>) -> Outcome {
    let retry_after = retry_after.map(std::time::Duration::from_secs);
    Outcome::Rejected(TokenError { class, status: 400, detail: "why", retry_after })
}

fn refused(reason: Reason) -> Outcome {
    Outcome::Refused { reason, message: "what to do".into() }
}

fn postponed(reason: Reason) -> Outcome {
    Outcome::Postponed { reason, message: "what happened".into() }
}

/// Status and reason of each condition, in words.
fn words(status: &RefreshableTokenStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{:?} {:?} {}", c.type_, c.status, c.reason)).collect()
}

fn reasons(notes: &[Note]) -> Vec<&str> {
    notes.iter().map(|note| note.reason.as_str()).collect()
}

fn seconds(world: &World, time: Option<DateTime<Utc>>) -> Option<i64> {
    time.map(|time| (time - world.now).num_seconds())
}

/// A name, an outcome of an exchange that was begun for this, and what is said and planned then.
type Row = (&'static str, Outcome, Trigger, Vec<&'static str>, Option<i64>);

#[test]
fn a_refresh_that_is_due_already_waits_for_no_watch_event() {
    let mut world = running();
    let due = world.status.next_refresh_time.unwrap();
    for (now, again) in [(due - TimeDelta::seconds(1), false), (due, true), (due + TimeDelta::hours(1), true)] {
        world.now = now;
        assert_eq!(after(&world, &finished(&world, Outcome::Published), Trigger::Drift).again, again, "{now}");
    }
    // What is put off waits.
    let postponed = after(&world, &finished(&world, postponed(Reason::ClusterUnavailable)), Trigger::Drift);
    assert!(!postponed.again && postponed.memory.retry_time > Some(world.now));
}

#[test]
fn each_outcome_has_its_conditions_and_its_next_try() {
    let world = running();
    let fresh = ["Ready True TokenFresh", "SecretsSynced True Written"];
    let with = |third: &'static str| [fresh[0], fresh[1], third];
    let rows: [Row; 11] = [
        (
            "postponed",
            postponed(Reason::EndpointUnreachable),
            Trigger::Scheduled,
            with("Reconciling True EndpointUnreachable").into(),
            Some(6),
        ),
        (
            "throttled",
            rejected(Class::Throttled, Some(120)),
            Trigger::Scheduled,
            with("Reconciling True Throttled").into(),
            Some(121),
        ),
        (
            "transient",
            rejected(Class::Transient, None),
            Trigger::Scheduled,
            with("Reconciling True RefreshRetrying").into(),
            Some(6),
        ),
        (
            "configuration",
            rejected(Class::Configuration, None),
            Trigger::Scheduled,
            with("Stalled True ConfigurationRejected").into(),
            Some(3601),
        ),
        ("chain over", Outcome::ChainOver(None), Trigger::Scheduled, with("Stalled True ChainLost").into(), None),
        (
            "unknown",
            Outcome::Unknown(Some(Lost::Timeout)),
            Trigger::Scheduled,
            with("Stalled True RefreshOutcomeUnknown").into(),
            // The one late repeat, a second after the expiry.
            seconds(&world, world.status.token.as_ref().and_then(|token| token.expiration_time)).map(|seconds| seconds + 1),
        ),
        ("refused", refused(Reason::Regressed), Trigger::Scheduled, with("Stalled True Regressed").into(), None),
        (
            "an output of somebody else's",
            refused(Reason::OutputConflict),
            Trigger::Scheduled,
            vec!["Ready False OutputConflict", "SecretsSynced False OutputConflict", "Stalled True OutputConflict"],
            None,
        ),
        ("stale", Outcome::Stale, Trigger::Scheduled, fresh.into(), seconds(&world, world.status.next_refresh_time)),
        ("published", Outcome::Published, Trigger::Drift, fresh.into(), seconds(&world, world.status.next_refresh_time)),
        (
            "the cluster was away when outputs were looked after",
            postponed(Reason::ClusterUnavailable),
            Trigger::Drift,
            with("Reconciling True ClusterUnavailable").into(),
            seconds(&world, world.status.next_refresh_time),
        ),
    ];
    for (name, outcome, trigger, conditions, next) in rows {
        let got = after(&world, &finished(&world, outcome.clone()), trigger);
        assert_eq!(words(&got.status), conditions, "{name}");
        assert_eq!(seconds(&world, got.status.next_refresh_time), next, "{name}");
        assert_eq!(got.again, outcome == Outcome::Stale, "{name}");
        let counted = matches!(outcome, Outcome::Postponed { .. } | Outcome::Rejected(_) | Outcome::Unknown(_));
        let failures = i32::from(counted && trigger != Trigger::Drift);
        assert_eq!(got.status.consecutive_failures, Some(failures), "{name}");
        let rests = matches!(outcome, Outcome::Refused { .. }) || trigger == Trigger::Drift && outcome != Outcome::Published;
        assert_eq!(got.memory.retry_time.is_some(), rests, "{name}");
        assert_eq!(got.status.attempt.is_some(), matches!(outcome, Outcome::Unknown(_)), "{name}");
    }
}

#[test]
fn a_refresh_leaves_nothing_of_what_was_wrong_before() {
    let mut world = running();
    world.status = after(&world, &finished(&world, rejected(Class::Configuration, None)), Trigger::Scheduled).status;
    world.status.attempt =
        Some(Box::new(AttemptStatus { id: "claim".into(), state: AttemptState::Sending, start_time: world.now }));
    let memory = Memory { publish_failures: 3, looked_at: Some("claim".into()), ..Memory::default() };
    let mut done = finished(&world, Outcome::Refreshed);
    done.state = Some(next_state(&world));
    done.spent = Some(fingerprint(&world, "refresh-0-1"));
    done.outputs = vec![written(&world, Ok(()))];
    let got = after_with(&world, &memory, &done, Trigger::Retry);
    assert_eq!(words(&got.status), ["Ready True TokenFresh", "SecretsSynced True Written"]);
    assert_eq!((got.status.consecutive_failures, got.status.attempt), (Some(0), None));
    assert_eq!(got.status.chain_generation, Some(2));
    assert_eq!(got.status.last_refresh_time, Some(world.now));
    assert!(got.status.next_refresh_time > Some(world.now));
    assert!(got.status.spent_fingerprints.contains(&done.spent.unwrap().to_string()));
    assert_eq!(got.memory, Memory { generation: 2, ..Memory::default() });
    assert_eq!(reasons(&got.events), ["Refreshed"], "a refresh that was not scheduled is told");
}

#[test]
fn a_mark_that_spent_nothing_is_taken_back_with_its_attempt() {
    let mut world = running();
    let token = fingerprint(&world, "refresh-0-1");
    for outcome in
        [rejected(Class::Transient, None), postponed(Reason::WriteFailed), Outcome::Stale, refused(Reason::SeedInvalid)]
    {
        world.status.attempt =
            Some(Box::new(AttemptStatus { id: "claim".into(), state: AttemptState::Sending, start_time: world.now }));
        world.status.spent_fingerprints = vec![token.to_string()];
        let done = Finished { unmark: Some(token.clone()), state: None, ..finished(&world, outcome) };
        let got = after(&world, &done, Trigger::Scheduled);
        assert_eq!((got.status.attempt, got.status.spent_fingerprints), (None, vec![]), "{:?}", done.outcome);
    }
}

#[test]
fn an_attempt_of_a_chain_that_was_left_is_not_waited_for() {
    let mut world = running();
    world.status.attempt =
        Some(Box::new(AttemptStatus { id: "old".into(), state: AttemptState::Unknown, start_time: world.now }));
    plant(&mut world);
    let token = seed(&world.key, "refresh-1-0").fingerprint;
    let done = Finished { adopted: Some(token), ..finished(&world, postponed(Reason::WriteFailed)) };
    assert_eq!(after(&world, &done, Trigger::Seed).status.attempt, None);
}

#[test]
fn an_expired_token_is_not_ready_whatever_else_is_true() {
    let mut world = running();
    world.pass(3600);
    let late = wait(&world);
    assert_eq!(words(&late.status)[0], "Ready False Expired");
    assert_eq!(reasons(&late.events), ["Expired"]);
    world.spec.suspend = Some(true);
    assert_eq!(words(&wait(&world).status)[0], "Ready False Expired");
    let done = finished(&world, postponed(Reason::EndpointUnreachable));
    let failed = after(&world, &done, Trigger::Scheduled);
    assert_eq!(words(&failed.status)[0], "Ready False Expired");
}

#[test]
fn a_suspended_object_plans_nothing_and_goes_on_where_it_was() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    world.spec.suspend = Some(true);
    world.generation += 1;
    operator.live(&mut world, &mut Plan::none(), 600);
    assert_eq!(words(&world.status), ["Ready True Suspended", "SecretsSynced True Written"]);
    assert_eq!(world.status.next_refresh_time, None);
    world.spec.suspend = None;
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.chain_generation, Some(2));
}

#[test]
fn a_failing_chain_that_is_suspended_and_resumed_is_tried_again() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    operator.settle(&mut world, &mut Plan::down());
    world.spec.suspend = Some(true);
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(words(&world.status).len(), 2, "{:?}", words(&world.status));
    // Another process never saw the change.
    operator = super::operator::Operator::new(2);
    world.spec.suspend = None;
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((world.status.chain_generation, world.status.consecutive_failures), (Some(2), Some(0)));
}

#[test]
fn an_output_conflict_that_is_gone_leaves_nothing_behind() {
    for failing in [false, true] {
        let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
        if failing {
            operator.settle(&mut world, &mut Plan::down());
            world.now = world.status.next_refresh_time.unwrap();
        }
        let mine = world.outputs.clone();
        world.outputs.get_mut("out").unwrap().seen.owned = false;
        operator.live(&mut world, &mut Plan::none(), 900);
        assert_eq!(stalled(&world), Some("OutputConflict"));
        assert_eq!((world.issuer.handled, world.trespasses), (1, 0), "nothing is spent, nothing of others is touched");
        world.outputs = if failing { mine } else { BTreeMap::new() };
        operator.live(&mut world, &mut Plan::none(), 900);
        assert_eq!(words(&world.status), ["Ready True TokenFresh", "SecretsSynced True Written"], "failing: {failing}");
        assert_eq!(world.status.chain_generation, Some(2), "failing: {failing}");
        assert!(world.status.next_refresh_time > Some(world.now));
    }
}

#[test]
fn a_spec_that_is_mended_leaves_nothing_behind_even_while_suspended() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let good = std::mem::take(&mut world.spec.outputs);
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(words(&world.status)[0], "Ready False InvalidSpec");
    world.spec.outputs = good;
    world.spec.suspend = Some(true);
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(words(&world.status), ["Ready True Suspended", "SecretsSynced True Written"]);
}

#[test]
fn a_changed_output_is_written_although_the_cluster_was_away_first() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    world.now -= TimeDelta::minutes(10);
    world.spec.outputs[0].opaque = None;
    world.spec.outputs[0].basic_auth = Some(refreshable_token_operator::api::BasicAuth { username: "ci".into() });
    world.outputs.clear();
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    world.spec.outputs[0].basic_auth.as_mut().unwrap().username = "other".into();
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::with([(0, Fault::NeverArrived)]));
    assert!(words(&world.status).contains(&"SecretsSynced Unknown Pending".to_owned()), "{:?}", words(&world.status));
    operator.live(&mut world, &mut Plan::none(), 30);
    assert_eq!(world.outputs["out"].data["username"], b"other");
    assert_eq!(words(&world.status), ["Ready True TokenFresh", "SecretsSynced True Written"]);
    assert_eq!((world.status.consecutive_failures, world.issuer.handled), (Some(0), 1), "no refresh is nearer for it");
}

#[test]
fn an_output_that_is_removed_from_the_spec_is_forgotten() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    world.now -= TimeDelta::minutes(10);
    world.spec.outputs.push(output("second"));
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.outputs.len(), 2);
    world.spec.outputs.pop();
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.outputs.len(), 1);
}

#[test]
fn a_halt_plans_nothing_and_says_why() {
    let world = running();
    let memory = Memory::default();
    let got = conclude_halt(&facts(&world, &world.status, &memory, &view(&world)), Reason::SeedInUse, "another", world.now);
    assert_eq!(words(&got.status)[2], "Stalled True SeedInUse");
    assert_eq!(got.status.next_refresh_time, None);
    assert_eq!(seconds(&world, got.memory.retry_time), Some(300));
    assert_eq!(reasons(&got.events), ["SeedInUse"]);
}

#[test]
fn a_new_seed_that_has_to_wait_is_not_taken_for_an_old_one() {
    let mut world = running();
    plant(&mut world);
    let (version, new) = world.seed.clone().unwrap();
    let read = SeedView::Read { resource_version: version.to_string(), seed: new };
    let memory = Memory { rest_until: Some(world.now + TimeDelta::minutes(1)), ..Memory::default() };
    let got = conclude_wait(&facts(&world, &world.status, &memory, &read), world.now);
    assert_eq!(got.status.seed, world.status.seed);
    assert!(got.events.is_empty());
    // One that was spent is: it is told once and not read again.
    let spent = fingerprint(&world, "refresh-1-0").to_string();
    world.status.spent_fingerprints.push(spent);
    let got = conclude_wait(&facts(&world, &world.status, &memory, &read), world.now);
    assert_eq!(got.status.seed.unwrap().resource_version, Some(version.to_string()));
    assert_eq!(reasons(&got.events), ["AlreadySpent"]);
}

#[test]
fn a_status_that_was_edited_by_hand_loses_nothing() {
    let edits: [fn(&mut RefreshableTokenStatus); 4] = [
        |status| *status = RefreshableTokenStatus::default(),
        |status| status.chain_generation = Some(0),
        |status| status.next_refresh_time = None,
        |status| (status.token, status.seed) = (None, None),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
        edit(&mut world.status);
        operator.live(&mut world, &mut Plan::none(), 3600);
        assert!(world.issuer.replays.is_empty(), "edit {number}");
        assert_eq!(words(&world.status), ["Ready True TokenFresh", "SecretsSynced True Written"], "edit {number}");
        assert!(world.status.chain_generation >= Some(2), "edit {number}");
    }
}

#[test]
fn a_commit_whose_status_was_lost_counts_as_the_refresh_it_was() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::AfterFailure);
    let mut dies = Plan::with([(7, Fault::CrashAfter)]);
    while operator.turn(&mut world, &mut dies) != super::operator::Turn::Died {}
    assert_eq!(world.status.consecutive_failures, Some(1));
    super::operator::Operator::new(2).settle(&mut world, &mut Plan::none());
    assert_eq!((world.status.consecutive_failures, world.issuer.handled), (Some(0), 2), "not refreshed a second time");
    assert_eq!(words(&world.status), ["Ready True TokenFresh", "SecretsSynced True Written"]);
}

#[test]
fn the_last_eight_spent_tokens_are_remembered_and_never_the_one_that_is_held() {
    let mut world = running();
    for number in 0..12 {
        let mut done = finished(&world, Outcome::Refreshed);
        done.state = Some(next_state(&world));
        done.spent = Some(fingerprint(&world, &format!("spent-{number}")));
        world.status = after(&world, &done, Trigger::Scheduled).status;
    }
    let expected: Vec<String> = (4..12).map(|number| fingerprint(&world, &format!("spent-{number}")).to_string()).collect();
    assert_eq!(world.status.spent_fingerprints, expected);
    // A server that gives the same refresh token back (RFC 6749 section 6).
    let done = Finished {
        state: Some(next_state(&world)),
        spent: Some(fingerprint(&world, "refresh-next")),
        ..finished(&world, Outcome::Refreshed)
    };
    let held = fingerprint(&world, "refresh-next").to_string();
    assert!(!after(&world, &done, Trigger::Scheduled).status.spent_fingerprints.contains(&held));
}

fn claim(world: &World) -> Claim {
    let (id, holder, process) = ("claim".to_owned(), "pod".to_owned(), "1".to_owned());
    let fingerprint = fingerprint(world, "refresh-0-1").to_string();
    Claim { fingerprint, time: world.now, ..Claim::new(id, &holder, &process) }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let reason = prop::sample::select(vec![
        Reason::WriteFailed,
        Reason::ClusterUnavailable,
        Reason::OutputConflict,
        Reason::InvalidSpec,
        Reason::StateLost,
        Reason::EndpointUnreachable,
    ]);
    let class = prop::sample::select(vec![Class::Transient, Class::Throttled, Class::Configuration]);
    prop_oneof![
        Just(Outcome::Refreshed),
        Just(Outcome::Published),
        Just(Outcome::Stale),
        Just(Outcome::ChainOver(None)),
        Just(Outcome::Unknown(None)),
        reason.clone().prop_map(refused),
        reason.prop_map(postponed),
        (class, prop::option::of(1_u64..4000)).prop_map(|(class, after)| rejected(class, after)),
    ]
}

fn any_problem() -> impl Strategy<Value = Option<Result<(), OutputProblem>>> {
    let problems = vec![OutputProblem::Foreign, OutputProblem::Denied, OutputProblem::Unclear, OutputProblem::Immutable];
    let result = prop_oneof![Just(Ok(())), prop::sample::select(problems).prop_map(Err)];
    prop::option::of(result)
}

/// What holds for any status that the operator writes.
fn holds(world: &World, status: &RefreshableTokenStatus) -> Result<(), TestCaseError> {
    let count = |type_| status.conditions.iter().filter(|c| c.type_ == type_).count();
    prop_assert_eq!((count(ConditionType::Ready), count(ConditionType::SecretsSynced)), (1, 1));
    prop_assert!(count(ConditionType::Stalled) + count(ConditionType::Reconciling) <= 1, "{:?}", words(status));
    let progress = [ConditionType::Stalled, ConditionType::Reconciling];
    let false_progress = |c: &&refreshable_token_operator::api::Condition| progress.contains(&c.type_);
    prop_assert!(status.conditions.iter().filter(false_progress).all(|c| c.status == ConditionStatus::True));
    prop_assert!(status.conditions.iter().all(|c| c.observed_generation == Some(world.generation)));
    prop_assert_eq!(status.observed_generation, Some(world.generation));
    prop_assert!(status.spent_fingerprints.len() <= 8);
    prop_assert!(status.next_refresh_time.is_none_or(|time| time.timestamp_subsec_nanos() == 0));
    Ok(())
}

proptest! {
    #[test]
    fn any_row_of_outcomes_leaves_a_sound_status_that_does_not_loop(
        outcomes in prop::collection::vec((any_outcome(), any_problem(), 0_i64..5000, 0..4_usize, 0..3), 1..8),
    ) {
        let mut world = running();
        let mut memory = Memory::default();
        for (index, (outcome, problem, passed, trigger, edit)) in outcomes.into_iter().enumerate() {
            world.pass(passed);
            world.generation += i64::from(edit == 0);
            world.spec.suspend = (edit == 1).then_some(true);
            let trigger = [Trigger::Scheduled, Trigger::Retry, Trigger::Manual, Trigger::Drift][trigger];
            world.request = (trigger == Trigger::Manual).then(|| index.to_string());
            let mut done = finished(&world, outcome.clone());
            if outcome == Outcome::Refreshed {
                let mut state = next_state(&world);
                state.tokens.refresh_token = Some(RefreshToken::new(format!("refresh-{index}")));
                state.generation = world.status.chain_generation.unwrap_or(0) + 1;
                done.state = Some(state);
                done.spent = Some(fingerprint(&world, &format!("spent-{index}")));
            }
            if matches!(outcome, Outcome::Unknown(_)) {
                done.state = done.state.map(|state| State { claim: Some(claim(&world)), ..state });
            }
            done.outputs = problem.into_iter().map(|result| written(&world, result)).collect();
            let got = after_with(&world, &memory, &done, trigger);
            holds(&world, &got.status)?;
            if outcome == Outcome::Refreshed {
                let token = fingerprint(&world, &format!("refresh-{index}")).to_string();
                prop_assert!(!got.status.spent_fingerprints.contains(&token));
                prop_assert_eq!((&got.status.attempt, got.status.consecutive_failures), (&None, Some(0)));
            }
            (world.status, memory) = (got.status, got.memory);
            let settled = conclude_wait(&facts(&world, &world.status, &memory, &view(&world)), world.now);
            holds(&world, &settled.status)?;
            (world.status, memory) = (settled.status, settled.memory);
            let again = conclude_wait(&facts(&world, &world.status, &memory, &view(&world)), world.now);
            prop_assert_eq!(&again.status, &world.status, "after {:?}", outcome);
            prop_assert!(again.events.is_empty(), "{:?}", again.events);
        }
    }

    #[test]
    fn a_retry_after_is_honoured_and_no_retry_outlives_its_limit(
        failures in 0..40, asked in prop::option::of(1_u64..=3600), left in -100_i64..7200, most in 60_u64..3600,
    ) {
        let mut world = running();
        let refresh = world.spec.refresh.get_or_insert_default();
        refresh.retry.get_or_insert_default().max_delay = Some(SpecDuration::from_secs(most));
        world.status.consecutive_failures = Some(failures);
        world.status.token.as_mut().unwrap().expiration_time = Some(world.now + TimeDelta::seconds(left));
        let done = Finished { state: None, ..finished(&world, rejected(Class::Throttled, asked)) };
        let got = after(&world, &done, Trigger::Retry).status;
        let delay = u64::try_from(seconds(&world, got.next_refresh_time).unwrap()).unwrap();
        prop_assert!(delay > asked.unwrap_or(0));
        prop_assert!(delay <= most.max(asked.unwrap_or(0)) + 1);
        prop_assert_eq!(got.consecutive_failures, Some(failures + 1));
    }
}

#[test]
fn with_another_key_an_old_seed_that_is_applied_again_is_not_taken_for_a_new_one() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    world.now -= TimeDelta::minutes(10);
    world.key = FingerprintKey::new(b"another key");
    let version = world.next();
    world.seed = Some((version, seed(&world.key, "refresh-0-0")));
    operator.live(&mut world, &mut Plan::none(), 10_000);
    assert_eq!(world.issuer.replays, Vec::<String>::new());
    assert!(world.issuer.handled > 2, "the chain goes on: {}", world.issuer.handled);
    assert_eq!(words(&world.status), ["Ready True TokenFresh", "SecretsSynced True Written"]);
    // From here on a new seed is told from an old one again.
    plant(&mut world);
    operator.live(&mut world, &mut Plan::none(), 60);
    assert_eq!(world.issuer.replays, Vec::<String>::new());
    assert!(world.issuer.chains[1].current != "refresh-1-0", "the new chain has begun");
}
