//! The operator as processes on this machine: with the arguments, the endpoint policy, the ServiceAccount and the RBAC that the chart
//! renders, and no other right. What a kubelet would do to its Pods is done here by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use testbed::control_plane::ControlPlane;
use testbed::supervised::{Launch, Supervised};
use tokio::process::Command;
use tokio::time::Instant;

use crate::helm::{Checked, Release};
use crate::node::text;
use crate::place::Kill;

/// Where the image expects its journal and its policy (the chart's mounts).
const JOURNAL: &str = "/var/lib/refreshable-token-operator/journal";
const POLICY: &str = "/etc/refreshable-token-operator";

/// An API server, and the replicas beside it.
pub struct ProcessPlace {
    /// The API server.
    pub plane: ControlPlane,
    program: PathBuf,
    folder: PathBuf,
    replicas: Vec<Replica>,
    started: usize,
    /// How long the replicas that were replaced last took to end.
    drained: Option<Duration>,
}

struct Replica {
    pod: String,
    launch: Launch,
    process: Supervised,
}

impl ProcessPlace {
    /// Starts the API server.
    pub async fn start(program: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        let plane = ControlPlane::builder().controller_manager().audit().start().await?;
        Ok(Self { plane, program, folder: folder.to_owned(), replicas: Vec::new(), started: 0, drained: None })
    }

