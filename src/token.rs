//! The words of RFC 6749 as types whose contents cannot be printed by accident; no parsing and no I/O.

mod signing;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::{digest, hmac};
use zeroize::Zeroizing;

pub use signing::{KeyError, SigningKey};

/// A text that must not be seen: a token, a password, a client secret.
///
/// `Debug` is redacted; there is no `Display` and no `Serialize`. The copy held here is wiped on drop; the buffers of serde,
/// HTTP and TLS are not, and nothing here claims so.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text under protection.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Every use of this name is a place where a secret leaves its protection.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl std::hash::Hash for SecretText {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// An access token (RFC 6749 section 1.4): what workloads use.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct AccessToken(pub SecretText);

/// A refresh token (RFC 6749 section 1.5): what is spent to get the next pair.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct RefreshToken(pub SecretText);

impl AccessToken {
    /// Takes an access token under protection.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretText::new(text))
    }

    /// The token itself; see [`SecretText::reveal`].
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl RefreshToken {
    /// Takes a refresh token under protection.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretText::new(text))
    }

    /// The token itself; see [`SecretText::reveal`].
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

/// What one answer of a token API granted (RFC 6749 section 5.1 and its vendor variants).
///
/// At least one of the two tokens is present; a reader of replies must not build one with neither.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct TokenSet {
    /// The new access token; absent when the answer named only a refresh token (the refresh token is kept all the same).
    pub access_token: Option<AccessToken>,
    /// The new refresh token; absent means that the old one stays in force (RFC 6749 section 6).
    pub refresh_token: Option<RefreshToken>,
    /// JFrog's short stand-in for the access token, when it was asked for.
    pub reference_token: Option<SecretText>,
    /// When the access token ends; absent when neither the answer nor the token says.
    pub expiration_time: Option<DateTime<Utc>>,
    /// When the refresh token ends, where the answer says.
    pub refresh_token_expiration_time: Option<DateTime<Utc>>,
    /// The issuer's name for this token (JFrog `token_id`, JWT `jti`); not a secret.
    pub token_id: Option<String>,
    /// The scope that was granted, where the answer says.
    pub scope: Option<String>,
    /// Whom the token speaks for (JWT `sub`), where it says.
    pub subject: Option<String>,
}

/// The tokens that a chain stands on: what the state Secret holds and a request is built from.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct HeldTokens {
    /// The newest access token.
    pub access_token: Option<AccessToken>,
    /// The newest refresh token; none for APIs whose token renews itself.
    pub refresh_token: Option<RefreshToken>,
    /// The newest reference token.
    pub reference_token: Option<SecretText>,
    /// The instant before the request that brought these tokens was sent.
    pub issued_time: Option<DateTime<Utc>>,
    /// When the access token ends; none when unknown.
    pub expiration_time: Option<DateTime<Utc>>,
    /// When the refresh token ends; none when unknown.
    pub refresh_token_expiration_time: Option<DateTime<Utc>>,
    /// The issuer's name for the access token.
    pub token_id: Option<String>,
    /// The granted scope.
    pub scope: Option<String>,
    /// Whom the token speaks for.
    pub subject: Option<String>,
    /// The access token before this one, if somebody asks for it.
    pub previous: Option<PreviousToken>,
}

/// An access token that was replaced by a newer one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PreviousToken {
    /// The token.
    pub access_token: AccessToken,
    /// The instant before the request that brought its successor was sent.
    pub replaced_time: DateTime<Utc>,
    /// When it ends; none when unknown.
    pub expiration_time: Option<DateTime<Utc>>,
}

impl PreviousToken {
    /// When it is to be taken away: after a grace, or once it has ended; none where neither is known. In whole seconds, as a
    /// status tells times, so that whoever reads the status comes to the same end.
    #[must_use]
    pub fn until(
        grace: Option<std::time::Duration>,
        replaced: DateTime<Utc>,
        expires: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        let whole = |time: DateTime<Utc>| DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time);
        let grace = grace.and_then(|grace| whole(replaced).checked_add_signed(chrono::TimeDelta::from_std(grace).ok()?));
        [grace, expires.map(whole)].into_iter().flatten().min()
    }
}

