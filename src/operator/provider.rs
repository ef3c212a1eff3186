//! The token API of an object: its own, or that of the provider that it names.

mod discovery;
mod limits;
mod probe;
mod shared;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt as _;

use super::Context;
use super::cluster::Trouble;
use super::credential::Unusable;
use super::endpoint::Reach;
use super::transport::{Connection, Proxy, TlsMaterial};
use crate::api::{
    AllowedNamespaces, Limits, ProviderKind, ProviderRef, ProviderSpec, Reason, RefreshableToken, validate_provider,
};
use discovery::Discovered;
pub(super) use limits::ProviderKey;
use limits::Turnstiles;
pub(super) use probe::run;
use shared::{Shared, Stores};

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

impl Providers {
    fn watch(&self, stores: Stores) {
        *lock(&self.stores) = stores;
    }

    /// The Secrets and ConfigMaps of a namespace may have been mended.
    pub(super) fn forget_failed_discoveries(&self, home: &str) {
        self.discovered.forget_failed(home);
    }

    /// A shared provider as a watch shows it; none while none has.
    fn shown(&self, namespace: &str, reference: &ProviderRef) -> Option<Result<Shared, Trouble>> {
        lock(&self.stores).get(namespace, reference)
    }
}

/// The shared provider that an object names.
fn named_by(object: &RefreshableToken) -> Option<&ProviderRef> {
    object.spec.provider_ref.as_ref().filter(|_| object.spec.provider.is_none())
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
            (None, Some(reference)) => self.shared(&home, reference).await,
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
        let own = object.namespace().unwrap_or_default();
        let Some(reference) = named_by(object) else {
            return own == namespace && object.spec.provider.as_ref().is_some_and(names);
        };
        let found = || self.providers.shown(&own, reference).and_then(Result::ok);
        self.home(&own, reference) == namespace && found().is_some_and(|found| found.read().is_some_and(|read| names(read.spec)))
    }

    /// Whether an object shares the limits of its provider with others; also while no watch has shown the provider yet.
    pub(super) fn shares_limits(&self, object: &RefreshableToken) -> bool {
        let Some(reference) = named_by(object) else { return false };
        let shown = self.providers.shown(&object.namespace().unwrap_or_default(), reference);
        shown.is_none_or(|found| found.is_ok_and(|found| found.read().is_some_and(|read| read.limits.is_some())))
    }

    /// The namespace of the Secrets and ConfigMaps that a shared provider names, for an object of `namespace`.
    fn home<'a>(&'a self, namespace: &'a str, reference: &ProviderRef) -> &'a str {
        match reference.kind() {
            ProviderKind::TokenProvider => namespace,
            ProviderKind::ClusterTokenProvider => &self.operator_namespace,
        }
    }

    /// What the shared provider that an object of `namespace` names says of the token API.
    async fn shared(&self, namespace: &str, reference: &ProviderRef) -> Result<Resolved, Unusable> {
        let found = match self.providers.shown(namespace, reference) {
            Some(found) => found,
            // Before the first list, or where the watch is refused.
            None => Shared::get(&self.cluster, namespace, reference).await,
        };
        let found = found.map_err(|trouble| absent(reference, trouble))?;
        let read = found.read().ok_or_else(|| unreadable(reference))?;
        if let Some(allowed) = read.allowed
            && !self.allows(allowed, namespace).await?
        {
            let message = format!(
                "ClusterTokenProvider {} does not allow namespace {namespace}: its allowedNamespaces has to name it or its labels",
                reference.name
            );
            return Err(Unusable::Refused(Reason::ProviderNotAllowed, message));
        }
        usable(reference, read.spec)?;
        let (reach, place) = match reference.kind() {
            ProviderKind::TokenProvider => (Reach::Namespace, Some(namespace.to_owned())),
            ProviderKind::ClusterTokenProvider => (Reach::Cluster, None),
        };
        Ok(Resolved {
            spec: read.spec.clone(),
            home: self.home(namespace, reference).to_owned(),
            reach,
            version: Some(read.version()),
            limits: read.limits.map(|limits| ((reference.kind(), place, reference.name.clone()), limits)),
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

/// What the mutexes here guard is whole between any two statements, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
