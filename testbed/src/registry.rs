//! A container registry of one image that asks for a password: the read part of the OCI distribution specification 1.1, over plain HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::image::Image;

/// Says whether this user and password may fetch.
pub type Admit = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// A running registry; it stops when dropped.
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    accept: AbortHandle,
}

struct Shared {
    image: Image,
    admit: Admit,
    log: Mutex<Vec<Fetch>>,
}

/// A request for the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// What came as a password; none without credentials.
    pub password: Option<String>,
    /// Whether it was let in.
    pub admitted: bool,
}

impl Registry {
    /// Serves `image` at `address` under any repository name and tag.
    pub async fn start(address: SocketAddr, image: Image, admit: Admit) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { image, admit, log: Mutex::default() });
        let serving = Arc::clone(&shared);
        let accept = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let answer = shared.answer(&request);
                        async { Ok::<_, Infallible>(answer) }
                    });
                    // Who goes in the middle of an answer is not our concern.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { shared, address, accept: accept.abort_handle() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request for the manifest so far, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Fetch> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Response<http_body_util::Full<Bytes>> {
        let credentials = basic(request.headers());
        let admitted = credentials.as_ref().is_some_and(|(user, password)| (self.admit)(user, password));
        let path = request.uri().path();
        if path.contains("/manifests/") {
            let password = credentials.map(|(_, password)| password);
            self.log.lock().unwrap_or_else(PoisonError::into_inner).push(Fetch { password, admitted });
        }
        if !admitted {
            let refused =
                Response::builder().status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, "Basic realm=\"registry\"");
            return body(refused, b"", request.method());
        }
        let (media_type, bytes) = self.image.manifest();
        match path.rsplit('/').collect::<Vec<_>>().as_slice() {
            [_, "manifests", ..] => {
                let found =
                    Response::builder().header(CONTENT_TYPE, media_type).header("Docker-Content-Digest", self.image.digest());
                body(found, bytes, request.method())
            }
            [digest, "blobs", ..] => match self.image.blob(digest) {
                Some(blob) => body(Response::builder().header(CONTENT_TYPE, "application/octet-stream"), blob, request.method()),
                None => body(Response::builder().status(StatusCode::NOT_FOUND), b"", request.method()),
            },
            _ => body(Response::builder(), b"{}", request.method()),
        }
    }
}

fn body(head: http::response::Builder, bytes: &[u8], method: &Method) -> Response<http_body_util::Full<Bytes>> {
    let length = bytes.len();
    let bytes = if *method == Method::HEAD { Bytes::new() } else { Bytes::copy_from_slice(bytes) };
    let answer = head.header("Content-Length", length).body(http_body_util::Full::new(bytes));
    answer.unwrap_or_default()
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Layer, Start};

    #[tokio::test]
    async fn only_the_right_password_gets_the_manifest_and_every_try_is_noted() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let image = Image::new("x/y:1", Layer::default(), &Start::default()).unwrap();
        let digest = image.digest();
        let admit: Admit = Arc::new(|user, password| (user, password) == ("ci", "right"));
        let registry = Registry::start("127.0.0.1:0".parse().unwrap(), image, admit).await.unwrap();
        let url = format!("http://{}/v2/x/y/manifests/1", registry.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |password: Option<&str>| {
            let request = client.get(&url);
            let request = if let Some(password) = password { request.basic_auth("ci", Some(password)) } else { request };
            request.send().await.unwrap()
        };
        assert_eq!(ask(None).await.status(), 401);
        assert_eq!(ask(Some("wrong")).await.status(), 401);
        let answer = ask(Some("right")).await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["docker-content-digest"].to_str().unwrap()),
            (200, digest.as_str())
        );
        let seen: Vec<_> = registry.log().into_iter().map(|fetch| (fetch.password, fetch.admitted)).collect();
        assert_eq!(seen, [(None, false), (Some("wrong".into()), false), (Some("right".into()), true)]);
    }
}
