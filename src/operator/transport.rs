//! The one way to a token API: one request on one connection of its own, and what its end proves.
//!
//! Nothing here repeats a request, follows a redirect, keeps a connection, asks a proxy that the provider does not name or reads an
//! answer's meaning. No URL path, query, header or body is logged.

mod http;
mod lookup;
mod outcome;
#[cfg(test)]
mod ssrf;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use self::http::Carried;
use crate::operator::endpoint::{EndpointPolicy, Reach};
use crate::provider::{Delivery, Lost, NotSent, TokenRequest};
use lookup::{Lookup, Resolver};
pub use tls::{CaBundle, ClientCertificate, TlsMaterial, UnusableCertificate};
pub use tunnel::{Proxy, ProxyCredentials};

/// Most clients kept. Our choice: as many different authorities and time limits as one cluster plausibly has.
const MOST_CLIENTS: usize = 32;

/// How one provider is connected to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Whose word the address is.
    pub reach: Reach,
    /// Whom it trusts, and what it shows of itself.
    pub tls: TlsMaterial,
    /// What lies between; none: nothing, whatever the environment says.
    pub proxy: Option<Proxy>,
    /// Until the connection stands, DNS, proxy and TLS included.
    pub connect_timeout: Duration,
    /// Until the whole answer is there, counted from the start.
    pub request_timeout: Duration,
}

impl Connection {
    /// At most nine tenths of the request's limit (our choice): a connection that does not come about must be told from an
    /// answer that does not come, because only the first proves that nothing was sent.
    fn connect_limit(&self) -> Duration {
        self.connect_timeout.min(self.request_timeout * 9 / 10)
    }
}

/// The way to token APIs: sockets, or a simulation.
pub trait TokenCalls: Send + Sync {
    /// Sends the request once and waits for the whole answer.
    fn send<'a>(&'a self, request: &'a TokenRequest, connection: &'a Connection) -> BoxFuture<'a, Delivery>;

    /// Connects as [`send`](Self::send) would and hangs up.
    fn connect<'a>(&'a self, url: &'a str, connection: &'a Connection) -> BoxFuture<'a, Result<(), NotSent>>;
}

impl TokenCalls for Transport {
    fn send<'a>(&'a self, request: &'a TokenRequest, connection: &'a Connection) -> BoxFuture<'a, Delivery> {
        Box::pin(Self::send(self, request, connection))
    }

    fn connect<'a>(&'a self, url: &'a str, connection: &'a Connection) -> BoxFuture<'a, Result<(), NotSent>> {
        Box::pin(Self::connect(self, url, connection))
    }
}

/// Sends requests to token APIs under an endpoint policy. Clones share clients, never connections.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    /// For the word of a namespace, and of the cluster.
    resolvers: [Resolver; 2],
    load_roots: fn() -> RootCertStore,
    system_roots: Mutex<Option<Arc<RootCertStore>>>,
    clients: Mutex<VecDeque<(Connection, Client)>>,
}

/// What is built once per [`Connection`] and holds nothing of a request.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    tls: Arc<ClientConfig>,
}

impl Transport {
    /// A transport that calls only what `policy` allows.
    #[must_use]
    pub fn new(policy: &EndpointPolicy) -> Self {
        Self::with(policy, &lookup::system(), tls::system_roots)
    }

