//! What must hold in every state. The issuer is the judge: it knows what was presented and what is newest.

use refreshable_token_operator::api::Reason;

use super::Protocol;
use super::steps::Way;
use super::variant::Promise;
use super::world::{Doing, Faults, Wire, World};

/// How many turns a chain may need, with nothing in its way, to be refreshed or to say why not.
const TURNS: usize = 400;
/// How often it comes to rest before a long time passes.
const RESTS: u8 = 4;
/// How many ticks it is watched for: until every rest is over.
const TICKS: u8 = 6;

impl Protocol {
    /// No spent token was presented again.
    pub(super) fn never_spent_twice(&self, world: &World) -> bool {
        !world.issuer.twice
    }

    /// The newest token is where a process or a person can find it, or the protocol never promised it.
    pub(super) fn never_lost(&self, world: &World) -> bool {
        let newest = world.issuer.newest;
        let held = world.replicas.iter().any(|replica| match &replica.doing {
            Doing::Exchange(exchange) => exchange.holds == newest && newest > 0 || exchange.wire == Wire::Granted(newest),
            Doing::Idle | Doing::Reporting(_) => false,
        });
        let repeatable = match self.variant.promise {
            Promise::Strict => false,
            Promise::Grace(_) => self.variant.promise.window().is_some_and(|window| world.time - world.issuer.spent_at < window),
            Promise::IdempotencyKey => true,
        };
        // A restore by itself can put away the newest token.
        world.excused || world.restored || world.issuer.twice || held || repeatable || self.kept(world)
    }

    /// The newest token stands in the state Secret.
    pub(super) fn stored(&self, world: &World) -> bool {
        world.secret.is_some_and(|secret| self.machine.contents.value(secret).tokens & 1 << world.issuer.newest != 0)
    }

    /// The newest token stands in the state Secret, a journal or an escrow Secret.
    pub(super) fn kept(&self, world: &World) -> bool {
        let journals = world.replicas.iter().filter_map(|replica| replica.entry);
        let mut kept = journals.chain(world.escrow.iter().copied());
        self.stored(world) || kept.any(|entry| self.machine.kept.value(entry).tokens & 1 << world.issuer.newest != 0)
    }

    /// Once nothing is under way, the chain goes on by itself, or the status says why it does not.
    pub(super) fn no_dead_end(&self, world: &World) -> bool {
        let resting = world.late.is_empty() && world.replicas.iter().all(|replica| replica.doing == Doing::Idle);
        if !resting || world.issuer.twice {
            return true;
        }
        let left = &world.left;
        let mut alone = world.clone();
        alone.copies.clear();
        alone.left = Faults { refreshes: u8::MAX, crashes: left.crashes, lost: left.lost, late: left.late, ..Faults::default() };
        for replica in &mut alone.replicas {
            replica.view = alone.status;
        }
        alone.excused = false;
        self.healthy.get(alone, |alone| self.goes_on(alone.clone()))
    }

    fn goes_on(&self, mut world: World) -> bool {
        let before = world.issuer.newest;
        let (mut rests, mut ticks) = (0, 0);
        for turn in 0..TURNS {
            if world.issuer.newest > before && self.stored(&world) {
                return true;
            }
            let resting = world.replicas.iter().all(|replica| replica.doing == Doing::Idle);
            rests += u8::from(resting);
            if rests == RESTS {
                if ticks == TICKS {
                    break;
                }
                (rests, ticks) = (0, ticks + 1);
                world.time += 1;
            }
            let count = world.replicas.len();
            let order = (0..count).map(|place| (place + turn) % count);
            let step = order
                .clone()
                .find_map(|index| self.perform(&world, index, Way::Well))
                .or_else(|| order.clone().find_map(|index| self.begin(&world, index, false)));
            if let Some(next) = step {
                world = next;
            }
        }
        self.known.value(world.status).stalled.is_some_and(|reason| self.may_stall(&world, reason))
    }

    /// Whether what has happened is a reason to stand still.
    fn may_stall(&self, world: &World, reason: Reason) -> bool {
        let (left, all) = (&world.left, &self.variant.faults);
        match reason {
            Reason::RefreshOutcomeUnknown | Reason::ChainLost => {
                left.crashes < all.crashes || left.lost < all.lost || left.late < all.late || world.restored
            }
            Reason::Regressed => world.restored,
            _ => false,
        }
    }
}
