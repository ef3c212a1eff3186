//! What may go wrong in a run, and which rule is switched off.

use super::world::Faults;

/// A rule of the protocol that a run can do without, to see that the checker misses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// The state Secret is written only over the version that was read.
    CompareAndSwap,
    /// A commit that finds another version looks and writes again.
    Rebase,
    /// A commit that is refused is held and tried again.
    HoldWhenDenied,
    /// A claim that somebody left open is not taken for unspent.
    LeaveOpenClaims,
    /// The mark is written before the token is sent.
    Mark,
    /// After a repeat no further refresh follows while a late copy may still arrive.
    RestAfterRepeat,
}

/// A run of the checker.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Its letter in the reference protocol's table, and what it is about.
    pub name: &'static str,
    /// How often each thing may go wrong.
    pub faults: Faults,
    /// For how many seconds the issuer repeats its last answer; none at a strict one.
    pub grace: Option<i32>,
    /// A process may also die while its request or the answer is under way, where a strict issuer leaves nobody a way back.
    pub dies_in_flight: bool,
    /// The rule that is switched off.
    pub without: Option<Rule>,
}

/// No faults, three refreshes.
const CALM: Faults = Faults {
    refreshes: 3,
    crashes: 0,
    wipes: 0,
    edits: 0,
    denials: 0,
    unclear: 0,
    lost: 0,
    late: 0,
    aborts: 0,
    restores: 0,
    ticks: 0,
};

const fn strict(name: &'static str, faults: Faults) -> Variant {
    Variant { name, faults, grace: None, dies_in_flight: true, without: None }
}

/// Compare and swap, and people who edit.
pub const D: Variant = strict("D: 3 edits", Faults { edits: 3, ..CALM });

/// The same, and commits that are refused.
pub const F: Variant = strict("F: 3 edits, 3 denials", Faults { edits: 3, denials: 3, ..CALM });

/// Restores of the newest copies, crashes, lost and late answers.
pub const Q: Variant = strict(
    "Q: 2 restores, 2 crashes, lost and late",
    Faults { restores: 2, crashes: 2, lost: 1, late: 1, ticks: 1, ..CALM },
);

/// The variants of the reference protocol that must hold.
pub const RIGHT: &[Variant] = &[D, F, Q];

/// The wrong variants: each must be caught.
pub const WRONG: &[Variant] = &[
    Variant { name: "A: no compare and swap", without: Some(Rule::CompareAndSwap), faults: CALM, ..D },
    Variant { name: "C: a conflict at the commit is given up", without: Some(Rule::Rebase), ..D },
    Variant { name: "E: a denied commit is given up", without: Some(Rule::HoldWhenDenied), ..F },
    Variant { name: "H: a successor spends again at once", without: Some(Rule::LeaveOpenClaims), ..Q },
    Variant { name: "P: no mark before the send", without: Some(Rule::Mark), ..Q },
];
