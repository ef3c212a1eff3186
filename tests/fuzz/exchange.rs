//! The core under any object, any status and any turn of events: it never breaks down, it ends, and a token that works once is sent
//! once.

use std::slice::Iter;

use chrono::{DateTime, Utc};
use refreshable_token_operator::api::{Reason, RefreshableToken, validate};
use refreshable_token_operator::provider::{Delivery, Lost, NotSent, Provider, RawBody, Reply, Semantics};
use refreshable_token_operator::refresh::conclude::{conclude, conclude_halt, conclude_wait};
use refreshable_token_operator::refresh::decide::{Facts, Memory, Plan, ProviderView, SeedView, decide};
use refreshable_token_operator::refresh::exchange::{
    Brief, Event, Exchange, Finished, KnownChain, MarkAnswer, Memento, OutputAnswer, Policy, Seed, StateAnswer, Step, Task,
    WriteAnswer, newer_tokens,
};
use refreshable_token_operator::refresh::journal::{Entry, Place};
use refreshable_token_operator::refresh::state::{Claim, Malformed, Owner, State, StoredState, Version};
use refreshable_token_operator::token::{AccessToken, FingerprintKey, HeldTokens, Login, Purpose, RefreshToken, SecretText};

use super::targets::sent;

/// More steps than any exchange takes that meets no trouble twice.
const MOST_STEPS: usize = 120;

/// What happens next: byte by byte, and at the end of the bytes all goes well.
struct Luck<'a>(Iter<'a, u8>);

impl Luck<'_> {
    fn draw(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }
}

fn key() -> FingerprintKey {
    FingerprintKey::new(b"key")
}

fn login() -> Login {
    let text = |text: &str| Some(SecretText::new(text));
    Login { username: text("u"), password: text("p"), client_id: text("c"), client_secret: text("s"), ..Login::default() }
}

fn seed() -> Seed {
    let tokens = HeldTokens {
        access_token: Some(AccessToken::new("access-0")),
        refresh_token: Some(RefreshToken::new("refresh-0")),
        ..HeldTokens::default()
    };
    Seed { tokens, fingerprint: key().fingerprint(Purpose::Token, b"refresh-0") }
}

/// Decides about an object at several times, runs what was decided, and concludes.
pub fn object(object: &RefreshableToken, rest: &[u8]) {
    let name = object.metadata.name.clone().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let valid = validate(&name, &object.spec).is_ok();
    let mut luck = Luck(rest.iter());
    let (key, memory) = (key(), Memory::default());
    let read = SeedView::Read { resource_version: "1".to_owned(), seed: seed() };
    let facts = Facts {
        name: &name,
        uid: "uid",
        generation: object.metadata.generation,
        request: Some("now").filter(|_| luck.draw() % 2 == 1),
        deleting: false,
        spec: &object.spec,
        provider: match &object.spec.provider {
            Some(spec) => ProviderView::Known { spec, version: None },
            None => ProviderView::Unusable { reason: Reason::ProviderMissing, message: "not there" },
        },
        status: &status,
        rival: None,
        seed: if luck.draw() % 4 == 3 { SeedView::NotSeen } else { read },
        outputs: vec![None; object.spec.outputs.len()],
        memory: &memory,
        key: &key,
    };
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, sent(), "9999-12-31T23:59:59Z".parse().unwrap()] {
        let plan = decide(&facts, now);
        assert!(valid || matches!(plan, Plan::Halt { .. }), "{plan:?} with a spec that is not valid");
        match plan {
            Plan::Wait { .. } => drop(conclude_wait(&facts, now)),
            Plan::Halt { reason, message } => {
                let conclusion = conclude_halt(&facts, reason, &message, now);
                let open = conclusion.status.attempt.is_some();
                assert!(open || conclusion.status.next_refresh_time.is_none());
            }
            Plan::Exchange { task, trigger, preflight } => {
                let provider = Provider::new(object.spec.provider.clone().unwrap(), object.spec.request());
                let semantics = provider.semantics();
                let brief = brief(&facts, provider, task, preflight);
                if let Some(finished) = drive(Exchange::start(brief, now), &mut luck, semantics, now) {
                    let conclusion = conclude(&facts, &finished, trigger, semantics, now);
                    assert!(conclusion.status.spent_fingerprints.len() <= status.spent_fingerprints.len().max(8));
                }
            }
            Plan::Leave | Plan::ReadSeed => {}
        }
    }
}

fn brief(facts: &Facts<'_>, provider: Provider, task: Task, preflight: bool) -> Brief {
    Brief {
        task,
        owner: owner(),
        place: Place { namespace: "default".to_owned(), state_secret: "state".to_owned() },
        claim: Claim { journal: Some("journal".to_owned()), ..Claim::new("claim".to_owned(), "pod", "process") },
        watched: None,
        provider,
        login: login(),
        seed: match &facts.seed {
            SeedView::Read { seed, .. } => Some(seed.clone()),
            SeedView::Seen(_) | SeedView::NotSeen | SeedView::Unusable { .. } => None,
        },
        outputs: facts.spec.outputs.clone(),
        seen: vec![None; facts.spec.outputs.len()],
        known: KnownChain::of(facts.status, 0),
        preflight,
        creates: false,
        policy: Policy::of(facts.spec),
        expects_state: facts.status.seed.is_some(),
        void_claims: Vec::new(),
        key: key(),
    }
}

fn owner() -> Owner {
    Owner { cluster: "cluster".to_owned(), name: "token".to_owned(), uid: "uid".to_owned() }
}

