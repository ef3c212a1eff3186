//! Folders that are not as they were left: unfinished writes, damage, other keys, strange files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use refreshable_token_operator::operator::journal::JournalStore as _;

use super::{files, folder, held, one, open, open_with, write};

/// A folder with the entries `one` and `two`: its path, its id, and the file of `one`.
fn two_entries(path: &Path) -> (String, PathBuf) {
    let journal = open(path);
    write(&journal, "one", "first").unwrap();
    let file = files(path, ".entry").remove(0);
    write(&journal, "two", "second").unwrap();
    (journal.id().to_owned(), file)
}

#[test]
fn an_unfinished_write_leaves_the_old_entry() {
    let folder = folder();
    let (id, file) = two_entries(folder.path());
    let old = fs::read(&file).unwrap();
    let journal = open(folder.path());
    write(&journal, "one", "newer").unwrap();
    drop(journal);
    let new = fs::read(&file).unwrap();
    let temporary = file.with_extension("entry.0.tmp");
    // Before the rename: any part of the new file may have reached the disk.
    for length in 0..=new.len() {
        fs::write(&file, &old).unwrap();
        fs::write(&temporary, &new[..length]).unwrap();
        let journal = open(folder.path());
        assert_eq!(held(&journal)["one"], "first", "cut at {length}");
        assert_eq!(journal.id(), id);
        assert!(!temporary.exists());
    }
    // After the rename.
    fs::write(&file, &new).unwrap();
    assert_eq!(held(&open(folder.path()))["one"], "newer");
}

#[test]
fn a_damaged_entry_is_set_aside_and_changes_the_id_once() {
    let folder = folder();
    let (id, file) = two_entries(folder.path());
    let whole = fs::read(&file).unwrap();
    let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flips = (0..whole.len()).map(|byte| {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        damaged
    });
    let mut last = id;
    for (number, damaged) in cuts.chain(flips).enumerate() {
        fs::write(&file, &damaged).unwrap();
        let journal = open(folder.path());
        assert_eq!(held(&journal), one("two", "second"));
        assert_ne!(journal.id(), last, "what is missing here proves nothing any more");
        journal.id().clone_into(&mut last);
        drop(journal);
        let aside = files(folder.path(), ".unreadable");
        assert_eq!(aside.len(), number.min(1) + 1);
        assert!(aside.iter().any(|file| fs::read(file).unwrap() == damaged), "kept as it was");
        assert_eq!(open(folder.path()).id(), last, "known by now");
        // A second one of the same name stands beside the first.
        for surplus in &aside[..aside.len() - 1] {
            fs::remove_file(surplus).unwrap();
        }
    }
}

#[test]
fn a_new_entry_does_not_replace_the_damaged_one() {
    let folder = folder();
    let (_, file) = two_entries(folder.path());
    fs::write(&file, "damaged").unwrap();
    let journal = open(folder.path());
    write(&journal, "one", "newer").unwrap();
    drop(journal);
    assert_eq!(held(&open(folder.path()))["one"], "newer");
    assert_eq!(fs::read(&files(folder.path(), ".unreadable")[0]).unwrap(), b"damaged");
}

#[test]
fn entries_of_another_key_are_kept_until_it_is_back() {
    let folder = folder();
    let (id, _) = two_entries(folder.path());
    let other = open_with(folder.path(), 2);
    assert_eq!(held(&other), BTreeMap::new());
    assert_ne!(other.id(), id);
    write(&other, "one", "of the other key").unwrap();
    drop(other);
    assert_eq!(files(folder.path(), ".unreadable").len(), 2);
    let back = open(folder.path());
    assert_eq!(held(&back), BTreeMap::from([("one".into(), "first".into()), ("two".into(), "second".into())]));
    drop(back);
    let other = open_with(folder.path(), 2);
    assert_eq!(held(&other), one("one", "of the other key"));
}

#[test]
fn a_damaged_id_is_replaced_and_the_entries_stay() {
    let folder = folder();
    let (id, _) = two_entries(folder.path());
    let path = folder.path().join("id");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let journal = open(folder.path());
        assert_ne!(journal.id(), id, "cut at {length}");
        assert_eq!(held(&journal).len(), 2);
    }
}

#[test]
fn what_is_no_file_is_no_entry() {
    let folder = folder();
    two_entries(folder.path());
    let path = folder.path();
    fs::create_dir(path.join("folder.entry")).unwrap();
    fs::create_dir(path.join("folder.tmp")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", path.join("link.entry")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path.join("link.tmp")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(path.join("pipe.entry")).status().unwrap();
    assert!(pipe.success());
    fs::write(path.join("lost+found"), "not ours").unwrap();
    assert_eq!(held(&open(path)).len(), 2);
    assert_eq!(files(path, ".unreadable").len(), 3);
    assert!(path.join("lost+found").exists() && path.join("link.tmp").symlink_metadata().is_ok());
}

fn any_file() -> impl Strategy<Value = (String, Vec<u8>)> {
    let end = prop_oneof![Just(""), Just(".entry"), Just(".tmp"), Just(".unreadable"), Just(".2.unreadable")];
    let name = prop_oneof![Just("id".to_owned()), Just("lock".to_owned()), "[0-9a-f]{64}", "[ -.0-~]{1,240}"];
    let start = prop_oneof![Just(""), Just("rtok-journal-1\n")];
    let bytes = (start, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(start, rest)| [start.as_bytes(), &rest].concat());
    ((name, end).prop_map(|(name, end)| name + end), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_folder_of_any_files_opens_and_works(strange in prop::collection::vec(any_file(), 0..12)) {
        let folder = folder();
        two_entries(folder.path());
        for (name, bytes) in strange.iter().filter(|(name, _)| name.len() < 250 && name != "." && name != "..") {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let journal = open(folder.path());
        prop_assert_eq!(held(&journal).len(), 2);
        write(&journal, "one", "newer").unwrap();
        drop(journal);
        prop_assert_eq!(&held(&open(folder.path()))["one"], "newer");
    }
}
