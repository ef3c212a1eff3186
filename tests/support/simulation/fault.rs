//! What goes wrong with one effect of a replica: a request to Kubernetes, a call of the token API, a write of the journal.

use refreshable_token_operator::operator::READ_TIMEOUT;
use testbed::fake_cluster::{Failure, Fate, Loss};

/// The fourteen faults of the reference (section 1.2), and two whose difference matters at the token API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies just before.
    CrashBefore,
    /// The process dies after it sent, and what it sent does not arrive.
    CrashUnapplied,
    /// The process dies after what it sent was handled, and before it sees the answer.
    CrashApplied,
    /// Refused with this status and not handled: 409, 403, 404, 422, 429 (with Retry-After), 500 or 503.
    Refused(u16),
    /// Handled, and answered with 504.
    TimeoutApplied,
    /// Not handled and never answered.
    Hang,
    /// Handled, and half of the answer comes.
    Truncated,
    /// Handled, and the connection is reset.
    Reset,
    /// Handled and never answered.
    HangApplied,
    /// Not handled, and the connection is reset.
    ResetUnapplied,
}

/// The fourteen.
pub const FAULTS: [Fault; 14] = [
    Fault::CrashBefore,
    Fault::CrashUnapplied,
    Fault::CrashApplied,
    Fault::Refused(409),
    Fault::Refused(403),
    Fault::Refused(404),
    Fault::Refused(422),
    Fault::Refused(429),
    Fault::Refused(500),
    Fault::Refused(503),
    Fault::TimeoutApplied,
    Fault::Hang,
    Fault::Truncated,
    Fault::Reset,
];

/// All that a random walk draws from.
pub const MORE_FAULTS: [Fault; 16] = {
    let mut all = [Fault::HangApplied; 16];
    let mut at = 0;
    while at < FAULTS.len() {
        all[at] = FAULTS[at];
        at += 1;
    }
    all[15] = Fault::ResetUnapplied;
    all
};

impl Fault {
    /// The process dies.
    pub fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashUnapplied | Self::CrashApplied)
    }

    /// What was asked for happens.
    pub fn is_applied(self) -> bool {
        matches!(self, Self::CrashApplied | Self::TimeoutApplied | Self::Truncated | Self::Reset | Self::HangApplied)
    }

    /// The fate of a request to Kubernetes. What a crash leaves without an answer hangs: its client is gone.
    pub fn fate(self) -> Fate {
        match self {
            Self::CrashBefore | Self::CrashUnapplied => Fate::lose(false, Loss::Hang),
            Self::CrashApplied => Fate::lose(true, Loss::Hang),
            Self::Hang => Fate::lose(false, Loss::HangFor(READ_TIMEOUT)),
            Self::HangApplied => Fate::lose(true, Loss::HangFor(READ_TIMEOUT)),
            Self::Refused(code) => Fate::refuse(code),
            Self::TimeoutApplied => Fate::lose(true, Loss::Answer(Failure::by_code(504))),
            Self::Truncated => Fate::lose(true, Loss::Truncated),
            Self::Reset => Fate::lose(true, Loss::Reset),
            Self::ResetUnapplied => Fate::lose(false, Loss::Reset),
        }
    }
}
