//! `spec.refresh`: when a token is refreshed, and how a refresh that failed is repeated.

use std::time::Duration;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::value_rule::LONGEST;
use super::{RefreshWindow, SpecDuration, object_rule, value_rule};

/// When to refresh.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = object_rule::one_before(),
    validation = value_rule::ordered(("minInterval", "1m"), ("maxInterval", "24h"))
)]
pub struct RefreshSpec {
    /// How long before its expiry a token is refreshed. Default: the last third of its real lifetime. More than two thirds of the
    /// real lifetime counts as two thirds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", LONGEST))]
    pub before: Option<SpecDuration>,
    /// The same in percent of the real lifetime, 1 to 66.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 66))]
    pub before_percent: Option<i32>,
    /// How much earlier at most a refresh may be, in percent of the time until it is due, so that many tokens do not refresh at
    /// once. Fixed for an object. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub jitter_percent: Option<i32>,
    /// Shortest time between two scheduled refreshes. Default: 1m. A token that lives less than three times as long is refreshed
    /// after two thirds of its own lifetime instead, at most every 2 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1m", LONGEST))]
    pub min_interval: Option<SpecDuration>,
    /// Time between two refreshes when neither the answer nor the token names an expiry. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1m", LONGEST))]
    pub max_interval: Option<SpecDuration>,
    /// How long after its replacement the old access token is revoked at the token API, if it lives that long: long enough for each
    /// workload to have read the new one. Never before every Secret holds that. It needs an API that revokes a single access token:
    /// see docs/providers.md. Without it an old token is left to its expiry; so is one that is replaced twice within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", LONGEST))]
    pub revoke_replaced_after: Option<SpecDuration>,
    /// How refreshes that failed without spending anything are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// Times in which scheduled refreshes happen, at most 10. One that is due waits for the next of them, if that opens before only
    /// a sixth of the token's lifetime, or half of `before` if that is less, is left; otherwise it happens as if there were no
    /// windows. Without a known expiry it happens in the last third of maxInterval instead of at its end. Refreshes that people
    /// ask for, repeats of those that failed, and repairs wait for none; nor do tokens that live for less than three times
    /// minInterval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub windows: Vec<RefreshWindow>,
}

/// How refreshes that failed without spending anything are repeated: after initialDelay, then twice as long each time up to
/// maxDelay, and sooner when the token's remaining life is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = value_rule::ordered(("initialDelay", "5s"), ("maxDelay", "10m")))]
pub struct RetrySpec {
    /// Delay after the first failure. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", "1h"))]
    pub initial_delay: Option<SpecDuration>,
    /// Longest delay. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", "24h"))]
    pub max_delay: Option<SpecDuration>,
}

impl RefreshSpec {
    /// Shortest time between two scheduled refreshes. The default is our choice: no token API expects calls more often.
    #[must_use]
    pub fn min_interval(&self) -> Duration {
        self.min_interval.map_or(Duration::from_secs(60), SpecDuration::get)
    }

    /// Time between refreshes without a known expiry. The default is our choice: once a day is seen by the people on duty.
    #[must_use]
    pub fn max_interval(&self) -> Duration {
        self.max_interval.map_or(Duration::from_secs(24 * 3600), SpecDuration::get)
    }

    /// Jitter in percent, `0..=50`.
    #[must_use]
    pub fn jitter_percent(&self) -> u32 {
        self.jitter_percent.and_then(|percent| u32::try_from(percent).ok()).map_or(10, |percent| percent.min(50))
    }

    /// Delay after the first failure.
    #[must_use]
    pub fn initial_delay(&self) -> Duration {
        self.retry.and_then(|retry| retry.initial_delay).map_or(Duration::from_secs(5), SpecDuration::get)
    }

    /// Longest delay between two tries.
    #[must_use]
    pub fn max_delay(&self) -> Duration {
        self.retry.and_then(|retry| retry.max_delay).map_or(Duration::from_secs(600), SpecDuration::get)
    }
}
