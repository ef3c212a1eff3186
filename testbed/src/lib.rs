//! What the tests of the operator run against. It uses nothing of the product, so that a simulator
//! and the code under test cannot share a mistake, and it is never shipped.
//!
//! | module | what it holds |
//! |---|---|
//! | [`control_plane`] | a real etcd and kube-apiserver, with kubectl, per test |

pub mod control_plane;
