//! The Lease by which replicas elect a leader. Here meet the time of Kubernetes (jiff) and ours.

use std::time::Duration;

use chrono::{DateTime, Utc};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;

use super::{Cluster, Trouble, bounded, named, writer};
use crate::api::{SHARDS_LABEL, WANTED_BY_ANNOTATION};

impl Cluster {
    /// GET a Lease, from the API server and no cache.
    pub async fn lease(&self, namespace: &str, name: &str) -> Result<Lease, Trouble> {
        named(name)?;
        bounded(self.leases(namespace).get(name)).await
    }

    /// PUT a Lease at the resourceVersion that it bears; POST it if it bears none.
    pub async fn write_lease(&self, namespace: &str, lease: &Lease) -> Result<Lease, Trouble> {
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        named(name)?;
        let api = self.leases(namespace);
        if lease.metadata.resource_version.is_some() {
            bounded(api.replace(name, &writer(false), lease)).await
        } else {
            bounded(api.create(&writer(false), lease)).await
        }
    }

    fn leases(&self, namespace: &str) -> Api<Lease> {
        Api::namespaced(self.client(), namespace)
    }
}

/// A Lease that does not exist yet.
pub(in crate::operator) fn new_lease(name: &str) -> Lease {
    Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: None }
}

/// Who holds a Lease; none when it was released.
pub(in crate::operator) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Who wants a Lease that another holds, or has just given up.
pub(in crate::operator) fn wanted_by(lease: &Lease) -> Option<&str> {
    lease.metadata.annotations.as_ref()?.get(WANTED_BY_ANNOTATION).map(String::as_str)
}

/// The Lease with the name of who wants it, or with none.
pub(in crate::operator) fn wanted(lease: &Lease, by: Option<&str>) -> Lease {
    let mut lease = lease.clone();
    let mut annotations = lease.metadata.annotations.take().unwrap_or_default();
    annotations.remove(WANTED_BY_ANNOTATION);
    annotations.extend(by.map(|by| (WANTED_BY_ANNOTATION.to_owned(), by.to_owned())));
    lease.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    lease
}

/// The Lease with the number of all of them, if there are several: by that people find them.
pub(in crate::operator) fn of_shards(lease: &Lease, leases: usize) -> Lease {
    let mut lease = lease.clone();
    let mut labels = lease.metadata.labels.take().unwrap_or_default();
    labels.remove(SHARDS_LABEL);
    labels.extend((leases > 1).then(|| (SHARDS_LABEL.to_owned(), leases.to_string())));
    lease.metadata.labels = Some(labels).filter(|labels| !labels.is_empty());
    lease
}

/// The Lease as `identity` takes or renews it. Times are for people; nobody judges by them.
pub(in crate::operator) fn held_by(lease: &Lease, identity: &str, duration: Duration, now: DateTime<Utc>) -> Lease {
    let mut spec = lease.spec.clone().unwrap_or_default();
    let now = later(now, spec.renew_time.as_ref());
    if spec.holder_identity.as_deref() != Some(identity) {
        spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |number| number.saturating_add(1)));
        spec.acquire_time.clone_from(&now);
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
    spec.renew_time = now;
    Lease { metadata: lease.metadata.clone(), spec: Some(spec) }
}

/// The Lease as it is given back: free at once. It differs from what stood there, or the write would be none, and whatever
/// another write in flight found would still be there.
pub(in crate::operator) fn released(lease: &Lease, now: DateTime<Utc>) -> Lease {
    let spec = lease.spec.clone().unwrap_or_default();
    let renew_time = later(now, spec.renew_time.as_ref());
    let (holder_identity, lease_duration_seconds) = (Some(String::new()), Some(1));
    Lease {
        metadata: lease.metadata.clone(),
        spec: Some(LeaseSpec { holder_identity, lease_duration_seconds, renew_time, ..spec }),
    }
}

/// The time, but never the one that stands there: a renewal that changes nothing would not be seen by anybody.
fn later(now: DateTime<Utc>, last: Option<&MicroTime>) -> Option<MicroTime> {
    let last = last.map(|last| last.0.as_microsecond());
    let now = now.timestamp_micros();
    let now = if last == Some(now) { now.saturating_add(1) } else { now };
    Timestamp::from_microsecond(now).ok().map(MicroTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn spec(lease: &Lease) -> LeaseSpec {
        lease.spec.clone().unwrap()
    }

    #[test]
    fn a_renewal_changes_the_lease_even_when_the_clock_stands() {
        let first = held_by(&new_lease("lease"), "a", DURATION, now());
        let second = held_by(&first, "a", DURATION, now());
        assert_ne!(first, second);
        assert_eq!(spec(&first).acquire_time, spec(&second).acquire_time);
        assert_eq!(spec(&second).lease_transitions, Some(0));
        let back = held_by(&second, "a", DURATION, now() - chrono::TimeDelta::hours(1));
        assert_ne!(back, second);
    }

    #[test]
    fn a_new_holder_is_counted() {
        let first = held_by(&new_lease("lease"), "a", DURATION, now());
        assert_eq!(holder(&first), Some("a"));
        let free = released(&first, now());
        assert_eq!(holder(&free), None);
        assert_ne!(released(&free, now()), free, "a write that changes nothing is none");
        let second = held_by(&free, "b", DURATION, now());
        assert_eq!((holder(&second), spec(&second).lease_transitions), (Some("b"), Some(1)));
        assert_eq!(spec(&second).lease_duration_seconds, Some(15));
        assert_eq!(holder(&new_lease("lease")), None);
    }
}
