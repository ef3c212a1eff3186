//! `events`: what happened to tokens.

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::api::core::v1::Event;
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};

use crate::Session;
use crate::cluster::{event_time, object_name};
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Table, document, lines, print};
use crate::time::age;

// Arguments of `events`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok events                     events about tokens of the namespace, oldest first
  kubectl rtok events artifactory-ci      about one of them
  kubectl rtok events -A                  about all of the cluster

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
}

impl Events {
    /// Shows them.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        let mut events = reach.events(self.name.as_deref()).await?;
        match self.output {
            Format::Json | Format::Yaml => {
                for event in &mut events {
                    event.metadata.managed_fields = None;
                }
                let value = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": events });
                print(&document(self.output, &value)?);
            }
            Format::Name => {
                let name = |event: &Event| format!("event/{}", event.metadata.name.as_deref().unwrap_or_default());
                print(&lines(events.iter().map(name)));
            }
            Format::Table | Format::Wide => {
                print(&recent(&events, true, SystemClock.now()).text(session.paint, "", self.no_headers));
            }
        }
        Ok(Verdict::Good)
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
    use serde_json::json;

    use super::*;
    use crate::output::Paint;

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
}
