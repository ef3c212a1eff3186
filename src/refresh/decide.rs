//! What to do about one object now: the ordered checks, from facts alone.

use chrono::{DateTime, Utc};

use crate::api::{
    AttemptState, AttemptStatus, ConditionStatus, ConditionType, CreationPolicy, Grant, Opaque, OutputMetadata, OutputSpec,
    PreviousTokenStatus, ProviderSpec, Reason, RefreshableTokenSpec, RefreshableTokenStatus, RequestSpec, validate,
    validate_with,
};
use crate::token::{Fingerprint, FingerprintKey, HeldTokens, PreviousToken, Purpose};

use super::exchange::{Seed, SeenOutput, Task};
use super::schedule::{after, paced, schedule};

/// Everything that a decision about one object rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `metadata.uid`.
    pub uid: &'a str,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Value of the annotation that asks for a refresh.
    pub request: Option<&'a str>,
    /// The object is being deleted.
    pub deleting: bool,
    /// The spec.
    pub spec: &'a RefreshableTokenSpec,
    /// The token API: of the spec, or of the provider that it names.
    pub provider: ProviderView<'a>,
    /// The status as stored.
    pub status: &'a RefreshableTokenStatus,
    /// Another object has the better right to a Secret that this one names.
    pub rival: Option<Rival>,
    /// The seed.
    pub seed: SeedView,
    /// How each output was last seen, in the order of the spec.
    pub outputs: Vec<Option<OutputView>>,
    /// What this process remembers about the object.
    pub memory: &'a Memory,
    /// Key of all fingerprints.
    pub key: &'a FingerprintKey,
}

/// The token API of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderView<'a> {
    /// It is known.
    Known {
        /// What it is.
        spec: &'a ProviderSpec,
        /// What changes whenever it may have been mended; none for one that is part of the object.
        version: Option<&'a str>,
    },
    /// The object names a provider that cannot be used.
    Unusable {
        /// Why.
        reason: Reason,
        /// What to do.
        message: &'a str,
    },
}

impl<'a> ProviderView<'a> {
    /// The token API, if it is known.
    #[must_use]
    pub fn spec(self) -> Option<&'a ProviderSpec> {
        match self {
            Self::Known { spec, .. } => Some(spec),
            Self::Unusable { .. } => None,
        }
    }

    fn version(self) -> Option<&'a str> {
        match self {
            Self::Known { version, .. } => version,
            Self::Unusable { .. } => None,
        }
    }
}

/// Another object has the better right to a Secret that this one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// What both want.
    pub reason: Reason,
    /// Who has it, and what to do.
    pub message: String,
}

/// What is known of the seed Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one exists while one object is looked at")]
pub enum SeedView {
    /// The watch shows it at this resourceVersion; not read.
    Seen(String),
    /// The watch does not show it; not looked for.
    NotSeen,
    /// It was read just now.
    Read {
        /// Its resourceVersion.
        resource_version: String,
        /// Its tokens.
        seed: Seed,
    },
    /// It was looked for just now and cannot be used.
    Unusable {
        /// Why.
        reason: Reason,
        /// What to do.
        message: String,
    },
}

/// An output Secret as the watch last showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputView {
    /// What an exchange needs of it.
    pub seen: SeenOutput,
    /// The hash that was written with its contents.
    pub content_hash: Option<String>,
}

/// What this process remembers about an object; lost at a restart, and nothing that matters hangs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Not before this time again, for work that failed without a mark in the status.
    pub retry_time: Option<DateTime<Utc>>,
    /// No refresh before this time: a late copy of a lost request may still arrive.
    pub rest_until: Option<DateTime<Utc>>,
    /// This process has looked at the unresolved attempt of this id.
    pub looked_at: Option<String>,
    /// Claims that are known to have spent nothing.
    pub void_claims: Vec<String>,
    /// Publications that failed in a row.
    pub publish_failures: u32,
    /// Refreshes that this process knows to be committed: a state Secret with fewer is an older copy, whatever the status says.
    pub generation: i64,
    /// What the watch showed when work was put off. Once it shows something else, nothing is put off any longer.
    pub sight: Option<Box<Sight>>,
}

