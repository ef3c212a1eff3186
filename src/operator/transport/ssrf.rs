//! Requests that others would like the operator to make: hostile URLs, names that lead to addresses of the inside, and redirects.
//! Connections are counted where they would arrive, and by the kernel where strace is there.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tests::{RULES, connection, post};
use super::*;
use crate::operator::endpoint::hostile::{LASTING, NEVER, UNLISTED, hostile, widest};

/// Address that [`RULES`] let `art.example.com` have.
const GOOD: &str = "127.0.0.1";
/// Addresses of this machine that they do not.
const BAD: [&str; 3] = ["127.0.0.2", "127.255.255.254", "::1"];

/// Listeners on one port of every address of this machine that a hostile URL or name can lead to. The kernel takes connections for
/// them, and keeps them until they are counted.
struct Traps {
    port: u16,
    good: TcpListener,
    bad: Vec<TcpListener>,
}

impl Traps {
    fn set() -> Self {
        loop {
            let good = TcpListener::bind((GOOD, 0)).unwrap();
            let port = good.local_addr().unwrap().port();
            // A machine may have no IPv6, and another program a port of another address.
            let bad: Vec<_> = BAD.iter().filter_map(|address| TcpListener::bind((*address, port)).ok()).collect();
            if bad.len() + 1 >= BAD.len() {
                return Self { port, good, bad };
            }
        }
    }

    /// Connections to the good address, and to the others.
    fn caught(&self) -> (usize, usize) {
        (count(&self.good), self.bad.iter().map(count).sum())
    }
}

/// The connections that came since the last count.
fn count(listener: &TcpListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| listener.accept().ok()).count()
}

/// A look-up that answers from a list, the last one for ever, and counts.
fn names(answers: Vec<Vec<IpAddr>>) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers.get(at).or(answers.last()).cloned().unwrap_or_default();
        async move { Ok(answer) }.boxed()
    });
    (lookup, asked)
}

/// An authority, so that a call of `https` does not end for want of one.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap().cert.der().clone()).unwrap();
    roots
}

#[expect(clippy::needless_pass_by_value, reason = "each test makes both where it calls this")]
fn transport(policy: EndpointPolicy, lookup: Lookup) -> Transport {
    Transport::with(&policy, &lookup, roots)
}

fn rules() -> EndpointPolicy {
    EndpointPolicy::from_yaml(RULES).unwrap()
}

async fn is_refused(transport: &Transport, url: &str, what: &str) {
    let sent = transport.send(&post(url), &connection()).await;
    assert_eq!(sent, Delivery::NotSent(NotSent::EndpointNotAllowed), "{url:?} {what}");
    assert_eq!(transport.connect(url, &connection()).await, Err(NotSent::EndpointNotAllowed), "{url:?} {what}");
}

/// Every address that needs another rule, or has none. Those that end in the good one lead there, in whatever dress.
fn refused() -> impl Iterator<Item = IpAddr> {
    let all = BAD.into_iter().chain(UNLISTED.split_whitespace()).chain(NEVER.split_whitespace());
    all.filter(|ip| !ip.ends_with(GOOD) && !ip.ends_with(":7f00:1")).map(|ip| ip.parse().unwrap())
}

#[tokio::test]
async fn hostile_urls_see_no_look_up_and_no_connection() {
    let traps = Traps::set();
    for (policy, always) in [(EndpointPolicy::default(), false), (widest(), true)] {
        let (lookup, asked) = names(vec![vec![GOOD.parse().unwrap()]]);
        let transport = transport(policy, lookup);
        for (url, _) in hostile(traps.port).filter(|(_, why)| !always || LASTING.contains(why)) {
            is_refused(&transport, &url, "").await;
        }
        assert_eq!((asked.load(Ordering::SeqCst), traps.caught()), (0, (0, 0)));
    }
    // The traps do catch: the one URL that a rule allows.
    let (lookup, _) = names(vec![vec![GOOD.parse().unwrap()]]);
    let url = format!("http://art.example.com:{}/", traps.port);
    assert_eq!(transport(rules(), lookup).connect(&url, &connection()).await, Ok(()));
    assert_eq!(traps.caught(), (1, 0));
}

/// A name may be an alias of another and have many addresses: one that is refused, at whichever place, refuses it.
#[tokio::test]
async fn names_that_lead_to_a_refused_address_see_no_connection() {
    let traps = Traps::set();
    let good: IpAddr = GOOD.parse().unwrap();
    let url = format!("http://art.example.com:{}/", traps.port);
    let mut tried = 0;
    for bad in refused() {
        for answer in [vec![bad], vec![good, bad], vec![bad, good], vec![good, good, bad, good]] {
            let (lookup, asked) = names(vec![answer.clone()]);
            is_refused(&transport(rules(), lookup), &url, &format!("{answer:?}")).await;
            assert_eq!(asked.load(Ordering::SeqCst), 2);
            tried += 1;
        }
    }
    assert!(tried > 250, "{tried}");
    assert_eq!(traps.caught(), (0, 0));
}

