//! The chart, installed by Helm as a user does, and the operator as a process with the arguments, the account and the rights that the
//! chart gives it: all of an installation but the Pod.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testbed::control_plane::ControlPlane;
use testbed::supervised::{Launch, Supervised};
use testbed::tools::Tool;

/// Where the container finds things, and what stands there.
const JOURNAL: &str = "--journal-dir=";
const POLICY: &str = "--endpoint-policy=";
const METRICS: &str = "--metrics-addr=";

/// The chart's folder.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/refreshable-token-operator")
}

/// Runs Helm 4; standard output if it succeeded. Without a kubeconfig it reaches no cluster.
pub async fn helm(kubeconfig: Option<&Path>, arguments: &[&str]) -> anyhow::Result<String> {
    let program = tokio::task::spawn_blocking(|| Tool::Helm4.find()).await.context("find helm")??;
    let home = tempfile::tempdir()?;
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
        .kill_on_drop(true)
        .output()
        .await
        .context("run helm")?;
    ensure!(output.status.success(), "helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A release on a control plane.
pub struct Installed {
    /// Name of the release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the workload, the account and the roles.
    pub name: String,
    /// What Helm printed.
    pub notes: String,
    /// Kubeconfig of the operator's account, in a folder that goes with this.
    pub kubeconfig: PathBuf,
    folder: tempfile::TempDir,
    pod: Value,
}

impl Installed {
    /// `helm install`; `values` is YAML text.
    pub async fn new(plane: &ControlPlane, release: &str, namespace: &str, values: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("values.yaml");
        std::fs::write(&file, values)?;
        let (chart, file) = (chart(), file.to_str().context("the path is not text")?.to_owned());
        let chart = chart.to_str().context("the path is not text")?;
        let arguments = ["install", release, chart, "-n", namespace, "--create-namespace", "--values", &file];
        let notes = helm(Some(plane.kubeconfig_path()), &arguments).await?;
        let selector = format!("app.kubernetes.io/instance={release},app.kubernetes.io/component=operator");
        let get = ["get", "deployments,statefulsets", "-n", namespace, "-l", &selector, "-o", "json"];
        let list: Value = serde_json::from_str(&plane.kubectl(&get, None).await?.checked()?)?;
        let workload = list.pointer("/items/0").context("the release has no workload")?;
        let text = |path: &str| workload.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let account = text("/spec/template/spec/serviceAccountName");
        let token = plane.kubectl(&["create", "token", &account, "-n", namespace, "--duration=2h"], None).await?.checked()?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, with_token(plane.kubeconfig_yaml(), token.trim()))?;
        let pod = workload.pointer("/spec/template").cloned().unwrap_or_default();
        let (release, namespace) = (release.to_owned(), namespace.to_owned());
        Ok(Self { release, namespace, name: text("/metadata/name"), notes, kubeconfig, folder, pod })
    }

    /// The Pod template as the API server has it.
    pub fn pod(&self) -> &Value {
        &self.pod
    }

    /// The operator's user name.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// `helm uninstall`.
    pub async fn uninstall(&self, plane: &ControlPlane) -> anyhow::Result<()> {
        helm(Some(plane.kubeconfig_path()), &["uninstall", &self.release, "-n", &self.namespace]).await.map(drop)
    }

    /// What `kubectl auth can-i --list` says about the operator in a namespace.
    pub async fn can_i(&self, plane: &ControlPlane, namespace: &str) -> anyhow::Result<String> {
        let kubeconfig = self.kubeconfig.to_str().context("the path is not text")?;
        plane.kubectl(&["auth", "can-i", "--list", "-n", namespace, "--kubeconfig", kubeconfig], None).await?.checked()
    }

    /// Arguments of the container, with paths and the address of this machine; `command` in place of `run`.
    async fn arguments(&self, plane: &ControlPlane, command: &str) -> anyhow::Result<Vec<OsString>> {
        let given = self.pod.pointer("/spec/containers/0/args").and_then(Value::as_array).context("the container has no args")?;
        let mut arguments = vec![OsString::from(command)];
        for argument in given.iter().filter_map(Value::as_str).skip(1) {
            let at = |flag: &str, path: PathBuf| -> OsString { [flag.into(), path.into_os_string()].into_iter().collect() };
            arguments.push(if argument.starts_with(JOURNAL) {
                at(JOURNAL, self.folder.path().join("journal"))
            } else if argument.starts_with(POLICY) {
                let map = format!("{}-endpoint-policy", self.name);
                let path = r"jsonpath={.data.endpoint-policy\.yaml}";
                let text =
                    plane.kubectl(&["get", "configmap", &map, "-n", &self.namespace, "-o", path], None).await?.checked()?;
                let file = self.folder.path().join("endpoint-policy.yaml");
                std::fs::write(&file, text)?;
                at(POLICY, file)
            } else if argument.starts_with(METRICS) {
                format!("{METRICS}127.0.0.1:0").into()
            } else {
                argument.into()
            });
        }
        Ok(arguments)
    }

    /// Starts the operator with the chart's arguments under the chart's account.
    pub async fn start(&self, plane: &ControlPlane, program: &Path) -> anyhow::Result<Supervised> {
        let log = self.folder.path().join("operator.log");
        Supervised::start(&self.launch(plane, program, "run", log).await?)
    }

    /// What `check` says, and whether all is well: what `helm test` runs.
    pub async fn check(&self, plane: &ControlPlane, program: &Path) -> anyhow::Result<(bool, String)> {
        let log = self.folder.path().join("check.log");
        let mut child = Supervised::start(&self.launch(plane, program, "check", log.clone()).await?)?;
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        };
        Ok((status.success(), std::fs::read_to_string(log)?))
    }

    async fn launch(&self, plane: &ControlPlane, program: &Path, command: &str, log: PathBuf) -> anyhow::Result<Launch> {
        Ok(Launch {
            program: program.to_owned(),
            arguments: self.arguments(plane, command).await?,
            environment: vec![
                ("RTOK_KUBECONFIG".into(), self.kubeconfig.clone().into_os_string()),
                ("HOSTNAME".into(), format!("{}-0", self.name).into()),
            ],
            folder: self.folder.path().to_owned(),
            log,
        })
    }
}

/// A kubeconfig of the control plane with another token.
fn with_token(kubeconfig: &str, token: &str) -> String {
    let line = |line: &str| match line.split_once("token:") {
        Some((indent, _)) => format!("{indent}token: {token}\n"),
        None => format!("{line}\n"),
    };
    kubeconfig.lines().map(line).collect()
}
