//! Workloads that are restarted when outputs change. Of each only metadata and the annotations of its Pod template are looked at.

use chrono::DateTime;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::{Cluster, Trouble, bounded, named};
use crate::api::{OUTPUT_MANAGER, RESTARTED_FOR, RolloutKind};
use crate::refresh::rollout::{Contents, MOST_WORKLOADS, Workload};

impl Cluster {
    /// GET a workload.
    pub async fn workload(&self, namespace: &str, kind: RolloutKind, name: &str) -> Result<Workload, Trouble> {
        named(name)?;
        bounded(self.workloads_of(namespace, kind).get(name)).await.map(|object| seen(&object))
    }

    /// The workloads with these labels; none if there are more than [`MOST_WORKLOADS`].
    pub async fn workloads(&self, namespace: &str, kind: RolloutKind, labels: &str) -> Result<Option<Vec<Workload>>, Trouble> {
        let most = u32::try_from(MOST_WORKLOADS).unwrap_or(u32::MAX);
        let list = bounded(self.workloads_of(namespace, kind).list(&ListParams::default().labels(labels).limit(most))).await?;
        let whole = list.metadata.continue_.is_none_or(|more| more.is_empty());
        Ok(whole.then(|| list.items.iter().map(seen).collect()))
    }

    /// Restarts a workload for these contents, as `kubectl rollout restart` does: an annotation of its Pod template changes. The
    /// same contents again change nothing, whoever asks for it.
    pub async fn restart(&self, namespace: &str, kind: RolloutKind, name: &str, contents: &Contents) -> Result<(), Trouble> {
        named(name)?;
        let annotations = json!({ contents.annotation.as_str(): contents.revision.as_str() });
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
        let params = PatchParams { field_manager: Some(OUTPUT_MANAGER.to_owned()), ..PatchParams::default() };
        bounded(self.workloads_of(namespace, kind).patch(name, &params, &Patch::Merge(patch))).await.map(drop)
    }

    fn workloads_of(&self, namespace: &str, kind: RolloutKind) -> Api<DynamicObject> {
        let resource = match kind {
            RolloutKind::Deployment => ApiResource::erase::<Deployment>(&()),
            RolloutKind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            RolloutKind::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
        };
        Api::namespaced_with(self.client(), namespace, &resource)
    }
}

fn seen(object: &DynamicObject) -> Workload {
    let metadata = &object.metadata;
    let annotations = object.data.pointer("/spec/template/metadata/annotations").and_then(Value::as_object);
    let ours = annotations.into_iter().flatten().filter(|(name, _)| name.starts_with(RESTARTED_FOR));
    Workload {
        name: metadata.name.clone().unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0)),
        marks: ours.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        deleting: metadata.deletion_timestamp.is_some(),
    }
}
