//! Roll-outs: which workloads are restarted for what the outputs hold, and what is said about it. A roll-out comes after the
//! publication, and nothing of a refresh waits for it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::conclude::Note;
use super::decide::{stalled, synced};
use super::schedule::{after, retry_delay, whole_seconds};
use crate::api::{Reason, RefreshableTokenSpec, RefreshableTokenStatus, RolloutKind, RolloutSpec, RolloutStatus, RolloutTarget};
use crate::token::{FingerprintKey, Purpose};

/// How many workloads one selector may mean. Our choice: more than one team runs by one token, and few enough for a second's work.
pub const MOST_WORKLOADS: usize = 100;
/// Longest pause between two tries. Our choice: a permission that was granted is found within minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What the outputs hold, as far as workloads are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Keyed hash of them all, a previous access token aside. Reveals no token: it is made of keyed hashes.
    pub hash: String,
    /// When they were last written. Pods of a workload that was created later began with them.
    pub written: DateTime<Utc>,
}

/// What the outputs hold, if it is to be rolled out: not while an output is not written, or the object is suspended or invalid.
#[must_use]
pub fn contents(spec: &RefreshableTokenSpec, status: &RefreshableTokenStatus, key: &FingerprintKey) -> Option<Contents> {
    let invalid = stalled(status) == Some(Reason::InvalidSpec.as_str());
    if spec.rollout.is_none() || spec.suspended() || invalid || !synced(status) {
        return None;
    }
    let mut parts = Vec::new();
    let mut written = None;
    for output in &spec.outputs {
        let status = status.outputs.iter().find(|written| written.secret_name == output.secret_name)?;
        parts.push((&output.secret_name, status.lasting_hash.as_ref().unwrap_or(&status.content_hash)));
        written = written.max(Some(status.last_write_time));
    }
    parts.sort_unstable();
    let hash = key.fingerprint(Purpose::Rollout, serde_json::json!(parts).to_string().as_bytes());
    Some(Contents { hash: hash.to_string(), written: written? })
}

/// What this process remembers of roll-outs that failed; lost at a restart, after which each is tried once more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// The generation of the object and the contents that they were about.
    about: Option<(Option<i64>, String)>,
    failures: u32,
    retry_time: Option<DateTime<Utc>>,
}

/// What a look at roll-outs needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// `spec.rollout`.
    pub spec: &'a RolloutSpec,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `status.rollouts`.
    pub known: &'a [RolloutStatus],
    /// What the outputs hold.
    pub contents: &'a Contents,
}

impl Situation<'_> {
    /// The targets whose turn it is.
    #[must_use]
    pub fn due(&self, tries: &Tries, now: DateTime<Utc>) -> Vec<RolloutTarget> {
        if self.rests(tries).is_some_and(|until| now < until) {
            return Vec::new();
        }
        self.behind().filter(|target| self.opens(target).is_none_or(|time| time <= now)).cloned().collect()
    }

    /// When there may be something to restart next; none when every target is up to date.
    #[must_use]
    pub fn next(&self, tries: &Tries) -> Option<DateTime<Utc>> {
        let rests = self.rests(tries);
        self.behind().map(|target| self.opens(target).max(rests).unwrap_or(DateTime::UNIX_EPOCH)).min()
    }

    /// Targets that were not brought up to date yet.
    fn behind(&self) -> impl Iterator<Item = &RolloutTarget> {
        let current = |target: &&RolloutTarget| {
            self.known(target).is_some_and(|known| known.content_hash.as_ref() == Some(&self.contents.hash))
        };
        self.spec.targets.iter().filter(move |target| !current(target))
    }

    fn known(&self, target: &RolloutTarget) -> Option<&RolloutStatus> {
        self.known.iter().find(|known| known.is_of(target))
    }

    /// When `minInterval` since the target's last restart is over.
    fn opens(&self, target: &RolloutTarget) -> Option<DateTime<Utc>> {
        Some(after(self.known(target)?.last_restart_time?, self.spec.min_interval()))
    }

    /// Until when nothing is tried because the last try failed. A changed object and new contents do not wait.
    fn rests(&self, tries: &Tries) -> Option<DateTime<Utc>> {
        tries.retry_time.filter(|_| tries.about.as_ref() == Some(&(self.generation, self.contents.hash.clone())))
    }
}

/// A workload as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// What its Pod template says that it was last restarted for.
    pub restarted_for: Option<String>,
    /// It is being deleted.
    pub deleting: bool,
}

