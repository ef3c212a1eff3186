//! What the API server lets in: a table of manifests that it must refuse with words that help, and one that it must take.
//!
//! Every manifest goes to the real API server as `kubectl apply` sends it, strict about unknown fields, as a dry run. The same
//! tables hold for [`validate`], which repeats the rules for objects that are older than a rule.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

mod bad;
mod consumers;
mod good;
mod http;
mod kubectl;
mod steps;
mod update;

use std::collections::BTreeSet;

use kube::core::Status;
use kube::core::params::PostParams;
use kube::{Client, core::Request};
use refreshable_token_operator::api::{ProviderSpec, RefreshableToken, validate};
use refreshable_token_operator::operator::endpoint::EndpointPolicy;
use serde_json::Value;

use crate::world::test;

/// The base manifests: small and good.
const ACCESS: &str = "provider: {jfrogAccess: {url: https://art.example.com}}";
const DISTRIBUTION: &str = "provider: {jfrogDistribution: {url: https://art.example.com}}\nrequest: {lifetime: 1h}";
const ELASTIC: &str = "provider: {elasticCloudEnterprise: {url: https://ece.example.com:12443}}";
const HTTP: &str = "provider: {http: {request: {url: 'https://api.example.com/token', auth: {bearer: RefreshToken}}, reply: {accessToken: \
                    /access_token, refreshToken: /refresh_token}, semantics: {rotation: Strict}}}";
const OAUTH2: &str = "provider: {oauth2: {tokenURL: https://idp.example.com/oauth2/token}}";

/// A manifest and what the API server shall say about it.
struct Case {
    name: String,
    manifest: Value,
    /// Field that the refusal names; empty where it names none, because the manifest cannot be read as a whole.
    field: String,
    says: String,
}

