//! Conditions and their reasons: the fixed words in which the operator speaks. Reasons are API and never change meaning.

use chrono::{DateTime, Utc};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition in the shape of `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Ready, SecretsSynced, Reconciling or Stalled.
    #[serde(rename = "type")]
    pub type_: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// One word for programs.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// A sentence for people: what happened and what to do next.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The `metadata.generation` that the condition is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub last_transition_time: DateTime<Utc>,
}

/// What a condition is about. kstatus reads `Reconciling` and `Stalled` before `Ready`, so both stand only while true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// The outputs hold an unexpired token that was made from this spec.
    Ready,
    /// Every output Secret holds the newest token.
    SecretsSynced,
    /// The operator is working on a change or repeating after a failure.
    Reconciling,
    /// Nothing more will happen until a person changes something.
    Stalled,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Every reason that a condition or an event can have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Each of them once, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in conditions and events.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The reason behind a word; none for a word of somebody else's.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// The provider's token API can be reached, and TLS is verified.
    Reachable = "Reachable",
    /// The token is valid and its next refresh is planned.
    TokenFresh = "TokenFresh",
    /// The access token's expiry has passed.
    Expired = "Expired",
    /// `spec.suspend` is true.
    Suspended = "Suspended",
    /// No token has been obtained yet.
    Pending = "Pending",
    /// A refresh was committed.
    Refreshed = "Refreshed",
    /// A refresh failed without spending anything and will be repeated.
    RefreshRetrying = "RefreshRetrying",
    /// The seed was taken as the beginning of a chain.
    SeedAdopted = "SeedAdopted",
    /// A chain was begun with the credentials in the seed.
    Bootstrapped = "Bootstrapped",
    /// Every output is written.
    Written = "Written",
    /// An output was put back from state.
    SecretRestored = "SecretRestored",
    /// Workloads were restarted for the new contents of the outputs.
    WorkloadRestarted = "WorkloadRestarted",
    /// A target of `spec.rollout` does not exist; looked for again.
    RolloutTargetMissing = "RolloutTargetMissing",
    /// The operator may not restart a target of `spec.rollout`; tried again.
    RolloutForbidden = "RolloutForbidden",
    /// A target of `spec.rollout` could not be restarted for another reason; tried again.
    RolloutFailed = "RolloutFailed",
    /// This operator restarts nothing, whatever `spec.rollout` says.
    RolloutDisabled = "RolloutDisabled",
    /// The output Secrets could not be written; repeated.
    WriteFailed = "WriteFailed",
    /// The Kubernetes API refused or did not answer a request before anything was spent; repeated.
    ClusterUnavailable = "ClusterUnavailable",
    /// The spec is not valid.
    InvalidSpec = "InvalidSpec",
    /// The provider of providerRef does not exist.
    ProviderMissing = "ProviderMissing",
    /// The provider of providerRef does not allow the object's namespace.
    ProviderNotAllowed = "ProviderNotAllowed",
    /// The seed Secret does not exist.
    SeedMissing = "SeedMissing",
    /// The seed Secret lacks the label that opts it in.
    SeedNotAllowed = "SeedNotAllowed",
    /// The seed Secret lacks a key, or a value cannot be a token.
    SeedInvalid = "SeedInvalid",
    /// Another object uses the same seed.
    SeedInUse = "SeedInUse",
    /// The seed holds a token that was spent.
    AlreadySpent = "AlreadySpent",
    /// The state Secret belongs to another object.
    StateConflict = "StateConflict",
    /// The state Secret is immutable.
    StateImmutable = "StateImmutable",
    /// The state Secret was edited into something that cannot be read.
    StateInvalid = "StateInvalid",
    /// The state Secret is gone or holds no token, although the chain had begun.
    StateLost = "StateLost",
    /// The state Secret is an older copy.
    Regressed = "Regressed",
    /// The state Secret belongs to another cluster.
    ForeignCluster = "ForeignCluster",
    /// An output Secret belongs to somebody else.
    OutputConflict = "OutputConflict",
    /// A Secret that somebody else is to make, and that keys are to be merged into, does not exist yet.
    OutputMissing = "OutputMissing",
    /// A new token is committed and not published: the API has not accepted it in a trial.
    TokenNotVerified = "TokenNotVerified",
    /// An output Secret is immutable.
    OutputImmutable = "OutputImmutable",
    /// An output Secret exists with another type.
    OutputTypeMismatch = "OutputTypeMismatch",
    /// An output cannot be rendered or would be refused.
    OutputInvalid = "OutputInvalid",
    /// The certificate authorities cannot be read.
    CaBundleInvalid = "CABundleInvalid",
    /// The authorization server's metadata cannot be read.
    DiscoveryFailed = "DiscoveryFailed",
    /// The client's certificate cannot be read, or the token API refuses it.
    ClientCertificateInvalid = "ClientCertificateInvalid",
    /// The credentials for the proxy cannot be read, or the proxy refuses them.
    ProxyCredentialsInvalid = "ProxyCredentialsInvalid",
    /// Kubernetes gives no token of the ServiceAccount that the object names.
    ServiceAccountTokenUnavailable = "ServiceAccountTokenUnavailable",
    /// The endpoint policy does not allow the provider's address.
    EndpointNotAllowed = "EndpointNotAllowed",
    /// The token API cannot be reached.
    EndpointUnreachable = "EndpointUnreachable",
    /// The token API refused for a reason that somebody has to mend first.
    ConfigurationRejected = "ConfigurationRejected",
    /// The token API asked for a pause.
    Throttled = "Throttled",
    /// The token was sent and nobody can tell whether it was spent.
    RefreshOutcomeUnknown = "RefreshOutcomeUnknown",
    /// The chain is over: the token will never be accepted again.
    ChainLost = "ChainLost",
    /// The object is being deleted, and its tokens were revoked.
    TokenRevoked = "TokenRevoked",
    /// Tokens could not be revoked: those of an object that is being deleted, or one that was replaced.
    RevocationFailed = "RevocationFailed",
    /// The object is being deleted, and its state Secret was.
    StateDeleted = "StateDeleted",
    /// The deletion policy cannot be followed: the finalizer cannot be set, or the state Secret not be deleted.
    CleanupFailed = "CleanupFailed",
}

/// What a condition shall say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is about.
    pub type_: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word for programs.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
}

/// The conditions after `statements`: those not stated are gone, and `lastTransitionTime` moves only when the status does.
#[must_use]
pub fn restate(old: &[Condition], statements: Vec<Statement>, generation: Option<i64>, now: DateTime<Utc>) -> Vec<Condition> {
    let since = |statement: &Statement| {
        let same = |c: &&Condition| c.type_ == statement.type_ && c.status == statement.status;
        old.iter().find(same).map_or(now, |c| c.last_transition_time)
    };
    let condition = |statement: Statement| Condition {
        last_transition_time: since(&statement),
        type_: statement.type_,
        status: statement.status,
        reason: statement.reason.as_str().to_owned(),
        message: statement.message,
        observed_generation: generation,
    };
    statements.into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_stays_while_the_status_does() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let ready = |status, reason| Statement { type_: ConditionType::Ready, status, reason, message: String::new() };
        let first = restate(&[], vec![ready(ConditionStatus::True, Reason::TokenFresh)], Some(1), at(1));
        let second = restate(&first, vec![ready(ConditionStatus::True, Reason::Suspended)], Some(2), at(2));
        assert_eq!((second[0].last_transition_time, second[0].reason.as_str()), (at(1), "Suspended"));
        assert_eq!(second[0].observed_generation, Some(2));
        let third = restate(&second, vec![ready(ConditionStatus::False, Reason::Expired)], Some(2), at(3));
        assert_eq!(third[0].last_transition_time, at(3));
        assert!(restate(&third, vec![], Some(2), at(4)).is_empty());
    }
}
