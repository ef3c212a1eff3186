//! The CRD's rules once more in code: a stored object can be older than a rule, and names reach URL paths.

mod http;
mod output;
mod rollout;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::name::{is_key, is_name};
use super::{
    ClientAuthentication, DeletionPolicy, Grant, NoWindow, Oauth2, OnLostChain, ProviderSpec, RefreshWindow,
    RefreshableTokenSpec, RequestSpec, Rotation, SpecDuration, Window,
};

/// Longest duration in seconds: 99999h, as [`SpecDuration`] says.
const LONGEST: u64 = 99_999 * 3600;

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
    let wanted = spec.recovery.is_some_and(|recovery| recovery.on_lost_chain == OnLostChain::Bootstrap);
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

/// Checks a provider, wherever it stands: in the spec of an object of any of the three kinds.
pub fn validate_provider(spec: &ProviderSpec) -> Result<(), Invalid> {
    match spec {
        ProviderSpec::Oauth2(oauth2) => {
            let named = oauth2.token_url.is_empty();
            let what = "must have exactly one of tokenURL and issuerURL";
            require(named == oauth2.issuer_url.is_some(), "spec.provider.oauth2", what)?;
            match &oauth2.issuer_url {
                Some(issuer) => check_url("spec.provider.oauth2.issuerURL", issuer, 1024, true)?,
                None => check_url("spec.provider.oauth2.tokenURL", &oauth2.token_url, 1024, true)?,
            }
            if let Some(url) = &oauth2.revocation_url {
                check_url("spec.provider.oauth2.revocationURL", url, 1024, true)?;
            }
        }
        ProviderSpec::Http(spec) => http::check(spec)?,
        ProviderSpec::JfrogAccess(_) | ProviderSpec::JfrogDistribution(_) | ProviderSpec::ElasticCloudEnterprise(_) => {
            check_url(&format!("spec.provider.{}.url", spec.name()), spec.url(), 512, false)?;
        }
    }
    if let Some(tls) = spec.tls() {
        let (bundle, certificate) = (tls.ca_bundle_ref.as_ref(), tls.client_certificate_ref.as_ref());
        require(bundle.is_some() || certificate.is_some(), "spec.provider.tls", "must have caBundleRef or clientCertificateRef")?;
        if let Some(bundle) = bundle {
            check_name("spec.provider.tls.caBundleRef.name", &bundle.name)?;
            check_key("spec.provider.tls.caBundleRef.key", bundle.key.as_deref())?;
        }
        if let Some(certificate) = certificate {
            check_name("spec.provider.tls.clientCertificateRef.name", &certificate.name)?;
        }
    }
    let timeouts = spec.timeouts();
    let limits = within(timeouts.connect, 1..=30) && within(timeouts.request, 1..=60);
    require(limits, "spec.provider.timeouts", "connect must be from 1s to 30s and request from 1s to 60s")?;
    if let Some(client) = spec.client_secret_ref() {
        check_name("spec.provider.oauth2.clientSecretRef.name", &client.name)?;
        check_key("spec.provider.oauth2.clientSecretRef.clientIDKey", client.client_id_key.as_deref())?;
        check_key("spec.provider.oauth2.clientSecretRef.clientSecretKey", client.client_secret_key.as_deref())?;
        check_key("spec.provider.oauth2.clientSecretRef.privateKeyKey", client.private_key_key.as_deref())?;
        check_key("spec.provider.oauth2.clientSecretRef.keyIDKey", client.key_id_key.as_deref())?;
        let keys = BTreeSet::from(client.keys());
        let what = "clientIDKey, clientSecretKey, privateKeyKey and keyIDKey must differ from each other";
        require(keys.len() == 4, "spec.provider.oauth2.clientSecretRef", what)?;
    }
    let ProviderSpec::Oauth2(oauth2) = spec else { return Ok(()) };
    let grace = oauth2.grace_seconds.is_none_or(|seconds| (1..=86_400).contains(&seconds));
    require(grace, "spec.provider.oauth2.graceSeconds", "must be 1 to 86400")?;
    let together = (oauth2.rotation == Some(Rotation::Grace)) == oauth2.grace_seconds.is_some();
    require(together, "spec.provider.oauth2.graceSeconds", "belongs to rotation: Grace: set both or neither")?;
    client(oauth2)
}

