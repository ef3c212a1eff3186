//! One connection: hyper reads requests and writes whole answers; whatever else is to happen on the wire is done by hand on the socket.
//!
//! A request that has arrived is processed in a task of its own, so that a client that hangs up cannot take it back: the issuer has spent the
//! token and nobody has the answer, which is the very case this simulator exists for.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::admin;
use super::fault::{Fault, Plan};
use super::record::Delivery;
use super::server::Shared;
use super::wire::{Reply, Request};

/// Bodies above this are cut off; no request of these APIs comes near it. Our choice.
const BODY_LIMIT: usize = 1 << 20;

/// A stream whose close can be made a reset.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// What is left to do with the socket once hyper has let go of it.
#[derive(Debug)]
enum Ending {
    Close,
    Reset,
    Partial(Vec<u8>),
    Hang,
}

/// A request that has been processed, and what is still to happen to its answer.
struct Processed {
    answer_ms: u64,
    fault: Option<Fault>,
    reply: Reply,
    receipt: Receipt,
}

/// What the connection is to do.
enum Played {
    Send(Reply, Receipt),
    End(Ending, Receipt),
}

/// Notes in the ledger what became of an answer; dropped unused, the answer was dropped too.
struct Receipt {
    shared: Arc<Shared>,
    number: Option<usize>,
    sent: Delivery,
}

impl Receipt {
    fn note(&mut self, delivery: Delivery) {
        if let Some(number) = self.number.take() {
            self.shared.lock().core.deliver(number, delivery);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.note(Delivery::Dropped);
    }
}

/// A body in one piece that notes when it was handed over.
struct Answer {
    bytes: Option<Bytes>,
    receipt: Option<Receipt>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(mut receipt) = self.receipt.take() {
            receipt.note(receipt.sent);
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().and_then(|bytes| u64::try_from(bytes.len()).ok()).unwrap_or(0))
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let served = match tls {
        None => run(shared, stream).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => run(shared, stream).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

async fn run<S: Wire>(shared: Arc<Shared>, stream: S) -> io::Result<()> {
    let ending = Arc::new(Mutex::new(None));
    let for_service = Arc::clone(&ending);
    let service = service_fn(move |request| Box::pin(respond(Arc::clone(&shared), Arc::clone(&for_service), request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let result = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let ending = ending.lock().unwrap_or_else(PoisonError::into_inner).take();
    match ending {
        None if result.is_ok() => stream.shutdown().await,
        None | Some(Ending::Close) => Ok(()),
        Some(Ending::Reset) => stream.tcp().set_zero_linger(),
        Some(Ending::Partial(bytes)) => {
            stream.write_all(&bytes).await?;
            stream.flush().await
        }
        Some(Ending::Hang) => {
            let mut scrap = [0_u8; 1024];
            while stream.read(&mut scrap).await? > 0 {}
            Ok(())
        }
    }
}

async fn respond(
    shared: Arc<Shared>,
    ending: Arc<Mutex<Option<Ending>>>,
    request: hyper::Request<Incoming>,
) -> anyhow::Result<hyper::Response<Answer>> {
    let request = read(request).await?;
    if request.path.starts_with("/_admin") {
        return answer(admin::handle(&shared, &request), None);
    }
    let processed = tokio::spawn(process(shared, request)).await.context("process the request")?;
    match conclude(processed).await {
        Played::Send(reply, receipt) => answer(reply, Some(receipt)),
        Played::End(how, mut receipt) => {
            if matches!(how, Ending::Partial(_)) {
                receipt.note(Delivery::Truncated);
            }
            *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
            anyhow::bail!("a fault ends the connection")
        }
    }
}

/// Processes one request under the faults that are due.
async fn process(shared: Arc<Shared>, request: Request) -> Processed {
    let Plan { before_ms, answer_ms, fault } = shared.lock().core.plan(&request);
    wait(before_ms).await;
    let (number, reply) = shared.process(&request, fault.as_ref().is_none_or(Fault::processes));
    let receipt = Receipt { shared, number, sent: Delivery::Delivered };
    Processed { answer_ms, fault, reply, receipt }
}

/// Waits and decides what is sent. Unlike the processing it ends with the connection, so that the ledger learns at once that nobody waits.
async fn conclude(Processed { answer_ms, fault, reply, mut receipt }: Processed) -> Played {
    wait(answer_ms).await;
    let replaced = match fault {
        None | Some(Fault::Delay { .. }) => return Played::Send(reply, receipt),
        Some(Fault::DropAnswer { reset: false }) => return Played::End(Ending::Close, receipt),
        Some(Fault::DropAnswer { reset: true } | Fault::ResetBefore) => {
            return Played::End(Ending::Reset, receipt);
        }
        Some(Fault::Hang { .. }) => return Played::End(Ending::Hang, receipt),
        Some(Fault::Truncate { keep, chunked }) => {
            return Played::End(Ending::Partial(partial(&reply, keep, chunked)), receipt);
        }
        Some(Fault::Malformed { body }) => {
            let headers = vec![("content-type".into(), "application/json".into())];
            Reply { status: 200, headers, body: body.into_bytes() }
        }
        Some(Fault::Status { code, headers, body, .. }) => Reply { status: code, headers, body: body.into_bytes() },
    };
    receipt.sent = Delivery::Replaced;
    Played::Send(replaced, receipt)
}

async fn wait(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// The head and the first `keep` bytes of the body, at least one byte short of what the head or the chunk promises.
fn partial(reply: &Reply, keep: usize, chunked: bool) -> Vec<u8> {
    let promised = reply.body.len().max(1);
    let kept = reply.body.get(..keep.min(promised - 1)).unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} Cut\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let length = if chunked {
        format!("transfer-encoding: chunked\r\n\r\n{promised:x}\r\n")
    } else {
        format!("content-length: {promised}\r\n\r\n")
    };
    [head.as_bytes(), length.as_bytes(), kept].concat()
}

fn answer(reply: Reply, mut receipt: Option<Receipt>) -> anyhow::Result<hyper::Response<Answer>> {
    let mut builder = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let bytes = Some(Bytes::from(reply.body)).filter(|bytes| !bytes.is_empty());
    if let (None, Some(receipt)) = (&bytes, &mut receipt) {
        // hyper never asks an empty body for a frame.
        receipt.note(receipt.sent);
    }
    builder.body(Answer { bytes, receipt }).context("build the answer")
}

async fn read(request: hyper::Request<Incoming>) -> anyhow::Result<Request> {
    let (parts, body) = request.into_parts();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: collect(body).await?,
    })
}

async fn collect(mut body: Incoming) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.context("read the request body")?.into_data() {
            out.extend_from_slice(&data);
        }
        anyhow::ensure!(out.len() <= BODY_LIMIT, "the request body is too long");
    }
    Ok(out)
}

/// Accepts connections until it is aborted; its connections end with it.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(Arc::clone(&shared), stream, tls.clone()))),
                // Out of descriptors, most likely: let some connections end first.
                Err(_) => wait(10).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
