//! Token APIs behind a proxy: TLS is with the token API, and whatever happens before the tunnel stands proves that nothing was sent.

use std::sync::Arc;

use refreshable_token_operator::operator::transport::{Proxy, ProxyCredentials};
use refreshable_token_operator::provider::{Lost, NotSent};
use testbed::connect_proxy::{ConnectProxy, Manner};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::server::Server;
use super::tls::{Authority, accept, serve};
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nx-id: a\r\ncontent-length: 2\r\n\r\nok";

/// The connection with this proxy in between.
fn behind(url: &str, connection: Connection) -> Connection {
    Connection { proxy: Some(Proxy { url: url.to_owned(), credentials: None }), ..connection }
}

fn with_credentials(connection: Connection, username: &str, password: &str) -> Connection {
    let credentials = ProxyCredentials { username: SecretText::new(username), password: SecretText::new(password) };
    let proxy = connection.proxy.map(|proxy| Proxy { credentials: Some(credentials), ..proxy });
    Connection { proxy, ..connection }
}

async fn open() -> ConnectProxy {
    ConnectProxy::start(Manner::Open, None).await.unwrap()
}

#[tokio::test]
async fn a_request_goes_through_the_tunnel_as_it_goes_without_one() {
    let authority = Authority::new();
    let (server, _told) = serve(authority.server("127.0.0.1", 2090, &[]), OK).await;
    let proxy = open().await;
    let trusting = authority.trusted();
    answered(transport().send(&request(&server.https()), &trusting).await);
    let direct = server.text();
    let reply = answered(transport().send(&request(&server.https()), &behind(&proxy.url(), trusting.clone())).await);
    assert_eq!((reply.status, reply.header("x-id"), reply.body.0.as_slice()), (200, Some("a"), b"ok".as_slice()));
    let sorted = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<_> = head.lines().map(str::to_ascii_lowercase).collect();
        lines.sort();
        (lines, body.to_owned())
    };
    let through = server.text()[direct.len()..].to_owned();
    assert_eq!(sorted(&through), sorted(&direct), "another request through the tunnel");
    let asked = proxy.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].line.as_str(), asked[0].credentials), (format!("CONNECT {} HTTP/1.1", server.address).as_str(), false));
    assert_eq!(transport().connect(&server.https(), &behind(&proxy.url(), trusting)).await, Ok(()));
    assert_eq!((server.requests(), proxy.asked().len()), (2, 2), "the preflight opens a tunnel and is no request");
}

