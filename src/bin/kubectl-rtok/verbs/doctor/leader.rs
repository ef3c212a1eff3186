//! Who leads, as the Leases say.

use std::time::Duration;

use chrono::{DateTime, Utc};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::ListParams;
use refreshable_token_operator::api::SHARDS_LABEL;
use refreshable_token_operator::operator::leader::lease_name;

use super::{Finding, Grade, finding};
use crate::cluster::Reach;
use crate::failure::{Failure, Kind};
use crate::time::age;

/// Where the operator runs, if there is one only.
pub(super) fn only(leases: &[Lease]) -> Option<String> {
    match leases {
        [lease] => lease.namespace(),
        _ => None,
    }
}

/// `leases` are those that may be leaders'.
pub(super) fn leader(leases: Result<&[Lease], &Failure>, now: DateTime<Utc>) -> Vec<Finding> {
    match leases {
        Err(failure) if failure.kind == Kind::Forbidden => vec![finding(
            Grade::Warning,
            "leader",
            "you may not list Leases: name the operator's namespace, --operator-namespace",
        )],
        Err(failure) => vec![finding(Grade::Warning, "leader", failure.message.as_str())],
        Ok([]) => {
            vec![finding(Grade::Warning, "leader", "there is no Lease: the operator runs without --leader-elect, or not at all")]
        }
        Ok(leases) => leases.iter().map(|lease| lead(lease, "", now)).collect(),
    }
}

/// Who holds the shards beside the first one: as many as its holder says there are.
pub(super) async fn shards(reach: &Reach, namespace: Option<&str>, first: &[Lease], now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for lease in first {
        let namespace = lease.metadata.namespace.as_deref().or(namespace);
        let of = lease.labels().get(SHARDS_LABEL).and_then(|of| of.parse().ok()).map_or(1, |of: u8| usize::from(of));
        if of > 1 {
            let split = ListParams::default().labels(&format!("{SHARDS_LABEL}={of}"));
            findings.extend(match reach.leases(&split, namespace).await {
                Ok(leases) => others(&leases, of, namespace.unwrap_or_default(), now),
                Err(failure) => vec![finding(Grade::Warning, "leader", failure.message.as_str())],
            });
        }
    }
    findings
}

/// What the Leases of `of` shards in a namespace say of all but the first.
fn others(leases: &[Lease], of: usize, namespace: &str, now: DateTime<Utc>) -> Vec<Finding> {
    let of_shard = |number| match leases.iter().find(|lease| lease.name_any() == lease_name(number, of)) {
        Some(found) => lead(found, &format!(", shard {number} of {of}"), now),
        None => finding(
            Grade::Failed,
            format!("leader of {namespace}, shard {number} of {of}"),
            "nobody has ever led: look at the logs of the operator's Pods",
        ),
    };
    (1..of).map(of_shard).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{at, one};
    use super::*;

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
        let second = lead(&lease("pod-1"), ", shard 1 of 2", at(75));
        assert_eq!(second, finding(Grade::Ok, "leader of own, shard 1 of 2", "pod-1"));
        assert_eq!(only(&[lease("pod-0")]).as_deref(), Some("own"));
        assert_eq!((only(&[lease("a"), lease("b")]), only(&[])), (None, None));
        let said = |failure: Failure| one(leader(Err(&failure), at(75))).1;
        assert!(said(Failure { kind: Kind::Forbidden, message: String::new() }).starts_with("you may not list Leases"));
        assert_eq!(said(Failure::unreachable("no answer within 30 s")), "no answer within 30 s");
    }

    #[test]
    fn each_shard_has_its_own_leader() {
        let lease = |name: &str, holder: &str| -> Lease {
            serde_json::from_value(json!({"metadata": {"namespace": "own", "name": name}, "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "1970-01-01T00:01:00.000000Z"}}))
            .unwrap()
        };
        let leases = [lease(&lease_name(0, 3), "pod-0"), lease(&lease_name(2, 3), "pod-1")];
        let found = others(&leases, 3, "own", at(61));
        assert_eq!(found.iter().map(|finding| finding.grade).collect::<Vec<_>>(), [Grade::Failed, Grade::Ok]);
        assert_eq!(found[1], finding(Grade::Ok, "leader of own, shard 2 of 3", "pod-1"));
    }
}
