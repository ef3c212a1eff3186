//! Token APIs as `doctor` sees them: connected to from this machine, beside what the operator says of them. No token is read or sent,
//! and not a byte of HTTP.

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{
    ConditionStatus, ConditionType, ProviderKind, ProviderSpec, Reason, RefreshableToken, TokenProviderStatus,
};
use refreshable_token_operator::operator::endpoint::{self, EndpointPolicy};
use refreshable_token_operator::operator::transport::{CaBundle, Connection, Proxy, TlsMaterial, Transport};
use refreshable_token_operator::provider::NotSent;
use serde_json::json;
use url::Url;

use super::{Finding, Grade, finding};
use crate::advice::advice;
use crate::cluster::Reach;
use crate::situation::NoProvider;
use crate::targets::place;
use crate::time::age;

/// How many are connected to at once. Our choice: a cluster has few token APIs, and each may take `timeouts.connect`.
const AT_ONCE: usize = 8;
/// What a rule must list before it is called, and may list; a name can resolve to any of it where a person sits.
const PRIVATE: [&str; 7] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1/128", "fc00::/7"];

/// A token API that objects use.
struct Used {
    /// The provider that they name; or the first of the objects whose own it is.
    about: String,
    spec: ProviderSpec,
    /// Where the ConfigMap or Secret of its authorities is; none: where the operator runs, which nobody has said.
    home: Option<String>,
    /// What the operator says of it; none: it says so of each object.
    told: Option<TokenProviderStatus>,
    generation: Option<i64>,
}

impl Used {
    /// Whether a connection to both is the same.
    fn is_like(&self, spec: &ProviderSpec, home: Option<&str>) -> bool {
        let bundle = |spec: &ProviderSpec| spec.tls().and_then(|tls| tls.ca_bundle_ref.clone());
        let route = |spec: &ProviderSpec| (spec.url().to_owned(), spec.proxy().cloned());
        let same = route(&self.spec) == route(spec) && bundle(&self.spec) == bundle(spec);
        same && (self.home.as_deref() == home || bundle(spec).is_none())
    }
}

/// Looks at the token API of each object, at each once; `operator` is where the operator runs, where that is known. With `offline`
/// nothing is connected to.
pub(super) async fn look(
    reach: &Reach,
    objects: &[RefreshableToken],
    operator: Option<&str>,
    offline: bool,
    now: DateTime<Utc>,
) -> Vec<Finding> {
    let (used, mut findings) = collect(reach, objects, operator).await;
    let look = |one| async move { if offline { None } else { Some(from_here(reach, one).await) } };
    let seen: Vec<Option<Finding>> = futures::stream::iter(&used).map(look).buffered(AT_ONCE).collect().await;
    for (one, seen) in used.iter().zip(seen) {
        findings.extend(one.told.as_ref().map(|told| of_operator(&one.about, told, one.generation, now)));
        findings.extend(seen);
    }
    findings
}

/// The token APIs that objects use, and what is to be said of those that cannot be looked at.
async fn collect(reach: &Reach, objects: &[RefreshableToken], operator: Option<&str>) -> (Vec<Used>, Vec<Finding>) {
    let (mut used, mut findings): (Vec<Used>, Vec<Finding>) = (Vec::new(), Vec::new());
    for object in objects {
        let namespace = object.namespace().unwrap_or_default();
        let (about, home) = match (&object.spec.provider, &object.spec.provider_ref) {
            (Some(own), _) => {
                if used.iter().any(|one| one.told.is_none() && one.is_like(own, Some(&namespace))) {
                    continue;
                }
                (format!("token API of {}", place(object)), Some(namespace))
            }
            (None, Some(reference)) => match reference.kind() {
                ProviderKind::TokenProvider => (format!("TokenProvider {namespace}/{}", reference.name), Some(namespace)),
                ProviderKind::ClusterTokenProvider => {
                    (format!("ClusterTokenProvider {}", reference.name), operator.map(str::to_owned))
                }
            },
            // Its status says so.
            (None, None) => continue,
        };
        if used.iter().any(|one| one.about == about) || findings.iter().any(|one| one.about == about) {
            continue;
        }
        match reach.offer(object).await {
            Ok(offer) => used.push(Used { about, spec: offer.spec, home, told: offer.told, generation: offer.generation }),
            Err(NoProvider::Missing) => findings.push(finding(Grade::Failed, about, "it does not exist, and tokens name it")),
            Err(why @ NoProvider::Unread(_)) => {
                findings.push(finding(Grade::Warning, about, format!("it was not looked at: {}", why.in_words())));
            }
        }
    }
    (used, findings)
}

