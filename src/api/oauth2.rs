//! What can be said about an OAuth 2.0 authorization server beside its endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What brings a token (RFC 6749 section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Grant {
    /// The refresh token of the chain.
    #[default]
    RefreshToken,
    /// The client's own credentials, each time anew; there is no refresh token.
    ClientCredentials,
}

/// A server or service whose ways are known. It fills in what is not said, and knows the error codes that are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "each is a name")]
pub enum Preset {
    Keycloak,
    Okta,
    Auth0,
    Entra,
    Google,
    Hydra,
    Dex,
    GitLab,
    Gitea,
    Salesforce,
    HubSpot,
    Atlassian,
    Slack,
    Zoom,
    Box,
    Xero,
    GitHubApp,
}

impl Preset {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Keycloak,
        Self::Okta,
        Self::Auth0,
        Self::Entra,
        Self::Google,
        Self::Hydra,
        Self::Dex,
        Self::GitLab,
        Self::Gitea,
        Self::Salesforce,
        Self::HubSpot,
        Self::Atlassian,
        Self::Slack,
        Self::Zoom,
        Self::Box,
        Self::Xero,
        Self::GitHubApp,
    ];
}
