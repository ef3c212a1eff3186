//! Parts that readers of replies share: one JSON object, the tokens and ends of life in it, refusals. Total on every input.
//!
//! No text of an answer leaves here but tokens (as secrets) and the issuer's names for them; what is said about an answer comes
//! from fixed lists. The caller keeps the raw answer whenever the class is [`Class::Unknown`].

use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::{Class, Reply, TokenError};
use crate::token::{AccessToken, RefreshToken, SecretText, TokenSet, jwt_claims};

/// Longest life that is believed. Our choice: far beyond any token, and small enough that no sum of times overflows.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Longest scope, subject or token name that is taken over into status. Our choice: vendors allow 255 to 500 characters.
pub(super) const LONGEST_TEXT: usize = 1024;

/// A JSON object as an answer holds it: every name once.
pub(super) struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Reads the whole body as one JSON object; the error says what it is instead.
    ///
    /// Refused: a name that occurs twice (readers differ in which value they take, so neither is the answer), nesting beyond
    /// serde_json's limit of 128, a number beyond `f64` (1e400), anything after the object, and what is not JSON at all (NaN).
    pub(super) fn of(reply: &Reply) -> Result<Self, &'static str> {
        if reply.body.0.is_empty() {
            return Err("the answer is empty");
        }
        serde_json::from_slice(&reply.body.0).map_err(|error| {
            if error.is_data() { "the answer is no JSON object with every name once" } else { "the answer is no complete JSON" }
        })
    }

    /// A text that is not empty. An empty token would be no token.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A truth value.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    /// Whether the member is there and says something: not null and not the empty text.
    pub(super) fn says(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// A token. One that is there in another shape than text is an error: taking it for absent would drop it for ever.
    fn token(&self, name: &str) -> Result<Option<&str>, &'static str> {
        let text = self.text(name);
        if text.is_none() && self.says(name) { Err("a token in the answer is no text") } else { Ok(text) }
    }

    /// A count of seconds above zero, as a number or a numeric text (Entra v1 and some JFrog pages send text), at most
    /// [`LONGEST`]; a fraction is cut.
    ///
    /// Zero and less are no lifetime: at JFrog 0 is a token that never expires, and RFC 6749 gives them no meaning.
    fn seconds(&self, name: &str) -> Option<Duration> {
        let value = self.0.get(name)?;
        let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|seconds| seconds.is_finite())?;
        let life = Duration::try_from_secs_f64(seconds.trunc().min(LONGEST.as_secs_f64())).ok()?;
        (!life.is_zero()).then_some(life)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachNameOnce)
    }
}

struct EachNameOnce;

impl<'de> Visitor<'de> for EachNameOnce {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with every name once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            match fields.entry(name) {
                Entry::Vacant(place) => place.insert(map.next_value()?),
                Entry::Occupied(_) => return Err(A::Error::custom("a name occurs twice")),
            };
        }
        Ok(Fields(fields))
    }
}

/// What an API calls the members that differ between APIs.
pub(super) struct Members {
    /// The access token.
    pub(super) access_token: &'static str,
    /// The refresh token, where the API has one.
    pub(super) refresh_token: Option<&'static str>,
    /// The end of the access token as an RFC 3339 time, where the API gives one.
    pub(super) expiration_time: Option<&'static str>,
}

impl Members {
    /// RFC 6749 section 5.1.
    pub(super) const RFC_6749: Self =
        Self { access_token: "access_token", refresh_token: Some("refresh_token"), expiration_time: None };
}

/// The tokens of an answer, or why there are none; see [`tokens`].
pub(super) fn token_set(reply: &Reply, sent: DateTime<Utc>, members: &Members) -> Result<TokenSet, &'static str> {
    tokens(&Fields::of(reply)?, sent, members)
}

