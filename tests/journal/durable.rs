//! What makes a write durable is in its order: contents, flush of the file, rename, flush of the folder. No test that kills a process
//! sees a flush that is missing, for what was written outlives its process anyway; a loss of power is what it is for. So strace
//! tells which system calls are made. Without it the tests say so and are skipped, with `CI=true` they fail.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{folder, open, remove, write};

/// Where the child finds its folder.
const FOLDER: &str = "JOURNAL_TEST_FOLDER";
/// What the child says when a write has returned.
const SAID: &str = "durable now";
const CALLS: &str = "trace=write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";

/// Not a test: what the child process does.
#[test]
#[ignore = "run by the tests of this file, in a process of its own"]
fn child() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let say = || std::io::stdout().write_all(SAID.as_bytes()).and_then(|()| std::io::stdout().flush()).unwrap();
    let journal = open(folder.as_ref());
    say();
    write(&journal, "ns/name", "first").unwrap();
    say();
    write(&journal, "ns/name", "second").unwrap();
    say();
    remove(&journal, "ns/name").unwrap();
    say();
}

/// A system call that ended well.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Write(PathBuf),
    Flush(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Said,
}

impl Call {
    fn is_about(&self, folder: &Path) -> bool {
        match self {
            Self::Write(path) | Self::Flush(path) | Self::Rename(path, _) | Self::Remove(path) => path.starts_with(folder),
            Self::Said => true,
        }
    }
}

/// What the child calls, in order; none where that cannot be seen.
fn calls(folder: &Path) -> Option<Vec<Call>> {
    let log = folder.with_extension("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "4096", "-e", CALLS, "-o"]).arg(&log).arg(std::env::current_exe().unwrap());
    strace.args(["--ignored", "--exact", "--nocapture", "durable::child"]).env(FOLDER, folder).stdout(Stdio::null());
    let missing = match strace.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the capture of the test harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "SKIPPED: the flushes of the journal: strace cannot trace a child here ({missing})");
        return None;
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("<unfinished"), "two threads at once, whose order is not known: {log}");
    Some(log.lines().filter_map(call).filter(|call| call.is_about(folder)).collect())
}

/// `1234 fsync(7</folder/file>) = 0`.
fn call(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let descriptor = || Some(arguments.split_once('<')?.1.split_once('>')?.0.into());
    let mut texts = arguments.split('"').skip(1).step_by(2).map(PathBuf::from);
    match name {
        "write" if arguments.contains(SAID) => Some(Call::Said),
        "write" => Some(Call::Write(descriptor()?)),
        "fsync" | "fdatasync" => Some(Call::Flush(descriptor()?)),
        "rename" | "renameat" | "renameat2" => Some(Call::Rename(texts.next()?, texts.next()?)),
        _ => Some(Call::Remove(texts.next()?)),
    }
}

#[test]
fn contents_are_flushed_before_their_name_and_the_folder_before_the_write_returns() {
    let place = folder();
    let folder = place.path().canonicalize().unwrap().join("journal");
    let Some(calls) = calls(&folder) else { return };
    let steps: Vec<&[Call]> = calls.split_inclusive(|call| *call == Call::Said).collect();
    assert_eq!(steps.len(), 4, "{calls:?}");
    let last = |step: &[Call], wanted: &dyn Fn(&Call) -> bool| step.iter().rposition(wanted);
    for step in &steps[..3] {
        let renames: Vec<_> = step.iter().enumerate().filter(|(_, call)| matches!(call, Call::Rename(..))).collect();
        // The start gives the folder a name, each write an entry one.
        assert_eq!(renames.len(), 1, "{step:?}");
        let (at, Call::Rename(temporary, name)) = renames[0] else { panic!("{step:?}") };
        assert!(temporary.starts_with(&folder) && name.parent() == Some(folder.as_path()), "{step:?}");
        let written = last(step, &|call| *call == Call::Write(temporary.clone()));
        let flushed = last(step, &|call| *call == Call::Flush(temporary.clone()));
        let named = last(step, &|call| *call == Call::Flush(folder.clone()));
        assert!(
            written.is_some() && written < flushed && flushed < Some(at),
            "the file is not flushed before its rename: {step:?}"
        );
        assert!(named > Some(at), "the folder is not flushed after the rename: {step:?}");
    }
    let removed = last(steps[3], &|call| matches!(call, Call::Remove(path) if path.parent() == Some(folder.as_path())));
    let named = last(steps[3], &|call| *call == Call::Flush(folder.clone()));
    assert!(removed.is_some() && named > removed, "the folder is not flushed after a removal: {:?}", steps[3]);
}
