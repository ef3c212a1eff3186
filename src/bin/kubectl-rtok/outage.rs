//! What an outage of the token API, or of the operator, would do to a token: the operator's schedule and retries, played on. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::{RefreshSpec, RefreshableToken};
use refreshable_token_operator::provider::Semantics;
use refreshable_token_operator::refresh::decide::stalled;
use refreshable_token_operator::refresh::schedule::{retry_delay, schedule};

use crate::situation::scheduled;
use crate::time::{absolute, span};

/// Most retries that are played. Our choice: with the default delays three months of failing.
const MOST_RETRIES: u32 = 20_000;

/// How many refreshes before an outage are played where windows move them. Our choice: they fall into step within a few.
const PLAYED: i64 = 1000;

/// An outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it lasts.
    pub length: Duration,
}

/// What becomes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No refresh falls into the outage.
    Untouched {
        /// When the refresh after it is due.
        next: DateTime<Utc>,
    },
    /// A refresh fails, and a retry after the outage comes in time.
    Survives {
        /// When the retry comes.
        retry: DateTime<Utc>,
        /// How long the token would have lived on; none while its expiry is not known.
        spare: Option<Duration>,
    },
    /// The access token ends before the retry that brings the next one: workloads are without one meanwhile.
    Gap {
        /// When it ends.
        from: DateTime<Utc>,
        /// When the next one comes.
        until: DateTime<Utc>,
    },
    /// The chain ends: only a new seed helps.
    Lost {
        /// When.
        from: DateTime<Utc>,
        /// Why.
        why: &'static str,
    },
    /// Nothing refreshes it, outage or not.
    Idle {
        /// Why.
        why: String,
        /// When it ends, where that is known.
        ends: Option<DateTime<Utc>>,
    },
}

impl Fate {
    /// Whether workloads have a working token all the time.
    pub fn survives(&self) -> bool {
        matches!(self, Self::Untouched { .. } | Self::Survives { .. })
    }

    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Untouched { next } => format!("no refresh falls into it: the next one after it is due at {}", absolute(*next)),
            Self::Survives { retry, spare: Some(spare) } => {
                format!("refreshed by a retry at {}, {} before it would end", absolute(*retry), span(*spare))
            }
            Self::Survives { retry, spare: None } => format!("refreshed by a retry at {}", absolute(*retry)),
            Self::Gap { from, until } => {
                let length = span((*until - *from).to_std().unwrap_or_default());
                format!(
                    "no valid token for {length}: it ends at {}, and the next one comes at {}",
                    absolute(*from),
                    absolute(*until)
                )
            }
            Self::Lost { from, why } => format!("the chain is over at {}: {why}", absolute(*from)),
            Self::Idle { why, ends: Some(ends) } => format!("{why}: it ends at {}", absolute(*ends)),
            Self::Idle { why, ends: None } => why.clone(),
        }
    }
}

/// A token at one moment of the play.
#[derive(Clone, Copy, Debug)]
struct Moment {
    issued: DateTime<Utc>,
    expiration: Option<DateTime<Utc>>,
    refresh_token_expiration: Option<DateTime<Utc>>,
    due: DateTime<Utc>,
}

/// What an outage does to the token of `object`, with what its token API promises; none: it is not known. Every refresh before it is
/// taken to succeed, and to bring tokens that live as long as the newest one.
pub fn fate(object: &RefreshableToken, semantics: Option<Semantics>, outage: Outage) -> Fate {
    let status = object.status.clone().unwrap_or_default();
    let Some(token) = &status.token else { return Fate::Idle { why: "no token has been obtained yet".to_owned(), ends: None } };
    let ends = token.expiration_time;
    if object.spec.suspended() {
        return Fate::Idle { why: "suspended".to_owned(), ends };
    }
    let (Some(issued), Some(scheduled)) = (token.issued_time, scheduled(object, outage.from)) else {
        return Fate::Idle { why: "the token's issue is not known".to_owned(), ends };
    };
    let planned = status.next_refresh_time;
    if let (Some(reason), None) = (stalled(&status), planned) {
        return Fate::Idle { why: format!("stands still for {reason}"), ends };
    }
    let now = Moment {
        issued,
        expiration: ends,
        refresh_token_expiration: token.refresh_token_expiration_time,
        due: planned.unwrap_or(scheduled.refresh_time),
    };
    let policy = object.spec.refresh();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let then = roll(now, outage.from, &policy, uid);
    through(then, outage, &policy, semantics)
}