/// What is to be done about a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is restarted.
    Restart,
    /// It was restarted for these contents, perhaps by a process that could not say so any more.
    Restarted,
    /// Its Pods began with these contents, or it is being deleted.
    Leave,
}

impl Workload {
    /// What is to be done about it. Times are in whole seconds: one of the same second may have begun before.
    #[must_use]
    pub fn turn(&self, contents: &Contents) -> Turn {
        if self.restarted_for.as_ref() == Some(&contents.hash) {
            Turn::Restarted
        } else if self.deleting || self.created.is_some_and(|created| created > contents.written) {
            Turn::Leave
        } else {
            Turn::Restart
        }
    }
}

/// Why a target could not be brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing is there.
    Missing,
    /// More workloads than a selector may mean.
    TooMany,
    /// The API server refused.
    Denied,
    /// The API server gave no clear answer.
    Unclear,
    /// This operator restarts nothing.
    SwitchedOff,
}

impl Problem {
    /// What happened, and what to do.
    #[must_use]
    pub fn message(self, target: &RolloutTarget) -> String {
        match self {
            Self::Missing => format!("there is no {target} in this namespace: create it, or take it out of spec.rollout.targets"),
            Self::TooMany => format!("there are more than {MOST_WORKLOADS} of {target}: narrow the selector"),
            Self::Denied => format!(
                "the API server does not let the operator restart {target}: allow it to get, list and patch {} (chart: \
                 rollout.enabled=true), and look at admission webhooks and policies",
                target.kind.resource()
            ),
            Self::Unclear => format!("the API server gave no clear answer about {target}; it is tried again"),
            Self::SwitchedOff => {
                format!("{target} is not restarted: this operator was started without --rollout (chart: rollout.enabled=true)")
            }
        }
    }
}

/// How a target's turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The target.
    pub target: RolloutTarget,
    /// Names of the workloads that were restarted now.
    pub restarted: Vec<String>,
    /// A workload turned out to have been restarted for these contents before.
    pub before: bool,
    /// What went wrong.
    pub problem: Option<Problem>,
}

/// The new `status.rollouts`, and what to tell people. `tries` learns of failures.
#[must_use]
pub fn conclude(
    situation: &Situation<'_>,
    ended: &[Ended],
    spec: &RefreshableTokenSpec,
    tries: &mut Tries,
    now: DateTime<Utc>,
) -> (Vec<RolloutStatus>, Vec<Note>) {
    let mut notes = Vec::new();
    let mut rollouts = situation.known.to_vec();
    for end in ended {
        let known = situation.known(&end.target).cloned().unwrap_or_else(|| RolloutStatus::new(&end.target));
        let entry = entry(known.clone(), end, &situation.contents.hash, now);
        notes.extend(restarted(end.target.kind, &end.restarted));
        if let Some(message) = entry.message.clone().filter(|message| known.message.as_ref() != Some(message)) {
            notes.push(Note { warning: true, reason: Reason::RolloutFailed, message });
        }
        rollouts.retain(|other| !other.is_of(&end.target));
        rollouts.push(entry);
    }
    let place = |entry: &RolloutStatus| situation.spec.targets.iter().position(|target| entry.is_of(target));
    rollouts.sort_by_key(place);
    let about = Some((situation.generation, situation.contents.hash.clone()));
    if ended.iter().any(|end| end.problem.is_some()) {
        let failures = if tries.about == about { tries.failures.saturating_add(1) } else { 1 };
        let delay = retry_delay(&spec.refresh(), failures, None, None).min(LONGEST_PAUSE);
        *tries = Tries { about, failures, retry_time: Some(after(now, delay + Duration::from_secs(1))) };
    }
    (rollouts, notes)
}

fn entry(known: RolloutStatus, end: &Ended, hash: &str, now: DateTime<Utc>) -> RolloutStatus {
    let message = end.problem.map(|problem| problem.message(&end.target));
    if message.is_some() {
        return RolloutStatus { message, ..known };
    }
    let moved = end.before || !end.restarted.is_empty();
    let last_restart_time = if moved { Some(whole_seconds(now)) } else { known.last_restart_time };
    RolloutStatus { content_hash: Some(hash.to_owned()), last_restart_time, message, ..known }
}

fn restarted(kind: RolloutKind, names: &[String]) -> Option<Note> {
    let named: Vec<String> = names.iter().map(|name| format!("{}/{name}", kind.word())).collect();
    let message = format!("restarted {} for the new contents of the output Secrets", named.join(", "));
    (!names.is_empty()).then_some(Note { warning: false, reason: Reason::WorkloadRestarted, message })
}

#[cfg(test)]
mod tests;
