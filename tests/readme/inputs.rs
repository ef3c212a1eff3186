//! Keeps docs/bad-inputs.md true: every number has a row, and every test that a row names is there.

use std::path::Path;

/// How many bad inputs there are.
const LAST: usize = 66;
/// A row: number, what happens, and `path::function` of each test.
struct Row {
    number: usize,
    happens: &'static str,
    tests: Vec<(&'static str, &'static str)>,
}

fn rows() -> Vec<Row> {
    const PAGE: &str = include_str!("../../docs/bad-inputs.md");
    let cells = |line: &'static str| line.trim_matches('|').split(" |").map(str::trim).collect::<Vec<_>>();
    let row = |line: &'static str| {
        let [number, _, happens, tests] = cells(line)[..] else { panic!("not four cells: {line}") };
        let quoted = tests.split('`').skip(1).step_by(2);
        let tests = quoted.map(|test| test.split_once("::").unwrap_or_else(|| panic!("not path::function: {test}"))).collect();
        Some(Row { number: number.parse().ok()?, happens, tests })
    };
    PAGE.lines().filter(|line| line.starts_with("| ")).filter_map(row).collect()
}

/// Whether a text of Rust has a test function of this name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let found = lines.iter().position(|line| begins.iter().any(|begin| line.starts_with(begin)));
    // Attributes and comments stand between the mark and the function.
    let mut above = found.map(|at| lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//")));
    above.as_mut().is_some_and(|above| above.any(|line| *line == "#[test]" || line.starts_with("#[tokio::test")))
}

#[test]
fn each_bad_input_has_a_row_and_each_row_tests_that_exist() {
    let rows = rows();
    let numbers: Vec<usize> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
    let mut missing = Vec::new();
    for row in &rows {
        assert!(!row.happens.starts_with("not yet") && !row.tests.is_empty(), "{} names no test", row.number);
        for (path, name) in &row.tests {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default();
            if !has_test(&text, name) {
                missing.push(format!("{}: {path}::{name}", row.number));
            }
        }
    }
    assert!(missing.is_empty(), "there is no\n{}", missing.join("\n"));
}
