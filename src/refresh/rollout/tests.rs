use super::*;
use crate::api::SpecDuration;
use crate::refresh::conclude::Note;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn key() -> FingerprintKey {
    FingerprintKey::new(b"key")
}

/// An object whose outputs `a` and `b` were written at 100 and 200, from a token of 90; `rollout` is the value of that field.
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
  token: {{fingerprint: 'hmac:t', issuedTime: '1970-01-01T00:01:30Z'}}
  conditions: [{{type: SecretsSynced, status: 'True', reason: Written, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}]
  outputs:
  - {{secretName: b, type: Opaque, contentHash: 'hmac:b', lastWriteTime: '1970-01-01T00:03:20Z'}}
  - {{secretName: a, type: Opaque, contentHash: 'hmac:a', lastWriteTime: '1970-01-01T00:01:40Z'}}"
    );
    serde_saphyr::from_str(&text).unwrap()
}

const ONE: &str = "{targets: [{kind: Deployment, name: web}], minInterval: 10m}";

fn holds(object: &RefreshableToken) -> Contents {
    contents(object, &key()).unwrap()
}

/// An object, and what the process remembers of its roll-outs.
struct Stage {
    object: RefreshableToken,
    tries: Tries,
}

impl Stage {
    fn new(rollout: &str) -> Self {
        Self { object: object(rollout), tries: Tries::default() }
    }

