//! The few plain requests that the control plane itself makes of its API server.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, StatusCode};

/// Our choice: a loaded machine may take seconds, a hung server must not stop a test for ever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Our choice: a stranger that listens on the port but never answers must not hold up the start.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Speaks as one user and trusts one authority, so that a stranger on the port is not believed.
#[derive(Clone, Debug)]
pub(super) struct ApiClient {
    url: String,
    client: Client,
}

impl ApiClient {
    pub(super) fn new(port: u16, authority: &str, token: &str) -> anyhow::Result<Self> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(authority.as_bytes())?])
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .no_proxy()
            // A kept connection belongs to one runtime, and each test has its own.
            .pool_max_idle_per_host(0)
            .user_agent("testbed")
            .timeout(TIMEOUT)
            .build()
            .context("build the client of the control plane")?;
        Ok(Self { url: format!("https://127.0.0.1:{port}"), client })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the API server says that all of its start-up is done.
    pub(super) async fn is_ready(&self) -> bool {
        self.exists("/readyz").await
    }

    /// Whether the ServiceAccount controller has made the one that every namespace gets.
    pub(super) async fn has_default_service_account(&self) -> bool {
        self.exists("/api/v1/namespaces/default/serviceaccounts/default").await
    }

    async fn exists(&self, path: &str) -> bool {
        let probe = self.client.get(format!("{}{path}", self.url));
        let reply = probe.timeout(PROBE_TIMEOUT).send().await;
        reply.is_ok_and(|reply| reply.status() == StatusCode::OK)
    }

    /// The body of a GET of `path`; fails unless the status is 200.
    pub(super) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let reply = self.client.get(format!("{}{path}", self.url)).send().await;
        let reply = reply.with_context(|| format!("get {path}"))?;
        ensure!(reply.status() == StatusCode::OK, "get {path}: {}", reply.status());
        reply.text().await.with_context(|| format!("read {path}"))
    }
}
