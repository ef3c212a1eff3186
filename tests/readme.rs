//! Keeps README.md true: what it says about reasons, flags, manifests and commands is compared with the code.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

#[path = "readme/book.rs"]
mod book;
#[path = "readme/inputs.rs"]
mod inputs;
#[path = "readme/metrics.rs"]
mod metrics;
#[path = "readme/plugin.rs"]
mod plugin;
#[path = "readme/snippets.rs"]
mod snippets;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use refreshable_token_operator::api::{Preset, Reason, RefreshableToken, validate};
use refreshable_token_operator::operator::endpoint::EndpointPolicy;

const README: &str = include_str!("../README.md");

/// The code blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    blocks_of(README, language)
}

fn blocks_of<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// Decodes an object and checks it, with `place` in what is said of a bad one.
fn check_object(text: &str, place: &str) {
    let object: RefreshableToken = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{place}: {error}\n{text}"));
    let valid = validate(object.metadata.name.as_deref().unwrap(), &object.spec);
    valid.unwrap_or_else(|error| panic!("{place}: {error}\n{text}"));
    // What is not a field is dropped silently by decoding.
    let written: serde_json::Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&object.spec).unwrap(), written["spec"], "{place}: a field is unknown or misspelt");
}

/// The words in backticks that begin the lines of the tables with this heading.
fn first_column(heading: &str) -> Vec<&'static str> {
    first_column_of(README, heading)
}

fn first_column_of(text: &'static str, heading: &str) -> Vec<&'static str> {
    let table = text.split(heading).nth(1).unwrap_or_else(|| panic!("there is no table {heading}"));
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn each_reason_has_a_row_and_each_row_a_reason() {
    let rows = first_column("| reason | what it means | what you do |");
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(rows, reasons, "the table of reasons is to have the order of src/api/condition.rs");
}

#[test]
fn each_preset_has_a_row_and_what_the_page_shows_is_valid() {
    const PAGE: &str = include_str!("../docs/providers.md");
    let rows = first_column_of(PAGE, "| `preset` | semantics | a lost answer | codes of its own | sources |");
    let presets = Preset::ALL.map(|preset| format!("{preset:?}"));
    assert_eq!(rows, presets, "the table of presets is to have the order of src/api/oauth2.rs");
    let manifest = PAGE.split("```yaml\n").find(|block| block.contains("kind: RefreshableToken\n")).unwrap();
    let object: RefreshableToken = serde_saphyr::from_str(manifest.split("```").next().unwrap()).unwrap();
    validate(object.metadata.name.as_deref().unwrap(), &object.spec).unwrap();
}

/// What `run --help` prints.
fn help() -> String {
    let help = Command::new(env!("CARGO_BIN_EXE_refreshable-token-operator")).args(["run", "--help"]).output().unwrap();
    String::from_utf8(help.stdout).unwrap()
}

/// The words of a text that begin with two hyphens, without what surrounds them.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == '`' || c == ',').filter(|word| word.starts_with("--"))
}

#[test]
fn each_flag_of_run_is_explained_and_no_other() {
    let help = help();
    let real: BTreeSet<&str> = help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(flags).collect();
    assert!(real.contains("--kubeconfig"), "{help}");
    let rows = README.split("| flag of `run` | |").nth(1).unwrap().lines().skip(1).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<&str> = rows.filter(|line| line.starts_with("| `--")).flat_map(flags).collect();
    assert_eq!(told, real);
    let commands = blocks("sh").join("\n").replace("\\\n", " ");
    for (_, arguments) in commands.lines().filter_map(|line| line.split_once("-- run ")) {
        for flag in flags(arguments) {
            assert!(real.contains(flag), "{flag}");
        }
    }
}

#[test]
fn each_variable_belongs_to_a_flag_or_to_the_cache() {
    let help = help();
    let words = README.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|word| word.starts_with("RTOK_"));
    for word in words {
        assert!(word == "RTOK_CACHE" || help.contains(&format!("[env: {word}=")), "{word}");
    }
}

#[test]
fn each_manifest_decodes_and_is_valid() {
    let mut seen = 0;
    for text in blocks("yaml").iter().flat_map(|block| block.split("\n---\n")) {
        if text.contains("kind: RefreshableToken\n") {
            check_object(text, "README.md");
            seen += 1;
        } else if text.starts_with("rules:") {
            EndpointPolicy::from_yaml(text).unwrap();
            seen += 1;
        } else {
            serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
        }
    }
    assert_eq!(seen, 5, "four objects and a policy");
}

#[test]
fn the_two_commands_are_there_and_ci_runs_the_second() {
    let commands: Vec<&str> = blocks("sh").iter().flat_map(|block| block.lines()).collect();
    assert!(commands.contains(&"cargo run --example demo"));
    assert!(commands.contains(&"cargo test --workspace"));
    let ci = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run")).unwrap();
    assert!(ci.lines().any(|line| line.trim_end().ends_with(" cargo test --workspace")), "{ci}");
}

#[test]
fn what_it_points_to_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let headings: BTreeSet<String> = README
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-").replace(|c: char| !c.is_alphanumeric() && c != '-', ""))
        .collect();
    for target in README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        match target.strip_prefix('#') {
            Some(anchor) => assert!(headings.contains(anchor), "no heading {anchor} in {headings:?}"),
            None => assert!(root.join(target.split('#').next().unwrap()).exists(), "no file {target}"),
        }
    }
    let layout = README.split("## The code").nth(1).unwrap().split("```").nth(1).unwrap();
    for path in layout.lines().filter_map(|line| line.split("   ").next()).flat_map(str::split_whitespace) {
        assert!(path == "text" || root.join(path).exists(), "no file {path}");
    }
}
