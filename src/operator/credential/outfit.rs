//! Reading what connections to a provider are made with: certificate authorities, a client certificate, a proxy and its credentials.

use super::{Unusable, is_seed, opted_in, value};
use crate::api::{CaBundleRef, ClientCertificateRef, ProviderSpec, ROLE_LABEL, Reason};
use crate::operator::cluster::{Cluster, Trouble};
use crate::operator::transport::{CaBundle, ClientCertificate, Connection, Proxy, ProxyCredentials, TlsMaterial};
use crate::provider::NotSent;

/// What connections to a provider are made with, as its Secrets and ConfigMaps hold it.
#[derive(Clone, Debug, Default)]
pub(in crate::operator) struct Outfit {
    tls: TlsMaterial,
    proxy: Option<Proxy>,
    /// The resourceVersion of what the authorities are from.
    pub(in crate::operator) bundle: Option<String>,
}

impl Outfit {
    /// The connection with what it is made with.
    pub(in crate::operator) fn on(self, connection: &Connection) -> Connection {
        Connection { tls: self.tls, proxy: self.proxy, ..connection.clone() }
    }
}

/// Reads what connections to a provider are made with.
pub(in crate::operator) async fn read(cluster: &Cluster, namespace: &str, provider: &ProviderSpec) -> Result<Outfit, Unusable> {
    let mut outfit = tls(cluster, namespace, provider).await?;
    let Some(proxy) = provider.proxy() else { return Ok(outfit) };
    let credentials = match &proxy.credentials_secret_ref {
        Some(reference) => Some(proxy_credentials(cluster, namespace, &reference.name).await?),
        None => None,
    };
    outfit.proxy = Some(Proxy { url: proxy.url.clone(), credentials });
    Ok(outfit)
}

async fn proxy_credentials(cluster: &Cluster, namespace: &str, name: &str) -> Result<ProxyCredentials, Unusable> {
    let refuse = |what: String| Unusable::Refused(Reason::ProxyCredentialsInvalid, what);
    let here = |unusable: Unusable| match unusable {
        Unusable::Refused(_, what) => refuse(what),
        Unusable::Unavailable => Unusable::Unavailable,
    };
    let secret = opted_in(cluster, namespace, name).await.map_err(here)?;
    let value = |key: &str| {
        let value = value(&secret, key).map_err(here)?;
        value.ok_or_else(|| refuse(format!("Secret {name} has no key {key}, or it is empty")))
    };
    let (username, password) = (value("username")?, value("password")?);
    if username.reveal().contains(':') {
        return Err(refuse(format!("Secret {name}, key username: holds a colon, which Basic authentication cannot carry")));
    }
    Ok(ProxyCredentials { username, password })
}

async fn tls(cluster: &Cluster, namespace: &str, provider: &ProviderSpec) -> Result<Outfit, Unusable> {
    let mut outfit = Outfit::default();
    let Some(tls) = provider.tls() else { return Ok(outfit) };
    if let Some(reference) = &tls.ca_bundle_ref {
        let (bundle, version) = ca_bundle(cluster, namespace, reference).await?;
        (outfit.tls.ca_bundle, outfit.bundle) = (Some(bundle), version);
    }
    if let Some(reference) = &tls.client_certificate_ref {
        outfit.tls.client_certificate = Some(client_certificate(cluster, namespace, reference).await?);
    }
    Ok(outfit)
}

async fn ca_bundle(cluster: &Cluster, namespace: &str, reference: &CaBundleRef) -> Result<(CaBundle, Option<String>), Unusable> {
    let refuse = |what: String| Unusable::Refused(Reason::CaBundleInvalid, what);
    let place = format!("{:?} {}, key {}", reference.kind, reference.name, reference.key());
    let (pem, version) = match cluster.ca_bundle(namespace, reference).await {
        Ok((Some(pem), version)) => (pem, version),
        Ok((None, _)) | Err(Trouble::Missing) => {
            return Err(refuse(format!("{place} does not exist: create it with the PEM text of the certificate authorities")));
        }
        Err(Trouble::Denied) => return Err(refuse(format!("the API server does not let the operator read {place}"))),
        Err(Trouble::Conflict | Trouble::Unclear) => return Err(Unusable::Unavailable),
    };
    let bundle = CaBundle::parse(&pem).map_err(|why: NotSent| refuse(format!("{place}: {why}")))?;
    Ok((bundle, version))
}

async fn client_certificate(
    cluster: &Cluster,
    namespace: &str,
    reference: &ClientCertificateRef,
) -> Result<ClientCertificate, Unusable> {
    let name = &reference.name;
    let refuse = |what: String| Unusable::Refused(Reason::ClientCertificateInvalid, what);
    let secret = cluster.secret(namespace, name).await.map_err(|trouble| match trouble {
        Trouble::Missing => {
            refuse(format!("Secret {name} does not exist: create it with tls.crt and tls.key, labelled {ROLE_LABEL}=seed"))
        }
        Trouble::Denied => {
            refuse(format!("the API server does not let the operator read Secret {name}: check the operator's permissions"))
        }
        Trouble::Conflict | Trouble::Unclear => Unusable::Unavailable,
    })?;
    if !is_seed(&secret) {
        return Err(refuse(format!("Secret {name} is not opted in: kubectl label secret {name} {ROLE_LABEL}=seed")));
    }
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[][..], |bytes| &bytes.0);
    ClientCertificate::parse(value("tls.crt"), value("tls.key")).map_err(|why| refuse(format!("Secret {name}: {why}")))
}
