//! A tenant who may change RefreshableTokens gets no token that it may not read, and no Secret written that it may not write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Client;
use serde_json::{Value, json};
use testbed::issuer::Api as Kind;
use tokio::net::TcpListener;

use crate::attempts::{Attempt, How, Who, attempts};
use crate::installed::Installed;
use crate::stage;
use crate::world::{LOOPBACK, PROGRAM, World, object, run};

const USERS: [&str; 4] = ["tenant", "writer", "half", "owner"];

/// Who may do what in the namespace `team`.
async fn grant(world: &World, edit: &str) {
    for user in USERS {
        world
            .kubectl(
                &[
                    "create",
                    "rolebinding",
                    &format!("{user}-edit"),
                    "-n",
                    "team",
                    &format!("--clusterrole={edit}"),
                    &format!("--user={user}"),
                ],
                None,
            )
            .await;
    }
    let rules = |user: &str, rules: Value| {
        let meta = |name: &str| json!({"name": name, "namespace": "team"});
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta(user), "rules": rules});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta(user),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
        format!("{role}\n---\n{binding}\n---\n")
    };
    let secrets = |verbs: &[&str], names: &[&str]| json!({"apiGroups": [""], "resources": ["secrets"], "verbs": verbs, "resourceNames": names});
    let half = json!([
        secrets(&["get"], &["half-seed", "half-state"]),
        secrets(&["create"], &[]),
        secrets(&["update"], &["half-token", "heir-token", "b"]),
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "resourceNames": ["half-web"]}
    ]);
    let all = rules("writer", json!([secrets(&["create", "update", "patch"], &[])]))
        + &rules("half", half)
        + &rules("owner", json!([secrets(&["get", "create", "update"], &[])]));
    world.kubectl(&["apply", "-f", "-"], Some(&all)).await;
}

/// What the tenants are after.
async fn treasures(world: &World) {
    world.token("team", Kind::JfrogAccess, "victim").await;
    world.token("team", Kind::JfrogAccess, "heir").await;
    let shared = json!({"apiVersion": "refreshabletoken.io/v1alpha1", "kind": "TokenProvider", "metadata": {"name": "shared", "namespace": "team"},
        "spec": {"provider": {"oauth2": {"tokenURL": "https://idp.example.com/token"}}}});
    world.kubectl(&["apply", "-f", "-"], Some(&shared.to_string())).await;
    for name in ["database", "client", "half-seed"] {
        world.kubectl(&["create", "secret", "generic", name, "-n", "team", "--from-literal=password=treasure"], None).await;
    }
    world.kubectl(&["label", "secret", "client", "half-seed", "-n", "team", "refreshabletoken.io/role=seed"], None).await;
    for name in ["victim", "heir"] {
        world.refreshed("team", name, 1).await;
    }
    world.kubectl(&["delete", "rtok/heir", "-n", "team"], None).await;
}

/// Counts who connects.
async fn thief() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, connections)
}

/// The answer to an attempt; none if it succeeded.
async fn answer(world: &World, attempt: &Attempt) -> Option<String> {
    let user = match attempt.who {
        Who::Tenant => "tenant",
        Who::Writer => "writer",
        Who::Half => "half",
        Who::Owner => "owner",
    };
    let kubeconfig = world.plane.user(user).unwrap();
    match &attempt.how {
        How::Kubectl(arguments, stdin) => {
            let output = world.kubectl_as(&kubeconfig.path, arguments, stdin.as_deref()).await;
            (!output.status.success()).then(|| output.stderr.trim().replace('\n', " "))
        }
        How::Patch(path, change) => {
            let client = Client::try_from(stage::config(&kubeconfig.yaml).await.unwrap()).unwrap();
            let request = http::Request::patch(*path).header("content-type", "application/merge-patch+json");
            let patched = client.request::<Value>(request.body(change.to_string().into_bytes()).unwrap()).await;
            patched.err().map(|error| match error {
                kube::Error::Api(status) => status.message,
                other => panic!("{other}"),
            })
        }
    }
}

