//! Requests about shared providers and whose they are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use serde_json::Value;

use super::{Cluster, Trouble, bounded, named};
use crate::api::{ClusterTokenProvider, ProviderKind, STATUS_MANAGER, TokenProvider};
use crate::operator::guarded::Guarded;

impl Cluster {
    /// GET a `TokenProvider`.
    pub async fn token_provider(&self, namespace: &str, name: &str) -> Result<Guarded<TokenProvider>, Trouble> {
        named(name)?;
        bounded(Api::namespaced(self.client.clone(), namespace).get(name)).await
    }

    /// GET a `ClusterTokenProvider`.
    pub async fn cluster_token_provider(&self, name: &str) -> Result<Guarded<ClusterTokenProvider>, Trouble> {
        named(name)?;
        bounded(Api::all(self.client.clone()).get(name)).await
    }

    /// Merges a patch into the status of a provider.
    pub async fn patch_provider_status(
        &self,
        kind: ProviderKind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<(), Trouble> {
        named(name)?;
        let params = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
        match (kind, namespace) {
            (ProviderKind::TokenProvider, Some(namespace)) => {
                let api: Api<PartialObjectMeta<TokenProvider>> = Api::namespaced(self.client.clone(), namespace);
                bounded(api.patch_status(name, &params, &Patch::Merge(patch))).await.map(|_| ())
            }
            (ProviderKind::TokenProvider, None) => Err(Trouble::Denied),
            (ProviderKind::ClusterTokenProvider, _) => {
                let api: Api<PartialObjectMeta<ClusterTokenProvider>> = Api::all(self.client.clone());
                bounded(api.patch_status(name, &params, &Patch::Merge(patch))).await.map(|_| ())
            }
        }
    }

    /// The labels of a namespace.
    pub async fn namespace_labels(&self, name: &str) -> Result<BTreeMap<String, String>, Trouble> {
        named(name)?;
        let api: Api<Namespace> = Api::all(self.client.clone());
        Ok(bounded(api.get_metadata(name)).await?.metadata.labels.unwrap_or_default())
    }
}
