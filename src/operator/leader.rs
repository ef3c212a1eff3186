//! Leader election by a Lease, as in client-go: whoever last wrote its name into it, by compare-and-swap, leads while it renews.
//!
//! It spares replicas double work; that no token is spent twice rests on claims alone. Nobody compares clocks: a candidate takes
//! over when it has seen the Lease unchanged for its whole duration, on its own monotonic clock; a leader gives up when its
//! renewal began longer ago than the shorter deadline. So two never lead at once as long as their clocks run at rates that differ
//! by less than a third. A machine that was suspended can still believe in its lead for a moment: its monotonic clock stood.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::clock::Clock;
use super::cluster::lease::{held_by, holder, new_lease, released};
use super::cluster::{Cluster, Trouble};
use crate::token::unit_interval;

/// Name of the Lease, in the operator's namespace.
pub const LEASE: &str = "refreshable-token-operator";

/// How long things take. All candidates must have the same.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a candidate sees the Lease unchanged before it takes over.
    pub duration: Duration,
    /// How long a leader leads after the beginning of its last renewal; shorter than `duration`.
    pub deadline: Duration,
    /// How long after one look or renewal the next one comes; candidates wait up to a fifth longer.
    pub retry: Duration,
    /// Longest time one request may take. A request that is later has an unknown end.
    pub request: Duration,
}

impl Default for Timing {
    /// 15, 10 and 2 seconds as in client-go and kube-controller-manager; 3 seconds for a request, our choice: three tries fit
    /// into the deadline.
    fn default() -> Self {
        let [duration, deadline, retry, request] = [15, 10, 2, 3].map(Duration::from_secs);
        Self { duration, deadline, retry, request }
    }
}

/// A candidate. Dropping it ends its lead without a word: the next leader has to wait out the Lease.
pub struct Election {
    candidate: Arc<Candidate>,
    renewing: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A time of leading.
#[derive(Clone, Debug)]
pub struct Term {
    /// Cancelled the moment that the lead can no longer be proved. What was begun may go on; nothing new may begin.
    pub lost: CancellationToken,
    until: Arc<StdMutex<Instant>>,
}

impl Term {
    fn new(until: Instant) -> Self {
        Self { lost: CancellationToken::new(), until: Arc::new(StdMutex::new(until)) }
    }

    /// Whether the lead is proved at this instant, even if the runtime was too busy to cancel `lost` in time.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Election {
    /// A candidate called `identity`, which no other process may ever bear: name of the Pod and UUID of the process.
    #[must_use]
    pub fn new(cluster: Cluster, clock: Arc<dyn Clock>, namespace: &str, identity: &str, timing: Timing) -> Self {
        let (namespace, identity) = (namespace.to_owned(), identity.to_owned());
        let candidate =
            Candidate { cluster, clock, namespace, identity, timing, tries: AtomicU64::new(0), in_flight: StdMutex::default() };
        Self { candidate: Arc::new(candidate), renewing: Mutex::new(None) }
    }

    /// Resolves when this candidate leads. From then on the Lease is renewed until the term is lost or released. While a term
    /// runs, waits for its end and stands again.
    pub async fn lead(&self) -> Term {
        let mut renewing = self.renewing.lock().await;
        if let Some(running) = renewing.as_mut() {
            // However it ended: it has ended.
            let _ = running.await;
        }
        *renewing = None;
        let held = self.candidate.acquire().await;
        let term = Term::new(held.since + self.candidate.timing.deadline);
        let renew = Arc::clone(&self.candidate).renew(held, term.clone());
        *renewing = Some(AbortOnDropHandle::new(tokio::spawn(renew)));
        tracing::info!(identity = self.candidate.identity, "leading");
        term
    }

    /// Ends the term, then gives the Lease back, so that a successor takes over at its next look; a candidate that was dropped in
    /// the middle of taking it gives back what it may still take. Call it when nothing that needs the lead is under way. Gives up
    /// after a while: the successor then waits out the Lease.
    pub async fn release(self) {
        if let Some(running) = self.renewing.into_inner() {
            running.abort();
            let _ = running.await;
        }
        self.candidate.release().await;
    }
}

struct Candidate {
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    namespace: String,
    identity: String,
    timing: Timing,
    tries: AtomicU64,
    /// What our last write bore, while nobody knows what became of it.
    in_flight: StdMutex<Option<Bears>>,
}

/// The resourceVersion that a write bears; none: it makes the Lease.
#[derive(PartialEq, Eq)]
struct Bears(Option<String>);

/// The Lease as our last write left it.
struct Held {
    lease: Lease,
    /// The instant before the request that wrote it.
    since: Instant,
}

/// What a candidate has seen of the Lease.
#[derive(Default)]
struct Sight {
    /// What stood there at the last look, and since when it has, on our own clock.
    last: Option<(Option<LeaseSpec>, Instant)>,
    /// There was a Lease at some look.
    existed: bool,
}

impl Sight {
    /// Takes in a look, and gives the instant from which on the Lease may be taken.
    fn free_at(&mut self, found: Option<&Lease>, identity: &str, duration: Duration) -> Instant {
        let now = Instant::now();
        let spec = found.and_then(|lease| lease.spec.clone());
        let since = self.last.take().filter(|(known, _)| *known == spec).map_or(now, |(_, since)| since);
        self.last = Some((spec, since));
        self.existed |= found.is_some();
        let free = match found {
            // Our own name stands there after a write whose answer was lost.
            Some(lease) => holder(lease).is_none_or(|holder| holder == identity),
            // One that vanished may have a holder who does not know it yet.
            None => !self.existed,
        };
        if free { now } else { since + duration }
    }
}

impl Candidate {
    /// Looks again and again until the Lease is ours.
    async fn acquire(&self) -> Held {
        let mut sight = Sight::default();
        loop {
            let mut next = Instant::now() + self.pause();
            if let Ok(found) = self.look().await {
                let free = sight.free_at(found.as_ref(), &self.identity, self.timing.duration);
                if free > Instant::now() {
                    next = next.min(free);
                } else {
                    let since = Instant::now();
                    if let Ok(lease) = self.put(&self.ours(&found.unwrap_or_else(|| new_lease(LEASE)))).await {
                        return Held { lease, since };
                    }
                }
            }
            sleep_until(next).await;
        }
    }

