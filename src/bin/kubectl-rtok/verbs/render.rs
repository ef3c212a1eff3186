//! `render`: the Secrets that a manifest makes, with a made-up token.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{NAME_LABEL, ROLE_LABEL, RefreshableToken, SpecDuration};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::operator::cluster::role;
use refreshable_token_operator::refresh::output::{ObjectName, render};
use refreshable_token_operator::token::FingerprintKey;
use serde_json::{Map, Value, json};

use crate::Session;
use crate::failure::{Failure, Verdict};
use crate::made_up;
use crate::manifest::{Document, documents, read};
use crate::output::{Format, Table, document, print, tell};

// Arguments of `render`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok render -f artifactory-ci.yaml
  kubectl rtok render -f artifactory-ci.yaml -o table     keys and sizes
  kubectl rtok render -f artifactory-ci.yaml -n build     in this namespace, where the manifest names none

The token is made up; no cluster and no token API is asked.")]
pub struct Render {
    /// File of manifests; `-` for standard input.
    #[arg(short, long = "filename", value_name = "FILE")]
    file: PathBuf,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value = "yaml")]
    output: Format,
}

impl Render {
    /// Shows them.
    pub fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let place = self.file.display();
        let mut secrets = Vec::new();
        let mut good = true;
        let documents = documents(&read(&self.file)?, session.connection.namespace.as_deref());
        for document in documents.map_err(|error| Failure::usage(format!("{place}: {}", error.message)))? {
            match document {
                Document::Valid(object) => secrets.extend(rendered(&object)?),
                Document::Invalid(what, mistakes) => {
                    good = false;
                    for mistake in mistakes {
                        tell(&format!("{place}: {what}: {mistake}"));
                    }
                }
                Document::Provider(_) | Document::Other(_) => {}
            }
        }
        if secrets.is_empty() && good {
            return Err(Failure::usage(format!("{place}: there is no RefreshableToken in it")));
        }
        match self.output {
            Format::Yaml => {
                let documents = secrets.iter().map(|secret| document(Format::Yaml, secret)).collect::<Result<Vec<_>, _>>()?;
                print(&documents.join("---\n"))?;
            }
            Format::Json => print(&document(Format::Json, &json!({ "apiVersion": "v1", "kind": "List", "items": secrets }))?)?,
            Format::Name => {
                let name = |secret: &Value| {
                    secret.pointer("/metadata/name").and_then(Value::as_str).map(|name| format!("secret/{name}\n"))
                };
                print(&secrets.iter().filter_map(name).collect::<String>())?;
            }
            Format::Table | Format::Wide => {
                let mut table = Table::new(&["SECRET", "TYPE", "KEY", "BYTES"]);
                for secret in &secrets {
                    let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                    for (key, value) in secret.get("stringData").and_then(Value::as_object).into_iter().flatten() {
                        let size = value.as_str().unwrap_or_default().len().to_string();
                        table.row(vec![text("/metadata/name").into(), text("/type").into(), key.clone().into(), size.into()]);
                    }
                }
                print(&table.text(session.paint, "", false))?;
            }
        }
        Ok(Verdict::of(good))
    }
}

/// The output Secrets of an object, as the operator's own rendering makes them from made-up tokens.
pub fn rendered(object: &RefreshableToken) -> Result<Vec<Value>, Failure> {
    let lifetime = object.spec.request().lifetime.map_or(made_up::LIFETIME, SpecDuration::get);
    let now = SystemClock.now();
    let tokens = made_up::tokens(now, lifetime.max(Duration::from_secs(1)));
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let place = ObjectName { name: &name, namespace: &namespace };
    let rendered = render(&object.spec.outputs, place, &tokens, &FingerprintKey::new(&[]), now);
    let rendered = rendered.map_err(|error| Failure::refused(format!("RefreshableToken {}: {error}", object.name_any())))?;
    let secret = |output: refreshable_token_operator::refresh::output::Rendered| {
        let data: Map<String, Value> =
            output.data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value).into_owned().into())).collect();
        let mut labels = output.metadata.labels.clone();
        labels.extend([(ROLE_LABEL.to_owned(), role(output.policy).to_owned()), (NAME_LABEL.to_owned(), object.name_any())]);
        let mut metadata = json!({ "name": output.name, "labels": labels });
        if let Some(metadata) = metadata.as_object_mut().filter(|_| !output.metadata.annotations.is_empty()) {
            metadata.insert("annotations".to_owned(), json!(output.metadata.annotations));
        }
        if let (Some(metadata), Some(namespace)) = (metadata.as_object_mut(), object.namespace()) {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        json!({ "apiVersion": "v1", "kind": "Secret", "type": output.type_, "metadata": metadata, "stringData": data })
    };
    Ok(rendered.into_iter().map(secret).collect())
}
