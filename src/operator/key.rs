//! The operator's keys: all follow from one Secret in its own namespace, made at the first start and never changed.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use zeroize::Zeroizing;

use super::cluster::{Cluster, Trouble};
use super::journal::{JournalError, JournalKey};
use crate::token::FingerprintKey;

/// Name of the Secret.
pub const KEY_SECRET: &str = "refreshable-token-operator-key";
const KEY: &str = "fingerprint-key";

/// What follows from the Secret.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The key of all fingerprints.
    pub fingerprint: FingerprintKey,
    /// The keys of the journal.
    pub journal: JournalKey,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The namespace is missing or may not be used.
    #[error(
        "Secret {KEY_SECRET} in namespace {namespace} can be neither read nor created ({trouble:?}): create the namespace, or name another one with --operator-namespace, and allow get and create of Secrets there"
    )]
    Refused {
        /// The operator's namespace.
        namespace: String,
        /// What the API server's answer proves.
        trouble: Trouble,
    },
    /// The Secret was edited.
    #[error(
        "Secret {KEY_SECRET} in namespace {namespace} has no key {KEY} of at least 32 bytes: restore it, because with another key no seed and no spent token would be recognised"
    )]
    Damaged {
        /// The operator's namespace.
        namespace: String,
    },
    /// The machine has no randomness.
    #[error("the machine gives no random bytes")]
    NoRandomness,
    /// No key of the journal follows from the Secret.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Reads the Secret, or makes it.
pub async fn keys(cluster: &Cluster, namespace: &str) -> Result<Keys, KeyError> {
    if let Some(keys) = look(cluster, namespace).await? {
        return Ok(keys);
    }
    match cluster.create_secret(namespace, &fresh()?).await {
        Ok(secret) => read(secret, namespace),
        // Another replica was first.
        Err(Trouble::Conflict) => {
            let refused = || KeyError::Refused { namespace: namespace.to_owned(), trouble: Trouble::Missing };
            look(cluster, namespace).await?.ok_or_else(refused)
        }
        Err(trouble) => Err(KeyError::Refused { namespace: namespace.to_owned(), trouble }),
    }
}

/// Reads the Secret; none if it is not there yet.
pub async fn look(cluster: &Cluster, namespace: &str) -> Result<Option<Keys>, KeyError> {
    match cluster.secret(namespace, KEY_SECRET).await {
        Ok(secret) => read(secret, namespace).map(Some),
        Err(Trouble::Missing) => Ok(None),
        Err(trouble) => Err(KeyError::Refused { namespace: namespace.to_owned(), trouble }),
    }
}

fn read(secret: Secret, namespace: &str) -> Result<Keys, KeyError> {
    let bytes = secret.data.and_then(|mut data| data.remove(KEY)).map(|bytes| Zeroizing::new(bytes.0)).unwrap_or_default();
    if bytes.len() < FingerprintKey::LENGTH {
        return Err(KeyError::Damaged { namespace: namespace.to_owned() });
    }
    Ok(Keys { fingerprint: FingerprintKey::new(&bytes), journal: JournalKey::derive(&bytes)? })
}

fn fresh() -> Result<Secret, KeyError> {
    let mut bytes = vec![0; FingerprintKey::LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
    let metadata = ObjectMeta { name: Some(KEY_SECRET.to_owned()), ..ObjectMeta::default() };
    let data = BTreeMap::from([(KEY.to_owned(), ByteString(bytes))]);
    Ok(Secret { metadata, data: Some(data), immutable: Some(true), ..Secret::default() })
}
