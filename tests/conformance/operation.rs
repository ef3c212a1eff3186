//! What a sequence consists of.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Kinds that are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Secret,
    Token,
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
    /// A value of a Secret, or the lifetime of a token's spec.
    Content(&'static str, &'static str),
    /// A value of a Secret is taken away, or the `request` of a token's spec.
    Less(&'static str),
    /// A label.
    Label(&'static str, Option<&'static str>),
    /// A finalizer, there or not.
    Finalizer(bool),
    /// The field `immutable` of a Secret.
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

const NAMES: [&str; 2] = ["a", "b"];
const MANAGERS: [&str; 2] = ["one", "two"];

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![2 => Just(Kind::Secret), 1 => Just(Kind::Token)]
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
    let selector = prop::sample::select(&["", "role=seed", "role in (seed,output)", "role!=state,tier", "!role"][..]);
    prop_oneof![
        6 => (kind(), name(), edits(), never(), seldom(), manager())
            .prop_map(|(kind, name, edits, version, dry, manager)| Operation::Create { kind, name, edits, version, dry, manager }),
        1 => (kind(), name(), any::<bool>()).prop_map(|(kind, name, metadata)| Operation::Get { kind, name, metadata }),
        1 => (kind(), selector, any::<bool>()).prop_map(|(kind, selector, metadata)| Operation::List { kind, selector, metadata }),
        7 => (kind(), name(), edits(), which(), rarely(), seldom(), manager()).prop_map(
            |(kind, name, edits, version, uid, dry, manager)| Operation::Update { kind, name, edits, version, uid, dry, manager }
        ),
        3 => (name(), edits(), which(), seldom(), manager())
            .prop_map(|(name, edits, version, dry, manager)| Operation::Status { name, edits, version, dry, manager }),
        7 => (name(), edits(), rarely(), rarely(), any::<bool>(), seldom(), manager()).prop_map(
            |(name, edits, version, uid, force, dry, manager)| Operation::Apply { name, edits, version, uid, force, dry, manager }
        ),
        3 => (kind(), name(), edit(), rarely(), seldom(), manager())
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
        Kind::Secret => json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } }),
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

/// Makes the changes to an object.
pub fn change(kind: Kind, object: &mut Value, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Content(key, value) if kind == Kind::Secret => object["data"][key] = base64(value),
            Edit::Content(_, value) => object["spec"]["request"]["lifetime"] = (*value).into(),
            Edit::Less(key) => {
                let (parent, key) = if kind == Kind::Secret { ("data", *key) } else { ("spec", "request") };
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
            Edit::Immutable(value) if kind == Kind::Secret => object["immutable"] = (*value).into(),
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
        (Kind::Secret, Edit::Content(key, value)) => {
            vec![json!({ "op": "add", "path": format!("/data/{key}"), "value": base64(value) })]
        }
        (Kind::Token, Edit::Content(_, value)) => {
            vec![json!({ "op": "add", "path": "/spec/request", "value": { "lifetime": value } })]
        }
        (Kind::Secret, Edit::Less(key)) => vec![json!({ "op": "remove", "path": format!("/data/{key}") })],
        (Kind::Token, Edit::Less(_)) => vec![json!({ "op": "remove", "path": "/spec/request" })],
        (_, Edit::Label(key, Some(value))) => {
            vec![json!({ "op": "replace", "path": format!("/metadata/labels/{key}"), "value": value })]
        }
        (_, Edit::Label(_, None)) => vec![json!({ "op": "add", "path": "/metadata/labels", "value": { "tier": "x" } })],
        (_, Edit::Finalizer(true)) => {
            vec![json!({ "op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"] })]
        }
        (_, Edit::Finalizer(false)) => vec![json!({ "op": "remove", "path": "/metadata/finalizers" })],
        (Kind::Secret, Edit::Immutable(value)) => vec![json!({ "op": "add", "path": "/immutable", "value": value })],
        (Kind::Secret, Edit::Type(type_)) => vec![json!({ "op": "test", "path": "/type", "value": type_ })],
        (Kind::Token, Edit::Status(number)) => vec![json!({ "op": "add", "path": "/status", "value": status(*number) })],
        (Kind::Secret, Edit::Status(_)) | (Kind::Token, Edit::Immutable(_) | Edit::Type(_)) | (_, Edit::Nothing) => vec![],
    }
}
