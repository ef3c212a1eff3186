//! Whether an installation can work: the API server answers, the installed CRD is that of this version, and each permission is there.
//! Looks only; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::ResourceAttributes;
use serde_json::Value;

use super::cluster::{Cluster, Trouble};
use super::key;
use super::leader::LEASE;
use crate::api::{self, GROUP, RolloutKind};

/// How many missing fields are named. Our choice: the first ones tell which version is installed.
const NAMED: usize = 5;
/// How often the schema is asked for, a second apart. Our choice: an API server publishes a new CRD within seconds, and a check
/// often follows the installation at once.
const TRIES: u32 = 10;

/// How the operator is to run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Scope {
    /// Namespaces to watch; none: all.
    pub namespaces: Vec<String>,
    /// Where the operator keeps what is its own.
    pub operator_namespace: String,
    /// How many Leases there are, one for each shard; 0: replicas elect nobody.
    pub leases: u16,
    /// Secrets are listed and watched.
    pub secrets_watch: bool,
    /// Who asks for metrics is looked up.
    pub metrics_auth: bool,
    /// The workloads of `spec.rollout` are restarted.
    pub rollout: bool,
    /// Tokens of ServiceAccounts are asked for.
    pub service_account_tokens: bool,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// It is as it should be.
    pub good: bool,
    /// What was found, and what to do if it is not good.
    pub what: String,
}

/// One thing that the operator asks of the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// In this namespace; none: in all of them, or of no namespace.
    pub namespace: Option<String>,
    /// API group; empty: the core group.
    pub group: &'static str,
    /// Resource, with its subresource after a slash.
    pub resource: &'static str,
    /// Of this object only.
    pub name: Option<String>,
    /// What is done to it.
    pub verb: &'static str,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { good: true, what: what.into() }
    }

    fn bad(what: impl Into<String>) -> Self {
        Self { good: false, what: what.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<8}{}", if self.good { "ok" } else { "FAILED" }, self.what)
    }
}

/// Everything that the operator may ask of the API server when it runs like this, and nothing else. The chart's roles are compared
/// with it.
#[must_use]
pub fn permissions(scope: &Scope) -> Vec<Permission> {
    let own = Some(scope.operator_namespace.clone());
    let mut all = Vec::new();
    let mut ask = |namespace: Option<&String>, group, resource, name: Option<&str>, verbs: &[&'static str]| {
        let name = name.map(str::to_owned);
        let one = |verb: &&'static str| Permission { namespace: namespace.cloned(), group, resource, name: name.clone(), verb };
        all.extend(verbs.iter().map(one));
    };
    ask(None, "", "namespaces", Some("kube-system"), &["get"]);
    ask(None, GROUP, "clustertokenproviders", None, &["get", "list", "watch"]);
    ask(None, GROUP, "clustertokenproviders/status", None, &["patch"]);
    ask(own.as_ref(), "", "secrets", None, &["get", "list", "create", "delete"]);
    ask(own.as_ref(), "", "configmaps", None, &["get"]);
    match scope.leases {
        0 => {}
        1 => ask(own.as_ref(), "coordination.k8s.io", "leases", Some(LEASE), &["get", "update"]),
        // Their names hold their number: a role that named them would not let replicas with another number finish.
        _ => ask(own.as_ref(), "coordination.k8s.io", "leases", None, &["get", "update"]),
    }
    if scope.leases > 0 {
        ask(own.as_ref(), "coordination.k8s.io", "leases", None, &["create"]);
    }
    if scope.metrics_auth {
        ask(None, "authentication.k8s.io", "tokenreviews", None, &["create"]);
        ask(None, "authorization.k8s.io", "subjectaccessreviews", None, &["create"]);
    }
    let watched: Vec<Option<&String>> =
        if scope.namespaces.is_empty() { vec![None] } else { scope.namespaces.iter().map(Some).collect() };
    for namespace in watched {
        ask(None, "", "namespaces", namespace.map(String::as_str), &["get"]);
        ask(namespace, GROUP, "tokenproviders", None, &["get", "list", "watch"]);
        ask(namespace, GROUP, "tokenproviders/status", None, &["patch"]);
        ask(namespace, GROUP, "refreshabletokens", None, &["get", "list", "watch", "patch"]);
        ask(namespace, GROUP, "refreshabletokens/status", None, &["update", "patch"]);
        ask(namespace, GROUP, "refreshabletokens/finalizers", None, &["update"]);
        ask(namespace, "", "secrets", None, &["get", "create", "update", "patch", "delete"]);
        if scope.secrets_watch {
            ask(namespace, "", "secrets", None, &["list", "watch"]);
        }
        ask(namespace, "", "configmaps", None, &["get"]);
        ask(namespace, "events.k8s.io", "events", None, &["create", "patch"]);
        if scope.service_account_tokens {
            ask(namespace, "", "serviceaccounts/token", None, &["create"]);
        }
        if scope.rollout {
            for kind in RolloutKind::ALL {
                ask(namespace, "apps", kind.resource(), None, &["get", "list", "patch"]);
            }
        }
    }
    all
}

