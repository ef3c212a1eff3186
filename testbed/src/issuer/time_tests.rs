//! The logic in virtual time: the ends of lifetimes and windows to the millisecond, without a socket.

use chrono::{DateTime, TimeDelta, Utc};

use super::config::{Config, Replay, Rotation};
use super::core::Core;
use super::random::Entropy;
use super::record::{Delivery, Pair, Verdict};
use super::wire::Request;

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;
const HOUR: TimeDelta = TimeDelta::hours(1);
const TICK: TimeDelta = TimeDelta::milliseconds(1);

fn core(change: impl FnOnce(&mut Config)) -> Core {
    let mut config = Config::default();
    change(&mut config);
    Core::new(config, Entropy::seeded(1))
}

fn post(path: &str, authorization: &str, form: &str) -> Request {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", authorization)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Request { method: "POST".into(), path: path.into(), query: String::new(), headers, body: form.into() }
}

fn oauth(core: &mut Core, token: &str, now: DateTime<Utc>) -> u16 {
    // ci-client:client-secret
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    core.handle(&post("/oauth2/token", "Basic Y2ktY2xpZW50OmNsaWVudC1zZWNyZXQ=", &form), now).reply.status
}

fn access(core: &mut Core, bearer: &str, pair: &Pair, now: DateTime<Utc>) -> u16 {
    let form = format!("grant_type=refresh_token&refresh_token={}", pair.refresh());
    core.handle(&post("/access/api/v1/tokens", &format!("Bearer {bearer}"), &form), now).reply.status
}

#[test]
fn a_grace_window_ends_before_its_last_instant() {
    let window = TimeDelta::seconds(30);
    let mut core = core(|config| config.rotation = Rotation::Grace { window, replay: Replay::SamePair });
    let pair = core.seed_oauth2("ci", "ci-client", HOUR, START);
    assert_eq!(oauth(&mut core, pair.refresh(), START), 200);
    assert_eq!(oauth(&mut core, pair.refresh(), START + window - TICK), 200);
    assert_eq!(core.ledger.double_spends(), 0);
    assert_eq!(oauth(&mut core, pair.refresh(), START + window), 400);
    assert_eq!(core.ledger.double_spends(), 1);
}

#[test]
fn the_repeated_answer_tells_what_is_left_of_the_lifetime() {
    let rotation = Rotation::Grace { window: HOUR, replay: Replay::SamePair };
    let mut core = core(|config| config.rotation = rotation);
    let pair = core.seed_oauth2("ci", "ci-client", HOUR, START);
    oauth(&mut core, pair.refresh(), START);
    oauth(&mut core, pair.refresh(), START + TimeDelta::seconds(10));
    let told = |number: usize| core.ledger.log()[number].answer.clone();
    assert!(told(0).contains("\"expires_in\":3600") && told(1).contains("\"expires_in\":3590"));
}

#[test]
fn an_oauth2_refresh_token_is_dead_at_its_last_instant() {
    for (after, status) in [(HOUR - TICK, 200), (HOUR, 400)] {
        let mut core = core(|config| config.oauth2_refresh_lifetime = HOUR);
        let pair = core.seed_oauth2("ci", "ci-client", HOUR, START);
        assert_eq!(oauth(&mut core, pair.refresh(), START + after), status);
    }
}

#[test]
fn an_ece_session_is_dead_at_its_last_instant() {
    for (after, status) in [(HOUR - TICK, 200), (HOUR, 401)] {
        let mut core = core(|_| {});
        let pair = core.seed_ece("ci", HOUR, START);
        let request = post("/api/v1/users/auth/_refresh", &format!("Bearer {}", pair.access_token), "");
        assert_eq!(core.handle(&request, START + after).reply.status, status);
    }
}

#[test]
fn jfrog_takes_bearer_and_refresh_token_up_to_the_end_of_the_window() {
    let window = TimeDelta::minutes(10);
    for (after, by_token, by_identity) in [(window - TICK, 200, 200), (window, 401, 404)] {
        let now = START + HOUR + after;
        for reference in [false, true] {
            let mut core = core(|config| config.refresh_window = window);
            let pair = core.seed_jfrog_access("ci", HOUR, START);
            let bearer = if reference { pair.reference() } else { &pair.access_token };
            assert_eq!(access(&mut core, bearer, &pair, now), by_token);
        }
        let mut core = core(|config| config.refresh_window = window);
        let pair = core.seed_jfrog_access("ci", HOUR, START);
        assert_eq!(access(&mut core, "ci-identity-token", &pair, now), by_identity);
    }
}

#[test]
fn a_token_without_an_end_is_refreshed_after_a_century() {
    let mut core = core(|_| {});
    let pair = core.seed_jfrog_access("ci", TimeDelta::zero(), START);
    assert_eq!(pair.expires_at, None);
    assert_eq!(access(&mut core, &pair.access_token, &pair, START + TimeDelta::days(36_525)), 200);
}

#[test]
fn every_token_of_a_long_chain_is_new_and_each_is_spent_once() {
    let mut core = core(|_| {});
    let mut pair = core.seed_jfrog_access("ci", HOUR, START);
    let chain = pair.chain;
    for minute in 0..500 {
        let now = START + TimeDelta::minutes(minute);
        let bearer = pair.access_token.clone();
        assert_eq!(access(&mut core, &bearer, &pair, now), 200);
        assert_eq!(access(&mut core, &bearer, &pair, now), 404);
        pair = core.ledger.newest(chain).unwrap().clone();
    }
    let pairs = &core.ledger.chain(chain).unwrap().pairs;
    let distinct = |of: fn(&Pair) -> &str| pairs.iter().map(of).collect::<std::collections::HashSet<_>>().len();
    assert_eq!([distinct(|pair| &pair.access_token), distinct(Pair::refresh), distinct(|pair| &pair.token_id)], [501; 3]);
    assert_eq!(core.ledger.double_spends(), 500);
}

#[test]
fn a_request_that_is_only_noted_changes_no_token() {
    let mut core = core(|config| config.family_revocation = true);
    let pair = core.seed_oauth2("ci", "ci-client", HOUR, START);
    let request = post("/oauth2/token", "", &format!("grant_type=refresh_token&refresh_token={}", pair.refresh()));
    let number = core.ignore(&request, START).unwrap();
    assert_eq!(core.ledger.log()[number].verdict, Verdict::NotProcessed);
    assert_eq!(oauth(&mut core, pair.refresh(), START), 200);
    // Spent by now: noting it counts, and still revokes nothing.
    core.ignore(&request, START).unwrap();
    assert_eq!(core.ledger.double_spends(), 1);
    let successor = core.ledger.newest(pair.chain).unwrap().refresh().to_owned();
    assert_eq!(oauth(&mut core, &successor, START), 200);
    core.deliver(number, Delivery::Replaced);
    assert_eq!(core.ledger.log()[number].delivery, Delivery::Replaced);
}
