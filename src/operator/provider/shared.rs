//! A shared provider of either kind, from a watch or from the API server.

use std::hash::Hash;
use std::sync::Arc;

use futures::FutureExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};

use crate::api::{
    AllowedNamespaces, ClusterTokenProvider, Condition, ConditionStatus, ConditionType, Limits, ProviderKind, ProviderRef,
    ProviderSpec, TokenProvider, TokenProviderStatus,
};
use crate::operator::cluster::{Cluster, Trouble};
use crate::operator::guarded::Guarded;

/// What the watches of a term hold.
#[derive(Clone, Default)]
pub(super) struct Stores {
    /// Of each watched namespace, or of all at once.
    pub(super) namespaced: Vec<(Option<String>, Store<Guarded<TokenProvider>>)>,
    pub(super) cluster: Option<Store<Guarded<ClusterTokenProvider>>>,
}

/// A provider as it was found; it may not fit the schema of this operator.
pub(super) enum Shared {
    Namespaced(Arc<Guarded<TokenProvider>>),
    Cluster(Arc<Guarded<ClusterTokenProvider>>),
}

/// What both kinds have.
pub(super) struct Read<'a> {
    pub(super) spec: &'a ProviderSpec,
    pub(super) limits: Option<Limits>,
    /// Whose objects may use it; none: those of its own namespace.
    pub(super) allowed: Option<&'a AllowedNamespaces>,
    metadata: &'a ObjectMeta,
    status: Option<&'a TokenProviderStatus>,
}

impl Stores {
    /// The provider that an object of `namespace` names; none while no watch has shown what is there.
    pub(super) fn get(&self, namespace: &str, reference: &ProviderRef) -> Option<Result<Shared, Trouble>> {
        match reference.kind() {
            ProviderKind::TokenProvider => {
                let fits = |scope: &Option<String>| scope.as_deref().is_none_or(|scope| scope == namespace);
                let (_, store) = self.namespaced.iter().find(|(scope, _)| fits(scope))?;
                Some(listed(store)?.get(&ObjectRef::new(&reference.name).within(namespace)).map(Shared::Namespaced))
            }
            ProviderKind::ClusterTokenProvider => {
                Some(listed(self.cluster.as_ref()?)?.get(&ObjectRef::new(&reference.name)).map(Shared::Cluster))
            }
        }
        .map(|found| found.ok_or(Trouble::Missing))
    }
}

/// A store whose watch has shown what is there.
fn listed<K: Lookup + Clone + 'static>(store: &Store<K>) -> Option<&Store<K>>
where
    K::DynamicType: Eq + Hash + Clone,
{
    store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok()).then_some(store)
}

impl Shared {
    /// GET the provider that an object of `namespace` names.
    pub(super) async fn get(cluster: &Cluster, namespace: &str, reference: &ProviderRef) -> Result<Self, Trouble> {
        match reference.kind() {
            ProviderKind::TokenProvider => {
                cluster.token_provider(namespace, &reference.name).await.map(|found| Self::Namespaced(Arc::new(found)))
            }
            ProviderKind::ClusterTokenProvider => {
                cluster.cluster_token_provider(&reference.name).await.map(|found| Self::Cluster(Arc::new(found)))
            }
        }
    }

    /// What it says; none if it does not fit the schema.
    pub(super) fn read(&self) -> Option<Read<'_>> {
        match self {
            Self::Namespaced(found) => found.0.as_ref().ok().map(|found| Read {
                spec: &found.spec.provider,
                limits: found.spec.limits,
                allowed: None,
                metadata: &found.metadata,
                status: found.status.as_ref(),
            }),
            Self::Cluster(found) => found.0.as_ref().ok().map(|found| Read {
                spec: &found.spec.provider,
                limits: found.spec.limits,
                allowed: Some(&found.spec.allowed_namespaces),
                metadata: &found.metadata,
                status: found.status.as_ref(),
            }),
        }
    }
}

impl Read<'_> {
    /// Changes whenever its spec does, or when it can be reached again.
    pub(super) fn version(&self) -> String {
        let ready = |c: &Condition| c.type_ == ConditionType::Ready && c.status == ConditionStatus::True;
        let ready = self.status.is_some_and(|status| status.conditions.iter().any(ready));
        format!("{}/{}/{ready}", self.metadata.uid.as_deref().unwrap_or_default(), self.metadata.generation.unwrap_or(0))
    }
}
