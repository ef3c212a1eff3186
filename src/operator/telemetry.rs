//! Logs. Libraries that could write a token are held back whatever the filter says.

use std::io::IsTerminal as _;

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

/// Starts logging to standard error; `filter` is a `tracing` filter such as `info` or `debug,refreshable_token_operator=trace`.
pub fn start(format: LogFormat, filter: &str) {
    let mut filter = EnvFilter::builder().parse_lossy(filter);
    for held in HELD_BACK {
        if let Ok(directive) = held.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let layer = match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).boxed(),
    };
    // A second start, in tests of one process, keeps the first.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
