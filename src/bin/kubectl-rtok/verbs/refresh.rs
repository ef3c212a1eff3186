//! `refresh`: one refresh now, by the annotation that anybody can set.

use clap::Args;
use refreshable_token_operator::api::{ConditionType, ProviderSpec, REFRESH_REQUESTED_ANNOTATION, RefreshableToken};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::refresh::decide::Plan;
use serde_json::json;

use crate::Session;
use crate::cluster::Reach;
use crate::failure::{Failure, Tally, Verdict};
use crate::output::line;
use crate::situation::{NoProvider, Situation};
use crate::targets::{Patience, Progress, Targets, observed, place, stands_still};
use crate::time::both;

// Arguments of `refresh`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok refresh artifactory-ci --wait     and wait for the new token
  kubectl rtok refresh -l team=build             all with a label
  kubectl rtok refresh --all -A                  all of the cluster

Without the plug-in: kubectl annotate rtok NAME refreshabletoken.io/refresh-requested-at=$(date -uIs) --overwrite")]
pub struct Refresh {
    #[command(flatten)]
    targets: Targets,
    /// Wait until the tokens are refreshed.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
}

/// A refresh that was asked for.
struct Asked {
    request: String,
    /// Refreshes committed before.
    before: i64,
    provider: Result<ProviderSpec, NoProvider>,
}

impl Refresh {
    /// Asks for it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        self.ask(&session.reach().await?).await
    }

    async fn ask(self, reach: &Reach) -> Result<Verdict, Failure> {
        let mut tally = Tally::default();
        let (mut objects, mut asked) = (Vec::new(), Vec::new());
        for object in self.targets.find(reach, &mut tally).await? {
            if object.spec.suspended() {
                line(&format!("{}: suspended, so it is not refreshed: kubectl rtok resume it first", place(&object)))?;
                tally.holds(false);
                continue;
            }
            // The clock's finest grain: a second request within a second is another one.
            let request = SystemClock.now().to_rfc3339();
            let patch = json!({ "metadata": { "annotations": { REFRESH_REQUESTED_ANNOTATION: request } } });
            if tally.take(reach.patch(&object, &patch).await)?.is_none() {
                continue;
            }
            if self.wait {
                let provider = reach.provider(&object).await;
                asked.push(Asked { request, before: generation(&object), provider });
                objects.push(object);
            } else {
                line(&format!("{}: refresh asked for", place(&object)))?;
            }
        }
        let progress =
            |at: usize, seen: &RefreshableToken| asked.get(at).map_or(Progress::Waiting, |asked| progress(seen, asked));
        self.patience.wait(reach, &objects, &mut tally, progress).await?;
        Ok(tally.verdict())
    }
}

/// Refreshes committed.
pub fn generation(object: &RefreshableToken) -> i64 {
    object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0)
}

/// Refreshed, once the request is echoed and a refresh is committed; hopeless, once it is echoed and a person has to act, or where
/// the operator would not take it up.
fn progress(seen: &RefreshableToken, asked: &Asked) -> Progress {
    let status = seen.status.clone().unwrap_or_default();
    let request = Some(asked.request.as_str());
    if status.last_handled_refresh_request.as_deref() == request && generation(seen) > asked.before && observed(seen) {
        let expires = status.token.and_then(|token| token.expiration_time);
        let until = expires.map(|time| format!(", expires {}", both(time, SystemClock.now()))).unwrap_or_default();
        return Progress::Done(format!("refreshed, number {}{until}", generation(seen)));
    }
    // What the person may not read, the operator may.
    let known = !matches!(asked.provider, Err(NoProvider::Unread(_)));
    let plan = || Situation::of(seen.clone(), asked.provider.clone()).plan(SystemClock.now());
    if let Some(Plan::Halt { reason, message }) = known.then(plan) {
        return Progress::Hopeless(format!("{}: {message}", reason.as_str()));
    }
    if status.last_handled_refresh_request.as_deref() != request {
        return Progress::Waiting;
    }
    if let Some(why) = stands_still(seen) {
        return Progress::Hopeless(why);
    }
    match status.conditions.iter().find(|condition| condition.type_ == ConditionType::Reconciling) {
        // It is repeated, but not because of this request any more.
        Some(condition) if status.consecutive_failures.unwrap_or(0) > 0 => {
            Progress::Hopeless(format!("failed, and is repeated by itself; {}: {}", condition.reason, condition.message))
        }
        _ => Progress::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use refreshable_token_operator::api::SpecDuration;

    use super::*;
    use crate::failure::Kind;

    fn object(status: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, generation: 1}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: s}}}}
  outputs: [{{secretName: o, opaque: {{}}}}]
