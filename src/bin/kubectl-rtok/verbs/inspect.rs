//! `inspect`: what the Secrets of a token hold, without what is secret in them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{CONTENT_HASH_ANNOTATION, RefreshableToken};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Session;
use crate::cluster::{Reach, object_name};
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Table, document, lines, on_terminal, print, tell};
use crate::situation::Sighting;
use crate::targets::place;

/// Largest part of a JWT that is decoded, as in the operator's own reading of claims.
const LARGEST_CLAIMS: usize = 16 * 1024;

// Arguments of `inspect`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok inspect artifactory-ci                   keys, sizes, whose each Secret is
  kubectl rtok inspect artifactory-ci --show-claims     what a JWT says about itself

Values are shown with --reveal only, and only on a terminal.")]
pub struct Inspect {
    /// Name of a RefreshableToken.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    name: String,
    /// Show header and claims of the access token, if it is a JWT; the signature is neither shown nor checked.
    #[arg(long)]
    show_claims: bool,
    /// Show the values. Refused when standard output is not a terminal.
    #[arg(long)]
    reveal: bool,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t, conflicts_with = "reveal")]
    output: Format,
}

/// A Secret of the object, without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    role: &'static str,
    secret: String,
    #[serde(rename = "type")]
    type_: String,
    keys: Vec<(String, usize)>,
    note: String,
    good: bool,
}

impl Inspect {
    /// Shows it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        if self.reveal && !on_terminal() {
            return Err(Failure::usage("--reveal shows secrets: only on a terminal, not into a file or a pipe"));
        }
        let reach = session.reach().await?;
        let object = reach.object(&self.name).await?;
        let secrets = secrets(&reach, &object).await?;
        let shown: Vec<Shown> = secrets.iter().map(|(role, name, secret)| shown(&object, role, name, secret.as_ref())).collect();
        let claims = self.show_claims.then(|| claims(&secrets)).flatten();
        match self.output {
            Format::Json | Format::Yaml => {
                let claims = claims.map(|(header, claims)| json!({ "header": header, "claims": claims }));
                print(&document(self.output, &json!({ "object": place(&object), "secrets": shown, "jwt": claims }))?)?;
            }
            Format::Name => print(&lines(shown.iter().map(|one| format!("secret/{}", one.secret))))?,
            Format::Table | Format::Wide => {
                print(&table(&shown).text(session.paint, "", false))?;
                match claims {
                    Some((header, claims)) => {
                        print(&format!(
                            "header {}claims {}",
                            document(Format::Json, &header)?,
                            document(Format::Json, &claims)?
                        ))?;
                    }
                    None if self.show_claims => tell("the access token is no JWT: it says nothing about itself"),
                    None => {}
                }
                if self.reveal {
                    print(&revealed(&secrets))?;
                }
            }
        }
        Ok(Verdict::of(shown.iter().all(|one| one.good)))
    }
}

type Found = (&'static str, String, Option<Secret>);

/// The Secrets of an object: seed, state, outputs.
async fn secrets(reach: &Reach, object: &RefreshableToken) -> Result<Vec<Found>, Failure> {
    let namespace = object.namespace().unwrap_or_default();
    let mut names = vec![("seed", object.spec.credential.seed_secret_ref.name.clone())];
    names.push(("state", object.spec.state_secret_name(&object.name_any())));
    names.extend(object.spec.outputs.iter().map(|output| ("output", output.secret_name.clone())));
    let mut found = Vec::new();
    for (role, name) in names {
        let secret = reach.secret(&namespace, &name).await?;
        found.push((role, name, secret));
    }
    Ok(found)
}

fn shown(object: &RefreshableToken, role: &'static str, name: &str, secret: Option<&Secret>) -> Shown {
    let Some(secret) = secret else {
        // A chain that runs needs its seed no more.
        let good = role == "seed" && object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0) > 0;
        return Shown {
            role,
            secret: name.to_owned(),
            type_: String::new(),
            keys: Vec::new(),
            note: "is not there".to_owned(),
            good,
        };
    };
    let keys = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.len())).collect();
    let mut notes = Vec::new();
    let mut good = true;
    let mut wrong = |note: &str| {
        notes.push(note.to_owned());
        good = false;
    };
    if secret.immutable == Some(true) && role != "seed" {
        wrong("immutable: it cannot be written");
    }
    if role == "output" {
        let output = object.spec.outputs.iter().find(|output| output.secret_name == name);
        let ours = output.is_some_and(|output| Sighting::of(object, output, &secret.metadata).ours);
        if !ours {
            wrong("belongs to somebody else");
        }
        let written = object.status.iter().flat_map(|status| &status.outputs).find(|written| written.secret_name == name);
        let hash = secret.annotations().get(CONTENT_HASH_ANNOTATION);
        if ours && written.is_some_and(|written| Some(&written.content_hash) != hash) {
            wrong("not as it was last written");
        }
    }
    let type_ = secret.type_.clone().unwrap_or_default();
    Shown { role, secret: name.to_owned(), type_, keys, note: notes.join("; "), good }
}

