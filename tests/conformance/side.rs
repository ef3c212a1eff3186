//! One of the two clusters: sends the requests of a sequence and keeps what a client would remember.

use std::collections::HashMap;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::operation::{Kind, Operation, Which, change, fresh, json_patch};
use crate::view::View;

/// Never the UID, or a resourceVersion, of anything.
const NOBODY: &str = "11111111-2222-3333-4444-555555555555";
/// Created after a sequence, so that a watch shows when it is at the end.
const END: &str = "zz-end";

/// One request, ready to be sent.
struct Call {
    method: &'static str,
    path: String,
    accept: String,
    content: &'static str,
    body: Value,
    /// The object that a success shows as it is stored.
    shows: Option<(Kind, &'static str)>,
}

impl Call {
    fn read(path: String) -> Self {
        let (accept, content) = (accept(false, ""), "application/json");
        Self { method: "GET", path, accept, content, body: Value::Null, shows: None }
    }

    fn write(method: &'static str, path: String, body: Value) -> Self {
        Self { method, body, ..Self::read(path) }
    }

    fn patch(type_: &'static str, path: String, body: Value) -> Self {
        let content = match type_ {
            "apply-patch+yaml" => "application/apply-patch+yaml",
            "json-patch+json" => "application/json-patch+json",
            _ => "application/merge-patch+json",
        };
        Self { content, ..Self::write("PATCH", path, body) }
    }

