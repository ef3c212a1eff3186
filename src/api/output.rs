//! What workloads mount: the shapes of output Secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value_rule::LONGEST;
use super::{OutputFile, SpecDuration, object_rule, schema, value_rule};

/// One Secret that workloads mount. Exactly one of opaque, dockerConfigJSON and basicAuth; `files` may stand beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = object_rule::one_shape(),
    validation = object_rule::file_keys_differ(),
    validation = object_rule::no_metadata_in_merge()
)]
pub struct OutputSpec {
    /// Name of the Secret, in the object's namespace. A Secret of that name which belongs to somebody else is never touched.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub secret_name: String,
    /// A Secret of type Opaque with one key per value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Opaque>,
    /// A Secret of type kubernetes.io/dockerconfigjson, for imagePullSecrets.
    #[serde(rename = "dockerConfigJSON", default, skip_serializing_if = "Option::is_none")]
    pub docker_config_json: Option<DockerConfigJson>,
    /// A Secret of type kubernetes.io/basic-auth: username, and the access token as password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Further keys of the Secret, each a file in the form that a tool reads. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["key".into()]))]
    pub files: Vec<OutputFile>,
    /// Labels and annotations of the Secret. What is taken away here goes from the Secret too. Not with Merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<OutputMetadata>,
    /// Whose the Secret is. `Owner` (default): this object's; it is deleted with it. `Orphan`: made by the operator, and it stays
    /// when this object goes. `Merge`: somebody else's, who makes it; only the keys named here are written into it, and they stay
    /// when this object goes. Between Merge and the others it cannot be changed: name another Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_policy: Option<CreationPolicy>,
}

impl OutputSpec {
    /// Whose the Secret is, default filled in.
    #[must_use]
    pub fn creation_policy(&self) -> CreationPolicy {
        self.creation_policy.unwrap_or_default()
    }
}

/// Whose the Secret is. `Owner` (default): this object's; it is deleted with it. `Orphan`: made by the operator, and it stays when
/// this object goes. `Merge`: somebody else's, who makes it; only the keys named here are written into it, and they stay when this
/// object goes. Between Merge and the others it cannot be changed: name another Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum CreationPolicy {
    /// The object's: it goes with it.
    #[default]
    Owner,
    /// Made by the operator, and stays.
    Orphan,
    /// Somebody else's, who makes it: the operator writes its own keys and no other.
    Merge,
}

/// Labels and annotations of an output Secret. Names in the domains of Kubernetes, of this operator and of tools that read meaning
/// into a Secret's labels are refused; `app.kubernetes.io/` is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputMetadata {
    /// Labels, at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    #[x_kube(
        validation = value_rule::metadata_names(),
        validation = value_rule::metadata_not_reserved(),
        validation = value_rule::label_values()
    )]
    pub labels: BTreeMap<String, String>,
    /// Annotations, at most 16, each of at most 1024 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    #[x_kube(validation = value_rule::metadata_names(), validation = value_rule::metadata_not_reserved())]
    pub annotations: BTreeMap<String, String>,
}

/// A Secret of type Opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::opaque_keys_differ(), validation = object_rule::grace_of_previous())]
pub struct Opaque {
    /// Key of the access token. Default: `access_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub access_token_key: Option<String>,
    /// Key of the refresh token. Left out unless set: workloads rarely need it, and whoever spends it ends the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub refresh_token_key: Option<String>,
    /// Key of the reference token (jfrogAccess with request.includeReferenceToken). Left out unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub reference_token_key: Option<String>,
    /// Key of the access token's expiry as RFC 3339 text, such as 2026-11-22T15:04:05Z; absent while the expiry is unknown. Left
    /// out unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub expiration_time_key: Option<String>,
    /// Key of the access token before this one, for programs that are slow to take up the new one: there after a refresh, and
    /// gone once previousAccessTokenGrace or that token's own life is over. Left out unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub previous_access_token_key: Option<String>,
    /// How long after a refresh the previous access token is kept at most. Default: until its own expiry, or until the next refresh
    /// where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", LONGEST))]
    pub previous_access_token_grace: Option<SpecDuration>,
}

impl Opaque {
    /// The key of the access token, default filled in.
    #[must_use]
    pub fn access_token_key(&self) -> &str {
        self.access_token_key.as_deref().unwrap_or("access_token")
    }

    /// The keys that are set, default filled in.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let optional =
            [&self.refresh_token_key, &self.reference_token_key, &self.expiration_time_key, &self.previous_access_token_key];
        std::iter::once(self.access_token_key()).chain(optional.into_iter().filter_map(Option::as_deref))
    }

    /// How long the previous access token is kept at most.
    #[must_use]
    pub fn previous_access_token_grace(&self) -> Option<Duration> {
        self.previous_access_token_grace.map(SpecDuration::get)
    }
}

/// A Secret of type kubernetes.io/dockerconfigjson.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerConfigJson {
    /// Registries that the token opens, as image names begin with them, such as `docker.example.com`. 1 to 20.
    #[schemars(length(min = 1, max = 20), inner(length(max = 253)))]
    #[x_kube(validation = value_rule::registries(), validation = value_rule::registries_once())]
    pub registries: Vec<String>,
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::user_name())]
    pub username: String,
}

/// A Secret of type kubernetes.io/basic-auth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::user_name())]
    pub username: String,
}