    /// Renews until the lead can no longer be proved. However this ends, the term is lost with it.
    async fn renew(self: Arc<Self>, mut held: Held, term: Term) {
        let _lost = term.lost.clone().drop_guard();
        loop {
            let deadline = held.since + self.timing.deadline;
            sleep_until(held.since + self.timing.retry).await;
            match timeout_at(deadline, self.renew_once(held.lease)).await {
                Ok(Some(renewed)) => held = renewed,
                Ok(None) => {
                    tracing::warn!(identity = self.identity, "no longer leading: the Lease was taken away");
                    return;
                }
                Err(_) => {
                    tracing::warn!(identity = self.identity, "no longer leading: the Lease could not be renewed in time");
                    return;
                }
            }
            term.extend(held.since + self.timing.deadline);
        }
    }

    /// Tries until the Lease is renewed; none if it is no longer ours.
    async fn renew_once(&self, mut lease: Lease) -> Option<Held> {
        let mut tried = Vec::new();
        loop {
            let since = Instant::now();
            let ours = self.ours(&lease);
            match self.put(&ours).await {
                Ok(lease) => return Some(Held { lease, since }),
                // Perhaps by a write of ours that had no answer: it is as good as one that had.
                Err(Trouble::Conflict) => match self.look().await {
                    Ok(Some(found)) if holder(&found) == Some(&self.identity) => {
                        if let Some((_, since)) = tried.iter().find(|(spec, _)| *spec == found.spec) {
                            return Some(Held { lease: found, since: *since });
                        }
                        lease = found;
                    }
                    Ok(_) => return None,
                    Err(_) => {}
                },
                Err(Trouble::Missing) => return None,
                Err(Trouble::Denied | Trouble::Unclear) => tried.push((ours.spec, since)),
            }
            sleep_until(since + self.timing.retry).await;
        }
    }

    async fn release(&self) {
        let give_back = async {
            loop {
                if let Ok(found) = self.look().await {
                    let held = found.as_ref().and_then(holder) == Some(&self.identity);
                    if !held && !self.may_still_take(found.as_ref()) {
                        return;
                    }
                    // Whoever may take the Lease may free it too, and of two writes at one version only one is done.
                    let free = released(&found.unwrap_or_else(|| new_lease(LEASE)), self.clock.now());
                    if self.put(&free).await.is_ok() {
                        tracing::info!(identity = self.identity, "the Lease is given back");
                        return;
                    }
                }
                sleep(self.timing.retry / 4).await;
            }
        };
        // Longer makes no sense: by then the successor has waited most of the Lease out.
        if timeout(self.timing.deadline, give_back).await.is_err() {
            tracing::warn!(identity = self.identity, "the Lease could not be given back: it has to be waited out");
        }
    }

    /// The Lease; none if there is none.
    async fn look(&self) -> Result<Option<Lease>, Trouble> {
        match self.request(self.cluster.lease(&self.namespace, LEASE)).await {
            Ok(lease) => Ok(Some(lease)),
            Err(Trouble::Missing) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The Lease as it was found, with our name in it.
    fn ours(&self, found: &Lease) -> Lease {
        held_by(found, &self.identity, self.timing.duration, self.clock.now())
    }

    async fn put(&self, lease: &Lease) -> Result<Lease, Trouble> {
        *self.in_flight() = Some(Bears(lease.metadata.resource_version.clone()));
        let answer = self.request(self.cluster.write_lease(&self.namespace, lease)).await;
        // Whoever is dropped before this line leaves the note behind.
        if !matches!(answer, Err(Trouble::Unclear)) {
            *self.in_flight() = None;
        }
        answer
    }

    /// Whether a write of ours that had no answer can still be done to what was found: it bears the version that stands there, or
    /// makes the Lease where there is none. (One that replaces a Lease bears its UID, and makes none in its place.)
    fn may_still_take(&self, found: Option<&Lease>) -> bool {
        let version = found.and_then(|lease| lease.metadata.resource_version.clone());
        *self.in_flight() == Some(Bears(version))
    }

    fn in_flight(&self) -> MutexGuard<'_, Option<Bears>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request<T>(&self, request: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        timeout(self.timing.request, request).await.unwrap_or(Err(Trouble::Unclear))
    }

    /// Time until the next look: spread, so that candidates do not meet for ever.
    fn pause(&self) -> Duration {
        let number = self.tries.fetch_add(1, Ordering::Relaxed);
        self.timing.retry.mul_f64(1.0 + unit_interval(&format!("{} {number}", self.identity)) / 5.0)
    }
}
