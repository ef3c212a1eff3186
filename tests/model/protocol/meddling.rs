//! What nobody asked for: crashes, people, late requests, time.

use refreshable_token_operator::provider::RawBody;
use refreshable_token_operator::refresh::exchange::Step;

use super::Protocol;
use super::status::Recollection;
use super::variant::Promise;
use super::world::{Doing, Kept, Replica, Request, Wire, World};

/// A key that a person puts into the state Secret, and takes away again.
const NOTE: &str = "note";

impl World {
    /// A request goes on without anybody who waits for its answer.
    pub(super) fn send_late(&mut self, request: Request) {
        self.late.push(request);
        self.late.sort_unstable();
    }
}

impl Protocol {
    /// A process dies, with its journal or without, and its successor starts.
    pub(super) fn crash(&self, world: &World, index: usize, wipe: bool) -> Option<World> {
        let mut next = world.clone();
        next.left.crashes = next.left.crashes.checked_sub(1)?;
        next.left.wipes = next.left.wipes.checked_sub(u8::from(wipe))?;
        let kept_before = self.kept(&next);
        let replica = next.replicas.get_mut(index)?;
        let entry = replica.entry.filter(|_| !wipe);
        let answers = entry.iter().chain(&world.escrow).filter(|entry| self.machine.kept.value(**entry).entry.answer.is_some());
        let successor = Replica {
            memory: self.memories.number(Recollection::default()),
            view: world.status,
            process: replica.process + 1,
            journal: replica.journal + u8::from(wipe),
            entry,
            replays: answers.copied().collect(),
            doing: Doing::Idle,
        };
        let old = std::mem::replace(replica, successor);
        if let Doing::Exchange(exchange) = &old.doing {
            if let Wire::Sent(request) = exchange.wire {
                next.send_late(request);
            }
            // The answer had come and was nowhere but in memory, because there was no time or no way to keep it.
            let unsafe_yet = match exchange.journal {
                Kept::NotYet => !self.variant.journal || matches!(self.machine.nodes.value(exchange.node).step, Step::Journal(_)),
                Kept::Done => false,
                Kept::Refused => true,
            };
            let held = exchange.holds > 0 && unsafe_yet;
            let unkept = (matches!(exchange.wire, Wire::Granted(_)) || held) && !self.kept(&next);
            if (unkept || exchange.wire != Wire::None) && !self.variant.dies_in_flight {
                return None;
            }
            next.excused |= unkept && self.variant.promise == Promise::Strict;
        }
        next.excused |= wipe && kept_before && !self.kept(&next) && self.variant.promise == Promise::Strict;
        Some(next)
    }

    /// A late request arrives; nobody reads the answer.
    pub(super) fn arrive(&self, world: &World, request: Request) -> Option<World> {
        let mut next = self.vanish(world, request)?;
        let granted = next.issuer.present(request, next.time, self.variant.promise, next.excused);
        next.excused |= granted.is_some() && self.variant.promise == Promise::Strict;
        Some(next)
    }

    /// A late request comes to nothing.
    pub(super) fn vanish(&self, world: &World, request: Request) -> Option<World> {
        let mut next = world.clone();
        let place = next.late.iter().position(|late| *late == request)?;
        next.late.remove(place);
        Some(next)
    }

    /// A long time passes. Until then every request has arrived or come to nothing; and nobody promises anything to a process
    /// that sleeps longer than a grace.
    pub(super) fn tick(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        next.left.ticks = next.left.ticks.checked_sub(1).filter(|_| world.late.is_empty())?;
        next.time += 1;
        let open = |time: u8| self.variant.promise.window().is_some_and(|window| time - world.issuer.spent_at < window);
        next.excused |= open(world.time) && !open(next.time) && !self.kept(world);
        let busy = |replica: &Replica| matches!(&replica.doing, Doing::Exchange(exchange) if exchange.wire != Wire::None);
        (!next.replicas.iter().any(busy)).then_some(next)
    }

    /// A person adds a key to the state Secret, or takes it away.
    pub(super) fn edit(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        next.left.edits = next.left.edits.checked_sub(1)?;
        let edited = self.edits.get(world.secret?, |contents| {
            let mut state = self.machine.contents.value(*contents).state.clone();
            if state.foreign.remove(NOTE).is_none() {
                state.foreign.insert(NOTE.to_owned(), RawBody(b"mine".to_vec()));
            }
            self.machine.hold(state)
        });
        next.put_secret(edited, world.written);
        Some(next)
    }

    /// A person puts an older copy in the place of the state Secret.
    pub(super) fn restore(&self, world: &World, copy: u32) -> Option<World> {
        let mut next = world.clone();
        next.put_secret(copy, None);
        next.left.restores = next.left.restores.checked_sub(1)?;
        next.restored = true;
        if next.left.restores == 0 {
            next.copies.clear();
        }
        (world.secret != Some(copy)).then_some(next)
    }
}
