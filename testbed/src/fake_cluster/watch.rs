//! A watch: the body of an answer that goes on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use super::json::set_meta;
use super::plan::{EventFate, SeenEvent};
use super::read::{bookmark, only_metadata};
use super::request::Request;
use super::store::Change;
use super::{Inner, Shared, failure::Failure, lock};

/// How often a quiet watch gets a bookmark (`defaultBookmarkFrequency` of the watch cache).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts if the client does not say: half of the server's least time of 30 minutes and more. Our choice.
const LONGEST: Duration = Duration::from_secs(1800);

/// What the cluster knows of an open watch.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) client: String,
    pub(super) waker: Option<Waker>,
    /// It ends without a further event.
    pub(super) cut: bool,
}

/// The events of one watch.
pub(super) struct Watch {
    shared: Arc<Shared>,
    id: u64,
    client: String,
    request: Request,
    /// All changes up to here were dealt with.
    revision: u64,
    /// The change that was let through after a delay.
    decided: u64,
    ends: Instant,
    bookmark_at: Instant,
    held_until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl Watch {
    /// Opens a watch from the request's resourceVersion; none or 0 begins now, with what is there as `ADDED`.
    pub(super) fn open(shared: &Arc<Shared>, client: &str, request: &Request) -> Result<(Self, Vec<Bytes>), Failure> {
        let mut inner = lock(&shared.inner);
        let given = request.resource_version.as_deref().unwrap_or_default();
        let fresh = given.is_empty() || given == "0" || request.initial_events;
        let revision = if fresh {
            inner.store.revision()
        } else {
            given.parse().map_err(|_| Failure::bad_request("Invalid value: resourceVersion"))?
        };
        let mut first = Vec::new();
        if fresh {
            first = initial(&inner, request);
        }
        let id = inner.next_watch;
        inner.next_watch += 1;
        inner.watches.insert(id, Open { client: client.to_owned(), ..Open::default() });
        let now = Instant::now();
        let lasts = request.timeout_seconds.map_or(LONGEST, Duration::from_secs);
        let watch = Self {
            shared: Arc::clone(shared),
            id,
            client: client.to_owned(),
            request: request.clone(),
            revision,
            decided: 0,
            ends: now + lasts,
            bookmark_at: now + BOOKMARK_EVERY,
            held_until: None,
            timer: None,
            over: false,
        };
        Ok((watch, first))
    }

    /// The next line, or the end.
    pub(super) fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.over || lock(&self.shared.inner).watches.get(&self.id).is_none_or(|open| open.cut) {
                return Poll::Ready(None);
            }
            let now = Instant::now();
            if self.held_until.is_none_or(|until| until <= now) {
                self.held_until = None;
                match self.advance(now) {
                    Some(Advance::Line(line)) => return Poll::Ready(Some(line)),
                    Some(Advance::End) => return Poll::Ready(None),
                    Some(Advance::Nothing) => continue,
                    None => {}
                }
            }
            if let Some(line) = self.tick(now) {
                return Poll::Ready(Some(line));
            }
            if self.ends <= now {
                return Poll::Ready(None);
            }
            if self.wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Deals with one change; none if there is none.
    fn advance(&mut self, now: Instant) -> Option<Advance> {
        let change = {
            let inner = lock(&self.shared.inner);
            if inner.store.has_forgotten(self.revision) {
                self.over = true;
                let gone = Failure::expired("The resourceVersion for the provided watch is too old.");
                return Some(Advance::Line(line("ERROR", &gone.body())));
            }
            inner.store.next_change(self.revision, |change| concerns(change, &self.request)).cloned()
        }?;
        let (type_, object) = shown(&change, &self.request)?;
        if self.decided < change.revision {
            let seen = SeenEvent { client: &self.client, kind: change.key.kind, type_, object: &object };
            let fate = lock(&self.shared.plan).event(&seen);
            self.decided = change.revision;
            match fate {
                EventFate::Send => {}
                EventFate::Drop => {
                    self.revision = change.revision;
                    return Some(Advance::Nothing);
                }
                EventFate::Delay(delay) => {
                    self.held_until = Some(now + delay);
                    return Some(Advance::Nothing).filter(|_| delay.is_zero());
                }
                EventFate::Cut => return Some(Advance::End),
            }
        }
        self.revision = change.revision;
        let object = if self.request.only_metadata { only_metadata(&object) } else { object };
        Some(Advance::Line(line(type_, &object)))
    }

    /// A bookmark, if it is time.
    fn tick(&mut self, now: Instant) -> Option<Bytes> {
        if !self.request.bookmarks || self.bookmark_at > now || self.held_until.is_some() {
            return None;
        }
        self.bookmark_at = now + BOOKMARK_EVERY;
        // Nothing of interest lies between here and the newest write.
        self.revision = self.revision.max(lock(&self.shared.inner).store.revision());
        Some(line("BOOKMARK", &bookmark(self.request.kind, self.request.only_metadata, self.revision)))
    }

    /// Waits for a write or for the next time at which something is due.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(open) = lock(&self.shared.inner).watches.get_mut(&self.id) {
            open.waker = Some(context.waker().clone());
        }
        let bookmark = self.request.bookmarks.then_some(self.bookmark_at).filter(|_| self.held_until.is_none());
        let due = [bookmark, self.held_until].into_iter().flatten().fold(self.ends, Instant::min);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context)
    }
}

enum Advance {
    Line(Bytes),
    Nothing,
    End,
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.shared.inner).watches.remove(&self.id);
    }
}

fn concerns(change: &Change, request: &Request) -> bool {
    let place = change.key.kind == request.kind && (request.namespace.is_empty() || request.namespace == change.key.namespace);
    let selected = |object: &Option<Arc<Value>>| object.as_ref().is_some_and(|object| request.selector.matches(object));
    place && (selected(&change.before) || selected(&change.after))
}

/// What a watch shows of a change. An object that no longer fits the selector is deleted as far as the watch can see.
fn shown(change: &Change, request: &Request) -> Option<(&'static str, Value)> {
    let fitting = |object: &Option<Arc<Value>>| object.clone().filter(|object| request.selector.matches(object));
    match (fitting(&change.before), fitting(&change.after)) {
        (None, Some(after)) => Some(("ADDED", Value::clone(&after))),
        (Some(_), Some(after)) => Some(("MODIFIED", Value::clone(&after))),
        (Some(before), None) => {
            let mut object = Value::clone(&before);
            set_meta(&mut object, "resourceVersion", Some(change.revision.to_string().into()));
            Some(("DELETED", object))
        }
        (None, None) => None,
    }
}

/// What is there when the watch begins, and the bookmark that ends it where that was asked for.
fn initial(inner: &Inner, request: &Request) -> Vec<Bytes> {
    let namespace = Some(request.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let found = inner.store.list(request.kind, namespace);
    let fitting = found.iter().filter(|object| request.selector.matches(object));
    let mut lines: Vec<Bytes> = fitting
        .map(|object| if request.only_metadata { line("ADDED", &only_metadata(object)) } else { line("ADDED", object) })
        .collect();
    if request.initial_events {
        let mut end = bookmark(request.kind, request.only_metadata, inner.store.revision());
        set_meta(&mut end, "annotations", Some(json!({ "k8s.io/initial-events-end": "true" })));
        lines.push(line("BOOKMARK", &end));
    }
    lines
}

fn line(type_: &str, object: &Value) -> Bytes {
    // In this order, as the API server has it: clients can decode the object without keeping it first.
    format!("{{\"type\":\"{type_}\",\"object\":{object}}}\n").into()
}
