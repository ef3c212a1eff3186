//! Token introspection (RFC 7662): whether a token is still good. Asking spends nothing.

use super::authenticated;
use crate::api::Oauth2;
use crate::provider::reply::{Fields, answered, unverified};
use crate::provider::request::{Form, absolute};
use crate::provider::{Class, Probed, RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::token::SecretText;

/// The question about a token (section 2.1), where the endpoint is known. The client authenticates as at the token endpoint.
pub(super) fn request(
    spec: &Oauth2,
    token: &SecretText,
    hint: &'static str,
    input: &RefreshInput<'_>,
) -> Option<Result<TokenRequest, RequestError>> {
    let url = spec.introspection_url.as_deref()?;
    let form = Form::empty().secret("token", token).map(|form| form.wish("token_type_hint", Some(hint)));
    Some(form.and_then(|form| authenticated(spec, absolute(url)?.into(), form, input)))
}

/// What the answer says: `active` is the only member that is required (section 2.2).
///
/// `false` is also the answer about a token that this client may not ask about (section 2.2): whoever acts on it has to know.
pub(super) fn read(reply: &Reply) -> Probed {
    if reply.status != 200 {
        return Probed::Unclear;
    }
    match Fields::of(reply).ok().and_then(|fields| fields.truth("active")) {
        Some(true) => Probed::Unspent,
        Some(false) => Probed::Spent,
        None => Probed::Unclear,
    }
}

/// What it says about an access token. A refusal is one of the client here, and says nothing about the token.
pub(super) fn verified(reply: &Reply) -> Result<(), TokenError> {
    let (class, detail) = match (read(reply), reply.status) {
        (Probed::Unspent, _) => return Ok(()),
        (Probed::Spent, _) => (Class::Configuration, "the server says that the new access token is not active"),
        (Probed::Unclear, 401 | 403) => (Class::Unknown, "the server does not let this client ask about its tokens"),
        (Probed::Unclear, status) => unverified(status),
    };
    Err(answered(reply, class, detail))
}
