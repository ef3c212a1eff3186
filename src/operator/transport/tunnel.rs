//! A tunnel through a proxy: one CONNECT request (RFC 9110 section 9.3.6), and what the proxy says to it.
//!
//! Nothing of a token is here. Until the proxy has said yes it has seen the host and port of the token API and its own credentials, so
//! that whatever goes wrong proves that nothing was sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use url::Url;
use zeroize::Zeroizing;

use super::http::USER_AGENT;
use crate::provider::NotSent;
use crate::token::SecretText;

/// Most bytes of what a proxy says before the tunnel. Our choice: several times what common proxies write.
const MOST_HEAD: usize = 16 * 1024;
/// The end of a header section (RFC 9112 section 2.1).
const END: &[u8] = b"\r\n\r\n";

/// What lies between the operator and a token API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// Its address: `http://`, host and port (80 if it names none).
    pub url: String,
    /// Whom it lets through; none: nobody in particular.
    pub credentials: Option<ProxyCredentials>,
}

/// User name and password for a proxy (RFC 7617).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyCredentials {
    /// Without a colon, which Basic authentication cannot carry.
    pub username: SecretText,
    /// The password.
    pub password: SecretText,
}

/// Asks for a tunnel to the host of `url` on a connection to the proxy. Afterwards the connection is one to that host.
pub(super) async fn open<S>(proxy: &mut S, url: &Url, credentials: Option<&ProxyCredentials>) -> Result<(), NotSent>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Err(NotSent::EndpointNotAllowed) };
    let mut request =
        Zeroizing::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {USER_AGENT}\r\n"));
    if let Some(ProxyCredentials { username, password }) = credentials {
        let pair = Zeroizing::new(format!("{}:{}", username.reveal(), password.reveal()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        *request = format!("{}Proxy-Authorization: Basic {}\r\n", request.as_str(), encoded.as_str());
    }
    request.push_str("\r\n");
    proxy.write_all(request.as_bytes()).await.map_err(|_| NotSent::ProxyRefused)?;
    let head = head(proxy).await?;
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(NotSent::ProxyCredentialsRejected),
        other => {
            tracing::warn!(host, port, status = other, "the proxy opens no tunnel");
            Err(NotSent::ProxyRefused)
        }
    }
}

/// What the proxy says, to the end of its header section. No byte may follow: a token API speaks second in TLS, so that none is of it.
async fn head<S: AsyncRead + Unpin>(proxy: &mut S) -> Result<Vec<u8>, NotSent> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let read = proxy.read(&mut buffer).await.map_err(|_| NotSent::ProxyRefused)?;
        head.extend(buffer.iter().take(read));
        let end = head.windows(END.len()).position(|bytes| bytes == END).map(|at| at + END.len());
        match end {
            // A refusal may have a body, which nobody reads.
            _ if head.len() > MOST_HEAD => return Err(NotSent::ProxyRefused),
            Some(end) if end == head.len() || !matches!(status(&head), Some(200..=299)) => return Ok(head),
            None if read > 0 => {}
            Some(_) | None => return Err(NotSent::ProxyRefused),
        }
    }
}

/// The status code of an answer of HTTP/1 (RFC 9112 section 4).
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let (version, rest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let code = rest.split(' ').next().filter(|code| code.len() == 3)?;
    code.parse().ok().filter(|_| matches!(version, "HTTP/1.0" | "HTTP/1.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// What the proxy is asked, and what its answer comes to.
    async fn ask(at: &str, credentials: Option<&ProxyCredentials>, answer: &[u8]) -> (String, Result<(), NotSent>) {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        server.write_all(answer).await.unwrap();
        server.shutdown().await.unwrap();
        let told = open(&mut client, &url(at), credentials).await;
        drop(client);
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        (asked, told)
    }

    #[tokio::test]
    async fn the_proxy_is_told_host_and_port_and_nothing_of_the_url() {
        let yes = b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n";
        for (at, host) in [
            ("https://art.example.com/secret/path?query=q", "art.example.com:443"),
            ("https://art.example.com:8443/", "art.example.com:8443"),
            ("https://[2606:4700::1111]/", "[2606:4700::1111]:443"),
            ("https://8.8.8.8:1/", "8.8.8.8:1"),
        ] {
            let (asked, told) = ask(at, None, yes).await;
            assert_eq!(told, Ok(()), "{at}");
            assert_eq!(asked, format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn credentials_are_sent_as_basic_authentication_and_shown_nowhere() {
        // The example of RFC 7617 section 2.
        let credentials = ProxyCredentials { username: SecretText::new("Aladdin"), password: SecretText::new("open sesame") };
        let (asked, told) = ask("https://a.example.com/", Some(&credentials), b"HTTP/1.0 200 OK\r\n\r\n").await;
        assert_eq!(told, Ok(()));
        assert!(asked.ends_with("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{asked}");
        let proxy = Proxy { url: "http://proxy.example.com:3128".to_owned(), credentials: Some(credentials) };
        let shown = format!("{proxy:?}");
        assert!(!shown.contains("Aladdin") && !shown.contains("sesame"), "{shown}");
    }

    #[tokio::test]
    async fn only_a_plain_yes_opens_the_tunnel() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(MOST_HEAD));
        for (answer, told) in [
            ("HTTP/1.1 200\r\n\r\n", Ok(())),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
            ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno", Err(NotSent::ProxyCredentialsRejected)),
            ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", Err(NotSent::ProxyRefused)),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", Err(NotSent::ProxyRefused)),
            ("HTTP/1.1 302 Found\r\nlocation: http://elsewhere\r\n\r\n", Err(NotSent::ProxyRefused)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Err(NotSent::ProxyRefused)),
            ("HTTP/1.1 200 OK\r\n\r\n\u{16}\u{3}\u{1}", Err(NotSent::ProxyRefused)),
            ("HTTP/1.1 200 OK\r\n", Err(NotSent::ProxyRefused)),
            ("HTTP/1.1 2000 OK\r\n\r\n", Err(NotSent::ProxyRefused)),
            ("HTTP/2 200 OK\r\n\r\n", Err(NotSent::ProxyRefused)),
            ("SSH-2.0-x\r\n\r\n", Err(NotSent::ProxyRefused)),
            ("", Err(NotSent::ProxyRefused)),
            (&long, Err(NotSent::ProxyRefused)),
        ] {
            assert_eq!(ask("https://a.example.com/", None, answer.as_bytes()).await.1, told, "{answer:.60}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_byte_by_byte_is_one() {
        let (mut client, mut server) = tokio::io::duplex(1);
        let answer = async move {
            let mut asked = vec![0; 4096];
            // All of the question has to be taken before the proxy can answer on so small a pipe.
            let mut text = Vec::new();
            while !text.ends_with(END) {
                let read = server.read(&mut asked).await.unwrap();
                text.extend_from_slice(&asked[..read]);
            }
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            server
        };
        let url = url("https://a.example.com/");
        let (told, _server) = tokio::join!(open(&mut client, &url, None), answer);
        assert_eq!(told, Ok(()));
    }
}
