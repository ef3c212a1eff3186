//! What a user needs to begin: for each API a Secret that can be applied as it is, and the curl calls that use it.
//!
//! The names of label and keys are those of the operator's documentation, spelled out here a second time on purpose.

use std::fmt::Write as _;

use super::record::{Api, Pair};

/// A first pair and how its holder proves itself.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Name of the Secret.
    pub name: String,
    /// The API the pair is for.
    pub api: Api,
    /// The pair.
    pub pair: Pair,
    /// User and password, for the APIs that take Basic.
    pub user: Option<(String, String)>,
    /// Client id and secret, for OAuth 2.0.
    pub client: Option<(String, String)>,
}

impl Seed {
    /// The Secret in YAML.
    #[must_use]
    pub fn secret(&self, namespace: &str) -> String {
        let mut data = vec![("access_token", self.pair.access_token.as_str())];
        data.extend(self.pair.refresh_token.as_deref().map(|token| ("refresh_token", token)));
        for (names, known) in [(["username", "password"], &self.user), (["client_id", "client_secret"], &self.client)] {
            if let Some((id, secret)) = known {
                data.extend(names.into_iter().zip([id.as_str(), secret.as_str()]));
            }
        }
        let mut out = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n  namespace: {}\n  labels:\n    refreshabletoken.io/role: seed\nstringData:\n",
            quoted(&self.name),
            quoted(namespace)
        );
        for (key, value) in data {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {key}: {}", quoted(value));
        }
        out
    }

    /// The refresh as a call of `curl`, which is that word and any options. It spends the refresh token, where there is one.
    #[must_use]
    pub fn curl(&self, curl: &str, url: &str) -> String {
        let credential =
            |known: &Option<(String, String)>| known.as_ref().map(|(id, secret)| format!("{id}:{secret}")).unwrap_or_default();
        let (path, rest) = match self.api {
            Api::JfrogAccess => (
                "/access/api/v1/tokens",
                format!(
                    "-H {} -d grant_type=refresh_token -d {} -d include_reference_token=true -d expires_in=3600",
                    shell(&format!("Authorization: Bearer {}", self.pair.access_token)),
                    shell(&format!("refresh_token={}", self.pair.refresh()))
                ),
            ),
            Api::JfrogDistribution => (
                "/distribution/api/v1/security/token",
                format!(
                    "-u {} -d grant_type=refresh_token -d {} -d {} -d expires_in=3600",
                    shell(&credential(&self.user)),
                    shell(&format!("refresh_token={}", self.pair.refresh())),
                    shell(&format!("access_token={}", self.pair.access_token))
                ),
            ),
            Api::ElasticCloudEnterprise => (
                "/api/v1/users/auth/_refresh",
                format!("-H {}", shell(&format!("Authorization: Bearer {}", self.pair.access_token))),
            ),
            Api::Oauth2 => (
                "/oauth2/token",
                format!(
                    "-u {} -d grant_type=refresh_token --data-urlencode {}",
                    shell(&credential(&self.client)),
                    shell(&format!("refresh_token={}", self.pair.refresh()))
                ),
            ),
        };
        format!("{curl} -X POST {} {rest}", shell(&format!("{url}{path}")))
    }
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One word of a POSIX shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::issuer::{Config, Core, Entropy};

    #[test]
    fn a_secret_holds_what_its_api_needs_and_survives_odd_characters() {
        let mut core = Core::new(Config::default(), Entropy::seeded(1));
        let pair = core.seed_ece("ci", TimeDelta::hours(1), DateTime::UNIX_EPOCH);
        let user = Some(("ci".to_owned(), "a\"b: 'c\n".to_owned()));
        let seed = Seed { name: "ece".into(), api: Api::ElasticCloudEnterprise, pair, user, client: None };
        let secret = seed.secret("build");
        assert!(secret.contains("  labels:\n    refreshabletoken.io/role: seed\n"), "{secret}");
        assert!(secret.contains("  password: \"a\\\"b: 'c\\n\"\n"), "{secret}");
        assert!(!secret.contains("refresh_token") && !secret.contains("client_id"), "{secret}");
        assert_eq!(shell("it's"), "'it'\\''s'");
    }
}
