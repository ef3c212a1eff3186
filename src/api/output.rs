//! What workloads mount: the shapes of output Secrets.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{object_rule, value_rule};

/// One Secret that workloads mount. It belongs to the object and is deleted with it. Exactly one of opaque, dockerConfigJSON
/// and basicAuth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::one_shape())]
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
}

/// A Secret of type Opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::opaque_keys_differ())]
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
}

impl Opaque {
    /// The key of the access token, default filled in.
    #[must_use]
    pub fn access_token_key(&self) -> &str {
        self.access_token_key.as_deref().unwrap_or("access_token")
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
