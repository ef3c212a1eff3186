//! The words of the protocol: what an exchange is asked, one effect at a time, and what an effect can come to.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::Finished;
use crate::api::{AttemptState, CreationPolicy, OutputSpec, RefreshableTokenSpec, RefreshableTokenStatus, SpecDuration};
use crate::provider::{Delivery, NotSent, Provider, TokenRequest};
use crate::refresh::journal::{Entry, Place};
use crate::refresh::output::Rendered;
use crate::refresh::state::{Claim, Malformed, Owner, State, StoredState, Version};
use crate::token::{Fingerprint, FingerprintKey, HeldTokens, Login};

/// What an exchange is to do, fixed for its run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Brief {
    /// Refresh, or only bring the outputs up to what the state holds.
    pub task: Task,
    /// Whom the chain belongs to.
    pub owner: Owner,
    /// Where the state Secret is.
    pub place: Place,
    /// The claim to make, should one be needed; its fingerprint and time are filled in by the exchange. Its `journal` says
    /// whether this process keeps a journal.
    pub claim: Claim,
    /// The claim of another process that this one watches, and for how long it has, on a clock that counts suspend.
    pub watched: Option<(String, Duration)>,
    /// The token API.
    pub provider: Provider,
    /// Credentials beside the tokens.
    pub login: Login,
    /// The tokens of the seed, when it was read.
    pub seed: Option<Seed>,
    /// The output Secrets, and how each was last seen.
    pub outputs: Vec<OutputSpec>,
    /// How the outputs were last seen, in the same order.
    pub seen: Vec<Option<SeenOutput>>,
    /// What the object's status says about the chain.
    pub known: KnownChain,
    /// The full preflight is due: first refresh, changed spec, or after a failure.
    pub preflight: bool,
    /// Where no chain lives, the first tokens of one may be asked for.
    pub creates: bool,
    /// What the spec asks for beyond a refresh.
    pub policy: Policy,
    /// The object's status says that a state Secret exists.
    pub expects_state: bool,
    /// Claims of this process that are known to have spent nothing.
    pub void_claims: Vec<String>,
    /// Key of all fingerprints.
    pub key: FingerprintKey,
}

impl Brief {
    /// To end an exchange for the sake of the answer that was kept of it, and for nothing else. `own` says which process does it.
    #[must_use]
    pub fn replay(entry: &Entry, own: Claim, key: FingerprintKey) -> Self {
        let (process, journal) = (own.process.clone(), own.journal.clone());
        let claim = entry.state.claim.clone().unwrap_or(own);
        Self {
            task: Task::Publish,
            owner: entry.state.owner.clone(),
            place: entry.place.clone(),
            claim: Claim { process, journal, ..claim },
            watched: None,
            provider: entry.provider.clone(),
            login: Login::default(),
            seed: None,
            outputs: Vec::new(),
            seen: Vec::new(),
            known: KnownChain::default(),
            preflight: false,
            creates: false,
            policy: Policy::default(),
            expects_state: true,
            void_claims: Vec::new(),
            key,
        }
    }
}

/// What the spec asks for beyond a refresh.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Policy {
    /// A chain that is over is followed by another.
    pub recovers: bool,
    /// A new token is published once the API has accepted it in a harmless call.
    pub verifies: bool,
    /// How long after its replacement an access token is revoked; none leaves it to its expiry.
    pub retires_after: Option<Duration>,
}

impl Policy {
    /// What `spec` asks for.
    #[must_use]
    pub fn of(spec: &RefreshableTokenSpec) -> Self {
        Self {
            recovers: spec.recovers(),
            verifies: spec.verifies(),
            retires_after: spec.refresh().revoke_replaced_after.map(SpecDuration::get),
        }
    }
}

/// What an exchange is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Task {
    /// Get a new pair.
    Refresh,
    /// Get a new pair if the seed is a new one; otherwise as [`Task::Publish`].
    Adopt,
    /// Write the outputs from the state, and end an exchange that another process left open; the token API is called only where
    /// it promises that a repeat is harmless.
    Publish,
    /// The one late repeat of a request whose outcome is unknown: the access token has expired, and nothing can get worse.
    LastTry,
}

/// The tokens of a seed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Seed {
    /// The tokens that the chain begins with.
    pub tokens: HeldTokens,
    /// Keyed fingerprint of the token that will be spent first.
    pub fingerprint: Fingerprint,
}

