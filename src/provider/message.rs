//! Requests and answers as values: what a client sends, and what came back before anything of it was parsed.

use std::borrow::Cow;
use std::fmt;

use super::Assertion;
use crate::token::SecretText;

/// An HTTP request to a token API. `Debug` shows method and URL only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenRequest {
    /// HTTP method: POST, but for one revocation, harmless questions and what a manifest declares.
    pub method: Method,
    /// Absolute URL without secrets.
    pub url: String,
    /// Header fields; values are secret as a rule (`Authorization`).
    pub headers: Vec<(Cow<'static, str>, SecretText)>,
    /// The body and its media type.
    pub body: Option<Body>,
    /// What the client signs when the request leaves; see [`TokenRequest::signed`].
    pub assertion: Option<Assertion>,
}

/// The methods that token APIs use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// HTTP GET: what changes nothing.
    Get,
    /// HTTP POST.
    Post,
    /// HTTP PUT.
    Put,
    /// HTTP PATCH.
    Patch,
    /// HTTP DELETE.
    Delete,
}

/// A request body.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Body {
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The encoded body; holds tokens.
    pub content: SecretText,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.url)
    }
}

/// A complete HTTP answer of a token API, before anything of it was parsed. `Debug` shows status and length only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// Names (lower case) and values of the header fields; values that are not visible ASCII are left out.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: RawBody,
}

/// The bytes of an answer: secret, and kept as they came until they are safe.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RawBody(pub Vec<u8>);

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} {:?}", self.status, self.body)
    }
}

impl Reply {
    /// The first value of a header field; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Most bytes of an answer's body that are read. Our choice: more than ten times the largest answer of a token API that we know, and a
/// quarter of what a Secret may hold, so that an answer that cannot be read still fits beside the tokens of a state Secret.
pub const MOST_BODY: usize = 256 * 1024;
