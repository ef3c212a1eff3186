//! A declared request.
//!
//! Values are put in one by one, each by the encoder of its place: there is no text in which one value could end and another
//! begin.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::api::{HttpAuth, HttpEncoding, HttpField, HttpFrom, HttpJsonType, HttpMethod, HttpRequest, HttpSource, HttpToken};
use crate::provider::request::{MOST, absolute, basic, bearer};
use crate::provider::{Body, Method, RefreshInput, RequestError, TokenRequest};
use crate::token::{AccessToken, RefreshToken, SecretText};

/// A declared request, from what is held.
pub(super) fn build(request: &HttpRequest, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let url = absolute(&request.url)?.into();
    let mut headers: Vec<(Cow<'static, str>, SecretText)> = Vec::new();
    if !request.headers().iter().any(|header| header.name.eq_ignore_ascii_case("accept")) {
        headers.push(("accept".into(), SecretText::new("application/json")));
    }
    headers.extend(auth(request.auth.as_ref(), input)?);
    for header in request.headers() {
        let value = Found::of(header.source(), input)?.sendable(is_header_text)?;
        headers.push((header.name.clone().into(), SecretText::new(value)));
    }
    let (method, body) = (method(request.method.unwrap_or_default()), body(request, input)?);
    Ok(TokenRequest { method, url, headers, body, assertion: None })
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Post => Method::Post,
        HttpMethod::Put => Method::Put,
        HttpMethod::Patch => Method::Patch,
        HttpMethod::Delete => Method::Delete,
        HttpMethod::Get => Method::Get,
    }
}

fn auth(auth: Option<&HttpAuth>, input: &RefreshInput<'_>) -> Result<Option<(Cow<'static, str>, SecretText)>, RequestError> {
    let authorization = |value: SecretText| (Cow::from("authorization"), value);
    Ok(match auth {
        None => None,
        Some(HttpAuth::Bearer(token)) => {
            let name = match token {
                HttpToken::AccessToken => "access_token",
                HttpToken::RefreshToken => "refresh_token",
            };
            let found = Found::of(Some(HttpSource::Held((*token).into())), input)?;
            Some(authorization(bearer(&SecretText::new(found.text), name)?))
        }
        Some(HttpAuth::Basic(keys)) => {
            let part = |key, fits: fn(&str) -> bool| {
                Found::of(Some(HttpSource::SeedKey(key)), input)?.sendable(fits).map(SecretText::new)
            };
            let username = part(keys.username_key.as_str(), |text| !text.contains(':') && is_one_line(text))?;
            Some(authorization(basic(&username, &part(keys.password_key.as_str(), is_one_line)?)?))
        }
        Some(HttpAuth::Header(header)) => {
            let value = Found::of(header.source(), input)?.sendable(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
            let value = header.prefix.as_ref().map_or_else(|| value.to_owned(), |prefix| format!("{prefix} {value}"));
            Some((header.name.clone().into(), SecretText::new(value)))
        }
    })
}

/// The body; none without fields.
fn body(request: &HttpRequest, input: &RefreshInput<'_>) -> Result<Option<Body>, RequestError> {
    if request.fields().is_empty() {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(request.fields().len());
    for field in request.fields() {
        // As in a form of RFC 6749, no credential has a control character: it is a slip such as a line break in a seed.
        values.push((field, Found::of(field.source(), input)?.sendable(is_one_line)?));
    }
    Ok(Some(match request.encoding.unwrap_or_default() {
        HttpEncoding::Form => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(values.iter().map(|(field, value)| (&field.name, value)));
            Body { content_type: "application/x-www-form-urlencoded", content: SecretText::new(form.finish()) }
        }
        HttpEncoding::Json => {
            let mut object = Map::new();
            for (field, value) in values {
                object.insert(field.name.clone(), typed(field, value)?);
            }
            Body { content_type: "application/json", content: SecretText::new(Value::Object(object).to_string()) }
        }
    }))
}

/// A value as its JSON type; a text where none is declared.
fn typed(field: &HttpField, value: &str) -> Result<Value, RequestError> {
    match field.json_type {
        None => Ok(Value::String(value.to_owned())),
        Some(HttpJsonType::Number) => value.parse().map(Value::Number).map_err(|_| RequestError::Declared("a number is none")),
        Some(HttpJsonType::Boolean) => {
            value.parse().map(Value::Bool).map_err(|_| RequestError::Declared("a truth value is neither true nor false"))
        }
    }
}

/// What a header field can carry beside visible ASCII is a space inside a literal.
fn is_header_text(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    plain && !text.starts_with(' ') && !text.ends_with(' ')
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A value, and what to call it when it cannot be sent.
struct Found<'a> {
    text: &'a str,
    source: HttpSource<'a>,
}

impl<'a> Found<'a> {
    /// Looks a source up. An empty value counts as absent: a Secret's key may be there and hold nothing.
    fn of(source: Option<HttpSource<'a>>, input: &RefreshInput<'a>) -> Result<Self, RequestError> {
        let source = source.ok_or(RequestError::Declared("a value needs exactly one of value, from, seedKey and fromResult"))?;
        let held = input.held;
        let text = match source {
            HttpSource::Literal(text) => Some(text),
            HttpSource::Held(HttpFrom::AccessToken) => held.access_token.as_ref().map(AccessToken::reveal),
            HttpSource::Held(HttpFrom::RefreshToken) => held.refresh_token.as_ref().map(RefreshToken::reveal),
            HttpSource::Held(HttpFrom::AttemptId) => Some(input.attempt),
            HttpSource::SeedKey(key) => input.login.named.get(key).map(SecretText::reveal),
            HttpSource::Result(name) => input.results.get(name).map(SecretText::reveal),
        };
        let missing = || match source {
            HttpSource::Held(HttpFrom::AccessToken) => RequestError::Missing("access_token (seed or state Secret)"),
            HttpSource::Held(HttpFrom::RefreshToken) => RequestError::Missing("refresh_token (seed or state Secret)"),
            HttpSource::SeedKey(key) => RequestError::MissingKey(key.to_owned()),
            HttpSource::Result(_) => RequestError::Declared("a value names a result that no earlier step brings"),
            HttpSource::Held(HttpFrom::AttemptId) | HttpSource::Literal(_) => RequestError::Declared("a value is empty"),
        };
        let text = text.filter(|text| !text.is_empty()).ok_or_else(missing)?;
        Ok(Self { text, source })
    }

    /// The text, if its place can carry it.
    fn sendable(&self, fits: impl Fn(&str) -> bool) -> Result<&'a str, RequestError> {
        if self.text.len() <= MOST && fits(self.text) {
            return Ok(self.text);
        }
        Err(match self.source {
            HttpSource::Held(HttpFrom::AccessToken) => RequestError::NotSendable("access_token"),
            HttpSource::Held(HttpFrom::RefreshToken) => RequestError::NotSendable("refresh_token"),
            HttpSource::SeedKey(key) => RequestError::KeyNotSendable(key.to_owned()),
            HttpSource::Result(_) => RequestError::NotSendable("the result of a step"),
            HttpSource::Held(HttpFrom::AttemptId) | HttpSource::Literal(_) => {
                RequestError::Declared("a value holds a character that its place does not allow")
            }
        })
    }
}
