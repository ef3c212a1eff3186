//! The token API of an object: its own, or that of the provider that it names.

mod discovery;
mod limits;
mod probe;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};

use super::Context;
use super::cluster::Trouble;
use super::credential::Unusable;
use super::endpoint::Reach;
use super::transport::{Connection, Proxy, TlsMaterial};
use crate::api::{
    AllowedNamespaces, ClusterTokenProvider, ConditionStatus, ConditionType, Limits, ProviderKind, ProviderRef, ProviderSpec,
    Reason, RefreshableToken, TokenProvider, TokenProviderStatus, validate_provider,
};
use discovery::Discovered;
pub(super) use limits::ProviderKey;
use limits::Turnstiles;
pub(super) use probe::run;

/// How long the labels of a namespace count as known. Our choice: a namespace that is taken away from a provider may go on for a
/// while, and idle objects cost next to nothing.
const LABELS_LAST: Duration = Duration::from_secs(300);

/// The token API of an object, and what comes with whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) spec: ProviderSpec,
    /// Where the Secrets and ConfigMaps are that it names.
    pub(super) home: String,
    /// Whose word its address is.
    pub(super) reach: Reach,
    /// Changes whenever the provider does, or when it can be reached again; none for an object's own.
    pub(super) version: Option<String>,
    /// How much all objects of the provider may ask for together.
    pub(super) limits: Option<(ProviderKey, Limits)>,
}

impl Resolved {
    /// How it is connected to, before its Secrets and ConfigMaps are read.
    pub(super) fn connection(&self) -> Connection {
        let timeouts = self.spec.timeouts();
        Connection {
            reach: self.reach,
            tls: TlsMaterial::default(),
            proxy: self.spec.proxy().map(|proxy| Proxy { url: proxy.url.clone(), credentials: None }),
            connect_timeout: timeouts.connect(),
            request_timeout: timeouts.request(),
        }
    }
}

/// What is known of shared providers.
#[derive(Default)]
pub(super) struct Providers {
    stores: Mutex<Stores>,
    /// Of namespaces.
    labels: Mutex<HashMap<String, Labels>>,
    pub(super) turnstiles: Turnstiles,
    discovered: Discovered,
}

/// Labels, and when they were read on the clock that counts suspend.
type Labels = (Duration, BTreeMap<String, String>);

/// What a watch has shown of a provider; none: it has shown nothing yet.
type Shown<K> = Option<Result<Arc<DeserializeGuard<K>>, Trouble>>;

/// What the watches of a term hold.
#[derive(Clone, Default)]
pub(super) struct Stores {
    /// Of each watched namespace, or of all at once.
    pub(super) namespaced: Vec<(Option<String>, Store<DeserializeGuard<TokenProvider>>)>,
    pub(super) cluster: Option<Store<DeserializeGuard<ClusterTokenProvider>>>,
}

impl Providers {
    pub(super) fn watch(&self, stores: Stores) {
        *lock(&self.stores) = stores;
    }

    /// The Secrets and ConfigMaps of a namespace may have been mended.
    pub(super) fn forget_failed_discoveries(&self, home: &str) {
        self.discovered.forget_failed(home);
    }

    fn known(&self, namespace: &str, name: &str) -> Shown<TokenProvider> {
        let stores = lock(&self.stores);
        let fits = |scope: &Option<String>| scope.as_deref().is_none_or(|scope| scope == namespace);
        let (_, store) = stores.namespaced.iter().find(|(scope, _)| fits(scope))?;
        listed(store).then(|| store.get(&ObjectRef::new(name).within(namespace)).ok_or(Trouble::Missing))
    }

    fn known_to_all(&self, name: &str) -> Shown<ClusterTokenProvider> {
        let stores = lock(&self.stores);
        let store = stores.cluster.as_ref()?;
        listed(store).then(|| store.get(&ObjectRef::new(name)).ok_or(Trouble::Missing))
    }
}

/// Whether a watch has shown what is there.
fn listed<K>(store: &Store<K>) -> bool
where
    K: kube::runtime::reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
}

impl Context {
    /// The token API that an object uses.
    pub(super) async fn resolve(&self, object: &RefreshableToken) -> Result<Resolved, Unusable> {
        let named = self.named(object).await?;
        self.discover(named).await
    }