/// The tokens among the members of an answer.
///
/// A new refresh token without an access token is taken all the same: it is what the chain goes on with. `token_type` is not
/// looked at: APIs leave it out (ECE) or name it otherwise (Elasticsearch), and tokens must not be dropped for its sake.
pub(super) fn tokens(fields: &Fields, sent: DateTime<Utc>, members: &Members) -> Result<TokenSet, &'static str> {
    let access_token = fields.token(members.access_token)?;
    let refresh_token = members.refresh_token.map_or(Ok(None), |name| fields.token(name))?;
    if access_token.is_none() && refresh_token.is_none() {
        return Err("the answer holds no token");
    }
    let access_token = access_token.map(AccessToken::new);
    let claims = access_token.as_ref().and_then(jwt_claims).unwrap_or_default();
    let secrets = [access_token.as_ref().map(AccessToken::reveal), refresh_token, fields.text("reference_token")];
    // Some servers use the token itself as its name; what is shown must not be what is secret, nor hold it.
    let shown = |text: &str| {
        let plain = text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control);
        plain && !secrets.iter().flatten().any(|secret| text.contains(secret))
    };
    let expiration_time = fields
        .seconds("expires_in")
        .and_then(|life| after(sent, life))
        .or_else(|| stated_end(fields.text(members.expiration_time?)?, sent))
        .or_else(|| claimed_end(claims.issued, claims.expiration?, sent));
    let refresh_life = fields.seconds("refresh_token_expires_in").or_else(|| fields.seconds("refresh_expires_in"));
    Ok(TokenSet {
        refresh_token: refresh_token.map(RefreshToken::new),
        reference_token: fields.text("reference_token").map(SecretText::new),
        expiration_time: access_token.as_ref().and(expiration_time),
        refresh_token_expiration_time: refresh_life.and_then(|life| after(sent, life)),
        token_id: fields.text("token_id").map(str::to_owned).or(claims.token_id).filter(|text| shown(text)),
        scope: fields.text("scope").filter(|text| shown(text)).map(str::to_owned),
        subject: claims.subject.filter(|text| shown(text)),
        access_token,
    })
}

pub(super) fn after(sent: DateTime<Utc>, life: Duration) -> Option<DateTime<Utc>> {
    sent.checked_add_signed(TimeDelta::from_std(life).ok()?)
}

/// An end that an answer gives as a time; at most [`LONGEST`] away.
pub(super) fn stated_end(text: &str, sent: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = DateTime::parse_from_rfc3339(text.trim()).ok()?.to_utc();
    Some(after(sent, LONGEST).map_or(end, |limit| end.min(limit)))
}

/// The end that a JWT claims.
///
/// With `iat` the life counts from `sent`, which a wrong clock on either side cannot falsify; but a server may hand out a token
/// it made earlier, so a sooner `exp` that is still to come wins. Without a sane `iat`: `exp` as it is.
pub(super) fn claimed_end(issued: Option<i64>, expiration: i64, sent: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let absolute = DateTime::from_timestamp(expiration, 0).map(|end| after(sent, LONGEST).map_or(end, |limit| end.min(limit)));
    let life = issued.and_then(|issued| expiration.checked_sub(issued)).and_then(|life| u64::try_from(life).ok());
    let life = life.map(Duration::from_secs).filter(|life| !life.is_zero() && *life <= LONGEST);
    let relative = life.and_then(|life| after(sent, life));
    match (relative, absolute) {
        (Some(relative), Some(absolute)) if absolute > sent => Some(relative.min(absolute)),
        (Some(relative), _) => Some(relative),
        (None, absolute) => absolute,
    }
}

/// Whether the body is one JSON object: only the API itself writes those.
pub(super) fn has_object(reply: &Reply) -> bool {
    Fields::of(reply).is_ok()
}

/// The codes of an error envelope `{"errors":[{"code":…}]}` and of `x-cloud-error-codes`; for comparison with fixed lists only.
pub(super) fn error_codes(reply: &Reply) -> Vec<String> {
    let header = reply.header("x-cloud-error-codes").unwrap_or_default().split(',').map(|code| code.trim().to_owned());
    let fields = Fields::of(reply).ok();
    let listed = fields.as_ref().and_then(|fields| fields.0.get("errors")).and_then(Value::as_array);
    let code = |entry: &Value| entry.get("code").and_then(Value::as_str).map(str::to_owned);
    header.chain(listed.into_iter().flatten().filter_map(code)).filter(|code| !code.is_empty()).collect()
}

