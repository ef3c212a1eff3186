//! Requests to the token API that touch no refresh token: the steps before a refresh, the question what became of a token, the trial of a
//! new one, the end of a replaced one. Nothing can be lost by any of them, and each can be repeated.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::Outcome;
use super::send::{cannot_request, not_sent};
use super::step::{Event, Question, StateWrite, Step, WriteAnswer};
use super::{CLAIM_TTL, Exchange, Next, Phase, postpone};
use crate::api::Reason;
use crate::provider::{Class, Delivery, Probed, Reply, RequestError, TokenRequest};
use crate::refresh::schedule::after;
use crate::refresh::state::{Claim, State};
use crate::token::{HeldTokens, Purpose};

/// How long the question what became of a token waits beyond [`CLAIM_TTL`]. Our choice: times of the API server are cut to whole seconds,
/// and its clock is compared with itself before the token is presented again.
pub const PROBE_MARGIN: Duration = Duration::from_secs(5);

/// When the API can be asked what became of the token of a claim.
#[must_use]
pub fn asks_from(claim: &Claim) -> DateTime<Utc> {
    after(claim.time, CLAIM_TTL + PROBE_MARGIN)
}

/// The answer, or why there is none.
fn reply(delivery: Delivery) -> Result<Reply, String> {
    match delivery {
        Delivery::Answered(reply) => Ok(reply),
        Delivery::NotSent(why) => Err(why.to_string()),
        Delivery::Lost { why, .. } => Err(why.to_string()),
    }
}

impl Exchange {
    fn ask(self, phase: Phase, request: TokenRequest, question: Question) -> Next {
        self.at(phase, Step::Ask { request, question })
    }

    /// The request that goes first, to learn before anything is done whether there can be one.
    pub(super) fn first_request(&self, now: DateTime<Utc>) -> Result<TokenRequest, RequestError> {
        if self.brief.provider.steps() > 0 { self.brief.provider.step(0, &self.input(now)) } else { self.request(now) }
    }

    /// The next request before the one that brings the tokens.
    pub(super) fn take_step(self, now: DateTime<Utc>) -> Next {
        match self.brief.provider.step(self.steps, &self.input(now)) {
            Ok(request) => self.ask(Phase::Stepping, request, Question::Step),
            Err(error) => self.finish(cannot_request(&error)),
        }
    }

    pub(super) fn stepped(mut self, delivery: Delivery, now: DateTime<Utc>) -> Next {
        let reply = match delivery {
            Delivery::Answered(reply) => reply,
            Delivery::NotSent(why) => return self.finish(not_sent(why)),
            Delivery::Lost { why, .. } => return self.finish(postpone(Reason::RefreshRetrying, &why.to_string())),
        };
        let brief = Arc::clone(&self.brief);
        match brief.provider.read_step(self.steps, &reply, &mut self.results) {
            Ok(()) => {
                self.steps += 1;
                self.send(now)
            }
            // Nothing was presented that could be spent.
            Err(error) => self.finish(Outcome::Rejected(error)),
        }
    }

    /// Whether the API can be asked what became of the token of the open claim. Once the access token has expired, nothing can get worse by
    /// presenting it.
    pub(super) fn may_be_asked(&self, now: DateTime<Utc>) -> bool {
        let alive = self.state.tokens.expiration_time.is_none_or(|end| now < end);
        alive && self.brief.provider.probes()
    }

    /// Not while a copy of the request may still be on its way: the answer would hold for a moment only.
    pub(super) fn ask_fate(self, now: DateTime<Utc>) -> Next {
        let arrived = self.state.claim.as_ref().is_some_and(|claim| asks_from(claim) <= now);
        match self.brief.provider.probe(&self.input(now)) {
            Some(Ok(request)) if arrived => self.ask(Phase::Probing, request, Question::Probe),
            _ => self.finish(Outcome::Unknown(None)),
        }
    }

    pub(super) fn fate_told(mut self, delivery: Delivery, now: DateTime<Utc>) -> Next {
        let fate = reply(delivery).map_or(Probed::Unclear, |reply| self.brief.provider.read_probe(&reply));
        (self.fate, self.stood_since) = (Some(fate), self.written());
        match fate {
            Probed::Unspent => self.take_over(false, now),
            // Servers say the same of a token that the client may not ask about (RFC 7662 section 2.2): no chain ends for that which nothing
            // can follow.
            Probed::Spent if self.brief.policy.recovers => self.end_chain(None, None),
            Probed::Spent | Probed::Unclear => self.finish(Outcome::Unknown(None)),
        }
    }