impl HeldTokens {
    /// These tokens after an answer: what the answer names replaces, what it omits stays (RFC 6749 section 6 for the refresh
    /// token).
    ///
    /// `sent` is the instant before the request was sent: expiries count from there, so that a slow answer can only make them
    /// early.
    #[must_use]
    pub fn after(&self, granted: &TokenSet, sent: DateTime<Utc>) -> Self {
        let fresh = granted.access_token.is_some();
        Self {
            access_token: granted.access_token.clone().or_else(|| self.access_token.clone()),
            refresh_token: granted.refresh_token.clone().or_else(|| self.refresh_token.clone()),
            reference_token: if fresh { granted.reference_token.clone() } else { self.reference_token.clone() },
            issued_time: if fresh { Some(sent) } else { self.issued_time },
            expiration_time: if fresh { granted.expiration_time } else { self.expiration_time },
            refresh_token_expiration_time: if granted.refresh_token.is_some() {
                granted.refresh_token_expiration_time
            } else {
                granted.refresh_token_expiration_time.or(self.refresh_token_expiration_time)
            },
            token_id: if fresh { granted.token_id.clone() } else { self.token_id.clone() },
            scope: granted.scope.clone().or_else(|| self.scope.clone()),
            subject: granted.subject.clone().or_else(|| self.subject.clone()),
            previous: if fresh { None } else { self.previous.clone() },
        }
    }

    /// These tokens, with the access token of `before` as the previous one if it was replaced. A seed's token was never published,
    /// so that nobody waits for it.
    #[must_use]
    pub fn remembering(self, before: &Self) -> Self {
        let replaced = self.access_token != before.access_token && before.issued_time.is_some();
        let previous = before.access_token.clone().zip(self.issued_time).filter(|_| replaced);
        let previous = previous.map(|(access_token, replaced_time)| PreviousToken {
            access_token,
            replaced_time,
            expiration_time: before.expiration_time,
        });
        Self { previous: previous.or_else(|| before.previous.clone()), ..self }
    }
}

/// Credentials beside the tokens, as the user's Secrets give them; each is needed by some providers only.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Login {
    /// User name for Basic authentication.
    pub username: Option<SecretText>,
    /// Password for Basic authentication.
    pub password: Option<SecretText>,
    /// OAuth 2.0 client identifier (RFC 6749 section 2.2).
    pub client_id: Option<SecretText>,
    /// OAuth 2.0 client secret (RFC 6749 section 2.3.1).
    pub client_secret: Option<SecretText>,
    /// Values of the seed Secret by their keys: those that a declared request names.
    pub named: BTreeMap<String, SecretText>,
    /// The OAuth 2.0 client's private key (RFC 7523 section 2.2).
    pub client_key: Option<SigningKey>,
    /// The name of that key at the server (`kid`, RFC 7515 section 4.1.4).
    pub client_key_id: Option<SecretText>,
    /// The token that is exchanged (RFC 8693 section 2.1), or shown as an assertion (RFC 7523 section 2.1).
    pub subject_token: Option<SecretText>,
}

/// The keyed name of a secret: `hmac:` and 24 hex digits (96 bits of HMAC-SHA-256).
///
/// Keyed, so that whoever reads a status cannot test guesses; 96 bits, so that two tokens never share one by chance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// A fingerprint as read back from a status or a Secret.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The printable form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of all fingerprints of one installation; it lives in a Secret of the operator's namespace.
#[derive(Clone)]
pub struct FingerprintKey(hmac::Key);

impl FingerprintKey {
    /// Length of a fresh key in bytes: the digest length, as RFC 2104 section 3 recommends.
    pub const LENGTH: usize = 32;

    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The fingerprint of `secret`. `purpose` keeps the fingerprints of different things apart.
    #[must_use]
    pub fn fingerprint(&self, purpose: Purpose, secret: &[u8]) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.label().as_bytes());
        context.update(&[0]);
        context.update(secret);
        Fingerprint(format!("hmac:{}", hex(context.sign().as_ref(), 12)))
    }
}