    fn with(policy: &EndpointPolicy, lookup: &Lookup, load_roots: fn() -> RootCertStore) -> Self {
        let resolvers =
            [Reach::Namespace, Reach::Cluster].map(|reach| Resolver::new(Arc::new(policy.reaching(reach)), Arc::clone(lookup)));
        let shared = Shared { resolvers, load_roots, system_roots: Mutex::default(), clients: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Sends the request once and waits for the whole answer.
    ///
    /// Dropping the future closes the connection and loses the answer: for a single-use token call this in a task of its own.
    ///
    /// Where a client certificate is shown, a connection of its own asks first whether it is taken: in TLS 1.3 the server says so only
    /// after the client may have sent its request, and what it says can be lost with the connection.
    pub async fn send(&self, request: &TokenRequest, connection: &Connection) -> Delivery {
        let taken = match &connection.tls.client_certificate {
            Some(_) => self.connect(&request.url, connection).await,
            None => Ok(()),
        };
        let delivery = match taken {
            Ok(()) => self.exchange(request, connection).await.unwrap_or_else(Delivery::NotSent),
            Err(why) => Delivery::NotSent(why),
        };
        let host = Url::parse(&request.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        match &delivery {
            Delivery::Answered(_) => tracing::debug!(host, class = "Answered", "token API called"),
            Delivery::NotSent(why) => tracing::warn!(host, class = ?why, "token API not called"),
            Delivery::Lost { why, .. } => tracing::warn!(host, class = ?why, "token API called, answer lost"),
        }
        delivery
    }

    /// Connects as [`send`](Self::send) would, with DNS, policy, TCP, proxy and TLS, and hangs up without a byte of HTTP to the token
    /// API.
    pub async fn connect(&self, url: &str, connection: &Connection) -> Result<(), NotSent> {
        let url = self.allowed(url, connection)?;
        let client = self.client(connection, &url)?;
        let connected = async {
            let tcp = self.reached(&url, connection).await?;
            if url.scheme() == "http" {
                return Ok(());
            }
            let mut tls = secured(&url, tcp, &client).await?;
            let taken = outcome::taken(&mut tls).await;
            // A polite end; whether it arrives changes nothing.
            let _ = tls.shutdown().await;
            taken
        };
        timeout(connection.connect_limit(), connected).await.unwrap_or(Err(NotSent::ConnectTimeout))
    }

    async fn exchange(&self, request: &TokenRequest, connection: &Connection) -> Result<Delivery, NotSent> {
        let url = self.allowed(&request.url, connection)?;
        let client = self.client(connection, &url)?;
        // The clock of tokio looks at the answer before it looks at the time; the client's own looks at the time first and
        // would throw away an answer that is there when a busy process comes back late.
        let deadline = Instant::now() + connection.request_timeout;
        let request = http::request(request, url.clone())?;
        if connection.proxy.is_some() {
            return self.exchange_behind_proxy(&url, request, connection, &client, deadline).await;
        }
        let answer = match timeout_at(deadline, client.http.execute(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let lost = Delivery::Lost { why: outcome::lost(&error), partial: None };
                return outcome::not_sent(&error).map_or(Ok(lost), Err);
            }
            Err(_) => return Ok(Delivery::Lost { why: Lost::Timeout, partial: None }),
        };
        Ok(http::read(answer, deadline).await)
    }

    /// The client knows proxies too, but not by types what became of a tunnel: so the connection is made here, and it is the client's
    /// library only that speaks on it. Until it stands, nothing is sent.
    async fn exchange_behind_proxy(
        &self,
        url: &Url,
        request: reqwest::Request,
        connection: &Connection,
        client: &Client,
        deadline: Instant,
    ) -> Result<Delivery, NotSent> {
        let request = http::addressed(request)?;
        let connected = async { secured(url, self.reached(url, connection).await?, client).await };
        let connected = timeout(connection.connect_limit(), connected).await.unwrap_or(Err(NotSent::ConnectTimeout))?;
        let lost = |why| Delivery::Lost { why, partial: None };
        let Carried { answer, carrier } = match timeout_at(deadline, http::on(connected, request)).await {
            Ok(Ok(carried)) => carried,
            Ok(Err(error)) => return outcome::ended(&error).map(lost),
            Err(_) => return Ok(lost(Lost::Timeout)),
        };
        let delivery = http::read(answer, deadline).await;
        drop(carrier);
        Ok(delivery)
    }

    /// The URL, if it and the proxy in front of it may be called.
    fn allowed(&self, url: &str, connection: &Connection) -> Result<Url, NotSent> {
        let policy = self.shared.resolver(connection.reach).policy();
        let url = policy.check_url(url).map_err(|why| {
            tracing::warn!(class = ?why, "the endpoint policy refuses a URL");
            NotSent::EndpointNotAllowed
        })?;
        let Some(proxy) = &connection.proxy else { return Ok(url) };
        if url.scheme() != "https" {
            tracing::warn!("a token API behind a proxy must be called by https: the proxy would read the tokens otherwise");
            return Err(NotSent::EndpointNotAllowed);
        }
        policy.check_proxy(&proxy.url).map_err(|why| {
            tracing::warn!(class = ?why, "the endpoint policy refuses the address of a proxy");
            NotSent::ProxyNotAllowed
        })?;
        Ok(url)
    }

    /// A connection to the host of a URL that is allowed, or a tunnel to it.
    async fn reached(&self, url: &Url, connection: &Connection) -> Result<TcpStream, NotSent> {
        let Connection { reach, proxy, .. } = connection;
        let Some(proxy) = proxy else {
            let addresses = self.shared.addresses(url, *reach).await?;
            return TcpStream::connect(addresses.as_slice()).await.map_err(|error| outcome::handshake(&error));
        };
        let at = self.shared.resolver(*reach).policy().check_proxy(&proxy.url).map_err(|_| NotSent::ProxyNotAllowed)?;
        let addresses = self.shared.addresses(&at, *reach).await.map_err(|why| {
            if why == NotSent::EndpointNotAllowed { NotSent::ProxyNotAllowed } else { NotSent::ProxyUnreachable }
        })?;
        let mut tcp = TcpStream::connect(addresses.as_slice()).await.map_err(|_| NotSent::ProxyUnreachable)?;
        tunnel::open(&mut tcp, url, proxy.credentials.as_ref()).await?;
        Ok(tcp)
    }

    /// The client for a connection, kept for the next request with the same limits and authorities.
    fn client(&self, connection: &Connection, url: &Url) -> Result<Client, NotSent> {
        // A client knows nothing of proxies, and what they ask for need not be kept.
        let connection = Connection { proxy: None, ..connection.clone() };
        let mut kept = lock(&self.shared.clients);
        if let Some(at) = kept.iter().position(|(key, _)| *key == connection)
            && let Some((key, client)) = kept.remove(at)
        {
            kept.push_back((key, client.clone()));
            return Ok(client);
        }
        let roots = connection.tls.ca_bundle.as_ref().map_or_else(|| self.shared.roots(), CaBundle::roots);
        let empty = roots.is_empty();
        if empty && url.scheme() == "https" {
            tracing::error!("the image has no certificate authorities: mount some or give the provider a bundle");
            return Err(NotSent::CaBundleInvalid);
        }
        let client = self.build(roots, &connection)?;
        if !empty {
            kept.push_back((connection, client.clone()));
        }
        if kept.len() > MOST_CLIENTS {
            kept.pop_front();
        }
        Ok(client)
    }

    fn build(&self, roots: Arc<RootCertStore>, connection: &Connection) -> Result<Client, NotSent> {
        // Neither step fails with settings that are the same for every connection.
        let tls = tls::config(roots, connection.tls.client_certificate.as_ref()).map_err(|_| NotSent::TlsRejected)?;
        let resolver = self.shared.resolver(connection.reach).clone();
        let http = http::client(tls.clone(), resolver, connection.connect_limit());
        Ok(Client { http: http.map_err(|_| NotSent::TlsRejected)?, tls: Arc::new(tls) })
    }
}

impl Shared {
    /// The system's authorities, read once they exist.
    fn roots(&self) -> Arc<RootCertStore> {
        let mut kept = lock(&self.system_roots);
        let roots = kept.clone().unwrap_or_else(|| Arc::new((self.load_roots)()));
        *kept = Some(Arc::clone(&roots)).filter(|roots| !roots.is_empty());
        roots
    }

    fn resolver(&self, reach: Reach) -> &Resolver {
        let [namespace, cluster] = &self.resolvers;
        match reach {
            Reach::Namespace => namespace,
            Reach::Cluster => cluster,
        }
    }

    async fn addresses(&self, url: &Url, reach: Reach) -> Result<Vec<SocketAddr>, NotSent> {
        let port = url.port_or_known_default().unwrap_or(443);
        let found: Vec<IpAddr> = match url.host() {
            Some(Host::Domain(name)) => self.resolver(reach).addresses(name).await?,
            // Literal addresses were judged with the URL.
            Some(Host::Ipv4(ip)) => vec![ip.into()],
            Some(Host::Ipv6(ip)) => vec![ip.into()],
            None => return Err(NotSent::EndpointNotAllowed),
        };
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

/// TLS with the host of a URL, on a connection or tunnel to it.
async fn secured(url: &Url, tcp: TcpStream, client: &Client) -> Result<TlsStream<TcpStream>, NotSent> {
    let name = server_name(url).ok_or(NotSent::TlsRejected)?;
    let connector = TlsConnector::from(Arc::clone(&client.tls));
    connector.connect(name, tcp).await.map_err(|error| outcome::handshake(&error))
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(ip) => Some(IpAddr::from(ip).into()),
        Host::Ipv6(ip) => Some(IpAddr::from(ip).into()),
    }
}

/// What the mutexes here guard is whole between any two statements, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