/// What the watches show beside the object, as far as a refusal can hang on it: the version of the provider and of the seed, and
/// of each output whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    provider: Option<String>,
    seed: Option<String>,
    outputs: Vec<Option<(String, bool, bool)>>,
}

impl Sight {
    /// What the watch shows now.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Self {
        let seed = match &facts.seed {
            SeedView::Seen(version) | SeedView::Read { resource_version: version, .. } => Some(version.clone()),
            SeedView::NotSeen | SeedView::Unusable { .. } => None,
        };
        let output = |view: &OutputView| (view.seen.uid.clone(), view.seen.owned, view.seen.immutable);
        let provider = facts.provider.version().map(str::to_owned);
        Self { provider, seed, outputs: facts.outputs.iter().map(|view| view.as_ref().map(output)).collect() }
    }
}

/// Why an exchange is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The schedule.
    Scheduled,
    /// An earlier failure.
    Retry,
    /// The annotation.
    Manual,
    /// A change of the spec that shapes the token.
    Spec,
    /// A new seed.
    Seed,
    /// The credentials in the seed begin a chain, the first or another after one that was lost.
    Bootstrap,
    /// An output differs from what it shall be, or an attempt has to be looked at.
    Drift,
    /// The access token has expired, and what became of its last refresh is not known.
    LastTry,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing at all: the object is being deleted.
    Leave,
    /// Read the seed, then decide again.
    ReadSeed,
    /// Begin an exchange.
    Exchange {
        /// What for.
        task: Task,
        /// Why.
        trigger: Trigger,
        /// The full preflight is due.
        preflight: bool,
    },
    /// Nothing until `until`, or until something changes.
    Wait {
        /// When to look again.
        until: Option<DateTime<Utc>>,
    },
    /// Nothing until somebody changes something; say so.
    Halt {
        /// Why.
        reason: Reason,
        /// What to do.
        message: String,
    },
}

/// Decides what to do about an object. The checks stand in the order of the lines; the first that applies wins.
#[must_use]
pub fn decide(facts: &Facts<'_>, now: DateTime<Utc>) -> Plan {
    if facts.deleting {
        return Plan::Leave;
    }
    if let Err(invalid) = validate(facts.name, facts.spec) {
        return Plan::Halt { reason: Reason::InvalidSpec, message: invalid.to_string() };
    }
    let provider = match facts.provider {
        ProviderView::Known { spec, .. } => spec,
        ProviderView::Unusable { reason, message } => return Plan::Halt { reason, message: message.to_owned() },
    };
    if let Err(invalid) = validate_with(facts.name, facts.spec, provider) {
        return Plan::Halt { reason: Reason::InvalidSpec, message: invalid.to_string() };
    }
    if let Some(rival) = &facts.rival {
        return Plan::Halt { reason: rival.reason, message: rival.message.clone() };
    }
    if facts.spec.suspended() {
        return Plan::Wait { until: expiry(facts).filter(|expiry| *expiry > now) };
    }
    if let Some(plan) = seed(facts) {
        return plan;
    }
    if let Some(plan) = refresh(facts, provider, now) {
        return plan;
    }
    if let Some(plan) = publish(facts, now) {
        return plan;
    }
    Plan::Wait { until: wake(facts, now) }
}

/// Whether a chain has begun: a refresh was committed, or a seed was adopted.
fn begun(facts: &Facts<'_>) -> bool {
    facts.status.chain_generation.unwrap_or(0) > 0 || facts.status.seed.is_some()
}

