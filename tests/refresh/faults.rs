//! Everything that can go wrong, at every effect of a refresh, alone and in pairs; the issuer is the judge.

use chrono::TimeDelta;
use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use refreshable_token_operator::refresh::state::Claim;
use refreshable_token_operator::token::{Purpose, RefreshToken};

use super::issuer::Kind;
use super::operator::{Operator, Turn, stalled};
use super::plan::{FAULTS, Fault, Plan};
use super::scenario::{KINDS, STARTS, Start, begin, seed};
use super::world::{Journal, World};

/// How long a run goes on after it began: more than two lifetimes of the token.
const HORIZON: i64 = 8000;

fn run(kind: Kind, start: Start, faults: &[(usize, Fault)]) -> (World, Operator, Plan) {
    run_with(Keeps::Nothing, kind, start, faults)
}

/// What the operator keeps of an exchange beside the state Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    Nothing,
    Journal,
    /// A journal that dies with its process.
    FleetingJournal,
}

const KEEPS: [Keeps; 3] = [Keeps::Nothing, Keeps::Journal, Keeps::FleetingJournal];

fn run_with(keeps: Keeps, kind: Kind, start: Start, faults: &[(usize, Fault)]) -> (World, Operator, Plan) {
    let (mut world, mut operator) = begin(kind, start);
    world.journal = (keeps != Keeps::Nothing).then(Journal::default);
    let mut plan = Plan { loses_journal: keeps == Keeps::FleetingJournal, ..Plan::with(faults.iter().copied()) };
    operator.live(&mut world, &mut plan, HORIZON);
    (world, operator, plan)
}

/// The newest token of a chain is where the operator or a person can find it.
fn kept(world: &World, current: &str) -> bool {
    let seeded = world.seed.as_ref().is_some_and(|(_, seed)| seed.tokens.refresh_token == Some(RefreshToken::new(current)));
    let stored = world.state.as_ref().is_some_and(|stored| {
        stored.data.iter().any(|(key, value)| {
            let place = key == "refresh_token" || key.starts_with("orphaned.") && key.ends_with("refresh_token");
            let text = String::from_utf8_lossy(value);
            place && text == current || key.ends_with("unparsed_response") && text.contains(current)
        })
    });
    seeded || stored || world.remembers(current)
}

/// What no fault whatsoever may bring about.
fn judge(world: &World, operator: &Operator, plan: &Plan) -> Result<(), String> {
    // Object and state Secret were both deleted and the object made anew: nothing in the cluster knows that seed any more.
    let forgotten = world.uid != "object-1" && plan.destroyed && world.issuer.replays == ["refresh-0-0"];
    if forgotten {
        return Ok(());
    }
    if !world.issuer.replays.is_empty() {
        return Err(format!("spent twice: {:?}", world.issuer.replays));
    }
    if world.trespasses > 0 {
        return Err("somebody else's Secret was written".into());
    }
    if plan.late_replays.len() > 1 || !plan.late_replays.is_empty() && !plan.lost_in_flight {
        return Err(format!("the late repeat came without need or twice: {:?}", plan.late_replays));
    }
    let excused = plan.lost_in_flight || plan.destroyed;
    let lost = world.issuer.chains.iter().find(|chain| !kept(world, &chain.current));
    if let Some(lost) = lost.filter(|_| !excused) {
        return Err(format!("the newest token is lost: {}", lost.current));
    }
    let claim = world.decoded().and_then(|state| state.claim);
    let unknown = world.status.attempt.is_some();
    let sealed = plan.immutable && stalled(world) == Some("StateImmutable");
    if let Some(claim) = claim.filter(|claim| !unknown && !sealed && !operator.memory.void_claims.contains(&claim.id)) {
        return Err(format!("the claim {} is open and nobody says so", claim.id));
    }
    for condition in [ConditionType::Ready, ConditionType::SecretsSynced] {
        if !world.status.conditions.iter().any(|c| c.type_ == condition) {
            return Err(format!("{condition:?} is missing"));
        }
    }
    if world.status.observed_generation != Some(world.generation) {
        return Err("observedGeneration lags".into());
    }
    match stalled(world) {
        None => healthy(world, plan),
        Some(reason) if may_stall(reason, world, plan) => Ok(()),
        Some(reason) => Err(format!("it stands still without need: {reason}")),
    }
}

