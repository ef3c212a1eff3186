//! A certificate authority and servers with its certificates.

use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use refreshable_token_operator::operator::transport::{CaBundle, ClientCertificate, Connection, TlsMaterial};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection;
use crate::server::{Peer, Server};

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a server saw of a finished handshake.
#[derive(PartialEq, Debug)]
pub(crate) struct Handshake {
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) kind: Option<rustls::HandshakeKind>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Trusts this authority and no other.
    pub(crate) fn trusted(&self) -> Connection {
        self.trusted_with(None)
    }

    /// The same, with a certificate to show.
    pub(crate) fn trusted_with(&self, client_certificate: Option<ClientCertificate>) -> Connection {
        Connection { tls: TlsMaterial { ca_bundle: Some(self.bundle()), client_certificate }, ..connection() }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn bundle(&self) -> CaBundle {
        CaBundle::parse(self.pem.as_bytes()).unwrap()
    }

    /// A certificate for `name` that ends with the year, and its key.
    pub(crate) fn certificate(&self, name: &str, last_year: i32) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What a client shows.
    pub(crate) fn client(&self, last_year: i32) -> ClientCertificate {
        let (certificate, key) = self.certificate("operator.example.com", last_year);
        ClientCertificate::parse(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// A server certificate for `name` that ends with the year.
    pub(crate) fn server(&self, name: &str, last_year: i32, protocols: &[&[u8]]) -> TlsAcceptor {
        self.accept(name, last_year, protocols, &[&rustls::version::TLS13, &rustls::version::TLS12], None)
    }

    /// A server that speaks this version and wants to see a certificate of `clients`.
    pub(crate) fn demanding(&self, version: &'static SupportedProtocolVersion, clients: &Self) -> TlsAcceptor {
        self.accept("127.0.0.1", 2090, &[], &[version], Some(clients))
    }

    fn accept(
        &self,
        name: &str,
        last_year: i32,
        protocols: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Self>,
    ) -> TlsAcceptor {
        let (certificate, key) = self.certificate(name, last_year);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.with_client_cert_verifier(verifier)
            }
        };
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A TLS server that answers `answer` and tells of each handshake that succeeded.
pub(crate) async fn serve(acceptor: TlsAcceptor, answer: &'static str) -> (Server, mpsc::UnboundedReceiver<Handshake>) {
    let (tell, told) = mpsc::unbounded_channel();
    let server = Server::start(move |peer| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let Some(mut peer) = accept(peer, acceptor).await else { return };
            let (_, session) = peer.io.get_ref();
            let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
            tell.send(Handshake { protocol, kind: session.handshake_kind() }).unwrap();
            peer.request().await;
            peer.write(answer.as_bytes()).await;
            peer.rest().await;
        }
    })
    .await;
    (server, told)
}

pub(crate) async fn accept(peer: Peer<TcpStream>, acceptor: TlsAcceptor) -> Option<Peer<TlsStream<TcpStream>>> {
    let mut stream = None;
    let peer = peer.over(|io| {
        stream = Some(io);
    });
    let session = acceptor.accept(stream?).await.ok()?;
    Some(peer.over(|()| session))
}
