//! What is shown of objects: right, at once, and gone with them.

use std::process::Stdio;
use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::json;
use testbed::issuer::{Api as Kind, Fault, Rule};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::{Scrape, get, shown};
use crate::world::test;

#[test]
fn gauges_say_what_the_status_says_and_vanish_with_the_object() {
    test("metrics-gauges", |scene| async move {
        scene.begun("a").await;
        let object = scene.healthy("a").await;
        let status = object.status.unwrap();
        let token = status.token.unwrap();
        let scrape = shown(scene, "ready", |scrape| {
            let provider = ",provider=\"jfrogAccess\"";
            (scrape.get(scene, "ready", "a", provider) == Some(1.0)).then(|| Scrape(scrape.0.clone()))
        })
        .await;
        let gauge = |metric| scrape.get(scene, metric, "a", "");
        let seconds =
            |time: Option<chrono::DateTime<chrono::Utc>>| time.map(|time| f64::from(i32::try_from(time.timestamp()).unwrap()));
        assert_eq!(gauge("expiration_timestamp_seconds"), seconds(token.expiration_time));
        assert_eq!(gauge("issued_timestamp_seconds"), seconds(token.issued_time));
        assert_eq!(gauge("next_refresh_timestamp_seconds"), seconds(status.next_refresh_time));
        assert_eq!(gauge("refresh_token_expiration_timestamp_seconds"), seconds(token.refresh_token_expiration_time));
        assert_eq!((gauge("suspended"), gauge("consecutive_failures")), (Some(0.0), Some(0.0)));
        assert_eq!(scrape.get(scene, "stalled", "a", ",reason=\"\""), Some(0.0));
        assert_eq!(scrape.0.get("refreshabletoken_leader"), Some(&1.0), "without an election each replica works");

        scene.objects().delete("a", &DeleteParams::default()).await.unwrap();
        shown(scene, "nothing of a deleted object", |scrape| scrape.about(scene, "a").is_empty().then_some(())).await;
    });
}

#[test]
fn refreshes_are_counted_by_result_and_trigger() {
    test("metrics-counts", |scene| async move {
        let (mut object, pair) = scene.begun("a").await;
        let count = |result: &str, trigger: &str, wanted: f64| {
            let labels = format!(",result=\"{result}\",trigger=\"{trigger}\"");
            let what = format!("{wanted}{labels}");
            async move { shown(scene, &what, |s| (s.get(scene, "refreshes_total", "a", &labels) == Some(wanted)).then_some(())).await }
        };
        count("success", "seed", 1.0).await;
        scene.force("a", "now").await;
        count("success", "manual", 1.0).await;
        object["spec"]["request"]["description"] = json!("another");
        scene.put(&object).await;
        count("success", "spec", 1.0).await;
        let refusal = Fault::Status { code: 503, headers: Vec::new(), body: String::new(), process: false };
        scene.world.issuer.arm(Rule::once(refusal).chain(pair.chain));
        scene.force("a", "again").await;
        shown(scene, "a refusal", |s| {
            s.0.get("refreshabletoken_provider_request_duration_seconds_count{provider=\"jfrogAccess\",operation=\"refresh\",code=\"503\"}").copied()
        })
        .await;
    });
}

#[test]
fn durations_and_writes_are_counted() {
    test("metrics-durations", |scene| async move {
        scene.begun("a").await;
        for series in [
            "provider_request_duration_seconds_count{provider=\"jfrogAccess\",operation=\"refresh\",code=\"200\"}",
            "propagation_delay_seconds_count",
            "reconcile_duration_seconds_count{controller=\"refreshabletoken\",result=\"success\"}",
            "secret_writes_total{operation=\"create\",result=\"success\"}",
            "secret_writes_total{operation=\"update\",result=\"success\"}",
        ] {
            let counted =
                |scrape: &Scrape| scrape.0.get(&format!("refreshabletoken_{series}")).copied().filter(|count| *count > 0.0);
            shown(scene, series, counted).await;
        }
    });
}

#[test]
fn a_lost_chain_and_an_unknown_outcome_show_within_five_seconds() {
    test("metrics-lost", |scene| async move {
        let (_, unknown) = scene.begun("unknown").await;
        let lost = scene.token(Kind::Oauth2, "lost").await;
        scene.refreshed("lost", 1).await;
        let issuer = &scene.world.issuer;
        issuer.arm(Rule::once(Fault::DropAnswer { reset: true }).chain(unknown.chain));
        issuer.revoke_chain(lost.chain);
        for (name, reason, result) in [("unknown", "RefreshOutcomeUnknown", "unknown"), ("lost", "ChainLost", "error")] {
            scene.force(name, "now").await;
            scene.stalled(name, reason).await;
            let begun = Instant::now();
            let labels = format!(",reason=\"{reason}\"");
            shown(scene, reason, |s| (s.get(scene, "stalled", name, &labels) == Some(1.0)).then_some(())).await;
            let labels = format!(",result=\"{result}\",trigger=\"manual\"");
            shown(scene, result, |s| (s.get(scene, "refreshes_total", name, &labels) == Some(1.0)).then_some(())).await;
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    });
}

#[test]
fn both_formats_are_well_formed() {
    test("metrics-formats", |scene| async move {
        scene.begun("a").await;
        let address = scene.world.metrics();
        let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2")];
        let (status, content_type, text) = get(address, "/metrics", &accept).await;
        assert_eq!((status, content_type.as_str()), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
        assert!(text.ends_with("# EOF\n") && text.contains("# TYPE refreshabletoken_refreshes counter\n"));
        let (_, _, text) = get(address, "/metrics", &[]).await;
        assert!(text.contains("# TYPE refreshabletoken_refreshes_total counter\n") && !text.contains("EOF"));
        match promtool(&text).await {
            Some((true, _)) => {}
            Some((false, said)) => panic!("promtool: {said}"),
            None => println!("skipped: there is no promtool"),
        }
    });
}

/// What `promtool check metrics` makes of a text; none if there is no promtool.
async fn promtool(text: &str) -> Option<(bool, String)> {
    let mut command = tokio::process::Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success() && said.is_empty(), String::from_utf8_lossy(&said).into_owned()))
}
