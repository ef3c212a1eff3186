//! `doctor`: looks for what is wrong, from the API server to each Secret and token API. Changes nothing.

mod leader;
mod permissions;
mod provider;
mod secrets;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use kube::ResourceExt as _;
use kube::api::ListParams;
use refreshable_token_operator::api::{Reason, RefreshableToken};
use refreshable_token_operator::operator::check;
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::operator::leader::LEASE;
use refreshable_token_operator::refresh::decide::stalled;
use serde::Serialize;
use serde_json::json;

use super::consumers;
use crate::Session;
use crate::advice::advice;
use crate::cluster::{BROKEN, Listed, Reach, broken_place, object_name};
use crate::connect::namespace;
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Table, document, print};
use crate::situation::scheduled;
use crate::targets::{is_ready, observed, place};
use crate::time::span;
use crate::usage::Use;
use crate::windows;

/// From which difference of clocks on it is told, and from which on it is wrong. Our choice: countdowns are off by it, and token APIs
/// commonly allow a minute.
const SKEW: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// How long after its time a refresh is overdue. Our choice: far longer than one takes.
const OVERDUE: Duration = Duration::from_secs(60);
/// What a kubelet may need to show a new Secret, and slack. Our choice, by the kubelet's sync period of a minute and its jitter.
const KUBELET: Duration = Duration::from_secs(180);

// Arguments of `doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok doctor                      the cluster, and all tokens of the namespace
  kubectl rtok doctor artifactory-ci       the cluster, and one token
  kubectl rtok doctor -A -o json
  kubectl rtok doctor --operator-namespace refreshable-token-system
  kubectl rtok doctor --offline            connects to no token API

Token APIs are connected to from this machine, which may see another network than the operator; its own view of a TokenProvider or
ClusterTokenProvider stands beside. No token is sent.

Exit status 1 if something FAILED. What the operator itself may do, its own check says: refreshable-token-operator check, or helm test.")]
pub struct Doctor {
    /// Names of RefreshableTokens; none: all of the namespace.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    names: Vec<String>,
    /// Where the operator runs, and its Lease is looked for; without it in all namespaces.
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
    operator_namespace: Option<String>,
    /// Connect to no token API from this machine: what the operator says of them is shown alone.
    #[arg(long)]
    offline: bool,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Grade {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    grade: Grade,
    about: String,
    what: String,
}

fn finding(grade: Grade, about: impl Into<String>, what: impl Into<String>) -> Finding {
    Finding { grade, about: about.into(), what: what.into() }
}

impl Doctor {
    /// Looks.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        if self.output == Format::Name {
            return Err(Failure::usage("doctor has no names to print: leave out -o name"));
        }
        let reach = session.reach().await?;
        let (version, date) = reach.version().await?;
        let mut findings = vec![finding(Grade::Ok, "API server", version), clock(SystemClock.now(), date)];
        let now = date.unwrap_or_else(|| SystemClock.now());
        let kind = check::kind(&reach.operator_view()).await;
        findings.push(finding(if kind.good { Grade::Ok } else { Grade::Failed }, "CRD", kind.what));
        findings.push(permissions::look(&reach, self.operator_namespace.as_deref()).await);
        let first = ListParams::default().fields(&format!("metadata.name={LEASE}"));
        let leases = reach.leases(&first, self.operator_namespace.as_deref()).await;
        findings.extend(leader::leader(leases.as_deref(), now));
        let leases = leases.unwrap_or_default();
        findings.extend(leader::shards(&reach, self.operator_namespace.as_deref(), &leases, now).await);
        if kind.good {
            let home = self.operator_namespace.clone().or_else(|| leader::only(&leases));
            findings.extend(self.tokens(&reach, home.as_deref(), now).await);
        }
        let good = findings.iter().all(|finding| finding.grade != Grade::Failed);
        if matches!(self.output, Format::Json | Format::Yaml) {
            print(&document(self.output, &json!({ "findings": findings }))?)?;
            return Ok(Verdict::of(good));
        }
        let mut table = Table::new(&["", "ABOUT", "FINDING"]);
        for finding in findings {
            let grade = match finding.grade {
                Grade::Ok => Cell::coloured("ok", Colour::Green),
                Grade::Warning => Cell::coloured("warning", Colour::Yellow),
                Grade::Failed => Cell::coloured("FAILED", Colour::Red),
            };
            table.row(vec![grade, finding.about.into(), finding.what.into()]);
        }
        print(&table.text(session.paint, "", true))?;
        Ok(Verdict::of(good))
    }

    /// What is to be said of the tokens. What cannot be looked at does not take the others' place.
    async fn tokens(&self, reach: &Reach, operator: Option<&str>, now: DateTime<Utc>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut listed = Listed::default();
        for name in &self.names {
            match reach.object(name).await {
                Ok(object) => listed.objects.push(object),
                Err(failure) => findings.push(finding(Grade::Failed, format!("{}/{name}", reach.namespace), failure.message)),
            }
        }
        if self.names.is_empty() {
            match reach.objects(None).await {
                Ok(found) => listed = found,
                Err(failure) => return vec![finding(Grade::Failed, "tokens", failure.message)],
            }
        }
        findings.extend(listed.broken.iter().map(|broken| finding(Grade::Failed, broken_place(broken), BROKEN)));
        if listed.objects.is_empty() && findings.is_empty() {
            findings.push(finding(Grade::Warning, "tokens", "there is no RefreshableToken here"));
        }
        for object in &listed.objects {
            let mut found = of_status(object, now);
            found.extend(secrets::of_secrets(reach, object).await);
            found.extend(of_consumers(reach, object).await);
            if found.is_empty() {
                found.push(finding(Grade::Ok, place(object), "ready, with its Secrets as they should be"));
            }
            findings.extend(found);
        }
        findings.extend(provider::look(reach, &listed.objects, operator, self.offline, now).await);
        findings
    }
}

