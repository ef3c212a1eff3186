//! `helm test`: that it says yes where all is well, and what is missing where something is.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::helm::Release;
use crate::suite::{MAIN, Suite};

/// What is taken away for a while: without it nothing can be claimed.
const VERB: &str = "update";

/// Once as installed, and once with a permission taken away, which must fail and name just that one.
pub async fn check(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    let good = passes(suite, MAIN, "everywhere").await?;
    let place = take(suite).await?;
    let checked = suite.place.check(MAIN, &suite.helm).await;
    give_back(suite, &place).await?;
    let checked = checked?;
    let wanted = format!("FAILED  may not {VERB} secrets everywhere: grant it by a Role or ClusterRole");
    ensure!(!checked.good && findings(&checked.log, "FAILED") == [wanted.as_str()], "without {VERB} of Secrets: {checked:?}");
    Ok(vec![
        good,
        format!("without the permission to {VERB} Secrets it fails, and says: {}", wanted.trim_start_matches("FAILED  ")),
    ])
}

/// Fails unless `helm test` finds all well; the log has to say that Secrets may be written at `place`.
pub async fn passes(suite: &Suite, release: Release, place: &str) -> anyhow::Result<String> {
    let checked = suite.place.check(release, &suite.helm).await?;
    let (good, bad) = (findings(&checked.log, "ok"), findings(&checked.log, "FAILED"));
    let secrets = good.iter().any(|line| line.contains(&format!(" {VERB}, ")) && line.ends_with(&format!(" secrets {place}")));
    ensure!(checked.good && bad.is_empty() && secrets, "helm test {}: {checked:?}", release.name);
    Ok(format!("helm test {}: {} things looked at, each as it should be", release.name, good.len()))
}

/// The lines about what was looked at that begin so.
fn findings<'a>(log: &'a str, start: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.split_once("  ").is_some_and(|(first, _)| first == start)).collect()
}

/// Takes the permission away, and says where in the role it stood.
async fn take(suite: &Suite) -> anyhow::Result<String> {
    let role: Value =
        serde_json::from_str(&suite.kubectl(&["get", "clusterrole", &MAIN.full_name(), "-o", "json"], None).await?)?;
    let rules = role.get("rules").and_then(Value::as_array).context("the role has no rules")?;
    let at = rules.iter().position(|rule| rule.get("resources") == Some(&json!(["secrets"]))).context("no rule for Secrets")?;
    let verbs = role.pointer(&format!("/rules/{at}/verbs")).and_then(Value::as_array).context("no verbs")?;
    let verb = verbs.iter().position(|verb| verb == VERB).with_context(|| format!("no {VERB} of Secrets"))?;
    let place = format!("/rules/{at}/verbs/{verb}");
    patch(suite, &json!([{"op": "test", "path": place, "value": VERB}, {"op": "remove", "path": place}])).await?;
    may(suite, "no").await?;
    Ok(place)
}

async fn give_back(suite: &Suite, place: &str) -> anyhow::Result<()> {
    patch(suite, &json!([{"op": "add", "path": place, "value": VERB}])).await?;
    may(suite, "yes").await
}

async fn patch(suite: &Suite, patch: &Value) -> anyhow::Result<()> {
    suite.kubectl(&["patch", "clusterrole", &MAIN.full_name(), "--type=json", "-p", &patch.to_string()], None).await?;
    Ok(())
}

/// Waits until the API server, which keeps roles in a cache, answers so.
async fn may(suite: &Suite, wanted: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let user = MAIN.user();
    loop {
        let asked = ["auth", "can-i", VERB, "secrets", "--all-namespaces", "--as", &user];
        if suite.place.plane().kubectl(&asked, None).await?.stdout.trim() == wanted {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "the API server does not say {wanted} within 30 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
