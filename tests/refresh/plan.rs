//! What goes wrong, and where.

use std::collections::BTreeMap;

/// What goes wrong at one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is not done, and nobody knows.
    NeverArrived,
    /// It is refused; a sending finds no connection.
    Denied,
    /// The operator stops, or loses the shard: neither a claim nor a sending is begun. Everything else is.
    HeldBack,
    /// Somebody puts a label on the state Secret first.
    Label,
    /// Somebody puts a key of their own into the state Secret first.
    ForeignKey,
    /// Somebody deletes the state Secret first; finalizers hold.
    Deleted,
    /// Somebody deletes the state Secret first and removes its finalizers.
    DeletedByForce,
    /// Somebody puts an older copy into the state Secret first (true: by deleting and creating it).
    OlderCopy(bool),
    /// Somebody puts another state Secret's contents into this one first.
    Replaced,
    /// Somebody makes the state Secret immutable first.
    Immutable,
    /// Somebody edits the object first.
    ObjectEdited,
    /// The output is deleted first.
    OutputDeleted,
    /// The API answers with this status (true: after it handled the request).
    Http(u16, bool),
    /// The API answers 200 with a page (true: after it handled the request).
    Page(bool),
    /// The process dies before it.
    CrashBefore,
    /// The process dies when it is done.
    CrashAfter,
}

pub const FAULTS: [Fault; 25] = [
    Fault::AnswerLost,
    Fault::NeverArrived,
    Fault::Denied,
    Fault::HeldBack,
    Fault::Label,
    Fault::ForeignKey,
    Fault::Deleted,
    Fault::DeletedByForce,
    Fault::OlderCopy(false),
    Fault::OlderCopy(true),
    Fault::Immutable,
    Fault::ObjectEdited,
    Fault::OutputDeleted,
    Fault::Http(500, false),
    Fault::Http(500, true),
    Fault::Http(503, true),
    Fault::Http(429, false),
    Fault::Http(401, false),
    Fault::Http(404, false),
    Fault::Http(302, false),
    Fault::Http(200, true),
    Fault::Page(true),
    Fault::Page(false),
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// Which faults happen at which effect, and what became of the run.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact about the run")]
pub struct Plan {
    pub faults: BTreeMap<usize, Fault>,
    /// The token API cannot be reached.
    pub down: bool,
    /// What is put in by [`Fault::Replaced`].
    pub replacement: Option<BTreeMap<String, Vec<u8>>>,
    pub index: usize,
    /// What was done, in words.
    pub log: Vec<String>,
    /// An answer with the newest pair was lost on its way.
    pub lost_in_flight: bool,
    /// A process died while its claim was open.
    pub died_claimed: bool,
    /// Somebody destroyed the state Secret while nobody held its contents.
    pub destroyed: bool,
    /// The state Secret was made immutable.
    pub immutable: bool,
    /// The exchange has the contents of the state Secret in hand, or its claim stands.
    pub held: bool,
    pub claimed: bool,
    /// The Secret was destroyed under an exchange that has not put it back yet.
    pub wrecked: bool,
    /// That was after its claim: it has to notice, and nothing but its death excuses it.
    pub under_claim: bool,
    /// The issuer granted a pair that is not in the state Secret yet.
    pub granted: bool,
    pub pauses: u32,
    /// The journal does not outlive its process.
    pub loses_journal: bool,
    /// Spent tokens that were presented in the one late repeat.
    pub late_replays: Vec<String>,
}

impl Plan {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn with(faults: impl IntoIterator<Item = (usize, Fault)>) -> Self {
        Self { faults: faults.into_iter().collect(), ..Self::default() }
    }

    pub fn down() -> Self {
        Self { down: true, ..Self::default() }
    }

    pub fn take(&mut self) -> Option<Fault> {
        let fault = self.faults.remove(&self.index);
        self.index += 1;
        fault
    }
}