/// What a status proves for an API whose refresh token works once, where the API's own rules do not say more.
///
/// Only these refusals count as proof that nothing was spent: in RFC 9110 (429: RFC 6585) each means that the request was
/// refused before it was carried out. Every 5xx can come after the token was consumed (oidc-provider consumes it before it
/// stores the next one) or from a proxy that lost the answer; so can 503, although it often means less.
pub(super) fn spending_refusal(status: u16) -> (Class, &'static str) {
    match status {
        401 | 403 => (Class::Configuration, "the API does not accept the credentials of the request"),
        404 => (Class::Configuration, "there is no token API at this URL"),
        405 | 415 => (Class::Configuration, "what answers at this URL takes no such request: it is not the token API"),
        429 => (Class::Throttled, "the API asks for fewer requests"),
        408 => (Class::Unknown, "the server gave up waiting for the request; it may have been handled"),
        300..=399 => (Class::Unknown, "the API redirects, and a token is never sent twice: check the URL"),
        500..=599 => (Class::Unknown, "the API or a server in front of it failed; the token may have been spent"),
        _ => (Class::Unknown, "the answer is none that the API is documented to give"),
    }
}

/// What the answer to a revocation proves. `done` are the statuses by which the API says that the token is not valid any more.
///
/// Revoking twice is as good as once, so whatever may pass by itself is worth another try.
pub(super) fn revoked(reply: &Reply, sent: DateTime<Utc>, done: &[u16]) -> Result<(), TokenError> {
    let (class, detail) = match reply.status {
        status if done.contains(&status) => return Ok(()),
        401 | 403 => (Class::Configuration, "the API does not let this token or login revoke"),
        429 => (Class::Throttled, "the API asks for fewer requests"),
        408 | 500..=599 => (Class::Transient, "the API or a server in front of it could not answer"),
        300..=399 => (Class::Configuration, "the API redirects, and a token is never sent twice: check the URL"),
        404 | 405 | 415 => (Class::Configuration, "what answers at this URL takes no such request"),
        _ => (Class::Configuration, "the API refuses the request"),
    };
    Err(error(reply, sent, class, detail))
}

/// What the answer to a harmless request with an access token proves about it.
///
/// Only a refusal of the token itself counts as one: a wrong path or a server that failed says nothing about the token.
pub(super) fn verified(reply: &Reply) -> Result<(), TokenError> {
    let (class, detail) = match reply.status {
        200..=299 => return Ok(()),
        401 | 403 => (Class::Configuration, "the API does not accept the new access token"),
        status => unverified(status),
    };
    Err(answered(reply, class, detail))
}

/// What a status means that says nothing about an access token.
pub(super) fn unverified(status: u16) -> (Class, &'static str) {
    match status {
        429 => (Class::Throttled, "the API asks for fewer requests"),
        408 | 500..=599 => (Class::Transient, "the API or a server in front of it could not answer"),
        300..=399 => (Class::Unknown, "the API redirects, and a token is never sent twice: check the URL"),
        404 | 405 | 415 => (Class::Unknown, "what answers at this URL takes no such request"),
        _ => (Class::Unknown, "the answer does not say whether the access token is accepted"),
    }
}

/// An error with the pause that the answer asks for, where a pause has a meaning.
pub(super) fn error(reply: &Reply, sent: DateTime<Utc>, class: Class, detail: &'static str) -> TokenError {
    refused(reply, Some(sent), class, detail)
}

/// An error of an answer to which nobody has noted when its request was sent: a pause until a date is not known then.
pub(super) fn answered(reply: &Reply, class: Class, detail: &'static str) -> TokenError {
    refused(reply, None, class, detail)
}

fn refused(reply: &Reply, sent: Option<DateTime<Utc>>, class: Class, detail: &'static str) -> TokenError {
    let retry_after = match class {
        Class::Transient | Class::Throttled => reply.header("retry-after").and_then(|value| pause(value, sent)),
        Class::Configuration | Class::ChainOver | Class::Unknown => None,
    };
    TokenError { class, status: reply.status, detail, retry_after }
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds or a date in one of the three forms of section 5.6.7, limited to 1 s .. 1 h.
fn pause(value: &str, sent: Option<DateTime<Utc>>) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(3600);
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number that is too large does not parse here.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
        let date = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?;
        // A date in the past is no pause at all.
        date.and_utc().signed_duration_since(sent?).to_std().unwrap_or_default()
    };
    Some(asked.clamp(SHORTEST, LONGEST))
}