impl FingerprintKey {
    /// The name of this key. Fingerprints that were made with a key of another name say nothing.
    #[must_use]
    pub fn name(&self) -> Fingerprint {
        self.fingerprint(Purpose::Key, b"")
    }
}

/// Keys of one name are one key.
impl PartialEq for FingerprintKey {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for FingerprintKey {}

impl std::hash::Hash for FingerprintKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey([redacted])")
    }
}

/// What a fingerprint is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A token that is or was spent, in a seed or in a chain: the same token must be recognised in both.
    Token,
    /// The rendered contents of an output Secret.
    Content,
    /// The part of a spec that shapes the token.
    Request,
    /// The contents of all output Secrets together, as hashes.
    Rollout,
    /// The key itself: tells whether two fingerprints can be compared at all.
    Key,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Content => "content",
            Self::Request => "request",
            Self::Rollout => "rollout",
            Self::Key => "key",
        }
    }
}

/// A number in `0.0..1.0` that depends on `seed` only: the operator's one source of spread, so that the core needs no
/// randomness and a restart changes no schedule.
#[must_use]
pub fn unit_interval(seed: &str) -> f64 {
    let hash = digest::digest(&digest::SHA256, seed.as_bytes());
    let bytes = hash.as_ref().iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    f64::from(bytes) / (f64::from(u32::MAX) + 1.0)
}

