//! `doctor`: looks for what is wrong, from the API server to each Secret and token API. Changes nothing.

mod provider;

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{GROUP, OutputSpec, ROLE_LABEL, Reason, RefreshableToken};
use refreshable_token_operator::operator::check;
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::operator::leader::{LEASE, lease_name};
use refreshable_token_operator::refresh::decide::stalled;
use serde::Serialize;
use serde_json::json;

use super::consumers;
use crate::Session;
use crate::advice::advice;
use crate::cluster::{Listed, Reach, object_name};
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Table, document, print};
use crate::situation::{Sighting, Situation};
use crate::targets::{is_ready, observed, place};
use crate::time::{age, span};
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
    #[arg(value_name = "NAME", value_parser = object_name)]
    names: Vec<String>,
    /// Where the operator runs, and its Lease is looked for; without it in all namespaces.
    #[arg(long, value_name = "NAMESPACE", value_parser = object_name)]
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
        findings.push(permissions(&reach).await?);
        let leases = reach.leases(LEASE, self.operator_namespace.as_deref()).await.ok();
        findings.extend(leader(leases.as_deref(), now));
        findings.extend(shards(&reach, self.operator_namespace.as_deref(), now).await);
        if kind.good {
            let home = self.operator_namespace.clone().or_else(|| only(leases.as_deref()));
            findings.extend(self.tokens(&reach, home.as_deref(), now).await?);
        }
        let good = findings.iter().all(|finding| finding.grade != Grade::Failed);
        if matches!(self.output, Format::Json | Format::Yaml) {
            print(&document(self.output, &json!({ "findings": findings }))?);
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
        print(&table.text(session.paint, "", true));
        Ok(Verdict::of(good))
    }

    async fn tokens(&self, reach: &Reach, operator: Option<&str>, now: DateTime<Utc>) -> Result<Vec<Finding>, Failure> {
        let mut listed = Listed::default();
        for name in &self.names {
            listed.objects.push(reach.object(name).await?);
        }
        if self.names.is_empty() {
            listed = reach.objects(None).await?;
        }
        let mut findings = Vec::new();
        for broken in &listed.broken {
            let name = broken.metadata.name.clone().unwrap_or_default();
            findings.push(finding(
                Grade::Failed,
                name,
                "the stored object does not fit the schema of this version: kubectl apply it again",
            ));
        }
        if listed.objects.is_empty() && listed.broken.is_empty() {
            findings.push(finding(Grade::Warning, "tokens", "there is no RefreshableToken here"));
        }
        for object in &listed.objects {
            let mut found = of_status(object, now);
            found.extend(of_secrets(reach, object).await);
            found.extend(of_consumers(reach, object).await);
            if found.is_empty() {
                found.push(finding(Grade::Ok, place(object), "ready, with its Secrets as they should be"));
            }
            findings.extend(found);
        }
        findings.extend(provider::look(reach, &listed.objects, operator, self.offline, now).await);
        Ok(findings)
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

/// What the verbs of the plug-in ask of the API server, each with the verb that needs it.
const NEEDS: [(&str, &str, &str, &str); 8] = [
    (GROUP, "refreshabletokens", "get", "all"),
    (GROUP, "refreshabletokens", "list", "status, doctor"),
    (GROUP, "refreshabletokens", "watch", "status --watch"),
    (GROUP, "refreshabletokens", "patch", "refresh, suspend, resume"),
    ("", "secrets", "get", "inspect, doctor, reseed"),
    ("", "secrets", "patch", "reseed"),
    ("", "pods", "list", "consumers"),
    ("", "events", "list", "events, status"),
];

/// What the person may not do; that is no fault of the installation.
async fn permissions(reach: &Reach) -> Result<Finding, Failure> {
    let view = reach.operator_view();
    let mut missing = Vec::new();
    for (group, resource, verb, needed) in NEEDS {
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: (!reach.everywhere).then(|| reach.namespace.clone()),
            ..ResourceAttributes::default()
        };
        let may = view.may(attributes).await.map_err(|_| Failure::unreachable("permissions cannot be asked for"))?;
        if !may {
            missing.push(format!("{verb} {resource} (for {needed})"));
        }
    }
    let place = if reach.everywhere { "everywhere".to_owned() } else { format!("in namespace {}", reach.namespace) };
    Ok(if missing.is_empty() {
        finding(Grade::Ok, "permissions", format!("you may do all that the plug-in does, {place}"))
    } else {
        finding(Grade::Warning, "permissions", format!("{place} you may not {}", missing.join(", ")))
    })
}

