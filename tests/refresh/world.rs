//! A cluster made of values: the object with its status, the seed, the state Secret and the outputs, with the rules of the
//! API server that the protocol leans on (resourceVersion, UID, finalizers, immutability).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::{CLAIM_FINALIZER, CreationPolicy, RefreshableTokenSpec, RefreshableTokenStatus};
use refreshable_token_operator::refresh::exchange::{
    MarkAnswer, OutputAction, OutputAnswer, Seed, SeenOutput, StateAnswer, StateWrite, WriteAnswer,
};
use refreshable_token_operator::refresh::journal::Entry;
use refreshable_token_operator::refresh::output::Rendered;
use refreshable_token_operator::refresh::state::{State, StoredState, Version};
use refreshable_token_operator::token::FingerprintKey;

use super::issuer::Issuer;

pub const STARTED: i64 = 1_800_000_000;

/// The state Secret as the API server stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub uid: u32,
    pub version: u64,
    /// When the operator last changed it.
    pub written: Option<DateTime<Utc>>,
    pub data: BTreeMap<String, Vec<u8>>,
    pub labels: BTreeMap<String, String>,
    /// The operator's finalizer, which stands while a claim is open.
    pub held: bool,
    pub immutable: bool,
    pub deleting: bool,
}

/// An output Secret as the API server stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub seen: SeenOutput,
    pub data: BTreeMap<String, Vec<u8>>,
    pub content_hash: Option<String>,
}

/// The folder of the journal; nothing but this object's entry is in it.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub id: u32,
    pub entry: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: DateTime<Utc>,
    pub issuer: Issuer,
    pub key: FingerprintKey,
    pub spec: RefreshableTokenSpec,
    pub generation: i64,
    pub uid: String,
    pub status: RefreshableTokenStatus,
    pub object_version: u64,
    pub request: Option<String>,
    pub seed: Option<(u64, Seed)>,
    pub state: Option<Stored>,
    /// State Secrets that held no claim, oldest first: what somebody may have a copy of.
    pub copies: Vec<Stored>,
    pub outputs: BTreeMap<String, Output>,
    /// The operator's journal, if it keeps one.
    pub journal: Option<Journal>,
    /// Escrow Secrets by claim.
    pub escrow: BTreeMap<String, Vec<u8>>,
    /// Secrets of somebody else's that were written to.
    pub trespasses: u32,
    counter: u64,
}

impl World {
    pub fn new(issuer: Issuer, spec: RefreshableTokenSpec) -> Self {
        Self {
            now: DateTime::from_timestamp(STARTED, 0).unwrap(),
            issuer,
            key: FingerprintKey::new(b"key"),
            spec,
            generation: 1,
            uid: "object-1".into(),
            status: RefreshableTokenStatus::default(),
            object_version: 1,
            request: None,
            seed: None,
            state: None,
            copies: Vec::new(),
            outputs: BTreeMap::new(),
            journal: None,
            escrow: BTreeMap::new(),
            trespasses: 0,
            counter: 100,
        }
    }

    pub fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    pub fn journal_write(&mut self, entry: &Entry) -> bool {
        if let Some(journal) = &mut self.journal {
            journal.entry = Some(entry.encode());
        }
        self.journal.is_some()
    }

    /// An answer with this token is in the journal or in escrow.
    pub fn remembers(&self, token: &str) -> bool {
        let journal = self.journal.as_ref().and_then(|journal| journal.entry.as_ref());
        let entries = journal.into_iter().chain(self.escrow.values()).filter_map(|bytes| Entry::decode(bytes));
        entries.filter_map(|entry| entry.answer).any(|answer| String::from_utf8_lossy(&answer.reply.body.0).contains(token))
    }

    pub fn decoded(&self) -> Option<State> {
        self.state.as_ref().and_then(|stored| State::decode(stored.data.clone()).ok())
    }

    pub fn read_state(&self) -> StateAnswer {
        let Some(stored) = &self.state else { return StateAnswer::Missing };
        match State::decode(stored.data.clone()) {
            Ok(state) => StateAnswer::Found(Box::new(StoredState {
                state,
                version: stored.version(),
                immutable: stored.immutable,
                deleting: stored.deleting,
            })),
            Err(why) => StateAnswer::Malformed(why, Box::new(stored.version())),
        }
    }

    pub fn write_state(&mut self, write: &StateWrite) -> WriteAnswer {
        let (data, held) = (write.state.encode(), write.state.claim.is_some());
        let version = self.next();
        let written = match (&write.replaces, &self.state) {
            (None, Some(_)) => return WriteAnswer::Conflict,
            (Some(_), None) => return WriteAnswer::Missing,
            (None, None) => {
                let uid = u32::try_from(version).unwrap();
                let labels = BTreeMap::new();
                Stored { uid, version, written: Some(self.now), data, labels, held, immutable: false, deleting: false }
            }
            (Some(replaces), Some(stored)) if *replaces != stored.version() => return WriteAnswer::Conflict,
            (Some(_), Some(stored)) if stored.immutable && stored.data != data => return WriteAnswer::Denied,
            (Some(replaces), Some(stored)) => {
                let labels = replaces.labels.clone();
                Stored { version, written: Some(self.now), data, held, labels, ..stored.clone() }
            }
        };
        let answer = WriteAnswer::Done(Box::new(written.version()));
        if write.dry_run {
            return answer;
        }
        if !held {
            self.copies.push(written.clone());
        }
        // The last finalizer is gone: the API server finishes the deletion with this very write.
        self.state = Some(written).filter(|written| written.held || !written.deleting);
        answer
    }

