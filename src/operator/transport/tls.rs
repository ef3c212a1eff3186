//! Whom a TLS connection trusts, and how it is made: TLS 1.2 or later, every time verified in full.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::provider::NotSent;

/// Our choice: a bundle or a chain is a handful of certificates, and a ConfigMap ends at 1 MiB.
const MOST_BYTES: usize = 64 * 1024;

/// What the Secrets and ConfigMaps of a provider say about TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsMaterial {
    /// The certificate authorities to trust; none: the system's.
    pub ca_bundle: Option<CaBundle>,
    /// What the client shows to a server that asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
}

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

/// A client's certificate, its chain and its private key (mutual TLS, RFC 8446 section 4.4.2). Two are equal if their bytes are.
#[derive(Clone)]
pub struct ClientCertificate {
    digest: [u8; 32],
    shown: Arc<SingleCertAndKey>,
}

/// Why a client certificate cannot be used. Holds nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum UnusableCertificate {
    /// No certificate, or one that cannot be read.
    #[error("tls.crt holds no certificate in PEM form, or more than 64 KiB")]
    Certificate,
    /// No private key, or one of a kind that cannot sign.
    #[error("tls.key holds no private key in PEM form that can be used: RSA, ECDSA on P-256 or P-384, or Ed25519, not encrypted")]
    Key,
    /// The key belongs to another certificate.
    #[error("tls.key is not the private key of the first certificate in tls.crt")]
    Mismatch,
}

impl ClientCertificate {
    /// Reads a PEM chain, the client's own certificate first (RFC 8446 section 4.4.2), and its private key, each at most 64 KiB.
    pub fn parse(chain: &[u8], key: &[u8]) -> Result<Self, UnusableCertificate> {
        let fits = |pem: &[u8]| (1..=MOST_BYTES).contains(&pem.len());
        if !fits(chain) {
            return Err(UnusableCertificate::Certificate);
        }
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| UnusableCertificate::Certificate)?;
        if certificates.is_empty() {
            return Err(UnusableCertificate::Certificate);
        }
        let key = Some(key).filter(|key| fits(key)).ok_or(UnusableCertificate::Key)?;
        let private = PrivateKeyDer::from_pem_slice(key).map_err(|_| UnusableCertificate::Key)?;
        let signing = rustls::crypto::ring::sign::any_supported_type(&private).map_err(|_| UnusableCertificate::Key)?;
        let certified = CertifiedKey::new(certificates, signing);
        match certified.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(UnusableCertificate::Mismatch),
            Err(_) => return Err(UnusableCertificate::Certificate),
        }
        let mut all = ring::digest::Context::new(&SHA256);
        all.update(&chain.len().to_be_bytes());
        all.update(chain);
        all.update(key);
        let digest = all.finish().as_ref().try_into().map_err(|_| UnusableCertificate::Key)?;
        Ok(Self { digest, shown: Arc::new(SingleCertAndKey::from(certified)) })
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for ClientCertificate {}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
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
pub(super) fn config(roots: Arc<RootCertStore>, client: Option<&ClientCertificate>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots);
    let mut config = match client {
        Some(client) => {
            let shown: Arc<dyn ResolvesClientCert> = client.shown.clone();
            config.with_client_cert_resolver(shown)
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    config.key_log = Arc::new(rustls::NoKeyLog);
    Ok(config)
}
