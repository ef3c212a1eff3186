//! OAuth 2.0 at any server: the grants of RFC 6749 sections 6, 4.3 and 4.4, of RFC 8693 and of RFC 7523 section 2.1; it must not
//! read more into an answer than codes say.

mod introspection;
mod preset;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::reply::{Fields, Members, error, revoked, spending_refusal, tokens};
use super::request::{Form, absolute, client_basic, needed, post, present};
use super::{
    Assertion, Begins, Beside, Class, Probed, Reached, RefreshInput, Reply, RequestError, Semantics, Sketch, TokenApi,
    TokenError, TokenRequest, Wish,
};
use crate::api::{BootstrapGrant, ClientAuthentication, Grant, Invalid, Oauth2, Preset, RequestSpec, Rotation, check_oauth2};
use crate::token::{AccessToken, SecretText, TokenSet};

/// What an error code proves. A code that is not here proves nothing: `server_error` is left out on purpose, because a server
/// that consumes the token before it stores the next one (oidc-provider does) can fail in between.
///
/// The first block is RFC 6749 section 5.2 in its own meaning. Servers that use a code otherwise (Dex `invalid_request` for an
/// unknown token, Gitea `unauthorized_client` for a used one, Hydra `invalid_request` for a race that may be repeated)
/// say so in free text only, which is not matched: their presets know. Without its preset the token is asked for again at long
/// intervals, and refused again.
const CODES: [(&str, Class, &str); 17] = [
    (
        "invalid_grant",
        Class::ChainOver,
        "invalid_grant: the authorization server no longer accepts this refresh token (expired, revoked, used, or another client's)",
    ),
    (
        "invalid_client",
        Class::Configuration,
        "invalid_client: the client's credentials or its way to authenticate are not accepted",
    ),
    ("unauthorized_client", Class::Configuration, "unauthorized_client: this client may not use this grant"),
    ("unsupported_grant_type", Class::Configuration, "unsupported_grant_type: the server does not have this grant"),
    ("invalid_scope", Class::Configuration, "invalid_scope: request.scope is unknown or wider than the first token's"),
    ("invalid_request", Class::Configuration, "invalid_request: the server finds the request malformed or incomplete"),
    // RFC 6749 section 4.1.2.1, used at token endpoints too: overload or maintenance, so before any work was done.
    ("temporarily_unavailable", Class::Transient, "temporarily_unavailable: the server is overloaded or under maintenance"),
    // RFC 8707 section 2, RFC 9449 section 5, OpenID Connect Core section 3.1.2.6 (Entra sends the first of these three here).
    ("invalid_target", Class::Configuration, "invalid_target: the server wants to know the resource that the token is for"),
    ("use_dpop_nonce", Class::Configuration, "use_dpop_nonce: the server binds tokens to a key (DPoP), which is not supported"),
    (
        "invalid_dpop_proof",
        Class::Configuration,
        "invalid_dpop_proof: the server binds tokens to a key (DPoP), which is not supported",
    ),
    ("interaction_required", Class::Configuration, "interaction_required: a person has to sign in at the server"),
    ("login_required", Class::Configuration, "login_required: a person has to sign in at the server"),
    ("consent_required", Class::Configuration, "consent_required: a person has to agree at the server"),
    // GitHub, "Troubleshooting OAuth app access token request errors" and "Refreshing user access tokens"; sent with status 200.
    ("bad_refresh_token", Class::ChainOver, "bad_refresh_token: the server no longer accepts this refresh token"),
    ("incorrect_client_credentials", Class::Configuration, "incorrect_client_credentials: client_id or client_secret is wrong"),
    // Slack, method oauth.v2.access; sent with status 200.
    ("invalid_refresh_token", Class::ChainOver, "invalid_refresh_token: the server no longer accepts this refresh token"),
    ("bad_client_secret", Class::Configuration, "bad_client_secret: client_secret is wrong"),
];

/// The header of draft-ietf-httpapi-idempotency-key-header-07. Its value is sent as plain text, as servers in use take it,
/// and not in the quotes of the draft's structured field.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// RFC 8693 section 2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 section 2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 section 3: what ServiceAccounts have.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl Oauth2 {
    /// What a manifest begins with.
    pub const SKETCH: Sketch = Sketch {
        name: "oauth2",
        title: "Any OAuth 2.0 authorization server",
        provider: "
      tokenURL: '{url}'
      rotation: Strict            # Grace (with graceSeconds), IdempotencyKey, Reusable: as the server does",
        url: "https://idp.example.com/oauth2/token",
        seed: "refresh_token, client_id, client_secret",
        request: None,
    };
}

