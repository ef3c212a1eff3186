//! Waves: all objects of a fleet become due at about the same time, again and again, with nobody's hand in it.
//!
//! The token API lets all tokens of a wave end at one instant, whenever they were issued. Such short lives are refreshed after two thirds of
//! themselves, so that the next wave comes three times as dense as the operator can work: it is what limits the rate. In between there is a
//! pause in which the operator has nothing to do.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use testbed::issuer::Chain;

use crate::Setting;
use crate::fleet::Fleet;
use crate::process::{Options, Process};
use crate::table::per_second;

/// Waves of one fleet under one operator.
pub struct Waves<'a> {
    fleet: &'a Fleet<'a>,
    process: Process,
    /// From one wave to the next.
    period: TimeDelta,
    /// Refreshes of each object so far.
    refreshes: usize,
}

/// What a wave came to.
pub struct Wave {
    /// Refreshes per second, from the moment when the first object was due to the last call of the token API.
    pub rate: f64,
    /// Processor time of the operator.
    pub cpu: Duration,
}

impl<'a> Waves<'a> {
    /// Starts an operator on a fleet that none has seen, and lets it through the first refreshes and one wave that nobody measures.
    pub async fn begin(setting: &Setting, fleet: &'a Fleet<'a>, options: &Options<'_>) -> anyhow::Result<Self> {
        let mut process = Process::start(fleet.world, options)?;
        fleet.refreshed(1).await?;
        process.at_rest().await?;
        Self::of(setting, fleet, process).await
    }

    /// The same under an operator that has refreshed each object once and is at rest.
    pub async fn of(setting: &Setting, fleet: &'a Fleet<'a>, process: Process) -> anyhow::Result<Self> {
        let mut waves =
            Self { fleet, process, period: setting.pick(TimeDelta::seconds(40), TimeDelta::seconds(20)), refreshes: 1 };
        let now = fleet.issuer().now();
        let due = async {
            fleet.make_due().await?;
            fleet.refreshed(2).await
        };
        waves.arm(now, due).await?;
        Ok(waves)
    }

    /// Lets the next wave come, and waits for its end.
    pub async fn next(&mut self) -> anyhow::Result<Wave> {
        let (calls, cpu) = (self.fleet.calls(), self.process.cpu()?);
        let due = self.fleet.chains(due).into_iter().flatten().min().context("no object has a token that ends")?;
        ensure!(self.fleet.issuer().now() < due, "this machine is too slow: a wave begins before the one before it is measured");
        let (fleet, wanted) = (self.fleet, self.refreshes + 1);
        self.arm(due, fleet.refreshed(wanted)).await?;
        let calls: Vec<_> = self.fleet.accepted_since(calls).into_iter().map(|(_, at)| at).collect();
        let (first, last) = calls.iter().min().zip(calls.iter().max()).context("no call")?;
        let took = (*last - due.min(*first)).to_std().context("the clock went back")?;
        Ok(Wave { rate: per_second(self.fleet.len(), took), cpu: self.process.cpu()?.saturating_sub(cpu) })
    }

    /// Waits for the end of a wave that began at `begin`; its tokens end so that the next one comes a period later.
    async fn arm(&mut self, begin: DateTime<Utc>, wave: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let end = begin + self.period * 3 / 2;
        tokio::select! {
            done = wave => done?,
            () = self.fleet.end_at(|| end) => {}
        }
        self.refreshes += 1;
        // The commits, outputs and statuses of the last calls.
        self.process.at_rest().await?;
        Ok(())
    }

    /// The time until the next wave.
    pub fn pause(&self) -> Duration {
        let due = self.fleet.chains(due).into_iter().flatten().min();
        due.and_then(|due| (due - self.fleet.issuer().now()).to_std().ok()).unwrap_or_default()
    }

    /// Stops the operator.
    pub async fn end(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

/// When the newest token of a chain is refreshed, on the operator's clock of whole seconds; never later than it is.
fn due(chain: &Chain) -> Option<DateTime<Utc>> {
    let newest = chain.pairs.last()?;
    let lifetime = TimeDelta::seconds((newest.expires_at? - newest.issued_at).num_seconds());
    DateTime::from_timestamp((newest.issued_at + lifetime * 2 / 3).timestamp(), 0)
}
