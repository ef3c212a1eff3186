//! What goes wrong, and when: a plan sees every request and every event, and decides what becomes of it.

use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use super::kind::Kind;
use super::request::Request;

/// Decides the fate of requests and events. All that it does not decide goes well.
pub trait Plan: Send {
    /// A request has come, and nothing is done yet. Objects may be changed here by hand, as if just before.
    fn request(&mut self, seen: &Seen<'_>) -> Fate {
        let _ = seen;
        Fate::default()
    }

    /// The request was handled, its answer is not sent yet. Objects may be changed here by hand, as if just after.
    fn handled(&mut self, seen: &Seen<'_>, code: u16) {
        let _ = (seen, code);
    }

    /// An event is about to be sent to a watch.
    fn event(&mut self, event: &SeenEvent<'_>) -> EventFate {
        let _ = event;
        EventFate::Send
    }
}

/// The plan in which nothing goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calm;

impl Plan for Calm {}

/// A request, as a plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// How many requests came before it, from all clients.
    pub index: u64,
    /// Whose request it is.
    pub client: &'a str,
    /// What it asks for.
    pub request: &'a Request,
}

/// An event, as a plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct SeenEvent<'a> {
    /// Whose watch it is for.
    pub client: &'a str,
    /// Kind of the object.
    pub kind: Kind,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub type_: &'a str,
    /// The object, whole even if the watch asked for metadata only.
    pub object: &'a Value,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Time until it is handled.
    pub delay: Duration,
    /// What happens then.
    pub effect: Effect,
}

/// What happens to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It is handled, and its answer arrives.
    #[default]
    Pass,
    /// A read is answered as so many writes ago.
    Stale(u64),
    /// It is handled or not, and its answer does not arrive.
    Instead {
        /// Whether it is handled.
        applied: bool,
        /// What arrives.
        loss: Loss,
    },
}

/// What arrives in place of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// This failure.
    Answer(Failure),
    /// The end of the connection.
    Reset,
    /// Nothing, for ever.
    Hang,
    /// Nothing for so long, then the end of the connection, as a client with a read timeout sees a dead one.
    HangFor(Duration),
    /// Half of the answer's body, then the end of the connection.
    Truncated,
}

impl Fate {
    /// Not handled, answered with this code; see [`Failure::by_code`].
    #[must_use]
    pub fn refuse(code: u16) -> Self {
        Self::lose(false, Loss::Answer(Failure::by_code(code)))
    }

    /// Handled or not, and something else arrives.
    #[must_use]
    pub fn lose(applied: bool, loss: Loss) -> Self {
        Self { effect: Effect::Instead { applied, loss }, ..Self::default() }
    }

    /// The same fate, later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFate {
    /// It is sent.
    Send,
    /// It is never sent, as a watch that lost it.
    Drop,
    /// It and all that follow are sent later.
    Delay(Duration),
    /// The watch ends before it: the client comes back with the resourceVersion that it knows.
    Cut,
}
