//! Rendering: tokens into the contents of output Secrets. Everything is rendered before anything is spent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde_json::json;
use thiserror::Error;

use crate::api::{BasicAuth, DockerConfigJson, Opaque, OutputSpec};
use crate::token::{AccessToken, Fingerprint, FingerprintKey, HeldTokens, Purpose, RefreshToken, SecretText};

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
    /// Keyed hash of type and data.
    pub content_hash: Fingerprint,
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
    /// The Secret would be refused for its size.
    #[error("output {output}: the contents would be larger than the 1 MiB that a Secret may hold")]
    TooLarge {
        /// Name of the Secret.
        output: String,
    },
}

/// Renders every output.
pub fn render(outputs: &[OutputSpec], tokens: &HeldTokens, key: &FingerprintKey) -> Result<Vec<Rendered>, RenderError> {
    outputs.iter().map(|output| one(output, tokens, key)).collect()
}

/// Tokens of the largest size, to learn before a spend whether everything would fit. They are hex, so that no API server or
/// webhook sees a real one.
#[must_use]
pub fn largest_tokens(tokens: &HeldTokens) -> HeldTokens {
    let text = "f".repeat(LARGEST_TOKEN);
    HeldTokens {
        access_token: Some(AccessToken::new(text.as_str())),
        refresh_token: Some(RefreshToken::new(text.as_str())),
        reference_token: Some(SecretText::new(text)),
        expiration_time: tokens.expiration_time.or(tokens.issued_time),
        ..tokens.clone()
    }
}

fn one(output: &OutputSpec, tokens: &HeldTokens, key: &FingerprintKey) -> Result<Rendered, RenderError> {
    let name = &output.secret_name;
    let access = tokens.access_token.as_ref().ok_or(RenderError::Absent { output: name.clone(), what: "access token" })?;
    let (type_, data) = match output {
        OutputSpec { opaque: Some(opaque), .. } => ("Opaque", opaque_data(name, opaque, access, tokens)?),
        OutputSpec { docker_config_json: Some(docker), .. } => {
            ("kubernetes.io/dockerconfigjson", docker_data(name, docker, access)?)
        }
        OutputSpec { basic_auth: Some(basic), .. } => ("kubernetes.io/basic-auth", basic_data(name, basic, access)?),
        OutputSpec { opaque: None, docker_config_json: None, basic_auth: None, .. } => {
            return Err(RenderError::Absent { output: name.clone(), what: "shape" });
        }
    };
    if data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > LARGEST {
        return Err(RenderError::TooLarge { output: name.clone() });
    }
    let content_hash = content_hash(type_, &data, key);
    Ok(Rendered { name: name.clone(), type_, data, content_hash })
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

fn opaque_data(
    output: &str,
    opaque: &Opaque,
    access: &AccessToken,
    tokens: &HeldTokens,
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
    Ok(data)
}

/// The form that container runtimes read; `auth` is base64 of `username:token` (the Docker CLI's `config.json`).
fn docker_data(output: &str, docker: &DockerConfigJson, access: &AccessToken) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
    one_line(output, access, "dockerConfigJSON")?;
    let (username, password) = (&docker.username, access.reveal());
    let auth = STANDARD.encode(format!("{username}:{password}"));
    let entry = json!({ "username": username, "password": password, "auth": auth });
    let auths: serde_json::Map<_, _> = docker.registries.iter().map(|registry| (registry.clone(), entry.clone())).collect();
    Ok(BTreeMap::from([(".dockerconfigjson".to_owned(), json!({ "auths": auths }).to_string().into_bytes())]))
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
    use chrono::DateTime;

    use super::*;

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
        OutputSpec { secret_name: name.into(), opaque: None, docker_config_json: None, basic_auth: None }
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
        let got = render(&outputs, &tokens(), &key()).unwrap();
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
        let hash = |outputs: &[OutputSpec], tokens: &HeldTokens| render(outputs, tokens, &key()).unwrap()[0].content_hash.clone();
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
        let error = render(&basic, &broken, &key()).unwrap_err();
        assert_eq!(error, RenderError::NotOneLine { output: "c".into(), form: "basicAuth" });
        assert!(!error.to_string().contains("canary"));
        let opaque = [OutputSpec { opaque: Some(Opaque::default()), ..output("a") }];
        assert_eq!(render(&opaque, &broken, &key()).unwrap()[0].data["access_token"], b"canary\nline", "kept exactly");
        let none = render(&opaque, &HeldTokens::default(), &key()).unwrap_err();
        assert_eq!(none, RenderError::Absent { output: "a".into(), what: "access token" });
    }

    #[test]
    fn contents_above_what_a_secret_holds_are_refused_and_the_largest_expected_ones_are_not() {
        let registries = (0..20).map(|n| format!("r{n}.example.com")).collect();
        let docker =
            [OutputSpec { docker_config_json: Some(DockerConfigJson { registries, username: "ci".into() }), ..output("b") }];
        assert!(render(&docker, &largest_tokens(&tokens()), &key()).is_ok());
        let huge = HeldTokens { access_token: Some(AccessToken::new("f".repeat(40 * 1024))), ..tokens() };
        assert_eq!(render(&docker, &huge, &key()).unwrap_err(), RenderError::TooLarge { output: "b".into() });
    }
}
