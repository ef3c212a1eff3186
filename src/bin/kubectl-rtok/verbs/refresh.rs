//! `refresh`: one refresh now, by the annotation that anybody can set.

use clap::Args;
use refreshable_token_operator::api::{ConditionType, REFRESH_REQUESTED_ANNOTATION, RefreshableToken};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::refresh::decide::Plan;
use serde_json::json;

use crate::Session;
use crate::failure::{Failure, Verdict};
use crate::output::print;
use crate::situation::Situation;
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

impl Refresh {
    /// Asks for it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        let objects = self.targets.find(&reach).await?;
        let mut asked = Vec::new();
        let mut good = true;
        for object in objects {
            if object.spec.suspended() {
                print(&format!("{}: suspended, so it is not refreshed: kubectl rtok resume it first\n", place(&object)));
                good = false;
                continue;
            }
            // The clock's finest grain: a second request within a second is another one.
            let request = SystemClock.now().to_rfc3339();
            reach.patch(&object, &json!({ "metadata": { "annotations": { REFRESH_REQUESTED_ANNOTATION: request } } })).await?;
            if !self.wait {
                print(&format!("{}: refresh asked for\n", place(&object)));
            }
            asked.push((object, request));
        }
        if self.wait {
            let (objects, requests): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            let begun: Vec<i64> = objects.iter().map(generation).collect();
            let progress = |at: usize, seen: &RefreshableToken| {
                let (request, before) = (requests.get(at), begun.get(at).copied().unwrap_or(0));
                progress(seen, request.map(String::as_str), before)
            };
            good &= self.patience.wait(&reach, &objects, progress).await?;
        }
        Ok(Verdict::of(good))
    }
}

/// Refreshes committed.
pub fn generation(object: &RefreshableToken) -> i64 {
    object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0)
}

/// Refreshed, once the request is echoed and a refresh is committed; hopeless, once it is echoed and a person has to act, or where
/// the operator would not take it up.
fn progress(seen: &RefreshableToken, request: Option<&str>, before: i64) -> Progress {
    let status = seen.status.clone().unwrap_or_default();
    if status.last_handled_refresh_request.as_deref() == request && generation(seen) > before && observed(seen) {
        let expires = status.token.and_then(|token| token.expiration_time);
        let until = expires.map(|time| format!(", expires {}", both(time, SystemClock.now()))).unwrap_or_default();
        return Progress::Done(format!("refreshed, number {}{until}", generation(seen)));
    }
    if let Plan::Halt { reason, message } = Situation::of(seen.clone()).plan(SystemClock.now()) {
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
    use super::*;

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

    fn of(status: &str) -> Progress {
        progress(&object(status), Some("now"), 3)
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
        assert!(
            matches!(progress(&object, Some("now"), 3), Progress::Hopeless(why) if why.starts_with("InvalidSpec: spec.outputs"))
        );
    }
}
