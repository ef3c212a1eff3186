//! Drives the core as the operator does: facts, decision, exchange step by step, conclusion, status. Each effect has an index,
//! and at each index something can go wrong.

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::{ConditionType, Reason, RefreshableTokenStatus};
use refreshable_token_operator::provider::{Delivery, Lost, NotSent, Provider, TokenRequest};
use refreshable_token_operator::refresh::conclude::{Conclusion, conclude, conclude_halt, conclude_wait, mark};
use refreshable_token_operator::refresh::decide::{
    Facts, Memory, OutputView, Plan as Decision, ProviderView, SeedView, Trigger, decide,
};
use refreshable_token_operator::refresh::exchange::{
    Brief, Event, Exchange, Finished, KnownChain, MarkAnswer, Memento, Outcome, OutputAnswer, Policy, Question, StateAnswer,
    Step, Task, WriteAnswer,
};
use refreshable_token_operator::refresh::journal::{Entry, Place};
use refreshable_token_operator::refresh::state::{Claim, Owner};
use refreshable_token_operator::token::{Login, Purpose, SecretText};

use super::issuer::{Kind, reply};
use super::plan::{Fault, Plan};
use super::world::World;

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was done: look again.
    Worked,
    /// Nothing to do until then.
    Rests(Option<DateTime<Utc>>),
    /// The process died.
    Died,
}

struct Died;

/// One process of the operator.
#[derive(Clone, Debug)]
pub struct Operator {
    pub memory: Memory,
    process: u32,
    claims: u32,
    /// The claim of another process, and since when this one sees it.
    watched: Option<(String, DateTime<Utc>)>,
    /// The client's credentials cannot be read.
    pub without_login: bool,
    /// What it told people, in order.
    pub told: Vec<Reason>,
}

impl Operator {
    pub fn new(process: u32) -> Self {
        Self { memory: Memory::default(), process, claims: 0, watched: None, without_login: false, told: Vec::new() }
    }

    /// Turns until there is nothing to do now, over crashes; gives when to look again.
    pub fn settle(&mut self, world: &mut World, plan: &mut Plan) -> Option<DateTime<Utc>> {
        for _ in 0..25 {
            match self.turn(world, plan) {
                Turn::Worked => {}
                Turn::Rests(until) => return until,
                Turn::Died => *self = Self::new(self.process + 1),
            }
        }
        panic!("the operator spins: {:#?}\n{:#?}", plan.log, world.status);
    }

    /// Lets time pass for `seconds`; looks whenever the core asked for it, and every quarter of an hour.
    pub fn live(&mut self, world: &mut World, plan: &mut Plan, seconds: i64) {
        let end = world.now + TimeDelta::seconds(seconds);
        while world.now < end {
            let until = self.settle(world, plan);
            let patience = world.now + TimeDelta::minutes(15);
            world.now = until.into_iter().chain([patience, end]).min().unwrap();
        }
        self.settle(world, plan);
    }

    pub fn turn(&mut self, world: &mut World, plan: &mut Plan) -> Turn {
        let mut seed = world.seed.as_ref().map_or(SeedView::NotSeen, |(version, _)| SeedView::Seen(version.to_string()));
        let (status, version) = (world.status.clone(), world.object_version);
        let memory = self.memory.clone();
        let mut decision = decide(&facts(world, &status, &memory, &seed), world.now);
        if decision == Decision::ReadSeed {
            seed = read_seed(world);
            decision = decide(&facts(world, &status, &memory, &seed), world.now);
        }
        let (conclusion, turn, version) = match decision {
            Decision::Leave | Decision::ReadSeed => return Turn::Rests(None),
            Decision::Wait { until } => {
                (conclude_wait(&facts(world, &status, &memory, &seed), world.now), Turn::Rests(until), version)
            }
            Decision::Halt { reason, message } => {
                let conclusion = conclude_halt(&facts(world, &status, &memory, &seed), reason, &message, world.now);
                let until = conclusion.memory.retry_time;
                (conclusion, Turn::Rests(until), version)
            }
            Decision::Exchange { task, trigger, preflight } => {
                let brief = self.brief(world, &status, &seed, (task, trigger), preflight);
                let semantics = brief.provider.semantics();
                let Ok((finished, version)) = exchange(brief, world, plan, version) else {
                    died(world, plan);
                    return Turn::Died;
                };
                plan.log.push(format!("{trigger:?} {task:?} -> {:?}", finished.outcome));
                self.watch(&finished.outcome, world.now);
                let facts = facts(world, &status, &memory, &seed);
                let conclusion = conclude(&facts, &finished, trigger, semantics, world.now);
                let turn = match &finished.outcome {
                    Outcome::Held { .. } => Turn::Rests(conclusion.memory.retry_time),
                    _ => Turn::Worked,
                };
                (conclusion, turn, version)
            }
        };
        self.report(world, plan, conclusion, turn, version)
    }