#[test]
fn every_way_to_a_token_or_a_foreign_secret_is_refused() {
    run(async {
        let world = World::new(&USERS).await;
        let installed =
            Installed::new(&world.plane, "rto", "refreshable-token-system", &format!("{LOOPBACK}rollout: {{enabled: true}}\n"))
                .await
                .unwrap();
        let _operator = installed.start(&world.plane, std::path::Path::new(PROGRAM)).await.unwrap();
        world.kubectl(&["create", "namespace", "team"], None).await;
        grant(&world, &format!("{}-edit", installed.name)).await;
        treasures(&world).await;
        let (url, connections) = thief().await;
        // What is allowed is not refused, or the rest proves nothing.
        let half = object("team", "half", "  provider: {oauth2: {tokenURL: \"http://127.0.0.1:9/token\"}}\n");
        let half = half + "  rollout: {targets: [{kind: Deployment, name: half-web}]}\n";
        let half_user = world.plane.user("half").unwrap().path.clone();
        assert!(world.kubectl_as(&half_user, &["create", "-f", "-"], Some(&half)).await.status.success());
        let before = world.secret("team", "database").await;

        let mut let_in = Vec::new();
        for (number, attempt) in attempts(&url).iter().enumerate() {
            let answer = answer(&world, attempt).await;
            println!("{:2} {:?}: {}\n     {}", number + 1, attempt.who, attempt.what, answer.as_deref().unwrap_or("LET IN"));
            if !answer.is_some_and(|answer| answer.contains(attempt.refused)) {
                let_in.push(attempt.what);
            }
        }
        assert_eq!(let_in, Vec::<&str>::new());

        // The operator goes on, and nothing went astray.
        let generation = 3;
        world.refreshed("team", "victim", generation).await;
        assert_eq!(connections.load(Ordering::SeqCst), 0, "somebody called the thief");
        assert_eq!(world.secret("team", "database").await, before);
        assert_eq!(world.issuer.double_spends(), 0);
        shown(&world).await;
        owner(&world).await;
    });
}

/// What the tenant may look at shows no token.
async fn shown(world: &World) {
    let tenant = world.plane.user("tenant").unwrap().path.clone();
    let seen = world.kubectl_as(&tenant, &["get", "rtok", "-n", "team", "-o", "yaml"], None).await.checked().unwrap();
    let events = world.kubectl(&["get", "events", "-n", "team", "-o", "yaml"], None).await;
    let state = world.secret("team", "victim-state").await;
    let tokens: Vec<String> = ["access_token", "refresh_token"]
        .iter()
        .filter_map(|key| state.data.as_ref()?.get(*key))
        .map(|token| String::from_utf8(token.0.clone()).unwrap())
        .collect();
    assert_eq!(tokens.len(), 2);
    for token in tokens {
        assert!(!seen.contains(&token) && !events.contains(&token), "a token is shown");
    }
}

/// Whoever may read and write the Secrets may make the object, with as many outputs as there can be.
async fn owner(world: &World) {
    let owner = world.plane.user("owner").unwrap().path.clone();
    let mut large = object("team", "owned", "  provider: {oauth2: {tokenURL: \"http://127.0.0.1:9/token\"}}\n");
    large.extend((1..20).map(|number| format!("  - {{secretName: owned-{number}, opaque: {{}}}}\n")));
    world.kubectl_as(&owner, &["create", "-f", "-"], Some(&large)).await.checked().unwrap();
    // And each of the twenty counts, for somebody who may not write all.
    let writes_few = world.plane.user("half").unwrap().path.clone();
    let patch = r#"{"spec":{"suspend":true}}"#;
    let answer = world.kubectl_as(&writes_few, &["patch", "rtok/owned", "-n", "team", "--type=merge", "-p", patch], None).await;
    assert!(answer.stderr.contains("may not get Secret owned-seed"), "{answer:?}");
    // A wish for a refresh, a label: nothing that the Secrets' rights have to do with.
    let annotate = ["annotate", "rtok/owned", "-n", "team", "refreshabletoken.io/refresh-requested-at=now"];
    world.kubectl_as(&writes_few, &annotate, None).await.checked().unwrap();
}