#[tokio::test]
async fn the_proxy_resolves_the_name_and_the_certificate_is_that_of_the_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    // Nobody but the proxy knows this name.
    let url = "https://token-api.invalid:8443/path";
    let (server, _told) = serve(authority.server("token-api.invalid", 2090, &[]), OK).await;
    let proxy = ConnectProxy::start(Manner::Open, Some(server.address)).await.unwrap();
    let way = behind(&proxy.url(), authority.trusted());
    assert_eq!(answered(transport().send(&request(url), &way).await).body.0, b"ok");
    assert_eq!(proxy.asked()[0].line, "CONNECT token-api.invalid:8443 HTTP/1.1");
    assert!(server.text().to_ascii_lowercase().contains("host: token-api.invalid:8443\r\n"), "{}", server.text());

    // A proxy that leads elsewhere meets TLS.
    for (case, acceptor) in [
        ("another name", authority.server("127.0.0.1", 2090, &[])),
        ("another authority", other.server("token-api.invalid", 2090, &[])),
    ] {
        let (elsewhere, _told) = serve(acceptor, OK).await;
        let proxy = ConnectProxy::start(Manner::Open, Some(elsewhere.address)).await.unwrap();
        let way = behind(&proxy.url(), authority.trusted());
        assert_eq!(transport().send(&request(url), &way).await, Delivery::NotSent(NotSent::TlsRejected), "{case}");
        assert_eq!(transport().connect(url, &way).await, Err(NotSent::TlsRejected), "{case}");
        assert_eq!(elsewhere.text(), "", "{case}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_through_the_tunnel() {
    let (authority, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (server, _told) = serve(authority.demanding(version, &clients), OK).await;
        let proxy = open().await;
        let shown = behind(&proxy.url(), authority.trusted_with(Some(clients.client(2090))));
        assert_eq!(answered(transport().send(&request(&server.https()), &shown).await).body.0, b"ok", "{version:?}");
        let wrong = behind(&proxy.url(), authority.trusted_with(Some(other.client(2090))));
        let sent = transport().send(&request(&server.https()), &wrong).await;
        assert_eq!(sent, Delivery::NotSent(NotSent::ClientCertificateRejected), "{version:?}");
        assert_eq!(server.requests(), 1, "{version:?}");
    }
}

#[tokio::test]
async fn whoever_opens_no_tunnel_has_sent_nothing() {
    let authority = Authority::new();
    let (server, _told) = serve(authority.server("127.0.0.1", 2090, &[]), OK).await;
    let proxy = open().await;
    let way = behind(&proxy.url(), authority.trusted());
    let demand = Manner::Demand { username: "operator".to_owned(), password: "right".to_owned() };
    for (manner, why) in [
        (Manner::Refuse(403), NotSent::ProxyRefused),
        (Manner::Refuse(502), NotSent::ProxyRefused),
        (Manner::Refuse(302), NotSent::ProxyRefused),
        (Manner::Close, NotSent::ProxyRefused),
        (demand.clone(), NotSent::ProxyCredentialsRejected),
    ] {
        proxy.behave(manner.clone());
        let before = proxy.asked().len();
        assert_eq!(transport().send(&request(&server.https()), &way).await, Delivery::NotSent(why), "{manner:?}");
        assert_eq!(transport().connect(&server.https(), &way).await, Err(why), "{manner:?}");
        assert_eq!(proxy.asked().len(), before + 2, "asked once for each call: {manner:?}");
    }
    let wrong = with_credentials(way.clone(), "operator", "wrong");
    let told = transport().send(&request(&server.https()), &wrong).await;
    assert_eq!(told, Delivery::NotSent(NotSent::ProxyCredentialsRejected));
    assert_eq!(server.connections().await, 0);
    let right = with_credentials(way, "operator", "right");
    answered(transport().send(&request(&server.https()), &right).await);
    assert!(!server.text().to_ascii_lowercase().contains("proxy"), "{}", server.text());
}

#[tokio::test]
async fn a_proxy_that_hangs_ends_with_the_connect_limit() {
    let authority = Authority::new();
    let proxy = ConnectProxy::start(Manner::Hang, None).await.unwrap();
    let trusting = behind(&proxy.url(), authority.trusted());
    let brief = Connection { connect_timeout: Duration::from_millis(400), ..trusting.clone() };
    let hasty = Connection { request_timeout: Duration::from_millis(400), ..trusting };
    for limits in [&brief, &hasty] {
        let url = "https://127.0.0.1:9/";
        assert_eq!(transport().send(&request(url), limits).await, Delivery::NotSent(NotSent::ConnectTimeout));
        assert_eq!(transport().connect(url, limits).await, Err(NotSent::ConnectTimeout));
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_has_its_own_words() {
    let authority = Authority::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let way = behind(&format!("http://{free}"), authority.trusted());
    let told = transport().send(&request("https://127.0.0.1:9/"), &way).await;
    assert_eq!(told, Delivery::NotSent(NotSent::ProxyUnreachable));
    assert_eq!(transport().connect("https://127.0.0.1:9/", &way).await, Err(NotSent::ProxyUnreachable));
}

#[tokio::test]
async fn an_answer_that_is_cut_after_the_request_is_lost() {
    let authority = Authority::new();
    let proxy = open().await;
    for partial in [false, true] {
        let (acceptor, asked) = (authority.server("127.0.0.1", 2090, &[]), Arc::new(Notify::new()));
        let tell = Arc::clone(&asked);
        let server = Server::start(move |peer| {
            let (acceptor, tell) = (acceptor.clone(), Arc::clone(&tell));
            async move {
                let Some(mut peer) = accept(peer, acceptor).await else { return };
                peer.request().await;
                if partial {
                    peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await;
                    // What was written has to be through the proxy before it is cut.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                tell.notify_one();
                peer.rest().await;
            }
        })
        .await;
        let cut = async {
            asked.notified().await;
            proxy.cut();
        };
        let (transport, request) = (transport(), request(&server.https()));
        let way = behind(&proxy.url(), authority.trusted());
        let (told, ()) = tokio::join!(transport.send(&request, &way), cut);
        let Delivery::Lost { why, partial: kept } = told else { panic!("not lost: {told:?}") };
        assert_eq!((why, kept.map(|reply| reply.body.0)), (Lost::ConnectionEnded, partial.then(|| b"part".to_vec())));
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn no_answer_through_the_tunnel_in_time_is_lost() {
    let authority = Authority::new();
    let acceptor = authority.server("127.0.0.1", 2090, &[]);
    let server = Server::start(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            let Some(mut peer) = accept(peer, acceptor).await else { return };
            peer.request().await;
            peer.rest().await;
        }
    })
    .await;
    let proxy = open().await;
    let slow = Connection { request_timeout: Duration::from_millis(1500), ..behind(&proxy.url(), authority.trusted()) };
    let told = transport().send(&request(&server.https()), &slow).await;
    assert_eq!(told, Delivery::Lost { why: Lost::Timeout, partial: None });
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn an_answer_through_the_tunnel_has_the_same_limits() {
    let authority = Authority::new();
    let proxy = open().await;
    let fields = "x-line: y\r\n".repeat(900);
    let odd = format!("HTTP/1.1 200 OK\r\nbad header\r\n{fields}content-length : 2\r\n\r\nok");
    let (server, _told) = serve(authority.server("127.0.0.1", 2090, &[]), Box::leak(odd.into_boxed_str())).await;
    let way = behind(&proxy.url(), authority.trusted());
    assert_eq!(answered(transport().send(&request(&server.https()), &way).await).body.0, b"ok");
    let large = format!("HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok", "x-line: y\r\n".repeat(100_000));
    let (server, _told) = serve(authority.server("127.0.0.1", 2090, &[]), Box::leak(large.into_boxed_str())).await;
    let told = transport().send(&request(&server.https()), &way).await;
    assert_eq!(told, Delivery::Lost { why: Lost::TooLarge, partial: None });
}

#[tokio::test]
async fn what_the_policy_refuses_no_proxy_is_asked_for() {
    let authority = Authority::new();
    let proxy = open().await;
    let way = behind(&proxy.url(), authority.trusted());
    // The rules allow 127.0.0.0/8 in any case; what no rule allows is refused whoever resolves it.
    for url in [
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://kubernetes.default.svc/",
        "https://metadata.google.internal/",
        "https://single/",
        "https://0x7f.1/",
        "http://127.0.0.1:9/",
        "http://localhost:9/",
    ] {
        assert_eq!(transport().send(&request(url), &way).await, Delivery::NotSent(NotSent::EndpointNotAllowed), "{url}");
        assert_eq!(transport().connect(url, &way).await, Err(NotSent::EndpointNotAllowed), "{url}");
    }
    assert_eq!(proxy.asked(), []);
    let strict = Transport::new(&EndpointPolicy::default());
    let own = proxy.url();
    let private = own.replace("127.0.0.1", "10.0.0.1");
    let odd = own.replace("127.0.0.1", "2130706433");
    for refused in [own.as_str(), &private, &odd, "http://169.254.169.254:80", "http://proxy.svc:3128", "http://proxy:3128"] {
        let way = behind(refused, authority.trusted());
        let told = strict.send(&request("https://art.example.com/"), &way).await;
        assert_eq!(told, Delivery::NotSent(NotSent::ProxyNotAllowed), "{refused}");
        assert_eq!(strict.connect("https://art.example.com/", &way).await, Err(NotSent::ProxyNotAllowed), "{refused}");
    }
    assert_eq!(proxy.asked(), []);
}
