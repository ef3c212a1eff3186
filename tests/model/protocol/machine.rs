//! The implementation's step function, asked once per question: every transition of an exchange is `Exchange::start` or
//! `Exchange::next`, and nothing here knows what they will say.

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::RefreshableTokenSpec;
use refreshable_token_operator::provider::{Delivery, Lost, NotSent, RawBody, Reply};
use refreshable_token_operator::refresh::exchange::{
    Brief, Event, Exchange, MarkAnswer, Memento, OutputAnswer, StateAnswer, Step, WriteAnswer,
};
use refreshable_token_operator::refresh::journal::Entry;
use refreshable_token_operator::refresh::state::{State, StoredState, Version};
use refreshable_token_operator::token::FingerprintKey;
use serde_json::json;

use super::spec;
use super::table::{Memo, Table};
use super::variant::Promise;

/// When a model begins, in seconds of Unix time.
const STARTED: i64 = 1_800_000_000;
/// What one tick of the model's clock stands for, in seconds: more than a claim is left alone (120 s), more than a late copy
/// of a request can be on its way, and far more than a request may wait to leave (10 s).
pub const TICK: i64 = 130;
/// How long an access token lives, in seconds: until the second tick after it was granted.
pub const LIFE: i64 = 200;
/// How many claims can be named at one time: those that a state Secret remembers as closed, and some that are open. A name is used again once
/// nothing bears it any more.
pub const CLAIMS: u8 = 64;
/// How many tokens can be told apart.
pub const TOKENS: u8 = 16;
/// Fingerprint of the seed that the chain began with.
pub const SEED_FINGERPRINT: &str = "hmac:seed";

/// An exchange, and the step that it asks for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// The exchange.
    pub exchange: Exchange,
    /// What it asks for.
    pub step: Step,
    /// The contents of the state Secret, or the entry of the journal or the escrow, that the step writes.
    pub writes: Option<u32>,
    /// The claims that it knows of, one bit each.
    pub claims: u64,
}

/// Contents of the state Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Contents {
    /// The contents.
    pub state: State,
    /// The refresh tokens among them, one bit each, wherever they stand.
    pub tokens: u16,
    /// The claims that they name, one bit each.
    pub claims: u64,
}

/// What is kept of an exchange in a journal or an escrow Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kept {
    /// The entry.
    pub entry: Entry,
    /// The refresh tokens in it, one bit each.
    pub tokens: u16,
    /// The claims that it names, one bit each.
    pub claims: u64,
}

/// What a step came to, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// The state Secret: its contents, its version, and when the operator wrote it.
    Found(u32, u8, Option<u8>),
    /// The state Secret is not there.
    Absent,
    /// The API server did not show the state Secret.
    Unseen,
    /// Written, as this version.
    Written(u8),
    /// Not written; nobody knows whether; or refused.
    Unwritten(Unwritten),
    /// The connection stands.
    Connected,
    /// The answer to the mark.
    Marked(MarkAnswer),
    /// The issuer's pair of this number.
    Granted(u8),
    /// The issuer refused.
    Refused,
    /// The request was held back.
    HeldBack,
    /// The request did not leave.
    NotSent,
    /// The end of the sending is not known.
    Unanswered,
    /// Something was kept or cleared away, or not.
    Kept(bool),
    /// What was kept: an entry, or nothing.
    Remembered(Option<u32>),
    /// Nobody knows what was kept.
    Forgotten,
    /// A pause is over, or an output is written.
    Went,
}

/// Why a write is not known to be done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unwritten {
    /// Somebody wrote in between.
    Conflict,
    /// The Secret is gone.
    Missing,
    /// The API server refused.
    Denied,
    /// Nobody knows.
    Unclear,
}

/// The implementation, behind numbers.
pub struct Machine {
    /// All exchanges.
    pub nodes: Table<Node>,
    /// All contents of the state Secret.
    pub contents: Table<Contents>,
    /// All entries of journals and escrow Secrets.
    pub kept: Table<Kept>,
    /// The key of all fingerprints.
    pub key: FingerprintKey,
    /// The spec of the object.
    pub spec: RefreshableTokenSpec,
    /// Whether a rest that is written stands.
    pub rests: bool,
    nexts: Memo<(u32, Answer, u8), u32>,
}

impl Machine {
    /// A machine for an issuer that promises this.
    pub fn new(promise: Promise, rests: bool) -> Self {
        Self {
            nodes: Table::new(),
            contents: Table::new(),
            kept: Table::new(),
            key: FingerprintKey::new(b"key"),
            spec: spec::spec(promise),
            rests,
            nexts: Memo::new(),
        }
    }

    /// Begins an exchange.
    pub fn start(&self, brief: Brief, time: u8) -> u32 {
        self.keep(Exchange::start(brief, at(time)))
    }

    /// Begins an exchange for the sake of what was kept.
    pub fn replay(&self, brief: Brief, kept: u32) -> u32 {
        self.keep(Exchange::replay(brief, self.kept.value(kept).entry.clone()))
    }

    /// What follows on an answer.
    pub fn next(&self, node: u32, answer: Answer, time: u8) -> u32 {
        self.nexts.get((node, answer, time), |_| {
            let node = self.nodes.value(node);
            let event = self.event(&node.step, answer, time);
            self.keep(node.exchange.clone().next(event, at(time)))
        })
    }

