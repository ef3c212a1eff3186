//! Where the operator runs: what differs between a node and a bare process, and nothing else.

use std::net::Ipv4Addr;

use testbed::control_plane::ControlPlane;

use crate::helm::{Checked, Helm, Release};
use crate::node::NodePlace;
use crate::process::ProcessPlace;

/// One of the two places.
pub enum Place {
    /// A cluster of one node: Pods.
    Node(Box<NodePlace>),
    /// An API server: processes under the rendered ServiceAccount, RBAC and arguments.
    Process(Box<ProcessPlace>),
}

/// How a replica is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// SIGKILL of the container's process: the same Pod begins again, with its journal.
    Process,
    /// The Pod is deleted by force: another one takes its place, and the journal of an emptyDir is gone.
    Pod,
}

impl Place {
    /// The API server.
    pub fn plane(&self) -> &ControlPlane {
        match self {
            Self::Node(place) => &place.node.plane,
            Self::Process(place) => &place.plane,
        }
    }

    /// The name and address under which operators reach the issuer.
    pub fn issuer(&self) -> (&'static str, Ipv4Addr) {
        match self {
            Self::Node(_) => (crate::node::ISSUER, testbed::one_node::NODE_ADDRESS),
            Self::Process(_) => ("localhost", Ipv4Addr::LOCALHOST),
        }
    }

    /// Arguments for Helm that only make sense where Pods run.
    pub fn helm_arguments(&self) -> &'static [&'static str] {
        match self {
            Self::Node(_) => &["--wait", "--timeout", "5m"],
            Self::Process(_) => &[],
        }
    }

    /// After `helm install` or `upgrade`: lets what was installed run, and says what runs.
    pub async fn settle(&mut self, release: Release) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Node(place) => place.settle(release).await,
            Self::Process(place) => place.settle(release).await,
        }
    }

    /// `helm test`: as the Pod of the chart, or the same program with that Pod's arguments and rights.
    pub async fn check(&self, release: Release, helm: &Helm) -> anyhow::Result<Checked> {
        match self {
            Self::Node(_) => helm.test(release).await,
            Self::Process(place) => place.check(release, &helm.hooks(release).await?).await,
        }
    }

    /// After `helm uninstall`: nothing of it runs any more.
    pub async fn gone(&mut self, release: Release) -> anyhow::Result<()> {
        match self {
            Self::Node(place) => place.gone(release).await,
            Self::Process(place) => place.gone().await,
        }
    }

    /// Right after an upgrade: says how a replica of before was told to end; fails if it was not.
    pub async fn ending(&self, release: Release, pod: &str) -> anyhow::Result<String> {
        match self {
            Self::Node(place) => place.ending(release, pod).await,
            Self::Process(place) => place.ending(),
        }
    }

    /// Kills a replica by the name of its Pod.
    pub async fn kill(&mut self, release: Release, pod: &str, how: Kill) -> anyhow::Result<String> {
        match self {
            Self::Node(place) => place.kill(release, pod, how).await,
            Self::Process(place) => place.kill(pod, how),
        }
    }

    /// For error messages: what the operator wrote last.
    pub async fn log_end(&self, release: Release) -> String {
        match self {
            Self::Node(place) => place.log_end(release).await,
            Self::Process(place) => place.log_end(),
        }
    }
}
