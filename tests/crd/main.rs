//! What can be said about the CustomResourceDefinition and the source without a cluster.

mod layers;
mod schema;
