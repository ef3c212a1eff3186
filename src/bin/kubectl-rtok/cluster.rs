//! All that the plug-in asks of the API server, as the user of the kubeconfig. Each request has a deadline.

use chrono::{DateTime, Utc};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use refreshable_token_operator::api::name::is_name;
use refreshable_token_operator::api::{
    ClusterTokenProvider, ProviderKind, ProviderSpec, RefreshableToken, TokenProvider, TokenProviderStatus,
};
use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::guarded::Guarded;
use refreshable_token_operator::operator::metrics::Metrics;
use serde::de::DeserializeOwned;

use crate::connect::{Connection, Limit, connect};
use crate::failure::Failure;
use crate::output::tell;
use crate::refusal::{explain, silent};
use crate::situation::NoProvider;

/// Field manager of what the plug-in changes.
const MANAGER: &str = "kubectl-rtok";

/// What kubectl writes before a name, or takes there.
const KINDS: [&str; 5] = [
    "rtok",
    "refreshabletoken",
    "refreshabletokens",
    "refreshabletoken.refreshabletoken.io",
    "refreshabletokens.refreshabletoken.io",
];

/// The name of an object that cannot change the path of a request; `rtok/NAME` as kubectl writes it too.
pub fn object_name(text: &str) -> Result<String, &'static str> {
    let name = match text.split_once('/') {
        Some((kind, name)) if KINDS.contains(&kind) => name,
        _ => text,
    };
    if is_name(name) {
        Ok(name.to_owned())
    } else {
        Err("the name of a RefreshableToken, such as artifactory-ci or rtok/artifactory-ci")
    }
}

/// The API server, as the user of the kubeconfig.
pub struct Reach {
    client: Client,
    /// Namespace of the objects.
    pub namespace: String,
    /// All namespaces were asked for.
    pub everywhere: bool,
    limit: Limit,
}

/// A token API, and what the operator says of it.
pub struct Offer {
    /// What the manifest says of it.
    pub spec: ProviderSpec,
    /// The status of the provider that objects share; none for an object's own.
    pub told: Option<TokenProviderStatus>,
    /// The generation of that provider.
    pub generation: Option<i64>,
}

impl Offer {
    fn of(spec: ProviderSpec, told: Option<TokenProviderStatus>, metadata: &ObjectMeta) -> Self {
        Self { spec, told: Some(told.unwrap_or_default()), generation: metadata.generation }
    }
}

/// What a list showed: objects, and those that do not decode.
#[derive(Default)]
pub struct Listed {
    /// In the order of namespace and name.
    pub objects: Vec<RefreshableToken>,
    /// Stored objects that do not fit the schema of this version.
    pub broken: Vec<InvalidObject>,
}

impl Listed {
    /// Tells of each object that does not decode.
    pub fn tell_broken(&self) {
        for broken in &self.broken {
            tell(&format!("RefreshableToken {} is left out: {BROKEN}", broken_place(broken)));
        }
    }
}

/// Of a stored object that does not decode.
pub const BROKEN: &str = "the stored object does not fit the schema of this version: kubectl apply it again";

/// Namespace and name of an object that does not decode.
pub fn broken_place(broken: &InvalidObject) -> String {
    let (namespace, name) = (broken.metadata.namespace.as_deref(), broken.metadata.name.as_deref());
    format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
}

