//! Answers that are made to do harm, on a real socket: what each costs in memory and time, and what it is told as. Each meets a
//! process of its own, whose memory the kernel counts.

use std::process::Stdio;
use std::sync::Arc;

use refreshable_token_operator::api::Timeouts;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::server::{Peer, Server};
use super::*;

/// By how much an answer may let the process grow (reference, goal 19).
const MOST_GROWTH_KIB: u64 = 16 * 1024;
/// What a busy machine may add to the time limit. Our choice: twelve processes were seen 12 s late on two cores that built besides.
const SLACK: Duration = Duration::from_secs(45);
/// How long the child lives on after its call, so that the server sees whether the connection has ended before the process does.
const LINGER: Duration = Duration::from_secs(5);

/// What an answer is made of.
#[derive(Clone, Copy)]
enum Bomb {
    /// This text, and then this one for ever.
    Flood(&'static str, &'static str),
    /// This text, and then a byte of the other every second.
    Drip(&'static str, &'static str),
    /// As many bytes as the header promises: 1 GiB.
    Gibibyte,
    /// A hundred thousand header fields.
    Fields,
    /// 210 KiB that are 32 MiB when they are unpacked, which nobody asked for.
    Gzip,
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Name, answer, and what the child says of it.
const BOMBS: &[(&str, Bomb, &str)] = &[
    ("a body of 1 GiB", Bomb::Gibibyte, "Lost TooLarge 200 262144"),
    ("chunks for ever", Bomb::Flood(CHUNKED, "4\r\nabcd\r\n"), "Lost TooLarge 200 262144"),
    ("gzip that nobody asked for", Bomb::Gzip, "Answered 200 211271"),
    ("a byte of body a second", Bomb::Drip("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n", "x"), "Lost Timeout 200 few"),
    ("a byte of chunks a second", Bomb::Drip(CHUNKED, "1\r\nx\r\n"), "Lost Timeout 200 few"),
    ("a byte of header a second", Bomb::Drip("HTTP/1.1 200 OK\r\nx: ", "y"), "Lost Timeout"),
    ("100 000 header fields", Bomb::Fields, "Lost TooLarge"),
    ("header fields for ever", Bomb::Flood("HTTP/1.1 200 OK\r\n", "x: y\r\n"), "Lost TooLarge"),
    ("a header field without end", Bomb::Flood("HTTP/1.1 200 OK\r\nx: ", "yyyyyyyy"), "Lost TooLarge"),
    ("a status line without end", Bomb::Flood("HTTP/1.1 200 ", "OK "), "Lost TooLarge"),
    ("line breaks for ever", Bomb::Flood("", "\r\n"), "Lost TooLarge"),
    (
        "a chunk extension without end",
        Bomb::Flood("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x"),
        "Lost ConnectionEnded 200 0",
    ),
    ("chunk extensions for ever", Bomb::Flood(CHUNKED, "1;x=y\r\nx\r\n"), "Lost ConnectionEnded 200 few"),
    ("a chunk size without end", Bomb::Flood(CHUNKED, "0"), "Lost Timeout 200 0"),
    (
        "trailers for ever",
        Bomb::Flood("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n"),
        "Lost ConnectionEnded 200 0",
    ),
    ("1xx for ever", Bomb::Flood("", "HTTP/1.1 100 Continue\r\n\r\n"), "Lost Timeout"),
    ("1xx with fields for ever", Bomb::Flood("", "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"), "Lost Timeout"),
    ("a 1xx a second", Bomb::Drip("", "HTTP/1.1 102 Processing\r\n\r\n"), "Lost Timeout"),
];

impl Bomb {
    async fn go_off(self, peer: &mut Peer<TcpStream>) {
        match self {
            Self::Flood(head, rest) => {
                let block = rest.repeat(64 * 1024 / rest.len());
                flood(peer, head, &block, u64::MAX).await;
            }
            Self::Gibibyte => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
                flood(peer, head, &"x".repeat(64 * 1024), 16 * 1024).await;
            }
            Self::Fields => {
                let fields = "x-field: y\r\n".repeat(100_000);
                flood(peer, &format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok"), "", 0).await;
                peer.rest().await;
            }
            Self::Drip(head, rest) => {
                let mut open = put(peer, head.as_bytes()).await;
                for byte in rest.bytes().cycle() {
                    open = open && put(peer, &[byte]).await;
                    if !open {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Self::Gzip => {
                let body = gzip();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
                peer.write(&[head.into_bytes(), body].concat()).await;
                peer.rest().await;
            }
        }
    }
}

async fn put(peer: &mut Peer<TcpStream>, bytes: &[u8]) -> bool {
    use tokio::io::AsyncWriteExt as _;
    peer.io.write_all(bytes).await.is_ok()
}

/// Writes until the client hangs up, or so many blocks.
async fn flood(peer: &mut Peer<TcpStream>, head: &str, block: &str, blocks: u64) {
    let mut open = put(peer, head.as_bytes()).await;
    for _ in 0..blocks {
        open = open && put(peer, block.as_bytes()).await;
        if !open {
            return;
        }
    }
}

/// 33 540 001 bytes of zero as gzip (RFC 1952): one block of fixed codes (RFC 1951 section 3.2.6) that repeats the first byte.
fn gzip() -> Vec<u8> {
    const REPEATS: usize = 130_000;
    // The last block, with fixed codes: 1, then 01 with its lower bit first. The byte 0. 258 times the byte before. The end.
    let bits = "110".chars().chain("00110000".chars()).chain("1100010100000".repeat(REPEATS).chars().collect::<Vec<_>>());
    let bits: Vec<bool> = bits.chain("0000000".chars()).map(|bit| bit == '1').collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    let packed: Vec<u8> = bits.chunks(8).map(byte).collect();
    let length: u32 = 1 + 258 * 130_000;
    // The sum of that many zeros, by zlib.
    let sum: u32 = 0xc320_44fc;
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], packed.as_slice(), &sum.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// A server with one bomb; tells when the client has hung up.
async fn serve(bomb: Bomb) -> (Server, Arc<Notify>) {
    let ended = Arc::new(Notify::new());
    let tell = Arc::clone(&ended);
    let server = Server::start(move |mut peer| {
        let tell = Arc::clone(&tell);
        async move {
            peer.request().await;
            bomb.go_off(&mut peer).await;
            tell.notify_one();
        }
    })
    .await;
    (server, ended)
}

/// What the child found: growth in KiB, time, and the answer in words.
struct Found {
    grown: u64,
    took: Duration,
    words: String,
    hung_up: bool,
}

/// Runs one call in a process of its own.
async fn meet(bomb: Bomb, good: &str) -> Found {
    let (server, ended) = serve(bomb).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "--nocapture", "bombs::child_calls"]).env("BOMB", server.url()).env("GOOD", good);
    let child = child.stderr(Stdio::null()).output();
    tokio::pin!(child);
    let (mut hung_up, mut output) = (false, None);
    while output.is_none() {
        tokio::select! {
            biased;
            done = &mut child => output = Some(done.unwrap()),
            () = ended.notified(), if !hung_up => hung_up = true,
        }
    }
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("found: ")).unwrap_or_else(|| panic!("{text}")).1;
    let [grown, took, words] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let took = Duration::from_millis(took.parse().unwrap());
    Found { grown: grown.parse().unwrap(), took, words: words.to_owned(), hung_up }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_takes_more_memory_or_time_than_it_may() {
    let good = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let good = good.url();
    let limit = Timeouts::default().request();
    let calls = BOMBS.iter().map(|(_, bomb, _)| meet(*bomb, &good));
    let found = futures::future::join_all(calls).await;
    let mut wrong = Vec::new();
    for ((name, _, expected), Found { grown, took, words, hung_up }) in BOMBS.iter().zip(found) {
        println!("{name}: {words}, {grown} KiB, {took:?}");
        let timed = words.starts_with("Lost Timeout");
        let in_time = took < limit + SLACK && (!timed || took >= limit);
        if !words.starts_with(expected) || grown > MOST_GROWTH_KIB || !in_time || !hung_up {
            wrong.push(format!("{name}: {words} (expected {expected}), {grown} KiB, {took:?}, hung up: {hung_up}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A field of /proc/self/status in KiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// An answer in words: class, status, length of the body; lengths between 1 and 20 000 are few.
fn words(delivery: &Delivery) -> String {
    let length = |reply: &Reply| match reply.body.0.len() {
        length @ (0 | 20_001..) => length.to_string(),
        _ => "few".to_owned(),
    };
    match delivery {
        Delivery::Answered(reply) => format!("Answered {} {}", reply.status, length(reply)),
        Delivery::NotSent(why) => format!("NotSent {why:?}"),
        Delivery::Lost { why, partial: None } => format!("Lost {why:?}"),
        Delivery::Lost { why, partial: Some(reply) } => format!("Lost {why:?} {} {}", reply.status, length(reply)),
    }
}

#[tokio::test]
#[ignore = "started by no_answer_takes_more_memory_or_time_than_it_may"]
async fn child_calls() {
    let url = |name: &str| std::env::var_os(name).unwrap().into_string().unwrap();
    let limits = Connection {
        reach: Reach::Namespace,
        tls: TlsMaterial::default(),
        proxy: None,
        connect_timeout: Timeouts::default().connect(),
        request_timeout: Timeouts::default().request(),
    };
    let transport = transport();
    // What a first call needs once stays.
    answered(transport.send(&request(&url("GOOD")), &limits).await);
    let before = memory("VmRSS:");
    let begun = Instant::now();
    let delivery = transport.send(&request(&url("BOMB")), &limits).await;
    let took = begun.elapsed();
    if let Delivery::Answered(reply) = &delivery {
        assert_eq!(reply.body.0, gzip(), "kept as it came");
    }
    let words = words(&delivery);
    tokio::time::sleep(LINGER).await;
    // The most there ever was, what came after the call included.
    println!("found: {} {} {words}", memory("VmHWM:").saturating_sub(before), took.as_millis());
}
