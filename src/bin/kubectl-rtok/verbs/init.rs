//! `init`: a manifest to begin with, for one token API.

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Verdict};
use crate::output::print;

// Arguments of `init`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok init jfrogAccess --url https://art.example.com --name artifactory-ci > artifactory-ci.yaml
  kubectl rtok init oauth2 --name idp | kubectl apply -f -")]
pub struct Init {
    /// The token API, as in spec.provider.
    #[arg(value_enum, value_name = "PROVIDER")]
    provider: Start,
    /// Name of the RefreshableToken.
    #[arg(long, default_value = "example", value_parser = crate::cluster::object_name)]
    name: String,
    /// URL of the token API. Default: an example to be replaced.
    #[arg(long)]
    url: Option<String>,
}

/// What a manifest can begin with: the keys of spec.provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum Start {
    /// JFrog Access (Artifactory).
    JfrogAccess,
    /// JFrog Distribution.
    JfrogDistribution,
    /// Elastic Cloud Enterprise.
    ElasticCloudEnterprise,
    /// Any OAuth 2.0 authorization server.
    Oauth2,
    /// Any other token API, declared.
    Http,
}

impl Start {
    /// The lines of the provider, the keys of the seed, and further lines of the spec.
    fn parts(self, url: Option<&str>) -> (String, &'static str, &'static str) {
        let url = |example: &str| url.unwrap_or(example).replace('\'', "''");
        match self {
            Self::JfrogAccess => (
                format!("    jfrogAccess: {{url: '{}'}}", url("https://art.example.com")),
                "access_token, refresh_token",
                "  request: {lifetime: 1h}        # the server may have a lower limit; status says what it gave\n",
            ),
            Self::JfrogDistribution => (
                format!("    jfrogDistribution: {{url: '{}'}}", url("https://art.example.com")),
                "access_token, refresh_token, username, password",
                "  request: {lifetime: 1h}        # required: without it the API gives tokens that never expire\n",
            ),
            Self::ElasticCloudEnterprise => {
                (format!("    elasticCloudEnterprise: {{url: '{}'}}", url("https://ece.example.com:12443")), "access_token", "")
            }
            Self::Oauth2 => (
                format!(
                    "    oauth2:\n      tokenURL: '{}'\n      rotation: Strict            # Grace (with graceSeconds), IdempotencyKey, Reusable: as the server does",
                    url("https://idp.example.com/oauth2/token")
                ),
                "refresh_token, client_id, client_secret",
                "",
            ),
            Self::Http => (
                format!(
                    "    http:                      # docs/http-provider.md has every field, and whole examples
      request:
        url: '{}'
        encoding: JSON
        fields:
        - {{name: refresh_token, from: RefreshToken}}
      reply:
        accessToken: /access_token
        refreshToken: /refresh_token
        expiry: {{pointer: /expires_in, format: Seconds}}
      semantics: {{rotation: Strict}}   # what the API does with a used token; if in doubt: Strict",
                    url("https://api.example.com/token/refresh")
                ),
                "refresh_token",
                "",
            ),
        }
    }

    /// The manifest.
    pub fn manifest(self, name: &str, url: Option<&str>) -> String {
        let (provider, keys, more) = self.parts(url);
        format!(
            "# The first pair goes into the Secret {name}-seed (keys {keys}), labelled refreshabletoken.io/role=seed:
#   kubectl rtok reseed {name} --from-file KEY=FILE ...
apiVersion: refreshabletoken.io/v1alpha1
kind: RefreshableToken
metadata:
  name: {name}
spec:
  provider:
{provider}
  credential:
    seedSecretRef: {{name: {name}-seed}}
{more}  outputs:                         # what workloads mount; kubectl explain rtok.spec.outputs
  - secretName: {name}-token
    opaque: {{expirationTimeKey: expires_at}}
"
        )
    }
}

impl Init {
    /// Prints it.
    pub fn run(self) -> Result<Verdict, Failure> {
        let manifest = self.provider.manifest(&self.name, self.url.as_deref());
        match crate::manifest::documents(&manifest)?.first() {
            Some(crate::manifest::Document::Invalid(_, mistakes)) => return Err(Failure::usage(mistakes.join("; "))),
            _ => print(&manifest),
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
        for start in Start::value_variants() {
            let manifest = start.manifest("my-token", None);
            let documents = documents(&manifest).unwrap();
            let [Document::Valid(object)] = documents.as_slice() else { panic!("{manifest}{documents:?}") };
            let word = start.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(object.spec.provider.as_ref().unwrap().name(), word);
            begun.insert(word);
        }
        assert_eq!(begun, known, "a provider without a beginning: add it to `Start`");
    }

    #[test]
    fn what_is_written_into_it_cannot_break_out() {
        let manifest = Start::JfrogAccess.manifest("a", Some("https://a.example.com'}, oauth2: {tokenURL: 'x"));
        assert!(matches!(documents(&manifest).unwrap().as_slice(), [Document::Invalid(..)]));
    }
}
