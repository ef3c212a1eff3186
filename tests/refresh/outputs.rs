//! What outputs hold beyond the token: files, labels, the previous token; and whose they are.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use refreshable_token_operator::api::{CreationPolicy, OutputFile, OutputMetadata, SpecDuration};
use refreshable_token_operator::refresh::exchange::SeenOutput;

use super::issuer::{Issuer, Kind};
use super::operator::Operator;
use super::plan::Plan;
use super::scenario::{Start, begin, output, plant, spec};
use super::world::{Output, World};

/// A running chain whose spec is changed, published again.
fn changed(world: &mut World, operator: &mut Operator, change: impl FnOnce(&mut World)) {
    change(world);
    world.generation += 1;
    operator.settle(world, &mut Plan::none());
}

/// A running chain, ten minutes before its next refresh.
fn running(kind: Kind) -> (World, Operator) {
    let (mut world, operator) = begin(kind, Start::Steady);
    world.now -= TimeDelta::minutes(10);
    (world, operator)
}

fn refresh(world: &mut World, operator: &mut Operator) {
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(world, &mut Plan::none());
}

fn access(world: &World) -> Vec<u8> {
    world.outputs["out"].data["access_token"].clone()
}

fn said(world: &World) -> Vec<(String, String)> {
    world.status.conditions.iter().map(|c| (format!("{:?}", c.type_), c.reason.clone())).collect()
}

/// A Secret of somebody else with one key.
fn foreign(owned: bool) -> Output {
    let seen = SeenOutput {
        uid: "foreign".into(),
        owned,
        type_: Some("Opaque".into()),
        immutable: false,
        keys: vec![],
        labels: vec![],
        annotations: vec![],
        reference: None,
    };
    Output { seen, data: BTreeMap::from([("theirs".to_owned(), b"kept".to_vec())]), content_hash: None }
}

#[test]
fn labels_and_files_are_written_and_go_with_the_spec_without_a_call() {
    let (mut world, mut operator) = running(Kind::Strict);
    let writes = |world: &World| world.outputs["out"].seen.uid.clone();
    let uid = writes(&world);
    changed(&mut world, &mut operator, |world| {
        let output = &mut world.spec.outputs[0];
        output.metadata = Some(OutputMetadata {
            labels: BTreeMap::from([("team".into(), "build".into())]),
            annotations: BTreeMap::from([("note".into(), "x".into())]),
        });
        output.files =
            vec![OutputFile { key: "app.env".into(), template: Some("T={{ token.access }}".into()), ..OutputFile::default() }];
    });
    let hash = world.status.outputs[0].content_hash.clone();
    let out = world.outputs["out"].clone();
    assert_eq!((out.seen.labels, out.seen.annotations), (vec!["team".to_owned()], vec!["note".to_owned()]));
    assert_eq!(out.data["app.env"], [b"T=".to_vec(), access(&world)].concat());
    changed(&mut world, &mut operator, |world| {
        let metadata = world.spec.outputs[0].metadata.as_mut().unwrap();
        metadata.labels.clear();
        metadata.annotations.clear();
    });
    let out = world.outputs["out"].clone();
    assert_eq!((out.seen.labels, out.seen.annotations), (vec![], vec![]), "taken away");
    assert_eq!(world.status.outputs[0].content_hash, hash, "no part of the contents");
    changed(&mut world, &mut operator, |world| world.spec.outputs[0].files.clear());
    assert!(!world.outputs["out"].data.contains_key("app.env"));
    assert_eq!((world.issuer.handled, writes(&world)), (1, uid), "no call, and the same Secret");
}

#[test]
fn a_label_that_somebody_took_over_is_written_again() {
    let (mut world, mut operator) = running(Kind::Strict);
    changed(&mut world, &mut operator, |world| {
        let labels = BTreeMap::from([("team".into(), "build".into())]);
        world.spec.outputs[0].metadata = Some(OutputMetadata { labels, ..OutputMetadata::default() });
    });
    world.outputs.get_mut("out").unwrap().seen.labels.clear();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.outputs["out"].seen.labels, ["team"]);
    assert_eq!(world.issuer.handled, 1);
}

#[test]
fn an_orphan_loses_its_owner_reference_and_gets_it_back() {
    let (mut world, mut operator) = running(Kind::Strict);
    assert_eq!(world.outputs["out"].seen.reference, Some(0));
    changed(&mut world, &mut operator, |world| world.spec.outputs[0].creation_policy = Some(CreationPolicy::Orphan));
    assert_eq!(world.outputs["out"].seen.reference, None);
    changed(&mut world, &mut operator, |world| world.spec.outputs[0].creation_policy = None);
    assert_eq!(world.outputs["out"].seen.reference, Some(0));
    assert_eq!(world.issuer.handled, 1);
}

