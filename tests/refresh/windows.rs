//! Refresh windows, played by the operator's own loop: what waits for them, and what does not.

use chrono::{TimeDelta, Timelike as _};
use refreshable_token_operator::api::{RefreshSpec, RefreshWindow, SpecDuration};

use super::issuer::Kind;
use super::operator::Operator;
use super::plan::{Fault, Plan};
use super::scenario::{Start, begin};
use super::world::World;

/// A chain whose tokens live an hour, and a window of five minutes each hour. The second refresh is due at 40 minutes and waits for
/// ten at most; `minute` is where the window begins after that.
fn waiting(minute: i64) -> (World, Operator, i64) {
    let (mut world, operator) = begin(Kind::Strict, Start::Steady);
    let issued = world.status.token.as_ref().unwrap().issued_time.unwrap();
    let opens = (issued + TimeDelta::minutes(minute)).minute();
    let window = RefreshWindow { cron: format!("{opens} * * * *"), time_zone: None, duration: SpecDuration::from_secs(300) };
    world.spec.refresh = Some(RefreshSpec { jitter_percent: Some(0), windows: vec![window], ..RefreshSpec::default() });
    world.generation += 1;
    world.now = issued + TimeDelta::minutes(30);
    let opens = (issued + TimeDelta::minutes(minute)).timestamp() / 60 * 60;
    (world, operator, opens)
}

fn generation(world: &World) -> i64 {
    world.status.chain_generation.unwrap()
}

#[test]
fn a_scheduled_refresh_waits_for_the_window() {
    let (mut world, mut operator, opens) = waiting(46);
    let plan = &mut Plan::none();
    operator.settle(&mut world, plan);
    assert_eq!(world.status.next_refresh_time.unwrap().timestamp(), opens);
    assert!(world.status.effective.as_ref().unwrap().note.as_ref().unwrap().contains("window"));
    operator.live(&mut world, plan, 12 * 60);
    assert_eq!(generation(&world), 1, "due for two minutes");
    operator.live(&mut world, plan, 5 * 60);
    assert_eq!(generation(&world), 2);
    assert_eq!(world.status.last_refresh_time.unwrap().timestamp(), opens);
}

#[test]
fn it_does_not_wait_until_the_token_dies() {
    let (mut world, mut operator, _) = waiting(57);
    let issued = world.status.token.as_ref().unwrap().issued_time.unwrap();
    operator.live(&mut world, &mut Plan::none(), 29 * 60);
    assert_eq!(generation(&world), 2);
    assert_eq!(world.status.last_refresh_time, Some(issued + TimeDelta::minutes(50)), "ten minutes before its end");
}

#[test]
fn a_window_that_went_by_while_nobody_worked_is_waited_for_again_while_there_is_time() {
    let (mut world, mut operator, opens) = waiting(41);
    world.now = chrono::DateTime::from_timestamp(opens + 301, 0).unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(generation(&world), 1, "closed a second ago, and the token lives for a while");
    operator.live(&mut world, &mut Plan::none(), 5 * 60);
    assert_eq!(generation(&world), 2, "the next one would open too late");
}

#[test]
fn what_people_ask_for_and_what_failed_waits_for_no_window() {
    let (mut world, mut operator, _) = waiting(46);
    operator.settle(&mut world, &mut Plan::none());
    world.request = Some("now".into());
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(generation(&world), 2, "asked for outside every window");

    let (mut world, mut operator, opens) = waiting(46);
    operator.settle(&mut world, &mut Plan::none());
    world.now = chrono::DateTime::from_timestamp(opens, 0).unwrap();
    let mut plan = Plan::with([(3, Fault::Http(429, false))]);
    operator.settle(&mut world, &mut plan);
    assert_eq!((generation(&world), world.status.consecutive_failures), (1, Some(1)), "{:?}", plan.log);
    let retry = world.status.next_refresh_time.unwrap();
    world.now = retry.max(chrono::DateTime::from_timestamp(opens + 300, 0).unwrap());
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(generation(&world), 2, "the window is over");
}
