//! Several Leases, of which each is a share of the work: replicas that come, go and die end up with equal shares.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use refreshable_token_operator::operator::balance::Balance;
use refreshable_token_operator::operator::clock::SystemClock;
use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::leader::{Election, Term, Timing};
use refreshable_token_operator::operator::metrics::Metrics;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use super::server::{Fate, Server};
use super::{LOOK, seconds};

/// How long a Lease takes from one replica to another that wants it: the wish, the renewal that meets it, and the next look; and a pause
/// before the next wish.
const MOVE: Duration = Duration::from_secs(12);

/// Who leads where: never two at once.
type Leading = Rc<RefCell<BTreeMap<usize, (String, Term)>>>;

struct Replica {
    candidates: Vec<JoinHandle<()>>,
    elections: Vec<Rc<Election>>,
    /// What its exchanges do when a Lease is wanted: whether they end.
    ends: Rc<Cell<bool>>,
}

/// A replica that gives up what is wanted of it.
fn replica(server: &Arc<Server>, leading: &Leading, identity: &str, leases: usize) -> Replica {
    let balance = Arc::new(Balance::new(identity, leases, Timing::default()));
    let ends = Rc::new(Cell::new(true));
    let elections: Vec<Rc<Election>> = (0..leases)
        .map(|number| {
            let cluster = Cluster::new(server.client(Fate::good), None, Metrics::new());
            Rc::new(Election::of(number, Arc::clone(&balance), cluster, Arc::new(SystemClock), "operators"))
        })
        .collect();
    let candidates = elections.iter().enumerate().map(|(number, election)| {
        let (election, leading, identity, ends) =
            (Rc::clone(election), Rc::clone(leading), identity.to_owned(), Rc::clone(&ends));
        tokio::task::spawn_local(async move {
            loop {
                let term = election.lead().await;
                let before = leading.borrow_mut().insert(number, (identity.clone(), term.clone()));
                assert!(before.is_none_or(|(_, before)| !before.holds()), "two lead {number}");
                loop {
                    tokio::select! {
                        () = term.lost.cancelled() => break,
                        () = term.wanted.notified() => {}
                    }
                    if ends.get() {
                        election.give_up().await;
                        break;
                    }
                    election.keep();
                }
            }
        })
    });
    let candidates = candidates.collect();
    Replica { candidates, elections, ends }
}

impl Replica {
    fn die(self) {
        self.candidates.iter().for_each(JoinHandle::abort);
    }

    async fn stop(self) {
        self.candidates.iter().for_each(JoinHandle::abort);
        for candidate in self.candidates {
            let _ = candidate.await;
        }
        for election in self.elections {
            Rc::into_inner(election).unwrap().give_up().await;
        }
    }
}

/// How many Leases each replica holds, in the order of their names; free ones are not counted.
fn shares(server: &Arc<Server>) -> Vec<usize> {
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for holder in server.holders().into_iter().filter(|holder| !holder.is_empty()) {
        *shares.entry(holder).or_default() += 1;
    }
    shares.into_values().collect()
}

/// Waits until some Lease is free, or none is.
async fn free(server: &Arc<Server>, some: bool) {
    let looks = async {
        while server.holders().iter().any(String::is_empty) != some {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), looks).await.is_ok(), "{:?}", server.holders());
}

/// Runs a story with a server and who leads there.
fn story<F: Future<Output = ()>>(story: impl FnOnce(Arc<Server>, Leading) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(story(Server::new(), Leading::default())));
}

#[test]
fn newcomers_get_their_share_and_whoever_has_it_keeps_it() {
    for leases in [1_usize, 2, 3, 6, 7, 16] {
        story(|server, leading| async move {
            let _first = replica(&server, &leading, "a", leases);
            seconds(1).await;
            assert_eq!(shares(&server), [leases]);
            let _second = replica(&server, &leading, "b", leases);
            let moves = u32::try_from(leases).unwrap();
            sleep(moves * MOVE).await;
            let fair = |replicas: usize| {
                (0..replicas).map(|number| (leases + number) / replicas).filter(|share| *share > 0).collect::<Vec<_>>()
            };
            let sorted = || {
                let mut shares = shares(&server);
                shares.sort_unstable();
                shares
            };
            assert_eq!(sorted(), fair(2), "{leases} Leases");
            let _third = replica(&server, &leading, "c", leases);
            sleep(moves * MOVE).await;
            assert_eq!(sorted(), fair(3), "{leases} Leases");
            let before = server.holders();
            seconds(600).await;
            assert_eq!(server.holders(), before, "nothing moves without need");
        });
    }
}