    fn watch(&mut self, outcome: &Outcome, now: DateTime<Utc>) {
        let Outcome::Held { claim, .. } = outcome else { return self.watched = None };
        if self.watched.as_ref().is_none_or(|(watched, _)| watched != claim) {
            self.watched = Some((claim.clone(), now));
        }
    }

    /// Stores the status as the operator does: over somebody else's edit, and given up when the API server is away.
    fn report(&mut self, world: &mut World, plan: &mut Plan, conclusion: Conclusion, turn: Turn, mut version: u64) -> Turn {
        self.memory = conclusion.memory;
        self.told.extend(conclusion.events.iter().map(|note| note.reason));
        if conclusion.status != world.status {
            for _ in 0..3 {
                let answer = cluster(world, plan, "status", MarkAnswer::Unclear, MarkAnswer::Denied, |world, _| {
                    world.put_status(&conclusion.status, version)
                });
                match answer {
                    Err(Died) => {
                        died(world, plan);
                        return Turn::Died;
                    }
                    Ok(MarkAnswer::Done) => break,
                    Ok(MarkAnswer::Stale) => version = world.object_version,
                    Ok(MarkAnswer::Denied | MarkAnswer::Unclear) => {
                        world.pass(5);
                        return Turn::Worked;
                    }
                }
            }
        }
        turn
    }

    fn brief(
        &mut self,
        world: &World,
        status: &RefreshableTokenStatus,
        seed: &SeedView,
        (task, trigger): (Task, Trigger),
        preflight: bool,
    ) -> Brief {
        self.claims += 1;
        let claim = Claim::new(format!("claim-{}-{}", self.process, self.claims), "pod", &self.process.to_string());
        let journal = world.journal.as_ref().map(|journal| journal.id.to_string());
        let watched = self.watched.as_ref().map(|(claim, since)| (claim.clone(), (world.now - *since).to_std().unwrap()));
        Brief {
            task,
            owner: Owner { cluster: "cluster".into(), name: "token".into(), uid: world.uid.clone() },
            place: place(),
            claim: Claim { journal, ..claim },
            watched,
            provider: Provider::new(world.spec.provider.clone().unwrap(), world.spec.request()),
            login: if self.without_login {
                Login::default()
            } else {
                let (id, secret) = (SecretText::new("client"), SecretText::new("secret"));
                Login { client_id: Some(id), client_secret: Some(secret), ..Login::default() }
            },
            seed: match seed {
                SeedView::Read { seed, .. } => Some(seed.clone()),
                SeedView::Seen(_) | SeedView::NotSeen | SeedView::Unusable { .. } => None,
            },
            outputs: world.spec.outputs.clone(),
            seen: outputs(world).into_iter().map(|view| view.map(|view| view.seen)).collect(),
            known: KnownChain::of(status, self.memory.generation),
            preflight,
            creates: trigger == Trigger::Bootstrap,
            policy: Policy::of(&world.spec),
            expects_state: status.seed.is_some() || status.attempt.is_some(),
            void_claims: self.memory.void_claims.clone(),
            key: world.key.clone(),
        }
    }
}

fn read_seed(world: &World) -> SeedView {
    match &world.seed {
        Some((version, seed)) => SeedView::Read { resource_version: version.to_string(), seed: seed.clone() },
        None => SeedView::Unusable { reason: Reason::SeedMissing, message: "there is no seed".into() },
    }
}

pub fn outputs(world: &World) -> Vec<Option<OutputView>> {
    let view = |name: &str| {
        let output = world.outputs.get(name)?;
        let mut seen = output.seen.clone();
        seen.type_ = None;
        Some(OutputView { seen, content_hash: output.content_hash.clone() })
    };
    world.spec.outputs.iter().map(|output| view(&output.secret_name)).collect()
}

