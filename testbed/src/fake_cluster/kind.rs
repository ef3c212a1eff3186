//! The kinds that are served, and what the API server knows about each.

use serde_json::{Value, json};

/// A kind that the fake serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `RefreshableToken`, refreshabletoken.io/v1alpha1.
    RefreshableToken,
    /// `TokenProvider`, refreshabletoken.io/v1alpha1.
    TokenProvider,
    /// `ClusterTokenProvider`, refreshabletoken.io/v1alpha1; of no namespace.
    ClusterTokenProvider,
    /// `Secret`, v1.
    Secret,
    /// `ConfigMap`, v1.
    ConfigMap,
    /// `Namespace`, v1: read only.
    Namespace,
    /// `Lease`, coordination.k8s.io/v1.
    Lease,
    /// `Event`, events.k8s.io/v1.
    Event,
    /// `Deployment`, apps/v1: its spec is stored as it comes, without defaults and unchecked, and nothing acts on it.
    Deployment,
}

/// How a part of an object is split into fields that have owners of their own.
pub(super) enum Shape {
    /// One field, whatever is in it.
    Atomic,
    /// Objects are split by key, lists are not.
    Deduced,
    /// An object with these known fields; other fields are as deduced.
    Struct(&'static [(&'static str, Shape)]),
    /// A list of texts, each a field of its own.
    Set,
    /// A list of objects that one key tells apart.
    Keyed(&'static str, &'static Shape),
}

const METADATA: Shape = Shape::Struct(&[
    ("annotations", Shape::Deduced),
    ("finalizers", Shape::Set),
    ("labels", Shape::Deduced),
    ("managedFields", Shape::Atomic),
    ("ownerReferences", Shape::Keyed("uid", &Shape::Atomic)),
]);
const PLAIN: Shape = Shape::Struct(&[
    ("apiVersion", Shape::Atomic),
    ("binaryData", Shape::Deduced),
    ("data", Shape::Deduced),
    ("immutable", Shape::Atomic),
    ("kind", Shape::Atomic),
    ("metadata", METADATA),
    ("type", Shape::Atomic),
]);
/// The lists with `x-kubernetes-list-type: map` of the CRD.
const TOKEN: Shape = Shape::Struct(&[
    ("metadata", METADATA),
    ("spec", Shape::Struct(&[("outputs", Shape::Keyed("secretName", &Shape::Deduced))])),
    (
        "status",
        Shape::Struct(&[
            ("conditions", Shape::Keyed("type", &Shape::Deduced)),
            ("outputs", Shape::Keyed("secretName", &Shape::Deduced)),
        ]),
    ),
]);
const PROVIDER: Shape =
    Shape::Struct(&[("metadata", METADATA), ("status", Shape::Struct(&[("conditions", Shape::Keyed("type", &Shape::Deduced))]))]);
/// `deprecatedSource`, `regarding` and `related` of an Event are atomic structs.
const EVENT: Shape = Shape::Struct(&[
    ("metadata", METADATA),
    ("deprecatedSource", Shape::Atomic),
    ("regarding", Shape::Atomic),
    ("related", Shape::Atomic),
]);

const ALL: [Kind; 9] = [
    Kind::RefreshableToken,
    Kind::TokenProvider,
    Kind::ClusterTokenProvider,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::Namespace,
    Kind::Lease,
    Kind::Event,
    Kind::Deployment,
];

impl Kind {
    /// The kind under a group (empty: core), version and plural name.
    pub(super) fn of_path(group: &str, version: &str, plural: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| (kind.group(), kind.version(), kind.plural()) == (group, version, plural))
    }

    /// Its name, such as `Secret`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RefreshableToken => "RefreshableToken",
            Self::TokenProvider => "TokenProvider",
            Self::ClusterTokenProvider => "ClusterTokenProvider",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Namespace => "Namespace",
            Self::Lease => "Lease",
            Self::Event => "Event",
            Self::Deployment => "Deployment",
        }
    }

    /// Its name in paths, such as `secrets`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::RefreshableToken => "refreshabletokens",
            Self::TokenProvider => "tokenproviders",
            Self::ClusterTokenProvider => "clustertokenproviders",
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::Namespace => "namespaces",
            Self::Lease => "leases",
            Self::Event => "events",
            Self::Deployment => "deployments",
        }
    }

    pub(super) fn group(self) -> &'static str {
        match self {
            Self::RefreshableToken | Self::TokenProvider | Self::ClusterTokenProvider => "refreshabletoken.io",
            Self::Secret | Self::ConfigMap | Self::Namespace => "",
            Self::Lease => "coordination.k8s.io",
            Self::Event => "events.k8s.io",
            Self::Deployment => "apps",
        }
    }

    fn version(self) -> &'static str {
        if self.is_custom() { "v1alpha1" } else { "v1" }
    }

    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(self) -> String {
        let (group, version) = (self.group(), self.version());
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
    }

    /// Served from a CustomResourceDefinition: empty values are kept, there is a status subresource.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Self::RefreshableToken | Self::TokenProvider | Self::ClusterTokenProvider)
    }

    /// A change of its spec is a new generation.
    pub(super) fn counts_generations(self) -> bool {
        self.is_custom() || self == Self::Deployment
    }

    /// Whether an update may leave out the resourceVersion (`AllowUnconditionalUpdate` of its strategy).
    pub(super) fn takes_unconditional_update(self) -> bool {
        !self.is_custom() && self != Self::Lease
    }

    /// Whether an update makes an object that is not there (`AllowCreateOnUpdate` of its strategy).
    pub(super) fn is_created_by_update(self) -> bool {
        self == Self::Lease
    }

    /// An object in which nothing is said: only fields that are no pointers in Go are there. What is created is compared with it.
    pub(super) fn zero(self) -> Value {
        if self == Self::Lease { json!({ "spec": {} }) } else { json!({}) }
    }

    pub(super) fn shape(self) -> &'static Shape {
        match self {
            Self::RefreshableToken => &TOKEN,
            Self::TokenProvider | Self::ClusterTokenProvider => &PROVIDER,
            Self::Event => &EVENT,
            Self::Secret | Self::ConfigMap | Self::Namespace | Self::Lease | Self::Deployment => &PLAIN,
        }
    }
}

impl Shape {
    /// The shape of a field, and whether its name is a known one.
    pub(super) fn field(&self, name: &str) -> (&Self, bool) {
        match self {
            Self::Struct(fields) => {
                fields.iter().find(|(known, _)| *known == name).map_or((&Self::Deduced, false), |(_, shape)| (shape, true))
            }
            Self::Atomic | Self::Deduced | Self::Set | Self::Keyed(..) => (&Self::Deduced, false),
        }
    }
}
