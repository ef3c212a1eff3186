//! Reading what users put into Secrets: seeds and clients' credentials.

pub(super) mod outfit;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;
use zeroize::Zeroizing;

use super::cluster::{Cluster, Trouble};
use crate::api::{
    CLIENT_KEYS, ClientAuthentication, ClientSecretRef, Credential, ProviderSpec, ROLE_LABEL, Reason, SeedSecretRef,
    ServiceAccountRef,
};
use crate::provider::{Begins, Beside, Provider, Semantics, Wish};
use crate::refresh::exchange::{Seed, spendable};
use crate::token::{AccessToken, FingerprintKey, HeldTokens, Login, Purpose, RefreshToken, SecretText, SigningKey, jwt_claims};

/// Largest token that is taken from a seed. Our choice: common HTTP servers refuse header fields above 8 or 16 KiB.
const LARGEST_TOKEN: usize = 16 * 1024;

/// Why a credential cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// A person must act.
    Refused(Reason, String),
    /// The API server did not answer.
    Unavailable,
}

/// GET a Secret that a user opted in for this operator.
pub(super) async fn opted_in(cluster: &Cluster, namespace: &str, name: &str) -> Result<Secret, Unusable> {
    let secret = cluster.secret(namespace, name).await.map_err(|trouble| match trouble {
        Trouble::Missing => {
            Unusable::Refused(Reason::SeedMissing, format!("Secret {name} does not exist: create it, labelled {ROLE_LABEL}=seed"))
        }
        Trouble::Denied => Unusable::Refused(
            Reason::SeedNotAllowed,
            format!("the API server does not let the operator read Secret {name}: check the operator's permissions"),
        ),
        Trouble::Conflict | Trouble::Unclear => Unusable::Unavailable,
    })?;
    // Such as bootstrap.kubernetes.io/token too.
    let plain =
        secret.type_.as_deref().is_none_or(|type_| !type_.contains("kubernetes.io/") || type_ == "kubernetes.io/basic-auth");
    if is_seed(&secret) && plain {
        return Ok(secret);
    }
    let what = if plain {
        format!("Secret {name} is not opted in: kubectl label secret {name} {ROLE_LABEL}=seed")
    } else {
        format!("Secret {name} has a type that belongs to Kubernetes and cannot be a seed: use type Opaque")
    };
    Err(Unusable::Refused(Reason::SeedNotAllowed, what))
}

/// The tokens of a seed of the object called `name`.
pub(super) fn seed(
    secret: &Secret,
    name: &str,
    provider: &Provider,
    credential: &Credential,
    key: &FingerprintKey,
) -> Result<Seed, Unusable> {
    let reference = &credential.seed_secret_ref;
    let semantics = provider.semantics();
    if semantics == Semantics::Reissue {
        return credentials(secret, name, provider.spec(), reference, key);
    }
    let access = value(secret, reference.access_token_key.as_deref().unwrap_or("access_token"))?.map(AccessToken);
    let refresh = match semantics {
        Semantics::RenewsItself | Semantics::Reissue => None,
        Semantics::SingleUse | Semantics::Grace(_) | Semantics::IdempotencyKey | Semantics::Reusable => {
            value(secret, reference.refresh_token_key.as_deref().unwrap_or("refresh_token"))?.map(RefreshToken)
        }
    };
    let expiration_time = access
        .as_ref()
        .and_then(jwt_claims)
        .and_then(|claims| claims.expiration)
        .and_then(|exp| chrono::DateTime::from_timestamp(exp, 0));
    let tokens = HeldTokens { access_token: access, refresh_token: refresh, expiration_time, ..HeldTokens::default() };
    match spendable(&tokens, semantics, key) {
        Some(fingerprint) => Ok(Seed { tokens, fingerprint }),
        None if credential.bootstrap.is_some() => creating_seed(secret, name, provider.spec(), credential, key),
        None => Err(missing(secret, reference, semantics)),
    }
}

/// The seed of a chain that credentials begin: no token of it, but what brings the first ones.
fn creating_seed(
    secret: &Secret,
    name: &str,
    provider: &ProviderSpec,
    credential: &Credential,
    key: &FingerprintKey,
) -> Result<Seed, Unusable> {
    let login = creating_login(secret, None, provider, &credential.seed_secret_ref)?;
    if let Some(what) = lacking(provider, &login, credential) {
        let secret = secret.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Secret {secret} has neither tokens nor what brings the first ones ({what})");
        return Err(Unusable::Refused(Reason::SeedInvalid, message));
    }
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let [username, password, token] =
        [&login.username, &login.password, &login.subject_token].map(|text| revealed(text.as_ref()));
    let mut all = vec!["bootstrap".into(), namespace.into(), name.into(), username.into(), password.into(), token.into()];
    // A refresh token is of no use to another client. A client's new secret begins a chain only where that secret is what begins it:
    // elsewhere it is mended, and the chain goes on.
    if let Beside::Client(_) = provider.api().beside() {
        all.push(revealed(login.client_id.as_ref()).into());
    }
    if provider.api().begins() == Begins::Client {
        let thumbprint = login.client_key.as_ref().map(SigningKey::thumbprint);
        all.extend([revealed(login.client_secret.as_ref()).into(), thumbprint.into()]);
    }
    Ok(seed_of(&Value::Array(all), key))
}

