//! The rules of `provider.oauth2` once more in code.

use std::collections::BTreeSet;

use super::{Invalid, check_key, check_name, check_url, one_line, require};
use crate::api::{BootstrapGrant, ClientAuthentication, ClientSecretRef, Grant, Oauth2, Rotation};

/// Checks what the manifest says of an authorization server.
pub(crate) fn check(spec: &Oauth2) -> Result<(), Invalid> {
    let named = spec.token_url.is_empty();
    let what = "must have exactly one of tokenURL and issuerURL";
    require(named == spec.issuer_url.is_some(), "spec.provider.oauth2", what)?;
    match &spec.issuer_url {
        Some(issuer) => check_url("spec.provider.oauth2.issuerURL", issuer, 1024, true)?,
        None => check_url("spec.provider.oauth2.tokenURL", &spec.token_url, 1024, true)?,
    }
    for (field, url) in [("revocationURL", &spec.revocation_url), ("introspectionURL", &spec.introspection_url)] {
        if let Some(url) = url {
            check_url(&format!("spec.provider.oauth2.{field}"), url, 1024, true)?;
        }
    }
    if let Some(client) = &spec.client_secret_ref {
        secret(client)?;
    }
    let grace = spec.grace_seconds.is_none_or(|seconds| (1..=86_400).contains(&seconds));
    require(grace, "spec.provider.oauth2.graceSeconds", "must be 1 to 86400")?;
    let together = (spec.rotation == Some(Rotation::Grace)) == spec.grace_seconds.is_some();
    require(together, "spec.provider.oauth2.graceSeconds", "belongs to rotation: Grace: set both or neither")?;
    client(spec)
}

fn secret(client: &ClientSecretRef) -> Result<(), Invalid> {
    check_name("spec.provider.oauth2.clientSecretRef.name", &client.name)?;
    check_key("spec.provider.oauth2.clientSecretRef.clientIDKey", client.client_id_key.as_deref())?;
    check_key("spec.provider.oauth2.clientSecretRef.clientSecretKey", client.client_secret_key.as_deref())?;
    check_key("spec.provider.oauth2.clientSecretRef.privateKeyKey", client.private_key_key.as_deref())?;
    check_key("spec.provider.oauth2.clientSecretRef.keyIDKey", client.key_id_key.as_deref())?;
    let keys = BTreeSet::from(client.keys());
    let what = "clientIDKey, clientSecretKey, privateKeyKey and keyIDKey must differ from each other";
    require(keys.len() == 4, "spec.provider.oauth2.clientSecretRef", what)
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
    let what = "belongs to grant: RefreshToken: with the others each token is obtained anew";
    require(refreshes || spec.bootstrap_grant.is_none(), "spec.provider.oauth2.bootstrapGrant", what)?;
    let what = "must not be None with bootstrapGrant: ClientCredentials";
    let fits = spec.bootstrap_grant != Some(BootstrapGrant::ClientCredentials) || !public;
    require(fits, "spec.provider.oauth2.clientAuthentication", what)?;
    let exchanges = spec.grant() == Grant::TokenExchange || spec.bootstrap_grant == Some(BootstrapGrant::TokenExchange);
    for (field, type_) in [("subjectTokenType", &spec.subject_token_type), ("requestedTokenType", &spec.requested_token_type)] {
        let field = format!("spec.provider.oauth2.{field}");
        require(type_.is_none() || exchanges, &field, "belongs to grant or bootstrapGrant: TokenExchange")?;
        one_line(&field, type_.as_deref(), 255)?;
    }
    Ok(())
}
