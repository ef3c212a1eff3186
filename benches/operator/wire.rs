//! Counts the bytes between the operator and the API server: a relay that understands nothing of them, so that TLS is from end to end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Largest piece that is passed on at once: what one TLS record holds, about.
const PIECE: usize = 16 * 1024;

/// A running relay; it takes no new connections when it is dropped.
pub struct Relay {
    address: SocketAddr,
    counted: Arc<AtomicU64>,
    accept: AbortHandle,
}

impl Relay {
    /// Listens on a free port and passes everything on to `server`.
    pub async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for the relay")?;
        let address = listener.local_addr().context("learn the address")?;
        let counted = Arc::<AtomicU64>::default();
        let accept = tokio::spawn(accept(listener, server, Arc::clone(&counted))).abort_handle();
        Ok(Self { address, counted, accept })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes so far, both ways, as TCP carries them.
    pub fn bytes(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, counted: Arc<AtomicU64>) {
    while let Ok((client, _)) = listener.accept().await {
        // Whoever cannot be reached is told by the end of the connection.
        let Ok(server) = TcpStream::connect(server).await else { continue };
        // Small records must not wait for each other.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(pass(from_client, to_server, Arc::clone(&counted)));
        tokio::spawn(pass(from_server, to_client, Arc::clone(&counted)));
    }
}

/// One way of one connection, until either end has enough.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counted: Arc<AtomicU64>) {
    let mut piece = vec![0; PIECE];
    while let Ok(read) = from.read(&mut piece).await {
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        counted.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
