//! The object's status and a process's memory, cut down to what the protocol looks at, and back again.
//!
//! `decide`, `mark` and `conclude` see whole values; times, messages and counts that change no decision are left out of the
//! states, or no two states would ever be equal.

use chrono::{DateTime, Utc};
use refreshable_token_operator::api::{
    AttemptState, AttemptStatus, Condition, ConditionStatus, ConditionType, OutputStatus, Reason, RefreshableTokenStatus,
    SeedStatus,
};
use refreshable_token_operator::refresh::decide::{Memory, OutputView};
use refreshable_token_operator::refresh::exchange::{KnownChain, SeenOutput};

use super::machine::{SEED_FINGERPRINT, claim_bit};

/// The one output; it is never touched, and always as it shall be.
pub const OUTPUT: &str = "out";
const HASH: &str = "hash";

/// What the status says about the chain.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Known {
    /// `chainGeneration`.
    pub generation: i64,
    /// `spentFingerprints`.
    pub spent: Vec<String>,
    /// `attempt`: its id, and whether nobody knows its end.
    pub attempt: Option<(String, bool)>,
    /// When the request of an attempt whose end nobody knows may be repeated once.
    pub last_try: Option<DateTime<Utc>>,
    /// There were failures since the last refresh.
    pub failing: bool,
    /// The reason of `Stalled`.
    pub stalled: Option<Reason>,
}

impl Known {
    /// The whole status, as it is stored.
    pub fn status(&self) -> RefreshableTokenStatus {
        let condition = |type_, reason: Reason| Condition {
            type_,
            status: ConditionStatus::True,
            reason: reason.as_str().to_owned(),
            message: String::new(),
            observed_generation: Some(1),
            last_transition_time: DateTime::UNIX_EPOCH,
        };
        let stalled = self.stalled.map(|reason| condition(ConditionType::Stalled, reason));
        let synced = condition(ConditionType::SecretsSynced, Reason::Written);
        RefreshableTokenStatus {
            observed_generation: Some(1),
            conditions: [Some(synced), stalled].into_iter().flatten().collect(),
            seed: Some(SeedStatus { fingerprint: SEED_FINGERPRINT.to_owned(), resource_version: Some("1".to_owned()) }),
            chain_generation: Some(self.generation),
            next_refresh_time: self.last_try,
            consecutive_failures: Some(i32::from(self.failing)),
            attempt: self.attempt.as_ref().map(|(id, unknown)| {
                Box::new(AttemptStatus {
                    id: id.clone(),
                    state: if *unknown { AttemptState::Unknown } else { AttemptState::Sending },
                    start_time: DateTime::UNIX_EPOCH,
                })
            }),
            spent_fingerprints: self.spent.clone(),
            outputs: vec![OutputStatus {
                secret_name: OUTPUT.to_owned(),
                type_: "Opaque".to_owned(),
                content_hash: HASH.to_owned(),
                lasting_hash: None,
                last_write_time: DateTime::UNIX_EPOCH,
            }],
            ..RefreshableTokenStatus::default()
        }
    }

    /// What counts of a status.
    pub fn of(status: &RefreshableTokenStatus) -> Self {
        let stalled = status.conditions.iter().find(|c| c.type_ == ConditionType::Stalled && c.status == ConditionStatus::True);
        Self {
            generation: status.chain_generation.unwrap_or(0),
            spent: status.spent_fingerprints.clone(),
            attempt: status.attempt.as_ref().map(|attempt| (attempt.id.clone(), attempt.state == AttemptState::Unknown)),
            last_try: status.next_refresh_time.filter(|_| status.attempt.is_some()),
            failing: status.consecutive_failures.unwrap_or(0) > 0,
            stalled: stalled.and_then(|condition| Reason::parse(&condition.reason)),
        }
    }

    /// The claims that it names, one bit each.
    pub fn claims(&self) -> u64 {
        self.attempt.as_ref().map_or(0, |(id, _)| claim_bit(id))
    }

    /// What an exchange is told of it, by a process that knows of so many refreshes.
    pub fn chain(&self, generation: i64) -> KnownChain {
        KnownChain::of(&self.status(), generation)
    }
}

/// What a process remembers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Recollection {
    /// No refresh before this time.
    pub rest_until: Option<DateTime<Utc>>,
    /// The unresolved attempt that it has looked at.
    pub looked_at: Option<String>,
    /// Claims that it knows to have spent nothing.
    pub void_claims: Vec<String>,
    /// Refreshes that it knows to be committed.
    pub generation: i64,
    /// The claim of another process that it watches, and since which tick.
    pub watched: Option<(String, u8)>,
}

impl Recollection {
    /// The whole memory. Nothing is put off: the model lets everything happen at any time.
    pub fn memory(&self) -> Memory {
        Memory {
            rest_until: self.rest_until,
            looked_at: self.looked_at.clone(),
            void_claims: self.void_claims.clone(),
            generation: self.generation,
            ..Memory::default()
        }
    }

    /// The claims that it names, one bit each.
    pub fn claims(&self) -> u64 {
        self.void_claims
            .iter()
            .chain(&self.looked_at)
            .chain(self.watched.iter().map(|(id, _)| id))
            .fold(0, |all, id| all | claim_bit(id))
    }

    /// What counts of a memory.
    pub fn of(memory: &Memory, now: DateTime<Utc>) -> Self {
        let mut void_claims = memory.void_claims.clone();
        void_claims.sort();
        void_claims.dedup();
        Self {
            rest_until: memory.rest_until.filter(|until| *until > now),
            looked_at: memory.looked_at.clone(),
            void_claims,
            generation: memory.generation,
            watched: None,
        }
    }
}

/// The output as the watch shows it.
pub fn output_view() -> OutputView {
    let keys = vec!["access_token".to_owned()];
    let seen = SeenOutput {
        uid: "output".to_owned(),
        owned: true,
        type_: None,
        immutable: false,
        keys,
        labels: Vec::new(),
        annotations: Vec::new(),
        reference: Some(0),
    };
    OutputView { seen, content_hash: Some(HASH.to_owned()) }
}
