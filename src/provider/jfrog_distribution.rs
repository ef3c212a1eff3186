//! JfrogDistribution.
use super::{RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::api::{JfrogDistribution, RequestSpec};
use crate::token::TokenSet;
use chrono::{DateTime, Utc};
pub(super) fn request(
    spec: &JfrogDistribution,
    wish: &RequestSpec,
    input: &RefreshInput<'_>,
) -> Result<TokenRequest, RequestError> {
    todo!()
}
pub(super) fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    todo!()
}
