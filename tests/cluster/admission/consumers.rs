//! Manifests about the programs that use a token: which of them are restarted, and when a token may change.

use refreshable_token_operator::api::ConditionType;
use serde_json::json;

use super::{ACCESS, Case, yaml};
use crate::manifest::{LONG, keys};
use crate::world::{Scene, test};

/// What stands in `spec.rollout`, the field that the refusal names after it, and what it says.
const ROLLOUT: &[(&str, &str, &str)] = &[
    ("{}", ".targets", "Required value"),
    ("{targets: []}", ".targets", "should have at least 1 items"),
    ("{targets: [{name: web}]}", ".targets[0].kind", "Required value"),
    ("{targets: [{kind: Pod, name: web}]}", ".targets[0].kind", r#"supported values: "Deployment", "StatefulSet", "DaemonSet""#),
    ("{targets: [{kind: Deployment}]}", ".targets[0]", "must have exactly one of name and selector"),
    (
        "{targets: [{kind: Deployment, name: web, selector: {matchLabels: {a: b}}}]}",
        ".targets[0]",
        "must have exactly one of name and selector",
    ),
    ("{targets: [{kind: Deployment, name: ../web}]}", ".targets[0].name", "must be a name such as artifactory-ci"),
    (
        "{targets: [{kind: Deployment, name: web}, {kind: DaemonSet, name: web}, {kind: Deployment, name: web}]}",
        ".targets",
        "each workload may stand only once",
    ),
    ("{targets: [{kind: Deployment, selector: {}}]}", ".targets[0].selector.matchLabels", "Required value"),
    (
        "{targets: [{kind: Deployment, selector: {matchLabels: {}}}]}",
        ".targets[0].selector.matchLabels",
        "should have at least 1 properties",
    ),
    (
        "{targets: [{kind: Deployment, selector: {matchLabels: {'a b': c}}}]}",
        ".targets[0].selector.matchLabels",
        "each name must be written like team or example.com/team",
    ),
    (
        "{targets: [{kind: Deployment, selector: {matchLabels: {a: 'b,c!=d'}}}]}",
        ".targets[0].selector.matchLabels",
        "the value of a label must be of letters",
    ),
    ("{targets: [{kind: Deployment, selector: {matchExpressions: []}}]}", "", "unknown field"),
    ("{targets: [{kind: Deployment, name: web, namespace: other}]}", "", "unknown field"),
    ("{targets: [{kind: Deployment, name: web}], minInterval: 1d}", ".minInterval", "must be from 0s to 99999h"),
];

/// What stands in a window, the field that the refusal names after it, and what it says.
const WINDOW: &[(&str, &str, &str)] = &[
    ("{cron: '0 2 * *', duration: 1h}", ".cron", "must have the five fields of cron"),
    ("{cron: '0 2 * * * *', duration: 1h}", ".cron", "must have the five fields of cron"),
    ("{cron: '@daily', duration: 1h}", ".cron", "must have the five fields of cron"),
    ("{duration: 1h}", ".cron", "Required value"),
    ("{cron: '0 2 * * *'}", ".duration", "Required value"),
    ("{cron: '0 2 * * *', duration: 59s}", ".duration", "must be from 1m to 168h"),
    ("{cron: '0 2 * * *', duration: 8784h}", ".duration", "must be from 1m to 168h"),
    ("{cron: '0 2 * * *', duration: 1h, timeZone: ''}", ".timeZone", "must be a time zone of the IANA database"),
    ("{cron: '0 2 * * *', duration: 1h, timeZone: ../../etc/passwd}", ".timeZone", "must be a time zone of the IANA database"),
    ("{cron: '0 2 * * *', duration: 1h, days: 3}", "", "unknown field"),
];

/// Windows that only the operator can judge, each with what it says.
const UNREADABLE: [(&str, &str); 3] = [
    ("{cron: '60 2 * * *', duration: 1h}", "spec.refresh.windows[0].cron: must have the five fields of cron"),
    ("{cron: '0 2 30 2 *', duration: 1h}", "spec.refresh.windows[0].cron: names a time that never comes"),
    ("{cron: '0 2 * * *', duration: 1h, timeZone: Europe/Nowhere}", "spec.refresh.windows[0].timeZone: must be a time zone"),
];

/// Manifests that must be refused.
pub fn bad() -> Vec<Case> {
    let row = |(rollout, field, says): &(&str, &str, &str)| {
        let field = if field.is_empty() { String::new() } else { format!("spec.rollout{field}") };
        Case::new("roll-out", ACCESS, &format!("spec: {{rollout: {rollout}}}"), &field, says)
    };
    let mut cases: Vec<Case> = ROLLOUT.iter().map(row).collect();
    let targets: Vec<String> = (0..21).map(|n| format!("{{kind: Deployment, name: w{n}}}")).collect();
    let rollout = format!("spec: {{rollout: {{targets: [{}]}}}}", targets.join(", "));
    cases.push(Case::new("21 targets", ACCESS, &rollout, "spec.rollout.targets", "must have at most 20 items"));
    cases.extend(WINDOW.iter().map(|(window, field, says)| {
        let field = if field.is_empty() { String::new() } else { format!("spec.refresh.windows[0]{field}") };
        Case::new("window", ACCESS, &format!("spec: {{refresh: {{windows: [{window}]}}}}"), &field, says)
    }));
    let windows = ["{cron: '0 2 * * *', duration: 1h}"; 11].join(", ");
    let windows = format!("spec: {{refresh: {{windows: [{windows}]}}}}");
    cases.push(Case::new("11 windows", ACCESS, &windows, "spec.refresh.windows", "must have at most 10 items"));
    cases
}

/// Manifests that must be taken.
pub fn good() -> Vec<Case> {
    let labels: Vec<String> = (1..16).map(|n| format!("example.com/label-{n}: {}", "v".repeat(63))).collect();
    let selector = |n| format!("{{kind: StatefulSet, selector: {{matchLabels: {{app: a{n}, {}}}}}}}", labels.join(", "));
    let many: Vec<String> = (0..10).map(|n| format!("{{kind: Deployment, name: w{n}}}, {}", selector(n))).collect();
    [
        "{targets: [{kind: Deployment, name: web}, {kind: DaemonSet, name: web}], minInterval: 0s}".to_owned(),
        "{targets: [{kind: StatefulSet, selector: {matchLabels: {app.kubernetes.io/name: db, empty: ''}}}], minInterval: 99999h}"
            .to_owned(),
        format!("{{targets: [{}]}}", many.join(", ")),
    ]
    .into_iter()
    .map(|rollout| Case::new("roll-out", ACCESS, &format!("spec: {{rollout: {rollout}}}"), "", ""))
    .chain([windows()])
    .collect()
}

/// As many windows as there may be.
fn windows() -> Case {
    let mut windows =
        vec!["{cron: '*/5,7-9 0-4 1,15 JAN-DEC MON-FRI', timeZone: America/Argentina/Buenos_Aires, duration: 168h}"; 9];
    windows.push("{cron: '0 2 * * *', duration: 1m}");
    Case::new("windows", ACCESS, &format!("spec: {{refresh: {{windows: [{}]}}}}", windows.join(", ")), "", "")
}

#[test]
fn a_window_that_only_the_operator_can_judge_is_told_by_it_before_any_call() {
    test("admission-windows", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        for (window, says) in UNREADABLE {
            object["spec"]["refresh"] = json!({"windows": [yaml(window)]});
            scene.put(&object).await;
            scene.until("a", says, |object| Scene::message(object, ConditionType::Stalled).contains(says)).await;
        }
        assert_eq!(scene.calls(&pair), 0);
        object["spec"]["refresh"] = json!({"windows": [{"cron": "0 2 * * *", "duration": "1h"}]});
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
    });
}
