//! What was kept of exchanges outside their state Secrets: writing it, reading it, and ending such exchanges at the start.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use zeroize::Zeroizing;

use super::Context;
use super::cluster::Owner;
use super::drive::Job;
use super::endpoint::Reach;
use super::journal::JournalStore;
use super::lanes::Lane;
use super::transport::{Connection, TlsMaterial};
use crate::refresh::exchange::{Brief, Exchange, Memento, Outcome};
use crate::refresh::journal::{Entry, Place};
use crate::refresh::state::Claim;

/// How long the start waits for kept answers to be committed. Our choice: those that take longer go on beside the controller,
/// which comes to the same end.
const REPLAY_WITHIN: Duration = Duration::from_secs(30);
/// How many are committed at a time. Our choice.
const REPLAYS: usize = 16;

/// The journal of this process, if it keeps one.
#[derive(Clone, Default)]
pub(super) struct KeptAnswers {
    store: Option<Arc<dyn JournalStore>>,
}

impl KeptAnswers {
    pub(super) fn new(store: Option<Arc<dyn JournalStore>>) -> Self {
        Self { store }
    }

    /// The journal's id, which stands in every claim that is made with it.
    pub(super) fn id(&self) -> Option<String> {
        self.store.as_ref().map(|store| store.id().to_owned())
    }

    /// Writes an entry; whether it is durable.
    pub(super) async fn write(&self, entry: &Entry) -> bool {
        let Some(store) = &self.store else { return false };
        let written = store.write(&entry.place.entry_name(), Zeroizing::new(entry.encode())).await;
        if let Err(error) = &written {
            tracing::error!(%error, "the journal cannot be written");
        }
        written.is_ok()
    }

    /// Forgets a place, whose chain has ended.
    pub(super) async fn remove(&self, place: &Place) {
        let Some(store) = &self.store else { return };
        if let Err(error) = store.remove(&place.entry_name()).await {
            tracing::warn!(%error, "an entry of the journal cannot be removed");
        }
    }

    /// What is kept about a place.
    pub(super) async fn read(&self, place: &Place) -> Memento {
        let Some(store) = &self.store else { return Memento::Nothing };
        match store.read(&place.entry_name()).await {
            Ok(None) => Memento::Nothing,
            Ok(Some(bytes)) => Entry::decode(&bytes).map_or(Memento::Unclear, |entry| Memento::Entry(Box::new(entry))),
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be read");
                Memento::Unclear
            }
        }
    }

    fn answers(&self) -> Vec<Entry> {
        let entries = self.store.as_ref().map(|store| store.take_entries()).unwrap_or_default();
        let entries = entries.iter().filter_map(|(_, bytes)| Entry::decode(bytes));
        entries.filter(|entry| entry.answer.is_some()).collect()
    }
}

/// Commits every answer that an earlier process kept and did not commit, before anything else is done.
pub(super) async fn replay(context: &Arc<Context>) {
    let mut entries = context.kept.answers();
    match context.cluster.escrows(&context.operator_namespace).await {
        Ok(escrows) => entries.extend(escrows),
        Err(trouble) => tracing::warn!(?trouble, "escrow Secrets cannot be listed: what they hold is committed later"),
    }
    if entries.is_empty() {
        return;
    }
    let settled = context.committed().await;
    entries.retain(|entry| settled.get(&entry.place).is_none_or(|generation| *generation <= entry.state.generation));
    tracing::info!(answers = entries.len(), "looking whether kept answers are committed");
    let all = futures::stream::iter(entries).for_each_concurrent(REPLAYS, |entry| {
        let context = Arc::clone(context);
        async move {
            let (owner, place) = (owner(&entry), entry.place.clone());
            let uid = owner.uid.clone();
            let own = Claim::new(context.clock.unique_name(), &context.pod, &context.process);
            let brief = Brief::replay(&entry, Claim { journal: context.kept.id(), ..own }, context.key.clone());
            let provider = entry.provider.name();
            // Nothing is sent.
            let reach = Reach::Namespace;
            let connection = Connection {
                reach,
                tls: TlsMaterial::default(),
                proxy: None,
                connect_timeout: Duration::ZERO,
                request_timeout: Duration::ZERO,
            };
            let first = Exchange::replay(brief, entry);
            let job = Job {
                context: Arc::clone(&context),
                object: None,
                owner,
                place,
                provider,
                connection,
                claimed: None,
                // Whose answer is there already does not wait behind those who have yet to ask.
                ends: Some(DateTime::<Utc>::MIN_UTC),
                over: context.stopping.clone(),
                lane: Lane::of(None),
                turn: None,
                flight: None,
            };
            // Its end does not depend on anybody's patience.
            if let Ok(driven) = context.exchanges.spawn(job.drive(first)).await {
                tracing::info!(outcome = driven.finished.outcome.word(), "a kept answer was looked at");
                if driven.finished.outcome == Outcome::Refreshed {
                    context.metrics.answer_recovered(&uid);
                }
            }
        }
    });
    if tokio::time::timeout(REPLAY_WITHIN, all).await.is_err() {
        tracing::warn!("not every kept answer could be committed yet; they are tried again");
    }
}

fn owner(entry: &Entry) -> Owner {
    let owner = &entry.state.owner;
    Owner { namespace: entry.place.namespace.clone(), name: owner.name.clone(), uid: owner.uid.clone() }
}
