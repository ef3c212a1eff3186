//! Reading one object, or many.

use std::sync::Arc;

use serde_json::{Value, json};

use super::failure::Failure;
use super::json::meta_text;
use super::kind::Kind;
use super::request::Request;
use super::store::Store;
use super::write::{Answer, key};

/// One object.
pub(super) fn get(store: &Store, request: &Request) -> Answer {
    let found = store.get(&key(request)).ok_or_else(|| Failure::not_found(request.kind, &request.name))?;
    Ok((200, if request.only_metadata { Arc::new(only_metadata(&found)) } else { found }))
}

/// A list, whole or in pieces. A piece names the last object it holds; what follows is from the time of the first piece only
/// in so far as nothing was written in between, which is when the token expires.
pub(super) fn list(store: &Store, request: &Request) -> Answer {
    let namespace = Some(request.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let after = request.next.as_deref().map(|token| from_token(token, store)).transpose()?;
    let place = |object: &Value| (meta_text(object, "namespace").to_owned(), meta_text(object, "name").to_owned());
    let mut all = store.list(request.kind, namespace);
    all.retain(|object| after.as_ref().is_none_or(|after| place(object) > *after));
    let limit = request.limit.unwrap_or(usize::MAX);
    let mut left = all.into_iter();
    let found: Vec<_> = left.by_ref().filter(|object| request.selector.matches(object)).take(limit).collect();
    let mut metadata = json!({ "resourceVersion": store.revision().to_string() });
    // Whether what is left would be selected is found out when it is asked for.
    if let (Some(last), Some(map)) = (found.last().filter(|_| left.len() > 0), metadata.as_object_mut()) {
        let (namespace, name) = place(last);
        map.insert("continue".into(), format!("{}/{namespace}/{name}", store.revision()).into());
        if request.selector.is_empty() {
            map.insert("remainingItemCount".into(), left.len().into());
        }
    }
    let items: Vec<Value> = found.iter().map(|object| item(object, request)).collect();
    // A list of metadata in which nothing is says null.
    let items = if request.only_metadata && items.is_empty() { Value::Null } else { items.into() };
    let (version, kind) = if request.only_metadata {
        ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
    } else {
        (request.kind.api_version(), format!("{}List", request.kind.name()))
    };
    Ok((200, Arc::new(json!({ "kind": kind, "apiVersion": version, "metadata": metadata, "items": items }))))
}

fn from_token(token: &str, store: &Store) -> Result<(String, String), Failure> {
    let mut parts = token.splitn(3, '/');
    let (revision, namespace, name) = (parts.next(), parts.next(), parts.next());
    if revision != Some(store.revision().to_string().as_str()) {
        return Err(Failure::expired("The provided continue parameter is too old to display a consistent list result."));
    }
    let bad = || Failure::bad_request("continue key is not valid");
    Ok((namespace.ok_or_else(bad)?.to_owned(), name.ok_or_else(bad)?.to_owned()))
}

/// Items of lists of built-in kinds bear neither apiVersion nor kind.
fn item(object: &Value, request: &Request) -> Value {
    if request.only_metadata {
        return only_metadata(object);
    }
    let mut item = object.clone();
    if let (false, Some(map)) = (request.kind.is_custom(), item.as_object_mut()) {
        map.remove("apiVersion");
        map.remove("kind");
    }
    item
}

/// The PartialObjectMetadata of an object.
pub(super) fn only_metadata(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata") })
}

/// What a bookmark shows.
pub(super) fn bookmark(kind: Kind, only_metadata: bool, revision: u64) -> Value {
    let metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
    if only_metadata {
        json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
    } else {
        json!({ "kind": kind.name(), "apiVersion": kind.api_version(), "metadata": metadata })
    }
}
