//! CEL rules across fields, each with a message that says what to write instead and the field to change.

use kube::core::{Reason, Rule};

/// The state Secret's name in a rule of the kind, default filled in.
const STATE: &str = "(has(self.spec.stateSecretName) ? self.spec.stateSecretName : self.metadata.name + '-state')";

// Rules of the kind: they see `metadata`.

/// Leaves room for `-state` (RFC 1123 subdomains end at 253 characters).
pub(super) fn short_name() -> Rule {
    Rule::new("self.metadata.name.size() <= 240")
        .message("metadata.name must have at most 240 characters: the state Secret's default name is made from it")
}

/// The state Secret is nobody else's: outputs.
pub(super) fn state_is_no_output() -> Rule {
    Rule::new(format!("self.spec.outputs.all(o, o.secretName != {STATE})"))
        .message("an output must not be the state Secret (stateSecretName; default: the object's name and -state)")
        .field_path(".spec.outputs")
}

/// The state Secret is nobody else's: the seed.
pub(super) fn state_is_no_seed() -> Rule {
    Rule::new(format!("self.spec.credential.seedSecretRef.name != {STATE}"))
        .message("the seed must not be the state Secret (stateSecretName; default: the object's name and -state)")
        .field_path(".spec.credential.seedSecretRef.name")
}

/// The state Secret is nobody else's: the client's credentials.
pub(super) fn state_is_no_client() -> Rule {
    let client = "self.spec.provider.oauth2";
    Rule::new(format!(
        "!has(self.spec.provider) || !has({client}) || !has({client}.clientSecretRef) || {client}.clientSecretRef.name != {STATE}"
    ))
    .message("clientSecretRef must not name the state Secret (stateSecretName; default: the object's name and -state)")
    .field_path(".spec.provider.oauth2.clientSecretRef.name")
}

/// The state Secret stays where it is.
pub(super) fn state_stays() -> Rule {
    let before = STATE.replace("self.", "oldSelf.");
    Rule::new(format!("{STATE} == {before}"))
        .message(
            "stateSecretName cannot be changed: the state Secret holds the only copy of the refresh token; put the old value back",
        )
        .field_path(".spec.stateSecretName")
        .reason(Reason::FieldValueForbidden)
}

// Rules of the spec.

/// Whether each token is obtained anew, without a refresh token.
const ANEW: &str = "(has(self.provider) && has(self.provider.oauth2) && has(self.provider.oauth2.grant) && \
                    self.provider.oauth2.grant != 'RefreshToken')";
/// Whether a grant of OAuth 2.0 brings the first tokens of a chain.
const BEGINS: &str = "(has(self.credential.bootstrap) && has(self.provider) && has(self.provider.oauth2) && \
                      has(self.provider.oauth2.bootstrapGrant))";
/// Which API is asked is not known here: the operator looks at the rules of that API once it knows.
const REFERS: &str = "!has(self.provider)";

/// The provider is the object's own or somebody else's.
pub(super) fn one_provider() -> Rule {
    Rule::new("has(self.provider) != has(self.providerRef)").message("must have exactly one of provider and providerRef")
}

/// An output is not the seed.
pub(super) fn seed_is_no_output() -> Rule {
    Rule::new("self.outputs.all(o, o.secretName != self.credential.seedSecretRef.name)")
        .message("an output must not be the seed Secret: give it another secretName")
        .field_path(".outputs")
}

/// An output is not the Secret of the client's credentials.
pub(super) fn client_is_no_output() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.provider.oauth2) || !has(self.provider.oauth2.clientSecretRef) || \
         self.outputs.all(o, o.secretName != self.provider.oauth2.clientSecretRef.name)"
    ))
    .message("an output must not be the Secret of clientSecretRef: give it another secretName")
    .field_path(".outputs")
}

/// JFrog Distribution is always told a lifetime.
pub(super) fn distribution_lifetime() -> Rule {
    Rule::new(format!("{REFERS} || !has(self.provider.jfrogDistribution) || (has(self.request) && has(self.request.lifetime))"))
        .message("must be set with jfrogDistribution, such as 1h: without it the API gives a token that never expires")
        .field_path(".request.lifetime")
        .reason(Reason::FieldValueRequired)
}

