//! What people read about an attempt or a chain that has ended badly.

use chrono::{DateTime, Utc};

use super::conditions::text;
use crate::provider::TokenError;
use crate::refresh::journal::escrow_name;

/// What is said about a seed that was used before.
pub(super) const OLD_SEED: &str =
    "the seed Secret holds a token that was used before: it is ignored, and the chain goes on from the operator's own state";

/// What is said of the policy when a refresh brought no access token, or one that had ended when it could be stored.
pub(super) const NO_NEWER_TOKEN: &str = "the last refresh brought no newer access token: the next one comes minInterval after it";

/// What is said when an answer brings an access token and no refresh token, where each works once.
pub(super) const NO_SUCCESSOR: &str = "the token API gave an access token but no new refresh token, so this was the last refresh (JFrog: \
                            token.allow-refreshable is off). Put a new token into the seed Secret to begin a new chain";

/// `kept`: something came that could not be read, and stands in the state Secret.
pub(super) fn unknown(last_try: Option<DateTime<Utc>>, kept: bool) -> String {
    let next = last_try.map_or_else(
        || "it is not sent again".to_owned(),
        |time| format!("it is not sent again before the access token has expired, and then once, at {}", text(Some(time))),
    );
    let came = if kept {
        "what came back is no answer that can be read (it is kept under unparsed_response in the state Secret)"
    } else {
        "no answer came"
    };
    format!(
        "the refresh token was sent and {came}: nobody can tell whether it was spent, so {next}. Put a new token into the seed Secret \
         to begin a new chain"
    )
}

pub(super) fn escrowed(claim: &str) -> String {
    format!(
        "a new token was obtained, but the API server refuses to write it into the state Secret: check the operator's permissions, \
         admission policies, quota and whether the Secret is immutable. The token is safe in Secret {} of the operator's namespace, \
         and the write is tried again",
        escrow_name(claim)
    )
}
pub(super) fn chain_lost(error: Option<&TokenError>) -> String {
    let why = error.map_or_else(
        || "the refresh token was spent or is no longer accepted, and no newer one is known".to_owned(),
        ToString::to_string,
    );
    format!("{why}. Put a new token into the seed Secret to begin a new chain")
}
