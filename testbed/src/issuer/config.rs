//! What an administrator of the simulated vendors could have set, and the answers no document gives.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Map, Value};

/// A person or robot with a password.
#[derive(Debug, Clone)]
pub struct User {
    /// The password for Basic and for ECE's `_login`.
    pub password: String,
    /// May act for others, ask for admin scope and for tokens that never expire.
    pub admin: bool,
}

/// How an OAuth 2.0 client proves itself (RFC 6749 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic` or `client_secret_post`; `oidc-provider` accepts either from either kind.
    Any,
    /// `client_secret_basic` only.
    Basic,
    /// `client_secret_post` only.
    Post,
    /// `private_key_jwt`: a token that the client signs anew for each request; see [`Config::client_keys`].
    PrivateKeyJwt,
    /// A public client: `client_id` in the body and no secret.
    None,
}

/// The public key of an OAuth 2.0 client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// ES256: an uncompressed point on P-256.
    Es256(Vec<u8>),
    /// RS256: an RSA key in the DER form of PKCS#1.
    Rs256(Vec<u8>),
}

/// An OAuth 2.0 client.
#[derive(Debug, Clone)]
pub struct Client {
    /// The secret; unused with [`ClientAuth::None`] and [`ClientAuth::PrivateKeyJwt`].
    pub secret: String,
    /// How the client proves itself.
    pub auth: ClientAuth,
    /// What the client may ask for, in words separated by spaces.
    pub scope: String,
}

/// What a refresh does to the refresh token that paid for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Spent at once; a second use is refused.
    Strict,
    /// Spent, but repeated use within `window` of the first use, and before the successor was used, is answered again.
    Grace {
        /// From the first use on; the end is not included.
        window: TimeDelta,
        /// What the repetition gets.
        replay: Replay,
    },
    /// Never spent and never replaced; the answer leaves `refresh_token` out (RFC 6749 section 6).
    Reusable,
}

/// The answer to a repeated use within the grace window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The pair of the first answer, as django-oauth-toolkit and Dex do.
    SamePair,
    /// A further pair; the earlier one stays valid, as Hydra does.
    NewPair,
}

/// How a lifetime is told in an answer; vendor samples disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiresIn {
    /// `"expires_in": 3600`.
    Number,
    /// `"expires_in": "3600"`, as in some samples of JFrog's documentation.
    Text,
    /// Left out; RFC 6749 section 5.1 only recommends it.
    Absent,
}

impl ExpiresIn {
    pub(super) fn put(self, seconds: i64, into: &mut Map<String, Value>) {
        match self {
            Self::Number => into.insert("expires_in".into(), seconds.into()),
            Self::Text => into.insert("expires_in".into(), seconds.to_string().into()),
            Self::Absent => None,
        };
    }
}

