//! Which objects a verb acts on, and waiting for them.

use std::time::Duration;

use clap::Args;
use kube::{Resource as _, ResourceExt as _};
use refreshable_token_operator::api::{ConditionStatus, ConditionType, RefreshableToken, SpecDuration};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::refresh::decide::stalled;

use crate::cluster::{Reach, object_name};
use crate::failure::Failure;
use crate::output::tell;

/// How often an object is looked at while something is waited for. Our choice: a refresh takes about a second.
const PAUSE: Duration = Duration::from_millis(500);

// Which objects: names, labels, or all. No doc comment: clap would take it for that of the verb.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Targets {
    /// Names of RefreshableTokens.
    #[arg(value_name = "NAME", value_parser = object_name)]
    pub names: Vec<String>,
    /// Those with these labels, such as team=build.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// All of the namespace; with -A all of the cluster.
    #[arg(long)]
    pub all: bool,
}

impl Targets {
    /// The objects, at least one.
    pub async fn find(&self, reach: &Reach) -> Result<Vec<RefreshableToken>, Failure> {
        if self.names.is_empty() {
            let listed = reach.objects(self.selector.as_deref()).await?;
            for broken in &listed.broken {
                let name = broken.metadata.name.as_deref().unwrap_or_default();
                tell(&format!("RefreshableToken {name} is left out: it does not fit the schema of this version"));
            }
            if listed.objects.is_empty() {
                return Err(Failure::refused("there is no such RefreshableToken"));
            }
            return Ok(listed.objects);
        }
        let mut found = Vec::new();
        for name in &self.names {
            found.push(reach.object(name).await?);
        }
        Ok(found)
    }
}

// How long something is waited for.
#[derive(Args, Clone, Copy, Debug)]
pub struct Patience {
    /// Longest time to wait, such as 90s or 5m.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = SpecDuration::parse)]
    pub timeout: SpecDuration,
}

/// What an object that is waited for has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is as wanted; in words.
    Done(String),
    /// It will not become so without a person; in words.
    Hopeless(String),
    /// Not yet.
    Waiting,
}

impl Patience {
    /// Looks at each object until it is as wanted or hopeless, and says so line by line; whether all are as wanted.
    pub async fn wait(
        self,
        reach: &Reach,
        objects: &[RefreshableToken],
        mut progress: impl FnMut(usize, &RefreshableToken) -> Progress,
    ) -> Result<bool, Failure> {
        let clock = SystemClock;
        let begun = clock.since_boot();
        let mut good = true;
        for (at, object) in objects.iter().enumerate() {
            let within = reach.narrowed(object);
            loop {
                let seen = within.object(&object.name_any()).await?;
                if seen.meta().uid != object.meta().uid {
                    return Err(Failure::refused(format!("{} was replaced meanwhile", place(object))));
                }
                match progress(at, &seen) {
                    Progress::Done(what) => {
                        crate::output::print(&format!("{}: {what}\n", place(object)));
                        break;
                    }
                    Progress::Hopeless(why) => {
                        crate::output::print(&format!("{}: {why}\n", place(object)));
                        good = false;
                        break;
                    }
                    Progress::Waiting if clock.since_boot().saturating_sub(begun) > self.timeout.get() => {
                        let last = ready(&seen).map_or_else(
                            || "the operator has not seen it".to_owned(),
                            |c| format!("{}: {}", c.reason, c.message),
                        );
                        crate::output::print(&format!("{}: not within {}; {last}\n", place(object), self.timeout));
                        good = false;
                        break;
                    }
                    Progress::Waiting => tokio::time::sleep(PAUSE).await,
                }
            }
        }
        Ok(good)
    }
}

/// Namespace and name.
pub fn place(object: &RefreshableToken) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// The condition Ready.
pub fn ready(object: &RefreshableToken) -> Option<&refreshable_token_operator::api::Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready)
}

/// Whether the condition Ready is True.
pub fn is_ready(object: &RefreshableToken) -> bool {
    ready(object).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Whether the status is about the spec as it stands (kstatus: else the object is in progress, whatever its conditions say).
pub fn observed(object: &RefreshableToken) -> bool {
    object.status.as_ref().and_then(|status| status.observed_generation) == object.metadata.generation
}

/// Reason and message for which the object stands still until a person acts.
pub fn stands_still(object: &RefreshableToken) -> Option<String> {
    let status = object.status.as_ref()?;
    let reason = stalled(status)?;
    let condition = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Stalled)?;
    Some(format!("{reason}: {}", condition.message))
}
