//! Files in an output Secret: the forms that tools read, each with the access token at the place where the tool looks for it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{DockerConfigJson, object_rule, value_rule};

/// A further key of an output Secret: a file in the form that a tool reads. Exactly one form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::one_form())]
pub struct OutputFile {
    /// Key of the Secret, and so the name of the mounted file, such as `.npmrc`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub key: String,
    /// For npm, pnpm and Yarn 1: a registry and its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npmrc: Option<Npmrc>,
    /// For pip: an index with user name and token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pip_conf: Option<PipConf>,
    /// For Maven: servers with user name and token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maven_settings: Option<MavenSettings>,
    /// For curl, Git, Go and others: machines with user name and token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netrc: Option<Netrc>,
    /// For `git-credential-store`: URLs with user name and token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_credentials: Option<GitCredentials>,
    /// For docker, kaniko, skopeo and others: the file `config.json`.
    #[serde(rename = "dockerConfigJSON", default, skip_serializing_if = "Option::is_none")]
    pub docker_config_json: Option<DockerConfigJson>,
    /// Any other text, in a small part of the Jinja language: `{{ token.access }}` is replaced by the access token. Also there:
    /// `token.expirationTime` and `token.issuedTime` (RFC 3339, empty where unknown), `token.refresh` (beside
    /// opaque.refreshTokenKey only), `token.reference` (with request.includeReferenceToken only), `object.name`,
    /// `object.namespace`. Filters after `|`: `b64encode`, `urlencode`, `tojson`, `escape` (XML). `~` joins, as in
    /// `{{ ("ci:" ~ token.access) | b64encode }}`. `{% if token.expirationTime %}`, `{% else %}`,
    /// `{% endif %}`, `{# comments #}`, and `-` inside a mark to drop the white space beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub template: Option<String>,
}

/// A file `.npmrc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Npmrc {
    /// The registry, such as `https://art.example.com/artifactory/api/npm/npm/`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = value_rule::file_url())]
    pub registry: String,
    /// Scopes that come from this registry, such as `@acme`; with none it is the registry of all packages. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 214)))]
    #[x_kube(validation = value_rule::scopes())]
    pub scopes: Vec<String>,
}

/// A file `pip.conf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipConf {
    /// The index, such as `https://art.example.com/artifactory/api/pypi/pypi/simple`.
    #[serde(rename = "indexURL")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = value_rule::file_url())]
    pub index_url: String,
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::user_name())]
    pub username: String,
}

/// A file `settings.xml`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MavenSettings {
    /// Ids of the servers, as `pom.xml` and mirrors name them. 1 to 10.
    #[serde(rename = "serverIDs")]
    #[schemars(length(min = 1, max = 10), inner(length(max = 255)))]
    #[x_kube(validation = value_rule::server_ids())]
    pub server_ids: Vec<String>,
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::user_name(), validation = value_rule::maven_user_name())]
    pub username: String,
}

/// A file `.netrc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Netrc {
    /// Host names without port, such as `art.example.com`. 1 to 10.
    #[schemars(length(min = 1, max = 10), inner(length(max = 253)))]
    #[x_kube(validation = value_rule::machines())]
    pub machines: Vec<String>,
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::user_name(), validation = value_rule::netrc_user_name())]
    pub username: String,
}

/// A file of `git-credential-store`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitCredentials {
    /// What the token opens, such as `https://git.example.com`. 1 to 10.
    #[schemars(length(min = 1, max = 10), inner(length(max = 255)))]
    #[x_kube(validation = value_rule::file_urls())]
    pub urls: Vec<String>,
    /// User name to present with the token.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::user_name())]
    pub username: String,
}

/// Whether Maven reads a text as it is written: not the braces of a variable (`${…}`) or of an encrypted password (`{…}`), and not the
/// white space at the ends.
#[must_use]
pub fn plain_in_maven(text: &str) -> bool {
    !text.contains(['{', '}']) && text.trim() == text
}

/// Whether every reader of a `.netrc` reads a text alike: words are separated by white space, and readers differ about quotes,
/// backslashes and `#`.
#[must_use]
pub fn plain_in_netrc(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'#' | b'\\'))
}
