//! What an API is asked beside its tokens: what became of one, whether a new one works, and to end one that was replaced.

use chrono::TimeDelta;
use refreshable_token_operator::api::{ConditionType, ProviderSpec, Reason, RecoverySpec, RefreshSpec, SpecDuration};
use refreshable_token_operator::refresh::decide::stalled;
use refreshable_token_operator::refresh::exchange::{CLAIM_TTL, PROBE_MARGIN, Question};

use super::issuer::{Issuer, Kind};
use super::operator::Operator;
use super::plan::{Fault, Plan};
use super::scenario::{plant, spec};
use super::world::World;

/// The send of a refresh whose full preflight is not due.
const SEND: usize = 3;

/// A chain at an API that can be asked, with its first refresh done and the next one due.
fn running(verifies: bool, retires: Option<&str>) -> (World, Operator) {
    let (mut world, mut operator) = first(verifies, retires);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.chain_generation, Some(1));
    world.now = world.status.next_refresh_time.unwrap();
    (world, operator)
}

fn first(verifies: bool, retires: Option<&str>) -> (World, Operator) {
    let mut wanted = spec(Kind::Strict);
    let Some(ProviderSpec::Oauth2(oauth2)) = &mut wanted.provider else { panic!("the scenario is one of OAuth 2.0") };
    oauth2.introspection_url = Some("https://issuer.example.com/introspect".into());
    oauth2.revocation_url = Some("https://issuer.example.com/revoke".into());
    wanted.recovery = verifies.then(|| RecoverySpec { verify_before_publish: Some(true), ..RecoverySpec::default() });
    let after = retires.map(|after| SpecDuration::parse(after).unwrap());
    wanted.refresh = after.map(|after| Box::new(RefreshSpec { revoke_replaced_after: Some(after), ..RefreshSpec::default() }));
    let mut world = World::new(Issuer::new(Kind::Strict), wanted);
    plant(&mut world);
    (world, Operator::new(1))
}

fn published(world: &World) -> String {
    String::from_utf8(world.outputs["out"].data["access_token"].clone()).unwrap()
}

fn asked(world: &World, question: Question) -> usize {
    world.issuer.questions.iter().filter(|asked| **asked == question).count()
}

fn reason(world: &World, type_: ConditionType) -> String {
    world.status.conditions.iter().find(|condition| condition.type_ == type_).map(|c| c.reason.clone()).unwrap_or_default()
}

fn message(world: &World, type_: ConditionType) -> String {
    world.status.conditions.iter().find(|condition| condition.type_ == type_).map(|c| c.message.clone()).unwrap_or_default()
}

#[test]
fn a_token_that_never_arrived_is_presented_again_long_before_the_access_token_ends() {
    let (mut world, mut operator) = running(false, None);
    let token = world.issuer.chain().current.clone();
    let lost = world.now;
    operator.settle(&mut world, &mut Plan::with([(SEND, Fault::NeverArrived)]));
    assert_eq!(stalled(&world.status), Some(Reason::RefreshOutcomeUnknown.as_str()));
    assert!(message(&world, ConditionType::Stalled).contains("is asked at"), "{}", message(&world, ConditionType::Stalled));
    let asks = world.status.next_refresh_time.unwrap();
    // Not while what was sent may be on its way still.
    assert_eq!((asks - lost).to_std().unwrap(), CLAIM_TTL + PROBE_MARGIN);
    assert!(asks < world.status.token.as_ref().unwrap().expiration_time.unwrap());
    world.now = asks;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(asked(&world, Question::Probe), 1);
    assert_eq!((world.issuer.handled, world.issuer.replays.len()), (2, 0));
    assert_ne!(world.issuer.chain().current, token);
    assert_eq!((stalled(&world.status), world.status.chain_generation), (None, Some(2)));
    assert_eq!(published(&world), world.issuer.chain().access);
}

#[test]
fn a_token_that_is_said_to_be_gone_is_not_presented_before_the_access_token_has_ended() {
    let (mut world, mut operator) = running(false, None);
    operator.settle(&mut world, &mut Plan::with([(SEND, Fault::AnswerLost)]));
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(asked(&world, Question::Probe), 1);
    assert_eq!((world.issuer.handled, world.issuer.replays.len()), (2, 0));
    assert_eq!(stalled(&world.status), Some(Reason::RefreshOutcomeUnknown.as_str()));
    assert!(message(&world, ConditionType::Stalled).contains("not active"), "{}", message(&world, ConditionType::Stalled));
    let ends = world.status.token.as_ref().unwrap().expiration_time.unwrap();
    assert!(world.status.next_refresh_time.unwrap() > ends);
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(asked(&world, Question::Probe), 1, "nobody is asked any more");
    assert_eq!(stalled(&world.status), Some(Reason::ChainLost.as_str()));
}

#[test]
fn an_api_that_does_not_say_is_asked_again_and_nothing_is_presented_meanwhile() {
    let (mut world, mut operator) = running(false, None);
    operator.settle(&mut world, &mut Plan::with([(SEND, Fault::NeverArrived)]));
    world.issuer.evades = Some(503);
    for times in 1..=3 {
        world.now = world.status.next_refresh_time.unwrap();
        operator.settle(&mut world, &mut Plan::none());
        assert_eq!(asked(&world, Question::Probe), times);
        assert_eq!(world.issuer.handled, 1);
    }
    world.issuer.evades = None;
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((world.issuer.handled, world.status.chain_generation), (2, Some(2)));
}