pub fn facts<'a>(world: &'a World, status: &'a RefreshableTokenStatus, memory: &'a Memory, seed: &SeedView) -> Facts<'a> {
    Facts {
        name: "token",
        uid: &world.uid,
        generation: Some(world.generation),
        request: world.request.as_deref(),
        deleting: false,
        spec: &world.spec,
        provider: ProviderView::Known { spec: world.spec.provider.as_ref().unwrap(), version: None },
        status,
        rival: None,
        seed: seed.clone(),
        outputs: outputs(world),
        memory,
        key: &world.key,
    }
}

fn died(world: &mut World, plan: &mut Plan) {
    plan.log.push("died".into());
    if plan.loses_journal
        && let Some(journal) = &mut world.journal
    {
        (journal.id, journal.entry) = (journal.id + 1, None);
    }
    let current = world.issuer.chains.last().map(|chain| chain.current.clone()).unwrap_or_default();
    plan.lost_in_flight |= plan.granted && !world.remembers(&current);
    plan.destroyed |= plan.wrecked;
    plan.died_claimed |= world.decoded().is_some_and(|state| state.claim.is_some());
    (plan.held, plan.claimed, plan.wrecked, plan.under_claim, plan.granted) = (false, false, false, false, false);
}

/// Drives one exchange; gives what it found and the version of the object as its mark left it.
fn exchange(brief: Brief, world: &mut World, plan: &mut Plan, mut version: u64) -> Result<(Finished, u64), Died> {
    let spends = brief.provider.semantics().spends();
    let (mut machine, mut step) = Exchange::start(brief, world.now);
    let mut sendings = 0;
    loop {
        let event = match step {
            Step::Done(finished) => {
                plan.destroyed |= plan.wrecked && !plan.under_claim;
                (plan.held, plan.claimed, plan.wrecked, plan.under_claim) = (false, false, false, false);
                return Ok((*finished, version));
            }
            Step::Pause(pause) => {
                plan.pauses += 1;
                assert!(plan.pauses < 200, "it pauses for ever: {:#?}", plan.log);
                world.now += TimeDelta::from_std(pause).unwrap();
                // A person notices an immutable Secret in the end, and removes it.
                if plan.pauses == 20 {
                    world.state = world.state.take().filter(|stored| !stored.immutable);
                }
                Event::Paused
            }
            Step::ReadState => {
                Event::State(cluster(world, plan, "read state", StateAnswer::Unclear, StateAnswer::Denied, |world, plan| {
                    let answer = world.read_state();
                    plan.held |= matches!(answer, StateAnswer::Found(_));
                    answer
                })?)
            }
            Step::WriteState(write) => {
                let effect = match (&write.state.claim, write.dry_run) {
                    (_, true) => "try commit",
                    (Some(_), false) => "claim",
                    (None, false) => "commit or release",
                };
                let refusal = refusal(plan, write.begins);
                let answer = cluster(world, plan, effect, WriteAnswer::Unclear, refusal, |world, plan| {
                    let answer = world.write_state(&write);
                    if matches!(answer, WriteAnswer::Done(_)) && !write.dry_run {
                        let open = write.state.claim.is_some();
                        plan.claimed = open;
                        plan.held = open || world.state.is_none();
                        (plan.wrecked, plan.granted) = (world.state.is_none(), plan.granted && open);
                    }
                    answer
                })?;
                Event::Wrote(answer)
            }
            Step::Connect { .. } => {
                let (late, refused) = (Err(NotSent::ConnectTimeout), Err(NotSent::NotConnected));
                Event::Connected(cluster(world, plan, "connect", late, refused, |_, _| Ok(()))?)
            }
            Step::Mark(about) => {
                let answer = cluster(world, plan, "mark", MarkAnswer::Unclear, MarkAnswer::Denied, |world, _| {
                    world.put_status(&mark(&world.status.clone(), &about), version)
                })?;
                if answer == MarkAnswer::Done {
                    version = world.object_version;
                }
                Event::Marked(answer)
            }
            Step::Journal(entry) => {
                Event::Kept(cluster(world, plan, "journal", false, false, |world, _| world.journal_write(&entry))?)
            }
            Step::ReadJournal => {
                Event::Remembered(cluster(world, plan, "read journal", Memento::Unclear, Memento::Unclear, |world, _| {
                    remembered(world.journal.as_ref().and_then(|journal| journal.entry.as_ref()))
                })?)
            }
            Step::WriteEscrow(entry) => Event::Kept(cluster(world, plan, "write escrow", false, false, |world, _| {
                world.escrow.insert(entry.claim().to_owned(), entry.encode());
                true
            })?),
            Step::ReadEscrow(claim) => {
                Event::Remembered(cluster(world, plan, "read escrow", Memento::Unclear, Memento::Unclear, |world, _| {
                    remembered(world.escrow.get(&claim))
                })?)
            }
            Step::DeleteEscrow(claim) => Event::Kept(cluster(world, plan, "delete escrow", false, false, |world, _| {
                world.escrow.remove(&claim);
                true
            })?),
            Step::Send { request, .. } => {
                sendings += 1;
                assert!(
                    sendings == 1 || matches!(world.issuer.kind, Kind::Grace(_) | Kind::IdempotencyKey),
                    "sent twice: {:#?}",
                    plan.log
                );
                send(world, plan, &request, spends)?
            }
            Step::Ask { request, question } => Event::Asked(ask(world, plan, &request, question)?),
            Step::Output { action, seen, rendered, .. } => {
                let effect = format!("output {action:?}");
                Event::Output(cluster(world, plan, &effect, OutputAnswer::Unclear, OutputAnswer::Denied, |world, _| {
                    world.output(action, seen.as_ref(), &rendered)
                })?)
            }
        };
        (machine, step) = machine.next(event, world.now);
    }
}

