//! Parts for tests: token issuers that can be watched and broken.

pub mod issuer;
