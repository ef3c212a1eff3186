//! What needs a resolver of its own or a look inside: rebinding, missing authorities, the store of clients.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::provider::Body;
use crate::token::SecretText;

pub(super) const RULES: &str = "rules:\n- hosts: [art.example.com]\n  addresses: [127.0.0.1/32]\n  schemes: [http]\n";

pub(super) fn connection() -> Connection {
    let (connect_timeout, request_timeout) = (Duration::from_secs(2), Duration::from_secs(4));
    Connection { reach: Reach::Namespace, tls: TlsMaterial::default(), proxy: None, connect_timeout, request_timeout }
}

pub(super) fn post(url: &str) -> TokenRequest {
    let body = Body { content_type: "text/plain", content: SecretText::new("token") };
    TokenRequest {
        method: crate::provider::Method::Post,
        url: url.to_owned(),
        headers: Vec::new(),
        body: Some(body),
        assertion: None,
    }
}

/// A resolver that gives each answer once, in order, and counts.
fn script(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
    let parse = |ip: &&str| ip.parse::<IpAddr>().unwrap();
    let answers: VecDeque<Vec<IpAddr>> = answers.iter().map(|ips| ips.iter().map(parse).collect()).collect();
    let (answers, asked) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let next = lock(&answers).pop_front();
        async move { next.ok_or_else(|| io::Error::other("no such host")) }.boxed()
    });
    (lookup, asked)
}

#[expect(clippy::needless_pass_by_value, reason = "each test makes it where it calls this")]
fn transport(rules: &str, lookup: Lookup) -> Transport {
    Transport::with(&EndpointPolicy::from_yaml(rules).unwrap(), &lookup, RootCertStore::empty)
}

/// Two servers on the same port of 127.0.0.1 (allowed) and 127.0.0.2 (not); each answers 200 and counts.
async fn two_servers() -> (u16, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = good.local_addr().unwrap().port();
    let bad = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let serve = |listener: TcpListener| {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                seen.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        });
        count
    };
    (port, serve(good), serve(bad))
}

#[tokio::test]
async fn a_name_that_moves_to_a_refused_address_is_not_called() {
    let (port, good, bad) = two_servers().await;
    let (lookup, asked) = script(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2"]]);
    let transport = transport(RULES, lookup);
    let url = format!("http://art.example.com:{port}/");
    assert_eq!(transport.connect(&url, &connection()).await, Ok(()));
    assert_eq!(transport.send(&post(&url), &connection()).await, Delivery::NotSent(NotSent::EndpointNotAllowed));
    assert!(matches!(transport.send(&post(&url), &connection()).await, Delivery::Answered(_)));
    assert_eq!(transport.connect(&url, &connection()).await, Err(NotSent::EndpointNotAllowed));
    assert_eq!(asked.load(Ordering::SeqCst), 4, "one look-up for each use");
    assert_eq!((good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn one_refused_address_among_several_refuses_the_name() {
    let (port, good, bad) = two_servers().await;
    for mixed in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "169.254.169.254"]] {
        let (lookup, _) = script(&[&mixed, &mixed]);
        let transport = transport(RULES, lookup);
        let url = format!("http://art.example.com:{port}/");
        assert_eq!(transport.send(&post(&url), &connection()).await, Delivery::NotSent(NotSent::EndpointNotAllowed));
        assert_eq!(transport.connect(&url, &connection()).await, Err(NotSent::EndpointNotAllowed));
    }
    assert_eq!((good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst)), (0, 0));
}

/// The look-up answers for the proxy only: the name of the token API is the proxy's matter.
#[tokio::test]
async fn a_proxy_whose_name_moves_to_a_refused_address_is_not_asked() {
    let (port, good, bad) = two_servers().await;
    let (lookup, asked) = script(&[&["127.0.0.2"], &["127.0.0.1", "127.0.0.2"], &["169.254.169.254"], &["127.0.0.1"]]);
    let policy = EndpointPolicy::from_yaml(RULES).unwrap();
    let transport = Transport::with(&policy, &lookup, || {
        let mut roots = RootCertStore::empty();
        roots.add(rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap().cert.der().clone()).unwrap();
        roots
    });
    let proxy = Some(Proxy { url: format!("http://art.example.com:{port}"), credentials: None });
    let behind = Connection { proxy, ..connection() };
    let url = "https://idp.example.com/";
    for _ in 0..3 {
        assert_eq!(transport.send(&post(url), &behind).await, Delivery::NotSent(NotSent::ProxyNotAllowed));
    }
    assert_eq!((good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst)), (0, 0));
    // What the server of the test says is no plain yes: it has a body.
    assert_eq!(transport.send(&post(url), &behind).await, Delivery::NotSent(NotSent::ProxyRefused));
    assert_eq!((asked.load(Ordering::SeqCst), good.load(Ordering::SeqCst)), (4, 1));
    // And then it has no address any more.
    assert_eq!(transport.send(&post(url), &behind).await, Delivery::NotSent(NotSent::ProxyUnreachable));
}

