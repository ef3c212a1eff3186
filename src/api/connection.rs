//! How a token API is connected to, whichever it is: whom the connection believes, what lies between, and how long it may take.

use std::time::Duration;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SpecDuration, object_rule, value_rule};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CaBundleKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// An HTTP proxy. It is asked for a tunnel (CONNECT, RFC 9110 section 9.3.6): TLS is between the operator and the token API, and the
/// proxy sees no more than the API's host and port. It resolves the API's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Where the proxy is, such as `http://proxy.example.com:3128`. The operator's endpoint policy has to allow its address as it has to
    /// allow that of a token API.
    #[schemars(length(max = 270))]
    #[x_kube(validation = value_rule::proxy_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub url: String,
    /// Whom the proxy lets through (Basic authentication, RFC 7617). Without it no credentials are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<ProxyCredentialsRef>,
}

/// A Secret with the keys `username` and `password`, as those of type `kubernetes.io/basic-auth` have them; in the object's namespace,
/// with the label `refreshabletoken.io/role: seed`. The connection to the proxy itself is not encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyCredentialsRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
}

/// How long one request to the token API may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Until the connection stands, DNS, proxy and TLS included. Default: 5s.
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
