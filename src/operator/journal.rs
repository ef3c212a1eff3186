//! The journal: what must survive a crash between the answer of a token API and the commit. Knows names and bytes only; what
//! an entry says and proves is the protocol's business.
//!
//! One file an object in a folder that one process at a time holds. A write is durable when it returns: sealed, into a
//! temporary file, flushed, renamed over the old entry, the folder flushed. A crash at any step leaves the old entry or the new one.

mod folder;
mod seal;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use thiserror::Error;
use zeroize::Zeroizing;

use folder::Folder;
pub use seal::JournalKey;

/// What is kept about one thing: its name, and the bytes that were written under it. Wiped on drop.
pub type Kept = (String, Zeroizing<Vec<u8>>);

/// Where entries are kept: a folder, or the memory of a simulation.
pub trait JournalStore: Send + Sync {
    /// The store's own name (UUID). A claim that bears it was made by a process that held this store, and all of that
    /// process's entries are here.
    ///
    /// It changes when an entry was lost, and when the folder was copied file by file. It does not show that a whole volume was
    /// cloned or set back to a snapshot; nothing inside the volume could.
    fn id(&self) -> &str;

    /// The entries that were there at the start, none twice under one name. Hands them over: a second call gives none.
    fn take_entries(&self) -> Vec<Kept>;

    /// The entry of this name as it is now; none if there is none.
    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>, JournalError>>;

    /// Replaces the entry of this name. Durable when it succeeds; when it fails, the old entry stands or the new one, and
    /// nothing was tried again.
    fn write(&self, name: &str, content: Zeroizing<Vec<u8>>) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Removes the entry of this name, if there is one.
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), JournalError>>;
}

/// Why the journal cannot be used. Names folders and causes, never contents.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The folder is missing or may not be used.
    #[error(
        "the journal folder {} cannot be {action}: name a folder that this process may write to with --journal-dir, on a volume that is not full",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error(
        "the journal folder {} is held by another process: stop that process, or give this one a folder of its own with --journal-dir",
        path.display()
    )]
    Held {
        /// The folder.
        path: PathBuf,
    },
    /// The entry could not be made durable.
    #[error("an entry in the journal folder {} cannot be {action}", path.display())]
    Entry {
        /// The folder.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The machine gives no random bytes, or the entry is larger than can be sealed.
    #[error("the journal entry cannot be encrypted")]
    Sealing,
    /// The write broke down, or the process is ending.
    #[error("the write into the journal was broken off")]
    BrokenOff,
}

/// The journal in a folder.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: Arc<Folder>,
}

impl Journal {
    /// Takes the folder for this process, makes it if need be, and reads what is there. Blocks on files; for the start only.
    ///
    /// Entries that cannot be read (another key, damage) are set aside, counted in a warning, and stop nothing.
    pub fn open(path: &Path, key: JournalKey) -> Result<Self, JournalError> {
        Ok(Self { folder: Arc::new(Folder::open(path, key)?) })
    }

    /// Runs an operation where it may block. Once begun it goes on to its end, even if nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Folder) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || operation(&folder)).await.unwrap_or(Err(JournalError::BrokenOff))
    }
}

impl JournalStore for Journal {
    fn id(&self) -> &str {
        self.folder.id()
    }

    fn take_entries(&self) -> Vec<Kept> {
        self.folder.take_entries()
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>, JournalError>> {
        let name = name.to_owned();
        self.blocking(move |folder| folder.read_now(&name)).boxed()
    }

    fn write(&self, name: &str, content: Zeroizing<Vec<u8>>) -> BoxFuture<'_, Result<(), JournalError>> {
        let name = name.to_owned();
        self.blocking(move |folder| folder.write(&name, &content)).boxed()
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), JournalError>> {
        let name = name.to_owned();
        self.blocking(move |folder| folder.remove(&name)).boxed()
    }
}