/// Who can be asked for a lifetime.
pub(super) fn lifetime_asked() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.request) || !has(self.request.lifetime) || has(self.provider.jfrogAccess) || \
         has(self.provider.jfrogDistribution)"
    ))
    .message(
        "lifetime can be asked for with jfrogAccess and jfrogDistribution only: leave it out, the other APIs decide themselves",
    )
    .field_path(".request.lifetime")
}

/// Who can be asked for a scope.
pub(super) fn scope_asked() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.request) || !has(self.request.scope) || has(self.provider.jfrogAccess) || has(self.provider.oauth2)"
    ))
        .message("scope can be asked for with jfrogAccess and oauth2 only: leave it out")
        .field_path(".request.scope")
}

/// What only JFrog Access can be asked for.
pub(super) fn access_asked() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.request) || has(self.provider.jfrogAccess) || (!has(self.request.username) && \
         !has(self.request.description) && !has(self.request.includeReferenceToken) && !has(self.request.projectKey))"
    ))
    .message("username, description, includeReferenceToken and projectKey can be asked for with jfrogAccess only: leave them out")
    .field_path(".request")
}

/// Who can be asked for an audience.
pub(super) fn audience_asked() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.request) || !has(self.request.audience) || has(self.provider.jfrogAccess) || \
         ({ANEW} && self.provider.oauth2.grant != 'JWTBearer') || ({BEGINS} && self.provider.oauth2.bootstrapGrant != 'JWTBearer')"
    ))
    .message(
        "audience can be asked for with jfrogAccess and with oauth2 with grant: ClientCredentials or TokenExchange only, and for first \
         tokens by any bootstrapGrant but JWTBearer: leave it out",
    )
    .field_path(".request.audience")
}

/// A reference token is there only if asked for.
pub(super) fn reference_token_asked() -> Rule {
    Rule::new(
        "self.outputs.all(o, !has(o.opaque) || !has(o.opaque.referenceTokenKey)) || \
         (has(self.request) && has(self.request.includeReferenceToken) && self.request.includeReferenceToken)",
    )
    .message("an output with referenceTokenKey needs request.includeReferenceToken: true")
    .field_path(".outputs")
}

/// Elastic Cloud Enterprise has one token only.
pub(super) fn refresh_token_exists() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.provider.elasticCloudEnterprise) || \
         self.outputs.all(o, !has(o.opaque) || !has(o.opaque.refreshTokenKey))"
    ))
    .message("elasticCloudEnterprise has no refresh token: leave refreshTokenKey out")
    .field_path(".outputs")
}

/// What is obtained anew needs no refresh token (RFC 6749 section 4.4.3; in RFC 8693 section 2.2.1 one may come, and is not used).
pub(super) fn grant_refreshes() -> Rule {
    Rule::new(format!("!({ANEW}) || self.outputs.all(o, !has(o.opaque) || !has(o.opaque.refreshTokenKey))"))
        .message("there is a refresh token with grant: RefreshToken only: leave refreshTokenKey out")
        .field_path(".outputs")
}

/// Whose token is shown, where one is.
pub(super) fn service_account_is_shown() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.credential.serviceAccountRef) || \
         ({ANEW} && self.provider.oauth2.grant in ['TokenExchange', 'JWTBearer']) || \
         ({BEGINS} && self.provider.oauth2.bootstrapGrant in ['TokenExchange', 'JWTBearer'])"
    ))
    .message(
        "serviceAccountRef belongs to oauth2 with grant: TokenExchange or JWTBearer, and to bootstrap with such a bootstrapGrant: \
         leave it out",
    )
    .field_path(".credential.serviceAccountRef")
}

/// Who gives first tokens for credentials.
pub(super) fn who_bootstraps() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.credential.bootstrap) || has(self.provider.jfrogAccess) || \
         has(self.provider.elasticCloudEnterprise) || (has(self.provider.oauth2) && !{ANEW})"
    ))
    .message("bootstrap belongs to jfrogAccess, elasticCloudEnterprise and oauth2 with grant: RefreshToken: leave it out")
    .field_path(".credential.bootstrap")
}

/// A server of OAuth 2.0 has several ways to give first tokens.
pub(super) fn bootstrap_grant() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.credential.bootstrap) || !has(self.provider.oauth2) || {ANEW} || \
         has(self.provider.oauth2.bootstrapGrant)"
    ))
    .message("must be set with credential.bootstrap: the grant that brings the first tokens, such as ClientCredentials")
    .field_path(".provider.oauth2.bootstrapGrant")
    .reason(Reason::FieldValueRequired)
}

