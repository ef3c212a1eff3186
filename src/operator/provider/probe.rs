//! The controllers of shared providers: each is connected to, its status says whether that worked, and the objects that wait for it
//! are woken when it changes.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::core::object::HasStatus;
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, Resource, ResourceExt as _};

use super::{Resolved, Stores};
use crate::api::condition::{Statement, restate};
use crate::api::{
    ClusterTokenProvider, ConditionStatus, ConditionType, ProviderKind, Reason, RefreshableToken, TokenProvider,
    TokenProviderStatus, validate_provider,
};
use crate::operator::Context;
use crate::operator::credential::{Unusable, outfit};
use crate::operator::endpoint::Reach;
use crate::operator::guarded::Guarded;
use crate::operator::reconcile::Broken;
use crate::operator::shards::FIRST;
use crate::operator::watch::reference;
use crate::provider::NotSent;

/// How often a provider that can be reached is connected to again. Our choice: its certificate may run out meanwhile, and the
/// refreshes find out by themselves.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// How soon one that cannot be reached is. Our choice: objects that wait for it are woken then.
const AGAIN: Duration = Duration::from_secs(60);

/// A kind that keeps a provider for others.
trait Shared: Resource<DynamicType = ()> + HasStatus<Status = TokenProviderStatus> + Clone + Send + Sync + 'static {
    const KIND: ProviderKind;

    fn resolved(&self, context: &Context) -> Resolved;
}

impl Shared for TokenProvider {
    const KIND: ProviderKind = ProviderKind::TokenProvider;

    fn resolved(&self, _: &Context) -> Resolved {
        let home = self.namespace().unwrap_or_default();
        Resolved { spec: self.spec.provider.clone(), home, reach: Reach::Namespace, version: None, limits: None }
    }
}

impl Shared for ClusterTokenProvider {
    const KIND: ProviderKind = ProviderKind::ClusterTokenProvider;

    fn resolved(&self, context: &Context) -> Resolved {
        let home = context.operator_namespace.clone();
        Resolved { spec: self.spec.provider.clone(), home, reach: Reach::Cluster, version: None, limits: None }
    }
}

/// Watches the providers until the term ends.
pub(in crate::operator) async fn run(context: &Arc<Context>) {
    let namespaced: Vec<_> = context
        .apis::<Guarded<TokenProvider>>()
        .into_iter()
        .map(|(scope, api)| (scope, Controller::new(api, watcher::Config::default())))
        .collect();
    let cluster =
        Controller::new(Api::<Guarded<ClusterTokenProvider>>::all(context.cluster.client()), watcher::Config::default());
    context.providers.watch(Stores {
        namespaced: namespaced.iter().map(|(scope, controller)| (scope.clone(), controller.store())).collect(),
        cluster: Some(cluster.store()),
    });
    let namespaced = namespaced.into_iter().map(|(_, controller)| control(context, controller));
    tokio::join!(futures::future::join_all(namespaced), control(context, cluster));
}

async fn control<K>(context: &Arc<Context>, controller: Controller<Guarded<K>>)
where
    K: Shared + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let looks = controller
        .run(
            look::<K>,
            |_, error: &Broken, _| {
                tracing::error!(%error);
                Action::requeue(AGAIN)
            },
            Arc::clone(context),
        )
        .for_each(|result| {
            if let Err(error) = &result {
                // An older installation has not these kinds; the watch goes on trying, with growing pauses.
                tracing::debug!(%error, "controller of providers");
            }
            std::future::ready(())
        });
    // A look can be dropped at any moment. A graceful end would wait for ever where the kind cannot be listed: kube's controller ends
    // only once its store was ready.
    context.stopping.run_until_cancelled(looks).await;
}