impl Reach {
    /// Reads the kubeconfig. Nothing is sent yet.
    pub async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let (client, namespace) = connect(connection).await?;
        Ok(Self { client, namespace, everywhere: connection.all_namespaces, limit: connection.request_timeout })
    }

    /// The same, for the namespace of an object.
    pub fn narrowed(&self, object: &RefreshableToken) -> Self {
        let namespace = object.namespace().unwrap_or_else(|| self.namespace.clone());
        Self { client: self.client.clone(), namespace, everywhere: false, limit: self.limit }
    }

    /// The operator's own view of the API server.
    pub fn operator_view(&self) -> Cluster {
        Cluster::new(self.client.clone(), None, Metrics::default())
    }

    fn scope<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        if self.everywhere { Api::all(self.client.clone()) } else { self.within(&self.namespace) }
    }

    fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The objects, for watching.
    pub fn watched(&self) -> Api<Guarded<RefreshableToken>> {
        self.scope()
    }

    /// The events about RefreshableTokens, or about one of them, for watching.
    pub fn watched_events(&self, name: Option<&str>) -> (Api<Event>, watcher::Config) {
        (self.scope(), watcher::Config::default().fields(&about(name)))
    }

    async fn ask<T>(&self, what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        self.within_limit(what, async { request.await.map_err(|error| explain(what, &error)) }).await
    }

    async fn within_limit<T>(&self, what: &str, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Limit(Some(limit)) = self.limit else { return request.await };
        let late = || Failure::unreachable(format!("{what}: no answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, request).await.unwrap_or_else(|_| Err(late()))
    }

    /// One object.
    pub async fn object(&self, name: &str) -> Result<RefreshableToken, Failure> {
        if self.everywhere {
            return Err(Failure::usage("a name and --all-namespaces do not go together: say --namespace"));
        }
        let what = format!("RefreshableToken {}/{name}", self.namespace);
        let guard: Guarded<RefreshableToken> = self.ask(&what, self.scope().get(name)).await?;
        guard.0.map_err(|_| Failure::refused(format!("{what}: {BROKEN}")))
    }

    /// The objects that carry these labels; all without.
    pub async fn objects(&self, selector: Option<&str>) -> Result<Listed, Failure> {
        let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
        let api: Api<Guarded<RefreshableToken>> = self.scope();
        let list = self.ask("the list of RefreshableTokens", api.list(&params)).await?;
        let mut listed = Listed::default();
        for guard in list.items {
            match guard.0 {
                Ok(object) => listed.objects.push(object),
                Err(invalid) => listed.broken.push(invalid),
            }
        }
        listed.objects.sort_by_key(|object| (object.namespace(), object.name_any()));
        Ok(listed)
    }

    /// The token API of an object: its own, or that of the provider that it names.
    pub async fn provider(&self, object: &RefreshableToken) -> Result<ProviderSpec, NoProvider> {
        Ok(self.offer(object).await?.spec)
    }

    /// The same, with what the operator says of a provider that objects share.
    pub async fn offer(&self, object: &RefreshableToken) -> Result<Offer, NoProvider> {
        if let Some(own) = &object.spec.provider {
            return Ok(Offer { spec: own.clone(), told: None, generation: None });
        }
        let reference = object.spec.provider_ref.as_ref().ok_or(NoProvider::Missing)?;
        let name = checked(&reference.name).map_err(|_| NoProvider::Missing)?;
        let what = format!("{} {name}", reference.kind().as_str());
        let found = match reference.kind() {
            ProviderKind::TokenProvider => {
                let api: Api<TokenProvider> = self.within(&object.namespace().unwrap_or_default());
                let found = self.ask(&what, api.get_opt(name)).await;
                found.map(|found| found.map(|found| Offer::of(found.spec.provider, found.status, &found.metadata)))
            }
            ProviderKind::ClusterTokenProvider => {
                let api: Api<ClusterTokenProvider> = Api::all(self.client.clone());
                let found = self.ask(&what, api.get_opt(name)).await;
                found.map(|found| found.map(|found| Offer::of(found.spec.provider, found.status, &found.metadata)))
            }
        };
        found.map_err(NoProvider::Unread)?.ok_or(NoProvider::Missing)
    }

    /// Merges a patch into an object.
    pub async fn patch(&self, object: &RefreshableToken, patch: &serde_json::Value) -> Result<RefreshableToken, Failure> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api: Api<RefreshableToken> = self.within(&namespace);
        self.ask(&format!("RefreshableToken {namespace}/{name}"), api.patch(&name, &params, &Patch::Merge(patch))).await
    }

    /// A Secret; none if it is not there.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Failure> {
        let api: Api<Secret> = self.within(namespace);
        self.ask(&format!("Secret {namespace}/{name}"), api.get_opt(checked(name)?)).await
    }

    /// The metadata of a Secret; none if it is not there.
    pub async fn secret_metadata(&self, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, Failure> {
        let api: Api<Secret> = self.within(namespace);
        let answer = self.ask(&format!("Secret {namespace}/{name}"), api.get_metadata_opt(checked(name)?)).await?;
        Ok(answer.map(|partial| partial.metadata))
    }

    /// Creates a Secret, or merges it into the one that is there at the version that was read. Of the API server's own words nothing
    /// is passed on: they can repeat what was sent.
    pub async fn put_secret(
        &self,
        namespace: &str,
        name: &str,
        secret: &serde_json::Value,
        exists: bool,
    ) -> Result<Secret, Failure> {
        let what = format!("Secret {namespace}/{name} cannot be written");
        let api: Api<Secret> = self.within(namespace);
        let written = async {
            if exists {
                let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                return api.patch(checked(name)?, &params, &Patch::Merge(secret)).await.map_err(|error| silent(&what, &error));
            }
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let secret = serde_json::from_value(secret.clone()).map_err(|_| Failure::refused(what.as_str()))?;
            api.create(&params, &secret).await.map_err(|error| silent(&what, &error))
        };
        self.within_limit(&what, written).await
    }

    /// The Pods of a namespace.
    pub async fn pods(&self, namespace: &str) -> Result<Vec<Pod>, Failure> {
        self.list(namespace, "the list of Pods").await
    }

    /// The ServiceAccounts of a namespace.
    pub async fn service_accounts(&self, namespace: &str) -> Result<Vec<ServiceAccount>, Failure> {
        self.list(namespace, "the list of ServiceAccounts").await
    }

    /// The ReplicaSets of a namespace.
    pub async fn replica_sets(&self, namespace: &str) -> Result<Vec<ReplicaSet>, Failure> {
        self.list(namespace, "the list of ReplicaSets").await
    }

    async fn list<K>(&self, namespace: &str, what: &str) -> Result<Vec<K>, Failure>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.within(namespace);
        Ok(self.ask(&format!("{what} in namespace {namespace}"), api.list(&ListParams::default())).await?.items)
    }

    /// The events about RefreshableTokens, or about one of them, oldest first.
    pub async fn events(&self, name: Option<&str>) -> Result<Vec<Event>, Failure> {
        let api: Api<Event> = self.scope();
        let mut events = self.ask("the list of events", api.list(&ListParams::default().fields(&about(name)))).await?.items;
        events.sort_by_key(event_time);
        Ok(events)
    }

    /// Leases, of one namespace or of all.
    pub async fn leases(&self, which: &ListParams, namespace: Option<&str>) -> Result<Vec<Lease>, Failure> {
        let api: Api<Lease> = match namespace {
            Some(namespace) => self.within(namespace),
            None => Api::all(self.client.clone()),
        };
        Ok(self.ask("the list of Leases", api.list(which)).await?.items)
    }

    /// The API server's version and the time on its clock, from the Date header of its answer (RFC 9110 section 6.6.1).
    pub async fn version(&self) -> Result<(String, Option<DateTime<Utc>>), Failure> {
        let request = http::Request::get("/version").body(Body::empty());
        let request = request.map_err(|_| Failure::refused("the request for the version cannot be built"))?;
        let what = "the API server";
        let answer = self.ask(what, self.client.send(request)).await?;
        let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.to_utc());
        Ok((self.ask(what, self.client.apiserver_version()).await?.git_version, date))
    }
}

