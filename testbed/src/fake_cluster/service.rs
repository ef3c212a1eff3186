//! The API server as a service over HTTP messages.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use kube::client::Body;
use serde_json::Value;
use tower::BoxError;

use super::failure::Failure;
use super::plan::{Effect, Fate, Loss, Seen};
use super::read;
use super::request::{Request, Verb};
use super::watch::Watch;
use super::write::Answer;
use super::{Inner, Shared, lock};

/// The body of an answer.
pub(super) enum AnswerBody {
    /// As it is.
    Whole(Option<Bytes>),
    /// These bytes, then the end of the connection.
    Torn(Option<Bytes>),
    /// A watch, after these first lines.
    Watch(VecDeque<Bytes>, Box<Watch>),
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Torn(bytes) => {
                let torn = || Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset)));
                Poll::Ready(Some(bytes.take().map_or_else(torn, |bytes| Ok(Frame::data(bytes)))))
            }
            Self::Watch(first, watch) => match first.pop_front() {
                Some(line) => Poll::Ready(Some(Ok(Frame::data(line)))),
                None => watch.poll_line(context).map(|line| line.map(|line| Ok(Frame::data(line)))),
            },
        }
    }
}

/// Answers one request of one client.
pub(super) async fn serve(
    shared: Arc<Shared>,
    client: String,
    request: http::Request<Body>,
) -> Result<http::Response<AnswerBody>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let request = match Request::parse(&parts, &body) {
        Ok(request) => request,
        Err(failure) => {
            lock(&shared.inner).note_unknown(&failure);
            return Ok(refused(&failure));
        }
    };
    let index = lock(&shared.inner).count();
    let seen = Seen { index, client: &client, request: &request };
    let Fate { delay, effect } = lock(&shared.plan).request(&seen);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match effect {
        Effect::Pass => Ok(handle(&shared, &seen, 0)),
        Effect::Stale(writes) => Ok(handle(&shared, &seen, writes)),
        Effect::Instead { applied, loss } => {
            let answer = applied.then(|| handle(&shared, &seen, 0));
            match loss {
                Loss::Answer(failure) => Ok(refused(&failure)),
                Loss::Reset => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                Loss::Hang => std::future::pending().await,
                Loss::HangFor(time) => {
                    tokio::time::sleep(time).await;
                    Err(io::Error::from(io::ErrorKind::TimedOut).into())
                }
                Loss::Truncated => Ok(torn(answer)),
            }
        }
    }
}

/// Handles a request as of some writes ago; only reads can be that late.
fn handle(shared: &Arc<Shared>, seen: &Seen<'_>, writes: u64) -> http::Response<AnswerBody> {
    let request = seen.request;
    let response = if request.verb == Verb::Watch {
        match Watch::open(shared, seen.client, request) {
            Ok((watch, first)) => respond(200, AnswerBody::Watch(first.into(), Box::new(watch))),
            Err(failure) => refused(&failure),
        }
    } else {
        let answer = lock(&shared.inner).answer(request, writes);
        match answer {
            Ok((code, body)) => respond(code, whole(&body)),
            Err(failure) => {
                lock(&shared.inner).note_unknown(&failure);
                refused(&failure)
            }
        }
    };
    lock(&shared.plan).handled(seen, response.status().as_u16());
    response
}

impl Inner {
    fn answer(&mut self, request: &Request, writes: u64) -> Answer {
        let before = self.store.revision();
        let answer = match request.verb {
            Verb::Get if writes > 0 => read::get(&self.store.earlier(writes), request),
            Verb::List if writes > 0 => read::list(&self.store.earlier(writes), request),
            Verb::Get => read::get(&self.store, request),
            Verb::List => read::list(&self.store, request),
            Verb::Watch => Err(Failure::not_implemented("a watch without a stream")),
            Verb::Create => self.create(request),
            Verb::Update => self.update(request),
            Verb::JsonPatch | Verb::MergePatch => self.patch(request),
            Verb::Apply => self.apply(request),
            Verb::Delete => self.delete(request),
        };
        if self.store.revision() != before {
            self.wake();
        }
        let metadata =
            |(code, object)| (code, if request.verb.is_write() && request.only_metadata { partial(&object) } else { object });
        answer.map(metadata)
    }
}

fn partial(object: &Arc<Value>) -> Arc<Value> {
    Arc::new(read::only_metadata(object))
}

fn whole(body: &Value) -> AnswerBody {
    AnswerBody::Whole(Some(body.to_string().into()))
}

fn refused(failure: &Failure) -> http::Response<AnswerBody> {
    let mut response = respond(failure.code, whole(&failure.body()));
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

fn torn(answer: Option<http::Response<AnswerBody>>) -> http::Response<AnswerBody> {
    let half = answer.and_then(|answer| match answer.into_body() {
        AnswerBody::Whole(Some(bytes)) => Some(bytes.slice(..bytes.len() / 2)),
        AnswerBody::Whole(None) | AnswerBody::Torn(_) | AnswerBody::Watch(..) => None,
    });
    respond(200, AnswerBody::Torn(half))
}

fn respond(code: u16, body: AnswerBody) -> http::Response<AnswerBody> {
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
