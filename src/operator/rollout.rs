//! Restarts the workloads of `spec.rollout`, after the status that says what the outputs hold was stored. Which, and when, is
//! decided in `refresh::rollout`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use kube::ResourceExt as _;
use tokio::time::{Instant, timeout_at};

use super::Context;
use super::cluster::{Trouble, is_owned_by};
use super::shards::Hold;
use crate::api::{RefreshableToken, RefreshableTokenStatus, RolloutStatus, RolloutTarget};
use crate::refresh::conclude::Note;
use crate::refresh::rollout::{Concluded, Contents, Ended, Problem, Situation, Tries, Turn, Workload, conclude, contents};

/// How long one look may take. Our choice: two requests that each take their longest. It ends sooner when a refresh is due
/// before, but not sooner than [`SHORTEST`].
const LONGEST: Duration = Duration::from_secs(20);
/// How long a look may take in any case. Our choice: enough for a healthy API server, and a refresh can be that late.
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
    /// What to remember.
    pub(super) tries: Tries,
    /// When to look again.
    pub(super) next: Option<DateTime<Utc>>,
}

/// Restarts what is to be restarted now. `object` is as it was last stored.
pub(super) async fn attend(context: &Context, hold: &Hold, object: &RefreshableToken, tries: Tries) -> Attended {
    let (Some(spec), Some(contents)) = (&object.spec.rollout, contents(object, &context.key)) else {
        return Attended { tries, ..Attended::default() };
    };
    let status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let situation = Situation { spec, generation, known: &status.rollouts, contents: &contents, tries: &tries };
    let due = situation.due(context.clock.now());
    if due.is_empty() || hold.over.is_cancelled() {
        let next = situation.next();
        return Attended { tries, next, ..Attended::default() };
    }
    let Some(ended) = turns(context, object, &situation, due).await else { return Attended { tries, ..Attended::default() } };
    let Concluded { rollouts, notes, tries: after } = conclude(&situation, &ended, &object.spec.refresh(), context.clock.now());
    let next = Situation { known: &rollouts, tries: &after, ..situation }.next();
    let changed = rollouts != status.rollouts;
    let status = changed.then_some(RefreshableTokenStatus { rollouts, ..status });
    Attended { status, notes, tries: after, next }
}

/// The turns of these targets; none if the outputs hold something else by now, because another replica has refreshed: it rolls that
/// out.
async fn turns(
    context: &Context,
    object: &RefreshableToken,
    situation: &Situation<'_>,
    due: Vec<RolloutTarget>,
) -> Option<Vec<Ended>> {
    let all = |due: Vec<RolloutTarget>, problem| Some(due.into_iter().map(|target| Ended::new(target).with(problem)).collect());
    if !context.rollout {
        return all(due, Problem::SwitchedOff);
    }
    let (namespace, name, uid) = (object.namespace()?, object.name_any(), object.uid()?);
    match context.cluster.object(&namespace, &name).await {
        Ok(live) if is_owned_by(&live, &uid) && contents(&live, &context.key).as_ref() == Some(situation.contents) => {}
        Ok(_) | Err(Trouble::Missing) => return None,
        Err(Trouble::Conflict | Trouble::Denied | Trouble::Unclear) => return all(due, Problem::Unclear),
    }
    let end = Instant::now() + time_left(context, object);
    let turns = due.into_iter().map(|target| {
        let place = Place { context, namespace: &namespace, contents: situation.contents, known: situation.known(&target) };
        async move {
            let late = Ended::new(target.clone()).with(Problem::Unclear);
            timeout_at(end, place.turn(target)).await.unwrap_or(late)
        }
    });
    Some(futures::stream::iter(turns).buffered(AT_ONCE).collect().await)
}

/// How long the turns may take: until the next refresh is due, within bounds.
fn time_left(context: &Context, object: &RefreshableToken) -> Duration {
    let next = object.status.as_ref().and_then(|status| status.next_refresh_time);
    let left = next.map_or(LONGEST, |next| (next - context.clock.now()).to_std().unwrap_or_default());
    left.clamp(SHORTEST, LONGEST)
}

/// Where a target's turn takes place, and what is known of it.
struct Place<'a> {
    context: &'a Context,
    namespace: &'a str,
    contents: &'a Contents,
    known: Option<&'a RolloutStatus>,
}

impl Place<'_> {
    async fn turn(&self, target: RolloutTarget) -> Ended {
        let mut ended = Ended::new(target);
        let workloads = match self.find(&ended.target).await {
            Ok(workloads) => workloads,
            Err(problem) => return ended.with(problem),
        };
        for workload in workloads {
            match workload.turn(self.contents, self.known) {
                Turn::Leave => {}
                Turn::Restarted => ended.before = true,
                Turn::Restart => {
                    let kind = ended.target.kind;
                    match self.context.cluster.restart(self.namespace, kind, &workload.name, self.contents).await {
                        Ok(()) => ended.restarted.push(workload.name),
                        // One of many that went in between is none any more.
                        Err(Trouble::Missing) if ended.target.name.is_none() => {}
                        Err(trouble) => ended.problem = Some(trouble.into()),
                    }
                }
            }
        }
        ended
    }

    async fn find(&self, target: &RolloutTarget) -> Result<Vec<Workload>, Problem> {
        let cluster = &self.context.cluster;
        let found = match (&target.name, &target.selector) {
            (Some(name), _) => vec![cluster.workload(self.namespace, target.kind, name).await?],
            (None, Some(selector)) => {
                let found = cluster.workloads(self.namespace, target.kind, &selector.text()).await?;
                found.ok_or(Problem::TooMany)?
            }
            // Refused by the rules of the spec.
            (None, None) => Vec::new(),
        };
        if found.is_empty() { Err(Problem::Missing) } else { Ok(found) }
    }
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
