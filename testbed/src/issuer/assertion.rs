//! OAuth 2.0 clients that prove themselves by a token that they sign: RFC 7523 sections 2.2 and 3, with the rules of `oidc-provider` 9 where
//! the RFC leaves a choice: `jti` is demanded and accepted once, `aud` is the issuer or the token endpoint, a life of at most ten minutes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::config::{ClientAuth, PublicKey};
use super::core::Core;
use super::wire::Params;

/// The media type of the assertion.
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest life of an assertion in seconds; and how far its times may be off.
const LONGEST: i64 = 600;
const SKEW: i64 = 15;

/// Whose assertion it is, or none if it proves nothing. An assertion that proves something is used up.
pub(super) fn proven(core: &mut Core, params: &Params, now: DateTime<Utc>) -> Option<String> {
    let assertion = params.get("client_assertion")?;
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let (header, claims) = (object(header)?, object(claims)?);
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let id = text("sub").filter(|sub| text("iss") == Some(*sub))?;
    let known = core.config.clients.get(id).is_some_and(|client| client.auth == ClientAuth::PrivateKeyJwt);
    let named = params.get("client_id").is_none_or(|named| named == id);
    let typed = params.get("client_assertion_type") == Some(TYPE);
    let issuer = core.config.issuer_url.as_str();
    let addressed = text("aud").is_some_and(|aud| aud == issuer || aud.strip_prefix(issuer) == Some("/oauth2/token"));
    let key = core.config.client_keys.get(id)?;
    let genuine = verifies(key, header.get("alg").and_then(Value::as_str)?, signed, &URL_SAFE_NO_PAD.decode(signature).ok()?);
    let (now, number) = (now.timestamp(), |name: &str| claims.get(name).and_then(Value::as_i64));
    let alive = number("exp").is_some_and(|exp| exp > now - SKEW && exp <= now + LONGEST);
    let begun = number("iat").is_none_or(|iat| iat <= now + SKEW);
    let jti = text("jti").filter(|jti| !jti.is_empty())?;
    let proves = known && named && typed && addressed && genuine && alive && begun;
    // Only what is genuine can use up a name.
    (proves && core.assertions.insert(format!("{id} {jti}"))).then(|| id.to_owned())
}

fn verifies(key: &PublicKey, algorithm: &str, signed: &str, signature: &[u8]) -> bool {
    let verified = match (key, algorithm) {
        (PublicKey::Es256(point), "ES256") => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), signature)
        }
        (PublicKey::Rs256(der), "RS256") => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(signed.as_bytes(), signature)
        }
        _ => return false,
    };
    verified.is_ok()
}

/// Whose token another is that is shown here; none if it is for somebody else, or has ended.
pub(super) fn subject(core: &Core, token: &str, now: DateTime<Utc>) -> Option<String> {
    let claims = object(token.split('.').nth(1)?)?;
    let wanted = core.config.subject_audience.as_deref()?;
    let addressed = match claims.get("aud")? {
        Value::String(one) => one == wanted,
        Value::Array(all) => all.iter().any(|one| one == wanted),
        _ => false,
    };
    let alive = claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp > now.timestamp() - SKEW);
    let subject = claims.get("sub").and_then(Value::as_str)?;
    (addressed && alive).then(|| subject.to_owned())
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
