//! `consumers`: which Pods use the Secrets of a token, and whether they will see the next one.

use std::collections::BTreeSet;

use clap::Args;
use refreshable_token_operator::api::RefreshableToken;
use serde_json::json;

use super::status::outputs;
use crate::Session;
use crate::cluster::{Reach, object_name};
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Table, document, lines, print, tell};
use crate::usage::{Use, uses};

// Arguments of `consumers`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok consumers artifactory-ci
  kubectl rtok consumers artifactory-ci -o json

Exit status 1 if a Pod uses the token in a way that never shows it a new one, and spec.rollout does not restart it.")]
pub struct Consumers {
    /// Name of a RefreshableToken.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    name: String,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
    /// Leave out the headings.
    #[arg(long)]
    no_headers: bool,
}

impl Consumers {
    /// Shows them.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        let object = reach.object(&self.name).await?;
        let found = find(&reach, &object).await?;
        match self.output {
            Format::Json | Format::Yaml => {
                let item = |one: &Use| {
                    json!({ "secret": one.secret, "owner": one.owner, "pod": one.pod, "way": one.way, "place": one.place,
                            "followsChanges": one.way.follows(), "restarted": one.restarted })
                };
                let items: Vec<_> = found.iter().map(item).collect();
                print(&document(self.output, &json!({ "object": crate::targets::place(&object), "consumers": items }))?)?;
            }
            Format::Name => {
                print(&names(&found))?;
            }
            Format::Table | Format::Wide => {
                let table = table(&found);
                if table.is_empty() {
                    tell("no running Pod uses a Secret of this token");
                } else {
                    print(&table.text(session.paint, "", self.no_headers))?;
                }
            }
        }
        Ok(Verdict::of(found.iter().all(Use::follows)))
    }
}

/// Every use of the object's outputs. ServiceAccounts and ReplicaSets add words only, so that they need not be readable.
pub async fn find(reach: &Reach, object: &RefreshableToken) -> Result<Vec<Use>, Failure> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let pods = reach.pods(namespace).await?;
    let accounts = reach.service_accounts(namespace).await.unwrap_or_default();
    let sets = reach.replica_sets(namespace).await.unwrap_or_default();
    let mut found = uses(&outputs(object), &pods, &accounts, &sets);
    if found.iter().any(|one| !one.way.follows()) {
        let restarted = restarted(reach, object).await;
        for one in &mut found {
            one.restarted = restarted.contains(&one.owner);
        }
    }
    Ok(found)
}

/// The workloads that `spec.rollout` restarts, such as `Deployment/builder`. Those that may not be listed are left out.
async fn restarted(reach: &Reach, object: &RefreshableToken) -> BTreeSet<String> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let mut restarted = BTreeSet::new();
    for target in object.spec.rollout.iter().flat_map(|rollout| &rollout.targets) {
        restarted.extend(target.name.as_ref().map(|_| target.to_string()));
        if let Some(selector) = &target.selector {
            let found = reach.operator_view().workloads(namespace, target.kind, &selector.text()).await;
            let found = found.ok().flatten().unwrap_or_default();
            restarted.extend(found.iter().map(|workload| format!("{}/{}", target.kind.word(), workload.name)));
        }
    }
    restarted
}

/// Each Pod once: it can use several Secrets, or one in several ways.
fn names(found: &[Use]) -> String {
    let pods: BTreeSet<&str> = found.iter().map(|one| one.pod.as_str()).collect();
    lines(pods.iter().map(|pod| format!("pod/{pod}")))
}

fn table(found: &[Use]) -> Table {
    let mut table = Table::new(&["SECRET", "OWNER", "POD", "WAY", "WHERE", "SEES A NEW VALUE"]);
    for one in found {
        let colour = if one.follows() { Colour::Green } else { Colour::Red };
        table.row(vec![
            one.secret.clone().into(),
            one.owner.clone().into(),
            one.pod.clone().into(),
            one.way.word().into(),
            if one.place.is_empty() { "-".into() } else { one.place.clone().into() },
            Cell::coloured(one.sight(), colour),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Way;

    #[test]
    fn each_pod_is_named_once() {
        let used = |secret: &str, pod: &str| Use {
            secret: secret.to_owned(),
            owner: "Deployment/web".to_owned(),
            pod: pod.to_owned(),
            way: Way::Volume,
            place: String::new(),
            restarted: false,
        };
        let found = [used("a", "web-1"), used("a", "web-2"), used("b", "web-1")];
        assert_eq!(names(&found), "pod/web-1\npod/web-2\n");
    }
}
