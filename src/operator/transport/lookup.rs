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
use tokio::sync::Semaphore;

use crate::operator::endpoint::EndpointPolicy;
use crate::provider::NotSent;

/// Resolves a host name; a function, so that tests can answer as a hostile resolver would.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// How many names are looked up at once. Each takes one of the 512 threads that tokio has for what blocks, and so does each write of the
/// journal: a resolver that does not answer must not hold those up. Our choice.
const LOOKUPS: usize = 256;

/// The resolver of the system, with its hosts file and search list.
pub(super) fn system() -> Lookup {
    few(Arc::new(|host| {
        async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }))
}

/// The same, for so many names at once.
fn few(lookup: Lookup) -> Lookup {
    let places = Arc::new(Semaphore::new(LOOKUPS));
    Arc::new(move |host| {
        let (lookup, places) = (Arc::clone(&lookup), Arc::clone(&places));
        async move {
            let _place = places.acquire().await.map_err(io::Error::other)?;
            lookup(host).await
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn names_that_nobody_resolves_leave_threads_to_others() {
        let running = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&running);
        let lookup = few(Arc::new(move |_| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_secs(10)).await;
                count.fetch_sub(1, Ordering::SeqCst);
                Ok(Vec::new())
            }
            .boxed()
        }));
        let all = futures::future::join_all((0..=LOOKUPS).map(|number| lookup(format!("dead{number}.example.com"))));
        let waits = tokio::time::timeout(std::time::Duration::from_secs(5), all.boxed()).await;
        assert!(waits.is_err());
        assert_eq!(running.load(Ordering::SeqCst), LOOKUPS);
    }
}