/// Looks at everything; the findings in the order in which a person mends them.
pub async fn check(cluster: &Cluster, scope: &Scope) -> Vec<Finding> {
    match cluster.version().await {
        Ok(version) => {
            let mut findings = vec![Finding::good(format!("API server {version}")), kind(cluster).await];
            findings.extend(granted(cluster, scope).await);
            findings.push(key_secret(cluster, scope).await);
            findings
        }
        Err(trouble) => {
            vec![Finding::bad(format!("the API server does not answer ({trouble:?}): check --kubeconfig and the network"))]
        }
    }
}

/// Whether the installed CRD has every field and rule of this version.
pub async fn kind(cluster: &Cluster) -> Finding {
    let mut answer = cluster.published_schema().await;
    for _ in 1..TRIES {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer = cluster.published_schema().await;
    }
    let published = match answer {
        Ok(published) => published,
        Err(Trouble::Missing) => {
            return Finding::bad("the kind RefreshableToken is not installed: install the CRD of this version");
        }
        Err(trouble) => return Finding::bad(format!("the schema of RefreshableToken cannot be read ({trouble:?})")),
    };
    let missing = missing(&published);
    if missing.is_empty() {
        return Finding::good("the CRD has every field and rule of this version");
    }
    let named = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if missing.len() > NAMED { format!(" and {} more", missing.len() - NAMED) } else { String::new() };
    Finding::bad(format!(
        "the CRD is not that of this version, so that fields are dropped or rules missing ({named}{more}): upgrade it"
    ))
}

/// Fields and rules of this version's CRD that the published document lacks, by path.
fn missing(published: &Value) -> Vec<String> {
    let mut there = BTreeSet::new();
    let schemas = published.pointer("/components/schemas").and_then(Value::as_object);
    for schema in schemas.into_iter().flat_map(serde_json::Map::values) {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        if kinds.into_iter().flatten().any(|kind| kind.get("kind").is_some_and(|kind| kind == "RefreshableToken")) {
            shape(schema, "", &mut there);
        }
    }
    let mut wanted = BTreeSet::new();
    let crd = serde_json::to_value(api::crd()).unwrap_or_default();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema");
    shape(schema.unwrap_or(&Value::Null), "", &mut wanted);
    wanted.difference(&there).cloned().collect()
}

/// Paths of all fields of a schema, and of the rules at each.
fn shape(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let rule = rule.get("rule").and_then(Value::as_str).unwrap_or_default();
        into.insert(format!("{path}: {rule}"));
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        into.insert(path.clone());
        shape(property, &path, into);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|key| schema.get(key)) {
        shape(inner, path, into);
    }
}

