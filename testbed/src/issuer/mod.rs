//! Token issuers that can be watched and broken: JFrog Access, JFrog Distribution, Elastic Cloud Enterprise and OAuth 2.0 on one port.
//!
//! The judge of this project: the ledger knows every refresh token it issued, which one is the newest of its chain, and every time one was
//! presented. It uses nothing of the product, so that both cannot make the same mistake.
//!
//! **Tokens stand in the clear** in the ledger, the log and every answer of the admin endpoint, and nobody authenticates there. All of them
//! are made up. Never let anything that holds a real credential talk to this server.
//!
//! # Layers
//! [`Core`] is the issuer without socket and clock: [`Core::handle`] takes a request and the time. [`Issuer`] puts it on a port and plays the
//! faults on the wire. Several independent chains live in one issuer; each is found by API and user ([`Issuer::chain_of`]).
//!
//! # What is counted
//! A *presentation* is a request that arrived whole, whether or not a fault kept it from being processed. [`Ledger::double_spends`] counts the
//! refreshes asked for with a token that was spent when they arrived, also those that a fault kept from being processed; repetitions that an
//! open grace window allows are not counted. ECE tokens and reusable ones are never spent. A request is processed when it has arrived, even
//! if the client has gone by then.
//!
//! # Admin endpoint
//! On the same port, JSON, no authentication:
//!
//! | request | body or query | answer |
//! | --- | --- | --- |
//! | `GET /_admin/state` | | clock, double spends, chains with all their pairs, armed faults |
//! | `GET /_admin/presentations` | `?token=…` (optional) | the log, see [`Presentation`] |
//! | `GET /_admin/newest` | `?chain=0` or `?api=jfrogAccess&subject=ci` | the newest [`Pair`] |
//! | `POST /_admin/seed` | `{"api":"oauth2","subject":"ci","client":"ci-client","lifetimeSeconds":3600}` | a new chain's first [`Pair`] |
//! | `POST /_admin/revoke` | `{"chain":0}` | 204, the chain is dead |
//! | `PUT /_admin/clock` | `{"offsetSeconds":-90}` | the issuer's new time |
//! | `POST /_admin/faults` | a [`Rule`]: `{"api":"jfrogAccess","chain":0,"times":2,"fault":{"type":"dropAnswer"}}` | 201 |
//! | `GET`, `DELETE /_admin/faults` | | the armed ones; 204, none left |
//! | `GET /_admin/ca.pem` | | the certificate authority, where TLS is on |
//!
//! APIs are `jfrogAccess`, `jfrogDistribution`, `elasticCloudEnterprise`, `oauth2`; operations `refresh` (the default of a rule), `create`,
//! `inspect`, `revoke`, or `null` for all. A rule may also name a `subject`, and `after`: how many requests pass first. Faults:
//!
//! | `type` | fields | processed | the client sees |
//! | --- | --- | --- | --- |
//! | `delay` | `beforeMs`, `answerMs` | yes, after `beforeMs` | the answer, `answerMs` later; joins another fault |
//! | `dropAnswer` | `reset` | yes | a closed connection without a byte (`reset`: RST) |
//! | `resetBefore` | | no | RST after the whole request was read |
//! | `status` | `code`, `headers` (pairs), `body`, `process` | if `process` | that answer |
//! | `malformed` | `body` | yes | 200 and these bytes |
//! | `truncate` | `keep`, `chunked` | yes | head, `keep` bytes of the body, then the end (`chunked`: inside a chunk) |
//! | `hang` | `process` | if `process` | nothing, until it gives up |

mod access;
mod access_tokens;
mod admin;
mod assertion;
mod config;
mod connection;
mod core;
mod distribution;
mod ece;
mod fault;
mod jfrog;
mod ledger;
mod oauth2;
mod oauth2_inspect;
mod press;
mod random;
mod record;
mod seeds;
mod server;
#[cfg(test)]
mod time_tests;
mod tls;
mod wire;

pub use self::config::{Client, ClientAuth, Config, ExpiresIn, PublicKey, Replay, Rotation, User};
pub use self::core::{Answer, Core};
pub use self::ece::error as ece_error;
pub use self::fault::{Fault, Faults, Plan, Rule};
pub use self::ledger::Ledger;
pub use self::random::{Entropy, jwt_payload};
pub use self::record::{Api, Chain, ChainId, Delivery, Operation, Pair, Presentation, Verdict};
pub use self::seeds::Seed;
pub use self::server::{Builder, Clock, Issuer};
pub use self::wire::{Authorization, Params, ParamsError, Reply, Request};
