//! Wiring: the watches, the controllers, start and end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Controller, WatchStreamExt as _};
use kube::{Api, Client, Config, ResourceExt as _};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Context;
use super::clock::SystemClock;
use super::cluster::{Cluster, LONGEST_LABEL, Trouble};
use super::endpoint::EndpointPolicy;
use super::key::{KeyError, keys};
use super::memory::Memories;
use super::reconcile::{after_breakdown, reconcile};
use super::seen::{SeenSecret, SeenSecrets};
use super::transport::Transport;
use crate::api::{ROLE_LABEL, RefreshableToken};

/// How long the start waits for the first list of Secrets. Our choice: without it refreshes are still better than none.
const LIST_WITHIN: Duration = Duration::from_secs(30);

type Guarded = DeserializeGuard<RefreshableToken>;

/// How the operator runs.
#[derive(Debug)]
pub struct Settings {
    /// How the API server is reached.
    pub config: Config,
    /// Namespaces to watch; none: all.
    pub namespaces: Vec<String>,
    /// Where the operator keeps what is its own; none: the namespace that `config` names.
    pub operator_namespace: Option<String>,
    /// Which addresses may be called.
    pub endpoint_policy: EndpointPolicy,
    /// How many exchanges may run at once.
    pub max_in_flight: usize,
    /// Name of this replica.
    pub pod: String,
}

/// Why the operator cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings for the API server cannot be used.
    #[error("no client for the Kubernetes API server can be made: check --kubeconfig")]
    Client(#[source] kube::Error),
    /// The API server does not answer as it should.
    #[error(
        "the kube-system namespace cannot be read ({0:?}): check that the API server is reachable and allow get of that namespace"
    )]
    Cluster(Trouble),
    /// There is no key for fingerprints.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The kind is not installed.
    #[error("RefreshableToken objects cannot be listed: install the CRDs (kubectl apply -f crds/) and allow list and watch")]
    Kind,
}

/// The operator, ready to run.
pub struct Operator {
    context: Arc<Context>,
    namespaces: Vec<String>,
}

impl Operator {
    /// Makes clients, reads the key and the cluster's name.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let mut config = settings.config;
        // A repeated PUT would answer 409 for our own first write; a repeated anything hides how long an outage lasts.
        config.default_retry = false;
        let operator_namespace = settings.operator_namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(StartError::Client)?;
        let cluster = Cluster::new(client, Some(settings.pod.clone()));
        let cluster_uid = cluster.uid().await.map_err(StartError::Cluster)?;
        let key = keys(&cluster, &operator_namespace).await?.fingerprint;
        let context = Context {
            cluster,
            transport: Transport::new(settings.endpoint_policy),
            clock: Arc::new(SystemClock),
            seen: SeenSecrets::default(),
            memory: Memories::default(),
            stores: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(settings.max_in_flight)),
            exchanges: TaskTracker::new(),
            stopping: CancellationToken::new(),
            key,
            cluster_uid,
            pod: settings.pod,
            process: uuid::Uuid::now_v7().to_string(),
        };
        let operator = Self { context: Arc::new(context), namespaces: settings.namespaces };
        operator.check_kind().await?;
        Ok(operator)
    }

    async fn check_kind(&self) -> Result<(), StartError> {
        let limit = kube::api::ListParams::default().limit(1);
        for api in self.apis::<RefreshableToken>() {
            let list = tokio::time::timeout(Duration::from_secs(10), api.1.list_metadata(&limit)).await;
            if !matches!(list, Ok(Ok(_))) {
                return Err(StartError::Kind);
            }
        }
        Ok(())
    }

    fn apis<K>(&self) -> Vec<(Option<String>, Api<K>)>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        let client = || self.context.cluster.client();
        if self.namespaces.is_empty() {
            return vec![(None, Api::all(client()))];
        }
        self.namespaces.iter().map(|name| (Some(name.clone()), Api::namespaced(client(), name))).collect()
    }

    /// Runs until `stop` resolves, then finishes what was begun: no new exchange, and no exchange under way is left alone.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let stopping = self.context.stopping.clone();
        let work = self.work();
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => {}
            () = stop => {
                tracing::info!("stopping: no new exchange is begun, those under way are finished");
                stopping.cancel();
                work.await;
            }
        }
        self.context.exchanges.close();
        self.context.exchanges.wait().await;
        tracing::info!("stopped");
    }

    async fn work(&self) {
        let controllers = self.apis::<Guarded>().into_iter().zip(self.apis::<PartialObjectMeta<Secret>>()).enumerate();
        let mut running = Vec::new();
        for (number, ((scope, objects), (_, secrets))) in controllers {
            running.push(self.control(number, scope, objects, secrets));
        }
        tracing::info!(namespaces = ?self.namespaces, "watching");
        futures::future::join_all(running).await;
    }

    /// One controller: the objects of one namespace or of all, woken by themselves and by their Secrets.
    async fn control(
        &self,
        number: usize,
        scope: Option<String>,
        objects: Api<Guarded>,
        secrets: Api<PartialObjectMeta<Secret>>,
    ) {
        let context = Arc::clone(&self.context);
        let (wake, woken) = mpsc::unbounded_channel();
        let controller = Controller::new(objects, watcher::Config::default());
        let store = controller.store();
        context.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
        let (first, listed) = oneshot::channel();
        let watch = watch_secrets(Arc::clone(&context), number, scope, secrets, wake, first);
        let watch = tokio::spawn({
            let stopping = context.stopping.clone();
            async move { stopping.run_until_cancelled_owned(watch).await }
        });
        // Before the first list every output would look deleted, and each would be written again.
        let listed = context.stopping.run_until_cancelled(tokio::time::timeout(LIST_WITHIN, listed)).await;
        if matches!(listed, Some(Err(_))) {
            tracing::warn!("Secrets cannot be listed: allow list and watch; refreshes go on without noticing changed Secrets");
        }
        let stopping = context.stopping.clone();
        controller
            .reconcile_on(futures::stream::unfold(
                woken,
                |mut woken| async move { woken.recv().await.map(|object| (object, woken)) },
            ))
            .graceful_shutdown_on(async move { stopping.cancelled().await })
            .run(reconcile, after_breakdown, Arc::clone(&context))
            .for_each(|result| {
                if let Err(error) = &result {
                    tracing::debug!(%error, "controller");
                }
                forget(&context);
                std::future::ready(())
            })
            .await;
        watch.abort();
    }
}

