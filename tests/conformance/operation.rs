//! What a sequence consists of.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Kinds that are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Secret,
    ConfigMap,
    Token,
    Lease,
    /// Made, and counted up by a merge patch that repeats it: as kube's recorder does.
    Event,
}

/// Which resourceVersion, or UID, a request bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// None.
    No,
    /// The one last seen.
    Last,
    /// The one seen before that; never given to anything if there is none.
    Other,
}

/// A change to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// None at all.
    Nothing,
    /// A value of a Secret or a ConfigMap, the lifetime of a token's spec, a field of a Lease, how often an Event was seen.
    Content(&'static str, &'static str),
    /// A value of a Secret or a ConfigMap is taken away, the `request` of a token's spec, or a field of a Lease.
    Less(&'static str),
    /// A label.
    Label(&'static str, Option<&'static str>),
    /// A finalizer, there or not.
    Finalizer(bool),
    /// This owner beside others, who says that it is the controller or does not.
    Owner(&'static str, bool),
    /// No owner.
    Orphan,
    /// The field `immutable` of a Secret or a ConfigMap.
    Immutable(bool),
    /// The type of a Secret.
    Type(&'static str),
    /// Something in the status of a token.
    Status(i64),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Create {
        kind: Kind,
        name: &'static str,
        edits: Vec<Edit>,
        version: Which,
        dry: bool,
        manager: &'static str,
    },
    Get {
        kind: Kind,
        name: &'static str,
        metadata: bool,
    },
    List {
        kind: Kind,
        selector: &'static str,
        metadata: bool,
    },
    /// A list in pages of so many, to the end.
    Pages {
        kind: Kind,
        selector: &'static str,
        limit: usize,
        metadata: bool,
    },
    Update {
        kind: Kind,
        name: &'static str,
        edits: Vec<Edit>,
        version: Which,
        uid: Which,
        dry: bool,
        manager: &'static str,
    },
    Status {
        name: &'static str,
        edits: Vec<Edit>,
        version: Which,
        dry: bool,
        manager: &'static str,
    },
    Apply {
        name: &'static str,
        edits: Vec<Edit>,
        version: Which,
        uid: Which,
        force: bool,
        dry: bool,
        manager: &'static str,
    },
    JsonPatch {
        kind: Kind,
        name: &'static str,
        edit: Edit,
        uid: Which,
        dry: bool,
        manager: &'static str,
    },
    MergePatch {
        kind: Kind,
        name: &'static str,
        edits: Vec<Edit>,
        version: Which,
        status: bool,
        dry: bool,
        manager: &'static str,
    },
    Delete {
        kind: Kind,
        name: &'static str,
        uid: Which,
        version: Which,
        dry: bool,
    },
}

const NAMES: [&str; 3] = ["a", "b", "c"];
/// UIDs of owners that are not there; nobody looks.
const OWNERS: [&str; 2] = ["22222222-2222-3333-4444-555555555555", "33333333-2222-3333-4444-555555555555"];
/// A time as `MicroTime` is written.
const TIME: &str = "2026-01-01T00:00:00.000000Z";
const MANAGERS: [&str; 2] = ["one", "two"];

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![6 => replaced(), 1 => Just(Kind::Event)]
}

/// Kinds that are replaced too.
fn replaced() -> impl Strategy<Value = Kind> {
    prop_oneof![4 => Just(Kind::Secret), 3 => Just(Kind::Token), 3 => Just(Kind::Lease), 1 => Just(Kind::ConfigMap)]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![2 => Just(Which::No), 5 => Just(Which::Last), 1 => Just(Which::Other)]
}

fn rarely() -> impl Strategy<Value = Which> {
    prop_oneof![6 => Just(Which::No), 2 => Just(Which::Last), 1 => Just(Which::Other)]
}

fn never() -> impl Strategy<Value = Which> {
    prop_oneof![12 => Just(Which::No), 1 => Just(Which::Last)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let key = prop::sample::select(&["k", "l", "m"][..]);
    let value = prop::sample::select(&["1h", "2h"][..]);
    let label = prop::sample::select(&["role", "tier"][..]);
    prop_oneof![
        1 => Just(Edit::Nothing),
        6 => (key.clone(), value).prop_map(|(key, value)| Edit::Content(key, value)),
        3 => key.prop_map(Edit::Less),
        4 => (label, prop::sample::select(&[None, Some("seed"), Some("state"), Some("output")][..]))
            .prop_map(|(label, value)| Edit::Label(label, value)),
        3 => any::<bool>().prop_map(Edit::Finalizer),
        2 => (prop::sample::select(&OWNERS[..]), any::<bool>()).prop_map(|(uid, controller)| Edit::Owner(uid, controller)),
        1 => Just(Edit::Orphan),
        1 => any::<bool>().prop_map(Edit::Immutable),
        1 => prop::sample::select(&["Opaque", "example.com/own", "kubernetes.io/basic-auth"][..]).prop_map(Edit::Type),
        2 => (0_i64..3).prop_map(Edit::Status),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 0..4)
}

fn seldom() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

/// One random request.
pub fn operation() -> impl Strategy<Value = Operation> {
    let name = || prop::sample::select(&NAMES[..]);
    let manager = || prop::sample::select(&MANAGERS[..]);
    let selector = || prop::sample::select(&["", "role=seed", "role in (seed,output)", "role!=state,tier", "!role"][..]);
    prop_oneof![
        6 => (kind(), name(), edits(), never(), seldom(), manager())
            .prop_map(|(kind, name, edits, version, dry, manager)| Operation::Create { kind, name, edits, version, dry, manager }),
        1 => (kind(), name(), any::<bool>()).prop_map(|(kind, name, metadata)| Operation::Get { kind, name, metadata }),
        1 => (kind(), selector(), any::<bool>()).prop_map(|(kind, selector, metadata)| Operation::List { kind, selector, metadata }),
        1 => (kind(), selector(), 1_usize..3, any::<bool>())
            .prop_map(|(kind, selector, limit, metadata)| Operation::Pages { kind, selector, limit, metadata }),
        8 => (replaced(), name(), edits(), which(), rarely(), seldom(), manager()).prop_map(
            |(kind, name, edits, version, uid, dry, manager)| Operation::Update { kind, name, edits, version, uid, dry, manager }
        ),
        3 => (name(), edits(), which(), seldom(), manager())
            .prop_map(|(name, edits, version, dry, manager)| Operation::Status { name, edits, version, dry, manager }),
        7 => (name(), edits(), rarely(), rarely(), any::<bool>(), seldom(), manager()).prop_map(
            |(name, edits, version, uid, force, dry, manager)| Operation::Apply { name, edits, version, uid, force, dry, manager }
        ),
        3 => (replaced(), name(), edit(), rarely(), seldom(), manager())
            .prop_map(|(kind, name, edit, uid, dry, manager)| Operation::JsonPatch { kind, name, edit, uid, dry, manager }),
        3 => (kind(), name(), edits(), rarely(), any::<bool>(), seldom(), manager()).prop_map(
            |(kind, name, edits, version, status, dry, manager)| Operation::MergePatch { kind, name, edits, version, status, dry, manager }
        ),
        4 => (kind(), name(), rarely(), rarely(), seldom())
            .prop_map(|(kind, name, uid, version, dry)| Operation::Delete { kind, name, uid, version, dry }),
    ]
}

/// An object as a client would first write it.
pub fn fresh(kind: Kind, name: &str) -> Value {
    match kind {
        Kind::Secret | Kind::ConfigMap => {
            json!({ "apiVersion": "v1", "kind": format!("{kind:?}"), "metadata": { "name": name } })
        }
        Kind::Lease => json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name } }),
        Kind::Event => json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": name },
            "action": "Refresh", "reason": "Refreshed", "type": "Normal", "note": "refresh 2 is committed",
            "eventTime": TIME, "reportingController": "one", "reportingInstance": "one-0",
            "regarding": { "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken", "name": "a" },
        }),
        Kind::Token => json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken", "metadata": { "name": name },
            "spec": {
                "provider": { "jfrogAccess": { "url": "https://art.example.com" } },
                "credential": { "seedSecretRef": { "name": "seed" } },
                "outputs": [{ "secretName": "token", "opaque": { "accessTokenKey": "access_token" } }],
            },
        }),
    }
}

