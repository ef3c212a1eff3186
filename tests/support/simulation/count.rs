//! What a scenario comes to, in numbers.

use std::fmt;
use std::ops::AddAssign;

use super::judge::Verdict;

/// The counts of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Runs.
    pub plans: u64,
    /// Runs in which what was planned did not come about.
    pub idle: u64,
    /// Refreshes that the issuer granted.
    pub refreshes: u64,
    /// Spent tokens that were presented again, late single repeats left out.
    pub double_spends: u64,
    /// Late single repeats of a token whose successor nobody holds.
    pub last_tries: u64,
    /// Chains lost where the fault table says that they may be: answer lost, or death before the journal.
    pub allowed_losses: u64,
    /// Chains lost because a person took away the only copy.
    pub destroyed: u64,
    /// Chains lost otherwise.
    pub lost: u64,
    /// Chains given up after the one late repeat had no clear answer either, though the token was not spent.
    pub given_up: u64,
    /// Runs that wait for a person to undo what a person did.
    pub waiting: u64,
    /// Runs that did not come back to health though nothing was lost.
    pub stuck: u64,
    /// Descriptions of what must not be, the first few.
    pub problems: Vec<String>,
}

impl Count {
    /// The count of one run. `what` names it so that it can be run again.
    pub fn of(verdict: &Verdict, hit: bool, what: impl FnOnce() -> String) -> Self {
        let one = u64::from;
        let lost = verdict.lost && !verdict.excused && !verdict.destroyed;
        let given_up = !verdict.lost && verdict.stalled.as_deref() == Some("ChainLost");
        let stuck = !verdict.healthy && !verdict.lost && !verdict.destroyed && !given_up;
        let bad = lost || stuck || verdict.double_spends > 0;
        Self {
            plans: 1,
            idle: one(!hit),
            refreshes: verdict.rotations.into(),
            double_spends: u64::try_from(verdict.double_spends).unwrap(),
            last_tries: verdict.last_tries.into(),
            allowed_losses: one(verdict.lost && verdict.excused && !verdict.destroyed),
            destroyed: one(verdict.lost && verdict.destroyed),
            lost: one(lost),
            given_up: one(given_up),
            waiting: 0,
            stuck: one(stuck),
            problems: if bad { vec![format!("{verdict:?}: {}", what())] } else { Vec::new() },
        }
    }

    /// Notes something that must not be.
    pub fn problem(&mut self, what: String) {
        self.stuck += 1;
        self.problems.push(what);
    }

    /// Whether nothing happened that must not.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.plans += other.plans;
        self.idle += other.idle;
        self.refreshes += other.refreshes;
        self.double_spends += other.double_spends;
        self.last_tries += other.last_tries;
        self.allowed_losses += other.allowed_losses;
        self.destroyed += other.destroyed;
        self.lost += other.lost;
        self.given_up += other.given_up;
        self.waiting += other.waiting;
        self.stuck += other.stuck;
        self.problems.extend(other.problems);
        self.problems.truncate(20);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} plans ({} without effect), {} refreshes, {} double spends, {} lost, {} lost where it is allowed, {} destroyed by people, {} late repeats, {} given up, {} waiting for a person, {} stuck",
            self.plans,
            self.idle,
            self.refreshes,
            self.double_spends,
            self.lost,
            self.allowed_losses,
            self.destroyed,
            self.last_tries,
            self.given_up,
            self.waiting,
            self.stuck
        )
    }
}