/// Looks at one provider. A panic ends this look only.
async fn look<K: Shared>(object: Arc<Guarded<K>>, context: Arc<Context>) -> Result<Action, Broken> {
    let looked = async {
        let Ok(object) = &object.0 else {
            // The objects that name it say so.
            return Action::await_change();
        };
        wake(&context, object);
        if object.meta().deletion_timestamp.is_some() {
            return Action::await_change();
        }
        // One replica is enough to say how it is; another may be the one soon.
        if context.shards.hold(FIRST).is_none() {
            return Action::requeue(AGAIN);
        }
        let statement = statement(&context, &object.resolved(&context)).await;
        report(&context, object, statement).await
    };
    std::panic::AssertUnwindSafe(looked).catch_unwind().await.map_err(|_| Broken)
}

/// What the condition Ready shall say.
async fn statement(context: &Context, provider: &Resolved) -> Statement {
    let told = |status, reason, message: String| Statement { type_: ConditionType::Ready, status, reason, message };
    let bad = |reason, message| told(ConditionStatus::False, reason, message);
    if let Err(invalid) = validate_provider(&provider.spec) {
        return bad(Reason::InvalidSpec, invalid.to_string());
    }
    let outfit = match outfit::read(&context.cluster, &provider.home, &provider.spec).await {
        Ok(outfit) => outfit,
        Err(Unusable::Refused(reason, message)) => return bad(reason, message),
        Err(Unusable::Unavailable) => {
            let message =
                "the API server did not say what the Secrets and ConfigMaps of tls and of proxy hold; it is asked again"
                    .to_owned();
            return told(ConditionStatus::Unknown, Reason::ClusterUnavailable, message);
        }
    };
    let connection = outfit.on(&provider.connection());
    match context.calls.connect(provider.spec.url(), &connection).await {
        Ok(()) => {
            let message = "the token API can be reached, and its certificate is verified".to_owned();
            told(ConditionStatus::True, Reason::Reachable, message)
        }
        Err(why) => {
            let reason = match why {
                NotSent::EndpointNotAllowed | NotSent::ProxyNotAllowed => Reason::EndpointNotAllowed,
                NotSent::CaBundleInvalid => Reason::CaBundleInvalid,
                NotSent::ClientCertificateRejected => Reason::ClientCertificateInvalid,
                NotSent::ProxyCredentialsRejected => Reason::ProxyCredentialsInvalid,
                NotSent::NameNotResolved
                | NotSent::NotConnected
                | NotSent::TlsRejected
                | NotSent::ConnectTimeout
                | NotSent::ProxyUnreachable
                | NotSent::ProxyRefused
                | NotSent::NotSigned
                | NotSent::HeldBack => Reason::EndpointUnreachable,
            };
            bad(reason, why.to_string())
        }
    }
}

/// Stores the status if it changed, and says when to look again.
async fn report<K: Shared>(context: &Context, object: &K, statement: Statement) -> Action {
    let again = if statement.status == ConditionStatus::True { GOOD_FOR } else { AGAIN };
    let generation = object.meta().generation;
    let old = object.status().cloned().unwrap_or_default();
    let status = TokenProviderStatus {
        observed_generation: generation,
        conditions: restate(&old.conditions, vec![statement], generation, context.clock.now()),
        provider: object.resolved(context).spec.name().to_owned(),
    };
    if status != old {
        let patch = serde_json::json!({ "status": status });
        let (kind, name) = (K::KIND, object.name_any());
        if context.cluster.patch_provider_status(kind, object.namespace().as_deref(), &name, &patch).await.is_err() {
            tracing::warn!(kind = kind.as_str(), name, "the status of the provider could not be written");
            return Action::requeue(AGAIN);
        }
    }
    Action::requeue(again)
}

/// Has the objects that name the provider looked at.
fn wake<K: Shared>(context: &Context, provider: &K) {
    let (home, name) = (provider.namespace(), provider.name_any());
    let names = |object: &RefreshableToken| {
        let reference = object.spec.provider_ref.as_ref();
        let same = reference.is_some_and(|reference| reference.kind() == K::KIND && reference.name == name);
        same && (home.is_none() || object.namespace() == home)
    };
    for object in context.objects().iter().filter_map(|object| object.0.as_ref().ok()).filter(|object| names(object)) {
        context.wake(reference(object));
    }
}