fn may_stall(reason: &str, world: &World, plan: &Plan) -> bool {
    match reason {
        // It ends with the access token's expiry, where that is known.
        "RefreshOutcomeUnknown" if world.status.token.is_some() => false,
        "RefreshOutcomeUnknown" => plan.lost_in_flight || plan.died_claimed || plan.log.iter().any(|line| ambiguous(line)),
        "StateLost" | "Regressed" | "StateConflict" | "AlreadySpent" => plan.destroyed || plan.immutable,
        "StateImmutable" => plan.immutable,
        "ChainLost" => plan.lost_in_flight,
        _ => false,
    }
}

/// A sending whose end nobody knows.
fn ambiguous(line: &str) -> bool {
    let unclear = ["NeverArrived", "AnswerLost", "Page", "Http(500", "Http(503", "Http(404", "Http(302", "Http(200"];
    line.contains(" send Some(") && unclear.iter().any(|word| line.contains(word))
}

/// A chain that goes on: a fresh token, in the state and in the output.
fn healthy(world: &World, plan: &Plan) -> Result<(), String> {
    let ready = world.status.conditions.iter().find(|c| c.type_ == ConditionType::Ready).unwrap();
    if ready.status != ConditionStatus::True {
        return Err(format!("not ready: {} {}", ready.reason, ready.message));
    }
    // Whoever restores an older copy restores the chain that is in it.
    let held = world.decoded().and_then(|state| state.tokens.refresh_token);
    let restored = world.issuer.chains.iter().find(|c| plan.destroyed && held == Some(RefreshToken::new(c.current.as_str())));
    let access = &restored.unwrap_or(world.issuer.chain()).access;
    let token = world.status.token.as_ref().map(|token| token.fingerprint.clone());
    if token != Some(world.key.fingerprint(Purpose::Token, access.as_bytes()).to_string()) {
        return Err("the status is not about the newest access token".into());
    }
    let output = world.outputs.get("out").and_then(|output| output.data.get("access_token"));
    if output.map(Vec::as_slice) != Some(access.as_bytes()) {
        return Err("the output does not hold the newest access token".into());
    }
    if world.status.consecutive_failures.unwrap_or(0) > 0 || world.status.attempt.is_some() {
        return Err("a failure or an attempt is left over".into());
    }
    let most = 12;
    if world.issuer.handled > most {
        return Err(format!("{} refreshes in {HORIZON} s", world.issuer.handled));
    }
    Ok(())
}

fn attack(keeps: Keeps, kind: Kind, start: Start, faults: &[(usize, Fault)]) -> Option<String> {
    let caught = std::panic::catch_unwind(|| {
        let (world, operator, plan) = run_with(keeps, kind, start, faults);
        judge(&world, &operator, &plan).err().map(|error| format!("{error}\n{:#?}", plan.log))
    });
    let problem = caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Some(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    });
    problem.map(|problem| format!("{keeps:?} {kind:?} {start:?} {faults:?}: {problem}"))
}

/// Effects of the run until the first refresh has ended and its status is stored.
fn effects(keeps: Keeps, kind: Kind, start: Start) -> usize {
    let (mut world, mut operator) = begin(kind, start);
    world.journal = (keeps != Keeps::Nothing).then(Journal::default);
    let mut plan = Plan::none();
    operator.settle(&mut world, &mut plan);
    plan.index
}

fn report(problems: &[String], runs: usize) {
    for problem in problems.iter().take(3) {
        eprintln!("{problem}\n");
    }
    let heads: Vec<String> = problems.iter().map(|p| p.lines().next().unwrap_or_default().to_owned()).collect();
    assert!(problems.is_empty(), "{} of {runs} runs failed:\n{}", problems.len(), heads[..heads.len().min(150)].join("\n"));
    println!("{runs} runs");
}

#[test]
fn without_faults_every_start_comes_to_a_running_chain() {
    let mut problems = Vec::new();
    for kind in KINDS {
        for start in STARTS {
            for keeps in KEEPS {
                problems.extend(attack(keeps, kind, start, &[]));
            }
        }
    }
    report(&problems, KINDS.len() * STARTS.len() * KEEPS.len());
}