fn table(shown: &[Shown]) -> Table {
    let mut table = Table::new(&["ROLE", "SECRET", "TYPE", "KEY", "BYTES", "NOTE"]);
    for one in shown {
        let colour = if one.good { Colour::Yellow } else { Colour::Red };
        let note = || Cell::coloured(one.note.clone(), colour);
        let head = |key: &str, size: String, note: Cell| {
            vec![one.role.into(), one.secret.clone().into(), one.type_.clone().into(), key.into(), size.into(), note]
        };
        if one.keys.is_empty() {
            table.row(head("-", "-".to_owned(), note()));
        }
        for (key, size) in &one.keys {
            table.row(head(key, size.to_string(), note()));
        }
    }
    table
}

/// Header and claims of the first access token that is a JWT: of the state, else of an output.
fn claims(secrets: &[Found]) -> Option<(Value, Value)> {
    let wanted = |role: &'static str| {
        secrets.iter().filter(move |found| found.0 == role).filter_map(|found| found.2.as_ref()?.data.as_ref())
    };
    let state = wanted("state").filter_map(|data| data.get("access_token"));
    let outputs = wanted("output").flat_map(|data| data.values());
    state.chain(outputs).find_map(|value| jwt(std::str::from_utf8(&value.0).ok()?))
}

/// Header and claims of a JWT (RFC 7519 section 3.1): the first two of three parts.
fn jwt(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let decode = |part: &str| -> Option<Value> {
        let short = part.len() <= LARGEST_CLAIMS;
        let bytes = short.then(|| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())??;
        serde_json::from_slice(&bytes).ok().filter(Value::is_object)
    };
    Some((decode(header)?, decode(claims)?))
}

/// Every value, for a person at a terminal.
fn revealed(secrets: &[Found]) -> String {
    let mut text = String::new();
    for (_, name, secret) in secrets {
        for (key, value) in secret.iter().filter_map(|secret| secret.data.as_ref()).flatten() {
            let value = String::from_utf8_lossy(&value.0);
            let plain: String = value.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
            text = text + name + " " + key + ": " + &plain + "\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use refreshable_token_operator::api::ROLE_LABEL;

    use super::*;

    fn secret(value: Value) -> Option<Secret> {
        serde_json::from_value(value).ok()
    }

    fn object() -> RefreshableToken {
        serde_saphyr::from_str(
            "metadata: {name: ci, uid: u}
spec:
  provider: {jfrogAccess: {url: 'https://art.example.com'}}
  credential: {seedSecretRef: {name: s}}
  outputs: [{secretName: o, opaque: {}}]
status: {outputs: [{secretName: o, type: Opaque, contentHash: 'hmac:1', lastWriteTime: '1970-01-01T00:00:00Z'}]}",
        )
        .unwrap()
    }

    #[test]
    fn whose_an_output_is_and_whether_it_was_edited() {
        let output = |owner: &str, hash: &str, immutable: bool| {
            secret(
                json!({"metadata": {"annotations": {CONTENT_HASH_ANNOTATION: hash}, "labels": {ROLE_LABEL: "output"}, "ownerReferences": [
                {"apiVersion": "v1", "kind": "K", "name": "n", "uid": owner}]}, "immutable": immutable, "data": {"access_token": "YWJj"}}),
            )
        };
        let note = |secret: Option<Secret>| shown(&object(), "output", "o", secret.as_ref()).note;
        assert_eq!(note(output("u", "hmac:1", false)), "");
        assert_eq!(note(output("other", "hmac:1", false)), "belongs to somebody else");
        assert_eq!(note(output("u", "hmac:2", false)), "not as it was last written");
        assert_eq!(note(output("u", "hmac:1", true)), "immutable: it cannot be written");
        assert_eq!(note(None), "is not there");
        assert_eq!(shown(&object(), "output", "o", output("u", "hmac:1", false).as_ref()).keys, [("access_token".to_owned(), 3)]);
    }

    #[test]
    fn claims_come_from_jwts_only() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.canary-signature", part(r#"{"alg":"RS256"}"#), part(r#"{"sub":"ci","aud":["a"]}"#));
        assert_eq!(jwt(&token), Some((json!({"alg": "RS256"}), json!({"sub": "ci", "aud": ["a"]}))));
        for other in ["opaque", "a.b", "a.b.c", &format!("{token}.more"), &format!("{}.{}.c", part("1"), part("2"))] {
            assert_eq!(jwt(other), None, "{other}");
        }
    }
}
