//! The Kubernetes kinds: what users write, what the operator reports, and the rules that hold for both.
//!
//! Rules stand in the CRD as CEL (in the attributes here) and again as code in [`validate`], because stored objects can be
//! older than a rule. Nothing here decides or acts. Token APIs below a base URL bring their part of the manifest themselves, see
//! [`crate::provider`]; [`ProviderSpec`] is the one place that knows them all.

pub mod condition;
mod connection;
mod cron;
mod duration;
mod exact;
mod file;
mod http;
mod http_rule;
mod http_step_rule;
pub mod name;
mod oauth2;
pub(crate) mod object_rule;
mod output;
mod provider;
mod refresh;
mod rollout;
mod schema;
mod seed;
mod spec;
mod status;
pub mod template;
mod token_provider;
mod validate;
pub(crate) mod value_rule;
mod window;

pub use condition::{Condition, ConditionStatus, ConditionType, Reason};
pub use connection::{CaBundleKind, CaBundleRef, ClientCertificateRef, Proxy, ProxyCredentialsRef, Timeouts, Tls};
pub use duration::{DURATION_PATTERN, NotADuration, SpecDuration};
pub use file::{GitCredentials, MavenSettings, Netrc, Npmrc, OutputFile, PipConf, plain_in_maven, plain_in_netrc};
pub use http::{
    Http, HttpAuth, HttpAuthHeader, HttpBasic, HttpCheck, HttpClass, HttpEncoding, HttpError, HttpExpiry, HttpExpiryFormat,
    HttpField, HttpFrom, HttpHeader, HttpJsonType, HttpMethod, HttpMissing, HttpProbe, HttpReply, HttpRequest, HttpResult,
    HttpRevoke, HttpRotation, HttpSemantics, HttpSign, HttpSource, HttpStatus, HttpStep, HttpSuccess, HttpToken, HttpVerify,
};
pub use oauth2::{BootstrapGrant, ClientAuthentication, ClientSecretRef, Grant, Oauth2, Preset, Rotation};
pub use output::{BasicAuth, CreationPolicy, DockerConfigJson, Opaque, OutputMetadata, OutputSpec};
pub use provider::ProviderSpec;
pub use refresh::{RefreshSpec, RetrySpec};
pub use rollout::{RolloutKind, RolloutSelector, RolloutSpec, RolloutTarget, restarted_for_annotation};
pub use schema::{crd, crds};
pub use seed::CLIENT_KEYS;
pub use spec::{
    Bootstrap, Credential, DeletionPolicy, OnLostChain, RecoverySpec, RefreshableToken, RefreshableTokenSpec, RequestSpec,
    SeedSecretRef, ServiceAccountRef,
};
pub use status::{
    AttemptState, AttemptStatus, EffectiveStatus, OutputStatus, PreviousTokenStatus, RefreshableTokenStatus, RolloutStatus,
    SeedStatus, TokenStatus,
};
pub use token_provider::{
    AllowedNamespaces, ClusterTokenProvider, ClusterTokenProviderSpec, Limits, ProviderKind, ProviderRef, TokenProvider,
    TokenProviderSpec, TokenProviderStatus,
};
pub use validate::{Invalid, validate, validate_provider, validate_with};
pub(crate) use validate::{check_base_url, check_http, check_oauth2};
pub use window::{NoWindow, RefreshWindow, Window};

/// The API group.
pub const GROUP: &str = "refreshabletoken.io";
/// Label on every Secret that takes part: what it is for (`seed`, `state`, `output`, or `merged` for a Secret of somebody else
/// that the operator writes keys into).
pub const ROLE_LABEL: &str = "refreshabletoken.io/role";
/// Label on state and output Secrets: the name of their `RefreshableToken`.
pub const NAME_LABEL: &str = "refreshabletoken.io/name";
/// Annotation of a `RefreshableToken`: a new value asks for one refresh.
pub const REFRESH_REQUESTED_ANNOTATION: &str = "refreshabletoken.io/refresh-requested-at";
/// Annotation of an output Secret: keyed hash of the contents that were last written.
pub const CONTENT_HASH_ANNOTATION: &str = "refreshabletoken.io/content-hash";
/// Annotation of an output Secret without owner reference (`Orphan`, `Merge`): the name of the `RefreshableToken` that writes it.
/// Not the label, which holds 63 characters only.
pub const WRITER_ANNOTATION: &str = "refreshabletoken.io/writer";
/// Annotation of a Lease: the replica that wants it, because its holder has more than it.
pub const WANTED_BY_ANNOTATION: &str = "refreshabletoken.io/wanted-by";
/// Label of the Leases of several shards: how many there are.
pub const SHARDS_LABEL: &str = "refreshabletoken.io/shards";
/// What annotations of a restarted workload's Pod template begin with; see [`restarted_for_annotation`].
pub const RESTARTED_FOR: &str = "restarted-for.refreshabletoken.io/";
/// Finalizer of a state Secret while an exchange is open.
pub const CLAIM_FINALIZER: &str = "refreshabletoken.io/open-claim";
/// Finalizer of a `RefreshableToken` while its deletion has work to do: `deletionPolicy` `Delete` or `Revoke`.
pub const CLEANUP_FINALIZER: &str = "refreshabletoken.io/cleanup";
/// Field manager of output Secrets.
pub const OUTPUT_MANAGER: &str = "refreshable-token-operator";
/// Field manager of status and state.
pub const STATUS_MANAGER: &str = "refreshable-token-operator-status";
