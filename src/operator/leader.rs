//! Leader election by a Lease, as in client-go: whoever last wrote its name into it, by compare-and-swap, leads while it renews.
//!
//! It spares replicas double work; that no token is spent twice rests on claims alone. Nobody compares clocks: a candidate takes
//! over when it has seen the Lease unchanged for its whole duration, on its own monotonic clock; a leader gives up when its
//! renewal began longer ago than the shorter deadline. So two never lead at once as long as their clocks run at rates that differ
//! by less than a third. A machine that was suspended can still believe in its lead for a moment: its monotonic clock stood.
//!
//! Where there are several Leases, of which each is a share of the work ([`Balance`]), a candidate that has fewer than another leader
//! writes into one of that leader's Leases that it wants it, and the leader gives it up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::balance::Balance;
use super::clock::Clock;
use super::cluster::lease::{held_by, holder, new_lease, of_shards, released, wanted, wanted_by};
use super::cluster::{Cluster, Trouble};
use crate::token::unit_interval;

/// Name of the Lease, in the operator's namespace; of several that of the first one.
pub const LEASE: &str = "refreshable-token-operator";

/// The name of the Lease with this number, of so many. The others than the first one are named by both: while replicas with another number
/// of Leases still run, a share of theirs is not one of ours.
#[must_use]
pub fn lease_name(number: usize, of: usize) -> String {
    if number == 0 { LEASE.to_owned() } else { format!("{LEASE}-{number}-of-{of}") }
}

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
    /// Told when a candidate with less to do wants this Lease: [`Election::give_up`] gives it, [`Election::keep`] does not.
    pub wanted: Arc<Notify>,
    until: Arc<StdMutex<Instant>>,
}

impl Term {
    fn new(until: Instant) -> Self {
        Self { lost: CancellationToken::new(), wanted: Arc::default(), until: Arc::new(StdMutex::new(until)) }
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
        Self::of(0, Arc::new(Balance::new(identity, 1, timing)), cluster, clock, namespace)
    }

    /// The candidate of `balance` for the Lease with this number.
    #[must_use]
    pub fn of(number: usize, balance: Arc<Balance>, cluster: Cluster, clock: Arc<dyn Clock>, namespace: &str) -> Self {
        let (namespace, lease) = (namespace.to_owned(), lease_name(number, balance.leases()));
        let (tries, in_flight, heir) = (AtomicU64::new(0), StdMutex::default(), StdMutex::default());
        let refused = AtomicBool::new(false);
        let candidate = Candidate { cluster, clock, namespace, lease, number, balance, tries, refused, in_flight, heir };
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
        let term = Term::new(held.since + self.candidate.balance.timing.deadline);
        let renew = Arc::clone(&self.candidate).renew(held, term.clone());
        *renewing = Some(AbortOnDropHandle::new(tokio::spawn(renew)));
        tracing::info!(identity = self.candidate.balance.identity, lease = self.candidate.lease, "leading");
        term
    }

    /// Ends the term, then gives the Lease back, so that a successor takes over at its next look, and first of all who wanted it; a
    /// candidate that was dropped in the middle of taking it gives back what it may still take. Call it when nothing that needs the lead is
    /// under way. Gives up after a while: the successor then waits out the Lease. It stays a candidate.
    pub async fn give_up(&self) {
        if let Some(running) = self.renewing.lock().await.take() {
            running.abort();
            let _ = running.await;
        }
        self.candidate.release().await;
    }

    /// Keeps a Lease that was wanted: what its work has begun does not end.
    pub fn keep(&self) {
        *self.candidate.heir() = None;
        self.candidate.balance.note(self.candidate.number, Some(&self.candidate.balance.identity));
    }
}