impl TokenApi for Oauth2 {
    fn name(&self) -> &'static str {
        Self::SKETCH.name
    }

    fn url(&self) -> &str {
        match &self.issuer_url {
            Some(issuer) if self.token_url.is_empty() => issuer,
            Some(_) | None => &self.token_url,
        }
    }

    fn connection(&self) -> Reached<'_> {
        Reached { tls: self.tls.as_deref(), proxy: self.proxy.as_deref(), timeouts: self.timeouts }
    }

    fn urls(&self) -> Vec<&str> {
        let named = [&self.issuer_url, &self.revocation_url, &self.introspection_url].into_iter().flatten().map(String::as_str);
        named.chain(Some(self.token_url.as_str()).filter(|url| !url.is_empty())).collect()
    }

    fn check(&self) -> Result<(), Invalid> {
        check_oauth2(self)
    }

    fn takes(&self, wish: Wish) -> bool {
        match wish {
            Wish::Scope => true,
            Wish::Audience => matches!(self.grant(), Grant::ClientCredentials | Grant::TokenExchange),
            Wish::ServiceAccount => self.grant().has_subject(),
            Wish::FirstTokens => self.grant() == Grant::RefreshToken,
            Wish::Trial => self.introspection_url.is_some() || self.issuer_url.is_some(),
            Wish::Retirement => self.revocation_lacks().is_none() && self.preset != Some(Preset::Hydra),
            Wish::Lifetime | Wish::JfrogDetails => false,
        }
    }

    fn takes_at_first(&self, wish: Wish) -> bool {
        self.bootstrap_grant.is_some_and(|grant| match wish {
            Wish::Audience => grant != BootstrapGrant::JwtBearer,
            Wish::ServiceAccount => grant.has_subject(),
            _ => false,
        })
    }

    fn beside(&self) -> Beside<'_> {
        Beside::Client(self)
    }

    fn semantics(&self) -> Semantics {
        semantics(self)
    }

    fn request(&self, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        request(self, wish, input)
    }

    fn read(&self, wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        read(self, wish, reply, sent)
    }

    fn begins(&self) -> Begins {
        match self.bootstrap_grant {
            Some(BootstrapGrant::ClientCredentials) | None => Begins::Client,
            Some(BootstrapGrant::Password) => Begins::Password,
            Some(BootstrapGrant::TokenExchange | BootstrapGrant::JwtBearer) => Begins::Subject,
        }
    }

    fn first_tokens_lack(&self) -> Option<&'static str> {
        self.bootstrap_grant.is_none().then_some("spec.provider.oauth2.bootstrapGrant")
    }

    fn creation(&self, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        creation(self, wish, input)
    }

    fn read_creation(&self, wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        read_creation(self, wish, reply, sent)
    }

    fn probes(&self) -> bool {
        self.introspection_url.is_some()
    }

    fn probe(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        let token = &input.held.refresh_token.as_ref()?.0;
        introspection::request(self, token, "refresh_token", input)
    }

    fn read_probe(&self, reply: &Reply) -> Probed {
        introspection::read(reply)
    }

    fn verification(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        let token = &input.held.access_token.as_ref()?.0;
        introspection::request(self, token, "access_token", input)
    }

    fn read_verification(&self, reply: &Reply) -> Result<(), TokenError> {
        introspection::verified(reply)
    }

    fn retirement(&self, access_token: &AccessToken, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        // Hydra ends the whole grant with any token of it (fosite, TokenRevocationHandler).
        let url = self.revocation_url.as_deref().filter(|_| self.preset != Some(Preset::Hydra))?;
        Some(revoke(self, url, &access_token.0, "access_token", input))
    }

    fn revocation_lacks(&self) -> Option<&'static str> {
        let told = self.revocation_url.is_some() || self.issuer_url.is_some();
        (!told).then_some("spec.provider.oauth2.revocationURL")
    }

    fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        revocation(self, input)
    }

    /// RFC 7009 section 2.2: 200, for a token that is not known too.
    fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        revoked(reply, sent, &[200, 204])
    }
}

/// The request for a token.
fn request(spec: &Oauth2, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let form = match spec.grant() {
        Grant::RefreshToken => {
            let refresh_token = input.held.refresh_token.as_ref().map(|token| &token.0);
            Form::refresh(needed(refresh_token, "refresh_token (seed or state Secret)")?)?
        }
        Grant::ClientCredentials => client_credentials(wish),
        Grant::TokenExchange => exchange(spec, wish, input)?,
        Grant::JwtBearer => jwt_bearer(input)?,
    };
    let mut request = authenticated(spec, absolute(&spec.token_url)?.into(), form.wish("scope", wish.scope.as_deref()), input)?;
    if semantics(spec) == Semantics::IdempotencyKey {
        request.headers.push((IDEMPOTENCY_KEY.into(), SecretText::new(input.attempt)));
    }
    Ok(request)
}

