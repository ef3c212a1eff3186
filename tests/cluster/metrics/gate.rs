//! Who may read `/metrics`: as the API server's own TokenReview and SubjectAccessReview say.

use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::metrics::{Gate, Listener, Metrics};

use super::get;
use crate::world::{World, alone};

const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: metrics-reader}
rules:
- {nonResourceURLs: [/metrics], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: scraper-reads-metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: metrics-reader}
subjects:
- {kind: ServiceAccount, name: scraper, namespace: monitoring}
";

async fn token(world: &World, account: &str) -> String {
    let create = ["create", "serviceaccount", account, "-n", "monitoring"];
    world.plane.kubectl(&create, None).await.unwrap().checked().unwrap();
    let token = ["create", "token", account, "-n", "monitoring", "--duration=10m"];
    world.plane.kubectl(&token, None).await.unwrap().checked().unwrap().trim().to_owned()
}

#[test]
fn only_whom_the_api_server_lets_may_read_the_metrics() {
    alone(async {
        let world = World::bare().await.unwrap();
        world.plane.kubectl(&["create", "namespace", "monitoring"], None).await.unwrap().checked().unwrap();
        world.plane.kubectl(&["apply", "-f", "-"], Some(ROLE)).await.unwrap().checked().unwrap();
        let (scraper, other) = (token(&world, "scraper").await, token(&world, "other").await);
        let metrics = Metrics::new();
        let cluster = Cluster::new(world.client.clone(), None, metrics.clone());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), metrics, Some(Gate::new(cluster))).await.unwrap();
        let address = listener.address().unwrap();
        tokio::spawn(listener.serve());
        let status =
            |authorization: String| async move { get(address, "/metrics", &[("authorization", &authorization)]).await.0 };

        assert_eq!(get(address, "/metrics", &[]).await.0, 401);
        assert_eq!(status("Bearer wrong".to_owned()).await, 401);
        assert_eq!(status(format!("Bearer {other}")).await, 403);
        assert_eq!(status(format!("Bearer {scraper}")).await, 200);
        for path in ["/livez", "/readyz"] {
            assert_ne!(get(address, path, &[]).await.0, 401, "probes need no token: {path}");
        }

        let reviews = || {
            let events = world.plane.audit_events().unwrap();
            events.iter().filter(|event| event.uri.contains("/tokenreviews")).count()
        };
        let asked = reviews();
        assert_eq!(asked, 3, "no token, no question");
        for _ in 0..5 {
            assert_eq!(status(format!("Bearer {scraper}")).await, 200);
            assert_eq!(status(format!("Bearer {other}")).await, 403);
        }
        assert_eq!(reviews(), asked, "answers are kept for a while");

        world.plane.stop().unwrap();
        assert_eq!(status(format!("Bearer {scraper}")).await, 200, "still known");
        assert_eq!(status("Bearer unheard-of".to_owned()).await, 503, "what cannot be asked is refused");
    });
}
