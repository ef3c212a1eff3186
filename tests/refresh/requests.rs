//! What a refresh costs in requests to the API server, the final status write included.

use super::issuer::Kind;
use super::plan::{Fault, Plan};
use super::scenario::{Start, begin, output};

/// The requests to the API server until the operator rests, in order.
fn requests(kind: Kind, start: Start, plan: &mut Plan) -> Vec<String> {
    let (mut world, mut operator) = begin(kind, start);
    operator.settle(&mut world, plan);
    assert_eq!(world.status.attempt, None);
    let request = |line: &String| {
        let (index, rest) = line.split_once(' ')?;
        index.parse::<usize>().ok()?;
        Some(rest.rsplit_once(" None").or_else(|| rest.split_once(" Some"))?.0.to_owned())
    };
    plan.log.iter().filter_map(request).filter(|request| request != "send" && request != "connect").collect()
}

#[test]
fn a_steady_strict_refresh_takes_six_requests() {
    let got = requests(Kind::Strict, Start::Steady, &mut Plan::none());
    assert_eq!(got, ["read state", "claim", "mark", "commit or release", "output Apply", "status"]);
}

#[test]
fn a_steady_refresh_on_the_light_path_takes_four_requests() {
    for kind in [Kind::Reusable, Kind::Reissue] {
        let got = requests(kind, Start::Steady, &mut Plan::none());
        assert_eq!(got, ["read state", "commit or release", "output Apply", "status"], "{kind:?}");
    }
}

#[test]
fn a_first_refresh_takes_at_most_nine_requests_before_its_status() {
    let strict = requests(Kind::Strict, Start::First, &mut Plan::none());
    let expected = ["output TryCreate", "claim", "try commit", "mark", "commit or release", "output Create", "status"];
    assert_eq!(strict, expected);
    let light = requests(Kind::Reusable, Start::First, &mut Plan::none());
    assert_eq!(light, ["read state", "output TryCreate", "commit or release", "output Create", "status"]);
}

#[test]
fn the_full_preflight_of_a_running_chain_takes_two_more() {
    let got = requests(Kind::Strict, Start::AfterFailure, &mut Plan::none());
    let expected =
        ["read state", "output TryApply", "claim", "try commit", "mark", "commit or release", "output Apply", "status"];
    assert_eq!(got, expected);
}

#[test]
fn a_refusal_costs_a_release_and_a_status() {
    let got = requests(Kind::Strict, Start::Steady, &mut Plan::with([(3, Fault::Http(429, false))]));
    assert_eq!(got, ["read state", "claim", "mark", "commit or release", "status"]);
}

#[test]
fn a_changed_output_key_is_taken_away_from_the_old_place() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    world.now -= chrono::TimeDelta::minutes(10);
    world.spec.outputs = vec![output("out")];
    world.spec.outputs[0].opaque.as_mut().unwrap().access_token_key = Some("token".into());
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    let keys: Vec<&String> = world.outputs["out"].data.keys().collect();
    assert_eq!(keys, ["token", "until"]);
    assert_eq!(world.issuer.handled, 1, "the API is not called for it");
}
