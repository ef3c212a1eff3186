//! What the tests of the operator run against. It uses nothing of the product, so that a simulator and the code under test
//! cannot share a mistake, and it is never shipped.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cache`] | where built things are kept between runs |
//! | [`connect_proxy`] | an HTTP proxy that opens tunnels, or refuses in each way that proxies do |
//! | [`control_plane`] | a real etcd and kube-apiserver, with kubectl, per test |
//! | [`fake_cluster`] | a Kubernetes API server in memory, for simulations |
//! | [`image`] | container images without a container engine |
//! | [`issuer`] | token issuers that can be watched and broken: JFrog Access and Distribution, ECE, OAuth 2.0 |
//! | [`one_node`] | a real cluster of one node, with Pods, in namespaces of its own |
//! | [`proxy`] | breaks the way between a program and its servers, and the program, at a request of one's choice |
//! | [`registry`] | a container registry that asks for a password |
//! | [`supervised`] | child processes that do not outlive this one |
//! | [`tools`] | Helm, kubeconform and schemas, for the checks of the chart |

pub mod cache;
pub mod connect_proxy;
pub mod control_plane;
pub mod fake_cluster;
mod go_build;
pub mod image;
pub mod issuer;
pub mod one_node;
pub mod proxy;
pub mod registry;
mod stopwatch;
pub mod supervised;
pub mod tools;
