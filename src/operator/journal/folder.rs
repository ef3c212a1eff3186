//! The files of the journal. Blocking; no cryptography and no clock.
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | held by the process that uses the folder |
//! | `id` | the folder's name, and the number of the very file that holds it |
//! | `<hash>.entry` | a sealed entry |
//! | `<hash>.unreadable`, `<hash>.<n>.unreadable` | an entry that could not be opened; kept as it was |
//! | `<anything>.tmp` | a write that a crash ended; removed at the next start |

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{JournalError, JournalKey, Kept};

const LOCK: &str = "lock";
const ID: &str = "id";
const ENTRY: &str = ".entry";
const UNREADABLE: &str = ".unreadable";
const TEMPORARY: &str = ".tmp";
/// Largest file that is read as an entry. Our choice: far above the largest answer beside a Secret of 1 MiB, however they are
/// encoded, and not all of the memory.
const LARGEST_ENTRY: u64 = 64 << 20;

/// A journal folder, held by this process until dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// For the flush after each rename.
    handle: File,
    /// Given back by the system when the process ends, however it ends.
    _lock: File,
    key: JournalKey,
    id: String,
    /// What stood at the start, until it is taken: tokens are not kept longer than they are needed.
    entries: Mutex<Vec<Kept>>,
    written: AtomicU64,
}