/// What the object's status says about the chain.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct KnownChain {
    /// Refreshes committed.
    pub generation: i64,
    /// Fingerprints of spent tokens.
    pub spent: Vec<Fingerprint>,
    /// The claim that the last mark bears.
    pub attempt: Option<String>,
    /// That attempt's outcome was found to be unknown.
    pub unknown: bool,
    /// Fingerprint of the access token that the API has accepted in a trial.
    pub verified: Option<Fingerprint>,
}

impl KnownChain {
    /// What `status` says, and a process that knows of `generation` refreshes.
    #[must_use]
    pub fn of(status: &RefreshableTokenStatus, generation: i64) -> Self {
        Self {
            generation: status.chain_generation.unwrap_or(0).max(generation),
            spent: status.spent_fingerprints.iter().map(Fingerprint::from_stored).collect(),
            attempt: status.attempt.as_ref().map(|attempt| attempt.id.clone()),
            unknown: status.attempt.as_ref().is_some_and(|attempt| attempt.state == AttemptState::Unknown),
            verified: status
                .token
                .as_ref()
                .filter(|token| token.verified_time.is_some())
                .map(|token| Fingerprint::from_stored(&token.fingerprint)),
        }
    }
}

/// An output Secret as it was last seen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SeenOutput {
    /// `metadata.uid`.
    pub uid: String,
    /// Whether the object may write it: it belongs to it, or (`Merge`) it is somebody's that the operator keeps nothing in.
    pub owned: bool,
    /// Its type, where it is known.
    pub type_: Option<String>,
    /// Whether its data cannot be changed.
    pub immutable: bool,
    /// Keys of its data that this operator manages; whoever changes a key takes it over.
    pub keys: Vec<String>,
    /// Labels that this operator manages, its own aside.
    pub labels: Vec<String>,
    /// Annotations that this operator manages, its own aside.
    pub annotations: Vec<String>,
    /// Where in the list of its owners the object stands, from 0.
    pub reference: Option<usize>,
}

impl SeenOutput {
    /// Whether we manage something in it that shall not be there any longer. In a Secret of somebody else's an apply takes away by
    /// itself what it leaves out, unless others manage it too.
    #[must_use]
    pub fn surplus(&self, rendered: &Rendered) -> bool {
        let orphaned = rendered.policy == CreationPolicy::Orphan && self.reference.is_some();
        let any = self.surplus_keys(rendered).next().is_some()
            || self.surplus_labels(rendered).next().is_some()
            || self.surplus_annotations(rendered).next().is_some();
        rendered.policy != CreationPolicy::Merge && (orphaned || any)
    }

    /// Keys that we manage and no longer want.
    pub fn surplus_keys(&self, rendered: &Rendered) -> impl Iterator<Item = &String> {
        self.keys.iter().filter(|key| !rendered.data.contains_key(*key))
    }

    /// Labels that we manage and no longer want.
    pub fn surplus_labels(&self, rendered: &Rendered) -> impl Iterator<Item = &String> {
        self.labels.iter().filter(|label| !rendered.metadata.labels.contains_key(*label))
    }

    /// Annotations that we manage and no longer want.
    pub fn surplus_annotations(&self, rendered: &Rendered) -> impl Iterator<Item = &String> {
        self.annotations.iter().filter(|name| !rendered.metadata.annotations.contains_key(*name))
    }
}

/// One effect. Exactly one request to Kubernetes or to the token API, or a pause.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// GET the state Secret, from the API server and no cache.
    ReadState,
    /// Write the state Secret.
    WriteState(Box<StateWrite>),
    /// Open a connection to the token API and close it again.
    Connect {
        /// The URL of the token API.
        url: String,
    },
    /// PUT the object's status with the mark, at the resourceVersion that the decision was made on.
    Mark(Mark),
    /// Write what this process keeps about the place of the state Secret, over what it kept before.
    Journal(Box<Entry>),
    /// Read what the journal holds about the place of the state Secret.
    ReadJournal,
    /// Create the escrow Secret of a claim.
    WriteEscrow(Box<Entry>),
    /// GET the escrow Secret of the claim of this id.
    ReadEscrow(String),
    /// Delete the escrow Secret of the claim of this id.
    DeleteEscrow(String),
    /// Send the request to the token API, once.
    Send {
        /// The request.
        request: TokenRequest,
        /// The request may leave only within this time of the first write of the claim, on a clock that counts suspend; later
        /// it is held back.
        within: Option<Duration>,
    },
    /// Send a request that touches no refresh token to the token API, once.
    Ask {
        /// The request.
        request: TokenRequest,
        /// What for.
        question: Question,
    },
    /// A request about an output Secret.
    Output {
        /// Which output.
        index: usize,
        /// Which request.
        action: OutputAction,
        /// The Secret that was last seen as ours; an apply names its UID.
        seen: Option<SeenOutput>,
        /// The Secret as it shall be.
        rendered: Rendered,
    },
    /// Wait.
    Pause(Duration),
    /// The exchange is over.
    Done(Box<Finished>),
}

