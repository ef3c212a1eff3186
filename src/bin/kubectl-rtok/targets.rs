//! Which objects a verb acts on, and waiting for them.

use std::time::Duration;

use clap::Args;
use kube::{Resource as _, ResourceExt as _};
use refreshable_token_operator::api::{ConditionStatus, ConditionType, RefreshableToken, SpecDuration};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::refresh::decide::stalled;

use crate::cluster::{Reach, object_name};
use crate::failure::{Failure, Tally};
use crate::output::line;

/// How often an object is looked at while something is waited for. Our choice: a refresh takes about a second.
const PAUSE: Duration = Duration::from_millis(500);

// Which objects: names, labels, or all. No doc comment: clap would take it for that of the verb.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Targets {
    /// Names of RefreshableTokens.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    pub names: Vec<String>,
    /// Those with these labels, such as team=build.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// All of the namespace; with -A all of the cluster.
    #[arg(long)]
    pub all: bool,
}

impl Targets {
    /// The objects. Of those that are named, the ones that are not there are told.
    pub async fn find(&self, reach: &Reach, tally: &mut Tally) -> Result<Vec<RefreshableToken>, Failure> {
        if !self.names.is_empty() {
            return named(reach, &self.names, tally).await;
        }
        let listed = reach.objects(self.selector.as_deref()).await?;
        listed.tell_broken();
        if listed.objects.is_empty() {
            return Err(Failure::refused("there is no such RefreshableToken"));
        }
        Ok(listed.objects)
    }
}

/// The objects of these names; those that are not there are told.
pub async fn named(reach: &Reach, names: &[String], tally: &mut Tally) -> Result<Vec<RefreshableToken>, Failure> {
    let mut found = Vec::new();
    for name in names {
        found.extend(tally.take(reach.object(name).await)?);
    }
    Ok(found)
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
    /// Looks at each object until it is as wanted or hopeless, and says so line by line.
    pub async fn wait(
        self,
        reach: &Reach,
        objects: &[RefreshableToken],
        tally: &mut Tally,
        mut progress: impl FnMut(usize, &RefreshableToken) -> Progress,
    ) -> Result<(), Failure> {
        let clock = SystemClock;
        let begun = clock.since_boot();
        for (at, object) in objects.iter().enumerate() {
            let within = reach.narrowed(object);
            let (good, end) = loop {
                let late = clock.since_boot().saturating_sub(begun) > self.timeout.get();
                let seen = within.object(&object.name_any()).await;
                match looked(object, seen, late.then_some(self.timeout), |seen| progress(at, seen))? {
                    Progress::Done(what) => break (true, what),
                    Progress::Hopeless(why) => break (false, why),
                    Progress::Waiting => tokio::time::sleep(PAUSE).await,
                }
            };
            line(&format!("{}: {end}", place(object)))?;
            tally.holds(good);
        }
        Ok(())
    }
}

/// What one look at an object comes to; `late` is the time that is up. An API server that is not there for a while is waited for like
/// the object.
fn looked(
    object: &RefreshableToken,
    seen: Result<RefreshableToken, Failure>,
    late: Option<SpecDuration>,
    progress: impl FnOnce(&RefreshableToken) -> Progress,
) -> Result<Progress, Failure> {
    let seen = match seen {
        Ok(seen) if seen.meta().uid != object.meta().uid => {
            return Ok(Progress::Hopeless("it was deleted and made anew meanwhile".to_owned()));
        }
        Ok(seen) => seen,
        Err(failure) if failure.passes() && late.is_none() => return Ok(Progress::Waiting),
        Err(failure) if failure.passes() => return Err(failure),
        Err(failure) => return Ok(Progress::Hopeless(failure.message)),
    };
    Ok(match (progress(&seen), late) {
        (Progress::Waiting, _) if seen.spec.suspended() => {
            let (name, namespace) = (seen.name_any(), seen.namespace().unwrap_or_default());
            Progress::Hopeless(format!("suspended: kubectl rtok resume {name} -n {namespace}"))
        }
        (Progress::Waiting, Some(timeout)) => {
            let last = ready(&seen)
                .map_or_else(|| "the operator has not seen it".to_owned(), |c| format!("{}: {}", c.reason, c.message));
            Progress::Hopeless(format!("not within {timeout}; {last}"))
        }
        (progress, _) => progress,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use crate::situation::tests::object;

    const WAITING: fn(&RefreshableToken) -> Progress = |_| Progress::Waiting;

    #[test]
    fn silence_of_the_api_server_is_waited_for_while_there_is_time() {
        let token = object("", "");
        let busy = || Failure { kind: Kind::Busy, message: "503".to_owned() };
        for passing in [Failure::unreachable("nobody"), busy()] {
            assert_eq!(looked(&token, Err(passing), None, WAITING), Ok(Progress::Waiting));
        }
        let late = Some(SpecDuration::from_secs(1));
        assert_eq!(looked(&token, Err(busy()), late, WAITING), Err(busy()));
        let gone = looked(&token, Err(Failure::refused("not found")), None, WAITING);
        assert_eq!(gone, Ok(Progress::Hopeless("not found".to_owned())), "the others are waited for all the same");
        let hopeless = looked(&token, Ok(token.clone()), late, WAITING);
        assert!(matches!(hopeless, Ok(Progress::Hopeless(why)) if why.starts_with("not within 1s; ")));
    }

    #[test]
    fn what_is_suspended_is_not_waited_for() {
        let mut token = object("", "");
        let look = |token: &RefreshableToken, progress: fn(&RefreshableToken) -> Progress| {
            looked(token, Ok(token.clone()), None, progress).unwrap()
        };
        assert_eq!(look(&token, WAITING), Progress::Waiting);
        token.spec.suspend = Some(true);
        let said = Progress::Hopeless("suspended: kubectl rtok resume ci -n build".to_owned());
        assert_eq!(look(&token, WAITING), said);
        assert_eq!(look(&token, |_| Progress::Done("ready".to_owned())), Progress::Done("ready".to_owned()));
    }

    #[tokio::test]
    async fn those_that_are_there_are_found_beside_those_that_are_not() {
        use crate::cluster::tests::{answering, called, refusal};
        use crate::failure::Verdict;

        let reach = answering(|_, path| match path.rsplit('/').next().unwrap() {
            "nobody" => refusal(404, "nobody"),
            name => called(name),
        });
        let mut tally = Tally::default();
        let names = ["a", "nobody", "b"].map(str::to_owned);
        let found = named(&reach, &names, &mut tally).await.unwrap();
        assert_eq!(found.iter().filter_map(|object| object.metadata.name.as_deref()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tally.verdict(), Verdict::Failed(Kind::Refused));
    }
}
