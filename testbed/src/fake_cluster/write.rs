//! Creating, replacing, patching and deleting.

use std::sync::Arc;

use json_patch::{AddOperation, PatchOperation, ReplaceOperation};
use serde_json::{Value, json};

use super::Inner;
use super::failure::Failure;
use super::json::{list, meta, meta_text, set_meta, text};
use super::kind::Kind;
use super::managed::{self, Writer};
use super::request::{Request, Verb};
use super::rules;
use super::store::Key;

/// A success: code and body.
pub(super) type Answer = Result<(u16, Arc<Value>), Failure>;

impl Inner {
    pub(super) fn create(&mut self, request: &Request) -> Answer {
        rules::check_body(request.kind, &request.body, &request.namespace, "")?;
        let mut object = request.body.clone();
        rules::decode(request.kind, &mut object);
        self.check_namespace(&request.namespace)?;
        if meta_text(&object, "name").is_empty() && !meta_text(&object, "generateName").is_empty() {
            let name = format!("{}{:05x}", meta_text(&object, "generateName"), self.store.revision());
            set_meta(&mut object, "name", Some(name.into()));
        }
        set_meta(&mut object, "managedFields", None);
        let now = self.now();
        managed::update(request.kind, None, &mut object, &writer(request, &now));
        self.insert(request, object)
    }

    /// Ends a creation, by POST or by apply.
    fn insert(&mut self, request: &Request, mut object: Value) -> Answer {
        let kind = request.kind;
        let (uid, now) = (self.fresh_uid(), self.now());
        rules::prepare_create(kind, &mut object, &request.namespace, uid, &now);
        rules::validate(kind, &object)?;
        if request.verb == Verb::Create && !request.dry_run && meta(&object, "resourceVersion").is_some() {
            return Err(Failure::unclassed("resourceVersion should not be set on objects to be created"));
        }
        let name = meta_text(&object, "name").to_owned();
        let key = Key { kind, namespace: request.namespace.clone(), name };
        if self.store.get(&key).is_some() {
            return Err(Failure::already_exists(kind, &key.name));
        }
        if request.dry_run {
            return Ok((201, rules::stored(kind, &Arc::new(object))));
        }
        Ok((201, self.store.put(&key, object)))
    }

