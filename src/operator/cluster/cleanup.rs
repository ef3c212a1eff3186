//! What the deletion of an object asks of the API server: finalizers, and the end of a state Secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::PartialObjectMeta;
use serde_json::json;

use super::{Cluster, Trouble, bounded, named};
use crate::api::{CLAIM_FINALIZER, OUTPUT_MANAGER, RefreshableToken};
use crate::operator::metrics::SecretWrite;
use crate::refresh::state::Version;

impl Cluster {
    /// Sets the finalizers of an object at the resourceVersion that `metadata` bears; gives its metadata after that. Works for
    /// objects that do not decode too.
    pub async fn set_finalizers(&self, metadata: &ObjectMeta, finalizers: &[String]) -> Result<ObjectMeta, Trouble> {
        let name = metadata.name.as_deref().unwrap_or_default();
        named(name)?;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<PartialObjectMeta<RefreshableToken>> = Api::namespaced(self.client(), namespace);
        let patch = at_version(metadata.resource_version.as_deref(), finalizers);
        Ok(bounded(api.patch_metadata(name, &params(), &Patch::Merge(&patch))).await?.metadata)
    }

    /// Deletes the state Secret that was read as this version, and no other. Success as well when it is gone.
    pub async fn delete_state(&self, namespace: &str, name: &str, version: &Version) -> Result<(), Trouble> {
        named(name)?;
        let api = self.secrets(namespace);
        let mut resource_version = version.resource_version.clone();
        if version.finalizers.iter().any(|finalizer| finalizer == CLAIM_FINALIZER) {
            let others: Vec<String> = version.finalizers.iter().filter(|name| *name != CLAIM_FINALIZER).cloned().collect();
            let patch = at_version(Some(&resource_version), &others);
            match self.written(SecretWrite::Patch, api.patch_metadata(name, &params(), &Patch::Merge(&patch))).await {
                Ok(secret) => resource_version = secret.metadata.resource_version.unwrap_or_default(),
                Err(Trouble::Missing) => return Ok(()),
                Err(trouble) => return Err(trouble),
            }
        }
        let preconditions = Preconditions { uid: Some(version.uid.clone()), resource_version: Some(resource_version) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.written(SecretWrite::Delete, api.delete(name, &params)).await {
            Ok(_) | Err(Trouble::Missing) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }
}

fn at_version(resource_version: Option<&str>, finalizers: &[String]) -> serde_json::Value {
    json!({ "metadata": { "resourceVersion": resource_version, "finalizers": finalizers } })
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(OUTPUT_MANAGER.to_owned()), ..PatchParams::default() }
}
