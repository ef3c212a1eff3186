//! The outputs in an exchange: the trial before anything is spent, and the publication after everything is safe.
//!
//! An output is applied on the UID that was last seen as ours, so that a Secret which somebody put in its place in between is
//! never touched: the API server answers 409 to an apply that names another UID.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::{Outcome, OutputOutcome, OutputProblem};
use super::step::{Brief, Event, OutputAction, OutputAnswer, SeenOutput, Step};
use super::{Exchange, Next, Phase, unclear};
use crate::api::CreationPolicy;
use crate::refresh::output::Rendered;

/// How many requests one output may need before its turn is over. Our choice: twice what the longest honest course needs.
const MOST_REQUESTS: u32 = 8;

/// One output's requests so far.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Turn {
    index: usize,
    action: OutputAction,
    seen: Option<SeenOutput>,
    requests: u32,
}

/// The trial of all outputs: dry runs with tokens of the largest size.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Trial {
    rendered: Vec<Rendered>,
    turn: Turn,
}

/// What a trial came to so far.
#[expect(clippy::large_enum_variant, reason = "lives for one call")]
pub(super) enum Tried {
    Step(Trial, Step),
    Passed,
    Failed(Outcome),
}

/// The publication of all outputs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Publishing {
    rendered: Vec<Rendered>,
    turn: Turn,
    pausing: bool,
}

/// Refuses, before anything is spent, outputs that were last seen as somebody else's, of another type or immutable.
pub(super) fn ownership(brief: &Brief) -> Result<(), Outcome> {
    for (output, seen) in brief.outputs.iter().zip(&brief.seen) {
        let problem = seen.as_ref().and_then(problem);
        // The watch shows that somebody else set the field, not to what: that tells something of our own Secrets only.
        let told =
            |problem: &OutputProblem| *problem != OutputProblem::Immutable || output.creation_policy() != CreationPolicy::Merge;
        if let Some(problem) = problem.filter(told) {
            return Err(refusal(problem, &output.secret_name));
        }
    }
    Ok(())
}

fn problem(seen: &SeenOutput) -> Option<OutputProblem> {
    if !seen.owned {
        Some(OutputProblem::Foreign)
    } else if seen.immutable {
        Some(OutputProblem::Immutable)
    } else {
        None
    }
}

fn refusal(problem: OutputProblem, name: &str) -> Outcome {
    let (reason, message) = (problem.reason(), problem.message(name));
    if problem.passes() { Outcome::Postponed { reason, message } } else { Outcome::Refused { reason, message } }
}

/// Somebody else makes it.
fn awaited(rendered: &Rendered) -> bool {
    rendered.policy == CreationPolicy::Merge
}

/// A found Secret against what it shall be.
fn found(seen: &SeenOutput, rendered: &Rendered) -> Result<(), OutputProblem> {
    match problem(seen) {
        Some(problem) => Err(problem),
        None if seen.type_.as_deref().is_some_and(|type_| type_ != rendered.type_) => Err(OutputProblem::OtherType),
        None => Ok(()),
    }
}

impl Turn {
    /// The first request: what is known as ours is applied to, what is known as somebody else's is looked at, what is not
    /// known is created, or looked for where somebody else makes it.
    fn start(
        index: usize,
        seen: Option<SeenOutput>,
        rendered: Option<&Rendered>,
        known: OutputAction,
        unknown: OutputAction,
    ) -> Self {
        let action = match &seen {
            Some(seen) if rendered.is_none_or(|rendered| found(seen, rendered).is_ok()) => known,
            Some(_) => OutputAction::Read,
            None if rendered.is_some_and(awaited) => OutputAction::Read,
            None => unknown,
        };
        Self { index, action, seen, requests: 1 }
    }

    fn then(self, action: OutputAction) -> Self {
        Self { action, requests: self.requests + 1, ..self }
    }

