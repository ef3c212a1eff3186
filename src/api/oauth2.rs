//! `provider.oauth2`: any OAuth 2.0 authorization server, by what the standards leave open.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Proxy, Timeouts, Tls, object_rule, value_rule};

/// An OAuth 2.0 authorization server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = object_rule::grace(),
    validation = object_rule::key_belongs(),
    validation = object_rule::grant_rotates(),
    validation = object_rule::grant_authenticates(),
    validation = object_rule::grant_seeds(),
    validation = object_rule::grant_bootstraps(),
    validation = object_rule::bootstrap_authenticates(),
    validation = object_rule::exchange_types(),
    validation = object_rule::one_endpoint(),
    validation = object_rule::tls_authenticates(),
    validation = object_rule::proxy_reads_nothing(&["tokenURL", "issuerURL", "revocationURL", "introspectionURL"])
)]
pub struct Oauth2 {
    /// The server or service, if it is one whose ways are known: it fills in `rotation` where that is not set, and tells what the
    /// error codes mean that the server uses in its own way. docs/providers.md has what each of them says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// What brings a token: `RefreshToken` (default, RFC 6749 section 6); `ClientCredentials` (section 4.4): the client's own
    /// credentials, which the seed Secret holds (keys `client_id` and `client_secret` or `private_key`); `TokenExchange` (RFC 8693)
    /// or `JWTBearer` (RFC 7523 section 2.1): another token, from key `subject_token` of the seed Secret or from
    /// `credential.serviceAccountRef`. All but the first obtain each token anew, and a lost answer is simply asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// For `credential.bootstrap: Create`, which needs it; with `grant: RefreshToken` only. By which grant the first tokens of a
    /// chain are asked for, in answer to which the server must give a refresh token: `ClientCredentials` (RFC 6749 section 4.4;
    /// most servers give none then), `Password` (section 4.3): `username` and `password` of the seed Secret, `TokenExchange`
    /// (RFC 8693) or `JWTBearer` (RFC 7523 section 2.1): another token, from key `subject_token` of the seed Secret or from
    /// `credential.serviceAccountRef`. Nothing is spent by it, and a lost answer is simply asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_grant: Option<BootstrapGrant>,
    /// With `grant` or `bootstrapGrant: TokenExchange`: what the token is that is exchanged (`subject_token_type`, RFC 8693
    /// section 3). Default: `urn:ietf:params:oauth:token-type:jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub subject_token_type: Option<String>,
    /// With `grant` or `bootstrapGrant: TokenExchange`: what is wanted for it (`requested_token_type`, RFC 8693 section 2.1).
    /// Default: the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub requested_token_type: Option<String>,
    /// The token endpoint (RFC 6749 section 3.2), such as `https://idp.example.com/oauth2/token`. Either this or `issuerURL`.
    #[serde(rename = "tokenURL", default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub token_url: String,
    /// The server's issuer identifier, such as `https://idp.example.com/realms/build`, in place of `tokenURL`: its metadata (OpenID
    /// Connect Discovery 1.0, RFC 8414) then tell the token endpoint, and the revocation endpoint where `revocationURL` is not set.
    /// They are read again each hour; while they cannot be read, those of the last time count.
    #[serde(rename = "issuerURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub issuer_url: Option<String>,
    /// The revocation endpoint (RFC 7009 section 2), such as `https://idp.example.com/oauth2/revoke`. For
    /// `deletionPolicy: Revoke`, which needs it, and for the revocation of access tokens that were replaced. A server may end the
    /// whole chain with any of its tokens (section 2.1): ask for the latter only if yours does not.
    #[serde(rename = "revocationURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub revocation_url: Option<String>,
    /// The introspection endpoint (RFC 7662 section 2), such as `https://idp.example.com/oauth2/introspect`. When the answer to a refresh
    /// was lost, the server is asked there whether the refresh token was spent; and `recovery.verifyBeforePublish` asks there about a
    /// new access token. Default with issuerURL: the endpoint of the server's metadata. A server tells a client that may not ask that
    /// the token is not active: so that answer alone ends no chain, unless `recovery.onLostChain: Bootstrap` begins another.
    #[serde(rename = "introspectionURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = value_rule::token_url(), validation = value_rule::plain_host(), validation = value_rule::outside_host())]
    pub introspection_url: Option<String>,
    /// How the client authenticates (RFC 6749 section 2.3.1): `Basic` (default) sends `client_id` and `client_secret` in the
    /// Authorization header, `Post` in the body, `PrivateKeyJWT` sends `client_id` and a token that it signs anew for each request
    /// with `private_key` (RFC 7523 section 2.2), `TLS` sends `client_id` and shows the certificate of `tls.clientCertificateRef`
    /// (RFC 8705 section 2), `None` sends only `client_id` (a public client).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,
    /// Whom the tokens of `PrivateKeyJWT` are addressed to (`aud`), as the server wants it: its issuer identifier, such as
    /// `https://idp.example.com`. Default: tokenURL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = value_rule::one_line())]
    pub assertion_audience: Option<String>,
    /// Secret with the client's credentials, in the object's namespace and with the label `refreshabletoken.io/role: seed`.
    /// Without it they are taken from the seed Secret (keys `client_id`, `client_secret`, `private_key`, `key_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<ClientSecretRef>,
    /// What the server does with a refresh token that was used: `Strict` (default): it works once, or it may; an answer without a
    /// new one leaves it in force. `Grace`: it works once, and within graceSeconds the same request may be repeated.
    /// `IdempotencyKey`: it works once, and the server answers a repeat with the same `Idempotency-Key` header as it answered first.
    /// `Reusable`: it stays valid. Default with `preset`: as that server does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How many seconds after its first use a refresh token may be presented again, as the server is configured. A lost answer
    /// is asked for again within this time, never after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub grace_seconds: Option<i32>,
    /// How the connection is verified. Without it: the certificate authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<Tls>>,
    /// The proxy that the token API is reached through. Without it: none, whatever the operator's environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Box<Proxy>>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

impl Oauth2 {
    /// What brings a token, default filled in.
    #[must_use]
    pub fn grant(&self) -> Grant {
        self.grant.unwrap_or_default()
    }
}

/// How the client authenticates (RFC 6749 section 2.3.1): `Basic` (default) sends `client_id` and `client_secret` in the Authorization
/// header, `Post` in the body, `PrivateKeyJWT` sends `client_id` and a token that it signs anew for each request with `private_key`
/// (RFC 7523 section 2.2), `TLS` sends `client_id` and shows the certificate of `tls.clientCertificateRef` (RFC 8705 section 2), `None`
/// sends only `client_id` (a public client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthentication {
    /// `client_secret_basic`.
    #[default]
    Basic,
    /// `client_secret_post`.
    Post,
    /// `private_key_jwt`.
    #[serde(rename = "PrivateKeyJWT")]
    PrivateKeyJwt,
    /// `tls_client_auth` or `self_signed_tls_client_auth`: `client_id`, and the certificate of the connection.
    #[serde(rename = "TLS")]
    Tls,
    /// A public client: `client_id` only.
    None,
}

