//! Logs and traces. Libraries that could write a token are held back whatever the filter says; traces hold spans of this program
//! and nothing else.

#[cfg(feature = "otlp")]
pub mod traces;

use std::io::IsTerminal as _;

use tracing::Span;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

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
const HELD_BACK: [&str; 9] = [
    "kube_client=off",
    "kube_runtime=warn",
    "hyper=warn",
    "hyper_util=warn",
    "h2=warn",
    "rustls=warn",
    "reqwest=warn",
    "tower=warn",
    "tower_http=warn",
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

    /// Starts logging to standard error, with times in UTC (RFC 3339); `filter` is a `tracing` filter such as `info` or
    /// `debug,refreshable_token_operator=trace`.
    pub fn start(&self, format: LogFormat, filter: &str) {
        let mut filter = EnvFilter::builder().parse_lossy(filter);
        for held in HELD_BACK {
            if let Ok(directive) = held.parse() {
                filter = filter.add_directive(directive);
            }
        }
        let logs = match format {
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
            LogFormat::Text => fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).boxed(),
        };
        let all = tracing_subscriber::registry().with(logs.with_filter(filter));
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

/// Writes the id of the trace into the field `trace_id` of a span, so that a log line leads to its trace; nothing while there are
/// no traces.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "there are no traces"))]
pub(super) fn record_trace(span: &Span) {
    #[cfg(feature = "otlp")]
    if let Some(id) = traces::trace_id(span) {
        span.record("trace_id", id);
    }
}
