//! What the operator would do about an object: its own decision and its own schedule. Pure.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{
    CreationPolicy, OutputSpec, ProviderSpec, REFRESH_REQUESTED_ANNOTATION, Reason, RefreshableToken, RefreshableTokenStatus,
};
use refreshable_token_operator::operator::cluster::{Owner, output_view};
use refreshable_token_operator::operator::seen::SeenSecret;
use refreshable_token_operator::provider::{Provider, Semantics};
use refreshable_token_operator::refresh::decide::{Facts, Memory, OutputView, Plan, ProviderView, SeedView, decide};
use refreshable_token_operator::refresh::exchange::SeenOutput;
use refreshable_token_operator::refresh::output::{ObjectName, render};
use refreshable_token_operator::refresh::schedule::{Schedule, schedule};
use refreshable_token_operator::token::{FingerprintKey, HeldTokens};

use crate::failure::{Failure, Kind};
use crate::made_up;

/// An object, and what is known of its provider and its Secrets.
pub struct Situation {
    /// The object.
    pub object: RefreshableToken,
    /// The token API: the object's own, or that of the provider that it names.
    pub provider: Result<ProviderSpec, NoProvider>,
    /// Its seed.
    pub seed: Known<String>,
    /// Its outputs, in the order of the spec.
    pub outputs: Known<Vec<Option<SeenSecret>>>,
}

/// Why a provider is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoProvider {
    /// It is not there.
    Missing,
    /// It could not be read, for this reason.
    Unread(Failure),
}

impl NoProvider {
    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Missing => "it does not exist".to_owned(),
            Self::Unread(failure) if failure.kind == Kind::Forbidden => "you may not read it".to_owned(),
            Self::Unread(failure) => failure.message.clone(),
        }
    }
}

/// An output Secret as the operator sees it.
pub struct Sighting {
    /// The object may write it.
    pub ours: bool,
    /// Somebody has made it immutable.
    pub immutable: bool,
}

impl Sighting {
    /// What metadata shows.
    pub fn of(object: &RefreshableToken, output: &OutputSpec, metadata: &ObjectMeta) -> Self {
        let seen = SeenSecret::of(metadata);
        let immutable = seen.immutable;
        // Somebody else's Secret that is to be merged into is not labelled before the first write.
        let waits = seen.role.is_empty() && output.creation_policy() == CreationPolicy::Merge;
        let view = output_view(seen, output, &object.status.clone().unwrap_or_default(), &Owner::of(object));
        Self { ours: view.map_or(waits, |view| view.seen.owned), immutable }
    }
}

/// What the token API promises about a token of the object that was presented.
pub fn semantics(provider: &ProviderSpec, object: &RefreshableToken) -> Semantics {
    Provider::new(provider.clone(), object.spec.request()).semantics()
}

/// When the newest token of an object is refreshed by the schedule alone, as it looks at `now`; none while there is no token.
pub fn scheduled(object: &RefreshableToken, now: DateTime<Utc>) -> Option<Schedule> {
    let token = object.status.as_ref()?.token.as_ref()?;
    Some(schedule(&object.spec.refresh(), token.issued_time?, token.expiration_time, &object.uid().unwrap_or_default(), now))
}

/// What could be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It is there.
    There(T),
    /// It is not there.
    Missing,
    /// It may not be read: taken for what the status says.
    Unread,
}

impl Situation {
    /// The object with its provider: its Secrets are taken for what the status says.
    pub fn of(object: RefreshableToken, provider: Result<ProviderSpec, NoProvider>) -> Self {
        Self { object, provider, seed: Known::Unread, outputs: Known::Unread }
    }

    /// The status; empty if there is none yet.
    pub fn status(&self) -> RefreshableTokenStatus {
        self.object.status.clone().unwrap_or_default()
    }

    fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// The token API in a few words.
    pub fn provider_in_words(&self) -> String {
        let told = self.provider.as_ref().ok().map(|provider| format!("{} {}", provider.name(), provider.url()));
        let named = self.object.spec.provider_ref.as_ref().map(|named| format!("{} {}", named.kind().as_str(), named.name));
        match (told, named) {
            (Some(told), Some(named)) => format!("{told} ({named})"),
            (Some(told), None) => told,
            (None, named) => named.unwrap_or_default(),
        }
    }

    /// When the newest token is refreshed by the schedule alone, as it looks at `now`; none while there is no token.
    pub fn schedule(&self, now: DateTime<Utc>) -> Option<Schedule> {
        scheduled(&self.object, now)
    }

    /// What the operator's decision at `time` would be, were all else as it is now.
    pub fn plan(&self, time: DateTime<Utc>) -> Plan {
        let mut status = self.status();
        // Which request a token was asked for with can be told with the operator's key only.
        if let Some(effective) = &mut status.effective {
            effective.request_fingerprint = None;
        }
        let name = self.object.name_any();
        let uid = self.uid();
        let known = status.seed.as_ref().and_then(|seed| seed.resource_version.clone());
        let seed = match (&self.seed, known) {
            (Known::There(version), _) => SeedView::Seen(version.clone()),
            (Known::Unread, Some(known)) => SeedView::Seen(known),
            (Known::Missing, _) | (Known::Unread, None) => SeedView::NotSeen,
        };
        // An attempt that the operator has already looked at; a newer one says so in its state.
        let unread = self
            .provider
            .as_ref()
            .err()
            .map(|why| format!("nothing can be said: the provider of providerRef: {}", why.in_words()));
        let memory = Memory { looked_at: status.attempt.as_ref().map(|attempt| attempt.id.clone()), ..Memory::default() };
        let facts = Facts {
            name: &name,
            uid: &uid,
            generation: self.object.metadata.generation,
            request: self.object.annotations().get(REFRESH_REQUESTED_ANNOTATION).map(String::as_str),
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            spec: &self.object.spec,
            provider: match &self.provider {
                Ok(spec) => ProviderView::Known { spec, version: None },
                Err(NoProvider::Missing) => ProviderView::Unusable {
                    reason: Reason::ProviderMissing,
                    message: "the provider of providerRef does not exist: create it, or name another",
                },
                Err(NoProvider::Unread(_)) => {
                    ProviderView::Unusable { reason: Reason::ProviderMissing, message: unread.as_deref().unwrap_or_default() }
                }
            },
            status: &status,
            rival: None,
            seed,
            outputs: self.views(&status, time),
            memory: &memory,
            key: &FingerprintKey::new(&[]),
        };
        decide(&facts, time)
    }

    fn views(&self, status: &RefreshableTokenStatus, time: DateTime<Utc>) -> Vec<Option<OutputView>> {
        let written = |output: &OutputSpec| status.outputs.iter().find(|written| written.secret_name == output.secret_name);
        let owner = Owner::of(&self.object);
        let outputs = &self.object.spec.outputs;
        match &self.outputs {
            Known::There(seen) => {
                let view =
                    |(output, seen): (&OutputSpec, &Option<SeenSecret>)| output_view(seen.clone()?, output, status, &owner);
                outputs.iter().zip(seen).map(view).collect()
            }
            Known::Missing | Known::Unread => {
                let view = |output: &OutputSpec| {
                    let written = written(output)?;
                    Some(OutputView {
                        seen: self.as_written(output, status, time),
                        content_hash: Some(written.content_hash.clone()),
                    })
                };
                outputs.iter().map(view).collect()
            }
        }
    }