/// Everything that can be set on an issuer.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a vendor or of the judge")]
pub struct Config {
    /// Name of this instance in JFrog's `iss`; a token with another one comes from elsewhere.
    pub instance: String,
    /// The issuer URL of the OAuth 2.0 API (`iss`).
    pub issuer_url: String,
    /// Users by name, for Basic, `_login` and the admin rules.
    pub users: BTreeMap<String, User>,
    /// JFrog identity tokens and whose they are. They never expire and cannot be refreshed.
    pub identity_tokens: BTreeMap<String, String>,
    /// OAuth 2.0 clients by id.
    pub clients: BTreeMap<String, Client>,
    /// Public keys of those that sign, by id.
    pub client_keys: BTreeMap<String, PublicKey>,
    /// Whom tokens must be for that are exchanged (RFC 8693) or shown as assertions (RFC 7523); none: nothing is exchanged. Their
    /// signatures are not looked at: who gave them is for the test to say.
    pub subject_audience: Option<String>,
    /// OAuth 2.0: client credentials and tokens that are exchanged or shown bring a refresh token too, and so does a password (RFC 6749
    /// section 4.3), which is not taken otherwise. Off by default: section 4.4.3 advises against it.
    pub first_refresh_tokens: bool,
    /// Presenting a spent refresh token kills the whole chain, access tokens too (RFC 9700 section 4.14.2). For every API with single use
    /// tokens; JFrog is not known to do it, so it is off by default.
    pub family_revocation: bool,
    /// A refresh kills the access token it replaces. No vendor documents it, jfrog-cli assumes it, GitLab does it; off by default
    /// because the spent-token answer of JFrog was reported from callers whose bearer was the replaced token.
    pub old_access_token_dies: bool,
    /// How answers of JFrog and OAuth 2.0 tell the lifetime.
    pub expires_in: ExpiresIn,
    /// JFrog `token.default-expiry`, used when a request to Access names none: 1 year; zero is never.
    pub access_default_expiry: TimeDelta,
    /// JFrog `token.max-expiry`: zero is no cap.
    pub access_max_expiry: TimeDelta,
    /// JFrog `token.refresh-expiry`: how long after its expiry a token can still be refreshed. 24 hours on one vendor page.
    pub refresh_window: TimeDelta,
    /// JFrog `token.allow-refreshable`: when false, answers hold no refresh token and do not say why.
    pub allow_refreshable: bool,
    /// JFrog Access takes Basic on the token endpoint; an administrator must switch it on (7.63.2 and later).
    pub access_basic: bool,
    /// JFrog refresh tokens are 64 opaque characters and not UUIDs.
    pub opaque_refresh_tokens: bool,
    /// Length of an ECE session. The vendor says "short" and no number; one hour is our choice.
    pub ece_session: TimeDelta,
    /// ECE `_refresh` takes Basic, as the sample on the vendor page shows; the text of that page speaks of the bearer token.
    pub ece_basic: bool,
    /// Life of an OAuth 2.0 access token.
    pub oauth2_lifetime: TimeDelta,
    /// Life of an OAuth 2.0 refresh token, started anew by each rotation; zero is never.
    pub oauth2_refresh_lifetime: TimeDelta,
    /// What a refresh does to an OAuth 2.0 refresh token.
    pub rotation: Rotation,
}

impl Default for Config {
    fn default() -> Self {
        let user = |password: &str, admin| User { password: password.into(), admin };
        let client = Client { secret: "client-secret".into(), auth: ClientAuth::Any, scope: "api offline_access".into() };
        Self {
            instance: "01sim000000000000000000001".into(),
            issuer_url: "http://localhost".into(),
            users: BTreeMap::from([("admin".into(), user("admin-password", true)), ("ci".into(), user("ci-password", false))]),
            identity_tokens: BTreeMap::from([
                ("admin-identity-token".into(), "admin".into()),
                ("ci-identity-token".into(), "ci".into()),
            ]),
            clients: BTreeMap::from([("ci-client".into(), client)]),
            client_keys: BTreeMap::new(),
            subject_audience: None,
            first_refresh_tokens: false,
            family_revocation: false,
            old_access_token_dies: false,
            expires_in: ExpiresIn::Number,
            access_default_expiry: TimeDelta::days(365),
            access_max_expiry: TimeDelta::zero(),
            refresh_window: TimeDelta::hours(24),
            allow_refreshable: true,
            access_basic: false,
            opaque_refresh_tokens: false,
            ece_session: TimeDelta::hours(1),
            ece_basic: true,
            oauth2_lifetime: TimeDelta::hours(1),
            oauth2_refresh_lifetime: TimeDelta::days(30),
            rotation: Rotation::Strict,
        }
    }
}

impl Config {
    pub(super) fn is_admin(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|known| known.admin)
    }

    pub(super) fn password_fits(&self, user: &str, password: &str) -> bool {
        self.users.get(user).is_some_and(|known| known.password == password)
    }
}

/// Zero means never, in every lifetime of every API here.
pub(super) fn never_if_zero(lifetime: TimeDelta) -> Option<TimeDelta> {
    (lifetime > TimeDelta::zero()).then_some(lifetime)
}
