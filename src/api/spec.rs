//! `RefreshableToken`: the refresh policy of one token.

use std::time::Duration;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value_rule::LONGEST;
use super::{OutputSpec, ProviderSpec, RefreshableTokenStatus, SpecDuration, http_rule, object_rule, value_rule};

/// The refresh policy of one token: where it comes from, when it is refreshed, and which Secrets it is written to.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "refreshabletoken.io",
    version = "v1alpha1",
    kind = "RefreshableToken",
    plural = "refreshabletokens",
    shortname = "rtok",
    category = "refreshabletokens",
    namespaced,
    status = "RefreshableTokenStatus",
    derive = "PartialEq",
    doc = "A token that is refreshed before it expires and written into Secrets. The refresh token is never lost and never spent twice.",
    validation = object_rule::short_name(),
    validation = object_rule::state_is_no_output(),
    validation = object_rule::state_is_no_seed(),
    validation = object_rule::state_is_no_client(),
    validation = object_rule::state_stays(),
    printcolumn(json_path = r#".status.conditions[?(@.type=="Ready")].status"#, name = "Ready", type_ = "string"),
    printcolumn(json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, name = "Reason", type_ = "string"),
    printcolumn(json_path = ".status.token.expirationTime", name = "Expires", type_ = "string"),
    printcolumn(json_path = ".status.lastRefreshTime", name = "Last Refresh", type_ = "date"),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date"),
    printcolumn(json_path = ".status.effective.provider", name = "Provider", type_ = "string", priority = 1),
    printcolumn(json_path = ".status.nextRefreshTime", name = "Next Refresh", type_ = "string", priority = 1),
    printcolumn(json_path = ".status.consecutiveFailures", name = "Failures", type_ = "integer", priority = 1),
    printcolumn(json_path = ".spec.suspend", name = "Suspended", type_ = "boolean", priority = 1)
)]
#[x_kube(
    validation = object_rule::seed_is_no_output(),
    validation = object_rule::client_is_no_output(),
    validation = object_rule::distribution_lifetime(),
    validation = object_rule::lifetime_asked(),
    validation = object_rule::scope_asked(),
    validation = object_rule::access_asked(),
    validation = object_rule::audience_asked(),
    validation = object_rule::reference_token_asked(),
    validation = object_rule::refresh_token_exists(),
    validation = object_rule::grant_refreshes(),
    validation = object_rule::revocation_url(),
    validation = http_rule::refresh_token_exists(),
    validation = http_rule::revoke()
)]
pub struct RefreshableTokenSpec {
    /// true: no call to the token API and no write to a Secret; expiry is still reported. For maintenance, and to stop before
    /// moving a token elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// The token API that refreshes this token. Exactly one key.
    pub provider: ProviderSpec,
    /// What the chain of tokens begins with.
    pub credential: Credential,
    /// Name of the Secret in which the operator keeps the newest pair. Never mount or edit it. Default: the object's name and
    /// `-state`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub state_secret_name: Option<String>,
    /// What to ask the API for. The API may give something else; status says what it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestSpec>,
    /// When to refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshSpec>,
    /// The Secrets that workloads mount, 1 to 20.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["secretName".into()]))]
    pub outputs: Vec<OutputSpec>,
    /// What becomes of the chain when this object is deleted. `Retain` (default): nothing; the state Secret stays, and the tokens
    /// stay valid. `Delete`: the state Secret is deleted. `Revoke`: the tokens are revoked at the token API too; if that does not
    /// come about within a minute, the deletion goes on and an event says so. The output Secrets always go with the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

impl RefreshableTokenSpec {
    /// What becomes of the chain, default filled in.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// What is asked for, default (nothing) filled in.
    #[must_use]
    pub fn request(&self) -> RequestSpec {
        self.request.clone().unwrap_or_default()
    }

    /// When to refresh, default filled in.
    #[must_use]
    pub fn refresh(&self) -> RefreshSpec {
        self.refresh.unwrap_or_default()
    }

    /// Whether the object is suspended.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Name of the state Secret of the object called `name`.
    #[must_use]
    pub fn state_secret_name(&self, name: &str) -> String {
        self.state_secret_name.clone().unwrap_or_else(|| format!("{name}-state"))
    }
}

/// What becomes of a chain when its object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Nothing.
    #[default]
    Retain,
    /// The state Secret is deleted.
    Delete,
    /// The tokens are revoked and the state Secret is deleted.
    Revoke,
}

/// What a chain of tokens begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The Secret with the first tokens, in the object's namespace and with the label `refreshabletoken.io/role: seed`. It is
    /// read, never written, and counts once: the operator continues from its own state. Put a new token into it to begin a new
    /// chain.
    pub seed_secret_ref: SeedSecretRef,
}

/// A Secret in the object's namespace, labelled `refreshabletoken.io/role: seed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = object_rule::keys_differ(("accessTokenKey", "access_token"), ("refreshTokenKey", "refresh_token")))]
pub struct SeedSecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
    /// Key of the access token. Default: `access_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub access_token_key: Option<String>,
    /// Key of the refresh token. Default: `refresh_token`. Not read for elasticCloudEnterprise, for oauth2 with
    /// `grant: ClientCredentials`, and for http with rotation RenewsItself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub refresh_token_key: Option<String>,
    /// Key of the user name for Basic authentication (jfrogAccess as a fall-back, jfrogDistribution always). Default: `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub username_key: Option<String>,
    /// Key of the password for Basic authentication. Default: `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub password_key: Option<String>,
}

/// What to ask the API for in every refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestSpec {
    /// Lifetime of the access token (jfrogAccess, jfrogDistribution: `expires_in`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = value_rule::duration("1s", LONGEST))]
    pub lifetime: Option<SpecDuration>,
    /// Scope (jfrogAccess, oauth2: `scope`). Never wider than the first token's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(validation = value_rule::one_line())]
    pub scope: Option<String>,
    /// Audience (jfrogAccess, oauth2 with `grant: ClientCredentials`: `audience`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub audience: Option<String>,
    /// User that the token is for (jfrogAccess: `username`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub username: Option<String>,
    /// Free text that JFrog shows beside the token (jfrogAccess: `description`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = value_rule::one_line())]
    pub description: Option<String>,
    /// Ask for a reference token too, in every refresh (jfrogAccess: `include_reference_token`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_reference_token: Option<bool>,
    /// Project of the token (jfrogAccess: `project_key`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = value_rule::one_line())]
    pub project_key: Option<String>,
}

/// When to refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
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
    /// How refreshes that failed without spending anything are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
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
