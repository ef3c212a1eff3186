//! Builds programs from their Go modules into a cache folder, once for all processes.
//!
//! A finished folder holds a marker with the size of each program; it is written in a temporary
//! folder beside and renamed into place, and anything else under the final name is built anew.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::stopwatch::Stopwatch;
use crate::supervised::{Launch, Supervised, tail};

/// The module that pins every version; embedded, so that it is found wherever this runs.
const GO_MOD: &str = include_str!("../../control-plane/go.mod");
const GO_SUM: &str = include_str!("../../control-plane/go.sum");
const TOOLS_GO: &str = include_str!("../../control-plane/tools.go");

/// Lists the programs and their sizes; only a finished folder has it.
const MARKER: &str = "complete";
/// How often a long step says that it still runs; our choice, short enough not to seem stuck.
const HEARTBEAT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);

/// A command of a Go module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    /// File name of the result.
    pub(super) name: &'static str,
    /// Import path of the command.
    pub(super) package: &'static str,
}

/// What `go.mod` asks for, without the leading `v`.
pub(super) struct Versions {
    pub(super) go: &'static str,
    pub(super) kubernetes: &'static str,
    pub(super) etcd: &'static str,
}

/// Reads the versions from `go.mod`, the one place that states them.
pub(super) fn versions() -> anyhow::Result<Versions> {
    let after = |start: &str| {
        GO_MOD.lines().find_map(|line| line.trim().strip_prefix(start)).with_context(|| format!("find `{start}` in go.mod"))
    };
    Ok(Versions { go: after("go ")?, kubernetes: after("k8s.io/kubernetes v")?, etcd: after("go.etcd.io/etcd/server/v3 v")? })
}

/// The folder `cache/name` with all of `programs` in it, built with `go` if it is not there yet.
pub(super) fn cached(go: &OsStr, cache: &Path, name: &str, programs: &[Program]) -> anyhow::Result<PathBuf> {
    let folder = cache.join(name);
    if is_complete(&folder, programs) {
        return Ok(folder);
    }
    fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let _lock = lock(&cache.join("build.lock"))?;
    // Another process may have built it while this one waited.
    if is_complete(&folder, programs) {
        return Ok(folder);
    }
    let prefix = format!(".{name}-");
    remove_leftovers(cache, &prefix)?;
    let building = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache).context("create the build folder")?;
    build(go, building.path(), programs)?;
    if folder.exists() {
        eprintln!("control plane: {} is incomplete, replacing it", folder.display());
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::rename(building.path().join("out"), &folder).with_context(|| format!("move the result to {}", folder.display()))?;
    Ok(folder)
}

/// Removes the build folders of killed processes: under the lock nobody else is building.
fn remove_leftovers(cache: &Path, prefix: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Whether `folder` has a marker that agrees with the sizes of all `programs`.
fn is_complete(folder: &Path, programs: &[Program]) -> bool {
    let found = fs::read_to_string(folder.join(MARKER)).ok();
    found.is_some() && found == marker(folder, programs).ok()
}

fn marker(folder: &Path, programs: &[Program]) -> anyhow::Result<String> {
    let line = |program: &Program| {
        let path = folder.join(program.name);
        let found = fs::metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        Ok(format!("{} {}\n", program.name, found.len()))
    };
    programs.iter().map(line).collect()
}

/// Holds the lock until the file is dropped; the kernel releases it if this process is killed.
fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let mut heartbeat = Heartbeat::new("waiting for another process that builds");
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => heartbeat.pause(),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
    }
}