#[test]
fn a_merge_waits_for_the_secret_before_anything_is_spent() {
    let mut wanted = spec(Kind::Strict);
    wanted.outputs[0].creation_policy = Some(CreationPolicy::Merge);
    let mut world = World::new(Issuer::new(Kind::Strict), wanted);
    plant(&mut world);
    let mut operator = Operator::new(1);
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.handled, 0, "nothing is spent");
    assert!(world.outputs.is_empty(), "nothing is made");
    assert!(said(&world).contains(&("Reconciling".into(), "OutputMissing".into())), "{:?}", said(&world));
    world.outputs.insert("out".into(), foreign(true));
    world.now = world.status.next_refresh_time.unwrap();
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.issuer.handled, 1);
    assert_eq!(world.outputs["out"].data["theirs"], b"kept");
    assert!(world.outputs["out"].data["access_token"].starts_with(b"access-"));
    assert_eq!(world.outputs["out"].seen.reference, None);
    // Its owner makes it anew: the keys come back, and the API is not called.
    world.outputs.insert("out".into(), foreign(true));
    operator.settle(&mut world, &mut Plan::none());
    assert!(world.outputs["out"].data["access_token"].starts_with(b"access-"));
    assert_eq!(world.issuer.handled, 1);
    // A key that is wanted no more is left to the apply, which knows who else manages it.
    changed(&mut world, &mut operator, |world| {
        world.spec.outputs[0].opaque.as_mut().unwrap().access_token_key = Some("token".into());
    });
    assert_eq!(world.outputs["out"].data["theirs"], b"kept");
}

/// Bad inputs 29 to 31: Secrets of another object, of somebody else, of another type.
#[test]
fn bad_inputs_29_to_31_a_merge_takes_no_secret_that_is_not_offered() {
    for (owned, type_, reason) in [(false, "Opaque", "OutputConflict"), (true, "kubernetes.io/tls", "OutputTypeMismatch")] {
        let mut wanted = spec(Kind::Strict);
        wanted.outputs[0].creation_policy = Some(CreationPolicy::Merge);
        let mut world = World::new(Issuer::new(Kind::Strict), wanted);
        plant(&mut world);
        let mut theirs = foreign(owned);
        theirs.seen.type_ = Some(type_.into());
        world.outputs.insert("out".into(), theirs.clone());
        Operator::new(1).settle(&mut world, &mut Plan::none());
        assert_eq!(world.issuer.handled, 0);
        assert_eq!(world.outputs["out"].data, theirs.data);
        assert!(said(&world).contains(&("Stalled".into(), reason.into())), "{:?}", said(&world));
    }
}

#[test]
fn the_previous_token_stands_for_its_grace_and_is_taken_away_by_one_write() {
    for kind in [Kind::Strict, Kind::Reusable] {
        let (mut world, mut operator) = running(kind);
        changed(&mut world, &mut operator, |world| {
            let opaque = world.spec.outputs[0].opaque.as_mut().unwrap();
            opaque.previous_access_token_key = Some("previous".into());
            opaque.previous_access_token_grace = Some(SpecDuration::from_secs(120));
        });
        assert!(!world.outputs["out"].data.contains_key("previous"), "nobody asked for it at the last refresh");
        let mut before = access(&world);
        for _ in 0..2 {
            refresh(&mut world, &mut operator);
            assert_ne!(access(&world), before);
            assert_eq!(world.outputs["out"].data["previous"], before, "{kind:?}");
            let previous = world.status.token.as_ref().unwrap().previous.clone().unwrap();
            // Deleted by somebody: it comes back while its time lasts.
            world.outputs.get_mut("out").unwrap().seen.keys.retain(|key| key != "previous");
            world.outputs.get_mut("out").unwrap().data.remove("previous");
            operator.settle(&mut world, &mut Plan::none());
            assert_eq!(world.outputs["out"].data["previous"], before);
            world.now = previous.replaced_time + TimeDelta::seconds(119);
            operator.settle(&mut world, &mut Plan::none());
            assert!(world.outputs["out"].data.contains_key("previous"));
            let hash = world.status.outputs[0].content_hash.clone();
            world.now = previous.replaced_time + TimeDelta::seconds(120);
            operator.settle(&mut world, &mut Plan::none());
            assert!(!world.outputs["out"].data.contains_key("previous"));
            assert_ne!(world.status.outputs[0].content_hash, hash);
            before = access(&world);
        }
        assert_eq!(world.issuer.handled, 3);
    }
}

#[test]
fn a_previous_token_without_a_grace_ends_with_its_own_life() {
    let (mut world, mut operator) = running(Kind::Strict);
    changed(&mut world, &mut operator, |world| {
        world.spec.outputs[0].opaque.as_mut().unwrap().previous_access_token_key = Some("previous".into());
    });
    let ends = world.status.token.as_ref().unwrap().expiration_time.unwrap();
    refresh(&mut world, &mut operator);
    world.now = ends - TimeDelta::seconds(1);
    operator.settle(&mut world, &mut Plan::none());
    assert!(world.outputs["out"].data.contains_key("previous"));
    world.now = ends;
    operator.settle(&mut world, &mut Plan::none());
    assert!(!world.outputs["out"].data.contains_key("previous"));
    // Nobody asks any longer: the next refresh forgets it.
    changed(&mut world, &mut operator, |world| world.spec.outputs = vec![output("out")]);
    refresh(&mut world, &mut operator);
    assert_eq!(world.status.token.as_ref().unwrap().previous, None);
}
