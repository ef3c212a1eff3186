//! `RefreshableToken`: the refresh policy of one token.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exact::exact;
use super::value_rule::LONGEST;
use super::{
    OutputSpec, ProviderRef, ProviderSpec, RefreshSpec, RefreshableTokenStatus, RolloutSpec, SpecDuration, http_rule,
    object_rule, value_rule,
};

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
    validation = object_rule::one_provider(),
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
    validation = object_rule::service_account_is_shown(),
    validation = object_rule::who_bootstraps(),
    validation = object_rule::bootstrap_grant(),
    validation = object_rule::recovery_bootstraps(),
    validation = object_rule::revocation_url(),
    validation = object_rule::previous_before_revoked(),
    validation = object_rule::trial_exists(),
    validation = object_rule::retirement_exists(),
    validation = http_rule::refresh_token_exists(),
    validation = http_rule::revoke()
)]
pub struct RefreshableTokenSpec {
    /// true: no call to the token API and no write to a Secret; expiry is still reported. For maintenance, and to stop before
    /// moving a token elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// The token API that refreshes this token. Exactly one key. Either this or `providerRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderSpec>,
    /// A `TokenProvider` or `ClusterTokenProvider` that names the token API. Either this or `provider`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<ProviderRef>,
    /// What the chain of tokens begins with.
    pub credential: Credential,
    /// What is done about a chain that is over, or a token that does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoverySpec>,
    /// Name of the Secret in which the operator keeps the newest pair. Never mount or edit it. Default: the object's name and
    /// `-state`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub state_secret_name: Option<String>,
    /// What to ask the API for. The API may give something else; status says what it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RequestSpec>>,
    /// When to refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Box<RefreshSpec>>,
    /// The Secrets that workloads mount, 1 to 20.
    #[serde(deserialize_with = "exact")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["secretName".into()]))]
    pub outputs: Vec<OutputSpec>,
    /// Workloads that are restarted, as by `kubectl rollout restart`, once for each change of the outputs' contents: for programs
    /// that read a token at their start only (environment variables, `subPath`). A workload that was created after the change is
    /// left alone. A target that cannot be restarted is told in status.rollouts and by an event, and holds up no refresh. The
    /// operator must be started with `--rollout` (chart: rollout.enabled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Box<RolloutSpec>>,
    /// What becomes of the chain when this object is deleted. `Retain` (default): nothing; the state Secret stays, and the tokens
    /// stay valid. `Delete`: the state Secret is deleted. `Revoke`: the tokens are revoked at the token API too; if that does not
    /// come about within a minute, the deletion goes on and an event says so. The output Secrets go as their creationPolicy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What the name of a state Secret ends with, where the spec does not name it.
const STATE_SUFFIX: &str = "-state";

impl RefreshableTokenSpec {
    /// What becomes of the chain, default filled in.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// What is asked for, default (nothing) filled in.
    #[must_use]
    pub fn request(&self) -> RequestSpec {
        self.request.as_deref().cloned().unwrap_or_default()
    }

    /// When to refresh, default filled in.
    #[must_use]
    pub fn refresh(&self) -> RefreshSpec {
        self.refresh.as_deref().cloned().unwrap_or_default()
    }

    /// Whether a new chain is begun where one is lost.
    #[must_use]
    pub fn recovers(&self) -> bool {
        let wanted = self.recovery.is_some_and(|recovery| recovery.on_lost_chain == Some(OnLostChain::Bootstrap));
        wanted && self.credential.bootstrap.is_some()
    }

    /// Whether a new token is tried before it is written into Secrets.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.recovery.and_then(|recovery| recovery.verify_before_publish).unwrap_or(false)
    }

    /// Whether the object is suspended.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Name of the state Secret of the object called `name`.
    #[must_use]
    pub fn state_secret_name(&self, name: &str) -> String {
        self.state_secret_name.clone().unwrap_or_else(|| format!("{name}{STATE_SUFFIX}"))
    }

    /// Whether that is the state Secret of the object called `name`.
    #[must_use]
    pub fn has_state_secret(&self, name: &str, secret: &str) -> bool {
        match &self.state_secret_name {
            Some(own) => own == secret,
            None => secret.strip_suffix(STATE_SUFFIX) == Some(name),
        }
    }
}

