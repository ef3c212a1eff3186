//! What is to happen to which request, and what has happened so far.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Which server a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The Kubernetes API server.
    Kubernetes,
    /// The token API.
    TokenApi,
}

/// What is sent to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL: whatever it was doing is not finished.
    Kill,
    /// SIGTERM: it is asked to end.
    Terminate,
}

/// When, in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has left the program and not reached the server. After SIGKILL it never does.
    BeforeForward,
    /// The server has answered. After SIGKILL nobody gets the answer.
    BeforeAnswer,
    /// The answer was handed to the socket, at most about a millisecond ago.
    AfterAnswer,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The program gets a signal.
    Signal(Signal, Moment),
    /// The connection is closed without a byte of answer.
    Drop {
        /// The request reaches the server.
        forward: bool,
        /// Close with RST and not with FIN.
        reset: bool,
    },
    /// The request reaches the server later, and so does the answer the program.
    Delay {
        /// Before it is forwarded.
        forward: Duration,
        /// Before it is answered.
        answer: Duration,
    },
    /// An answer in place of the server's. On the Kubernetes side its body is a `Status`.
    Status {
        /// The HTTP status; 429 comes with `Retry-After: 1`.
        code: u16,
        /// The request reaches the server.
        forward: bool,
    },
    /// No answer until the program gives up.
    Hang {
        /// The request reaches the server.
        forward: bool,
    },
    /// The head and the first half of the server's answer, then the end of the connection.
    Truncate,
    /// From this request on that server is out of reach for so long. A request to the other one passes.
    Outage(Side, Duration),
}

impl Fault {
    /// Whether a request to that server reaches it.
    #[must_use]
    pub fn forwards(self, to: Side) -> bool {
        match self {
            Self::Signal(Signal::Kill, moment) => moment != Moment::BeforeForward,
            Self::Signal(Signal::Terminate, _) | Self::Delay { .. } | Self::Truncate => true,
            Self::Drop { forward, .. } | Self::Status { forward, .. } | Self::Hang { forward } => forward,
            Self::Outage(side, _) => side != to,
        }
    }

    /// Whether the program dies of it.
    #[must_use]
    pub fn kills(self) -> bool {
        matches!(self, Self::Signal(Signal::Kill, _))
    }
}

/// A fault and the requests that it is for.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    indexes: std::ops::Range<usize>,
    side: Option<Side>,
    method: Option<&'static str>,
    path: String,
    times: usize,
}

impl Rule {
    /// The fault at the request of this index, once.
    #[must_use]
    pub fn at(index: usize, fault: Fault) -> Self {
        Self { indexes: index..index + 1, ..Self::each(fault) }
    }

    /// The fault at every numbered request.
    #[must_use]
    pub fn each(fault: Fault) -> Self {
        Self { fault, indexes: 0..usize::MAX, side: None, method: None, path: String::new(), times: usize::MAX }
    }

    /// The same for one server only.
    #[must_use]
    pub fn side(self, side: Side) -> Self {
        Self { side: Some(side), ..self }
    }

    /// The same for one method and paths that end so only.
    #[must_use]
    pub fn on(self, method: &'static str, path: &str) -> Self {
        Self { method: Some(method), path: path.to_owned(), ..self }
    }

    /// The same from this index on.
    #[must_use]
    pub fn from(self, index: usize) -> Self {
        Self { indexes: index..self.indexes.end, ..self }
    }

    /// The same for so many requests.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn strikes(&mut self, seen: &Seen) -> bool {
        let fits = self.times > 0
            && seen.index.is_some_and(|index| self.indexes.contains(&index))
            && self.side.is_none_or(|side| side == seen.side)
            && self.method.is_none_or(|method| method == seen.method)
            && seen.path.ends_with(&self.path);
        if fits {
            self.times -= 1;
        }
        fits
    }
}