/// A chain can begin anew only where it can be begun at all.
pub(super) fn recovery_bootstraps() -> Rule {
    Rule::new(
        "!has(self.recovery) || !has(self.recovery.onLostChain) || self.recovery.onLostChain != 'Bootstrap' || \
         has(self.credential.bootstrap)",
    )
    .message("must be set with recovery.onLostChain: Bootstrap: Create")
    .field_path(".credential.bootstrap")
    .reason(Reason::FieldValueRequired)
}

/// Who can be asked to revoke a token has told where.
pub(super) fn revocation_url() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.deletionPolicy) || self.deletionPolicy != 'Revoke' || !has(self.provider.oauth2) || \
         has(self.provider.oauth2.revocationURL) || has(self.provider.oauth2.issuerURL)"
    ))
    .message("must be set with deletionPolicy: Revoke, such as https://idp.example.com/oauth2/revoke")
    .field_path(".provider.oauth2.revocationURL")
    .reason(Reason::FieldValueRequired)
}

/// Who has a call that tries a token.
pub(super) fn trial_exists() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.recovery) || !has(self.recovery.verifyBeforePublish) || !self.recovery.verifyBeforePublish || \
         has(self.provider.jfrogAccess) || has(self.provider.elasticCloudEnterprise) || (has(self.provider.oauth2) && \
         (has(self.provider.oauth2.introspectionURL) || has(self.provider.oauth2.issuerURL))) || \
         (has(self.provider.http) && has(self.provider.http.verify))"
    ))
    .message(
        "verifyBeforePublish needs a call that tries a token: jfrogAccess, elasticCloudEnterprise, oauth2 with introspectionURL or \
         issuerURL, or http with verify",
    )
    .field_path(".recovery.verifyBeforePublish")
}

/// Who revokes one access token and not the chain.
pub(super) fn retirement_exists() -> Rule {
    Rule::new(format!(
        "{REFERS} || !has(self.refresh) || !has(self.refresh.revokeReplacedAfter) || has(self.provider.jfrogAccess) || \
         (has(self.provider.oauth2) && (has(self.provider.oauth2.revocationURL) || has(self.provider.oauth2.issuerURL)) && \
         !(has(self.provider.oauth2.preset) && self.provider.oauth2.preset == 'Hydra'))"
    ))
    .message(
        "revokeReplacedAfter needs an API that revokes a single access token: jfrogAccess, or oauth2 with revocationURL or issuerURL \
         (not Hydra)",
    )
    .field_path(".refresh.revokeReplacedAfter")
}

/// A token is shown as the previous one no longer than it is good.
pub(super) fn previous_before_revoked() -> Rule {
    Rule::new(
        "!has(self.refresh) || !has(self.refresh.revokeReplacedAfter) || self.outputs.all(o, !has(o.opaque) || \
         !has(o.opaque.previousAccessTokenKey) || has(o.opaque.previousAccessTokenGrace) && \
         duration(o.opaque.previousAccessTokenGrace) <= duration(self.refresh.revokeReplacedAfter))",
    )
    .message("must not be below previousAccessTokenGrace of an output, which must be set then")
    .field_path(".refresh.revokeReplacedAfter")
}

// Rules of smaller objects.

/// A provider of the cluster says whose it is.
pub(super) fn some_namespace() -> Rule {
    Rule::new("(has(self.names) && self.names.size() > 0) || has(self.matchLabels)")
        .message("must have names or matchLabels (matchLabels: {} allows every namespace)")
}

/// An empty object would look as if it limited something.
pub(super) fn some_limit() -> Rule {
    Rule::new("has(self.maxConcurrent) || has(self.requestsPerMinute)").message("must have maxConcurrent or requestsPerMinute")
}

/// The grace period is given where there is one.
pub(super) fn grace() -> Rule {
    Rule::new("(has(self.rotation) && self.rotation == 'Grace') == has(self.graceSeconds)")
        .message("graceSeconds belongs to rotation: Grace: set both or neither")
}

/// What only a client with a private key has.
pub(super) fn key_belongs() -> Rule {
    Rule::new(
        "(has(self.clientAuthentication) && self.clientAuthentication == 'PrivateKeyJWT') || (!has(self.assertionAudience) && \
         (!has(self.clientSecretRef) || (!has(self.clientSecretRef.privateKeyKey) && !has(self.clientSecretRef.keyIDKey))))",
    )
    .message("assertionAudience, privateKeyKey and keyIDKey belong to clientAuthentication: PrivateKeyJWT: set it too, or leave them out")
}

