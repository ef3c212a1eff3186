//! The operator as a process that can be signalled and started again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use testbed::proxy::Signal;
use testbed::supervised::{Launch, Supervised, tail};
use tokio::time::Instant;

/// How an operator is started, each time.
#[derive(Clone, Debug)]
pub struct Command {
    /// The binary.
    pub binary: PathBuf,
    /// What follows `run`.
    pub arguments: Vec<OsString>,
    /// Name of the replica.
    pub pod: String,
    /// Working folder, also of the logs.
    pub folder: PathBuf,
}

/// One replica; clones are the same one.
#[derive(Clone, Debug)]
pub struct Process {
    command: Arc<Command>,
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    child: Option<Supervised>,
    starts: usize,
}

impl Process {
    /// A replica that is not started yet.
    pub fn new(command: Command) -> Self {
        Self { command: Arc::new(command), running: Arc::default() }
    }

    /// Starts it; the one before must be dead.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut running = self.lock();
        running.starts += 1;
        let log = self.log_of(running.starts);
        let arguments = std::iter::once(OsString::from("run")).chain(self.command.arguments.iter().cloned()).collect();
        let environment = vec![
            ("HOSTNAME".into(), self.command.pod.clone().into()),
            // One thread for all that is spawned: the n-th system call of a thread is the same one in each run.
            ("TOKIO_WORKER_THREADS".into(), "1".into()),
            ("RUST_LOG".into(), "info".into()),
        ];
        let launch =
            Launch { program: self.command.binary.clone(), arguments, environment, folder: self.command.folder.clone(), log };
        running.child = Some(Supervised::start(&launch)?);
        Ok(())
    }

    /// Signals it; after SIGKILL it is dead when this returns.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = self.lock().child.as_mut() {
            // Fails only if it has ended, which whoever waits for it will see.
            let _ = match signal {
                Signal::Kill => child.kill().map(drop),
                Signal::Terminate => child.terminate(),
            };
        }
    }

    /// Process id, once it was started.
    pub fn id(&self) -> Option<u32> {
        self.lock().child.as_ref().map(Supervised::id)
    }

    /// Name of the replica.
    pub fn pod(&self) -> &str {
        &self.command.pod
    }

    /// How it ended; none while it runs.
    pub fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        self.lock().child.as_mut().context("not started")?.try_wait().context("ask for the end of the operator")
    }

    /// Waits for its end.
    pub async fn end(&self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            anyhow::ensure!(begun.elapsed() < patience, "the operator does not end within {patience:?}: {}", self.log_end());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        tail(&self.log_of(self.lock().starts), 12)
    }

    /// Every log so far, the newest last.
    pub fn logs(&self) -> String {
        let logs = (1..=self.lock().starts).map(|start| std::fs::read_to_string(self.log_of(start)).unwrap_or_default());
        logs.collect()
    }

    fn log_of(&self, start: usize) -> PathBuf {
        Path::new(&self.command.folder).join(format!("{}-{start}.log", self.command.pod))
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
