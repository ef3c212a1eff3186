//! The Refreshable Token Operator as a library: a map of its modules.
//!
//! ```text
//!  main.rs   bin/kubectl-rtok   examples/demo.rs, tests
//!      └───────────┬──────────────────┘
//!              operator/     effects: Kubernetes, HTTP, clocks, files, signals
//!   ───────────────┼──────── nothing above this line is imported below it
//!              refresh/      total functions: when, what next, what it proves, what to write
//!              provider/     requests and replies as values
//!              token, api/   words: RFC 6749, Kubernetes
//! ```
//!
//! - [`api`]: the kinds, their rules, conditions and reasons
//! - [`token`]: token types that cannot be printed by accident
//! - [`refresh`]: the schedule, the exchange as one pure step machine, the state Secret, rendering
//! - [`provider`]: one file per token API: its part of the manifest, requests and replies as values
//! - [`operator`]: the effects

pub mod api;
pub mod operator;
pub mod provider;
pub mod refresh;
pub mod token;
