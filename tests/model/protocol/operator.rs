//! What a process does before and after an exchange, as `operator/reconcile.rs` does it: facts, `decide`, a brief, the exchange,
//! `conclude`, the status.

use refreshable_token_operator::provider::Provider;
use refreshable_token_operator::refresh::conclude::conclude;
use refreshable_token_operator::refresh::decide::{Facts, Plan, ProviderView, SeedView, Trigger, decide};
use refreshable_token_operator::refresh::exchange::{Brief, Outcome, Policy, Step, Task};
use refreshable_token_operator::refresh::state::Claim;
use refreshable_token_operator::token::{Login, SecretText};

use super::machine::{Answer, CLAIMS, TOKENS, at, claim_bit, claim_name, token};
use super::spec::{api, owner, place};
use super::status::{Known, Recollection, output_view};
use super::world::{Doing, Exchanging, Kept, Replica, Reporting, Wire, World};
use super::{Protocol, Rule};

/// An exchange that was decided on.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    task: Task,
    trigger: u8,
    preflight: bool,
}

/// What an exchange came to: the status to store and the memory, by number.
#[derive(Clone, Copy, Debug)]
pub struct End {
    status: u32,
    memory: u32,
}

const TRIGGERS: [Trigger; 7] =
    [Trigger::Scheduled, Trigger::Retry, Trigger::Manual, Trigger::Spec, Trigger::Seed, Trigger::Drift, Trigger::LastTry];
/// In the place of a trigger: the exchange ends what another process kept, and nothing follows on it.
const REPLAY: u8 = u8::MAX;

/// Whether an exchange was begun for the one late repeat.
pub fn is_last_try(trigger: u8) -> bool {
    TRIGGERS.get(usize::from(trigger)) == Some(&Trigger::LastTry)
}

