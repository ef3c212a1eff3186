//! Tokens that credentials bring each time anew: whatever becomes of the state Secret, the next one comes.

use refreshable_token_operator::api::{Grant, ProviderSpec, Reason};
use refreshable_token_operator::refresh::decide::stalled;
use refreshable_token_operator::refresh::state::State;
use refreshable_token_operator::token::{AccessToken, Purpose};

use super::issuer::Kind;
use super::operator::Operator;
use super::plan::{Fault, Plan};
use super::scenario::{Start, begin, plant};
use super::world::World;

/// Lets the next refresh come, and asserts that it came and that all is well.
fn goes_on(world: &mut World, operator: &mut Operator) {
    let before = world.issuer.handled;
    world.now = world.status.next_refresh_time.unwrap_or(world.now).max(world.now);
    operator.settle(world, &mut Plan::none());
    assert_eq!(world.issuer.handled, before + 1, "{:?}", world.status);
    assert_eq!(stalled(&world.status), None, "{:?}", world.status);
    let state = world.decoded().unwrap();
    assert_eq!(state.tokens.access_token.as_ref().map(AccessToken::reveal), Some(world.issuer.chain().access.as_str()));
    assert_eq!(state.tokens.refresh_token, None);
    assert_eq!(world.status.chain_generation, Some(state.generation));
    let output = &world.outputs["out"].data["access_token"];
    assert_eq!(output, world.issuer.chain().access.as_bytes());
}

#[test]
fn the_first_and_every_later_token_comes() {
    for start in [Start::First, Start::Steady, Start::AfterFailure, Start::NewSeed, Start::Retained] {
        let (mut world, mut operator) = begin(Kind::Reissue, start);
        if start == Start::Retained {
            // What the older object left is taken over first.
            operator.settle(&mut world, &mut Plan::none());
        }
        goes_on(&mut world, &mut operator);
        goes_on(&mut world, &mut operator);
        assert!(world.status.spent_fingerprints.is_empty(), "{start:?}");
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_and_a_lost_state_is_written_again() {
    for fault in [Fault::AnswerLost, Fault::Http(503, true), Fault::Http(500, false)] {
        let (mut world, mut operator) = begin(Kind::Reissue, Start::Steady);
        operator.settle(&mut world, &mut Plan::with([(1, fault)]));
        assert_eq!(world.status.attempt, None, "{fault:?}");
        assert_eq!(stalled(&world.status), None, "{fault:?} {:?}", world.status);
        goes_on(&mut world, &mut operator);
    }
    let (mut world, mut operator) = begin(Kind::Reissue, Start::Steady);
    let generation = world.status.chain_generation;
    world.state = None;
    goes_on(&mut world, &mut operator);
    assert!(world.status.chain_generation > generation, "refreshes are counted on");
}

#[test]
fn no_copy_is_too_old_and_none_comes_from_too_far() {
    let (mut world, mut operator) = begin(Kind::Reissue, Start::Steady);
    let old = world.state.clone().unwrap().data;
    goes_on(&mut world, &mut operator);
    let generation = world.status.chain_generation;
    world.replace_state(old.clone(), true);
    goes_on(&mut world, &mut operator);
    assert!(world.status.chain_generation > generation);
    let mut state = State::decode(old).unwrap();
    state.owner.cluster = "elsewhere".into();
    world.replace_state(state.encode(), false);
    goes_on(&mut world, &mut operator);
    // Whose it is counts all the same.
    let mut state = world.decoded().unwrap();
    state.owner.name = "another".into();
    world.replace_state(state.encode(), false);
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(stalled(&world.status), Some(Reason::StateConflict.as_str()));
}

/// The grant of an object is changed while nobody knows what became of its refresh token.
#[test]
fn an_earlier_grants_open_claim_holds_nobody_up_and_its_mark_stays() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let unknown = world.issuer.chain().current.clone();
    operator.settle(&mut world, &mut Plan::with([(3, Fault::AnswerLost)]));
    assert!(world.status.attempt.is_some());
    let marked = world.key.fingerprint(Purpose::Token, unknown.as_bytes()).to_string();
    assert!(world.status.spent_fingerprints.contains(&marked));
    let Some(ProviderSpec::Oauth2(oauth2)) = &mut world.spec.provider else { panic!("the scenario is one of OAuth 2.0") };
    (oauth2.grant, oauth2.rotation) = (Some(Grant::ClientCredentials), None);
    world.issuer.kind = Kind::Reissue;
    world.generation += 1;
    plant(&mut world);
    goes_on(&mut world, &mut operator);
    assert!(world.status.spent_fingerprints.contains(&marked), "what is not known to be unspent is not called so");
    // Back again: the token of unknown fate is not touched.
    let Some(ProviderSpec::Oauth2(oauth2)) = &mut world.spec.provider else { panic!("the scenario is one of OAuth 2.0") };
    oauth2.grant = None;
    world.issuer.kind = Kind::Strict;
    world.generation += 1;
    operator.settle(&mut world, &mut Plan::none());
    let handled = world.issuer.handled;
    world.pass(10_000);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((world.issuer.handled, world.issuer.replays.len()), (handled, 0), "{unknown} was presented again");
    assert_eq!(stalled(&world.status), Some(Reason::SeedInvalid.as_str()), "{:?}", world.status);
}

/// The grant is changed while the refresh token is good: it is kept.
#[test]
fn an_earlier_grants_unspent_token_is_kept_aside() {
    let (mut world, mut operator) = begin(Kind::Strict, Start::Steady);
    let unspent = world.issuer.chain().current.clone();
    let Some(ProviderSpec::Oauth2(oauth2)) = &mut world.spec.provider else { panic!("the scenario is one of OAuth 2.0") };
    (oauth2.grant, oauth2.rotation) = (Some(Grant::ClientCredentials), None);
    world.issuer.kind = Kind::Reissue;
    world.generation += 1;
    goes_on(&mut world, &mut operator);
    let kept = world.decoded().unwrap().foreign;
    assert_eq!(kept.get("orphaned.replaced.refresh_token").map(|bytes| bytes.0.clone()), Some(unspent.into_bytes()));
    goes_on(&mut world, &mut operator);
    assert!(world.decoded().unwrap().foreign.contains_key("orphaned.replaced.refresh_token"), "later ones keep it too");
}
