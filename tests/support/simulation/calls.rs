//! The way from a replica to the issuer, and all that can happen on it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use refreshable_token_operator::operator::transport::{Connection, TokenCalls};
use refreshable_token_operator::provider::{Delivery, Lost, NotSent, RawBody, Reply, TokenRequest};

use super::control::{Control, Effect};
use super::fault::Fault;
use super::issuer::{BEGIN, IDENTITY, INTROSPECT};
use super::judge::Judge;

/// How long a request takes to the issuer, and the answer back. Our choice.
const WAY: Duration = Duration::from_millis(10);

/// How the URL ends at which tokens are revoked.
pub const REVOKE: &str = "/revoke";

/// What the token API as a whole does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// It answers.
    Fair,
    /// Nothing can be connected to.
    Down,
    /// It refuses all with this status and, if there is one, `Retry-After` in seconds.
    Refuses(u16, Option<u32>),
}

/// The calls of one process.
pub struct SimulatedCalls {
    /// Whose they are.
    pub process: String,
    /// Who decides.
    pub control: Control,
    /// The issuer, and who knows what is held.
    pub judge: Arc<Judge>,
}

impl SimulatedCalls {
    async fn call(&self, request: &TokenRequest, connection: &Connection) -> Delivery {
        let fault = self.control.effect(&self.process, &Effect::Send);
        if fault == Some(Fault::CrashBefore) {
            return std::future::pending().await;
        }
        if request.url.ends_with(REVOKE) {
            // Nobody's token hangs on the answer: no fault but death meets it.
            tokio::time::sleep(WAY).await;
            let (status, body) = self.judge.issuer().revoke(&field(request, "token"));
            return Delivery::Answered(reply(status, &body, None));
        }
        if request.url.ends_with(INTROSPECT) {
            return self.look_at(&field(request, "token"), fault, connection).await;
        }
        self.control.note_call();
        tokio::time::sleep(WAY).await;
        match self.judge.weather() {
            Weather::Fair => {}
            Weather::Down => return Delivery::NotSent(NotSent::NotConnected),
            Weather::Refuses(status, after) => return Delivery::Answered(reply(status, "", after)),
        }
        let mut answer = None;
        if fault.is_none_or(Fault::is_applied) {
            answer = Some(self.judge.present(&presented(request), &header(request, "idempotency-key")));
        }
        if fault.is_some() && answer.as_ref().is_some_and(|(status, _)| *status == 200) {
            self.judge.lost_in_flight();
        }
        tokio::time::sleep(WAY).await;
        if self.control.is_dead(&self.process) {
            if answer.is_some_and(|(status, _)| status == 200) {
                self.judge.lost_in_flight();
            }
            return std::future::pending().await;
        }
        self.arrive(fault, answer, connection).await
    }

    /// A question about a token, which spends nothing: whatever meets it, the answer is lost or another.
    async fn look_at(&self, token: &str, fault: Option<Fault>, connection: &Connection) -> Delivery {
        tokio::time::sleep(WAY).await;
        let (status, body) = self.judge.introspect(token);
        tokio::time::sleep(WAY).await;
        if self.control.is_dead(&self.process) {
            return std::future::pending().await;
        }
        match (fault, self.judge.weather()) {
            (None, Weather::Fair) => Delivery::Answered(reply(status, &body, None)),
            (None, Weather::Down) => Delivery::NotSent(NotSent::NotConnected),
            (None, Weather::Refuses(status, after)) => Delivery::Answered(reply(status, "", after)),
            (Some(Fault::Refused(code)), _) => Delivery::Answered(reply(code, "", None)),
            (Some(Fault::Hang | Fault::HangApplied), _) => {
                tokio::time::sleep(connection.request_timeout).await;
                Delivery::Lost { why: Lost::Timeout, partial: None }
            }
            (Some(_), _) => Delivery::Lost { why: Lost::ConnectionEnded, partial: None },
        }
    }

    async fn arrive(&self, fault: Option<Fault>, answer: Option<(u16, String)>, connection: &Connection) -> Delivery {
        match (fault, answer) {
            (None, Some((status, body))) => {
                if status == 200 {
                    self.control.note_held(&self.process);
                    self.control.note_answer();
                }
                Delivery::Answered(reply(status, &body, None))
            }
            (Some(Fault::Refused(code)), _) => Delivery::Answered(reply(code, "", (code == 429).then_some(30))),
            (Some(Fault::TimeoutApplied), _) => Delivery::Answered(reply(504, "", None)),
            (Some(Fault::Truncated), Some((status, body))) => {
                let half = body.get(..body.len() / 2).unwrap_or_default();
                Delivery::Lost { why: Lost::ConnectionEnded, partial: Some(reply(status, half, None)) }
            }
            (Some(Fault::Hang | Fault::HangApplied), _) => {
                tokio::time::sleep(connection.request_timeout).await;
                Delivery::Lost { why: Lost::Timeout, partial: None }
            }
            _ => Delivery::Lost { why: Lost::ConnectionEnded, partial: None },
        }
    }
}

impl TokenCalls for SimulatedCalls {
    fn send<'a>(&'a self, request: &'a TokenRequest, connection: &'a Connection) -> BoxFuture<'a, Delivery> {
        self.call(request, connection).boxed()
    }

    fn connect<'a>(&'a self, _: &'a str, connection: &'a Connection) -> BoxFuture<'a, Result<(), NotSent>> {
        async move {
            let fault = self.control.effect(&self.process, &Effect::Connect);
            if self.control.is_dead(&self.process) {
                return std::future::pending().await;
            }
            tokio::time::sleep(WAY).await;
            match (fault, self.judge.weather()) {
                (None, Weather::Fair | Weather::Refuses(..)) => Ok(()),
                (Some(Fault::Hang | Fault::HangApplied), _) => {
                    tokio::time::sleep(connection.connect_timeout).await;
                    Err(NotSent::ConnectTimeout)
                }
                (Some(_), _) | (None, Weather::Down) => Err(NotSent::NotConnected),
            }
        }
        .boxed()
    }
}

/// A field of a form; empty where there is none.
fn field(request: &TokenRequest, name: &str) -> String {
    let body = request.body.as_ref().map(|body| body.content.reveal()).unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(body.as_bytes());
    fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The token that is spent: in the form, or the bearer; or what begins a chain.
fn presented(request: &TokenRequest) -> String {
    let token = field(request, "refresh_token");
    let bearer = header(request, "authorization").strip_prefix("Bearer ").map(str::to_owned);
    match bearer {
        Some(bearer) if bearer == IDENTITY && token.is_empty() => BEGIN.to_owned(),
        Some(bearer) if token.is_empty() => bearer,
        Some(_) | None => token,
    }
}

/// A header; empty where there is none.
fn header(request: &TokenRequest, name: &str) -> String {
    let header = request.headers.iter().find(|(key, _)| *key == name);
    header.map(|(_, value)| value.reveal().to_owned()).unwrap_or_default()
}

fn reply(status: u16, body: &str, after: Option<u32>) -> Reply {
    let headers = after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
    Reply { status, headers: headers.into_iter().collect(), body: RawBody(body.as_bytes().to_vec()) }
}
