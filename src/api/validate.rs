//! The CRD's rules once more in code: a stored object can be older than a rule, and names reach URL paths.

mod connection;
mod http;
mod oauth2;
mod output;
mod rollout;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::name::{is_key, is_name};
use super::{
    DeletionPolicy, NoWindow, OnLostChain, Opaque, ProviderSpec, RefreshWindow, RefreshableTokenSpec, RequestSpec, SpecDuration,
    Window,
};
use crate::provider::Wish;

pub(crate) use http::check as check_http;
pub(crate) use oauth2::check as check_oauth2;

/// Longest duration in seconds: 99999h, as [`SpecDuration`] says.
const LONGEST: u64 = 99_999 * 3600;
const JFROG_ONLY: &str = "can be asked for with jfrogAccess only";

/// Why a spec is refused: the field and what to write instead. Holds nothing of the field's value,
/// a template aside, whose words are quoted.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{field}: {what}")]
pub struct Invalid {
    /// Path of the field from the object's root.
    pub field: String,
    /// What is wrong and what to write instead.
    pub what: Cow<'static, str>,
}

/// Checks the spec of the object called `name`.
///
/// Of addresses only the form is checked here; whether one may be called is told by the endpoint rules of the operator, which
/// see what a host resolves to.
pub fn validate(name: &str, spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let one = spec.provider.is_some() != spec.provider_ref.is_some();
    require(one, "spec.provider", "must have exactly one of provider and providerRef")?;
    if let Some(reference) = &spec.provider_ref {
        check_name("spec.providerRef.name", &reference.name)?;
    }
    match &spec.provider {
        Some(provider) => validate_with(name, spec, provider),
        None => alone(name, spec),
    }
}

/// Checks the spec of the object called `name` together with the provider that it uses: its own, or that of its `providerRef`.
pub fn validate_with(name: &str, spec: &RefreshableTokenSpec, provider: &ProviderSpec) -> Result<(), Invalid> {
    alone(name, spec)?;
    validate_provider(provider)?;
    let client = provider.client_secret_ref().map(|client| client.name.as_str()).filter(|_| spec.provider.is_some());
    let what = "must not be the state Secret";
    require(client != Some(&spec.state_secret_name(name)), "spec.provider.oauth2.clientSecretRef.name", what)?;
    deletion(spec, provider)?;
    request(spec, provider)?;
    output::with_provider(spec, provider)
}

/// What holds whatever the provider is.
fn alone(name: &str, spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let seed = &spec.credential.seed_secret_ref;
    let state = spec.state_secret_name(name);
    require(name.len() <= 240, "metadata.name", "must have at most 240 characters")?;
    check_name("spec.credential.seedSecretRef.name", &seed.name)?;
    check_name("spec.stateSecretName", &state)?;
    if let Some(account) = &spec.credential.service_account_ref {
        check_name("spec.credential.serviceAccountRef.name", &account.name)?;
        one_line("spec.credential.serviceAccountRef.audience", Some(&account.audience), 1024)?;
    }
    for (field, key) in [
        ("accessTokenKey", &seed.access_token_key),
        ("refreshTokenKey", &seed.refresh_token_key),
        ("usernameKey", &seed.username_key),
        ("passwordKey", &seed.password_key),
    ] {
        check_key(&format!("spec.credential.seedSecretRef.{field}"), key.as_deref())?;
    }
    let keys = (&seed.access_token_key, "access_token", &seed.refresh_token_key, "refresh_token");
    require(differ(keys), "spec.credential.seedSecretRef", "accessTokenKey and refreshTokenKey must differ")?;
    let wanted = spec.recovery.is_some_and(|recovery| recovery.on_lost_chain == Some(OnLostChain::Bootstrap));
    let what = "must be set with recovery.onLostChain: Bootstrap";
    require(!wanted || spec.credential.bootstrap.is_some(), "spec.credential.bootstrap", what)?;
    require(seed.name != state, "spec.stateSecretName", "the seed must not be the state Secret")?;
    wishes(&spec.request())?;
    refresh(spec)?;
    output::outputs(spec, &state)?;
    rollout::rollout(spec)
}

fn require(holds: bool, field: &str, what: &'static str) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid { field: field.to_owned(), what: what.into() }) }
}

fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    require(is_name(name), field, "must be a lower case RFC 1123 subdomain of at most 253 characters")
}