/// The request for the first tokens of a chain. Its client is that of every refresh: a refresh token is bound to the client that it
/// was issued to (RFC 6749 section 6).
fn creation(spec: &Oauth2, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let form = match spec.bootstrap_grant.ok_or(RequestError::Missing("provider.oauth2.bootstrapGrant"))? {
        BootstrapGrant::ClientCredentials => client_credentials(wish),
        BootstrapGrant::Password => {
            let username = needed(input.login.username.as_ref(), "username (seed Secret)")?;
            let password = needed(input.login.password.as_ref(), "password (seed Secret)")?;
            let form = Form::empty().wish("grant_type", Some("password"));
            form.secret("username", username)?.secret("password", password)?.wish("audience", wish.audience.as_deref())
        }
        BootstrapGrant::TokenExchange => exchange(spec, wish, input)?,
        BootstrapGrant::JwtBearer => jwt_bearer(input)?,
    };
    authenticated(spec, absolute(&spec.token_url)?.into(), form.wish("scope", wish.scope.as_deref()), input)
}

/// The audience is no parameter of RFC 6749; servers that want one (Auth0, Hydra) call it so.
fn client_credentials(wish: &RequestSpec) -> Form {
    Form::empty().wish("grant_type", Some("client_credentials")).wish("audience", wish.audience.as_deref())
}

fn exchange(spec: &Oauth2, wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<Form, RequestError> {
    let form = Form::empty().wish("grant_type", Some(TOKEN_EXCHANGE)).secret("subject_token", subject(input)?)?;
    Ok(form
        .wish("subject_token_type", Some(spec.subject_token_type.as_deref().unwrap_or(JWT)))
        .wish("requested_token_type", spec.requested_token_type.as_deref())
        .wish("audience", wish.audience.as_deref()))
}

fn jwt_bearer(input: &RefreshInput<'_>) -> Result<Form, RequestError> {
    Form::empty().wish("grant_type", Some(JWT_BEARER)).secret("assertion", subject(input)?)
}

fn subject<'a>(input: &RefreshInput<'a>) -> Result<&'a SecretText, RequestError> {
    needed(input.login.subject_token.as_ref(), "subject_token (seed Secret, or credential.serviceAccountRef)")
}

/// A form with the client's credentials (RFC 6749 section 2.3).
fn authenticated(spec: &Oauth2, url: String, form: Form, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
    let login = input.login;
    // Whoever shows another token may be no client at all (RFC 8693 section 2.1, RFC 7521 section 4.1).
    let nobody = spec.grant().has_subject() && spec.client_authentication == Some(ClientAuthentication::None);
    if nobody && present(login.client_id.as_ref()).is_none() {
        return Ok(post(url, None, Some(form.body())));
    }
    let id = needed(login.client_id.as_ref(), "client_id (Secret of clientSecretRef, or the seed)")?;
    let secret = || needed(login.client_secret.as_ref(), "client_secret (Secret of clientSecretRef, or the seed)");
    Ok(match spec.client_authentication.unwrap_or_default() {
        ClientAuthentication::Basic => post(url, Some(client_basic(id, secret()?)?), Some(form.body())),
        ClientAuthentication::Post => {
            post(url, None, Some(form.secret("client_id", id)?.secret("client_secret", secret()?)?.body()))
        }
        ClientAuthentication::PrivateKeyJwt => {
            let key = login.client_key.clone();
            let key = key.ok_or(RequestError::Missing("private_key (Secret of clientSecretRef, or the seed)"))?;
            let audience = spec.assertion_audience.clone().unwrap_or_else(|| spec.token_url.clone());
            let (key_id, client, attempt) = (login.client_key_id.clone(), id.clone(), input.attempt.to_owned());
            let assertion = Some(Assertion { key, key_id, client, audience, attempt });
            TokenRequest { assertion, ..post(url, None, Some(form.secret("client_id", id)?.body())) }
        }
        ClientAuthentication::Tls | ClientAuthentication::None => post(url, None, Some(form.secret("client_id", id)?.body())),
    })
}

fn read(spec: &Oauth2, wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    judge(&Codes { spec, semantics: semantics(spec), scoped: wish.scope.is_some() }, reply, sent)
}

