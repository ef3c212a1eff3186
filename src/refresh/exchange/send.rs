//! The one sending, and what its end proves.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::Outcome;
use super::secure::Then;
use super::step::{Step, Task};
use super::{CLAIM_TTL, Exchange, Next, Phase, SEND_WITHIN};
use crate::api::Reason;
use crate::provider::{Class, Delivery, Lost, NotSent, RawBody, Reply, RequestError, Semantics, TokenError};
use crate::refresh::journal::Answer;
use crate::refresh::state::State;

/// What a grace window must still hold when a request is repeated, so that the repeat arrives inside it. Our choice.
pub(super) const GRACE_MARGIN: Duration = Duration::from_secs(2);
/// How often one process repeats a request. Our choice: if three answers are lost, something else is wrong.
const MOST_REPEATS: u32 = 3;

impl Exchange {
    pub(super) fn send(self, now: DateTime<Utc>) -> Next {
        if self.steps < self.brief.provider.steps() {
            return self.take_step(now);
        }
        let within = self.send_within(now);
        match self.request(now) {
            Ok(request) => self.at(Phase::Sending, Step::Send { request, within }),
            Err(error) if self.first_sending() => self.release(cannot_request(&error)),
            // A repeat follows a sending that may have arrived.
            Err(_) => self.finish(Outcome::Unknown(None)),
        }
    }

    /// How long after the claim the request may leave. A repeat by the process that sent first is bound by the window: the
    /// process can be suspended at any moment.
    fn send_within(&self, now: DateTime<Utc>) -> Option<Duration> {
        if !self.semantics().spends() {
            return None;
        }
        if self.repeats > 0 {
            let Semantics::Grace(window) = self.semantics() else { return None };
            let taken_over =
                self.repeat_until.zip(self.claim_begun).map(|(until, begun)| (until - begun).to_std().unwrap_or_default());
            return Some(taken_over.unwrap_or(window.saturating_sub(GRACE_MARGIN)));
        }
        let left = self.repeat_until.map(|until| (until - now).to_std().unwrap_or_default());
        Some(left.unwrap_or(SEND_WITHIN).min(SEND_WITHIN))
    }

    /// Only the first sending of all can prove that nothing was spent: a repeat follows one that may have arrived.
    fn first_sending(&self) -> bool {
        self.repeats == 0 && !self.repeating()
    }

    fn last_try(&self) -> bool {
        self.state.claim.as_ref().is_some_and(|claim| claim.last_try)
    }

    pub(super) fn delivered(mut self, delivery: Delivery, sent: DateTime<Utc>, now: DateTime<Utc>) -> Next {
        let (reply, partial) = match delivery {
            Delivery::Answered(reply) => (Some(reply), false),
            Delivery::NotSent(why) if self.first_sending() => return self.release(not_sent(why)),
            Delivery::NotSent(_) if self.last_try() => return self.release(Outcome::Unknown(None)),
            Delivery::NotSent(_) => return self.lost(None, None, now),
            Delivery::Lost { partial, why } => {
                self.why_lost = Some(why);
                (partial.filter(|reply| !reply.body.0.is_empty()), true)
            }
        };
        self.first_sent = self.first_sent.or(Some(sent));
        self.answer = reply.map(|reply| Answer { reply, partial, sent });
        // Durable before a byte of it is read.
        if self.answer.is_some() && self.state.claim.is_some() && self.brief.claim.journal.is_some() {
            let entry = self.entry();
            return self.at(Phase::Keeping, Step::Journal(entry));
        }
        self.answered(now)
    }

    /// Reads the answer, which is as safe as it can be.
    pub(super) fn answered(self, now: DateTime<Utc>) -> Next {
        let Some(Answer { reply, partial, sent }) = self.answer.clone() else {
            let why = self.why_lost;
            return self.lost(why, None, now);
        };
        if partial {
            let why = self.why_lost;
            return self.lost(why, Some(reply), now);
        }
        match self.brief.provider.read(&reply, sent) {
            Ok(granted) => {
                let held = &self.state.tokens;
                let tokens = held.after(&granted, sent);
                let tokens = if self.remembers() { tokens.remembering(held) } else { tokens };
                let generation = self.state.generation.saturating_add(1);
                // Without a new refresh token the one that was just spent is all there is: it is never presented again.
                let chain_over = granted.refresh_token.is_none() && !self.brief.provider.keeps_omitted_refresh_token();
                let mut commit = State { tokens, generation, chain_over, unparsed: None, ..self.state.released() };
                commit.rest_until = self.rest(now);
                let older = commit.closed_claims.len().saturating_sub(1);
                commit.closed_claims.drain(..older);
                // An answer that was committed before is put back: that is no refresh.
                let known = self.resumed && generation <= self.brief.known.generation;
                let then = if known { Then::Finish(Outcome::Stale) } else { Then::Publish };
                self.secure(commit, then)
            }
            Err(error) => match error.class {
                // After a lost answer a refusal proves nothing about the first sending.
                Class::Transient | Class::Throttled | Class::Configuration if self.first_sending() => {
                    self.release(Outcome::Rejected(error))
                }
                Class::Transient | Class::Throttled | Class::Configuration if self.last_try() => {
                    self.release(Outcome::Unknown(None))
                }
                Class::ChainOver => self.end_chain(None, Some(error)),
                Class::Transient | Class::Throttled | Class::Configuration | Class::Unknown => self.lost(None, Some(reply), now),
            },
        }
    }