    /// Whether the newest token is to be tried before anybody gets it.
    pub(super) fn has_to_verify(&self) -> bool {
        let asked = self.brief.policy.verifies && self.verified.is_none();
        let Some(token) = self.state.tokens.access_token.as_ref().filter(|_| asked) else { return false };
        let token = self.brief.key.fingerprint(Purpose::Token, token.reveal().as_bytes());
        self.brief.known.verified.as_ref() != Some(&token)
    }

    pub(super) fn verify(self, now: DateTime<Utc>) -> Next {
        match self.brief.provider.verification(&self.input(now)) {
            Some(Ok(request)) => self.ask(Phase::Verifying, request, Question::Verification),
            Some(Err(error)) => self.unverified(format!("it cannot be tried: {error}")),
            None => self.unverified("this token API has no call to try it with".to_owned()),
        }
    }

    pub(super) fn tried_out(mut self, delivery: Delivery, now: DateTime<Utc>) -> Next {
        let tried = reply(delivery).map(|reply| self.brief.provider.read_verification(&reply));
        let why = match tried {
            Ok(Ok(())) => {
                self.verified = Some(Ok(()));
                return self.publish(now);
            }
            Ok(Err(error)) if matches!(error.class, Class::Configuration | Class::ChainOver) => {
                format!("it is not accepted: {error}")
            }
            Ok(Err(error)) => format!("it could not be tried: {error}"),
            Err(why) => format!("it could not be tried: {why}"),
        };
        self.unverified(why)
    }

    fn unverified(mut self, why: String) -> Next {
        self.verified = Some(Err(why));
        self.over()
    }

    /// Whether the time of the token that was replaced is over. Not before every output holds its successor.
    pub(super) fn has_to_retire(&self, now: DateTime<Utc>) -> bool {
        let Some((grace, previous)) = self.brief.policy.retires_after.zip(self.state.tokens.previous.as_ref()) else {
            return false;
        };
        let over = after(previous.replaced_time, grace) <= now && previous.expiration_time.is_none_or(|end| now < end);
        let settled = !self.claimed && self.state.claim.is_none() && self.stands && self.version.is_some() && !self.deleting;
        let replaced = self.unrendered.is_none() && self.outputs.iter().all(|output| output.result.is_ok());
        over && settled && replaced && self.outputs.len() == self.brief.outputs.len()
    }

    fn unretired(mut self, why: String) -> Next {
        self.retired = Some(Err(why));
        self.over()
    }

    pub(super) fn retire(self, now: DateTime<Utc>) -> Next {
        let previous = self.state.tokens.previous.as_ref().map(|previous| &previous.access_token);
        match previous.and_then(|token| self.brief.provider.retirement(token, &self.input(now))) {
            Some(Ok(request)) => self.ask(Phase::Retiring, request, Question::Retirement),
            Some(Err(error)) => self.unretired(error.to_string()),
            None => self.unretired("this token API revokes no single access token".to_owned()),
        }
    }

    pub(super) fn retirement_told(self, delivery: Delivery, now: DateTime<Utc>) -> Next {
        let read = |reply: Reply| self.brief.provider.read_revocation(&reply, now).map_err(|error| error.to_string());
        if let Err(why) = reply(delivery).and_then(read) {
            return self.unretired(why);
        }
        let tokens = HeldTokens { previous: None, ..self.state.tokens.clone() };
        let state = State { tokens, ..self.state.clone() };
        let write = StateWrite { state, replaces: self.version.clone(), dry_run: false, begins: false };
        self.at(Phase::Forgetting, Step::WriteState(Box::new(write)))
    }

    /// Where it was not written, the token is revoked once more: that is no error (RFC 7009 section 2.2).
    pub(super) fn forgotten(mut self, event: Event) -> Next {
        let Event::Wrote(WriteAnswer::Done(version)) = event else {
            return self.unretired("it is revoked, but the state Secret could not be written".to_owned());
        };
        self.version = Some(*version);
        self.state.tokens.previous = None;
        self.retired = Some(Ok(()));
        self.over()
    }
}