fn clock(own: DateTime<Utc>, server: Option<DateTime<Utc>>) -> Finding {
    let Some(server) = server else { return finding(Grade::Warning, "clock", "the API server's answers bear no Date") };
    let skew = (own - server).abs().to_std().unwrap_or_default();
    let what = format!("this machine's clock is {} off the API server's", span(skew));
    match SKEW {
        [_, wrong] if skew > wrong => finding(Grade::Failed, "clock", what + ": set it by NTP, and look at the nodes too"),
        [told, _] if skew > told => finding(Grade::Warning, "clock", what + ": the times that are shown are off by as much"),
        _ => finding(Grade::Ok, "clock", "within 5 s of the API server's"),
    }
}

/// What the status says, and what it does not say although it should.
fn of_status(object: &RefreshableToken, now: DateTime<Utc>) -> Vec<Finding> {
    let about = place(object);
    let status = object.status.clone().unwrap_or_default();
    if !observed(object) {
        let what = "the operator has not seen this generation: look whether it runs and watches this namespace";
        return vec![finding(Grade::Failed, about, what)];
    }
    let mut found = Vec::new();
    if let Some(reason) = stalled(&status) {
        let condition = status.conditions.iter().find(|condition| condition.reason == reason);
        let todo = Reason::parse(reason).and_then(advice).unwrap_or("the message says what to do");
        let todo = todo.replace("NAME", &object.name_any()).replace("SEED", &object.spec.credential.seed_secret_ref.name);
        let message = condition.map(|condition| condition.message.clone()).unwrap_or_default();
        found.push(finding(Grade::Failed, about.as_str(), format!("{reason}: {message}. What to do: {todo}")));
    } else if object.spec.suspended() {
        found.push(finding(Grade::Warning, about.as_str(), "suspended: it is not refreshed"));
    } else if !is_ready(object) {
        let reason = crate::targets::ready(object).map_or_else(String::new, |c| format!(" ({}: {})", c.reason, c.message));
        found.push(finding(Grade::Failed, about.as_str(), format!("not ready{reason}")));
    } else if let Some(failures) = status.consecutive_failures.filter(|failures| *failures > 0) {
        found.push(finding(Grade::Warning, about.as_str(), format!("{failures} refreshes failed in a row; they are repeated")));
    }
    let late = status.next_refresh_time.and_then(|next| (now - next).to_std().ok()).filter(|late| *late > OVERDUE);
    if let Some(late) = late.filter(|_| !object.spec.suspended()) {
        let what =
            format!("its refresh is {} overdue: look whether the operator runs, at its logs, and at --max-in-flight", span(late));
        found.push(finding(Grade::Failed, about.as_str(), what));
    }
    for known in &status.rollouts {
        if let (Some(reason), Some(message)) = (&known.reason, &known.message) {
            found.push(finding(Grade::Warning, about.as_str(), format!("{reason}: {message}")));
        }
    }
    let schedule = scheduled(object, now);
    found.extend(schedule.as_ref().and_then(windows::missed).map(|what| finding(Grade::Warning, about.as_str(), what)));
    if let Some(left) = schedule.and_then(|schedule| schedule.before).filter(|left| *left < KUBELET) {
        let what = format!(
            "refreshed {} before its expiry: a Pod may take 90 s to see the new one, and an outage has no more time",
            span(left)
        );
        found.push(finding(Grade::Warning, about, what));
    }
    found
}

async fn of_consumers(reach: &Reach, object: &RefreshableToken) -> Vec<Finding> {
    stale(object, &consumers::find(reach, object).await.unwrap_or_default())
}