/// Runs an exchange to its end; none where what happens keeps it from its end for long.
fn drive(first: (Exchange, Step), luck: &mut Luck<'_>, semantics: Semantics, now: DateTime<Utc>) -> Option<Finished> {
    let (mut exchange, mut step) = first;
    let (mut sendings, mut calm) = (0, 0);
    for _ in 0..10 * MOST_STEPS {
        if let Step::Done(finished) = step {
            return Some(*finished);
        }
        sendings += usize::from(matches!(step, Step::Send { .. }));
        assert!(sendings <= 1 || semantics != Semantics::SingleUse, "a token that works once is sent twice");
        calm += usize::from(luck.0.as_slice().is_empty());
        assert!(calm < MOST_STEPS, "it does not end although all goes well");
        let event = event(&step, luck, now);
        (exchange, step) = exchange.next(event, now);
    }
    None
}

/// What a step comes to.
fn event(step: &Step, luck: &mut Luck<'_>, now: DateTime<Utc>) -> Event {
    let draw = luck.draw();
    match step {
        Step::ReadState => Event::State(state(draw, luck)),
        Step::WriteState(write) => Event::Wrote(match draw % 8 {
            5 if write.begins => WriteAnswer::HeldBack,
            1 => WriteAnswer::Conflict,
            2 => WriteAnswer::Missing,
            3 => WriteAnswer::Denied,
            4 => WriteAnswer::Unclear,
            _ => WriteAnswer::Done(Box::default()),
        }),
        Step::Connect { .. } => Event::Connected(if draw % 4 == 1 { Err(NotSent::EndpointNotAllowed) } else { Ok(()) }),
        Step::Mark(_) => Event::Marked(match draw % 8 {
            1 => MarkAnswer::Stale,
            2 => MarkAnswer::Denied,
            3 => MarkAnswer::Unclear,
            _ => MarkAnswer::Done,
        }),
        Step::Journal(_) | Step::WriteEscrow(_) | Step::DeleteEscrow(_) => Event::Kept(draw % 4 != 1),
        Step::ReadJournal | Step::ReadEscrow(_) => {
            Event::Remembered(if draw % 2 == 1 { Memento::Unclear } else { Memento::Nothing })
        }
        Step::Send { .. } => Event::Delivered { delivery: delivery(draw, luck), sent: now },
        Step::Ask { .. } => Event::Asked(delivery(draw, luck)),
        Step::Output { .. } => Event::Output(match draw % 8 {
            1 => OutputAnswer::Missing,
            2 => OutputAnswer::Conflict,
            3 => OutputAnswer::Denied,
            4 => OutputAnswer::Unclear,
            _ => OutputAnswer::Done,
        }),
        Step::Pause(_) | Step::Done(_) => Event::Paused,
    }
}

fn delivery(draw: u8, luck: &mut Luck<'_>) -> Delivery {
    let grant = r#"{"access_token":"access-1","refresh_token":"refresh-1","expires_in":600}"#;
    let reply = |status, body: &str| Reply { status, headers: Vec::new(), body: RawBody(body.as_bytes().to_vec()) };
    match draw % 8 {
        1 => Delivery::NotSent(NotSent::NotConnected),
        2 => Delivery::Lost { why: Lost::Timeout, partial: None },
        3 => Delivery::Lost { why: Lost::TooLarge, partial: Some(reply(200, "part")) },
        4 => Delivery::Answered(reply(400, r#"{"error":"invalid_grant"}"#)),
        5 => Delivery::Answered(reply(200 + u16::from(luck.draw()) * 2, "{}")),
        6 => Delivery::Answered(reply(200, r#"{"access_token":"access-1"}"#)),
        7 => Delivery::Answered(reply(200, r#"{"refresh_token":"refresh-1"}"#)),
        _ => Delivery::Answered(reply(200, grant)),
    }
}

fn state(draw: u8, luck: &mut Luck<'_>) -> StateAnswer {
    let held = State {
        tokens: seed().tokens,
        generation: i64::from(luck.draw()),
        owner: owner(),
        key: Some(key().name()),
        seeds: vec![seed().fingerprint],
        ..State::default()
    };
    let state = match draw % 8 {
        1 => return StateAnswer::Missing,
        2 => return StateAnswer::Denied,
        3 => return StateAnswer::Unclear,
        4 => return StateAnswer::Malformed(Malformed::Unreadable, Box::default()),
        5 => State { claim: Some(Claim::new("another".to_owned(), "pod", "other")), ..held },
        6 => State { owner: Owner { cluster: "another".to_owned(), ..owner() }, ..held },
        _ => held,
    };
    let (immutable, deleting) = (luck.draw() == 1, luck.draw() == 1);
    StateAnswer::Found(Box::new(StoredState { state, version: Version::default(), immutable, deleting }))
}

/// A file of the journal, or an escrow Secret: what is read is written back alike, and can be taken up.
pub fn journal(data: &[u8]) {
    let Some(entry) = Entry::decode(data) else { return };
    let again = Entry::decode(&entry.encode());
    assert!(again.as_ref() == Some(&entry), "an entry is written back as another");
    let _ = newer_tokens(&entry, None);
    let semantics = entry.provider.semantics();
    let brief = Brief::replay(&entry, Claim::new("own".to_owned(), "pod", "process"), key());
    let mut luck = Luck(data.iter());
    drive(Exchange::replay(brief, entry), &mut luck, semantics, sent());
}
