//! The scenarios: each makes many runs and counts.

pub mod faults;
pub mod outages;
pub mod people;
pub mod walks;

use super::issuer::Kind;
use super::world::{Journal, Setup};

/// A strict issuer, with each kind of journal.
pub const STRICT: [Setup; 5] = [
    Setup::of(Kind::Strict),
    Setup::of(Kind::Strict).with(Journal::Lost),
    Setup::of(Kind::Strict).with(Journal::None),
    Setup::of(Kind::Asked),
    Setup::of(Kind::Asked).with(Journal::None),
];

/// Issuers at which nothing may be lost at any point, without any journal.
pub const FORGIVING: [Setup; 7] = [
    Setup::of(Kind::Grace(30)).with(Journal::None),
    Setup::of(Kind::IdempotencyKey).with(Journal::None),
    Setup::of(Kind::Overlap).with(Journal::None),
    Setup::of(Kind::Reusable).with(Journal::None),
    Setup::of(Kind::Reissue).with(Journal::None),
    Setup::of(Kind::Renews).with(Journal::None),
    Setup::of(Kind::Created).with(Journal::None),
];
