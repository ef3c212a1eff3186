//! A real control plane for tests: etcd, kube-apiserver and, if asked for, kube-controller-manager and kube-scheduler.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use testbed::control_plane::ControlPlane;
//!
//! let control_plane = ControlPlane::start().await?;
//! control_plane
//!     .kubectl(&["create", "namespace", "demo"], None)
//!     .await?
//!     .checked()?;
//! println!("export KUBECONFIG={}", control_plane.kubeconfig_path().display());
//! # Ok(())
//! # }
//! ```
//!
//! Each instance has its own folder, port and users, so that tests run side by side. Nothing of
//! it outlives its owner, not even if that is killed with SIGKILL.
//!
//! | module | what it holds |
//! |---|---|
//! | `binaries` | finding the programs, and building them once |
//! | `builder`, `daemons` | options, the start, command lines |
//! | `folder` | files that do not outlive this process |
//! | `access`, `client`, `kubectl` | users and ways to the API |
//! | `metrics`, `audit` | what was asked of the API server |

mod access;
mod audit;
mod binaries;
mod builder;
mod client;
mod daemons;
mod folder;
mod kubectl;
mod metrics;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

pub use access::Kubeconfig;
pub use audit::{AuditEvent, AuditKey};
pub use binaries::{Binaries, NodeBinaries};
pub use builder::Builder;
pub use kubectl::Output;
pub use metrics::{RequestCounts, RequestKey, requests_between};

use crate::supervised::Supervised;
use client::ApiClient;
use folder::InstanceFolder;

/// A running control plane; dropping it kills the daemons and removes the folder.
#[derive(Debug)]
pub struct ControlPlane {
    // Fields are dropped in this order: clients before servers, the folder last.
    scheduler: Option<Supervised>,
    controller_manager: Option<Supervised>,
    apiserver: Supervised,
    etcd: Supervised,
    client: ApiClient,
    admin: Kubeconfig,
    users: Vec<Kubeconfig>,
    kubectl: PathBuf,
    audit: bool,
    folder: InstanceFolder,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver with RBAC and no other user than the administrator.
    ///
    /// The first call on a machine may build the programs; see [`Binaries::find`].
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    /// Options for a control plane with more than that.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Address of the API server, such as `https://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// Kubeconfig file of the administrator, who may do everything.
    #[must_use]
    pub fn kubeconfig_path(&self) -> &Path {
        &self.admin.path
    }

    /// Certificate authority of the API server, PEM: for whoever stands between it and its clients.
    pub fn authority_pem(&self) -> anyhow::Result<String> {
        let path = self.folder().join(daemons::AUTHORITY);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Content of [`Self::kubeconfig_path`].
    #[must_use]
    pub fn kubeconfig_yaml(&self) -> &str {
        &self.admin.yaml
    }

    /// Access as a user that [`Builder::user`] named; fails for any other name.
    pub fn user(&self, name: &str) -> anyhow::Result<&Kubeconfig> {
        let mut users = self.users.iter();
        users
            .find(|kubeconfig| kubeconfig.user == name)
            .with_context(|| format!("find user {name}: name it to the builder first"))
    }

    /// The kubectl that belongs to it.
    #[must_use]
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// Folder of this instance: logs (`kube-apiserver.log`, …), keys, data. Gone when this is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process ids of the daemons, by name.
    #[must_use]
    pub fn process_ids(&self) -> BTreeMap<&'static str, u32> {
        let always = [("etcd", &self.etcd), ("kube-apiserver", &self.apiserver)];
        let controllers = self.controller_manager.as_ref();
        let scheduler = self.scheduler.as_ref();
        always
            .into_iter()
            .chain(controllers.map(|daemon| ("kube-controller-manager", daemon)))
            .chain(scheduler.map(|daemon| ("kube-scheduler", daemon)))
            .map(|(name, daemon)| (name, daemon.id()))
            .collect()
    }

    /// Runs kubectl as the administrator, or as another user with `--kubeconfig`.
    ///
    /// Fails if kubectl cannot be run or takes more than five minutes; whether it succeeded is
    /// in the output.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> anyhow::Result<Output> {
        let command = (self.kubeconfig_path(), arguments);
        kubectl::run(&self.kubectl, self.folder(), command, stdin).await
    }

    /// The metrics of kube-apiserver in the Prometheus text format.
    pub async fn metrics_text(&self) -> anyhow::Result<String> {
        self.client.text("/metrics").await
    }

    /// Requests that kube-apiserver has finished since it started, its own to itself included.
    ///
    /// A watch counts when it ends. Use [`requests_between`] on two readings.
    pub async fn request_counts(&self) -> anyhow::Result<RequestCounts> {
        Ok(metrics::parse(&self.metrics_text().await?))
    }

    /// All requests so far, oldest first; a request is written just after it is answered.
    ///
    /// Fails unless [`Builder::audit`] was asked for.
    pub fn audit_events(&self) -> anyhow::Result<Vec<AuditEvent>> {
        ensure!(self.audit, "no audit log: ask the builder for it");
        let path = self.folder().join(daemons::AUDIT_LOG);
        let log = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        audit::parse(&String::from_utf8_lossy(&log))
    }

    /// Numbers of the requests of [`Self::audit_events`] by user and kind.
    pub fn audit_counts(&self) -> anyhow::Result<BTreeMap<AuditKey, u64>> {
        Ok(audit::count(self.audit_events()?))
    }

    /// Ends the daemons and removes the folder, like dropping, but says if that failed.
    pub fn stop(self) -> anyhow::Result<()> {
        let Self { scheduler, controller_manager, apiserver, etcd, folder, .. } = self;
        drop((scheduler, controller_manager, apiserver, etcd));
        folder.remove()
    }
}