    /// Starts what the workload asks for, and then ends what ran before, as a rolling update does.
    pub async fn settle(&mut self, release: Release) -> anyhow::Result<Vec<String>> {
        let found = ["-n", release.namespace, "get", "deployment", &release.full_name(), "-o", "json"];
        let workload: Value = serde_json::from_str(&self.plane.kubectl(&found, None).await?.checked()?)?;
        let replicas = workload.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        let before = std::mem::take(&mut self.replicas);
        for _ in 0..replicas {
            let replica = self.replica(release, &workload).await?;
            self.replicas.push(replica);
        }
        let replaced = !before.is_empty();
        let begun = Instant::now();
        end(before).await?;
        self.drained = replaced.then(|| begun.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
        for replica in &mut self.replicas {
            replica.process.ensure_running()?;
        }
        Ok(vec![format!(
            "{replicas} processes under ServiceAccount {} and its RBAC alone, with the arguments of the rendered Deployment",
            release.full_name()
        )])
    }

    /// Ends the replicas, as the deletion of their Pods does.
    pub async fn gone(&mut self) -> anyhow::Result<()> {
        end(std::mem::take(&mut self.replicas)).await
    }

    /// How long the replaced replicas went on after they were told to end.
    pub fn ending(&self) -> anyhow::Result<String> {
        let drained = self.drained.context("no replica was replaced")?;
        // Less would be an end without waiting for the answer.
        ensure!(drained > Duration::from_secs(5), "the replicas ended after {drained:?}");
        Ok(format!("went on for {:.1} s after SIGTERM", drained.as_secs_f64()))
    }

    /// Kills a replica and starts it again: with its journal, or as another Pod without.
    pub fn kill(&mut self, pod: &str, how: Kill) -> anyhow::Result<String> {
        let replica = self.replicas.iter_mut().find(|replica| replica.pod == pod).with_context(|| format!("no replica {pod}"))?;
        replica.process.kill()?;
        if how == Kill::Pod {
            let journal = self.folder.join(pod).join("journal");
            fs::remove_dir_all(&journal)?;
            fs::create_dir(&journal)?;
        }
        replica.process = Supervised::start(&replica.launch)?;
        Ok(match how {
            Kill::Process => format!("SIGKILL of {pod}, started again with its journal"),
            Kill::Pod => format!("SIGKILL of {pod}, started again without its journal"),
        })
    }

    /// The end of the logs.
    pub fn log_end(&self) -> String {
        self.replicas.iter().map(|replica| replica.process.log_end()).collect::<Vec<_>>().join("\n")
    }

    /// What the Pod of `helm test` would do: `hooks` is its manifest.
    pub async fn check(&self, release: Release, hooks: &str) -> anyhow::Result<Checked> {
        let pod: Value = serde_saphyr::from_str(hooks).context("read the manifest of the test's Pod")?;
        let spec = pod.get("spec").context("the test's Pod has no spec")?;
        let arguments = self.prepare(release, spec, &self.folder.join("check")).await?;
        let output = Command::new(&self.program).args(arguments).env_clear().kill_on_drop(true).output();
        let output = output.await.context("start the check")?;
        let log = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(Checked { good: output.status.success(), log })
    }

    async fn replica(&mut self, release: Release, workload: &Value) -> anyhow::Result<Replica> {
        self.started += 1;
        let pod = format!("{}-{}", release.full_name(), self.started);
        let folder = self.folder.join(&pod);
        let spec = workload.pointer("/spec/template/spec").context("the workload has no Pods")?;
        let arguments = self.prepare(release, spec, &folder).await?;
        let level = list(spec, "env").into_iter().find(|entry| text(entry, "/name") == "RUST_LOG");
        let level = level.map_or_else(|| "info".to_owned(), |entry| text(&entry, "/value"));
        let launch = Launch {
            program: self.program.clone(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: vec![("HOSTNAME".into(), pod.clone().into()), ("RUST_LOG".into(), level.into())],
            folder: folder.clone(),
            log: folder.join("log"),
        };
        let process = Supervised::start(&launch)?;
        Ok(Replica { pod, launch, process })
    }

    /// Does for a Pod what kubelet would do, in `folder`; gives the arguments of its container, with the paths that are there.
    async fn prepare(&self, release: Release, spec: &Value, folder: &Path) -> anyhow::Result<Vec<String>> {
        fs::create_dir_all(folder.join("journal"))?;
        fs::create_dir_all(folder.join("policy"))?;
        let policy = ["-n", release.namespace, "get", "configmap", &format!("{}-endpoint-policy", release.full_name())];
        let policy = [&policy[..], &["-o", "jsonpath={.data.endpoint-policy\\.yaml}"]].concat();
        fs::write(folder.join("policy/endpoint-policy.yaml"), self.plane.kubectl(&policy, None).await?.checked()?)?;
        let kubeconfig = folder.join("kubeconfig");
        self.kubeconfig(release, &text(spec, "/serviceAccountName"), &kubeconfig).await?;
        let arguments = list(spec, "args");
        let mut arguments: Vec<String> = arguments
            .iter()
            .filter_map(Value::as_str)
            .map(|argument| {
                argument
                    .replace(JOURNAL, &folder.join("journal").to_string_lossy())
                    .replace(POLICY, &folder.join("policy").to_string_lossy())
                    // Replicas share this machine's ports.
                    .replace("0.0.0.0:8080", "127.0.0.1:0")
            })
            .collect();
        ensure!(!arguments.is_empty(), "the Pod has no container with arguments");
        arguments.push(format!("--kubeconfig={}", kubeconfig.display()));
        Ok(arguments)
    }

    /// A kubeconfig with a token of a ServiceAccount, as a Pod gets one.
    async fn kubeconfig(&self, release: Release, account: &str, path: &Path) -> anyhow::Result<()> {
        let asked = ["-n", release.namespace, "create", "token", account, "--duration=2h"];
        let token = self.plane.kubectl(&asked, None).await?.checked()?;
        let (url, authority) = (self.plane.url(), BASE64.encode(self.plane.authority_pem()?));
        let yaml = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- {{name: c, cluster: {{server: \"{url}\", certificate-authority-data: {authority}}}}}\nusers:\n- {{name: u, user: {{token: {}}}}}\ncontexts:\n- {{name: c, context: {{cluster: c, user: u}}}}\ncurrent-context: c\n",
            token.trim()
        );
        fs::write(path, yaml).context("write the kubeconfig")
    }
}

/// A list of the first container of a Pod.
fn list(spec: &Value, name: &str) -> Vec<Value> {
    spec.pointer(&format!("/containers/0/{name}")).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// SIGTERM, and time to finish what is under way.
async fn end(mut replicas: Vec<Replica>) -> anyhow::Result<()> {
    for replica in &mut replicas {
        replica.process.terminate()?;
    }
    let begun = Instant::now();
    for replica in &mut replicas {
        while replica.process.try_wait()?.is_none() {
            ensure!(begun.elapsed() < Duration::from_secs(150), "{} does not end: {}", replica.pod, replica.process.log_end());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
