use super::*;
use crate::api::RefreshableToken;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn key() -> FingerprintKey {
    FingerprintKey::new(b"key")
}

/// An object whose outputs `a` and `b` were written at 100 and 200; `rollout` is the value of that field.
fn object(rollout: &str) -> RefreshableToken {
    let text = format!(
        "metadata: {{name: ci, namespace: build, uid: u, generation: 1}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: ci-seed}}}}
  outputs: [{{secretName: a, opaque: {{}}}}, {{secretName: b, opaque: {{}}}}]
  rollout: {rollout}
status:
  observedGeneration: 1
  conditions: [{{type: SecretsSynced, status: 'True', reason: Written, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}]
  outputs:
  - {{secretName: b, type: Opaque, contentHash: 'hmac:b', lastWriteTime: '1970-01-01T00:03:20Z'}}
  - {{secretName: a, type: Opaque, contentHash: 'hmac:a', lastWriteTime: '1970-01-01T00:01:40Z'}}"
    );
    serde_saphyr::from_str(&text).unwrap()
}

const ONE: &str = "{targets: [{kind: Deployment, name: web}], minInterval: 10m}";

fn holds(object: &RefreshableToken) -> Option<Contents> {
    contents(&object.spec, object.status.as_ref().unwrap(), &key())
}

/// What is due at a time, in words.
fn due(object: &RefreshableToken, tries: &Tries, now: i64) -> Vec<String> {
    let contents = holds(object).unwrap();
    let targets = situation(object, &contents).due(tries, at(now));
    targets.iter().map(ToString::to_string).collect()
}

fn situation<'a>(object: &'a RefreshableToken, contents: &'a Contents) -> Situation<'a> {
    let status = object.status.as_ref().unwrap();
    let spec = object.spec.rollout.as_ref().unwrap();
    Situation { spec, generation: object.metadata.generation, known: &status.rollouts, contents }
}

/// The end of every target's turn that is due, each with this problem or restarted; gives what is told.
fn end(object: &mut RefreshableToken, tries: &mut Tries, problem: Option<Problem>, now: i64) -> Vec<Note> {
    let contents = holds(object).unwrap();
    let situation = situation(object, &contents);
    let ended: Vec<Ended> = situation
        .due(tries, at(now))
        .into_iter()
        .map(|target| {
            let restarted = if problem.is_none() { vec!["web".to_owned()] } else { Vec::new() };
            Ended { target, restarted, before: false, problem }
        })
        .collect();
    let (rollouts, notes) = conclude(&situation, &ended, &object.spec, tries, at(now));
    object.status.as_mut().unwrap().rollouts = rollouts;
    notes
}

fn write(object: &mut RefreshableToken, hash: &str) {
    object.status.as_mut().unwrap().outputs[0].content_hash = hash.to_owned();
}

#[test]
fn contents_change_with_each_output_and_with_nothing_else() {
    let plain = object(ONE);
    let contents = holds(&plain).unwrap();
    assert_eq!(contents.written, at(200), "the last of the writes");
    let change = |change: fn(&mut RefreshableToken)| {
        let mut object = object(ONE);
        change(&mut object);
        holds(&object).map(|contents| contents.hash)
    };
    let same = Some(contents.hash.clone());
    assert_eq!(change(|o| o.status.as_mut().unwrap().outputs.reverse()), same);
    assert_eq!(change(|o| o.spec.outputs.reverse()), same);
    assert_eq!(change(|o| o.status.as_mut().unwrap().outputs[0].last_write_time = at(900)), same);
    assert_ne!(change(|o| write(o, "hmac:new")), same);
    assert_ne!(change(|o| o.spec.outputs.truncate(1)), same);
    // The previous token goes: what stood beside it is what stands now.
    assert_eq!(
        change(|o| {
            write(o, "hmac:with-previous");
            o.status.as_mut().unwrap().outputs[0].lasting_hash = Some("hmac:b".to_owned());
        }),
        same
    );
    assert!(contents.hash.starts_with("hmac:"), "{}", contents.hash);
}

#[test]
fn nothing_is_rolled_out_of_an_object_that_is_not_in_order() {
    let change = |change: fn(&mut RefreshableToken)| {
        let mut object = object(ONE);
        change(&mut object);
        holds(&object)
    };
    assert_eq!(change(|o| o.spec.rollout = None), None);
    assert_eq!(change(|o| o.spec.suspend = Some(true)), None);
    assert_eq!(change(|o| o.status.as_mut().unwrap().conditions.clear()), None, "the outputs are not known to be written");
    assert_eq!(change(|o| o.status.as_mut().unwrap().outputs.truncate(1)), None, "one was never written");
    assert_eq!(
        change(|o| {
            let status = o.status.as_mut().unwrap();
            let mut stalled = status.conditions[0].clone();
            stalled.type_ = crate::api::ConditionType::Stalled;
            "InvalidSpec".clone_into(&mut stalled.reason);
            status.conditions.push(stalled);
        }),
        None
    );
}

#[test]
fn each_change_is_one_restart_and_those_within_the_interval_go_out_together() {
    let (mut object, mut tries) = (object(ONE), Tries::default());
    assert_eq!(due(&object, &tries, 1000), ["Deployment/web"]);
    let notes = end(&mut object, &mut tries, None, 1000);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(due(&object, &tries, 1000), Vec::<String>::new());
    assert_eq!(due(&object, &Tries::default(), 99_999), Vec::<String>::new(), "not after a restart of the operator");
    write(&mut object, "hmac:second");
    assert_eq!(due(&object, &tries, 1599), Vec::<String>::new());
    let contents = holds(&object).unwrap();
    assert_eq!(situation(&object, &contents).next(&tries), Some(at(1600)));
    write(&mut object, "hmac:third");
    assert_eq!(due(&object, &tries, 1600), ["Deployment/web"]);
    end(&mut object, &mut tries, None, 1600);
    let contents = holds(&object).unwrap();
    let status = &object.status.as_ref().unwrap().rollouts;
    assert_eq!((status.len(), status[0].last_restart_time), (1, Some(at(1600))));
    assert_eq!(status[0].content_hash.as_ref(), Some(&contents.hash), "the latest");
    assert_eq!(situation(&object, &contents).next(&tries), None);
}

#[test]
fn what_failed_is_told_once_and_tried_again_later_each_time() {
    let (mut object, mut tries) = (object(ONE), Tries::default());
    let first = end(&mut object, &mut tries, Some(Problem::Denied), 1000);
    assert!(first.len() == 1 && first[0].warning && first[0].message.contains("Deployment/web"), "{first:?}");
    let contents = holds(&object).unwrap();
    let next = |object: &RefreshableToken, tries: &Tries| situation(object, &contents).next(tries).unwrap().timestamp();
    assert_eq!(next(&object, &tries), 1006);
    assert_eq!(due(&object, &tries, 1005), Vec::<String>::new());
    assert_eq!(end(&mut object, &mut tries, Some(Problem::Denied), 1006), Vec::new(), "no second event");
    assert_eq!(next(&object, &tries), 1006 + 11);
    for _ in 0..20 {
        let now = next(&object, &tries);
        end(&mut object, &mut tries, Some(Problem::Denied), now);
        assert!(next(&object, &tries) - now <= 301);
    }
    // A changed object, and new contents, are tried at once.
    let mut changed = object.clone();
    changed.metadata.generation = Some(2);
    assert_eq!(due(&changed, &tries, next(&object, &tries) - 1), ["Deployment/web"]);
    write(&mut object, "hmac:second");
    assert_eq!(due(&object, &tries, 0), ["Deployment/web"]);
    let notes = end(&mut object, &mut tries, None, 5000);
    let status = &object.status.as_ref().unwrap().rollouts[0];
    assert_eq!((notes.len(), &status.message, status.last_restart_time), (1, &None, Some(at(5000))));
}

#[test]
fn a_failed_target_keeps_what_is_known_of_its_last_restart_and_holds_up_no_other() {
    let two = "{targets: [{kind: Deployment, name: web}, {kind: StatefulSet, selector: {matchLabels: {app: db, a: b}}}], minInterval: 0s}";
    let (mut object, mut tries) = (object(two), Tries::default());
    assert_eq!(due(&object, &tries, 1000), ["Deployment/web", "StatefulSet with a=b,app=db"]);
    end(&mut object, &mut tries, None, 1000);
    write(&mut object, "hmac:second");
    let contents = holds(&object).unwrap();
    let targets = situation(&object, &contents).due(&tries, at(2000));
    let ended = [
        Ended { target: targets[0].clone(), restarted: Vec::new(), before: false, problem: Some(Problem::Missing) },
        Ended { target: targets[1].clone(), restarted: Vec::new(), before: true, problem: None },
    ];
    let (rollouts, notes) = conclude(&situation(&object, &contents), &ended, &object.spec, &mut tries, at(2000));
    assert_eq!((rollouts[0].last_restart_time, rollouts[0].message.is_some()), (Some(at(1000)), true));
    assert_ne!(rollouts[0].content_hash.as_ref(), Some(&contents.hash));
    assert_eq!(rollouts[1].selector.as_deref(), Some("a=b,app=db"));
    assert_eq!((rollouts[1].last_restart_time, notes.len()), (Some(at(2000)), 1), "a process before this one restarted it");
    assert_eq!(rollouts[1].content_hash.as_ref(), Some(&contents.hash));
}

#[test]
fn a_workload_has_its_turn_unless_it_began_with_the_contents() {
    let contents = Contents { hash: "hmac:now".to_owned(), written: at(100) };
    let turn = |created: i64, restarted_for: Option<&str>, deleting| {
        let restarted_for = restarted_for.map(str::to_owned);
        Workload { name: "web".to_owned(), created: Some(at(created)), restarted_for, deleting }.turn(&contents)
    };
    assert_eq!(turn(99, None, false), Turn::Restart);
    assert_eq!(turn(100, None, false), Turn::Restart, "the same second");
    assert_eq!(turn(101, None, false), Turn::Leave);
    assert_eq!(turn(99, Some("hmac:before"), false), Turn::Restart);
    assert_eq!(turn(99, Some("hmac:now"), false), Turn::Restarted);
    assert_eq!(turn(99, None, true), Turn::Leave);
}