/// When an event last happened.
pub fn event_time(event: &Event) -> Option<DateTime<Utc>> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0.as_second());
    let last = event.last_timestamp.as_ref().map(|time| time.0.as_second());
    let first = event.event_time.as_ref().map(|time| time.0.as_second());
    series.or(last).or(first).and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

/// The fields that events about RefreshableTokens have, or about one of them.
fn about(name: Option<&str>) -> String {
    let about = "involvedObject.kind=RefreshableToken";
    name.map_or_else(|| about.to_owned(), |name| format!("{about},involvedObject.name={name}"))
}

/// A name that came out of an object, and cannot change the path of a request.
fn checked(name: &str) -> Result<&str, Failure> {
    if is_name(name) { Ok(name) } else { Err(Failure::refused(format!("{name:?} cannot be the name of an object"))) }
}

#[cfg(test)]
pub mod tests {
    use std::convert::Infallible;

    use serde_json::{Value, json};

    use super::*;

    /// An API server that answers each request, by method and path, with this status and body.
    pub fn answering(answer: impl Fn(&str, &str) -> (u16, Value) + Clone + Send + 'static) -> Reach {
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (code, body) = answer(request.method().as_str(), request.uri().path());
            let answer = http::Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        Reach { client: Client::new(service, "build"), namespace: "build".to_owned(), everywhere: false, limit: Limit(None) }
    }

    /// A refusal.
    pub fn refusal(code: u16, name: &str) -> (u16, Value) {
        let details = json!({ "name": name });
        (
            code,
            json!({ "kind": "Status", "status": "Failure", "message": format!("{name}: {code}"), "reason": "", "code": code, "details": details }),
        )
    }

    /// An object that is called so.
    pub fn called(name: &str) -> (u16, Value) {
        let mut object = serde_json::to_value(crate::situation::tests::object("", "")).unwrap();
        object["metadata"]["name"] = name.into();
        (200, object)
    }

    #[test]
    fn names_are_taken_as_kubectl_writes_them_and_none_changes_a_path() {
        assert_eq!(object_name("ci").as_deref(), Ok("ci"));
        assert_eq!(object_name("rtok/ci").as_deref(), Ok("ci"));
        for kind in ["refreshabletoken.refreshabletoken.io", "refreshabletokens.refreshabletoken.io"] {
            assert_eq!(object_name(&format!("{kind}/ci")).as_deref(), Ok("ci"));
        }
        for bad in ["../secrets/x", "pod/ci", "rtok/", "rtok/a/b", "a?b", ""] {
            assert!(object_name(bad).is_err(), "{bad}");
        }
    }
}