#[test]
fn one_fault_at_any_effect_neither_loses_nor_spends_twice() {
    let (mut problems, mut runs) = (Vec::new(), 0);
    for (keeps, kind) in KEEPS.into_iter().flat_map(|keeps| KINDS.map(|kind| (keeps, kind))) {
        for start in STARTS {
            for index in 0..=effects(keeps, kind, start) {
                for fault in FAULTS {
                    runs += 1;
                    problems.extend(attack(keeps, kind, start, &[(index, fault)]));
                }
            }
        }
    }
    report(&problems, runs);
}

/// The faults that pairs are made of: one of each kind that differs in what it leaves behind.
const PAIRED: [Fault; 14] = [
    Fault::AnswerLost,
    Fault::NeverArrived,
    Fault::Denied,
    Fault::ForeignKey,
    Fault::Deleted,
    Fault::DeletedByForce,
    Fault::OlderCopy(false),
    Fault::OlderCopy(true),
    Fault::Immutable,
    Fault::ObjectEdited,
    Fault::Http(500, true),
    Fault::Http(429, false),
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// Pairs of faults at every two effects of a refresh, the second up to three effects into what follows; of all pairs, each
/// `nth`.
fn pairs(keeps: Keeps, kind: Kind, start: Start, nth: usize) {
    let (mut problems, mut runs) = (Vec::new(), 0);
    let last = effects(keeps, kind, start) + 3;
    for (first, second) in (0..last).flat_map(|first| (first + 1..=last).map(move |second| (first, second))) {
        for one in PAIRED {
            for two in PAIRED {
                runs += 1;
                if runs % nth == 0 {
                    problems.extend(attack(keeps, kind, start, &[(first, one), (second, two)]));
                }
            }
        }
    }
    report(&problems, runs);
}

/// Coprime to the number of faults, so that every fault meets every effect.
const SAMPLE: usize = 19;

#[test]
fn two_faults_sampled() {
    for start in STARTS {
        pairs(Keeps::Nothing, Kind::Strict, start, SAMPLE);
        pairs(Keeps::Journal, Kind::Strict, start, SAMPLE);
    }
    pairs(Keeps::Nothing, Kind::Grace(30), Start::Steady, SAMPLE);
    pairs(Keeps::Journal, Kind::IdempotencyKey, Start::Steady, SAMPLE);
}

#[test]
#[ignore = "takes minutes: every pair of faults"]
fn two_faults_at_a_strict_issuer() {
    for start in STARTS {
        pairs(Keeps::Nothing, Kind::Strict, start, 1);
        pairs(Keeps::Journal, Kind::Strict, start, 1);
    }
}

#[test]
#[ignore = "takes minutes: every pair of faults"]
fn two_faults_at_an_issuer_with_a_grace() {
    for start in STARTS {
        pairs(Keeps::Nothing, Kind::Grace(30), start, 1);
    }
}

#[test]
fn a_seed_that_was_put_in_by_mistake_does_not_cost_the_chain_that_worked() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let good = world.issuer.chain().current.clone();
    let version = world.next();
    world.seed = Some((version, seed(&world.key, "mistyped")));
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(stalled(&world), Some("ChainLost"));
    assert_eq!(world.state.as_ref().unwrap().data["orphaned.replaced.refresh_token"], good.as_bytes());
    assert!(world.outputs["out"].data["access_token"].starts_with(b"access-0-"), "the outputs keep what works");
    // Putting it back into the seed is all it takes.
    let version = world.next();
    world.seed = Some((version, seed(&world.key, &good)));
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((stalled(&world), world.issuer.handled), (None, 3));
}

