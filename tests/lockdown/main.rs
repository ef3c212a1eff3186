//! What the chart permits, and what it does not: the operator under the chart's rights, tenants who want more than theirs, and the
//! process that must not let out what it holds. On a real API server; one binary.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

#[path = "../support/installed.rs"]
mod installed;
#[path = "../support/stage.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the stage")]
mod stage;

mod attempts;
mod chart;
mod pods;
mod process;
mod scope;
mod tenant;
mod values;
mod world;
