//! One connection of the program: hyper reads requests and writes whole answers; resets and cut answers are done by hand on the socket.
//!
//! A request that is to reach the server does so in a task of its own: a program that dies cannot take it back.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use hyper::Request;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Upstream;
use super::script::{Fault, Moment, Script, Seen, Side, Signal};

/// Headers that are about one connection and not about the message.
const OF_CONNECTION: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];
/// Between handing an answer to hyper and [`Moment::AfterAnswer`]: long enough for it to reach the socket. Our choice.
const FLUSH: Duration = Duration::from_micros(300);

/// From the program to one server.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) side: Side,
    pub(super) upstream: Upstream,
    pub(super) script: Arc<Script>,
}

/// A request that has arrived whole.
struct Arrived {
    method: hyper::Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    place: usize,
}

/// What the server said.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

/// What is left to do with the socket once hyper has let go of it.
enum Ending {
    Close,
    Reset,
    Partial(Vec<u8>),
}

type Endings = Arc<Mutex<Option<Ending>>>;

/// The body of an answer.
struct Sent {
    from: From,
    /// Runs when hyper has taken the last of it.
    _after: Option<AfterAnswer>,
}

enum From {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

struct AfterAnswer {
    script: Arc<Script>,
    place: usize,
    signal: Option<Signal>,
}

impl Drop for AfterAnswer {
    fn drop(&mut self) {
        self.script.note(self.place, |seen| seen.answered = Some(Instant::now()));
        if let Some(signal) = self.signal {
            let script = Arc::clone(&self.script);
            tokio::spawn(async move {
                sleep(FLUSH).await;
                script.signal(signal);
            });
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match &mut self.from {
            From::Whole(bytes) => bytes.take(),
            From::Stream(chunks) => match chunks.poll_recv(context) {
                Poll::Ready(chunk) => chunk,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.from, From::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len().try_into().unwrap_or(0))),
            From::Stream(_) => SizeHint::default(),
        }
    }
}

/// Accepts connections until it is aborted; its connections end with it.
pub(super) async fn accept(way: Arc<Way>, listener: TcpListener) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(Arc::clone(&way), stream))),
                // Out of descriptors, most likely: let some connections end first.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(way: Arc<Way>, stream: TcpStream) {
    let mut down = way.script.down(way.side).subscribe();
    if *down.borrow_and_update() {
        // Dropped at once, it is reset.
        let _ = stream.set_zero_linger();
        return;
    }
    // Small answers must not wait for the acknowledgement of the ones before.
    let _ = stream.set_nodelay(true);
    tokio::select! {
        ended = run(way, stream) => if let Err(error) = ended { tracing::debug!(%error, "connection ended") },
        // The script outlives its proxies.
        _ = down.wait_for(|down| *down) => {}
    }
}