struct Candidate {
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    namespace: String,
    lease: String,
    number: usize,
    balance: Arc<Balance>,
    tries: AtomicU64,
    /// The API server refuses what was asked for last.
    refused: AtomicBool,
    /// What our last write bore, while nobody knows what became of it.
    in_flight: StdMutex<Option<Bears>>,
    /// Whom the Lease goes to.
    heir: StdMutex<Option<String>>,
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
            // Our own name stands there after a write whose answer was lost. A free one that somebody else wanted waits for that one.
            Some(lease) => match holder(lease) {
                Some(holder) => holder == identity,
                None => wanted_by(lease).is_none_or(|heir| heir == identity),
            },
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
                let free = sight.free_at(found.as_ref(), &self.balance.identity, self.balance.timing.duration);
                self.balance.note(self.number, found.as_ref().and_then(holder));
                if free > Instant::now() {
                    next = next.min(free);
                    self.want(found.as_ref()).await;
                } else {
                    let since = Instant::now();
                    if let Ok(lease) = self.put(&self.ours(&found.unwrap_or_else(|| new_lease(&self.lease)))).await {
                        self.balance.note(self.number, Some(&self.balance.identity));
                        return Held { lease, since };
                    }
                }
            }
            sleep_until(next).await;
        }
    }

    /// Says in a Lease that it is wanted, if its leader has too many. Nothing hangs on whether that is heard.
    async fn want(&self, found: Option<&Lease>) {
        if let Some(lease) = found
            && self.balance.wants(self.number)
        {
            let wanted = wanted(lease, Some(&self.balance.identity));
            // Not by way of `put`: this takes nothing, whenever it is done.
            let _ = self.request(self.cluster.write_lease(&self.namespace, &wanted)).await;
        }
    }

    /// Renews until the lead can no longer be proved. However this ends, the term is lost with it.
    async fn renew(self: Arc<Self>, mut held: Held, term: Term) {
        let _lost = term.lost.clone().drop_guard();
        let identity = &self.balance.identity;
        loop {
            let deadline = held.since + self.balance.timing.deadline;
            sleep_until(held.since + self.balance.timing.retry).await;
            match timeout_at(deadline, self.renew_once(held.lease, &term)).await {
                Ok(Some(renewed)) => held = renewed,
                Ok(None) => {
                    tracing::warn!(identity, lease = self.lease, "no longer leading: the Lease was taken away");
                    return self.balance.note(self.number, None);
                }
                Err(_) => {
                    tracing::warn!(identity, lease = self.lease, "no longer leading: the Lease could not be renewed in time");
                    return self.balance.note(self.number, None);
                }
            }
            term.extend(held.since + self.balance.timing.deadline);
        }
    }

    /// Tries until the Lease is renewed; none if it is no longer ours.
    async fn renew_once(&self, mut lease: Lease, term: &Term) -> Option<Held> {
        let mut tried = Vec::new();
        loop {
            let since = Instant::now();
            let ours = self.ours(&lease);
            match self.put(&ours).await {
                Ok(lease) => return Some(Held { lease, since }),
                // Perhaps by a write of ours that had no answer: it is as good as one that had.
                Err(Trouble::Conflict) => match self.look().await {
                    Ok(Some(found)) if holder(&found) == Some(&self.balance.identity) => {
                        if let Some(other) = wanted_by(&found).filter(|other| self.balance.spares(self.number, other)) {
                            *self.heir() = Some(other.to_owned());
                            term.wanted.notify_one();
                        }
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
            sleep_until(since + self.balance.timing.retry).await;
        }
    }

    async fn release(&self) {
        let give_back = async {
            loop {
                if let Ok(found) = self.look().await {
                    let held = found.as_ref().and_then(holder) == Some(&self.balance.identity);
                    if !held && !self.may_still_take(found.as_ref()) {
                        return;
                    }
                    // Whoever may take the Lease may free it too, and of two writes at one version only one is done.
                    let free = released(&found.unwrap_or_else(|| new_lease(&self.lease)), self.clock.now());
                    let free = wanted(&free, self.heir().clone().as_deref());
                    if self.put(&free).await.is_ok() {
                        tracing::info!(identity = self.balance.identity, lease = self.lease, "the Lease is given back");
                        return;
                    }
                }
                sleep(self.balance.timing.retry / 4).await;
            }
        };
        let in_time = timeout(self.balance.timing.deadline, give_back).await;
        let heir = self.heir().take();
        self.balance.note(self.number, heir.as_deref());
        // Longer makes no sense: by then the successor has waited most of the Lease out.
        if in_time.is_err() {
            tracing::warn!(
                identity = self.balance.identity,
                lease = self.lease,
                "the Lease could not be given back: it has to be waited out"
            );
        }
    }

    /// The Lease; none if there is none.
    async fn look(&self) -> Result<Option<Lease>, Trouble> {
        match self.request(self.cluster.lease(&self.namespace, &self.lease)).await {
            Ok(lease) => Ok(Some(lease)),
            Err(Trouble::Missing) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The Lease as it was found, with our name in it. Whoever wanted it has been heard, or does so again.
    fn ours(&self, found: &Lease) -> Lease {
        let lease = of_shards(&wanted(found, None), self.balance.leases());
        held_by(&lease, &self.balance.identity, self.balance.timing.duration, self.clock.now())
    }

    fn heir(&self) -> MutexGuard<'_, Option<String>> {
        self.heir.lock().unwrap_or_else(PoisonError::into_inner)
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
        let answer = timeout(self.balance.timing.request, request).await.unwrap_or(Err(Trouble::Unclear));
        let refused = matches!(answer, Err(Trouble::Denied));
        if refused && !self.refused.swap(refused, Ordering::Relaxed) {
            let (lease, namespace) = (&self.lease, &self.namespace);
            tracing::error!(
                lease,
                namespace,
                "the API server does not let the operator get, create or update its Lease: allow it"
            );
        }
        if answer.is_ok() {
            self.refused.store(false, Ordering::Relaxed);
        }
        answer
    }

    /// Time until the next look: spread, so that candidates do not meet for ever.
    fn pause(&self) -> Duration {
        let number = self.tries.fetch_add(1, Ordering::Relaxed);
        let spread = unit_interval(&format!("{} {} {number}", self.balance.identity, self.lease)) / 5.0;
        self.balance.timing.retry.mul_f64(1.0 + spread)
    }
}
