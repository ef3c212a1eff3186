//! The decision as a table, and what holds for any facts.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use refreshable_token_operator::api::{
    AttemptState, AttemptStatus, Condition, ConditionStatus, ConditionType, Reason, RefreshableTokenStatus, SpecDuration,
};
use refreshable_token_operator::refresh::decide::{Memory, Plan as Decision, Rival, SeedView, Sight, Trigger, decide};
use refreshable_token_operator::refresh::exchange::Task;

use super::issuer::Kind;
use super::operator::facts;
use super::plan::Plan;
use super::scenario::{Start, begin, plant, seed};
use super::world::World;

/// A running chain some minutes before its refresh is due, and what a decision rests on beside it.
struct Case {
    world: World,
    memory: Memory,
    seed: SeedView,
    rival: Option<Rival>,
    deleting: bool,
}

fn running() -> Case {
    let (mut world, _) = begin(Kind::Strict, Start::Steady);
    world.now -= TimeDelta::minutes(10);
    let version = world.seed.as_ref().unwrap().0.to_string();
    Case { world, memory: Memory::default(), seed: SeedView::Seen(version), rival: None, deleting: false }
}

impl Case {
    fn decide(&self) -> Decision {
        let mut facts = facts(&self.world, &self.world.status, &self.memory, &self.seed);
        facts.rival.clone_from(&self.rival);
        facts.deleting = self.deleting;
        decide(&facts, self.world.now)
    }

    /// What the watch shows now.
    fn sight(&self) -> Sight {
        Sight::of(&facts(&self.world, &self.world.status, &self.memory, &self.seed))
    }

    fn due(mut self) -> Self {
        self.world.pass(600);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn stalled(self, reason: Reason) -> Self {
        self.with(|case| {
            let since = case.world.now;
            case.world.status.conditions.push(condition(ConditionType::Stalled, reason, since));
            case.world.status.next_refresh_time = None;
        })
    }

    fn failed(self, next: i64) -> Self {
        self.with(|case| {
            case.world.status.consecutive_failures = Some(2);
            case.world.status.next_refresh_time = Some(case.world.now + TimeDelta::seconds(next));
        })
    }

    fn edited(self) -> Self {
        self.with(|case| case.world.generation += 1)
    }

    fn read_seed(self, token: &str) -> Self {
        self.with(|case| {
            case.seed = SeedView::Read { resource_version: "new".into(), seed: seed(&case.world.key, token) };
        })
    }

    fn attempt(self, state: AttemptState) -> Self {
        self.with(|case| {
            let start_time = case.world.now;
            case.world.status.attempt = Some(Box::new(AttemptStatus { id: "claim".into(), state, start_time }));
        })
    }

    fn later(&self, seconds: i64) -> DateTime<Utc> {
        self.world.now + TimeDelta::seconds(seconds)
    }
}

fn condition(type_: ConditionType, reason: Reason, since: DateTime<Utc>) -> Condition {
    Condition {
        type_,
        status: ConditionStatus::True,
        reason: reason.as_str().into(),
        message: "why".into(),
        observed_generation: Some(1),
        last_transition_time: since,
    }
}

fn exchange(task: Task, trigger: Trigger, preflight: bool) -> Decision {
    Decision::Exchange { task, trigger, preflight }
}

fn check(rows: Vec<(&str, Case, Decision)>) {
    for (name, case, expected) in rows {
        assert_eq!(case.decide(), expected, "{name}");
    }
}

/// The plan, without the time or the words in it.
fn kind(plan: &Decision) -> &'static str {
    match plan {
        Decision::Leave => "leave",
        Decision::ReadSeed => "read seed",
        Decision::Exchange { .. } => "exchange",
        Decision::Wait { .. } => "wait",
        Decision::Halt { .. } => "halt",
    }
}

