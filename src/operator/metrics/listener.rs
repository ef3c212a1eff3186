//! The listener: `/metrics`, `/livez` and `/readyz`.
//!
//! `/livez` asks nothing and looks at nothing: that the process' own loop came round to answer is what it tells. It must not
//! hang on the API server, the Lease or a backlog, for a restart mends none of them and may cost a token that is held in memory.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::auth::{Gate, Verdict};
use super::{Format, Metrics};

/// How long a request may be on its way. Our choice: probes and scrapes are near.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may last, the answer included. Our choice: longer than any scrape (Prometheus gives up after 10 s by
/// default), so that nobody who stops reading keeps memory for long.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);
/// How many connections may be open at once. Our choice: far more than probes and scrapers make, each brings one request.
const MOST_CONNECTIONS: usize = 128;
/// Pause after a connection could not be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

type Answer = Response<Full<Bytes>>;

/// A socket that listens, and what it shows.
pub struct Listener {
    socket: TcpListener,
    shown: Arc<Shown>,
}

struct Shown {
    metrics: Metrics,
    /// Asks who may read `/metrics`; none: everybody may.
    gate: Option<Gate>,
}

impl Listener {
    /// Listens on an address.
    pub async fn bind(address: SocketAddr, metrics: Metrics, gate: Option<Gate>) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { socket, shown: Arc::new(Shown { metrics, gate }) })
    }

    /// The address in use.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers for ever.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    let shown = Arc::clone(&self.shown);
                    tokio::spawn(async move {
                        connection(stream, shown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection cannot be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One request on a connection of its own: an idle connection would hold a place.
async fn connection(stream: TcpStream, shown: Arc<Shown>) {
    let answer = service_fn(move |request| {
        let shown = Arc::clone(&shown);
        async move { Ok::<_, Infallible>(shown.answer(&request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN).keep_alive(false);
    // Whoever hangs up or is too slow gets no answer; that is no trouble of ours.
    let _ = timeout(CONNECTION_WITHIN, server.serve_connection(TokioIo::new(stream), answer)).await;
}

impl Shown {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(request.headers()).await,
            "/livez" => text(StatusCode::OK, "ok"),
            "/readyz" if self.metrics.is_ready() => text(StatusCode::OK, "ok"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "starting"),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz"),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Answer {
        if let Some(gate) = &self.gate {
            match gate.judge(headers.get(AUTHORIZATION)).await {
                Verdict::Allowed => {}
                Verdict::Unauthenticated => {
                    let mut answer =
                        text(StatusCode::UNAUTHORIZED, "a token of a ServiceAccount or user of this cluster is needed");
                    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                    return answer;
                }
                Verdict::Forbidden => return text(StatusCode::FORBIDDEN, "get of the nonResourceURL /metrics is not allowed"),
                Verdict::Unclear => return text(StatusCode::SERVICE_UNAVAILABLE, "the API server did not say who may read this"),
            }
        }
        let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let format = Format::accepted(&accept.join(","));
        let metrics = self.metrics.clone();
        // Ten thousand objects are megabytes of text: no other task shall wait for it.
        match tokio::task::spawn_blocking(move || metrics.text(format)).await {
            Ok(body) => of_type(StatusCode::OK, format.content_type(), body.into()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
        }
    }
}

fn text(status: StatusCode, line: &'static str) -> Answer {
    of_type(status, "text/plain; charset=utf-8", Bytes::from(format!("{line}\n")))
}

fn of_type(status: StatusCode, type_: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(type_));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
