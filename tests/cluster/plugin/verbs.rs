//! Each verb, and what it prints.

use serde_json::json;
use testbed::issuer::{Fault, Pair, Rule};
use tokio::process::Command;

use super::{PLUGIN, Plugin, deployment};
use crate::world::{Scene, test};

#[test]
fn looking_shows_what_is_and_why_and_no_token() {
    test("plugin-look", |scene| async move {
        scene.begun("ci").await;
        deployment(scene, "ci-token", "ci-token").await;
        let plugin = Plugin::new(scene);
        status(&plugin).await;
        explain(&plugin).await;
        consumers(&plugin).await;
        inspect(&plugin).await;
        plugin.call("events ci").await.says(0, &["SeedAdopted", "plugin-look/ci"]);
        assert_eq!(plugin.call("events nobody").await.says(0, &[]).lines().count(), 1, "a heading only");
        // The test of the Lease leaves one in the same cluster.
        let doctor = plugin.call("doctor --operator-namespace plugin-look").await;
        let said = ["API server", "within 5 s", "every field and rule", "all that the plug-in does", "there is no Lease"];
        doctor.says(0, &said);
        doctor.says(0, &["Deployment/web uses ci-token by env and sees no new token"]);
        doctor.says(0, &["token API of plugin-look/ci", "from this machine, 127.0.0.1:", "without TLS, as its URL says"]);
        plugin.call("version").await.says(0, &[env!("CARGO_PKG_VERSION"), "API server     v1.", "every field and rule"]);
        assert_eq!(plugin.call("version -o json").await.parsed()["crd"]["fits"], true);
        plugin.call("__complete -- -n plugin-look status c").await.says(0, &["ci\n:4\n"]);
        plugin.printed_no_token(&[]);
    });
}

async fn status(plugin: &Plugin<'_>) {
    let table = plugin.call("status").await;
    table.says(0, &["NAME   READY   REASON       EXPIRES", "ci     True    TokenFresh   in "]);
    assert!(!table.out.contains('\u{1b}'), "colours without a terminal");
    plugin.call("status -o wide --no-headers").await.says(0, &["jfrogAccess   1   1   false"]);
    let object = plugin.call("status ci -o json").await.parsed();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("RefreshableToken"), &json!("ci")));
    assert!(object["metadata"]["managedFields"].is_null());
    assert_eq!(plugin.call("status -o yaml").await.parsed()["items"][0]["status"]["chainGeneration"], 1);
    assert_eq!(plugin.call("status -o name").await.out, "refreshabletoken.refreshabletoken.io/ci\n");
    let page = plugin.call("status rtok/ci").await;
    page.says(0, &["plugin-look/ci   Ready=True TokenFresh", "before the expiry", "earlier by jitter", "SeedAdopted"]);
    page.says(0, &["used by Deployment/web (volume), Deployment/web (env: sees no new value)", "What to do: nothing"]);
    let missing = ["error: RefreshableToken plugin-look/nobody: ", "not found", "plugin-look/ci   Ready=True"];
    plugin.call("status nobody ci").await.says(1, &missing);
    plugin.call("status -l team=nobody").await.says(0, &["No resources found in plugin-look namespace."]);
    plugin.call("status ../secrets/x").await.says(2, &["the name of a RefreshableToken"]);
}

async fn explain(plugin: &Plugin<'_>) {
    let table = plugin.call("explain ci").await;
    table.says(0, &["each refresh token works once", "1h  ", "the last third of the lifetime", "as scheduled"]);
    table.says(0, &["now: wait in ", "the next refresh is due then"]);
    let lines = plugin.call("explain ci -o json").await.parsed();
    let decisions = lines["decisions"].as_array().unwrap();
    let next = decisions.iter().find(|line| line["decision"] == "next refresh").unwrap()["value"].as_str().unwrap().to_owned();
    let (time, _) = next.split_once(' ').unwrap();
    plugin.call(&format!("explain ci --at {time}")).await.says(0, &[": refresh", "the next refresh is due"]);
    plugin.call("explain ci --outage 5m").await.says(0, &["yes", "no refresh falls into it"]);
    plugin.call("explain --outage 3h").await.says(1, &["no valid token for"]);
    plugin.call("explain").await.says(0, &["plugin-look/ci   TokenFresh", "as scheduled"]);
    let all = plugin.call("explain -o yaml").await.parsed();
    assert_eq!(all["objects"][0]["object"], "plugin-look/ci");
}

async fn consumers(plugin: &Plugin<'_>) {
    let table = plugin.call("consumers ci").await;
    table.says(1, &["Deployment/web   web-5d-x   volume   web     yes, within about 90 s", "never: it must be restarted"]);
    let json = plugin.call("consumers ci -o json").await.parsed();
    let ways: Vec<_> = json["consumers"].as_array().unwrap().iter().map(|one| (&one["way"], &one["followsChanges"])).collect();
    assert_eq!(ways, [(&json!("volume"), &json!(true)), (&json!("env"), &json!(false))]);
    assert_eq!(plugin.call("consumers ci -o name").await.out, "pod/web-5d-x\n");
}

