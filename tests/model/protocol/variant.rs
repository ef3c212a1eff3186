//! What may go wrong in a run, and which rule is switched off.

use super::machine::TICK;
use super::world::Faults;

/// What the issuer promises about a token that is presented again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Promise {
    /// That it revokes the chain.
    Strict,
    /// That it gives the same answer for so many seconds.
    Grace(i32),
    /// That it gives the same answer under the same key.
    IdempotencyKey,
}

impl Promise {
    /// The grace in ticks.
    pub fn window(self) -> Option<u8> {
        let Self::Grace(seconds) = self else { return None };
        u8::try_from((i64::from(seconds) - 1) / TICK + 1).ok()
    }
}

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
    /// What is written into the journal stands there.
    Journal,
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
    /// What the issuer promises.
    pub promise: Promise,
    /// Processes keep journals.
    pub journal: bool,
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
    disk: 0,
    restores: 0,
    ticks: 0,
};

const fn strict(name: &'static str, faults: Faults) -> Variant {
    Variant { name, faults, promise: Promise::Strict, journal: true, dies_in_flight: true, without: None }
}

/// Compare and swap, and people who edit.
pub const D: Variant = Variant { journal: false, ..strict("D: 3 edits", Faults { edits: 3, ..CALM }) };

/// The same, and writes that are refused.
pub const F: Variant = Variant { journal: false, ..strict("F: 3 edits, 3 denials", Faults { edits: 3, denials: 3, ..CALM }) };

/// Crashes outside the two open points, edits, denials.
pub const K: Variant = Variant {
    dies_in_flight: false,
    ..strict("K: 3 crashes, 2 edits, 2 denials", Faults { crashes: 3, edits: 2, denials: 2, ticks: 1, ..CALM })
};

/// A holder that is slow: another looks at its claim before it is released.
pub const K_SLOW: Variant =
    Variant { name: "K: a slow holder, 2 denials", faults: Faults { refreshes: 2, denials: 2, ticks: 1, ..CALM }, ..K };

/// A journal that cannot be written for a while.
pub const K_DISK: Variant =
    strict("K: a full disk, 1 crash, 1 denial", Faults { refreshes: 2, crashes: 1, disk: 2, denials: 1, ticks: 1, ..CALM });

/// A grace, with crashes anywhere, lost and late answers.
pub const M: Variant = Variant {
    promise: Promise::Grace(300),
    ..strict("M: grace, 2 crashes, 2 lost, 2 late", Faults { crashes: 2, lost: 2, late: 2, ticks: 1, ..CALM })
};

/// The same under an idempotency key.
pub const I: Variant = Variant { name: "M with an idempotency key", promise: Promise::IdempotencyKey, ..M };

/// Restores of older copies, crashes, lost and late answers.
pub const Q: Variant =
    strict("Q: 2 restores, 2 crashes, lost, late", Faults { restores: 2, crashes: 2, lost: 1, late: 1, ticks: 2, ..CALM });

/// The whole protocol without the two open points.
pub const R_PRIME: Variant = Variant {
    dies_in_flight: false,
    ..strict(
        "R': 2 crashes, 2 aborts, 2 edits, 2 denials",
        Faults { refreshes: 2, crashes: 2, aborts: 2, edits: 2, denials: 2, ticks: 1, ..CALM },
    )
};

/// Answers of the API server that are lost, and nothing else.
pub const UNCLEAR: Variant = strict("unclear answers of the API server", Faults { unclear: 2, denials: 1, ..CALM });

/// The variants of the reference protocol that must hold.
pub const RIGHT: &[Variant] = &[D, F, K, K_SLOW, K_DISK, M, M_LATE, M_SLEEP, I, Q, R_PRIME, UNCLEAR];

/// Requests that arrive late at an issuer with a grace.
pub const M_LATE: Variant =
    Variant { name: "M: grace, 2 late, 1 crash", faults: Faults { refreshes: 2, late: 2, crashes: 1, ..CALM }, ..M };

/// A process that sleeps longer than the grace.
pub const M_SLEEP: Variant = Variant {
    name: "M: grace of 30 s, 1 lost, a long sleep",
    promise: Promise::Grace(30),
    faults: Faults { refreshes: 2, lost: 1, ticks: 1, ..CALM },
    ..M
};

/// The whole protocol: restores of any earlier copy, crashes anywhere, and everything else.
pub const R: Variant = strict(
    "R: everything",
    Faults { refreshes: 2, restores: 2, crashes: 2, lost: 1, late: 1, aborts: 2, edits: 1, denials: 1, ticks: 2, ..CALM },
);

/// The wrong variants: each must be caught.
pub const WRONG: &[Variant] = &[
    Variant { name: "A: no compare and swap", without: Some(Rule::CompareAndSwap), faults: CALM, ..D },
    Variant { name: "C: a conflict at the commit is given up", without: Some(Rule::Rebase), ..D },
    Variant { name: "E: a denied commit is given up", without: Some(Rule::HoldWhenDenied), ..F },
    Variant {
        name: "H: a successor spends again at once",
        without: Some(Rule::LeaveOpenClaims),
        faults: Faults { crashes: 1, ..CALM },
        ..Q
    },
    Variant { name: "P: no mark before the send", without: Some(Rule::Mark), faults: Faults { restores: 1, ..CALM }, ..Q },
    Variant { name: "K without a journal that keeps", without: Some(Rule::Journal), faults: Faults { crashes: 1, ..CALM }, ..K },
    Variant {
        name: "N: M without a rest after a repeat",
        without: Some(Rule::RestAfterRepeat),
        faults: Faults { refreshes: 2, late: 2, ..CALM },
        ..M
    },
];