    /// What the object or its provider says of the token API.
    pub(super) async fn named(&self, object: &RefreshableToken) -> Result<Resolved, Unusable> {
        let home = object.namespace().unwrap_or_default();
        match (&object.spec.provider, &object.spec.provider_ref) {
            (Some(spec), _) => Ok(Resolved { spec: spec.clone(), home, reach: Reach::Namespace, version: None, limits: None }),
            (None, Some(reference)) => match reference.kind() {
                ProviderKind::TokenProvider => self.of_namespace(&home, reference).await,
                ProviderKind::ClusterTokenProvider => self.of_cluster(&home, reference).await,
            },
            (None, None) => {
                Err(Unusable::Refused(Reason::InvalidSpec, "spec must have exactly one of provider and providerRef".to_owned()))
            }
        }
    }

    /// What tells one sight of a provider from another: its own version, and those of the Secrets that it names.
    pub(super) fn version(&self, provider: &Resolved) -> Option<String> {
        let seen = |name: &str| self.seen.version(&provider.home, name).map(|version| format!("{name}={version}"));
        let all: Vec<String> = provider.version.iter().cloned().chain(provider.spec.secrets().filter_map(seen)).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// Whether the provider of an object, its own or a shared one that a watch has shown, names this Secret.
    pub(super) fn provider_names(&self, object: &RefreshableToken, namespace: &str, secret: &str) -> bool {
        let names = |provider: &ProviderSpec| provider.secrets().any(|name| name == secret);
        let here = object.metadata.namespace.as_deref() == Some(namespace);
        let Some(reference) = &object.spec.provider_ref else {
            return here && object.spec.provider.as_ref().is_some_and(names);
        };
        match reference.kind() {
            ProviderKind::TokenProvider if here => {
                let found = self.providers.known(namespace, &reference.name).and_then(Result::ok);
                found.is_some_and(|found| found.0.as_ref().is_ok_and(|found| names(&found.spec.provider)))
            }
            ProviderKind::ClusterTokenProvider if self.operator_namespace == namespace => {
                let found = self.providers.known_to_all(&reference.name).and_then(Result::ok);
                found.is_some_and(|found| found.0.as_ref().is_ok_and(|found| names(&found.spec.provider)))
            }
            ProviderKind::TokenProvider | ProviderKind::ClusterTokenProvider => false,
        }
    }

    /// Whether an object shares the limits of its provider with others; also while no watch has shown the provider yet.
    pub(super) fn shares_limits(&self, object: &RefreshableToken) -> bool {
        let Some(reference) = object.spec.provider_ref.as_ref().filter(|_| object.spec.provider.is_none()) else { return false };
        match reference.kind() {
            ProviderKind::TokenProvider => {
                let found = self.providers.known(&object.namespace().unwrap_or_default(), &reference.name);
                has_limits(found, |found| found.spec.limits.is_some())
            }
            ProviderKind::ClusterTokenProvider => {
                has_limits(self.providers.known_to_all(&reference.name), |found| found.spec.limits.is_some())
            }
        }
    }

    async fn of_namespace(&self, namespace: &str, reference: &ProviderRef) -> Result<Resolved, Unusable> {
        let found = match self.providers.known(namespace, &reference.name) {
            Some(found) => found,
            // Before the first list, or where the watch is refused.
            None => self.cluster.token_provider(namespace, &reference.name).await.map(Arc::new),
        };
        let found = found.map_err(|trouble| absent(reference, trouble))?;
        let object = found.0.as_ref().map_err(|_| unreadable(reference))?;
        usable(reference, &object.spec.provider)?;
        Ok(Resolved {
            spec: object.spec.provider.clone(),
            home: namespace.to_owned(),
            reach: Reach::Namespace,
            version: Some(version(&object.metadata, object.status.as_ref())),
            limits: limited(reference, Some(namespace), object.spec.limits),
        })
    }

    async fn of_cluster(&self, namespace: &str, reference: &ProviderRef) -> Result<Resolved, Unusable> {
        let found = match self.providers.known_to_all(&reference.name) {
            Some(found) => found,
            None => self.cluster.cluster_token_provider(&reference.name).await.map(Arc::new),
        };
        let found = found.map_err(|trouble| absent(reference, trouble))?;
        let object = found.0.as_ref().map_err(|_| unreadable(reference))?;
        if !self.allows(&object.spec.allowed_namespaces, namespace).await? {
            let message = format!(
                "ClusterTokenProvider {} does not allow namespace {namespace}: its allowedNamespaces has to name it or its labels",
                reference.name
            );
            return Err(Unusable::Refused(Reason::ProviderNotAllowed, message));
        }
        usable(reference, &object.spec.provider)?;
        Ok(Resolved {
            spec: object.spec.provider.clone(),
            home: self.operator_namespace.clone(),
            reach: Reach::Cluster,
            version: Some(version(&object.metadata, object.status.as_ref())),
            limits: limited(reference, None, object.spec.limits),
        })
    }

    async fn allows(&self, allowed: &AllowedNamespaces, namespace: &str) -> Result<bool, Unusable> {
        if let Some(told) = allowed.by_name(namespace) {
            return Ok(told);
        }
        let now = self.clock.since_boot();
        let known = lock(&self.providers.labels).get(namespace).cloned();
        // A namespace that was just given the label must not wait.
        if let Some((read, labels)) = &known
            && now.saturating_sub(*read) < LABELS_LAST
            && allowed.by_labels(labels)
        {
            return Ok(true);
        }
        match self.cluster.namespace_labels(namespace).await {
            Ok(labels) => {
                let told = allowed.by_labels(&labels);
                lock(&self.providers.labels).insert(namespace.to_owned(), (now, labels));
                Ok(told)
            }
            Err(Trouble::Denied) => {
                let message = format!("the operator may not get namespace {namespace}, whose labels decide: grant it");
                Err(Unusable::Refused(Reason::ProviderNotAllowed, message))
            }
            // What was known last is the best there is.
            Err(_) => known.map(|(_, labels)| allowed.by_labels(&labels)).ok_or(Unusable::Unavailable),
        }
    }
}

fn has_limits<K>(shown: Shown<K>, limits: impl Fn(&K) -> bool) -> bool {
    shown.is_none_or(|found| found.is_ok_and(|found| found.0.as_ref().is_ok_and(limits)))
}

fn limited(reference: &ProviderRef, namespace: Option<&str>, limits: Option<Limits>) -> Option<(ProviderKey, Limits)> {
    Some(((reference.kind(), namespace.map(str::to_owned), reference.name.clone()), limits?))
}

fn absent(reference: &ProviderRef, trouble: Trouble) -> Unusable {
    let (kind, name) = (reference.kind().as_str(), &reference.name);
    match trouble {
        Trouble::Missing => {
            let message = format!("{kind} {name} does not exist: create it, or name another in providerRef");
            Unusable::Refused(Reason::ProviderMissing, message)
        }
        Trouble::Denied => {
            let message =
                format!("the API server does not let the operator read {kind} {name}: check the operator's permissions");
            Unusable::Refused(Reason::ProviderMissing, message)
        }
        Trouble::Conflict | Trouble::Unclear => Unusable::Unavailable,
    }
}

fn unreadable(reference: &ProviderRef) -> Unusable {
    let what = "does not fit the schema of this operator: apply it again";
    Unusable::Refused(Reason::InvalidSpec, format!("{} {} {what}", reference.kind().as_str(), reference.name))
}

fn usable(reference: &ProviderRef, spec: &ProviderSpec) -> Result<(), Unusable> {
    validate_provider(spec).map_err(|invalid| {
        Unusable::Refused(Reason::InvalidSpec, format!("{} {}: {invalid}", reference.kind().as_str(), reference.name))
    })
}

fn version(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    status: Option<&TokenProviderStatus>,
) -> String {
    let ready = |c: &&crate::api::Condition| c.type_ == ConditionType::Ready && c.status == ConditionStatus::True;
    let ready = status.is_some_and(|status| status.conditions.iter().any(|c| ready(&c)));
    format!("{}/{}/{ready}", metadata.uid.as_deref().unwrap_or_default(), metadata.generation.unwrap_or(0))
}

/// What the mutexes here guard is whole between any two statements, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
