//! All requests to Kubernetes. Each has a deadline, none is repeated here: what an answer proves is the protocol's business.

mod access;
mod account;
mod cleanup;
mod escrow;
pub(super) mod lease;
mod output;
mod provider;
mod review;
mod workload;

pub use output::{output_view, role};

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ObjectReference, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams, Request};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, ResourceExt as _};

use super::metrics::{Metrics, SecretWrite};
use crate::api::name::is_name;
use crate::api::{
    CLAIM_FINALIZER, CaBundleKind, CaBundleRef, NAME_LABEL, OUTPUT_MANAGER, ROLE_LABEL, RefreshableToken, STATUS_MANAGER,
};
use crate::refresh::conclude::Note;
use crate::refresh::exchange::{MarkAnswer, StateAnswer, StateWrite, WriteAnswer};
use crate::refresh::state::{State, StoredState, Version};

/// Longest time one request may take. kube has no read timeout of its own, so that a dead connection would hang for ever.
const DEADLINE: Duration = Duration::from_secs(10);
/// Asks for the metadata of an answer only (Kubernetes API concepts, "Alternate representations of resources").
const METADATA_ONLY: HeaderValue = HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
/// Annotation of client-side `kubectl apply`: it repeats the manifest, and the values of a Secret.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The Kubernetes API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    recorder: Recorder,
    metrics: Metrics,
}

/// What the answer to a request proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object is not there.
    Missing,
    /// Somebody wrote in between, or the object is there already.
    Conflict,
    /// The API server refused.
    Denied,
    /// Nobody knows.
    Unclear,
}

/// Whom an output belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Namespace of the object and its Secrets.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
}

impl Owner {
    /// An object.
    #[must_use]
    pub fn of(object: &RefreshableToken) -> Self {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        Self { namespace, name, uid: object.uid().unwrap_or_default() }
    }
}

