//! What workloads mount: the shapes of output Secrets.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::name::{KEY_PATTERN, NAME_PATTERN};
use super::rule;

/// One Secret that workloads mount. It belongs to the object and is deleted with it. Exactly one of opaque, dockerConfigJSON
/// and basicAuth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("[has(self.opaque), has(self.dockerConfigJSON), has(self.basicAuth)].filter(x, x).size() == 1")
        .message("must have exactly one of opaque, dockerConfigJSON and basicAuth")
)]
pub struct OutputSpec {
    /// Name of the Secret, in the object's namespace. A Secret of that name which belongs to somebody else is never touched.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
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
#[x_kube(
    validation = kube::core::Rule::new(
        "[has(self.accessTokenKey) ? self.accessTokenKey : 'access_token', has(self.refreshTokenKey) ? self.refreshTokenKey : ' 1', \
         has(self.referenceTokenKey) ? self.referenceTokenKey : ' 2', has(self.expirationTimeKey) ? self.expirationTimeKey : ' 3']\
         .map(k, [has(self.accessTokenKey) ? self.accessTokenKey : 'access_token', has(self.refreshTokenKey) ? self.refreshTokenKey : ' 1', \
         has(self.referenceTokenKey) ? self.referenceTokenKey : ' 2', has(self.expirationTimeKey) ? self.expirationTimeKey : ' 3']\
         .filter(o, o == k).size()).max() == 1"
    )
    .message("the keys of one Secret must differ from each other (accessTokenKey defaults to access_token)")
)]
pub struct Opaque {
    /// Key of the access token. Default: `access_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub access_token_key: Option<String>,
    /// Key of the refresh token. Left out unless set: workloads rarely need it, and whoever spends it ends the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub refresh_token_key: Option<String>,
    /// Key of the reference token (jfrogAccess with request.includeReferenceToken). Left out unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub reference_token_key: Option<String>,
    /// Key of the access token's expiry as RFC 3339 text, such as 2026-11-22T15:04:05Z; absent while the expiry is unknown. Left
    /// out unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
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
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")))]
    #[x_kube(validation = kube::core::Rule::new("self.all(r, self.filter(o, o == r).size() == 1)").message("each registry may stand only once"))]
    pub registries: Vec<String>,
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = rule::user_name())]
    pub username: String,
}

/// A Secret of type kubernetes.io/basic-auth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = rule::user_name())]
    pub username: String,
}
