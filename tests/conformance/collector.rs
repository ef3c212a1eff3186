//! What the garbage collector takes, by owners: once the real one, from kube-controller-manager, has done its work.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use testbed::control_plane::ControlPlane;
use testbed::fake_cluster::FakeCluster;
use tokio::time::{Instant, sleep};

use crate::operation::{Kind, fresh};
use crate::random::RUNTIME;
use crate::stage;

const NAMESPACE: &str = "collected";
/// UID of nothing that ever was.
const NOBODY: &str = "11111111-2222-3333-4444-555555555555";
/// How long the collector may take: it learns of a new kind within 30 s.
const PATIENCE: Duration = Duration::from_secs(120);
/// For how long nothing more may go then. Our choice: it comes to an object within a second or so.
const REST: Duration = Duration::from_secs(5);
/// The Secrets and their owners.
const SECRETS: [(&str, &[&str]); 6] = [
    ("alone", &[]),
    ("owned", &["a"]),
    ("held", &["a"]),
    ("shared", &["a", "b"]),
    ("orphan", &[NOBODY]),
    ("half", &[NOBODY, "b"]),
];

/// A cluster, whichever.
struct Place {
    client: Client,
}

impl Place {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        self.client.request(request.body(body).unwrap()).await.unwrap()
    }

    fn tokens(name: &str) -> String {
        format!("/apis/refreshabletoken.io/v1alpha1/namespaces/{NAMESPACE}/refreshabletokens{name}")
    }

    /// Two owners and the Secrets; then the first owner goes.
    async fn fill(&self) {
        let mut uids = BTreeMap::new();
        for name in ["a", "b"] {
            let owner = self.send("POST", &Self::tokens(""), &fresh(Kind::Token, name)).await;
            uids.insert(name, owner["metadata"]["uid"].clone());
        }
        for (name, owners) in SECRETS {
            let mut secret = fresh(Kind::Secret, name);
            let owner = |owner: &&str| {
                let uid = uids.get(owner).cloned().unwrap_or_else(|| NOBODY.into());
                let name = if uids.contains_key(owner) { owner } else { "nobody" };
                json!({ "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken", "name": name, "uid": uid })
            };
            secret["metadata"]["ownerReferences"] = owners.iter().map(owner).collect();
            if name == "held" {
                secret["metadata"]["finalizers"] = json!(["example.com/hold"]);
            }
            self.send("POST", &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &secret).await;
        }
        self.send("DELETE", &Self::tokens("/a"), &Value::Null).await;
    }

    /// The Secrets that are there: the names of their owners, and whether they are being deleted.
    async fn left(&self) -> BTreeMap<String, (Vec<String>, bool)> {
        let list = self.send("GET", &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &Value::Null).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let secret = |secret: &Value| {
            let metadata = &secret["metadata"];
            let owners = metadata["ownerReferences"].as_array().into_iter().flatten().map(|owner| text(&owner["name"])).collect();
            (text(&metadata["name"]), (owners, metadata["deletionTimestamp"].is_string()))
        };
        list["items"].as_array().unwrap().iter().map(secret).collect()
    }
}

#[test]
fn the_garbage_collector_takes_what_has_no_owner_left() {
    RUNTIME.block_on(async {
        let cluster = FakeCluster::new(|| chrono::DateTime::UNIX_EPOCH);
        cluster.create_namespace(NAMESPACE);
        let fake = Place { client: cluster.client("conformance", NAMESPACE) };
        fake.fill().await;
        assert_eq!(cluster.collect_garbage(), 3);
        let expected = fake.left().await;
        assert_eq!(expected.len(), 4, "{expected:?}");

        let plane = ControlPlane::builder().controller_manager().start().await.unwrap();
        stage::install(&plane).await.unwrap();
        plane.kubectl(&["create", "namespace", NAMESPACE], None).await.unwrap().checked().unwrap();
        let real = Place { client: Client::try_from(stage::config(plane.kubeconfig_yaml()).await.unwrap()).unwrap() };
        real.fill().await;
        let begun = Instant::now();
        while real.left().await != expected {
            assert!(begun.elapsed() < PATIENCE, "{:?}, and {expected:?} of the fake", real.left().await);
            sleep(Duration::from_millis(500)).await;
        }
        sleep(REST).await;
        assert_eq!(real.left().await, expected, "and nothing more");
    });
}
