//! Every course of the protocol, by a model checker: the right variants hold, and each wrong one is caught.

mod protocol;

use protocol::{RIGHT, TRY, WRONG, check};

#[test]
fn the_protocol_holds() {
    for variant in RIGHT {
        let report = check(*variant, 2, usize::MAX);
        println!("{report}");
        assert!(report.violations.is_empty() && report.complete, "{report}");
    }
}

#[test]
fn a_protocol_without_one_of_its_rules_is_caught() {
    for variant in WRONG {
        let report = check(*variant, 1, usize::MAX);
        println!("{report}");
        assert!(!report.violations.is_empty(), "{report}");
    }
}

#[test]
#[ignore]
fn rates() {
    for variant in TRY.iter().chain(WRONG) {
        #[allow(clippy::disallowed_methods)]
        let begin = std::time::Instant::now();
        let report = check(*variant, 1, 4_000_000);
        println!("{report} {:?}", begin.elapsed());
    }
}
