//! Another object with the better right to a Secret or to a token.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::core::DeserializeGuard;

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
    objects: &[Arc<DeserializeGuard<RefreshableToken>>],
) -> Option<Rival> {
    let others = objects.iter().filter_map(|other| other.0.as_ref().ok()).filter(|other| other.uid() != mine.uid());
    others.into_iter().find_map(|other| same_token(other, seed).or_else(|| same_name(mine, reissued, other)))
}

fn who(object: &RefreshableToken) -> String {
    format!("RefreshableToken {}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn seed_in_use(other: &RefreshableToken) -> Rival {
    let message = format!("{} uses the same seed: a refresh token can begin one chain only", who(other));
    Rival { reason: Reason::SeedInUse, message }
}

fn same_token(other: &RefreshableToken, seed: Option<&Fingerprint>) -> Option<Rival> {
    let (status, seed) = (other.status.as_ref()?, seed?.as_str());
    let begun_with = status.seed.as_ref().is_some_and(|taken| taken.fingerprint == seed);
    (begun_with || status.spent_fingerprints.iter().any(|spent| spent == seed)).then(|| seed_in_use(other))
}

fn same_name(mine: &RefreshableToken, reissued: bool, other: &RefreshableToken) -> Option<Rival> {
    if other.namespace() != mine.namespace() || rank(other) > rank(mine) {
        return None;
    }
    let state = mine.spec.state_secret_name(&mine.name_any());
    let same_seed = other.spec.credential.seed_secret_ref.name == mine.spec.credential.seed_secret_ref.name;
    if same_seed && !reissued {
        return Some(seed_in_use(other));
    }
    if other.spec.state_secret_name(&other.name_any()) == state {
        let message = format!("{} uses the same state Secret {state}: choose another stateSecretName", who(other));
        return Some(Rival { reason: Reason::StateConflict, message });
    }
    let taken = |name: &str| other.spec.outputs.iter().any(|output| output.secret_name == name);
    let shared = mine.spec.outputs.iter().find(|output| taken(&output.secret_name))?;
    let message = format!("{} writes the same output Secret {}", who(other), shared.secret_name);
    Some(Rival { reason: Reason::OutputConflict, message })
}

fn rank(object: &RefreshableToken) -> impl Ord + use<> {
    let begun = |status: &RefreshableTokenStatus| status.seed.is_some();
    (!object.status.as_ref().is_some_and(begun), object.creation_timestamp(), object.uid())
}