fn seed(facts: &Facts<'_>) -> Option<Plan> {
    let known = facts.status.seed.as_ref().and_then(|seed| seed.resource_version.as_deref());
    // Until the first refresh is committed the seed still holds the token that is good, should the state Secret be gone.
    let refreshed = facts.status.chain_generation.unwrap_or(0) > 0;
    match &facts.seed {
        SeedView::Seen(version) => (known != Some(version) || !refreshed).then_some(Plan::ReadSeed),
        SeedView::Read { .. } => None,
        SeedView::NotSeen if refreshed => None,
        SeedView::NotSeen => Some(Plan::ReadSeed),
        // A chain that runs does not need its seed any more.
        SeedView::Unusable { .. } if begun(facts) => None,
        SeedView::Unusable { reason, message } => Some(Plan::Halt { reason: *reason, message: message.clone() }),
    }
}

/// A seed that was read and is another than the chain began with.
#[must_use]
pub fn new_seed(facts: &Facts<'_>) -> bool {
    let SeedView::Read { seed, .. } = &facts.seed else { return false };
    let known = facts.status.seed.as_ref().map(|seed| seed.fingerprint.as_str());
    known != Some(seed.fingerprint.as_str())
        && !facts.status.spent_fingerprints.iter().any(|spent| spent == seed.fingerprint.as_str())
}

/// The seed that was read holds no token of a chain, but what brings the first ones.
fn seed_creates(facts: &Facts<'_>) -> bool {
    let SeedView::Read { seed, .. } = &facts.seed else { return false };
    facts.spec.credential.bootstrap.is_some() && seed.tokens == HeldTokens::default()
}

/// Whether no chain has begun, and the credentials in the seed begin one: whoever asks for a refresh then asks for that.
#[must_use]
pub fn to_begin(facts: &Facts<'_>) -> bool {
    !begun(facts) && seed_creates(facts)
}

/// A seed that was read because it changed, and holds the token that is known.
fn seed_edited(facts: &Facts<'_>) -> bool {
    let SeedView::Read { resource_version, seed } = &facts.seed else { return false };
    let known = facts.status.seed.as_ref();
    known.is_some_and(|known| {
        known.fingerprint == seed.fingerprint.as_str() && known.resource_version.as_ref() != Some(resource_version)
    })
}

fn refresh(facts: &Facts<'_>, provider: &ProviderSpec, now: DateTime<Utc>) -> Option<Plan> {
    let status = facts.status;
    let exchange = |trigger, preflight| Some(Plan::Exchange { task: Task::Refresh, trigger, preflight });
    let adopt = || {
        let trigger = if seed_creates(facts) { Trigger::Bootstrap } else { Trigger::Seed };
        Some(Plan::Exchange { task: Task::Adopt, trigger, preflight: true })
    };
    let failed = status.consecutive_failures.unwrap_or(0) > 0;
    let changed = status.observed_generation != facts.generation;
    let preflight = status.chain_generation.unwrap_or(0) == 0 || changed || failed || stalled(status).is_some();
    if facts.memory.rest_until.is_some_and(|rest| now < rest) {
        return None;
    }
    let planned = status.next_refresh_time.filter(|_| failed);
    // A seed that no exchange of this process was begun with does not wait.
    let untried = facts.memory.sight.is_none();
    if new_seed(facts) && (untried || !put_off(facts, facts.memory.retry_time.max(planned), now)) {
        return adopt();
    }
    if let Some(attempt) = &status.attempt {
        return last_try(facts, attempt, now);
    }
    if requested(facts) {
        return exchange(Trigger::Manual, preflight);
    }
    if lost(status) && facts.spec.recovers() {
        let waits = put_off(facts, facts.memory.retry_time.max(planned), now);
        return if waits { None } else { exchange(Trigger::Bootstrap, true) };
    }
    if ended(status) || put_off(facts, facts.memory.retry_time, now) {
        return None;
    }
    if !begun(facts) {
        return if put_off(facts, planned, now) { None } else { adopt() };
    }
    let asked_with = status.effective.as_ref().and_then(|effective| effective.request_fingerprint.as_deref());
    if asked_with.is_some_and(|known| known != request_fingerprint(provider, &facts.spec.request(), facts.key).as_str())
        && (changed || !failed)
    {
        return exchange(Trigger::Spec, true);
    }
    // A changed object, or a seed with another password, may have mended what was refused.
    if failed && (changed || mended(facts)) {
        return exchange(Trigger::Retry, true);
    }
    if due(facts, now).is_some_and(|due| now >= due) {
        return exchange(if failed { Trigger::Retry } else { Trigger::Scheduled }, preflight);
    }
    None
}

