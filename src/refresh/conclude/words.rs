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

/// What is known of a token that was presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing, and nobody can be asked.
    Unknown,
    /// Nothing yet: the API will be asked.
    Asked,
    /// The API says that it is good no longer.
    Gone,
}

/// `next`: when it is looked at again. `kept`: something came that could not be read, and stands in the state Secret.
pub(super) fn unknown(next: Option<DateTime<Utc>>, kept: bool, fate: Fate) -> String {
    let next = match next {
        None => "it is not sent again".to_owned(),
        Some(time) if fate == Fate::Asked => {
            format!("it is not sent again unless the API, which is asked at {}, says that it is good still", text(Some(time)))
        }
        Some(time) => format!("it is not sent again before the access token has expired, and then once, at {}", text(Some(time))),
    };
    let gone = if fate == Fate::Gone {
        " (the API says now that it is not active: spent, or not for this client to ask about)"
    } else {
        ""
    };
    let came = if kept {
        "what came back is no answer that can be read (it is kept under unparsed_response in the state Secret)"
    } else {
        "no answer came"
    };
    format!(
        "the refresh token was sent and {came}: nobody can tell whether it was spent{gone}, so {next}. Put a new token into the seed Secret \
         to begin a new chain"
    )
}

/// What is said where a new token is held back.
pub(super) fn unverified(why: &str) -> String {
    format!(
        "a new token is committed and not published, because recovery.verifyBeforePublish asks for a trial first: {why}. The Secrets keep \
         what they hold, and the trial is made again"
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