impl Folder {
    /// Takes, makes and reads the folder.
    pub(super) fn open(path: &Path, key: JournalKey) -> Result<Self, JournalError> {
        let failed = |action| move |source| JournalError::Folder { path: path.to_owned(), action, source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("created"))?;
        let lock = lock(path)?;
        let handle = File::open(path).map_err(failed("opened"))?;
        let mut folder = Self {
            path: path.to_owned(),
            handle,
            _lock: lock,
            key,
            id: String::new(),
            entries: Mutex::default(),
            written: AtomicU64::new(0),
        };
        let names = folder.names().map_err(failed("listed"))?;
        for name in names.iter().filter(|name| name.ends_with(TEMPORARY) && is_file(&path.join(name))) {
            fs::remove_file(path.join(name)).map_err(failed("cleaned of unfinished writes"))?;
        }
        let (mut entries, unreadable) = folder.read(&names);
        folder.id = match read_id(&path.join(ID)) {
            Some(id) if unreadable.is_empty() => id,
            // What an entry said that cannot be read is unknown: no claim may be judged by its absence from this folder any
            // more. So the folder is a new one from here on, first of all.
            Some(_) | None => folder.write_id().map_err(failed("given a name"))?,
        };
        for name in &unreadable {
            folder.set_aside(name);
        }
        let aside = folder.read_aside(&mut entries).map_err(failed("listed"))?;
        folder.handle.sync_all().map_err(failed("flushed"))?;
        if aside > 0 {
            tracing::warn!(
                count = aside,
                folder = %path.display(),
                "journal entries cannot be read, and are kept: if the operator's key Secret was replaced, restore it and start again"
            );
        }
        folder.entries = Mutex::new(entries.into_values().collect());
        Ok(folder)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn take_entries(&self) -> Vec<Kept> {
        std::mem::take(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry of this name as it is now.
    pub(super) fn read_now(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, JournalError> {
        let stem = self.key.stem(name);
        let file = format!("{stem}{ENTRY}");
        let failed = |source| JournalError::Entry { path: self.path.clone(), action: "read", source };
        if !self.path.join(&file).try_exists().map_err(failed)? {
            return Ok(None);
        }
        let entry = self.read_entry(&stem, &file).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        Ok(Some(entry.1))
    }

    /// Replaces an entry; durable on success.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), JournalError> {
        let stem = self.key.stem(name);
        let sealed = self.key.seal(&stem, name, content)?;
        let put = self.put(&format!("{stem}{ENTRY}"), &sealed);
        put.map_err(|source| JournalError::Entry { path: self.path.clone(), action: "written", source })
    }

    /// Removes an entry, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), JournalError> {
        let removed = match fs::remove_file(self.path.join(format!("{}{ENTRY}", self.key.stem(name)))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| self.handle.sync_all()),
        };
        removed.map_err(|source| JournalError::Entry { path: self.path.clone(), action: "removed", source })
    }

    /// Puts a whole file in the place of an old one, or none.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.temporary(name);
        let put = create(&temporary)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, self.path.join(name)))
            .and_then(|()| self.handle.sync_all());
        if put.is_err() {
            // Best effort: the next start removes it too.
            let _ = fs::remove_file(&temporary);
        }
        put
    }

    fn temporary(&self, name: &str) -> PathBuf {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{name}.{number}{TEMPORARY}"))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// The entries by stem, and the names of files that should be entries and are not.
    fn read(&self, names: &[String]) -> (BTreeMap<String, Kept>, Vec<String>) {
        let mut entries = BTreeMap::new();
        let mut unreadable = Vec::new();
        for name in names {
            let Some(stem) = name.strip_suffix(ENTRY) else { continue };
            match self.read_entry(stem, name) {
                Some(kept) => drop(entries.insert(stem.to_owned(), kept)),
                None => unreadable.push(name.clone()),
            }
        }
        (entries, unreadable)
    }

    fn read_entry(&self, stem: &str, name: &str) -> Option<Kept> {
        let path = self.path.join(name);
        // A pipe would block, and a link would lead elsewhere.
        let metadata = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        (metadata.len() <= LARGEST_ENTRY).then(|| fs::read(path).ok()).flatten().and_then(|file| self.key.open(stem, &file))
    }

    /// Renames an entry that cannot be read, so that the next write of its name does not replace it.
    fn set_aside(&self, name: &str) {
        let stem = name.strip_suffix(ENTRY).unwrap_or(name);
        let first = format!("{stem}{UNREADABLE}");
        let further = (2..1000).map(|number| format!("{stem}.{number}{UNREADABLE}"));
        let free = std::iter::once(first).chain(further).find(|free| self.path.join(free).symlink_metadata().is_err());
        // Only a name too long to be ours cannot be renamed; such a file is never replaced either.
        let _ = free.map(|free| fs::rename(self.path.join(name), self.path.join(free)));
    }

    /// Takes back what was set aside and opens again, now that its key is back; gives the number of those that still do not.
    fn read_aside(&self, entries: &mut BTreeMap<String, Kept>) -> io::Result<usize> {
        let mut left = 0;
        for name in self.names()?.iter().filter(|name| name.ends_with(UNREADABLE)) {
            let stem = name.split('.').next().unwrap_or_default();
            match self.read_entry(stem, name) {
                Some(kept) if !entries.contains_key(stem) => {
                    fs::rename(self.path.join(name), self.path.join(format!("{stem}{ENTRY}")))?;
                    entries.insert(stem.to_owned(), kept);
                }
                Some(_) | None => left += 1,
            }
        }
        Ok(left)
    }

    /// Writes a new id, beside the number of the file that holds it.
    fn write_id(&self) -> io::Result<String> {
        let id = Uuid::now_v7().to_string();
        let temporary = self.temporary(ID);
        let mut file = create(&temporary)?;
        let number = file.metadata()?.ino();
        file.write_all(format!("{id} {number}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, self.path.join(ID))?;
        self.handle.sync_all()?;
        Ok(id)
    }
}

/// The id that stands in a folder, if this is the folder that it was written in: two copies must not have one name.
fn read_id(path: &Path) -> Option<String> {
    let number = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?.ino();
    let text = fs::read_to_string(path).ok()?;
    let (id, written) = text.strip_suffix('\n')?.split_once(' ')?;
    (Uuid::try_parse(id).is_ok() && written.parse() == Ok(number)).then(|| id.to_owned())
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let failed = |source| JournalError::Folder { path: path.to_owned(), action: "locked", source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Held { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}