/// Names that clouds and name services of the public have for addresses of the inside; an URL with them says nothing of it.
#[tokio::test]
async fn names_of_clouds_are_refused_by_what_they_lead_to() {
    for (name, address) in [
        ("instance-data.ec2.internal", "169.254.169.254"),
        ("api.metadata.cloud.ibm.com", "169.254.169.254"),
        ("metadata.tencentyun.com", "169.254.0.23"),
        ("metadata.service.example.com", "fd00:42::42"),
        ("metadata.alibaba.example.com", "100.100.100.200"),
        ("wireserver.azure.example.com", "168.63.129.16"),
        ("host.docker.internal", "192.168.65.254"),
        ("host.containers.internal", "10.0.2.2"),
        ("kubernetes.docker.internal", "127.0.0.1"),
        ("127.0.0.1.nip.io", "127.0.0.1"),
        ("169.254.169.254.nip.io", "169.254.169.254"),
        ("a9fea9fe.sslip.example", "169.254.169.254"),
        ("localtest.me", "127.0.0.1"),
        ("localhost.localdomain", "127.0.0.1"),
        ("ip6-localhost.example.com", "::1"),
        ("nat64.example.com", "64:ff9b::7f00:1"),
    ] {
        let traps = Traps::set();
        let (lookup, asked) = names(vec![vec![address.parse().unwrap()]]);
        is_refused(&transport(EndpointPolicy::default(), lookup), &format!("https://{name}:{}/", traps.port), address).await;
        assert_eq!((asked.load(Ordering::SeqCst), traps.caught()), (2, (0, 0)), "{name}");
    }
}

