//! A real cluster of one node, without Docker: the control plane, kube-scheduler, containerd, kubelet, and Pods with a network.
//!
//! [`Capsule`] opens a place that touches nothing of the machine, and [`OneNode`] is the cluster; it has to be started by a program that
//! runs inside. There is no registry but what a program in the capsule serves: images are brought in with [`OneNode::bring`].
//!
//! | module | what it holds |
//! |---|---|
//! | `capsule` | namespaces, scratch folder, clearing up |
//! | `config` | what the daemons are told |
//! | `names` | a name server for the Pods |
//! | `packages` | what comes from Debian |

mod capsule;
mod config;
mod names;
mod packages;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::time::Instant;

pub use capsule::{API_ADDRESS, Capsule, NAMES_ADDRESS, NODE_ADDRESS, obstacle};
pub use names::Names;
pub use packages::install as install_packages;

use crate::control_plane::{ControlPlane, NodeBinaries};
use crate::image::{Image, Layer, Start};
use crate::supervised::{Launch, Supervised};

/// Our choice: all of it takes 10 s on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);
const NODE: &str = "node1";

/// How often kubelet compares each Pod with what it should be where nobody says otherwise (Kubernetes 1.36, `syncFrequency`).
pub const DEFAULT_SYNC: Duration = Duration::from_secs(60);

/// A running cluster of one node; dropping it kills the daemons. Pods end with the capsule.
#[derive(Debug)]
pub struct OneNode {
    // Dropped in this order: who uses before who is used.
    kubelet: Supervised,
    containerd: Supervised,
    /// The control plane.
    pub plane: ControlPlane,
    kubelet_program: PathBuf,
    folder: PathBuf,
}

impl OneNode {
    /// Starts everything in `folder` and returns when the node is ready. `sync` is kubelet's `syncFrequency`, in whole seconds.
    ///
    /// Only for programs inside a [`Capsule`], of its folder.
    pub async fn start(folder: &Path, sync: Duration) -> anyhow::Result<Self> {
        let user = format!("system:node:{NODE}");
        let addresses = [API_ADDRESS, NODE_ADDRESS].map(IpAddr::V4);
        let plane = ControlPlane::builder()
            .workloads(&addresses)
            .first_port(443)
            .user(&user, &["system:nodes"])
            .audit()
            .extra_apiserver_args([format!("--advertise-address={NODE_ADDRESS}")])
            .start()
            .await?;
        ensure!(plane.url().ends_with(":443"), "port 443 is taken: is this a capsule?");
        let kubelet_program = tokio::task::spawn_blocking(NodeBinaries::find).await??.kubelet;
        write_files(folder, &plane, sync)?;
        let mut containerd =
            Supervised::start(&launch("containerd", Path::new("containerd"), folder, ["--config=containerd.toml"]))?;
        until("containerd", &mut containerd, async || containerctl(folder, &["version"]).await.is_ok()).await?;
        import(folder, &pause()?).await?;
        let mut kubelet = start_kubelet(&kubelet_program, folder, &plane)?;
        until("the node", &mut kubelet, async || is_ready(&plane).await).await?;
        Ok(Self { kubelet, containerd, plane, kubelet_program, folder: folder.to_owned() })
    }

    /// Puts an image on the node, where Pods find it by its reference (`imagePullPolicy` other than `Always`).
    pub async fn bring(&self, image: &Image) -> anyhow::Result<()> {
        import(&self.folder, image).await
    }

    /// Lets containerd fetch images of the registry at `host` (a name or address, and a port) over plain HTTP.
    pub fn allow_registry(&self, host: &str) -> anyhow::Result<()> {
        let folder = self.folder.join("registries").join(host);
        fs::create_dir_all(&folder)?;
        let text = format!("server = \"http://{host}\"\n[host.\"http://{host}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
        fs::write(folder.join("hosts.toml"), text).context("configure the registry")
    }

    /// Ends kubelet (SIGTERM, as a service manager does) and starts it again; Pods keep running. Returns when the node is ready.
    pub async fn restart_kubelet(&mut self) -> anyhow::Result<()> {
        self.kubelet.terminate()?;
        let begun = Instant::now();
        while self.kubelet.try_wait()?.is_none() {
            ensure!(begun.elapsed() < START_DEADLINE, "kubelet does not end: {}", self.kubelet.log_end());
            tokio::time::sleep(POLL).await;
        }
        self.kubelet = start_kubelet(&self.kubelet_program, &self.folder, &self.plane)?;
        until("the node", &mut self.kubelet, async || is_ready(&self.plane).await).await
    }

    /// Process id, as seen in the capsule, of the first process of a container; `id` as in a Pod's status, `containerd://…`.
    ///
    /// Through `/proc/<id>/root` its files are what the container sees.
    pub async fn process_of(&self, id: &str) -> anyhow::Result<u32> {
        let id = id.trim_start_matches("containerd://");
        let list = containerctl(&self.folder, &["tasks", "list"]).await?;
        let line = list.lines().find(|line| line.starts_with(id)).with_context(|| format!("no task for container {id}"))?;
        line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).with_context(|| format!("read `{line}`"))
    }

