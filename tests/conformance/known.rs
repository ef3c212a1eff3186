//! Sequences that once were answered differently, and courses that the operator depends on.

use crate::operation::Edit::{Content, Finalizer, Immutable, Label, Less};
use crate::operation::{Kind, Operation, Which};
use crate::random::compare;

fn apply(manager: &'static str, keys: &[&'static str], force: bool) -> Operation {
    let edits = keys.iter().map(|key| Content(key, "1h")).collect();
    Operation::Apply { name: "a", edits, version: Which::No, uid: Which::No, force, dry: false, manager }
}

#[test]
fn keys_that_are_no_longer_applied_go_unless_somebody_else_owns_them() {
    let sequence = [
        apply("one", &["k", "l"], false),
        apply("two", &["l"], false),
        apply("one", &["m"], false),
        apply("two", &["m"], false),
        apply("two", &[], false),
        Operation::Get { kind: Kind::Secret, name: "a", metadata: true },
    ];
    compare(&sequence).unwrap();
}

#[test]
fn a_finalizer_holds_a_deleted_secret_which_can_still_be_written() {
    let update = |edits| Operation::Update {
        kind: Kind::Secret,
        name: "a",
        edits,
        version: Which::Last,
        uid: Which::Last,
        dry: false,
        manager: "one",
    };
    let create = Operation::Create {
        kind: Kind::Secret,
        name: "a",
        edits: vec![Finalizer(true)],
        version: Which::No,
        dry: false,
        manager: "one",
    };
    let delete = Operation::Delete { kind: Kind::Secret, name: "a", uid: Which::Last, version: Which::No, dry: false };
    let sequence = [
        create.clone(),
        delete.clone(),
        create,
        update(vec![Content("k", "1h")]),
        delete,
        update(vec![Finalizer(false), Less("k")]),
        update(vec![]),
    ];
    compare(&sequence).unwrap();
}

#[test]
fn immutable_secrets_take_labels_and_no_data() {
    let update = |edits| Operation::Update {
        kind: Kind::Secret,
        name: "a",
        edits,
        version: Which::No,
        uid: Which::No,
        dry: false,
        manager: "one",
    };
    let edits = vec![Immutable(true), Content("k", "1h")];
    let sequence = [
        Operation::Create { kind: Kind::Secret, name: "a", edits, version: Which::No, dry: false, manager: "one" },
        update(vec![Label("role", Some("state"))]),
        update(vec![Content("k", "2h")]),
        update(vec![Immutable(false)]),
    ];
    compare(&sequence).unwrap();
}