#[tokio::test]
async fn a_name_without_an_address_is_not_resolved() {
    let (lookup, _) = script(&[&[], &[]]);
    let transport = transport(RULES, lookup);
    for _ in ["empty answer", "error"] {
        let url = "http://art.example.com/";
        assert_eq!(transport.send(&post(url), &connection()).await, Delivery::NotSent(NotSent::NameNotResolved));
        assert_eq!(transport.connect(url, &connection()).await, Err(NotSent::NameNotResolved));
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_ends_with_the_connect_limit() {
    let transport = transport(RULES, Arc::new(|_| std::future::pending().boxed()));
    let url = "http://art.example.com/";
    assert_eq!(transport.send(&post(url), &connection()).await, Delivery::NotSent(NotSent::ConnectTimeout));
    assert_eq!(transport.connect(url, &connection()).await, Err(NotSent::ConnectTimeout));
    // Also where the request may take less time than the connection.
    let hasty = Connection { request_timeout: Duration::from_secs(1), ..connection() };
    assert_eq!(transport.send(&post(url), &hasty).await, Delivery::NotSent(NotSent::ConnectTimeout));
}

#[tokio::test]
async fn an_image_without_authorities_says_so_before_anything_is_resolved() {
    let (lookup, asked) = script(&[]);
    let transport = transport("rules: []", lookup);
    let url = "https://art.example.com/";
    assert_eq!(transport.send(&post(url), &connection()).await, Delivery::NotSent(NotSent::CaBundleInvalid));
    assert_eq!(transport.connect(url, &connection()).await, Err(NotSent::CaBundleInvalid));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_header_field_that_cannot_be_sent_is_not_sent() {
    let (lookup, asked) = script(&[]);
    let mut request = post("http://art.example.com/");
    request.headers.push(("authorization".into(), SecretText::new("Bearer a\r\nx: y")));
    let told = transport(RULES, lookup).send(&request, &connection()).await;
    assert_eq!((told, asked.load(Ordering::SeqCst)), (Delivery::NotSent(NotSent::NotConnected), 0));
}

#[test]
fn clients_are_kept_by_connection_and_the_oldest_goes_first() {
    let authority = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap().cert.pem();
    let ca_bundle = Some(CaBundle::parse(authority.as_bytes()).unwrap());
    let (lookup, _) = script(&[]);
    let loaded = transport("rules: []", lookup);
    let url = Url::parse("https://art.example.com").unwrap();
    let of = |millis| Connection {
        tls: TlsMaterial { ca_bundle: ca_bundle.clone(), client_certificate: None },
        connect_timeout: Duration::from_millis(millis),
        ..connection()
    };
    let first = loaded.client(&of(1), &url).unwrap();
    assert!(Arc::ptr_eq(&first.tls, &loaded.client(&of(1), &url).unwrap().tls));
    for millis in 2..=40 {
        loaded.client(&of(millis), &url).unwrap();
        loaded.client(&of(1), &url).unwrap();
    }
    assert_eq!(lock(&loaded.shared.clients).len(), MOST_CLIENTS);
    assert!(Arc::ptr_eq(&first.tls, &loaded.client(&of(1), &url).unwrap().tls), "used often, never dropped");
}
