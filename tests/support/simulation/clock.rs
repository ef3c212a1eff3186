//! Clocks of replicas: each has an offset and a rate of its own over the paused time of the runtime.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::operator::clock::Clock;
use tokio::time::Instant;

/// When every simulation begins (seconds since the epoch).
const STARTED: i64 = 1_800_000_000;

/// How often a machine's wall clock is set to what its time source says; until then its rate makes it drift. Our choice.
const SYNC: Duration = Duration::from_secs(3600);

/// The true time, which the cluster and the issuer go by.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    begun: Instant,
}

impl Time {
    /// Begins now, on a runtime whose time is paused.
    pub fn begin() -> Self {
        Self { begun: Instant::now() }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The true wall clock.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(STARTED, 0).unwrap() + TimeDelta::from_std(self.elapsed()).unwrap()
    }
}

/// How wrong a replica's clock is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    /// Seconds that it is ahead.
    pub offset: i64,
    /// Seconds that it counts in one second.
    pub rate: f64,
}

impl Default for Skew {
    fn default() -> Self {
        Self { offset: 0, rate: 1.0 }
    }
}

/// The clock of one process.
pub struct SkewedClock {
    time: Time,
    skew: Skew,
    process: String,
    names: AtomicU64,
}

impl SkewedClock {
    /// The clock of the process with this name.
    pub fn new(time: Time, skew: Skew, process: &str) -> Self {
        Self { time, skew, process: process.to_owned(), names: AtomicU64::new(0) }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> DateTime<Utc> {
        let (elapsed, error) = (self.time.elapsed(), self.skew.rate - 1.0);
        let since_sync = elapsed.as_secs_f64() % SYNC.as_secs_f64();
        let drift = TimeDelta::from_std(Duration::from_secs_f64(error.abs() * since_sync)).unwrap();
        let counted = TimeDelta::from_std(elapsed).unwrap() + if error < 0.0 { -drift } else { drift };
        DateTime::from_timestamp(STARTED + self.skew.offset, 0).unwrap() + counted
    }

    fn since_boot(&self) -> Duration {
        self.time.elapsed().mul_f64(self.skew.rate)
    }

    fn unique_name(&self) -> String {
        format!("{}-{}", self.process, self.names.fetch_add(1, Ordering::Relaxed))
    }
}
