//! Names to addresses, judged by the endpoint policy in the moment of use.
//!
//! One look-up serves both ways to a server: the HTTP client's resolver and the preflight. A name is never resolved once to be
//! checked and a second time to be connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::operator::endpoint::EndpointPolicy;
use crate::provider::NotSent;

/// Resolves a host name; a function, so that tests can answer as a hostile resolver would.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The resolver of the system, with its hosts file and search list.
pub(super) fn system() -> Lookup {
    Arc::new(|host| {
        async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    })
}

/// A look-up behind the endpoint policy.
#[derive(Clone)]
pub(super) struct Resolver {
    policy: Arc<EndpointPolicy>,
    lookup: Lookup,
}

impl Resolver {
    pub(super) fn new(policy: Arc<EndpointPolicy>, lookup: Lookup) -> Self {
        Self { policy, lookup }
    }

    pub(super) fn policy(&self) -> &EndpointPolicy {
        &self.policy
    }

    /// The addresses of a host name; all or none, see [`EndpointPolicy::check_address`].
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NotSent> {
        let found = (self.lookup)(host.to_owned()).await.map_err(|_| NotSent::NameNotResolved)?;
        if found.is_empty() {
            return Err(NotSent::NameNotResolved);
        }
        for ip in &found {
            self.policy.check_address(host, *ip).map_err(|why| {
                tracing::warn!(host, class = ?why, "the endpoint policy refuses what the host name resolves to");
                NotSent::EndpointNotAllowed
            })?;
        }
        Ok(found)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await?;
            // Port 0 stands for the port of the URL.
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}
