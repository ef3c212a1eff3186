//! The functional core: when to refresh, what next, what an answer proves, what to write. No client, no clock, no I/O.

pub mod conclude;
pub mod decide;
pub mod exchange;
mod file;
pub mod journal;
pub mod output;
pub mod rollout;
pub mod schedule;
pub mod state;
pub mod window;