    pub fn put_status(&mut self, status: &RefreshableTokenStatus, version: u64) -> MarkAnswer {
        if version != self.object_version {
            return MarkAnswer::Stale;
        }
        self.status = status.clone();
        self.object_version = self.next();
        MarkAnswer::Done
    }

    pub fn output(&mut self, action: OutputAction, seen: Option<&SeenOutput>, rendered: &Rendered) -> OutputAnswer {
        let found = self.outputs.get(&rendered.name).cloned();
        match action {
            OutputAction::Read => found.map_or(OutputAnswer::Missing, |output| OutputAnswer::Found(output.seen)),
            OutputAction::TryCreate if found.is_none() => OutputAnswer::Done,
            OutputAction::Create if found.is_none() => {
                let uid = self.next().to_string();
                let type_ = Some(rendered.type_.to_owned());
                let seen = SeenOutput {
                    uid,
                    owned: true,
                    type_,
                    immutable: false,
                    keys: Vec::new(),
                    labels: Vec::new(),
                    annotations: Vec::new(),
                    reference: None,
                };
                self.put_output(seen, rendered)
            }
            OutputAction::TryCreate | OutputAction::Create => OutputAnswer::Conflict,
            OutputAction::Prune | OutputAction::TryApply | OutputAction::Apply => {
                let (Some(output), Some(seen)) = (found, seen) else { return OutputAnswer::Conflict };
                if output.seen.uid != seen.uid {
                    return OutputAnswer::Conflict;
                }
                let data: BTreeMap<_, _> = if action == OutputAction::Prune {
                    let kept = output.data.iter().filter(|(key, _)| rendered.data.contains_key(*key));
                    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
                } else {
                    rendered.data.clone()
                };
                let other_type = output.seen.type_.as_deref().is_some_and(|type_| type_ != rendered.type_);
                if other_type || output.seen.immutable && output.data != data {
                    return OutputAnswer::Denied;
                }
                match action {
                    OutputAction::TryApply => OutputAnswer::Done,
                    OutputAction::Prune => {
                        let kept = |names: &[String], wanted: &BTreeMap<String, String>| {
                            names.iter().filter(|name| wanted.contains_key(*name)).cloned().collect()
                        };
                        let seen = SeenOutput {
                            keys: data.keys().cloned().collect(),
                            labels: kept(&output.seen.labels, &rendered.metadata.labels),
                            annotations: kept(&output.seen.annotations, &rendered.metadata.annotations),
                            reference: output.seen.reference.filter(|_| rendered.policy == CreationPolicy::Owner),
                            ..output.seen
                        };
                        let output = Output { seen, data, ..output };
                        self.outputs.insert(rendered.name.clone(), output);
                        OutputAnswer::Done
                    }
                    OutputAction::Read | OutputAction::TryCreate | OutputAction::Create | OutputAction::Apply => {
                        self.put_output(output.seen, rendered)
                    }
                }
            }
        }
    }

    /// An apply takes nothing away that the creation wrote.
    fn put_output(&mut self, seen: SeenOutput, rendered: &Rendered) -> OutputAnswer {
        self.trespasses += u32::from(!seen.owned);
        let mut data = self.outputs.remove(&rendered.name).map(|output| output.data).unwrap_or_default();
        data.extend(rendered.data.clone());
        let both = |seen: &[String], wanted: &BTreeMap<String, String>| {
            seen.iter().chain(wanted.keys()).cloned().collect::<BTreeSet<_>>().into_iter().collect()
        };
        let reference = if rendered.policy == CreationPolicy::Owner { Some(0) } else { seen.reference };
        let labels = both(&seen.labels, &rendered.metadata.labels);
        let annotations = both(&seen.annotations, &rendered.metadata.annotations);
        let seen = SeenOutput { keys: data.keys().cloned().collect(), labels, annotations, reference, ..seen };
        let output = Output { seen, data, content_hash: Some(rendered.content_hash.to_string()) };
        self.outputs.insert(rendered.name.clone(), output);
        OutputAnswer::Done
    }

    /// Puts another state Secret in the place of this one; with the same UID an edit, otherwise a new Secret.
    pub fn replace_state(&mut self, data: BTreeMap<String, Vec<u8>>, same: bool) {
        let version = self.next();
        let old = self.state.take().filter(|_| same);
        let uid = old.as_ref().map_or_else(|| u32::try_from(version).unwrap(), |old| old.uid);
        let (held, deleting) = old.as_ref().map_or((false, false), |old| (old.held, old.deleting));
        let labels = old.map(|old| old.labels).unwrap_or_default();
        let written = Some(self.now);
        self.state = Some(Stored { uid, version, written, data, labels, held, immutable: false, deleting });
    }
}

impl Stored {
    fn version(&self) -> Version {
        Version {
            uid: self.uid.to_string(),
            resource_version: self.version.to_string(),
            labels: self.labels.clone(),
            written: self.written,
            finalizers: self.held.then(|| CLAIM_FINALIZER.to_owned()).into_iter().collect(),
            ..Version::default()
        }
    }
}
