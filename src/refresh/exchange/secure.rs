//! Writes of the state Secret that must come through: the commit of a new pair, an answer that could not be read, a release.
//!
//! A commit is tried for as long as the process lives: what it writes exists nowhere else. A release is given up after some
//! tries, because nothing is lost by an open claim that is known to have spent nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::step::{Event, Outcome, StateAnswer, StateWrite, Step, WriteAnswer};
use super::{Exchange, Next, Phase, is_claim, spendable};
use crate::api::Reason;
use crate::provider::RawBody;
use crate::refresh::state::{Malformed, State, StoredState};

/// First and longest pause between two tries (reference protocol, step 9).
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a release is tried. Our choice: about 13 s in all; the next process can tell that the claim is void.
const RELEASE_TRIES: u32 = 7;

/// A write under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Securing {
    target: State,
    then: Then,
    tries: u32,
    stage: Stage,
    may_give_up: bool,
}

/// What follows a write.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Then {
    /// Write the outputs.
    Publish,
    /// End with this.
    Finish(Outcome),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Writing,
    Looking,
    Pausing,
}

impl Exchange {
    /// Writes `target`, however long it takes.
    pub(super) fn secure(self, target: State, then: Then) -> Next {
        self.write(Securing { target, then, tries: 0, stage: Stage::Writing, may_give_up: false })
    }

    /// Closes the claim, if there is one: nothing was spent.
    pub(super) fn release(self, outcome: Outcome) -> Next {
        if self.state.claim.is_none() {
            return self.finish(outcome);
        }
        let target = self.released();
        self.write(Securing { target, then: Then::Finish(outcome), tries: 0, stage: Stage::Writing, may_give_up: true })
    }

    pub(super) fn secured(mut self, securing: Securing, event: Event, _now: DateTime<Utc>) -> Next {
        match (securing.stage, event) {
            (Stage::Writing, Event::Wrote(WriteAnswer::Done(version))) => {
                self.version = Some(*version);
                self.settled(securing)
            }
            (Stage::Writing, Event::Wrote(WriteAnswer::Conflict)) => self.look(securing),
            (Stage::Writing, Event::Wrote(WriteAnswer::Missing)) | (Stage::Looking, Event::State(StateAnswer::Missing)) => {
                self.gone(securing)
            }
            (Stage::Looking, Event::State(StateAnswer::Found(stored))) => self.compare(securing, *stored),
            (Stage::Looking, Event::State(StateAnswer::Malformed(Malformed::Unreadable | Malformed::NotText, version))) => {
                self.version = Some(*version);
                self.write(securing)
            }
            (Stage::Pausing, _) => self.write(securing),
            // Denied, unclear, somebody else's Secret in its place, or an event that answers nothing: wait and try again.
            (Stage::Writing | Stage::Looking, _) => self.wait(securing),
        }
    }

    fn write(self, securing: Securing) -> Next {
        let write = StateWrite { state: securing.target.clone(), replaces: self.version.clone(), dry_run: false };
        self.at(Phase::Securing(Securing { stage: Stage::Writing, ..securing }), Step::WriteState(Box::new(write)))
    }

    fn look(self, securing: Securing) -> Next {
        self.at(Phase::Securing(Securing { stage: Stage::Looking, ..securing }), Step::ReadState)
    }

    fn wait(self, securing: Securing) -> Next {
        let tries = securing.tries.saturating_add(1);
        if securing.may_give_up && tries >= RELEASE_TRIES {
            return self.conclude(securing.then);
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(securing.tries.min(16))).min(LONGEST_PAUSE);
        self.at(Phase::Securing(Securing { tries, stage: Stage::Pausing, ..securing }), Step::Pause(pause))
    }

    fn settled(mut self, securing: Securing) -> Next {
        self.state = securing.target;
        self.stored = true;
        self.conclude(securing.then)
    }

    fn conclude(mut self, then: Then) -> Next {
        match then {
            Then::Publish => {
                self.refreshed = true;
                self.publish()
            }
            Then::Finish(outcome) => self.finish(outcome),
        }
    }

    /// The Secret is gone: what must be kept is created again; a claim that is gone needs no release.
    fn gone(mut self, securing: Securing) -> Next {
        self.version = None;
        if securing.may_give_up {
            self.state.claim = None;
            return self.conclude(securing.then);
        }
        self.write(securing)
    }

    /// Somebody wrote in between, perhaps we ourselves in a write whose answer was lost.
    fn compare(mut self, mut securing: Securing, stored: StoredState) -> Next {
        let found = stored.state;
        securing.target.foreign.clone_from(&found.foreign);
        self.version = Some(stored.version);
        if found == securing.target {
            return self.settled(securing);
        }
        if is_claim(&found, &self.brief.claim.id) {
            return self.write(securing);
        }
        if securing.may_give_up {
            self.state.claim = None;
            return self.conclude(securing.then);
        }
        let key = &self.brief.key;
        let same_token = spendable(&found.tokens, self.semantics(), key) == spendable(&self.state.tokens, self.semantics(), key);
        if same_token || found.generation < securing.target.generation {
            // An older copy, or the claim edited away: what stands there is spent, what we hold is newer.
            return self.write(securing);
        }
        // A newer chain stands there. It is kept, and so is what we hold, beside it.
        let kept = securing.target.encode();
        let mut target = found;
        for (name, bytes) in kept.into_iter().filter(|(name, _)| name.ends_with("_token")) {
            target.foreign.insert(format!("orphaned.{}.{name}", self.brief.claim.id), RawBody(bytes));
        }
        let message = "another chain was put into the state Secret while a refresh was under way; it is kept, and the refreshed \
                       tokens stand beside it under keys that begin with orphaned: see which one you want to keep";
        let then = Then::Finish(Outcome::Refused { reason: Reason::StateConflict, message: message.to_owned() });
        self.write(Securing { target, then, ..securing })
    }
}
