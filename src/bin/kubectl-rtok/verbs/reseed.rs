//! `reseed`: a new first token into the seed Secret. The operator begins a new chain with it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{CLIENT_KEYS, ProviderSpec, ROLE_LABEL, RefreshableToken, SeedSecretRef};
use refreshable_token_operator::token::{SecretText, SigningKey};
use serde_json::{Map, Value, json};

use super::wait::until_ready;
use crate::Session;
use crate::cluster::object_name;
use crate::failure::{Failure, Tally, Verdict};
use crate::output::{line, tell};
use crate::targets::{Patience, Progress, place, stands_still};

/// Largest value. Our choice, as the operator's own limit for what a seed holds: common HTTP servers refuse larger header fields.
const LARGEST: usize = 16 * 1024;

// Arguments of `reseed`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok reseed artifactory-ci --from-file refresh_token=./refresh --from-file access_token=./access --wait
  curl ... | kubectl rtok reseed artifactory-ci --stdin
                                 the JSON answer of a token API, or one line with the refresh token

Both tokens are replaced as a pair: one that is not given is removed. Everything else stays unless given. A newline at the end of a file
is cut. No token is ever taken from the command line, where others could see it.")]
pub struct Reseed {
    /// Name of a RefreshableToken.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    name: String,
    /// A value: access_token, refresh_token, username, password, client_id, client_secret, private_key or key_id, or a key that
    /// provider.http names, and the file that holds it. May be repeated.
    #[arg(long = "from-file", value_name = "KEY=FILE", required_unless_present = "stdin", conflicts_with = "stdin")]
    files: Vec<String>,
    /// Read it from standard input: a JSON object with these keys, or one line with the token.
    #[arg(long)]
    stdin: bool,
    /// Wait until the new chain is ready.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
}

/// What a seed can hold, beside a client's credentials and what a declared request names.
const KEYS: [&str; 5] = ["access_token", "refresh_token", "username", "password", "subject_token"];

type Values = Vec<(String, SecretText)>;

/// What the seed of an object is to hold.
struct Wanted {
    /// What one line is.
    first: String,
    /// A chain begins with all of one of these.
    beginnings: Vec<Vec<String>>,
    /// Everything that is taken.
    keys: BTreeSet<String>,
}

impl Wanted {
    fn of(object: &RefreshableToken, provider: &ProviderSpec) -> Self {
        let named = match provider {
            ProviderSpec::Http(http) => http.seed_keys(),
            _ => BTreeSet::new(),
        };
        let owned = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let beginnings: Vec<_> = provider.beginnings(&object.spec.credential).into_iter().map(owned).collect();
        // Of several the token, which is what changes.
        let first = beginnings.first().and_then(|keys| keys.last()).map_or("client_id", String::as_str).to_owned();
        let keys = KEYS.into_iter().chain(CLIENT_KEYS).chain(named).map(str::to_owned).collect();
        Self { first, beginnings, keys }
    }

    /// What is missing for a chain to begin, in words; none: nothing. What stays of the seed that is there counts too.
    fn lacks(&self, object: &RefreshableToken, values: &[(String, SecretText)], old: Option<&Secret>) -> Option<String> {
        let reference = &object.spec.credential.seed_secret_ref;
        let stays = |key: &str| {
            let value = old.and_then(|old| old.data.as_ref()?.get(stored_as(reference, key)));
            !TOKENS.contains(&key) && value.is_some_and(|value| !value.0.is_empty())
        };
        let there = |key: &String| values.iter().any(|(given, _)| given == key) || stays(key);
        let begins = self.beginnings.iter().any(|keys| keys.iter().all(there));
        let all: Vec<String> = self.beginnings.iter().map(|keys| keys.join(" and ")).collect();
        (!begins).then(|| all.join(", or with "))
    }
}

/// What is replaced as a pair.
const TOKENS: [&str; 2] = ["access_token", "refresh_token"];

/// The key of the Secret at which a value stands.
fn stored_as<'a>(reference: &'a SeedSecretRef, key: &'a str) -> &'a str {
    let named = match key {
        "access_token" => reference.access_token_key.as_deref(),
        "refresh_token" => reference.refresh_token_key.as_deref(),
        "username" => reference.username_key.as_deref(),
        "password" => reference.password_key.as_deref(),
        _ => None,
    };
    named.unwrap_or(key)
}

