//! Manifests as JSON, so that a test changes one field and applies the object again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use refreshable_token_operator::api::RefreshableToken;
use serde_json::{Value, json};
use testbed::issuer::{Api as Kind, Issuer, Pair};

use crate::world::Scene;

/// Lifetime of tokens that shall not be refreshed by the schedule while a test runs.
pub const LONG: &str = "1h";

/// A provider of JFrog Access.
pub fn access(issuer: &Issuer) -> Value {
    json!({"jfrogAccess": {"url": issuer.url()}})
}

/// A provider of OAuth 2.0.
pub fn oauth2(issuer: &Issuer) -> Value {
    json!({"oauth2": {"tokenURL": format!("{}/oauth2/token", issuer.url())}})
}

/// A provider of Elastic Cloud Enterprise.
pub fn elastic(issuer: &Issuer) -> Value {
    json!({"elasticCloudEnterprise": {"url": issuer.url()}})
}

/// The keys of a seed for JFrog Access.
pub fn keys(pair: &Pair) -> Vec<(&str, &str)> {
    let mut keys = vec![("access_token", pair.access_token.as_str())];
    keys.extend(pair.refresh_token.as_deref().map(|token| ("refresh_token", token)));
    keys
}

/// The keys of a seed for OAuth 2.0, with the client's credentials.
pub fn client_keys<'a>(pair: &'a Pair, secret: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut keys = keys(pair);
    keys.extend([("client_id", "client"), ("client_secret", secret)]);
    keys
}

impl Scene<'_> {
    /// An object with the seed `<name>-seed` and one output `<name>-token`.
    pub fn manifest(&self, name: &str, provider: Value) -> Value {
        let mut object = json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "credential": {"seedSecretRef": {"name": format!("{name}-seed")}},
                "outputs": [{"secretName": format!("{name}-token"), "opaque": {"expirationTimeKey": "expires_at"}}],
            },
        });
        object["spec"]["provider"] = provider;
        object
    }

    /// An object of JFrog Access that asks for tokens of this lifetime.
    pub fn access(&self, name: &str, lifetime: &str) -> Value {
        let mut object = self.manifest(name, access(&self.world.issuer));
        object["spec"]["request"] = json!({"lifetime": lifetime});
        object
    }

    /// A Secret with a role label.
    pub fn secret_manifest(&self, name: &str, keys: &[(&str, &str)]) -> Value {
        let data: serde_json::Map<_, _> =
            keys.iter().map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into())).collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"refreshabletoken.io/role": "seed"}},
            "data": data,
        })
    }

    /// Applies the seed `<name>-seed`.
    pub async fn put_seed(&self, name: &str, keys: &[(&str, &str)]) {
        self.put(&self.secret_manifest(&format!("{name}-seed"), keys)).await;
    }

    /// A first pair of JFrog Access whose access token lives an hour.
    pub async fn hour(&self, name: &str) -> Pair {
        self.pair(Kind::JfrogAccess, name, std::time::Duration::from_secs(3600)).await
    }

    /// An object of JFrog Access, refreshed once, whose next refresh is far away.
    pub async fn begun(&self, name: &str) -> (Value, Pair) {
        let pair = self.hour(name).await;
        self.put_seed(name, &keys(&pair)).await;
        let object = self.access(name, LONG);
        self.put(&object).await;
        self.refreshed(name, 1).await;
        (object, pair)
    }

    /// Server-side apply of an object, as one user of one manifest.
    pub async fn put(&self, object: &Value) {
        self.try_put(object).await.unwrap();
    }

    /// The same, and whether the API server took it.
    pub async fn try_put(&self, object: &Value) -> kube::Result<DynamicObject> {
        let resource = match object["kind"].as_str().unwrap() {
            "RefreshableToken" => ApiResource::erase::<RefreshableToken>(&()),
            "Secret" => ApiResource::erase::<Secret>(&()),
            "ConfigMap" => ApiResource::erase::<ConfigMap>(&()),
            other => panic!("no resource for {other}"),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.world.client.clone(), self.namespace, &resource);
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(object)).await
    }

    /// Asks for one refresh.
    pub async fn force(&self, name: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {"refreshabletoken.io/refresh-requested-at": value}}});
        self.objects().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Deletes a Secret.
    pub async fn remove(&self, secret: &str) {
        self.secrets().delete(secret, &kube::api::DeleteParams::default()).await.unwrap();
    }
}