    fn with<T>(&self, look: impl FnOnce(Situation<'_>) -> T) -> T {
        let contents = holds(&self.object);
        let spec = self.object.spec.rollout.as_ref().unwrap();
        let generation = self.object.metadata.generation;
        look(Situation { spec, generation, known: self.known(), contents: &contents, tries: &self.tries })
    }

    fn known(&self) -> &[RolloutStatus] {
        &self.object.status.as_ref().unwrap().rollouts
    }

    /// What is due at a time, in words.
    fn due(&self, now: i64) -> Vec<String> {
        self.with(|situation| situation.due(at(now)).iter().map(ToString::to_string).collect())
    }

    fn next(&self) -> Option<i64> {
        self.with(|situation| situation.next().map(|time| time.timestamp()))
    }

    /// The end of every turn that is due, as `end` says; gives what is told.
    fn end(&mut self, now: i64, end: impl Fn(Ended) -> Ended) -> Vec<Note> {
        let concluded = self.with(|situation| {
            let ended: Vec<Ended> = situation.due(at(now)).into_iter().map(|target| end(Ended::new(target))).collect();
            conclude(&situation, &ended, &RefreshSpec::default(), at(now))
        });
        self.object.status.as_mut().unwrap().rollouts = concluded.rollouts;
        self.tries = concluded.tries;
        concluded.notes
    }

    fn write(&mut self, hash: &str) {
        self.object.status.as_mut().unwrap().outputs[0].content_hash = hash.to_owned();
    }
}

fn restarted(end: Ended) -> Ended {
    Ended { restarted: vec!["web".to_owned()], ..end }
}

fn denied(end: Ended) -> Ended {
    end.with(Problem::Denied)
}

#[test]
fn contents_change_with_each_output_and_with_nothing_else() {
    let revision = |change: fn(&mut RefreshableToken)| {
        let mut object = object(ONE);
        change(&mut object);
        holds(&object).revision
    };
    let plain = revision(|_| {});
    assert!(plain.as_str().starts_with("hmac:"), "{plain:?}");
    assert_eq!((holds(&object(ONE)).written, holds(&object(ONE)).issued), (at(200), Some(at(90))), "the last of the writes");
    assert_eq!(revision(|o| o.status.as_mut().unwrap().outputs.reverse()), plain);
    assert_eq!(revision(|o| o.spec.outputs.reverse()), plain);
    assert_eq!(revision(|o| o.status.as_mut().unwrap().outputs[0].last_write_time = at(900)), plain);
    assert_ne!(revision(|o| o.status.as_mut().unwrap().outputs[0].content_hash = "hmac:new".to_owned()), plain);
    assert_ne!(revision(|o| o.spec.outputs.truncate(1)), plain);
    // The previous token goes: what stood beside it is what stands now.
    let previous = revision(|o| {
        let output = &mut o.status.as_mut().unwrap().outputs[0];
        (output.content_hash, output.lasting_hash) = ("hmac:with-previous".to_owned(), Some("hmac:b".to_owned()));
    });
    assert_eq!(previous, plain);
}

#[test]
fn nothing_is_rolled_out_of_an_object_that_is_not_in_order() {
    let change = |change: fn(&mut RefreshableToken)| {
        let mut object = object(ONE);
        change(&mut object);
        contents(&object, &key())
    };
    assert_eq!(change(|o| o.status = None), None);
    assert_eq!(change(|o| o.spec.suspend = Some(true)), None);
    assert_eq!(change(|o| o.metadata.generation = Some(2)), None, "the status is about another spec");
    assert_eq!(change(|o| o.status.as_mut().unwrap().conditions.clear()), None, "the outputs are not known to be written");
    assert_eq!(change(|o| o.status.as_mut().unwrap().outputs.truncate(1)), None, "one was never written");
    let stalled = change(|o| {
        let status = o.status.as_mut().unwrap();
        let mut stalled = status.conditions[0].clone();
        stalled.type_ = crate::api::ConditionType::Stalled;
        "InvalidSpec".clone_into(&mut stalled.reason);
        status.conditions.push(stalled);
    });
    assert_eq!(stalled, None);
}

#[test]
fn each_change_is_one_restart_and_those_within_the_interval_go_out_together() {
    let mut stage = Stage::new(ONE);
    assert_eq!(stage.due(1000), ["Deployment/web"]);
    assert_eq!(stage.end(1000, restarted).len(), 1);
    assert_eq!((stage.due(1000), stage.next()), (vec![], None));
    stage.tries = Tries::default();
    assert_eq!(stage.due(99_999), Vec::<String>::new(), "not after a restart of the operator");
    stage.write("hmac:second");
    assert_eq!((stage.due(1599), stage.next()), (vec![], Some(1600)));
    stage.write("hmac:third");
    assert_eq!(stage.due(1600), ["Deployment/web"]);
    stage.end(1600, restarted);
    let known = stage.known();
    assert_eq!((known.len(), known[0].last_restart_time), (1, Some(at(1600))));
    assert_eq!(known[0].content_hash.as_deref(), Some(holds(&stage.object).revision.as_str()), "the latest");
    assert_eq!(stage.next(), None);
}

#[test]
fn what_failed_is_told_once_and_tried_again_later_each_time() {
    let mut stage = Stage::new(ONE);
    let first = stage.end(1000, denied);
    assert_eq!((first.len(), first[0].warning, first[0].reason), (1, true, Reason::RolloutForbidden), "{first:?}");
    assert!(first[0].message.contains("Deployment/web") && stage.known()[0].reason.as_deref() == Some("RolloutForbidden"));
    assert_eq!((stage.due(1005), stage.next()), (vec![], Some(1006)));
    assert_eq!(stage.end(1006, denied), Vec::new(), "no second event");
    assert_eq!(stage.next(), Some(1006 + 11));
    for _ in 0..20 {
        let now = stage.next().unwrap();
        stage.end(now, denied);
        assert!(stage.next().unwrap() - now <= 301);
    }
    // Another reason is news; so is none.
    let now = stage.next().unwrap();
    assert_eq!(stage.end(now, |end| end.with(Problem::Missing))[0].reason, Reason::RolloutTargetMissing);
    // A changed object, and new contents, are tried at once; what a new process does not remember, too.
    let rests = now;
    assert_eq!(stage.due(rests), Vec::<String>::new());
    stage.object.metadata.generation = Some(2);
    stage.object.status.as_mut().unwrap().observed_generation = Some(2);
    assert_eq!(stage.due(rests), ["Deployment/web"]);
    stage.object.metadata.generation = Some(1);
    stage.object.status.as_mut().unwrap().observed_generation = Some(1);
    stage.write("hmac:second");
    assert_eq!(stage.due(rests), ["Deployment/web"]);
    let notes = stage.end(rests, restarted);
    let known = &stage.known()[0];
    assert_eq!((notes.len(), &known.reason, &known.message, known.last_restart_time), (1, &None, &None, Some(at(rests))));
}

#[test]
fn a_target_that_failed_holds_up_no_other() {
    let two = "{targets: [{kind: Deployment, name: web}, {kind: StatefulSet, selector: {matchLabels: {app: db, a: b}}}], minInterval: 0s}";
    let mut stage = Stage::new(two);
    assert_eq!(stage.due(1000), ["Deployment/web", "StatefulSet with a=b,app=db"]);
    stage.end(1000, restarted);
    stage.write("hmac:second");
    let notes = stage.end(2000, |end| match end.target.name {
        Some(_) => end.with(Problem::Missing),
        None => Ended { before: true, ..end },
    });
    assert_eq!(notes.len(), 1, "a process before this one restarted the other: {notes:?}");
    let [web, db] = stage.known() else { panic!("{:?}", stage.known()) };
    assert_eq!((web.last_restart_time, web.reason.as_deref()), (Some(at(1000)), Some("RolloutTargetMissing")));
    assert_eq!((db.selector.as_deref(), db.last_restart_time, &db.reason), (Some("a=b,app=db"), Some(at(2000)), &None));
    assert_ne!(web.content_hash, db.content_hash);
    // Each has its own times: the one is tried again, the other waits for its interval.
    stage.object.spec.rollout.as_mut().unwrap().min_interval = Some(SpecDuration::from_secs(60));
    stage.write("hmac:third");
    assert_eq!(stage.due(2030), ["Deployment/web"]);
    stage.end(2030, denied);
    assert_eq!(stage.next(), Some(2036));
    stage.end(2059, denied);
    assert_eq!(stage.due(2060), ["StatefulSet with a=b,app=db"]);
    stage.object.spec.rollout.as_mut().unwrap().targets.remove(0);
    stage.end(2060, restarted);
    assert_eq!(stage.known().len(), 1, "a target that is named no more is forgotten");
}

/// Of three workloads with the same labels one may not be restarted: the others have had their restart, and the interval holds for
/// them, but the one is tried again before it is over.
#[test]
fn a_turn_that_has_begun_goes_on_by_its_retries() {
    let mut stage = Stage::new("{targets: [{kind: Deployment, selector: {matchLabels: {a: b}}}], minInterval: 10m}");
    let partly = |end| Ended { problem: Some(Problem::Denied), ..restarted(end) };
    assert_eq!(stage.end(1000, partly).len(), 2, "the restart, and the problem");
    assert_eq!((stage.known()[0].last_restart_time, &stage.known()[0].content_hash), (Some(at(1000)), &None));
    assert_eq!(stage.next(), Some(1006));
    stage.write("hmac:second");
    assert_eq!(stage.next(), Some(1600));
}

/// A workload called `web`, created then, with these marks.
fn workload(created: i64, marks: &[(&str, &str)]) -> Workload {
    let marks = marks.iter().map(|(object, mark)| (restarted_for_annotation(object), (*mark).to_owned()));
    Workload { name: "web".to_owned(), created: Some(at(created)), marks: marks.collect(), deleting: false }
}

/// What the status has about `web` after a restart for these contents.
fn entry(revision: &str) -> RolloutStatus {
    let target = object(ONE).spec.rollout.unwrap().targets.remove(0);
    RolloutStatus { content_hash: Some(revision.to_owned()), ..RolloutStatus::new(&target) }
}

#[test]
fn a_workload_that_was_brought_up_to_date_before_is_restarted_unless_it_began_with_the_contents() {
    let contents = holds(&object(ONE));
    let (now, old) = (contents.revision.as_str(), Revision::of(b"old", &key()));
    let known = entry(old.as_str());
    let turn = |created, marks: &[(&str, &str)]| workload(created, marks).turn(&contents, Some(&known));
    assert_eq!(turn(199, &[]), Turn::Restart);
    assert_eq!(turn(200, &[]), Turn::Restart, "the same second");
    assert_eq!(turn(201, &[]), Turn::Leave);
    assert_eq!(turn(199, &[("ci", old.as_str())]), Turn::Restart);
    assert_eq!(turn(199, &[("ci", now)]), Turn::Restarted);
    assert_eq!(turn(201, &[("ci", old.as_str())]), Turn::Leave, "made again from a manifest with an old mark");
    assert_eq!(turn(199, &[("other", now)]), Turn::Restart, "another object's mark");
    assert_eq!(Workload { deleting: true, ..workload(1, &[]) }.turn(&contents, Some(&known)), Turn::Leave);
    assert_eq!(Workload { created: None, ..workload(1, &[]) }.turn(&contents, Some(&known)), Turn::Leave);
}

/// The status was lost, the outputs were written again just now, and the workload is all that remembers.
#[test]
fn a_status_that_was_lost_restarts_nothing() {
    let mut object = object(ONE);
    for output in &mut object.status.as_mut().unwrap().outputs {
        output.last_write_time = at(5000);
    }
    let contents = holds(&object);
    let old = Revision::of(b"old", &key());
    let turn = |created, marks: &[(&str, &str)]| workload(created, marks).turn(&contents, None);
    assert_eq!(turn(50, &[("ci", contents.revision.as_str())]), Turn::Restarted);
    assert_eq!(turn(250, &[]), Turn::Leave, "it was younger than the contents, and has no mark");
    // What did change while nobody remembers is still rolled out.
    assert_eq!(turn(50, &[("ci", old.as_str())]), Turn::Restart);
    assert_eq!(turn(90, &[]), Turn::Restart, "older than the token, and never brought up to date");
}

#[test]
fn a_key_that_was_lost_restarts_nothing() {
    let contents = holds(&object(ONE));
    let other = super::contents(&object(ONE), &FingerprintKey::new(b"another key")).unwrap().revision;
    assert_ne!(other, contents.revision);
    let known = entry(other.as_str());
    let turn = |marks: &[(&str, &str)]| workload(50, marks).turn(&contents, Some(&known));
    assert_eq!(turn(&[("ci", other.as_str())]), Turn::Leave);
    // And from then on it counts again.
    let known = entry(Revision::of(b"old", &key()).as_str());
    assert_eq!(workload(50, &[("ci", other.as_str())]).turn(&contents, Some(&known)), Turn::Restart);
}

#[test]
fn each_object_has_an_annotation_of_its_own_that_kubernetes_takes() {
    assert_eq!(restarted_for_annotation("ci"), "restarted-for.refreshabletoken.io/ci");
    let long = restarted_for_annotation(&format!("{}.{}", "a".repeat(62), "b".repeat(100)));
    assert_eq!(long.split_once('/').unwrap().1, "a".repeat(62));
}
