//! What an answer grants, and what one without tokens proves: by JSON Pointers and rules of the manifest. Total on every input.
//!
//! No text of an answer leaves here but tokens (as secrets) and the three texts that the manifest points at for status.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::Value;

use super::document;
use crate::api::{
    HttpCheck, HttpClass, HttpError, HttpExpiry, HttpExpiryFormat, HttpProbe, HttpReply, HttpSign, HttpStep, HttpSuccess,
};
use crate::provider::reply::{LONGEST, LONGEST_TEXT, after, claimed_end, spending_refusal, stated_end};
use crate::provider::{Class, Probed, Reply, Semantics};
use crate::token::{AccessToken, RefreshToken, SecretText, TokenSet, jwt_claims};

/// The end of the year 9999 in seconds since 1970: no time beyond it is believed or can be written as RFC 3339.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What an answer without tokens proves, and how it is told.
pub(super) type Refusal = (Class, &'static str);

/// The tokens of an answer, or what it proves.
pub(super) fn read(spec: &HttpReply, semantics: Semantics, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, Refusal> {
    let unknown = |detail: &'static str| (Class::Unknown, detail);
    let document = document::parse(&reply.body.0);
    let found = document.as_ref().map_err(|why| *why).and_then(|document| Tokens::of(spec, document));
    let success = HttpSuccess::default();
    let success = spec.success.as_ref().unwrap_or(&success);
    if has_status(success, reply.status) {
        let (document, tokens) = (document.as_ref().map_err(|why| unknown(why))?, found.map_err(unknown)?);
        if tokens.is_none() {
            return Err(listed(spec, reply).unwrap_or(unknown("the answer holds no token")));
        }
        if !success.require.iter().flatten().all(|check| holds(check, document)) {
            return Err(unknown("the answer holds a token, but not what reply.success requires"));
        }
        return Ok(tokens.granted(spec, document, sent));
    }
    // Whatever is said beside a token: while nobody has refused the request, the token may be the next one.
    if reply.status < 400 && found.is_ok_and(|tokens| !tokens.is_none()) {
        return Err(unknown("the answer holds a token, but its status is not one of reply.success"));
    }
    let unlisted = if semantics.spends() { spending_refusal } else { repeatable_refusal };
    Err(listed(spec, reply).unwrap_or_else(|| unlisted(reply.status)))
}

/// What a step brings, by name, or why it brings nothing: nothing was spent, so nobody has to keep the answer.
pub(super) fn results<'a>(step: &'a HttpStep, spec: &HttpReply, reply: &Reply) -> Result<Vec<(&'a str, SecretText)>, Refusal> {
    let success = HttpSuccess::default();
    let success = step.success.as_ref().unwrap_or(&success);
    if !has_status(success, reply.status) {
        let (class, detail) = listed(spec, reply).unwrap_or_else(|| repeatable_refusal(reply.status));
        let class = if class == Class::Unknown { Class::Transient } else { class };
        return Err((class, detail));
    }
    let document = document::parse(&reply.body.0).map_err(|why| (Class::Transient, why))?;
    let found = step.results.iter().map(|result| Some((result.name.as_str(), value(document.pointer(&result.pointer)?)?)));
    let complete = success.require.iter().flatten().all(|check| holds(check, &document));
    found.collect::<Option<Vec<_>>>().filter(|_| complete).ok_or_else(|| match listed(spec, reply) {
        Some((class, detail)) if class != Class::Unknown => (class, detail),
        _ => (Class::Configuration, "the answer to a step has not what its success and results name"),
    })
}

/// A result of a step: a text that is not empty, or a whole number.
fn value(value: &Value) -> Option<SecretText> {
    match value {
        Value::String(text) if !text.is_empty() => Some(SecretText::new(text.as_str())),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(SecretText::new(number.to_string())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What the answer to a question says: what fits one of its lists, and not both.
pub(super) fn probed(probe: &HttpProbe, reply: &Reply) -> Probed {
    let document = document::parse(&reply.body.0).ok();
    let fits = |sign: &HttpSign| {
        let content = sign
            .pointer
            .as_ref()
            .is_none_or(|pointer| document.as_ref().is_some_and(|document| is_there(document, pointer, sign.equals.as_deref())));
        // What a stored object could list beyond the CRD's rule.
        let says = matches!(reply.status, 200..=299 | 400..=407 | 409..=428 | 430..=499);
        says && sign.status == i32::from(reply.status) && content
    };
    match (probe.unspent.iter().any(fits), probe.spent.iter().any(fits)) {
        (true, false) => Probed::Unspent,
        (false, true) => Probed::Spent,
        (true, true) | (false, false) => Probed::Unclear,
    }
}

/// Whether an answer with a status of success is one: an error where it cannot be told.
pub(super) fn succeeded(success: &HttpSuccess, reply: &Reply) -> Result<bool, &'static str> {
    if !has_status(success, reply.status) {
        return Err("the status is not one of success");
    }
    let checks = success.require.as_deref().unwrap_or_default();
    if checks.is_empty() {
        return Ok(true);
    }
    let document = document::parse(&reply.body.0)?;
    Ok(checks.iter().all(|check| holds(check, &document)))
}

/// What the manifest says that an answer without tokens proves.
///
/// A status of success alone fits no rule, nor does a rule without status fit a server that failed: neither is proof.
pub(super) fn listed(spec: &HttpReply, reply: &Reply) -> Option<Refusal> {
    let document = document::parse(&reply.body.0).ok();
    let fits = |error: &&HttpError| {
        let status = error.status.map_or(reply.status < 500, |status| status == i32::from(reply.status));
        let content = match &error.pointer {
            None => error.status.is_some() && reply.status >= 300,
            Some(pointer) => document.as_ref().is_some_and(|document| is_there(document, pointer, error.equals.as_deref())),
        };
        status && content
    };
    spec.errors.iter().flatten().find(fits).map(|error| class(error.class))
}

fn class(class: HttpClass) -> Refusal {
    match class {
        HttpClass::Transient => (Class::Transient, "an error that provider.http lists as Transient"),
        HttpClass::Throttled => (Class::Throttled, "an error that provider.http lists as Throttled"),
        HttpClass::Configuration => (Class::Configuration, "an error that provider.http lists as Configuration"),
        HttpClass::ChainOver => (Class::ChainOver, "an error that provider.http lists as ChainOver"),
        HttpClass::Unknown => (Class::Unknown, "an error that provider.http lists as Unknown"),
    }
}

/// What a status proves where nothing is spent and the manifest does not say more: repeating costs nothing, so only what a person
/// has to change is not simply repeated.
fn repeatable_refusal(status: u16) -> Refusal {
    match status {
        408 | 500..=599 => (Class::Transient, "the API or a server in front of it could not answer"),
        429 => (Class::Throttled, "the API asks for fewer requests"),
        300..=399 => (Class::Configuration, "the API redirects, and redirects are not followed: the URL is not the API's"),
        401 | 403 => (Class::Configuration, "the API does not accept the credentials of the request"),
        404 | 405 | 415 => (Class::Configuration, "what answers at this URL takes no such request"),
        400..=499 => (Class::Configuration, "the API refuses the request"),
        _ => (Class::Unknown, "the answer is none that provider.http lists"),
    }
}

fn has_status(success: &HttpSuccess, status: u16) -> bool {
    match &success.statuses {
        Some(statuses) => statuses.iter().any(|listed| listed.0 == i32::from(status)),
        None => matches!(status, 200 | 201),
    }
}

fn holds(check: &HttpCheck, document: &Value) -> bool {
    is_there(document, &check.pointer, check.equals.as_deref())
}

/// Whether there is something at a place: anything but null, or this text.
fn is_there(document: &Value, pointer: &str, equals: Option<&str>) -> bool {
    match (document.pointer(pointer), equals) {
        (None | Some(Value::Null), _) | (Some(Value::Array(_) | Value::Object(_)), Some(_)) => false,
        (Some(_), None) => true,
        (Some(Value::String(text)), Some(wanted)) => text == wanted,
        (Some(value @ (Value::Bool(_) | Value::Number(_))), Some(wanted)) => {
            let written = value.to_string();
            written == wanted
        }
    }
}

/// The tokens in an answer.
struct Tokens<'a> {
    access: Option<&'a str>,
    refresh: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    fn of(spec: &HttpReply, document: &'a Value) -> Result<Self, &'static str> {
        let refresh = spec.refresh_token.as_deref().map_or(Ok(None), |pointer| token(document, pointer))?;
        Ok(Self { access: token(document, &spec.access_token)?, refresh })
    }

    fn is_none(&self) -> bool {
        self.access.is_none() && self.refresh.is_none()
    }

    /// A new refresh token without an access token is taken all the same: it is what the chain goes on with.
    fn granted(&self, spec: &HttpReply, document: &Value, sent: DateTime<Utc>) -> TokenSet {
        let access_token = self.access.map(AccessToken::new);
        let claims = access_token.as_ref().and_then(jwt_claims).unwrap_or_default();
        // What is shown must not be what is secret, nor hold it.
        let secrets = [self.access, self.refresh];
        let shown = |text: &String| {
            let plain = !text.is_empty() && text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control);
            plain && !secrets.iter().flatten().any(|secret| text.contains(secret))
        };
        let told = |pointer: Option<&str>| pointer.and_then(|pointer| words(document.pointer(pointer)?)).filter(shown);
        let expiration_time = spec
            .expiry
            .as_ref()
            .and_then(|expiry| end(document, expiry, sent))
            .or_else(|| claimed_end(claims.issued, claims.expiration?, sent));
        TokenSet {
            refresh_token: self.refresh.map(RefreshToken::new),
            reference_token: None,
            expiration_time: access_token.as_ref().and(expiration_time),
            refresh_token_expiration_time: spec.refresh_expiry.as_ref().and_then(|expiry| end(document, expiry, sent)),
            token_id: told(spec.token_id.as_deref()).or(claims.token_id.filter(shown)),
            scope: told(spec.scope.as_deref()),
            subject: told(spec.subject.as_deref()).or(claims.subject.filter(shown)),
            access_token,
        }
    }
}

/// A token. One that is there in another shape than text is an error: taking it for absent would drop it for ever.
fn token<'a>(document: &'a Value, pointer: &str) -> Result<Option<&'a str>, &'static str> {
    match document.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err("a token in the answer is no text"),
    }
}

