//! Another object with the better right to a Secret or to a token.

use std::collections::HashMap;
use std::sync::Arc;

use kube::ResourceExt as _;

use super::cluster::{Owner, is_owned_by};
use super::guarded::Guarded;
use crate::api::{Reason, RefreshableToken, RefreshableTokenStatus};
use crate::refresh::decide::Rival;
use crate::token::Fingerprint;

/// The object that stands in the way of `mine` beginning a chain with the seed of that fingerprint.
///
/// `reissued`: `mine` has credentials that bring each token anew, which many can use.
///
/// Names belong to the object whose chain has begun, else to the older one. A token belongs to whoever has taken it, however
/// young that object is.
pub(super) fn find(
    mine: &RefreshableToken,
    reissued: bool,
    seed: Option<&Fingerprint>,
    objects: &[Arc<Guarded<RefreshableToken>>],
) -> Option<Rival> {
    let others = objects.iter().filter_map(|other| other.0.as_ref().ok());
    let mut others = others.filter(|other| other.metadata.uid != mine.metadata.uid);
    let state = mine.spec.state_secret_name(&mine.name_any());
    others.find_map(|other| same_token(other, seed).or_else(|| same_name(mine, &state, reissued, other)))
}

/// Who has taken which token, as the API server knew it when it was asked.
///
/// A watch can be minutes behind. That is no danger as long as one replica begins all chains, for it remembers what it did; whoever takes over
/// from it has to ask.
#[derive(Debug, Default)]
pub(super) struct Taken {
    by: HashMap<String, Owner>,
}

impl Taken {
    /// Takes in what an object has taken.
    pub(super) fn note(&mut self, object: &RefreshableToken) {
        self.by.extend(tokens_of(object).map(|token| (token.clone(), Owner::of(object))));
    }

    /// Another object than that of this UID that has taken a token. It may be gone by now.
    pub(super) fn by_another(&self, uid: &str, token: &Fingerprint) -> Option<&Owner> {
        self.by.get(token.as_str()).filter(|owner| owner.uid != uid)
    }
}

/// What stands in the way of a chain with the token of `taker`, if `object` is still that one.
pub(super) fn still(taker: &Owner, object: &RefreshableToken) -> Option<Rival> {
    is_owned_by(object, &taker.uid).then(|| seed_in_use(object))
}

fn who(object: &RefreshableToken) -> String {
    format!("RefreshableToken {}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn seed_in_use(other: &RefreshableToken) -> Rival {
    let message = format!("{} uses the same seed: a refresh token can begin one chain only", who(other));
    Rival { reason: Reason::SeedInUse, message }
}

fn same_token(other: &RefreshableToken, seed: Option<&Fingerprint>) -> Option<Rival> {
    let seed = seed?.as_str();
    tokens_of(other).any(|taken| taken == seed).then(|| seed_in_use(other))
}

/// The tokens that an object's chain has begun with, or has spent.
fn tokens_of(object: &RefreshableToken) -> impl Iterator<Item = &String> {
    object.status.iter().flat_map(|status| status.seed.iter().map(|seed| &seed.fingerprint).chain(&status.spent_fingerprints))
}

/// Asked of each other object whenever a chain begins: with ten thousand of them whatever is copied here is copied a hundred million times.
fn same_name(mine: &RefreshableToken, state: &str, reissued: bool, other: &RefreshableToken) -> Option<Rival> {
    if other.metadata.namespace != mine.metadata.namespace {
        return None;
    }
    let same_seed = other.spec.credential.seed_secret_ref.name == mine.spec.credential.seed_secret_ref.name;
    let same_state = other.metadata.name.as_deref().is_some_and(|name| other.spec.has_state_secret(name, state));
    let taken = |name: &str| other.spec.outputs.iter().any(|output| output.secret_name == name);
    let shared = mine.spec.outputs.iter().find(|output| taken(&output.secret_name));
    if !(same_seed || same_state || shared.is_some()) || rank(other) > rank(mine) {
        return None;
    }
    if same_seed && !reissued {
        return Some(seed_in_use(other));
    }
    if same_state {
        let message = format!("{} uses the same state Secret {state}: choose another stateSecretName", who(other));
        return Some(Rival { reason: Reason::StateConflict, message });
    }
    let shared = shared?;
    let message = format!("{} writes the same output Secret {}", who(other), shared.secret_name);
    Some(Rival { reason: Reason::OutputConflict, message })
}

fn rank(object: &RefreshableToken) -> impl Ord + use<> {
    let begun = |status: &RefreshableTokenStatus| status.seed.is_some();
    (!object.status.as_ref().is_some_and(begun), object.creation_timestamp(), object.uid())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, seed: &str, spent: &[&str]) -> RefreshableToken {
        let object = json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken",
            "metadata": {"name": name, "namespace": "build", "uid": uid},
            "spec": {
                "provider": {"jfrogAccess": {"url": "https://art.example.com"}},
                "credential": {"seedSecretRef": {"name": "seed"}}, "outputs": [{"secretName": "out", "opaque": {}}],
            },
            "status": {"seed": {"fingerprint": seed, "resourceVersion": "1"}, "spentFingerprints": spent},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_token_that_the_api_server_knew_of_is_taken_and_by_whom() {
        let (mut taken, first) = (Taken::default(), object("first", "1", "hmac:a", &["hmac:b"]));
        taken.note(&first);
        taken.note(&object("second", "2", "hmac:c", &[]));
        let by = |uid: &str, token: &str| taken.by_another(uid, &Fingerprint::from_stored(token));
        for token in ["hmac:a", "hmac:b"] {
            let other = by("2", token).unwrap();
            assert_eq!(still(other, &first).unwrap().reason, Reason::SeedInUse);
            assert_eq!(still(other, &object("first", "3", "hmac:a", &[])), None, "another object has its name now");
            assert_eq!(by("1", token), None, "it is its own");
        }
        assert_eq!(by("1", "hmac:d"), None);
    }
}
