//! Making runs: each on a runtime of its own, many at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::Instant;

use super::count::Count;
use super::world::{Setup, World};

/// Where a refresh begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// The object is new.
    First,
    /// The chain goes on.
    Steady,
}

/// How long faults may come. Our choice: longer than any refresh without faults takes.
const FAULTY: Duration = Duration::from_secs(30);
/// How long a run goes on after its faults at most: longer than a claim's time, an access token's life, the hour after which a
/// refusal for configuration is tried again, and one more refresh.
const LONGEST: Duration = Duration::from_secs(5 * 3600);

/// Runs a world in paused time.
pub fn simulate<T>(body: impl AsyncFnOnce() -> T) -> T {
    // kube draws the pauses of its watches from this thread's generator.
    fastrand::seed(0);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let result = runtime.block_on(body());
    // What a replica left behind must not hold up the end.
    runtime.shutdown_background();
    result
}

/// One run: `plan` arranges the faults, which meet the refresh that begins then.
pub fn run(setup: Setup, start: Start, plan: impl FnOnce(&World), what: impl Fn() -> String) -> Count {
    guarded(&what(), || {
        simulate(async || {
            let mut world = World::new(setup);
            begin(&mut world, start).await;
            plan(&world);
            world.control.arm();
            if start == Start::First {
                world.start();
            }
            world.pass(FAULTY).await;
            world.control.disarm();
            come_to_rest(&mut world).await;
            world.count(&what())
        })
    })
}

/// A run in which something breaks down is a problem like others.
pub fn guarded(what: &str, run: impl FnOnce() -> Count) -> Count {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        let mut count = Count { plans: 1, ..Count::default() };
        count.problem(format!("{what} panicked: {text}"));
        count
    })
}

impl World {
    /// The count of this run, which has come to rest.
    pub fn count(&self, what: &str) -> Count {
        let unknown = self.cluster.unknown();
        assert!(unknown.is_empty(), "the fake cluster does not know {unknown:?}");
        Count::of(&self.judge.verdict(), self.control.hit() > 0, || format!("{what}\n{}", self.report()))
    }

    /// What happened, for people.
    pub fn report(&self) -> String {
        format!("{}\n{:#}", self.control.log().join("\n"), self.object()["status"])
    }
}

/// Goes on until the chain is healthy and one more refresh has shown that it is, or until the end.
pub async fn come_to_rest(world: &mut World) {
    let before = world.judge.issuer().rotations;
    let end = Instant::now() + LONGEST;
    let rest = |world: &World| {
        let judge = &world.judge;
        let rotated = judge.issuer().rotations > before;
        let over = judge.stalled().as_deref() == Some("ChainLost") && !judge.issuer().begins_anew();
        rotated && judge.verdict().healthy || over
    };
    world.until(end, Duration::from_secs(10), rest).await;
}

/// Goes on to the beginning of the refresh that is looked at.
pub async fn begin(world: &mut World, start: Start) {
    if start == Start::Steady {
        world.start();
        assert!(world.settle().await, "the first refresh does not come: {:#}\n{:#?}", world.object(), world.control.log());
        world.until_due().await;
    }
}

/// How many effects a refresh without faults has.
pub fn effects(setup: Setup, start: Start) -> usize {
    simulate(async || {
        let mut world = World::new(setup);
        begin(&mut world, start).await;
        world.control.arm();
        if start == Start::First {
            world.start();
        }
        world.pass(FAULTY).await;
        assert!(world.judge.verdict().healthy, "{:#}", world.object());
        world.control.effects()
    })
}

/// Adds up many runs, on all cores.
pub fn sum<P: Sync>(plans: &[P], run: impl Fn(&P) -> Count + Sync) -> Count {
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Count::default()));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(plans.len().max(1)) {
            scope.spawn(|| {
                let mut own = Count::default();
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                    own += run(plan);
                }
                *total.lock().unwrap() += own;
            });
        }
    });
    total.into_inner().unwrap()
}
