//! The fault proxy between a plain HTTP client and an issuer: each fault as the client sees it, and whether the issuer was reached.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::{Client, Response};
use testbed::issuer::{Issuer, Pair};
use testbed::proxy::{Fault, Moment, Proxy, Rule, Script, Side, Signal, Upstream};
use tokio::time::Instant;

struct World {
    issuer: Issuer,
    pair: Pair,
    script: Arc<Script>,
    proxy: Proxy,
    client: Client,
}

async fn world(rules: impl IntoIterator<Item = Rule>) -> World {
    let issuer = Issuer::builder().start().await.unwrap();
    let pair = issuer.seed_jfrog_access("ci", TimeDelta::hours(1));
    let script = Script::new();
    rules.into_iter().for_each(|rule| script.arm(rule));
    script.count();
    let proxy = Proxy::start(Side::TokenApi, Upstream::plain(issuer.url()).unwrap(), &script).await.unwrap();
    let client = Client::builder().no_proxy().retry(reqwest::retry::never()).timeout(Duration::from_secs(5)).build().unwrap();
    World { issuer, pair, script, proxy, client }
}

impl World {
    async fn refresh(&self) -> reqwest::Result<Response> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", self.pair.refresh())];
        let url = format!("{}/access/api/v1/tokens", self.proxy.url());
        self.client.post(url).bearer_auth(&self.pair.access_token).form(&form).send().await
    }

    async fn ask(&self) -> reqwest::Result<Response> {
        let url = format!("{}/access/api/v1/tokens/me", self.proxy.url());
        self.client.get(url).bearer_auth(&self.pair.access_token).send().await
    }

    fn reached(&self) -> bool {
        self.issuer.presented(self.pair.refresh()) > 0
    }
}

#[tokio::test]
async fn without_a_rule_everything_passes_and_is_numbered() {
    let world = world([]).await;
    let answer = world.refresh().await.unwrap();
    assert_eq!(answer.status(), 200);
    let newest = world.issuer.newest(world.pair.chain).unwrap();
    assert!(answer.text().await.unwrap().contains(&newest.access_token));
    assert_eq!(world.ask().await.unwrap().status(), 200);
    let course = world.script.course();
    let told: Vec<_> = course.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["  0 POST   /access/api/v1/tokens: 200", "  1 GET    /access/api/v1/tokens/me: 200"]);
    assert!(course.iter().all(|seen| seen.answered.is_some()));
}

#[tokio::test]
async fn a_rule_strikes_its_index_or_its_path_and_as_often_as_it_says() {
    let refused = Fault::Status { code: 503, forward: false };
    let one = Rule::at(2, refused);
    let path = Rule::each(refused).on("GET", "/me").from(3).times(1);
    let other = Rule::each(refused).side(Side::Kubernetes);
    let world = world([one, path, other]).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(world.ask().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 503, 503, 200]);
    world.script.count();
    assert_eq!(world.ask().await.unwrap().status(), 200, "struck once, and index 2 comes again");
    assert_eq!(world.script.course().len(), 1);
}

#[tokio::test]
async fn answers_are_dropped_cut_and_replaced_after_or_instead_of_the_server() {
    for (fault, forwarded) in [
        (Fault::Drop { forward: true, reset: false }, true),
        (Fault::Drop { forward: false, reset: true }, false),
        (Fault::Hang { forward: true }, true),
        (Fault::Truncate, true),
    ] {
        let world = world([Rule::at(0, fault)]).await;
        let answer = match world.refresh().await {
            Ok(answer) => answer.bytes().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(answer.is_err(), "{fault:?}");
        assert_eq!(world.reached(), forwarded, "{fault:?}");
        assert_eq!(world.script.seen().first().unwrap().fault, Some(fault));
    }
    for (code, forward) in [(429, false), (504, true)] {
        let world = world([Rule::at(0, Fault::Status { code, forward })]).await;
        assert_eq!(world.refresh().await.unwrap().status().as_u16(), code);
        assert_eq!(world.reached(), forward);
    }
}

#[tokio::test]
async fn a_delay_is_before_or_after_the_server() {
    let long = Duration::from_millis(300);
    for (fault, reached_early) in [
        (Fault::Delay { forward: long, answer: Duration::ZERO }, false),
        (Fault::Delay { forward: Duration::ZERO, answer: long }, true),
    ] {
        let world = world([Rule::at(0, fault)]).await;
        let begun = Instant::now();
        let early = async {
            tokio::time::sleep(long / 2).await;
            world.reached()
        };
        let (answer, early) = tokio::join!(world.refresh(), early);
        assert_eq!(answer.unwrap().status(), 200);
        assert_eq!(early, reached_early);
        assert!(begun.elapsed() >= long);
    }
}

#[tokio::test]
async fn a_signal_comes_at_its_moment() {
    for (moment, reached, answered) in
        [(Moment::BeforeForward, false, false), (Moment::BeforeAnswer, true, false), (Moment::AfterAnswer, true, true)]
    {
        let world = world([Rule::at(0, Fault::Signal(Signal::Kill, moment))]).await;
        let heard = Arc::new(Mutex::new(None));
        let (issuer, token) = (Arc::new(world.issuer), world.pair.refresh().to_owned());
        world.script.on_signal({
            let (heard, issuer, token) = (Arc::clone(&heard), Arc::clone(&issuer), token.clone());
            move |signal| *heard.lock().unwrap() = Some((signal, issuer.presented(&token) > 0))
        });
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let url = format!("{}/access/api/v1/tokens", world.proxy.url());
        let answer = world.client.post(url).bearer_auth(&world.pair.access_token).form(&form).send().await;
        assert_eq!(answer.is_ok(), answered, "{moment:?}");
        for _ in 0..100 {
            if heard.lock().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(*heard.lock().unwrap(), Some((Signal::Kill, reached)), "{moment:?}");
        assert_eq!(issuer.presented(&token) > 0, reached, "{moment:?}");
    }
}

#[tokio::test]
async fn in_an_outage_nothing_passes_and_afterwards_all_does() {
    let world = world([Rule::at(1, Fault::Outage(Side::TokenApi, Duration::from_millis(400)))]).await;
    assert_eq!(world.ask().await.unwrap().status(), 200);
    assert!(world.refresh().await.is_err());
    assert!(world.refresh().await.is_err(), "a new connection is reset");
    assert!(!world.reached());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(world.refresh().await.unwrap().status(), 200);
    let of_the_other = Rule::at(0, Fault::Outage(Side::Kubernetes, Duration::from_millis(400)));
    world.script.arm(of_the_other);
    world.script.count();
    assert_eq!(world.ask().await.unwrap().status(), 200);
}
