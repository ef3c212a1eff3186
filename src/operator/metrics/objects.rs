//! Each object's own metrics, read from the watches' caches while they are scraped: there is no copy that could grow stale.
//!
//! Only the replica that looks after an object shows it; so each is shown once, whatever the number of replicas.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio_util::sync::CancellationToken;

use super::refreshes::{Kind, Refreshes};
use crate::api::{ConditionStatus, ConditionType, ProviderSpec, Reason, RefreshableToken, RefreshableTokenStatus};
use crate::operator::guarded;
use crate::refresh::decide;

type Guarded = guarded::Guarded<RefreshableToken>;

/// Whether this replica looks after an object.
pub type Mine = Box<dyn Fn(&Guarded) -> bool + Send + Sync>;

/// The commit that the build was made from; whoever builds a release sets it.
const REVISION: &str = match option_env!("RTOK_BUILD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The caches of the term that runs, and what is counted by object.
#[derive(Default)]
pub(super) struct Objects {
    term: Mutex<Option<Term>>,
    refreshes: Refreshes,
}

struct Term {
    stores: Vec<Store<Guarded>>,
    mine: Mine,
    over: CancellationToken,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

/// What is shown of one object.
struct Row {
    namespace: String,
    name: String,
    /// The key of its provider; empty where the object cannot be read.
    provider: &'static str,
    suspended: bool,
    /// The reason for which it stands still.
    stalled: Option<&'static str>,
    status: RefreshableTokenStatus,
    refreshes: BTreeMap<Kind, u64>,
}

impl Objects {
    pub(super) fn begin_term(&self, stores: Vec<Store<Guarded>>, mine: Mine, over: CancellationToken) {
        *self.lock() = Some(Term { stores, mine, over });
    }

    pub(super) fn end_term(&self) {
        *self.lock() = None;
    }

    pub(super) fn refreshes(&self) -> &Refreshes {
        &self.refreshes
    }

    fn lock(&self) -> MutexGuard<'_, Option<Term>> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every object that this replica looks after in the term that runs; none while this replica does not work.
    fn rows(&self) -> Option<Vec<Row>> {
        let objects: Vec<Arc<Guarded>> = {
            let term = self.lock();
            let term = term.as_ref().filter(|term| !term.over.is_cancelled())?;
            term.stores.iter().flat_map(Store::state).filter(|object| (term.mine)(object)).collect()
        };
        let mut rows: Vec<Row> = objects.iter().map(|object| self.row(object)).collect();
        rows.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Some(rows)
    }

    fn row(&self, object: &Guarded) -> Row {
        let refreshes = object.uid().map(|uid| self.refreshes.of(&uid)).unwrap_or_default();
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let Ok(object) = &object.0 else {
            // Its status cannot be read; what the operator says about such an object is always this.
            let stalled = Some(Reason::InvalidSpec.as_str());
            let status = RefreshableTokenStatus::default();
            return Row { namespace, name, provider: "", suspended: false, stalled, status, refreshes };
        };
        let status = object.status.clone().unwrap_or_default();
        // A word of somebody else's does not become a label.
        let stalled = decide::stalled(&status).map(|reason| Reason::parse(reason).map_or("", Reason::as_str));
        let own = object.spec.provider.as_ref().map(ProviderSpec::name);
        let told = status.effective.as_ref().map(|effective| effective.provider.as_str());
        let known = || ProviderSpec::ALL.into_iter().map(|sketch| sketch.name).find(|name| told == Some(name));
        let (provider, suspended) = (own.or_else(known).unwrap_or_default(), object.spec.suspended());
        Row { namespace, name, provider, suspended, stalled, status, refreshes }
    }
}

impl Row {
    fn labels(&self) -> Vec<(&'static str, &str)> {
        vec![("namespace", &self.namespace), ("name", &self.name)]
    }

    fn with(&self, label: &'static str, word: &'static str) -> Vec<(&'static str, &str)> {
        let mut labels = self.labels();
        labels.push((label, word));
        labels
    }

    fn ready(&self) -> bool {
        let ready = |c: &crate::api::Condition| c.type_ == ConditionType::Ready && c.status == ConditionStatus::True;
        self.status.conditions.iter().any(ready)
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let rows = self.rows();
        let leads = i64::from(rows.is_some());
        let rows = rows.unwrap_or_default();
        let mut out = Out { encoder: &mut encoder, rows: &rows };
        let build = [("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        out.own("build_info", "What is running: always 1", &build, 1)?;
        out.own("leader", "1 while this replica works: it holds the Lease, or there is no election", &[], leads)?;
        out.flag("ready", "1 while the outputs hold a valid token", |row| (row.with("provider", row.provider), row.ready()))?;
        out.flag("suspended", "1 while spec.suspend is true", |row| (row.labels(), row.suspended))?;
        out.flag("stalled", "1 while a person has to act; the reason is that of the condition Stalled", |row| {
            (row.with("reason", row.stalled.unwrap_or_default()), row.stalled.is_some())
        })?;
        out.number("expiration_timestamp_seconds", "When the access token ends", |row| {
            Some(row.status.token.as_ref()?.expiration_time?.timestamp())
        })?;
        out.number("issued_timestamp_seconds", "When the access token was asked for", |row| {
            Some(row.status.token.as_ref()?.issued_time?.timestamp())
        })?;
        out.number("next_refresh_timestamp_seconds", "When the next refresh is due; absent while none will happen", |row| {
            Some(row.status.next_refresh_time?.timestamp())
        })?;
        out.number("refresh_token_expiration_timestamp_seconds", "When the refresh token ends, where the API says", |row| {
            Some(row.status.token.as_ref()?.refresh_token_expiration_time?.timestamp())
        })?;
        out.number("consecutive_failures", "Refreshes that failed since the last one that was committed", |row| {
            Some(row.status.consecutive_failures.unwrap_or(0).into())
        })?;
        out.refreshes()
    }
}

/// Where metrics are written to, and the objects that they are about.
struct Out<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    rows: &'a [Row],
}

impl Out<'_, '_> {
    /// A gauge of the process.
    fn own(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: i64) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
        if labels.is_empty() {
            ConstGauge::new(value).encode(family)
        } else {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)
        }
    }

    /// A gauge of each object that is 0 or 1.
    fn flag<'r>(&mut self, name: &str, help: &str, read: impl Fn(&'r Row) -> (Vec<(&'static str, &'r str)>, bool)) -> fmt::Result
    where
        Self: 'r,
    {
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
        self.rows.iter().try_for_each(|row| {
            let (labels, value) = read(row);
            ConstGauge::new(i64::from(value)).encode(family.encode_family(&labels)?)
        })
    }

    /// A gauge of each object of which the number is known.
    fn number(&mut self, name: &str, help: &str, read: impl Fn(&Row) -> Option<i64>) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
        self.rows.iter().try_for_each(|row| match read(row) {
            Some(value) => ConstGauge::new(value).encode(family.encode_family(&row.labels())?),
            None => Ok(()),
        })
    }

    fn refreshes(&mut self) -> fmt::Result {
        let help = "Refreshes by their end; recovery is a repeat after a failure, or the end of an exchange that was left open";
        let mut family = self.encoder.encode_descriptor("refreshes", &sentence(help), None, MetricType::Counter)?;
        self.rows.iter().try_for_each(|row| {
            row.refreshes.iter().try_for_each(|((result, trigger), count)| {
                let mut labels = row.labels();
                labels.extend([("result", *result), ("trigger", *trigger)]);
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)
            })
        })
    }
}