/// The token as it is at `until`, with every refresh before that having succeeded.
fn roll(mut now: Moment, until: DateTime<Utc>, policy: &RefreshSpec, uid: &str) -> Moment {
    if now.due >= until {
        return now;
    }
    let lifetime = now.expiration.map(|expiration| expiration - now.issued);
    let rest = now.refresh_token_expiration.map(|expiration| expiration - now.issued);
    let renewed = |issued: DateTime<Utc>| Moment {
        issued,
        expiration: lifetime.and_then(|lifetime| issued.checked_add_signed(lifetime)),
        refresh_token_expiration: rest.and_then(|rest| issued.checked_add_signed(rest)),
        due: schedule(policy, issued, lifetime.and_then(|lifetime| issued.checked_add_signed(lifetime)), uid, issued)
            .refresh_time,
    };
    now = renewed(now.due);
    // Each period is as long as the one before it: whole periods are leapt over. With windows only about as long, so that the last
    // ones are played.
    let period = (now.due - now.issued).num_seconds().max(1);
    let played = if policy.windows.is_empty() { 0 } else { PLAYED };
    let whole = ((until - now.due).num_seconds() / period - played).max(0);
    if let Some(leap) = period.checked_mul(whole).and_then(TimeDelta::try_seconds) {
        now = renewed(now.issued + leap);
    }
    while now.due < until {
        now = renewed(now.due);
    }
    now
}

