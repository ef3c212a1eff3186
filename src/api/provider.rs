//! Where a token comes from: one key per token API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CaBundleKind, CaBundleRef, ClientCertificateRef, ClientSecretRef, Http, Oauth2, Proxy, ProxyCredentialsRef, Timeouts, Tls,
    schema,
};
use crate::provider::{Beside, ElasticCloudEnterprise, JfrogAccess, JfrogDistribution, Sketch, TokenApi};

/// The token API that refreshes this token. Exactly one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_key)]
pub enum ProviderSpec {
    /// JFrog Access (Artifactory 7.37.9 and later): `POST {url}/access/api/v1/tokens`.
    JfrogAccess(Box<JfrogAccess>),
    /// JFrog Distribution: `POST {url}/distribution/api/v1/security/token`. The seed must also hold username and password.
    JfrogDistribution(Box<JfrogDistribution>),
    /// Elastic Cloud Enterprise: `POST {url}/api/v1/users/auth/_refresh`. The access token renews itself; there is no refresh
    /// token.
    ElasticCloudEnterprise(Box<ElasticCloudEnterprise>),
    /// Any OAuth 2.0 authorization server: the refresh token grant of RFC 6749 section 6, or client credentials (section 4.4).
    Oauth2(Box<Oauth2>),
    /// Any other API, declared: one request, how its answer is read, and what the API promises.
    Http(Box<Http>),
}

impl ProviderSpec {
    /// All providers, as a manifest begins with them.
    pub const ALL: [Sketch; 5] =
        [JfrogAccess::SKETCH, JfrogDistribution::SKETCH, ElasticCloudEnterprise::SKETCH, Oauth2::SKETCH, Http::SKETCH];

    /// The token API behind the key: the one place that tells them apart.
    pub(crate) fn api(&self) -> &dyn TokenApi {
        match self {
            Self::JfrogAccess(spec) => spec.as_ref(),
            Self::JfrogDistribution(spec) => spec.as_ref(),
            Self::ElasticCloudEnterprise(spec) => spec.as_ref(),
            Self::Oauth2(spec) => spec.as_ref(),
            Self::Http(spec) => spec.as_ref(),
        }
    }

    /// The key of the provider in the manifest; also its name in columns, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.api().name()
    }

    /// The URL that the operator will call or that the call's URL is made from.
    #[must_use]
    pub fn url(&self) -> &str {
        self.api().url()
    }

    /// How the connection is verified, where the spec says.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.api().connection().tls
    }

    /// How long one request may take, defaults filled in.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.api().connection().timeouts.unwrap_or_default()
    }

    /// The proxy that the API is reached through, where one is named.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy> {
        self.api().connection().proxy
    }

    /// The Secret with the credentials for the proxy, where one is named.
    #[must_use]
    pub fn proxy_credentials_ref(&self) -> Option<&ProxyCredentialsRef> {
        self.proxy()?.credentials_secret_ref.as_ref()
    }

    /// The Secret with the client's certificate, where one is named.
    #[must_use]
    pub fn client_certificate_ref(&self) -> Option<&ClientCertificateRef> {
        self.tls()?.client_certificate_ref.as_ref()
    }

    /// The names of the Secrets that a person keeps for this provider: of credentials, certificate, authorities and proxy.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let bundle = self.ca_bundle_ref().filter(|bundle| bundle.kind == CaBundleKind::Secret);
        let client = self.client_secret_ref().map(|client| client.name.as_str());
        let certificate = self.client_certificate_ref().map(|certificate| certificate.name.as_str());
        let proxy = self.proxy_credentials_ref().map(|proxy| proxy.name.as_str());
        [client, certificate, bundle.map(|bundle| bundle.name.as_str()), proxy].into_iter().flatten()
    }

    /// What holds the certificate authorities, where one is named.
    #[must_use]
    pub fn ca_bundle_ref(&self) -> Option<&CaBundleRef> {
        self.tls()?.ca_bundle_ref.as_ref()
    }

    /// The Secret with the OAuth 2.0 client's credentials, where one is named.
    #[must_use]
    pub fn client_secret_ref(&self) -> Option<&ClientSecretRef> {
        match self.api().beside() {
            Beside::Client(spec) => spec.client_secret_ref.as_ref(),
            Beside::Nothing | Beside::Password | Beside::Keys(_) => None,
        }
    }
}