/// The provider, or the password in the seed, is another than when the last try failed.
fn mended(facts: &Facts<'_>) -> bool {
    let now = Sight::of(facts);
    let before = facts.memory.sight.as_deref();
    seed_edited(facts) && before != Some(&now) || before.is_some_and(|before| before.provider != now.provider)
}

/// The one late repeat, planned when the outcome was found to be unknown.
fn last_try(facts: &Facts<'_>, attempt: &AttemptStatus, now: DateTime<Utc>) -> Option<Plan> {
    let due = facts.status.next_refresh_time.is_some_and(|time| time <= now);
    let waits = put_off(facts, facts.memory.retry_time, now);
    (attempt.state == AttemptState::Unknown && due && !waits).then_some(Plan::Exchange {
        task: Task::LastTry,
        trigger: Trigger::LastTry,
        preflight: false,
    })
}

/// Whether work waits until `until`: unless the object or its Secrets have changed since it was put off.
fn put_off(facts: &Facts<'_>, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let changed = facts.status.observed_generation != facts.generation
        || facts.memory.sight.as_deref().is_some_and(|sight| *sight != Sight::of(facts));
    until.is_some_and(|until| now < until) && !changed
}

/// Whether the annotation asks for a refresh that was not handled yet.
#[must_use]
pub fn requested(facts: &Facts<'_>) -> bool {
    facts.request.is_some_and(|request| facts.status.last_handled_refresh_request.as_deref() != Some(request))
}

/// Outputs that are missing, edited or of another spec, and attempts that nobody of this process has looked at.
fn publish(facts: &Facts<'_>, now: DateTime<Utc>) -> Option<Plan> {
    let exchange = Some(Plan::Exchange { task: Task::Publish, trigger: Trigger::Drift, preflight: false });
    let status = facts.status;
    let changed = status.observed_generation != facts.generation;
    if put_off(facts, facts.memory.retry_time, now) {
        return None;
    }
    // Still said to be sending: whatever an exchange found out about it was never stored.
    if let Some(attempt) = &status.attempt
        && (attempt.state == AttemptState::Sending || facts.memory.looked_at.as_ref() != Some(&attempt.id))
    {
        return exchange;
    }
    if status.chain_generation.unwrap_or(0) == 0 {
        return None;
    }
    let drift = facts.spec.outputs.iter().zip(&facts.outputs).any(|(output, seen)| {
        let written = status.outputs.iter().find(|written| written.secret_name == output.secret_name);
        match (seen, written) {
            (Some(seen), Some(written)) => {
                !seen.seen.owned || seen.content_hash.as_ref() != Some(&written.content_hash) || !intact(facts, output, seen, now)
            }
            (None, _) | (_, None) => true,
        }
    });
    let refused = stalled(status).is_some_and(|reason| !lasting(reason));
    if drift || changed || refused || !synced(status) || retires(facts, now) { exchange } else { None }
}

/// When the access token that was replaced is to be revoked; none if it is left to its expiry, or has come to it.
fn retirement(spec: &RefreshableTokenSpec, status: &RefreshableTokenStatus) -> Option<DateTime<Utc>> {
    let grace = spec.refresh().revoke_replaced_after?.get();
    let previous = status.token.as_ref()?.previous.as_ref().filter(|_| status.attempt.is_none())?;
    let due = after(previous.replaced_time, grace);
    previous.expiration_time.is_none_or(|end| due < end).then_some(due)
}