    /// An output as it is when it is written and nobody has touched it since.
    fn as_written(&self, output: &OutputSpec, status: &RefreshableTokenStatus, time: DateTime<Utc>) -> SeenOutput {
        let previous = status.token.as_ref().and_then(|token| token.previous.as_deref());
        let tokens =
            HeldTokens { previous: previous.map(made_up::previous), ..made_up::tokens(DateTime::UNIX_EPOCH, made_up::LIFETIME) };
        let (name, namespace) = (self.object.name_any(), self.object.namespace().unwrap_or_default());
        let object = ObjectName { name: &name, namespace: &namespace };
        let rendered = render(std::slice::from_ref(output), object, &tokens, &FingerprintKey::new(&[]), time).unwrap_or_default();
        let metadata = output.metadata.clone().unwrap_or_default();
        SeenOutput {
            uid: String::new(),
            owned: true,
            type_: rendered.first().map(|rendered| rendered.type_.to_owned()),
            immutable: false,
            keys: rendered.into_iter().flat_map(|rendered| rendered.data.into_keys()).collect(),
            labels: metadata.labels.into_keys().collect(),
            annotations: metadata.annotations.into_keys().collect(),
            reference: (output.creation_policy() == CreationPolicy::Owner).then_some(0),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use refreshable_token_operator::refresh::decide::Trigger;

    use super::*;

    /// A time.
    pub fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// An object whose token was issued at 0 and lives for an hour; `spec` and `status` are merged over it.
    pub fn object(spec: &str, status: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, namespace: build, uid: u, generation: 1}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: ci-seed}}}}
  outputs: [{{secretName: ci-token, opaque: {{expirationTimeKey: until}}}}]
{spec}
status:
  observedGeneration: 1
  chainGeneration: 3
  seed: {{fingerprint: 'hmac:s', resourceVersion: '7'}}
  effective: {{provider: jfrogAccess, requestFingerprint: 'hmac:r'}}
  token: {{fingerprint: 'hmac:t', issuedTime: '1970-01-01T00:00:00Z', expirationTime: '1970-01-01T01:00:00Z'}}
  conditions: [{{type: SecretsSynced, status: 'True', reason: Written, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}]
  outputs: [{{secretName: ci-token, type: Opaque, contentHash: 'hmac:c', lastWriteTime: '1970-01-01T00:00:00Z'}}]
{status}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    /// An object with its own provider.
    pub fn alone(object: RefreshableToken) -> Situation {
        let provider = object.spec.provider.clone().ok_or(NoProvider::Missing);
        Situation::of(object, provider)
    }

    #[test]
    fn what_the_secrets_show_goes_into_the_decision() {
        let next = "  nextRefreshTime: '1970-01-01T00:40:00Z'";
        let plan = |seed, outputs| Situation { seed, outputs, ..alone(object("", next)) }.plan(at(600));
        assert!(matches!(plan(Known::Unread, Known::Unread), Plan::Wait { .. }));
        assert_eq!(plan(Known::There("8".to_owned()), Known::Unread), Plan::ReadSeed, "the seed was changed");
        let drift = plan(Known::There("7".to_owned()), Known::There(vec![None]));
        assert!(matches!(drift, Plan::Exchange { trigger: Trigger::Drift, .. }), "the output is gone: {drift:?}");
        let seen = SeenSecret {
            resource_version: "9".to_owned(),
            uid: "o".to_owned(),
            role: "output".to_owned(),
            owners: vec!["u".to_owned()],
            owned_by_us: true,
            content_hash: Some("hmac:c".to_owned()),
            keys: vec!["access_token".to_owned(), "until".to_owned()],
            ..SeenSecret::of(&ObjectMeta::default())
        };
        assert!(matches!(plan(Known::There("7".to_owned()), Known::There(vec![Some(seen.clone())])), Plan::Wait { .. }));
        let edited = SeenSecret { keys: vec!["until".to_owned()], ..seen };
        let drift = plan(Known::There("7".to_owned()), Known::There(vec![Some(edited)]));
        assert!(matches!(drift, Plan::Exchange { trigger: Trigger::Drift, .. }), "somebody took a key over: {drift:?}");
    }
}
