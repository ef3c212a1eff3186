//! Servers on loopback that do what a test tells them and note what reached them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One server: what it does with a connection is a function of the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    peers: watch::Receiver<Vec<SocketAddr>>,
}

/// One connection of a client.
pub(crate) struct Peer<S> {
    pub(crate) io: S,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub(crate) async fn start<F, T>(act: F) -> Self
    where
        F: Fn(Peer<TcpStream>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (note, peers) = watch::channel(Vec::new());
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((io, peer)) = listener.accept().await {
                note.send_modify(|peers| peers.push(peer));
                tokio::spawn(act(Peer { io, seen: Arc::clone(&log) }));
            }
        });
        Self { address, seen, peers }
    }

    /// A server that reads the request, writes `answer` and waits for the client to leave.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                peer.request().await;
                peer.write(&answer).await;
                peer.rest().await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/path?query=canary-query", self.address)
    }

    pub(crate) fn https(&self) -> String {
        format!("https://{}/path?query=canary-query", self.address)
    }

    /// How many connections there were before this call. The kernel hands connections out in order, so a connection of our own
    /// is the last.
    pub(crate) async fn connections(&self) -> usize {
        let own = TcpStream::connect(self.address).await.unwrap().local_addr().unwrap();
        let mut peers = self.peers.clone();
        let before = |peers: &Vec<SocketAddr>| peers.iter().position(|peer| *peer == own);
        let peers = peers.wait_for(|peers| before(peers).is_some()).await.unwrap();
        before(&peers).unwrap()
    }

    /// All that clients have sent.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.text().matches(" HTTP/1.1\r\n").count()
    }
}

impl<S> Peer<S> {
    /// The same client behind another stream, such as a TLS session on this one.
    pub(crate) fn over<N>(self, wrap: impl FnOnce(S) -> N) -> Peer<N> {
        Peer { io: wrap(self.io), seen: self.seen }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads until the request with its body is there or the client has left.
    pub(crate) async fn request(&mut self) {
        let mut text = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = self.io.read(&mut buffer).await.unwrap_or(0);
            text.extend_from_slice(&buffer[..read]);
            self.seen.lock().unwrap().extend_from_slice(&buffer[..read]);
            if read == 0 || complete(&text) {
                return;
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// Reads until the client leaves.
    pub(crate) async fn rest(&mut self) {
        let mut rest = Vec::new();
        let _ = self.io.read_to_end(&mut rest).await;
        self.seen.lock().unwrap().extend_from_slice(&rest);
    }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}
