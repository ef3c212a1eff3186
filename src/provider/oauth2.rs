//! Oauth2.
use super::{RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::api::{Oauth2, RequestSpec};
use crate::token::TokenSet;
use chrono::{DateTime, Utc};
pub(super) fn request(spec: &Oauth2, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    todo!()
}
pub(super) fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    todo!()
}
pub(super) fn semantics(spec: &Oauth2) -> super::Semantics {
    todo!()
}
