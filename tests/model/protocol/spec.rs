//! The object that the model is about.

use refreshable_token_operator::api::{
    Credential, Oauth2, Opaque, OutputSpec, ProviderSpec, RefreshableTokenSpec, Rotation, SeedSecretRef,
};
use refreshable_token_operator::refresh::journal::Place;
use refreshable_token_operator::refresh::state::Owner;

use super::status::OUTPUT;
use super::variant::Promise;

/// An OAuth 2.0 chain with one output.
pub fn spec(promise: Promise) -> RefreshableTokenSpec {
    let (rotation, grace_seconds) = match promise {
        Promise::Strict => (Rotation::Strict, None),
        Promise::Grace(seconds) => (Rotation::Grace, Some(seconds)),
        Promise::IdempotencyKey => (Rotation::IdempotencyKey, None),
    };
    let seed = SeedSecretRef {
        name: "seed".to_owned(),
        access_token_key: None,
        refresh_token_key: None,
        username_key: None,
        password_key: None,
    };
    let oauth2 = Oauth2 {
        token_url: "https://issuer.example.com/token".to_owned(),
        rotation: Some(rotation),
        grace_seconds,
        ..Oauth2::default()
    };
    let output = OutputSpec { secret_name: OUTPUT.to_owned(), opaque: Some(Opaque::default()), ..OutputSpec::default() };
    RefreshableTokenSpec {
        rollout: None,
        deletion_policy: None,
        suspend: None,
        provider: Some(ProviderSpec::Oauth2(Box::new(oauth2))),
        provider_ref: None,
        credential: Credential { seed_secret_ref: seed, service_account_ref: None, bootstrap: None },
        state_secret_name: None,
        recovery: None,
        request: None,
        refresh: None,
        outputs: vec![output],
    }
}

/// The token API of that object.
#[expect(clippy::unwrap_used, reason = "it has one of its own, see above")]
pub fn api(spec: &RefreshableTokenSpec) -> &ProviderSpec {
    spec.provider.as_ref().unwrap()
}

/// Where the state Secret is.
pub fn place() -> Place {
    Place { namespace: "default".to_owned(), state_secret: "token-state".to_owned() }
}

/// Whom the chain belongs to.
pub fn owner() -> Owner {
    Owner { cluster: "cluster".to_owned(), name: "token".to_owned(), uid: "object".to_owned() }
}
