//! Runs kubectl against one control plane.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Our choice: longer than any wait that a test asks kubectl for.
const DEADLINE: Duration = Duration::from_secs(300);

/// What a finished kubectl left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output if kubectl succeeded; else an error with what it printed.
    pub fn checked(self) -> anyhow::Result<String> {
        ensure!(self.status.success(), "kubectl: {}: {}{}", self.status, self.stderr, self.stdout);
        Ok(self.stdout)
    }
}

/// Runs `program` with its home in `folder`, so that nobody's settings or caches are used.
pub(super) async fn run(program: &Path, folder: &Path, command: (&Path, &[&str]), stdin: Option<&str>) -> anyhow::Result<Output> {
    let (kubeconfig, arguments) = command;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder)
        .env("KUBECACHEDIR", folder.join("kubectl-cache"))
        .env("KUBECONFIG", kubeconfig)
        .stdin(stdin.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let input = child.stdin.take();
    let feed = async {
        if let (Some(mut input), Some(text)) = (input, stdin) {
            // Fails if kubectl does not read it all; its status says whether that matters.
            let _ = input.write_all(text.as_bytes()).await;
        }
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(DEADLINE, both)
        .await
        .with_context(|| format!("kubectl {} in {DEADLINE:?}", arguments.join(" ")))?
        .context("wait for kubectl")?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
