//! TLS: whom the transport believes.

use refreshable_token_operator::operator::transport::{CaBundle, ClientCertificate, UnusableCertificate};
use refreshable_token_operator::provider::NotSent;
use rustls::HandshakeKind;

use super::server::Server;
use super::tls::{Authority, Handshake, accept, serve};
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn the_right_authority_is_believed_and_each_handshake_is_a_full_one() {
    let authority = Authority::new();
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    let (server, mut told) = serve(authority.server("127.0.0.1", 2090, both), OK).await;
    let trusting = authority.trusted();
    let transport = transport();
    for _ in 0..3 {
        assert_eq!(answered(transport.send(&request(&server.https()), &trusting).await).body.0, b"ok");
    }
    assert_eq!(server.requests(), 3);
    assert_eq!(transport.connect(&server.https(), &trusting).await, Ok(()));
    for _ in 0..4 {
        let kind = Some(HandshakeKind::Full);
        let seen = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.unwrap();
        assert_eq!(seen, Some(Handshake { protocol: Some(b"http/1.1".to_vec()), kind }));
    }
    assert_eq!((server.connections().await, server.requests()), (4, 3), "the preflight is no request");
}

#[tokio::test]
async fn what_one_bundle_trusts_no_other_does() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, _told) = serve(authority.server("127.0.0.1", 2090, &[]), OK).await;
    let transport = transport();
    for _ in 0..2 {
        answered(transport.send(&request(&server.https()), &authority.trusted()).await);
        let distrusted = transport.send(&request(&server.https()), &other.trusted()).await;
        assert_eq!(distrusted, Delivery::NotSent(NotSent::TlsRejected));
    }
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_name_is_verified_as_the_url_writes_it() {
    let authority = Authority::new();
    let (server, _told) = serve(authority.server("localhost", 2090, &[]), OK).await;
    let trusting = authority.trusted();
    let by_name = format!("https://localhost:{}/", server.address.port());
    assert_eq!(transport().connect(&by_name, &trusting).await, Ok(()));
    answered(transport().send(&request(&by_name), &trusting).await);
    assert_eq!(transport().connect(&server.https(), &trusting).await, Err(NotSent::TlsRejected));
}

