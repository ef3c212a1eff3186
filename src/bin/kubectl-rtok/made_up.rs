//! Tokens that nobody gave: to show what outputs look like, without any that is worth something.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::PreviousTokenStatus;
use refreshable_token_operator::token::{AccessToken, HeldTokens, PreviousToken, RefreshToken, SecretText};

/// The life of a made-up token where the manifest asks for none. Our choice: what token APIs commonly give.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// A token before the newest, with the times of the real one.
pub fn previous(real: &PreviousTokenStatus) -> PreviousToken {
    PreviousToken {
        access_token: AccessToken::new("made-up-previous-token"),
        replaced_time: real.replaced_time,
        expiration_time: real.expiration_time,
    }
}

/// A full set of tokens, issued at `issued`.
pub fn tokens(issued: DateTime<Utc>, lifetime: Duration) -> HeldTokens {
    let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
    HeldTokens {
        access_token: Some(AccessToken::new("made-up-access-token")),
        refresh_token: Some(RefreshToken::new("made-up-refresh-token")),
        reference_token: Some(SecretText::new("made-up-reference-token")),
        issued_time: Some(issued),
        expiration_time: issued.checked_add_signed(lifetime),
        token_id: Some("made-up-token-id".to_owned()),
        scope: Some("made-up-scope".to_owned()),
        subject: Some("made-up-subject".to_owned()),
        ..HeldTokens::default()
    }
}