async fn inspect(plugin: &Plugin<'_>) {
    let table = plugin.call("inspect ci --show-claims").await;
    table.says(0, &["seed     ci-seed", "state    ci-state", "output   ci-token   Opaque   access_token", "expires_at"]);
    let json = plugin.call("inspect ci --show-claims -o json").await.parsed();
    assert_eq!(json["secrets"][2]["keys"][0][0], "access_token");
    plugin.call("inspect ci --reveal").await.says(2, &["--reveal shows secrets: only on a terminal"]);
    // On a terminal it does; `script` (bsdutils, essential in Debian) is one.
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{PLUGIN} -n plugin-look inspect ci --reveal"), "/dev/null"]);
    command.env("KUBECONFIG", plugin.scene.world.plane.kubeconfig_path());
    let revealed = command.output().await.unwrap();
    let token = plugin.scene.value("ci-token", "access_token").await.unwrap();
    assert!(String::from_utf8(revealed.stdout).unwrap().contains(&token), "a person at a terminal asked for it");
}

#[test]
fn acting_reaches_the_operator_and_its_end_is_told() {
    test("plugin-act", |scene| async move {
        let (_, pair) = scene.begun("ci").await;
        let plugin = Plugin::new(scene);
        plugin.call("refresh ci --wait").await.says(0, &["plugin-act/ci: refreshed, number 2, expires "]);
        assert_eq!(scene.status("ci").await.chain_generation, Some(2));
        plugin.call("refresh -l team=nobody").await.says(1, &["there is no such RefreshableToken"]);
        plugin.call("refresh").await.says(2, &["required"]);
        plugin.call("suspend ci").await.says(0, &["plugin-act/ci: suspended"]);
        plugin.call("suspend ci nobody").await.says(1, &["was suspended already", "not found"]);
        plugin.call("wait ci --for refreshed").await.says(1, &["suspended: kubectl rtok resume ci -n plugin-act"]);
        plugin.call("refresh --all --wait").await.says(1, &["suspended, so it is not refreshed"]);
        plugin.call("resume --all").await.says(0, &["plugin-act/ci: resumed"]);
        plugin.call("wait ci").await.says(0, &["plugin-act/ci: ready: TokenFresh"]);
        plugin.call("wait ci --for refreshed --timeout 1s").await.says(1, &["not within 1s; TokenFresh"]);
        plugin.call("refresh --all").await.says(0, &["refresh asked for"]);
        scene.refreshed("ci", 3).await;
        refused(&plugin, &pair).await;
        reseed(&plugin).await;
        scene.never_twice(&pair);
        plugin.printed_no_token(&[]);
    });
}

/// A refresh that the API refuses, for a reason that somebody has to mend.
async fn refused(plugin: &Plugin<'_>, pair: &Pair) {
    let fault = Fault::Status { code: 403, headers: Vec::new(), body: "{}".to_owned(), process: false };
    plugin.scene.world.issuer.arm(Rule::once(fault).chain(pair.chain));
    plugin.call("refresh ci --wait").await.says(1, &["plugin-act/ci: ConfigurationRejected: "]);
    plugin.call("status").await.says(0, &["ci     True"]);
    plugin.call("status ci").await.says(0, &["What to do: mend what the message names"]);
    plugin.call("doctor").await.says(1, &["FAILED", "ConfigurationRejected"]);
}

