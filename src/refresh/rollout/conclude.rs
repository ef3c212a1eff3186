//! What a roll-out came to: the status, the events, and when to try again.

use chrono::{DateTime, Utc};

use super::{MOST_WORKLOADS, Situation, Tries};
use crate::api::{Reason, RefreshSpec, RolloutStatus, RolloutTarget};
use crate::refresh::conclude::Note;
use crate::refresh::schedule::whole_seconds;

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
    /// One word for programs.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::RolloutTargetMissing,
            Self::Denied => Reason::RolloutForbidden,
            Self::TooMany | Self::Unclear => Reason::RolloutFailed,
            Self::SwitchedOff => Reason::RolloutDisabled,
        }
    }

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
    /// What went wrong, if anything did: with one workload of many, or with all.
    pub problem: Option<Problem>,
}

impl Ended {
    /// A turn in which nothing has happened yet.
    #[must_use]
    pub fn new(target: RolloutTarget) -> Self {
        Self { target, restarted: Vec::new(), before: false, problem: None }
    }

    /// The same turn with this problem.
    #[must_use]
    pub fn with(self, problem: Problem) -> Self {
        Self { problem: Some(problem), ..self }
    }
}

/// What follows from turns that have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concluded {
    /// `status.rollouts`, in the order of the targets.
    pub rollouts: Vec<RolloutStatus>,
    /// What to tell people: each restart, and each problem that is a new one.
    pub notes: Vec<Note>,
    /// What this process remembers.
    pub tries: Tries,
}

/// What follows from turns that have ended; `policy` says how they are repeated.
#[must_use]
pub fn conclude(situation: &Situation<'_>, ended: &[Ended], policy: &RefreshSpec, now: DateTime<Utc>) -> Concluded {
    let mut notes = Vec::new();
    let mut rollouts = Vec::new();
    for target in &situation.spec.targets {
        let known = situation.known(target);
        let Some(end) = ended.iter().find(|end| end.target == *target) else {
            rollouts.extend(known.cloned());
            continue;
        };
        let before = known.and_then(|known| known.reason.as_deref());
        let problem = end.problem.filter(|problem| before != Some(problem.reason().as_str()));
        notes.extend(restarted(end));
        notes.extend(problem.map(|problem| Note { warning: true, reason: problem.reason(), message: problem.message(target) }));
        rollouts.push(entry(situation, end, now));
    }
    Concluded { rollouts, notes, tries: situation.tries_after(ended, policy, now) }
}

fn entry(situation: &Situation<'_>, end: &Ended, now: DateTime<Utc>) -> RolloutStatus {
    let known = situation.known(&end.target).cloned().unwrap_or_else(|| RolloutStatus::new(&end.target));
    let moved = end.before || !end.restarted.is_empty();
    let last_restart_time = if moved { Some(whole_seconds(now)) } else { known.last_restart_time };
    let content_hash = match end.problem {
        None => Some(situation.contents.revision.as_str().to_owned()),
        Some(_) => known.content_hash,
    };
    let reason = end.problem.map(|problem| problem.reason().as_str().to_owned());
    let message = end.problem.map(|problem| problem.message(&end.target));
    RolloutStatus { content_hash, last_restart_time, reason, message, ..known }
}

fn restarted(end: &Ended) -> Option<Note> {
    let named: Vec<String> = end.restarted.iter().map(|name| format!("{}/{name}", end.target.kind.word())).collect();
    let message = format!("restarted {} for the new contents of the output Secrets", named.join(", "));
    (!named.is_empty()).then_some(Note { warning: false, reason: Reason::WorkloadRestarted, message })
}
