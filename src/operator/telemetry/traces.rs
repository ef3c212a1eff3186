//! Traces by OTLP over HTTP with protobuf, set up by the standard variables of OpenTelemetry. Spans hold names, times, outcomes
//! and codes; no body, header, URL or token.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The name of the service, where no variable says another (OpenTelemetry semantic conventions, `service.name`).
const SERVICE: &str = "refreshable-token-operator";
/// How long the end waits for what is left. Our choice: a stopping Pod has more important things to do.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How long one export may take by default, in milliseconds (OpenTelemetry Protocol Exporter, `OTEL_EXPORTER_OTLP_TIMEOUT`).
const TIMEOUT: u64 = 10_000;

/// The standard variables that this program has to know; the libraries read the others (OpenTelemetry specification,
/// "Environment Variable Specification" and "OpenTelemetry Protocol Exporter").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    wanted: bool,
    timeout: Duration,
}

impl TraceSettings {
    /// Reads the variables. Traces are wanted when an endpoint is named and nothing turns them off. A time limit that is no
    /// number counts as unset, as the specification asks.
    #[must_use]
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = |name| variable(name).is_some_and(|url| !url.is_empty());
        let off = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|name| !name.is_empty() && name != "otlp");
        let timeout = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]
            .into_iter()
            .find_map(|name| variable(name)?.parse().ok());
        let endpoint = named("OTEL_EXPORTER_OTLP_ENDPOINT") || named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        Self { wanted: endpoint && !off, timeout: Duration::from_millis(timeout.unwrap_or(TIMEOUT)) }
    }

    /// Sets up traces that are sent on `runtime`; none if they are not asked for.
    pub fn traces(&self, runtime: Handle) -> Result<Option<Traces>, ExporterBuildError> {
        if !self.wanted {
            return Ok(None);
        }
        let refused = |error: reqwest::Error| ExporterBuildError::InternalFailure(error.to_string());
        let http = reqwest::Client::builder()
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(refused)?;
        let client = OnRuntime { http, runtime, failing: AtomicBool::new(false) };
        let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        Ok(Some(Traces { provider }))
    }
}

/// What the variables say of this process, and its name where they do not say it.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let named = said.get(&Key::from_static_str("service.name")).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}

/// Traces that are sent in batches, by a thread of its own.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Takes the spans of this program. Those of libraries could hold what they send.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
        let layer = OpenTelemetryLayer::new(self.provider.tracer(SERVICE));
        layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(ours))
    }

    pub(super) fn end(self) {
        if self.provider.shutdown_with_timeout(END_WITHIN).is_err() {
            tracing::debug!("the last traces could not be sent");
        }
    }
}

/// The id of the trace that a span belongs to.
pub(super) fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// The thread that sends batches has no runtime of its own, which reqwest needs.
#[derive(Debug)]
struct OnRuntime {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

impl OnRuntime {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let answer = self.runtime.spawn(async move { http.send_bytes(request).await }).await.map_err(HttpError::from)?;
        let failed = answer.as_ref().map_or(true, |answer| !answer.status().is_success());
        // Once, and not every few seconds. The error could repeat the URL.
        match (failed, self.failing.swap(failed, Ordering::Relaxed)) {
            (true, false) => tracing::warn!("traces cannot be sent: check OTEL_EXPORTER_OTLP_ENDPOINT and the collector"),
            (false, true) => tracing::info!("traces are sent again"),
            (true, true) | (false, false) => {}
        }
        answer
    }
}

impl HttpClient for OnRuntime {
    // As the trait's macro writes it.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> TraceSettings {
        TraceSettings::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn traces_are_sent_where_an_endpoint_is_named_and_nothing_turns_them_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, wanted) in [
            (&[][..], false),
            (&[endpoint], true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")], true),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], false),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], false),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")], true),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[endpoint, ("OTEL_SDK_DISABLED", "1")], true),
        ] {
            assert_eq!(read(variables).wanted, wanted, "{variables:?}");
        }
    }

    #[test]
    fn the_time_limit_of_traces_comes_before_that_of_all_signals() {
        let timeout = |variables: &[(&str, &str)]| u64::try_from(read(variables).timeout.as_millis()).unwrap();
        let (all, own) = (("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000"));
        assert_eq!((timeout(&[]), timeout(&[all]), timeout(&[all, own])), (TIMEOUT, 2000, 3000));
        assert_eq!(timeout(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")]), TIMEOUT);
    }
}
