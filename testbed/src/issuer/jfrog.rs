//! What JFrog Access and Distribution share: the error envelope, the answer to a token request and how parameters are refused.

use serde_json::{Map, Value, json};

use super::config::ExpiresIn;
use super::core::Outcome;
use super::record::{Mint, Pair, Verdict};
use super::wire::{ParamsError, Reply};

/// `{"errors":[{"code","message"}]}`, the envelope of Access (jfrog-cli #2490 shows it for 404). Distribution documents no error at all;
/// that it speaks the same is our choice.
pub(super) fn error(status: u16, message: &str) -> Reply {
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        500 => "INTERNAL_SERVER_ERROR",
        _ => "BAD_REQUEST",
    };
    Reply::json(status, &json!({"errors": [{"code": code, "message": message}]}))
}

pub(super) fn refuse(status: u16, message: &str) -> Outcome {
    Outcome::new(Verdict::Refused, error(status, message))
}

/// The answer to a used, unknown or forgotten refresh token, in the words of jfrog-cli #2490.
pub(super) fn not_found(verdict: Verdict) -> Outcome {
    Outcome::new(verdict, error(404, "Token matching the provided refresh token was not found."))
}

/// "Only the instance or HA cluster that issued it", else 400 (JFrog's page on refreshing). The words are ours.
pub(super) fn foreign() -> Outcome {
    Outcome::new(Verdict::Foreign, error(400, "The token was issued by another instance."))
}

pub(super) fn unreadable(why: &ParamsError) -> Outcome {
    match why {
        ParamsError::MediaType => refuse(415, "Unsupported media type"),
        ParamsError::Malformed => refuse(400, "The request body cannot be read"),
        ParamsError::Duplicate(name) => refuse(400, &format!("Parameter {name} is given twice")),
    }
}

/// 200 with the fields of the vendor's samples. Nothing that was not issued is named: no `refresh_token` on a token that is not
/// refreshable, no `reference_token` unless that very request asked for it.
pub(super) fn issued(pair: &Pair, mint: &Mint, expires_in: ExpiresIn, with_id: bool) -> Reply {
    let mut body = Map::new();
    body.insert("access_token".into(), pair.access_token.clone().into());
    body.insert("scope".into(), pair.scope.clone().into());
    body.insert("token_type".into(), "Bearer".into());
    let optional = [
        ("token_id", with_id.then_some(&pair.token_id)),
        ("refresh_token", pair.refresh_token.as_ref()),
        ("reference_token", pair.reference_token.as_ref()),
        ("description", mint.description.as_ref()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body.insert(name.into(), value.clone().into());
        }
    }
    match mint.lifetime {
        Some(lifetime) => expires_in.put(lifetime.num_seconds(), &mut body),
        // Access documents the field as optional; Distribution's page calls the lifetime of a token that never expires zero.
        None if !with_id => expires_in.put(0, &mut body),
        None => {}
    }
    Reply::json(200, &Value::Object(body))
}