/// What a seed without tokens does not have, of what brings the first ones; what another Secret has, the request says before it is
/// sent.
fn lacking(provider: &ProviderSpec, login: &Login, credential: &Credential) -> Option<&'static str> {
    let logs_in = login.username.is_some() && login.password.is_some();
    let shows = login.subject_token.is_some();
    if let Beside::Client(oauth2) = provider.api().beside()
        && oauth2.client_secret_ref.is_none()
        && login.client_id.is_none()
    {
        return Some("client_id, or clientSecretRef with it");
    }
    match provider.api().begins() {
        Begins::Client => None,
        Begins::Password => (!logs_in).then_some("username and password"),
        Begins::TokenOrPassword => (!shows && !logs_in).then_some("access_token, or username and password"),
        Begins::Subject => {
            let account = credential.service_account_ref.is_some();
            (!shows && !account).then_some("subject_token, or credential.serviceAccountRef")
        }
    }
}

/// A seed without tokens, known by the credentials that it holds in their place.
fn seed_of(credentials: &Value, key: &FingerprintKey) -> Seed {
    let text = Zeroizing::new(credentials.to_string());
    Seed { tokens: HeldTokens::default(), fingerprint: key.fingerprint(Purpose::Token, text.as_bytes()) }
}

fn revealed(text: Option<&SecretText>) -> Option<String> {
    text.map(|text| text.reveal().to_owned())
}

/// What brings the first tokens of a chain; `client` is the Secret of the client's credentials, where one is named.
pub(super) fn creating_login(
    seed: &Secret,
    client: Option<&Secret>,
    provider: &ProviderSpec,
    reference: &SeedSecretRef,
) -> Result<Login, Unusable> {
    let known = match provider.api().beside() {
        Beside::Client(_) => login(Some(seed), client, provider, reference)?,
        Beside::Nothing | Beside::Password | Beside::Keys(_) => Login::default(),
    };
    let begins = provider.api().begins();
    let [username, password] = match begins {
        Begins::Password | Begins::TokenOrPassword => user(seed, reference)?,
        Begins::Client | Begins::Subject => [None, None],
    };
    let subject_token = match begins {
        Begins::TokenOrPassword => value(seed, reference.access_token_key.as_deref().unwrap_or("access_token"))?,
        Begins::Subject => value(seed, "subject_token")?,
        Begins::Password | Begins::Client => None,
    };
    Ok(Login { username, password, subject_token, ..known })
}

/// User name and password of a seed.
fn user(seed: &Secret, reference: &SeedSecretRef) -> Result<[Option<SecretText>; 2], Unusable> {
    let username = value(seed, reference.username_key.as_deref().unwrap_or("username"))?;
    Ok([username, value(seed, reference.password_key.as_deref().unwrap_or("password"))?])
}

/// Whether another token is shown for the one that is asked for.
pub(super) fn shows(provider: &ProviderSpec, creates: bool) -> bool {
    let api = provider.api();
    if creates { api.begins() == Begins::Subject } else { api.takes(Wish::ServiceAccount) }
}

/// The seed of a chain whose tokens are obtained anew: no token, but the credentials, so that new ones begin it anew. Objects
/// share credentials, so each has a fingerprint of its own.
fn credentials(
    secret: &Secret,
    name: &str,
    provider: &ProviderSpec,
    reference: &SeedSecretRef,
    key: &FingerprintKey,
) -> Result<Seed, Unusable> {
    let login = login(Some(secret), None, provider, reference)?;
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    // What is missing besides, the request says before it is sent.
    match provider.api().beside() {
        Beside::Client(oauth2)
            if oauth2.client_authentication == Some(ClientAuthentication::None) || login.client_id.is_some() =>
        {
            let thumbprint = login.client_key.as_ref().map(SigningKey::thumbprint);
            let mut all = vec![
                namespace.into(),
                name.into(),
                revealed(login.client_id.as_ref()).into(),
                revealed(login.client_secret.as_ref()).into(),
                thumbprint.into(),
            ];
            // Objects from before there were subjects keep their fingerprints.
            all.extend(revealed(login.subject_token.as_ref()).map(Value::from));
            Ok(seed_of(&Value::Array(all), key))
        }
        Beside::Keys(_) if !login.named.is_empty() => {
            let named: BTreeMap<_, _> = login.named.iter().map(|(name, value)| (name, value.reveal())).collect();
            Ok(seed_of(&serde_json::json!(["keys", namespace, name, named]), key))
        }
        Beside::Keys(keys) => Err(lacks(secret, keys.first().copied().unwrap_or_default())),
        Beside::Client(_) | Beside::Nothing | Beside::Password => Err(missing(secret, reference, Semantics::Reissue)),
    }
}