impl Reseed {
    /// Writes it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        let object = reach.object(&self.name).await?;
        let provider = reach.provider(&object).await.map_err(|why| {
            let why = why.in_words();
            Failure::refused(format!("nobody knows what begins a chain: the provider of providerRef: {why}"))
        })?;
        let wanted = Wanted::of(&object, &provider);
        let values = if self.stdin { from_stdin(&wanted)? } else { from_files(&self.files, &wanted)? };
        let namespace = object.namespace().unwrap_or_default();
        let name = object.spec.credential.seed_secret_ref.name.clone();
        let old = reach.secret(&namespace, &name).await?;
        if let Some(lacks) = wanted.lacks(&object, &values, old.as_ref()) {
            return Err(Failure::usage(format!("{} begins a chain with the {lacks}: give it", provider.name())));
        }
        if let Some(old) = &old {
            usable(old, &name)?;
        }
        let secret = seed(&object, &provider, &values, old.as_ref())?;
        let written = reach.put_secret(&namespace, &name, &secret, old.is_some()).await?;
        let keys: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
        let said = format!("Secret {name} holds a new seed ({}); the operator begins a chain with it", keys.join(", "));
        line(&format!("{}: {said}", place(&object)))?;
        if object.spec.suspended() {
            tell("it is suspended: nothing happens until kubectl rtok resume");
        } else if self.wait {
            let before = stands_still(&object);
            let version = written.metadata.resource_version;
            let progress = |_: usize, seen: &RefreshableToken| progress(seen, version.as_deref(), before.as_deref());
            let mut tally = Tally::default();
            self.patience.wait(&reach, &[object], &mut tally, progress).await?;
            return Ok(tally.verdict());
        }
        Ok(Verdict::Good)
    }
}

/// The operator has read this seed, and what it said then.
fn progress(seen: &RefreshableToken, version: Option<&str>, before: Option<&str>) -> Progress {
    let read = seen.status.as_ref().and_then(|status| status.seed.as_ref()).and_then(|seed| seed.resource_version.as_deref());
    if read == version {
        return until_ready(seen);
    }
    // A seed that is refused is not written down; a new refusal is about it.
    match stands_still(seen) {
        Some(why) if Some(why.as_str()) != before && (why.starts_with("Seed") || why.starts_with("AlreadySpent")) => {
            Progress::Hopeless(why)
        }
        _ => Progress::Waiting,
    }
}

/// Whether the operator could use the Secret, and can be written.
fn usable(secret: &Secret, name: &str) -> Result<(), Failure> {
    if secret.immutable == Some(true) {
        return Err(Failure::refused(format!("Secret {name} is immutable: delete it first")));
    }
    let type_ = secret.type_.as_deref().unwrap_or_default();
    if type_.contains("kubernetes.io/") && type_ != "kubernetes.io/basic-auth" {
        return Err(Failure::refused(format!("Secret {name} is of type {type_}, which cannot be a seed: delete it first")));
    }
    if let Some(owner) = secret.owner_references().first() {
        tell(&format!("Secret {name} belongs to {} {}, which may write it back", owner.kind, owner.name));
    }
    Ok(())
}

/// The seed Secret, or what is to be merged into it at the version that was read.
fn seed(
    object: &RefreshableToken,
    provider: &ProviderSpec,
    values: &[(String, SecretText)],
    old: Option<&Secret>,
) -> Result<Value, Failure> {
    let reference = &object.spec.credential.seed_secret_ref;
    let mut data = Map::new();
    if old.is_some() {
        for token in TOKENS {
            data.insert(stored_as(reference, token).to_owned(), Value::Null);
        }
    }
    for (key, value) in values {
        if let (true, Some(client)) = (CLIENT_KEYS.contains(&key.as_str()), provider.client_secret_ref()) {
            return Err(Failure::usage(format!(
                "{key} stands in the Secret {} of clientSecretRef: change it there",
                client.name
            )));
        }
        data.insert(stored_as(reference, key).to_owned(), STANDARD.encode(value.reveal()).into());
    }
    let mut metadata = json!({ "name": reference.name, "labels": { ROLE_LABEL: "seed" } });
    if let (Some(metadata), Some(version)) =
        (metadata.as_object_mut(), old.and_then(|old| old.metadata.resource_version.as_ref()))
    {
        metadata.insert("resourceVersion".to_owned(), version.clone().into());
    }
    Ok(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data }))
}

fn from_files(files: &[String], wanted: &Wanted) -> Result<Values, Failure> {
    let mut values = Values::new();
    for file in files {
        let (key, path) = file.split_once('=').map_or_else(
            || (Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default(), file.as_str()),
            |(key, path)| (key, path),
        );
        if !wanted.keys.contains(key) {
            let keys = wanted.keys.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!("{key} is no key of a seed of this object: {keys}")));
        }
        if values.iter().any(|(given, _)| given == key) {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{path} cannot be read: {error}")))?;
        values.push((key.to_owned(), value(key, &zeroize::Zeroizing::new(text))?));
    }
    Ok(values)
}

