//! The in-memory cluster answers as a real API server does: random sequences of requests are sent to both, and every answer
//! and every watch event is compared.
//!
//! `CONFORMANCE_SEQUENCES` sets how many random sequences are run (60 if unset), `CONFORMANCE_SEED` a number that they are
//! drawn from (0 if unset: the same ones in every run).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

#[path = "../support/stage.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the stage")]
mod stage;

mod collector;
mod known;
mod operation;
mod random;
mod side;
mod view;