impl Case {
    /// The base manifest, changed by a merge patch in YAML.
    fn new(name: &str, base: &str, change: &str, field: &str, says: &str) -> Self {
        let mut manifest = manifest(base);
        json_patch::merge(&mut manifest, &yaml(change));
        Self { name: format!("{name} ({change:.60})"), manifest, field: field.to_owned(), says: says.to_owned() }
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn manifest(base: &str) -> Value {
    let rest = "credential: {seedSecretRef: {name: seed}}\noutputs: [{secretName: out, opaque: {}}]";
    serde_json::json!({
        "apiVersion": "refreshabletoken.io/v1alpha1",
        "kind": "RefreshableToken",
        "metadata": {"name": "token"},
        "spec": yaml(&format!("{base}\n{rest}")),
    })
}

/// Where the objects of a namespace are.
fn url(namespace: &str) -> String {
    format!("/apis/refreshabletoken.io/v1alpha1/namespaces/{namespace}/refreshabletokens")
}

/// Sends a manifest as a dry run; `validation` is how unknown fields are treated.
async fn create(client: &Client, namespace: &str, manifest: &Value, validation: &str) -> Result<Value, Box<Status>> {
    let params = PostParams { dry_run: true, field_manager: Some("kubectl-client-side-apply".into()) };
    let mut request = Request::new(url(namespace)).create(&params, manifest.to_string().into_bytes()).unwrap();
    *request.uri_mut() = format!("{}&fieldValidation={validation}", request.uri()).parse().unwrap();
    answer(client.request(request).await)
}

fn answer(result: kube::Result<Value>) -> Result<Value, Box<Status>> {
    match result {
        Ok(value) => Ok(value),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

/// The fields that a refusal names and what it says about each.
fn causes(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.map(|cause| (cause.field.clone(), cause.message.clone())).collect()
}

/// What is wrong with a refusal, if anything.
fn complaint(case: &Case, status: &Status) -> Option<String> {
    let causes = causes(status);
    let said = if case.field.is_empty() {
        status.message.contains(&case.says)
    } else {
        // Some messages of a field follow a reason ("Required value: "), which stands in the whole text only.
        causes.iter().any(|(field, _)| *field == case.field) && status.message.contains(&case.says)
    };
    // Errors of a rule itself, and regular expressions, help nobody.
    let unhelpful = ["evaluating rule", "conversion error", "no such key", "should match", "oneOf", "cost"];
    let noisy = unhelpful.iter().any(|words| status.message.contains(words));
    (!said || noisy)
        .then(|| format!("{}\n  wanted {}: {}\n  got {}\n  {causes:?}", case.name, case.field, case.says, status.message))
}

#[test]
fn bad_manifests_are_refused_with_words_that_help() {
    test("admission-bad", |scene| async move {
        let cases = bad::cases();
        assert!(cases.len() >= 60, "{}", cases.len());
        let mut complaints = Vec::new();
        let mut seen = BTreeSet::new();
        for case in &cases {
            match create(&scene.world.client, scene.namespace, &case.manifest, "Strict").await {
                Ok(_) => complaints.push(format!("{}\n  was taken", case.name)),
                Err(status) => {
                    complaints.extend(complaint(case, &status));
                    seen.extend(causes(&status));
                }
            }
        }
        seen.extend(update::refusals(scene).await);
        complaints.extend(unseen(&seen));
        assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
        println!("{} bad manifests", cases.len());
    });
}

/// The rules of the CRD that no refusal showed.
fn unseen(seen: &BTreeSet<(String, String)>) -> Vec<String> {
    fn walk(path: &str, schema: &Value, rules: &mut Vec<(String, String)>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let field = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
            rules.push((field.trim_start_matches('.').to_owned(), rule["message"].as_str().unwrap().to_owned()));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), property, rules);
        }
        if let Some(items) = schema.get("items") {
            walk(&format!("{path}[0]"), items, rules);
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/refreshabletokens.yaml");
    let crd = yaml(&std::fs::read_to_string(path).unwrap());
    let mut rules = Vec::new();
    walk("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut rules);
    assert!(rules.len() > 50, "only {} rules found", rules.len());
    rules.retain(|(field, message)| {
        // The API server has no field for rules of the object as a whole.
        !seen.iter().any(|(named, said)| (named == field || (field.is_empty() && named == "<nil>")) && said.contains(message))
    });
    rules.into_iter().map(|(field, message)| format!("no bad manifest breaks the rule of {field:?}: {message}")).collect()
}

/// A rule that only the CRD has does not hold for objects that are older than the rule.
#[test]
fn what_admission_refuses_the_operator_refuses_too() {
    let mut complaints = Vec::new();
    let mut decoded = 0;
    for case in bad::cases() {
        let Ok(object) = serde_json::from_value::<RefreshableToken>(case.manifest) else { continue };
        if case.says.contains("unknown field") {
            continue; // Pruned where not refused; see the test of that.
        }
        decoded += 1;
        let name = object.metadata.name.unwrap();
        // Whether an address may be called, the endpoint rules tell.
        let Some(provider) = &object.spec.provider else { continue };
        let others: Vec<&str> = match provider {
            ProviderSpec::Oauth2(oauth2) => {
                [&oauth2.revocation_url, &oauth2.introspection_url].into_iter().flatten().map(String::as_str).collect()
            }
            ProviderSpec::Http(http) => {
                let revoke = http.revoke.iter().map(|revoke| &revoke.request);
                let probe = http.probe.iter().map(|probe| &probe.request);
                let verify = http.verify.iter().map(|verify| &verify.request);
                let steps = http.steps().iter().map(|step| &step.request);
                revoke.chain(probe).chain(verify).chain(steps).map(|request| request.url.as_str()).collect()
            }
            _ => Vec::new(),
        };
        let mut urls = std::iter::once(provider.url()).chain(others);
        let policy = EndpointPolicy::default();
        let allowed = urls.all(|url| policy.check_url(url).is_ok())
            && provider.proxy().is_none_or(|proxy| policy.check_proxy(&proxy.url).is_ok());
        if allowed && validate(&name, &object.spec).is_ok() {
            complaints.push(case.name);
        }
    }
    assert!(decoded > 60, "{decoded}");
    assert!(complaints.is_empty(), "the operator takes:\n{}", complaints.join("\n"));
}

/// A client may ask the API server to ignore unknown fields: then they are dropped before anybody reads them.
#[test]
fn unknown_fields_are_never_honoured() {
    test("admission-pruned", |scene| async move {
        let cases: Vec<_> = bad::cases().into_iter().filter(|case| case.says.contains("unknown field")).collect();
        assert!(cases.len() >= 10, "{}", cases.len());
        for case in cases {
            // The seed's namespace, the type of an output: what is left is what the same manifest says without them.
            match create(&scene.world.client, scene.namespace, &case.manifest, "Ignore").await {
                Ok(stored) => {
                    let object: RefreshableToken = serde_json::from_value(stored.clone()).unwrap();
                    let read = serde_json::to_value(&object.spec).unwrap();
                    assert_eq!(stored["spec"], read, "{}: a field that no code knows is stored", case.name);
                    assert!(stored.get("specs").is_none());
                }
                // The field stood in the place of one that must be there.
                Err(status) => assert!(status.message.contains("Required value"), "{}: {}", case.name, status.message),
            }
        }
    });
}

#[test]
fn good_manifests_are_taken_by_admission_and_operator() {
    test("admission-good", |scene| async move {
        let cases = good::cases();
        assert!(cases.len() >= 15, "{}", cases.len());
        let mut complaints = Vec::new();
        for case in &cases {
            match create(&scene.world.client, scene.namespace, &case.manifest, "Strict").await {
                Err(status) => complaints.push(format!("{}\n  {}", case.name, status.message)),
                Ok(stored) => {
                    if stored["spec"] != case.manifest["spec"] {
                        complaints.push(format!("{}\n  is stored as {}", case.name, stored["spec"]));
                    }
                    let object: RefreshableToken = serde_json::from_value(stored).unwrap();
                    let name = object.metadata.name.unwrap();
                    complaints.extend(validate(&name, &object.spec).err().map(|error| format!("{}\n  {error}", case.name)));
                }
            }
        }
        assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
        println!("{} good manifests", cases.len());
    });
}

/// Charts with empty values make `key: null`: that counts as absent, for the rules and for the operator.
#[test]
fn null_is_absent() {
    test("admission-null", |scene| async move {
        let rows = [
            (
                ACCESS,
                "suspend: null\nstateSecretName: null\nrequest: null\nrefresh: {before: null, beforePercent: 33, retry: null}",
                "",
            ),
            (
                ACCESS,
                "outputs: [{secretName: o, opaque: {expirationTimeKey: null}, basicAuth: null, dockerConfigJSON: null}]",
                "",
            ),
            (ELASTIC, "request: {lifetime: null, scope: null, description: null}", ""),
            (DISTRIBUTION, "request: {lifetime: null}", "without it the API gives a token that never expires"),
            (ACCESS, "outputs: [{secretName: o, opaque: null}]", "must have exactly one of opaque"),
        ];
        for (base, spec, says) in rows {
            let mut manifest = manifest(base);
            for (field, value) in yaml(spec).as_object().unwrap() {
                manifest["spec"][field] = value.clone();
            }
            match create(&scene.world.client, scene.namespace, &manifest, "Strict").await {
                Ok(stored) => {
                    assert!(says.is_empty(), "{spec} was taken");
                    let object: RefreshableToken = serde_json::from_value(stored).unwrap();
                    validate("token", &object.spec).unwrap();
                }
                Err(status) => assert!(!says.is_empty() && status.message.contains(says), "{spec}: {}", status.message),
            }
        }
    });
}
