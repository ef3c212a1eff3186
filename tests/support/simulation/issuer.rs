//! The issuer, made of values, and the judge: it knows what was presented and what is newest.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

/// The only address of the token API.
const URL: &str = "https://issuer.example.com/token";
/// The same where the API has a path of its own.
const BASE: &str = "https://issuer.example.com";

/// What the issuer does with a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It works once; a second presentation revokes its chain.
    Strict,
    /// It works once, and for so many seconds after its first use brings the same pair again.
    Grace(i64),
    /// It works once, and the same idempotency key brings the same pair again.
    IdempotencyKey,
    /// It works until the pair that it brought is used, and brings the same pair again.
    Overlap,
    /// It stays valid.
    Reusable,
    /// It works once with every other refresh, and stays valid with the others.
    Sometimes,
    /// There is none: the client's credentials bring an access token each time.
    Reissue,
    /// There is none: an access token brings its own replacement, and lives on beside it.
    Renews,
    /// As [`Strict`](Self::Strict); and a chain is begun, as often as one likes, with a token that lies in the seed.
    Created,
    /// As [`Strict`](Self::Strict); and it says what became of a token, tries a new one, and revokes one that was replaced.
    Asked,
}

/// How the URL ends at which tokens are looked at.
pub const INTROSPECT: &str = "/introspect";

/// The token in the seed that begins chains.
pub const IDENTITY: &str = "identity-token";
/// What stands for a refresh token in a request that begins a chain.
pub const BEGIN: &str = "";

impl Kind {
    /// The provider that declares it.
    pub fn provider(self) -> serde_json::Value {
        let (name, mut provider) = match self {
            // Where it works once now and then nobody can tell which it will be: the strict reading is the only safe one.
            Self::Strict | Self::Sometimes => ("oauth2", json!({ "rotation": "Strict" })),
            Self::Grace(seconds) => ("oauth2", json!({ "rotation": "Grace", "graceSeconds": seconds })),
            Self::IdempotencyKey => ("oauth2", json!({ "rotation": "IdempotencyKey" })),
            // The longest window that can be declared: the old token works for as long as anybody needs it.
            Self::Overlap => ("oauth2", json!({ "rotation": "Grace", "graceSeconds": 86_400 })),
            Self::Reusable => ("oauth2", json!({ "rotation": "Reusable" })),
            Self::Reissue => ("oauth2", json!({ "grant": "ClientCredentials" })),
            Self::Renews => ("http", renewing()),
            Self::Created => ("jfrogAccess", json!({ "url": BASE })),
            Self::Asked => {
                let (introspection, revocation) = (format!("{BASE}{INTROSPECT}"), format!("{BASE}/revoke"));
                ("oauth2", json!({ "rotation": "Strict", "introspectionURL": introspection, "revocationURL": revocation }))
            }
        };
        provider["timeouts"] = json!({ "connect": "3s", "request": "8s" });
        if name == "oauth2" {
            provider["tokenURL"] = URL.into();
        }
        json!({ name: provider })
    }
}

/// An API whose access token brings its own replacement.
fn renewing() -> serde_json::Value {
    json!({
        "request": { "url": URL, "auth": { "bearer": "AccessToken" } },
        "reply": {
            "accessToken": "/access_token", "refreshToken": null, "expiry": { "pointer": "/expires_in", "format": "Seconds" },
            "errors": [{ "status": 400, "pointer": "/error", "equals": "invalid_grant", "class": "ChainOver" }],
        },
        "semantics": { "rotation": "RenewsItself" },
    })
}

/// The first use of a refresh token.
#[derive(Clone, Debug)]
struct Use {
    at: DateTime<Utc>,
    key: String,
    successor: String,
    /// When the access token expired that was there before.
    expired: DateTime<Utc>,
}

/// One chain of tokens and all that happened to it.
#[derive(Debug)]
pub struct Issuer {
    kind: Kind,
    /// How long an access token lives.
    lifetime: TimeDelta,
    current: String,
    access: String,
    /// Every access token and when it expires.
    granted: BTreeMap<String, DateTime<Utc>>,
    revoked: bool,
    /// A chain has begun.
    begun: bool,
    serial: u32,
    used: BTreeMap<String, Use>,
    /// Requests for a refresh that came.
    pub calls: u32,
    /// When the last of them came.
    pub last_call: Option<DateTime<Utc>>,
    /// Refreshes that were granted, repeats left out.
    pub rotations: u32,
    /// Spent tokens that were presented again where the issuer allows none of that.
    pub double_spends: Vec<String>,
    /// Tokens that somebody asked to be revoked, in order.
    pub revocations: Vec<String>,
    /// The one presentation at the end of a chain that nobody holds any more; see [`present`](Self::present).
    pub last_tries: u32,
}

/// An answer: status and body.
pub type Answer = (u16, String);

impl Issuer {
    /// Begins a chain; its first refresh token is [`current`](Self::current).
    pub fn new(kind: Kind, lifetime: TimeDelta, now: DateTime<Utc>) -> Self {
        Self {
            kind,
            lifetime,
            current: "refresh-0".into(),
            access: access(0, now + lifetime),
            granted: BTreeMap::from([(access(0, now + lifetime), now + lifetime)]),
            revoked: false,
            begun: kind != Kind::Created,
            serial: 0,
            used: BTreeMap::new(),
            calls: 0,
            last_call: None,
            rotations: 0,
            double_spends: Vec::new(),
            revocations: Vec::new(),
            last_tries: 0,
        }
    }

    /// There is a refresh token, which can be lost.
    pub fn refreshes(&self) -> bool {
        !matches!(self.kind, Kind::Reissue | Kind::Renews) && self.begun
    }

