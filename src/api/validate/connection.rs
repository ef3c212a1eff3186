//! The rules of how a provider is connected to, once more in code.

use super::{Invalid, check_key, check_name, check_url, require, within};
use crate::api::{ProviderSpec, Proxy, Tls};

/// Longest address of a proxy: a scheme, a host of 253 characters and a port.
const LONGEST_PROXY: usize = 270;

pub(super) fn check(spec: &ProviderSpec) -> Result<(), Invalid> {
    if let Some(settings) = spec.tls() {
        tls(settings)?;
    }
    if let Some(settings) = spec.proxy() {
        proxy(settings)?;
        let what = "needs URLs that begin with https://: the proxy would read the tokens otherwise";
        require(spec.api().urls().iter().all(|url| url.starts_with("https://")), "spec.provider.proxy", what)?;
    }
    let timeouts = spec.timeouts();
    let limits = within(timeouts.connect, 1..=30) && within(timeouts.request, 1..=60);
    require(limits, "spec.provider.timeouts", "connect must be from 1s to 30s and request from 1s to 60s")
}

fn tls(tls: &Tls) -> Result<(), Invalid> {
    let (bundle, certificate) = (tls.ca_bundle_ref.as_ref(), tls.client_certificate_ref.as_ref());
    require(bundle.is_some() || certificate.is_some(), "spec.provider.tls", "must have caBundleRef or clientCertificateRef")?;
    if let Some(bundle) = bundle {
        check_name("spec.provider.tls.caBundleRef.name", &bundle.name)?;
        check_key("spec.provider.tls.caBundleRef.key", bundle.key.as_deref())?;
    }
    certificate.map_or(Ok(()), |certificate| check_name("spec.provider.tls.clientCertificateRef.name", &certificate.name))
}

fn proxy(proxy: &Proxy) -> Result<(), Invalid> {
    let field = "spec.provider.proxy.url";
    check_url(field, &proxy.url, LONGEST_PROXY, false)?;
    let authority = proxy.url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let plain = authority.is_some_and(|authority| !authority.contains('/'));
    require(plain, field, "must be http:// with a host and a port, without user information and path")?;
    let credentials = proxy.credentials_secret_ref.as_ref();
    credentials.map_or(Ok(()), |reference| check_name("spec.provider.proxy.credentialsSecretRef.name", &reference.name))
}
