//! The rules of roll-outs.

use super::super::{RefreshableTokenSpec, RolloutSelector, RolloutTarget};
use super::output::{is_label, is_metadata_name};
use super::{Invalid, LONGEST, check_name, require, within};

pub(super) fn rollout(spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let Some(rollout) = &spec.rollout else { return Ok(()) };
    let targets = &rollout.targets;
    require((1..=20).contains(&targets.len()), "spec.rollout.targets", "must have 1 to 20 entries")?;
    for (index, target) in targets.iter().enumerate() {
        let field = format!("spec.rollout.targets[{index}]");
        let first = targets.iter().position(|other| other == target) == Some(index);
        require(first, &field, "each workload may stand only once")?;
        match target {
            RolloutTarget { name: Some(name), selector: None, .. } => check_name(&format!("{field}.name"), name)?,
            RolloutTarget { name: None, selector: Some(selector), .. } => labels(&format!("{field}.selector"), selector)?,
            RolloutTarget { .. } => return require(false, &field, "must have exactly one of name and selector"),
        }
    }
    require(within(rollout.min_interval, 0..=LONGEST), "spec.rollout.minInterval", "must be from 0s to 99999h")
}

fn labels(field: &str, selector: &RolloutSelector) -> Result<(), Invalid> {
    let labels = &selector.match_labels;
    let fits = |(name, value): (&String, &String)| is_metadata_name(name) && (value.is_empty() || is_label(value));
    let what = "matchLabels must have 1 to 16 labels as Kubernetes has them";
    require((1..=16).contains(&labels.len()) && labels.iter().all(fits), field, what)
}

#[cfg(test)]
mod tests {
    use crate::api::{Invalid, RefreshableToken, validate};

    fn check(targets: &str) -> Result<(), Invalid> {
        let text = format!(
            "metadata: {{name: ci}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: ci-seed}}}}
  outputs: [{{secretName: a, opaque: {{}}}}]
  rollout: {{targets: [{targets}]}}"
        );
        let object: RefreshableToken = serde_saphyr::from_str(&text).unwrap();
        validate("ci", &object.spec)
    }

    #[test]
    fn a_workload_stands_once_by_name_and_labels_once_by_kind() {
        let selector = |kind, app| format!("{{kind: {kind}, selector: {{matchLabels: {{app: {app}}}}}}}");
        let two = |one: &str, other: &str| check(&format!("{one}, {other}"));
        let name = "{kind: Deployment, name: web}";
        assert_eq!(two(name, "{kind: DaemonSet, name: web}"), Ok(()));
        assert_eq!(two(&selector("Deployment", "a"), &selector("Deployment", "b")), Ok(()));
        assert_eq!(two(name, name).unwrap_err().field, "spec.rollout.targets[1]");
        assert!(two(&selector("DaemonSet", "a"), &selector("DaemonSet", "a")).is_err());
    }
}
