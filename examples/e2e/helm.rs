//! Helm, as a user calls it, with nobody's settings.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testbed::tools::Tool;
use tokio::process::Command;

/// Our choice: above the chart's grace period of a Pod, and two Pods end one after the other.
const DEADLINE: Duration = Duration::from_secs(400);

/// Helm 4, built first if need be.
pub fn find() -> anyhow::Result<PathBuf> {
    Tool::Helm4.find()
}

/// An installation of the chart.
#[derive(Clone, Copy)]
pub struct Release {
    /// Name of the release.
    pub name: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
}

impl Release {
    /// Name of the chart's objects (the chart's `fullname`), ServiceAccount and workload among them.
    pub fn full_name(self) -> String {
        let name = format!("{}-refreshable-token-operator", self.name);
        name.chars().take(40).collect::<String>().trim_end_matches('-').to_owned()
    }

    /// As whom the operator acts.
    pub fn user(self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.full_name())
    }
}

/// What `helm test` came to.
#[derive(Debug)]
pub struct Checked {
    /// It succeeded.
    pub good: bool,
    /// What it said, a line for each thing that was looked at.
    pub log: String,
}

/// Helm against one cluster.
pub struct Helm {
    program: PathBuf,
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    /// Keeps its files in `folder`.
    pub fn new(folder: &Path, kubeconfig: &Path) -> anyhow::Result<Self> {
        Ok(Self { program: find()?, folder: folder.join("helm"), kubeconfig: kubeconfig.to_owned() })
    }

    /// `helm install` or `helm upgrade` of the chart with these values, in YAML.
    pub async fn put(&self, verb: &str, release: Release, values: &str, more: &[&str]) -> anyhow::Result<String> {
        let file = self.folder.join(format!("{}.yaml", release.name));
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(&file, values).context("write the values")?;
        let (chart, file) = (chart(), file.to_string_lossy().into_owned());
        let arguments = [verb, release.name, &chart, "--namespace", release.namespace, "--values", &file];
        self.run(&[&arguments, more].concat()).await
    }

    /// `helm uninstall`.
    pub async fn remove(&self, release: Release) -> anyhow::Result<String> {
        self.run(&["uninstall", release.name, "--namespace", release.namespace, "--wait", "--timeout", "5m"]).await
    }

    /// `helm test` with the log of its Pod; it may fail.
    pub async fn test(&self, release: Release) -> anyhow::Result<Checked> {
        let arguments = ["test", release.name, "--namespace", release.namespace, "--logs", "--timeout", "2m"];
        let (good, log) = self.output(&arguments).await?;
        Ok(Checked { good, log })
    }

    /// The manifest of what `helm test` starts.
    pub async fn hooks(&self, release: Release) -> anyhow::Result<String> {
        self.run(&["get", "hooks", release.name, "--namespace", release.namespace]).await
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (good, text) = self.output(arguments).await?;
        ensure!(good, "helm {}: {text}", arguments.join(" "));
        Ok(text)
    }

    /// Whether it succeeded, and what it said.
    async fn output(&self, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(DEADLINE, child).await.context("helm takes too long")?.context("start helm")?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), text))
    }
}

fn chart() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/charts/refreshable-token-operator").to_owned()
}
