//! Leader election in simulated time, over a Lease with real compare-and-swap and a network that does what networks do.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

mod server;
mod shares;
mod simulation;

use std::sync::Arc;
use std::time::Duration;

use refreshable_token_operator::operator::clock::SystemClock;
use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::leader::{Election, Term, Timing};
use refreshable_token_operator::operator::metrics::Metrics;
use server::{Fate, Server};
use tokio::time::{Instant, sleep, timeout};

/// The longest pause between two looks of a candidate.
const LOOK: Duration = Duration::from_millis(2_400);

fn election(server: &Arc<Server>, identity: &str, timing: Timing, fate: impl Fn() -> Fate + Send + Sync + 'static) -> Election {
    let cluster = Cluster::new(server.client(fate), None, Metrics::new());
    Election::new(cluster, Arc::new(SystemClock), "operators", identity, timing)
}

fn good(server: &Arc<Server>, identity: &str) -> Election {
    election(server, identity, Timing::default(), Fate::good)
}

/// A candidate whose network is cut while the switch is on.
fn cuttable(server: &Arc<Server>, identity: &str) -> (Election, Arc<std::sync::atomic::AtomicBool>) {
    let cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&cut);
    let fate = move || if cut.load(std::sync::atomic::Ordering::SeqCst) { Fate::never() } else { Fate::good() };
    (election(server, identity, Timing::default(), fate), switch)
}

async fn seconds(number: u64) {
    sleep(Duration::from_secs(number)).await;
}

