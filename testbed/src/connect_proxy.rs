//! An HTTP proxy that opens tunnels (CONNECT, RFC 9110 section 9.3.6), or does what proxies do instead.
//!
//! It notes what it is asked and never looks into a tunnel.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Most bytes of a question.
const MOST_HEAD: usize = 16 * 1024;

/// What the proxy does with whoever connects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Opens the tunnel.
    Open,
    /// Opens it for these credentials, and answers 407 to all others.
    Demand {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// Answers with this status, which must not be 200.
    Refuse(u16),
    /// Reads the question and says nothing.
    Hang,
    /// Reads the question and hangs up.
    Close,
}

/// What the proxy was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The first line, such as `CONNECT art.example.com:443 HTTP/1.1`; empty if the client left before it was there.
    pub line: String,
    /// Credentials came along.
    pub credentials: bool,
    /// The tunnel was opened.
    pub opened: bool,
}

/// A running proxy; it stops when it is dropped, and its tunnels end.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    /// Where all names lead; none: a name is an address.
    everywhere: Option<SocketAddr>,
    state: Mutex<State>,
    cut: Notify,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    asked: Vec<Asked>,
}

impl ConnectProxy {
    /// Listens on a free port of 127.0.0.1. `everywhere`: where all tunnels lead, whatever host they are asked for, as if the proxy had a
    /// resolver of its own; without it they lead to the address that stands in the place of a name.
    pub async fn start(manner: Manner, everywhere: Option<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for the proxy")?;
        let address = listener.local_addr().context("learn the address")?;
        let state = Mutex::new(State { manner, asked: Vec::new() });
        let shared = Arc::new(Shared { everywhere, state, cut: Notify::new() });
        let accepting = Arc::clone(&shared);
        let accept = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&accepting), client));
            }
        });
        Ok(Self { address, shared, accept: accept.abort_handle() })
    }

    /// Where it is, as a provider names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does from the next connection on.
    pub fn behave(&self, manner: Manner) {
        self.shared.state().manner = manner;
    }

    /// What it was asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().asked.clone()
    }

    /// Ends all tunnels.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.accept.abort();
        self.cut();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client. Whatever breaks ends its connection, which is all that it can be told.
async fn serve(shared: Arc<Shared>, mut client: TcpStream) {
    let head = question(&mut client).await;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let given = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: ")).map(str::to_owned);
    let manner = shared.state().manner.clone();
    let status = match &manner {
        Manner::Open => 200,
        Manner::Demand { username, password } => {
            let wanted = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
            if given.as_ref() == Some(&wanted) { 200 } else { 407 }
        }
        Manner::Refuse(status) => *status,
        Manner::Hang | Manner::Close => 0,
    };
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let server = match target.filter(|_| status == 200) {
        Some(target) => match shared.everywhere {
            Some(everywhere) => TcpStream::connect(everywhere).await.ok(),
            None => TcpStream::connect(target).await.ok(),
        },
        None => None,
    };
    let cut = shared.cut.notified();
    shared.state().asked.push(Asked { line, credentials: given.is_some(), opened: server.is_some() });
    match (manner, server) {
        (Manner::Close, _) => {}
        (Manner::Hang, _) => {
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
        (_, Some(mut server)) => {
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                () = cut => {}
            }
        }
        (_, None) => {
            let status = if status == 200 { 502 } else { status };
            let challenge = if status == 407 { "proxy-authenticate: Basic realm=\"proxy\"\r\n" } else { "" };
            let answer = format!("HTTP/1.1 {status} No\r\n{challenge}content-length: 2\r\nconnection: close\r\n\r\nno");
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = client.shutdown().await;
        }
    }
}

/// What the client asks, to the empty line.
async fn question(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") && head.len() <= MOST_HEAD {
        match client.read(&mut buffer).await {
            Ok(read @ 1..) => head.extend(buffer.iter().take(read)),
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
