//! Effects: what the core decides is done here, against Kubernetes, token APIs, clocks and files.

pub mod endpoint;
pub mod transport;