/// One request that arrived whole at a proxy.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place in the course; none for watches, lists, Leases, and before the counting began.
    pub index: Option<usize>,
    /// The server it is for.
    pub side: Side,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// The query asks for a trial only.
    pub dry_run: bool,
    /// A watch, which lasts until somebody ends it.
    pub watch: bool,
    /// What happened to it.
    pub fault: Option<Fault>,
    /// When it had arrived.
    pub begun: Instant,
    /// The status that the program was sent, or was to be sent; none so far, or no answer.
    pub status: Option<u16>,
    /// The status that the server gave, whether or not the program got to know.
    pub server_status: Option<u16>,
    /// When the answer was handed to the socket.
    pub answered: Option<Instant>,
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        let status = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let trial = if self.dry_run { " (dry run)" } else { "" };
        write!(out, "{index:>3} {:6} {}{trial}: {status}", self.method, self.path)?;
        self.fault.map_or(Ok(()), |fault| write!(out, " under {fault:?}"))
    }
}

type Hook = Arc<dyn Fn(Signal) + Send + Sync>;

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    counted: Option<usize>,
    hook: Option<Hook>,
}

/// Rules and record of one or more proxies.
pub struct Script {
    inner: Mutex<Inner>,
    down: [watch::Sender<bool>; 2],
}

impl Default for Script {
    fn default() -> Self {
        Self { inner: Mutex::default(), down: [watch::Sender::new(false), watch::Sender::new(false)] }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Script").field("rules", &self.lock().rules).finish_non_exhaustive()
    }
}

impl Script {
    /// No rules, nothing seen.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How the program is signalled; for [`Signal::Kill`] it returns when the program is dead.
    pub fn on_signal(&self, hook: impl Fn(Signal) + Send + Sync + 'static) {
        self.lock().hook = Some(Arc::new(hook));
    }

    /// Adds a rule behind the others; of those that fit a request the first one counts.
    pub fn arm(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Takes all rules away. An outage goes on for its time.
    pub fn disarm(&self) {
        self.lock().rules.clear();
    }

    /// Begins to number requests, again from 0.
    pub fn count(&self) {
        self.lock().counted = Some(0);
    }

    /// Puts a server out of reach, or back: connections are cut, and new ones reset.
    pub fn outage(&self, side: Side, on: bool) {
        self.down(side).send_replace(on);
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// The numbered requests since the last [`Self::count`].
    #[must_use]
    pub fn course(&self) -> Vec<Seen> {
        let mut course: Vec<Seen> = Vec::new();
        for seen in self.lock().seen.iter().filter(|seen| seen.index.is_some()) {
            if seen.index == Some(0) {
                course.clear();
            }
            course.push(seen.clone());
        }
        course
    }

    /// Whether a rule has struck.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.lock().seen.iter().any(|seen| seen.fault.is_some())
    }

    /// How many watches were answered and may still be streaming.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.lock().seen.iter().filter(|seen| seen.watch && seen.status == Some(200)).count()
    }

    pub(super) fn down(&self, side: Side) -> &watch::Sender<bool> {
        let [kubernetes, token_api] = &self.down;
        match side {
            Side::Kubernetes => kubernetes,
            Side::TokenApi => token_api,
        }
    }

    /// Records a request that has arrived; gives its place in the record and what is to happen to it.
    pub(super) fn arrived(&self, mut seen: Seen, numbered: bool) -> (usize, Option<Fault>) {
        let mut inner = self.lock();
        if let Some(counted) = inner.counted.as_mut().filter(|_| numbered) {
            seen.index = Some(*counted);
            *counted += 1;
        }
        seen.fault = inner.rules.iter_mut().find_map(|rule| rule.strikes(&seen).then_some(rule.fault));
        let fault = seen.fault;
        inner.seen.push(seen);
        (inner.seen.len() - 1, fault)
    }

    /// Notes something about a recorded request.
    pub(super) fn note(&self, place: usize, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.lock().seen.get_mut(place) {
            change(seen);
        }
    }

    /// Signals the program; without the lock, because that can take a moment.
    pub(super) fn signal(&self, signal: Signal) {
        let hook = self.lock().hook.clone();
        if let Some(hook) = hook {
            hook(signal);
        }
    }

    /// The lock; a panic elsewhere does not spoil what it protects, whose changes are complete or not begun.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