fn base64(text: &str) -> Value {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text).into()
}

/// What a key and a value stand for: the field that holds it, its name there, and its contents.
fn content(kind: Kind, key: &'static str, value: &str) -> (&'static str, &'static str, Value) {
    match (kind, key) {
        (Kind::Secret, key) => ("data", key, base64(value)),
        (Kind::ConfigMap, key) => ("data", key, value.into()),
        (Kind::Token, _) => ("spec", "request", json!({ "lifetime": value })),
        // As a candidate takes the Lease, renews it and gives it back.
        (Kind::Lease, "k") => ("spec", "holderIdentity", if value == "1h" { "one_1" } else { "" }.into()),
        (Kind::Lease, "l") => ("spec", "leaseDurationSeconds", if value == "1h" { 15 } else { 1 }.into()),
        (Kind::Lease, _) => ("spec", "renewTime", if value == "1h" { TIME } else { "2026-01-01T00:00:15.000001Z" }.into()),
        (Kind::Event, _) => ("series", "count", if value == "1h" { 2 } else { 3 }.into()),
    }
}

fn owner(uid: &str, controller: bool) -> Value {
    json!({
        "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken", "name": "a", "uid": uid, "controller": controller,
        "blockOwnerDeletion": true,
    })
}

/// Makes the changes to an object.
pub fn change(kind: Kind, object: &mut Value, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Content(key, value) => {
                let (parent, key, value) = content(kind, key, value);
                object[parent][key] = value;
                if kind == Kind::Event {
                    object[parent]["lastObservedTime"] = TIME.into();
                }
            }
            // How often an Event was seen is not taken back.
            Edit::Less(_) if kind == Kind::Event => {}
            Edit::Less(key) => {
                let (parent, key, _) = content(kind, key, "");
                if let Some(parent) = object.get_mut(parent).and_then(Value::as_object_mut) {
                    parent.remove(key);
                }
                // The real server refuses an empty map in place of none where the Secret is immutable.
                if object["data"].as_object().is_some_and(serde_json::Map::is_empty) {
                    object.as_object_mut().unwrap().remove("data");
                }
            }
            Edit::Label(key, Some(value)) => object["metadata"]["labels"][key] = (*value).into(),
            Edit::Label(key, None) => {
                if let Some(labels) = object["metadata"].get_mut("labels").and_then(Value::as_object_mut) {
                    labels.remove(*key);
                }
            }
            Edit::Finalizer(there) => {
                object["metadata"]["finalizers"] = if *there { json!(["example.com/hold"]) } else { json!([]) };
            }
            Edit::Owner(uid, controller) => {
                let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
                owners.retain(|owner| owner["uid"] != *uid);
                owners.push(owner(uid, *controller));
                object["metadata"]["ownerReferences"] = owners.into();
            }
            Edit::Orphan => object["metadata"]["ownerReferences"] = json!([]),
            Edit::Immutable(value) if matches!(kind, Kind::Secret | Kind::ConfigMap) => object["immutable"] = (*value).into(),
            Edit::Type(type_) if kind == Kind::Secret => object["type"] = (*type_).into(),
            Edit::Status(number) if kind == Kind::Token => object["status"] = status(*number),
            Edit::Nothing | Edit::Immutable(_) | Edit::Type(_) | Edit::Status(_) => {}
        }
    }
}