/// Where the operator runs, if there is one only.
fn only(leases: Option<&[Lease]>) -> Option<String> {
    match leases {
        Some([lease]) => lease.namespace(),
        Some(_) | None => None,
    }
}

/// `leases` are those that may be leaders'; none: they may not be listed.
fn leader(leases: Option<&[Lease]>, now: DateTime<Utc>) -> Vec<Finding> {
    match leases {
        None => vec![finding(
            Grade::Warning,
            "leader",
            "you may not list Leases: name the operator's namespace, --operator-namespace",
        )],
        Some([]) => {
            vec![finding(Grade::Warning, "leader", "there is no Lease: the operator runs without --leader-elect, or not at all")]
        }
        Some(leases) => leases.iter().map(|lease| lead(lease, "", now)).collect(),
    }
}

/// Who holds the shards beside the first one.
async fn shards(reach: &Reach, namespace: Option<&str>, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for number in 1.. {
        let leases = reach.leases(&lease_name(number), namespace).await.unwrap_or_default();
        if leases.is_empty() {
            break;
        }
        findings.extend(shard(&leases, number, now));
    }
    findings
}

/// Who holds one shard. A Lease that nobody holds is what is left of shards that there were once.
fn shard(leases: &[Lease], number: usize, now: DateTime<Utc>) -> impl Iterator<Item = Finding> {
    let held = |lease: &&Lease| {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder.is_some_and(|holder| !holder.is_empty())
    };
    leases.iter().filter(held).map(move |lease| lead(lease, &format!(", shard {number}"), now))
}

fn lead(lease: &Lease, shard: &str, now: DateTime<Utc>) -> Finding {
    let about = format!("leader of {}{shard}", lease.namespace().unwrap_or_default());
    let spec = lease.spec.clone().unwrap_or_default();
    let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else {
        // As an operator that was uninstalled or scaled to nothing leaves it; tokens that go without are told one by one.
        return finding(
            Grade::Warning,
            about,
            "nobody leads, the last leader gave it back: look whether the operator still runs",
        );
    };
    let renewed = spec.renew_time.and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0)).unwrap_or_default();
    let silence = (now - renewed).to_std().unwrap_or_default();
    let duration = Duration::from_secs(spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(15));
    if silence > duration {
        return finding(
            Grade::Failed,
            about,
            format!("{holder} led, and last said so {} ago: look at the operator's Pods and their logs", age(renewed, now)),
        );
    }
    finding(Grade::Ok, about, holder)
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
    let schedule = Situation::of(object.clone()).schedule(now);
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

/// Whether each Secret is there, labelled, and whose it should be. Only metadata is read.
async fn of_secrets(reach: &Reach, object: &RefreshableToken) -> Vec<Finding> {
    let namespace = object.namespace().unwrap_or_default();
    let seed = &object.spec.credential.seed_secret_ref.name;
    let state = object.spec.state_secret_name(&object.name_any());
    let Ok(seed_metadata) = reach.secret_metadata(&namespace, seed).await else {
        return vec![finding(Grade::Warning, place(object), "its Secrets may not be read here, so they were not looked at")];
    };
    let mut found: Vec<Finding> = of_seed(object, seed_metadata.as_ref()).into_iter().collect();
    let begun = object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0) > 0;
    if let (true, Ok(None)) = (begun, reach.secret_metadata(&namespace, &state).await) {
        let what = format!("the state Secret {state} is gone: restore it, or kubectl rtok reseed {}", object.name_any());
        found.push(finding(Grade::Failed, place(object), what));
    }
    for output in &object.spec.outputs {
        if let Ok(metadata) = reach.secret_metadata(&namespace, &output.secret_name).await {
            found.extend(of_output(object, output, metadata.as_ref(), begun));
        }
    }
    found
}

