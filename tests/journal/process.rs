//! The journal between processes: the lock, and what SIGKILL leaves.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{folder, held, key, open, write};
use refreshable_token_operator::operator::journal::{Journal, JournalError};

/// Where the child finds its folder.
const FOLDER: &str = "JOURNAL_TEST_FOLDER";

/// The content of the n-th write: large, so that it takes a while and several system calls.
fn content(number: usize) -> String {
    format!("{number} {}", "x".repeat(number % 7 * 10_000))
}

/// Not a test: what the child process does. Writes for ever, and says so after each write.
#[test]
#[ignore = "run by the tests of this file, in a process of its own"]
fn child() {
    let folder: OsString = std::env::var_os(FOLDER).unwrap();
    let journal = open(folder.as_ref());
    let held = held(&journal).into_values().next();
    let begin = held.map_or(0, |held| number(&held) + 1);
    for number in begin.. {
        write(&journal, "ns/name", &content(number)).unwrap();
        println!("written {number}");
    }
}

fn number(content: &str) -> usize {
    content.split(' ').next().unwrap().parse().unwrap()
}

fn spawn(folder: &std::path::Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "process::child"]).env(FOLDER, folder);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_kill_at_any_moment_leaves_the_last_entry_or_the_next() {
    let folder = folder();
    let mut last = None;
    for round in 0..40_u64 {
        let mut child = spawn(folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The test harness begins its own line just before the first of ours.
        let said = |line: &String| line.split_once("written ").map(|(_, number)| number.parse::<usize>().unwrap());
        last = lines.by_ref().find_map(|line| said(&line)).or(last);
        std::thread::sleep(Duration::from_micros(round * 773 % 5_000));
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.filter_map(|line| said(&line)).last().or(last);
        let held = held(&open(folder.path()));
        let found = held.get("ns/name").unwrap();
        assert_eq!(*found, content(number(found)), "never half");
        let last = last.unwrap();
        assert!(number(found) == last || number(found) == last + 1, "{} after {last}", number(found));
    }
    assert!(last.unwrap() >= 40, "each child wrote at least once");
}

#[test]
fn a_folder_belongs_to_one_process() {
    let folder = folder();
    let mut child = spawn(folder.path());
    BufReader::new(child.stdout.as_mut().unwrap())
        .lines()
        .find(|line| line.as_ref().unwrap().contains("written"))
        .unwrap()
        .unwrap();
    let error = Journal::open(folder.path(), key(1)).unwrap_err();
    assert!(matches!(&error, JournalError::Held { path } if path == folder.path()));
    let text = error.to_string();
    assert!(text.contains(&*folder.path().to_string_lossy()) && text.contains("--journal-dir"), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
    let first = open(folder.path());
    assert!(matches!(Journal::open(folder.path(), key(1)), Err(JournalError::Held { .. })), "nor to two of one process");
    drop(first);
    open(folder.path());
}