fn from_stdin(wanted: &Wanted) -> Result<Values, Failure> {
    let mut text = zeroize::Zeroizing::new(String::new());
    let limit = u64::try_from(LARGEST * 8).unwrap_or(u64::MAX);
    std::io::stdin().take(limit).read_to_string(&mut text).map_err(|_| Failure::usage("standard input is not text"))?;
    parse(&text, wanted)
}

/// A JSON object with known keys, or one line with the token that begins a chain. What is wrong is told without the text.
fn parse(text: &str, wanted: &Wanted) -> Result<Values, Failure> {
    if !text.trim_start().starts_with('{') {
        return Ok(vec![(wanted.first.clone(), value(&wanted.first, text)?)]);
    }
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| Failure::usage("standard input is not the JSON of a token API's answer"))?;
    let mut values = Values::new();
    for key in &wanted.keys {
        match object.get(key) {
            Some(Value::String(text)) => values.push((key.clone(), value(key, text)?)),
            Some(Value::Null) | None => {}
            Some(_) => return Err(Failure::usage(format!("{key} in the JSON is not a text"))),
        }
    }
    Ok(values)
}

/// What the operator accepts from a seed.
fn value(key: &str, text: &str) -> Result<SecretText, Failure> {
    if key != "private_key" {
        return one_line(key, text);
    }
    SigningKey::parse(text.as_bytes()).map_err(|why| Failure::usage(format!("{key}: {why}")))?;
    Ok(SecretText::new(text))
}