/// The first `take` bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8], take: usize) -> String {
    use fmt::Write as _;
    bytes.iter().take(take).fold(String::with_capacity(take * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The claims of a JWT that the schedule and the status use; the signature is not checked, since nothing is granted on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JwtClaims {
    /// `exp`, seconds since the epoch (RFC 7519 section 4.1.4).
    pub expiration: Option<i64>,
    /// `iat`, seconds since the epoch (RFC 7519 section 4.1.6).
    pub issued: Option<i64>,
    /// `sub` (RFC 7519 section 4.1.2).
    pub subject: Option<String>,
    /// `jti` (RFC 7519 section 4.1.7).
    pub token_id: Option<String>,
}

/// Reads the claims of a token that looks like a JWT: three parts, the second a base64url JSON object of at most 16 KiB.
///
/// Anything else is not a JWT: `None`, never an error. A number with a fraction is cut, one outside `i64` is ignored.
#[must_use]
pub fn jwt_claims(token: &AccessToken) -> Option<JwtClaims> {
    const MOST: usize = 16 * 1024;
    let mut parts = token.reveal().split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    if payload.len() > MOST {
        return None;
    }
    // Vendors pad now and then (RFC 7515 says no padding).
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let claims: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes).ok()?;
    let text = |name: &str| claims.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let number = |name: &str| claims.get(name).and_then(whole_seconds);
    Some(JwtClaims { expiration: number("exp"), issued: number("iat"), subject: text("sub"), token_id: text("jti") })
}

fn whole_seconds(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let text = value.as_f64().filter(|number| number.is_finite())?.trunc().to_string();
        text.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_every_token_type_is_redacted() {
        let set = TokenSet {
            access_token: Some(AccessToken::new("canary-access")),
            refresh_token: Some(RefreshToken::new("canary-refresh")),
            reference_token: Some(SecretText::new("canary-reference")),
            ..TokenSet::default()
        };
        let held = HeldTokens::default().after(&set, DateTime::UNIX_EPOCH);
        let login = Login { password: Some(SecretText::new("canary-password")), ..Login::default() };
        let text = format!("{set:?} {held:?} {login:?} {:?}", FingerprintKey::new(b"canary-key"));
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("[redacted]"));
    }

    #[test]
    fn an_omitted_refresh_token_keeps_the_old_one() {
        let old = HeldTokens { refresh_token: Some(RefreshToken::new("old")), ..HeldTokens::default() };
        let set = TokenSet { access_token: Some(AccessToken::new("new")), ..TokenSet::default() };
        let held = old.after(&set, DateTime::UNIX_EPOCH);
        assert_eq!(held.refresh_token, Some(RefreshToken::new("old")));
        assert_eq!(held.access_token, Some(AccessToken::new("new")));
        assert_eq!(held.issued_time, Some(DateTime::UNIX_EPOCH));
    }

    #[test]
    fn an_answer_with_a_refresh_token_only_keeps_the_access_token_and_its_expiry() {
        let expires = DateTime::from_timestamp(1000, 0);
        let old = HeldTokens { access_token: Some(AccessToken::new("old")), expiration_time: expires, ..HeldTokens::default() };
        let set = TokenSet { refresh_token: Some(RefreshToken::new("new")), ..TokenSet::default() };
        let held = old.after(&set, DateTime::UNIX_EPOCH);
        assert_eq!(held.access_token, Some(AccessToken::new("old")));
        assert_eq!(held.expiration_time, expires);
        assert_eq!(held.refresh_token, Some(RefreshToken::new("new")));
    }

    #[test]
    fn the_previous_token_is_the_one_that_was_replaced_and_never_a_seeds() {
        let granted = |token: &str| TokenSet { access_token: Some(AccessToken::new(token)), ..TokenSet::default() };
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let next = |held: &HeldTokens, token: &str, seconds| held.after(&granted(token), at(seconds)).remembering(held);
        let seed = HeldTokens { access_token: Some(AccessToken::new("seed")), ..HeldTokens::default() };
        let first = HeldTokens { expiration_time: Some(at(90)), ..next(&seed, "one", 1) };
        assert_eq!(first.previous, None);
        let second = next(&first, "two", 2);
        let one = PreviousToken { access_token: AccessToken::new("one"), replaced_time: at(2), expiration_time: Some(at(90)) };
        assert_eq!(second.previous, Some(one.clone()));
        assert_eq!(next(&second, "two", 3).previous, Some(one.clone()), "the same token again");
        let refresh_only = TokenSet { refresh_token: Some(RefreshToken::new("r")), ..TokenSet::default() };
        assert_eq!(second.after(&refresh_only, at(4)).previous, Some(one));
        assert_eq!(second.after(&granted("three"), at(5)).previous, None, "unless it is asked for");
    }

    #[test]
    fn fingerprints_differ_by_key_purpose_and_secret_and_repeat() {
        let key = FingerprintKey::new(b"a");
        let one = key.fingerprint(Purpose::Token, b"t");
        assert_eq!(one, key.fingerprint(Purpose::Token, b"t"));
        assert_ne!(one, key.fingerprint(Purpose::Content, b"t"));
        assert_ne!(one, key.fingerprint(Purpose::Token, b"u"));
        assert_ne!(one, FingerprintKey::new(b"b").fingerprint(Purpose::Token, b"t"));
        assert_eq!(one.as_str().len(), "hmac:".len() + 24);
    }

    #[test]
    fn jwt_claims_are_read_from_jwts_only() {
        let jwt = |payload: &str| AccessToken::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)));
        let claims = jwt_claims(&jwt(r#"{"exp":1530099618,"iat":1530099495.7,"sub":"lenon","jti":"a433"}"#));
        let expected = JwtClaims {
            expiration: Some(1_530_099_618),
            issued: Some(1_530_099_495),
            subject: Some("lenon".into()),
            token_id: Some("a433".into()),
        };
        assert_eq!(claims, Some(expected));
        assert_eq!(jwt_claims(&jwt(r#"{"exp":1e308}"#)), Some(JwtClaims::default()));
        for not in ["opaque", "a.b.c", "a.b", "a.b.c.d", ""] {
            assert_eq!(jwt_claims(&AccessToken::new(not)), None, "{not}");
        }
        // A payload whose base64url holds '-' and '_': decoders with the standard alphabet fail on it.
        let odd = jwt(r#"{"sub":"???>>>~~~","exp":1}"#);
        assert!(odd.reveal().contains(['-', '_']));
        assert_eq!(jwt_claims(&odd).and_then(|c| c.expiration), Some(1));
    }

    #[test]
    fn the_spread_is_even_enough_and_stays_in_range() {
        let values: Vec<f64> = (0..1000).map(|n| unit_interval(&format!("uid-{n}"))).collect();
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
        let mean = values.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