/// Whether the access token that was replaced is to be revoked now.
#[must_use]
pub fn retires(facts: &Facts<'_>, now: DateTime<Utc>) -> bool {
    let alive = |previous: &PreviousTokenStatus| previous.expiration_time.is_none_or(|end| now < end);
    let previous = facts.status.token.as_ref().and_then(|token| token.previous.as_deref());
    previous.is_some_and(alive) && retirement(facts.spec, facts.status).is_some_and(|due| due <= now)
}

/// Whether this operator still manages every key, label and annotation that the output has, it belongs to whom it shall, and the
/// previous token is there no longer than it shall.
fn intact(facts: &Facts<'_>, output: &OutputSpec, view: &OutputView, now: DateTime<Utc>) -> bool {
    let SeenOutput { keys, labels, annotations, reference, .. } = &view.seen;
    if reference.is_some() != (output.creation_policy() == CreationPolicy::Owner) {
        return false;
    }
    let has = |key: &str| keys.iter().any(|known| known == key);
    let shape = match output {
        OutputSpec { opaque: Some(opaque), .. } => {
            let expires = expiry(facts).is_some();
            has(opaque.access_token_key())
                && [&opaque.refresh_token_key, &opaque.reference_token_key].into_iter().flatten().all(|key| has(key))
                && opaque.expiration_time_key.as_ref().is_none_or(|key| !expires || has(key))
                && opaque.previous_access_token_key.as_ref().is_none_or(|key| has(key) == shows_previous(facts, opaque, now))
        }
        OutputSpec { docker_config_json: Some(_), .. } => has(".dockerconfigjson"),
        OutputSpec { .. } => has("username") && has("password"),
    };
    let wanted = |metadata: &OutputMetadata| {
        metadata.labels.keys().all(|name| labels.contains(name))
            && metadata.annotations.keys().all(|name| annotations.contains(name))
    };
    shape && output.files.iter().all(|file| has(&file.key)) && output.metadata.as_ref().is_none_or(wanted)
}

/// When an output's previous token is to be taken away; none if there is none, or none that ends.
fn previous_until(status: &RefreshableTokenStatus, opaque: &Opaque) -> Option<DateTime<Utc>> {
    opaque.previous_access_token_key.as_ref()?;
    let previous = status.token.as_ref()?.previous.as_ref()?;
    PreviousToken::until(opaque.previous_access_token_grace(), previous.replaced_time, previous.expiration_time)
}

/// When outputs are to be written again because the previous token's time in them is over.
pub fn previous_ends(spec: &RefreshableTokenSpec, status: &RefreshableTokenStatus) -> impl Iterator<Item = DateTime<Utc>> {
    spec.outputs.iter().filter_map(|output| previous_until(status, output.opaque.as_ref()?))
}

/// Whether an output that asks for the previous token has one now.
fn shows_previous(facts: &Facts<'_>, opaque: &Opaque, now: DateTime<Utc>) -> bool {
    let exists = facts.status.token.as_ref().is_some_and(|token| token.previous.is_some());
    exists && previous_until(facts.status, opaque).is_none_or(|until| now < until)
}

/// Names of the outputs whose previous token has come to its end since they were last written: what is written now is no repair.
/// By the status alone, for the Secrets as they are seen may show that write already.
#[must_use]
pub fn lapsed<'a>(facts: &Facts<'a>, now: DateTime<Utc>) -> Vec<&'a str> {
    let over = |output: &&OutputSpec| {
        let until = output.opaque.as_ref().and_then(|opaque| previous_until(facts.status, opaque));
        let written = facts.status.outputs.iter().find(|written| written.secret_name == output.secret_name);
        until.zip(written).is_some_and(|(until, written)| written.last_write_time < until && until <= now)
    };
    facts.spec.outputs.iter().filter(over).map(|output| output.secret_name.as_str()).collect()
}

pub(super) fn synced(status: &RefreshableTokenStatus) -> bool {
    let synced = |c: &&crate::api::Condition| c.type_ == ConditionType::SecretsSynced;
    status.conditions.iter().find(synced).is_some_and(|c| c.status == ConditionStatus::True)
}

