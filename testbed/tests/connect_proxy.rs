//! The proxy that opens tunnels: it does what its manner says.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

use testbed::connect_proxy::{ConnectProxy, Manner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Asks for a tunnel and says "ping" through it; what comes back.
async fn ask(proxy: &ConnectProxy, target: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(proxy.url().trim_start_matches("http://")).await.unwrap();
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n").as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    let said = String::from_utf8_lossy(&buffer[..read]).into_owned();
    if !said.starts_with("HTTP/1.1 200") {
        return said;
    }
    stream.write_all(b"ping").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    format!("{said}{}", String::from_utf8_lossy(&rest))
}

#[tokio::test]
async fn a_tunnel_carries_what_is_sent_and_refusals_carry_nothing() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = server.accept().await {
            let mut ping = [0; 4];
            peer.read_exact(&mut ping).await.unwrap();
            peer.write_all(b"pong").await.unwrap();
        }
    });
    let proxy = ConnectProxy::start(Manner::Open, None).await.unwrap();
    assert!(ask(&proxy, &address.to_string(), "").await.ends_with("\r\n\r\npong"));
    proxy.behave(Manner::Refuse(403));
    assert!(ask(&proxy, &address.to_string(), "").await.starts_with("HTTP/1.1 403"));
    proxy.behave(Manner::Close);
    assert_eq!(ask(&proxy, &address.to_string(), "").await, "");
    proxy.behave(Manner::Demand { username: "Aladdin".to_owned(), password: "open sesame".to_owned() });
    assert!(ask(&proxy, &address.to_string(), "").await.starts_with("HTTP/1.1 407"));
    let good = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(ask(&proxy, &address.to_string(), good).await.ends_with("pong"));
    let asked: Vec<_> = proxy.asked().into_iter().map(|asked| (asked.credentials, asked.opened)).collect();
    assert_eq!(asked, [(false, true), (false, false), (false, false), (false, false), (true, true)]);

    let by_name = ConnectProxy::start(Manner::Open, Some(address)).await.unwrap();
    assert!(ask(&by_name, "art.example.com:443", "").await.ends_with("pong"));
    assert_eq!(by_name.asked()[0].line, "CONNECT art.example.com:443 HTTP/1.1");
}