fn check_kinds(rows: Vec<(&str, Case, &str)>) {
    for (name, case, expected) in rows {
        assert_eq!(kind(&case.decide()), expected, "{name}: {:?}", case.decide());
    }
}

#[test]
fn what_stands_in_the_way_comes_first() {
    let rival = |case: &mut Case| case.rival = Some(Rival { reason: Reason::SeedInUse, message: "another".into() });
    check_kinds(vec![
        ("deleted, though due", running().due().with(|case| case.deleting = true), "leave"),
        ("invalid spec, though due", running().due().with(|case| case.world.spec.outputs.clear()), "halt"),
        ("rival, though due", running().due().with(rival), "halt"),
        ("suspended, though due", running().due().with(|case| case.world.spec.suspend = Some(true)), "wait"),
        ("suspended, and asked for", running().with(suspend_and_ask), "wait"),
        ("nothing to do", running(), "wait"),
    ]);
}

fn suspend_and_ask(case: &mut Case) {
    case.world.spec.suspend = Some(true);
    case.world.request = Some("now".into());
}

#[test]
fn the_seed_is_read_when_it_may_matter() {
    let unusable = SeedView::Unusable { reason: Reason::SeedMissing, message: "gone".into() };
    let fresh = |case: &mut Case| {
        case.world.status = RefreshableTokenStatus::default();
        case.seed = SeedView::NotSeen;
    };
    let uncommitted = |case: &mut Case| case.world.status.chain_generation = Some(0);
    check_kinds(vec![
        ("unchanged", running(), "wait"),
        ("changed", running().with(|case| case.seed = SeedView::Seen("new".into())), "read seed"),
        ("gone, and not needed", running().with(|case| case.seed = SeedView::NotSeen), "wait"),
        ("unusable, and not needed", running().with(|case| case.seed = unusable.clone()), "wait"),
        ("never seen, and needed", running().with(fresh), "read seed"),
        ("nothing committed: the seed may still be needed", running().with(uncommitted), "read seed"),
        ("unusable, and needed", running().with(fresh).with(|case| case.seed = unusable.clone()), "halt"),
    ]);
}

#[test]
fn a_new_seed_begins_a_chain_and_an_old_one_does_not() {
    let adopt = exchange(Task::Adopt, Trigger::Seed, true);
    let spent = |case: &mut Case| {
        let token = seed(&case.world.key, "new").fingerprint.to_string();
        case.world.status.spent_fingerprints.push(token);
    };
    let resting = |case: &mut Case| case.memory.retry_time = Some(case.later(60));
    let tried = |case: &mut Case| case.memory.sight = Some(Box::new(case.sight()));
    check(vec![
        ("new", running().read_seed("new"), adopt.clone()),
        ("new, over a lost chain", running().stalled(Reason::ChainLost).read_seed("new"), adopt.clone()),
        ("new, over an unknown outcome", running().attempt(AttemptState::Unknown).read_seed("new"), adopt.clone()),
        ("new, while a refusal rests: a person has acted", running().with(resting).read_seed("new"), adopt.clone()),
    ]);
    check_kinds(vec![
        ("spent before", running().read_seed("new").with(spent), "wait"),
        ("tried, and refused a minute ago", running().read_seed("new").with(resting).with(tried), "wait"),
        ("tried, and failed a moment ago", running().read_seed("new").with(tried).failed(60), "wait"),
        ("tried, and due again", running().read_seed("new").with(tried).failed(0), "exchange"),
    ]);
}

