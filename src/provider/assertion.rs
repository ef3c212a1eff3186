//! A client that proves who it is by a token that it signs itself (RFC 7523 section 2.2, OpenID Connect Core section 9).
//!
//! Servers accept each such token once, so it is not part of a request before the request leaves: whoever sends signs, and a
//! request that has waited for its turn carries no old one.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{Body, TokenRequest};
use crate::token::{KeyError, SecretText, SigningKey};

/// How long a signed token is valid, in seconds. Our choice: it is used at once, and clocks differ by a minute or two; servers
/// that limit it allow five minutes or more.
const LIFE: i64 = 180;
/// RFC 7523 section 2.2.
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client signs when its request leaves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Assertion {
    pub(super) key: SigningKey,
    /// The name of the key at the server.
    pub(super) key_id: Option<SecretText>,
    /// The client identifier.
    pub(super) client: SecretText,
    /// Whom it is for.
    pub(super) audience: String,
    /// The attempt that the request belongs to.
    pub(super) attempt: String,
}

impl Assertion {
    /// The token for a request that leaves at `now`. `jti` is made of the attempt and the time in microseconds: two sendings of
    /// one attempt are at least a second apart.
    fn sign(&self, now: DateTime<Utc>) -> Result<SecretText, KeyError> {
        let mut header = Map::from_iter([("alg".to_owned(), Value::from(self.key.algorithm()))]);
        if let Some(id) = &self.key_id {
            header.insert("kid".into(), id.reveal().into());
        }
        header.insert("typ".into(), "JWT".into());
        let client = self.client.reveal();
        let claims = serde_json::json!({
            "iss": client,
            "sub": client,
            "aud": self.audience,
            "jti": format!("{}.{}", self.attempt, now.timestamp_micros()),
            "iat": now.timestamp(),
            "exp": now.timestamp().saturating_add(LIFE),
        });
        let part = |json: String| URL_SAFE_NO_PAD.encode(json);
        let signed = format!("{}.{}", part(Value::Object(header).to_string()), part(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes())?);
        Ok(SecretText::new(format!("{signed}.{signature}")))
    }
}

impl TokenRequest {
    /// The request as it leaves at `now`: with what the client signs for it, where it signs.
    pub fn signed(&self, now: DateTime<Utc>) -> Result<Cow<'_, Self>, KeyError> {
        let (Some(assertion), Some(body)) = (&self.assertion, &self.body) else { return Ok(Cow::Borrowed(self)) };
        let token = assertion.sign(now)?;
        let mut form = form_urlencoded::Serializer::new(body.content.reveal().to_owned());
        form.append_pair("client_assertion_type", TYPE).append_pair("client_assertion", token.reveal());
        let body = Body { content_type: body.content_type, content: SecretText::new(form.finish()) };
        Ok(Cow::Owned(Self { body: Some(body), assertion: None, ..self.clone() }))
    }
}