    /// Until when nothing follows on an answer that came in a repeat: a copy of what was sent before can still arrive, and a grace
    /// holds for the token before the newest only. Counted from the last sending, on the API server's clock.
    fn rest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let Semantics::Grace(window) = self.semantics() else { return None };
        // Nobody wrote down whether an answer that was kept came in a repeat.
        let claim = self.state.claim.as_ref().filter(|_| self.resumed || !self.first_sending())?;
        let written = self.written().or(claim.since)?;
        // Both by the clock of the process that sent, which may not be this one.
        let sent = self.answer.as_ref().map_or(now, |answer| answer.sent);
        let passed = (sent - claim.time).to_std().unwrap_or(window).min(window);
        Some(crate::refresh::schedule::after(written, passed.saturating_add(CLAIM_TTL)))
    }

    /// The chain is over: its token is never presented again.
    pub(super) fn end_chain(self, raw: Option<RawBody>, error: Option<TokenError>) -> Next {
        let unparsed = raw.or_else(|| self.state.unparsed.clone());
        let over = State { chain_over: true, unparsed, ..self.state.released() };
        self.secure(over, Then::Finish(Outcome::ChainOver(error)))
    }

    /// Nobody can tell whether the token was spent. What follows depends on what the API promises, and on nothing else.
    pub(super) fn lost(mut self, why: Option<Lost>, partial: Option<Reply>, now: DateTime<Utc>) -> Next {
        self.presented = true;
        let raw = partial.map(|reply| reply.body).filter(|body| !body.0.is_empty());
        if self.last_try() {
            return self.end_chain(raw, None);
        }
        match self.semantics() {
            Semantics::Reusable | Semantics::RenewsItself | Semantics::Reissue => {
                let message = why.map_or_else(|| "the token API's answer cannot be read".to_owned(), |why| why.to_string());
                self.finish(Outcome::Postponed { reason: Reason::RefreshRetrying, message })
            }
            // Whoever repeats what another sent has to take over its claim first.
            _ if self.resumed && (self.brief.task == Task::LastTry || self.semantics() != Semantics::SingleUse) => {
                self.state.unparsed = raw.or(self.state.unparsed.take());
                self.resumed = false;
                self.undecided(now)
            }
            Semantics::Grace(_) | Semantics::IdempotencyKey if self.may_repeat(now) => {
                self.repeats += 1;
                if let Some(claim) = &mut self.state.claim {
                    claim.first.get_or_insert_with(|| claim.id.clone());
                }
                self.at(Phase::WaitingToRepeat, Step::Pause(Duration::from_secs(1)))
            }
            Semantics::SingleUse | Semantics::Grace(_) | Semantics::IdempotencyKey => {
                // The outputs are looked after whatever became of that: they hold what the state holds.
                let shows = self.resumed && self.brief.task == Task::Publish && !self.replaying;
                self.claimed |= shows;
                let then = if shows { Then::Show } else { Then::Finish(Outcome::Unknown(why)) };
                match raw.filter(|raw| !shows || self.state.unparsed.as_ref() != Some(raw)) {
                    Some(raw) => {
                        let kept = State { unparsed: Some(raw), ..self.state.clone() };
                        self.secure(kept, then)
                    }
                    None => self.hold(then),
                }
            }
        }
    }

    fn may_repeat(&self, now: DateTime<Utc>) -> bool {
        let in_time = match (self.semantics(), self.repeat_until) {
            (_, Some(until)) => now < until,
            (Semantics::Grace(window), None) => {
                let begun = self.first_sent.or(self.claim_begun);
                let passed = begun.and_then(|first| (now - first).to_std().ok()).unwrap_or_default();
                passed.saturating_add(GRACE_MARGIN) < window
            }
            (semantics, None) => semantics == Semantics::IdempotencyKey,
        };
        self.repeats < MOST_REPEATS && in_time
    }
}

pub(super) fn cannot_request(error: &RequestError) -> Outcome {
    let reason = match error {
        RequestError::Missing(_)
        | RequestError::NotSendable(_)
        | RequestError::MissingKey(_)
        | RequestError::KeyNotSendable(_) => Reason::SeedInvalid,
        RequestError::Url(_) | RequestError::Declared(_) => Reason::InvalidSpec,
    };
    Outcome::Refused { reason, message: error.to_string() }
}

pub(super) fn not_sent(why: NotSent) -> Outcome {
    let message = why.to_string();
    match why {
        NotSent::EndpointNotAllowed | NotSent::ProxyNotAllowed => {
            Outcome::Refused { reason: Reason::EndpointNotAllowed, message }
        }
        NotSent::CaBundleInvalid => Outcome::Refused { reason: Reason::CaBundleInvalid, message },
        NotSent::ClientCertificateRejected => Outcome::Refused { reason: Reason::ClientCertificateInvalid, message },
        NotSent::ProxyCredentialsRejected => Outcome::Refused { reason: Reason::ProxyCredentialsInvalid, message },
        NotSent::NotSigned => Outcome::Refused { reason: Reason::SeedInvalid, message },
        NotSent::NameNotResolved
        | NotSent::NotConnected
        | NotSent::TlsRejected
        | NotSent::ConnectTimeout
        | NotSent::ProxyUnreachable
        | NotSent::ProxyRefused => Outcome::Postponed { reason: Reason::EndpointUnreachable, message },
        NotSent::HeldBack => Outcome::Postponed { reason: Reason::RefreshRetrying, message },
    }
}
