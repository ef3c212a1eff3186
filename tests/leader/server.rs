//! Leases as the API server keeps them, and connections to it that delay, lose and refuse.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use refreshable_token_operator::operator::leader::LEASE;
use serde_json::{Value, json};
use tokio::time::sleep;

/// The server.
#[derive(Debug, Default)]
pub struct Server {
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    leases: BTreeMap<String, Value>,
    version: u64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// Time until it arrives; none: never.
    pub arrives: Option<Duration>,
    /// Whether the server does what is asked.
    pub applied: bool,
    /// Time until the answer arrives, after the request has.
    pub back: Duration,
    /// The answer.
    pub answer: Answer,
}

/// What answer arrives.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The server's.
    True,
    /// Another one, of this status.
    Status(u16),
    /// None at all.
    Never,
}

impl Fate {
    /// At once, and well.
    pub fn good() -> Self {
        Self { arrives: Some(Duration::ZERO), applied: true, back: Duration::ZERO, answer: Answer::True }
    }

    /// The network is cut.
    pub fn never() -> Self {
        Self { arrives: None, ..Self::good() }
    }
}

impl Server {
    /// Without a Lease.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A client with connections of their own; `fate` is asked about each request.
    pub fn client(self: &Arc<Self>, fate: impl Fn() -> Fate + Send + Sync + 'static) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, fate) = (Arc::clone(&server), fate());
            async move { Ok::<_, Infallible>(server.meet(request, fate).await) }
        });
        Client::new(service, "default")
    }

    async fn meet(self: Arc<Self>, request: Request<Body>, fate: Fate) -> Response<Body> {
        let Some(delay) = fate.arrives else { return std::future::pending().await };
        // What is on its way arrives, whether or not anybody still waits for the answer.
        let arrived = tokio::spawn(async move {
            sleep(delay).await;
            if !fate.applied {
                return (StatusCode::OK, Value::Null);
            }
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let name = if parts.method == Method::POST {
                body["metadata"]["name"].as_str()
            } else {
                parts.uri.path().rsplit('/').next()
            };
            self.answer(&parts.method, name.unwrap_or_default(), &body)
        });
        let (status, body) = arrived.await.unwrap();
        sleep(fate.back).await;
        let (status, body) = match fate.answer {
            Answer::True => (status, body),
            Answer::Status(code) => refusal(StatusCode::from_u16(code).unwrap(), "InternalError"),
            Answer::Never => std::future::pending().await,
        };
        Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap()
    }

    fn answer(&self, method: &Method, name: &str, body: &Value) -> (StatusCode, Value) {
        let mut stored = self.stored();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        let found = stored.leases.get(name).cloned();
        match (method.as_str(), found) {
            ("GET" | "PUT", None) => refusal(StatusCode::NOT_FOUND, "NotFound"),
            ("GET", Some(lease)) => (StatusCode::OK, lease),
            ("POST", Some(_)) => refusal(StatusCode::CONFLICT, "AlreadyExists"),
            ("PUT", Some(lease)) if version(&lease) != version(body) => refusal(StatusCode::CONFLICT, "Conflict"),
            // As on the real server, a write that changes nothing is none.
            ("PUT", Some(lease)) if same(&lease, body) => (StatusCode::OK, lease),
            ("PUT" | "POST", _) => (StatusCode::OK, stored.put(name, body.clone())),
            (other, _) => panic!("unexpected {other}"),
        }
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap()
    }

    /// Who holds the Lease.
    pub fn holder(&self) -> Option<String> {
        self.stored().leases.get(LEASE)?["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// Who holds each of the Leases; empty where nobody does.
    pub fn holders(&self) -> Vec<String> {
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        self.stored().leases.values().map(holder).collect()
    }

    /// How often the holder changed.
    pub fn transitions(&self) -> Option<i64> {
        self.stored().leases.get(LEASE)?["spec"]["leaseTransitions"].as_i64()
    }

    /// `kubectl delete lease`.
    pub fn delete(&self) {
        self.stored().leases.remove(LEASE);
    }

    /// `kubectl edit lease`.
    pub fn set_holder(&self, holder: &str) {
        let mut stored = self.stored();
        let mut lease = stored.leases[LEASE].clone();
        lease["spec"]["holderIdentity"] = holder.into();
        stored.put(LEASE, lease);
    }
}

impl Stored {
    fn put(&mut self, name: &str, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.leases.insert(name.to_owned(), lease.clone());
        lease
    }
}

fn same(one: &Value, other: &Value) -> bool {
    one["spec"] == other["spec"] && one["metadata"]["annotations"] == other["metadata"]["annotations"]
}

fn refusal(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    (status, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status.as_u16()}))
}