/// Forgets objects that are gone, now and then: when more are remembered than there can be.
fn forget(context: &Context) {
    let objects = context
        .stores
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(kube::runtime::reflector::Store::len)
        .sum::<usize>();
    if context.memory.len() > 2 * objects + 100 {
        let uids: std::collections::HashSet<String> = context.objects().iter().filter_map(|object| object.uid()).collect();
        context.memory.keep(|uid| uids.contains(uid));
    }
}

/// Keeps `seen` up to date and wakes the objects that a changed Secret concerns.
async fn watch_secrets(
    context: Arc<Context>,
    number: usize,
    scope: Option<String>,
    secrets: Api<PartialObjectMeta<Secret>>,
    wake: mpsc::UnboundedSender<ObjectRef<Guarded>>,
    first: oneshot::Sender<()>,
) {
    let mut first = Some(first);
    let config = watcher::Config::default().labels(&format!("{ROLE_LABEL} in (seed,output)"));
    let events = watcher(secrets, config).default_backoff();
    let handled = events.try_for_each(|event| {
        let event = only_metadata(event);
        let listed = matches!(event, watcher::Event::InitDone);
        if let Some(((namespace, name), secret)) = context.seen.take(number, scope.as_deref(), &event) {
            for object in concerned(&context, &namespace, &name, &secret) {
                // The receiver is gone only while the operator stops.
                let _ = wake.send(ObjectRef::new(&object).within(&namespace));
            }
        }
        if let Some(first) = first.take_if(|_| listed) {
            let _ = first.send(());
        }
        std::future::ready(Ok::<(), watcher::Error>(()))
    });
    // `default_backoff` makes the stream go on after errors; `try_for_each` would end at the first.
    if let Err(error) = handled.await {
        tracing::debug!(%error, "the watch of Secrets ended");
    }
}

fn only_metadata(
    event: watcher::Event<PartialObjectMeta<Secret>>,
) -> watcher::Event<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta> {
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(object.metadata),
        watcher::Event::Apply(object) => watcher::Event::Apply(object.metadata),
        watcher::Event::Delete(object) => watcher::Event::Delete(object.metadata),
    }
}

/// Names of the objects that a Secret concerns: its owner, or those that name it as seed or client.
fn concerned(context: &Context, namespace: &str, name: &str, secret: &SeenSecret) -> Vec<String> {
    // A label holds at most 63 characters: a longer name stands there cut, and the owner's UID has to tell.
    if let Some(label) = secret.name_label.as_ref().filter(|label| secret.role == "output" && label.len() < LONGEST_LABEL) {
        return vec![label.clone()];
    }
    let names = |object: &RefreshableToken| {
        let client = object.spec.provider.client_secret_ref().map(|client| client.name.as_str());
        let owner = object.uid().is_some_and(|uid| secret.owners.contains(&uid));
        owner || object.spec.credential.seed_secret_ref.name == name || client == Some(name)
    };
    let objects = context.objects();
    let objects = objects.iter().filter(|object| object.namespace().as_deref() == Some(namespace));
    objects.filter_map(|object| object.0.as_ref().ok()).filter(|object| names(object)).map(kube::ResourceExt::name_any).collect()
}
