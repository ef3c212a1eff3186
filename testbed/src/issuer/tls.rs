//! A certificate authority of one's own and a certificate for localhost, made anew for each issuer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// What is made for an issuer that serves TLS; all in PEM.
pub(super) struct Made {
    pub(super) acceptor: TlsAcceptor,
    /// The authority that a client must trust.
    pub(super) authority: String,
    /// A certificate and its key with which a client is let in, where one is asked for.
    pub(super) client: Option<(String, String)>,
}

/// The certificate is for localhost, the address, and a further name. `mutual`: clients are asked for one of the same authority.
pub(super) fn make(address: IpAddr, host: Option<&str>, mutual: bool) -> anyhow::Result<Made> {
    let authority_key = KeyPair::generate().context("generate the key of the authority")?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "rtok-issuer simulator CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = authority.self_signed(&authority_key).context("sign the authority")?;
    let signer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate().context("generate the key of the server")?;
    let mut names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
    if !address.is_unspecified() && !address.is_loopback() {
        names.push(address.to_string());
    }
    names.extend(host.map(String::from));
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&key, &signer).context("sign the certificate of the server")?;

    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?;
    let (config, client) = if mutual {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.der().clone()).context("trust the authority")?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        (config.with_client_cert_verifier(verifier.context("verify clients")?), Some(client(&signer)?))
    } else {
        (config.with_no_client_auth(), None)
    };
    let config = config.with_single_cert(vec![leaf.der().clone()], private).context("use the certificate of the server")?;
    Ok(Made { acceptor: TlsAcceptor::from(Arc::new(config)), authority: root.pem(), client })
}

fn client(signer: &Issuer<'_, KeyPair>) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("generate the key of the client")?;
    let mut leaf = CertificateParams::new(vec!["client.example.com".to_owned()])?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = leaf.signed_by(&key, signer).context("sign the certificate of the client")?;
    Ok((leaf.pem(), key.serialize_pem()))
}
