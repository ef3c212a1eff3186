//! The words of the ledger: chains, pairs, and what was presented.
//!
//! Tokens stand here in the clear and are serialised in the clear: everything in this simulator is made up and judged by value.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The simulated APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Api {
    /// `/access/api/v1/tokens`.
    JfrogAccess,
    /// `/distribution/api/v1/security/token`.
    JfrogDistribution,
    /// `/api/v1/users/auth`.
    ElasticCloudEnterprise,
    /// `/oauth2`.
    Oauth2,
}

/// What a request asks of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Give a new pair for this one: the call that must happen exactly once per refresh token.
    Refresh,
    /// A new chain: create, `_login`, every grant of OAuth 2.0 but `refresh_token`.
    Create,
    /// A question that changes nothing: `/tokens/me`, `GET /users/auth`, introspection.
    Inspect,
    /// Revocation and `_logout`.
    Revoke,
}

/// One line of descent: a first pair and all that was refreshed out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub u64);

/// One issued pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// The chain it belongs to.
    pub chain: ChainId,
    /// 0 for the first of its chain.
    pub generation: usize,
    /// The `jti` of the access token and JFrog's `token_id`.
    pub token_id: String,
    /// The access token, a JWT in shape.
    pub access_token: String,
    /// Absent for ECE, for what was asked for as not refreshable, and for what OAuth 2.0 gives without one.
    pub refresh_token: Option<String>,
    /// JFrog's 64 characters, when that request asked for it.
    pub reference_token: Option<String>,
    /// Whose token it is.
    pub subject: String,
    /// The scope of this pair.
    pub scope: String,
    /// When it was issued, by the issuer's clock.
    pub issued_at: DateTime<Utc>,
    /// End of the access token's life (at this instant it is over); `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Pair {
    /// The refresh token, or the empty string.
    #[must_use]
    pub fn refresh(&self) -> &str {
        self.refresh_token.as_deref().unwrap_or_default()
    }

    /// The reference token, or the empty string.
    #[must_use]
    pub fn reference(&self) -> &str {
        self.reference_token.as_deref().unwrap_or_default()
    }
}

/// What is to be issued.
#[derive(Debug, Clone)]
pub(super) struct Mint {
    pub(super) scope: String,
    pub(super) audience: String,
    pub(super) description: Option<String>,
    /// `None` is never.
    pub(super) lifetime: Option<TimeDelta>,
    /// `None`: no refresh token at all.
    pub(super) refresh: Option<RefreshShape>,
    pub(super) reference: bool,
}

/// The shape and life of a refresh token.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefreshShape {
    pub(super) form: RefreshForm,
    /// From its issue on; `None` is never.
    pub(super) lifetime: Option<TimeDelta>,
}

/// How a refresh token is spelled.
#[derive(Debug, Clone, Copy)]
pub(super) enum RefreshForm {
    Uuid,
    Opaque,
    Oauth,
}

/// A chain as it stands.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Its number, in the order of beginning.
    pub id: ChainId,
    /// The API it lives on.
    pub api: Api,
    /// The user, or the subject of an OAuth 2.0 grant.
    pub subject: String,
    /// The OAuth 2.0 client.
    pub client: Option<String>,
    /// The scope that was granted at first; no refresh gives more.
    pub scope: String,
    /// Accepted refreshes, answers within a grace window not counted.
    pub refreshes: usize,
    /// Killed as a whole: revoked, logged out, or by family revocation.
    pub revoked: bool,
    /// Every pair, oldest first.
    pub pairs: Vec<Pair>,
    #[serde(skip)]
    pub(super) mint: Mint,
}

/// What the issuer made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Done as asked.
    Accepted,
    /// A spent token within its grace window, answered again.
    Replayed,
    /// Refused: the token was spent before.
    Spent,
    /// Refused: no such token.
    Unknown,
    /// Refused: the token is past its life.
    Expired,
    /// Refused: the token was revoked, alone or with its chain.
    Revoked,
    /// Refused: another instance issued it.
    Foreign,
    /// Refused for another reason (credentials, parameters, rights); no token changed.
    Refused,
    /// A fault stood in the way: the request was read and not processed.
    NotProcessed,
}

/// What became of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// Not yet handed to the connection.
    Pending,
    /// Handed to the connection whole. Whether the client read it, no issuer can know.
    Delivered,
    /// Not a byte of it was sent: by a fault, or because the client had gone.
    Dropped,
    /// A part of it was sent.
    Truncated,
    /// Something else was sent in its place.
    Replaced,
}

/// One request that reached the issuer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Presentation {
    /// Its place in the log, from 0.
    pub number: usize,
    /// The issuer's clock when it was processed (or, by a fault, was not).
    pub at: DateTime<Utc>,
    /// The API that was called.
    pub api: Api,
    /// What was asked.
    pub operation: Operation,
    /// The token the request is about: the refresh token; for ECE the bearer; for questions and revocation the token named.
    pub token: Option<String>,
    /// The bearer, where there is one.
    pub bearer: Option<String>,
    /// The chain of the token, or the chain a `Create` began.
    pub chain: Option<ChainId>,
    /// The token was spent already when it came, and no grace window was open.
    pub was_spent: bool,
    /// What the issuer made of it.
    pub verdict: Verdict,
    /// The status of the answer; 0 when there was none to give.
    pub status: u16,
    /// The body of the answer as the issuer wrote it, sent or not.
    pub answer: String,
    /// What became of the answer.
    pub delivery: Delivery,
}
