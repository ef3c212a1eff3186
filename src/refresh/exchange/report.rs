//! What an exchange found: its outcome, and what became of each output.

use std::time::Duration;

use crate::api::Reason;
use crate::provider::{Lost, Probed, TokenError};
use crate::refresh::state::{Claim, State};
use crate::token::Fingerprint;

/// What became of an exchange.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// A new pair is committed.
    Refreshed,
    /// The outputs hold what the state holds; the API was not called.
    Published,
    /// Nothing was spent, and nothing will change until a person acts.
    Refused {
        /// Why.
        reason: Reason,
        /// What to do.
        message: String,
    },
    /// Nothing was spent; try again later.
    Postponed {
        /// Why.
        reason: Reason,
        /// What happened.
        message: String,
    },
    /// The token API refused, and nothing was spent.
    Rejected(TokenError),
    /// The object changed after the decision was made; decide again. Nothing was spent.
    Stale,
    /// The token API said that the chain is over: now, or (without an answer) in an earlier exchange.
    ChainOver(Option<TokenError>),
    /// The token was sent, and nobody can tell whether it was spent.
    Unknown(Option<Lost>),
    /// A new pair is safe in an escrow Secret, and the API server refuses to write it into the state Secret.
    Escrowed,
    /// Another process has a claim on the token and may be at work: it is left alone until this process has watched the claim
    /// for so long.
    Held {
        /// The id of the claim.
        claim: String,
        /// How long it is left alone from now on.
        remaining: Duration,
    },
}

impl Outcome {
    /// Nothing that this exchange did by itself spent the token.
    pub(super) fn spent_nothing(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Postponed { .. } | Self::Rejected(_) | Self::Stale)
    }

    /// One word for logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refreshed => "Refreshed",
            Self::Published => "Published",
            Self::Refused { .. } => "Refused",
            Self::Postponed { .. } => "Postponed",
            Self::Rejected(_) => "Rejected",
            Self::Stale => "Stale",
            Self::ChainOver(_) => "ChainOver",
            Self::Unknown(_) => "Unknown",
            Self::Escrowed => "Escrowed",
            Self::Held { .. } => "Held",
        }
    }
}

/// Everything that an exchange found out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Finished {
    /// What became of it.
    pub outcome: Outcome,
    /// The state as it stands now, where it is known.
    pub state: Option<State>,
    /// Why the outputs could not be rendered, although the new pair is safe.
    pub unrendered: Option<String>,
    /// The outputs in order, as far as publishing came.
    pub outputs: Vec<OutputOutcome>,
    /// Fingerprint of a token that is spent now and must be remembered.
    pub spent: Option<Fingerprint>,
    /// The mark was written and does not hold any more: the token was not spent.
    pub unmark: Option<Fingerprint>,
    /// The claim stayed open, although nothing was spent: its id.
    pub void_claim: Option<String>,
    /// The exchange adopted this seed.
    pub adopted: Option<Fingerprint>,
    /// No further refresh before this long: a late copy of a lost request may still arrive.
    pub rest: Option<Duration>,
    /// A request whose outcome is not known, or whose answer is not in the state Secret yet: the attempt goes on.
    pub open: bool,
    /// The claim that the exchange leaves open, whether or not the state Secret shows it.
    pub claim: Option<Claim>,
    /// The API can be asked what became of a token whose fate is not known.
    pub asks: bool,
    /// What it said, if it was asked.
    pub fate: Option<Probed>,
    /// Whether the API accepts the new token, if it was asked; why not.
    pub verified: Option<Result<(), String>>,
    /// Whether the token that was replaced is revoked, if that was due; why not.
    pub retired: Option<Result<(), String>>,
}

/// How an output ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutputOutcome {
    /// Name of the Secret.
    pub name: String,
    /// Type of the Secret.
    pub type_: &'static str,
    /// Keyed hash of the contents.
    pub content_hash: Fingerprint,
    /// The same without the previous access token, if there is one.
    pub lasting_hash: Option<Fingerprint>,
    /// Written, or why not.
    pub result: Result<(), OutputProblem>,
}

/// Why an output was not written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OutputProblem {
    /// It belongs to somebody else.
    Foreign,
    /// It exists with another type.
    OtherType,
    /// It is immutable.
    Immutable,
    /// Somebody else is to make it, and has not.
    Missing,
    /// The API server refused.
    Denied,
    /// The API server gave no clear answer.
    Unclear,
}

impl OutputProblem {
    /// The reason for conditions.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Foreign => Reason::OutputConflict,
            Self::OtherType => Reason::OutputTypeMismatch,
            Self::Immutable => Reason::OutputImmutable,
            Self::Missing => Reason::OutputMissing,
            Self::Denied | Self::Unclear => Reason::WriteFailed,
        }
    }

    /// What happened to the output called `name`, and what to do.
    #[must_use]
    pub fn message(self, name: &str) -> String {
        match self {
            Self::Foreign => format!(
                "Secret {name} exists and does not belong to this object: choose another secretName, or delete that Secret"
            ),
            Self::OtherType => {
                format!("Secret {name} has another type, and a type cannot be changed: choose another secretName, or delete it")
            }
            Self::Immutable => format!("Secret {name} is immutable: delete it, and the operator writes it anew"),
            Self::Missing => format!(
                "Secret {name} does not exist, and creationPolicy: Merge leaves it to somebody else to make it: it is waited for"
            ),
            Self::Denied => format!(
                "the API server refuses to write Secret {name}: check the operator's permissions, admission policies and quota"
            ),
            Self::Unclear => format!("the API server gave no clear answer about Secret {name}"),
        }
    }

    /// Whether trying again by itself can help.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::Missing | Self::Denied | Self::Unclear)
    }
}
