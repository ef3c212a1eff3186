//! Metrics are named alike wherever they are named: by the operator, README.md, alerts and dashboard; and each alert has a runbook.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use refreshable_token_operator::operator::metrics::{Format, Metrics, Operation, SecretWrite};
use refreshable_token_operator::provider::{Delivery, Lost};
use serde_json::Value;

use super::README;

const ALERTS: &str = include_str!("../../charts/refreshable-token-operator/files/alerts.yaml");
const DASHBOARD: &str = include_str!("../../charts/refreshable-token-operator/files/dashboard.json");
const RUNBOOKS: &str = include_str!("../../docs/runbooks.md");
const PREFIX: &str = "refreshabletoken_";

/// The metrics that the operator has, in the Prometheus text format.
fn real() -> BTreeSet<String> {
    let metrics = Metrics::new();
    // What has a label shows up with its first value.
    let delivery = Delivery::Lost { why: Lost::Timeout, partial: None };
    metrics.provider_called("oauth2", Operation::Refresh, &delivery, Duration::ZERO);
    metrics.reconciled(true, Duration::ZERO);
    metrics.secret_written(SecretWrite::Create, None);
    let text = metrics.text(Format::Prometheus);
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.map(|name| name.strip_prefix(PREFIX).unwrap().to_owned()).collect()
}

/// The metrics that a text names: by their families, without the suffixes of a histogram's series.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter_map(|word| word.strip_prefix(PREFIX));
    let family = |name: &str| {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        base.filter(|base| base.ends_with("_seconds")).unwrap_or(name).to_owned()
    };
    words.filter(|word| !word.is_empty()).map(family).collect()
}

#[test]
fn alerts_and_dashboard_use_each_metric_and_no_other() {
    let used = named(&format!("{ALERTS}{DASHBOARD}"));
    assert_eq!(used, real());
    assert!(named(RUNBOOKS).is_subset(&real()), "{:?}", named(RUNBOOKS));
}

#[test]
fn the_tables_of_the_readme_have_each_metric_and_no_other() {
    let section = README.split("## Seeing how it fares").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")).map(|line| line.split(" | ").next().unwrap());
    let told: BTreeSet<String> =
        cells.flat_map(|cell| cell.split(['`', ',', ' '])).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    assert_eq!(told, real());
}

#[test]
fn each_alert_has_a_runbook_and_a_test_and_each_runbook_an_alert() {
    let alerts: Value = serde_saphyr::from_str(ALERTS).unwrap();
    let rules = alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut names = BTreeSet::new();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        let runbook = format!("{}/blob/main/docs/runbooks.md#{}", env!("CARGO_PKG_REPOSITORY"), name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], runbook, "{name}");
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")), "{name}");
        names.insert(name.to_owned());
    }
    let sections: BTreeSet<String> = RUNBOOKS.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(names, sections);
    let tests = include_str!("../../charts/tests/alerts_test.yaml");
    let tested: BTreeSet<String> =
        tests.lines().filter_map(|line| line.trim().strip_prefix("alertname: ")).map(str::to_owned).collect();
    assert_eq!(names, tested);
}

/// Every query of the dashboard, with what its variables stand for by default.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    queries.map(|query| query.replace("$namespace", ".*").replace("$provider", ".*").replace("$__rate_interval", "5m")).collect()
}

#[test]
fn promtool_takes_alerts_and_the_queries_of_the_dashboard() {
    let charts = concat!(env!("CARGO_MANIFEST_DIR"), "/charts");
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<Value> = queries().iter().map(|query| serde_json::json!({"record": "query", "expr": query})).collect();
    let file = folder.path().join("queries.json");
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, rules.to_string()).unwrap();
    let alerts = format!("{charts}/refreshable-token-operator/files/alerts.yaml");
    let tests = format!("{charts}/tests/alerts_test.yaml");
    for arguments in [
        ["check", "rules", "--lint=none", file.to_str().unwrap()].as_slice(),
        &["check", "rules", &alerts],
        &["test", "rules", &tests],
    ] {
        match Command::new("promtool").args(arguments).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert!(output.status.success(), "promtool {arguments:?}: {said}");
            }
            Err(_) => println!("skipped: there is no promtool"),
        }
    }
}