async fn run(way: Arc<Way>, stream: TcpStream) -> io::Result<()> {
    let endings = Endings::default();
    let for_service = Arc::clone(&endings);
    let service = service_fn(move |request| Box::pin(respond(Arc::clone(&way), Arc::clone(&for_service), request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let result = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let ending = endings.lock().unwrap_or_else(PoisonError::into_inner).take();
    match ending {
        None if result.is_ok() => stream.shutdown().await,
        None | Some(Ending::Close) => Ok(()),
        Some(Ending::Reset) => stream.set_zero_linger(),
        Some(Ending::Partial(bytes)) => {
            stream.write_all(&bytes).await?;
            stream.flush().await
        }
    }
}

async fn respond(way: Arc<Way>, endings: Endings, request: Request<Incoming>) -> anyhow::Result<hyper::Response<Sent>> {
    let query = request.uri().query().unwrap_or_default();
    let seen = seen(way.side, request.method().as_str(), request.uri().path(), query);
    let list = seen.side == Side::Kubernetes && seen.method == "GET" && is_collection(&seen.path);
    let numbered = !seen.watch && !list && !seen.path.contains("/leases");
    let watch = seen.watch;
    let (parts, body) = request.into_parts();
    let body = collect(body).await?;
    let (place, fault) = way.script.arrived(seen, numbered);
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let arrived = Arrived { method: parts.method, target, headers: parts.headers, body, place };
    if watch {
        return stream(&way, arrived).await;
    }
    match play(&way, arrived, fault).await? {
        Ok(response) => Ok(response),
        Err(ending) => {
            *endings.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
            anyhow::bail!("a fault ends the connection")
        }
    }
}

fn seen(side: Side, method: &str, path: &str, query: &str) -> Seen {
    let asks = |what: &str| query.split('&').any(|pair| pair == what);
    Seen {
        index: None,
        side,
        method: method.to_owned(),
        path: path.to_owned(),
        dry_run: asks("dryRun=All"),
        watch: asks("watch=true") || asks("watch=1"),
        fault: None,
        begun: Instant::now(),
        status: None,
        server_status: None,
        answered: None,
    }
}

/// `/api/v1/namespaces/x/secrets` and not `/api/v1/namespaces/x/secrets/y`: what comes after version and namespace is one word.
fn is_collection(path: &str) -> bool {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = words.as_slice() else { return false };
    matches!(rest, [_] | ["namespaces", _, _])
}

/// Plays a request to its end; the error is how the connection ends instead.
async fn play(way: &Arc<Way>, arrived: Arrived, fault: Option<Fault>) -> anyhow::Result<Result<hyper::Response<Sent>, Ending>> {
    let script = &way.script;
    let place = arrived.place;
    match fault {
        Some(Fault::Delay { forward, .. }) => sleep(forward).await,
        Some(Fault::Signal(signal, Moment::BeforeForward)) => script.signal(signal),
        Some(Fault::Outage(side, time)) => {
            script.outage(side, true);
            let script = Arc::clone(script);
            tokio::spawn(async move {
                sleep(time).await;
                script.outage(side, false);
            });
        }
        _ => {}
    }
    let mut answer = None;
    if fault.is_none_or(|fault| fault.forwards(way.side)) {
        let way = Arc::clone(way);
        answer = Some(tokio::spawn(async move { forward(&way, arrived).await }).await.context("forward the request")??);
    }
    let mut signal = None;
    match fault {
        Some(Fault::Delay { answer, .. }) => sleep(answer).await,
        Some(Fault::Signal(Signal::Kill, Moment::BeforeForward)) => return Ok(Err(Ending::Close)),
        Some(Fault::Signal(Signal::Kill, Moment::BeforeAnswer)) => {
            script.signal(Signal::Kill);
            return Ok(Err(Ending::Close));
        }
        Some(Fault::Signal(Signal::Terminate, Moment::BeforeAnswer)) => script.signal(Signal::Terminate),
        Some(Fault::Signal(sent, Moment::AfterAnswer)) => signal = Some(sent),
        Some(Fault::Drop { reset, .. }) => return Ok(Err(if reset { Ending::Reset } else { Ending::Close })),
        Some(Fault::Outage(side, _)) if side == way.side => return Ok(Err(Ending::Reset)),
        Some(Fault::Hang { .. }) => pending().await,
        Some(Fault::Status { code, .. }) => answer = Some(instead(way.side, code)),
        Some(Fault::Truncate) => {
            let answer = answer.context("nothing to cut")?;
            script.note(place, |seen| seen.status = Some(answer.status));
            return Ok(Err(Ending::Partial(half(&answer))));
        }
        Some(Fault::Signal(Signal::Terminate, Moment::BeforeForward) | Fault::Outage(..)) | None => {}
    }
    let answer = answer.context("no answer to give")?;
    script.note(place, |seen| seen.status = Some(answer.status));
    let after = AfterAnswer { script: Arc::clone(script), place, signal };
    let bytes = Some(answer.body).filter(|bytes| !bytes.is_empty());
    response(answer.status, answer.headers, Sent { from: From::Whole(bytes), _after: Some(after) }).map(Ok)
}

/// Sends a request on and reads the whole answer.
async fn forward(way: &Way, arrived: Arrived) -> anyhow::Result<Answer> {
    let place = arrived.place;
    let reply = request(way, arrived).send().await.context("reach the server")?;
    let (status, headers) = (reply.status().as_u16(), kept(reply.headers()));
    way.script.note(place, |seen| seen.server_status = Some(status));
    Ok(Answer { status, headers, body: reply.bytes().await.context("read the answer")? })
}

/// Passes a watch on as it comes.
async fn stream(way: &Way, arrived: Arrived) -> anyhow::Result<hyper::Response<Sent>> {
    let place = arrived.place;
    let mut reply = request(way, arrived).send().await.context("reach the server")?;
    let (status, headers) = (reply.status().as_u16(), kept(reply.headers()));
    way.script.note(place, |seen| (seen.status, seen.server_status) = (Some(status), Some(status)));
    let (chunks, body) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let chunk = tokio::select! {
                chunk = reply.chunk() => chunk,
                () = chunks.closed() => return,
            };
            let Ok(Some(chunk)) = chunk else { return };
            if chunks.send(chunk).await.is_err() {
                return;
            }
        }
    });
    response(status, headers, Sent { from: From::Stream(body), _after: None })
}

fn request(way: &Way, arrived: Arrived) -> reqwest::RequestBuilder {
    let url = format!("{}{}", way.upstream.url, arrived.target);
    way.upstream.client.request(arrived.method, url).headers(kept(&arrived.headers)).body(arrived.body)
}

fn kept(headers: &HeaderMap) -> HeaderMap {
    headers.iter().filter(|(name, _)| !OF_CONNECTION.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn response(status: u16, headers: HeaderMap, body: Sent) -> anyhow::Result<hyper::Response<Sent>> {
    let mut response = hyper::Response::builder().status(status).body(body).context("build the answer")?;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The answer of a server that refuses, or of a gateway before it.
fn instead(side: Side, code: u16) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if code == 429 {
        headers.insert(hyper::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let body = match side {
        Side::TokenApi => "{}".to_owned(),
        Side::Kubernetes => serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason(code),
            "message": "by order of the fault proxy",
        })
        .to_string(),
    };
    Answer { status: code, headers, body: body.into() }
}

/// `metav1.StatusReason` of a status (apimachinery, `pkg/apis/meta/v1/types.go`).
fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}

/// The head and the first half of the body, at least one byte short of what the head promises.
fn half(answer: &Answer) -> Vec<u8> {
    let promised = answer.body.len().max(1);
    let kept = answer.body.get(..promised / 2).unwrap_or_default();
    let head = format!("HTTP/1.1 {} Cut\r\ncontent-type: application/json\r\ncontent-length: {promised}\r\n\r\n", answer.status);
    [head.as_bytes(), kept].concat()
}

async fn collect(mut body: Incoming) -> anyhow::Result<Bytes> {
    let mut out = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.context("read the request")?.into_data() {
            out.extend_from_slice(&data);
        }
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_from_objects() {
        for list in ["/api/v1/secrets", "/api/v1/namespaces/x/secrets", "/apis/refreshabletoken.io/v1alpha1/refreshabletokens"] {
            assert!(is_collection(list), "{list}");
        }
        for object in
            ["/api/v1/namespaces/x", "/api/v1/namespaces/x/secrets/y", "/apis/a/v1/namespaces/x/ys/z/status", "/version"]
        {
            assert!(!is_collection(object), "{object}");
        }
    }
}
