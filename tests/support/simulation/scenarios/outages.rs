//! The API server is down, the commit is refused, the process is asked to end, the token API fails.

use std::time::Duration;

use testbed::fake_cluster::Kind as Resource;
use tokio::time::Instant;

use crate::simulation::calls::Weather;
use crate::simulation::control::Step;
use crate::simulation::count::Count;
use crate::simulation::run::{Start, begin, come_to_rest, effects, guarded, simulate, sum};
use crate::simulation::world::{Setup, World};
use crate::simulation::{NAMESPACE, OPERATOR_NAMESPACE, STATE};

/// How long the API server is down.
const DOWN: Duration = Duration::from_secs(600);
/// How soon after its return the newest pair must stand in the state Secret.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);
/// How long the commit is refused.
const DENIED: Duration = Duration::from_secs(900);
/// How soon an escrow Secret must stand then.
const ESCROW_WITHIN: Duration = Duration::from_secs(2);
/// How long the end of a process may take.
const EXIT_WITHIN: Duration = Duration::from_secs(60);

fn each_step(setup: Setup, one: impl Fn(usize) -> Count + Sync) -> Count {
    let steps: Vec<usize> = (0..effects(setup, Start::Steady)).collect();
    sum(&steps, |step| one(*step))
}

/// The API server is down for ten minutes, across the expiry of the access token, from each effect of a refresh.
pub fn api_server_down(setup: Setup) -> Count {
    each_step(setup, |index| {
        let name = format!("{setup:?}, down from {index}");
        guarded(&name, || {
            simulate(async || {
                let mut world = World::new(setup);
                begin(&mut world, Start::Steady).await;
                world.control.step(index, Step::Down(DOWN));
                world.control.arm();
                world.until(Instant::now() + DOWN, Duration::from_secs(1), |world| world.control.hit() > 0).await;
                world.pass(DOWN + COMMITTED_WITHIN).await;
                let committed = world.newest_is_committed();
                let calls = world.control.calls_while_down();
                world.control.disarm();
                come_to_rest(&mut world).await;
                let mut count = world.count(&name);
                if !committed {
                    count.problem(format!("{name}: not committed {COMMITTED_WITHIN:?} after the return\n{}", world.report()));
                }
                if calls > 0 {
                    count.problem(format!("{name}: {calls} token calls while it was down\n{}", world.report()));
                }
                count
            })
        })
    })
}

/// Writes of the state Secret are refused for a quarter of an hour as soon as the answer has come; the process dies in
/// between or does not.
pub fn commit_denied(setup: Setup) -> Count {
    let plans: Vec<(u16, bool)> = [403, 422, 500].into_iter().flat_map(|code| [(code, false), (code, true)]).collect();
    sum(&plans, |(code, dies)| {
        let name = format!("{setup:?}, commit refused with {code}, dies: {dies}");
        guarded(&name, || {
            simulate(async || {
                let mut world = World::new(setup);
                begin(&mut world, Start::Steady).await;
                world.control.deny_after_send(*code, DENIED);
                world.control.arm();
                world.until(Instant::now() + DOWN, Duration::from_millis(10), |world| world.control.hit() > 0).await;
                world.pass(ESCROW_WITHIN).await;
                let escrow = world.escrows() == 1;
                if *dies {
                    world.kill_all();
                }
                world.pass(DENIED + Duration::from_secs(60)).await;
                let (committed, left) = (world.newest_is_committed(), world.escrows());
                world.control.disarm();
                come_to_rest(&mut world).await;
                let mut count = world.count(&name);
                for (fine, what) in [(escrow, "no escrow"), (committed, "not committed"), (left == 0, "an escrow is left")] {
                    if !fine {
                        count.problem(format!("{name}: {what}\n{}", world.report()));
                    }
                }
                count
            })
        })
    })
}

/// SIGTERM at each effect of a refresh, and a new process after the end.
pub fn sigterm(setup: Setup) -> Count {
    each_step(setup, |index| {
        let name = format!("{setup:?}, SIGTERM at {index}");
        guarded(&name, || {
            simulate(async || {
                let mut world = World::new(setup);
                begin(&mut world, Start::Steady).await;
                world.control.step(index, Step::Stop);
                world.control.arm();
                world.until(Instant::now() + DOWN, Duration::from_millis(10), |world| world.control.hit() > 0).await;
                let ended = world.until(Instant::now() + EXIT_WITHIN, Duration::from_millis(100), World::has_ended).await;
                world.control.disarm();
                world.start_again();
                come_to_rest(&mut world).await;
                let mut count = world.count(&name);
                if !ended {
                    count.problem(format!("{name}: no end within {EXIT_WITHIN:?}\n{}", world.report()));
                }
                count
            })
        })
    })
}

/// The token API cannot be reached, or refuses, for an hour; at most so many calls meanwhile.
pub fn token_api(setup: Setup) -> Count {
    let weathers = [
        (Weather::Down, 0),
        (Weather::Refuses(503, None), 40),
        (Weather::Refuses(500, None), 40),
        (Weather::Refuses(429, Some(3600)), 2),
    ];
    sum(&weathers, |(weather, most)| {
        let name = format!("{setup:?}, {weather:?}");
        guarded(&name, || {
            simulate(async || {
                let mut world = World::new(setup);
                begin(&mut world, Start::Steady).await;
                world.judge.set_weather(*weather);
                let before = world.control.calls();
                world.pass(Duration::from_secs(3600)).await;
                let calls = world.control.calls() - before;
                world.judge.set_weather(Weather::Fair);
                come_to_rest(&mut world).await;
                let mut count = world.count(&name);
                if *weather != Weather::Down && calls > *most {
                    count.problem(format!("{name}: {calls} calls in an hour"));
                }
                count
            })
        })
    })
}

impl World {
    /// Whether the state Secret itself holds the newest refresh token.
    pub fn newest_is_committed(&self) -> bool {
        let newest = self.judge.issuer().current().as_bytes().to_vec();
        self.cluster.secret_value(NAMESPACE, STATE, "refresh_token") == Some(newest)
    }

    /// How many escrow Secrets there are.
    pub fn escrows(&self) -> usize {
        let secrets = self.cluster.list(Resource::Secret, OPERATOR_NAMESPACE);
        secrets.iter().filter(|secret| secret["metadata"]["labels"]["refreshabletoken.io/role"] == "escrow").count()
    }
}