    /// Creating in a namespace that is not there, or is going, is refused (NamespaceLifecycle admission).
    fn check_namespace(&self, namespace: &str) -> Result<(), Failure> {
        let key = Key { kind: Kind::Namespace, namespace: String::new(), name: namespace.to_owned() };
        match self.store.get(&key) {
            None => Err(Failure::not_found(Kind::Namespace, namespace)),
            Some(found) if meta(&found, "deletionTimestamp").is_some() => Err(Failure::forbidden(&format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            ))),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn update(&mut self, request: &Request) -> Answer {
        rules::check_body(request.kind, &request.body, &request.namespace, &request.name)?;
        if meta_text(&request.body, "name").is_empty() {
            return Err(Failure::bad_request("name must be provided"));
        }
        let before = self.store.get(&key(request));
        if before.is_none() && !request.kind.is_created_by_update() {
            return Err(Failure::not_found(request.kind, &request.name));
        }
        let uid = meta_text(&request.body, "uid");
        if !uid.is_empty() && before.as_ref().is_none_or(|before| uid != meta_text(before, "uid")) {
            return Err(Failure::conflict(request.kind, &request.name, "Precondition failed: UID in precondition"));
        }
        let Some(before) = before else { return self.create(request) };
        let mut after = request.body.clone();
        rules::decode(request.kind, &mut after);
        let now = self.now();
        managed::update(request.kind, Some(&before), &mut after, &writer(request, &now));
        self.replace(request, &before, after)
    }

    pub(super) fn patch(&mut self, request: &Request) -> Answer {
        let Some(before) = self.store.get(&key(request)) else {
            return Err(Failure::not_found(request.kind, &request.name));
        };
        let mut after = Value::clone(&before);
        if request.verb == Verb::JsonPatch {
            let patch: json_patch::Patch =
                serde_json::from_value(request.body.clone()).map_err(|error| Failure::bad_request(&error.to_string()))?;
            for operation in patch.0 {
                let operation = as_in_go(operation, &after);
                json_patch::patch(&mut after, &[operation]).map_err(|error| Failure::unprocessable(&error.to_string()))?;
            }
        } else {
            if !request.body.is_object() {
                return Err(Failure::bad_request("the merge patch is no object"));
            }
            json_patch::merge(&mut after, &request.body);
        }
        // A patched object that does not decode is invalid, not a bad request.
        rules::check_body(request.kind, &after, &request.namespace, &request.name).map_err(|failure| {
            let decodes = failure.message.starts_with("the name");
            if decodes { failure } else { Failure::invalid(request.kind, &request.name, "patch", &failure.message) }
        })?;
        rules::decode(request.kind, &mut after);
        let now = self.now();
        managed::update(request.kind, Some(&before), &mut after, &writer(request, &now));
        self.replace(request, &before, after)
    }

    pub(super) fn apply(&mut self, request: &Request) -> Answer {
        let configuration = &request.body;
        rules::check_body(request.kind, configuration, &request.namespace, &request.name)?;
        if text(configuration, "/apiVersion").is_none() || text(configuration, "/kind").is_none() {
            return Err(Failure::bad_request("apiVersion and kind must be set"));
        }
        if configuration.get("stringData").is_some() {
            return Err(Failure::not_implemented("stringData in server-side apply"));
        }
        let before = self.store.get(&key(request));
        let now = self.now();
        let writer = writer(request, &now);
        let mut configuration = configuration.clone();
        set_meta(&mut configuration, "name", Some(request.name.clone().into()));
        set_meta(&mut configuration, "namespace", Some(request.namespace.clone().into()));
        let mut after = managed::apply(request.kind, before.as_deref(), &configuration, &writer, request.force)?;
        rules::decode(request.kind, &mut after);
        match before {
            Some(before) => self.replace(request, &before, after),
            None if !meta_text(&after, "uid").is_empty() => {
                Err(Failure::conflict(request.kind, &request.name, "uid mismatch: no existing object was found"))
            }
            None => {
                self.check_namespace(&request.namespace)?;
                self.insert(request, after)
            }
        }
    }

    /// Ends a replacement, by PUT, by patch or by apply.
    fn replace(&mut self, request: &Request, before: &Arc<Value>, mut after: Value) -> Answer {
        let (kind, name) = (request.kind, request.name.as_str());
        let version = meta_text(&after, "resourceVersion");
        if version.is_empty() {
            if !kind.takes_unconditional_update() {
                return Err(Failure::invalid(kind, name, "metadata.resourceVersion", "must be specified for an update"));
            }
        } else if version != meta_text(before, "resourceVersion") {
            return Err(Failure::changed(kind, name));
        }
        rules::prepare_update(kind, before, &mut after, request.status);
        rules::validate_update(kind, before, &after)?;
        set_meta(&mut after, "resourceVersion", meta(before, "resourceVersion").cloned());
        managed::keep_times(before, &mut after);
        let key = key(request);
        if meta(before, "deletionTimestamp").is_some() && list(&after, "/metadata/finalizers").is_empty() {
            if !request.dry_run {
                self.store.remove(&key);
            }
            return Ok((200, Arc::new(after)));
        }
        if request.dry_run || self.store.holds(&key, &after) {
            return Ok((200, Arc::new(after)));
        }
        Ok((200, self.store.put(&key, after)))
    }

    pub(super) fn delete(&mut self, request: &Request) -> Answer {
        let (kind, key) = (request.kind, key(request));
        let Some(before) = self.store.get(&key) else {
            return Err(Failure::not_found(kind, &request.name));
        };
        if matches!(text(&request.body, "/propagationPolicy"), Some("Foreground" | "Orphan")) {
            return Err(Failure::not_implemented("deletion other than in the background"));
        }
        for (wanted, found) in [("uid", "uid"), ("resourceVersion", "resourceVersion")] {
            let wanted = text(&request.body, &format!("/preconditions/{wanted}"));
            if wanted.is_some_and(|wanted| wanted != meta_text(&before, found)) {
                return Err(Failure::conflict(kind, &request.name, "Precondition failed"));
            }
        }
        if list(&before, "/metadata/finalizers").is_empty() {
            if !request.dry_run {
                self.store.remove(&key);
            }
            let details =
                json!({ "name": request.name, "group": kind.group(), "kind": kind.plural(), "uid": meta(&before, "uid") });
            let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
            return Ok((200, Arc::new(status)));
        }
        let after = self.deleting(&before);
        if request.dry_run || self.store.holds(&key, &after) {
            return Ok((200, Arc::new(after)));
        }
        Ok((200, self.store.put(&key, after)))
    }

    /// The object with the mark that it is being deleted.
    fn deleting(&self, before: &Value) -> Value {
        let mut after = before.clone();
        if meta(before, "deletionTimestamp").is_none() {
            if let Some(generation) = meta(before, "generation").and_then(Value::as_i64) {
                set_meta(&mut after, "generation", Some((generation + 1).into()));
            }
            set_meta(&mut after, "deletionTimestamp", Some(self.now().into()));
        }
        set_meta(&mut after, "deletionGracePeriodSeconds", Some(0.into()));
        after
    }

    /// Deletes what has owners of which none is there any more, and takes those that are gone out of other objects, as the garbage
    /// collector does in the background. Gives how many objects it deleted.
    pub(super) fn collect_garbage(&mut self) -> usize {
        let uids: Vec<&str> = self.store.all().map(|(_, object)| meta_text(object, "uid")).collect();
        let gone = |owner: &Value| !uids.contains(&text(owner, "/uid").unwrap_or_default());
        let (mut orphans, mut half) = (Vec::new(), Vec::new());
        for (key, object) in self.store.all() {
            let owners = list(object, "/metadata/ownerReferences");
            let left: Vec<Value> = owners.iter().filter(|owner| !gone(owner)).cloned().collect();
            if left.is_empty() && !owners.is_empty() {
                orphans.push(key.clone());
            } else if left.len() < owners.len() {
                half.push((key.clone(), Arc::clone(object), left));
            }
        }
        for (key, before, left) in half {
            let mut after = Value::clone(&before);
            set_meta(&mut after, "ownerReferences", Some(left.into()));
            let now = self.now();
            let writer = Writer { manager: "kube-controller-manager", status: false, now: &now };
            managed::update(key.kind, Some(&before), &mut after, &writer);
            self.store.put(&key, after);
        }
        for key in &orphans {
            self.remove(key);
        }
        orphans.len()
    }

    /// Deletes an object as `kubectl delete` does.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some(before) = self.store.get(key) else { return };
        if list(&before, "/metadata/finalizers").is_empty() {
            self.store.remove(key);
        } else if meta(&before, "deletionTimestamp").is_none() {
            let after = self.deleting(&before);
            self.store.put(key, after);
        }
    }
}

/// The server's library (evanphx/json-patch v4) adds a key that it should replace and that is not there.
fn as_in_go(operation: PatchOperation, object: &Value) -> PatchOperation {
    match operation {
        PatchOperation::Replace(ReplaceOperation { path, value }) if object.pointer(path.as_str()).is_none() => {
            let parent = path.as_str().rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
            if parent.is_some_and(Value::is_object) {
                return PatchOperation::Add(AddOperation { path, value });
            }
            PatchOperation::Replace(ReplaceOperation { path, value })
        }
        other => other,
    }
}

pub(super) fn key(request: &Request) -> Key {
    Key { kind: request.kind, namespace: request.namespace.clone(), name: request.name.clone() }
}

fn writer<'a>(request: &'a Request, now: &'a str) -> Writer<'a> {
    Writer { manager: &request.manager, status: request.status, now }
}
