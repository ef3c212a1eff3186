//! The protocol under a model checker: the right variants hold, and each wrong one is caught.

mod protocol;

use protocol::{R, RIGHT, Report, WRONG, check};

/// How many transitions of each right variant are looked at in a normal run. Our choice: about a minute, and more than a million
/// states in all.
const NORMAL: usize = 500_000;
/// The same for all states: none has so many.
const ALL: usize = usize::MAX;

fn judge(report: &Report) {
    eprintln!("{report}");
    assert!(report.violations.is_empty() && report.properties == 3, "{report}");
}

#[test]
fn the_protocol_holds() {
    let states: usize = RIGHT
        .iter()
        .map(|variant| {
            let report = check(*variant, 2, NORMAL);
            judge(&report);
            report.states
        })
        .sum();
    eprintln!("{states} states");
    assert!(states >= 1_000_000, "{states} states");
}

#[test]
fn a_protocol_without_one_of_its_rules_is_caught() {
    for variant in WRONG {
        let report = check(*variant, 1, ALL);
        eprintln!("{report}");
        assert!(!report.violations.is_empty(), "{report}");
    }
}

#[test]
#[ignore = "takes long and much memory: every state of every variant, in a release build"]
fn every_state() {
    for variant in RIGHT {
        let report = check(*variant, 2, ALL);
        judge(&report);
        assert!(report.complete, "{report}");
    }
    judge(&check(R, 2, 400_000_000));
}
