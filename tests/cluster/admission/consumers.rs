//! Manifests about the programs that use a token: which of them are restarted.

use super::{ACCESS, Case};

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
    cases
}

/// Manifests that must be taken.
pub fn good() -> Vec<Case> {
    let labels: Vec<String> = (0..16).map(|n| format!("example.com/label-{n}: {}", "v".repeat(63))).collect();
    let selector = format!("{{kind: StatefulSet, selector: {{matchLabels: {{{}}}}}}}", labels.join(", "));
    let many: Vec<String> = (0..10).map(|n| format!("{{kind: Deployment, name: w{n}}}, {selector}")).collect();
    [
        "{targets: [{kind: Deployment, name: web}, {kind: DaemonSet, name: web}], minInterval: 0s}".to_owned(),
        "{targets: [{kind: StatefulSet, selector: {matchLabels: {app.kubernetes.io/name: db, empty: ''}}}], minInterval: 99999h}"
            .to_owned(),
        format!("{{targets: [{}]}}", many.join(", ")),
    ]
    .into_iter()
    .map(|rollout| Case::new("roll-out", ACCESS, &format!("spec: {{rollout: {rollout}}}"), "", ""))
    .collect()
}
