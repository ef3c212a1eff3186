//! The press: makes one pair for a chain, with the claims the vendors put into their access tokens.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::random::Entropy;
use super::record::{Api, Chain, Mint, Pair, RefreshForm};

/// What all pairs of one issuer have in common.
#[derive(Debug)]
pub(super) struct Press {
    pub(super) entropy: Entropy,
    pub(super) instance: String,
    pub(super) issuer_url: String,
}

impl Press {
    /// Adds a pair to the chain; `keep` is a refresh token that stays in place of a new one.
    pub(super) fn pair(&mut self, chain: &mut Chain, mint: Mint, keep: Option<&str>, now: DateTime<Utc>) -> Pair {
        let expires_at = mint.lifetime.and_then(|lifetime| now.checked_add_signed(lifetime));
        let token_id = self.entropy.uuid();
        let claims = self.claims(chain, &mint, &token_id, now, expires_at);
        let refresh_token = keep.map(str::to_owned).or_else(|| mint.refresh.map(|shape| self.refresh_token(shape.form)));
        let pair = Pair {
            chain: chain.id,
            generation: chain.pairs.len(),
            token_id,
            access_token: self.entropy.jwt(&claims),
            refresh_token,
            reference_token: mint.reference.then(|| self.entropy.reference(expires_at.map_or(0, |at| at.timestamp()))),
            subject: chain.subject.clone(),
            scope: mint.scope.clone(),
            issued_at: now,
            expires_at,
        };
        chain.pairs.push(pair.clone());
        chain.mint = mint;
        pair
    }

    fn refresh_token(&mut self, form: RefreshForm) -> String {
        match form {
            RefreshForm::Uuid => self.entropy.uuid(),
            RefreshForm::Opaque => self.entropy.opaque(),
            RefreshForm::Oauth => self.entropy.oauth_refresh(),
        }
    }

    /// The claims of the Distribution page's sample (sub, scp, aud, iss, exp, iat, jti); Access names its users by instance, OAuth 2.0 says
    /// `scope` and `client_id` (RFC 9068 section 2.2). A token that never expires has no `exp`.
    fn claims(&self, chain: &Chain, mint: &Mint, token_id: &str, now: DateTime<Utc>, expires_at: Option<DateTime<Utc>>) -> Value {
        let user = &chain.subject;
        let (iss, sub, scope) = match chain.api {
            Api::JfrogAccess => (format!("jfac@{}", self.instance), format!("jfac@{}/users/{user}", self.instance), "scp"),
            Api::JfrogDistribution => (format!("jfds@{}", self.instance), user.clone(), "scp"),
            Api::ElasticCloudEnterprise => ("adminconsole".to_owned(), user.clone(), "scope"),
            Api::Oauth2 => (self.issuer_url.clone(), user.clone(), "scope"),
        };
        let mut claims = Map::new();
        claims.insert("iss".into(), iss.into());
        claims.insert("sub".into(), sub.into());
        claims.insert(scope.into(), mint.scope.clone().into());
        claims.insert("aud".into(), mint.audience.clone().into());
        claims.insert("iat".into(), now.timestamp().into());
        claims.insert("jti".into(), token_id.into());
        if let Some(at) = expires_at {
            claims.insert("exp".into(), at.timestamp().into());
        }
        if let Some(client) = &chain.client {
            claims.insert("client_id".into(), client.clone().into());
        }
        Value::Object(claims)
    }
}
