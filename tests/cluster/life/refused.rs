//! Answers that prove that nothing was spent: each is told by its reason, and the next try comes when it should.

use std::time::Duration;

use chrono::TimeDelta;
use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use testbed::issuer::{Api as Kind, Fault, Rule};

use crate::manifest::{client_keys, elastic, keys, oauth2};
use crate::sight::{Kstatus, kstatus};
use crate::world::test;

fn answer(code: u16, headers: &[(&str, &str)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { code, headers, body: String::new(), process: false }
}

#[test]
fn wrong_client_credentials_are_told_and_mended_at_once() {
    test("refused-client", |scene| async move {
        let pair = scene.pair(Kind::Oauth2, "a", Duration::from_secs(30)).await;
        scene.put_seed("a", &client_keys(&pair, "wrong")).await;
        scene.put(&scene.manifest("a", oauth2(&scene.world.issuer))).await;
        let object = scene.stalled("a", "ConfigurationRejected").await;
        assert_eq!(kstatus(&object), Kstatus::Failed);
        assert_eq!(scene.world.issuer.refreshes(pair.chain), 0, "nothing was spent");
        let calls = scene.calls(&pair);
        scene.quiet(&pair, 2).await;
        scene.put_seed("a", &client_keys(&pair, "secret")).await;
        scene.refreshed("a", 1).await;
        scene.holds_newest("a", &pair).await;
        assert_eq!(scene.calls(&pair), calls + 1);
        scene.healthy("a").await;
    });
}

#[test]
fn a_pause_that_the_api_asks_for_is_kept() {
    test("refused-throttled", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        scene.world.issuer.arm(Rule::once(answer(429, &[("retry-after", "7")])).chain(pair.chain));
        scene.force("a", "now").await;
        let object = scene.says("a", ConditionType::Reconciling, ConditionStatus::True, "Throttled").await;
        assert_eq!(kstatus(&object), Kstatus::InProgress);
        scene.refreshed("a", 2).await;
        let log = scene.world.issuer.log();
        let times: Vec<_> = log.iter().filter(|seen| seen.chain == Some(pair.chain)).map(|seen| seen.at).collect();
        assert_eq!(times.len(), 3);
        let pause = times[2] - times[1];
        assert!(pause >= TimeDelta::seconds(7) && pause < TimeDelta::seconds(15), "{pause}");
        scene.holds_newest("a", &pair).await;
        scene.healthy("a").await;
    });
}

#[test]
fn a_token_that_renews_itself_is_renewed_after_errors_of_the_server() {
    test("refused-elastic", |scene| async move {
        let pair = scene.pair(Kind::ElasticCloudEnterprise, "a", Duration::from_secs(30)).await;
        for code in [503, 500] {
            scene.world.issuer.arm(Rule::once(answer(code, &[])).chain(pair.chain));
        }
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.manifest("a", elastic(&scene.world.issuer));
        object["spec"]["refresh"] = serde_json::json!({"retry": {"initialDelay": "2s"}});
        scene.put(&object).await;
        scene.says("a", ConditionType::Reconciling, ConditionStatus::True, "RefreshRetrying").await;
        scene.refreshed("a", 1).await;
        assert_eq!(scene.calls(&pair), 3, "the pauses are kept from the first try on");
        scene.holds_newest("a", &pair).await;
        scene.healthy("a").await;
    });
}

#[test]
fn a_chain_that_was_revoked_is_lost_and_a_new_seed_heals() {
    test("refused-revoked", |scene| async move {
        let pair = scene.pair(Kind::Oauth2, "a", Duration::from_secs(30)).await;
        scene.put_seed("a", &client_keys(&pair, "secret")).await;
        scene.put(&scene.manifest("a", oauth2(&scene.world.issuer))).await;
        scene.refreshed("a", 1).await;
        scene.world.issuer.revoke_chain(pair.chain);
        scene.force("a", "now").await;
        let object = scene.stalled("a", "ChainLost").await;
        assert_eq!(kstatus(&object), Kstatus::Failed);
        assert_eq!(object.status.unwrap().next_refresh_time, None);
        scene.event("a", "ChainLost").await;
        scene.force("a", "again").await;
        scene.quiet(&pair, 2).await;
        assert_eq!(scene.calls(&pair), 2, "the first refresh and the refused one");
        let new = scene.pair(Kind::Oauth2, "a", Duration::from_secs(30)).await;
        scene.put_seed("a", &client_keys(&new, "secret")).await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &new).await;
        scene.healthy("a").await;
    });
}