/// A text, a whole number, or a list of texts with spaces between them, as RFC 6749 section 3.3 writes scopes.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Array(values) => values.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|words| words.join(" ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// When a token ends; none where the answer does not say.
fn end(document: &Value, expiry: &HttpExpiry, sent: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let value = document.pointer(&expiry.pointer)?;
    match expiry.format {
        HttpExpiryFormat::Seconds => after(sent, seconds(number(value)?, LONGEST.as_secs_f64())?),
        HttpExpiryFormat::Rfc3339 => stated_end(value.as_str()?, sent),
        HttpExpiryFormat::Date => {
            let day = NaiveDate::parse_from_str(value.as_str()?.trim(), "%Y-%m-%d").ok()?;
            Some(believed(day.and_time(NaiveTime::MIN).and_utc(), sent))
        }
        HttpExpiryFormat::UnixSeconds => since_1970(number(value)?, sent),
        HttpExpiryFormat::UnixMilliseconds => since_1970(number(value)? / 1000.0, sent),
    }
}

fn since_1970(number: f64, sent: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Some(believed(after(DateTime::UNIX_EPOCH, seconds(number, LAST_SECOND)?)?, sent))
}

/// An end that is at most [`LONGEST`] away.
fn believed(end: DateTime<Utc>, sent: DateTime<Utc>) -> DateTime<Utc> {
    after(sent, LONGEST).map_or(end, |limit| end.min(limit))
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number: &f64| number.is_finite())
}

/// Whole seconds above zero and up to `most`; a fraction is cut. Zero and less are no time: APIs use them for "never".
fn seconds(number: f64, most: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number.trunc().min(most)).ok().filter(|life| !life.is_zero())
}
