//! The watches of objects and of labelled Secrets: what changed, and whom it concerns.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::Context;
use super::cluster::LONGEST_LABEL;
use super::guarded::Guarded;
use super::seen::SeenSecret;
use crate::api::{ROLE_LABEL, RefreshableToken};

/// How many objects are handed to kube at a time while so many more are waiting, and how long it is waited for the end of as many looks. Our
/// choice: looks at objects that have nothing to do take less, and those that wait for a token API hold up nobody for longer.
const BATCH: u32 = 64;
const PAUSE: Duration = Duration::from_millis(20);

/// What the watch of objects holds, and the watch: a stream that wakes what changed, and gives nothing but errors.
///
/// kube's own asks for a look at each object of the first list at once; those that are woken are [`paced`].
pub(super) fn watch_objects(
    objects: Api<Guarded<RefreshableToken>>,
    wake: mpsc::UnboundedSender<ObjectRef<Guarded<RefreshableToken>>>,
) -> (Store<Guarded<RefreshableToken>>, impl Stream<Item = watcher::Result<Guarded<RefreshableToken>>>) {
    let (store, mut writer) = reflector::store();
    let held = store.clone();
    let events = watcher(objects, watcher::Config::default());
    let failures = events.filter_map(move |event| {
        let event = match event {
            Ok(event) => event,
            Err(error) => return std::future::ready(Some(Err(error))),
        };
        writer.apply_watcher_event(&event);
        // The receiver is gone only while the operator stops.
        let tell = |object| drop(wake.send(reference(object)));
        match &event {
            watcher::Event::Apply(object) => tell(object),
            watcher::Event::InitDone => held.state().iter().for_each(|object| tell(object.as_ref())),
            watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::Delete(_) => {}
        }
        std::future::ready(None)
    });
    (store, failures)
}

/// Those that are to be looked at; when they are many, few at a time: the next when as many looks have ended since, or after a pause. kube
/// begins with whatever it is given at once, and never gives back the room that it took for that.
pub(super) fn paced(
    woken: mpsc::UnboundedReceiver<ObjectRef<Guarded<RefreshableToken>>>,
    looked: Arc<Semaphore>,
) -> impl Stream<Item = ObjectRef<Guarded<RefreshableToken>>> {
    futures::stream::unfold((woken, 0), move |(mut woken, given)| {
        let looked = Arc::clone(&looked);
        async move {
            let object = woken.recv().await?;
            if given < BATCH || u32::try_from(woken.len()).is_ok_and(|waiting| waiting < BATCH) {
                return Some((object, (woken, given.min(BATCH) + 1)));
            }
            if let Ok(Ok(ended)) = timeout(PAUSE, looked.acquire_many(BATCH)).await {
                ended.forget();
            }
            looked.forget_permits(usize::MAX);
            Some((object, (woken, 1)))
        }
    })
}

/// The name of an object, and no more: kube keeps several copies of it.
pub(super) fn reference(object: &impl ResourceExt) -> ObjectRef<Guarded<RefreshableToken>> {
    ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default())
}

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
        let changed = context.seen.take(number, scope.as_deref(), &event);
        // The first list is shown before the first look, which every object has then.
        if let Some(((namespace, name), secret)) = changed.filter(|_| first.is_none()) {
            for object in concerned(&context, &namespace, &name, &secret) {
                // The receiver is gone only while the operator stops.
                let _ = wake.send(object);
            }
        }
        if let Some(first) = first.take_if(|_| listed)
            && first.send(()).is_err()
        {
            // It came so late that nobody waited for it any longer.
            context.objects().iter().for_each(|object| context.wake(reference(object.as_ref())));
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
    objects.map(|object| reference(object.as_ref())).collect()
}