/// What the server does with a refresh token that was used: `Strict` (default): it works once, or it may; an answer without a new one
/// leaves it in force. `Grace`: it works once, and within graceSeconds the same request may be repeated. `IdempotencyKey`: it works
/// once, and the server answers a repeat with the same `Idempotency-Key` header as it answered first. `Reusable`: it stays valid.
/// Default with `preset`: as that server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Rotation {
    /// It works once.
    #[default]
    Strict,
    /// It works once, and may be presented again for a while.
    Grace,
    /// It works once, and a request with the same `Idempotency-Key` header is answered as the first was.
    IdempotencyKey,
    /// It stays valid.
    Reusable,
}

/// The Secret with an OAuth 2.0 client's credentials, in the object's namespace, labelled `refreshabletoken.io/role: seed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::client_keys_differ())]
pub struct ClientSecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
    /// Key of the client identifier. Default: `client_id`.
    #[serde(rename = "clientIDKey", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub client_id_key: Option<String>,
    /// Key of the client secret. Default: `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub client_secret_key: Option<String>,
    /// Key of the private key for `PrivateKeyJWT`, in PEM form: RSA of 2048 to 4096 bits (signs RS256) or EC on P-256 (ES256).
    /// Default: `private_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub private_key_key: Option<String>,
    /// Key of the private key's name at the server (`kid`), which is sent if it is there. Default: `key_id`.
    #[serde(rename = "keyIDKey", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub key_id_key: Option<String>,
}

impl ClientSecretRef {
    /// The keys, defaults filled in: of the client identifier, the client secret, the private key and its name.
    #[must_use]
    pub fn keys(&self) -> [&str; 4] {
        [
            self.client_id_key.as_deref().unwrap_or("client_id"),
            self.client_secret_key.as_deref().unwrap_or("client_secret"),
            self.private_key_key.as_deref().unwrap_or("private_key"),
            self.key_id_key.as_deref().unwrap_or("key_id"),
        ]
    }
}

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

/// For `credential.bootstrap: Create`, which needs it; with `grant: RefreshToken` only. By which grant the first tokens of a chain are
/// asked for, in answer to which the server must give a refresh token: `ClientCredentials` (RFC 6749 section 4.4; most servers give
/// none then), `Password` (section 4.3): `username` and `password` of the seed Secret, `TokenExchange` (RFC 8693) or `JWTBearer` (RFC
/// 7523 section 2.1): another token, from key `subject_token` of the seed Secret or from `credential.serviceAccountRef`. Nothing is
/// spent by it, and a lost answer is simply asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BootstrapGrant {
    /// The client's own credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// A user name and a password (RFC 6749 section 4.3).
    Password,
    /// Another token is exchanged (RFC 8693).
    TokenExchange,
    /// A signed token is shown (RFC 7523 section 2.1).
    #[serde(rename = "JWTBearer")]
    JwtBearer,
}

impl BootstrapGrant {
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
