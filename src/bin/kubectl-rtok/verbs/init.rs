//! `init`: a manifest to begin with, for one token API.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use refreshable_token_operator::api::ProviderSpec;
use refreshable_token_operator::provider::Sketch;

use crate::Session;
use crate::failure::{Failure, Verdict};
use crate::output::print;

// Arguments of `init`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok init jfrogAccess --url https://art.example.com --name artifactory-ci > artifactory-ci.yaml
  kubectl rtok init oauth2 --name idp -n build | kubectl apply -f -")]
pub struct Init {
    /// The token API, as in spec.provider.
    #[arg(value_name = "PROVIDER", value_parser = sketches())]
    provider: Sketch,
    /// Name of the RefreshableToken.
    #[arg(long, default_value = "example", value_parser = crate::cluster::object_name)]
    name: String,
    /// URL of the token API. Default: an example to be replaced.
    #[arg(long)]
    url: Option<String>,
}

/// A manifest that begins with this token API.
pub fn manifest(sketch: &Sketch, name: &str, namespace: Option<&str>, url: Option<&str>) -> String {
    let (here, flag) =
        namespace.map(|namespace| (format!("  namespace: {namespace}\n"), format!(" -n {namespace}"))).unwrap_or_default();
    let provider = sketch.provider.replace("{url}", &url.unwrap_or(sketch.url).replace('\'', "''"));
    let gap = if provider.starts_with('{') { " " } else { "" };
    let request = sketch.request.map(|request| format!("  request: {request}\n")).unwrap_or_default();
    format!(
        "# The first pair goes into the Secret {name}-seed (keys {}), labelled refreshabletoken.io/role=seed:
#   kubectl rtok reseed {name}{flag} --from-file KEY=FILE ...
apiVersion: refreshabletoken.io/v1alpha1
kind: RefreshableToken
metadata:
  name: {name}
{here}spec:
  provider:
    {}:{gap}{provider}
  credential:
    seedSecretRef: {{name: {name}-seed}}
{request}  outputs:                         # what workloads mount; kubectl explain rtok.spec.outputs
  - secretName: {name}-token
    opaque: {{expirationTimeKey: expires_at}}
",
        sketch.seed, sketch.name
    )
}

fn sketches() -> impl TypedValueParser<Value = Sketch> {
    let values = ProviderSpec::ALL.map(|sketch| PossibleValue::new(sketch.name).help(sketch.title));
    PossibleValuesParser::new(values).try_map(|name| ProviderSpec::ALL.into_iter().find(|sketch| sketch.name == name).ok_or(name))
}

impl Init {
    /// Prints it.
    pub fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let manifest = manifest(&self.provider, &self.name, session.connection.namespace.as_deref(), self.url.as_deref());
        match crate::manifest::documents(&manifest, None)?.first() {
            Some(crate::manifest::Document::Invalid(_, mistakes)) => return Err(Failure::usage(mistakes.join("; "))),
            _ => print(&manifest)?,
        }
        Ok(Verdict::Good)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use refreshable_token_operator::api;

    use super::*;
    use crate::manifest::{Document, documents};

    #[test]
    fn every_token_api_has_a_valid_beginning() {
        let crd = serde_json::to_value(api::crd()).unwrap();
        let provider = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["provider"];
        let known: BTreeSet<String> = provider["properties"].as_object().unwrap().keys().cloned().collect();
        let mut begun = BTreeSet::new();
        for sketch in ProviderSpec::ALL {
            let manifest = manifest(&sketch, "my-token", None, None);
            let documents = documents(&manifest, None).unwrap();
            let [Document::Valid(object)] = documents.as_slice() else { panic!("{manifest}{documents:?}") };
            assert_eq!(object.spec.provider.as_ref().unwrap().name(), sketch.name);
            begun.insert(sketch.name.to_owned());
        }
        assert_eq!(begun, known, "a provider that is not in ProviderSpec::ALL");
    }

    #[test]
    fn the_namespace_that_is_asked_for_stands_in_it() {
        let manifest = manifest(&ProviderSpec::ALL[0], "a", Some("build"), None);
        let documents = documents(&manifest, None).unwrap();
        let [Document::Valid(object)] = documents.as_slice() else { panic!("{manifest}{documents:?}") };
        assert_eq!(object.metadata.namespace.as_deref(), Some("build"));
    }

    #[test]
    fn what_is_written_into_it_cannot_break_out() {
        let manifest = manifest(&ProviderSpec::ALL[0], "a", None, Some("https://a.example.com'}, oauth2: {tokenURL: 'x"));
        assert!(matches!(documents(&manifest, None).unwrap().as_slice(), [Document::Invalid(..)]));
    }
}
