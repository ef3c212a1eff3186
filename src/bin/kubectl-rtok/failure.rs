//! How a verb ends, and the exit status for each end.

use std::process::ExitCode;

use crate::output::tell;

/// How a verb ended that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, and all is well: exit status 0.
    Good,
    /// Done, and what was looked at is not as it should be: exit status 1.
    Bad,
    /// Not done for all, which was told of each.
    Failed(Kind),
}

impl Verdict {
    /// Good if it holds.
    pub fn of(holds: bool) -> Self {
        if holds { Self::Good } else { Self::Bad }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Good => Self::SUCCESS,
            Verdict::Bad => Self::FAILURE,
            Verdict::Failed(kind) => kind.exit_code(),
        }
    }
}

/// What came of several objects: a failure of one is told, and the others are gone on with.
#[derive(Debug, Default)]
pub struct Tally {
    bad: bool,
    failed: Option<Kind>,
}

impl Tally {
    /// Something is not as it should be, unless it holds.
    pub fn holds(&mut self, holds: bool) {
        self.bad |= !holds;
    }

    /// Tells of a failure and counts it.
    pub fn failed(&mut self, failure: &Failure) {
        tell(&format!("error: {}", failure.message));
        self.failed.get_or_insert(failure.kind);
    }

    /// The value, or the failure is told and counted. One that every other object would meet too ends the verb.
    pub fn take<T>(&mut self, result: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.kind == Kind::Unreachable => Err(failure),
            Err(failure) => {
                self.failed(&failure);
                Ok(None)
            }
        }
    }

    /// What it comes to: the first failure decides the exit status.
    pub fn verdict(self) -> Verdict {
        self.failed.map_or(Verdict::of(!self.bad), Verdict::Failed)
    }
}

/// Why a verb could not be carried out: what happened and what to do. Never a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which exit status.
    pub kind: Kind,
    /// For people.
    pub message: String,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The API server refused, or the thing is not there: exit status 1.
    Refused,
    /// The person may not do it: exit status 1.
    Forbidden,
    /// The API server answered that it cannot now: exit status 1.
    Busy,
    /// The command line or the file is wrong: exit status 2, as clap's own.
    Usage,
    /// The API server cannot be reached: exit status 3.
    Unreachable,
}

impl Kind {
    /// The exit status.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Refused | Self::Forbidden | Self::Busy => ExitCode::FAILURE,
            Self::Usage => ExitCode::from(2),
            Self::Unreachable => ExitCode::from(3),
        }
    }
}

impl Failure {
    /// The API server refused, or the thing is not there.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into() }
    }

    /// The command line or the file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    /// The API server cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unreachable, message: message.into() }
    }

    /// Whether it may go by itself.
    pub fn passes(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_leaves_the_others_and_decides_the_exit_status() {
        let mut tally = Tally::default();
        assert_eq!(tally.take(Ok(1)), Ok(Some(1)));
        let forbidden = Failure { kind: Kind::Forbidden, message: "may not".to_owned() };
        assert_eq!(tally.take::<()>(Err(forbidden)), Ok(None));
        assert_eq!(tally.take::<()>(Err(Failure::usage("late"))), Ok(None));
        let nowhere = Failure::unreachable("nobody answers");
        assert_eq!(tally.take::<()>(Err(nowhere.clone())), Err(nowhere), "nor would it for the next one");
        assert_eq!(tally.verdict(), Verdict::Failed(Kind::Forbidden));
        let mut bad = Tally::default();
        bad.holds(true);
        bad.holds(false);
        assert_eq!((bad.verdict(), Tally::default().verdict()), (Verdict::Bad, Verdict::Good));
    }
}