/// Who sees no new token, each once, however many Pods it has.
fn stale(object: &RefreshableToken, uses: &[Use]) -> Vec<Finding> {
    let stale = uses.iter().filter(|one| !one.follows());
    let told: BTreeSet<String> = stale
        .map(|one| {
            format!(
                "{} uses {} by {} and sees no new token until it is restarted: mount it as a volume, or use spec.rollout",
                one.owner,
                one.secret,
                one.way.word()
            )
        })
        .collect();
    told.into_iter().map(|what| finding(Grade::Warning, place(object), what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Way;

    /// A time.
    pub(super) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// An object with this generation and more of a status.
    pub(super) fn object(generation: i64, status: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, namespace: build, uid: u, generation: {generation}}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: ci-seed}}}}
  outputs: [{{secretName: ci-token, opaque: {{}}}}]
status:
  observedGeneration: 1
  chainGeneration: 1
  seed: {{fingerprint: 'hmac:s'}}
  nextRefreshTime: '1970-01-01T00:40:00Z'
{status}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn condition(type_: &str, reason: &str) -> String {
        format!(
            "  conditions: [{{type: {type_}, status: 'True', reason: {reason}, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}}]"
        )
    }

    /// The one finding: its grade and words.
    pub(super) fn one(found: Vec<Finding>) -> (Grade, String) {
        let [found] = found.try_into().unwrap_or_else(|found: Vec<_>| panic!("{found:#?}"));
        (found.grade, found.what)
    }

    #[tokio::test]
    async fn what_cannot_be_looked_at_is_one_finding_among_the_others() {
        use crate::cluster::tests::{answering, called, refusal};

        let reach = answering(|_, path| match path.rsplit('/').next().unwrap() {
            "ci" => called("ci"),
            name => refusal(403, name),
        });
        let names = vec!["nobody".to_owned(), "ci".to_owned()];
        let doctor = Doctor { names, operator_namespace: None, offline: true, output: Format::Table };
        let found = doctor.tokens(&reach, None, at(0)).await;
        let of = |about: &str| found.iter().find(|one| one.about == about).map(|one| (one.grade, one.what.as_str()));
        assert_eq!(of("build/nobody"), Some((Grade::Failed, "RefreshableToken build/nobody: nobody: 403")), "{found:#?}");
        assert!(of("build/ci").is_some(), "{found:#?}");
        let all = Doctor { names: Vec::new(), ..doctor };
        assert_eq!(one(all.tokens(&reach, None, at(0)).await).0, Grade::Failed);
        let asked = permissions::look(&reach, None).await;
        assert_eq!((asked.grade, asked.what.as_str()), (Grade::Warning, "the API server does not say what you may do"));
    }

    #[test]
    fn clocks_are_compared_with_the_api_servers() {
        let grade = |own, server: Option<i64>| clock(at(own), server.map(at)).grade;
        assert_eq!([grade(100, Some(100)), grade(105, Some(100)), grade(94, Some(100))], [Grade::Ok, Grade::Ok, Grade::Warning]);
        assert_eq!([grade(0, Some(100)), grade(0, None)], [Grade::Failed, Grade::Warning]);
    }

    #[test]
    fn a_status_is_judged_by_what_it_says_and_by_what_it_does_not() {
        let ready = condition("Ready", "TokenFresh");
        assert_eq!(of_status(&object(1, &ready), at(0)), Vec::new());
        assert!(one(of_status(&object(2, &ready), at(0))).1.contains("has not seen this generation"));
        let (grade, what) = one(of_status(&object(1, &condition("Stalled", "SeedNotAllowed")), at(0)));
        assert_eq!(
            (grade, what.as_str()),
            (Grade::Failed, "SeedNotAllowed: m. What to do: kubectl label secret ci-seed refreshabletoken.io/role=seed")
        );
        let (grade, what) = one(of_status(&object(1, &ready), at(2400 + 61)));
        assert!(grade == Grade::Failed && what.contains("1m1s overdue"), "{what}");
        let failed = "  rollouts: [{kind: Deployment, name: web, reason: RolloutForbidden, message: may not}]";
        let (grade, what) = one(of_status(&object(1, &format!("{ready}\n{failed}")), at(0)));
        assert_eq!((grade, what.as_str()), (Grade::Warning, "RolloutForbidden: may not"));
        let short =
            "  token: {fingerprint: 'hmac:t', issuedTime: '1970-01-01T00:00:00Z', expirationTime: '1970-01-01T00:05:00Z'}";
        assert_eq!(one(of_status(&object(1, &format!("{ready}\n{short}")), at(0))).0, Grade::Warning);
    }

    #[test]
    fn a_workload_is_told_of_once() {
        let used = |pod: &str, way| Use {
            secret: "ci-token".to_owned(),
            owner: "Deployment/web".to_owned(),
            pod: pod.to_owned(),
            way,
            place: String::new(),
            restarted: false,
        };
        let pods = [used("web-1", Way::Env), used("web-1", Way::SubPath), used("web-2", Way::Env), used("web-2", Way::SubPath)];
        let told = stale(&object(1, ""), &pods);
        assert_eq!(told.len(), 2, "{told:#?}");
    }
}