fn of_seed(object: &RefreshableToken, metadata: Option<&ObjectMeta>) -> Option<Finding> {
    let name = &object.spec.credential.seed_secret_ref.name;
    let begun = object.status.as_ref().is_some_and(|status| status.seed.is_some());
    let grade = if begun { Grade::Warning } else { Grade::Failed };
    let Some(metadata) = metadata else {
        // A chain that runs needs no seed.
        let what = format!("the seed Secret {name} does not exist: kubectl rtok reseed {}", object.name_any());
        return (!begun).then(|| finding(grade, place(object), what));
    };
    let role = metadata.labels.as_ref().and_then(|labels| labels.get(ROLE_LABEL)).map(String::as_str);
    let what = format!(
        "the seed Secret {name} is not labelled, so that it cannot be read: kubectl label secret {name} {ROLE_LABEL}=seed"
    );
    (role != Some("seed")).then(|| finding(grade, place(object), what))
}

fn of_output(object: &RefreshableToken, output: &OutputSpec, metadata: Option<&ObjectMeta>, begun: bool) -> Option<Finding> {
    let name = &output.secret_name;
    let Some(metadata) = metadata else {
        let missing = begun && !object.spec.suspended();
        return missing.then(|| finding(Grade::Failed, place(object), format!("the output Secret {name} is not there")));
    };
    let sighting = Sighting::of(object, output, metadata);
    if !sighting.ours {
        let owner = metadata.owner_references.iter().flatten().next();
        let whose = owner.map_or_else(|| "somebody else".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
        let what =
            format!("the output Secret {name} belongs to {whose} and is not touched: delete it, or choose another secretName");
        return Some(finding(Grade::Failed, place(object), what));
    }
    let what = format!("the output Secret {name} was made immutable: delete it, and it is written anew");
    sighting.immutable.then(|| finding(Grade::Failed, place(object), what))
}

async fn of_consumers(reach: &Reach, object: &RefreshableToken) -> Vec<Finding> {
    let uses = consumers::find(reach, object).await.unwrap_or_default();
    let stale = uses.iter().filter(|one| !one.follows());
    let told = stale.map(|one| {
        let what = format!(
            "{} uses {} by {} and sees no new token until it is restarted: mount it as a volume, or use spec.rollout",
            one.owner,
            one.secret,
            one.way.word()
        );
        finding(Grade::Warning, place(object), what)
    });
    let mut told: Vec<Finding> = told.collect();
    told.dedup();
    told
}

#[cfg(test)]
mod tests {
    use refreshable_token_operator::api::{CreationPolicy, WRITER_ANNOTATION};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn object(generation: i64, status: &str) -> RefreshableToken {
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

    fn one(found: Vec<Finding>) -> (Grade, String) {
        let [found] = found.try_into().unwrap_or_else(|found: Vec<_>| panic!("{found:#?}"));
        (found.grade, found.what)
    }

    #[test]
    fn clocks_are_compared_with_the_api_servers() {
        let grade = |own, server: Option<i64>| clock(at(own), server.map(at)).grade;
        assert_eq!([grade(100, Some(100)), grade(105, Some(100)), grade(94, Some(100))], [Grade::Ok, Grade::Ok, Grade::Warning]);
        assert_eq!([grade(0, Some(100)), grade(0, None)], [Grade::Failed, Grade::Warning]);
    }

    #[test]
    fn a_lease_that_is_not_renewed_has_no_leader() {
        let lease = |holder: &str| -> Lease {
            serde_json::from_value(json!({"metadata": {"namespace": "own"}, "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "1970-01-01T00:01:00.000000Z"}}))
            .unwrap()
        };
        assert_eq!(lead(&lease("pod-0"), "", at(75)), finding(Grade::Ok, "leader of own", "pod-0"));
        assert_eq!(lead(&lease("pod-0"), "", at(76)).grade, Grade::Failed);
        assert_eq!(lead(&lease(""), "", at(61)).grade, Grade::Warning);
        let leases = [lease("pod-1"), lease("")];
        let found: Vec<Finding> = shard(&leases, 2, at(75)).collect();
        assert_eq!(found, [finding(Grade::Ok, "leader of own, shard 2", "pod-1")]);
        assert_eq!(only(Some(&[lease("pod-0")])).as_deref(), Some("own"));
        assert_eq!((only(Some(&[lease("a"), lease("b")])), only(Some(&[])), only(None)), (None, None, None));
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
    fn secrets_are_judged_by_label_and_owner() {
        let object = object(1, "");
        let metadata = |value: serde_json::Value| serde_json::from_value::<ObjectMeta>(value).unwrap();
        assert_eq!(of_seed(&object, Some(&metadata(json!({"labels": {ROLE_LABEL: "seed"}})))), None);
        assert_eq!(of_seed(&object, Some(&metadata(json!({})))).unwrap().grade, Grade::Warning, "the chain runs without it");
        assert_eq!(of_seed(&object, None), None);
        let mut fresh = object.clone();
        fresh.status = None;
        assert_eq!(of_seed(&fresh, None).unwrap().grade, Grade::Failed);
        let owned = |uid: &str, more: serde_json::Value| {
            metadata(json!({"namespace": "build", "name": "ci-token", "managedFields": more, "labels": {ROLE_LABEL: "output"},
                            "ownerReferences": [{"apiVersion": "v1", "kind": "ExternalSecret", "name": "x", "uid": uid}]}))
        };
        let of_output = |secret: Option<&ObjectMeta>, begun| super::of_output(&object, &object.spec.outputs[0], secret, begun);
        assert_eq!(of_output(Some(&owned("u", json!([]))), true), None);
        let foreign = of_output(Some(&owned("other", json!([]))), true).unwrap();
        assert!(foreign.what.contains("belongs to ExternalSecret x"), "{foreign:?}");
        let fields = json!([{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:immutable": {}}}]);
        assert!(of_output(Some(&owned("u", fields)), true).unwrap().what.contains("immutable"));
        assert!(of_output(None, true).is_some() && of_output(None, false).is_none());
    }

    #[test]
    fn outputs_without_owner_reference_are_known_by_their_writer() {
        let mut object = object(1, "");
        let metadata = |role: &str, writer: &str| {
            let labels = if role.is_empty() { json!({}) } else { json!({ ROLE_LABEL: role }) };
            let annotations = if writer.is_empty() { json!({}) } else { json!({ WRITER_ANNOTATION: writer }) };
            let metadata = json!({"namespace": "build", "name": "ci-token", "labels": labels, "annotations": annotations});
            serde_json::from_value::<ObjectMeta>(metadata).unwrap()
        };
        let good = |object: &RefreshableToken, role: &str, writer: &str| {
            super::of_output(object, &object.spec.outputs[0], Some(&metadata(role, writer)), true).is_none()
        };
        object.spec.outputs[0].creation_policy = Some(CreationPolicy::Orphan);
        assert!(good(&object, "output", "ci") && !good(&object, "output", "other") && !good(&object, "", ""));
        object.spec.outputs[0].creation_policy = Some(CreationPolicy::Merge);
        assert!(good(&object, "merged", "ci") && good(&object, "", "") && !good(&object, "merged", "other"));
        assert!(!good(&object, "output", "ci"), "a Secret that an object owns is not merged into");
    }
}
