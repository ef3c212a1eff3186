//! How a verb ends, and the exit status for each end.

use std::process::ExitCode;

/// How a verb ended that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, and all is well: exit status 0.
    Good,
    /// Done, and what was looked at is not as it should be: exit status 1.
    Bad,
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
        }
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
    /// The command line or the file is wrong: exit status 2, as clap's own.
    Usage,
    /// The API server cannot be reached: exit status 3.
    Unreachable,
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

    /// The exit status.
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Refused => ExitCode::FAILURE,
            Kind::Usage => ExitCode::from(2),
            Kind::Unreachable => ExitCode::from(3),
        }
    }
}
