//! A child process that cannot outlive this one, not even when this one is killed with SIGKILL.
//!
//! The child becomes the leader of its own process group. A shell in the same group waits for the
//! end of a pipe whose other end only this process holds; the kernel closes that end however this
//! process dies, and the shell then kills the whole group, itself included.
//!
//! `PR_SET_PDEATHSIG` (or `setpriv --pdeathsig`) would not do: it fires when the *thread* that
//! started the child ends, and async runtimes end threads at will. It is Linux only, too, while
//! this needs nothing but a POSIX `sh`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// `$@` is the command. The watcher reads the pipe from descriptor 3 because a shell gives
/// background jobs an empty standard input; `exec` keeps the process id, so that the [`Child`] is
/// the command itself and its exit is seen. Signalling group 0 (one's own) cannot hit a stranger
/// that got a reused process id.
const GUARD: &str = "exec 3<&0 </dev/null
(read -r _ <&3; kill -9 0) &
exec \"$@\" 3<&-";

/// A running command; dropping it kills the command and everything that it started.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    /// Closing it is the signal to the watcher.
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

/// A command to start.
#[derive(Debug)]
pub struct Launch {
    /// The program; looked up in `PATH` if it has no slash in it.
    pub program: PathBuf,
    /// What follows the program.
    pub arguments: Vec<OsString>,
    /// All of the environment besides `PATH`: etcd reads every `ETCD_*` variable and Go programs
    /// obey proxies, neither of which a daemon of a test should inherit.
    pub environment: Vec<(OsString, OsString)>,
    /// Working folder.
    pub folder: PathBuf,
    /// Gets standard output and error; truncated at the start.
    pub log: PathBuf,
}

impl Supervised {
    /// Starts a command; fails only if no shell can be started: see the log for whether the program could.
    pub fn start(launch: &Launch) -> anyhow::Result<Self> {
        let log = &launch.log;
        let output = File::create(log).with_context(|| format!("create the log {}", log.display()))?;
        let errors = output.try_clone().context("share the log")?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", GUARD, "sh"])
            .arg(&launch.program)
            .args(&launch.arguments)
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.folder)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Else a Ctrl-C in the terminal would reach the child before this process.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", launch.program.display()))?;
        let lifeline = child.stdin.take();
        Ok(Self { child, lifeline, log: log.clone() })
    }

    /// Asks the command to end (SIGTERM); nothing happens if it has ended.
    pub fn terminate(&mut self) -> io::Result<()> {
        // Once it was waited for, its number may be another's.
        match (self.try_wait()?, Pid::from_raw(self.child.id().cast_signed())) {
            (None, Some(id)) => Ok(kill_process(id, Signal::TERM)?),
            _ => Ok(()),
        }
    }

    /// Ends the command (SIGKILL) and returns when it is dead.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // Fails only when it has been waited for already, and then its status is known.
        let _ = self.child.kill();
        self.child.wait()
    }

    /// Process id of the command itself.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status if the command has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Fails with the end of its log if the command has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("ended with {status}: {}", self.log_end()),
        }
    }

    /// Whether it has ended because another process listens on its port.
    #[must_use]
    pub fn lost_its_port(&self) -> bool {
        tail(&self.log, 100).contains("address already in use")
    }

    /// Path and last lines of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        format!("{}\n{}", self.log.display(), tail(&self.log, 15))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Fails only when the command has ended already, which is what is wanted.
        let _ = self.child.kill();
        drop(self.lifeline.take());
        let _ = self.child.wait();
    }
}

/// The last `lines` lines of the log at `path`, for error messages; empty if it cannot be read.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let start = all.len().saturating_sub(lines);
    all.get(start..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Starts `script` under supervision, with its log in `folder`.
    fn start(script: &str, folder: &Path) -> Supervised {
        Supervised::start(&Launch {
            program: "/bin/sh".into(),
            arguments: ["-c", script].map(OsString::from).into(),
            environment: vec![("GIVEN".into(), "yes".into())],
            folder: folder.to_owned(),
            log: folder.join("log"),
        })
        .unwrap()
    }

    /// Polls for up to 10 s.
    fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> T {
        for _ in 0..1000 {
            if let Some(value) = found() {
                return value;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("did not happen in 10 s");
    }

    #[test]
    fn what_the_command_started_dies_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let child = start("sleep 100 & echo $!; wait", folder.path());
        let written = || fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n'));
        let grandchild = eventually(written);
        let command_line = PathBuf::from(format!("/proc/{}/cmdline", grandchild.trim()));
        // Empty while it is dead and nobody has waited for it.
        let lives = || fs::read(&command_line).is_ok_and(|bytes| !bytes.is_empty());
        assert!(lives());
        drop(child);
        // The shell beside it kills a moment later.
        eventually(|| (!lives()).then_some(()));
    }

    #[test]
    fn the_end_of_a_command_is_seen_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = start("echo \"$GIVEN ${HOME-none}\"; exit 7", folder.path());
        let error = eventually(|| child.ensure_running().err()).to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.ends_with("yes none"), "{error}");
    }
}
