//! `kubectl rtok`: looks at RefreshableTokens and acts on them, as the user of the kubeconfig. Arguments and start.
//!
//! | module | what it holds |
//! |---|---|
//! | `verbs/` | one file per verb |
//! | `connect`, `cluster`, `refusal` | flags and kubeconfig, all that is asked of the API server, what it refuses in words |
//! | `watching` | what watches of it show |
//! | `output`, `time` | tables, YAML and JSON, times for people |
//! | `situation`, `because`, `outage`, `usage`, `advice` | pure: what the operator would do and why, what an outage would do, who uses a Secret, what to do |
//! | `manifest`, `made_up` | files of manifests, tokens that nobody gave |
//!
//! When a token is refreshed and what follows a failure is asked of the operator's own core, never computed anew.

mod advice;
mod because;
mod cluster;
mod connect;
mod failure;
mod made_up;
mod manifest;
mod outage;
mod output;
mod refusal;
mod situation;
mod targets;
mod time;
mod usage;
mod verbs;
mod watching;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cluster::Reach;
use connect::Connection;
use failure::{Failure, Verdict};
use output::{Paint, on_terminal, tell};

/// Looks at RefreshableTokens and acts on them.
///
/// Exit status: 0 all is well, 1 something looked at is not (or was refused), 2 wrong arguments or file, 3 the API server cannot be
/// reached.
#[derive(Parser)]
#[command(name = "kubectl rtok", bin_name = "kubectl rtok", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show tokens: until when, the next refresh and why, who uses them, what to do.
    Status(verbs::status::Status),
    /// Show each decision of the operator about a token with its inputs: when next, and why then.
    Explain(verbs::explain::Explain),
    /// Show which Pods use the Secrets of a token, and whether they will see the next one.
    Consumers(verbs::consumers::Consumers),
    /// Show the events of tokens.
    Events(verbs::events::Events),
    /// Show what the Secrets of a token hold: keys, sizes, whose they are. No value.
    Inspect(verbs::inspect::Inspect),
    /// Refresh tokens now.
    Refresh(verbs::refresh::Refresh),
    /// Stop refreshing tokens until they are resumed.
    Suspend(verbs::suspend::Suspend),
    /// Refresh suspended tokens again.
    Resume(verbs::suspend::Resume),
    /// Begin a new chain: put a new first token into the seed Secret.
    Reseed(verbs::reseed::Reseed),
    /// Wait until tokens are ready or refreshed. Ends at once when a person has to act.
    Wait(verbs::wait::Wait),
    /// Look for what is wrong: CRD, permissions, Secrets, leader, clocks.
    Doctor(verbs::doctor::Doctor),
    /// Check manifests, without a cluster.
    Validate(verbs::validate::Validate),
    /// Show the Secrets that a manifest makes, with a made-up token and without a cluster.
    Render(verbs::render::Render),
    /// Print a manifest to begin with.
    Init(verbs::init::Init),
    /// Print completion for a shell, or the hook by which kubectl completes.
    Completion(verbs::completion::Completion),
    /// Print the versions of the plug-in, the API server and the CRD.
    Version(verbs::version::Version),
    /// What kubectl's completion asks.
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete(verbs::completion::Complete),
}

/// What verbs share.
pub struct Session {
    /// Where the objects are, and as whom.
    pub connection: Connection,
    /// How text is painted.
    pub paint: Paint,
}

impl Session {
    /// The API server.
    pub async fn reach(&self) -> Result<Reach, Failure> {
        Reach::connect(&self.connection).await
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Any value but the empty one: no colours (no-color.org).
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let paint = Paint(on_terminal() && !plain);
    let session = Session { connection: arguments.connection, paint };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&format!("error: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Box::pin(run(arguments.verb, &session))) {
        Ok(verdict) => verdict.into(),
        Err(failure) => {
            tell(&format!("error: {}", failure.message));
            failure.kind.exit_code()
        }
    }
}

async fn run(verb: Verb, session: &Session) -> Result<Verdict, Failure> {
    match verb {
        Verb::Status(verb) => verb.run(session).await,
        Verb::Explain(verb) => verb.run(session).await,
        Verb::Consumers(verb) => verb.run(session).await,
        Verb::Events(verb) => verb.run(session).await,
        Verb::Inspect(verb) => verb.run(session).await,
        Verb::Refresh(verb) => verb.run(session).await,
        Verb::Suspend(verb) => verb.run(session).await,
        Verb::Resume(verb) => verb.run(session).await,
        Verb::Reseed(verb) => verb.run(session).await,
        Verb::Wait(verb) => verb.run(session).await,
        Verb::Doctor(verb) => verb.run(session).await,
        Verb::Validate(verb) => verb.run(session),
        Verb::Render(verb) => verb.run(session),
        Verb::Init(verb) => verb.run(session),
        Verb::Completion(verb) => verb.run(),
        Verb::Version(verb) => verb.run(session).await,
        Verb::Complete(verb) => verb.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_hold_together_and_each_verb_shows_an_example() {
        let mut command = Arguments::command();
        command.clone().debug_assert();
        command.build();
        let verbs: Vec<_> = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help").collect();
        assert!(verbs.len() >= 15, "{}", verbs.len());
        for verb in verbs {
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("kubectl rtok {}", verb.get_name())), "{} shows no example", verb.get_name());
        }
    }
}
