//! What is said while the answer of a token API can be written nowhere.

use chrono::{DateTime, Utc};

use super::Note;
use crate::api::condition::{Statement, restate};
use crate::api::{CLEANUP_FINALIZER, ConditionStatus, ConditionType, Reason, RefreshableTokenStatus};
use crate::refresh::schedule::whole_seconds;

/// The status while neither the state Secret nor escrow takes an answer, so that nobody has it but the process that got it, and
/// what to tell. Only a condition differs from `status`: the exchange goes on. `deleting`: the object waits for its deletion.
#[must_use]
pub fn conclude_unwritten(
    status: &RefreshableTokenStatus,
    generation: Option<i64>,
    state_secret: &str,
    deleting: bool,
    now: DateTime<Utc>,
) -> (RefreshableTokenStatus, Note) {
    let (type_, reason) = (ConditionType::Reconciling, Reason::WriteFailed);
    let message = message(state_secret, deleting);
    let statement = Statement { type_, status: ConditionStatus::True, reason, message: message.clone() };
    let mut status = status.clone();
    let said = restate(&status.conditions, vec![statement], generation, whole_seconds(now));
    status.conditions.retain(|condition| condition.type_ != type_);
    status.conditions.extend(said);
    let reason = if deleting { Reason::CleanupFailed } else { reason };
    (status, Note { warning: true, reason, message })
}

fn message(state_secret: &str, deleting: bool) -> String {
    let waits = if deleting {
        format!(
            ". The deletion of this object waits for that; to let it go at once and leave its newest token valid, take its finalizer \
             {CLEANUP_FINALIZER} away"
        )
    } else {
        String::new()
    };
    format!(
        "the token API has answered, but the API server takes the answer neither into Secret {state_secret} nor into escrow in the \
         operator's namespace: check the operator's permissions, admission webhooks and quota in both. Until then the operator's \
         process holds it and tries again every 10 s; do not kill its Pod{waits}"
    )
}
