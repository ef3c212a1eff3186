//! A state of the model: the cluster, the issuer, two replicas, what is still on its way, and what may still go wrong.
//!
//! Everything that is not a small number is a number of a [`super::table::Table`].

use super::variant::Promise;

/// How many replicas there are. No election keeps them apart.
pub const REPLICAS: usize = 2;
/// How many requests the issuer remembers the keys of: more than there are refreshes.
pub const KEYS: usize = 4;
/// How many versions of the state Secret an exchange can tell apart; it never holds one that is so many versions old.
const VERSIONS: u8 = 4;

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// Ticks since the beginning.
    pub time: u8,
    /// The contents of the state Secret.
    pub secret: Option<u32>,
    /// When the operator last wrote it, as far as the API server says.
    pub written: Option<u8>,
    /// What stands in escrow Secrets, in order.
    pub escrow: Vec<u32>,
    /// Earlier contents of the state Secret that somebody may have a copy of, in order.
    pub copies: Vec<u32>,
    /// The status of the object.
    pub status: u32,
    /// The issuer.
    pub issuer: Issuer,
    /// Requests that nobody waits for any more and that may still arrive, in order.
    pub late: Vec<Request>,
    /// The replicas.
    pub replicas: [Replica; REPLICAS],
    /// What may still go wrong.
    pub left: Faults,
    /// The newest token was lost where the protocol says that it may be.
    pub excused: bool,
    /// An older copy was put in the place of the state Secret: with it the newest token may be gone.
    pub restored: bool,
}

/// The issuer. Its refresh tokens have numbers: each is granted for the one before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Issuer {
    /// The newest token.
    pub newest: u8,
    /// When the token before the newest was first presented.
    pub spent_at: u8,
    /// The claims whose names were the keys of the requests that spent the tokens.
    pub keys: [u8; KEYS],
    /// A spent token was presented again, and the issuer does not promise to bear that: the whole chain is revoked.
    pub revoked: bool,
    /// It was another presentation than the one late repeat that the protocol allows.
    pub twice: bool,
}

/// A request to the issuer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request {
    /// The token.
    pub token: u8,
    /// The claim whose name is the key of the request.
    pub key: u8,
    /// It is the one late repeat.
    pub last: bool,
}

impl Issuer {
    /// Handles a request; gives the token that is granted. `excused`: nobody can have the newest token any more, so that the
    /// late repeat can spoil nothing.
    pub fn present(&mut self, request: Request, time: u8, promise: Promise, excused: bool) -> Option<u8> {
        let before = match promise {
            Promise::IdempotencyKey => request.token < self.newest,
            Promise::Strict | Promise::Grace(_) => request.token + 1 == self.newest,
        };
        let repeated = match promise {
            Promise::Strict => false,
            Promise::Grace(_) => promise.window().is_some_and(|window| time - self.spent_at < window),
            Promise::IdempotencyKey => self.keys.get(usize::from(request.token)) == Some(&request.key),
        };
        if self.revoked {
            self.twice |= request.token < self.newest;
        } else if request.token == self.newest {
            (self.newest, self.spent_at) = (self.newest + 1, time);
            if let Some(key) = self.keys.get_mut(usize::from(request.token)) {
                *key = request.key;
            }
        } else if !(before && repeated) {
            self.revoked = true;
            self.twice |= !(request.last && before && excused);
        }
        Some(request.token + 1).filter(|_| !self.revoked)
    }
}

/// How often each thing may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Faults {
    /// Refreshes that the issuer grants before nothing is due any more.
    pub refreshes: u8,
    /// A process dies.
    pub crashes: u8,
    /// Of these, how many take the journal with them.
    pub wipes: u8,
    /// Somebody edits the state Secret.
    pub edits: u8,
    /// The API server refuses a request.
    pub denials: u8,
    /// A request to the API server has no clear answer, whether it was done or not.
    pub unclear: u8,
    /// The issuer's answer is lost on its way.
    pub lost: u8,
    /// The client gives up while its request is under way, and the request arrives later.
    pub late: u8,
    /// A request does not leave.
    pub aborts: u8,
    /// Somebody puts an older copy in the place of the state Secret.
    pub restores: u8,
    /// The journal cannot be written.
    pub disk: u8,
    /// A long time passes.
    pub ticks: u8,
}

/// One process of the operator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Replica {
    /// What it remembers.
    pub memory: u32,
    /// The status as it last saw it.
    pub view: u32,
    /// The number of the process among those of its Pod.
    pub process: u8,
    /// The number of its journal among those of its Pod.
    pub journal: u8,
    /// What the journal holds.
    pub entry: Option<u32>,
    /// What was kept by others before it and must be looked at first.
    pub replays: Vec<u32>,
    /// What it is doing.
    pub doing: Doing,
}

/// What a process is doing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Doing {
    /// Nothing: it looks at the object now and then.
    Idle,
    /// An exchange.
    Exchange(Exchanging),
    /// It stores the status that an exchange came to.
    Reporting(Reporting),
}

/// An exchange under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Exchanging {
    /// The exchange and the step that it asks for.
    pub node: u32,
    /// Why it was begun.
    pub trigger: u8,
    /// The status that the object had when it was last seen or written here.
    pub object: u32,
    /// The object has not been written since.
    pub current: bool,
    /// The version of the state Secret that the exchange was last told.
    pub version: u8,
    /// The state Secret still has that version.
    pub knows: bool,
    /// When the claim was first written, or tried to.
    pub claimed: Option<u8>,
    /// Where the request is.
    pub wire: Wire,
    /// The pair that the issuer gave to this exchange: its number, 0 for none.
    pub holds: u8,
    /// What the exchange was told of this pair in its journal.
    pub journal: Kept,
}

/// Whether a pair stands in a journal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kept {
    /// Nobody has tried.
    NotYet,
    /// It does.
    Done,
    /// It could not be written.
    Refused,
}

impl Exchanging {
    /// The exchange is told the version that stands now.
    pub fn look(&mut self) -> u8 {
        if !self.knows {
            self.version = (self.version + 1) % VERSIONS;
            self.knows = true;
        }
        self.version
    }

    /// The exchange wrote the state Secret, and is told the version.
    pub fn wrote(&mut self) -> u8 {
        self.knows = false;
        self.look()
    }
}

/// Where a request is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wire {
    /// There is none.
    None,
    /// On its way to the issuer.
    Sent(Request),
    /// The issuer has answered, with a pair of this number.
    Granted(u8),
    /// The issuer has refused.
    Refused,
}

/// A status on its way to the API server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reporting {
    /// The status.
    pub status: u32,
    /// The object has not been written since it was last seen here.
    pub current: bool,
    /// How often it was tried.
    pub tries: u8,
}

impl World {
    /// The object's status is written; whoever saw it before has an old copy.
    pub fn put_status(&mut self, status: u32) {
        self.status = status;
        for replica in &mut self.replicas {
            match &mut replica.doing {
                Doing::Idle => {}
                Doing::Exchange(exchange) => exchange.current = false,
                Doing::Reporting(report) => report.current = false,
            }
        }
    }

    /// The state Secret is written, by the operator at this time or by others; whoever saw it before has an old version.
    pub fn put_secret(&mut self, contents: u32, written: Option<u8>) {
        if let Some(old) = self.secret.replace(contents)
            && self.left.restores > 0
            && let Err(place) = self.copies.binary_search(&old)
        {
            self.copies.insert(place, old);
        }
        self.written = written;
        for replica in &mut self.replicas {
            if let Doing::Exchange(exchange) = &mut replica.doing {
                exchange.knows = false;
            }
        }
    }
}