    /// The answer shows this object, unless it shows what is not stored or a part only.
    fn of(mut self, kind: Kind, name: &'static str, unlike: bool) -> Self {
        self.shows = (!unlike).then_some((kind, name));
        self
    }
}

fn accept(metadata: bool, list: &str) -> String {
    if metadata {
        format!("application/json;as=PartialObjectMetadata{list};g=meta.k8s.io;v=v1")
    } else {
        "application/json".to_owned()
    }
}

/// A cluster, in one namespace of it.
pub struct Side {
    client: Client,
    namespace: String,
    view: View,
    seen: HashMap<(Kind, &'static str), Vec<Value>>,
    begun: HashMap<Kind, String>,
}

impl Side {
    /// Begins in a namespace that must be there and empty.
    pub async fn begin(client: Client, namespace: &str) -> Self {
        let mut side =
            Self { client, namespace: namespace.to_owned(), view: View::default(), seen: HashMap::new(), begun: HashMap::new() };
        for kind in [Kind::Secret, Kind::Token] {
            // "0" asks the watch cache, so that it is there and knows this version.
            let (_, list) = side.get(&side.path(kind, "", "?resourceVersion=0")).await;
            side.begun.insert(kind, list["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
        }
        side
    }

    fn path(&self, kind: Kind, name: &str, more: &str) -> String {
        let (prefix, plural) = match kind {
            Kind::Secret => ("/api/v1", "secrets"),
            Kind::ConfigMap => ("/api/v1", "configmaps"),
            Kind::Lease => ("/apis/coordination.k8s.io/v1", "leases"),
            Kind::Event => ("/apis/events.k8s.io/v1", "events"),
            Kind::Token => ("/apis/refreshabletoken.io/v1alpha1", "refreshabletokens"),
        };
        let name = if name.is_empty() { String::new() } else { format!("/{name}") };
        format!("{prefix}/namespaces/{}/{plural}{name}{more}", self.namespace)
    }

    async fn send(&self, method: &str, path: &str, accept: &str, content: &str, body: Value) -> (u16, Value) {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        let request = http::Request::builder().method(method).uri(path).header("accept", accept).header("content-type", content);
        let response = self.client.send(request.body(Body::from(bytes)).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "application/json", "application/json", Value::Null).await
    }

    /// The last or an earlier version of an object, as this client saw it.
    fn remembered(&self, kind: Kind, name: &'static str, which: Which) -> Option<&Value> {
        let versions = self.seen.get(&(kind, name))?;
        match which {
            Which::No => None,
            Which::Last => versions.last(),
            Which::Other => versions.len().checked_sub(2).and_then(|at| versions.get(at)),
        }
    }

    /// What a request's `metadata` says about version and UID.
    fn preconditions(&self, object: &mut Value, (kind, name): (Kind, &'static str), version: Which, uid: Which) {
        let last = self.remembered(kind, name, Which::Last).cloned();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        metadata.remove("uid");
        if version != Which::No {
            let known = self
                .remembered(kind, name, version)
                .map_or_else(|| json!("1"), |seen| seen["metadata"]["resourceVersion"].clone());
            metadata.insert("resourceVersion".into(), known);
        }
        match uid {
            Which::No => {}
            Which::Last | Which::Other => {
                let known = last.filter(|_| uid == Which::Last).map(|last| last["metadata"]["uid"].clone());
                metadata.insert("uid".into(), known.unwrap_or_else(|| NOBODY.into()));
            }
        }
    }

    /// Sends one request and gives what is to be compared.
    pub async fn perform(&mut self, operation: &Operation) -> Value {
        if let Operation::Pages { kind, selector, limit, metadata } = operation {
            return self.pages(*kind, selector, *limit, *metadata).await;
        }
        let call = self.call(operation);
        let (code, body) = self.send(call.method, &call.path, &call.accept, call.content, call.body).await;
        if let Some(about) = call.shows.filter(|_| code < 300 && body["metadata"]["resourceVersion"].is_string()) {
            self.seen.entry(about).or_default().push(body.clone());
        }
        self.view.answer(code, &body)
    }

    /// Every page of a list, and what each says of what is left.
    async fn pages(&mut self, kind: Kind, selector: &str, limit: usize, metadata: bool) -> Value {
        let (mut pages, mut next) = (Vec::new(), String::new());
        loop {
            let more = format!("?labelSelector={}&limit={limit}&continue={next}", encoded(selector));
            let (accept, path) = (accept(metadata, "List"), self.path(kind, "", &more));
            let (code, list) = self.send("GET", &path, &accept, "application/json", Value::Null).await;
            let left = list["metadata"]["remainingItemCount"].clone();
            let token = list["metadata"]["continue"].as_str().unwrap_or_default();
            pages.push(json!([self.view.answer(code, &list), !token.is_empty(), left]));
            if token.is_empty() {
                return pages.into();
            }
            next = encoded(token);
        }
    }

    fn call(&self, operation: &Operation) -> Call {
        match operation {
            Operation::Create { kind, name, edits, version, dry, manager } => {
                let mut object = fresh(*kind, name);
                if *kind == Kind::Event {
                    object["regarding"]["namespace"] = self.namespace.clone().into();
                }
                change(*kind, &mut object, edits);
                self.preconditions(&mut object, (*kind, name), *version, Which::No);
                Call::write("POST", self.path(*kind, "", &options(*dry, manager, false)), object).of(*kind, name, *dry)
            }
            Operation::Get { kind, name, metadata } => {
                let call = Call { accept: accept(*metadata, ""), ..Call::read(self.path(*kind, name, "")) };
                call.of(*kind, name, *metadata)
            }
            Operation::List { kind, selector, metadata } => {
                let list = self.path(*kind, "", &format!("?labelSelector={}", encoded(selector)));
                Call { accept: accept(*metadata, "List"), ..Call::read(list) }
            }
            Operation::Pages { .. } => unreachable!("these are many calls"),
            Operation::Update { kind, name, edits, version, uid, dry, manager } => {
                let mut object = self.last(*kind, name);
                change(*kind, &mut object, edits);
                self.preconditions(&mut object, (*kind, name), *version, *uid);
                Call::write("PUT", self.path(*kind, name, &options(*dry, manager, false)), object).of(*kind, name, *dry)
            }
            Operation::Status { name, edits, version, dry, manager } => {
                let mut object = self.last(Kind::Token, name);
                change(Kind::Token, &mut object, edits);
                self.preconditions(&mut object, (Kind::Token, name), *version, Which::No);
                let at = self.path(Kind::Token, name, &format!("/status{}", options(*dry, manager, false)));
                Call::write("PUT", at, object).of(Kind::Token, name, *dry)
            }
            Operation::Delete { kind, name, uid, version, dry } => {
                let mut object = json!({ "metadata": {} });
                self.preconditions(&mut object, (*kind, name), *version, *uid);
                let mut options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": object["metadata"] });
                if *dry {
                    options["dryRun"] = json!(["All"]);
                }
                Call::write("DELETE", self.path(*kind, name, ""), options).of(*kind, name, *dry)
            }
            Operation::Apply { .. } | Operation::JsonPatch { .. } | Operation::MergePatch { .. } => self.patch(operation),
        }
    }

    fn patch(&self, operation: &Operation) -> Call {
        match operation {
            Operation::Apply { name, edits, version, uid, force, dry, manager } => {
                let mut object = fresh(Kind::Secret, name);
                change(Kind::Secret, &mut object, edits);
                self.preconditions(&mut object, (Kind::Secret, name), *version, *uid);
                let at = self.path(Kind::Secret, name, &options(*dry, manager, *force));
                Call::patch("apply-patch+yaml", at, object).of(Kind::Secret, name, *dry)
            }
            Operation::JsonPatch { kind, name, edit, uid, dry, manager } => {
                let last = self.last(*kind, name)["metadata"]["uid"].clone();
                let test = (*uid != Which::No).then(|| if *uid == Which::Last { last } else { NOBODY.into() });
                let test = test.map(|uid| json!({ "op": "test", "path": "/metadata/uid", "value": uid }));
                let patch: Vec<Value> = test.into_iter().chain(json_patch(*kind, edit)).collect();
                let at = self.path(*kind, name, &options(*dry, manager, false));
                Call::patch("json-patch+json", at, patch.into()).of(*kind, name, *dry)
            }
            Operation::MergePatch { kind, name, edits, version, status, dry, manager } => {
                let mut object = if *kind == Kind::Event { fresh(*kind, name) } else { json!({ "metadata": {} }) };
                change(*kind, &mut object, edits);
                self.preconditions(&mut object, (*kind, name), *version, Which::No);
                let status = if *status && *kind == Kind::Token { "/status" } else { "" };
                let at = self.path(*kind, name, &format!("{status}{}", options(*dry, manager, false)));
                Call::patch("merge-patch+json", at, object).of(*kind, name, *dry)
            }
            other => unreachable!("{other:?} is no patch"),
        }
    }

    /// The object as last seen, or as a client would first write it.
    fn last(&self, kind: Kind, name: &'static str) -> Value {
        self.remembered(kind, name, Which::Last).cloned().unwrap_or_else(|| fresh(kind, name))
    }

    /// What watches from the beginning of the sequence show.
    pub async fn watched(&mut self) -> Vec<Value> {
        for kind in [Kind::Secret, Kind::Token] {
            let mut end = fresh(kind, END);
            end["metadata"]["labels"] = json!({ "role": "seed" });
            let call = Call::write("POST", self.path(kind, "", ""), end);
            let (code, _) = self.send(call.method, &call.path, &call.accept, call.content, call.body).await;
            assert_eq!(code, 201);
        }
        let selector = "&labelSelector=role+in+%28seed%2Coutput%29";
        let mut all = Vec::new();
        for (kind, more, metadata) in [(Kind::Secret, "", false), (Kind::Secret, selector, true), (Kind::Token, "", false)] {
            all.extend(self.watch(kind, more, metadata).await);
        }
        all
    }

    async fn watch(&mut self, kind: Kind, more: &str, metadata: bool) -> Vec<Value> {
        let path = self.path(kind, "", &format!("?watch=true&resourceVersion={}{more}", self.begun[&kind]));
        let request = http::Request::get(path).header("accept", accept(metadata, "")).body(Body::empty()).unwrap();
        let mut body = self.client.send(request).await.unwrap().into_body();
        let (mut text, mut events) = (Vec::new(), Vec::new());
        self.view = View::default();
        loop {
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                if event["object"]["metadata"]["name"] == END {
                    return events;
                }
                events.push(self.view.event(&event));
            }
            let Some(frame) = body.frame().await else {
                panic!(
                    "the watch {kind:?}{more} in {} ended after {events:#?} and {:?}",
                    self.namespace,
                    String::from_utf8_lossy(&text)
                );
            };
            let frame = frame.unwrap();
            text.extend_from_slice(frame.data_ref().unwrap());
        }
    }
}

fn options(dry: bool, manager: &str, force: bool) -> String {
    let dry = if dry { "&dryRun=All" } else { "" };
    let force = if force { "&force=true" } else { "" };
    format!("?fieldManager={manager}{dry}{force}")
}

/// A text as a value of a query.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
