//! The simulation's rows: the real operator in memory and in paused time.

use std::time::Duration;

use crate::proof::{Extent, Row};
use crate::simulation::count::Count;
use crate::simulation::issuer::Kind;
use crate::simulation::run::Start;
use crate::simulation::scenarios::{FORGIVING, STRICT, faults, outages, people, walks};
use crate::simulation::world::Setup;

/// What a refresh takes, with room: crashes are tried at each moment of it.
const REFRESH_LASTS: Duration = Duration::from_millis(40);

/// Everything that can go wrong, at every effect.
#[expect(clippy::unnecessary_wraps, reason = "sections that need a cluster can fail to run")]
pub fn prove(extent: Extent, walks: Option<u64>, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
    let all = extent == Extent::Extended;
    let strict = Setup::of(Kind::Strict);
    let starts = [Start::First, Start::Steady];
    let each = |setups: &[Setup], one: &dyn Fn(Setup) -> Count| {
        let mut total = Count::default();
        for setup in setups {
            total += one(*setup);
        }
        total
    };
    let single = |setup: Setup| {
        let mut total = Count::default();
        for start in starts {
            total += faults::single(setup, start);
        }
        total
    };
    report(row("each request x 14 faults, strict", &each(&STRICT, &single)));
    report(forgiving("the same with grace, key, overlap, reusable, renewed, reissued", &each(&FORGIVING, &single)));
    report(row("the same where a token works once now and then", &single(Setup::of(Kind::Sometimes))));
    let nth = if all { 1 } else { faults::SAMPLE };
    let mut pairs = Count::default();
    for start in starts {
        pairs += faults::pairs(strict, start, nth);
    }
    report(row("pairs of faults, strict", &pairs));
    let crash = |setup| faults::crash_at_every_moment(setup, Start::Steady, REFRESH_LASTS);
    report(row("a crash at each moment of a refresh", &each(&STRICT, &crash)));
    report(row("people at each request", &people::deeds(strict)));
    let two = Setup { skews: &walks::ALIKE, ..strict };
    report(row("people at each request, two replicas, no election", &people::deeds(two)));
    report(row("API server down 10 min from each request", &each(&STRICT, &outages::api_server_down)));
    report(row("commit denied for 15 min", &each(&STRICT, &outages::commit_denied)));
    report(row("SIGTERM at each request", &each(&STRICT, &outages::sigterm)));
    report(row("token API down, 5xx, 429 for an hour", &outages::token_api(strict)));
    let (worlds, refreshes, seeds) = if all { (100, 100, EXTENDED_WALKS) } else { (8, 50, SHORT_WALKS) };
    let seeds = walks.unwrap_or(seeds);
    report(row("two replicas, no election, clocks 10 min and 5 % apart", &walks::two_replicas(worlds, refreshes)));
    report(row("lists and events that lag", &walks::lagging_views(seeds / 100)));
    let created = walks::CREATED..walks::CREATED + seeds / 10;
    report(row("random walks of chains that begin anew", &walks::random(created)));
    let asked = walks::ASKED..walks::ASKED + seeds / 10;
    report(row("random walks at an API that can be asked", &walks::random(asked)));
    let mut from = 0;
    while from < seeds {
        let to = (from + ROW_OF_WALKS).min(seeds);
        report(row(&format!("random walks, seeds {from} to {}", to - 1), &walks::random(from..to)));
        from = to;
    }
    Ok(())
}

/// How many random walks the short extent makes: about a minute in a release build on two cores.
const SHORT_WALKS: u64 = 10_000;
/// How many the extended one makes: about ten minutes.
const EXTENDED_WALKS: u64 = 100_000;
/// How many random walks make a row, so that a long run shows how far it is.
const ROW_OF_WALKS: u64 = 50_000;

fn row(what: &str, count: &Count) -> Row {
    let mut row = Row::new(what);
    row.plans = count.plans;
    row.double_spends = count.double_spends;
    row.lost = count.lost;
    row.allowed = count.allowed_losses;
    row.violations.clone_from(&count.problems);
    row.add_note(&format!("{} refreshes", count.refreshes));
    for (number, what) in [
        (count.last_tries, "late repeats"),
        (count.given_up, "given up after one"),
        (count.destroyed, "destroyed by people"),
        (count.waiting, "waiting for a person"),
        (count.idle, "without effect"),
    ] {
        if number > 0 {
            row.add_note(&format!("{number} {what}"));
        }
    }
    row
}

/// Where the API forgives a repeat, nothing at all may be lost.
fn forgiving(what: &str, count: &Count) -> Row {
    let mut row = row(what, count);
    (row.lost, row.allowed) = (row.lost + row.allowed + count.given_up, 0);
    row
}
