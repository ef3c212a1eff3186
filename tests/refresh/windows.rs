//! Refresh windows, played by the operator's own loop: what waits for them, and what does not.

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use refreshable_token_operator::api::{RefreshSpec, RefreshWindow, SpecDuration};

use super::issuer::Kind;
use super::operator::Operator;
use super::plan::{Fault, Plan};
use super::scenario::{Start, begin};
use super::world::World;

/// A chain whose token lives an hour, at half of that. Its refresh is due at 40 minutes and waits for windows that open before 50.
struct Hour {
    world: World,
    operator: Operator,
    issued: DateTime<Utc>,
}

impl Hour {
    /// With windows of five minutes that open in these minutes of the token's life.
    fn new(minutes: &[i64]) -> Self {
        let (mut world, operator) = begin(Kind::Strict, Start::Steady);
        let issued = world.status.token.as_ref().unwrap().issued_time.unwrap();
        let window = |minute: &i64| {
            let minute = (issued + TimeDelta::minutes(*minute)).minute();
            RefreshWindow { cron: format!("{minute} * * * *"), time_zone: None, duration: SpecDuration::from_secs(300) }
        };
        let windows = minutes.iter().map(window).collect();
        world.spec.refresh = Some(Box::new(RefreshSpec { jitter_percent: Some(0), windows, ..RefreshSpec::default() }));
        world.generation += 1;
        world.now = issued + TimeDelta::minutes(30);
        let mut hour = Self { world, operator, issued };
        hour.settle();
        hour
    }

    /// When the window of that minute opens.
    fn opens(&self, minute: i64) -> DateTime<Utc> {
        (self.issued + TimeDelta::minutes(minute)).with_second(0).unwrap()
    }

    fn settle(&mut self) {
        self.operator.settle(&mut self.world, &mut Plan::none());
    }

    /// Lets the operator live until that time.
    fn until(&mut self, time: DateTime<Utc>) {
        let left = (time - self.world.now).num_seconds();
        self.operator.live(&mut self.world, &mut Plan::none(), left);
    }

    fn refreshes(&self) -> i64 {
        self.world.status.chain_generation.unwrap()
    }

    /// When the newest token was asked for.
    fn asked(&self) -> DateTime<Utc> {
        self.world.status.token.as_ref().unwrap().issued_time.unwrap()
    }

    fn next(&self) -> DateTime<Utc> {
        self.world.status.next_refresh_time.unwrap()
    }

    fn note(&self) -> String {
        self.world.status.effective.as_ref().unwrap().note.clone().unwrap_or_default()
    }
}

#[test]
fn a_scheduled_refresh_waits_for_the_window() {
    let mut hour = Hour::new(&[46]);
    let opens = hour.opens(46);
    assert_eq!((hour.next(), hour.note().as_str()), (opens, "waits for the next refresh window"));
    hour.until(opens - TimeDelta::seconds(1));
    assert_eq!(hour.refreshes(), 1, "due for minutes");
    hour.until(opens + TimeDelta::seconds(1));
    assert_eq!((hour.refreshes(), hour.asked()), (2, opens));
}

#[test]
fn it_is_refreshed_as_if_there_were_none_where_none_opens_in_time() {
    let mut hour = Hour::new(&[57]);
    let due = hour.issued + TimeDelta::minutes(40);
    assert_eq!((hour.next(), hour.note().as_str()), (due, "no refresh window opens in time: refreshed as if there were none"));
    hour.until(due + TimeDelta::seconds(1));
    assert_eq!((hour.refreshes(), hour.asked()), (2, due));
}

#[test]
fn a_window_that_went_by_while_nobody_worked_is_waited_for_again_only_where_another_opens_in_time() {
    let mut hour = Hour::new(&[41]);
    hour.world.now = hour.opens(41) + TimeDelta::seconds(299);
    hour.settle();
    assert_eq!(hour.refreshes(), 2, "still open");

    let mut hour = Hour::new(&[41]);
    hour.world.now = hour.opens(41) + TimeDelta::seconds(300);
    hour.settle();
    assert_eq!(hour.refreshes(), 2, "the next one would open too late");

    let mut hour = Hour::new(&[41, 48]);
    hour.world.now = hour.opens(41) + TimeDelta::seconds(300);
    hour.settle();
    assert_eq!((hour.refreshes(), hour.next()), (1, hour.opens(48)));
    hour.until(hour.opens(48) + TimeDelta::seconds(1));
    assert_eq!(hour.refreshes(), 2);
}

#[test]
fn what_people_ask_for_and_what_failed_waits_for_no_window() {
    let mut hour = Hour::new(&[46]);
    hour.world.request = Some("now".into());
    hour.settle();
    assert_eq!(hour.refreshes(), 2, "asked for outside every window");

    let mut hour = Hour::new(&[46]);
    hour.world.now = hour.opens(46);
    let mut plan = Plan::with([(3, Fault::Http(429, false))]);
    hour.operator.settle(&mut hour.world, &mut plan);
    assert_eq!((hour.refreshes(), hour.world.status.consecutive_failures), (1, Some(1)), "{:?}", plan.log);
    hour.world.now = hour.next().max(hour.opens(46) + TimeDelta::seconds(300));
    hour.settle();
    assert_eq!(hour.refreshes(), 2, "the window is over");
}

/// The status is the one thing that people can edit: a time in it neither opens a window nor keeps a token from its refresh.
#[test]
fn a_time_that_was_written_by_hand_changes_nothing() {
    for edited in [0, 35, 3000] {
        let mut hour = Hour::new(&[46]);
        hour.world.status.next_refresh_time = Some(hour.issued + TimeDelta::minutes(edited));
        hour.until(hour.opens(46) - TimeDelta::seconds(1));
        assert_eq!(hour.refreshes(), 1, "{edited}");
        hour.until(hour.opens(46) + TimeDelta::seconds(1));
        assert_eq!((hour.refreshes(), hour.asked()), (2, hour.opens(46)), "{edited}");
    }
}
