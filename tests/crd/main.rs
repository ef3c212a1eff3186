//! What can be said about the CustomResourceDefinition and the source without a cluster.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

mod krew;
mod layers;
mod reference;
mod schema;
