//! Restarts the workloads of `spec.rollout`, after the status that says what the outputs hold was stored. Whether and when is
//! decided in `refresh::rollout`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use kube::ResourceExt as _;
use tokio::time::{Instant, timeout_at};

use super::Context;
use super::cluster::{Trouble, is_owned_by};
use crate::api::{RefreshableToken, RefreshableTokenStatus, RolloutTarget};
use crate::refresh::conclude::Note;
use crate::refresh::rollout::{Contents, Ended, Problem, Situation, Tries, Turn, Workload, conclude, contents};

/// How long one look may take. Our choice: two requests that each take their longest. It ends sooner when a refresh is due
/// before, but not sooner than [`SHORTEST`].
const LONGEST: Duration = Duration::from_secs(20);
/// How long a look may take in any case. Our choice: enough for a healthy API server, and no token is refreshed that late.
const SHORTEST: Duration = Duration::from_secs(2);
/// How many targets are looked at at once. Our choice, to spare the API server.
const AT_ONCE: usize = 4;

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Attended {
    /// The status to store, if it differs.
    pub(super) status: Option<RefreshableTokenStatus>,
    /// What to tell people.
    pub(super) notes: Vec<Note>,
    /// When to look again.
    pub(super) next: Option<DateTime<Utc>>,
}

/// Restarts what is to be restarted now. `object` is as it was last stored.
pub(super) async fn attend(context: &Context, object: &RefreshableToken, tries: &mut Tries) -> Attended {
    let status = object.status.clone().unwrap_or_default();
    let holds = contents(&object.spec, &status, &context.key);
    let (Some(spec), Some(holds)) = (&object.spec.rollout, holds) else { return Attended::default() };
    let situation = Situation { spec, generation: object.metadata.generation, known: &status.rollouts, contents: &holds };
    let due = situation.due(tries, context.clock.now());
    if due.is_empty() || context.stopping.is_cancelled() {
        return Attended { next: situation.next(tries), ..Attended::default() };
    }
    let Some(ended) = roll_out(context, object, &holds, due).await else { return Attended::default() };
    let (rollouts, notes) = conclude(&situation, &ended, &object.spec, tries, context.clock.now());
    let next = Situation { known: &rollouts, ..situation }.next(tries);
    let changed = rollouts != status.rollouts;
    Attended { status: changed.then_some(RefreshableTokenStatus { rollouts, ..status }), notes, next }
}

/// None if the outputs hold something else by now: another replica has refreshed, and rolls that out.
async fn roll_out(context: &Context, object: &RefreshableToken, holds: &Contents, due: Vec<RolloutTarget>) -> Option<Vec<Ended>> {
    if !context.rollout {
        return Some(due.into_iter().map(|target| failed(target, Problem::SwitchedOff)).collect());
    }
    let (namespace, name, uid) = (object.namespace()?, object.name_any(), object.uid()?);
    let live = match context.cluster.object(&namespace, &name).await {
        Ok(live) if is_owned_by(&live, &uid) => live,
        Ok(_) | Err(Trouble::Missing) => return None,
        Err(_) => return Some(due.into_iter().map(|target| failed(target, Problem::Unclear)).collect()),
    };
    let live_holds = contents(&live.spec, &live.status.unwrap_or_default(), &context.key);
    if live_holds.as_ref() != Some(holds) || live.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let next = object.status.as_ref().and_then(|status| status.next_refresh_time);
    let left = next.map_or(LONGEST, |next| (next - context.clock.now()).to_std().unwrap_or_default());
    let end = Instant::now() + left.clamp(SHORTEST, LONGEST);
    let turns = due.into_iter().map(|target| {
        let namespace = namespace.as_str();
        async move {
            let turn = timeout_at(end, one(context, namespace, &target, holds)).await;
            turn.unwrap_or_else(|_| failed(target, Problem::Unclear))
        }
    });
    Some(futures::stream::iter(turns).buffered(AT_ONCE).collect().await)
}

/// One target's turn.
async fn one(context: &Context, namespace: &str, target: &RolloutTarget, holds: &Contents) -> Ended {
    let mut ended = Ended { target: target.clone(), restarted: Vec::new(), before: false, problem: None };
    let workloads = match find(context, namespace, target).await {
        Ok(workloads) => workloads,
        Err(problem) => return Ended { problem: Some(problem), ..ended },
    };
    for workload in workloads {
        match workload.turn(holds) {
            Turn::Leave => {}
            Turn::Restarted => ended.before = true,
            Turn::Restart => match context.cluster.restart(namespace, target.kind, &workload.name, &holds.hash).await {
                Ok(()) => ended.restarted.push(workload.name),
                // One of many that went in between is none any more.
                Err(Trouble::Missing) if target.name.is_none() => {}
                Err(trouble) => ended.problem = Some(trouble.into()),
            },
        }
    }
    ended
}

async fn find(context: &Context, namespace: &str, target: &RolloutTarget) -> Result<Vec<Workload>, Problem> {
    let found = match (&target.name, &target.selector) {
        (Some(name), _) => vec![context.cluster.workload(namespace, target.kind, name).await?],
        (None, Some(selector)) => {
            let found = context.cluster.workloads(namespace, target.kind, &selector.text()).await?;
            found.ok_or(Problem::TooMany)?
        }
        (None, None) => Vec::new(),
    };
    if found.is_empty() { Err(Problem::Missing) } else { Ok(found) }
}

fn failed(target: RolloutTarget, problem: Problem) -> Ended {
    Ended { target, restarted: Vec::new(), before: false, problem: Some(problem) }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Missing => Self::Missing,
            Trouble::Denied => Self::Denied,
            Trouble::Conflict | Trouble::Unclear => Self::Unclear,
        }
    }
}
