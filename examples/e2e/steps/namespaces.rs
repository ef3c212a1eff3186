//! An installation for one namespace, and what either scope may do.

use anyhow::{Context as _, ensure};
use testbed::issuer::Api as Kind;

use super::{check, install, life};
use crate::helm::Release;
use crate::judge::holds_newest;
use crate::suite::{MAIN, NAMESPACE, Suite};
use crate::table::Table;

const SCOPED: Release = Release { name: "scoped", namespace: "scoped-system" };
const INSIDE: &str = "team-a";
const OUTSIDE: &str = "team-b";

/// What the operator of `team-a` must not be able to do: the words after `kubectl`.
const FORBIDDEN: [&[&str]; 9] = [
    &["-n", OUTSIDE, "get", "secret", "oauth2-seed"],
    &["-n", OUTSIDE, "get", "secrets"],
    &["-n", OUTSIDE, "get", "rtok"],
    &["-n", OUTSIDE, "get", "configmap", "issuer-ca"],
    &["-n", NAMESPACE, "get", "secret", "jfrog-access-state"],
    &["-n", MAIN.namespace, "get", "secret", "refreshable-token-operator-key"],
    &["get", "secrets", "--all-namespaces"],
    &["-n", OUTSIDE, "delete", "secret", "oauth2-seed"],
    &["-n", OUTSIDE, "create", "secret", "generic", "planted"],
];

/// The main release makes room for one that looks after `team-a` only: that one refreshes there, and can read nothing elsewhere.
pub async fn namespaces(suite: &mut Suite, table: &mut Table) -> anyhow::Result<Vec<String>> {
    suite.helm.remove(MAIN).await?;
    suite.place.gone(MAIN).await?;
    let tokens = [suite.token(INSIDE, "oauth2", Kind::Oauth2), suite.token(OUTSIDE, "oauth2", Kind::Oauth2)];
    for token in &tokens {
        install::prepare(suite, token.namespace).await?;
        suite.kubectl(&["apply", "-f", "-"], Some(&install::manifest(suite, token))).await?;
    }
    // The CRD belongs to the other release, which left it.
    let values = suite.values(&format!("watchNamespaces: [{INSIDE}]\ncrds: {{enabled: false}}\n"));
    let arguments = [&["--create-namespace"], suite.place.helm_arguments()].concat();
    suite.helm.put("install", SCOPED, &values, &arguments).await?;
    suite.place.settle(SCOPED).await?;
    let tested = check::passes(suite, SCOPED, &format!("in namespace {INSIDE}")).await?;
    let [inside, outside] = &tokens;
    suite.refreshed(inside, 1).await?;
    suite.ask(inside).await?;
    suite.refreshed(inside, 2).await?;
    holds_newest(suite, inside).await?;
    ensure!(suite.issuer.presented(outside.seed.refresh()) == 0, "the token of {OUTSIDE} was sent");

    let user = SCOPED.user();
    for words in FORBIDDEN {
        let arguments = [words, &["--as", &user]].concat();
        let output = suite.place.plane().kubectl(&arguments, None).await?;
        let refused = !output.status.success() && output.stderr.to_lowercase().contains("forbidden");
        ensure!(refused, "kubectl {}: {output:?}", arguments.join(" "));
    }
    for namespace in [INSIDE, OUTSIDE] {
        let list = may(suite, namespace, &user).await?;
        table.append(&format!("kubectl auth can-i --list -n {namespace} --as {user}    (watchNamespaces: [{INSIDE}])"), &list);
    }
    suite.helm.remove(SCOPED).await?;
    suite.place.gone(SCOPED).await?;
    suite.kubectl(&["delete", "namespace", INSIDE, OUTSIDE, "--wait=false"], None).await?;
    life::again(suite).await?;
    suite.refresh_all().await?;
    Ok(vec![
        tested,
        format!("watchNamespaces: [{INSIDE}]: {} refreshes there, none in {OUTSIDE}", suite.issuer.refreshes(inside.seed.chain)),
        format!(
            "{} of {} tries of its ServiceAccount to read or write elsewhere are forbidden",
            FORBIDDEN.len(),
            FORBIDDEN.len()
        ),
    ])
}

/// What the main release may do, as kubectl prints it.
pub async fn permissions(suite: &mut Suite, table: &mut Table) -> anyhow::Result<Vec<String>> {
    let user = MAIN.user();
    let mut lines = Vec::new();
    for namespace in [NAMESPACE, MAIN.namespace] {
        let list = may(suite, namespace, &user).await?;
        let secrets = list.lines().find(|line| line.starts_with("secrets ")).context("no line about Secrets")?;
        let verbs = secrets.rsplit_once('[').map_or(secrets, |(_, verbs)| verbs).trim_end_matches(']');
        lines.push(format!("Secrets in {namespace}: {verbs}"));
        table.append(&format!("kubectl auth can-i --list -n {namespace} --as {user}    (all namespaces)"), &list);
    }
    for words in [&["get", "pods"][..], &["create", "serviceaccounts/token"], &["escalate", "clusterroles"], &["get", "nodes"]] {
        let arguments = [&["auth", "can-i"], words, &["-n", NAMESPACE, "--as", &user]].concat();
        let output = suite.place.plane().kubectl(&arguments, None).await?;
        ensure!(output.stdout.trim() == "no", "kubectl {}: {}", arguments.join(" "), output.stdout);
    }
    lines.push("no Pods, no tokens of ServiceAccounts, no roles, no nodes; the lists are below".into());
    Ok(lines)
}

/// What kubectl prints, without the addresses that every user may read (`system:discovery`, `system:public-info-viewer`).
async fn may(suite: &Suite, namespace: &str, user: &str) -> anyhow::Result<String> {
    let list = suite.kubectl(&["auth", "can-i", "--list", "-n", namespace, "--as", user], None).await?;
    Ok(list.lines().filter(|line| !line.contains("[/")).collect::<Vec<_>>().join("\n"))
}