fn missing(secret: &Secret, reference: &SeedSecretRef, semantics: Semantics) -> Unusable {
    lacks(
        secret,
        match semantics {
            Semantics::Reissue => "client_id",
            Semantics::RenewsItself => reference.access_token_key.as_deref().unwrap_or("access_token"),
            Semantics::SingleUse | Semantics::Grace(_) | Semantics::IdempotencyKey | Semantics::Reusable => {
                reference.refresh_token_key.as_deref().unwrap_or("refresh_token")
            }
        },
    )
}

fn lacks(secret: &Secret, key: &str) -> Unusable {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    Unusable::Refused(Reason::SeedInvalid, format!("Secret {name} has no key {key}, or it is empty"))
}

/// The credentials beside the tokens, as far as the provider uses them.
pub(super) fn login(
    seed: Option<&Secret>,
    client: Option<&Secret>,
    provider: &ProviderSpec,
    reference: &SeedSecretRef,
) -> Result<Login, Unusable> {
    let from = |secret: Option<&Secret>, key: &str| secret.map_or(Ok(None), |secret| value(secret, key));
    let client_ref = provider.client_secret_ref();
    let client = if client_ref.is_some() { client } else { seed };
    Ok(match provider.api().beside() {
        Beside::Nothing => Login::default(),
        Beside::Password => {
            let [username, password] = seed.map_or(Ok([None, None]), |seed| user(seed, reference))?;
            Login { username, password, ..Login::default() }
        }
        Beside::Client(oauth2) => {
            let [id, secret, key, key_id] = client_ref.map_or(CLIENT_KEYS, ClientSecretRef::keys);
            let client_id = from(client, id)?;
            let subject_token = if oauth2.grant().has_subject() { from(seed, "subject_token")? } else { None };
            let found = Login { client_id, subject_token, ..Login::default() };
            if oauth2.client_authentication != Some(ClientAuthentication::PrivateKeyJwt) {
                return Ok(Login { client_secret: from(client, secret)?, ..found });
            }
            let client_key = client.map_or(Ok(None), |client| private_key(client, key))?;
            Login { client_key, client_key_id: from(client, key_id)?, ..found }
        }
        Beside::Keys(keys) => {
            let mut named = BTreeMap::new();
            for key in keys {
                named.extend(from(seed, key)?.map(|value| (key.to_owned(), value)));
            }
            Login { named, ..Login::default() }
        }
    })
}

/// A token of the ServiceAccount that an object names, with which it asks for its own.
pub(super) async fn service_account_token(
    cluster: &Cluster,
    namespace: &str,
    reference: &ServiceAccountRef,
) -> Result<SecretText, Unusable> {
    let name = &reference.name;
    let refuse = |what: String| Unusable::Refused(Reason::ServiceAccountTokenUnavailable, what);
    cluster.service_account_token(namespace, name, &reference.audience).await.map_err(|trouble| match trouble {
        Trouble::Missing => refuse(format!("ServiceAccount {name} does not exist: create it")),
        Trouble::Denied => refuse(format!(
            "the API server gives the operator no token of ServiceAccount {name}: allow it to create serviceaccounts/token (chart: \
             serviceAccountTokens.enabled=true), and mend the audience if the API server refuses it"
        )),
        Trouble::Conflict | Trouble::Unclear => Unusable::Unavailable,
    })
}

/// Whether a refresh needs more than the state holds.
pub(super) fn needs_login(provider: &ProviderSpec) -> bool {
    provider.api().beside() != Beside::Nothing
}

/// A private key in a Secret.
fn private_key(secret: &Secret, key: &str) -> Result<Option<SigningKey>, Unusable> {
    let Some(pem) = secret.data.as_ref().and_then(|data| data.get(key)).filter(|pem| !pem.0.is_empty()) else { return Ok(None) };
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let refuse = |what: String| Unusable::Refused(Reason::SeedInvalid, format!("Secret {name}, key {key}: {what}"));
    if pem.0.len() > LARGEST_TOKEN {
        return Err(refuse("larger than 16 KiB, which no private key is".to_owned()));
    }
    SigningKey::parse(&pem.0).map(Some).map_err(|why| refuse(why.to_string()))
}

/// A value of a Secret: present, one line of text, not too large. An empty one counts as absent.
fn value(secret: &Secret, key: &str) -> Result<Option<SecretText>, Unusable> {
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { return Ok(None) };
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let refuse = |what: &str| Err(Unusable::Refused(Reason::SeedInvalid, format!("Secret {name}, key {key}: {what}")));
    if bytes.0.len() > LARGEST_TOKEN {
        return refuse("larger than 16 KiB, which no token API accepts");
    }
    let Ok(text) = std::str::from_utf8(&bytes.0) else { return refuse("not UTF-8 text") };
    if text.chars().any(char::is_control) {
        return refuse(
            "holds a line break or another control character, often a trailing newline: write it with printf, not echo",
        );
    }
    Ok((!text.is_empty()).then(|| SecretText::new(text)))
}

/// Whether somebody who may write the Secret has given it to this operator.
fn is_seed(secret: &Secret) -> bool {
    secret.metadata.labels.as_ref().and_then(|labels| labels.get(ROLE_LABEL)).is_some_and(|role| role == "seed")
}