#[test]
fn a_refresh_is_begun_when_due_asked_for_or_called_for_by_a_change() {
    let refresh = |trigger, preflight| exchange(Task::Refresh, trigger, preflight);
    let ask = |case: &mut Case| case.world.request = Some("now".into());
    let other = |case: &mut Case| {
        case.world.spec.request.get_or_insert_default().scope = Some("read".into());
        case.world.generation += 1;
    };
    check(vec![
        ("due", running().due(), refresh(Trigger::Scheduled, false)),
        ("asked for", running().with(ask), refresh(Trigger::Manual, false)),
        ("another token is wanted", running().with(other), refresh(Trigger::Spec, true)),
        ("another token is wanted, and failed", running().failed(60).with(other), refresh(Trigger::Spec, true)),
        ("the next try is due", running().failed(0), refresh(Trigger::Retry, true)),
        ("the object changed after a failure", running().failed(60).edited(), refresh(Trigger::Retry, true)),
        ("the password changed after a failure", running().failed(60).read_seed("refresh-0-0"), refresh(Trigger::Retry, true)),
        ("a person's work is done, and no next try is planned", no_next_try(), refresh(Trigger::Retry, true)),
        ("refused, and looked at again", running().due().stalled(Reason::Regressed), refresh(Trigger::Scheduled, true)),
        ("the one late repeat", last_try(), exchange(Task::LastTry, Trigger::LastTry, false)),
    ]);
    check_kinds(vec![
        ("handled before", running().with(ask).with(handled), "wait"),
        ("not due after a failure", running().failed(60), "wait"),
        ("rests after lost answers", running().due().with(|case| case.memory.rest_until = Some(case.later(60))), "wait"),
        ("rests after a refusal", running().due().with(|case| case.memory.retry_time = Some(case.later(60))), "wait"),
        ("chain lost", running().due().stalled(Reason::ChainLost), "wait"),
        ("outcome unknown", running().due().stalled(Reason::RefreshOutcomeUnknown), "wait"),
        ("unresolved, and looked at", looked_at(running().attempt(AttemptState::Unknown)), "wait"),
        ("unresolved, and no try is planned", looked_at(no_next_try().attempt(AttemptState::Unknown)), "wait"),
        ("a last try that rests", last_try().with(|case| case.memory.retry_time = Some(case.later(60))), "wait"),
        ("still sending, whatever was planned", looked_at(running().due().attempt(AttemptState::Sending)), "exchange"),
    ]);
}

fn handled(case: &mut Case) {
    case.world.status.last_handled_refresh_request.clone_from(&case.world.request);
}

fn looked_at(case: Case) -> Case {
    case.with(|case| case.memory.looked_at = Some("claim".into()))
}

fn last_try() -> Case {
    looked_at(running().due().attempt(AttemptState::Unknown))
}

fn no_next_try() -> Case {
    running().failed(60).with(|case| case.world.status.next_refresh_time = None)
}

#[test]
fn outputs_are_put_back_without_a_refresh() {
    let publish = exchange(Task::Publish, Trigger::Drift, false);
    let output =
        |change: fn(&mut super::world::Output)| running().with(|case| change(case.world.outputs.get_mut("out").unwrap()));
    check(vec![
        ("missing", running().with(|case| case.world.outputs.clear()), publish.clone()),
        ("other contents", output(|out| out.content_hash = Some("hmac:other".into())), publish.clone()),
        ("a key was taken over", output(|out| out.seen.keys.clear()), publish.clone()),
        ("another owner", output(|out| out.seen.owned = false), publish.clone()),
        ("changed spec", running().edited(), publish.clone()),
        ("not in sync", running().with(out_of_sync), publish.clone()),
        ("a refusal that may be over", running().stalled(Reason::OutputConflict), publish.clone()),
        ("an attempt that nobody looked at", running().attempt(AttemptState::Unknown), publish.clone()),
        ("an attempt whose end was never stored", looked_at(running().attempt(AttemptState::Sending)), publish),
    ]);
    let resting = |case: &mut Case| {
        case.world.outputs.clear();
        case.memory.retry_time = Some(case.later(60));
    };
    check_kinds(vec![("drift, but it failed a moment ago", running().with(resting), "wait")]);
}

fn out_of_sync(case: &mut Case) {
    let synced = case.world.status.conditions.iter_mut().find(|c| c.type_ == ConditionType::SecretsSynced).unwrap();
    synced.status = ConditionStatus::False;
}

