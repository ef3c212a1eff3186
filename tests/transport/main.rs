//! The transport against real sockets on loopback: each way a call can end, told right, with one request at most.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

mod answers;
mod bombs;
mod proofs;
mod proxy;
mod server;
mod tls;
mod tls_calls;

use std::time::Duration;

use refreshable_token_operator::operator::endpoint::{EndpointPolicy, Reach};
use refreshable_token_operator::operator::transport::{Connection, TlsMaterial, Transport};
use refreshable_token_operator::provider::{Body, Delivery, Method, Reply, TokenRequest};
use refreshable_token_operator::token::SecretText;

const RULES: &str = "
rules:
- hosts: [\"127.0.0.1\", localhost]
  addresses: [127.0.0.0/8, \"::1/128\"]
  schemes: [https, http]
";

fn transport() -> Transport {
    Transport::new(&EndpointPolicy::from_yaml(RULES).unwrap())
}

fn connection() -> Connection {
    let (connect_timeout, request_timeout) = (Duration::from_secs(5), Duration::from_secs(20));
    Connection { reach: Reach::Namespace, tls: TlsMaterial::default(), proxy: None, connect_timeout, request_timeout }
}

fn hasty() -> Connection {
    Connection { request_timeout: Duration::from_millis(700), ..connection() }
}

fn request(url: &str) -> TokenRequest {
    let body = Body { content_type: "application/x-www-form-urlencoded", content: SecretText::new("refresh_token=canary-body") };
    let headers = vec![
        ("authorization".into(), SecretText::new("Bearer canary-header")),
        ("accept".into(), SecretText::new("application/json")),
    ];
    TokenRequest { method: Method::Post, url: url.to_owned(), headers, body: Some(body), assertion: None }
}

#[track_caller]
fn answered(delivery: Delivery) -> Reply {
    match delivery {
        Delivery::Answered(reply) => reply,
        other => panic!("no answer: {other:?}"),
    }
}

/// Runs an ignored test in a process of its own, with nothing of proxies in its environment.
async fn run_alone(test: &str) {
    run_alone_with(test, &[]).await;
}

async fn run_alone_with(test: &str, environment: &[(&str, &str)]) {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", test]).env_remove("NO_PROXY").env_remove("no_proxy");
    let output = child.envs(environment.iter().copied()).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