#[tokio::test]
async fn what_cannot_be_verified_gets_no_byte_of_the_request() {
    let (authority, other) = (Authority::new(), Authority::new());
    let h2: &[&[u8]] = &[b"h2"];
    for (case, acceptor, bundle) in [
        ("wrong authority", authority.server("127.0.0.1", 2090, &[]), Some(other.bundle())),
        ("the system's authorities", authority.server("127.0.0.1", 2090, &[]), None),
        ("wrong address", authority.server("127.0.0.2", 2090, &[]), Some(authority.bundle())),
        ("wrong name", authority.server("art.example.com", 2090, &[]), Some(authority.bundle())),
        ("expired", authority.server("127.0.0.1", 2021, &[]), Some(authority.bundle())),
        ("HTTP/2 only", authority.server("127.0.0.1", 2090, h2), Some(authority.bundle())),
    ] {
        let (server, _told) = serve(acceptor, OK).await;
        let given = bundle.is_some();
        let trusting = Connection { tls: TlsMaterial { ca_bundle: bundle, client_certificate: None }, ..connection() };
        let sent = transport().send(&request(&server.https()), &trusting).await;
        let met = transport().connect(&server.https(), &trusting).await;
        let Delivery::NotSent(why) = sent else { panic!("{case}: {sent:?}") };
        assert_eq!(met, Err(why), "{case}");
        // A machine without authorities of its own does not get as far as a connection.
        assert!(why == NotSent::TlsRejected || (!given && why == NotSent::CaBundleInvalid), "{case}: {why:?}");
        assert_eq!(server.text(), "", "{case}");
        assert!(server.connections().await <= 2, "{case}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_byte_of_the_request() {
    let authority = Authority::new();
    let trusting = authority.trusted();
    let server = Server::start(|mut peer| async move {
        peer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        peer.rest().await;
    })
    .await;
    assert_eq!(transport().send(&request(&server.https()), &trusting).await, Delivery::NotSent(NotSent::TlsRejected));
    assert_eq!(transport().connect(&server.https(), &trusting).await, Err(NotSent::TlsRejected));
    assert!(!server.text().contains("canary") && server.connections().await == 2);
}

#[tokio::test]
async fn a_handshake_that_breaks_or_stalls_is_not_sent() {
    let authority = Authority::new();
    let trusting = authority.trusted();
    let ends = Server::start(|mut peer| async move {
        use tokio::io::AsyncReadExt;
        let _ = peer.io.read_u8().await;
    })
    .await;
    assert_eq!(transport().send(&request(&ends.https()), &trusting).await, Delivery::NotSent(NotSent::NotConnected));
    assert_eq!(transport().connect(&ends.https(), &trusting).await, Err(NotSent::NotConnected));
    assert_eq!(ends.connections().await, 2);

    let stalls = Server::start(|mut peer| async move { peer.rest().await }).await;
    let brief = Connection { connect_timeout: Duration::from_millis(400), ..trusting.clone() };
    let hasty = Connection { request_timeout: Duration::from_millis(400), ..trusting };
    for limits in [&brief, &hasty] {
        assert_eq!(transport().send(&request(&stalls.https()), limits).await, Delivery::NotSent(NotSent::ConnectTimeout));
        assert_eq!(transport().connect(&stalls.https(), limits).await, Err(NotSent::ConnectTimeout));
    }
    assert_eq!(stalls.connections().await, 4);
}

#[test]
fn bundles_are_read_strictly_and_compared_by_content() {
    let (one, two) = (Authority::new(), Authority::new());
    let parse = |text: &str| CaBundle::parse(text.as_bytes());
    assert_eq!(parse(one.pem()), parse(one.pem()));
    assert_ne!(parse(one.pem()), parse(two.pem()));
    let both = format!("# our authorities\n{}\n{}", one.pem(), two.pem());
    assert_eq!(format!("{:?}", parse(&both).unwrap()), "CaBundle(2 certificates)");
    let cut = one.pem().get(..one.pem().len() / 2).unwrap().to_owned();
    let padded = format!("{}{}", one.pem(), "\n".repeat(64 * 1024));
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bad in
        ["", "not PEM", "\0\0", key, empty, &cut, &padded, &format!("{}{cut}", two.pem()), &format!("{}{empty}", two.pem())]
    {
        assert_eq!(parse(bad), Err(NotSent::CaBundleInvalid), "{bad:.60}");
    }
}

#[tokio::test]
async fn a_server_that_asks_is_shown_the_certificate_and_no_other_is_sent_the_request() {
    let (authority, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (server, _told) = serve(authority.demanding(version, &clients), OK).await;
        let transport = transport();
        let shown = authority.trusted_with(Some(clients.client(2090)));
        assert_eq!(answered(transport.send(&request(&server.https()), &shown).await).body.0, b"ok", "{version:?}");
        assert_eq!(transport.connect(&server.https(), &shown).await, Ok(()), "{version:?}");
        for (case, certificate) in
            [("none", None), ("of another authority", Some(other.client(2090))), ("expired", Some(clients.client(2021)))]
        {
            let connection = authority.trusted_with(certificate.clone());
            let met = transport.connect(&server.https(), &connection).await;
            assert_eq!(met, Err(NotSent::ClientCertificateRejected), "{version:?}, {case}");
            let sent = transport.send(&request(&server.https()), &connection).await;
            // Who shows none is not asked for one on a connection before: in TLS 1.3 the refusal can be lost with the request.
            let lost = certificate.is_none() && matches!(sent, Delivery::Lost { .. });
            assert!(lost || sent == Delivery::NotSent(NotSent::ClientCertificateRejected), "{version:?}, {case}: {sent:?}");
        }
        assert_eq!(server.requests(), 1, "{version:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_called_all_the_same() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (server, _told) = serve(authority.server("127.0.0.1", 2090, &[]), OK).await;
    let shown = authority.trusted_with(Some(clients.client(2090)));
    assert_eq!(answered(transport().send(&request(&server.https()), &shown).await).body.0, b"ok");
    assert_eq!(transport().connect(&server.https(), &shown).await, Ok(()));
}

#[tokio::test]
async fn a_connection_that_ends_after_the_request_proves_nothing_beside_a_certificate_either() {
    let authority = Authority::new();
    let acceptor = authority.server("127.0.0.1", 2090, &[]);
    let server = Server::start(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            let Some(mut peer) = accept(peer, acceptor).await else { return };
            peer.request().await;
            drop(peer);
        }
    })
    .await;
    let sent = transport().send(&request(&server.https()), &authority.trusted_with(Some(authority.client(2090)))).await;
    assert!(matches!(sent, Delivery::Lost { .. }), "{sent:?}");
}

#[test]
fn client_certificates_are_read_strictly_and_show_nothing() {
    let authority = Authority::new();
    let (certificate, key) = authority.certificate("operator.example.com", 2090);
    let (pem, key) = (certificate.pem(), key.serialize_pem());
    let parse = |chain: &str, key: &str| ClientCertificate::parse(chain.as_bytes(), key.as_bytes());
    let good = parse(&pem, &key).unwrap();
    assert_eq!(format!("{good:?}"), "ClientCertificate");
    assert_eq!(good, parse(&pem, &key).unwrap());
    let chain = format!("{pem}{}", authority.pem());
    assert_ne!(good, parse(&chain, &key).unwrap());
    let (_, other) = authority.certificate("operator.example.com", 2090);
    assert_eq!(parse(&pem, &other.serialize_pem()), Err(UnusableCertificate::Mismatch));
    let cut = &pem[..pem.len() / 2];
    let padded = format!("{pem}{}", "\n".repeat(64 * 1024));
    for bad in ["", "not PEM", cut, &key, &padded, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert_eq!(parse(bad, &key), Err(UnusableCertificate::Certificate), "{bad:.60}");
    }
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for bad in ["", "not PEM", &pem, encrypted, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert_eq!(parse(&pem, bad), Err(UnusableCertificate::Key), "{bad:.60}");
    }
}
