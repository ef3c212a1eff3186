//! Random runs: two or three candidates that come, go and crash, on bad networks and uneven clocks. Never two leaders.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refreshable_token_operator::operator::leader::{Term, Timing};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::election;
use super::server::{Answer, Fate, Server};

/// Seeds that are run. `LEADER_SEED` runs one alone.
const SEEDS: u64 = 1_000;
/// How long the network is bad.
const TROUBLE: Duration = Duration::from_secs(90);
/// How long it is good after that.
const PEACE: Duration = Duration::from_secs(60);

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// What a candidate's network is like for a while.
#[derive(Clone, Copy)]
enum Weather {
    Good,
    Cut,
    Bad,
}

fn fate(random: &mut Random, weather: Weather) -> Fate {
    let good = Fate { arrives: Some(random.millis(100)), back: random.millis(100), ..Fate::good() };
    match weather {
        Weather::Good => good,
        Weather::Cut => Fate::never(),
        Weather::Bad => match random.below(10) {
            0 => Fate::never(),
            // So late that nobody waits for it any more.
            1 | 2 => Fate { arrives: Some(random.millis(30_000)), ..good },
            3 => Fate { back: random.millis(20_000), ..good },
            4 => Fate { answer: Answer::Never, ..good },
            5 => Fate { answer: Answer::Status(504), ..good },
            6 => Fate { answer: Answer::Status(503), applied: false, ..good },
            7 => Fate { answer: Answer::Status(409), applied: random.below(2) == 0, ..good },
            _ => good,
        },
    }
}

fn timing(random: &mut Random) -> Timing {
    // Half a second on one clock is up to 15 % more or less of it on another.
    let rate = 0.85 + f64::from(u16::try_from(random.below(300)).unwrap()) / 1000.0;
    let Timing { duration, deadline, retry, request } = Timing::default();
    let [duration, deadline, retry, request] = [duration, deadline, retry, request].map(|time| time.mul_f64(rate));
    Timing { duration, deadline, retry, request }
}

/// Who leads, and how often somebody began to.
#[derive(Default)]
struct Judge {
    leading: Vec<Option<Term>>,
    terms: usize,
    releases: usize,
}

impl Judge {
    fn begins(&mut self, who: usize, term: &Term) {
        for (other, leading) in self.leading.iter().enumerate() {
            let still = leading.as_ref().is_some_and(|term| term.holds() || !term.lost.is_cancelled());
            assert!(other == who || !still, "{who} leads while {other} does");
        }
        self.leading[who] = Some(term.clone());
        self.terms += 1;
    }
}

struct Life {
    who: usize,
    seed: u64,
    server: Arc<Server>,
    judge: Rc<RefCell<Judge>>,
    /// When the network becomes good.
    peace: Instant,
}

impl Life {
    /// Candidate after candidate on one machine, until the end.
    async fn run(self) {
        let mut random = Random(self.seed);
        let timing = timing(&mut random);
        for process in 0.. {
            sleep(random.millis(5_000)).await;
            self.process(process, timing, &mut random).await;
        }
    }

    async fn process(&self, process: u32, timing: Timing, random: &mut Random) {
        let network = Mutex::new((Random(random.next()), Weather::Good, Instant::now()));
        let peace = self.peace;
        let fate = move || {
            let mut network = network.lock().unwrap();
            let (random, weather, until) = &mut *network;
            if Instant::now() >= peace {
                *weather = Weather::Good;
            } else if Instant::now() >= *until {
                *until = Instant::now() + random.millis(30_000);
                *weather = [Weather::Good, Weather::Bad, Weather::Bad, Weather::Cut][usize::try_from(random.below(4)).unwrap()];
            }
            fate(random, *weather)
        };
        let election = election(&self.server, &format!("{}_{process}", self.who), timing, fate);
        let rest = peace.saturating_duration_since(Instant::now());
        let lives = if rest.is_zero() { 2 * PEACE } else { random.millis(90_000).min(rest) };
        let live = async {
            loop {
                let term = election.lead().await;
                self.judge.borrow_mut().begins(self.who, &term);
                term.lost.cancelled().await;
                sleep(random.millis(1_000)).await;
            }
        };
        let ended = timeout(lives, live).await;
        assert!(ended.is_err());
        if random.below(2) == 0 {
            election.give_up().await;
            self.judge.borrow_mut().releases += 1;
        } else {
            drop(election);
        }
        self.judge.borrow_mut().leading[self.who] = None;
    }
}

/// One run; gives the number of terms and releases.
fn run(seed: u64) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async move {
        let peace = Instant::now() + TROUBLE;
        let mut random = Random(seed);
        let count = 2 + usize::try_from(random.below(2)).unwrap();
        let (server, judge) = (Server::new(), Rc::new(RefCell::new(Judge::default())));
        judge.borrow_mut().leading = vec![None; count];
        let mut lives = Vec::new();
        for who in 0..count {
            let life = Life { who, seed: random.next(), server: Arc::clone(&server), judge: Rc::clone(&judge), peace };
            lives.push(tokio::task::spawn_local(life.run()));
        }
        sleep(TROUBLE + PEACE).await;
        let died = lives.iter().any(tokio::task::JoinHandle::is_finished);
        assert!(!died, "a candidate broke down");
        let judge = judge.borrow();
        let leading = judge.leading.iter().flatten().filter(|term| term.holds()).count();
        assert_eq!(leading, 1, "after a while of peace");
        (judge.terms, judge.releases)
    }))
}

#[test]
fn there_are_never_two_leaders() {
    let one = std::env::var_os("LEADER_SEED").map(|seed| seed.to_str().unwrap().parse().unwrap());
    let seeds = one.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let (mut terms, mut releases) = (0, 0);
    for seed in seeds.clone() {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(counts) => (terms, releases) = (terms + counts.0, releases + counts.1),
            Err(why) => {
                println!("replay with LEADER_SEED={seed}");
                std::panic::resume_unwind(why);
            }
        }
    }
    println!("{} seeds, {terms} terms, {releases} releases", seeds.end - seeds.start);
    assert!(one.is_some() || terms > usize::try_from(SEEDS).unwrap(), "the lead did change: {terms}");
}