/// Builds `programs` into `folder/out` and marks it complete.
fn build(go: &OsStr, folder: &Path, programs: &[Program]) -> anyhow::Result<()> {
    let versions = versions()?;
    fs::write(folder.join("go.mod"), GO_MOD)?;
    fs::write(folder.join("go.sum"), GO_SUM)?;
    fs::write(folder.join("tools.go"), TOOLS_GO)?;
    let out = folder.join("out");
    fs::create_dir(&out)?;
    // The temporary folder is for its owner only, the result for every user of the cache.
    fs::set_permissions(&out, fs::Permissions::from_mode(0o755))?;
    let go = GoCommand::new(go, folder, versions.go)?;
    let flags = linker_flags(versions.kubernetes);
    for Program { name, package } in programs {
        eprintln!("control plane: building {name}, once; the first time takes minutes");
        let output = out.join(name);
        let arguments = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
            .map(OsStr::new)
            .into_iter()
            .chain([OsStr::new("-ldflags"), flags.as_ref()])
            .chain([OsStr::new("-o"), output.as_ref(), package.as_ref()]);
        let took = go.run(arguments, &format!("building {name}"))?;
        eprintln!("control plane: built {name} in {} s", took.as_secs());
    }
    fs::write(out.join(MARKER), marker(&out, programs)?)?;
    Ok(())
}

/// Without these the programs report v0.0.0 (Kubernetes' `hack/lib/version.sh`).
fn linker_flags(kubernetes: &str) -> String {
    let variable = "k8s.io/component-base/version";
    let mut parts = kubernetes.split('.');
    let major = parts.next().unwrap_or_default();
    let minor = parts.next().unwrap_or_default();
    format!(
        "-s -w -X {variable}.gitVersion=v{kubernetes} -X {variable}.gitMajor={major} \
         -X {variable}.gitMinor={minor}"
    )
}

/// A `go` command that is new enough, run in a folder that holds the module.
struct GoCommand<'a> {
    program: &'a OsStr,
    folder: &'a Path,
}

impl<'a> GoCommand<'a> {
    fn new(program: &'a OsStr, folder: &'a Path, wanted: &str) -> anyhow::Result<Self> {
        let minor = |version: &str| -> Option<(u32, u32)> {
            let mut parts = version.trim().trim_start_matches("go").split('.');
            let major = parts.next()?.parse().ok()?;
            Some((major, parts.next()?.parse().ok()?))
        };
        let (major, least) = minor(wanted).context("read the Go version of go.mod")?;
        let advice = format!("install Go {major}.{least} or set KUBEBUILDER_ASSETS");
        let go = Self { program, folder };
        go.run(["env", "GOVERSION"].map(OsStr::new), "asking go for its version")
            .with_context(|| format!("no usable `go` command: {advice}"))?;
        let found = tail(&go.log(), 1);
        ensure!(minor(&found) >= Some((major, least)), "`go` is too old ({found}): {advice}");
        Ok(go)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("go.log")
    }

    /// Runs to the end, with a heartbeat; the error holds the end of what it printed.
    fn run<'b>(&self, arguments: impl IntoIterator<Item = &'b OsStr>, what: &str) -> anyhow::Result<Duration> {
        // Settings that would change or break the build; all others, such as GOPROXY, are kept.
        let fixed = [("CGO_ENABLED", "0"), ("GOFLAGS", ""), ("GOWORK", "off")];
        let dropped = ["GOOS", "GOARCH", "GO111MODULE", "GOEXPERIMENT"];
        let environment = env::vars_os()
            .filter(|(name, _)| !dropped.iter().any(|dropped| name == dropped))
            .chain(fixed.map(|(name, value)| (name.into(), value.into())));
        let log = self.log();
        let mut child = Supervised::start(&Launch {
            program: self.program.into(),
            arguments: arguments.into_iter().map(OsStr::to_owned).collect(),
            environment: environment.collect(),
            folder: self.folder.to_owned(),
            log: log.clone(),
        })?;
        let mut heartbeat = Heartbeat::new(format!("still {what}"));
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(heartbeat.since.elapsed()),
                Some(status) => bail!("{what}: {status}\n{}", tail(&log, 15)),
                None => heartbeat.pause(),
            }
        }
    }
}

/// Sleeps between polls and now and then says what is waited for.
struct Heartbeat {
    what: String,
    since: Stopwatch,
    next: Duration,
}

impl Heartbeat {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), since: Stopwatch::start(), next: HEARTBEAT }
    }

    fn pause(&mut self) {
        thread::sleep(POLL);
        let elapsed = self.since.elapsed();
        if elapsed >= self.next {
            eprintln!("control plane: {} ({} s)", self.what, elapsed.as_secs());
            self.next += HEARTBEAT;
        }
    }
}

#[cfg(test)]
mod tests;
