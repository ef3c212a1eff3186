//! Where a token comes from: one key per token API.

use std::time::Duration;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Grant, Http, Preset, SpecDuration, object_rule, schema, value_rule};

/// The token API that refreshes this token. Exactly one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_key)]
pub enum ProviderSpec {
    /// JFrog Access (Artifactory 7.37.9 and later): `POST {url}/access/api/v1/tokens`.
    JfrogAccess(JfrogAccess),
    /// JFrog Distribution: `POST {url}/distribution/api/v1/security/token`. The seed must also hold username and password.
    JfrogDistribution(JfrogDistribution),
    /// Elastic Cloud Enterprise: `POST {url}/api/v1/users/auth/_refresh`. The access token renews itself; there is no refresh
    /// token.
    ElasticCloudEnterprise(ElasticCloudEnterprise),
    /// Any OAuth 2.0 authorization server: the refresh token grant of RFC 6749 section 6, or client credentials (section 4.4).
    Oauth2(Box<Oauth2>),
    /// Any other API, declared: one request, how its answer is read, and what the API promises.
    Http(Box<Http>),
}

impl ProviderSpec {
    /// The key of the provider in the manifest; also its name in columns, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::JfrogAccess(_) => "jfrogAccess",
            Self::JfrogDistribution(_) => "jfrogDistribution",
            Self::ElasticCloudEnterprise(_) => "elasticCloudEnterprise",
            Self::Oauth2(_) => "oauth2",
            Self::Http(_) => "http",
        }
    }

    /// The keys of all providers.
    pub const NAMES: [&'static str; 5] = ["jfrogAccess", "jfrogDistribution", "elasticCloudEnterprise", "oauth2", "http"];

    /// The URL that the operator will call or that the call's URL is made from.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::JfrogAccess(spec) => &spec.url,
            Self::JfrogDistribution(spec) => &spec.url,
            Self::ElasticCloudEnterprise(spec) => &spec.url,
            Self::Oauth2(spec) => match &spec.issuer_url {
                Some(issuer) if spec.token_url.is_empty() => issuer,
                Some(_) | None => &spec.token_url,
            },
            Self::Http(spec) => &spec.request.url,
        }
    }

    /// How the connection is verified, where the spec says.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match self {
            Self::JfrogAccess(spec) => spec.tls.as_ref(),
            Self::JfrogDistribution(spec) => spec.tls.as_ref(),
            Self::ElasticCloudEnterprise(spec) => spec.tls.as_ref(),
            Self::Oauth2(spec) => spec.tls.as_ref(),
            Self::Http(spec) => spec.tls.as_ref(),
        }
    }

    /// How long one request may take, defaults filled in.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        let timeouts = match self {
            Self::JfrogAccess(spec) => spec.timeouts,
            Self::JfrogDistribution(spec) => spec.timeouts,
            Self::ElasticCloudEnterprise(spec) => spec.timeouts,
            Self::Oauth2(spec) => spec.timeouts,
            Self::Http(spec) => spec.timeouts,
        };
        timeouts.unwrap_or_default()
    }

    /// The Secret with the client's certificate, where one is named.
    #[must_use]
    pub fn client_certificate_ref(&self) -> Option<&ClientCertificateRef> {
        self.tls()?.client_certificate_ref.as_ref()
    }

    /// The names of the Secrets that a person keeps for this provider: of credentials, certificate and authorities.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let bundle = self.tls().and_then(|tls| tls.ca_bundle_ref.as_ref()).filter(|bundle| bundle.kind == CaBundleKind::Secret);
        let client = self.client_secret_ref().map(|client| client.name.as_str());
        let certificate = self.client_certificate_ref().map(|certificate| certificate.name.as_str());
        [client, certificate, bundle.map(|bundle| bundle.name.as_str())].into_iter().flatten()
    }

    /// The Secret with the OAuth 2.0 client's credentials, where one is named.
    #[must_use]
    pub fn client_secret_ref(&self) -> Option<&ClientSecretRef> {
        match self {
            Self::Oauth2(spec) => spec.client_secret_ref.as_ref(),
            Self::JfrogAccess(_) | Self::JfrogDistribution(_) | Self::ElasticCloudEnterprise(_) | Self::Http(_) => None,
        }
    }
}