fn remembered(entry: Option<&Vec<u8>>) -> Memento {
    entry.map_or(Memento::Nothing, |bytes| Memento::Entry(Box::new(Entry::decode(bytes).unwrap())))
}

fn place() -> Place {
    Place { namespace: "default".into(), state_secret: "token-state".into() }
}

/// A request to the API server, with what goes wrong around it.
fn cluster<A>(
    world: &mut World,
    plan: &mut Plan,
    effect: &str,
    unclear: A,
    denied: A,
    perform: impl FnOnce(&mut World, &mut Plan) -> A,
) -> Result<A, Died> {
    let fault = plan.take().or((plan.down && effect == "connect").then_some(Fault::Denied));
    plan.log.push(format!("{} {effect} {fault:?}", plan.index - 1));
    match fault {
        Some(Fault::CrashBefore) => Err(Died),
        Some(Fault::CrashAfter) => {
            perform(world, plan);
            Err(Died)
        }
        Some(Fault::AnswerLost) => {
            perform(world, plan);
            Ok(unclear)
        }
        Some(Fault::NeverArrived) => Ok(unclear),
        Some(Fault::Denied) => Ok(denied),
        Some(other) => {
            meddle(world, plan, other);
            Ok(perform(world, plan))
        }
        None => Ok(perform(world, plan)),
    }
}

fn ask(world: &mut World, plan: &mut Plan, request: &TokenRequest, question: Question) -> Result<Delivery, Died> {
    let lost = Delivery::Lost { why: Lost::Timeout, partial: None };
    let refused = Delivery::NotSent(NotSent::NotConnected);
    let effect = format!("ask {question:?}");
    cluster(world, plan, &effect, lost, refused, |world, _| Delivery::Answered(world.issuer.asked(question, request)))
}

