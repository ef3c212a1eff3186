//! One HTTP/1.1 request and its answer, byte for byte, within limits of size and time.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT as AGENT};
use reqwest::{Body, Client, Request, Response, redirect, retry};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use url::{Position, Url};

use super::lookup::Resolver;
use super::outcome;
use crate::provider::{Delivery, Lost, MOST_BODY, Method, NotSent, RawBody, Reply, TokenRequest};

/// Most bytes of the header fields of an answer. Our choice: several times what common servers let pass.
const MOST_HEADER: usize = 64 * 1024;
/// Most header fields of an answer. Our choice: the library's default of 100 would lose an answer that proxies decorated.
const MOST_FIELDS: usize = 1000;

pub(super) const USER_AGENT: &str = concat!("refreshable-token-operator/", env!("CARGO_PKG_VERSION"));

/// A client that sends a request once: no retry, no redirect, no connection kept, no proxy (those of the environment included),
/// no decompression, HTTP/1.1.
///
/// It reads header fields leniently, because an answer that is refused for its form takes its token with it, and a connection
/// that carries one answer cannot confuse two. The time limit of the whole request is kept by the caller.
pub(super) fn client(tls: ClientConfig, resolver: Resolver, connect: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
        .connect_timeout(connect)
        .user_agent(USER_AGENT)
        .http1_only()
        .http1_max_headers(MOST_FIELDS)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(0)
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .build()
}

/// The request for the client. Providers check what they put into header fields, so a field that cannot be sent is a slip of
/// theirs; it must not cost a token.
pub(super) fn request(request: &TokenRequest, url: Url) -> Result<Request, NotSent> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    };
    let mut built = Request::new(method, url);
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NotSent::NotConnected)?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| NotSent::NotConnected)?;
        value.set_sensitive(true);
        built.headers_mut().append(name, value);
    }
    if let Some(body) = &request.body {
        built.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        *built.body_mut() = Some(body.content.reveal().to_owned().into());
    } else if !matches!(request.method, Method::Get | Method::Delete) {
        // RFC 9110 section 8.6 asks for it; the client leaves it out, and some proxies answer 411 then.
        built.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    Ok(built)
}

/// An answer, and what carries its connection: dropped before the body is read, it takes the rest with it.
pub(super) struct Carried {
    pub(super) answer: Response,
    pub(super) carrier: AbortOnDropHandle<()>,
}

/// The request as a connection of its own carries it: path and query as its target, the host as a field (RFC 9112 section 3.2.1), and
/// the fields that the client adds.
pub(super) fn addressed(mut request: Request) -> Result<http::Request<Body>, NotSent> {
    let url = request.url();
    let target = url[Position::BeforePath..Position::AfterQuery].parse::<http::Uri>().map_err(|_| NotSent::NotConnected)?;
    let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).map_err(|_| NotSent::NotConnected)?;
    let mut built = http::Request::new(request.body_mut().take().unwrap_or_default());
    *built.method_mut() = request.method().clone();
    *built.uri_mut() = target;
    *built.headers_mut() = std::mem::take(request.headers_mut());
    let fields = built.headers_mut();
    fields.insert(HOST, host);
    fields.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    fields.entry(AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    Ok(built)
}

/// Sends a request on a connection that stands already, with the limits of [`client`].
pub(super) async fn on<S>(connection: S, request: http::Request<Body>) -> Result<Carried, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, carrier) = hyper::client::conn::http1::Builder::new()
        .max_headers(MOST_FIELDS)
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .handshake(TokioIo::new(connection))
        .await?;
    let carrier = AbortOnDropHandle::new(tokio::spawn(async move {
        // How it ends is told to whoever waits for the answer.
        let _ = carrier.await;
    }));
    let answer = sender.send_request(request).await?;
    Ok(Carried { answer: answer.map(Body::wrap).into(), carrier })
}

/// Reads the answer until its end, the limit or the deadline; what came is kept in each case.
pub(super) async fn read(mut answer: Response, deadline: Instant) -> Delivery {
    let status = answer.status().as_u16();
    let (headers, fits) = fields(answer.headers());
    let mut body = Vec::new();
    let cut = loop {
        match timeout_at(deadline, answer.chunk()).await {
            Ok(Ok(Some(chunk))) if append(&mut body, &chunk) => {}
            Ok(Ok(Some(_))) => break Some(Lost::TooLarge),
            Ok(Ok(None)) => break None,
            Ok(Err(error)) => break Some(outcome::lost(&error)),
            Err(_) => break Some(Lost::Timeout),
        }
    };
    let reply = Reply { status, headers, body: RawBody(body) };
    match cut.or((!fits).then_some(Lost::TooLarge)) {
        None => Delivery::Answered(reply),
        Some(why) => Delivery::Lost { why, partial: Some(reply) },
    }
}

/// The header fields that fit the limit, and whether all did. Each counts with the four bytes around it (RFC 9112 section 5).
fn fields(map: &HeaderMap) -> (Vec<(String, String)>, bool) {
    let mut size = 0;
    let mut kept = Vec::with_capacity(map.len());
    for (name, value) in map {
        size += name.as_str().len() + value.len() + 4;
        if let (true, Ok(value)) = (size <= MOST_HEADER, value.to_str()) {
            kept.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    (kept, size <= MOST_HEADER)
}

/// Takes as much of `chunk` as the limit leaves room for; whether that was all.
fn append(body: &mut Vec<u8>, chunk: &[u8]) -> bool {
    let room = MOST_BODY.saturating_sub(body.len());
    body.extend(chunk.iter().take(room));
    chunk.len() <= room
}
