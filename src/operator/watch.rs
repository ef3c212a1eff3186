//! The watch of labelled Secrets: what changed, and whom it concerns.

use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::{mpsc, oneshot};

use super::Context;
use super::cluster::LONGEST_LABEL;
use super::guarded::Guarded;
use super::seen::SeenSecret;
use crate::api::{ROLE_LABEL, RefreshableToken};

/// Keeps `seen` up to date and wakes the objects that a changed Secret concerns.
pub(super) async fn watch_secrets(
    context: Arc<Context>,
    number: usize,
    scope: Option<String>,
    secrets: Api<PartialObjectMeta<Secret>>,
    wake: mpsc::UnboundedSender<ObjectRef<Guarded<RefreshableToken>>>,
    first: oneshot::Sender<()>,
) {
    let mut first = Some(first);
    let config = watcher::Config::default().labels(&format!("{ROLE_LABEL} in (seed,output,merged)"));
    let events = watcher(secrets, config).default_backoff();
    let handled = events.for_each(|event| {
        let event = match event {
            Ok(event) => only_metadata(event),
            Err(error) => {
                // The stream goes on by itself, after a pause.
                tracing::debug!(%error, "the watch of Secrets failed; it is tried again");
                return std::future::ready(());
            }
        };
        let listed = matches!(event, watcher::Event::InitDone);
        if let Some(((namespace, name), secret)) = context.seen.take(number, scope.as_deref(), &event) {
            for object in concerned(&context, &namespace, &name, &secret) {
                // The receiver is gone only while the operator stops.
                let _ = wake.send(object);
            }
        }
        if let Some(first) = first.take_if(|_| listed) {
            let _ = first.send(());
        }
        std::future::ready(())
    });
    handled.await;
}

fn only_metadata(event: watcher::Event<PartialObjectMeta<Secret>>) -> watcher::Event<ObjectMeta> {
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(object.metadata),
        watcher::Event::Apply(object) => watcher::Event::Apply(object.metadata),
        watcher::Event::Delete(object) => watcher::Event::Delete(object.metadata),
    }
}

/// The objects that a Secret concerns: its owner, or those that name it as seed or output, or whose provider names it.
fn concerned(context: &Context, namespace: &str, name: &str, secret: &SeenSecret) -> Vec<ObjectRef<Guarded<RefreshableToken>>> {
    // A label holds at most 63 characters: a longer name stands there cut, and the spec has to tell.
    if let Some(label) = secret.name_label.as_ref().filter(|label| secret.role != "seed" && label.len() < LONGEST_LABEL) {
        return vec![ObjectRef::new(label).within(namespace)];
    }
    let names = |object: &RefreshableToken| {
        if context.provider_names(object, namespace, name) {
            return true;
        }
        if object.namespace().as_deref() != Some(namespace) {
            return false;
        }
        let output = secret.role != "seed" && object.spec.outputs.iter().any(|output| output.secret_name == name);
        let owner = object.uid().is_some_and(|uid| secret.owners.contains(&uid));
        owner || output || object.spec.credential.seed_secret_ref.name == name
    };
    let objects = context.objects();
    let objects = objects.iter().filter(|object| object.0.as_ref().is_ok_and(names));
    objects.map(|object| ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default())).collect()
}
