//! A proxy that breaks things: it stands between a program and one of its servers, and at a request of one's choice it drops, delays,
//! falsifies or refuses, or signals the program itself.
//!
//! HTTP/1.1 without TLS towards the program; towards the server whatever the [`Upstream`] says. Several proxies share one [`Script`], so
//! that the requests to different servers have one numbering: the request index of a course of events.
//!
//! # What is numbered
//! From [`Script::count`] on, each request gets the next index, from 0, in the order in which they arrive whole. Watches, lists and Leases
//! get none: when they come depends on timers and not on the course. Watches are passed on as they stream.
//!
//! # What is recorded
//! Every request, see [`Seen`]; never a query, a header or a body, which can hold tokens.

mod connection;
mod script;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::AbortHandle;

pub use script::{Fault, Moment, Rule, Script, Seen, Side, Signal};

/// Kept connections to a server are closed before it might: the API server does so after minutes.
const IDLE: Duration = Duration::from_secs(10);

/// The server behind a proxy.
#[derive(Clone, Debug)]
pub struct Upstream {
    url: String,
    client: reqwest::Client,
}

impl Upstream {
    /// A server without TLS at `url`, which has no slash at its end.
    pub fn plain(url: &str) -> anyhow::Result<Self> {
        Self::new(url, reqwest::Client::builder())
    }

    /// A server with TLS whose certificate this authority signed (PEM).
    pub fn tls(url: &str, authority: &str) -> anyhow::Result<Self> {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).context("read the certificate authority")?;
        Self::new(url, reqwest::Client::builder().tls_certs_only([authority]))
    }

    fn new(url: &str, builder: reqwest::ClientBuilder) -> anyhow::Result<Self> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = builder.no_proxy().http1_only().retry(reqwest::retry::never()).redirect(reqwest::redirect::Policy::none());
        let client = builder.pool_idle_timeout(IDLE).build().context("build the client of the proxy")?;
        Ok(Self { url: url.to_owned(), client })
    }
}

/// A running proxy; it stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    accept: AbortHandle,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(side: Side, upstream: Upstream, script: &Arc<Script>) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for the proxy")?;
        let url = format!("http://{}", listener.local_addr().context("learn the address")?);
        let way = connection::Way { side, upstream, script: Arc::clone(script) };
        let accept = tokio::spawn(connection::accept(Arc::new(way), listener)).abort_handle();
        Ok(Self { url, accept })
    }

    /// Where the program finds it, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accept.abort();
    }
}
