//! Parts that requests share: the URL, credentials that can be sent, forms and Authorization values. Nothing is sent here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;
use url::form_urlencoded::{self, byte_serialize};
use zeroize::Zeroizing;

use super::{Body, Method, RequestError, TokenRequest};
use crate::token::SecretText;

/// Most bytes of one credential. Our choice: servers take 8 to 64 KiB of header, and no issuer we know comes near.
pub(super) const MOST: usize = 64 * 1024;

/// A POST to `url`. Every API here answers JSON, and GitHub answers a form unless it is asked for JSON.
pub(super) fn post(url: String, authorization: Option<SecretText>, body: Option<Body>) -> TokenRequest {
    let accept = ("accept".into(), SecretText::new("application/json"));
    let headers = std::iter::once(accept).chain(authorization.map(|value| ("authorization".into(), value))).collect();
    TokenRequest { method: Method::Post, url, headers, body, assertion: None }
}

/// A GET of `url`, with nothing of anybody's in it.
pub(super) fn get(url: String) -> TokenRequest {
    TokenRequest { method: Method::Get, ..post(url, None, None) }
}

/// A GET of `url` that shows a token.
pub(super) fn ask(url: String, authorization: SecretText) -> TokenRequest {
    TokenRequest { method: Method::Get, ..post(url, Some(authorization), None) }
}

/// A DELETE of `url`.
pub(super) fn delete(url: String, authorization: SecretText) -> TokenRequest {
    TokenRequest { method: Method::Delete, ..post(url, Some(authorization), None) }
}

/// The URL of an API below a base URL: trailing slashes of `base` do not count, a path prefix stays.
pub(super) fn below(base: &str, path: &str) -> Result<String, RequestError> {
    let url = absolute(base)?;
    if url.query().is_some() {
        return Err(RequestError::Url("a base URL has no query"));
    }
    Ok(format!("{}{path}", url.as_str().trim_end_matches('/')))
}

/// A URL that may have a query (RFC 6749 section 3.2), in the form of the WHATWG URL standard.
///
/// The CRD's rules say the same; a stored object can be older than they are.
pub(super) fn absolute(text: &str) -> Result<Url, RequestError> {
    // The parser would drop tabs and line breaks without a word.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(RequestError::Url("it holds a space, a control character or a character outside ASCII"));
    }
    let url = Url::parse(text).map_err(|_| RequestError::Url("it is no absolute URL"))?;
    let refused = if !matches!(url.scheme(), "https" | "http") {
        Some("its scheme is neither https nor http")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("it holds user information")
    } else if url.fragment().is_some() {
        Some("it holds a fragment")
    } else {
        None
    };
    refused.map_or(Ok(url), |why| Err(RequestError::Url(why)))
}

/// A credential that is there and has at least one character.
pub(super) fn needed<'a>(value: Option<&'a SecretText>, name: &'static str) -> Result<&'a SecretText, RequestError> {
    present(value).ok_or(RequestError::Missing(name))
}

/// An empty value counts as absent: a Secret's key may be there and hold nothing.
pub(super) fn present(value: Option<&SecretText>) -> Option<&SecretText> {
    value.filter(|value| !value.is_empty())
}

/// A form body being written.
pub(super) struct Form(form_urlencoded::Serializer<'static, String>);

impl Form {
    /// An empty form.
    pub(super) fn empty() -> Self {
        Self(form_urlencoded::Serializer::new(String::new()))
    }

    /// A form that asks for the refresh token grant (RFC 6749 section 6) with this token.
    pub(super) fn refresh(refresh_token: &SecretText) -> Result<Self, RequestError> {
        Self::empty().wish("grant_type", Some("refresh_token")).secret("refresh_token", refresh_token)
    }

    /// Adds a wish; one that is not there, or empty, is not sent.
    pub(super) fn wish(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.append_pair(name, value);
        }
        self
    }

    /// Adds a credential. A form could carry a control character, but no token or secret of RFC 6749 has one (appendix A: VSCHAR
    /// throughout), so it is a slip such as a line break at the end of a seed: better found before it is sent than after.
    pub(super) fn secret(mut self, name: &'static str, value: &SecretText) -> Result<Self, RequestError> {
        self.0.append_pair(name, sendable(value, name, |text| !text.chars().any(char::is_control))?);
        Ok(self)
    }

    /// The body.
    pub(super) fn body(mut self) -> Body {
        Body { content_type: "application/x-www-form-urlencoded", content: SecretText::new(self.0.finish()) }
    }
}

/// `Bearer` (RFC 6750 section 2.1). Only visible ASCII: a space would end the token, and HTTP trims one at the end.
pub(super) fn bearer(token: &SecretText, name: &'static str) -> Result<SecretText, RequestError> {
    let token = sendable(token, name, |text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
    Ok(SecretText::new(format!("Bearer {token}")))
}

/// `Basic` (RFC 7617 section 2): no control characters, and no colon in the user name.
pub(super) fn basic(username: &SecretText, password: &SecretText) -> Result<SecretText, RequestError> {
    let fits = |text: &str| !text.chars().any(char::is_control);
    let username = sendable(username, "username", |text| fits(text) && !text.contains(':'))?;
    let password = sendable(password, "password", fits)?;
    Ok(encoded(&Zeroizing::new(format!("{username}:{password}"))))
}

/// `Basic` of an OAuth 2.0 client: both parts are form-urlencoded first (RFC 6749 section 2.3.1), so that a colon, a space or a
/// letter outside ASCII arrives as it is. Servers that do not decode see no difference for letters, digits, `-`, `.`, `_`, `*`.
pub(super) fn client_basic(id: &SecretText, secret: &SecretText) -> Result<SecretText, RequestError> {
    let fits = |text: &str| !text.chars().any(char::is_control);
    let id: String = byte_serialize(sendable(id, "client_id", fits)?.as_bytes()).collect();
    let secret = Zeroizing::new(byte_serialize(sendable(secret, "client_secret", fits)?.as_bytes()).collect::<String>());
    Ok(encoded(&Zeroizing::new(format!("{id}:{}", secret.as_str()))))
}

fn encoded(pair: &str) -> SecretText {
    SecretText::new(format!("Basic {}", STANDARD.encode(pair)))
}

fn sendable<'a>(value: &'a SecretText, name: &'static str, fits: impl Fn(&str) -> bool) -> Result<&'a str, RequestError> {
    let text = value.reveal();
    if text.len() <= MOST && fits(text) { Ok(text) } else { Err(RequestError::NotSendable(name)) }
}
