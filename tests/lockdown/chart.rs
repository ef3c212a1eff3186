//! What the chart renders, compared with the code: roles with what the operator asks for, arguments with the flags that there are,
//! the CRD with the types.

use std::collections::BTreeSet;
use std::process::Command;

use refreshable_token_operator::operator::check::{Permission, Scope, permissions};
use serde_json::Value;

use crate::installed::{chart, helm};
use crate::world::{PROGRAM, run};

/// The documents that the chart renders.
async fn render(set: &[&str]) -> Vec<Value> {
    let chart = chart();
    let mut arguments = vec!["template", "rto", chart.to_str().unwrap(), "--namespace", "own"];
    arguments.extend(set.iter().flat_map(|set| ["--set", set]));
    let text = helm(None, &arguments).await.unwrap();
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .filter(|value: &Value| !value.is_null())
        .collect()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the operator's own roles grant, by namespace, group, resource, name and verb.
fn granted(documents: &[Value]) -> BTreeSet<(String, String, String, String, String)> {
    let mut all = BTreeSet::new();
    for role in documents.iter().filter(|role| matches!(text(role, "/kind"), "Role" | "ClusterRole")) {
        if ["-view", "-edit", "-metrics"].iter().any(|suffix| text(role, "/metadata/name").ends_with(suffix)) {
            continue;
        }
        for rule in role["rules"].as_array().unwrap() {
            let mut names = texts(rule, "resourceNames");
            if names.is_empty() {
                names.push(String::new());
            }
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    for name in &names {
                        for verb in texts(rule, "verbs") {
                            let namespace = text(role, "/metadata/namespace").to_owned();
                            all.insert((namespace, group.clone(), resource.clone(), name.clone(), verb));
                        }
                    }
                }
            }
        }
    }
    all
}

fn asked(scope: &Scope) -> BTreeSet<(String, String, String, String, String)> {
    let key = |permission: Permission| {
        let Permission { namespace, group, resource, name, verb } = permission;
        (namespace.unwrap_or_default(), group.to_owned(), resource.to_owned(), name.unwrap_or_default().clone(), verb.to_owned())
    };
    permissions(scope).into_iter().map(key).collect()
}

#[test]
fn the_roles_grant_what_the_operator_asks_for_and_no_more() {
    run(async {
        let all = Scope {
            namespaces: Vec::new(),
            operator_namespace: "own".to_owned(),
            leases: 1,
            secrets_watch: true,
            metrics_auth: false,
            rollout: false,
            service_account_tokens: false,
        };
        let two = vec!["build".to_owned(), "deploy".to_owned()];
        for (set, scope) in [
            (&[][..], all.clone()),
            (&["watchNamespaces={build,deploy}"], Scope { namespaces: two.clone(), ..all.clone() }),
            (&["rbac.secretsWatch=false"], Scope { secrets_watch: false, ..all.clone() }),
            (
                &["watchNamespaces={build,deploy}", "rbac.secretsWatch=false"],
                Scope { namespaces: two, secrets_watch: false, ..all.clone() },
            ),
            (&["metrics.auth=true"], Scope { metrics_auth: true, ..all.clone() }),
            (&["metrics.auth=true", "metrics.enabled=false"], all.clone()),
            (&["leaderElection.enabled=false"], Scope { leases: 0, ..all.clone() }),
            (&["leaderElection.shards=3"], Scope { leases: 3, ..all.clone() }),
            (&["rollout.enabled=true"], Scope { rollout: true, ..all.clone() }),
            (&["serviceAccountTokens.enabled=true"], Scope { service_account_tokens: true, ..all.clone() }),
            (
                &["rollout.enabled=true", "serviceAccountTokens.enabled=true", "watchNamespaces={build,deploy}"],
                Scope {
                    rollout: true,
                    service_account_tokens: true,
                    namespaces: vec!["build".to_owned(), "deploy".to_owned()],
                    ..all
                },
            ),
        ] {
            assert_eq!(granted(&render(set).await), asked(&scope), "{set:?}");
        }
    });
}

#[test]
fn the_workload_uses_flags_that_there_are() {
    run(async {
        let help = Command::new(PROGRAM).args(["run", "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let set = [
            "metrics.auth=true",
            "watchNamespaces={a}",
            "endpointPolicy.rules[0].hosts={a.example.com}",
            "rbac.secretsWatch=false",
            "rollout.enabled=true",
            "serviceAccountTokens.enabled=true",
        ];
        for document in render(&set).await {
            let spec = if text(&document, "/kind") == "Pod" { &document["spec"] } else { &document["spec"]["template"]["spec"] };
            for argument in spec["containers"].as_array().into_iter().flatten().flat_map(|container| texts(container, "args")) {
                let flag = argument.split('=').next().unwrap();
                assert!(
                    matches!(flag, "run" | "check") || help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                    "{flag}"
                );
            }
        }
    });
}

fn floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(floats),
        Value::Object(fields) => fields.values_mut().for_each(floats),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn the_crds_are_those_of_the_types() {
    run(async {
        let documents = render(&[]).await;
        let all: Vec<Value> =
            documents.into_iter().filter(|document| text(document, "/kind") == "CustomResourceDefinition").collect();
        let crds = refreshable_token_operator::api::crds();
        assert_eq!(all.len(), crds.len());
        for crd in crds {
            let mut crd = serde_json::to_value(crd).unwrap();
            let named = |document: &&Value| document["metadata"]["name"] == crd["metadata"]["name"];
            let mut rendered = all.iter().find(named).unwrap().clone();
            assert_eq!(text(&rendered, "/metadata/annotations/helm.sh~1resource-policy"), "keep");
            let metadata = rendered["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
            metadata.remove("labels");
            // Helm writes 1 where the types say 1.0.
            for spec in [&mut rendered, &mut crd] {
                floats(spec);
            }
            assert_eq!(rendered["spec"], crd["spec"]);
            assert_eq!(rendered["metadata"], crd["metadata"]);
        }
        assert!(
            render(&["crds.enabled=false"]).await.iter().all(|document| text(document, "/kind") != "CustomResourceDefinition")
        );
    });
}