/// The repeat that a probe allowed is lost too: its own time has to go by before the next one.
#[test]
fn each_repeat_waits_for_the_one_before() {
    let (mut world, mut operator) = running(false, None);
    operator.settle(&mut world, &mut Plan::with([(SEND, Fault::NeverArrived)]));
    world.now = world.status.next_refresh_time.unwrap();
    let again = world.now;
    // After reading the state and what was kept, asking, claiming and marking.
    let mut plan = Plan::with([(5, Fault::NeverArrived)]);
    operator.settle(&mut world, &mut plan);
    assert!(plan.log[5].contains("send"), "{:#?}", plan.log);
    assert_eq!(world.issuer.handled, 1);
    let next = world.status.next_refresh_time.unwrap();
    assert!(next - again >= TimeDelta::from_std(CLAIM_TTL).unwrap(), "{next} after {again}");
    world.now = next;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((world.issuer.handled, world.issuer.replays.len()), (2, 0));
    assert_eq!(stalled(&world.status), None);
}

#[test]
fn a_new_token_is_published_once_the_api_has_accepted_it() {
    let (mut world, mut operator) = running(true, None);
    assert_eq!(asked(&world, Question::Verification), 1);
    assert!(world.status.token.as_ref().unwrap().verified_time.is_some());
    let before = published(&world);
    world.issuer.distrusts = true;
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((world.issuer.handled, world.status.chain_generation), (2, Some(2)), "it is committed all the same");
    assert_eq!(published(&world), before);
    assert_eq!(world.status.token.as_ref().unwrap().verified_time, None);
    assert_eq!(reason(&world, ConditionType::SecretsSynced), Reason::TokenNotVerified.as_str());
    assert_eq!(reason(&world, ConditionType::Ready), Reason::TokenNotVerified.as_str());
    assert!(message(&world, ConditionType::Ready).contains("not accepted"), "{}", message(&world, ConditionType::Ready));
    world.issuer.distrusts = false;
    world.pass(700);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(published(&world), world.issuer.chain().access);
    assert_eq!(reason(&world, ConditionType::SecretsSynced), Reason::Written.as_str());
    assert_eq!(world.issuer.handled, 2, "a token that works is no reason for another");
    // What was accepted once is written again without a question.
    let asked_before = asked(&world, Question::Verification);
    world.outputs.clear();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(asked(&world, Question::Verification), asked_before);
    assert_eq!(published(&world), world.issuer.chain().access);
}

#[test]
fn the_first_token_is_tried_too_and_an_api_that_is_away_holds_it_back() {
    let (mut world, mut operator) = first(true, None);
    world.issuer.evades = Some(503);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.chain_generation, Some(1));
    assert!(world.outputs.is_empty());
    assert!(message(&world, ConditionType::Ready).contains("could not be tried"), "{}", message(&world, ConditionType::Ready));
    world.issuer.evades = None;
    world.pass(30);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(published(&world), world.issuer.chain().access);
}

#[test]
fn a_token_that_was_replaced_is_revoked_when_its_time_is_over_and_once() {
    let (mut world, mut operator) = running(false, Some("5m"));
    assert!(world.issuer.retired.is_empty(), "a seed's token is nobody's business");
    let old = world.issuer.chain().access.clone();
    operator.settle(&mut world, &mut Plan::none());
    let replaced = world.status.token.as_ref().unwrap().previous.as_ref().unwrap().replaced_time;
    world.now = replaced + TimeDelta::seconds(299);
    operator.settle(&mut world, &mut Plan::none());
    assert!(world.issuer.retired.is_empty());
    world.now = replaced + TimeDelta::seconds(301);
    let told = operator.told.len();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.retired, [old]);
    assert_eq!(world.status.token.as_ref().unwrap().previous, None);
    assert_eq!(world.decoded().unwrap().tokens.previous, None);
    assert_eq!(operator.told.len(), told, "it is no news: {:?}", operator.told);
    world.pass(600);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!((world.issuer.retired.len(), world.issuer.handled), (1, 2));
}

#[test]
fn a_revocation_that_fails_is_tried_again_and_disturbs_nothing() {
    let (mut world, mut operator) = running(false, Some("5m"));
    operator.settle(&mut world, &mut Plan::none());
    world.issuer.evades = Some(503);
    world.pass(301);
    operator.settle(&mut world, &mut Plan::none());
    let asked_once = asked(&world, Question::Retirement);
    assert_eq!(asked_once, 1);
    assert_eq!(reason(&world, ConditionType::Ready), Reason::TokenFresh.as_str());
    assert!(operator.told.contains(&Reason::RevocationFailed));
    world.issuer.evades = None;
    world.pass(60);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.retired.len(), 1);
    // The write that forgets it is refused: it is revoked once more.
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    world.pass(301);
    // After reading the state, applying the output and revoking.
    let mut plan = Plan::with([(3, Fault::Denied)]);
    operator.settle(&mut world, &mut plan);
    assert!(plan.log[3].contains("commit or release"), "{:#?}", plan.log);
    assert_eq!(world.issuer.retired.len(), 2);
    world.pass(60);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.retired.len(), 3);
    assert_eq!(world.status.token.as_ref().unwrap().previous, None);
}
