//! Counts of finished requests from the API server's own metrics.

use std::collections::BTreeMap;

/// The counter of `/metrics` (Kubernetes metrics reference, stability STABLE).
const COUNTER: &str = "apiserver_request_total{";

/// What the API server counts requests by; empty texts where it has no value.
///
/// The verb is in the API server's words for metrics: `GET`, `LIST`, `WATCH`, `POST`, `PUT`,
/// `PATCH`, `APPLY` (a server-side apply), `DELETE`, `DELETECOLLECTION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// What was done.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural, such as `configmaps`.
    pub resource: String,
    /// Such as `status`.
    pub subresource: String,
    /// HTTP status code.
    pub code: String,
}

impl RequestKey {
    /// A key from its texts.
    #[must_use]
    pub fn new(verb: &str, group: &str, resource: &str, subresource: &str, code: u16) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            code: code.to_string(),
        }
    }
}

/// Requests finished since the API server started, by what they were.
pub type RequestCounts = BTreeMap<RequestKey, u64>;

/// What was counted between two readings; keys that did not grow are left out.
#[must_use]
pub fn requests_between(before: &RequestCounts, after: &RequestCounts) -> RequestCounts {
    after
        .iter()
        .map(|(key, now)| {
            let then = before.get(key).copied().unwrap_or_default();
            (key.clone(), now.saturating_sub(then))
        })
        .filter(|(_, grown)| *grown > 0)
        .collect()
}

/// Sums `apiserver_request_total` over the labels that [`RequestKey`] has not.
#[must_use]
pub(super) fn parse(metrics: &str) -> RequestCounts {
    let mut counts = RequestCounts::new();
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(COUNTER));
    for (labels, value) in samples.filter_map(|sample| sample.rsplit_once("} ")) {
        let labels = parse_labels(labels);
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let key = RequestKey {
            verb: label("verb"),
            group: label("group"),
            resource: label("resource"),
            subresource: label("subresource"),
            code: label("code"),
        };
        *counts.entry(key).or_default() += parse_count(value);
    }
    counts
}

/// Labels of these counters are words of the API server; none has a quote or a comma in it.
fn parse_labels(text: &str) -> BTreeMap<&str, String> {
    text.split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(name, value)| (name, value.trim_matches('"').to_owned()))
        .collect()
}

/// Counts of a million and more are written as `1e+06`.
fn parse_count(text: &str) -> u64 {
    let text = text.trim();
    text.parse().unwrap_or_else(|_| {
        let value: f64 = text.parse().unwrap_or_default();
        format!("{value:.0}").parse().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Lines as kube-apiserver 1.36.3 prints them.
    const METRICS: &str = "\
# TYPE apiserver_request_total counter
apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"} 3
apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"All\",group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"} 2
apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"apps\",resource=\"deployments\",scope=\"resource\",subresource=\"status\",verb=\"PUT\",version=\"v1\"} 1.234567e+06
apiserver_request_terminations_total{code=\"500\",component=\"apiserver\"} 9
";

    #[test]
    fn counts_are_summed_over_the_other_labels() {
        let counts = parse(METRICS);
        let expected = [
            (RequestKey::new("POST", "", "configmaps", "", 201), 5),
            (RequestKey::new("PUT", "apps", "deployments", "status", 200), 1_234_567),
        ];
        assert_eq!(counts, expected.into());
    }

    #[test]
    fn between_two_readings_only_growth_remains() {
        let key = |verb| RequestKey::new(verb, "", "secrets", "", 200);
        let before = [(key("GET"), 2), (key("PUT"), 1)].into();
        let after = [(key("GET"), 2), (key("PUT"), 4), (key("LIST"), 1)].into();
        let grown = [(key("PUT"), 3), (key("LIST"), 1)].into();
        assert_eq!(requests_between(&before, &after), grown);
    }
}
