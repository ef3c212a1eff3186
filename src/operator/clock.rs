//! The one place where the time is read.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Where the time comes from: the machine, or a simulation.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> DateTime<Utc>;

    /// Time since the machine started, suspend included (Linux `CLOCK_BOOTTIME`): for "may this still be sent".
    fn since_boot(&self) -> Duration;

    /// A name that nobody else has: a UUID of version 7, or what a simulation can give again.
    fn unique_name(&self) -> String;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanoseconds)
    }

    fn unique_name(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }
}
