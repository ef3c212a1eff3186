//! What an operator left behind when it died: whoever starts the next one looks first, so that a token that was safe then cannot be called
//! lost in flight later.

use std::path::Path;

use anyhow::Context as _;
use refreshable_token_operator::operator::journal::{Journal, JournalKey, JournalStore as _};
use refreshable_token_operator::refresh::journal::Entry;

use super::case::{Case, NAME};

/// The operator's own Secret, and the key of all its keys.
pub const KEY_SECRET: &str = "refreshable-token-operator-key";
const KEY: &str = "fingerprint-key";

/// Refresh tokens of the state Secret and answers of the journal, as texts.
#[derive(Debug, Default)]
pub struct Relics(Vec<String>);

impl Relics {
    /// Whether a token is among them.
    pub fn hold(&self, token: &str) -> bool {
        self.0.iter().any(|relic| relic.contains(token))
    }

    /// Adds what a dead operator left, with the journal in this folder if the next operator finds it.
    pub async fn collect(&mut self, case: &Case, journal: Option<&Path>) -> anyhow::Result<()> {
        self.0.extend(case.values(&format!("{NAME}-state")).await?.remove("refresh_token"));
        let Some(journal) = journal.filter(|journal| journal.exists()) else { return Ok(()) };
        let key = case.secrets().get_opt(KEY_SECRET).await?.and_then(|secret| secret.data?.remove(KEY));
        // Without a key nothing was written.
        let Some(key) = key else { return Ok(()) };
        // Reading takes the folder and mends it, which is for the next operator to do.
        let copy = tempfile::tempdir()?;
        for entry in std::fs::read_dir(journal)? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).context("copy the journal")?;
        }
        let journal = Journal::open(copy.path(), JournalKey::derive(&key.0)?)?;
        let answers = journal.take_entries().into_iter().filter_map(|(_, entry)| Entry::decode(&entry)?.answer);
        self.0.extend(answers.map(|answer| String::from_utf8_lossy(&answer.reply.body.0).into_owned()));
        Ok(())
    }
}