/// As the registry does with the help of what is registered.
fn sentence(help: &str) -> String {
    format!("{help}.")
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::super::{Format, Metrics};
    use super::*;
    use crate::refresh::decide::Trigger;
    use crate::refresh::exchange::Outcome;

    fn object(name: &str, lifetime: &serde_json::Value, stalled: &str) -> Guarded {
        let object = json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken",
            "metadata": {"namespace": "build", "name": name, "uid": name},
            "spec": {
                "provider": {"jfrogAccess": {"url": "https://art.example.com"}},
                "credential": {"seedSecretRef": {"name": "seed"}},
                "request": {"lifetime": lifetime},
                "outputs": [{"secretName": "out", "opaque": {}}],
            },
            "status": {"conditions": [{
                "type": "Stalled", "status": "True", "reason": stalled, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        serde_json::from_value(object).unwrap()
    }

    fn lines(metrics: &Metrics, part: &str) -> Vec<String> {
        let text = metrics.text(Format::Prometheus);
        text.lines().filter(|line| !line.starts_with('#') && line.contains(part)).map(str::to_owned).collect()
    }

    #[test]
    fn objects_are_shown_while_this_replica_works_and_they_exist() {
        let (reader, mut writer) = store::<Guarded>();
        let (metrics, over) = (Metrics::new(), CancellationToken::new());
        writer.apply_watcher_event(&Event::Apply(object("a", &json!("1h"), "ChainLost")));
        assert_eq!(lines(&metrics, "_leader"), ["refreshabletoken_leader 0"]);
        metrics.begin_term(vec![reader], Box::new(|_| true), over.clone());
        metrics.exchange_ended("a", &RefreshableTokenStatus::default(), &Outcome::Refreshed, Trigger::Manual);
        metrics.exchange_ended("gone", &RefreshableTokenStatus::default(), &Outcome::Refreshed, Trigger::Manual);
        assert_eq!(lines(&metrics, "_leader"), ["refreshabletoken_leader 1"]);
        let reason = "refreshabletoken_stalled{namespace=\"build\",name=\"a\",reason=\"ChainLost\"} 1";
        assert_eq!(lines(&metrics, "_stalled"), [reason]);
        let count = "refreshabletoken_refreshes_total{namespace=\"build\",name=\"a\",result=\"success\",trigger=\"manual\"} 1";
        assert_eq!(lines(&metrics, "_refreshes_total"), [count]);

        writer.apply_watcher_event(&Event::Delete(object("a", &json!("1h"), "ChainLost")));
        assert!(lines(&metrics, "namespace=").is_empty(), "deleted");
        writer.apply_watcher_event(&Event::Apply(object("a", &json!("1h"), "ChainLost")));
        assert!(!lines(&metrics, "namespace=").is_empty());
        over.cancel();
        assert!(lines(&metrics, "namespace=").is_empty(), "another replica may show it by now");
        assert_eq!(lines(&metrics, "_leader"), ["refreshabletoken_leader 0"]);
    }

    #[test]
    fn an_object_of_another_replica_is_not_shown() {
        let (reader, mut writer) = store::<Guarded>();
        let metrics = Metrics::new();
        metrics.begin_term(vec![reader], Box::new(|object| object.name_any() == "a"), CancellationToken::new());
        writer.apply_watcher_event(&Event::Apply(object("a", &json!("1h"), "ChainLost")));
        writer.apply_watcher_event(&Event::Apply(object("b", &json!("1h"), "ChainLost")));
        let stalled = "refreshabletoken_stalled{namespace=\"build\",name=\"a\",reason=\"ChainLost\"} 1";
        assert_eq!(lines(&metrics, "_stalled"), [stalled]);
    }

    #[test]
    fn what_others_write_makes_no_word_and_an_unreadable_object_is_shown() {
        let (reader, mut writer) = store::<Guarded>();
        let metrics = Metrics::new();
        metrics.begin_term(vec![reader], Box::new(|_| true), CancellationToken::new());
        writer.apply_watcher_event(&Event::Apply(object("a", &json!("1h"), "Whatever")));
        writer.apply_watcher_event(&Event::Apply(object("b", &json!({"no": "text"}), "")));
        let labels = |name: &str, reason: &str| {
            format!("refreshabletoken_stalled{{namespace=\"build\",name=\"{name}\",reason=\"{reason}\"}} 1")
        };
        assert_eq!(lines(&metrics, "_stalled"), [labels("a", ""), labels("b", "InvalidSpec")]);
    }
}
