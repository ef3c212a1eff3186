//! The simulation: the real operator over the in-memory cluster, in paused time, with everything going wrong that can.
//!
//! A run is a world, faults, and a verdict. Scenarios make many runs and count. Every effect of a process passes one place
//! ([`control`]): requests to Kubernetes, calls of the token API, writes of the journal. Between two effects a process can
//! neither see nor change anything, so a crash before and after each effect is a crash at every point that differs.

// A dead process is cut off from the world: none of its effects arrive any more, and nothing reaches it.

pub mod calls;
pub mod clock;
pub mod control;
pub mod count;
pub mod disk;
pub mod fault;
pub mod issuer;
pub mod judge;
pub mod random;
pub mod run;
pub mod scenarios;
pub mod world;

/// Namespace of the object and its Secrets.
pub const NAMESPACE: &str = "demo";
/// Name of the object.
pub const NAME: &str = "demo";
/// Name of its state Secret.
pub const STATE: &str = "demo-state";
/// Namespace of the operator's own Secrets.
pub const OPERATOR_NAMESPACE: &str = "refreshable-token-operator";
