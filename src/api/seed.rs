//! What a seed Secret holds so that a chain can begin with it.

use super::{ClientAuthentication, Credential, ProviderSpec};
use crate::provider::{Begins, Beside, Semantics};

/// The keys of a client's credentials in a seed.
pub const CLIENT_KEYS: [&str; 4] = ["client_id", "client_secret", "private_key", "key_id"];

impl ProviderSpec {
    /// Sets of keys of a seed, by their default names: with all of one set a chain begins. The usual set is the first.
    #[must_use]
    pub fn beginnings(&self, credential: &Credential) -> Vec<Vec<&str>> {
        let account = credential.service_account_ref.is_some();
        let subject = |shows: bool| (shows && !account).then_some("subject_token");
        let tokens = match self.api().semantics() {
            Semantics::RenewsItself => "access_token",
            Semantics::SingleUse | Semantics::Grace(_) | Semantics::IdempotencyKey | Semantics::Reusable => "refresh_token",
            Semantics::Reissue => {
                return match self.api().beside() {
                    Beside::Client(oauth2) => {
                        let public = oauth2.client_authentication == Some(ClientAuthentication::None);
                        let client = (!public).then_some("client_id");
                        vec![client.into_iter().chain(subject(oauth2.grant().has_subject())).collect()]
                    }
                    Beside::Keys(keys) => keys.into_iter().map(|key| vec![key]).collect(),
                    Beside::Nothing | Beside::Password => vec![vec!["client_id"]],
                };
            }
        };
        let mut all = vec![vec![tokens]];
        if credential.bootstrap.is_some() {
            let client = match self.api().beside() {
                Beside::Client(oauth2) if oauth2.client_secret_ref.is_none() => Some("client_id"),
                Beside::Client(_) | Beside::Nothing | Beside::Password | Beside::Keys(_) => None,
            };
            let user = vec!["username", "password"];
            let first = match self.api().begins() {
                Begins::Client => vec![Vec::new()],
                Begins::Password => vec![user],
                Begins::TokenOrPassword => vec![vec!["access_token"], user],
                Begins::Subject => vec![subject(true).into_iter().collect()],
            };
            all.extend(first.into_iter().map(|keys| client.into_iter().chain(keys).collect()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_begin_a_chain_is_named() {
        let of = |provider: &str, credential: &str| -> Vec<String> {
            let provider: ProviderSpec = serde_saphyr::from_str(provider).unwrap();
            let credential: Credential = serde_saphyr::from_str(&format!("{{seedSecretRef: {{name: s}}{credential}}}")).unwrap();
            provider.beginnings(&credential).iter().map(|keys| keys.join("+")).collect()
        };
        let access = "{jfrogAccess: {url: 'https://a.example.com'}}";
        assert_eq!(of(access, ""), ["refresh_token"]);
        assert_eq!(of(access, ", bootstrap: Create"), ["refresh_token", "access_token", "username+password"]);
        let elastic = "{elasticCloudEnterprise: {url: 'https://a.example.com'}}";
        assert_eq!(of(elastic, ", bootstrap: Create"), ["access_token", "username+password"]);
        let oauth2 = |more: &str| format!("{{oauth2: {{tokenURL: 'https://a.example.com/t'{more}}}}}");
        assert_eq!(of(&oauth2(", grant: ClientCredentials"), ""), ["client_id"]);
        assert_eq!(of(&oauth2(", grant: TokenExchange"), ""), ["client_id+subject_token"]);
        let account = ", serviceAccountRef: {name: a, audience: b}";
        assert_eq!(of(&oauth2(", grant: TokenExchange, clientAuthentication: None"), account), [""]);
        let bootstrap = ", bootstrap: Create";
        let client = ", bootstrapGrant: ClientCredentials";
        assert_eq!(of(&oauth2(client), bootstrap), ["refresh_token", "client_id"]);
        let elsewhere = format!("{client}, clientSecretRef: {{name: c}}");
        assert_eq!(of(&oauth2(&elsewhere), bootstrap), ["refresh_token", ""]);
        let declared = "{http: {request: {url: 'https://a.example.com/t', headers: [{name: A, seedKey: one}, {name: B, seedKey: two}]}, \
                        reply: {accessToken: /t}, semantics: {rotation: Reissue}}}";
        assert_eq!(of(declared, ""), ["one", "two"]);
    }
}