/// What becomes of the chain when this object is deleted. `Retain` (default): nothing; the state Secret stays, and the tokens stay
/// valid. `Delete`: the state Secret is deleted. `Revoke`: the tokens are revoked at the token API too; if that does not come about
/// within a minute, the deletion goes on and an event says so. The output Secrets go as their creationPolicy says.
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

/// What is done about a chain that is over, or a token that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoverySpec {
    /// When the chain is lost (`ChainLost`, `StateLost`): `WaitForSeed` (default): a person puts new tokens into the seed Secret.
    /// `Bootstrap`: a new chain is begun with the credentials in the seed Secret, as `credential.bootstrap` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_lost_chain: Option<OnLostChain>,
    /// true: before a new token is written into Secrets, the API has to accept it in a harmless call; until then the Secrets keep what
    /// they hold, and `SecretsSynced` says so. It needs an API with such a call: see docs/providers.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_before_publish: Option<bool>,
}

/// When the chain is lost (`ChainLost`, `StateLost`): `WaitForSeed` (default): a person puts new tokens into the seed Secret.
/// `Bootstrap`: a new chain is begun with the credentials in the seed Secret, as `credential.bootstrap` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnLostChain {
    /// A person puts new tokens into the seed Secret.
    #[default]
    WaitForSeed,
    /// A new chain is begun with the credentials in the seed Secret.
    Bootstrap,
}

/// `Create`: where the seed Secret holds no refresh token (elasticCloudEnterprise: no access token), the first tokens are asked for
/// with its credentials. jfrogAccess: a refreshable token is created with `access_token` (such as an identity token), or with
/// `username` and `password`. elasticCloudEnterprise: a login with `username` and `password`. oauth2: as
/// `provider.oauth2.bootstrapGrant` says, with the client of every refresh. Without it: a person puts them into the seed Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Bootstrap {
    /// The first tokens are asked for with the credentials in the seed Secret.
    Create,
}

/// What a chain of tokens begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The Secret with the first tokens, in the object's namespace and with the label `refreshabletoken.io/role: seed`. It is
    /// read, never written, and counts once: the operator continues from its own state. Put a new token into it to begin a new
    /// chain.
    pub seed_secret_ref: SeedSecretRef,
    /// With `grant: TokenExchange` or `JWTBearer`, or `bootstrap` with such a `bootstrapGrant`: whose token is shown, in place of
    /// `subject_token` of the seed Secret. Kubernetes is asked for a new one for each request that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<Box<ServiceAccountRef>>,
    /// `Create`: where the seed Secret holds no refresh token (elasticCloudEnterprise: no access token), the first tokens are asked
    /// for with its credentials. jfrogAccess: a refreshable token is created with `access_token` (such as an identity token), or with
    /// `username` and `password`. elasticCloudEnterprise: a login with `username` and `password`. oauth2: as
    /// `provider.oauth2.bootstrapGrant` says, with the client of every refresh. Without it: a person puts them into the seed Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
}

/// A ServiceAccount in the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Name of the ServiceAccount.
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::name())]
    pub name: String,
    /// Whom its token is for (`aud`): what the authorization server calls itself, such as `https://idp.example.com`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = value_rule::one_line())]
    pub audience: String,
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
    /// Key of the refresh token. Default: `refresh_token`. Read for oauth2 with
    /// `grant: RefreshToken` only, and not for elasticCloudEnterprise and for http with rotation RenewsItself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub refresh_token_key: Option<String>,
    /// Key of the user name for Basic authentication (jfrogAccess as a fall-back, jfrogDistribution always), and for oauth2 with
    /// `bootstrapGrant: Password`. Default: `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = value_rule::key())]
    pub username_key: Option<String>,
    /// Key of the password that belongs to the user name. Default: `password`.
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
    /// Audience (jfrogAccess, oauth2 with `grant: ClientCredentials` or `TokenExchange`: `audience`). With `bootstrapGrant` it is
    /// sent with the request for first tokens, and not with a refresh.
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
