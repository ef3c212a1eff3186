//! What can be said about an OAuth 2.0 authorization server beside its endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What brings a token: `RefreshToken` (default, RFC 6749 section 6); `ClientCredentials` (section 4.4): the client's own
/// credentials; `TokenExchange` (RFC 8693) or `JWTBearer` (RFC 7523 section 2.1): another token. All but the first obtain each token
/// anew, from what the seed Secret holds or from a ServiceAccount; a lost answer is simply asked for again then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Grant {
    /// The refresh token of the chain.
    #[default]
    RefreshToken,
    /// The client's own credentials, each time anew; there is no refresh token.
    ClientCredentials,
    /// Another token is exchanged for one, each time anew.
    TokenExchange,
    /// A signed token is shown for one, each time anew.
    #[serde(rename = "JWTBearer")]
    JwtBearer,
}

impl Grant {
    /// Whether each token is obtained anew, without a refresh token.
    #[must_use]
    pub fn obtains_anew(self) -> bool {
        self != Self::RefreshToken
    }

    /// Whether another token brings it.
    #[must_use]
    pub fn has_subject(self) -> bool {
        matches!(self, Self::TokenExchange | Self::JwtBearer)
    }
}

/// The server or service, if it is one whose ways are known: it fills in `rotation` where that is not set, and tells what the
/// error codes mean that the server uses in its own way. docs/providers.md has what each of them says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// Auth0.
    Auth0,
    /// Microsoft Entra ID.
    Entra,
    /// Google.
    Google,
    /// Ory Hydra.
    Hydra,
    /// Dex.
    Dex,
    /// GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
    /// Salesforce.
    Salesforce,
    /// HubSpot.
    HubSpot,
    /// Atlassian Cloud (3LO).
    Atlassian,
    /// Slack, with token rotation.
    Slack,
    /// Zoom.
    Zoom,
    /// Box.
    Box,
    /// Xero.
    Xero,
    /// User tokens of a GitHub App.
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