/// One line of text. The newline at the end that most editors write is cut.
fn one_line(key: &str, text: &str) -> Result<SecretText, Failure> {
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    let wrong = |what: &str| Err(Failure::usage(format!("{key}: {what}")));
    if text.is_empty() {
        return wrong("is empty");
    }
    if text.len() > LARGEST {
        return wrong("is larger than 16 KiB, which no token API accepts");
    }
    if text.chars().any(char::is_control) {
        return wrong("holds a line break or another control character");
    }
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use refreshable_token_operator::api::Bootstrap;

    use super::*;

    fn object(provider: &str, reference: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci}}\nspec:\n  provider: {provider}\n  credential: {{seedSecretRef: {{name: s{reference}}}}}\n  outputs: [{{secretName: o, opaque: {{}}}}]\n"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    const ACCESS: &str = "{jfrogAccess: {url: 'https://art.example.com'}}";

    const ECE: &str = "{elasticCloudEnterprise: {url: 'https://ece.example.com'}}";
    const ANEW: &str = "{oauth2: {tokenURL: 'https://i.example.com/t', grant: ClientCredentials}}";

    fn wanted(provider: &str) -> Wanted {
        let object = object(provider, "");
        Wanted::of(&object, &super::tests::provider(&object))
    }

    fn revealed(values: &[(String, SecretText)]) -> Vec<(&str, &str)> {
        values.iter().map(|(key, value)| (key.as_str(), value.reveal())).collect()
    }

    #[test]
    fn standard_input_is_an_answer_or_one_line() {
        let answer = r#"{"access_token": "a", "refresh_token": "r", "expires_in": 3600, "scope": null}"#;
        assert_eq!(revealed(&parse(answer, &wanted(ACCESS)).unwrap()), [("access_token", "a"), ("refresh_token", "r")]);
        assert_eq!(revealed(&parse("r\n", &wanted(ACCESS)).unwrap()), [("refresh_token", "r")]);
        assert_eq!(revealed(&parse("a\r\n", &wanted(ECE)).unwrap()), [("access_token", "a")]);
        for bad in ["", "\n", "canary\nsecond", "{canary", r#"{"refresh_token": 7}"#, &"x".repeat(LARGEST + 1)] {
            let error = parse(bad, &wanted(ACCESS)).unwrap_err();
            assert!(!error.message.contains("canary") && !error.message.contains("xxx"), "{error:?}");
        }
    }

    fn provider(object: &RefreshableToken) -> ProviderSpec {
        object.spec.provider.clone().unwrap()
    }

    #[test]
    fn a_pair_is_replaced_as_a_pair_under_the_names_of_the_spec() {
        let values = parse("new", &wanted(ACCESS)).unwrap();
        let object = object(ACCESS, ", refreshTokenKey: r");
        let fresh = seed(&object, &provider(&object), &values, None).unwrap();
        assert_eq!(fresh["data"], json!({"r": STANDARD.encode("new")}));
        assert_eq!(fresh["metadata"]["labels"][ROLE_LABEL], "seed");
        let old = Secret { metadata: serde_json::from_value(json!({"resourceVersion": "7"})).unwrap(), ..Secret::default() };
        let merged = seed(&object, &provider(&object), &values, Some(&old)).unwrap();
        assert_eq!(merged["data"], json!({"r": STANDARD.encode("new"), "access_token": null}), "the old access token goes");
        assert_eq!(merged["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn each_object_is_asked_for_what_its_chain_begins_with() {
        assert_eq!([ACCESS, ECE, ANEW].map(|provider| wanted(provider).first), ["refresh_token", "access_token", "client_id"]);
        let client = parse(r#"{"client_id": "i", "client_secret": "c", "access_token": null}"#, &wanted(ANEW)).unwrap();
        assert_eq!(revealed(&client), [("client_id", "i"), ("client_secret", "c")]);
        let declared = "{http: {request: {url: 'https://a.example.com/t', auth: {bearer: AccessToken}, headers: [{name: X-Tenant, seedKey: tenant}]}, \
                        reply: {accessToken: /t}, semantics: {rotation: RenewsItself}}}";
        let values = parse(r#"{"access_token": "a", "tenant": "t"}"#, &wanted(declared)).unwrap();
        assert_eq!(revealed(&values), [("access_token", "a"), ("tenant", "t")]);
        assert!(!wanted(ACCESS).keys.contains("tenant"));
        let error = parse(r#"{"client_id": "i", "private_key": "canary"}"#, &wanted(ANEW)).unwrap_err();
        assert!(error.message.starts_with("private_key: ") && !error.message.contains("canary"), "{error:?}");
    }

    #[test]
    fn a_chain_begins_with_credentials_too_where_the_object_says_so() {
        let lacks = |object: &RefreshableToken, given: &str, old: Value| {
            let wanted = Wanted::of(object, &provider(object));
            let old: Option<Secret> = serde_json::from_value(old).unwrap();
            wanted.lacks(object, &parse(given, &wanted).unwrap(), old.as_ref())
        };
        let plain = object(ACCESS, "");
        let user = r#"{"username": "u", "password": "p"}"#;
        assert_eq!(lacks(&plain, user, Value::Null).as_deref(), Some("refresh_token"));
        let mut creates = object(ACCESS, ", passwordKey: pw");
        creates.spec.credential.bootstrap = Some(Bootstrap::Create);
        assert_eq!(lacks(&creates, user, Value::Null), None);
        let password = r#"{"password": "p"}"#;
        let said = "refresh_token, or with access_token, or with username and password";
        assert_eq!(lacks(&creates, password, Value::Null).as_deref(), Some(said));
        assert_eq!(lacks(&creates, password, json!({"data": {"username": "dQ=="}})), None, "the user name stays");
        let token = json!({"data": {"refresh_token": "dQ=="}});
        assert_eq!(lacks(&plain, r#"{"access_token": "a"}"#, token).as_deref(), Some("refresh_token"), "the old one is removed");
    }

    #[test]
    fn what_stands_elsewhere_is_not_written_here() {
        let values = parse(r#"{"refresh_token": "r", "client_secret": "c"}"#, &wanted(ACCESS)).unwrap();
        let own = object("{oauth2: {tokenURL: 'https://i.example.com/t'}}", "");
        assert_eq!(seed(&own, &provider(&own), &values, None).unwrap()["data"]["client_secret"], STANDARD.encode("c"));
        let elsewhere = object("{oauth2: {tokenURL: 'https://i.example.com/t', clientSecretRef: {name: client}}}", "");
        assert!(
            seed(&elsewhere, &provider(&elsewhere), &values, None)
                .unwrap_err()
                .message
                .contains("Secret client of clientSecretRef")
        );
    }

    #[test]
    fn secrets_that_cannot_be_a_seed_are_left_alone() {
        let secret = |value: Value| serde_json::from_value::<Secret>(value).unwrap();
        assert!(usable(&secret(json!({"type": "Opaque"})), "s").is_ok());
        assert!(usable(&secret(json!({"type": "kubernetes.io/basic-auth"})), "s").is_ok());
        assert!(usable(&secret(json!({"type": "kubernetes.io/service-account-token"})), "s").is_err());
        assert!(usable(&secret(json!({"immutable": true})), "s").is_err());
    }
}
