//! A volume with a journal: it outlives the process, and is held by one at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use refreshable_token_operator::operator::journal::{JournalError, JournalStore, Kept};
use zeroize::Zeroizing;

use super::control::{Control, Effect};
use super::fault::Fault;

type Entries = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// The volume.
#[derive(Clone, Debug)]
pub struct Disk {
    id: String,
    entries: Entries,
}

impl Disk {
    /// An empty volume.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), entries: Arc::default() }
    }

    /// The journal as a process sees it. `outlives`: it is still there when the process has died.
    pub fn journal(&self, process: &str, control: &Control, outlives: bool) -> Arc<dyn JournalStore> {
        if outlives {
            control.note_journal(process);
        }
        let (disk, process, control) = (self.clone(), process.to_owned(), control.clone());
        Arc::new(DiskJournal { disk, process, control, outlives })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All entries.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

struct DiskJournal {
    disk: Disk,
    process: String,
    control: Control,
    outlives: bool,
}

impl DiskJournal {
    fn failed() -> JournalError {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        JournalError::Entry { path: PathBuf::from("journal"), action: "written", source }
    }
}

impl JournalStore for DiskJournal {
    fn id(&self) -> &str {
        &self.disk.id
    }

    fn take_entries(&self) -> Vec<Kept> {
        let entries = self.disk.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(name, bytes)| (name.clone(), Zeroizing::new(bytes.clone()))).collect()
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>, JournalError>> {
        let entries = self.disk.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.get(name).cloned().map(Zeroizing::new);
        std::future::ready(Ok(found)).boxed()
    }

    fn write(&self, name: &str, content: Zeroizing<Vec<u8>>) -> BoxFuture<'_, Result<(), JournalError>> {
        let name = name.to_owned();
        async move {
            let fault = self.control.effect(&self.process, &Effect::Journal);
            if fault.is_none_or(Fault::is_applied) {
                self.disk.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(name, content.to_vec());
            }
            if self.control.is_dead(&self.process) {
                return std::future::pending().await;
            }
            match fault {
                None => {
                    if self.outlives {
                        self.control.note_durable(&self.process);
                    }
                    Ok(())
                }
                Some(_) => Err(Self::failed()),
            }
        }
        .boxed()
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), JournalError>> {
        if !self.control.is_dead(&self.process) {
            self.disk.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
        std::future::ready(Ok(())).boxed()
    }
}
