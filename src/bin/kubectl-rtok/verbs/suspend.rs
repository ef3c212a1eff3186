//! `suspend` and `resume`: `spec.suspend`.

use clap::Args;
use serde_json::json;

use crate::Session;
use crate::failure::{Failure, Tally, Verdict};
use crate::output::line;
use crate::targets::{Targets, place};

// Arguments of `suspend`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok suspend artifactory-ci
  kubectl rtok suspend --all -A        before moving to another cluster

A suspended token is not refreshed and its Secrets are not written; it ends at its expiry.
Without the plug-in: kubectl patch rtok NAME --type=merge -p '{\"spec\":{\"suspend\":true}}'")]
pub struct Suspend {
    #[command(flatten)]
    targets: Targets,
}

// Arguments of `resume`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok resume artifactory-ci
  kubectl rtok resume -l team=build")]
pub struct Resume {
    #[command(flatten)]
    targets: Targets,
}

impl Suspend {
    /// Suspends.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        set(session, &self.targets, true).await
    }
}

impl Resume {
    /// Resumes.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        set(session, &self.targets, false).await
    }
}

async fn set(session: &Session, targets: &Targets, suspend: bool) -> Result<Verdict, Failure> {
    let word = if suspend { "suspended" } else { "resumed" };
    let reach = session.reach().await?;
    let mut tally = Tally::default();
    for object in targets.find(&reach, &mut tally).await? {
        if object.spec.suspended() == suspend {
            line(&format!("{}: was {word} already", place(&object)))?;
            continue;
        }
        if tally.take(reach.patch(&object, &json!({ "spec": { "suspend": suspend } })).await)?.is_some() {
            line(&format!("{}: {word}", place(&object)))?;
        }
    }
    Ok(tally.verdict())
}