#[test]
fn a_chain_of_another_object_is_never_written_over() {
    // Somebody moves another chain's Secret here, with a lower generation, while a refresh is under way.
    for at in 2..5 {
        let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
        let other = {
            let (mut other, _) = begin(Kind::Strict, Start::Steady);
            let mut state = other.decoded().unwrap();
            state.generation = 0;
            state.seeds = vec![seed(&other.key, "another-seed").fingerprint];
            state.tokens.refresh_token = Some(RefreshToken::new("another-chain"));
            other.replace_state(state.encode(), true);
            other.state.unwrap().data
        };
        let mut plan = Plan::with([(at, Fault::Replaced)]);
        plan.replacement = Some(other);
        operator.settle(&mut world, &mut plan);
        let data = &world.state.as_ref().unwrap().data;
        assert_eq!(data["refresh_token"], b"another-chain", "at {at}: {:#?}", plan.log);
        let current = world.issuer.chain().current.as_bytes();
        let kept = data.iter().any(|(key, value)| key.starts_with("orphaned.claim-") && value == current);
        assert!(kept, "at {at}: {:?}", data.keys());
        let spent = world.key.fingerprint(Purpose::Token, b"refresh-0-1").to_string();
        assert!(world.status.spent_fingerprints.contains(&spent), "at {at}: what was presented stays spent");
        assert!(world.issuer.replays.is_empty());
    }
}

/// A name, a start, and what goes wrong.
type Course = (&'static str, Kind, Start, &'static [(usize, Fault)]);

#[test]
fn courses_that_once_went_wrong() {
    // The indices count the effects of the start: see requests.rs.
    let courses: [Course; 10] = [
        (
            "deleted while the claim is unclear",
            Kind::Strict,
            Start::Steady,
            &[(1, Fault::AnswerLost), (2, Fault::DeletedByForce)],
        ),
        (
            "an older copy while the claim is unclear",
            Kind::Strict,
            Start::AfterFailure,
            &[(3, Fault::AnswerLost), (4, Fault::OlderCopy(true))],
        ),
        ("deleted between read and claim", Kind::Strict, Start::Steady, &[(1, Fault::DeletedByForce)]),
        ("deleted before a release", Kind::Strict, Start::Steady, &[(2, Fault::Denied), (3, Fault::DeletedByForce)]),
        ("held by our finalizer only", Kind::Strict, Start::Steady, &[(3, Fault::Deleted)]),
        ("the same before a release", Kind::Strict, Start::Steady, &[(2, Fault::Denied), (3, Fault::Deleted)]),
        ("released, and the status lost", Kind::Strict, Start::Steady, &[(3, Fault::Http(429, false)), (5, Fault::CrashBefore)]),
        ("first refresh the same", Kind::Strict, Start::First, &[(5, Fault::Http(429, false)), (7, Fault::CrashBefore)]),
        ("mark unclear, then the status lost", Kind::Strict, Start::Steady, &[(2, Fault::AnswerLost), (4, Fault::CrashBefore)]),
        ("committed, and the status lost", Kind::Strict, Start::AfterFailure, &[(7, Fault::CrashAfter)]),
    ];
    for (name, kind, start, faults) in courses {
        let (world, operator, plan) = run(kind, start, faults);
        assert_eq!(judge(&world, &operator, &plan), Ok(()), "{name}: {:#?}", plan.log);
        assert_eq!((stalled(&world), plan.destroyed), (None, false), "{name}: {:#?}", plan.log);
    }
}

#[test]
fn a_first_refresh_that_came_to_nothing_publishes_nothing_of_the_seed() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::First);
    let tokens = &mut world.seed.as_mut().unwrap().1.tokens;
    tokens.access_token = Some(refreshable_token_operator::token::AccessToken::new("old"));
    let mut plan = Plan::with([(5, Fault::Http(429, false)), (7, Fault::CrashBefore), (10, Fault::Denied)]);
    while operator.turn(&mut world, &mut plan) != Turn::Died {}
    assert_eq!(Operator::new(2).turn(&mut world, &mut plan), Turn::Worked);
    assert!(world.outputs.is_empty(), "{:#?}", plan.log);
    assert_eq!(stalled(&world), None);
}

#[test]
fn a_repeat_stays_inside_the_grace() {
    for seconds in 1..12 {
        let lost = [(3, Fault::AnswerLost), (4, Fault::AnswerLost), (5, Fault::AnswerLost), (6, Fault::AnswerLost)];
        let (world, ..) = run(Kind::Grace(seconds), Start::Steady, &lost);
        assert!(world.issuer.replays.is_empty(), "{seconds} s");
        let (world, _, plan) = run(Kind::Grace(seconds), Start::Steady, &lost[..1]);
        assert_eq!(stalled(&world).is_some(), seconds <= 3, "{seconds} s: {:#?}", plan.log);
    }
}

