//! A request and a reply as values, and how the parameters and credentials are read out of a request.
//!
//! No socket and no HTTP library: the server fills these from hyper, an in-memory simulation fills them itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One HTTP request as the issuer sees it once all of it has arrived.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// One HTTP reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case; `content-length` is added by the transport.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A plain text answer.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".into(), "text/plain; charset=utf-8".into())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// The same answer with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What the `Authorization` header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// No such header.
    None,
    /// `Bearer` and a token.
    Bearer(String),
    /// `Basic` with user and password split at the first colon (RFC 7617).
    Basic(String, String),
    /// Another scheme, or one of the two that does not parse.
    Unreadable,
}

impl Request {
    /// The value of the first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `Authorization` header; scheme names compare without case (RFC 9110 section 11.1).
    #[must_use]
    pub fn authorization(&self) -> Authorization {
        let Some(value) = self.header("authorization") else {
            return Authorization::None;
        };
        let Some((scheme, rest)) = value.split_once(' ') else {
            return Authorization::Unreadable;
        };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
            return Authorization::Bearer(rest.to_owned());
        }
        let decoded = STANDARD.decode(rest).ok().and_then(|raw| String::from_utf8(raw).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((user, password)) if scheme.eq_ignore_ascii_case("basic") => {
                Authorization::Basic(user.to_owned(), password.to_owned())
            }
            _ => Authorization::Unreadable,
        }
    }

    /// The media type without its parameters, in lower case; empty when there is no header.
    #[must_use]
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// Why parameters could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamsError {
    /// Neither of the media types the endpoint takes.
    MediaType,
    /// Not valid in its own media type.
    Malformed,
    /// A name that occurs twice; RFC 6749 section 3.2 forbids it, elsewhere it is our choice to refuse it too.
    Duplicate(String),
}

/// The parameters of a request: a form, or a flat JSON object whose numbers and booleans count as their text.
#[derive(Debug, Clone, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn form(request: &Request) -> Result<Self, ParamsError> {
        if request.media_type() != "application/x-www-form-urlencoded" {
            return Err(ParamsError::MediaType);
        }
        std::str::from_utf8(&request.body).map_err(|_| ParamsError::Malformed)?;
        Self::pairs(&request.body)
    }

    /// Reads `application/json`.
    pub fn json(request: &Request) -> Result<Self, ParamsError> {
        if request.media_type() != "application/json" {
            return Err(ParamsError::MediaType);
        }
        let object: BTreeMap<String, Value> = serde_json::from_slice(&request.body).map_err(|_| ParamsError::Malformed)?;
        let mut fields = BTreeMap::new();
        for (name, value) in object {
            match value {
                Value::Null => continue,
                Value::String(text) => fields.insert(name, text),
                Value::Bool(_) | Value::Number(_) => fields.insert(name, value.to_string()),
                Value::Array(_) | Value::Object(_) => return Err(ParamsError::Malformed),
            };
        }
        Ok(Self(fields))
    }

    /// Reads either of the two; an empty body without a media type is an empty form.
    pub fn form_or_json(request: &Request) -> Result<Self, ParamsError> {
        match Self::form(request) {
            Err(ParamsError::MediaType) if request.body.is_empty() && request.media_type().is_empty() => Ok(Self::default()),
            Err(ParamsError::MediaType) => Self::json(request),
            read => read,
        }
    }

    /// Reads the query of the URL.
    pub fn query(request: &Request) -> Result<Self, ParamsError> {
        Self::pairs(request.query.as_bytes())
    }

    fn pairs(raw: &[u8]) -> Result<Self, ParamsError> {
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(raw) {
            if fields.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(ParamsError::Duplicate(name.into_owned()));
            }
        }
        Ok(Self(fields))
    }

    /// The value of a parameter; an empty one counts as absent (RFC 6749 section 3.2; elsewhere our choice).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `true` or `false`; absent is the default, anything else an error that names the field.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(format!("{name} must be true or false")),
        }
    }

    /// Whole seconds from zero on; an error names the field.
    pub fn seconds(&self, name: &str) -> Result<Option<u32>, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("{name} must be a number of seconds, zero or more"));
        self.get(name).map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(media_type: &str, body: &str) -> Request {
        Request { headers: vec![("content-type".into(), media_type.into())], body: body.into(), ..Request::default() }
    }

    #[test]
    fn forms_and_json_say_the_same() {
        let form =
            Params::form_or_json(&request("application/x-www-form-urlencoded; charset=utf-8", "a=b+c%2B&n=5&t=true&e=")).unwrap();
        let json = Params::form_or_json(&request("application/json", r#"{"a":"b c+","n":5,"t":true,"e":null}"#)).unwrap();
        for params in [form, json] {
            assert_eq!(params.get("a"), Some("b c+"));
            assert_eq!(params.seconds("n"), Ok(Some(5)));
            assert_eq!(params.flag("t", false), Ok(true));
            assert_eq!(params.get("e"), None);
            assert!(params.seconds("a").is_err() && params.flag("n", true).is_err());
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let duplicate = Params::form(&request("application/x-www-form-urlencoded", "a=1&a=2"));
        assert_eq!(duplicate.unwrap_err(), ParamsError::Duplicate("a".into()));
        assert_eq!(Params::form(&request("application/json", "{}")).unwrap_err(), ParamsError::MediaType);
        assert_eq!(Params::json(&request("application/json", "{")).unwrap_err(), ParamsError::Malformed);
        assert_eq!(Params::json(&request("application/json", r#"{"a":{}}"#)).unwrap_err(), ParamsError::Malformed);
    }

    #[test]
    fn credentials_are_read_from_the_header() {
        let with =
            |value: &str| Request { headers: vec![("authorization".into(), value.into())], ..Request::default() }.authorization();
        assert_eq!(with("bearer t"), Authorization::Bearer("t".into()));
        assert_eq!(with("Basic dTpwOnE="), Authorization::Basic("u".into(), "p:q".into()));
        assert_eq!(with("Basic !"), Authorization::Unreadable);
        assert_eq!(with("ApiKey x"), Authorization::Unreadable);
        assert_eq!(Request::default().authorization(), Authorization::None);
    }
}
