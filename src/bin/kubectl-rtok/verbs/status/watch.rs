//! `status --watch`: on a terminal the page again and again, else a page for each change.

use std::time::Duration;

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Held, Status};
use crate::cluster::Reach;
use crate::failure::{Failure, Tally, Verdict};
use crate::output::{Format, Paint, Reader, on_terminal, print_for};
use crate::watching::Due;

/// How often a screen is drawn anew, and how often anything is asked for at most. Our choice: countdowns have seconds.
const REDRAW: Duration = Duration::from_secs(1);
/// How often a screen is asked for anew without a change. Our choice: Pods and events are not watched.
const ANEW: Duration = Duration::from_secs(10);

impl Status {
    pub(super) async fn follow(&self, reach: &Reach, paint: Paint) -> Result<Verdict, Failure> {
        let config = watcher::Config::default();
        let config = self.selector.as_deref().map_or_else(|| config.clone(), |selector| config.clone().labels(selector));
        let mut changes = watcher(reach.watched(), config).default_backoff().boxed();
        let mut turns = tokio::time::interval(REDRAW);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let screen = on_terminal();
        let mut due = Due::default();
        let mut held: Option<(Held, Instant)> = None;
        loop {
            tokio::select! {
                change = changes.next() => {
                    let Some(change) = change else { return Ok(Verdict::Good) };
                    due.take(change, |object| self.shows(&object.name_any()))?;
                    continue;
                }
                _ = turns.tick() => {}
            }
            let old = held.as_ref().is_some_and(|(_, since)| since.elapsed() >= ANEW);
            let first = held.is_none();
            let mut new = false;
            if due.changed || screen && old {
                let mut tally = Tally::default();
                match self.look(reach, &mut tally).await {
                    Ok(looked) if first && !self.names.is_empty() && looked.listed.objects.is_empty() => {
                        return Ok(tally.verdict());
                    }
                    Ok(looked) => {
                        (due.changed, due.told) = (false, false);
                        held = Some((looked, Instant::now()));
                        new = true;
                    }
                    Err(failure) => due.trouble(&failure)?,
                }
            }
            let Some((held, _)) = held.as_ref().filter(|_| new || screen) else { continue };
            let page = self.page(held, reach, paint)?;
            let before = match (screen, first, self.output) {
                (true, ..) => "\u{1b}[H\u{1b}[2J",
                (false, false, Format::Yaml) => "---\n",
                _ => "",
            };
            if print_for(&format!("{before}{page}"))? == Reader::Gone {
                return Ok(Verdict::Good);
            }
        }
    }

    fn shows(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|shown| shown == name)
    }
}