/// What a request that touches no refresh token is for. Each can be repeated as often as one likes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Question {
    /// A step before the request that brings the tokens.
    Step,
    /// Whether a refresh token that was presented is still good.
    Probe,
    /// Whether the API accepts a new access token.
    Verification,
    /// The revocation of an access token that was replaced.
    Retirement,
}

/// A write of the state Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StateWrite {
    /// The contents to write.
    pub state: State,
    /// The version that is replaced; none creates the Secret.
    pub replaces: Option<Version>,
    /// Ask the API server whether it would accept the write, without writing.
    pub dry_run: bool,
    /// It makes a claim, before anything is spent with it: it may be held back.
    pub begins: bool,
}

/// The mark: what the status says before a token is sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    /// The claim.
    pub claim: Claim,
    /// Fingerprint of the token about to be spent.
    pub fingerprint: Fingerprint,
}

/// A request about an output Secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OutputAction {
    /// GET it.
    Read,
    /// POST it with the contents as a dry run.
    TryCreate,
    /// POST it: only a creation can tell a new Secret from somebody else's.
    Create,
    /// JSON patch on the UID last seen that removes what we manage and no longer want: keys, labels, annotations, the owner
    /// reference. What was written by the creation stays in our name through a server-side apply that leaves it out.
    Prune,
    /// Server-side apply as a dry run, on the UID last seen.
    TryApply,
    /// Server-side apply, on the UID last seen.
    Apply,
}

/// What a step came to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The answer to [`Step::ReadState`].
    State(StateAnswer),
    /// The answer to [`Step::WriteState`].
    Wrote(WriteAnswer),
    /// The answer to [`Step::Connect`].
    Connected(Result<(), NotSent>),
    /// The answer to [`Step::Mark`].
    Marked(MarkAnswer),
    /// The answer to [`Step::Journal`], [`Step::WriteEscrow`] and [`Step::DeleteEscrow`]: whether it is done and durable.
    Kept(bool),
    /// The answer to [`Step::ReadJournal`] and [`Step::ReadEscrow`].
    Remembered(Memento),
    /// The answer to [`Step::Send`].
    Delivered {
        /// How the sending ended.
        delivery: Delivery,
        /// The instant before it was sent.
        sent: DateTime<Utc>,
    },
    /// The answer to [`Step::Ask`].
    Asked(Delivery),
    /// The answer to [`Step::Output`].
    Output(OutputAnswer),
    /// A pause is over.
    Paused,
}

/// What the journal or an escrow Secret holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Memento {
    /// This.
    Entry(Box<Entry>),
    /// Nothing, for certain.
    Nothing,
    /// Something that cannot be read, or nobody knows.
    Unclear,
}

/// The answer to a GET of the state Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StateAnswer {
    /// It is there and can be read.
    Found(Box<StoredState>),
    /// It is there and is not, or no longer, a state Secret.
    Malformed(Malformed, Box<Version>),
    /// It is not there.
    Missing,
    /// The API server refused.
    Denied,
    /// Nobody knows.
    Unclear,
}

/// The answer to a write of the state Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum WriteAnswer {
    /// Written (or, in a dry run, accepted).
    Done(Box<Version>),
    /// Somebody wrote in between, or the Secret exists already.
    Conflict,
    /// The Secret is gone.
    Missing,
    /// The API server refused: permission, admission, quota, immutability, size.
    Denied,
    /// Not sent, and nobody refused it: nothing new is begun any more.
    HeldBack,
    /// Nobody knows whether it was written.
    Unclear,
}

/// The answer to the mark.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MarkAnswer {
    /// Written.
    Done,
    /// The object has changed since the decision, or is gone.
    Stale,
    /// The API server refused.
    Denied,
    /// Nobody knows whether it was written.
    Unclear,
}

/// The answer to a request about an output Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum OutputAnswer {
    /// Written (or, in a dry run, accepted).
    Done,
    /// Found, as asked.
    Found(SeenOutput),
    /// Not there.
    Missing,
    /// There already, or another Secret than the one last seen.
    Conflict,
    /// The API server refused: permission, admission, quota, immutability, size.
    Denied,
    /// Nobody knows.
    Unclear,
}
