//! The deletion of an object whose newest tokens are not in its state Secret.

use std::time::Duration;

use serde_json::Value;
use testbed::fake_cluster::Kind as Resource;
use tokio::time::Instant;

use crate::simulation::calls::REVOKE;
use crate::simulation::issuer::Kind;
use crate::simulation::run::{Start, begin, simulate};
use crate::simulation::world::{Journal, Setup, World};
use crate::simulation::{NAME, NAMESPACE, STATE};

/// What the operator allows itself for a deletion, and a little.
const DELETED_WITHIN: Duration = Duration::from_secs(65);
/// How soon an object says that an answer can be written nowhere.
const SAID_WITHIN: Duration = Duration::from_secs(35);
const SECOND: Duration = Duration::from_secs(1);

/// A chain with this policy just after its second answer, whose commit is refused for so long.
async fn refused(policy: &str, journal: Journal, code: u16, time: Duration, escrow: bool) -> World {
    let mut world = World::new(Setup::of(Kind::Strict).with(journal));
    world.cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
        object["spec"]["deletionPolicy"] = policy.into();
        object["spec"]["provider"]["oauth2"]["revocationURL"] = format!("https://issuer.example.com{REVOKE}").into();
    });
    begin(&mut world, Start::Steady).await;
    world.control.deny_after_send(code, time);
    if !escrow {
        world.control.deny_escrow();
    }
    world.control.arm();
    let answered = world.until(Instant::now() + 60 * SECOND, Duration::from_millis(1), |world| world.control.hit() > 0).await;
    assert!(answered, "{}", world.report());
    world
}

impl World {
    fn delete_object(&self) {
        self.cluster.delete(Resource::RefreshableToken, NAMESPACE, NAME);
    }

    async fn until_deleted(&mut self, within: Duration) {
        let gone = |world: &Self| world.object().is_null();
        assert!(self.until(Instant::now() + within, SECOND, gone).await, "{}", self.report());
    }

    /// Whether an event with this reason tells this about the object.
    fn told(&self, reason: &str, text: &str) -> bool {
        let events = self.cluster.list(Resource::Event, NAMESPACE);
        events.iter().any(|event| event["reason"] == reason && event["note"].as_str().is_some_and(|note| note.contains(text)))
    }

    /// What the object says of what it is trying again.
    fn trying(&self) -> String {
        let object = self.object();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let trying = conditions.into_iter().find(|condition| condition["type"] == "Reconciling");
        trying.map(|condition| format!("{} {}", text(&condition["reason"]), text(&condition["message"]))).unwrap_or_default()
    }

    /// The state Secret and all that was kept beside it.
    fn left(&self) -> (bool, usize, usize) {
        let kept = self.journal_entries();
        (self.cluster.get(Resource::Secret, NAMESPACE, STATE).is_some(), self.escrows(), kept)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// In escrow alone, and in escrow and the journal.
#[test]
fn a_token_that_is_not_in_the_state_secret_is_the_one_that_is_revoked() {
    for journal in [Journal::None, Journal::Kept] {
        simulate(async || {
            // No clear answer, so that the deletion of the state Secret is tried again too.
            let mut world = refused("Revoke", journal, 500, 20 * SECOND, true).await;
            world.pass(5 * SECOND).await;
            assert_eq!(world.escrows(), 1, "{}", world.report());
            assert!(!world.newest_is_committed());
            world.delete_object();
            world.until_deleted(DELETED_WITHIN).await;
            assert_eq!(world.judge.issuer().revocations, ["refresh-2"], "{}", world.report());
            assert!(world.told("TokenRevoked", "revoked") && world.told("StateDeleted", STATE));
            assert_eq!(world.left(), (false, 0, 0), "{}", world.report());
        });
    }
}

/// Somebody deletes the state Secret too, and it cannot be made again.
#[test]
fn a_token_that_is_in_escrow_alone_is_revoked_without_a_state_secret() {
    for policy in ["Revoke", "Delete"] {
        simulate(async || {
            let mut world = refused(policy, Journal::None, 403, 3600 * SECOND, true).await;
            world.pass(5 * SECOND).await;
            assert_eq!(world.escrows(), 1, "{}", world.report());
            world.cluster.delete_by_force(Resource::Secret, NAMESPACE, STATE);
            world.delete_object();
            world.until_deleted(DELETED_WITHIN).await;
            let revoked: &[&str] = if policy == "Revoke" { &["refresh-2"] } else { &[] };
            assert_eq!(world.judge.issuer().revocations, revoked, "{policy}: {}", world.report());
            assert_eq!(world.left(), (false, 0, 0), "{policy}: {}", world.report());
        });
    }
}

/// The process that had the answer is dead, and its journal has it.
#[test]
fn a_token_that_is_in_the_journal_alone_is_revoked() {
    simulate(async || {
        let mut world = refused("Revoke", Journal::Kept, 500, 90 * SECOND, false).await;
        world.pass(2 * SECOND).await;
        world.kill_all();
        world.delete_object();
        world.until_deleted(2 * DELETED_WITHIN).await;
        assert_eq!(world.judge.issuer().revocations, ["refresh-2"], "{}", world.report());
        // What the start began with the kept answer must not bring the Secret back.
        world.pass(120 * SECOND).await;
        assert_eq!(world.left(), (false, 0, 0), "{}", world.report());
    });
}

/// Nobody has the answer but the process: the object says so, its deletion waits, and nothing is lost.
#[test]
fn an_answer_that_can_be_written_nowhere_is_told_and_holds_up_the_deletion_alone() {
    for (journal, code) in [(Journal::None, 403), (Journal::Kept, 500)] {
        simulate(async || {
            let mut world = refused("Delete", journal, code, 300 * SECOND, false).await;
            world.pass(SAID_WITHIN).await;
            let said = world.trying();
            assert!(said.starts_with("WriteFailed") && said.contains(STATE) && said.contains("do not kill"), "{said}");
            assert!(!said.contains("finalizer") && world.told("WriteFailed", STATE), "{}", world.report());
            world.delete_object();
            world.pass(SAID_WITHIN).await;
            let said = world.trying();
            assert!(said.contains("refreshabletoken.io/cleanup"), "{said}: {}", world.report());
            assert!(world.told("CleanupFailed", "refreshabletoken.io/cleanup"));
            assert!(world.left().0, "nothing is taken away yet");
            // Until the refusals end, and then the deletion.
            world.until_deleted(300 * SECOND + DELETED_WITHIN).await;
            assert_eq!(world.left(), (false, 0, 0), "{}", world.report());
            assert_eq!(world.judge.verdict().double_spends, 0);
        });
    }
}

#[test]
fn what_was_said_of_an_answer_is_gone_when_it_is_written() {
    simulate(async || {
        let mut world = refused("Retain", Journal::Kept, 403, 60 * SECOND, false).await;
        world.pass(SAID_WITHIN).await;
        assert!(world.trying().starts_with("WriteFailed"), "{}", world.report());
        world.pass(60 * SECOND).await;
        assert_eq!(world.trying(), "", "{}", world.report());
        assert!(world.judge.verdict().healthy, "{}", world.report());
    });
}

/// It comes back, and all is well: nobody is called for that.
#[test]
fn an_api_server_that_was_away_is_not_called_a_refusal() {
    simulate(async || {
        let mut world = refused("Retain", Journal::Kept, 403, Duration::ZERO, true).await;
        world.control.down_for(600 * SECOND);
        world.pass(640 * SECOND).await;
        assert!(world.newest_is_committed(), "{}", world.report());
        assert!(!world.told("WriteFailed", ""), "{}", world.report());
    });
}
