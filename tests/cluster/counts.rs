//! How many requests to Kubernetes a refresh costs, counted by the API server itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use testbed::control_plane::{RequestCounts, requests_between};
use testbed::issuer::{Api as Kind, Pair};

use crate::manifest::{LONG, elastic, keys};
use crate::sight::calls_at;
use crate::world::{Scene, World, alone};

/// What the operator works with; all else that the API server counts is its own housekeeping.
const OURS: [&str; 5] = ["secrets", "refreshabletokens", "events", "configmaps", "namespaces"];

/// Requests that the API server has finished, by verb and resource.
async fn counts(world: &World) -> RequestCounts {
    let counts = world.plane.request_counts().await.unwrap();
    counts.into_iter().filter(|(key, _)| OURS.contains(&key.resource.as_str()) && key.verb != "WATCH").collect()
}

/// Requests of the operator in the audit log, which names users.
fn audited(world: &World) -> u64 {
    let counts = world.plane.audit_counts().unwrap();
    counts.iter().filter(|(key, _)| key.user == "operator" && key.verb != "watch").map(|(_, count)| count).sum()
}

/// Waits, without a request, until the chain was refreshed so often and the operator is at rest.
async fn settled(world: &World, pair: &Pair, calls: usize) {
    loop {
        let before = audited(world);
        tokio::time::sleep(Duration::from_secs(2)).await;
        if calls_at(&world.issuer, pair) >= calls && audited(world) == before {
            assert_eq!(calls_at(&world.issuer, pair), calls);
            return;
        }
    }
}

/// Requests of one course of events, printed as a table; both ways of counting must agree.
async fn measure<F: Future<Output = ()>>(world: &World, what: &str, own: u64, course: F) -> u64 {
    let (before, audited_before) = (counts(world).await, audited(world));
    course.await;
    let grown = requests_between(&before, &counts(world).await);
    let by_operator = audited(world) - audited_before;
    let mut table = BTreeMap::new();
    for (key, count) in &grown {
        let name = format!("{:6} {}{}", key.verb, key.resource, if key.subresource.is_empty() { "" } else { "/status" });
        *table.entry(name).or_insert(0) += count;
    }
    println!("{what}: {by_operator} requests of the operator ({own} of the test's own below)");
    for (name, count) in table {
        println!("  {count} {name}");
    }
    assert_eq!(grown.values().sum::<u64>(), by_operator + own, "{what}: the metrics and the audit log agree");
    by_operator
}

async fn world(namespace: &'static str) -> World {
    let world = World::bare().await.unwrap();
    world.scene(namespace).await;
    world
}

#[test]
fn a_strict_refresh_costs_at_most_six_requests_and_ten_with_the_full_preflight() {
    alone(async {
        let world = world("strict").await;
        let scene = Scene { world: &world, namespace: "strict" };
        let operator = world.operator(&["strict"]).await.unwrap();
        let pair = scene.hour("a").await;
        settled(&world, &pair, 0).await;
        let mut object = scene.access("a", LONG);
        let first = measure(&world, "first refresh, strict", 2, async {
            scene.put_seed("a", &keys(&pair)).await;
            scene.put(&object).await;
            settled(&world, &pair, 1).await;
        });
        assert!(first.await <= 10);
        let forced = measure(&world, "forced refresh, strict", 1, async {
            scene.force("a", "one").await;
            settled(&world, &pair, 2).await;
        });
        // One more than a scheduled one: the event that tells who asked is heard.
        assert!(forced.await <= 7);
        let changed = measure(&world, "refresh after a changed spec, strict", 1, async {
            object["spec"]["request"]["description"] = "changed".into();
            scene.put(&object).await;
            settled(&world, &pair, 3).await;
        });
        assert!(changed.await <= 10);
        let idle = measure(&world, "a minute without anything to do", 0, tokio::time::sleep(Duration::from_secs(60)));
        assert_eq!(idle.await, 0);
        let short = measure(&world, "refresh after a shorter lifetime, strict", 1, async {
            object["spec"]["request"]["lifetime"] = json!("12s");
            scene.put(&object).await;
            settled(&world, &pair, 4).await;
        });
        assert!(short.await <= 10);
        let steady = measure(&world, "scheduled refresh, strict", 0, settled(&world, &pair, 5));
        assert!(steady.await <= 6);
        operator.stop().await.unwrap();
    });
}

#[test]
fn a_refresh_on_the_light_path_costs_at_most_four_requests() {
    alone(async {
        let world = world("light").await;
        let scene = Scene { world: &world, namespace: "light" };
        let operator = world.operator(&["light"]).await.unwrap();
        let pair = scene.pair(Kind::ElasticCloudEnterprise, "a", Duration::from_secs(30)).await;
        settled(&world, &pair, 0).await;
        let first = measure(&world, "first refresh, light", 2, async {
            scene.put_seed("a", &keys(&pair)).await;
            scene.put(&scene.manifest("a", elastic(&world.issuer))).await;
            settled(&world, &pair, 1).await;
        });
        assert!(first.await <= 10);
        let steady = measure(&world, "scheduled refresh, light", 0, settled(&world, &pair, 2));
        assert!(steady.await <= 4);
        operator.stop().await.unwrap();
    });
}
