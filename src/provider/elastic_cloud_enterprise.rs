//! ElasticCloudEnterprise.
use super::{RefreshInput, Reply, RequestError, TokenError, TokenRequest};
use crate::api::ElasticCloudEnterprise;
use crate::token::TokenSet;
use chrono::{DateTime, Utc};
pub(super) fn request(spec: &ElasticCloudEnterprise, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    todo!()
}
pub(super) fn read(reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    todo!()
}