/// A new chain from each source, and what cannot begin one.
async fn reseed(plugin: &Plugin<'_>) {
    let scene = plugin.scene;
    plugin.call_with("reseed ci --stdin", Some("canary-first\ncanary-second\n")).await.says(2, &["holds a line break"]);
    plugin
        .call_with("reseed ci --stdin", Some(r#"{"access_token": "canary-only-half"}"#))
        .await
        .says(2, &["begins a chain with the refresh_token"]);
    let second = scene.hour("second").await;
    let answer = json!({"access_token": second.access_token, "refresh_token": second.refresh_token, "expires_in": 3600});
    let told = ["holds a new seed (access_token, refresh_token)", "plugin-act/ci: ready: TokenFresh"];
    plugin.call_with("reseed ci --stdin --wait", Some(&answer.to_string())).await.says(0, &told);
    scene.holds_newest("ci", &second).await;
    let third = scene.hour("third").await;
    let refresh = plugin.file("refresh", &format!("{}\n", third.refresh()));
    let access = plugin.file("access", &third.access_token);
    let line =
        format!("reseed ci --wait --from-file refresh_token={} --from-file access_token={}", refresh.display(), access.display());
    plugin.call(&line).await.says(0, &["plugin-act/ci: ready"]);
    scene.holds_newest("ci", &third).await;
    for pair in [&second, &third] {
        scene.never_twice(pair);
    }
    for path in [refresh, access] {
        std::fs::remove_file(path).unwrap();
    }
    plugin.printed_no_token(&["canary-first", "canary-second", "canary-only-half"]);
}

#[test]
fn a_watch_shows_each_change_and_ends_with_its_reader() {
    test("plugin-watch", |scene| async move {
        scene.begun("ci").await;
        let plugin = Plugin::new(scene);
        let watch = |more: &str| {
            let mut command = Command::new("bash");
            command.args(["-c", &format!("timeout 30 {PLUGIN} -n plugin-watch status --watch {more}")]);
            command.env("KUBECONFIG", plugin.scene.world.plane.kubeconfig_path());
            command
        };
        let changes = async {
            for number in 0..10 {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                let change = format!("change={number}");
                scene.kubectl(&["annotate", "rtok", "ci", &change, "--overwrite"], None).await.checked().unwrap();
            }
        };
        // The second page ends the reader, and the third one the watch.
        let two = "-o yaml | awk '{ print } /^---$/ { exit }'; exit ${PIPESTATUS[0]}";
        let (called, ()) = tokio::join!(plugin.run("status --watch", watch(two), None), changes);
        called.says(0, &["kind: List", "name: ci", "---"]);
    });
}

#[test]
fn what_is_wrong_is_found_and_said_with_what_to_do() {
    test("plugin-wrong", |scene| async move {
        let plugin = Plugin::new(scene);
        plugin.call("doctor --operator-namespace plugin-wrong").await.says(0, &["there is no RefreshableToken here"]);
        foreign(scene).await;
        let doctor = plugin.call("doctor").await;
        doctor.says(1, &["FAILED", "OutputConflict", "ci-token belongs to somebody else and is not touched"]);
        plugin.call("status").await.says(1, &["ci     False   "]);
        plugin.call("status ci").await.says(1, &["What to do: delete the Secret, or choose another secretName"]);
        plugin.call("wait ci").await.says(1, &["plugin-wrong/ci: OutputConflict: "]);
        let findings = plugin.call("doctor -o yaml").await.parsed();
        assert!(findings["findings"].as_array().unwrap().iter().any(|finding| finding["grade"] == "failed"), "{findings}");
        unreachable(&plugin).await;
        permissions(&plugin).await;
    });
}

/// An object whose output belongs to somebody else.
async fn foreign(scene: Scene<'_>) {
    let pair = scene.hour("ci").await;
    scene.kubectl(&["create", "secret", "generic", "ci-token", "--from-literal=a=b"], None).await.checked().unwrap();
    scene.put_seed("ci", &crate::manifest::keys(&pair)).await;
    scene.put(&scene.access("ci", "1h")).await;
    scene.stalled("ci", "OutputConflict").await;
}

/// No API server, and no kubeconfig that names one.
async fn unreachable(plugin: &Plugin<'_>) {
    let yaml = plugin.scene.world.plane.kubeconfig_yaml().replace(plugin.scene.world.plane.url(), "https://127.0.0.1:1");
    let nowhere = plugin.file("nowhere.yaml", &yaml);
    for verb in ["status", "doctor", "refresh ci", "version"] {
        let called = plugin.call(&format!("{verb} --kubeconfig {}", nowhere.display())).await;
        called.says(3, &["the API server cannot be reached"]);
    }
    let broken = plugin.file("broken.yaml", "users: [{name: a, user: {token: canary-of-the-kubeconfig\n");
    let called = plugin.call(&format!("status --kubeconfig {}", broken.display())).await;
    called.says(2, &["the kubeconfig is not YAML"]);
    assert!(!called.err.contains("canary"), "{called:?}");
    plugin.call("status --context nobody").await.says(2, &["the kubeconfig cannot be used"]);
}

/// As somebody who may look at tokens and nothing else.
async fn permissions(plugin: &Plugin<'_>) {
    let scene = plugin.scene;
    let role = ["create", "role", "viewer", "--verb=get,list", "--resource=refreshabletokens.refreshabletoken.io"];
    scene.kubectl(&role, None).await.checked().unwrap();
    scene.kubectl(&["create", "rolebinding", "viewer", "--role=viewer", "--user=viewer"], None).await.checked().unwrap();
    let page = plugin.call("status ci --as viewer").await;
    page.says(1, &["OutputConflict", "Pods may not be listed", "Events cannot be read"]);
    plugin.call("explain ci --as viewer").await.says(0, &["The Secrets may not be read here"]);
    plugin.call("status --watch --as viewer").await.says(1, &["the watch", "is forbidden"]);
    plugin.call("inspect ci --as viewer").await.says(1, &["secrets \"ci-seed\" is forbidden"]);
    plugin.call("refresh ci --as viewer").await.says(1, &["is forbidden"]);
    plugin.call("doctor --as viewer").await.says(1, &["you may not", "patch refreshabletokens (for refresh, suspend, resume)"]);
}
