//! Probes: ready when the caches are there or while standing by, and not shaken by an API server that goes away.

use std::time::Duration;

use refreshable_token_operator::operator::metrics::{Listener, Metrics};

use super::{Scrape, get};
use crate::sight::wait;
use crate::world::{World, alone};

#[test]
fn probes_and_metrics_do_not_need_the_api_server_once_it_was_there() {
    alone(async {
        let world = World::start().await.unwrap();
        let scene = world.scene("outage").await;
        scene.begun("a").await;
        let address = world.metrics();
        let ready = || async { (get(address, "/readyz", &[]).await.0 == 200).then_some(()) };
        wait("readiness", ready).await;
        wait("the object", || async { (!Scrape::of(address).await.about(scene, "a").is_empty()).then_some(()) }).await;
        let World { plane, operator, .. } = world;
        plane.stop().unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        for path in ["/livez", "/readyz"] {
            let (status, _, body) = get(address, path, &[]).await;
            assert_eq!((status, body.as_str()), (200, "ok\n"), "{path}");
        }
        let (status, _, text) = get(address, "/metrics", &[]).await;
        assert_eq!(status, 200);
        assert!(text.contains("refreshabletoken_ready{namespace=\"outage\",name=\"a\",provider=\"jfrogAccess\"} 1"), "{text}");
        drop(operator);
        // Its tasks end when they are next looked at.
        wait("nothing answers for an operator that is gone", || async {
            tokio::net::TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
    });
}

#[test]
fn a_process_that_starts_lives_and_is_not_ready() {
    alone(async {
        let metrics = Metrics::new();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), metrics.clone(), None).await.unwrap();
        let address = listener.address().unwrap();
        let serving = tokio::spawn(listener.serve());
        assert_eq!(get(address, "/livez", &[]).await.0, 200);
        assert_eq!(get(address, "/readyz", &[]).await.0, 503);
        assert_eq!(Scrape::of(address).await.0.get("refreshabletoken_leader"), Some(&0.0));
        metrics.set_ready();
        assert_eq!(get(address, "/readyz", &[]).await.0, 200);
        assert_eq!(get(address, "/", &[]).await.0, 404);
        let post = reqwest::Client::new().post(format!("http://{address}/metrics")).send().await.unwrap();
        assert_eq!(post.status(), 405);
        serving.abort();
    });
}