#[test]
fn a_wait_ends_at_the_next_thing_that_happens() {
    let case = running();
    let (due, expiry) = (case.world.status.next_refresh_time, case.world.status.token.as_ref().unwrap().expiration_time);
    let until = |case: &Case| match case.decide() {
        Decision::Wait { until } => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&case), due);
    assert_eq!(until(&case.with(|case| case.world.spec.suspend = Some(true))), expiry);
    assert_eq!(until(&running().due().stalled(Reason::ChainLost)), expiry, "its end is told in time");
    let rest = running().due().with(|case| case.memory.rest_until = Some(case.later(60)));
    assert_eq!(until(&rest), Some(rest.later(60)));
    let edited = running().with(|case| case.world.status.next_refresh_time = Some(case.later(1_000_000)));
    assert!(until(&edited) <= expiry, "an edited status does not outlive the token");
}

#[test]
fn an_api_that_is_down_is_not_called_in_a_loop() {
    for start in [Start::First, Start::Steady, Start::NewSeed] {
        let (mut world, mut operator) = begin(Kind::Strict, start);
        let mut down = Plan::down();
        operator.live(&mut world, &mut down, 3600);
        let tries = down.log.iter().filter(|line| line.contains(" connect Some") || line.contains(" send Some")).count();
        assert!((5..=30).contains(&tries), "{start:?}: {tries} tries in an hour");
        operator.live(&mut world, &mut Plan::none(), 1200);
        assert_eq!(world.status.consecutive_failures, Some(0), "{start:?}: it comes back by itself");
        assert!(!world.issuer.chain().current.ends_with("-0"), "{start:?}: the newest chain goes on");
    }
}

#[test]
fn a_seed_that_is_put_in_where_one_was_missing_is_taken_at_once() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::First);
    let good = world.seed.take();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(super::operator::stalled(&world), Some("SeedMissing"));
    world.seed = good;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.chain_generation, Some(1));
    // The same after a refusal: the chain is not to be had back, and the message said to put in a new token.
    world.state = None;
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(super::operator::stalled(&world), Some("StateLost"));
    plant(&mut world);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.chain_generation, Some(2));
}

proptest! {
    #[test]
    fn a_suspended_or_resting_object_never_begins_a_refresh(
        suspended: bool, late in -600_i64..7200, failures in 0..4, next in -600_i64..600, reason in 0..5_usize, asked: bool,
        attempt in 0..3, edited: bool, lost: bool, seed_read: bool,
    ) {
        let mut case = running();
        case.world.pass(late);
        if suspended {
            case.world.spec.suspend = Some(true);
        } else {
            case.memory.rest_until = Some(case.later(1));
        }
        if failures > 0 {
            case = case.failed(next);
        }
        let reasons = [Reason::ChainLost, Reason::Regressed, Reason::ConfigurationRejected, Reason::OutputConflict];
        if let Some(reason) = reasons.get(reason) {
            case = case.stalled(*reason);
        }
        case.world.request = asked.then(|| "now".into());
        case = match attempt {
            0 => case,
            1 => case.attempt(AttemptState::Unknown),
            _ => case.attempt(AttemptState::Sending),
        };
        if edited {
            case.world.spec.refresh.get_or_insert_default().before = Some(SpecDuration::from_secs(3000));
            case = case.edited();
        }
        if lost {
            case.world.outputs.clear();
        }
        if seed_read {
            case = case.read_seed("new");
        }
        match case.decide() {
            Decision::Exchange { task, .. } => prop_assert!(!suspended && task == Task::Publish),
            Decision::Wait { until } => prop_assert!(until.is_none_or(|until| until > case.world.now)),
            Decision::Leave | Decision::ReadSeed | Decision::Halt { .. } => prop_assert!(false),
        }
    }
}