/// The refresh that falls into the outage, with its retries.
fn through(token: Moment, outage: Outage, policy: &RefreshSpec, semantics: Option<Semantics>) -> Fate {
    let end = outage.from + TimeDelta::from_std(outage.length).unwrap_or(TimeDelta::zero());
    if token.due >= end {
        return Fate::Untouched { next: token.due };
    }
    let mut retry = token.due;
    let mut failures = 0;
    while retry < end && failures < MOST_RETRIES {
        failures += 1;
        let remaining = token.expiration.and_then(|expiration| (expiration - retry).to_std().ok());
        let delay = retry_delay(policy, failures, remaining, None);
        retry += TimeDelta::from_std(delay).unwrap_or(TimeDelta::zero());
    }
    let retry = retry.max(end);
    if let Some(from) = token.refresh_token_expiration.filter(|until| *until <= retry) {
        return Fate::Lost { from, why: "the refresh token ends before the outage does" };
    }
    match token.expiration {
        None => Fate::Survives { retry, spare: None },
        Some(expiration) if expiration > retry => Fate::Survives { retry, spare: (expiration - retry).to_std().ok() },
        Some(expiration) => match semantics {
            Some(Semantics::RenewsItself) => {
                Fate::Lost { from: expiration, why: "a token that renews itself cannot do so once it has ended" }
            }
            // The least forgiving is expected.
            None => Fate::Lost {
                from: expiration,
                why: "its token API is not known, and may give no other for a token that has ended",
            },
            Some(_) => Fate::Gap { from: expiration, until: retry },
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::situation::semantics;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// A token that lives for an hour from 0 and is refreshed at 40 minutes.
    fn object(provider: &str, more: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, uid: u, generation: 1}}
spec:
  provider: {provider}
  credential: {{seedSecretRef: {{name: s}}}}
  refresh: {{jitterPercent: 0, retry: {{initialDelay: 10s, maxDelay: 10m}}}}
  outputs: [{{secretName: o, opaque: {{}}}}]
{more}
  token: {{fingerprint: 'hmac:t', issuedTime: '1970-01-01T00:00:00Z', expirationTime: '1970-01-01T01:00:00Z'}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    const ACCESS: &str = "{jfrogAccess: {url: 'https://a.example.com'}}";
    const ECE: &str = "{elasticCloudEnterprise: {url: 'https://a.example.com'}}";
    const PLAIN: &str = "status:\n  nextRefreshTime: '1970-01-01T00:40:00Z'";

    fn of(object: &RefreshableToken, from: i64, minutes: u64) -> Fate {
        let semantics = object.spec.provider.as_ref().map(|provider| semantics(provider, object));
        fate(object, semantics, Outage { from: at(from), length: Duration::from_secs(60 * minutes) })
    }

    #[test]
    fn the_time_between_refresh_and_expiry_is_what_an_outage_may_take() {
        let object = object(ACCESS, PLAIN);
        assert_eq!(of(&object, 0, 40), Fate::Untouched { next: at(2400) });
        let short = of(&object, 0, 50);
        assert!(matches!(short, Fate::Survives { retry, spare: Some(_) } if retry >= at(3000) && retry < at(3600)), "{short:?}");
        let long = of(&object, 0, 120);
        assert!(
            matches!(long, Fate::Gap { from, until } if from == at(3600) && until >= at(7200) && until <= at(7800)),
            "{long:?}"
        );
        assert!(!long.survives() && short.survives());
    }

    #[test]
    fn refreshes_before_a_later_outage_are_taken_to_succeed() {
        let object = object(ACCESS, PLAIN);
        // A refresh every 40 minutes: the newest token before 10:00 is of 9:20 and due at 10:00.
        assert_eq!(of(&object, 35_990, 0), Fate::Untouched { next: at(36_000) });
        assert!(of(&object, 36_000 - 60, 20).survives());
        assert!(!of(&object, 36_000 - 60, 31).survives());
    }

    #[test]
    fn what_cannot_come_back_is_lost() {
        let renewing = of(&object(ECE, PLAIN), 0, 120);
        assert!(matches!(renewing, Fate::Lost { from, .. } if from == at(3600)), "{renewing:?}");
        // Nobody may read the provider that it names, which can be such a one.
        let mut unknown = object(ACCESS, PLAIN);
        unknown.spec.provider = None;
        assert!(matches!(of(&unknown, 0, 120), Fate::Lost { from, .. } if from == at(3600)));
        assert!(of(&unknown, 0, 50).survives());
        let mut ending = object(ACCESS, PLAIN);
        ending.status.as_mut().unwrap().token.as_mut().unwrap().refresh_token_expiration_time = Some(at(4000));
        assert!(matches!(of(&ending, 0, 120), Fate::Lost { from, .. } if from == at(4000)));
    }

    #[test]
    fn what_nothing_refreshes_does_not_survive() {
        let mut suspended = object(ACCESS, PLAIN);
        suspended.spec.suspend = Some(true);
        assert_eq!(of(&suspended, 0, 1), Fate::Idle { why: "suspended".to_owned(), ends: Some(at(3600)) });
        let stalled = "status:\n  conditions: [{type: Stalled, status: 'True', reason: ChainLost, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}]";
        assert!(of(&object(ACCESS, stalled), 0, 1).in_words().starts_with("stands still for ChainLost: it ends at"));
        let mut none = object(ACCESS, PLAIN);
        none.status = None;
        assert!(!of(&none, 0, 1).survives());
    }

    proptest! {
        /// A longer outage is never better, and one of half the time that is left is always survived.
        #[test]
        fn longer_is_never_better(from in 0_i64..200_000, length in 0_u64..300, more in 0_u64..300) {
            let object = object(ACCESS, PLAIN);
            let (short, long) = (of(&object, from, length), of(&object, from, length + more));
            prop_assert!(short.survives() || !long.survives(), "{short:?} {long:?}");
            prop_assert!(length >= 10 || short.survives(), "20 minutes are left at every refresh: {short:?}");
        }
    }
}
