//! The rules of roll-outs.

use std::collections::BTreeSet;

use super::super::{RefreshableTokenSpec, RolloutSelector, RolloutTarget};
use super::output::{is_label, is_metadata_name};
use super::{Invalid, LONGEST, check_name, require, within};

pub(super) fn rollout(spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let Some(rollout) = &spec.rollout else { return Ok(()) };
    let targets = &rollout.targets;
    require((1..=20).contains(&targets.len()), "spec.rollout.targets", "must have 1 to 20 entries")?;
    let mut names = BTreeSet::new();
    for (index, target) in targets.iter().enumerate() {
        let field = format!("spec.rollout.targets[{index}]");
        match target {
            RolloutTarget { name: Some(name), selector: None, kind } => {
                check_name(&format!("{field}.name"), name)?;
                require(names.insert((kind, name)), &field, "each workload may stand only once")?;
            }
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
