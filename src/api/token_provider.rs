//! `TokenProvider` and `ClusterTokenProvider`: a token API that several tokens share.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, ProviderSpec, object_rule, schema, value_rule};

/// Which provider an object uses instead of one of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRef {
    /// `TokenProvider` (default), in the object's namespace, or `ClusterTokenProvider`, which an administrator keeps for several
    /// namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProviderKind>,
    /// Name of the provider.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
}

impl ProviderRef {
    /// The kind, default filled in.
    #[must_use]
    pub fn kind(&self) -> ProviderKind {
        self.kind.unwrap_or_default()
    }
}

/// `TokenProvider` (default), in the object's namespace, or `ClusterTokenProvider`, which an administrator keeps for several
/// namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum ProviderKind {
    /// A `TokenProvider` in the object's namespace.
    #[default]
    TokenProvider,
    /// A `ClusterTokenProvider`.
    ClusterTokenProvider,
}

impl ProviderKind {
    /// The kind as Kubernetes names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenProvider => "TokenProvider",
            Self::ClusterTokenProvider => "ClusterTokenProvider",
        }
    }
}

/// A token API that tokens of one namespace share.
#[expect(clippy::duplicated_attributes, reason = "each column has a name")]
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "refreshabletoken.io",
    version = "v1alpha1",
    kind = "TokenProvider",
    plural = "tokenproviders",
    shortname = "rtprov",
    category = "refreshabletokens",
    namespaced,
    status = "TokenProviderStatus",
    derive = "PartialEq",
    doc = "A token API that the tokens of one namespace share. RefreshableTokens name it in providerRef.",
    printcolumn(json_path = r#".status.conditions[?(@.type=="Ready")].status"#, name = "Ready", type_ = "string"),
    printcolumn(json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, name = "Reason", type_ = "string"),
    printcolumn(json_path = ".status.provider", name = "Provider", type_ = "string"),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date")
)]
pub struct TokenProviderSpec {
    /// The token API. Exactly one key. The Secrets and ConfigMaps that it names are in this object's namespace.
    pub provider: ProviderSpec,
    /// How much the API is asked for at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// How much a token API is asked for at most, by all tokens of the provider together. The token that ends soonest goes first. At
/// least one of both. What is under way already, such as the repeat of a request whose answer was lost, does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::some_limit())]
pub struct Limits {
    /// Refreshes under way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: Option<i32>,
    /// Refreshes that begin within any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 6000))]
    pub requests_per_minute: Option<i32>,
}

impl Limits {
    /// Refreshes under way at once; none: any number.
    #[must_use]
    pub fn max_concurrent(self) -> Option<usize> {
        self.max_concurrent.and_then(|most| usize::try_from(most).ok()).map(|most| most.max(1))
    }

    /// Refreshes that begin within any 60 seconds; none: any number.
    #[must_use]
    pub fn requests_per_minute(self) -> Option<usize> {
        self.requests_per_minute.and_then(|most| usize::try_from(most).ok()).map(|most| most.max(1))
    }
}

/// A token API that tokens of several namespaces share.
#[expect(clippy::duplicated_attributes, reason = "each column has a name")]
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "refreshabletoken.io",
    version = "v1alpha1",
    kind = "ClusterTokenProvider",
    plural = "clustertokenproviders",
    shortname = "crtprov",
    category = "refreshabletokens",
    status = "TokenProviderStatus",
    derive = "PartialEq",
    doc = "A token API that an administrator keeps for the tokens of several namespaces. RefreshableTokens name it in providerRef.",
    printcolumn(json_path = r#".status.conditions[?(@.type=="Ready")].status"#, name = "Ready", type_ = "string"),
    printcolumn(json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, name = "Reason", type_ = "string"),
    printcolumn(json_path = ".status.provider", name = "Provider", type_ = "string"),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date")
)]
pub struct ClusterTokenProviderSpec {
    /// The token API. Exactly one key. It may be at a private address (RFC 1918, RFC 4193) without a rule of the endpoint policy.
    /// The Secrets and ConfigMaps that it names are in the operator's own namespace.
    pub provider: ProviderSpec,
    /// Whose objects may use this provider.
    pub allowed_namespaces: AllowedNamespaces,
    /// How much the API is asked for at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Namespaces by name or by label. At least one of both; a namespace that fits either is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::some_namespace())]
pub struct AllowedNamespaces {
    /// Names of namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 63)))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub names: Vec<String>,
    /// Labels that a namespace must have, each with this value. `{}`: every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_labels")]
    pub match_labels: Option<BTreeMap<String, String>>,
}

impl AllowedNamespaces {
    /// Whether the namespace may use the provider, as far as its name tells; none: its labels decide.
    #[must_use]
    pub fn by_name(&self, namespace: &str) -> Option<bool> {
        if self.names.iter().any(|name| name == namespace) {
            return Some(true);
        }
        match &self.match_labels {
            None => Some(false),
            Some(labels) if labels.is_empty() => Some(true),
            Some(_) => None,
        }
    }

    /// Whether a namespace with these labels may use the provider.
    #[must_use]
    pub fn by_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.as_ref().is_some_and(|wanted| wanted.iter().all(|(name, value)| labels.get(name) == Some(value)))
    }
}

/// What the operator found out about a provider.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct TokenProviderStatus {
    /// The `metadata.generation` that this status is about; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the token API can be reached, and TLS is verified. Stalled only while a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The key of the token API in the spec.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
}
