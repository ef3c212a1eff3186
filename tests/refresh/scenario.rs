//! Where an attack begins: specs, seeds, and objects that have come some way.

use refreshable_token_operator::api::{
    Credential, Grant, Oauth2, Opaque, OutputSpec, ProviderSpec, RefreshableTokenSpec, Rotation, SeedSecretRef,
};
use refreshable_token_operator::refresh::exchange::Seed;
use refreshable_token_operator::token::{FingerprintKey, HeldTokens, Purpose, RefreshToken};

use super::issuer::{Issuer, Kind};
use super::operator::Operator;
use super::plan::{Fault, Plan};
use super::world::World;

pub const KINDS: [Kind; 4] = [Kind::Strict, Kind::Grace(30), Kind::IdempotencyKey, Kind::Reusable];

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing but the object and its seed.
    First,
    /// One refresh is done, the next is due.
    Steady,
    /// The same, after a failure: the full preflight is due.
    AfterFailure,
    /// A running chain, and a new seed.
    NewSeed,
    /// A new object over the state Secret that an older one of its name left.
    Retained,
}

pub const STARTS: [Start; 5] = [Start::First, Start::Steady, Start::AfterFailure, Start::NewSeed, Start::Retained];

pub fn output(name: &str) -> OutputSpec {
    let opaque = Opaque { expiration_time_key: Some("until".into()), ..Opaque::default() };
    OutputSpec { secret_name: name.into(), opaque: Some(opaque), ..OutputSpec::default() }
}

pub fn spec(kind: Kind) -> RefreshableTokenSpec {
    let (rotation, grace_seconds) = match kind {
        Kind::Strict => (Some(Rotation::Strict), None),
        Kind::Grace(seconds) => (Some(Rotation::Grace), Some(seconds)),
        Kind::IdempotencyKey => (Some(Rotation::IdempotencyKey), None),
        Kind::Reusable => (Some(Rotation::Reusable), None),
        Kind::Reissue => (None, None),
    };
    let seed = SeedSecretRef {
        name: "seed".into(),
        access_token_key: None,
        refresh_token_key: None,
        username_key: None,
        password_key: None,
    };
    RefreshableTokenSpec {
        suspend: None,
        provider: Some(ProviderSpec::Oauth2(Box::new(Oauth2 {
            token_url: "https://issuer.example.com/token".into(),
            grant: (kind == Kind::Reissue).then_some(Grant::ClientCredentials),
            rotation,
            grace_seconds,
            ..Oauth2::default()
        }))),
        provider_ref: None,
        credential: Credential { seed_secret_ref: seed, service_account_ref: None, bootstrap: None },
        state_secret_name: None,
        recovery: None,
        request: None,
        refresh: None,
        outputs: vec![output("out")],
        rollout: None,
        deletion_policy: None,
    }
}

pub fn seed(key: &FingerprintKey, token: &str) -> Seed {
    let tokens = HeldTokens { refresh_token: Some(RefreshToken::new(token)), ..HeldTokens::default() };
    Seed { tokens, fingerprint: key.fingerprint(Purpose::Token, token.as_bytes()) }
}

/// Puts the first token of a new chain into the seed; or new credentials, where they bring each token.
pub fn plant(world: &mut World) {
    let token = world.issuer.begin();
    let version = world.next();
    let mut seed = seed(&world.key, &token);
    if world.issuer.kind == Kind::Reissue {
        seed.tokens = HeldTokens::default();
    }
    world.seed = Some((version, seed));
}

pub fn begin(kind: Kind, start: Start) -> (World, Operator) {
    let mut world = World::new(Issuer::new(kind), spec(kind));
    plant(&mut world);
    let mut operator = Operator::new(1);
    if start == Start::First {
        return (world, operator);
    }
    operator.settle(&mut world, &mut Plan::none());
    assert_eq!(world.status.chain_generation, Some(1));
    world.now = world.status.next_refresh_time.unwrap();
    match start {
        Start::First | Start::Steady => {}
        Start::AfterFailure => {
            let failure = Plan::with([(3, Fault::Http(429, false)), (1, Fault::Denied)]);
            operator.settle(&mut world, &mut failure.clone());
            assert_eq!(world.status.consecutive_failures, Some(1), "{:?}", world.status);
            world.now = world.status.next_refresh_time.unwrap();
        }
        Start::NewSeed => plant(&mut world),
        Start::Retained => {
            world.uid = "object-2".into();
            world.status = refreshable_token_operator::api::RefreshableTokenStatus::default();
            world.object_version = world.next();
            world.generation = 1;
            world.outputs.clear();
            operator = Operator::new(2);
        }
    }
    (world, operator)
}
