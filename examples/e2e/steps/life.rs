//! Upgrade and uninstallation.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use testbed::issuer::{Api as Kind, Delivery, Fault, Presentation, Rule};
use tokio::time::Instant;

use crate::judge::holds_newest;
use crate::suite::{MAIN, NAMESPACE, Suite, pod_of};

/// How long the issuer keeps an answer back: longer than the roll-out takes, shorter than the operator waits (30 s). Our choice.
const HELD: Duration = Duration::from_secs(20);

/// `helm upgrade` while the issuer has taken a refresh token and not answered yet.
pub async fn upgrade(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    let token = suite.tokens.iter().find(|token| token.kind == Kind::JfrogAccess).context("no token of JFrog Access")?;
    let chain = token.seed.chain;
    let before = suite.issuer.refreshes(chain);
    let held = Fault::Delay { before_ms: 0, answer_ms: u64::try_from(HELD.as_millis())? };
    suite.issuer.arm(Rule::once(held).on(Kind::JfrogAccess).chain(chain));
    suite.ask(token).await?;
    let call =
        wait(suite, "the issuer has the token", |call| call.chain == Some(chain) && call.delivery == Delivery::Pending).await?;
    let open =
        suite.kubectl(&["-n", NAMESPACE, "get", "rtok", "jfrog-access", "-o", "jsonpath={.status.attempt.state}"], None).await?;
    ensure!(!open.is_empty(), "the object names no attempt while the call is under way");
    let leader = suite.leader(MAIN, None).await?;

    let begun = Instant::now();
    let values = suite.values("podAnnotations: {e2e.example.com/upgraded: \"1\"}\n");
    suite.helm.put("upgrade", MAIN, &values, suite.place.helm_arguments()).await?;
    let mut lines = suite.place.settle(MAIN).await?;
    let took = begun.elapsed();
    let told = suite.place.ending(MAIN, pod_of(&leader)).await?;
    let next = suite.leader(MAIN, Some(&leader)).await?;
    let ended =
        wait(suite, "the answer is out", |other| other.number == call.number && other.delivery != Delivery::Pending).await?;
    ensure!(ended.delivery == Delivery::Delivered, "the answer was {:?}: who had asked was gone", ended.delivery);
    ensure!(pod_of(&next) != pod_of(&leader), "{} still leads: it was not replaced", pod_of(&leader));
    for token in &suite.tokens {
        holds_newest(suite, token).await?;
    }
    ensure!(suite.issuer.refreshes(chain) > before, "the issuer counts no further refresh");
    suite.refresh_all().await?;
    lines.insert(
        0,
        format!(
            "helm upgrade ({:.1} s) with a call under way (attempt {open}), its answer held back for {} s: {} {told} and finished it, {} went on",
            took.as_secs_f64(),
            HELD.as_secs(),
            pod_of(&leader),
            pod_of(&next),
        ),
    );
    Ok(lines)
}

/// `helm uninstall` leaves what holds tokens; after `helm install` the chains go on where they were.
pub async fn reinstall(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    let mut before = Vec::new();
    for token in &suite.tokens {
        before.push(suite.generation(token).await?);
    }
    let secrets = names(suite).await?;
    let begun = Instant::now();
    suite.helm.remove(MAIN).await?;
    suite.place.gone(MAIN).await?;
    let removed = begun.elapsed().as_secs_f64();
    suite.kubectl(&["get", "crd", "refreshabletokens.refreshabletoken.io"], None).await?;
    let left = names(suite).await?;
    ensure!(left == secrets, "Secrets before: {secrets:?}; after helm uninstall: {left:?}");
    let objects = suite.kubectl(&["-n", NAMESPACE, "get", "rtok", "-o", "name"], None).await?.lines().count();
    ensure!(objects == suite.tokens.len(), "{objects} objects are left");
    let key = ["-n", MAIN.namespace, "get", "secret", "refreshable-token-operator-key", "-o", "name"];
    suite.kubectl(&key, None).await?;
    let begun = Instant::now();
    again(suite).await?;
    let installed = begun.elapsed().as_secs_f64();
    let took = suite.refresh_all().await?.as_secs_f64();
    for (token, before) in suite.tokens.iter().zip(before) {
        let now = suite.generation(token).await?;
        ensure!(now > before, "{}: {before} refreshes before, {now} after", token.name);
    }
    Ok(vec![
        format!(
            "helm uninstall ({removed:.1} s): the CRD, {objects} objects, {} Secrets and the operator's key stay",
            left.len()
        ),
        format!("helm install ({installed:.1} s): every chain goes on from its state, refreshed {took:.1} s later"),
    ])
}

/// Installs the main release once more.
pub async fn again(suite: &mut Suite) -> anyhow::Result<()> {
    let values = suite.values("");
    suite.helm.put("install", MAIN, &values, suite.place.helm_arguments()).await?;
    suite.place.settle(MAIN).await?;
    Ok(())
}

async fn names(suite: &Suite) -> anyhow::Result<Vec<String>> {
    let secrets: Api<Secret> = Api::namespaced(suite.client.clone(), NAMESPACE);
    let list = secrets.list(&kube::api::ListParams::default()).await?;
    Ok(list.items.into_iter().filter_map(|secret| secret.metadata.name).collect())
}

/// Waits for a call that the issuer saw.
async fn wait(suite: &Suite, what: &str, wanted: impl Fn(&Presentation) -> bool) -> anyhow::Result<Presentation> {
    let begun = Instant::now();
    loop {
        if let Some(found) = suite.issuer.log().into_iter().rev().find(&wanted) {
            return Ok(found);
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