#[test]
fn the_shares_of_a_dead_replica_move_within_the_duration_and_one_look() {
    for offset in 0..10 {
        story(|server, leading| async move {
            let first = replica(&server, &leading, "a", 6);
            let _second = replica(&server, &leading, "b", 6);
            let _third = replica(&server, &leading, "c", 6);
            sleep(Duration::from_millis(60_000 + 317 * offset)).await;
            assert_eq!(shares(&server), [2, 2, 2]);
            first.die();
            let died = Instant::now();
            sleep(Timing::default().duration + LOOK).await;
            assert!(!server.holders().iter().any(|holder| holder == "a"), "{:?} after {:?}", server.holders(), died.elapsed());
            sleep(2 * MOVE).await;
            assert_eq!(shares(&server), [3, 3]);
        });
    }
}

#[test]
fn replicas_that_are_replaced_one_by_one_leave_equal_shares() {
    story(|server, leading| async move {
        let mut replicas: Vec<Replica> = ["a", "b", "c"].iter().map(|name| replica(&server, &leading, name, 6)).collect();
        seconds(60).await;
        for name in ["d", "e", "f"] {
            replicas.push(replica(&server, &leading, name, 6));
            seconds(10).await;
            let begun = Instant::now();
            replicas.remove(0).stop().await;
            sleep(2 * LOOK).await;
            let free = server.holders().iter().filter(|holder| holder.is_empty()).count();
            assert_eq!(free, 0, "{:?} after {:?}", server.holders(), begun.elapsed());
        }
        sleep(6 * MOVE).await;
        assert_eq!(shares(&server), [2, 2, 2]);
    });
}

#[test]
fn a_lease_whose_exchanges_do_not_end_is_kept() {
    story(|server, leading| async move {
        let first = replica(&server, &leading, "a", 4);
        first.ends.set(false);
        seconds(1).await;
        let _second = replica(&server, &leading, "b", 4);
        seconds(120).await;
        assert_eq!(shares(&server), [4]);
        first.ends.set(true);
        sleep(4 * MOVE).await;
        assert_eq!(shares(&server), [2, 2]);
    });
}

/// Whoever wanted it has died meanwhile: after the duration anybody takes it.
#[test]
fn a_lease_that_is_given_up_for_a_dead_replica_does_not_stay_free() {
    story(|server, leading| async move {
        let first = replica(&server, &leading, "a", 2);
        first.ends.set(false);
        seconds(1).await;
        let second = replica(&server, &leading, "b", 2);
        // Its wish is heard and not granted, again and again.
        seconds(20).await;
        first.ends.set(true);
        free(&server, true).await;
        second.die();
        let freed = Instant::now();
        free(&server, false).await;
        assert!(freed.elapsed() + LOOK >= Timing::default().duration, "{:?}", freed.elapsed());
        assert!(freed.elapsed() <= Timing::default().duration + 2 * LOOK, "{:?}", freed.elapsed());
        assert_eq!(shares(&server), [2]);
    });
}

/// As in the middle of an upgrade that changes their number: what old replicas hold is nobody else's until they end.
#[test]
fn replicas_with_another_number_of_leases_take_none_but_the_first_from_each_other() {
    for [before, after] in [[6, 2], [2, 6]] {
        story(|server, leading| async move {
            let old = replica(&server, &leading, "old", before);
            seconds(1).await;
            let _new = replica(&server, &Leading::default(), "new", after);
            seconds(120).await;
            assert_eq!(shares(&server), [after - 1, before], "the new ones have all of theirs but the first");
            old.stop().await;
            sleep(2 * LOOK).await;
            assert_eq!(shares(&server), [after]);
        });
    }
}