/// JFrog Access.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JfrogAccess {
    /// Base URL of the JFrog platform, such as `https://art.example.com`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = value_rule::base_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub url: String,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// JFrog Distribution.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JfrogDistribution {
    /// Base URL of the JFrog platform, such as `https://art.example.com`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = value_rule::base_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub url: String,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// Elastic Cloud Enterprise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ElasticCloudEnterprise {
    /// Base URL of the installation, such as `https://ece.example.com:12443`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = value_rule::base_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub url: String,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// An OAuth 2.0 authorization server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = object_rule::grace(),
    validation = object_rule::key_belongs(),
    validation = object_rule::grant_rotates(),
    validation = object_rule::grant_authenticates(),
    validation = object_rule::grant_seeds(),
    validation = object_rule::exchange_types(),
    validation = object_rule::one_endpoint(),
    validation = object_rule::tls_authenticates()
)]
pub struct Oauth2 {
    /// The server or service, if it is one whose ways are known: it fills in `rotation` where that is not set, and tells what the
    /// error codes mean that the server uses in its own way. docs/providers.md has what each of them says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// What brings a token: `RefreshToken` (default, RFC 6749 section 6); `ClientCredentials` (section 4.4): the client's own
    /// credentials, which the seed Secret holds (keys `client_id` and `client_secret` or `private_key`); `TokenExchange` (RFC 8693)
    /// or `JWTBearer` (RFC 7523 section 2.1): another token, from key `subject_token` of the seed Secret or from
    /// `credential.serviceAccountRef`. All but the first obtain each token anew, and a lost answer is simply asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// With `grant: TokenExchange`: what the token is that is exchanged (`subject_token_type`, RFC 8693 section 3). Default:
    /// `urn:ietf:params:oauth:token-type:jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub subject_token_type: Option<String>,
    /// With `grant: TokenExchange`: what is wanted for it (`requested_token_type`, RFC 8693 section 2.1). Default: the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub requested_token_type: Option<String>,
    /// The token endpoint (RFC 6749 section 3.2), such as `https://idp.example.com/oauth2/token`. Either this or `issuerURL`.
    #[serde(rename = "tokenURL", default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub token_url: String,
    /// The server's issuer identifier, such as `https://idp.example.com/realms/build`, in place of `tokenURL`: its metadata (OpenID
    /// Connect Discovery 1.0, RFC 8414) then tell the token endpoint, and the revocation endpoint where `revocationURL` is not set.
    /// They are read again each hour; while they cannot be read, those of the last time count.
    #[serde(rename = "issuerURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub issuer_url: Option<String>,
    /// The revocation endpoint (RFC 7009 section 2), such as `https://idp.example.com/oauth2/revoke`. For
    /// `deletionPolicy: Revoke`, which needs it.
    #[serde(rename = "revocationURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub revocation_url: Option<String>,
    /// How the client authenticates (RFC 6749 section 2.3.1): `Basic` (default) sends `client_id` and `client_secret` in the
    /// Authorization header, `Post` in the body, `PrivateKeyJWT` sends `client_id` and a token that it signs anew for each request
    /// with `private_key` (RFC 7523 section 2.2), `TLS` sends `client_id` and shows the certificate of `tls.clientCertificateRef`
    /// (RFC 8705 section 2), `None` sends only `client_id` (a public client).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,
    /// Whom the tokens of `PrivateKeyJWT` are addressed to (`aud`), as the server wants it: its issuer identifier, such as
    /// `https://idp.example.com`. Default: tokenURL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = value_rule::one_line())]
    pub assertion_audience: Option<String>,
    /// Secret with the client's credentials, in the object's namespace and with the label `refreshabletoken.io/role: seed`.
    /// Without it they are taken from the seed Secret (keys `client_id`, `client_secret`, `private_key`, `key_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<ClientSecretRef>,
    /// What the server does with a refresh token that was used: `Strict` (default): it works once, or it may; an answer without a
    /// new one leaves it in force. `Grace`: it works once, and within graceSeconds the same request may be repeated. `IdempotencyKey`: it works once, and the server answers a repeat with
    /// the same `Idempotency-Key` header as it answered first. `Reusable`: it stays valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How many seconds after its first use a refresh token may be presented again, as the server is configured. A lost answer
    /// is asked for again within this time, never after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub grace_seconds: Option<i32>,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

impl Oauth2 {
    /// What brings a token, default filled in.
    #[must_use]
    pub fn grant(&self) -> Grant {
        self.grant.unwrap_or_default()
    }
}

/// How an OAuth 2.0 client authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthentication {
    /// `client_secret_basic`.
    #[default]
    Basic,
    /// `client_secret_post`.
    Post,
    /// `private_key_jwt`.
    #[serde(rename = "PrivateKeyJWT")]
    PrivateKeyJwt,
    /// `tls_client_auth` or `self_signed_tls_client_auth`: `client_id`, and the certificate of the connection.
    #[serde(rename = "TLS")]
    Tls,
    /// A public client: `client_id` only.
    None,
}

