//! A place on this machine for a whole cluster: mount, network and process namespaces of its own, and nothing left of it afterwards.
//!
//! kubelet, containerd and their like use fixed paths, ports and kernel settings whatever their flags say. In here they get private ones.
//! All processes end with the first one of the process namespace, and that one ends with the program that opened the capsule, also if
//! that is killed with SIGKILL. What the kernel does not clear then (a folder, control groups) a shell outside clears.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

/// The node's address; kubelet refuses loopback ones. Our choice, as all addresses here: they exist inside only.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
/// The first address of the API server's Service range, which is that of the Service `kubernetes`.
pub const API_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The name server of the Pods; in the Service range, where clusters have it.
pub const NAMES_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);

/// `$1` is the scratch folder, the next three are addresses, then follows the program. It is not replaced by the program (`exec`),
/// because the first process of a namespace has to wait for orphans.
const INSIDE: &str = "set -e
scratch=$1; shift
for folder in /run/containerd /run/netns /var/lib/kubelet /var/lib/cni /var/log/containers /var/log/pods /usr/libexec/kubernetes; do
    mkdir -p $folder
    mount -t tmpfs -o mode=755 none $folder
done
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    mkdir -p $scratch/sysctl/${setting%/*}
    cat /proc/sys/$setting > $scratch/sysctl/$setting
    mount --bind $scratch/sysctl/$setting /proc/sys/$setting
done
mount --make-rshared /
ip link set lo up
for address in $1 $2 $3; do ip address add $address/32 dev lo; done
shift 3
\"$@\"";

/// `$1` is the scratch folder, whose name is that of the control groups. Waits for the end of the pipe that only the opener holds; the
/// pauses let the killed processes finish dying, without which no control group can be removed.
const SWEEP: &str = "read -r _
name=${1##*/}
for pause in 0 0.2 1 1 2 4; do
    sleep \"$pause\"
    for group in /sys/fs/cgroup/$name /sys/fs/cgroup/*/$name; do
        [ -d \"$group\" ] && find \"$group\" -depth -type d -exec rmdir {} +
    done
    rm -rf -- \"$1\" && ! ls -d /sys/fs/cgroup/$name /sys/fs/cgroup/*/$name && exit
done";

/// Why no capsule can be opened here, in a few words; none: it can.
#[must_use]
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".into());
    }
    for program in ["unshare", "setpriv", "ip"] {
        if Command::new(program).arg("--version").output().is_err() && Command::new(program).arg("-V").output().is_err() {
            return Some(format!("no program {program}"));
        }
    }
    let probe = group_root().join(format!("rtok-probe-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)) {
        return Some(format!("no control group can be made: {error}"));
    }
    let tried = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("no namespaces: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// A scratch folder and its sweeper; a program runs in it with [`Capsule::run`].
#[derive(Debug)]
pub struct Capsule {
    folder: TempDir,
    sweeper: Child,
}

impl Capsule {
    /// Makes the folder and starts what clears up.
    pub fn open() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rtok-node-").tempdir().context("create the folder of the capsule")?;
        let sweeper = Command::new("/bin/sh")
            .args(["-c", SWEEP, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the sweeper")?;
        Ok(Self { folder, sweeper })
    }

    /// For whatever the cluster writes; its name is that of the control groups, which are no other's.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program inside, to its end, with this one's standard streams.
    ///
    /// Has to be called on the main thread: the kernel ends the capsule when the *thread* that began it ends.
    pub fn run<A: AsRef<OsStr>>(&self, program: &Path, arguments: impl IntoIterator<Item = A>) -> anyhow::Result<ExitStatus> {
        let addresses = [API_ADDRESS, NODE_ADDRESS, NAMES_ADDRESS].map(|address| address.to_string());
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"])
            .args(["--", "/bin/sh", "-c", INSIDE, "sh"])
            .arg(self.folder())
            .args(addresses)
            .arg(program)
            .args(arguments)
            // What it leaves when it is killed is then in the folder that is cleared.
            .env("TMPDIR", self.folder())
            .stdin(Stdio::null())
            .status()
            .context("open the capsule")
    }
}

impl Drop for Capsule {
    fn drop(&mut self) {
        // The end of the pipe is its signal; it removes the folder too.
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

/// Where control groups are made: one of the hierarchies of version 1, or that of version 2.
fn group_root() -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("memory").is_dir() { root.join("memory") } else { root.to_owned() }
}

/// Makes the control groups called `name` that kubelet expects to find.
pub(super) fn make_groups(name: &str) -> anyhow::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("memory").is_dir() {
        return std::fs::create_dir_all(root.join(name)).context("make the control group");
    }
    for hierarchy in std::fs::read_dir(root).context("list the control groups")? {
        let hierarchy = hierarchy?;
        // Names such as `cpu,cpuacct` are links to one of their parts; version 2 beside version 1 holds no resources.
        if hierarchy.file_type()?.is_dir() && hierarchy.file_name() != "unified" {
            std::fs::create_dir_all(hierarchy.path().join(name)).context("make the control group")?;
        }
    }
    // A new group of this hierarchy takes no process until it has both.
    for setting in ["cpuset.cpus", "cpuset.mems"] {
        let from = root.join("cpuset").join(setting);
        if let Ok(value) = std::fs::read(&from) {
            std::fs::write(root.join("cpuset").join(name).join(setting), value).with_context(|| format!("set {setting}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_capsule() {
        if let Some(obstacle) = obstacle() {
            eprintln!("skipped: {obstacle}");
            return;
        }
        let capsule = Capsule::open().unwrap();
        let folder = capsule.folder().to_owned();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        make_groups(&name).unwrap();
        // The first processes of the capsule; its own view of the network; and a child that would outlive it.
        let script =
            r#"[ "$(ip -o address show dev lo | grep -c 10.250.0.1)" = 1 ] && { sleep 1000 & } && mount | grep -c panic_on_oom"#;
        let status = capsule.run(Path::new("/bin/sh"), ["-c", script]).unwrap();
        assert!(status.success());
        drop(capsule);
        assert!(!folder.exists());
        let left = Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", &name]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    }
}
