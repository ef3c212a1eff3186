//! All that the plug-in asks of the API server, as the user of the kubeconfig. Each request has a deadline.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Client, Config, Resource, ResourceExt as _};
use refreshable_token_operator::api::name::is_name;
use refreshable_token_operator::api::{
    ClusterTokenProvider, ProviderKind, ProviderSpec, RefreshableToken, SpecDuration, TokenProvider, TokenProviderStatus,
};
use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::metrics::Metrics;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::situation::NoProvider;

/// Field manager of what the plug-in changes.
const MANAGER: &str = "kubectl-rtok";

// Where the objects are, and as whom: the flags that every verb has, as kubectl has them. No doc comment: clap would take it for
// that of the program.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Namespace of the objects. Default: that of the context.
    #[arg(short, long, global = true, value_name = "NAME", value_parser = namespace, help_heading = "Connection")]
    pub namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace", help_heading = "Connection")]
    pub all_namespaces: bool,
    /// Context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub cluster: Option<String>,
    /// User of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub user: Option<String>,
    /// Kubeconfig file. Default: $KUBECONFIG, else ~/.kube/config, else the Pod's service account.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub kubeconfig: Option<PathBuf>,
    /// Whom to act as.
    #[arg(long = "as", global = true, value_name = "USER", help_heading = "Connection")]
    pub act_as: Option<String>,
    /// Longest time for one request, such as 30s or 2m.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = SpecDuration::parse, help_heading = "Connection")]
    pub request_timeout: SpecDuration,
}

/// A namespace that cannot change the path of a request.
fn namespace(text: &str) -> Result<String, &'static str> {
    if is_name(text) && !text.contains('.') {
        Ok(text.to_owned())
    } else {
        Err("a namespace is lower case letters, digits and '-', such as build")
    }
}

/// The name of an object that cannot change the path of a request; `rtok/NAME` as kubectl writes it too.
pub fn object_name(text: &str) -> Result<String, &'static str> {
    let name = match text.split_once('/') {
        Some(("rtok" | "refreshabletoken" | "refreshabletokens" | "refreshabletoken.refreshabletoken.io", name)) => name,
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
    limit: Duration,
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

impl Reach {
    /// Reads the kubeconfig. Nothing is sent yet.
    pub async fn connect(connection: &Connection) -> Result<Self, Failure> {
        // kube panics without a process-wide provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = config(connection).await?;
        if let Some(user) = &connection.act_as {
            config.auth_info.impersonate = Some(user.clone());
        }
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client =
            Client::try_from(config).map_err(|error| Failure::usage(format!("the kubeconfig cannot be used: {error}")))?;
        let limit = connection.request_timeout.get();
        Ok(Self { client, namespace, everywhere: connection.all_namespaces, limit })
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
    pub fn watched(&self) -> Api<RefreshableToken> {
        self.scope()
    }

    async fn ask<T>(&self, what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.limit, request).await {
            Ok(answer) => answer.map_err(|error| explain(what, &error)),
            Err(_) => Err(Failure::unreachable(format!("{what}: no answer within {} s", self.limit.as_secs()))),
        }
    }

    /// One object.
    pub async fn object(&self, name: &str) -> Result<RefreshableToken, Failure> {
        if self.everywhere {
            return Err(Failure::usage("a name and --all-namespaces do not go together: say --namespace"));
        }
        let what = format!("RefreshableToken {}/{name}", self.namespace);
        let guard: DeserializeGuard<RefreshableToken> = self.ask(&what, self.scope().get(name)).await?;
        guard.0.map_err(|_| {
            Failure::refused(format!("{what}: the stored object does not fit the schema of this version: kubectl apply it again"))
        })
    }

    /// The objects that carry these labels; all without.
    pub async fn objects(&self, selector: Option<&str>) -> Result<Listed, Failure> {
        let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
        let api: Api<DeserializeGuard<RefreshableToken>> = self.scope();
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
        found.map_err(|_| NoProvider::Unread)?.ok_or(NoProvider::Missing)
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
        let late = || Failure::unreachable(format!("{what}: no answer within {} s", self.limit.as_secs()));
        tokio::time::timeout(self.limit, written).await.unwrap_or_else(|_| Err(late()))
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
        let about = "involvedObject.kind=RefreshableToken";
        let fields = name.map_or_else(|| about.to_owned(), |name| format!("{about},involvedObject.name={name}"));
        let api: Api<Event> = self.scope();
        let mut events = self.ask("the list of events", api.list(&ListParams::default().fields(&fields))).await?.items;
        events.sort_by_key(event_time);
        Ok(events)
    }

    /// The Leases of this name, in one namespace or in all.
    pub async fn leases(&self, name: &str, namespace: Option<&str>) -> Result<Vec<Lease>, Failure> {
        let api: Api<Lease> = match namespace {
            Some(namespace) => self.within(namespace),
            None => Api::all(self.client.clone()),
        };
        let fields = ListParams::default().fields(&format!("metadata.name={name}"));
        Ok(self.ask("the list of Leases", api.list(&fields)).await?.items)
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

/// The kubeconfig's word on where and as whom.
async fn config(connection: &Connection) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
    };
    let read = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = match read {
        Ok(file) => file,
        Err(error) => {
            let named = connection.kubeconfig.is_some()
                || options.context.is_some()
                || options.cluster.is_some()
                || options.user.is_some();
            return Config::incluster().ok().filter(|_| !named).ok_or_else(|| unusable(&error));
        }
    };
    Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unusable(&error))
}

/// A kubeconfig holds credentials: of a file that cannot be parsed, nothing is shown.
fn unusable(error: &KubeconfigError) -> Failure {
    match error {
        KubeconfigError::Parse(_) => Failure::usage("the kubeconfig is not YAML of the right form"),
        error => Failure::usage(format!("the kubeconfig cannot be used: {error}")),
    }
}

/// A name that came out of an object, and cannot change the path of a request.
fn checked(name: &str) -> Result<&str, Failure> {
    if is_name(name) { Ok(name) } else { Err(Failure::refused(format!("{name:?} cannot be the name of an object"))) }
}

fn explain(what: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.is_not_found() && status.details.as_ref().is_none_or(|d| d.name.is_empty()) => {
            Failure::refused(format!("{what}: the API server does not know this kind: install the CRD of the operator"))
        }
        kube::Error::Api(status) => Failure::refused(format!("{what}: {}", status.message)),
        error => unreachable(what, error),
    }
}

fn silent(what: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => {
            Failure::refused(format!("{what}: the API server answered {} {}", status.code, status.reason))
        }
        error => unreachable(what, error),
    }
}

fn unreachable(what: &str, error: &kube::Error) -> Failure {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = inner.source();
    }
    Failure::unreachable(format!("{what}: the API server cannot be reached: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_kubectl_writes_them_and_none_changes_a_path() {
        assert_eq!(object_name("ci").as_deref(), Ok("ci"));
        assert_eq!(object_name("rtok/ci").as_deref(), Ok("ci"));
        assert_eq!(object_name("refreshabletoken.refreshabletoken.io/ci").as_deref(), Ok("ci"));
        for bad in ["../secrets/x", "pod/ci", "rtok/", "rtok/a/b", "a?b", ""] {
            assert!(object_name(bad).is_err(), "{bad}");
        }
        assert!(namespace("a.b").is_err() && namespace("build").is_ok());
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_parsed_is_not_shown() {
        let error = Kubeconfig::from_yaml("users: [{name: a, user: {token: canary-of-the-kubeconfig\n").unwrap_err();
        assert!(!unusable(&error).message.contains("canary"));
    }
}