/// A provider has more URLs than that of its refresh: each is judged when its request leaves.
#[tokio::test]
async fn requests_beside_a_refresh_are_judged_by_their_own_urls() {
    use crate::api::{ProviderSpec, RequestSpec};
    use crate::provider::{Provider, RefreshInput, RequestError, StepResults};
    use crate::token::{AccessToken, HeldTokens, Login, RefreshToken, SecretText};
    type Way<'a> = &'a dyn Fn(&Provider) -> Option<Result<TokenRequest, RequestError>>;

    let traps = Traps::set();
    let good = format!("http://art.example.com:{}/", traps.port);
    let secret = |text: &str| Some(SecretText::new(text));
    let login = Login { client_id: secret("id"), client_secret: secret("secret"), ..Login::default() };
    let held = HeldTokens {
        access_token: Some(AccessToken::new("AT-1")),
        refresh_token: Some(RefreshToken::new("RT-1")),
        ..HeldTokens::default()
    };
    let results = StepResults::default();
    let input = RefreshInput { held: &held, login: &login, now: chrono::DateTime::UNIX_EPOCH, attempt: "a", results: &results };
    let old = AccessToken::new("AT-0");
    let ways: [(&str, &str, Way<'_>); 7] = [
        ("http", "Reusable", &|provider| Some(provider.step(0, &input))),
        ("http", "Strict", &|provider| provider.probe(&input)),
        ("http", "Strict", &|provider| provider.verification(&input)),
        ("http", "Strict", &|provider| provider.revocation(&input)),
        ("oauth2", "Strict", &|provider| provider.probe(&input)),
        ("oauth2", "Strict", &|provider| provider.verification(&input)),
        ("oauth2", "Strict", &|provider| provider.retirement(&old, &input)),
    ];
    for bad in [
        format!("http://127.0.0.2:{}/", traps.port),
        format!("http://localhost:{}/", traps.port),
        "https://kubernetes.default.svc/".to_owned(),
    ] {
        for (row, (kind, rotation, build)) in ways.iter().enumerate() {
            let shown = |token: &str| serde_json::json!({"url": bad, "auth": {"bearer": token}});
            let spec = if *kind == "oauth2" {
                serde_json::json!({"tokenURL": good, "introspectionURL": bad, "revocationURL": bad})
            } else {
                serde_json::json!({
                    "request": {"url": good, "auth": {"bearer": "RefreshToken"}},
                    "reply": {"accessToken": "/a", "refreshToken": "/r"},
                    "semantics": {"rotation": rotation},
                    "steps": [{"request": {"url": bad}, "results": [{"name": "r", "pointer": "/r"}]}],
                    "probe": {"request": shown("RefreshToken"), "unspent": [{"status": 200}], "spent": [{"status": 404}]},
                    "verify": {"request": shown("AccessToken")},
                    "revoke": {"request": shown("AccessToken")},
                })
            };
            let spec: ProviderSpec = serde_json::from_value(serde_json::json!({ *kind: spec })).unwrap();
            let provider = Provider::new(spec, RequestSpec::default());
            let (lookup, asked) = names(vec![vec![GOOD.parse().unwrap()]]);
            let request = build(&provider).unwrap().unwrap();
            assert_eq!(request.url, bad, "row {row}");
            let sent = transport(rules(), lookup).send(&request, &connection()).await;
            assert_eq!(sent, Delivery::NotSent(NotSent::EndpointNotAllowed), "row {row}: {bad}");
            assert_eq!((asked.load(Ordering::SeqCst), traps.caught()), (0, (0, 0)), "row {row}: {bad}");
        }
    }
}

/// What was good at one look-up is asked for again at the next use, and judged by what is connected to.
#[tokio::test]
async fn names_that_move_to_a_refused_address_see_no_connection() {
    let traps = Traps::set();
    let good: IpAddr = GOOD.parse().unwrap();
    let url = format!("http://art.example.com:{}/", traps.port);
    for bad in refused() {
        let (lookup, asked) = names(vec![vec![good], vec![bad]]);
        let transport = transport(rules(), lookup);
        assert_eq!(transport.connect(&url, &connection()).await, Ok(()), "{bad}");
        is_refused(&transport, &url, &format!("moved to {bad}")).await;
        assert_eq!((asked.load(Ordering::SeqCst), traps.caught()), (3, (1, 0)), "{bad}");
    }
}

/// A server on the good address that answers each request with this, byte for byte, and tells how many there were.
async fn server(answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind((GOOD, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, requests)
}

#[tokio::test]
async fn redirects_to_refused_addresses_are_not_followed() {
    let traps = Traps::set();
    let (port, good) = (traps.port, GOOD.parse().unwrap());
    let mut targets: Vec<String> = hostile(port).map(|(url, _)| url).filter(|url| is_field(url)).step_by(9).collect();
    targets.extend(BAD.map(|address| format!("http://{}:{port}/", if address.contains(':') { "[::1]" } else { address })));
    targets.extend(["http://169.254.169.254/latest/meta-data/".to_owned(), "//127.0.0.2/".to_owned(), "/elsewhere".to_owned()]);
    assert!(targets.len() > 30, "{}", targets.len());
    for target in targets {
        for status in [300, 301, 302, 303, 305, 307, 308] {
            let answer = format!(
                "HTTP/1.1 {status} X\r\nlocation: {target}\r\nrefresh: 0;url={target}\r\ncontent-location: {target}\r\n\
                 alt-svc: h2=\"127.0.0.2:{port}\"; ma=9\r\nlink: <{target}>; rel=canonical\r\ncontent-length: 0\r\n\r\n"
            );
            let (at, requests) = server(answer).await;
            let (lookup, asked) = names(vec![vec![good]]);
            let delivery = transport(rules(), lookup).send(&post(&format!("http://art.example.com:{at}/")), &connection()).await;
            let Delivery::Answered(reply) = delivery else { panic!("{status} {target}: {delivery:?}") };
            assert_eq!((reply.status, reply.header("location")), (status, Some(target.as_str())));
            assert_eq!((requests.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (1, 1), "{status} {target}");
        }
    }
    assert_eq!(traps.caught(), (0, 0));
}

/// Whether a text can stand in a header field.
fn is_field(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The addresses of all sockets that the tests above connect, as the kernel sees them; none where that cannot be seen.
fn connected(test: &str) -> Option<Vec<String>> {
    let log = std::env::temp_dir().join(format!("rtok-ssrf-{}-{test}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]).arg(&log).arg(std::env::current_exe().unwrap());
    strace.args(["--exact", &format!("operator::transport::ssrf::{test}")]).stdout(Stdio::null());
    let missing = match strace.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    let lines = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the capture of the test harness, which would hide it.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: connections as the kernel sees them: strace cannot trace a child ({missing})");
        return None;
    }
    // `connect(9, {sa_family=AF_INET, sin_port=htons(4711), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`, or with AF_INET6.
    let called = lines.lines().filter(|line| line.contains("AF_INET"));
    Some(called.map(|line| line.split('"').nth(1).unwrap_or(line).to_owned()).collect())
}

#[test]
fn nothing_is_sent_to_a_refused_address_by_any_system_call() {
    for (test, at_least) in [
        ("hostile_urls_see_no_look_up_and_no_connection", 1),
        ("names_that_lead_to_a_refused_address_see_no_connection", 0),
        ("names_of_clouds_are_refused_by_what_they_lead_to", 0),
        ("requests_beside_a_refresh_are_judged_by_their_own_urls", 0),
        ("names_that_move_to_a_refused_address_see_no_connection", 50),
        ("redirects_to_refused_addresses_are_not_followed", 200),
    ] {
        let Some(connected) = connected(test) else { return };
        assert!(connected.len() >= at_least, "{test}: {connected:?}");
        let others: Vec<_> = connected.iter().filter(|address| *address != GOOD).collect();
        assert!(others.is_empty(), "{test}: {others:?}");
    }
}
