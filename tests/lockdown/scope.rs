//! The operator does its work with the chart's rights, and in namespaced scope it reaches nothing outside.

use std::path::Path;

use testbed::issuer::Api as Kind;

use crate::installed::Installed;
use crate::world::{LOOPBACK, PROGRAM, World, run};

const KINDS: [(Kind, &str); 4] = [
    (Kind::JfrogAccess, "access"),
    (Kind::JfrogDistribution, "distribution"),
    (Kind::ElasticCloudEnterprise, "elastic"),
    (Kind::Oauth2, "oauth2"),
];

/// Values with which workloads are restarted.
fn rolling() -> String {
    format!("{LOOPBACK}rollout: {{enabled: true}}\n")
}

/// Four chains refresh under the release's rights, and the API server refuses nothing.
async fn refreshes(world: &World, installed: &Installed, namespace: &str) {
    let program = Path::new(PROGRAM);
    let (well, said) = installed.check(&world.plane, program).await.unwrap();
    assert!(well, "{said}");
    let mut operator = installed.start(&world.plane, program).await.unwrap();
    for (kind, name) in KINDS {
        world.token(namespace, kind, name).await;
    }
    for (_, name) in KINDS {
        world.refreshed(namespace, name, 2).await;
    }
    // A workload is restarted.
    world.kubectl(&["create", "deployment", "web", "-n", namespace, "--image=example.com/web"], None).await;
    let rollout =
        r#"{"spec":{"rollout":{"targets":[{"kind":"Deployment","selector":{"matchLabels":{"app":"web"}}}],"minInterval":"0s"}}}"#;
    world.kubectl(&["patch", "rtok/oauth2", "-n", namespace, "--type=merge", "-p", rollout], None).await;
    let restarted = r"--for=jsonpath={.spec.template.metadata.annotations.restarted-for\.refreshabletoken\.io/oauth2}";
    world.kubectl(&["wait", restarted, "deployment/web", "-n", namespace, "--timeout=60s"], None).await;
    // The finalizer of a deletion policy, and the deletion of the state Secret.
    world
        .kubectl(
            &["patch", "rtok/access", "-n", namespace, "--type=merge", "-p", r#"{"spec":{"deletionPolicy":"Delete"}}"#],
            None,
        )
        .await;
    world
        .kubectl(&["wait", "--for=jsonpath={.metadata.finalizers}", "rtok/access", "-n", namespace, "--timeout=60s"], None)
        .await;
    world.kubectl(&["delete", "rtok/access", "-n", namespace, "--timeout=60s"], None).await;
    let gone = world.plane.kubectl(&["get", "secret/access-state", "-n", namespace], None).await.unwrap();
    assert!(gone.stderr.contains("NotFound"), "{gone:?}");
    operator.terminate().unwrap();
    while operator.try_wait().unwrap().is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let refused: Vec<String> = world
        .plane
        .audit_events()
        .unwrap()
        .into_iter()
        .filter(|event| event.key.user == installed.user() && event.code == 403)
        .map(|event| format!("{} {}", event.key.verb, event.uri))
        .collect();
    assert_eq!(refused, Vec::<String>::new(), "{}", operator.log_end());
    assert_eq!(world.issuer.double_spends(), 0);
}

#[test]
fn in_cluster_scope_every_api_refreshes_and_nothing_is_refused() {
    run(async {
        let world = World::new(&[]).await;
        let installed = Installed::new(&world.plane, "rto", "refreshable-token-system", &rolling()).await.unwrap();
        assert!(installed.notes.contains("WARNING: endpointPolicy allows http to 127.0.0.1"), "{}", installed.notes);
        world.kubectl(&["create", "namespace", "build"], None).await;
        refreshes(&world, &installed, "build").await;
        println!("cluster scope, namespace build:\n{}", installed.can_i(&world.plane, "build").await.unwrap());
        stays(&world, &installed).await;
    });
}

/// What holds tokens outlives the release, and the same release goes on from there.
async fn stays(world: &World, installed: &Installed) {
    let own = installed.namespace.as_str();
    let chains = ["elastic", "oauth2"];
    installed.uninstall(&world.plane).await.unwrap();
    for (namespace, what) in [
        (own, "secret/refreshable-token-operator-key"),
        (own, "lease/refreshable-token-operator"),
        ("build", "secret/oauth2-state"),
        ("build", "rtok/oauth2"),
    ] {
        world.kubectl(&["get", what, "-n", namespace], None).await;
    }
    let again = Installed::new(&world.plane, &installed.release, own, LOOPBACK).await.unwrap();
    let _operator = again.start(&world.plane, Path::new(PROGRAM)).await.unwrap();
    for name in chains {
        world.refreshed("build", name, 3).await;
    }
    assert_eq!(world.issuer.double_spends(), 0);
}

#[test]
fn in_namespaced_scope_nothing_outside_can_be_read() {
    run(async {
        let world = World::new(&[]).await;
        for namespace in ["deploy", "foreign"] {
            world.kubectl(&["create", "namespace", namespace], None).await;
        }
        world.kubectl(&["create", "secret", "generic", "foreign", "-n", "foreign", "--from-literal=a=b"], None).await;
        let values = rolling() + "watchNamespaces: [deploy]\nrbac: {secretsWatch: false}\n";
        let installed = Installed::new(&world.plane, "rtn", "tokens", &values).await.unwrap();
        refreshes(&world, &installed, "deploy").await;
        for namespace in ["deploy", "tokens", "foreign"] {
            println!("namespaced scope, namespace {namespace}:\n{}", installed.can_i(&world.plane, namespace).await.unwrap());
        }
        for tried in [
            &["get", "secret/foreign", "-n", "foreign"][..],
            &["get", "secrets", "-n", "foreign"],
            &["get", "secrets", "-n", "deploy"],
            &["get", "secrets", "--all-namespaces"],
            &["get", "configmaps", "-n", "foreign"],
            &["get", "rtok", "--all-namespaces"],
            &["get", "rtok", "-n", "foreign"],
            &["get", "secrets", "-n", "kube-system"],
            &["get", "namespace/foreign"],
            &["get", "configmaps", "-n", "tokens"],
            &["create", "secret", "generic", "x", "-n", "foreign"],
            &["delete", "lease/other", "-n", "tokens"],
            &["get", "crd"],
            &["create", "token", "default", "-n", "deploy"],
            &["get", "pods", "-n", "deploy"],
        ] {
            let answer = world.kubectl_as(&installed.kubeconfig, tried, None).await;
            assert!(!answer.status.success() && answer.stderr.to_lowercase().contains("forbidden"), "{tried:?}: {answer:?}");
        }
    });
}
