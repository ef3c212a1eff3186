//! Roll-outs: which targets of `spec.rollout` are to be restarted for what the outputs hold, and when. A roll-out comes after the
//! publication, and nothing of a refresh waits for it.
//!
//! Nothing but new contents restarts a workload: what a process remembers, or a status that was lost, is no reason. So each
//! restarted workload bears the [`Revision`] that it was restarted for ([`Workload::turn`]), and the status has it too.

mod conclude;
mod workload;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use conclude::{Concluded, Ended, Problem, conclude};
pub use workload::{MOST_WORKLOADS, Turn, Workload};

use super::decide::{stalled, synced};
use super::schedule::{after, retry_delay};
use crate::api::{Reason, RefreshSpec, RefreshableToken, RolloutSpec, RolloutStatus, RolloutTarget, restarted_for_annotation};
use crate::token::{FingerprintKey, Purpose};

/// Longest pause between two tries. Our choice: a permission that was granted is found within minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How many digits of a key's name tell it from another. Our choice: an installation has had few keys.
const KEY_DIGITS: usize = 8;

/// A name for what the outputs hold: a keyed hash of all contents, a dot, and the end of the key's own name.
///
/// Two of one key are equal exactly when the contents are. Two of different keys cannot be compared: when the operator has lost
/// its key, no workload is restarted for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    fn of(contents: &[u8], key: &FingerprintKey) -> Self {
        let (name, hash) = (key.name(), key.fingerprint(Purpose::Rollout, contents));
        let cut = name.as_str().len().saturating_sub(KEY_DIGITS);
        Self(format!("{hash}.{}", name.as_str().get(cut..).unwrap_or_default()))
    }

    /// The printable form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `remembered` is this one.
    fn is(&self, remembered: Option<&String>) -> bool {
        remembered == Some(&self.0)
    }

    /// Whether `remembered` was made with the same key.
    fn can_judge(&self, remembered: Option<&String>) -> bool {
        let key = |text: &str| text.rsplit_once('.').map(|(_, key)| key.to_owned());
        remembered.is_some_and(|remembered| key(remembered) == key(&self.0))
    }
}

/// What the outputs hold, as far as workloads are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its name; a previous access token counts for nothing, because its end is no change.
    pub revision: Revision,
    /// The annotation of Pod templates in which this object writes the revision.
    pub annotation: String,
    /// When an output was last written.
    pub written: DateTime<Utc>,
    /// When the token in them was issued. It stands in the state Secret, so that a lost status does not change it.
    pub issued: Option<DateTime<Utc>>,
}

/// What the outputs of an object hold, if it is to be rolled out: not while an output is not written, the status is about another
/// spec, or the object is suspended, invalid or being deleted.
#[must_use]
pub fn contents(object: &RefreshableToken, key: &FingerprintKey) -> Option<Contents> {
    let (metadata, spec, status) = (&object.metadata, &object.spec, object.status.as_ref()?);
    let invalid = stalled(status) == Some(Reason::InvalidSpec.as_str());
    let behind = status.observed_generation != metadata.generation || !synced(status);
    if behind || invalid || spec.suspended() || metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut hashes = Vec::new();
    let mut written = None;
    for output in &spec.outputs {
        let output = status.outputs.iter().find(|written| written.secret_name == output.secret_name)?;
        hashes.push((&output.secret_name, output.lasting_hash.as_ref().unwrap_or(&output.content_hash)));
        written = written.max(Some(output.last_write_time));
    }
    hashes.sort_unstable();
    Some(Contents {
        revision: Revision::of(serde_json::json!(hashes).to_string().as_bytes(), key),
        annotation: restarted_for_annotation(metadata.name.as_deref()?),
        written: written?,
        issued: status.token.as_ref().and_then(|token| token.issued_time),
    })
}

/// What this process remembers of targets that failed. Lost at a restart, after which each is tried once more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// The generation of the object and the revision that they were about. A changed object and new contents do not wait.
    about: Option<(Option<i64>, Revision)>,
    failed: Vec<Failed>,
}

/// A target that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    target: RolloutTarget,
    /// In a row.
    count: u32,
    retry_time: DateTime<Utc>,
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
    /// What failed before.
    pub tries: &'a Tries,
}

impl Situation<'_> {
    /// The targets whose turn it is.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> Vec<RolloutTarget> {
        self.spec.targets.iter().filter(|target| self.opens(target).is_some_and(|time| time <= now)).cloned().collect()
    }

    /// When it is some target's turn next; none when all are up to date.
    #[must_use]
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.spec.targets.iter().filter_map(|target| self.opens(target)).min()
    }

    /// What the status has about a target.
    #[must_use]
    pub fn known(&self, target: &RolloutTarget) -> Option<&RolloutStatus> {
        self.known.iter().find(|known| known.is_of(target))
    }

    /// From when on it is a target's turn; none once it is up to date. A turn that has begun goes on by its retries alone;
    /// another one begins `minInterval` after the last restart.
    fn opens(&self, target: &RolloutTarget) -> Option<DateTime<Utc>> {
        let known = self.known(target);
        if self.contents.revision.is(known.and_then(|known| known.content_hash.as_ref())) {
            return None;
        }
        if let Some(failed) = self.failed(target) {
            return Some(failed.retry_time);
        }
        let last = known.and_then(|known| known.last_restart_time);
        Some(last.map_or(DateTime::UNIX_EPOCH, |last| after(last, self.spec.min_interval())))
    }

    /// What failed about these contents before.
    fn failed(&self, target: &RolloutTarget) -> Option<&Failed> {
        let about = self.tries.about.as_ref() == Some(&self.about());
        self.tries.failed.iter().find(|failed| about && failed.target == *target)
    }

    fn about(&self) -> (Option<i64>, Revision) {
        (self.generation, self.contents.revision.clone())
    }

    /// What is to be remembered after these turns have ended.
    fn tries_after(&self, ended: &[Ended], policy: &RefreshSpec, now: DateTime<Utc>) -> Tries {
        let mut failed = Vec::new();
        for target in &self.spec.targets {
            let before = self.failed(target);
            match ended.iter().find(|end| end.target == *target) {
                None => failed.extend(before.cloned()),
                Some(Ended { problem: None, .. }) => {}
                Some(Ended { problem: Some(_), .. }) => {
                    let count = before.map_or(0, |before| before.count).saturating_add(1);
                    // Times are cut to whole seconds: one more makes sure that the pause is over.
                    let pause = retry_delay(policy, count, None, None).min(LONGEST_PAUSE) + Duration::from_secs(1);
                    failed.push(Failed { target: target.clone(), count, retry_time: after(now, pause) });
                }
            }
        }
        Tries { about: Some(self.about()), failed }
    }
}

#[cfg(test)]
mod tests;
