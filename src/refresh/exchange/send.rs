//! The one sending, and what its end proves.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::secure::Then;
use super::step::{Outcome, Step};
use super::{Exchange, Next, Phase};
use crate::api::Reason;
use crate::provider::{Class, Delivery, Lost, NotSent, Reply, RequestError, Semantics};
use crate::refresh::state::State;

/// What a grace window must still hold when a request is repeated, so that the repeat arrives inside it. Our choice.
const GRACE_MARGIN: Duration = Duration::from_secs(2);
/// How often a request is repeated inside a grace window. Our choice: if three answers are lost, something else is wrong.
const MOST_REPEATS: u32 = 3;

impl Exchange {
    pub(super) fn send(self, now: DateTime<Utc>) -> Next {
        // A repeat inside a grace window is not bound to the claim's age: the window bounds it.
        let bound_to_claim = self.semantics().spends() && self.repeats == 0;
        match self.request(now) {
            Ok(request) => self.at(Phase::Sending, Step::Send { request, bound_to_claim }),
            Err(error) if self.repeats == 0 => self.release(cannot_request(&error)),
            // A repeat follows a sending that may have arrived.
            Err(_) => self.finish(Outcome::Unknown(None)),
        }
    }

    pub(super) fn delivered(mut self, delivery: Delivery, sent: DateTime<Utc>, now: DateTime<Utc>) -> Next {
        let reply = match delivery {
            Delivery::Answered(reply) => reply,
            // Only the first sending can prove that nothing was spent: a repeat follows one that may have arrived.
            Delivery::NotSent(why) if self.repeats == 0 => return self.release(not_sent(why)),
            Delivery::NotSent(_) => return self.lost(None, None, now),
            Delivery::Lost { why, partial } => {
                self.first_sent = self.first_sent.or(Some(sent));
                return self.lost(Some(why), partial, now);
            }
        };
        self.first_sent = self.first_sent.or(Some(sent));
        match self.brief.provider.read(&reply, sent) {
            Ok(granted) => {
                let tokens = self.state.tokens.after(&granted, sent);
                let generation = self.state.generation.saturating_add(1);
                // Without a new refresh token the one that was just spent is all there is: it is never presented again.
                let chain_over = granted.refresh_token.is_none() && !self.brief.provider.keeps_omitted_refresh_token();
                let commit = State { tokens, generation, chain_over, unparsed: None, ..self.released() };
                self.secure(commit, Then::Publish)
            }
            Err(error) => match error.class {
                // After a lost answer a refusal proves nothing about the first sending.
                Class::Transient | Class::Throttled | Class::Configuration if self.repeats == 0 => {
                    self.release(Outcome::Rejected(error))
                }
                Class::ChainOver => {
                    let over = State { chain_over: true, ..self.released() };
                    self.secure(over, Then::Finish(Outcome::ChainOver(Some(error))))
                }
                Class::Transient | Class::Throttled | Class::Configuration | Class::Unknown => self.lost(None, Some(reply), now),
            },
        }
    }

    /// Nobody can tell whether the token was spent. What follows depends on what the API promises, and on nothing else.
    pub(super) fn lost(mut self, why: Option<Lost>, partial: Option<Reply>, now: DateTime<Utc>) -> Next {
        match self.semantics() {
            Semantics::Reusable | Semantics::RenewsItself => {
                let message = why.map_or_else(|| "the token API's answer cannot be read".to_owned(), |why| why.to_string());
                self.finish(Outcome::Postponed { reason: Reason::RefreshRetrying, message })
            }
            Semantics::Grace(window) if self.may_repeat(window, now) => {
                self.repeats += 1;
                self.at(Phase::WaitingToRepeat, Step::Pause(Duration::from_secs(1)))
            }
            Semantics::SingleUse | Semantics::Grace(_) => match partial.filter(|reply| !reply.body.0.is_empty()) {
                Some(reply) => {
                    let kept = State { unparsed: Some(reply.body), ..self.state.clone() };
                    self.secure(kept, Then::Finish(Outcome::Unknown(why)))
                }
                None => self.hold(Outcome::Unknown(why)),
            },
        }
    }

    fn may_repeat(&self, window: Duration, now: DateTime<Utc>) -> bool {
        let passed = self.first_sent.or(self.claim_begun).and_then(|first| (now - first).to_std().ok()).unwrap_or_default();
        self.repeats < MOST_REPEATS && passed.saturating_add(GRACE_MARGIN) < window
    }
}

pub(super) fn cannot_request(error: &RequestError) -> Outcome {
    let reason = match error {
        RequestError::Missing(_) | RequestError::NotSendable(_) => Reason::SeedInvalid,
        RequestError::Url(_) => Reason::InvalidSpec,
    };
    Outcome::Refused { reason, message: error.to_string() }
}

pub(super) fn not_sent(why: NotSent) -> Outcome {
    let message = why.to_string();
    match why {
        NotSent::EndpointNotAllowed => Outcome::Refused { reason: Reason::EndpointNotAllowed, message },
        NotSent::CaBundleInvalid => Outcome::Refused { reason: Reason::CaBundleInvalid, message },
        NotSent::NameNotResolved | NotSent::NotConnected | NotSent::TlsRejected | NotSent::ConnectTimeout => {
            Outcome::Postponed { reason: Reason::EndpointUnreachable, message }
        }
        NotSent::HeldBack => Outcome::Postponed { reason: Reason::RefreshRetrying, message },
    }
}
