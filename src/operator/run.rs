//! The run: terms, watches, controllers, and the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::Controller;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Context;
use super::bundles;
use super::guarded;
use super::leader::Election;
use super::provider;
use super::reconcile::{after_breakdown, reconcile};
use super::shards::stand;
use super::watch::{paced, watch_objects, watch_secrets};
use crate::api::RefreshableToken;

/// How long the start waits for the first list of Secrets. Our choice: without it refreshes are still better than none.
const LIST_WITHIN: Duration = Duration::from_secs(30);

type Guarded = guarded::Guarded<RefreshableToken>;

/// The operator, ready to run.
pub struct Operator {
    pub(super) context: Arc<Context>,
    /// Decide who works, one for each shard; none: this replica, whatever others do.
    pub(super) elections: Option<Vec<Election>>,
    /// Answers until the operator is dropped.
    pub(super) listening: Option<Listening>,
}

/// The listener at work.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) _task: AbortOnDropHandle<()>,
}

impl Operator {
    /// Where metrics and probes are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().map(|listening| listening.address)
    }

    /// Runs until `stop` resolves, then finishes what was begun: no new exchange, and no exchange under way is left alone. Each shard is
    /// given back once what was begun for it has ended.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let stop = async {
            stop.await;
            tracing::info!("stopping: no new exchange is begun, those under way are finished");
            self.context.stopping.cancel();
            give_back(&self.context, self.elections.iter().flatten()).await;
        };
        tokio::join!(self.terms(), stop);
        self.context.exchanges.close();
        self.context.exchanges.wait().await;
        tracing::info!("stopped");
    }

    /// Works while it holds a shard; without an election, all the time.
    async fn terms(&self) {
        let (stopping, shards) = (&self.context.stopping, &self.context.shards);
        let Some(elections) = &self.elections else {
            for number in 0..shards.count() {
                // None is ever lost.
                let _ = shards.take(number, stopping.child_token());
            }
            return work(&self.context.term(stopping.child_token())).await;
        };
        // A replica that waits for the lead is as good as one that has it.
        self.context.metrics.set_ready();
        let works = async {
            while stopping.run_until_cancelled(shards.begun()).await.is_some() {
                let ends = stopping.child_token();
                let watch = async {
                    if ends.run_until_cancelled(shards.lost_all()).await.is_some() {
                        ends.cancel();
                    }
                };
                let term = self.context.term(ends.clone());
                tokio::join!(work(&term), watch);
                shards.ended();
            }
        };
        tokio::join!(works, stand(&self.context, elections));
    }
}

/// Gives each shard back as soon as nothing is under way for it. Nothing begins any more.
async fn give_back(context: &Context, elections: impl Iterator<Item = &Election>) {
    let each = elections.enumerate().map(|(number, election)| async move {
        // Of one that was just lost, or was to be handed over, nobody knows any more what was begun for it: all has to end.
        let begun = context.shards.hold(number).map_or_else(|| context.exchanges.clone(), |hold| hold.begun);
        begun.close();
        begun.wait().await;
        election.give_up().await;
    });
    join_all(each).await;
}

async fn work(context: &Arc<Context>) {
    let controllers = context.apis::<Guarded>().into_iter().zip(context.apis::<PartialObjectMeta<Secret>>()).enumerate();
    // Closed when each controller has let go of its end.
    let (listing, mut listed) = mpsc::channel(1);
    let (mut running, mut stores, mut wakes) = (Vec::new(), Vec::new(), Vec::new());
    for (number, ((scope, objects), (_, secrets))) in controllers {
        let (wake, woken) = mpsc::unbounded_channel();
        wakes.push((scope.clone(), wake.clone()));
        // Before the first list of Secrets every output would look deleted, and each would be written again.
        let (begin, begins) = oneshot::channel();
        let woken = paced(woken, Arc::clone(&context.looked));
        let woken = begins.map(move |_| woken).flatten_stream();
        let (store, watch) = watch_objects(objects, wake.clone());
        let controller = Controller::for_stream(watch, store.clone()).reconcile_on(woken);
        stores.push(store);
        running.push(control(context, Watched { number, scope, controller, secrets, wake, begin }, listing.clone()));
    }
    drop(listing);
    *context.wakes.lock().unwrap_or_else(PoisonError::into_inner) = wakes;
    context.stores.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&stores);
    // The context holds the metrics: it must not be held by them.
    let mine = Arc::downgrade(context);
    let mine = move |object: &Guarded| mine.upgrade().is_some_and(|context| context.looks_after(object));
    context.metrics.begin_term(stores, Box::new(mine), context.stopping.clone());
    tracing::info!(namespaces = ?context.namespaces, "watching");
    let ready = async {
        listed.recv().await;
        context.metrics.set_ready();
    };
    let others =
        async { tokio::join!(provider::run(context), bundles::look_after(context), context.look_at_new_shards(), ready) };
    tokio::join!(join_all(running), others);
    context.metrics.end_term();
}

/// What one controller works on: the objects of one namespace or of all, woken by themselves and by their Secrets.
struct Watched {
    number: usize,
    /// The namespace; none: all.
    scope: Option<String>,
    controller: Controller<Guarded>,
    secrets: Api<PartialObjectMeta<Secret>>,
    wake: mpsc::UnboundedSender<ObjectRef<Guarded>>,
    /// Told when the first look may be taken.
    begin: oneshot::Sender<()>,
}

async fn control(context: &Arc<Context>, watched: Watched, listing: mpsc::Sender<Infallible>) {
    let Watched { number, scope, controller, secrets, wake, begin } = watched;
    let store = controller.store();
    let (first, listed) = oneshot::channel();
    let watch = context.secrets_watch.then(|| {
        let watch = watch_secrets(Arc::clone(context), number, scope, secrets, wake, first);
        AbortOnDropHandle::new(tokio::spawn(watch))
    });
    let begun = async {
        if watch.is_some() {
            secrets_listed(&context.stopping, listed).await;
        }
        // An error says that the controller has ended, here and below.
        let _ = begin.send(());
        let _ = store.wait_until_ready().await;
        drop(listing);
    };
    let stopping = context.stopping.clone();
    let controller = controller
        .graceful_shutdown_on(async move { stopping.cancelled().await })
        .run(|object, context| reconcile(object, context).boxed(), after_breakdown, Arc::clone(context))
        .for_each(|result| {
            if let Err(error) = &result {
                tracing::debug!(%error, "controller");
            }
            forget(context);
            std::future::ready(())
        });
    // kube's controller ends only once its store was ready, and nothing was looked at before that.
    let stopping = &context.stopping;
    let unlisted = async {
        stopping.cancelled().await;
        if store.wait_until_ready().now_or_never().is_some() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = async { tokio::join!(controller, begun); } => {}
        () = unlisted => {}
    }
}

/// Waits until the watch of Secrets has shown what is there.
async fn secrets_listed(stopping: &CancellationToken, listed: oneshot::Receiver<()>) {
    let listed = stopping.run_until_cancelled(tokio::time::timeout(LIST_WITHIN, listed)).await;
    if matches!(listed, Some(Err(_))) {
        tracing::warn!(
            "Secrets cannot be listed: allow list and watch, or start with --secrets-watch=false; refreshes go on without noticing \
             changed Secrets"
        );
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
        context.metrics.keep(|uid| uids.contains(uid));
    }
}
