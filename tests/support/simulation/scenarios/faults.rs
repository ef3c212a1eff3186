//! Faults and crashes at every effect of a refresh.

use std::time::Duration;

use crate::simulation::count::Count;
use crate::simulation::fault::{FAULTS, Fault};
use crate::simulation::run::{Start, effects, run, sum};
use crate::simulation::world::Setup;

/// How far into what follows a refresh the second fault of a pair comes, in effects. Our choice: restart and recovery.
const BEYOND: usize = 14;
/// The step between two pairs of a sample: some 500 are left. Coprime to the number of faults, so that a sample has every fault at every effect.
pub const SAMPLE: usize = 331;

/// Every effect of a refresh, each of the fourteen faults.
pub fn single(setup: Setup, start: Start) -> Count {
    let plans: Vec<(usize, Fault)> = (0..effects(setup, start)).flat_map(|index| FAULTS.map(|fault| (index, fault))).collect();
    sum(&plans, |(index, fault)| {
        let what = || format!("{setup:?} {start:?} {fault:?} at {index}");
        run(setup, start, |world| world.control.fault(*index, *fault), what)
    })
}

/// Two faults at every two effects, the second also in what follows the refresh; of all pairs, every `nth`.
pub fn pairs(setup: Setup, start: Start, nth: usize) -> Count {
    let last = effects(setup, start) + BEYOND;
    let places = (0..last).flat_map(|first| (first + 1..last).map(move |second| (first, second)));
    let kinds = || FAULTS.into_iter().flat_map(|one| FAULTS.map(|two| (one, two)));
    let plans: Vec<_> =
        places.flat_map(|(first, second)| kinds().map(move |(one, two)| [(first, one), (second, two)])).step_by(nth).collect();
    sum(&plans, |pair| {
        let what = || format!("{setup:?} {start:?} {pair:?}");
        run(setup, start, |world| pair.iter().for_each(|(index, fault)| world.control.fault(*index, *fault)), what)
    })
}

/// A crash at every half millisecond of a refresh: in the middle of each effect, and between each two.
pub fn crash_at_every_moment(setup: Setup, start: Start, lasts: Duration) -> Count {
    let step = Duration::from_micros(500);
    let plans: Vec<Duration> = (0..10_000).map(|number| step * number).take_while(|moment| *moment < lasts).collect();
    sum(&plans, |moment| {
        let what = || format!("{setup:?} {start:?} killed after {moment:?}");
        run(setup, start, |world| world.control.kill_after_first(*moment), what)
    })
}