status: {{observedGeneration: 1, {status}}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn asked(provider: Result<ProviderSpec, NoProvider>) -> Asked {
        Asked { request: "now".to_owned(), before: 3, provider }
    }

    fn of(status: &str) -> Progress {
        let object = object(status);
        progress(&object, &asked(Ok(object.spec.provider.clone().unwrap())))
    }

    #[test]
    fn an_object_that_names_its_provider_is_waited_for() {
        let mut object = object("chainGeneration: 3");
        let provider = object.spec.provider.take().unwrap();
        object.spec.provider_ref = serde_saphyr::from_str("{name: shared}").unwrap();
        assert_eq!(progress(&object, &asked(Ok(provider))), Progress::Waiting);
        let forbidden = NoProvider::Unread(Failure { kind: Kind::Forbidden, message: String::new() });
        assert_eq!(progress(&object, &asked(Err(forbidden))), Progress::Waiting, "the operator may read it");
        let missing = progress(&object, &asked(Err(NoProvider::Missing)));
        assert!(matches!(missing, Progress::Hopeless(why) if why.starts_with("ProviderMissing: ")));
    }

    #[tokio::test]
    async fn one_that_may_not_be_asked_does_not_hold_up_the_others() {
        use std::sync::{Arc, Mutex};

        use crate::cluster::tests::{answering, called, refusal};

        let patched = Arc::new(Mutex::new(Vec::new()));
        let log = patched.clone();
        let reach = answering(move |method, path| {
            let name = path.rsplit('/').next().unwrap();
            if method == "PATCH" {
                log.lock().unwrap().push(name.to_owned());
            }
            if method == "PATCH" && name == "a" { refusal(403, name) } else { called(name) }
        });
        let names = vec!["a".to_owned(), "b".to_owned()];
        let targets = Targets { names, selector: None, all: false };
        let refresh = Refresh { targets, wait: false, patience: Patience { timeout: SpecDuration::from_secs(1) } };
        assert_eq!(refresh.ask(&reach).await, Ok(Verdict::Failed(Kind::Forbidden)));
        assert_eq!(*patched.lock().unwrap(), ["a", "b"]);
    }

    #[test]
    fn only_what_was_done_for_this_request_counts() {
        let stalled = "conditions: [{type: Stalled, status: 'True', reason: ChainLost, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}]";
        let retrying = "consecutiveFailures: 1, conditions: [{type: Reconciling, status: 'True', reason: RefreshRetrying, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}]";
        assert_eq!(of("chainGeneration: 4, lastHandledRefreshRequest: before"), Progress::Waiting);
        assert_eq!(of(&format!("chainGeneration: 3, lastHandledRefreshRequest: before, {stalled}")), Progress::Waiting);
        assert!(matches!(of("chainGeneration: 4, lastHandledRefreshRequest: now"), Progress::Done(_)));
        assert_eq!(
            of(&format!("chainGeneration: 3, lastHandledRefreshRequest: now, {stalled}")),
            Progress::Hopeless("ChainLost: m".to_owned())
        );
        let failed = of(&format!("chainGeneration: 3, lastHandledRefreshRequest: now, {retrying}"));
        assert!(
            matches!(failed, Progress::Hopeless(why) if why.starts_with("failed, and is repeated by itself; RefreshRetrying"))
        );
    }

    #[test]
    fn an_object_that_the_operator_would_not_touch_is_not_waited_for() {
        let mut object = object("chainGeneration: 3");
        object.spec.outputs.clear();
        let progress = progress(&object, &asked(Ok(object.spec.provider.clone().unwrap())));
        assert!(matches!(progress, Progress::Hopeless(why) if why.starts_with("InvalidSpec: spec.outputs")));
    }
}
