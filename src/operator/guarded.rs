//! Objects that may not fit the schema of this program, so that one of them does not hide the others of a list or a watch.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::cluster::LAST_APPLIED;

/// An object, or why it cannot be decoded, with its metadata.
///
/// kube's `DeserializeGuard` is the same for every format: it reads the object into a tree of values first, which is a second decoder for
/// each type (0.6 MB of the program) and a copy of each object of a watch. This one knows JSON only, of which it needs the text.
///
/// `managedFields` are left out: they are most of an object in memory (a tree of maps for each manager), and nobody here asks who wrote
/// what. So is what `kubectl apply` keeps of its manifest, a second copy of the spec. A write of the status changes neither
/// (k8s.io/apiextensions-apiserver, pkg/registry/customresource/status_strategy.go).
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, InvalidObject>);

#[derive(Deserialize)]
struct OnlyMetadata {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned + Resource> Deserialize<'de> for Guarded<K> {
    /// Fails if it is not an object with metadata at all, and with a deserializer that is not of text in JSON: in a watch, the type of an
    /// event must stand before its object, as API servers write it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let error = match serde_json::from_str::<K>(text.get()) {
            Ok(mut object) => {
                trim(object.meta_mut());
                return Ok(Self(Ok(object)));
            }
            Err(error) => error,
        };
        let OnlyMetadata { mut metadata } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        trim(&mut metadata);
        // The place in an answer of the API server, which nobody sees.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let error = error.to_string();
        let error = error.strip_suffix(&place).unwrap_or(&error).to_owned();
        Ok(Self(Err(InvalidObject { error, metadata })))
    }
}

/// Without what nobody here reads.
fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    let annotations = metadata.annotations.take().map(|mut annotations| {
        annotations.remove(LAST_APPLIED);
        annotations
    });
    metadata.annotations = annotations.filter(|annotations| !annotations.is_empty());
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;
    use crate::api::RefreshableToken;

    const GOOD: &str = r#"{"metadata": {"name": "good", "managedFields": [{"manager": "kubectl"}], "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}}, "spec": {"provider": {"jfrogAccess": {"url": "https://art.example.com"}},
        "credential": {"seedSecretRef": {"name": "s"}}, "outputs": [{"secretName": "o", "opaque": {}}]}}"#;
    const BAD: &str = r#"{"metadata": {"name": "bad", "namespace": "build", "uid": "1"}, "spec": {"outputs": 7}}"#;

    #[test]
    fn a_bad_object_of_a_list_leaves_the_others_be() {
        let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "metadata": {{}}, "items": [{BAD}, {GOOD}]}}"#);
        let list: ObjectList<Guarded<RefreshableToken>> = serde_json::from_str(&list).unwrap();
        let [bad, good] = &list.items[..] else { panic!("{list:?}") };
        assert_eq!((bad.name_any().as_str(), bad.namespace().as_deref()), ("bad", Some("build")));
        assert_eq!(bad.0.as_ref().unwrap_err().error, "invalid type: integer `7`, expected a sequence");
        let good = good.0.as_ref().unwrap();
        assert_eq!((good.spec.outputs[0].secret_name.as_str(), &good.metadata.managed_fields), ("o", &None));
        assert_eq!(good.annotations().keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_bad_object_of_a_watch_is_an_event_too() {
        let event = |object: &str| format!(r#"{{"type": "MODIFIED", "object": {object}}}"#);
        let read = |object: &str| match serde_json::from_str(&event(object)).unwrap() {
            WatchEvent::Modified(object) => object,
            other => panic!("{other:?}"),
        };
        let bad: Guarded<RefreshableToken> = read(BAD);
        assert_eq!((bad.0.is_err(), bad.uid().as_deref()), (true, Some("1")));
        assert!(read(GOOD).0.is_ok());
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        let read = |text: &str| serde_json::from_str::<Guarded<RefreshableToken>>(text).map(drop).is_err();
        assert!(read("7") && read(r#"{"metadata": 7}"#) && read("{"));
    }
}
