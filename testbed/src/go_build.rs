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

use crate::stopwatch::Stopwatch;
use crate::supervised::{Launch, Supervised, tail};

/// Lists the programs and their sizes; only a finished folder has it.
const MARKER: &str = "complete";
/// How often a long step says that it still runs; our choice, short enough not to seem stuck.
const HEARTBEAT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);

/// A Go module of ours that pins what is built; embedded, so that it is found wherever this runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module {
    /// States every version.
    pub(crate) go_mod: &'static str,
    /// States the checksum of every version.
    pub(crate) go_sum: &'static str,
    /// Imports the commands, so that `go mod tidy` keeps their modules.
    pub(crate) tools_go: &'static str,
}

/// A command of a Go module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    /// File name of the result.
    pub(crate) name: &'static str,
    /// Import path of the command.
    pub(crate) package: &'static str,
}

/// What is built together.
#[derive(Clone, Debug)]
pub(crate) struct Recipe<'a> {
    /// For messages, such as `control plane`.
    pub(crate) title: &'a str,
    pub(crate) module: Module,
    pub(crate) programs: &'a [Program],
    /// Variables to set in the programs: `-X` settings of Go's linker.
    pub(crate) linker_flags: String,
}

impl Module {
    /// What `go.mod` states after these words, such as `k8s.io/kubernetes v`.
    pub(crate) fn after(&self, start: &str) -> anyhow::Result<&'static str> {
        let found = self.go_mod.lines().find_map(|line| line.trim().trim_start_matches("require ").strip_prefix(start));
        found.with_context(|| format!("find `{start}` in go.mod"))
    }
}

/// The folder `cache/name` with all programs of the recipe in it, built with `go` if it is not there yet.
pub(crate) fn cached(go: &OsStr, cache: &Path, name: &str, recipe: &Recipe<'_>) -> anyhow::Result<PathBuf> {
    let names: Vec<&str> = recipe.programs.iter().map(|program| program.name).collect();
    kept(recipe.title, cache, name, &names, |building| build(go, building, recipe))
}

/// The folder `cache/name` with all of `files` in it; if it is not there yet, `make` writes them into the folder `out` of the
/// folder that it is given.
pub(crate) fn kept(
    title: &str,
    cache: &Path,
    name: &str,
    files: &[&str],
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = cache.join(name);
    if is_complete(&folder, files) {
        return Ok(folder);
    }
    fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let _lock = lock(title, &cache.join("build.lock"))?;
    // Another process may have built it while this one waited.
    if is_complete(&folder, files) {
        return Ok(folder);
    }
    let prefix = format!(".{name}-");
    remove_leftovers(cache, &prefix)?;
    let building = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache).context("create the build folder")?;
    let out = building.path().join("out");
    fs::create_dir(&out)?;
    // The temporary folder is for its owner only, the result for every user of the cache.
    fs::set_permissions(&out, fs::Permissions::from_mode(0o755))?;
    make(building.path())?;
    fs::write(out.join(MARKER), marker(&out, files)?)?;
    if folder.exists() {
        eprintln!("{title}: {} is incomplete, replacing it", folder.display());
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::rename(&out, &folder).with_context(|| format!("move the result to {}", folder.display()))?;
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

/// Whether `folder` has a marker that agrees with the sizes of all `files`.
fn is_complete(folder: &Path, files: &[&str]) -> bool {
    let found = fs::read_to_string(folder.join(MARKER)).ok();
    found.is_some() && found == marker(folder, files).ok()
}

fn marker(folder: &Path, files: &[&str]) -> anyhow::Result<String> {
    let line = |file: &&str| {
        let path = folder.join(file);
        let found = fs::metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        Ok(format!("{file} {}\n", found.len()))
    };
    files.iter().map(line).collect()
}

/// Holds the lock until the file is dropped; the kernel releases it if this process is killed.
fn lock(title: &str, path: &Path) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let mut heartbeat = Heartbeat::new(format!("{title}: waiting for another process that builds"));
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

/// Builds the programs into `folder/out`.
fn build(go: &OsStr, folder: &Path, recipe: &Recipe<'_>) -> anyhow::Result<()> {
    let Recipe { title, module, programs, linker_flags } = recipe;
    fs::write(folder.join("go.mod"), module.go_mod)?;
    fs::write(folder.join("go.sum"), module.go_sum)?;
    fs::write(folder.join("tools.go"), module.tools_go)?;
    let go = GoCommand::new(go, folder, title, module.after("go ")?)?;
    let flags = format!("-s -w {linker_flags}");
    for Program { name, package } in *programs {
        eprintln!("{title}: building {name}, once; the first time takes minutes");
        let output = folder.join("out").join(name);
        let arguments = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
            .map(OsStr::new)
            .into_iter()
            .chain([OsStr::new("-ldflags"), flags.as_ref()])
            .chain([OsStr::new("-o"), output.as_ref(), package.as_ref()]);
        let took = go.run(arguments, &[], &format!("building {name}"))?;
        eprintln!("{title}: built {name} in {} s", took.as_secs());
    }
    Ok(())
}

/// A `go` command that is new enough, run in a folder that holds the module.
pub(crate) struct GoCommand<'a> {
    program: &'a OsStr,
    folder: &'a Path,
    title: &'a str,
}