fn check_key(field: &str, key: Option<&str>) -> Result<(), Invalid> {
    let what = "must be a Secret key: letters, digits, '-', '_' and '.', not beginning with '..', at most 253 characters";
    require(key.is_none_or(is_key), field, what)
}

/// Whether two keys, each with its default, are not the same.
fn differ((one, one_default, other, other_default): (&Option<String>, &str, &Option<String>, &str)) -> bool {
    one.as_deref().unwrap_or(one_default) != other.as_deref().unwrap_or(other_default)
}

fn one_line(field: &str, text: Option<&str>, most: usize) -> Result<(), Invalid> {
    let fits = |text: &str| (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    require(text.is_none_or(fits), field, "must be one line without control characters, neither empty nor too long")
}

/// Whether a duration, if given, is within these seconds.
fn within(duration: Option<SpecDuration>, seconds: RangeInclusive<u64>) -> bool {
    duration.is_none_or(|duration| seconds.contains(&duration.get().as_secs()))
}

/// The form of an address. `query` tells whether it may have one: a base URL may not, because a path is appended to it.
fn check_url(field: &str, url: &str, most: usize, query: bool) -> Result<(), Invalid> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let host = !authority.is_empty() && !authority.contains('@') && !authority.ends_with([':', '.']);
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#') && (query || !url.contains('?'));
    let what = "must be an absolute URL of visible ASCII characters without user information, fragment and backslash; a base URL \
                also without query";
    require(host && plain && url.len() <= most, field, what)
}

/// The rules of an API below a base URL.
pub(crate) fn check_base_url(name: &str, url: &str) -> Result<(), Invalid> {
    check_url(&format!("spec.provider.{name}.url"), url, 512, false)
}

/// Checks a provider, wherever it stands: in the spec of an object of any of the three kinds.
pub fn validate_provider(spec: &ProviderSpec) -> Result<(), Invalid> {
    spec.api().check()?;
    connection::check(spec)
}

/// What is asked for, whoever is asked.
fn wishes(wish: &RequestSpec) -> Result<(), Invalid> {
    require(within(wish.lifetime, 1..=LONGEST), "spec.request.lifetime", "must be from 1s to 99999h")?;
    one_line("spec.request.scope", wish.scope.as_deref(), 500)?;
    one_line("spec.request.audience", wish.audience.as_deref(), 255)?;
    one_line("spec.request.username", wish.username.as_deref(), 255)?;
    one_line("spec.request.description", wish.description.as_deref(), 1024)?;
    one_line("spec.request.projectKey", wish.project_key.as_deref(), 255)
}

/// What only some can be asked for.
fn request(spec: &RefreshableTokenSpec, provider: &ProviderSpec) -> Result<(), Invalid> {
    let wish = spec.request();
    let api = provider.api();
    let bootstraps = spec.credential.bootstrap.is_some();
    require(
        !api.needs_lifetime() || wish.lifetime.is_some(),
        "spec.request.lifetime",
        "is required with jfrogDistribution: without it the API gives a token that never expires",
    )?;
    for (asked, wished, field, what) in [
        (
            Wish::Lifetime,
            wish.lifetime.is_some(),
            "spec.request.lifetime",
            "can be asked for with jfrogAccess and jfrogDistribution only",
        ),
        (Wish::Scope, wish.scope.is_some(), "spec.request.scope", "can be asked for with jfrogAccess and oauth2 only"),
        (
            Wish::Audience,
            wish.audience.is_some(),
            "spec.request.audience",
            "can be asked for with jfrogAccess and with oauth2 with grant: ClientCredentials or TokenExchange only, and for first \
             tokens by any bootstrapGrant but JWTBearer",
        ),
        (
            Wish::ServiceAccount,
            spec.credential.service_account_ref.is_some(),
            "spec.credential.serviceAccountRef",
            "belongs to oauth2 with grant: TokenExchange or JWTBearer, and to bootstrap with such a bootstrapGrant",
        ),
        (
            Wish::FirstTokens,
            bootstraps,
            "spec.credential.bootstrap",
            "belongs to jfrogAccess, elasticCloudEnterprise and oauth2 with grant: RefreshToken",
        ),
        (
            Wish::Trial,
            spec.verifies(),
            "spec.recovery.verifyBeforePublish",
            "needs a call that tries a token: jfrogAccess, elasticCloudEnterprise, oauth2 with introspectionURL or issuerURL, or http with \
             verify",
        ),
        (
            Wish::Retirement,
            spec.refresh().revoke_replaced_after.is_some(),
            "spec.refresh.revokeReplacedAfter",
            "needs an API that revokes a single access token: jfrogAccess, or oauth2 with revocationURL or issuerURL (not Hydra)",
        ),
        (Wish::JfrogDetails, wish.username.is_some(), "spec.request.username", JFROG_ONLY),
        (Wish::JfrogDetails, wish.description.is_some(), "spec.request.description", JFROG_ONLY),
        (Wish::JfrogDetails, wish.project_key.is_some(), "spec.request.projectKey", JFROG_ONLY),
        (Wish::JfrogDetails, wish.include_reference_token.is_some(), "spec.request.includeReferenceToken", JFROG_ONLY),
    ] {
        let takes = api.takes(asked) || bootstraps && api.takes_at_first(asked);
        require(!wished || takes, field, what)?;
    }
    let lacks = api.first_tokens_lack().filter(|_| bootstraps);
    require(lacks.is_none(), lacks.unwrap_or_default(), "must be set with credential.bootstrap")
}