/// In an object of an OAuth 2.0 provider: a refresh token is used.
const REFRESHES: &str = "!has(self.grant) || self.grant == 'RefreshToken'";

/// Only a refresh token can be rotated.
pub(super) fn grant_rotates() -> Rule {
    Rule::new(format!("{REFRESHES} || (!has(self.rotation) && !has(self.graceSeconds))"))
        .message("rotation and graceSeconds belong to grant: RefreshToken: leave them out")
}

/// A public client has no credentials that could bring a token (RFC 6749 section 4.4).
pub(super) fn grant_authenticates() -> Rule {
    Rule::new(
        "!has(self.grant) || self.grant != 'ClientCredentials' || !has(self.clientAuthentication) || \
         self.clientAuthentication != 'None'",
    )
    .message("grant: ClientCredentials needs a client that authenticates: not clientAuthentication: None")
    .field_path(".clientAuthentication")
}

/// Where there is no first token, the client's credentials are the seed.
pub(super) fn grant_seeds() -> Rule {
    Rule::new(format!("{REFRESHES} || !has(self.clientSecretRef)"))
        .message(
            "clientSecretRef belongs to grant: RefreshToken: with the others the seed Secret holds the client's credentials too",
        )
        .field_path(".clientSecretRef")
}

/// Only a chain of refresh tokens has first tokens.
pub(super) fn grant_bootstraps() -> Rule {
    Rule::new(format!("{REFRESHES} || !has(self.bootstrapGrant)"))
        .message("bootstrapGrant belongs to grant: RefreshToken: with the others each token is obtained anew, so leave it out")
        .field_path(".bootstrapGrant")
}

/// A public client has no credentials that could begin a chain (RFC 6749 section 4.4).
pub(super) fn bootstrap_authenticates() -> Rule {
    Rule::new(
        "!has(self.bootstrapGrant) || self.bootstrapGrant != 'ClientCredentials' || !has(self.clientAuthentication) || \
         self.clientAuthentication != 'None'",
    )
    .message("bootstrapGrant: ClientCredentials needs a client that authenticates: not clientAuthentication: None")
    .field_path(".clientAuthentication")
}

/// The endpoint is named, or the server that names it.
pub(super) fn one_endpoint() -> Rule {
    Rule::new("has(self.tokenURL) != has(self.issuerURL)").message("must have exactly one of tokenURL and issuerURL")
}

/// What only an exchange has.
pub(super) fn exchange_types() -> Rule {
    Rule::new(
        "(has(self.grant) && self.grant == 'TokenExchange') || (has(self.bootstrapGrant) && self.bootstrapGrant == 'TokenExchange') \
         || (!has(self.subjectTokenType) && !has(self.requestedTokenType))",
    )
    .message(
        "subjectTokenType and requestedTokenType belong to grant: TokenExchange and to bootstrapGrant: TokenExchange: leave them out",
    )
}

/// Without a certificate there is nothing that authenticates (RFC 8705 section 2).
pub(super) fn tls_authenticates() -> Rule {
    Rule::new(
        "!has(self.clientAuthentication) || self.clientAuthentication != 'TLS' || \
         (has(self.tls) && has(self.tls.clientCertificateRef))",
    )
    .message("clientAuthentication: TLS needs tls.clientCertificateRef")
    .field_path(".clientAuthentication")
}

/// An empty object would look as if it switched something.
pub(super) fn tls_says_something() -> Rule {
    Rule::new("has(self.caBundleRef) || has(self.clientCertificateRef)").message(
        "must have caBundleRef or clientCertificateRef: leave tls out for the authorities that the operator's image trusts",
    )
}

/// What goes through a tunnel is closed to the proxy. Each of `urls` is a field of the provider, there or not.
pub(crate) fn proxy_reads_nothing(urls: &[&str]) -> Rule {
    let closed: Vec<_> = urls.iter().map(|url| format!("(!has(self.{url}) || self.{url}.startsWith('https://'))")).collect();
    Rule::new(format!("!has(self.proxy) || ({})", closed.join(" && "))).message(PROXY_READS_NOTHING)
}

/// What every rule about the URLs behind a proxy says.
pub(super) const PROXY_READS_NOTHING: &str =
    "proxy needs URLs that begin with https://: the proxy would read the tokens otherwise";