fn status(number: i64) -> Value {
    let word = ["False", "True", "Unknown"][usize::try_from(number).unwrap()];
    let condition = |type_: &str| json!({ "type": type_, "status": word, "reason": "Reason", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let types = &["Ready", "SecretsSynced"][..=usize::from(number > 0)];
    json!({ "observedGeneration": number, "conditions": types.iter().map(|type_| condition(type_)).collect::<Vec<_>>() })
}

/// A change as a JSON patch.
pub fn json_patch(kind: Kind, edit: &Edit) -> Vec<Value> {
    match (kind, edit) {
        (_, Edit::Content(key, value)) => {
            let (parent, key, value) = content(kind, key, value);
            vec![json!({ "op": "add", "path": format!("/{parent}/{key}"), "value": value })]
        }
        (_, Edit::Less(key)) => {
            let (parent, key, _) = content(kind, key, "");
            vec![json!({ "op": "remove", "path": format!("/{parent}/{key}") })]
        }
        (_, Edit::Label(key, Some(value))) => {
            vec![json!({ "op": "replace", "path": format!("/metadata/labels/{key}"), "value": value })]
        }
        (_, Edit::Label(_, None)) => vec![json!({ "op": "add", "path": "/metadata/labels", "value": { "tier": "x" } })],
        (_, Edit::Finalizer(true)) => {
            vec![json!({ "op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"] })]
        }
        (_, Edit::Finalizer(false)) => vec![json!({ "op": "remove", "path": "/metadata/finalizers" })],
        (_, Edit::Owner(uid, controller)) => {
            vec![json!({ "op": "add", "path": "/metadata/ownerReferences", "value": [owner(uid, *controller)] })]
        }
        (_, Edit::Orphan) => vec![json!({ "op": "remove", "path": "/metadata/ownerReferences" })],
        (Kind::Secret | Kind::ConfigMap, Edit::Immutable(value)) => {
            vec![json!({ "op": "add", "path": "/immutable", "value": value })]
        }
        (Kind::Secret, Edit::Type(type_)) => vec![json!({ "op": "test", "path": "/type", "value": type_ })],
        (Kind::Token, Edit::Status(number)) => vec![json!({ "op": "add", "path": "/status", "value": status(*number) })],
        (_, Edit::Nothing | Edit::Immutable(_) | Edit::Type(_) | Edit::Status(_)) => vec![],
    }
}
