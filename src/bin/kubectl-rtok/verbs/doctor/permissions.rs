//! Whether the person may do all that the plug-in does; where not, that is no fault of the installation.

use futures::StreamExt as _;
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use refreshable_token_operator::api::GROUP;

use super::{Finding, Grade, finding};
use crate::cluster::Reach;

/// How many questions are asked at once. Our choice.
const AT_ONCE: usize = 8;

/// What the verbs of the plug-in ask of the API server, each with the verbs that need it.
const NEEDS: [(&str, &str, &str, &str); 19] = [
    (GROUP, "refreshabletokens", "get", "all"),
    (GROUP, "refreshabletokens", "list", "status, doctor"),
    (GROUP, "refreshabletokens", "watch", "status --watch"),
    (GROUP, "refreshabletokens", "patch", "refresh, suspend, resume"),
    (GROUP, "tokenproviders", "get", "explain, doctor, reseed"),
    (GROUP, CLUSTERED, "get", "explain, doctor, reseed"),
    ("", "secrets", "get", "inspect, doctor, reseed"),
    ("", "secrets", "create", "reseed"),
    ("", "secrets", "patch", "reseed"),
    ("", "configmaps", "get", "doctor"),
    ("", "pods", "list", "consumers"),
    ("", "serviceaccounts", "list", "consumers"),
    ("apps", "replicasets", "list", "consumers"),
    ("apps", "deployments", "list", "consumers"),
    ("apps", "statefulsets", "list", "consumers"),
    ("apps", "daemonsets", "list", "consumers"),
    ("", "events", "list", "events, status"),
    ("", "events", "watch", "events --watch"),
    ("coordination.k8s.io", LEASES, "list", "doctor"),
];
/// The one that is in no namespace.
const CLUSTERED: &str = "clustertokenproviders";
/// Those that are where the operator runs.
const LEASES: &str = "leases";

/// Asks for each; `operator` is where the operator runs, where that was said.
pub(super) async fn look(reach: &Reach, operator: Option<&str>) -> Finding {
    let view = reach.operator_view();
    let namespace = |resource: &str| match resource {
        CLUSTERED => None,
        LEASES => operator.map(str::to_owned),
        _ => (!reach.everywhere).then(|| reach.namespace.clone()),
    };
    let ask = |(group, resource, verb, needed): (&str, &str, &str, &str)| {
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: namespace(resource),
            ..ResourceAttributes::default()
        };
        let missing = format!("{verb} {resource} (for {needed})");
        let view = &view;
        Box::pin(async move { view.may(attributes).await.map(|may| (!may).then_some(missing)) })
    };
    let answers: Vec<_> = futures::stream::iter(NEEDS.map(ask)).buffered(AT_ONCE).collect().await;
    let place = if reach.everywhere { "everywhere".to_owned() } else { format!("in namespace {}", reach.namespace) };
    let Ok(missing) = answers.into_iter().collect::<Result<Vec<_>, _>>() else {
        return finding(Grade::Warning, "permissions", "the API server does not say what you may do");
    };
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    if missing.is_empty() {
        finding(Grade::Ok, "permissions", format!("you may do all that the plug-in does, {place}"))
    } else {
        finding(Grade::Warning, "permissions", format!("{place} you may not {}", missing.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the code asks for, by the types and calls of `cluster`.
    #[test]
    fn each_kind_that_is_asked_for_is_asked_about() {
        let code = include_str!("../../cluster.rs");
        for (type_, resource) in [
            ("Api<RefreshableToken>", "refreshabletokens"),
            ("Api<TokenProvider>", "tokenproviders"),
            ("Api<ClusterTokenProvider>", CLUSTERED),
            ("Api<Secret>", "secrets"),
            ("Api<Event>", "events"),
            ("Api<Lease>", LEASES),
            ("Vec<Pod>", "pods"),
            ("Vec<ServiceAccount>", "serviceaccounts"),
            ("Vec<ReplicaSet>", "replicasets"),
        ] {
            assert!(code.contains(type_), "{type_}");
            assert!(NEEDS.iter().any(|need| need.1 == resource), "{resource}");
        }
        assert!(code.contains("api.create(") && NEEDS.iter().any(|need| (need.1, need.2) == ("secrets", "create")));
    }
}