    fn step(&self, rendered: &[Rendered]) -> Option<Step> {
        let rendered = rendered.get(self.index)?.clone();
        Some(Step::Output { index: self.index, action: self.action, seen: self.seen.clone(), rendered })
    }
}

impl Trial {
    pub(super) fn start(brief: &Brief, rendered: Vec<Rendered>) -> Option<(Self, Step)> {
        Self::at(brief, rendered, 0)
    }

    fn at(brief: &Brief, rendered: Vec<Rendered>, index: usize) -> Option<(Self, Step)> {
        let seen = brief.seen.get(index).cloned().flatten();
        let turn = Turn::start(index, seen, rendered.get(index), OutputAction::TryApply, OutputAction::TryCreate);
        let step = turn.step(&rendered)?;
        Some((Self { rendered, turn }, step))
    }

    pub(super) fn next(self, brief: &Brief, answer: OutputAnswer) -> Tried {
        let Self { rendered, turn } = self;
        let Some(output) = rendered.get(turn.index) else { return Tried::Passed };
        if turn.requests >= MOST_REQUESTS {
            return Tried::Failed(unclear("the output Secrets change faster than they can be looked at"));
        }
        let turn = match (turn.action, answer) {
            (OutputAction::TryCreate | OutputAction::TryApply, OutputAnswer::Done) => {
                let index = turn.index + 1;
                return Self::at(brief, rendered, index).map_or(Tried::Passed, |(trial, step)| Tried::Step(trial, step));
            }
            // Refused: immutable or of another type, perhaps. A look tells.
            (OutputAction::TryApply, OutputAnswer::Denied) | (_, OutputAnswer::Conflict) => turn.then(OutputAction::Read),
            (OutputAction::Read, OutputAnswer::Found(seen)) => match found(&seen, output) {
                Err(problem) => return Tried::Failed(refusal(problem, &output.name)),
                Ok(()) if turn.requests > 2 => return Tried::Failed(refusal(OutputProblem::Denied, &output.name)),
                Ok(()) => Turn { seen: Some(seen), ..turn }.then(OutputAction::TryApply),
            },
            (_, OutputAnswer::Missing) if awaited(output) => {
                return Tried::Failed(refusal(OutputProblem::Missing, &output.name));
            }
            (_, OutputAnswer::Missing) => Turn { seen: None, ..turn }.then(OutputAction::TryCreate),
            (_, OutputAnswer::Denied) => return Tried::Failed(refusal(OutputProblem::Denied, &output.name)),
            (_, OutputAnswer::Unclear | OutputAnswer::Found(_) | OutputAnswer::Done) => {
                return Tried::Failed(refusal(OutputProblem::Unclear, &output.name));
            }
        };
        match turn.step(&rendered) {
            Some(step) => Tried::Step(Self { rendered, turn }, step),
            None => Tried::Passed,
        }
    }
}

impl Exchange {
    /// Writes every output from the state; can be repeated for ever. Tokens of a seed are not published: nothing is known of
    /// them until the first refresh.
    pub(super) fn publish(mut self, now: DateTime<Utc>) -> Next {
        if self.state.tokens.issued_time.is_none() && !self.refreshed {
            return self.end(now);
        }
        if self.has_to_verify() {
            return self.verify(now);
        }
        match self.render(&self.state.tokens, now) {
            Ok(rendered) => self.publish_at(rendered, 0, now),
            Err(error) => {
                self.unrendered = Some(error.to_string());
                self.end(now)
            }
        }
    }

    fn publish_at(self, rendered: Vec<Rendered>, index: usize, now: DateTime<Utc>) -> Next {
        let seen = self.brief.seen.get(index).cloned().flatten();
        let stale = seen.as_ref().zip(rendered.get(index)).is_some_and(|(seen, rendered)| seen.surplus(rendered));
        let known = if stale { OutputAction::Prune } else { OutputAction::Apply };
        let turn = Turn::start(index, seen, rendered.get(index), known, OutputAction::Create);
        match turn.step(&rendered) {
            Some(step) => self.at(Phase::Publishing(Publishing { rendered, turn, pausing: false }), step),
            None => self.end(now),
        }
    }

