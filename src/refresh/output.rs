//! Rendering: tokens into the contents of output Secrets. Everything is rendered before anything is spent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use thiserror::Error;

use super::file::{Source, file};
use crate::api::template::NotRendered;
use crate::api::{BasicAuth, CreationPolicy, DockerConfigJson, Opaque, OutputMetadata, OutputSpec};
use crate::token::{AccessToken, Fingerprint, FingerprintKey, HeldTokens, PreviousToken, Purpose, RefreshToken, SecretText};

/// Largest size of a Secret's data: 1 MiB (Kubernetes `MaxSecretSize`).
const LARGEST: usize = 1024 * 1024;
/// Size of the tokens that the preflight renders with. Our choice: common HTTP servers refuse a header
/// field of more than 8 or 16 KiB, so no working access token is larger.
const LARGEST_TOKEN: usize = 16 * 1024;

/// An output Secret as it shall be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Rendered {
    /// Name of the Secret.
    pub name: String,
    /// Type of the Secret.
    pub type_: &'static str,
    /// Its data.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Labels and annotations that the spec asks for. No part of the hash: workloads do not see them.
    pub metadata: OutputMetadata,
    /// Whose it is.
    pub policy: CreationPolicy,
    /// Keyed hash of type and data.
    pub content_hash: Fingerprint,
    /// The same without the previous access token, if there is one in the data: what stays when that token's time is over.
    pub lasting_hash: Option<Fingerprint>,
}

/// The object whose outputs are rendered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectName<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `metadata.namespace`.
    pub namespace: &'a str,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rendered({} {} {})", self.name, self.type_, self.content_hash)
    }
}

