//! Whom a TLS connection trusts, and how it is made: TLS 1.2 or later, every time verified in full.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::provider::NotSent;

/// Our choice: a bundle is a handful of certificates, and a ConfigMap ends at 1 MiB.
const MOST_BYTES: usize = 64 * 1024;

/// Certificate authorities to trust instead of the system's. Two bundles are equal if their bytes are.
#[derive(Clone)]
pub struct CaBundle {
    digest: [u8; 32],
    roots: Arc<RootCertStore>,
}

impl CaBundle {
    /// Reads a PEM bundle of at most 64 KiB with at least one certificate; each certificate in it must be readable.
    ///
    /// Text around the certificates and other PEM sections are passed over (RFC 7468 section 2). Whether an authority has
    /// expired is not asked: a trust anchor is a name and a key (RFC 5280 section 6.1.1).
    pub fn parse(pem: &[u8]) -> Result<Self, NotSent> {
        if pem.len() > MOST_BYTES {
            return Err(NotSent::CaBundleInvalid);
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| NotSent::CaBundleInvalid)?;
            roots.add(certificate).map_err(|_| NotSent::CaBundleInvalid)?;
        }
        let digest = digest(&SHA256, pem).as_ref().try_into().map_err(|_| NotSent::CaBundleInvalid)?;
        if roots.is_empty() { Err(NotSent::CaBundleInvalid) } else { Ok(Self { digest, roots: Arc::new(roots) }) }
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }
}

impl PartialEq for CaBundle {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for CaBundle {}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} certificates)", self.roots.len())
    }
}

/// The certificate authorities of the system (or of `SSL_CERT_FILE` and `SSL_CERT_DIR`); none in an image without them.
pub(super) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, errors = found.errors.len(), "loaded the system's certificate authorities");
    roots
}

/// The TLS settings of every connection.
///
/// Sessions are never resumed: a resumed session skips the check of the certificate (RFC 8446 section 2.2). Keys are never
/// logged, whatever `SSLKEYLOGFILE` says. HTTP/1.1 is the one protocol offered (RFC 7301), and no early data is sent.
pub(super) fn config(roots: Arc<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    config.key_log = Arc::new(rustls::NoKeyLog);
    Ok(config)
}
