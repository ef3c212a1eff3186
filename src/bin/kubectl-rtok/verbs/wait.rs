//! `wait`: until tokens are ready or refreshed; sooner than its time is up when a person has to act.

use clap::{Args, ValueEnum};
use refreshable_token_operator::api::RefreshableToken;

use super::refresh::generation;
use crate::Session;
use crate::failure::{Failure, Tally, Verdict};
use crate::targets::{Patience, Progress, Targets, is_ready, observed, ready, stands_still};

// Arguments of `wait`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok wait artifactory-ci --timeout 60s
  kubectl rtok wait --all --for refreshed --timeout 1h     until each was refreshed once more

Exit status 1 if the time is up, or if a token is suspended or stands still until a person acts.")]
pub struct Wait {
    #[command(flatten)]
    targets: Targets,
    /// What to wait for.
    #[arg(long = "for", value_name = "WHAT", value_enum, default_value_t)]
    what: What,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum What {
    /// Ready, for the spec as it stands.
    #[default]
    Ready,
    /// One more refresh than now.
    Refreshed,
}

impl Wait {
    /// Waits.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        let mut tally = Tally::default();
        let objects = self.targets.find(&reach, &mut tally).await?;
        let begun: Vec<i64> = objects.iter().map(generation).collect();
        let what = self.what;
        let progress = |at: usize, seen: &RefreshableToken| match what {
            What::Ready => until_ready(seen),
            What::Refreshed => until_refreshed(seen, begun.get(at).copied().unwrap_or(0)),
        };
        self.patience.wait(&reach, &objects, &mut tally, progress).await?;
        Ok(tally.verdict())
    }
}

/// As kstatus has it: the status is about this spec, nothing stalls, Ready is True.
pub fn until_ready(seen: &RefreshableToken) -> Progress {
    if !observed(seen) {
        return Progress::Waiting;
    }
    if let Some(why) = stands_still(seen) {
        return Progress::Hopeless(why);
    }
    match ready(seen).filter(|_| is_ready(seen)) {
        Some(condition) => Progress::Done(format!("ready: {}", condition.reason)),
        None => Progress::Waiting,
    }
}

fn until_refreshed(seen: &RefreshableToken, before: i64) -> Progress {
    if generation(seen) > before {
        return Progress::Done(format!("refreshed, number {}", generation(seen)));
    }
    stands_still(seen).map_or(Progress::Waiting, Progress::Hopeless)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(observed: i64, conditions: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, generation: 2}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: s}}}}
  outputs: [{{secretName: o, opaque: {{}}}}]
status: {{observedGeneration: {observed}, chainGeneration: 3, conditions: [{conditions}]}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    const READY: &str =
        "{type: Ready, status: 'True', reason: TokenFresh, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}";
    const STALLED: &str =
        "{type: Stalled, status: 'True', reason: SeedMissing, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}";

    #[test]
    fn a_status_about_an_older_spec_says_nothing() {
        assert_eq!(until_ready(&object(1, READY)), Progress::Waiting);
        assert_eq!(until_ready(&object(1, STALLED)), Progress::Waiting);
        assert_eq!(until_ready(&object(2, READY)), Progress::Done("ready: TokenFresh".to_owned()));
        assert_eq!(until_ready(&object(2, "")), Progress::Waiting);
    }

    #[test]
    fn what_stands_still_is_not_waited_for() {
        let both = format!("{READY}, {STALLED}");
        assert_eq!(until_ready(&object(2, &both)), Progress::Hopeless("SeedMissing: m".to_owned()));
        assert_eq!(until_refreshed(&object(2, STALLED), 3), Progress::Hopeless("SeedMissing: m".to_owned()));
        assert_eq!(until_refreshed(&object(2, READY), 3), Progress::Waiting);
        assert!(matches!(until_refreshed(&object(2, READY), 2), Progress::Done(_)));
    }
}