/// Why an output cannot be rendered. Names the output's key, never its value.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
pub enum RenderError {
    /// A token that is asked for is not there.
    #[error("output {output}: there is no {what} to write")]
    Absent {
        /// Name of the Secret.
        output: String,
        /// Which token.
        what: &'static str,
    },
    /// The token cannot stand in a one-line form.
    #[error("output {output}: the access token holds a control character and cannot stand in {form}")]
    NotOneLine {
        /// Name of the Secret.
        output: String,
        /// Which form.
        form: &'static str,
    },
    /// A file cannot hold it.
    #[error("output {output}, key {key}: {what} cannot stand in this file: {why}")]
    Unwritable {
        /// Name of the Secret.
        output: String,
        /// Key of the file.
        key: String,
        /// What cannot stand there.
        what: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// A template gives no text.
    #[error("output {output}, key {key}: {error}")]
    Template {
        /// Name of the Secret.
        output: String,
        /// Key of the file.
        key: String,
        /// Why not.
        error: NotRendered,
    },
    /// The Secret would be refused for its size.
    #[error("output {output}: the contents would be larger than the 1 MiB that a Secret may hold")]
    TooLarge {
        /// Name of the Secret.
        output: String,
    },
}

/// Renders every output as it shall be at `now`.
pub fn render(
    outputs: &[OutputSpec],
    object: ObjectName<'_>,
    tokens: &HeldTokens,
    key: &FingerprintKey,
    now: DateTime<Utc>,
) -> Result<Vec<Rendered>, RenderError> {
    outputs.iter().map(|output| one(output, object, tokens, key, now)).collect()
}

/// Whether an output asks for the access token before the newest.
#[must_use]
pub fn wants_previous(outputs: &[OutputSpec]) -> bool {
    outputs.iter().filter_map(|output| output.opaque.as_ref()).any(|opaque| opaque.previous_access_token_key.is_some())
}

/// Tokens of the largest size, to learn before a spend whether everything would fit. They are hex, so that no API server or
/// webhook sees a real one.
#[must_use]
pub fn largest_tokens(tokens: &HeldTokens) -> HeldTokens {
    let text = "f".repeat(LARGEST_TOKEN);
    HeldTokens {
        access_token: Some(AccessToken::new(text.as_str())),
        refresh_token: Some(RefreshToken::new(text.as_str())),
        reference_token: Some(SecretText::new(text.as_str())),
        expiration_time: tokens.expiration_time.or(tokens.issued_time),
        // Replaced at the end of time: shown by every output that asks for it.
        previous: Some(PreviousToken {
            access_token: AccessToken::new(text),
            replaced_time: DateTime::<Utc>::MAX_UTC,
            expiration_time: None,
        }),
        ..tokens.clone()
    }
}

fn one(
    output: &OutputSpec,
    object: ObjectName<'_>,
    tokens: &HeldTokens,
    key: &FingerprintKey,
    now: DateTime<Utc>,
) -> Result<Rendered, RenderError> {
    let name = &output.secret_name;
    let access = tokens.access_token.as_ref().ok_or(RenderError::Absent { output: name.clone(), what: "access token" })?;
    let (type_, mut data) = match output {
        OutputSpec { opaque: Some(opaque), .. } => ("Opaque", opaque_data(name, opaque, access, tokens, now)?),
        OutputSpec { docker_config_json: Some(docker), .. } => {
            ("kubernetes.io/dockerconfigjson", docker_data(name, docker, access)?)
        }
        OutputSpec { basic_auth: Some(basic), .. } => ("kubernetes.io/basic-auth", basic_data(name, basic, access)?),
        OutputSpec { opaque: None, docker_config_json: None, basic_auth: None, .. } => {
            return Err(RenderError::Absent { output: name.clone(), what: "shape" });
        }
    };
    let source = Source { output: name, object, access, tokens };
    for wanted in &output.files {
        data.insert(wanted.key.clone(), file(wanted, &source)?);
    }
    if data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > LARGEST {
        return Err(RenderError::TooLarge { output: name.clone() });
    }
    let content_hash = content_hash(type_, &data, key);
    let lasting_hash = lasting_hash(output, type_, &data, key);
    let (metadata, policy) = (output.metadata.clone().unwrap_or_default(), output.creation_policy());
    Ok(Rendered { name: name.clone(), type_, data, metadata, policy, content_hash, lasting_hash })
}

/// Lengths stand before contents, so that no two contents give the same bytes.
fn content_hash(type_: &str, data: &BTreeMap<String, Vec<u8>>, key: &FingerprintKey) -> Fingerprint {
    let mut bytes = Vec::new();
    let mut part = |text: &[u8]| {
        bytes.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(text);
    };
    part(type_.as_bytes());
    for (name, value) in data {
        part(name.as_bytes());
        part(value);
    }
    key.fingerprint(Purpose::Content, &bytes)
}

fn lasting_hash(output: &OutputSpec, type_: &str, data: &BTreeMap<String, Vec<u8>>, key: &FingerprintKey) -> Option<Fingerprint> {
    let previous = output.opaque.as_ref()?.previous_access_token_key.as_ref()?;
    let mut lasting = data.clone();
    lasting.remove(previous)?;
    Some(content_hash(type_, &lasting, key))
}

fn opaque_data(
    output: &str,
    opaque: &Opaque,
    access: &AccessToken,
    tokens: &HeldTokens,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
    let absent = |what| RenderError::Absent { output: output.to_owned(), what };
    let mut data = BTreeMap::from([(opaque.access_token_key().to_owned(), access.reveal().as_bytes().to_vec())]);
    if let Some(key) = &opaque.refresh_token_key {
        let token = tokens.refresh_token.as_ref().ok_or_else(|| absent("refresh token"))?;
        data.insert(key.clone(), token.reveal().as_bytes().to_vec());
    }
    if let Some(key) = &opaque.reference_token_key {
        let token = tokens.reference_token.as_ref().ok_or_else(|| absent("reference token"))?;
        data.insert(key.clone(), token.reveal().as_bytes().to_vec());
    }
    if let (Some(key), Some(time)) = (&opaque.expiration_time_key, tokens.expiration_time) {
        data.insert(key.clone(), time.to_rfc3339_opts(SecondsFormat::Secs, true).into_bytes());
    }
    if let (Some(key), Some(previous)) = (&opaque.previous_access_token_key, &tokens.previous) {
        let until = PreviousToken::until(opaque.previous_access_token_grace(), previous.replaced_time, previous.expiration_time);
        if until.is_none_or(|until| now < until) {
            data.insert(key.clone(), previous.access_token.reveal().as_bytes().to_vec());
        }
    }
    Ok(data)
}

/// The form that container runtimes read; `auth` is base64 of `username:token` (the Docker CLI's `config.json`).
fn docker_data(output: &str, docker: &DockerConfigJson, access: &AccessToken) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
    one_line(output, access, "dockerConfigJSON")?;
    Ok(BTreeMap::from([(".dockerconfigjson".to_owned(), docker_config(docker, access).into_bytes())]))
}

pub(super) fn docker_config(docker: &DockerConfigJson, access: &AccessToken) -> String {
    let (username, password) = (&docker.username, access.reveal());
    let auth = STANDARD.encode(format!("{username}:{password}"));
    let entry = json!({ "username": username, "password": password, "auth": auth });
    let auths: serde_json::Map<_, _> = docker.registries.iter().map(|registry| (registry.clone(), entry.clone())).collect();
    json!({ "auths": auths }).to_string()
}

