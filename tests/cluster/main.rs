//! The operator on a real Kubernetes API server, against simulated token APIs on real sockets. One binary, one control plane.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

#[path = "../support/oidc.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the server")]
mod oidc_server;
#[path = "../support/stage.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the stage")]
mod stage;
#[path = "../support/pypi.rs"]
mod token_servers;

mod admission;
mod collector;
mod conflict;
mod counts;
mod http;
mod leader;
mod leaks;
mod life;
mod manifest;
mod metrics;
mod oidc;
mod pages;
mod plugin;
mod providers;
mod sight;
mod smoke;
mod stored;
mod world;