/// What a server does with a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Rotation {
    /// It works once.
    #[default]
    Strict,
    /// It works once, and may be presented again for a while.
    Grace,
    /// It works once, and a request with the same `Idempotency-Key` header is answered as the first was.
    IdempotencyKey,
    /// It stays valid.
    Reusable,
}

/// The Secret with an OAuth 2.0 client's credentials, in the object's namespace, labelled `refreshabletoken.io/role: seed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::client_keys_differ())]
pub struct ClientSecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
    /// Key of the client identifier. Default: `client_id`.
    #[serde(rename = "clientIDKey", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub client_id_key: Option<String>,
    /// Key of the client secret. Default: `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub client_secret_key: Option<String>,
    /// Key of the private key for `PrivateKeyJWT`, in PEM form: RSA of 2048 to 4096 bits (signs RS256) or EC on P-256 (ES256).
    /// Default: `private_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub private_key_key: Option<String>,
    /// Key of the private key's name at the server (`kid`), which is sent if it is there. Default: `key_id`.
    #[serde(rename = "keyIDKey", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub key_id_key: Option<String>,
}

impl ClientSecretRef {
    /// The keys, defaults filled in: of the client identifier, the client secret, the private key and its name.
    #[must_use]
    pub fn keys(&self) -> [&str; 4] {
        [
            self.client_id_key.as_deref().unwrap_or("client_id"),
            self.client_secret_key.as_deref().unwrap_or("client_secret"),
            self.private_key_key.as_deref().unwrap_or("private_key"),
            self.key_id_key.as_deref().unwrap_or("key_id"),
        ]
    }
}

/// How a connection is verified. There is no way to switch verification off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::tls_says_something())]
pub struct Tls {
    /// Certificate authorities to trust instead of the image's: a key of a ConfigMap or Secret in the object's namespace, in PEM
    /// form, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CaBundleRef>,
    /// What is shown to a server that asks for a certificate (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<ClientCertificateRef>,
}

/// A Secret with the keys `tls.crt` (the client's certificate and its chain, in PEM form) and `tls.key` (its private key, not
/// encrypted), as those of type `kubernetes.io/tls` have them; in the object's namespace, with the label
/// `refreshabletoken.io/role: seed`. A renewed certificate is used from the next request on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
}

/// A key of a ConfigMap or Secret in the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleRef {
    /// `ConfigMap` or `Secret`.
    pub kind: CaBundleKind,
    /// Name of the ConfigMap or Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
    /// Key that holds the PEM text. Default: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub key: Option<String>,
}

impl CaBundleRef {
    /// The key, default filled in.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("ca.crt")
    }
}

/// What holds a bundle of certificate authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CaBundleKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// How long one request to the token API may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Until the connection stands, DNS and TLS included. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", "30s"))]
    pub connect: Option<SpecDuration>,
    /// Until the whole answer is there. Default: 30s. An answer that comes later is lost, so more is safer than less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", "60s"))]
    pub request: Option<SpecDuration>,
}

impl Timeouts {
    /// Limit for the connection. The default is our choice: a server that needs longer to shake hands is down.
    #[must_use]
    pub fn connect(&self) -> Duration {
        self.connect.map_or(Duration::from_secs(5), SpecDuration::get)
    }

    /// Limit for the whole request. The default is our choice: what reverse proxies commonly allow is 30 to 60 s.
    #[must_use]
    pub fn request(&self) -> Duration {
        self.request.map_or(Duration::from_secs(30), SpecDuration::get)
    }
}
