//! Issuer simulator.
fn main() {}
