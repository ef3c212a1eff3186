//! Answers that come complete: they are handed on byte for byte.

use refreshable_token_operator::provider::MOST_BODY;

use super::server::Server;
use super::*;

#[tokio::test]
async fn the_request_leaves_as_it_was_built_and_the_answer_comes_back_as_it_was_sent() {
    let answer = "HTTP/1.1 201 Created\r\nX-Request-ID: a\r\nX-Odd: \u{e4}\r\nContent-Length: 13\r\n\r\n{\"a\": \"b\"}\r\n\0";
    let server = Server::answering(answer).await;
    let reply = answered(transport().send(&request(&server.url()), &connection()).await);
    assert_eq!((reply.status, reply.body.0.as_slice()), (201, b"{\"a\": \"b\"}\r\n\0".as_slice()));
    assert_eq!(reply.header("x-request-id"), Some("a"));
    assert_eq!(reply.header("x-odd"), None);
    assert_eq!((server.connections().await, server.requests()), (1, 1));
    let text = server.text().to_ascii_lowercase();
    let agent = format!("user-agent: refreshable-token-operator/{}\r\n", env!("CARGO_PKG_VERSION"));
    for part in [
        "post /path?query=canary-query http/1.1\r\n",
        &format!("host: {}\r\n", server.address),
        "authorization: bearer canary-header\r\n",
        "accept: application/json\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-length: 25\r\n",
        &agent,
        "\r\n\r\nrefresh_token=canary-body",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part:?} in {text}");
    }
    for part in ["accept-encoding", "cookie", "referer", "upgrade", "transfer-encoding", "expect"] {
        assert!(!text.contains(part), "{part:?} in {text}");
    }
}

#[tokio::test]
async fn a_request_without_a_body_says_so() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let bare = TokenRequest { body: None, ..request(&server.url()) };
    assert_eq!(answered(transport().send(&bare, &connection()).await).body.0, b"");
    assert!(server.text().to_ascii_lowercase().contains("content-length: 0\r\n"), "{}", server.text());
}

#[tokio::test]
async fn no_status_makes_the_transport_ask_again() {
    for status in [200, 204, 301, 302, 303, 307, 308, 400, 401, 407, 408, 421, 425, 429, 500, 502, 503, 504] {
        let elsewhere = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let length = if status == 204 { "" } else { "content-length: 0\r\n" };
        let server = Server::answering(format!(
            "HTTP/1.1 {status} X\r\nlocation: {}\r\nretry-after: 0\r\nset-cookie: a=canary-cookie\r\n{length}\r\n",
            elsewhere.url()
        ))
        .await;
        let transport = transport();
        let reply = answered(transport.send(&request(&server.url()), &connection()).await);
        assert_eq!((reply.status, reply.header("location")), (status, Some(elsewhere.url().as_str())));
        assert_eq!((server.connections().await, server.requests()), (1, 1), "{status}");
        assert_eq!(elsewhere.connections().await, 0, "{status}");
        answered(transport.send(&request(&server.url()), &connection()).await);
        assert!(!server.text().contains("canary-cookie"));
    }
}

#[tokio::test]
async fn two_requests_never_share_a_connection() {
    let server = Server::start(|mut peer| async move {
        // Willing to serve for ever on one connection.
        loop {
            peer.request().await;
            peer.write(b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let transport = transport();
    for count in 1..=5 {
        answered(transport.send(&request(&server.url()), &connection()).await);
        assert_eq!(server.requests(), count);
    }
    assert_eq!(server.connections().await, 5);
    let again = request(&server.url());
    let connection = connection();
    let calls = (0..20).map(|_| transport.send(&again, &connection));
    for delivery in futures::future::join_all(calls).await {
        answered(delivery);
    }
    assert_eq!((server.connections().await, server.requests()), (5 + 1 + 20, 25), "one of the connections is the test's own");
}

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_came() {
    let body = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 4, 0, 0x43, 0xbe, 0xb7, 0xe8, 1, 0, 0, 0];
    for encoding in ["gzip", "br", "zstd", "deflate"] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n", body.len());
        let server = Server::answering([head.as_bytes(), &body].concat()).await;
        let reply = answered(transport().send(&request(&server.url()), &connection()).await);
        assert_eq!((reply.header("content-encoding"), reply.body.0.as_slice()), (Some(encoding), body.as_slice()));
    }
}

#[tokio::test]
async fn answers_in_odd_form_are_answers_all_the_same() {
    let many = "x-many: y\r\n".repeat(900);
    for (answer, body) in [
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), "ok"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n".to_owned(), "ok"),
        ("HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok".to_owned(), "ok"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), "ok"),
        ("HTTP/1.1 200 OK\r\nbad header\r\ncontent-length: 2\r\n\r\nok".to_owned(), "ok"),
        ("HTTP/1.1 200 OK\r\nfolded: x\r\n y\r\ncontent-length : 2\r\n\r\nok".to_owned(), "ok"),
        (format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok"), "ok"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more".to_owned(), "ok"),
    ] {
        let server = Server::answering(answer.clone()).await;
        let reply = answered(transport().send(&request(&server.url()), &connection()).await);
        assert_eq!((reply.status, reply.body.0.as_slice()), (200, body.as_bytes()), "{answer:.80}");
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_an_answer() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MOST_BODY}\r\n\r\n");
    let server = Server::answering([head.into_bytes(), vec![b'x'; MOST_BODY]].concat()).await;
    let reply = answered(transport().send(&request(&server.url()), &connection()).await);
    assert_eq!(reply.body.0.len(), MOST_BODY);
}

/// Runs only as a child of the next test, which sets what the environment says.
#[tokio::test]
#[ignore = "started by the_environment_changes_nothing"]
async fn child_calls_directly() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    answered(transport().send(&request(&server.url()), &connection()).await);
    assert_eq!(server.connections().await, 1);
    let authority = tls::Authority::new();
    let (server, _told) =
        tls::serve(authority.server("127.0.0.1", 2090, &[]), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let trusting = authority.trusted();
    answered(transport().send(&request(&server.https()), &trusting).await);
    assert_eq!(transport().connect(&server.https(), &trusting).await, Ok(()));
}

#[tokio::test]
async fn the_environment_changes_nothing() {
    let proxy = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let key_log = format!("{}/key-log-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let proxy_url = format!("http://{}", proxy.address);
    let names = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let mut environment = names.map(|name| (name, proxy_url.as_str())).to_vec();
    environment.push(("SSLKEYLOGFILE", &key_log));
    run_alone_with("answers::child_calls_directly", &environment).await;
    assert_eq!(proxy.connections().await, 0);
    assert!(!std::path::Path::new(&key_log).exists());
}
