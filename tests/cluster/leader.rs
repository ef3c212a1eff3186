//! Leader election at a real API server: what it lets through, and what a person sees of it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use refreshable_token_operator::operator::clock::SystemClock;
use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::leader::{Election, LEASE, Timing};
use refreshable_token_operator::operator::metrics::Metrics;
use tokio::time::{Instant, timeout};

use crate::world::{PATIENCE, Scene, test};

/// A third of the true times: the test waits for some of them.
fn timing() -> Timing {
    let Timing { duration, deadline, retry, request } = Timing::default();
    // A request may take as long as it does: the machine is shared.
    Timing { duration: duration / 3, deadline: deadline / 3, retry: retry / 10, request }
}

fn election(scene: Scene<'_>, identity: &str) -> Election {
    let cluster = Cluster::new(scene.world.client.clone(), None, Metrics::new());
    Election::new(cluster, Arc::new(SystemClock), scene.namespace, identity, timing())
}

async fn lease(scene: Scene<'_>) -> k8s_openapi::api::coordination::v1::LeaseSpec {
    let api: Api<Lease> = Api::namespaced(scene.world.client.clone(), scene.namespace);
    api.get(LEASE).await.unwrap().spec.unwrap()
}

#[test]
fn a_killed_leader_is_followed_and_a_release_hands_over_at_once() {
    test("leader", |scene| async move {
        let (first, second, third) = (election(scene, "a_1"), election(scene, "b_2"), election(scene, "c_3"));
        let term = timeout(PATIENCE, first.lead()).await.unwrap();
        assert!(term.holds());
        let seen = lease(scene).await;
        assert_eq!((seen.holder_identity.as_deref(), seen.lease_transitions), (Some("a_1"), Some(0)));
        assert_eq!((seen.lease_duration_seconds, seen.acquire_time), (Some(5), seen.renew_time.clone()));
        assert!(timeout(2 * timing().duration, second.lead()).await.is_err(), "the leader renews");
        assert!(term.holds());
        assert!(lease(scene).await.renew_time > seen.renew_time);

        let begun = Instant::now();
        drop(first);
        let term = timeout(PATIENCE, second.lead()).await.unwrap();
        assert!(begun.elapsed() + timing().retry >= timing().duration, "{:?}", begun.elapsed());
        let seen = lease(scene).await;
        assert_eq!((seen.holder_identity.as_deref(), seen.lease_transitions), (Some("b_2"), Some(1)));

        let waiting = tokio::spawn(async move { (timeout(PATIENCE, third.lead()).await.unwrap(), third) });
        tokio::time::sleep(Duration::from_millis(700)).await;
        let begun = Instant::now();
        second.give_up().await;
        assert!(!term.holds());
        let (term, third) = waiting.await.unwrap();
        assert!(begun.elapsed() < timing().duration, "{:?}", begun.elapsed());
        assert!(term.holds());
        third.give_up().await;
        let seen = lease(scene).await;
        assert_eq!((seen.holder_identity.as_deref(), seen.lease_transitions), (Some(""), Some(2)));
    });
}