/// How the client authenticates, and what it may do then.
fn client(spec: &Oauth2) -> Result<(), Invalid> {
    let signs = spec.client_authentication == Some(ClientAuthentication::PrivateKeyJwt);
    let keys =
        spec.client_secret_ref.as_ref().is_some_and(|client| client.private_key_key.is_some() || client.key_id_key.is_some());
    let what = "assertionAudience, privateKeyKey and keyIDKey belong to clientAuthentication: PrivateKeyJWT";
    require(signs || !keys && spec.assertion_audience.is_none(), "spec.provider.oauth2.clientAuthentication", what)?;
    one_line("spec.provider.oauth2.assertionAudience", spec.assertion_audience.as_deref(), 1024)?;
    let shows = spec.client_authentication == Some(ClientAuthentication::Tls);
    let certificate = spec.tls.as_ref().is_some_and(|tls| tls.client_certificate_ref.is_some());
    require(!shows || certificate, "spec.provider.oauth2.clientAuthentication", "TLS needs tls.clientCertificateRef")?;
    let refreshes = spec.grant() == Grant::RefreshToken;
    let what = "belongs to grant: RefreshToken: leave it out";
    require(refreshes || spec.rotation.is_none(), "spec.provider.oauth2.rotation", what)?;
    let what = "must not be None with grant: ClientCredentials";
    let public = spec.client_authentication == Some(ClientAuthentication::None);
    let fits = spec.grant() != Grant::ClientCredentials || !public;
    require(fits, "spec.provider.oauth2.clientAuthentication", what)?;
    let what = "belongs to grant: RefreshToken: with the others the seed Secret holds the client's credentials too";
    require(refreshes || spec.client_secret_ref.is_none(), "spec.provider.oauth2.clientSecretRef", what)?;
    for (field, type_) in [("subjectTokenType", &spec.subject_token_type), ("requestedTokenType", &spec.requested_token_type)] {
        let field = format!("spec.provider.oauth2.{field}");
        require(type_.is_none() || spec.grant() == Grant::TokenExchange, &field, "belongs to grant: TokenExchange")?;
        one_line(&field, type_.as_deref(), 255)?;
    }
    Ok(())
}

/// Whether each token is obtained anew, without a refresh token.
fn anew(provider: &ProviderSpec) -> bool {
    grant(provider).is_some_and(Grant::obtains_anew)
}

/// The grant of an OAuth 2.0 provider.
fn grant(provider: &ProviderSpec) -> Option<Grant> {
    match provider {
        ProviderSpec::Oauth2(oauth2) => Some(oauth2.grant()),
        ProviderSpec::JfrogAccess(_)
        | ProviderSpec::JfrogDistribution(_)
        | ProviderSpec::ElasticCloudEnterprise(_)
        | ProviderSpec::Http(_) => None,
    }
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
    let access = matches!(provider, ProviderSpec::JfrogAccess(_));
    let distribution = matches!(provider, ProviderSpec::JfrogDistribution(_));
    let oauth2 = matches!(provider, ProviderSpec::Oauth2(_));
    require(
        !distribution || wish.lifetime.is_some(),
        "spec.request.lifetime",
        "is required with jfrogDistribution: without it the API gives a token that never expires",
    )?;
    let asked = access || distribution || wish.lifetime.is_none();
    require(asked, "spec.request.lifetime", "can be asked for with jfrogAccess and jfrogDistribution only")?;
    let asked = access || oauth2 || wish.scope.is_none();
    require(asked, "spec.request.scope", "can be asked for with jfrogAccess and oauth2 only")?;
    let what = "can be asked for with jfrogAccess and with oauth2 with grant: ClientCredentials or TokenExchange only";
    let exchanges = anew(provider) && grant(provider) != Some(Grant::JwtBearer);
    require(access || exchanges || wish.audience.is_none(), "spec.request.audience", what)?;
    let shown = grant(provider).is_some_and(Grant::has_subject);
    let what = "belongs to oauth2 with grant: TokenExchange or JWTBearer";
    require(shown || spec.credential.service_account_ref.is_none(), "spec.credential.serviceAccountRef", what)?;
    let gives = access || matches!(provider, ProviderSpec::ElasticCloudEnterprise(_));
    let what = "belongs to jfrogAccess and elasticCloudEnterprise";
    require(gives || spec.credential.bootstrap.is_none(), "spec.credential.bootstrap", what)?;
    for (field, wished) in [
        ("spec.request.username", wish.username.is_some()),
        ("spec.request.description", wish.description.is_some()),
        ("spec.request.projectKey", wish.project_key.is_some()),
        ("spec.request.includeReferenceToken", wish.include_reference_token.is_some()),
    ] {
        require(access || !wished, field, "can be asked for with jfrogAccess only")?;
    }
    Ok(())
}

fn deletion(spec: &RefreshableTokenSpec, provider: &ProviderSpec) -> Result<(), Invalid> {
    let (told, field) = match provider {
        ProviderSpec::Oauth2(oauth2) => {
            (oauth2.revocation_url.is_some() || oauth2.issuer_url.is_some(), "spec.provider.oauth2.revocationURL")
        }
        ProviderSpec::Http(http) => (http.revoke.is_some(), "spec.provider.http.revoke"),
        ProviderSpec::JfrogAccess(_) | ProviderSpec::JfrogDistribution(_) | ProviderSpec::ElasticCloudEnterprise(_) => {
            return Ok(());
        }
    };
    require(told || spec.deletion_policy() != DeletionPolicy::Revoke, field, "must be set with deletionPolicy: Revoke")
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