fn deletion(spec: &RefreshableTokenSpec, provider: &ProviderSpec) -> Result<(), Invalid> {
    let lacks = provider.api().revocation_lacks().filter(|_| spec.deletion_policy() == DeletionPolicy::Revoke);
    lacks.map_or(Ok(()), |field| require(false, field, "must be set with deletionPolicy: Revoke"))
}

fn refresh(spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let refresh = spec.refresh();
    let one = refresh.before.is_none() || refresh.before_percent.is_none();
    require(one, "spec.refresh", "set before or beforePercent, not both")?;
    require(within(refresh.before, 1..=LONGEST), "spec.refresh.before", "must be from 1s to 99999h")?;
    let percent = refresh.before_percent.is_none_or(|percent| (1..=66).contains(&percent));
    require(percent, "spec.refresh.beforePercent", "must be 1 to 66")?;
    let jitter = refresh.jitter_percent.is_none_or(|percent| (0..=50).contains(&percent));
    require(jitter, "spec.refresh.jitterPercent", "must be 0 to 50")?;
    require(within(refresh.min_interval, 60..=LONGEST), "spec.refresh.minInterval", "must be from 1m to 99999h")?;
    require(within(refresh.max_interval, 60..=LONGEST), "spec.refresh.maxInterval", "must be from 1m to 99999h")?;
    let order = refresh.min_interval() <= refresh.max_interval();
    require(order, "spec.refresh.maxInterval", "must not be below minInterval (default 1m)")?;
    let retry = refresh.retry.unwrap_or_default();
    require(within(retry.initial_delay, 1..=3600), "spec.refresh.retry.initialDelay", "must be from 1s to 1h")?;
    require(within(retry.max_delay, 1..=86_400), "spec.refresh.retry.maxDelay", "must be from 1s to 24h")?;
    let order = refresh.initial_delay() <= refresh.max_delay();
    require(order, "spec.refresh.retry", "initialDelay (default 5s) must not be above maxDelay (default 10m)")?;
    let revoked = refresh.revoke_replaced_after;
    require(within(revoked, 1..=LONGEST), "spec.refresh.revokeReplacedAfter", "must be from 1s to 99999h")?;
    let shown = spec.outputs.iter().filter_map(|output| output.opaque.as_ref());
    let in_time = |opaque: &Opaque, revoked: SpecDuration| {
        let asked = opaque.previous_access_token_key.is_some();
        !asked || opaque.previous_access_token_grace().is_some_and(|grace| grace <= revoked.get())
    };
    let what = "must not be below previousAccessTokenGrace of an output, which must be set then";
    let holds = revoked.is_none_or(|revoked| shown.into_iter().all(|opaque| in_time(opaque, revoked)));
    require(holds, "spec.refresh.revokeReplacedAfter", what)?;
    windows(&refresh.windows)
}

fn windows(windows: &[RefreshWindow]) -> Result<(), Invalid> {
    require(windows.len() <= 10, "spec.refresh.windows", "must have at most 10 entries")?;
    for (index, window) in windows.iter().enumerate() {
        let field = format!("spec.refresh.windows[{index}]");
        let lasts = within(Some(window.duration), 60..=168 * 3600);
        require(lasts, &format!("{field}.duration"), "must be from 1m to 168h")?;
        Window::read(window).map_err(|why| {
            let part = match why {
                NoWindow::Cron | NoWindow::Never => "cron",
                NoWindow::Zone => "timeZone",
            };
            Invalid { field: format!("{field}.{part}"), what: why.to_string().into() }
        })?;
    }
    Ok(())
}