    /// A chain that is over is followed by another.
    pub fn begins_anew(&self) -> bool {
        self.kind == Kind::Created
    }

    /// Whether an output should hold this access token: the newest, or any that lives where a refresh ends nothing.
    pub fn is_good(&self, access: &str, now: DateTime<Utc>) -> bool {
        match self.kind {
            Kind::Strict
            | Kind::Sometimes
            | Kind::Grace(_)
            | Kind::IdempotencyKey
            | Kind::Overlap
            | Kind::Created
            | Kind::Asked => access == self.access,
            Kind::Reusable | Kind::Reissue | Kind::Renews => self.lives(access, now),
        }
    }

    fn lives(&self, access: &str, now: DateTime<Utc>) -> bool {
        self.granted.get(access).is_some_and(|expires| now < *expires)
    }

    /// The newest refresh token.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// The newest access token.
    pub fn access(&self) -> &str {
        &self.access
    }

    /// A lost answer may cost the chain: at once, or where nobody comes back within the grace.
    pub fn may_lose(&self) -> bool {
        matches!(self.kind, Kind::Strict | Kind::Sometimes | Kind::Grace(_) | Kind::Asked)
    }

    /// The chain was revoked.
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Handles a refresh request. `held`: somebody in the operator's reach still holds the newest token.
    ///
    /// A spent token is presented once on purpose when the access token has expired and nobody holds its successor: nothing
    /// can get worse then. That is no double spend, and is counted apart; a second one is.
    pub fn present(&mut self, token: &str, key: &str, held: bool, now: DateTime<Utc>) -> Answer {
        (self.calls, self.last_call) = (self.calls + 1, Some(now));
        if self.kind == Kind::Created && token == BEGIN {
            return self.begin(now);
        }
        if let Some(first) = self.used.get(token).cloned() {
            let again = self.current == first.successor;
            let allowed = again
                && match self.kind {
                    Kind::Strict
                    | Kind::Sometimes
                    | Kind::Reusable
                    | Kind::Reissue
                    | Kind::Renews
                    | Kind::Created
                    | Kind::Asked => false,
                    Kind::Grace(seconds) => now - first.at < TimeDelta::seconds(seconds),
                    Kind::IdempotencyKey => first.key == key,
                    Kind::Overlap => true,
                };
            if allowed {
                return self.grant();
            }
            if again && !held && now >= first.expired && self.last_tries == 0 {
                self.last_tries += 1;
            } else {
                self.double_spends.push(token.to_owned());
            }
            self.revoked = true;
        }
        let good = match self.kind {
            Kind::Reissue => true,
            Kind::Renews => !self.revoked && self.lives(token, now),
            _ => !self.revoked && token == self.current,
        };
        if !good && self.kind == Kind::Created {
            return (404, json!({ "errors": [{ "code": "NOT_FOUND", "message": "not found" }] }).to_string());
        }
        if !good {
            return (400, json!({ "error": "invalid_grant" }).to_string());
        }
        self.serial += 1;
        self.rotations += 1;
        let expired = self.granted[&self.access];
        self.access = access(self.serial, now + self.lifetime);
        self.granted.insert(self.access.clone(), now + self.lifetime);
        let rotates = match self.kind {
            Kind::Strict | Kind::Grace(_) | Kind::IdempotencyKey | Kind::Overlap | Kind::Created | Kind::Asked => true,
            Kind::Sometimes => self.serial.is_multiple_of(2),
            Kind::Reusable | Kind::Reissue | Kind::Renews => false,
        };
        if rotates {
            let successor = format!("refresh-{}", self.serial);
            let first = Use { at: now, key: key.to_owned(), successor: successor.clone(), expired };
            self.used.insert(std::mem::replace(&mut self.current, successor), first);
        }
        self.grant()
    }

    /// Begins another chain; nobody uses the one before any more.
    fn begin(&mut self, now: DateTime<Utc>) -> Answer {
        self.serial += 1;
        self.rotations += 1;
        self.revoked = false;
        self.begun = true;
        self.current = format!("refresh-{}", self.serial);
        self.access = access(self.serial, now + self.lifetime);
        self.granted.insert(self.access.clone(), now + self.lifetime);
        self.grant()
    }

    /// Handles a question about a token (RFC 7662).
    pub fn introspect(&self, token: &str, now: DateTime<Utc>) -> Answer {
        let active = !self.revoked && (token == self.current || self.lives(token, now));
        (200, json!({ "active": active }).to_string())
    }

    /// Handles a request for a revocation (RFC 7009).
    ///
    /// To revoke the newest access token while it is in use is as bad as spending a token twice.
    pub fn revoke(&mut self, token: &str) -> Answer {
        self.revoked |= token == self.current;
        if self.kind == Kind::Asked {
            if token == self.access {
                self.double_spends.push(token.to_owned());
            } else {
                self.granted.remove(token);
            }
        }
        self.revocations.push(token.to_owned());
        (200, String::new())
    }

    fn grant(&self) -> Answer {
        let seconds = self.lifetime.num_seconds();
        let mut body = json!({ "access_token": self.access, "token_type": "Bearer", "expires_in": seconds });
        if self.refreshes() {
            body["refresh_token"] = self.current.clone().into();
        }
        (200, body.to_string())
    }
}

/// An access token that tells when it expires, as a JWT does (RFC 7519).
fn access(serial: u32, expires: DateTime<Utc>) -> String {
    use base64::Engine as _;
    let claims = json!({ "jti": serial.to_string(), "exp": expires.timestamp() }).to_string();
    format!("header.{}.signature", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
}
