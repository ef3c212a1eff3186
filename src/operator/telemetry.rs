//! Logs and traces. Libraries that could write a token are held back whatever the filter says; traces hold spans of this program
//! and nothing else.

#[cfg(feature = "otlp")]
pub mod traces;

use std::io::IsTerminal as _;

use tracing::{Span, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// The form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Targets whose lines can hold header fields, bodies or whole Secrets: kube-client logs the body of an answer that it cannot
/// decode at WARN, HTTP libraries log frames and headers at DEBUG and TRACE.
const HELD_BACK: [(&str, LevelFilter); 9] = [
    ("kube_client", LevelFilter::OFF),
    ("kube_runtime", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("hyper_util", LevelFilter::WARN),
    ("h2", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("reqwest", LevelFilter::WARN),
    ("tower", LevelFilter::WARN),
    ("tower_http", LevelFilter::WARN),
];

/// Logging and tracing at work.
#[derive(Default)]
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<traces::Traces>,
}

impl Telemetry {
    /// Logs only.
    pub fn logs() -> Self {
        Self::default()
    }

    /// Traces too.
    #[cfg(feature = "otlp")]
    pub fn with_traces(traces: Option<traces::Traces>) -> Self {
        Self { traces }
    }

    /// Starts logging to standard error, with times in UTC (RFC 3339); `filter` is a list of levels such as `info` or
    /// `debug,refreshable_token_operator=trace`; parts of it that are not understood are left out.
    pub fn start(&self, format: LogFormat, filter: &str) {
        let logs = match format {
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
            LogFormat::Text => fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).boxed(),
        };
        let all = tracing_subscriber::registry().with(logs.with_filter(lines(filter)));
        #[cfg(feature = "otlp")]
        let all = all.with(self.traces.as_ref().map(traces::Traces::layer));
        // A second start, in tests of one process, keeps the first.
        let _ = all.try_init();
    }

    /// Sends what is left of the traces, for a few seconds at most. Blocks; the runtime has to run meanwhile.
    pub fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Which lines are written: what `filter` says, and of [`HELD_BACK`] never more than that, even if it names a part of one of them.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(filter: &str) -> impl Filter<S> + use<S> {
    // An empty name or level is read as something, and nobody means it.
    let whole = |part: &&str| !part.is_empty() && !part.starts_with('=') && !part.ends_with('=');
    let understood = filter.split(',').map(str::trim).filter(whole).filter(|part| part.parse::<Targets>().is_ok());
    let understood: Vec<&str> = understood.collect();
    // Nothing to go by is no reason to be silent.
    let info = || Targets::new().with_default(LevelFilter::INFO);
    let wanted = if understood.is_empty() { info() } else { understood.join(",").parse().unwrap_or_else(|_| info()) };
    wanted.and(Targets::new().with_default(LevelFilter::TRACE).with_targets(HELD_BACK))
}

/// Writes the id of the trace into the field `trace_id` of a span, so that a log line leads to its trace; nothing while there are
/// no traces.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "there are no traces"))]
pub(super) fn record_trace(span: &Span) {
    #[cfg(feature = "otlp")]
    if let Some(id) = traces::trace_id(span) {
        span.record("trace_id", id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Which of the lines below are written with this filter.
    fn written(filter: &str) -> Vec<&'static str> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone()).with_filter(super::lines(filter));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "refreshable_token_operator", "ours-info");
            tracing::trace!(target: "refreshable_token_operator::operator", "ours-trace");
            tracing::trace!(target: "hyper::proto::h1", "theirs-trace");
            tracing::warn!(target: "hyper::proto::h1", "theirs-warn");
            tracing::warn!(target: "kube_client::client", "body");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let all = ["ours-info", "ours-trace", "theirs-trace", "theirs-warn", "body"];
        all.into_iter().filter(|line| text.contains(line)).collect()
    }

    #[test]
    fn what_can_hold_a_token_is_held_back_whatever_the_filter_says() {
        let most = ["ours-info", "ours-trace", "theirs-warn"];
        assert_eq!(written("trace"), most);
        assert_eq!(written("trace,hyper::proto=trace,kube_client::client=trace,kube_client=warn"), most);
        assert_eq!(written("info"), ["ours-info", "theirs-warn"]);
        assert_eq!(written("refreshable_token_operator=trace"), ["ours-info", "ours-trace"]);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        assert_eq!(written("info,[reconcile{name}]=trace,hyper=loud"), ["ours-info", "theirs-warn"]);
        for nothing in ["", "=", "hyper=loud"] {
            assert_eq!(written(nothing), ["ours-info", "theirs-warn"], "{nothing:?}");
        }
    }
}