    fn keep(&self, (exchange, step): (Exchange, Step)) -> u32 {
        let claims = named(&format!("{exchange:?} {step:?}"));
        let writes = match &step {
            Step::WriteState(write) => Some(self.hold(write.state.clone())),
            Step::Journal(entry) | Step::WriteEscrow(entry) => Some(self.hold_entry(Entry::clone(entry))),
            _ => None,
        };
        self.nodes.number(Node { exchange, step, writes, claims })
    }

    /// The number of contents.
    pub fn hold(&self, mut state: State) -> u32 {
        if !self.rests {
            state.rest_until = None;
        }
        let (tokens, claims) = (tokens_of(&state), named(&format!("{state:?}")));
        self.contents.number(Contents { state, tokens, claims })
    }

    fn hold_entry(&self, entry: Entry) -> u32 {
        let answer = entry.answer.as_ref().map_or(0, |answer| tokens_in(&String::from_utf8_lossy(&answer.reply.body.0)));
        let (tokens, claims) = (tokens_of(&entry.state) | answer, named(&format!("{:?}", entry.state)));
        self.kept.number(Kept { entry, tokens, claims })
    }

    fn event(&self, step: &Step, answer: Answer, time: u8) -> Event {
        let delivered = |delivery| Event::Delivered { delivery, sent: at(time) };
        match answer {
            Answer::Found(contents, version, written) => {
                let state = self.contents.value(contents).state.clone();
                let version = self::version(version, written);
                let stored = StoredState { state, version, immutable: false, deleting: false };
                Event::State(StateAnswer::Found(Box::new(stored)))
            }
            Answer::Absent => Event::State(StateAnswer::Missing),
            Answer::Unseen => Event::State(StateAnswer::Unclear),
            Answer::Written(version) => Event::Wrote(WriteAnswer::Done(Box::new(self::version(version, Some(time))))),
            Answer::Unwritten(why) => Event::Wrote(match why {
                Unwritten::Conflict => WriteAnswer::Conflict,
                Unwritten::Missing => WriteAnswer::Missing,
                Unwritten::Denied => WriteAnswer::Denied,
                Unwritten::Unclear => WriteAnswer::Unclear,
            }),
            Answer::Connected => Event::Connected(Ok(())),
            Answer::Marked(answer) => Event::Marked(answer),
            Answer::Granted(number) => delivered(Delivery::Answered(granted(number))),
            Answer::Refused => delivered(Delivery::Answered(reply(400, r#"{"error":"invalid_grant"}"#))),
            Answer::HeldBack => delivered(Delivery::NotSent(NotSent::HeldBack)),
            Answer::NotSent => delivered(Delivery::NotSent(NotSent::NotConnected)),
            Answer::Unanswered => delivered(Delivery::Lost { why: Lost::ConnectionEnded, partial: None }),
            Answer::Kept(done) => Event::Kept(done),
            Answer::Remembered(None) => Event::Remembered(Memento::Nothing),
            Answer::Remembered(Some(kept)) => Event::Remembered(Memento::Entry(Box::new(self.kept.value(kept).entry.clone()))),
            Answer::Forgotten => Event::Remembered(Memento::Unclear),
            Answer::Went if matches!(step, Step::Output { .. }) => Event::Output(OutputAnswer::Done),
            Answer::Went => Event::Paused,
        }
    }
}

/// The instant of a tick.
pub fn at(time: u8) -> DateTime<Utc> {
    DateTime::from_timestamp(STARTED, 0).unwrap_or_default() + TimeDelta::seconds(TICK * i64::from(time))
}

/// The refresh token of a number; each is granted for the one before.
pub fn token(number: u8) -> String {
    format!("refresh-{number}")
}

/// The number of the token in a request.
pub fn presented(body: &str) -> Option<u8> {
    let token = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token=refresh-"))?;
    token.parse().ok()
}

/// The name of a claim.
pub fn claim_name(number: u8) -> String {
    format!("claim-{number}.")
}

/// The number of the claim of a name.
pub fn claim_number(name: &str) -> Option<u8> {
    name.strip_prefix("claim-")?.strip_suffix('.')?.parse().ok()
}

/// The claim of a name, as a bit.
pub fn claim_bit(name: &str) -> u64 {
    claim_number(name).map_or(0, |number| 1 << number)
}

/// The claims that are named in a text, one bit each.
pub fn named(text: &str) -> u64 {
    let numbers = text.split("claim-").skip(1).filter_map(|rest| rest.split_once('.')?.0.parse::<u8>().ok());
    numbers.filter(|number| *number < CLAIMS).fold(0, |all, number| all | 1 << number)
}

/// The refresh tokens in a state, wherever they stand, one bit each.
fn tokens_of(state: &State) -> u16 {
    let kept = state.foreign.values().chain(&state.unparsed).map(|raw| tokens_in(&String::from_utf8_lossy(&raw.0)));
    let held = state.tokens.refresh_token.iter().map(|token| tokens_in(token.reveal()));
    kept.chain(held).fold(0, |all, tokens| all | tokens)
}

fn tokens_in(text: &str) -> u16 {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let numbers = words.filter_map(|word| word.strip_prefix("refresh-")?.parse::<u8>().ok());
    numbers.filter(|number| *number < TOKENS).fold(0, |all, number| all | 1 << number)
}

fn version(number: u8, written: Option<u8>) -> Version {
    let written = written.map(at);
    Version { uid: "state".to_owned(), resource_version: number.to_string(), written, ..Version::default() }
}

fn granted(number: u8) -> Reply {
    let body = json!({ "access_token": format!("access-{number}"), "refresh_token": token(number), "expires_in": LIFE });
    reply(200, &body.to_string())
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: Vec::new(), body: RawBody(body.as_bytes().to_vec()) }
}