/// The reason for which the object stands still, if it does.
#[must_use]
pub fn stalled(status: &RefreshableTokenStatus) -> Option<&str> {
    let stalled = |c: &&crate::api::Condition| c.type_ == ConditionType::Stalled && c.status == ConditionStatus::True;
    status.conditions.iter().find(stalled).map(|c| c.reason.as_str())
}

/// Reasons that a new seed only, or a person's request, takes away.
fn lasting(reason: &str) -> bool {
    [Reason::ChainLost, Reason::RefreshOutcomeUnknown, Reason::ConfigurationRejected]
        .iter()
        .any(|lasting| lasting.as_str() == reason)
}

/// The chain is over or gone, as far as the status knows, and nothing but a new one helps.
pub(super) fn lost(status: &RefreshableTokenStatus) -> bool {
    stalled(status).is_some_and(|reason| reason == Reason::ChainLost.as_str() || reason == Reason::StateLost.as_str())
}

/// The chain is over, as far as the status knows.
fn ended(status: &RefreshableTokenStatus) -> bool {
    stalled(status).is_some_and(|reason| reason == Reason::ChainLost.as_str() || reason == Reason::RefreshOutcomeUnknown.as_str())
}

fn expiry(facts: &Facts<'_>) -> Option<DateTime<Utc>> {
    facts.status.token.as_ref().and_then(|token| token.expiration_time)
}

/// When the next refresh is due: when it is planned, but after a refresh that brought no newer access token not at once.
fn due(facts: &Facts<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // A time to come was written by hand, and must not let a token die; after a failure there is a pause of its own.
    let failed = facts.status.consecutive_failures.unwrap_or(0) > 0;
    let last = facts.status.last_refresh_time.filter(|last| *last <= now && !failed);
    Some(paced(&facts.spec.refresh(), planned(facts, now)?, last, facts.status.token.as_ref()))
}

/// When the next refresh is planned: as the status says; or as the schedule says now, when the spec has changed since, or a window
/// may have gone by.
fn planned(facts: &Facts<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let status = facts.status;
    let planned = status.next_refresh_time;
    let issued = status.token.as_ref().and_then(|token| token.issued_time);
    if status.consecutive_failures.unwrap_or(0) > 0 {
        // No next try is planned while a person has to act; once that is over, it is overdue.
        return planned.or(Some(DateTime::UNIX_EPOCH));
    }
    let policy = facts.spec.refresh();
    let anew = status.observed_generation != facts.generation || planned.is_none() || !policy.windows.is_empty();
    match issued {
        Some(issued) if anew => Some(schedule(&policy, issued, expiry(facts), facts.uid, now).refresh_time),
        // A status that was edited by hand must not let a token die.
        Some(_) => planned.into_iter().chain(expiry(facts)).min(),
        None => planned.or(Some(DateTime::UNIX_EPOCH)),
    }
}

/// When to look again: the next refresh, the expiry, or the end of a rest.
fn wake(facts: &Facts<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let due = if ended(facts.status) { facts.status.next_refresh_time } else { due(facts, now) };
    let times = [due, expiry(facts), facts.memory.retry_time, facts.memory.rest_until];
    let previous = previous_ends(facts.spec, facts.status).chain(retirement(facts.spec, facts.status));
    times.into_iter().flatten().chain(previous).filter(|time| *time > now).min()
}

/// Keyed fingerprint of what shapes the token: the provider's address and what is asked for.
#[must_use]
pub fn request_fingerprint(provider: &ProviderSpec, wish: &RequestSpec, key: &FingerprintKey) -> Fingerprint {
    let shaping = match provider {
        // As it was before there was a choice where the default is meant.
        ProviderSpec::Oauth2(oauth2) if oauth2.grant() != Grant::RefreshToken => {
            serde_json::json!([provider.name(), provider.url(), wish, oauth2.grant()])
        }
        _ => serde_json::json!([provider.name(), provider.url(), wish]),
    };
    key.fingerprint(Purpose::Request, shaping.to_string().as_bytes())
}
