//! A collector of traces: takes what comes by OTLP over HTTP, and looks at the bytes. Texts stand in protobuf as they are.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The bodies that came.
pub struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    /// Listens for traces until the process ends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), bodies: Arc::default() };
        let bodies = Arc::clone(&collector.bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bodies = Arc::clone(&bodies);
                let take = service_fn(move |request: http::Request<Incoming>| {
                    let bodies = Arc::clone(&bodies);
                    async move {
                        assert_eq!(request.uri().path(), "/v1/traces");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        bodies.lock().unwrap().push(body);
                        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), take));
            }
        });
        collector
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came, as text.
    pub fn text(&self) -> String {
        self.bodies.lock().unwrap().iter().map(|body| String::from_utf8_lossy(body)).collect()
    }

    /// Whether these bytes came.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.bodies.lock().unwrap().iter().any(|body| body.windows(bytes.len()).any(|window| window == bytes))
    }
}
