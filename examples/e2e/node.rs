//! The operator as Pods of a real node.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testbed::image::{Image, Start};
use testbed::one_node::{NAMES_ADDRESS, NODE_ADDRESS, Names, OneNode, busybox};

use crate::helm::Release;
use crate::image;
use crate::place::Kill;

/// A name that only the cluster's name server knows: what is refreshed here has been looked up by the program in the image.
pub const ISSUER: &str = "tokens.e2e.example.com";
/// A small image with a shell, for workloads.
pub const SHELL: &str = "localhost/shell:1";

/// The node, and what the Pods need of it.
pub struct NodePlace {
    /// The cluster.
    pub node: OneNode,
    /// kubelet's `syncFrequency`.
    pub sync: Duration,
    _names: Names,
}

impl NodePlace {
    /// Brings the images to the node.
    pub async fn new(node: OneNode, program: &Path, sync: Duration) -> anyhow::Result<Self> {
        let names = Names::start(NAMES_ADDRESS, BTreeMap::from([(ISSUER.to_owned(), NODE_ADDRESS)])).await?;
        node.bring(&image::image(program)?).await?;
        node.bring(&shell(SHELL)?).await?;
        Ok(Self { node, sync, _names: names })
    }

    /// The Pods that run, each with what the kernel says of its process.
    pub async fn settle(&mut self, release: Release) -> anyhow::Result<Vec<String>> {
        self.node.ensure_running()?;
        let workload = format!("deployment/{}", release.full_name());
        self.kubectl(&["-n", release.namespace, "rollout", "status", &workload, "--timeout=300s"]).await?;
        let mut lines = Vec::new();
        for pod in self.pods(release).await? {
            let (name, process) = (text(&pod, "/metadata/name"), self.process(&pod).await?);
            lines.push(format!("Pod {name}: {}", seen_by_the_kernel(process)?));
        }
        Ok(lines)
    }

    /// Waits for the end of the release's Pods.
    pub async fn gone(&mut self, release: Release) -> anyhow::Result<()> {
        let selector = operators(release);
        self.kubectl(&["-n", release.namespace, "wait", "--for=delete", "pod", "-l", &selector, "--timeout=300s"]).await?;
        Ok(())
    }

    /// Whether a Pod that still runs has been told to end.
    pub async fn ending(&self, release: Release, pod: &str) -> anyhow::Result<String> {
        let since = "jsonpath={.metadata.deletionTimestamp}";
        let since = self.kubectl(&["-n", release.namespace, "get", "pod", pod, "-o", since]).await?;
        ensure!(!since.is_empty(), "Pod {pod} was not told to end");
        Ok("was terminating meanwhile".into())
    }

    /// Kills a Pod, or its process.
    pub async fn kill(&mut self, release: Release, pod: &str, how: Kill) -> anyhow::Result<String> {
        if how == Kill::Pod {
            self.kubectl(&["-n", release.namespace, "delete", "pod", pod, "--force", "--grace-period=0"]).await?;
            return Ok(format!("kubectl delete pod {pod} --force"));
        }
        let found = self.kubectl(&["-n", release.namespace, "get", "pod", pod, "-o", "json"]).await?;
        let process = self.process(&serde_json::from_str(&found)?).await?;
        let id = rustix::process::Pid::from_raw(process.cast_signed()).context("a process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::KILL).context("kill the operator")?;
        Ok(format!("SIGKILL of the process of {pod}"))
    }

    /// The first process of a Pod's first container.
    pub async fn process(&self, pod: &Value) -> anyhow::Result<u32> {
        let id = text(pod, "/status/containerStatuses/0/containerID");
        ensure!(!id.is_empty(), "Pod {} has no container yet", text(pod, "/metadata/name"));
        self.node.process_of(&id).await
    }

    /// Waits until a Pod is ready, and gives it.
    pub async fn ready(&self, namespace: &str, pod: &str) -> anyhow::Result<Value> {
        let waited = ["-n", namespace, "wait", "--for=condition=Ready", "pod", pod, "--timeout=120s"];
        if let Err(error) = self.kubectl(&waited).await {
            let events = self.kubectl(&["-n", namespace, "describe", "pod", pod]).await?;
            let from = events.find("Events:").unwrap_or_default();
            return Err(error.context(events.get(from..).unwrap_or_default().to_owned()));
        }
        Ok(serde_json::from_str(&self.kubectl(&["-n", namespace, "get", "pod", pod, "-o", "json"]).await?)?)
    }

    /// The end of the logs of all Pods of the release.
    pub async fn log_end(&self, release: Release) -> String {
        let selector = operators(release);
        let logs = ["-n", release.namespace, "logs", "-l", &selector, "--tail=15", "--prefix", "--ignore-errors"];
        self.kubectl(&logs).await.unwrap_or_else(|error| format!("{error:#}\n{}", self.node.log_end()))
    }

    async fn pods(&self, release: Release) -> anyhow::Result<Vec<Value>> {
        let selector = operators(release);
        let list: Value =
            serde_json::from_str(&self.kubectl(&["-n", release.namespace, "get", "pods", "-l", &selector, "-o", "json"]).await?)?;
        let pods = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(pods.into_iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none()).collect())
    }

    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.node.plane.kubectl(arguments, None).await?.checked()
    }
}

/// Chooses the operator's Pods, and not that of `helm test`, which stays when it has ended.
fn operators(release: Release) -> String {
    format!("app.kubernetes.io/instance={},app.kubernetes.io/component=operator", release.name)
}

/// An image of a shell that sleeps until it is told to end.
pub fn shell(reference: &str) -> anyhow::Result<Image> {
    let wait = "trap 'exit 0' TERM; while :; do sleep 0.2; done";
    let start = Start { entrypoint: ["/bin/sh", "-c", wait].map(String::from).into(), ..Start::default() };
    Image::new(reference, busybox(&["sh", "cat", "ls", "sleep"])?, &start)
}

/// User, privileges and root of a container's process; fails where they are not as restricted as the chart promises.
fn seen_by_the_kernel(process: u32) -> anyhow::Result<String> {
    let proc = Path::new("/proc").join(process.to_string());
    let status = std::fs::read_to_string(proc.join("status")).context("read the status of the process")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start_matches(':').split_whitespace().next().unwrap_or_default().to_owned()
    };
    ensure!(field("Uid") == "65532", "the operator runs as user {}", field("Uid"));
    ensure!(field("CapEff").trim_start_matches('0').is_empty(), "the operator has capabilities {}", field("CapEff"));
    ensure!(field("NoNewPrivs") == "1" && field("Seccomp") == "2", "no_new_privs or seccomp is off");
    let mounts = std::fs::read_to_string(proc.join("mountinfo")).context("read the mounts of the process")?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).context("no root mount")?;
    ensure!(
        root.split(' ').nth(5).is_some_and(|options| options.split(',').any(|option| option == "ro")),
        "its root is writable"
    );
    ensure!(!proc.join("root/bin").exists() && !proc.join("root/usr").exists(), "there are more programs in the image");
    Ok("user 65532, no capability, no new privileges, seccomp filter, root read-only, no other program".into())
}

/// A text inside JSON; empty if there is none.
pub fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
