//! ConfigMaps and Secrets with certificate authorities: those that waiting objects name are asked for by name, so that a mended one is
//! noticed within seconds.
//!
//! A watch would need the right to list ConfigMaps, and that of Secrets shows only those with a role of this operator: authorities need none.
//! Where nobody waits, nothing is asked for.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use super::Context;
use super::guarded::Guarded;
use super::provider::Resolved;
use super::watch::reference;
use crate::api::{CaBundleKind, ConditionStatus, ConditionType, Reason, RefreshableToken, RefreshableTokenStatus};

/// How often they are asked for. Our choice: whoever mends one is looking.
const EVERY: Duration = Duration::from_secs(5);
/// How many are asked for at once; with more, each waits for its turn. Our choice: a few requests a second, however many wait.
const MOST: usize = 20;

/// Where certificate authorities are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    namespace: String,
    kind: CaBundleKind,
    name: String,
}

/// Who waits for which authorities.
#[derive(Default)]
pub(super) struct Bundles {
    inner: Mutex<Inner>,
    begun: Notify,
}

#[derive(Default)]
struct Inner {
    /// By the object's UID.
    waiting: HashMap<String, Waiting>,
    /// What was asked for last: the next turn begins behind it.
    last: Option<Place>,
}

struct Waiting {
    object: ObjectRef<Guarded<RefreshableToken>>,
    place: Place,
}

impl Bundles {
    /// Notes what an object waits for, or that it waits no longer.
    pub(super) fn note(&self, object: &RefreshableToken, place: Option<Place>) {
        let uid = object.uid().unwrap_or_default();
        let Some(place) = place else {
            self.lock().waiting.remove(&uid);
            return;
        };
        let object = reference(object);
        self.lock().waiting.insert(uid, Waiting { object, place });
        self.begun.notify_one();
    }

    /// Resolves once somebody waits.
    async fn somebody(&self) {
        while self.lock().waiting.is_empty() {
            self.begun.notified().await;
        }
    }

    /// Those whose turn it is.
    fn turn(&self) -> Vec<Place> {
        let mut inner = self.lock();
        let all: BTreeSet<Place> = inner.waiting.values().map(|waiting| waiting.place.clone()).collect();
        let (before, behind): (Vec<_>, Vec<_>) = all.into_iter().partition(|place| Some(place) <= inner.last.as_ref());
        let turn: Vec<Place> = behind.into_iter().chain(before).take(MOST).collect();
        inner.last = turn.last().cloned();
        turn
    }

    /// Who waits for these authorities, with their UIDs.
    fn waiting_for(&self, place: &Place) -> Vec<(String, ObjectRef<Guarded<RefreshableToken>>)> {
        let inner = self.lock();
        let these = inner.waiting.iter().filter(|(_, waiting)| waiting.place == *place);
        these.map(|(uid, waiting)| (uid.clone(), waiting.object.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What the mutex guards is whole between any two statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for them while somebody waits, until the term ends.
pub(super) async fn look_after(context: &Arc<Context>) {
    let looks = async {
        loop {
            context.bundles.somebody().await;
            tokio::time::sleep(EVERY).await;
            join_all(context.bundles.turn().into_iter().map(|place| context.look_at_bundle(place))).await;
        }
    };
    context.stopping.run_until_cancelled(looks).await;
}

impl Context {
    /// Wakes whoever waits for authorities that are others than when they were read last.
    async fn look_at_bundle(&self, place: Place) {
        let Ok(version) = self.cluster.ca_bundle_version(&place.namespace, place.kind, &place.name).await else { return };
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for (uid, object) in self.bundles.waiting_for(&place) {
            if self.object(&object).is_none_or(|known| known.uid().as_ref() != Some(&uid)) {
                gone.push(uid);
            } else if self.memory.found_bundle(&uid, version.as_deref()) {
                changed.push(object);
            }
        }
        self.bundles.lock().waiting.retain(|uid, _| !gone.contains(uid));
        if !changed.is_empty() {
            let Place { namespace, kind, name } = &place;
            tracing::info!(namespace, ?kind, name, "certificate authorities changed that objects wait for");
            self.providers.forget_failed_discoveries(namespace);
        }
        for object in changed {
            self.wake(object);
        }
    }
}

/// Where the authorities of a provider are, if it names any.
pub(super) fn named_by(provider: &Resolved) -> Option<Place> {
    let bundle = provider.spec.ca_bundle_ref()?;
    Some(Place { namespace: provider.home.clone(), kind: bundle.kind, name: bundle.name.clone() })
}

/// Whether an object waits for something that other authorities may mend.
pub(super) fn waits(status: &RefreshableTokenStatus) -> bool {
    status.conditions.iter().any(|condition| {
        let wrong = matches!(condition.type_, ConditionType::Stalled | ConditionType::Reconciling);
        let mended = [Reason::CaBundleInvalid, Reason::EndpointUnreachable, Reason::DiscoveryFailed];
        wrong && condition.status == ConditionStatus::True && mended.iter().any(|reason| condition.reason == reason.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: usize) -> RefreshableToken {
        let spec = serde_json::json!({"credential": {"seedSecretRef": {"name": "seed"}}, "outputs": []});
        let mut object = RefreshableToken::new(&format!("object-{uid}"), serde_json::from_value(spec).unwrap());
        object.metadata.namespace = Some("build".to_owned());
        object.metadata.uid = Some(uid.to_string());
        object
    }

    fn place(number: usize) -> Place {
        Place { namespace: "build".to_owned(), kind: CaBundleKind::ConfigMap, name: format!("ca-{number:03}") }
    }

    #[test]
    fn each_has_its_turn_however_many_wait() {
        let bundles = Bundles::default();
        assert_eq!(bundles.turn(), Vec::<Place>::new());
        for number in 0..50 {
            bundles.note(&object(number), Some(place(number)));
        }
        let mut asked: Vec<Place> = (0..5).flat_map(|_| bundles.turn()).collect();
        assert_eq!(asked.len(), 5 * MOST);
        asked.sort();
        asked.chunk_by(|one, other| one == other).for_each(|same| assert_eq!(same.len(), 2, "{same:?}"));
        // Several objects may wait for one, which is asked for once.
        let bundles = Bundles::default();
        (0..50).for_each(|number| bundles.note(&object(number), Some(place(0))));
        assert_eq!(bundles.turn(), [place(0)]);
        assert_eq!(bundles.waiting_for(&place(0)).len(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_for_while_nobody_waits() {
        let bundles = Bundles::default();
        let idle = tokio::time::timeout(Duration::from_secs(3600), bundles.somebody()).await;
        assert!(idle.is_err());
        bundles.note(&object(1), Some(place(1)));
        bundles.somebody().await;
        bundles.note(&object(1), None);
        let idle = tokio::time::timeout(Duration::from_secs(3600), bundles.somebody()).await;
        assert!(idle.is_err(), "it waits no longer");
    }
}