impl Cluster {
    /// Wraps a client, which must not repeat requests by itself. Writes of Secrets are counted in `metrics`.
    #[must_use]
    pub fn new(client: Client, pod: Option<String>, metrics: Metrics) -> Self {
        let reporter = Reporter { controller: OUTPUT_MANAGER.to_owned(), instance: pod };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, metrics }
    }

    /// The client, for watches.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn config_maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn objects(&self, namespace: &str) -> Api<RefreshableToken> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// GET a Secret, from the API server and no cache.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, Trouble> {
        named(name)?;
        bounded(self.secrets(namespace).get(name)).await
    }

    /// GET the metadata of a Secret.
    pub async fn secret_metadata(&self, namespace: &str, name: &str) -> Result<ObjectMeta, Trouble> {
        named(name)?;
        Ok(bounded(self.secrets(namespace).get_metadata(name)).await?.metadata)
    }

    /// Creates a Secret.
    pub async fn create_secret(&self, namespace: &str, secret: &Secret) -> Result<Secret, Trouble> {
        self.written(SecretWrite::Create, self.secrets(namespace).create(&writer(false), secret)).await
    }

    /// UID of the `kube-system` namespace: what tells one cluster from another.
    pub async fn uid(&self) -> Result<String, Trouble> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = bounded(api.get("kube-system")).await?;
        namespace.metadata.uid.ok_or(Trouble::Unclear)
    }

    /// The bundle of certificate authorities that a provider names, and the resourceVersion of what holds it.
    pub async fn ca_bundle(
        &self,
        namespace: &str,
        reference: &CaBundleRef,
    ) -> Result<(Option<Vec<u8>>, Option<String>), Trouble> {
        named(&reference.name)?;
        let key = reference.key();
        match reference.kind {
            CaBundleKind::Secret => {
                let secret = bounded(self.secrets(namespace).get(&reference.name)).await?;
                let pem = secret.data.and_then(|mut data| data.remove(key)).map(|bytes| bytes.0);
                Ok((pem, secret.metadata.resource_version))
            }
            CaBundleKind::ConfigMap => {
                let map = bounded(self.config_maps(namespace).get(&reference.name)).await?;
                let pem = map.data.and_then(|mut data| data.remove(key)).map(String::into_bytes);
                Ok((pem, map.metadata.resource_version))
            }
        }
    }

    /// The resourceVersion of what holds a bundle of certificate authorities; none: it does not exist.
    pub async fn ca_bundle_version(&self, namespace: &str, kind: CaBundleKind, name: &str) -> Result<Option<String>, Trouble> {
        named(name)?;
        let metadata = match kind {
            CaBundleKind::Secret => self.secret_metadata(namespace, name).await,
            CaBundleKind::ConfigMap => bounded(self.config_maps(namespace).get_metadata(name)).await.map(|map| map.metadata),
        };
        match metadata {
            Ok(metadata) => Ok(metadata.resource_version),
            Err(Trouble::Missing) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// GET the object, from the API server and no cache.
    pub async fn object(&self, namespace: &str, name: &str) -> Result<RefreshableToken, Trouble> {
        named(name)?;
        bounded(self.objects(namespace).get(name)).await
    }

    /// PUT the status at the resourceVersion that `object` bears.
    pub async fn put_status(&self, namespace: &str, object: &RefreshableToken) -> Result<RefreshableToken, Trouble> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        named(name)?;
        let params = PostParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PostParams::default() };
        bounded(self.objects(namespace).replace_status(name, &params, object)).await
    }

    /// Merges a patch into the status of an object that does not decode.
    pub async fn patch_status(&self, namespace: &str, name: &str, patch: &serde_json::Value) -> Result<(), Trouble> {
        named(name)?;
        let params = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
        let api: Api<kube::core::PartialObjectMeta<RefreshableToken>> = Api::namespaced(self.client.clone(), namespace);
        bounded(api.patch_status(name, &params, &Patch::Merge(patch))).await.map(|_| ())
    }

    /// GET the state Secret.
    pub async fn read_state(&self, namespace: &str, name: &str) -> StateAnswer {
        match self.secret(namespace, name).await {
            Ok(secret) => stored(secret),
            Err(Trouble::Missing) => StateAnswer::Missing,
            Err(Trouble::Denied) => StateAnswer::Denied,
            Err(Trouble::Conflict | Trouble::Unclear) => StateAnswer::Unclear,
        }
    }

    /// Create or replace the state Secret.
    pub async fn write_state(&self, namespace: &str, name: &str, owner: &str, write: &StateWrite) -> WriteAnswer {
        if named(name).is_err() {
            return WriteAnswer::Denied;
        }
        let secret = state_secret(name, owner, write);
        match self.write_whole(namespace, name, &secret, write.replaces.is_some(), write.dry_run).await {
            Ok(metadata) => WriteAnswer::Done(Box::new(version(&metadata))),
            Err(Trouble::Missing) => WriteAnswer::Missing,
            Err(Trouble::Conflict) => WriteAnswer::Conflict,
            Err(Trouble::Denied) => WriteAnswer::Denied,
            Err(Trouble::Unclear) => WriteAnswer::Unclear,
        }
    }

    /// Publishes an event about an object. An event that cannot be published is not worth a failure.
    pub async fn publish_event(&self, object: &ObjectReference, note: &Note) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.as_str().to_owned(),
            note: Some(note.message.chars().take(1000).collect()),
            action: "Refresh".to_owned(),
            secondary: None,
        };
        if bounded(self.recorder.publish(&event, object)).await.is_err() {
            self.metrics.event_dropped();
            tracing::debug!(reason = note.reason.as_str(), "the event could not be published");
        }
    }
}

impl Cluster {
    /// PUT a Secret that `replaces` another version, else POST it; counted unless it is a dry run. Only its metadata are asked for: what it
    /// holds would come back for nothing, and a claim weighs 44 kB.
    async fn write_whole(
        &self,
        namespace: &str,
        name: &str,
        secret: &Secret,
        replaces: bool,
        dry_run: bool,
    ) -> Result<ObjectMeta, Trouble> {
        let write = async {
            let body = serde_json::to_vec(secret).map_err(kube::Error::SerdeError)?;
            let (place, params) = (Request::new(self.secrets(namespace).resource_url()), writer(dry_run));
            let request = if replaces { place.replace(name, &params, body) } else { place.create(&params, body) };
            let mut request = request.map_err(kube::Error::BuildRequest)?;
            request.headers_mut().insert(ACCEPT, METADATA_ONLY);
            Ok(self.client.request::<PartialObjectMeta<Secret>>(request).await?.metadata)
        };
        if dry_run {
            return bounded(write).await;
        }
        self.written(if replaces { SecretWrite::Update } else { SecretWrite::Create }, write).await
    }

