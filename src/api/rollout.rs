//! Which workloads are restarted when the outputs change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value_rule::LONGEST;
use super::{RESTARTED_FOR, SpecDuration, object_rule, schema, value_rule};

/// Longest name of an annotation after its prefix (Kubernetes annotation syntax).
const LONGEST_NAME: usize = 63;

/// Which workloads are restarted when the outputs change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// The workloads, in the object's namespace, 1 to 20.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = value_rule::targets_once())]
    pub targets: Vec<RolloutTarget>,
    /// Shortest time between two restarts of one target. What changes meanwhile goes out together when it is over. 0s: each
    /// change goes out at once. Default: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("0s", LONGEST))]
    pub min_interval: Option<SpecDuration>,
}

impl RolloutSpec {
    /// Shortest time between two restarts of one target. The default is our choice: as long as refreshes are apart at least, so
    /// that one refresh is one restart, and several that people ask for in a row are not several.
    #[must_use]
    pub fn min_interval(&self) -> Duration {
        self.min_interval.map_or(Duration::from_secs(60), SpecDuration::get)
    }
}

/// One workload by name, or those with certain labels. Exactly one of name and selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::name_or_selector())]
pub struct RolloutTarget {
    /// Deployment, StatefulSet or DaemonSet (`apps/v1`).
    pub kind: RolloutKind,
    /// Name of the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: Option<String>,
    /// Every workload of this kind with these labels, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<RolloutSelector>,
}

/// Labels of workloads, as in a `LabelSelector` without expressions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSelector {
    /// All of these labels must be on the workload itself, not on its Pods. 1 to 16.
    #[schemars(schema_with = "schema::match_labels")]
    #[x_kube(validation = value_rule::metadata_names(), validation = value_rule::label_values())]
    pub match_labels: BTreeMap<String, String>,
}

/// A kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RolloutKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

impl RolloutKind {
    /// Each of them once.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// As in a manifest.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// As in a path of the API.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }
}

impl RolloutSelector {
    /// As in a list request.
    #[must_use]
    pub fn text(&self) -> String {
        let labels: Vec<String> = self.match_labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.join(",")
    }
}

/// As people write it: `Deployment/builder`, or `Deployment with app=web`.
impl fmt::Display for RolloutTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.selector) {
            (Some(name), _) => write!(f, "{}/{name}", self.kind.word()),
            (None, Some(selector)) => write!(f, "{} with {}", self.kind.word(), selector.text()),
            (None, None) => write!(f, "{} without a name", self.kind.word()),
        }
    }
}

/// The annotation of a Pod template in which the object called `object` remembers what it was restarted for. Each object has one
/// of its own, because several may restart one workload; a name that is too long for one is cut.
#[must_use]
pub fn restarted_for_annotation(object: &str) -> String {
    let name: String = object.chars().take(LONGEST_NAME).collect();
    format!("{RESTARTED_FOR}{}", name.trim_end_matches(['-', '.']))
}
