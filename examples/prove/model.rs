//! The model checker's rows.

use crate::proof::{Extent, Row};
use crate::protocol::{R, RIGHT, Report, WRONG, check};

/// How many transitions of each right variant are looked at; the short extent sees more than a million states in all.
const SHORT: usize = 500_000;
/// Our choice: enough for the states that an extended run has to see.
const EXTENDED: usize = 24_000_000;
/// How many states of the right variants are seen in all: what the reference (section 6.1) asks of each run.
const FEWEST: [(Extent, u64); 2] = [(Extent::Short, 1_000_000), (Extent::Extended, 70_000_000)];

/// The right variants hold; each wrong one is caught.
#[expect(clippy::unnecessary_wraps, reason = "sections that need a cluster can fail to run")]
pub fn prove(extent: Extent, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
    let most = if extent == Extent::Extended { EXTENDED } else { SHORT };
    let deepest = (extent == Extent::Extended).then_some(&R);
    let mut seen = 0;
    for variant in RIGHT.iter().chain(deepest) {
        let checked = check(*variant, 2, most);
        seen += states(&checked);
        report(right(&checked));
    }
    report(total(extent, seen));
    for variant in WRONG {
        report(wrong(&check(*variant, 1, usize::MAX)));
    }
    Ok(())
}

fn states(report: &Report) -> u64 {
    u64::try_from(report.states).unwrap_or(u64::MAX)
}

fn right(checked: &Report) -> Row {
    let mut row = Row { plans: states(checked), ..Row::new(&format!("model {}", checked.name)) };
    for (property, path) in &checked.violations {
        let count = if *property == "never spent twice" { &mut row.double_spends } else { &mut row.lost };
        *count += 1;
        row.violations.push(format!("not so: {property}: {}", path.join("; ")));
    }
    row.add_note(if checked.complete { "all states" } else { "states, cut off" });
    row.add_note(&format!("depth {}", checked.depth));
    row
}

fn total(extent: Extent, seen: u64) -> Row {
    let fewest = FEWEST.iter().find(|(which, _)| *which == extent).map_or(0, |(_, fewest)| *fewest);
    let mut row = Row { plans: seen, ..Row::new("model, states of all right variants") };
    if seen < fewest {
        row.violations.push(format!("fewer states than {fewest}: look at more transitions of each variant"));
    }
    row
}

/// A variant with a rule switched off: what it breaks must be found.
fn wrong(checked: &Report) -> Row {
    let mut row = Row { plans: states(checked), ..Row::new(&format!("model, to be caught: {}", checked.name)) };
    match checked.violations.first() {
        Some((property, path)) => row.add_note(&format!("caught after {} steps: not {property}", path.len())),
        None => row.violations.push("the rule that is switched off was not missed".to_owned()),
    }
    row
}
