//! Another replica's mark: nobody writes over it who looked before it was written.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refreshable_token_operator::api::{CLAIM_FINALIZER, RefreshableTokenStatus};
use refreshable_token_operator::refresh::conclude::mark;
use refreshable_token_operator::refresh::exchange::Mark;
use refreshable_token_operator::refresh::state::{Claim, State};
use refreshable_token_operator::token::Fingerprint;
use serde_json::{Value, json};
use testbed::fake_cluster::{FakeCluster, Kind as Resource, set_secret_value};

use crate::simulation::issuer::Kind;
use crate::simulation::run::{Start, begin, simulate};
use crate::simulation::world::{Setup, World};
use crate::simulation::{NAME, NAMESPACE, STATE};

/// Id of the other replica's claim.
const CLAIM: &str = "another";
/// What its mark remembers.
const FINGERPRINT: &str = "hmac:another";
/// Longer than a refresh and its status take, and shorter than the time for which another's claim is left alone.
const WATCHED: u64 = 60;

/// What another replica has written just before it sends the token that stands: its claim, and its mark.
fn another_is_about_to_send(cluster: &FakeCluster) {
    let claim = Claim { fingerprint: FINGERPRINT.to_owned(), ..Claim::new(CLAIM.to_owned(), "operator-9", "operator-9.0") };
    cluster.edit(Resource::Secret, NAMESPACE, STATE, |secret| {
        let data = secret["data"].as_object().unwrap().iter();
        let data: BTreeMap<_, _> =
            data.map(|(key, value)| (key.clone(), STANDARD.decode(value.as_str().unwrap()).unwrap())).collect();
        let state = State { claim: Some(claim.clone()), ..State::decode(data).unwrap() };
        for (key, value) in state.encode() {
            set_secret_value(secret, &key, Some(&value));
        }
        secret["metadata"]["finalizers"] = json!([CLAIM_FINALIZER]);
    });
    cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
        let status: RefreshableTokenStatus = serde_json::from_value(object["status"].take()).unwrap();
        let about = Mark { claim: claim.clone(), fingerprint: Fingerprint::from_stored(FINGERPRINT) };
        object["status"] = serde_json::to_value(mark(&status, &about)).unwrap();
    });
}

fn marked(object: &Value) -> bool {
    let spent = object["status"]["spentFingerprints"].as_array().is_some_and(|spent| spent.contains(&FINGERPRINT.into()));
    object["status"]["attempt"]["id"] == CLAIM && spent
}

/// The effect of a refresh that writes its end into the status.
fn last_status_write() -> usize {
    simulate(async || {
        let mut world = World::new(Setup::of(Kind::Strict));
        begin(&mut world, Start::Steady).await;
        world.control.arm();
        world.pass(Duration::from_secs(30)).await;
        let log = world.control.log();
        let written: Vec<&String> = log.iter().filter(|line| line.contains("RefreshableToken/status")).collect();
        assert_eq!(written.len(), 2, "the mark, and the end: {log:#?}");
        written[1].split(' ').next().unwrap().parse().unwrap()
    })
}

/// The token of the first replica is committed and its status is not written yet, when another claims and marks the next one.
#[test]
fn a_status_is_not_written_over_the_mark_of_another_replica() {
    let index = last_status_write();
    simulate(async || {
        let mut world = World::new(Setup::of(Kind::Strict));
        begin(&mut world, Start::Steady).await;
        let cluster = world.cluster.clone();
        world.control.act(index, Box::new(move || another_is_about_to_send(&cluster)));
        world.control.arm();
        let calls = world.control.calls();
        let mut passed = 0;
        while world.control.hit() == 0 {
            assert!(passed < 30_000, "{}", world.report());
            world.pass(Duration::from_millis(1)).await;
            passed += 1;
        }
        for second in 0..WATCHED {
            assert!(marked(&world.object()), "{second} s after it: {}", world.report());
            world.pass(Duration::from_secs(1)).await;
        }
        assert_eq!(world.control.calls(), calls + 1, "the marked token is left to the other: {}", world.report());
        assert_eq!(world.judge.verdict().double_spends, 0);
    });
}
