//! The journal on a real file system: what a crash, damage, another key or another process leave of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

mod damage;
mod durable;
mod process;
mod refusal;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use refreshable_token_operator::operator::journal::{Journal, JournalError, JournalKey, JournalStore as _};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// A token that must be seen nowhere.
const CANARY: &str = "canary+refresh/token=%41";

fn key(number: u8) -> JournalKey {
    JournalKey::derive(&[number; 32]).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Opens a folder. Other tests of this process start children, and each of those has all locks until it begins its program.
fn open(path: &Path) -> Journal {
    open_with(path, 1)
}

fn open_with(path: &Path, number: u8) -> Journal {
    for _ in 0..1000 {
        match Journal::open(path, key(number)) {
            Err(JournalError::Held { .. }) => std::thread::sleep(std::time::Duration::from_millis(5)),
            other => return other.unwrap(),
        }
    }
    panic!("{} stays held", path.display());
}

/// What a journal held when it was opened.
fn held(journal: &Journal) -> BTreeMap<String, String> {
    journal.take_entries().into_iter().map(|(name, content)| (name, String::from_utf8(content.to_vec()).unwrap())).collect()
}

fn one(name: &str, content: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), content.to_owned())])
}

/// The operator writes on its runtime; so do these.
fn write(journal: &Journal, name: &str, content: &str) -> Result<(), JournalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(journal.write(name, Zeroizing::new(content.as_bytes().to_vec())))
}

fn remove(journal: &Journal, name: &str) -> Result<(), JournalError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.remove(name))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The files whose names end so.
fn files(path: &Path, end: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = all.filter(|file| file.to_string_lossy().ends_with(end)).collect();
    found.sort();
    found
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = folder();
    let path = folder.path().join("new/journal");
    let journal = open(&path);
    assert_eq!(held(&journal), BTreeMap::new());
    let id = journal.id().to_owned();
    write(&journal, "one", "first").unwrap();
    write(&journal, "two", "second").unwrap();
    write(&journal, "one", "third").unwrap();
    write(&journal, "gone", "fourth").unwrap();
    remove(&journal, "gone").unwrap();
    remove(&journal, "never").unwrap();
    assert_eq!(held(&journal), BTreeMap::new(), "entries are those of the start");
    drop(journal);
    let journal = open(&path);
    assert_eq!(journal.id(), id);
    assert_eq!(held(&journal), BTreeMap::from([("one".into(), "third".into()), ("two".into(), "second".into())]));
}

#[test]
fn many_writes_at_once_all_stand() {
    let folder = folder();
    let journal = open(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let name = |number: usize| if number.is_multiple_of(2) { "even" } else { "odd" };
        let write = |number: usize| journal.write(name(number), Zeroizing::new(vec![b'x'; number]));
        for answer in futures::future::join_all((0..40).map(write)).await {
            answer.unwrap();
        }
    });
    drop(journal);
    let held = held(&open(folder.path()));
    assert!(held["even"].len().is_multiple_of(2) && !held["odd"].len().is_multiple_of(2));
    assert_eq!(files(folder.path(), ".tmp"), Vec::<PathBuf>::new());
}

#[test]
fn a_name_cannot_lead_out_of_the_folder() {
    let folder = folder();
    let path = folder.path().join("journal");
    let journal = open(&path);
    let names = ["../escaped", "/etc/escaped", "a/../../escaped", "", ".", "nul\0byte", &"long".repeat(200)];
    for name in names {
        write(&journal, name, name).unwrap();
    }
    drop(journal);
    assert_eq!(held(&open(&path)), names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside the journal");
    assert_eq!(files(&path, ".entry").len(), names.len());
}

#[test]
fn only_the_operator_may_read_the_files() {
    let folder = folder();
    let path = folder.path().join("journal");
    let journal = open(&path);
    write(&journal, "one", "first").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let all = files(&path, "");
    assert_eq!(all.len(), 3, "lock, id, entry: {all:?}");
    for file in all {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn no_token_and_no_name_is_on_the_disk() {
    let folder = folder();
    let journal = open(folder.path());
    let name = format!("name-{CANARY}");
    write(&journal, &name, &format!("{{\"refresh_token\":\"{CANARY}\"}}")).unwrap();
    let url = percent_encoding::utf8_percent_encode(CANARY, percent_encoding::NON_ALPHANUMERIC).to_string();
    let hex = hex(CANARY.as_bytes());
    // In base64 a text looks different at each of three offsets; what is around it is cut away.
    let base64 = (0..3).flat_map(|offset| {
        let padded = [&vec![b'x'; offset], CANARY.as_bytes()].concat();
        [STANDARD.encode(&padded), URL_SAFE.encode(&padded)].map(|text| text[4..text.len() - 4].to_owned())
    });
    let forms: Vec<String> = [CANARY.to_owned(), CANARY[..8].to_owned(), url, hex].into_iter().chain(base64).collect();
    for file in files(folder.path(), "") {
        let seen = [file.to_string_lossy().as_bytes(), &fs::read(&file).unwrap()].concat();
        for form in &forms {
            let found = seen.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{form} is in {}", file.display());
        }
    }
    assert!(!format!("{journal:?}").contains("canary"));
}

#[test]
fn a_copy_of_the_folder_has_another_id() {
    let folder = folder();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let journal = open(&first);
    write(&journal, "one", "first").unwrap();
    fs::create_dir(&second).unwrap();
    for file in files(&first, "") {
        fs::copy(&file, second.join(file.file_name().unwrap())).unwrap();
    }
    let copy = open(&second);
    assert_ne!(copy.id(), journal.id());
    assert_eq!(held(&copy), one("one", "first"));
    let id = copy.id().to_owned();
    drop(copy);
    assert_eq!(open(&second).id(), id, "and keeps it");
}