fn basic_data(output: &str, basic: &BasicAuth, access: &AccessToken) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
    one_line(output, access, "basicAuth")?;
    Ok(BTreeMap::from([
        ("username".to_owned(), basic.username.as_bytes().to_vec()),
        ("password".to_owned(), access.reveal().as_bytes().to_vec()),
    ]))
}

fn one_line(output: &str, access: &AccessToken, form: &'static str) -> Result<(), RenderError> {
    if access.reveal().chars().any(char::is_control) {
        return Err(RenderError::NotOneLine { output: output.to_owned(), form });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OutputFile, SpecDuration};

    fn tokens() -> HeldTokens {
        HeldTokens {
            access_token: Some(AccessToken::new("tok\"en")),
            refresh_token: Some(RefreshToken::new("refresh")),
            expiration_time: DateTime::from_timestamp(1_700_000_000, 0),
            ..HeldTokens::default()
        }
    }

    fn key() -> FingerprintKey {
        FingerprintKey::new(b"key")
    }

    fn output(name: &str) -> OutputSpec {
        OutputSpec { secret_name: name.into(), ..OutputSpec::default() }
    }

    fn show(outputs: &[OutputSpec], tokens: &HeldTokens) -> Result<Vec<Rendered>, RenderError> {
        render(outputs, ObjectName { name: "token", namespace: "build" }, tokens, &key(), time(1_700_000_000))
    }

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn each_shape_has_its_type_and_keys() {
        let opaque =
            Opaque { refresh_token_key: Some("r".into()), expiration_time_key: Some("until".into()), ..Opaque::default() };
        let docker =
            DockerConfigJson { registries: vec!["docker.example.com".into(), "r2.example.com".into()], username: "ci".into() };
        let outputs = [
            OutputSpec { opaque: Some(opaque), ..output("a") },
            OutputSpec { docker_config_json: Some(docker), ..output("b") },
            OutputSpec { basic_auth: Some(BasicAuth { username: "ci".into() }), ..output("c") },
        ];
        let got = show(&outputs, &tokens()).unwrap();
        assert_eq!(got[0].type_, "Opaque");
        assert_eq!(got[0].data["access_token"], b"tok\"en");
        assert_eq!(got[0].data["r"], b"refresh");
        assert_eq!(got[0].data["until"], b"2023-11-14T22:13:20Z");
        assert_eq!(got[1].type_, "kubernetes.io/dockerconfigjson");
        let json: serde_json::Value = serde_json::from_slice(&got[1].data[".dockerconfigjson"]).unwrap();
        assert_eq!(json["auths"]["docker.example.com"]["password"], "tok\"en");
        assert_eq!(json["auths"]["r2.example.com"]["auth"], STANDARD.encode("ci:tok\"en"));
        assert_eq!(got[2].type_, "kubernetes.io/basic-auth");
        assert_eq!((got[2].data["username"].as_slice(), got[2].data["password"].as_slice()), (&b"ci"[..], &b"tok\"en"[..]));
    }

    #[test]
    fn the_hash_changes_with_every_part_and_only_then() {
        let hash = |outputs: &[OutputSpec], tokens: &HeldTokens| show(outputs, tokens).unwrap()[0].content_hash.clone();
        let plain = [OutputSpec { opaque: Some(Opaque::default()), ..output("a") }];
        let renamed =
            [OutputSpec { opaque: Some(Opaque { access_token_key: Some("t".into()), ..Opaque::default() }), ..output("a") }];
        let other = HeldTokens { access_token: Some(AccessToken::new("other")), ..tokens() };
        assert_eq!(hash(&plain, &tokens()), hash(&plain, &tokens()));
        assert_ne!(hash(&plain, &tokens()), hash(&renamed, &tokens()));
        assert_ne!(hash(&plain, &tokens()), hash(&plain, &other));
    }

    #[test]
    fn tokens_that_do_not_fit_the_form_are_refused_by_name_only() {
        let broken = HeldTokens { access_token: Some(AccessToken::new("canary\nline")), ..tokens() };
        let basic = [OutputSpec { basic_auth: Some(BasicAuth { username: "ci".into() }), ..output("c") }];
        let error = show(&basic, &broken).unwrap_err();
        assert_eq!(error, RenderError::NotOneLine { output: "c".into(), form: "basicAuth" });
        assert!(!error.to_string().contains("canary"));
        let opaque = [OutputSpec { opaque: Some(Opaque::default()), ..output("a") }];
        assert_eq!(show(&opaque, &broken).unwrap()[0].data["access_token"], b"canary\nline", "kept exactly");
        let none = show(&opaque, &HeldTokens::default()).unwrap_err();
        assert_eq!(none, RenderError::Absent { output: "a".into(), what: "access token" });
    }

    #[test]
    fn contents_above_what_a_secret_holds_are_refused_and_the_largest_expected_ones_are_not() {
        let registries = (0..20).map(|n| format!("r{n}.example.com")).collect();
        let docker =
            [OutputSpec { docker_config_json: Some(DockerConfigJson { registries, username: "ci".into() }), ..output("b") }];
        assert!(show(&docker, &largest_tokens(&tokens())).is_ok());
        let huge = HeldTokens { access_token: Some(AccessToken::new("f".repeat(40 * 1024))), ..tokens() };
        assert_eq!(show(&docker, &huge).unwrap_err(), RenderError::TooLarge { output: "b".into() });
    }

    fn previous(grace: Option<u64>) -> [OutputSpec; 1] {
        let opaque = Opaque {
            previous_access_token_key: Some("previous".into()),
            previous_access_token_grace: grace.map(SpecDuration::from_secs),
            ..Opaque::default()
        };
        [OutputSpec { opaque: Some(opaque), ..output("a") }]
    }

    #[test]
    fn the_previous_token_is_shown_until_its_grace_or_its_life_is_over() {
        let held = |expires: Option<i64>| HeldTokens {
            previous: Some(PreviousToken {
                access_token: AccessToken::new("before"),
                replaced_time: DateTime::from_timestamp(1000, 999_000_000).unwrap(),
                expiration_time: expires.map(time),
            }),
            ..tokens()
        };
        let object = ObjectName { name: "token", namespace: "build" };
        let shown = |grace, expires, now| {
            let rendered = render(&previous(grace), object, &held(expires), &key(), time(now)).unwrap();
            rendered[0].data.get("previous").map(Vec::as_slice) == Some(b"before")
        };
        for (grace, expires, last) in
            [(Some(60), None, Some(1059)), (Some(60), Some(1030), Some(1029)), (None, Some(2000), Some(1999)), (None, None, None)]
        {
            assert!(shown(grace, expires, last.unwrap_or(9_000_000_000)), "{grace:?} {expires:?}");
            assert!(last.is_none_or(|last| !shown(grace, expires, last + 1)), "{grace:?} {expires:?}");
        }
        assert!(!show(&previous(None), &tokens()).unwrap()[0].data.contains_key("previous"), "there is none");
        let hashes = |now| {
            let rendered = render(&previous(Some(60)), object, &held(None), &key(), time(now)).unwrap().remove(0);
            (rendered.content_hash, rendered.lasting_hash)
        };
        let ((shown, lasting), (after, none)) = (hashes(1059), hashes(1060));
        assert!(shown != after && lasting.as_ref() == Some(&after) && none.is_none(), "what lasts is what stands afterwards");
        assert!(show(&previous(Some(1)), &largest_tokens(&tokens())).unwrap()[0].data["previous"].len() == LARGEST_TOKEN);
        assert!(wants_previous(&previous(None)) && !wants_previous(&[output("a")]));
    }

    #[test]
    fn files_stand_beside_every_shape_and_metadata_is_no_part_of_the_hash() {
        let file = OutputFile {
            key: "app.env".into(),
            template: Some(
                "{{ object.namespace }}/{{ object.name }} {{ token.access | b64encode }} {{ token.expirationTime }}".into(),
            ),
            ..OutputFile::default()
        };
        let metadata = OutputMetadata { labels: BTreeMap::from([("a".into(), "b".into())]), ..OutputMetadata::default() };
        for shape in [
            OutputSpec { opaque: Some(Opaque::default()), ..output("a") },
            OutputSpec { basic_auth: Some(BasicAuth { username: "ci".into() }), ..output("a") },
        ] {
            let bare = show(std::slice::from_ref(&shape), &tokens()).unwrap().remove(0);
            let filed = OutputSpec { files: vec![file.clone()], ..shape };
            let with_file = show(std::slice::from_ref(&filed), &tokens()).unwrap().remove(0);
            assert_eq!(with_file.data["app.env"], b"build/token dG9rImVu 2023-11-14T22:13:20Z");
            assert_eq!((with_file.data.len(), with_file.type_), (bare.data.len() + 1, bare.type_));
            assert_ne!(with_file.content_hash, bare.content_hash);
            let labelled = show(&[OutputSpec { metadata: Some(metadata.clone()), ..filed }], &tokens()).unwrap().remove(0);
            assert_eq!((labelled.metadata, labelled.content_hash), (metadata.clone(), with_file.content_hash));
        }
    }
}