/// What the operator last said of a provider.
fn of_operator(about: &str, told: &TokenProviderStatus, generation: Option<i64>, now: DateTime<Utc>) -> Finding {
    let ready = told.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready);
    let Some(ready) = ready.filter(|_| told.observed_generation == generation) else {
        let what = "the operator has not seen this generation: look whether it runs, and may list providers";
        return finding(Grade::Warning, about, what);
    };
    let mut what = format!("the operator, {} ago: {}: {}", age(ready.last_transition_time, now), ready.reason, ready.message);
    let grade = match ready.status {
        ConditionStatus::True => Grade::Ok,
        ConditionStatus::Unknown => Grade::Warning,
        ConditionStatus::False => Grade::Failed,
    };
    if let Some(todo) = Reason::parse(&ready.reason).and_then(advice).filter(|_| grade != Grade::Ok) {
        what = format!("{what}. What to do: {todo}");
    }
    finding(grade, about, what)
}

/// What this machine sees of it.
async fn from_here(reach: &Reach, used: &Used) -> Finding {
    let (ca_bundle, unknown) = match authorities(reach, used).await {
        Ok(bundle) => (bundle, None),
        Err(why) => (None, Some(why)),
    };
    let timeouts = used.spec.timeouts();
    let connection = Connection {
        reach: endpoint::Reach::Cluster,
        tls: TlsMaterial { ca_bundle, client_certificate: None },
        proxy: used.spec.proxy().map(|proxy| Proxy { url: proxy.url.clone(), credentials: None }),
        connect_timeout: timeouts.connect(),
        request_timeout: timeouts.request(),
    };
    let proxy = used.spec.proxy().map(|proxy| proxy.url.as_str());
    let url = used.spec.url();
    judge(used, Transport::new(&policy(url, proxy)).connect(url, &connection).await, unknown.as_deref())
}

/// The authorities that its certificate is verified with; none: those of this machine. Or why they are not known.
async fn authorities(reach: &Reach, used: &Used) -> Result<Option<CaBundle>, String> {
    let Some(reference) = used.spec.tls().and_then(|tls| tls.ca_bundle_ref.as_ref()) else { return Ok(None) };
    let bundle = format!("{:?} {}, key {}", reference.kind, reference.name, reference.key());
    let Some(home) = &used.home else {
        return Err(format!("{bundle} is where the operator runs: name that by --operator-namespace"));
    };
    match reach.operator_view().ca_bundle(home, reference).await {
        Ok((Some(pem), _)) => CaBundle::parse(&pem).map(Some).map_err(|why| format!("{bundle} in namespace {home}: {why}")),
        Ok((None, _)) => Err(format!("{bundle} in namespace {home} does not exist")),
        Err(_) => Err(format!("{bundle} in namespace {home} is not there, or you may not read it")),
    }
}

/// Puts it into words. Nothing here is worse than a warning: the operator may sit elsewhere, behind other firewalls.
fn judge(used: &Used, connected: Result<(), NotSent>, unknown: Option<&str>) -> Finding {
    let url = Url::parse(used.spec.url()).ok();
    let address = url.as_ref().map_or_else(String::new, |url| {
        let port = url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", url.host_str().unwrap_or_default())
    });
    let clear = url.is_some_and(|url| url.scheme() == "http");
    let mutual = used.spec.client_certificate_ref().is_some();
    let behind = used.spec.proxy().is_some();
    let known_to_proxy = used.spec.proxy_credentials_ref().is_some();
    let (grade, what) = match (connected, unknown) {
        (Ok(()), _) if behind => {
            (Grade::Ok, "a connection stands through its proxy, with a certificate that is verified".to_owned())
        }
        (Err(NotSent::ProxyCredentialsRejected), _) if known_to_proxy => {
            (Grade::Ok, "its proxy can be connected to, and asks for credentials, which are not shown from here".to_owned())
        }
        (Ok(()), _) if clear => {
            (Grade::Ok, "its name resolves, and a connection stands; without TLS, as its URL says".to_owned())
        }
        (Ok(()), _) => (Grade::Ok, "its name resolves, and a connection stands with a certificate that is verified".to_owned()),
        (Err(NotSent::ClientCertificateRejected), _) if mutual => {
            (Grade::Ok, "it can be connected to, and asks for the client's certificate, which is not shown from here".to_owned())
        }
        (Err(NotSent::TlsRejected | NotSent::CaBundleInvalid), Some(unknown)) => {
            (Grade::Warning, format!("its certificate cannot be verified: {unknown}"))
        }
        (Err(NotSent::EndpointNotAllowed | NotSent::ProxyNotAllowed), _) => {
            let whose = if connected == Err(NotSent::ProxyNotAllowed) { "its proxy is at " } else { "" };
            let what =
                "an address of the cluster, of a metadata service or of the link: it is not connected to, nor by the operator";
            (Grade::Warning, format!("{whose}{what}"))
        }
        (Err(NotSent::CaBundleInvalid), _) => {
            (Grade::Warning, "this machine has no certificate authorities to verify it with".to_owned())
        }
        (Err(why), _) => (Grade::Warning, format!("{why}. Is this machine in another network than the operator?")),
    };
    finding(grade, &used.about, format!("from this machine, {address}: {what}"))
}

