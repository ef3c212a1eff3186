//! Reading requests. What is not known is refused loudly.

use std::collections::BTreeMap;

use serde_json::Value;
use url::form_urlencoded;

use super::failure::Failure;
use super::kind::Kind;
use super::managed::manager_of;
use super::selector::Selector;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// GET of one object.
    Get,
    /// GET of many.
    List,
    /// GET of what happens to many.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH with a JSON patch (RFC 6902).
    JsonPatch,
    /// PATCH with a merge patch (RFC 7386).
    MergePatch,
    /// PATCH by server-side apply.
    Apply,
    /// DELETE of one object.
    Delete,
}

impl Verb {
    /// Whether it writes.
    #[must_use]
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A request that was understood.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are parameters of the API, each on its own")]
pub struct Request {
    /// What it wants.
    pub verb: Verb,
    /// Of which kind.
    pub kind: Kind,
    /// In which namespace; empty: in all, or the kind has none.
    pub namespace: String,
    /// Of which name; empty for lists, watches and creations.
    pub name: String,
    /// The status subresource is meant.
    pub status: bool,
    /// `dryRun=All`.
    pub dry_run: bool,
    /// What was sent; null if nothing.
    pub body: Value,
    pub(super) force: bool,
    pub(super) manager: String,
    pub(super) only_metadata: bool,
    pub(super) selector: Selector,
    pub(super) resource_version: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) next: Option<String>,
    pub(super) bookmarks: bool,
    pub(super) initial_events: bool,
    pub(super) timeout_seconds: Option<u64>,
}

/// What stands in a path.
struct Place {
    kind: Kind,
    namespace: String,
    name: String,
    status: bool,
}

const PARAMETERS: [&str; 16] = [
    "allowWatchBookmarks",
    "continue",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "force",
    "labelSelector",
    "limit",
    "pretty",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeout",
    "timeoutSeconds",
    "watch",
];

impl Request {
    pub(super) fn parse(parts: &http::request::Parts, body: &[u8]) -> Result<Self, Failure> {
        let place = Place::parse(parts.uri.path())?;
        let query = parts.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if let Some(unknown) = query.keys().find(|key| !PARAMETERS.contains(&key.as_str())) {
            return Err(Failure::not_implemented(&format!("the parameter {unknown}")));
        }
        let header = |name: http::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let verb = verb(&parts.method, &place, &query, header(http::header::CONTENT_TYPE))?;
        let get = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
        let is = |key: &str| matches!(get(key), "true" | "1");
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|error| Failure::bad_request(&error.to_string()))?
        };
        let manager = query.get("fieldManager").filter(|name| !name.is_empty());
        let manager = manager.map_or_else(|| manager_of(header(http::header::USER_AGENT)), String::as_str);
        let request = Self {
            verb,
            kind: place.kind,
            namespace: place.namespace,
            name: place.name,
            status: place.status,
            dry_run: dry_run(&query, &body, verb)?,
            body,
            force: is("force"),
            manager: manager.to_owned(),
            only_metadata: header(http::header::ACCEPT).contains("as=PartialObjectMetadata"),
            selector: Selector::parse(get("labelSelector"), get("fieldSelector"))?,
            resource_version: query.get("resourceVersion").cloned(),
            limit: get("limit").parse().ok().filter(|limit| *limit > 0),
            next: query.get("continue").cloned().filter(|token| !token.is_empty()),
            bookmarks: is("allowWatchBookmarks"),
            initial_events: is("sendInitialEvents"),
            timeout_seconds: get("timeoutSeconds").parse().ok(),
        };
        request.check(&query)?;
        Ok(request)
    }

    fn check(&self, query: &BTreeMap<String, String>) -> Result<(), Failure> {
        if self.verb == Verb::Apply && !query.contains_key("fieldManager") {
            return Err(Failure::bad_request("PatchOptions: fieldManager is required for apply patch"));
        }
        if self.kind == Kind::Namespace && self.verb != Verb::Get {
            return Err(Failure::not_implemented(&format!("{:?} of namespaces", self.verb)));
        }
        if self.status && !self.kind.is_custom() {
            return Err(Failure::not_implemented(&format!("the status of {}", self.kind.plural())));
        }
        if self.verb == Verb::Apply && !matches!(self.kind, Kind::Secret | Kind::ConfigMap) {
            return Err(Failure::not_implemented(&format!("server-side apply of {}", self.kind.plural())));
        }
        Ok(())
    }
}

fn dry_run(query: &BTreeMap<String, String>, body: &Value, verb: Verb) -> Result<bool, Failure> {
    let in_body = body.get("dryRun").filter(|_| verb == Verb::Delete);
    match (query.get("dryRun").map(String::as_str), in_body) {
        (None | Some(""), None) => Ok(false),
        (Some("All"), _) => Ok(true),
        (_, Some(list)) => Ok(list.as_array().is_some_and(|list| list.iter().any(|item| item == "All"))),
        (Some(other), None) => Err(Failure::bad_request(&format!("dryRun: {other}"))),
    }
}

impl Place {
    fn parse(path: &str) -> Result<Self, Failure> {
        let unknown = || Failure::not_implemented(&format!("the path {path}"));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(unknown()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (*plural, "", false),
            [plural, name] => (*plural, *name, false),
            [plural, name, "status"] => (*plural, *name, true),
            _ => return Err(unknown()),
        };
        let kind = Kind::of_path(group, version, plural).ok_or_else(unknown)?;
        Ok(Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), status })
    }
}

fn verb(method: &http::Method, place: &Place, query: &BTreeMap<String, String>, content: &str) -> Result<Verb, Failure> {
    let watch = query.get("watch").is_some_and(|value| value == "true" || value == "1");
    let content = content.split(';').next().unwrap_or_default();
    let named = !place.name.is_empty();
    match (method.as_str(), named) {
        ("GET", true) => Ok(Verb::Get),
        ("GET", false) if watch => Ok(Verb::Watch),
        ("GET", false) => Ok(Verb::List),
        ("POST", false) => Ok(Verb::Create),
        ("PUT", true) => Ok(Verb::Update),
        ("PATCH", true) => match content {
            "application/json-patch+json" => Ok(Verb::JsonPatch),
            "application/merge-patch+json" => Ok(Verb::MergePatch),
            "application/apply-patch+yaml" => Ok(Verb::Apply),
            "application/strategic-merge-patch+json" => Err(Failure::not_implemented("strategic merge patches")),
            other => Err(Failure::media_type(other)),
        },
        ("DELETE", true) if !place.status => Ok(Verb::Delete),
        (method, _) => Err(Failure::not_implemented(&format!("{method} of {}", place.kind.plural()))),
    }
}
