//! What the operator reports about an object. Never a token: fingerprints, times and codes from fixed lists.

use chrono::{DateTime, Utc};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exact::exact;
use super::{Condition, RolloutKind, RolloutTarget};

/// What the operator reports. Times are in whole seconds, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// kstatus takes an object without a status for done: a new one must not look so before the operator has seen it.
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct RefreshableTokenStatus {
    /// The `metadata.generation` that this status is about; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready and SecretsSynced always; Reconciling and Stalled only while they are true.
    #[serde(default, deserialize_with = "exact", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The newest access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// The seed that the chain began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<SeedStatus>,
    /// How many refreshes have been committed since the object exists; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_generation: Option<i64>,
    /// When the last refresh was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh_time: Option<DateTime<Utc>>,
    /// When the next refresh is due; absent while none will happen without a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_refresh_time: Option<DateTime<Utc>>,
    /// When a refresh last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<DateTime<Utc>>,
    /// Refreshes that failed since the last one that was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// The last value of the annotation `refreshabletoken.io/refresh-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_refresh_request: Option<String>,
    /// An exchange that is under way or unresolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Box<AttemptStatus>>,
    /// Keyed fingerprints of the last 8 tokens that were spent; none of them is ever presented again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub spent_fingerprints: Vec<String>,
    /// What the policy came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveStatus>,
    /// The output Secrets.
    #[serde(default, deserialize_with = "exact", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["secretName".into()]))]
    pub outputs: Vec<OutputStatus>,
    /// The targets of spec.rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub rollouts: Vec<RolloutStatus>,
}

impl RefreshableTokenStatus {
    /// Whether both say the same about the chain: what one replica must not write over what another has found out since.
    #[must_use]
    pub fn same_chain(&self, other: &Self) -> bool {
        let facts = |status: &Self| (status.attempt.clone(), status.spent_fingerprints.clone(), status.chain_generation);
        facts(self) == facts(other)
    }
}

/// The newest access token.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// Keyed fingerprint of the access token; changes when the token does.
    pub fingerprint: String,
    /// The instant before the request that brought this token was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_time: Option<DateTime<Utc>>,
    /// When the token ends; absent when neither the answer nor the token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<DateTime<Utc>>,
    /// The real lifetime, such as 1h0m0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
    /// When the refresh token ends, where the API says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_expiration_time: Option<DateTime<Utc>>,
    /// Whom the token speaks for, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The granted scope, where the API says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The API's name for this token, where it has one.
    #[serde(rename = "tokenID", default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// When the API accepted this token in a trial, where recovery.verifyBeforePublish asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<DateTime<Utc>>,
    /// The access token before this one, while an output asks for it, or until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<PreviousTokenStatus>>,
}

/// The access token before the newest.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousTokenStatus {
    /// Keyed fingerprint of the access token.
    pub fingerprint: String,
    /// The instant before the request that brought its successor was sent.
    pub replaced_time: DateTime<Utc>,
    /// When the token ends; absent when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<DateTime<Utc>>,
}

/// The seed that the chain began with.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedStatus {
    /// Keyed fingerprint of the token in the seed.
    pub fingerprint: String,
    /// The seed Secret's resourceVersion when it was last read: an unchanged seed is not read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// An exchange that is under way or unresolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Name of the claim in the state Secret.
    pub id: String,
    /// How far it is known to have come.
    pub state: AttemptState,
    /// When it began.
    pub start_time: DateTime<Utc>,
}

/// How far an exchange is known to have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttemptState {
    /// The token may be on its way to the API.
    Sending,
    /// The token was sent and no answer came: nobody can tell whether it was spent.
    Unknown,
}

/// What the policy came to.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveStatus {
    /// The provider in use.
    pub provider: String,
    /// How long before expiry the token is refreshed, jitter left out; absent while the expiry is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How much earlier than that, because of jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// What shortened or moved the policy, in words; absent when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Keyed fingerprint of the provider and the request that the newest token was asked for with: a change asks for a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_fingerprint: Option<String>,
}

/// An output Secret.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputStatus {
    /// Name of the Secret.
    pub secret_name: String,
    /// Type of the Secret.
    #[serde(rename = "type")]
    pub type_: String,
    /// Keyed hash of the contents.
    pub content_hash: String,
    /// The same hash without the previous access token, while the contents show one: it goes by itself, and no workload is
    /// restarted for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting_hash: Option<String>,
    /// When the contents were last written.
    pub last_write_time: DateTime<Utc>,
}

/// A target of spec.rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Kind of the workload.
    pub kind: RolloutKind,
    /// Name of the workload, for a target by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels, such as `app=web,tier=ci`, for a target by selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What the outputs held when the target was last brought up to date, as a keyed hash of them all: it is not restarted for
    /// the same contents again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// When it was last restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restart_time: Option<DateTime<Utc>>,
    /// Why it could not be restarted for what the outputs hold now, in one word for programs; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people: what happened and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl RolloutStatus {
    /// An entry for a target of which nothing is known.
    #[must_use]
    pub fn new(target: &RolloutTarget) -> Self {
        Self {
            kind: target.kind,
            name: target.name.clone(),
            selector: target.selector.as_ref().map(super::RolloutSelector::text),
            content_hash: None,
            last_restart_time: None,
            reason: None,
            message: None,
        }
    }

    /// Whether this is about that target.
    #[must_use]
    pub fn is_of(&self, target: &RolloutTarget) -> bool {
        let selector = target.selector.as_ref().map(super::RolloutSelector::text);
        (self.kind, &self.name, &self.selector) == (target.kind, &target.name, &selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_a_spent_token_or_a_refresh_makes_another_chain_and_nothing_else_does() {
        let status = RefreshableTokenStatus::default();
        let start_time = DateTime::UNIX_EPOCH;
        let attempt = |state| Some(Box::new(AttemptStatus { id: "a".into(), state, start_time }));
        let sending = RefreshableTokenStatus { attempt: attempt(AttemptState::Sending), ..status.clone() };
        let unknown = RefreshableTokenStatus { attempt: attempt(AttemptState::Unknown), ..status.clone() };
        let spent = RefreshableTokenStatus { spent_fingerprints: vec!["hmac:0".into()], ..status.clone() };
        let refreshed = RefreshableTokenStatus { chain_generation: Some(1), ..status.clone() };
        assert!(!sending.same_chain(&unknown));
        for other in [sending, unknown, spent, refreshed] {
            assert!(!status.same_chain(&other) && !other.same_chain(&status), "{other:?}");
            assert!(other.same_chain(&other.clone()));
        }
        let same = RefreshableTokenStatus { consecutive_failures: Some(1), observed_generation: Some(2), ..status.clone() };
        assert!(status.same_chain(&same));
    }
}