#[test]
fn a_release_leaves_the_claim_of_another_process_alone() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let mut state = world.decoded().unwrap();
    let (id, holder, process) = ("theirs".to_owned(), "other".to_owned(), "9".to_owned());
    let fingerprint = world.key.fingerprint(Purpose::Token, b"refresh-0-1").to_string();
    state.claim = Some(Claim { fingerprint, time: world.now, ..Claim::new(id, &holder, &process) });
    let mut plan = Plan::with([(2, Fault::Denied), (3, Fault::Replaced)]);
    plan.replacement = Some(state.encode());
    operator.settle(&mut world, &mut plan);
    assert_eq!(world.decoded(), Some(state), "{:#?}", plan.log);
    assert_eq!(world.issuer.handled, 1);
}

#[test]
fn a_copy_of_an_earlier_generation_does_not_win_over_an_unclear_claim() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let old = world.state.clone().unwrap().data;
    operator.settle(&mut world, &mut Plan::none());
    world.now = world.status.next_refresh_time.unwrap();
    let mut plan = Plan::with([(1, Fault::AnswerLost), (2, Fault::Replaced)]);
    plan.replacement = Some(old);
    operator.settle(&mut world, &mut plan);
    assert_eq!((stalled(&world), world.status.chain_generation), (None, Some(3)), "{:#?}", plan.log);
    assert!(world.issuer.replays.is_empty());
}

#[test]
fn a_token_of_which_nobody_knows_is_kept_too() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let mut plan = Plan::with([(2, Fault::DeletedByForce), (3, Fault::NeverArrived)]);
    operator.settle(&mut world, &mut plan);
    assert_eq!(stalled(&world), Some("RefreshOutcomeUnknown"));
    assert!(kept(&world, &world.issuer.chain().current), "{:#?}", plan.log);
    assert!(world.decoded().unwrap().claim.is_some(), "and nobody presents it meanwhile");
}

/// The late repeat is held to the API server's clock: it must not come before that one has passed the end of the access token, and then
/// wait for another try.
#[test]
fn the_late_repeat_is_planned_for_when_it_may_be_sent() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    // The answer before took its time: what it brought was stored that much later.
    let stored = world.state.as_mut().unwrap().written.as_mut().unwrap();
    *stored += TimeDelta::seconds(7);
    operator.settle(&mut world, &mut Plan::with([(3, Fault::NeverArrived)]));
    assert_eq!(stalled(&world), Some("RefreshOutcomeUnknown"));
    world.now = world.status.next_refresh_time.unwrap();
    let mut plan = Plan::none();
    operator.settle(&mut world, &mut plan);
    assert_eq!((stalled(&world), world.status.chain_generation), (None, Some(2)), "{:#?}", plan.log);
}

/// A grace of 30 s in which a process died with the answer, and the next one, which cannot read the client's credentials.
fn open_in_a_grace() -> (World, Operator, Plan) {
    let (mut world, mut operator) = begin(Kind::Grace(30), Start::Steady);
    world.journal = Some(Journal::default());
    let mut plan = Plan::with([(4, Fault::CrashAfter)]);
    while operator.turn(&mut world, &mut plan) != Turn::Died {}
    let mut next = Operator::new(2);
    next.without_login = true;
    (world, next, plan)
}

/// Unknown is for good: it must not be said because the client's credentials could not be read while the window was open.
#[test]
fn a_grace_outlasts_credentials_that_cannot_be_read_for_a_moment() {
    let (mut world, mut next, mut plan) = open_in_a_grace();
    next.turn(&mut world, &mut plan);
    assert_eq!(stalled(&world), None, "{:#?}", plan.log);
    next.without_login = false;
    next.live(&mut world, &mut plan, 20);
    assert_eq!((stalled(&world), world.status.chain_generation), (None, Some(2)), "{:#?}", plan.log);
    assert!(world.issuer.replays.is_empty());

    // When the window is over, so is the hope.
    let (mut world, mut next, mut plan) = open_in_a_grace();
    next.live(&mut world, &mut plan, 120);
    assert_eq!(stalled(&world), Some("RefreshOutcomeUnknown"), "{:#?}", plan.log);
}