impl Protocol {
    fn with_facts<R>(&self, view: u32, memory: u32, ask: impl FnOnce(&Facts<'_>) -> R) -> R {
        let status = self.known.value(view).status();
        let memory = self.memories.value(memory).memory();
        ask(&Facts {
            name: "token",
            uid: "object",
            generation: Some(1),
            request: None,
            deleting: false,
            spec: &self.machine.spec,
            provider: ProviderView::Known { spec: api(&self.machine.spec), version: None },
            status: &status,
            rival: None,
            seed: SeedView::Seen("1".to_owned()),
            outputs: vec![Some(output_view())],
            memory: &memory,
            key: &self.machine.key,
        })
    }

    fn plan(&self, view: u32, memory: u32, time: u8) -> Option<Planned> {
        self.plans.get((view, memory, time), |_| match self.with_facts(view, memory, |facts| decide(facts, at(time))) {
            Plan::Exchange { task, trigger, preflight } => {
                let trigger = TRIGGERS.iter().position(|known| *known == trigger).and_then(|n| u8::try_from(n).ok());
                Some(Planned { task, trigger: trigger.unwrap_or_default(), preflight })
            }
            Plan::Wait { .. } => None,
            Plan::Leave | Plan::ReadSeed | Plan::Halt { .. } => unreachable!("the object of the model is in order"),
        })
    }

    /// A process looks at the object, or at an old copy of it, and begins what is to be done; none if there is nothing.
    pub(super) fn begin(&self, world: &World, index: usize, stale: bool) -> Option<World> {
        let replica = world.replicas.get(index)?;
        if !replica.replays.is_empty() {
            return self.replay(world, index);
        }
        let view = if stale { replica.view } else { world.status };
        let plan = self.plan(view, replica.memory, world.time)?;
        // The last refresh is done: nothing is due any more.
        if plan.task == Task::Refresh && self.newest_stored(world) == Some(world.left.refreshes) {
            return None;
        }
        let live = self.live_claims(world);
        let free = (0..CLAIMS).find(|number| live & 1 << number == 0).unwrap_or_else(|| unreachable!("too many claims"));
        let stands =
            world.secret.and_then(|secret| self.machine.contents.value(secret).state.claim.clone()).map(|claim| claim.id);
        let void = stands.filter(|_| self.without(Rule::LeaveOpenClaims));
        let void_bit = void.as_deref().map_or(0, claim_bit);
        let key = (view, replica.memory, (free, void_bit), world.time, (index, replica.process, replica.journal));
        let node = self.starts.get(key, |_| {
            let claim = self.claim(index, replica, free);
            self.machine.start(self.brief(view, replica.memory, plan, (claim, void), world.time), world.time)
        });
        self.begun(world, index, node, view, plan.trigger)
    }

    fn begun(&self, world: &World, index: usize, node: u32, view: u32, trigger: u8) -> Option<World> {
        let exchange = Exchanging {
            node,
            trigger,
            object: view,
            current: view == world.status,
            version: 0,
            knows: false,
            claimed: None,
            wire: Wire::None,
            holds: 0,
            journal: Kept::NotYet,
        };
        let mut next = world.clone();
        let replica = next.replicas.get_mut(index)?;
        (replica.view, replica.doing) = (view, Doing::Exchange(exchange));
        Some(next)
    }

    /// Before anything else a process looks at what was kept. What is committed by now is left alone.
    fn replay(&self, world: &World, index: usize) -> Option<World> {
        let mut next = world.clone();
        let replica = next.replicas.get_mut(index)?;
        let kept = replica.replays.pop()?;
        let entry = self.machine.kept.value(kept).entry.clone();
        if self.known.value(world.status).generation > entry.state.generation {
            return Some(next);
        }
        entry.state.claim.as_ref()?;
        let brief = Brief::replay(&entry, self.claim(index, replica, 0), self.machine.key.clone());
        let node = self.machine.replay(brief, kept);
        self.begun(&next, index, node, world.status, REPLAY)
    }

    fn claim(&self, index: usize, replica: &Replica, number: u8) -> Claim {
        let process = format!("process {index} {}", replica.process);
        let journal = format!("journal {index} {}", replica.journal);
        Claim { journal: Some(journal).filter(|_| self.variant.journal), ..Claim::new(claim_name(number), "pod", &process) }
    }

    /// The number of the refresh token that the state Secret goes on with.
    pub(super) fn newest_stored(&self, world: &World) -> Option<u8> {
        let contents = self.machine.contents.value(world.secret?);
        let held = contents.state.tokens.refresh_token.as_ref()?;
        (0..TOKENS).find(|number| token(*number) == held.reveal())
    }

    fn brief(&self, view: u32, memory: u32, plan: Planned, (claim, void): (Claim, Option<String>), time: u8) -> Brief {
        let known = self.known.value(view);
        let recollection = self.memories.value(memory);
        let mut void_claims = recollection.void_claims.clone();
        void_claims.extend(void);
        let watched = recollection.watched.clone().map(|(id, since)| (id, (at(time) - at(since)).to_std().unwrap_or_default()));
        let spec = &self.machine.spec;
        let login = Login {
            client_id: Some(SecretText::new("client")),
            client_secret: Some(SecretText::new("secret")),
            ..Login::default()
        };
        Brief {
            task: plan.task,
            owner: owner(),
            place: place(),
            claim,
            watched,
            provider: Provider::new(api(spec).clone(), spec.request()),
            login,
            seed: None,
            // Outputs can be written again for ever, from the state Secret alone; nothing of the protocol hangs on them.
            outputs: Vec::new(),
            seen: Vec::new(),
            known: known.chain(recollection.generation),
            preflight: plan.preflight,
            creates: false,
            policy: Policy::default(),
            expects_state: true,
            void_claims,
            key: self.machine.key.clone(),
        }
    }

    /// The claims that something in the world names, one bit each.
    pub(super) fn live_claims(&self, world: &World) -> u64 {
        let known = |number: u32| self.known.value(number).claims();
        let stored = world.copies.iter().chain(&world.secret).map(|contents| self.machine.contents.value(*contents).claims);
        let mut live = stored.fold(known(world.status), |all, claims| all | claims);
        let kept = world.replicas.iter().flat_map(|replica| replica.entry.iter().chain(&replica.replays)).chain(&world.escrow);
        live = kept.fold(live, |all, entry| all | self.machine.kept.value(*entry).claims);
        live = world.issuer.keys.iter().fold(live, |all, key| all | 1 << key);
        for late in &world.late {
            live |= 1 << late.key;
        }
        for replica in &world.replicas {
            live |= known(replica.view) | self.memories.value(replica.memory).claims();
            live |= match &replica.doing {
                Doing::Idle => 0,
                Doing::Exchange(exchange) => self.machine.nodes.value(exchange.node).claims | known(exchange.object),
                Doing::Reporting(report) => known(report.status),
            };
        }
        live
    }

    /// An exchange goes on after an answer, over pauses, to its next step or its end.
    pub(super) fn go_on(&self, mut next: World, index: usize, answer: Answer) -> Option<World> {
        let time = next.time;
        let replica = next.replicas.get_mut(index)?;
        let Doing::Exchange(exchange) = &mut replica.doing else { return None };
        exchange.node = self.machine.next(exchange.node, answer, time);
        loop {
            match self.machine.nodes.value(exchange.node).step {
                // What lies between two steps of one process nobody can see.
                Step::Pause(_) | Step::Output { .. } => {
                    exchange.node = self.machine.next(exchange.node, Answer::Went, time);
                }
                Step::Done(_) => return self.end(next, index),
                _ => return Some(next),
            }
        }
    }

    fn end(&self, mut next: World, index: usize) -> Option<World> {
        let time = next.time;
        let replica = next.replicas.get_mut(index)?;
        let Doing::Exchange(exchange) = replica.doing.clone() else { return None };
        if exchange.trigger == REPLAY {
            replica.doing = Doing::Idle;
            return Some(next);
        }
        let key = (exchange.node, replica.view, replica.memory, exchange.trigger, time);
        let end = self.ends.get(key, |_| self.conclude(&exchange, replica.view, replica.memory, time));
        replica.memory = end.memory;
        replica.view = exchange.object;
        let report = Reporting { status: end.status, current: exchange.current, tries: 0 };
        replica.doing = if end.status == exchange.object { Doing::Idle } else { Doing::Reporting(report) };
        self.forget_claims(&mut next, index);
        Some(next)
    }

    fn conclude(&self, exchange: &Exchanging, view: u32, memory: u32, time: u8) -> End {
        let node = self.machine.nodes.value(exchange.node);
        let Step::Done(finished) = &node.step else { unreachable!("the exchange has ended") };
        let trigger = TRIGGERS.get(usize::from(exchange.trigger)).copied().unwrap_or(Trigger::Scheduled);
        let spec = &self.machine.spec;
        let semantics = Provider::new(api(spec).clone(), spec.request()).semantics();
        let conclusion = self.with_facts(view, memory, |facts| conclude(facts, finished, trigger, semantics, at(time)));
        let mut recollection = Recollection::of(&conclusion.memory, at(time));
        if self.without(Rule::RestAfterRepeat) {
            recollection.rest_until = None;
        }
        if let Outcome::Held { claim, .. } = &finished.outcome {
            let before = self.memories.value(memory).watched.clone().filter(|(watched, _)| watched == claim);
            recollection.watched = before.or(Some((claim.clone(), time)));
        }
        End { status: self.known.number(Known::of(&conclusion.status)), memory: self.memories.number(recollection) }
    }

    /// A void claim that nothing names any more can be forgotten.
    fn forget_claims(&self, world: &mut World, index: usize) {
        let Some(replica) = world.replicas.get(index) else { return };
        let recollection = self.memories.value(replica.memory);
        if recollection.void_claims.is_empty() {
            return;
        }
        let mut others = world.clone();
        if let Some(replica) = others.replicas.get_mut(index) {
            replica.memory = self.memories.number(Recollection::default());
        }
        let live = self.live_claims(&others);
        let mut kept = Recollection::clone(&recollection);
        kept.void_claims.retain(|id| claim_bit(id) & live != 0);
        if let Some(replica) = world.replicas.get_mut(index) {
            replica.memory = self.memories.number(kept);
        }
    }
}