/// Where this machine may connect for a URL, and for the proxy before it: whatever a rule of the operator's policy could allow. What none can stays refused, since
/// whoever writes an object chooses the host.
fn policy(url: &str, proxy: Option<&str>) -> EndpointPolicy {
    let host = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let rule = |url| json!({ "hosts": [host(url)], "addresses": PRIVATE, "schemes": ["https", "http"] });
    let rules: Vec<_> = std::iter::once(url).chain(proxy).map(rule).collect();
    // A host that no rule can name cannot be called.
    EndpointPolicy::from_yaml(&json!({ "rules": rules }).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(spec: serde_json::Value) -> Used {
        let spec = serde_json::from_value(spec).unwrap();
        Used { about: "TokenProvider build/acme".to_owned(), spec, home: None, told: None, generation: None }
    }

    fn access(url: &str, tls: &serde_json::Value) -> Used {
        used(json!({ "jfrogAccess": { "url": url, "tls": tls } }))
    }

    fn said(used: &Used, connected: Result<(), NotSent>, unknown: Option<&str>) -> (Grade, String) {
        let found = judge(used, connected, unknown);
        (found.grade, found.what)
    }

    #[test]
    fn what_this_machine_sees_is_a_warning_at_worst_and_said_to_be_its_own_view() {
        let plain = access("https://art.example.com", &json!(null));
        let (grade, what) = said(&plain, Ok(()), None);
        assert!(grade == Grade::Ok && what.starts_with("from this machine, art.example.com:443: ") && what.contains("verified"));
        let (grade, what) = said(&access("http://art.example.com:8081", &json!(null)), Ok(()), None);
        assert!(grade == Grade::Ok && what.contains("art.example.com:8081") && what.contains("without TLS"), "{what}");
        let rows = [
            (NotSent::NameNotResolved, "cannot be resolved"),
            (NotSent::NotConnected, "no connection"),
            (NotSent::ConnectTimeout, "timeouts.connect"),
            (NotSent::TlsRejected, "cannot be verified"),
            (NotSent::ClientCertificateRejected, "tls.clientCertificateRef"),
            (NotSent::EndpointNotAllowed, "nor by the operator"),
            (NotSent::CaBundleInvalid, "this machine has no certificate authorities"),
        ];
        for (why, says) in rows {
            let (grade, what) = said(&plain, Err(why), None);
            assert!(grade == Grade::Warning && what.contains(says) && what.starts_with("from this machine"), "{why:?}: {what}");
        }
    }

    #[test]
    fn what_cannot_be_known_here_is_not_called_wrong() {
        let mutual = access("https://art.example.com", &json!({ "clientCertificateRef": { "name": "mine" } }));
        assert_eq!(said(&mutual, Err(NotSent::ClientCertificateRejected), None).0, Grade::Ok);
        let proxy = |more: serde_json::Value| {
            let mut proxy = json!({ "url": "http://proxy.example.com:3128" });
            proxy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            used(json!({ "jfrogAccess": { "url": "https://art.example.com", "proxy": proxy } }))
        };
        let (grade, what) = said(&proxy(json!({})), Ok(()), None);
        assert!(grade == Grade::Ok && what.contains("through its proxy"), "{what}");
        assert_eq!(said(&proxy(json!({})), Err(NotSent::ProxyCredentialsRejected), None).0, Grade::Warning);
        let mine = proxy(json!({ "credentialsSecretRef": { "name": "mine" } }));
        assert_eq!(said(&mine, Err(NotSent::ProxyCredentialsRejected), None).0, Grade::Ok);
        assert!(said(&mine, Err(NotSent::ProxyNotAllowed), None).1.contains("its proxy is at an address of the cluster"));
        // Nothing is tried where this machine has no authorities either.
        for why in [NotSent::TlsRejected, NotSent::CaBundleInvalid] {
            let (grade, what) = said(&mutual, Err(why), Some("ConfigMap ca, key ca.crt is where the operator runs"));
            assert!(grade == Grade::Warning && what.ends_with("ConfigMap ca, key ca.crt is where the operator runs"), "{what}");
        }
    }

    #[test]
    fn what_the_operator_says_is_graded_by_its_condition() {
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(300);
        let status = |status: &str, reason: &str, generation: i64| -> TokenProviderStatus {
            serde_json::from_value(json!({ "observedGeneration": generation, "conditions": [{
                "type": "Ready", "status": status, "reason": reason, "message": "m", "lastTransitionTime": "1970-01-01T00:00:00Z" }] }))
            .unwrap()
        };
        let told = |status: &TokenProviderStatus| of_operator("TokenProvider build/acme", status, Some(2), now);
        let good = told(&status("True", "Reachable", 2));
        assert_eq!((good.grade, good.what.as_str()), (Grade::Ok, "the operator, 5m ago: Reachable: m"));
        let bad = told(&status("False", "CABundleInvalid", 2));
        assert!(bad.grade == Grade::Failed && bad.what.contains("CABundleInvalid: m. What to do: mend the key"), "{bad:?}");
        assert_eq!(told(&status("Unknown", "ClusterUnavailable", 2)).grade, Grade::Warning);
        for unseen in [status("True", "Reachable", 1), TokenProviderStatus::default()] {
            assert!(told(&unseen).what.contains("has not seen this generation"));
        }
    }

    #[test]
    fn nothing_is_connected_to_that_no_rule_of_the_operator_could_allow() {
        for (url, allowed) in [
            ("https://art.corp.example.com", true),
            ("https://localhost:8443", true),
            ("http://127.0.0.1:8081/x", true),
            ("https://[fd12::1]:8443", true),
            ("https://art", true),
            ("https://169.254.169.254/latest", false),
            ("https://metadata.google.internal", false),
            ("https://kubernetes.default.svc", false),
            ("https://[fe80::1]", false),
            ("https://0x7f.1", false),
        ] {
            assert_eq!(policy(url, None).reaching(endpoint::Reach::Cluster).check_url(url).is_ok(), allowed, "{url}");
        }
        let behind = policy("https://art.example.com", Some("http://localhost:3128")).reaching(endpoint::Reach::Cluster);
        assert!(behind.check_proxy("http://localhost:3128").is_ok() && behind.check_url("https://art.example.com").is_ok());
        assert!(behind.check_proxy("http://169.254.169.254:80").is_err());
    }

    #[test]
    fn one_connection_stands_for_all_objects_that_make_the_same() {
        let one = Used { home: Some("a".to_owned()), ..access("https://art.example.com", &json!(null)) };
        let with = |bundle: &str| {
            access("https://art.example.com", &json!({ "caBundleRef": { "kind": "ConfigMap", "name": bundle } })).spec
        };
        assert!(one.is_like(&one.spec, Some("b")) && !one.is_like(&with("ca"), Some("a")));
        let own = Used { home: Some("a".to_owned()), spec: with("ca"), ..access("https://x", &json!(null)) };
        assert!(
            own.is_like(&with("ca"), Some("a")) && !own.is_like(&with("ca"), Some("b")) && !own.is_like(&with("cb"), Some("a"))
        );
        assert!(!one.is_like(&access("https://other.example.com", &json!(null)).spec, Some("a")));
        let behind =
            json!({ "jfrogAccess": { "url": "https://art.example.com", "proxy": { "url": "http://proxy.example.com:3128" } } });
        assert!(!one.is_like(&used(behind).spec, Some("a")));
    }
}
