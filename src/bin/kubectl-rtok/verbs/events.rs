//! `events`: what happened to tokens.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use clap::Args;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use serde_json::json;

use crate::Session;
use crate::cluster::{Reach, event_time, object_name};
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Paint, Reader, Table, document, lines, print, print_for};
use crate::time::age;
use crate::watching::Due;

// Arguments of `events`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok events                     events about tokens of the namespace, oldest first
  kubectl rtok events artifactory-ci      about one of them
  kubectl rtok events -A                  about all of the cluster
  kubectl rtok events --watch             and those to come

Kubernetes keeps events for an hour.")]
pub struct Events {
    /// Name of a RefreshableToken; none: all of the namespace.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    name: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
    /// Leave out the headings.
    #[arg(long)]
    no_headers: bool,
    /// Show those to come too, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

impl Events {
    /// Shows them.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        if self.watch {
            return self.follow(&reach, session.paint).await;
        }
        let events = reach.events(self.name.as_deref()).await?;
        let text = if matches!(self.output, Format::Json | Format::Yaml) {
            let items: Vec<Event> = events.into_iter().map(bare).collect();
            document(self.output, &json!({ "apiVersion": "v1", "kind": "List", "items": items }))?
        } else {
            self.page(&events, self.no_headers, session.paint)
        };
        print(&text)?;
        Ok(Verdict::Good)
    }

    fn page(&self, events: &[Event], no_headers: bool, paint: Paint) -> String {
        if self.output == Format::Name {
            let name = |event: &Event| format!("event/{}", event.metadata.name.as_deref().unwrap_or_default());
            return lines(events.iter().map(name));
        }
        recent(events, true, SystemClock.now()).text(paint, "", no_headers)
    }

    /// Those that are there in one page, then each that comes.
    async fn follow(&self, reach: &Reach, paint: Paint) -> Result<Verdict, Failure> {
        let (api, config) = reach.watched_events(self.name.as_deref());
        let mut changes = watcher(api, config).default_backoff().boxed();
        let mut due = Due::default();
        let mut shown = Shown::default();
        while let Some(change) = changes.next().await {
            let event = match change {
                Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => Some(event),
                Ok(watcher::Event::InitDone) => {
                    due.take(change, |_| false)?;
                    None
                }
                change => {
                    due.take(change, |_| false)?;
                    continue;
                }
            };
            let new = shown.take(event, due.begun);
            let text = match self.output {
                Format::Json => new.into_iter().map(|event| one(Format::Json, event)).collect::<Result<String, _>>()?,
                Format::Yaml => {
                    let page = |event| one(Format::Yaml, event).map(|page| format!("---\n{page}"));
                    new.into_iter().map(page).collect::<Result<String, _>>()?
                }
                Format::Table | Format::Wide | Format::Name if new.is_empty() => String::new(),
                Format::Table | Format::Wide | Format::Name => {
                    let headed = std::mem::replace(&mut shown.headed, true);
                    self.page(&new, self.no_headers || headed, paint)
                }
            };
            if !text.is_empty() && print_for(&text)? == Reader::Gone {
                break;
            }
        }
        Ok(Verdict::Good)
    }
}

fn one(format: Format, event: Event) -> Result<String, Failure> {
    let value = serde_json::to_value(bare(event)).map_err(|_| Failure::refused("an event cannot be written"))?;
    document(format, &value)
}

/// Without managedFields, which nobody asks for here.
fn bare(mut event: Event) -> Event {
    event.metadata.managed_fields = None;
    event
}

/// What `--watch` has shown: a list that the watch begins anew with holds it again.
#[derive(Debug, Default)]
struct Shown {
    headed: bool,
    versions: BTreeSet<String>,
    first: Vec<Event>,
}

impl Shown {
    /// What is to be shown now: at first nothing until the list is whole, then oldest first, and after that each event as it comes.
    fn take(&mut self, event: Option<Event>, begun: bool) -> Vec<Event> {
        let version = |event: &Event| event.metadata.resource_version.clone().unwrap_or_default();
        self.first.extend(event.filter(|event| self.versions.insert(version(event))));
        if !begun {
            return Vec::new();
        }
        self.first.sort_by_key(event_time);
        std::mem::take(&mut self.first)
    }
}

/// Events as a table; with the object that each is about, if `named`.
pub fn recent(events: &[Event], named: bool, now: DateTime<Utc>) -> Table {
    let headings: &[&'static str] =
        if named { &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"] } else { &["LAST SEEN", "TYPE", "REASON", "MESSAGE"] };
    let mut table = Table::new(headings);
    for event in events {
        let type_ = event.type_.clone().unwrap_or_default();
        let colour = if type_ == "Warning" { Colour::Yellow } else { Colour::Green };
        let count = event.series.as_ref().and_then(|series| series.count).or(event.count).filter(|count| *count > 1);
        let count = count.map(|count| format!(" (x{count})")).unwrap_or_default();
        let mut cells: Vec<Cell> = vec![
            event_time(event).map_or_else(|| "-".to_owned(), |time| age(time, now) + &count).into(),
            Cell::coloured(type_, colour),
            event.reason.clone().unwrap_or_default().into(),
        ];
        if named {
            let about = &event.involved_object;
            let (namespace, name) = (about.namespace.clone().unwrap_or_default(), about.name.clone().unwrap_or_default());
            cells.push(format!("{namespace}/{name}").into());
        }
        cells.push(event.message.clone().unwrap_or_default().into());
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_old_as_its_last_repeat() {
        let event = json!({
            "metadata": {}, "type": "Warning", "reason": "RefreshRetrying", "message": "m",
            "involvedObject": {"namespace": "build", "name": "ci"},
            "eventTime": "1970-01-01T00:00:00.000000Z",
            "series": {"count": 3, "lastObservedTime": "1970-01-01T00:01:00.000000Z"},
        });
        let event: Event = serde_json::from_value(event).unwrap();
        let text = recent(&[event], true, DateTime::from_timestamp(90, 0).unwrap()).text(Paint(false), "", true);
        assert_eq!(text, "30s (x3)   Warning   RefreshRetrying   build/ci   m\n");
    }

    #[test]
    fn a_watch_shows_its_list_at_once_and_nothing_twice() {
        let event = |version: &str, second: i64| -> Event {
            let time = DateTime::from_timestamp(second, 0).unwrap().to_rfc3339();
            let event = json!({ "metadata": { "resourceVersion": version }, "involvedObject": {}, "lastTimestamp": time });
            serde_json::from_value(event).unwrap()
        };
        let versions = |events: Vec<Event>| -> Vec<String> {
            events.into_iter().filter_map(|event| event.metadata.resource_version).collect()
        };
        let mut shown = Shown::default();
        assert!(shown.take(Some(event("2", 20)), false).is_empty() && shown.take(Some(event("1", 10)), false).is_empty());
        assert_eq!(versions(shown.take(None, true)), ["1", "2"]);
        assert_eq!(versions(shown.take(Some(event("3", 5)), true)), ["3"]);
        assert!(shown.take(Some(event("2", 20)), true).is_empty(), "the watch began anew");
    }
}
