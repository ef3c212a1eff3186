//! `status`: tokens at a glance, or everything about one.

mod page;
mod table;
mod watch;

use std::collections::BTreeSet;

use clap::Args;
use refreshable_token_operator::api::RefreshableToken;
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};

use crate::Session;
use crate::cluster::{Listed, Reach, object_name};
use crate::failure::{Failure, Tally, Verdict};
use crate::output::{Format, Paint, names, objects, print, tell};
use crate::targets::{is_ready, named};

// Arguments of `status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok status                     tokens of the namespace
  kubectl rtok status -A -o wide          tokens of all namespaces, with provider and next refresh
  kubectl rtok status artifactory-ci      everything about one, and what to do
  kubectl rtok status --watch             again whenever something changes

Exit status 1 if a token that is shown is not ready.")]
pub struct Status {
    /// Names of RefreshableTokens; none: all of the namespace.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    names: Vec<String>,
    /// Those with these labels.
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    selector: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
    /// Leave out the headings.
    #[arg(long)]
    no_headers: bool,
    /// Show it again whenever something changes, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

/// What was last asked for, and is shown until it is asked for again.
struct Held {
    listed: Listed,
    /// Everything about each, where that is shown.
    looked: Vec<page::Looked>,
}

impl Status {
    /// Shows it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        if self.watch {
            return self.follow(&reach, session.paint).await;
        }
        let mut tally = Tally::default();
        let held = self.look(&reach, &mut tally).await?;
        if self.output.is_data() {
            held.listed.tell_broken();
        }
        print(&self.page(&held, &reach, session.paint)?)?;
        tally.holds(held.listed.broken.is_empty() && held.listed.objects.iter().all(is_ready));
        Ok(tally.verdict())
    }

    /// Asks for what is shown.
    async fn look(&self, reach: &Reach, tally: &mut Tally) -> Result<Held, Failure> {
        if self.names.is_empty() {
            let listed = reach.objects(self.selector.as_deref()).await?;
            if listed.objects.is_empty() && listed.broken.is_empty() {
                let place = if reach.everywhere { String::new() } else { format!(" in {} namespace", reach.namespace) };
                tell(&format!("No resources found{place}."));
            }
            return Ok(Held { listed, looked: Vec::new() });
        }
        let objects = named(reach, &self.names, tally).await?;
        let mut looked = Vec::new();
        if self.output == Format::Table {
            for object in &objects {
                looked.push(page::look(reach, object).await);
            }
        }
        Ok(Held { listed: Listed { objects, broken: Vec::new() }, looked })
    }

    fn page(&self, held: &Held, reach: &Reach, paint: Paint) -> Result<String, Failure> {
        let now = SystemClock.now();
        let listed = &held.listed;
        match self.output {
            Format::Json | Format::Yaml => objects(self.output, &listed.objects, self.names.len() == 1),
            Format::Name => Ok(names(listed.objects.iter().filter_map(|object| object.metadata.name.as_deref()))),
            Format::Table if !self.names.is_empty() => {
                let pages: Vec<String> = held.looked.iter().map(|looked| page::page(looked, now, paint)).collect();
                Ok(pages.join("\n"))
            }
            Format::Table | Format::Wide if listed.objects.is_empty() && listed.broken.is_empty() => Ok(String::new()),
            Format::Table | Format::Wide => {
                let wide = self.output == Format::Wide;
                Ok(table::table(listed, reach.everywhere, wide, now).text(paint, "", self.no_headers))
            }
        }
    }
}

/// The Secrets that workloads mount.
pub fn outputs(object: &RefreshableToken) -> BTreeSet<&str> {
    object.spec.outputs.iter().map(|output| output.secret_name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    /// A time.
    pub(super) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// An object with these conditions.
    pub(super) fn object(conditions: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, namespace: build, uid: u, generation: 1, creationTimestamp: '1970-01-01T00:00:00Z'}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: ci-seed}}}}
  refresh: {{jitterPercent: 0}}
  outputs: [{{secretName: ci-token, opaque: {{}}}}]
status:
  observedGeneration: 1
  chainGeneration: 3
  nextRefreshTime: '1970-01-01T00:40:00Z'
  token: {{fingerprint: 'hmac:t', issuedTime: '1970-01-01T00:00:00Z', expirationTime: '1970-01-01T01:00:00Z', lifetime: 1h0m0s, subject: jfrt@1}}
  conditions: [{conditions}]"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    /// A condition.
    pub(super) fn condition(type_: &str, status: &str, reason: &str) -> String {
        format!("{{type: {type_}, status: '{status}', reason: {reason}, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}}")
    }
}
