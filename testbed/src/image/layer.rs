//! A tar archive that is the same bytes for the same content: sorted by name, all times zero, no names of owners.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tar::{EntryType, Header};

/// The files of a layer, by path without a leading slash. The files belong to root.
#[derive(Clone, Debug, Default)]
pub struct Layer(BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
enum Entry {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

impl Layer {
    /// Adds a folder; its parents have to be added too, if they shall be there with a known mode.
    pub fn folder(&mut self, path: &str, mode: u32) {
        self.0.insert(path.to_owned(), Entry::Folder { mode });
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.0.insert(path.to_owned(), Entry::File { mode, content });
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.0.insert(path.to_owned(), Entry::Link { target: target.to_owned() });
    }

    /// The archive.
    pub(super) fn finish(self) -> anyhow::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, entry) in self.0 {
            // A number that is not set is no number, which some readers refuse.
            let mut header = Header::new_ustar();
            header.set_size(0);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            let written = match &entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    archive.append_data(&mut header, format!("{path}/"), [].as_slice())
                }
                Entry::File { mode, content } => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(u64::try_from(content.len())?);
                    archive.append_data(&mut header, &path, content.as_slice())
                }
                Entry::Link { target } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    archive.append_link(&mut header, &path, target)
                }
            };
            written.with_context(|| format!("write {path} into the archive"))?;
        }
        archive.into_inner().context("finish the archive")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let (mut one, mut two) = (Layer::default(), Layer::default());
        one.file("x/b", 0o644, b"b".to_vec());
        one.folder("x", 0o755);
        one.link("x/c", "b");
        two.link("x/c", "b");
        two.folder("x", 0o755);
        two.file("x/b", 0o644, b"b".to_vec());
        assert_eq!(one.finish().unwrap(), two.finish().unwrap());
    }

    #[test]
    fn nothing_says_when_or_by_whom_it_was_written() {
        let mut layer = Layer::default();
        layer.folder("x", 0o755);
        layer.file("x/b", 0o644, b"b".to_vec());
        let bytes = layer.finish().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        for entry in archive.entries().unwrap() {
            let header = entry.unwrap().header().clone();
            let numbers = [header.mtime(), header.uid(), header.gid()].map(|number| number.unwrap());
            assert_eq!((numbers, header.username().unwrap()), ([0, 0, 0], Some("")));
        }
    }
}
