//! The model checker's rows.

use crate::proof::{Extent, Row};
use crate::protocol::{R, RIGHT, Report, WRONG, check};

/// How many transitions of each right variant are looked at; the short extent sees more than a million states in all.
const SHORT: usize = 500_000;
/// Our choice: more than 70 million states in all, which take some 15 GB of memory one after another.
const EXTENDED: usize = 60_000_000;

/// The right variants hold; each wrong one is caught.
#[expect(clippy::unnecessary_wraps, reason = "sections that need a cluster can fail to run")]
pub fn prove(extent: Extent, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
    let most = if extent == Extent::Extended { EXTENDED } else { SHORT };
    let deepest = (extent == Extent::Extended).then_some(&R);
    for variant in RIGHT.iter().chain(deepest) {
        report(right(&check(*variant, 2, most)));
    }
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

/// A variant with a rule switched off: what it breaks must be found.
fn wrong(checked: &Report) -> Row {
    let mut row = Row { plans: states(checked), ..Row::new(&format!("model, to be caught: {}", checked.name)) };
    match checked.violations.first() {
        Some((property, path)) => row.add_note(&format!("caught after {} steps: not {property}", path.len())),
        None => row.violations.push("the rule that is switched off was not missed".to_owned()),
    }
    row
}
