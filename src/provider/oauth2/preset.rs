//! What is known of servers and services, as data: what they promise, and error codes that are their own.
//!
//! A rotation that can be switched on is taken for on: a server that turns out not to rotate loses nothing by that, and one that
//! was taken for lenient by mistake loses its chain. Only what no administrator can change is called reusable. Each code is an
//! exact value of one member of the answer; free text is matched nowhere.

use std::time::Duration;

use super::{Class, Semantics};
use crate::api::Preset;

/// What is known of one of them.
pub(super) struct Ways {
    /// What it promises about a presented refresh token, as it is delivered.
    pub(super) semantics: Semantics,
    /// Codes that it uses in its own way; they go before the general ones.
    pub(super) codes: &'static [Code],
}

/// A code of one server.
pub(super) struct Code {
    /// The member of the answer that holds it.
    pub(super) member: &'static str,
    /// The value of the member.
    pub(super) code: &'static str,
    /// The server uses it for a scope that is too wide too: it says this only where no scope was asked for.
    pub(super) or_scope: bool,
    /// What it proves.
    pub(super) class: Class,
    /// What it means.
    pub(super) detail: &'static str,
}

impl Code {
    const fn error(code: &'static str, class: Class, detail: &'static str) -> Self {
        Self { member: "error", code, or_scope: false, class, detail }
    }
}

const PLAIN: &[Code] = &[];

/// Issues 16923 (Keycloak) and 119 (its Node.js connector) show it for a wrong secret and for a missing client_id.
const KEYCLOAK: &[Code] = &[Code::error(
    "unauthorized_client",
    Class::Configuration,
    "unauthorized_client: the client's credentials or its way to authenticate are not accepted",
)];

/// Auth0, and Atlassian, whose authorization server it is: client and secret do not fit together.
const AUTH0: &[Code] =
    &[Code::error("access_denied", Class::Configuration, "access_denied: client_id or client_secret is not accepted")];

/// Microsoft, "Microsoft identity platform and OAuth 2.0 authorization code flow", error codes for token endpoint errors.
const ENTRA: &[Code] = &[Code::error(
    "invalid_resource",
    Class::Configuration,
    "invalid_resource: the resource of request.scope does not exist or is not set up for this tenant",
)];

/// Fosite, `handler/oauth2/flow_refresh.go`: of two requests with one token at the same time the loser is told to repeat, in
/// words only. A request that is malformed gets the same code; nothing is spent by it either.
const HYDRA: &[Code] = &[Code::error(
    "invalid_request",
    Class::Transient,
    "invalid_request: another request used the token at the same time, or the server finds the request malformed",
)];

/// Dex, `server/refreshhandlers.go`: a token that is unknown, used or expired, and a scope wider than the first.
const DEX: &[Code] = &[Code {
    or_scope: true,
    ..Code::error(
        "invalid_request",
        Class::ChainOver,
        "invalid_request: the server no longer accepts this refresh token (unknown, used or expired)",
    )
}];

/// Gitea, `routers/web/auth/oauth2_provider.go`, `handleRefreshToken`: a token that cannot be read or was used. A wrong client is
/// `invalid_client` there.
const GITEA: &[Code] = &[Code::error(
    "unauthorized_client",
    Class::ChainOver,
    "unauthorized_client: the server no longer accepts this refresh token (used, or unreadable)",
)];

/// HubSpot's forum, "What to do when you suddenly get BAD_REFRESH_TOKEN", and airbyte issue 79592: status 400, no `error`.
const HUBSPOT: &[Code] = &[Code {
    member: "status",
    ..Code::error(
        "BAD_REFRESH_TOKEN",
        Class::ChainOver,
        "BAD_REFRESH_TOKEN: the server no longer accepts this refresh token (the app was removed, or its access was revoked)",
    )
}];

/// Slack, method oauth.v2.access, errors; sent with status 200. `internal_error` and `fatal_error` are left out: part of the
/// work may be done then, says the page.
const SLACK: &[Code] = &[
    Code::error("invalid_client_id", Class::Configuration, "invalid_client_id: client_id is not known"),
    Code::error("ratelimited", Class::Throttled, "ratelimited: the API asks for fewer requests"),
];

/// What is known of a server or service. The sources of semantics and codes are in docs/providers.md, line by line.
pub(super) fn ways(preset: Preset) -> Ways {
    const STRICT: Semantics = Semantics::SingleUse;
    let (semantics, codes) = match preset {
        Preset::Keycloak => (STRICT, KEYCLOAK),
        // The default of `leeway`; 0 to 60 s can be set.
        Preset::Okta => (Semantics::Grace(Duration::from_secs(30)), PLAIN),
        Preset::Auth0 | Preset::Atlassian => (STRICT, AUTH0),
        Preset::Entra => (Semantics::Reusable, ENTRA),
        Preset::Google => (Semantics::Reusable, PLAIN),
        Preset::Hydra => (STRICT, HYDRA),
        Preset::Dex => (STRICT, DEX),
        Preset::Gitea => (STRICT, GITEA),
        Preset::HubSpot => (Semantics::Reusable, HUBSPOT),
        Preset::Slack => (STRICT, SLACK),
        // For everybody the same.
        Preset::Xero => (Semantics::Grace(Duration::from_secs(1800)), PLAIN),
        // Codes of RFC 6749, or of the general list.
        Preset::GitLab | Preset::Salesforce | Preset::Zoom | Preset::Box | Preset::GitHubApp => (STRICT, PLAIN),
    };
    Ways { semantics, codes }
}