impl<'a> GoCommand<'a> {
    /// The command in a folder; fails if it is older than `wanted`, such as `1.26.0`.
    pub(crate) fn new(program: &'a OsStr, folder: &'a Path, title: &'a str, wanted: &str) -> anyhow::Result<Self> {
        let minor = |version: &str| -> Option<(u32, u32)> {
            let mut parts = version.trim().trim_start_matches("go").split('.');
            let major = parts.next()?.parse().ok()?;
            Some((major, parts.next()?.parse().ok()?))
        };
        let (major, least) = minor(wanted).context("read the Go version of go.mod")?;
        let advice = format!("install Go {major}.{least} or set KUBEBUILDER_ASSETS");
        let go = Self { program, folder, title };
        go.run(["env", "GOVERSION"].map(OsStr::new), &[], "asking go for its version")
            .with_context(|| format!("no usable `go` command: {advice}"))?;
        let found = tail(&go.log(), 1);
        ensure!(minor(&found) >= Some((major, least)), "`go` is too old ({found}): {advice}");
        Ok(go)
    }

    /// Where the last run printed to.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("go.log")
    }

    /// Runs to the end, with a heartbeat; the error holds the end of what it printed.
    pub(crate) fn run<'b>(
        &self,
        arguments: impl IntoIterator<Item = &'b OsStr>,
        settings: &[(&str, &OsStr)],
        what: &str,
    ) -> anyhow::Result<Duration> {
        // Settings that would change or break the build; all others, such as GOPROXY, are kept.
        let fixed = [("CGO_ENABLED", "0"), ("GOFLAGS", ""), ("GOWORK", "off")];
        let dropped = ["GOOS", "GOARCH", "GO111MODULE", "GOEXPERIMENT"];
        let environment = env::vars_os()
            .filter(|(name, _)| !dropped.iter().any(|dropped| name == dropped))
            .chain(fixed.map(|(name, value)| (name.into(), value.into())))
            .chain(settings.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())));
        let log = self.log();
        let mut child = Supervised::start(&Launch {
            program: self.program.into(),
            arguments: arguments.into_iter().map(OsStr::to_owned).collect(),
            environment: environment.collect(),
            folder: self.folder.to_owned(),
            log: log.clone(),
        })?;
        let mut heartbeat = Heartbeat::new(format!("{}: still {what}", self.title));
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
            eprintln!("{} ({} s)", self.what, elapsed.as_secs());
            self.next += HEARTBEAT;
        }
    }
}

/// Operating system and architecture in Go's words.
pub(crate) fn platform() -> String {
    let system = match env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{architecture}")
}

#[cfg(test)]
mod tests;
