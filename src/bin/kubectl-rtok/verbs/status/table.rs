//! Tokens at a glance: one line for each. Pure.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;
use kube::core::error_boundary::InvalidObject;
use refreshable_token_operator::api::{ConditionStatus, RefreshableToken};
use refreshable_token_operator::refresh::decide::stalled;

use crate::cluster::Listed;
use crate::output::{Cell, Colour, Table};
use crate::targets::ready;
use crate::time::{age, both, relative};

/// What the conditions come to: status and reason of Ready, and the colour for it.
pub(super) fn verdict(object: &RefreshableToken) -> (String, String, Colour) {
    let Some(condition) = ready(object) else { return ("Unknown".to_owned(), "NotSeen".to_owned(), Colour::Yellow) };
    let colour = match condition.status {
        ConditionStatus::True => Colour::Green,
        ConditionStatus::False => Colour::Red,
        ConditionStatus::Unknown => Colour::Yellow,
    };
    (format!("{:?}", condition.status), condition.reason.clone(), colour)
}

pub(super) fn table(listed: &Listed, everywhere: bool, wide: bool, now: DateTime<Utc>) -> Table {
    let mut headings = vec!["NAME", "READY", "REASON", "EXPIRES", "NEXT REFRESH", "FAILURES", "AGE"];
    if everywhere {
        headings.insert(0, "NAMESPACE");
    }
    if wide {
        headings.extend(["PROVIDER", "GENERATION", "OUTPUTS", "SUSPENDED"]);
    }
    let mut table = Table::new(&headings);
    for object in &listed.objects {
        table.row(row(object, everywhere, wide, now));
    }
    for broken in &listed.broken {
        table.row(broken_row(broken, everywhere));
    }
    table
}

fn row(object: &RefreshableToken, everywhere: bool, wide: bool, now: DateTime<Utc>) -> Vec<Cell> {
    let status = object.status.clone().unwrap_or_default();
    let (ready, reason, colour) = verdict(object);
    // A token that still lives hides that no other follows it.
    let (reason, why) = match (stalled(&status), colour) {
        (Some(stalled), Colour::Green) => (stalled.to_owned(), Colour::Yellow),
        (Some(stalled), colour) => (stalled.to_owned(), colour),
        (None, colour) => (reason, colour),
    };
    let time = |time: Option<DateTime<Utc>>| match time {
        Some(time) if wide => both(time, now),
        Some(time) => relative(time, now),
        None => "-".to_owned(),
    };
    let created = object.creation_timestamp().and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0));
    let mut cells = vec![
        object.name_any().into(),
        Cell::coloured(ready, colour),
        Cell::coloured(reason, why),
        time(status.token.as_ref().and_then(|token| token.expiration_time)).into(),
        time(status.next_refresh_time).into(),
        status.consecutive_failures.unwrap_or(0).to_string().into(),
        created.map_or_else(|| "-".to_owned(), |time| age(time, now)).into(),
    ];
    if everywhere {
        cells.insert(0, object.namespace().unwrap_or_default().into());
    }
    if wide {
        let own = object.spec.provider.as_ref().map(|provider| provider.name().to_owned());
        let told = status.effective.as_ref().map(|effective| effective.provider.clone());
        cells.push(own.or(told).unwrap_or_else(|| "-".to_owned()).into());
        cells.push(status.chain_generation.unwrap_or(0).to_string().into());
        cells.push(object.spec.outputs.len().to_string().into());
        cells.push(object.spec.suspended().to_string().into());
    }
    cells
}

fn broken_row(broken: &InvalidObject, everywhere: bool) -> Vec<Cell> {
    let name = broken.metadata.name.clone().unwrap_or_default();
    let mut cells = vec![
        name.into(),
        Cell::coloured("False", Colour::Red),
        Cell::coloured("does not fit the schema of this version", Colour::Red),
    ];
    if everywhere {
        cells.insert(0, broken.metadata.namespace.clone().unwrap_or_default().into());
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, condition, object};
    use super::*;
    use crate::output::Paint;

    #[test]
    fn the_table_has_one_line_per_token() {
        let fresh = object(&condition("Ready", "True", "TokenFresh"));
        let listed = Listed { objects: vec![fresh], broken: Vec::new() };
        let text = table(&listed, false, false, at(600)).text(Paint(false), "", false);
        assert_eq!(
            text,
            "NAME   READY   REASON       EXPIRES   NEXT REFRESH   FAILURES   AGE\nci     True    TokenFresh   in 50m    in 30m         0          10m\n"
        );
        let wide = table(&listed, true, true, at(600)).text(Paint(false), "", true);
        assert!(wide.starts_with("build   ci ") && wide.contains("1970-01-01T01:00:00Z (in 50m)"), "{wide}");
        assert!(wide.trim_end().ends_with("jfrogAccess   3   1   false"), "{wide}");
    }

    #[test]
    fn a_token_that_nothing_follows_is_not_all_green() {
        let both = format!("{}, {}", condition("Ready", "True", "TokenFresh"), condition("Stalled", "True", "ChainLost"));
        let listed = Listed { objects: vec![object(&both)], broken: Vec::new() };
        let text = table(&listed, false, false, at(600)).text(Paint(true), "", true);
        assert!(text.contains("\u{1b}[32mTrue\u{1b}[0m") && text.contains("\u{1b}[33mChainLost\u{1b}[0m"), "{text:?}");
        let both = both.replace("'True', reason: TokenFresh", "'False', reason: Expired");
        let listed = Listed { objects: vec![object(&both)], broken: Vec::new() };
        let text = table(&listed, false, false, at(600)).text(Paint(true), "", true);
        assert!(text.contains("\u{1b}[31mChainLost\u{1b}[0m"), "{text:?}");
    }
}
