//! Folders that do not let themselves be used: said at the start, or by the write that fails.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::{files, folder, held, key, one, open, write};
use refreshable_token_operator::operator::journal::{Journal, JournalError};

/// Where the child finds its folder.
const FOLDER: &str = "JOURNAL_TEST_FOLDER";

#[test]
fn a_folder_that_cannot_be_made_stops_the_start() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    for path in [file.as_path(), &file.join("below"), Path::new("/proc/self/journal")] {
        let error = Journal::open(path, key(1)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, JournalError::Folder { .. }), "{text}");
        assert!(text.contains(&*path.to_string_lossy()) && text.contains("--journal-dir"), "{text}");
    }
}

#[test]
fn a_write_that_fails_says_so() {
    let folder = folder();
    let path = folder.path().join("journal");
    let journal = open(&path);
    std::fs::remove_dir_all(&path).unwrap();
    let error = write(&journal, "one", "first").unwrap_err();
    assert!(matches!(error, JournalError::Entry { action: "written", .. }), "{error}");
}

/// Not a test: what the child does under its limit.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let folder: OsString = std::env::var_os(FOLDER).unwrap();
    let folder: &Path = folder.as_ref();
    let journal = open(folder);
    write(&journal, "one", "small").unwrap();
    let error = write(&journal, "one", &"large".repeat(10_000)).unwrap_err();
    assert!(matches!(error, JournalError::Entry { action: "written", .. }), "{error}");
    assert_eq!(files(folder, ".tmp").len(), 0, "what was begun is removed");
    write(&journal, "two", "small").unwrap();
    drop(journal);
    assert_eq!(held(&open(folder))["one"], "small");
}

/// A file that may not grow is what a full disk looks like to a write, and needs no rights.
#[test]
fn a_full_disk_leaves_the_old_entry() {
    let folder = folder();
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "refusal::child"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert_eq!(held(&open(folder.path())), one("one", "small").into_iter().chain(one("two", "small")).collect());
}
