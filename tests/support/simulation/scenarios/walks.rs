//! Long runs: two replicas that know nothing of each other, views that lag, and random walks through everything at once.

use std::time::Duration;

use testbed::fake_cluster::Kind as Resource;
use tokio::time::Instant;

use super::people::{DEEDS, Deed, arrange};
use crate::simulation::clock::Skew;
use crate::simulation::control::Chance;
use crate::simulation::count::Count;
use crate::simulation::fault::{FAULTS, MORE_FAULTS};
use crate::simulation::issuer::Kind;
use crate::simulation::random::Random;
use crate::simulation::run::{come_to_rest, guarded, simulate, sum};
use crate::simulation::world::{Journal, Setup, World};

/// Two replicas whose clocks are ten minutes off in opposite directions, and run 5 % slow and fast.
pub const APART: [Skew; 2] = [Skew { offset: -600, rate: 0.95 }, Skew { offset: 600, rate: 1.05 }];
/// Two replicas with true clocks.
pub const ALIKE: [Skew; 2] = [Skew { offset: 0, rate: 1.0 }, Skew { offset: 0, rate: 1.0 }];
/// Longer than the clocks of two replicas are apart: else one would call expired what the other calls fresh.
pub const LONG: i64 = 7200;
const ALONE: [Skew; 1] = [Skew { offset: 0, rate: 1.0 }];

/// Two replicas without an election, until the issuer has granted so many refreshes in each of so many worlds.
pub fn two_replicas(worlds: u64, refreshes: u32) -> Count {
    let plans: Vec<u64> = (0..worlds).collect();
    sum(&plans, |number| {
        let skews: &'static [Skew] = if number % 4 == 3 { &ALIKE } else { &APART };
        let setup = Setup { skews, lifetime: LONG, ..Setup::of(Kind::Strict) };
        let name = format!("world {number}, {skews:?}");
        guarded(&name, || {
            simulate(async || {
                let mut world = World::new(setup);
                // Every other world has lists and events that lag besides.
                let lag = if number % 2 == 0 { 0 } else { 4 };
                world.start();
                world.control.arm();
                world.control.chance(Chance { stale: lag, events: lag, ..calm(*number) });
                let end = Instant::now() + Duration::from_secs(u64::from(refreshes) * 9000);
                let often = Duration::from_secs(300);
                let done = world.until(end, often, |world| world.judge.issuer().rotations >= refreshes).await;
                world.control.disarm();
                come_to_rest(&mut world).await;
                let mut count = world.count(&name);
                if !done {
                    count.problem(format!("{name}: too few refreshes\n{}", world.report()));
                }
                count
            })
        })
    })
}

fn calm(seed: u64) -> Chance {
    Chance { random: Random::new(seed), faults: 0, stale: 0, events: 0, kinds: &FAULTS, crashes: 0 }
}

/// Lists from an earlier time; events that are dropped, held back or cut off: nothing else goes wrong, and nothing may be lost.
pub fn lagging_views(seeds: u64) -> Count {
    let plans: Vec<u64> = (0..seeds).collect();
    sum(&plans, |seed| {
        let name = format!("lagging views, seed {seed}");
        guarded(&name, || {
            simulate(async || {
                let mut world = World::new(Setup::of(Kind::Strict));
                world.start();
                world.control.arm();
                world.control.chance(Chance { stale: 2, events: 3, ..calm(*seed) });
                world.pass(Duration::from_secs(1500)).await;
                world.control.disarm();
                world.list_again();
                come_to_rest(&mut world).await;
                world.count(&name)
            })
        })
    })
}

/// What a walk draws from.
const KINDS: [Kind; 9] = [
    Kind::Strict,
    Kind::Strict,
    Kind::Grace(30),
    Kind::IdempotencyKey,
    Kind::Overlap,
    Kind::Reusable,
    Kind::Sometimes,
    Kind::Reissue,
    Kind::Renews,
];

/// From this seed on, all walks are those of [`Kind::Created`]: what lower seeds mean stays as it is.
pub const CREATED: u64 = 1 << 32;
/// From this seed on, all are those of [`Kind::Asked`].
pub const ASKED: u64 = 2 << 32;

/// Random walks for these seeds.
pub fn random(seeds: std::ops::Range<u64>) -> Count {
    let seeds: Vec<u64> = seeds.collect();
    sum(&seeds, |seed| walk(*seed).0)
}

/// One random walk: everything in it follows from the seed. Gives the effects too.
pub fn walk(seed: u64) -> (Count, Vec<String>) {
    let mut random = Random::new(seed);
    let kind = match seed {
        ..CREATED => *random.pick(&KINDS),
        CREATED..ASKED => Kind::Created,
        ASKED.. => Kind::Asked,
    };
    let journal = *random.pick(&[Journal::Kept, Journal::Kept, Journal::Lost, Journal::None]);
    let skews: &'static [Skew] = match random.below(4) {
        0 => &ALIKE,
        1 => &APART,
        _ => &ALONE,
    };
    let setup =
        Setup { kind, journal, skews, lifetime: if skews.len() > 1 { LONG } else { 600 }, secrets_watch: random.below(4) > 0 };
    let chance = Chance {
        faults: *random.pick(&[4, 8, 16, 40]),
        stale: *random.pick(&[0, 0, 4]),
        events: *random.pick(&[0, 0, 4]),
        kinds: &MORE_FAULTS,
        crashes: u32::try_from(random.below(4)).unwrap(),
        random: Random::new(random.next()),
    };
    // Nobody's deed that can itself destroy the newest token: what then is lost proves nothing.
    let gentle: Vec<Deed> = DEEDS.into_iter().filter(|deed| deed.is_gentle()).collect();
    let deeds: Vec<(usize, Deed)> =
        (0..random.below(3)).map(|_| (usize::try_from(random.below(60)).unwrap(), *random.pick(&gentle))).collect();
    let name = format!("SIM_SEED={seed}: {setup:?}, one fault in {}, {deeds:?}", chance.faults);
    let mut log = Vec::new();
    let count = guarded(&name, || {
        simulate(async || {
            let mut world = World::new(setup);
            for (index, deed) in deeds {
                arrange(&world, index, deed);
            }
            world.control.arm();
            world.control.chance(chance);
            world.start();
            world.pass(Duration::from_secs(900)).await;
            world.control.disarm();
            world.list_again();
            come_to_rest(&mut world).await;
            log = world.control.log();
            world.count(&name)
        })
    });
    (count, log)
}

impl World {
    /// Watches that may have lost events come to their end, and begin with a list.
    fn list_again(&self) {
        // A bookmark may have gone past a lost event: only a later write makes it too old.
        let metadata = serde_json::json!({ "name": "later", "namespace": "elsewhere" });
        self.cluster.put(Resource::Secret, serde_json::json!({ "metadata": metadata }));
        self.cluster.compact();
        self.cluster.cut_watches(None);
    }
}