/// How long the election takes from now.
async fn wait(election: &Election) -> (Term, Duration) {
    let begun = Instant::now();
    (timeout(Duration::from_secs(600), election.lead()).await.unwrap(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_leads_at_once_and_for_ever() {
    let server = Server::new();
    let (term, waited) = wait(&good(&server, "a")).await;
    assert_eq!(waited, Duration::ZERO);
    drop(term);
    let first = good(&Server::new(), "a");
    let (term, _) = wait(&first).await;
    for _ in 0..600 {
        seconds(1).await;
        assert!(term.holds() && !term.lost.is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_candidate_waits_while_the_leader_renews() {
    let server = Server::new();
    let (first, second) = (good(&server, "a"), good(&server, "b"));
    let (term, _) = wait(&first).await;
    assert!(timeout(Duration::from_secs(600), second.lead()).await.is_err());
    assert!(term.holds());
    assert_eq!((server.holder().as_deref(), server.transitions()), (Some("a"), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_followed_within_the_duration_and_one_look() {
    for offset in 0..20 {
        let server = Server::new();
        let (first, second) = (good(&server, "a"), good(&server, "b"));
        wait(&first).await;
        let waiting = tokio::spawn(async move { wait(&second).await.0 });
        sleep(Duration::from_millis(20_000 + offset * 317)).await;
        drop(first);
        let died = Instant::now();
        waiting.await.unwrap();
        let most = Timing::default().duration + LOOK;
        assert!(died.elapsed() <= most, "offset {offset}: {:?}", died.elapsed());
        assert!(died.elapsed() + Timing::default().retry >= Timing::default().duration, "{:?}", died.elapsed());
        assert_eq!((server.holder().as_deref(), server.transitions()), (Some("b"), Some(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_the_next_look() {
    let server = Server::new();
    let (first, second) = (good(&server, "a"), good(&server, "b"));
    let (term, _) = wait(&first).await;
    let waiting = tokio::spawn(async move { (wait(&second).await.0, second) });
    seconds(31).await;
    let begun = Instant::now();
    first.give_up().await;
    assert!(term.lost.is_cancelled() && !term.holds());
    let (term, _second) = waiting.await.unwrap();
    assert!(begun.elapsed() <= LOOK, "{:?}", begun.elapsed());
    assert!(term.holds());
}

/// A standby whose requests to the server take so long, and that is stopped so long after it has begun to look. Gives it its
/// end, and the server some time for what is still on its way.
async fn stopped_while_it_stands(server: &Arc<Server>, way: Duration, stopped: Duration) {
    // What comes after it was stopped is quicker, or the write would always come first.
    let begun = Instant::now();
    let fate = move || if begun.elapsed() < stopped { Fate { arrives: Some(way), ..Fate::good() } } else { Fate::good() };
    let standby = election(server, "b", Timing::default(), fate);
    assert!(timeout(stopped, standby.lead()).await.is_err(), "it may not lead yet, or it shows nothing");
    standby.give_up().await;
    sleep(way).await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_is_stopped_while_it_takes_the_lease_leaves_it_free() {
    let (look, way) = (Duration::from_millis(300), Duration::from_millis(300));
    for existed in [false, true] {
        for after in (0..300).step_by(20).map(Duration::from_millis) {
            let server = Server::new();
            if existed {
                let first = good(&server, "a");
                wait(&first).await;
                first.give_up().await;
            }
            // Its look has had its answer, its write is on its way.
            stopped_while_it_stands(&server, way, look + after).await;
            assert_eq!(server.holder().unwrap_or_default(), "", "existed: {existed}, after {after:?}");
            let (term, waited) = wait(&good(&server, "c")).await;
            assert!(term.holds() && waited <= LOOK, "{waited:?}");
        }
    }
}

/// Whoever has taken it meanwhile keeps it: what was in flight comes too late.
#[tokio::test(start_paused = true)]
async fn a_standby_that_is_stopped_takes_nothing_from_who_came_first() {
    let server = Server::new();
    let (first, way) = (good(&server, "a"), Duration::from_millis(900));
    wait(&first).await;
    first.give_up().await;
    let third = good(&server, "c");
    let ((), (term, _)) = tokio::join!(stopped_while_it_stands(&server, way, Duration::from_millis(1_500)), async {
        seconds(1).await;
        wait(&third).await
    });
    seconds(30).await;
    assert!(term.holds());
    assert_eq!(server.holder().as_deref(), Some("c"));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_does_not_lead_changes_nothing() {
    let server = Server::new();
    let (first, second) = (good(&server, "a"), good(&server, "b"));
    let (term, _) = wait(&first).await;
    second.give_up().await;
    assert!(term.holds());
    assert_eq!(server.holder().as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_leader_gives_up_before_another_leads() {
    for offset in 0..20 {
        let server = Server::new();
        let (first, cut) = cuttable(&server, "a");
        let second = good(&server, "b");
        let (term, _) = wait(&first).await;
        let waiting = tokio::spawn(async move { (wait(&second).await.0, second) });
        sleep(Duration::from_millis(10_000 + offset * 211)).await;
        cut.store(true, std::sync::atomic::Ordering::SeqCst);
        let begun = Instant::now();
        term.lost.cancelled().await;
        let lost = begun.elapsed();
        assert!(lost <= Timing::default().deadline, "{lost:?}");
        let (next, second) = waiting.await.unwrap();
        assert!(begun.elapsed() >= lost + Duration::from_secs(3), "{:?} after {lost:?}", begun.elapsed());
        // Back again, the old leader waits like everybody.
        cut.store(false, std::sync::atomic::Ordering::SeqCst);
        assert!(timeout(Duration::from_secs(60), first.lead()).await.is_err());
        assert!(next.holds());
        drop(second);
        let (_, waited) = wait(&first).await;
        assert!(waited <= Timing::default().duration + LOOK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_takes_or_deletes_is_lost_at_the_next_renewal() {
    for delete in [false, true] {
        let server = Server::new();
        let (first, second) = (good(&server, "a"), good(&server, "b"));
        let (term, _) = wait(&first).await;
        let waiting = tokio::spawn(async move { (wait(&second).await.0, second) });
        seconds(5).await;
        let begun = Instant::now();
        if delete {
            server.delete();
        } else {
            server.set_holder("somebody");
        }
        term.lost.cancelled().await;
        assert!(begun.elapsed() <= Timing::default().retry);
        let (_, _second) = waiting.await.unwrap();
        assert!(begun.elapsed() >= Timing::default().duration, "it may have had a holder who did not know");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_ends_in_leading() {
    let server = Server::new();
    let number = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    // Every third answer is lost, what was asked for is done all the same.
    let fate = move || match number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 {
        1 => Fate { answer: server::Answer::Never, ..Fate::good() },
        _ => Fate::good(),
    };
    let first = election(&server, "a", Timing::default(), fate);
    let (term, waited) = wait(&first).await;
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    seconds(300).await;
    assert!(term.holds(), "a conflict with an own write is no loss");
    assert_eq!(server.transitions(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_second_term_follows_the_first() {
    let server = Server::new();
    let (first, cut) = cuttable(&server, "a");
    let (term, _) = wait(&first).await;
    cut.store(true, std::sync::atomic::Ordering::SeqCst);
    term.lost.cancelled().await;
    cut.store(false, std::sync::atomic::Ordering::SeqCst);
    let (next, waited) = wait(&first).await;
    assert!(next.holds() && !term.holds());
    assert!(waited <= LOOK, "the Lease still bears its own name");
}
