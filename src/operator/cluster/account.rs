//! Tokens of ServiceAccounts.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, Trouble, bounded, named};
use crate::token::SecretText;

/// How long such a token lives, in seconds: the least that Kubernetes gives. It is used at once.
const LIFETIME: i64 = 600;

impl Cluster {
    /// A new token of a ServiceAccount for this audience.
    pub async fn service_account_token(&self, namespace: &str, name: &str, audience: &str) -> Result<SecretText, Trouble> {
        named(name)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let asked = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(LIFETIME),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let given = bounded(accounts.create_token_request(name, &PostParams::default(), &asked)).await?;
        given.status.map(|status| SecretText::new(status.token)).ok_or(Trouble::Unclear)
    }
}
