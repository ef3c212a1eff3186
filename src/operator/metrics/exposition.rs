//! The two text formats in which metrics are shown: OpenMetrics 1.0, and Prometheus 0.0.4 for all that ask for nothing else.

use prometheus_client::encoding::text::encode as open_metrics;
use prometheus_client::registry::Registry;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that a field `Accept` prefers (RFC 9110 section 12.5.1). OpenMetrics has to be named: whoever takes anything
    /// gets the older format.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let quality = |wanted: &str| accept.split(',').filter_map(|range| weight(range, wanted)).fold(0.0, f32::max);
        let open_metrics = quality("application/openmetrics-text");
        if open_metrics > 0.0 && open_metrics >= quality("text/plain") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The weight of a media range, if it is of this type.
fn weight(range: &str, wanted: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    parts.next().filter(|media| media.eq_ignore_ascii_case(wanted))?;
    Some(parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0)))
}

pub(super) fn encode(registry: &Registry, format: Format) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = open_metrics(&mut text, registry);
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => prometheus(&text),
    }
}

/// OpenMetrics as the older format: it names the family of a counter with the suffix of its samples, and has no last line.
fn prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" {
            continue;
        }
        let counter = |line: &str| line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")).map(str::to_owned);
        // The help stands above the type.
        let help = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
        match (help, lines.peek().and_then(|next| counter(next)), counter(line)) {
            (Some((name, help)), Some(_), _) => out.extend(["# HELP ", name, "_total ", help]),
            (_, _, Some(name)) => out.extend(["# TYPE ", &name, "_total counter"]),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[test]
    fn the_format_is_what_the_client_prefers() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;\
                            version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain, application/openmetrics-text; q=0.9", Format::Prometheus),
            ("application/openmetrics-text;q=0, */*", Format::Prometheus),
            ("application/openmetrics-text;q=nan", Format::Prometheus),
            ("text/html;q=1, application/openmetrics-text;q=0.2", Format::OpenMetrics),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_format_names_counters_by_their_samples() {
        let mut registry = Registry::with_prefix("a");
        registry.register("calls", "Calls", Counter::<u64>::default());
        registry.register("level", "Level", Gauge::<i64>::default());
        assert_eq!(
            encode(&registry, Format::Prometheus),
            "# HELP a_calls_total Calls.\n# TYPE a_calls_total counter\na_calls_total 0\n# HELP a_level Level.\n# TYPE a_level gauge\na_level 0\n"
        );
        assert!(
            encode(&registry, Format::OpenMetrics).ends_with("# HELP a_level Level.\n# TYPE a_level gauge\na_level 0\n# EOF\n")
        );
    }
}