    /// Fails with the end of its log if one of the node's daemons has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.containerd.ensure_running()?;
        self.kubelet.ensure_running()
    }

    /// The end of kubelet's and containerd's logs, for error messages.
    #[must_use]
    pub fn log_end(&self) -> String {
        format!("{}\n{}", self.kubelet.log_end(), self.containerd.log_end())
    }
}

/// The image of the process that keeps a Pod's namespaces.
fn pause() -> anyhow::Result<Image> {
    let start = ["/bin/busybox", "sleep", "2147483647"].map(String::from);
    Image::new(config::PAUSE, busybox(&[])?, &Start { entrypoint: start.into(), ..Start::default() })
}

/// A layer with a static busybox as `/bin/busybox` and under the names of these applets.
pub fn busybox(applets: &[&str]) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    layer.folder("bin", 0o755);
    layer.file("bin/busybox", 0o755, fs::read("/bin/busybox").context("read Debian's busybox-static")?);
    for applet in applets {
        layer.link(&format!("bin/{applet}"), "busybox");
    }
    Ok(layer)
}

fn write_files(folder: &Path, plane: &ControlPlane, sync: Duration) -> anyhow::Result<()> {
    let groups = folder.file_name().and_then(|name| name.to_str()).context("the folder has no name")?;
    capsule::make_groups(groups)?;
    fs::create_dir_all(folder.join("network"))?;
    let authority = folder.join("ca.crt");
    for (path, text) in [
        (authority.clone(), plane.authority_pem()?),
        (folder.join("network/10-pods.conflist"), config::network(folder)),
        (folder.join("containerd.toml"), config::containerd(folder, Path::new("/usr/sbin/runc"))),
        (folder.join("kubelet.yaml"), config::kubelet(folder, &authority, groups, sync)),
    ] {
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn start_kubelet(program: &Path, folder: &Path, plane: &ControlPlane) -> anyhow::Result<Supervised> {
    let user = plane.user(&format!("system:node:{NODE}"))?;
    let arguments = [
        "--config=kubelet.yaml".to_owned(),
        format!("--kubeconfig={}", user.path.display()),
        format!("--root-dir={}/kubelet", folder.display()),
        format!("--cert-dir={}/kubelet-certificates", folder.display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={NODE_ADDRESS}"),
        "--v=2".to_owned(),
    ];
    Supervised::start(&launch("kubelet", program, folder, arguments))
}

async fn is_ready(plane: &ControlPlane) -> bool {
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    let node = plane.kubectl(&["get", "node", NODE, "-o", ready], None).await;
    node.is_ok_and(|output| output.stdout == "True")
}

async fn import(folder: &Path, image: &Image) -> anyhow::Result<()> {
    let archive = folder.join("image.tar");
    image.write(&archive)?;
    let path = archive.to_string_lossy();
    containerctl(folder, &["images", "import", &path]).await.with_context(|| format!("import {}", image.reference()))?;
    fs::remove_file(&archive).context("remove the archive")
}

/// `ctr` against the node's containerd, in the namespace that kubelet uses.
async fn containerctl(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("ctr")
        .arg("--address")
        .arg(folder.join("containerd.sock"))
        .args(["--namespace", "k8s.io"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("start ctr")?;
    ensure!(output.status.success(), "ctr {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn launch<A: Into<std::ffi::OsString>>(
    name: &str,
    program: &Path,
    folder: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Launch {
    Launch {
        program: program.to_owned(),
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        folder: folder.to_owned(),
        log: folder.join(format!("{name}.log")),
    }
}

/// Waits until `ready` says so; fails if the daemon ends or the time is over.
async fn until(what: &str, daemon: &mut Supervised, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !ready().await {
        daemon.ensure_running()?;
        ensure!(begun.elapsed() < START_DEADLINE, "{what} is not ready in {START_DEADLINE:?}\n{}", daemon.log_end());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