/// One finding for each resource and namespace.
async fn granted(cluster: &Cluster, scope: &Scope) -> Vec<Finding> {
    let mut verbs_of: BTreeMap<Permission, Vec<&str>> = BTreeMap::new();
    for permission in permissions(scope) {
        let verb = permission.verb;
        verbs_of.entry(Permission { verb: "", ..permission }).or_default().push(verb);
    }
    let mut findings = Vec::new();
    for (thing, verbs) in verbs_of {
        let mut refused = Vec::new();
        for verb in &verbs {
            match cluster.may(attributes(&Permission { verb, ..thing.clone() })).await {
                Ok(true) => {}
                Ok(false) => refused.push(*verb),
                Err(trouble) => {
                    findings.push(Finding::bad(format!("permissions cannot be asked for ({trouble:?})")));
                    return findings;
                }
            }
        }
        let dot = if thing.group.is_empty() { "" } else { "." };
        let what = format!(
            "{}{dot}{}{}",
            thing.resource,
            thing.group,
            thing.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default()
        );
        let place = thing.namespace.map_or_else(|| "everywhere".to_owned(), |namespace| format!("in namespace {namespace}"));
        findings.push(if refused.is_empty() {
            Finding::good(format!("may {} {what} {place}", verbs.join(", ")))
        } else {
            Finding::bad(format!("may not {} {what} {place}: grant it by a Role or ClusterRole", refused.join(", ")))
        });
    }
    findings
}

fn attributes(permission: &Permission) -> ResourceAttributes {
    let (resource, subresource) = match permission.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (permission.resource, None),
    };
    ResourceAttributes {
        namespace: permission.namespace.clone(),
        group: Some(permission.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        name: permission.name.clone(),
        verb: Some(permission.verb.to_owned()),
        ..ResourceAttributes::default()
    }
}

async fn key_secret(cluster: &Cluster, scope: &Scope) -> Finding {
    match key::look(cluster, &scope.operator_namespace).await {
        Ok(Some(_)) => Finding::good("the operator's key is there"),
        Ok(None) => Finding::good("there is no key yet: the first start makes it"),
        Err(error) => Finding::bad(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A document as the API server publishes it, of this version's CRD.
    fn published() -> Value {
        let crd = serde_json::to_value(api::crd()).unwrap();
        let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        schema["x-kubernetes-group-version-kind"] = json!([{"group": GROUP, "kind": "RefreshableToken", "version": "v1alpha1"}]);
        json!({"components": {"schemas": {"io.refreshabletoken.v1alpha1.RefreshableToken": schema}}})
    }

    #[test]
    fn an_older_crd_is_told_by_the_fields_and_rules_that_it_lacks() {
        let mut published = published();
        assert_eq!(missing(&published), Vec::<String>::new());
        let spec = &mut published["components"]["schemas"]["io.refreshabletoken.v1alpha1.RefreshableToken"]["properties"]["spec"];
        spec["properties"]["outputs"]["items"]["properties"].as_object_mut().unwrap().remove("basicAuth");
        spec["properties"].as_object_mut().unwrap().remove("suspend");
        spec["x-kubernetes-validations"].as_array_mut().unwrap().pop();
        let missing = missing(&published);
        assert!(
            missing.contains(&".spec.outputs.basicAuth.username".to_owned()) && missing.contains(&".spec.suspend".to_owned())
        );
        assert!(missing.iter().any(|path| path.starts_with(".spec: ")), "{missing:?}");
    }

    #[test]
    fn nothing_outside_is_asked_for_when_namespaces_are_named() {
        let scope = Scope {
            namespaces: vec!["build".to_owned()],
            operator_namespace: "own".to_owned(),
            leases: 1,
            secrets_watch: false,
            metrics_auth: false,
            rollout: false,
            service_account_tokens: false,
        };
        let permissions = permissions(&scope);
        let everywhere = permissions.iter().filter(|permission| permission.namespace.is_none());
        let everywhere: Vec<_> = everywhere.map(|p| (p.resource, p.name.as_deref(), p.verb)).collect();
        let providers = "clustertokenproviders";
        assert_eq!(
            everywhere,
            [
                ("namespaces", Some("kube-system"), "get"),
                (providers, None, "get"),
                (providers, None, "list"),
                (providers, None, "watch"),
                ("clustertokenproviders/status", None, "patch"),
                ("namespaces", Some("build"), "get"),
            ]
        );
        let build = |verb| {
            permissions.iter().any(|p| p.namespace.as_deref() == Some("build") && p.resource == "secrets" && p.verb == verb)
        };
        assert!(build("get") && !build("list") && !build("watch"));
    }
}