    /// A write of a Secret, counted when it ends.
    fn written<'a, T: Send + 'a>(
        &'a self,
        write: SecretWrite,
        request: impl Future<Output = Result<T, kube::Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Trouble>> {
        let request = bounded(request);
        async move {
            let result = request.await;
            self.metrics.secret_written(write, result.as_ref().err().copied());
            result
        }
        .boxed()
    }
}

/// A name that cannot change the path of a request.
fn named(name: &str) -> Result<(), Trouble> {
    if is_name(name) { Ok(()) } else { Err(Trouble::Denied) }
}

/// Runs one request under the deadline and tells what its end proves. The server's own words go no further than this: they can
/// repeat what was sent.
///
/// Boxed at once: the futures of kube are large, and they would stand in those of all callers.
pub(super) fn bounded<'a, T: Send + 'a>(
    request: impl Future<Output = Result<T, kube::Error>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Trouble>> {
    let request = request.boxed();
    async move {
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(Trouble::Unclear),
        }
    }
    .boxed()
}

fn classify(error: &kube::Error) -> Trouble {
    match error {
        kube::Error::Api(status) if status.is_not_found() => Trouble::Missing,
        kube::Error::Api(status) if status.is_already_exists() || status.is_conflict() => Trouble::Conflict,
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 408 && status.code != 429 => {
            Trouble::Denied
        }
        _ => Trouble::Unclear,
    }
}

impl From<Trouble> for MarkAnswer {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Missing | Trouble::Conflict => Self::Stale,
            Trouble::Denied => Self::Denied,
            Trouble::Unclear => Self::Unclear,
        }
    }
}

fn writer(dry_run: bool) -> PostParams {
    PostParams { dry_run, field_manager: Some(OUTPUT_MANAGER.to_owned()) }
}

fn bytes(data: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, ByteString> {
    data.into_iter().map(|(key, value)| (key, ByteString(value))).collect()
}

fn labels(role: &str, name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(ROLE_LABEL.to_owned(), role.to_owned()), (NAME_LABEL.to_owned(), label_value(name))])
}

/// Longest value of a label (Kubernetes label syntax).
pub const LONGEST_LABEL: usize = 63;

/// The object's name as a label value, cut where it is too long for one.
fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(LONGEST_LABEL).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn state_secret(name: &str, owner: &str, write: &StateWrite) -> Secret {
    let version = write.replaces.clone().unwrap_or_default();
    let mut all_labels = version.labels;
    all_labels.extend(labels("state", owner));
    let mut finalizers = version.finalizers;
    finalizers.retain(|finalizer| finalizer != CLAIM_FINALIZER);
    if write.state.claim.is_some() {
        finalizers.push(CLAIM_FINALIZER.to_owned());
    }
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(all_labels),
        annotations: Some(version.annotations.into_iter().filter(|(key, _)| key != LAST_APPLIED).collect()),
        finalizers: Some(finalizers),
        resource_version: Some(version.resource_version).filter(|version| !version.is_empty()),
        uid: Some(version.uid).filter(|uid| !uid.is_empty()),
        ..ObjectMeta::default()
    };
    Secret { metadata, type_: Some("Opaque".to_owned()), data: Some(bytes(write.state.encode())), ..Secret::default() }
}

fn version(metadata: &ObjectMeta) -> Version {
    Version {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        finalizers: metadata.finalizers.clone().unwrap_or_default(),
        written: written(metadata),
    }
}

/// When this operator last changed the Secret, as the API server has it.
fn written(metadata: &ObjectMeta) -> Option<DateTime<Utc>> {
    let own = metadata.managed_fields.iter().flatten().filter(|entry| entry.manager.as_deref() == Some(OUTPUT_MANAGER));
    own.filter_map(|entry| DateTime::from_timestamp(entry.time.as_ref()?.0.as_second(), 0)).max()
}

fn stored(secret: Secret) -> StateAnswer {
    let version = version(&secret.metadata);
    let immutable = secret.immutable.unwrap_or(false);
    let deleting = secret.metadata.deletion_timestamp.is_some();
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    match State::decode(data) {
        Ok(state) => StateAnswer::Found(Box::new(StoredState { state, version, immutable, deleting })),
        Err(why) => StateAnswer::Malformed(why, Box::new(version)),
    }
}

/// Whether this is still the object of that UID, and not another of the same name.
#[must_use]
pub fn is_owned_by(object: &RefreshableToken, uid: &str) -> bool {
    object.metadata.uid.as_deref() == Some(uid)
}
