//! The temporary folder of one control plane, removed even if this process is killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use tempfile::TempDir;

/// Waits for the end of the pipe that only this process holds (see [`crate::supervised`]). The
/// pauses let the killed daemons finish dying, which else would write while it removes.
const SWEEP: &str = "read -r _
for pause in 1 1 2 4; do sleep \"$pause\"; rm -rf -- \"$1\" && exit; done";

/// Removed when dropped. An empty etcd alone takes 62 MB: leaving these behind fills a disk.
#[derive(Debug)]
pub(super) struct InstanceFolder {
    // Dropped in this order: the sweeper has nothing left to do.
    sweeper: Sweeper,
    folder: TempDir,
}

#[derive(Debug)]
struct Sweeper(Child);

impl InstanceFolder {
    pub(super) fn create() -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("rtok-control-plane-").tempdir().context("create the folder of the control plane")?;
        let sweeper = Command::new("/bin/sh")
            .args(["-c", SWEEP, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the sweeper")?;
        Ok(Self { sweeper: Sweeper(sweeper), folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes the folder and says whether that worked, which dropping cannot.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        drop(self.sweeper);
        self.folder.close().context("remove the folder")
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