/// Each credential of a client has a key of its own.
pub(super) fn client_keys_differ() -> Rule {
    let keys = [
        ("clientIDKey", "client_id"),
        ("clientSecretKey", "client_secret"),
        ("privateKeyKey", "private_key"),
        ("keyIDKey", "key_id"),
    ];
    let keys = keys.map(|(field, default)| format!("has(self.{field}) ? self.{field} : '{default}'"));
    Rule::new(format!("[[{}]].all(keys, keys.all(key, keys.exists_one(k, k == key)))", keys.join(", "))).message(
        "clientIDKey (default client_id), clientSecretKey (default client_secret), privateKeyKey (default private_key) and keyIDKey \
         (default key_id) must differ from each other",
    )
}

/// Two keys of one Secret that are read for different purposes; each is the name of a field and its default.
pub(super) fn keys_differ((one, one_default): (&str, &str), (other, other_default): (&str, &str)) -> Rule {
    let of = |field: &str, default: &str| format!("(has(self.{field}) ? self.{field} : '{default}')");
    Rule::new(format!("{} != {}", of(one, one_default), of(other, other_default)))
        .message(format!("{one} (default {one_default}) and {other} (default {other_default}) must differ").as_str())
}

/// Each value of an Opaque output has a key of its own.
pub(super) fn opaque_keys_differ() -> Rule {
    let keys = opaque_keys("self");
    Rule::new(format!("[{keys}].all(keys, keys.all(key, keys.exists_one(k, k == key)))"))
        .message("the keys of one Secret must differ from each other (accessTokenKey defaults to access_token)")
}

/// The keys of an Opaque output, as a list.
fn opaque_keys(opaque: &str) -> String {
    let optional = ["refreshTokenKey", "referenceTokenKey", "expirationTimeKey", "previousAccessTokenKey"];
    let optional = optional.map(|field| format!(" + (has({opaque}.{field}) ? [{opaque}.{field}] : [])")).concat();
    format!("[has({opaque}.accessTokenKey) ? {opaque}.accessTokenKey : 'access_token']{optional}")
}

/// A file has a key of its own; among files the list's map key sees to it.
pub(super) fn file_keys_differ() -> Rule {
    let opaque = opaque_keys("self.opaque");
    let others = format!("has(self.opaque) ? {opaque} : has(self.basicAuth) ? ['username', 'password'] : ['.dockerconfigjson']");
    Rule::new(format!("!has(self.files) || [{others}].all(others, self.files.all(file, !(file.key in others)))"))
        .message("the key of a file must differ from the other keys of the Secret: access_token, username and password, or .dockerconfigjson")
        .field_path(".files")
}

/// A file has one form.
pub(super) fn one_form() -> Rule {
    let forms = ["npmrc", "pipConf", "mavenSettings", "netrc", "gitCredentials", "dockerConfigJSON", "template"];
    Rule::new(format!("[{}].exists_one(x, x)", forms.map(|form| format!("has(self.{form})")).join(", ")))
        .message("must have exactly one of npmrc, pipConf, mavenSettings, netrc, gitCredentials, dockerConfigJSON and template")
}

/// Somebody else's Secret keeps its own labels and annotations.
pub(super) fn no_metadata_in_merge() -> Rule {
    Rule::new("!has(self.metadata) || !has(self.creationPolicy) || self.creationPolicy != 'Merge'")
        .message("must be left out with creationPolicy: Merge: the Secret is somebody else's")
        .field_path(".metadata")
}

/// A grace is for the previous token.
pub(super) fn grace_of_previous() -> Rule {
    Rule::new("!has(self.previousAccessTokenGrace) || has(self.previousAccessTokenKey)")
        .message("previousAccessTokenGrace needs previousAccessTokenKey")
}

/// An output has one shape.
pub(super) fn one_shape() -> Rule {
    Rule::new("[has(self.opaque), has(self.dockerConfigJSON), has(self.basicAuth)].exists_one(x, x)")
        .message("must have exactly one of opaque, dockerConfigJSON and basicAuth")
}

/// A target of a roll-out.
pub(super) fn name_or_selector() -> Rule {
    Rule::new("has(self.name) != has(self.selector)").message("must have exactly one of name and selector")
}

/// Before or beforePercent.
pub(super) fn one_before() -> Rule {
    Rule::new("!(has(self.before) && has(self.beforePercent))").message("set before or beforePercent, not both")
}
