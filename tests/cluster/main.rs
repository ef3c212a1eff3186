//! The operator on a real Kubernetes API server, against simulated token APIs on real sockets. One binary, one control plane.

#[path = "../support/stage.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the stage")]
mod stage;

mod admission;
mod conflict;
mod counts;
mod leaks;
mod life;
mod manifest;
mod oidc;
mod sight;
mod smoke;
mod stored;
mod world;