fn send(world: &mut World, plan: &mut Plan, request: &TokenRequest, spends: bool) -> Result<Event, Died> {
    let fault = plan.take().or(plan.down.then_some(Fault::Denied));
    plan.log.push(format!("{} send {fault:?}", plan.index - 1));
    let body = request.body.as_ref().unwrap().content.reveal().to_owned();
    let token = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).unwrap_or_default().to_owned();
    if spends {
        let fingerprint = world.key.fingerprint(Purpose::Token, token.as_bytes()).to_string();
        assert!(world.status.spent_fingerprints.contains(&fingerprint), "sent without a mark: {:#?}", plan.log);
        assert!(world.status.attempt.is_some(), "sent without an attempt in the status: {:#?}", plan.log);
    }
    let sent = world.now;
    let key = request.headers.iter().find(|(name, _)| *name == "idempotency-key").map(|(_, value)| value.reveal().to_owned());
    let last_try = world.decoded().and_then(|state| state.claim).is_some_and(|claim| claim.last_try);
    if last_try {
        let expired = world.decoded().and_then(|state| state.tokens.expiration_time).is_none_or(|time| time <= world.now);
        assert!(expired, "the last try comes while the access token is alive: {:#?}", plan.log);
    }
    let handle = |world: &mut World, plan: &mut Plan| {
        let reply = world.issuer.present(&token, key.as_deref(), world.now);
        if last_try {
            plan.late_replays.append(&mut world.issuer.replays);
        }
        plan.granted |= reply.status == 200;
        reply
    };
    let lost = |why| Delivery::Lost { why, partial: None };
    let delivery = match fault {
        Some(Fault::CrashBefore) => return Err(Died),
        Some(Fault::CrashAfter) => {
            handle(world, plan);
            return Err(Died);
        }
        Some(Fault::AnswerLost) => {
            handle(world, plan);
            lost(Lost::Timeout)
        }
        Some(Fault::NeverArrived) => lost(Lost::ConnectionEnded),
        Some(Fault::Denied) => Delivery::NotSent(NotSent::NotConnected),
        Some(Fault::HeldBack) => Delivery::NotSent(NotSent::HeldBack),
        Some(Fault::Http(status, handled)) => {
            if handled {
                handle(world, plan);
            }
            Delivery::Answered(reply(status, if status == 401 { "{\"error\":\"invalid_client\"}" } else { "{}" }))
        }
        Some(Fault::Page(handled)) => {
            if handled {
                handle(world, plan);
            }
            Delivery::Answered(reply(200, "<html>please log in</html>"))
        }
        Some(other) => {
            meddle(world, plan, other);
            Delivery::Answered(handle(world, plan))
        }
        None => Delivery::Answered(handle(world, plan)),
    };
    world.pass(1);
    // The pair that was granted is in the answer, or it is lost; a grace brings it back.
    let read = matches!(&delivery, Delivery::Answered(reply) if reply.body.0.starts_with(b"{\"access_token"));
    if plan.granted && !read && !matches!(world.issuer.kind, Kind::Grace(_) | Kind::IdempotencyKey) {
        plan.lost_in_flight = true;
        plan.granted = false;
    }
    Ok(Event::Delivered { delivery, sent })
}

/// What a write comes to that is not done; one that begins something can be held back.
fn refusal(plan: &mut Plan, begins: bool) -> WriteAnswer {
    if !begins || plan.faults.get(&plan.index) != Some(&Fault::HeldBack) {
        return WriteAnswer::Denied;
    }
    plan.faults.insert(plan.index, Fault::Denied);
    WriteAnswer::HeldBack
}

/// What people and other programs do to the state Secret and the object.
fn meddle(world: &mut World, plan: &mut Plan, fault: Fault) {
    let (version, held, claimed) = (world.next(), plan.held, plan.claimed);
    let mut destroy = |protected: bool| {
        plan.under_claim |= claimed;
        if protected { plan.wrecked = true } else { plan.destroyed = true }
    };
    match fault {
        Fault::ObjectEdited => world.object_version = version,
        Fault::OutputDeleted => world.outputs.clear(),
        Fault::Replaced => {
            destroy(claimed);
            world.replace_state(plan.replacement.clone().unwrap(), true);
        }
        Fault::OlderCopy(anew) => {
            let old =
                world.copies.iter().rev().find(|copy| world.state.as_ref().is_none_or(|now| now.data != copy.data)).cloned();
            if let Some(old) = old {
                destroy(claimed);
                world.replace_state(old.data, !anew);
            }
        }
        Fault::Label | Fault::ForeignKey | Fault::Deleted | Fault::DeletedByForce | Fault::Immutable => {
            let Some(mut stored) = world.state.take() else { return };
            stored.version = version;
            match fault {
                Fault::Label => drop(stored.labels.insert("team".into(), "a".into())),
                Fault::ForeignKey => drop(stored.data.insert("note".into(), b"mine".to_vec())),
                Fault::Immutable => {
                    stored.immutable = true;
                    plan.immutable = true;
                }
                _ if stored.held && fault == Fault::Deleted => {
                    stored.deleting = true;
                    destroy(true);
                }
                _ => {
                    destroy(held);
                    return;
                }
            }
            world.state = Some(stored);
        }
        // The others are about answers, and happen elsewhere.
        Fault::AnswerLost
        | Fault::NeverArrived
        | Fault::Denied
        | Fault::HeldBack
        | Fault::Http(..)
        | Fault::Page(_)
        | Fault::CrashBefore
        | Fault::CrashAfter => {}
    }
}

/// The reason for which the object stands still.
pub fn stalled(world: &World) -> Option<&str> {
    world.status.conditions.iter().find(|c| c.type_ == ConditionType::Stalled).map(|c| c.reason.as_str())
}