/// Reads the answer to a request for first tokens. Nothing was spent, whatever it says; and without a refresh token nothing begins.
fn read_creation(spec: &Oauth2, wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    let codes = Codes { spec, semantics: Semantics::Reissue, scoped: wish.scope.is_some() };
    let granted = judge(&codes, reply, sent)?;
    if granted.refresh_token.is_some() {
        return Ok(granted);
    }
    Err(error(
        reply,
        sent,
        Class::Configuration,
        "the answer has an access token and no refresh token, so that no chain can begin: allow this client refresh tokens at the \
         server (mostly scope offline_access), or set grant in the place of bootstrapGrant, which needs none",
    ))
}

fn judge(codes: &Codes<'_>, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
    let (class, detail) = match reply.status {
        200 | 201 => match granted(codes, reply, sent) {
            Ok(grant) => return Ok(grant),
            Err(refusal) => refusal,
        },
        status @ (400 | 401 | 403) => {
            let code = Fields::of(reply).ok().and_then(|fields| codes.find(&fields));
            code.unwrap_or(match status {
                400 => (Class::Unknown, "the server refuses with none of the codes of RFC 6749 section 5.2"),
                _ => spending_refusal(status),
            })
        }
        // Where nothing is spent, nothing can have been.
        408 | 500..=599 if !codes.semantics.spends() => (Class::Transient, "the server or one in front of it could not answer"),
        status => spending_refusal(status),
    };
    Err(error(reply, sent, class, detail))
}

/// Tokens, or what the error says that some servers send with a status of success.
fn granted(codes: &Codes<'_>, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, (Class, &'static str)> {
    let unknown = |detail| (Class::Unknown, detail);
    let fields = Fields::of(reply).map_err(unknown)?;
    if fields.says("error") && !fields.says("access_token") {
        return Err(codes
            .find(&fields)
            .unwrap_or(unknown("the server names an error that is on no list, with a status of success")));
    }
    tokens(&fields, sent, &Members::RFC_6749).map_err(unknown)
}

/// The codes that a refusal may hold.
struct Codes<'a> {
    spec: &'a Oauth2,
    /// What the server promises about what was presented.
    semantics: Semantics,
    /// A scope was asked for.
    scoped: bool,
}

impl Codes<'_> {
    /// What the code of an answer proves: as the server of the preset uses it, else as everybody does.
    fn find(&self, fields: &Fields) -> Option<(Class, &'static str)> {
        let own = self.spec.preset.map(preset::ways).into_iter().flat_map(|ways| ways.codes);
        let mut own = own.filter(|own| !(own.or_scope && self.scoped) && fields.text(own.member) == Some(own.code));
        let own = own.next().map(|own| (own.class, own.detail));
        let (class, detail) = own.or_else(|| {
            let code = fields.text("error")?;
            CODES.iter().find(|(known, ..)| *known == code).map(|(_, class, detail)| (*class, *detail))
        })?;
        // There is no chain that could be over: whoever mends the client gets tokens again.
        match (class, self.semantics) {
            (Class::ChainOver, Semantics::Reissue) => Some((
                Class::Configuration,
                "the server gives this client no token for its credentials, or for the token that was shown",
            )),
            _ => Some((class, detail)),
        }
    }
}

/// What the server promises: as the spec declares it, else as its preset does, else the strict reading, which is that of `Grace`
/// without a time too (the CRD refuses it).
fn semantics(spec: &Oauth2) -> Semantics {
    if spec.grant().obtains_anew() {
        return Semantics::Reissue;
    }
    let grace = spec.grace_seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    match (spec.rotation, grace) {
        (Some(Rotation::Grace), Some(seconds)) => Semantics::Grace(Duration::from_secs(seconds)),
        (Some(Rotation::Strict), _) | (Some(Rotation::Grace), None) => Semantics::SingleUse,
        (Some(Rotation::IdempotencyKey), _) => Semantics::IdempotencyKey,
        (Some(Rotation::Reusable), _) => Semantics::Reusable,
        (None, _) => spec.preset.map_or(Semantics::SingleUse, |preset| preset::ways(preset).semantics),
    }
}

/// RFC 7009 section 2.1: the refresh token, with which a server ends the whole grant; without one, the access token.
fn revocation(spec: &Oauth2, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
    let url = spec.revocation_url.as_deref()?;
    let refresh_token = input.held.refresh_token.as_ref().map(|token| (&token.0, "refresh_token"));
    let access_token = input.held.access_token.as_ref().map(|token| (&token.0, "access_token"));
    let (token, hint) = refresh_token.or(access_token)?;
    Some(revoke(spec, url, token, hint, input))
}

fn revoke(
    spec: &Oauth2,
    url: &str,
    token: &SecretText,
    hint: &'static str,
    input: &RefreshInput<'_>,
) -> Result<TokenRequest, RequestError> {
    let form = Form::empty().secret("token", token)?.wish("token_type_hint", Some(hint));
    authenticated(spec, absolute(url)?.into(), form, input)
}