    pub(super) fn published(self, publishing: Publishing, event: Event, now: DateTime<Utc>) -> Next {
        let Publishing { rendered, turn, pausing } = publishing;
        let Some(output) = rendered.get(turn.index).cloned() else { return self.end(now) };
        let answer = match event {
            Event::Output(answer) => answer,
            _ if pausing => return self.continue_with(rendered, turn, now),
            _ => OutputAnswer::Unclear,
        };
        if turn.requests >= MOST_REQUESTS {
            return self.ended(rendered, turn.index, &output, Err(OutputProblem::Unclear), now);
        }
        let turn = match (turn.action, answer) {
            (OutputAction::Apply | OutputAction::Create, OutputAnswer::Done) => {
                return self.ended(rendered, turn.index, &output, Ok(()), now);
            }
            (OutputAction::Prune, OutputAnswer::Done) => turn.then(OutputAction::Apply),
            (OutputAction::Read, OutputAnswer::Found(seen)) => match found(&seen, &output) {
                Err(problem) => return self.ended(rendered, turn.index, &output, Err(problem), now),
                Ok(()) if turn.requests > 3 => {
                    return self.ended(rendered, turn.index, &output, Err(OutputProblem::Denied), now);
                }
                Ok(()) => Turn { seen: Some(seen), ..turn }.then(OutputAction::Apply),
            },
            (OutputAction::Apply | OutputAction::Prune, OutputAnswer::Denied) | (_, OutputAnswer::Conflict) => {
                turn.then(OutputAction::Read)
            }
            (_, OutputAnswer::Missing) if awaited(&output) => {
                return self.ended(rendered, turn.index, &output, Err(OutputProblem::Missing), now);
            }
            (_, OutputAnswer::Missing) => Turn { seen: None, ..turn }.then(OutputAction::Create),
            (_, OutputAnswer::Unclear) if turn.requests < 3 => {
                let turn = Turn { requests: turn.requests + 1, ..turn };
                let pause = Step::Pause(Duration::from_millis(500));
                return self.at(Phase::Publishing(Publishing { rendered, turn, pausing: true }), pause);
            }
            (_, OutputAnswer::Denied) => return self.ended(rendered, turn.index, &output, Err(OutputProblem::Denied), now),
            (_, OutputAnswer::Unclear | OutputAnswer::Found(_) | OutputAnswer::Done) => {
                return self.ended(rendered, turn.index, &output, Err(OutputProblem::Unclear), now);
            }
        };
        self.continue_with(rendered, turn, now)
    }

    fn continue_with(self, rendered: Vec<Rendered>, turn: Turn, now: DateTime<Utc>) -> Next {
        match turn.step(&rendered) {
            Some(step) => self.at(Phase::Publishing(Publishing { rendered, turn, pausing: false }), step),
            None => self.end(now),
        }
    }

    fn ended(
        mut self,
        rendered: Vec<Rendered>,
        index: usize,
        output: &Rendered,
        result: Result<(), OutputProblem>,
        now: DateTime<Utc>,
    ) -> Next {
        self.outputs.push(OutputOutcome {
            name: output.name.clone(),
            type_: output.type_,
            content_hash: output.content_hash.clone(),
            lasting_hash: output.lasting_hash.clone(),
            result,
        });
        self.publish_at(rendered, index + 1, now)
    }

    /// After the outputs: the end of the token that was replaced, if it has come.
    fn end(self, now: DateTime<Utc>) -> Next {
        if self.has_to_retire(now) { self.retire(now) } else { self.over() }
    }

    /// What the exchange came to.
    pub(super) fn over(self) -> Next {
        let outcome = if self.claimed {
            Outcome::Unknown(None)
        } else if self.refreshed {
            Outcome::Refreshed
        } else {
            Outcome::Published
        };
        self.finish(outcome)
    }
}
