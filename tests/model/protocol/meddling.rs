//! What nobody asked for: crashes, people, late requests, time.

use refreshable_token_operator::provider::RawBody;

use super::Protocol;
use super::status::Recollection;
use super::world::{Doing, Replica, Wire, World};

/// A key that a person puts into the state Secret, and takes away again.
const NOTE: &str = "note";

impl World {
    /// A request goes on without anybody who waits for its answer.
    pub(super) fn send_late(&mut self, token: u8) {
        self.late.push(token);
        self.late.sort_unstable();
    }
}

impl Protocol {
    /// A process dies, and its successor starts.
    pub(super) fn crash(&self, world: &World, index: usize) -> Option<World> {
        let mut next = world.clone();
        next.left.crashes = next.left.crashes.checked_sub(1)?;
        let replica = next.replicas.get_mut(index)?;
        let old = std::mem::replace(
            replica,
            Replica { memory: self.memories.number(Recollection::default()), view: world.status, doing: Doing::Idle },
        );
        if let Doing::Exchange(exchange) = &old.doing {
            let at_risk = exchange.wire != Wire::None || exchange.holds > 0;
            if at_risk && !self.variant.dies_in_flight {
                return None;
            }
            if let Wire::Sent(token) = exchange.wire {
                next.send_late(token);
            }
            let held = matches!(exchange.wire, Wire::Granted(_)) || exchange.holds > 0;
            next.excused |= held && !self.stored(&next);
        }
        // A process that has nothing and forgets nothing does not die usefully.
        (next.replicas.get(index) != Some(&old) && *world != next).then_some(next)
    }

    /// A late request arrives; nobody reads the answer.
    pub(super) fn arrive(&self, world: &World, token: u8) -> Option<World> {
        let mut next = self.vanish(world, token)?;
        let granted = next.issuer.present(token, next.time, self.window());
        next.excused |= granted.is_some() && self.variant.grace.is_none();
        Some(next)
    }

    /// A late request comes to nothing.
    pub(super) fn vanish(&self, world: &World, token: u8) -> Option<World> {
        let mut next = world.clone();
        let place = next.late.iter().position(|late| *late == token)?;
        next.late.remove(place);
        Some(next)
    }

    /// A long time passes. Until then every request has arrived or come to nothing.
    pub(super) fn tick(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        next.left.ticks = next.left.ticks.checked_sub(1).filter(|_| world.late.is_empty())?;
        next.time += 1;
        for replica in &mut next.replicas {
            if let Doing::Exchange(exchange) = &mut replica.doing {
                if exchange.wire != Wire::None {
                    return None;
                }
                exchange.overdue |= exchange.claimed;
            }
        }
        Some(next)
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
        next.put_secret(edited);
        Some(next)
    }

    /// A person puts an older copy in the place of the state Secret.
    pub(super) fn restore(&self, world: &World, copy: u32) -> Option<World> {
        let mut next = world.clone();
        next.put_secret(copy);
        next.left.restores = next.left.restores.checked_sub(1)?;
        next.restored = true;
        if next.left.restores == 0 {
            next.copies.clear();
        }
        (world.secret != Some(copy)).then_some(next)
    }
}
