//! Escrow Secrets: where a new pair waits, in the operator's own namespace, while its state Secret cannot be written.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams};

use super::{Cluster, Owner, Trouble, bounded, labels, named, writer};
use crate::api::ROLE_LABEL;
use crate::operator::metrics::SecretWrite;
use crate::refresh::exchange::Memento;
use crate::refresh::journal::{Entry, escrow_name};

/// Key of the entry.
const ENTRY: &str = "entry.json";
/// Says for people whose new token it is: `<namespace>/<name>`.
const OBJECT_ANNOTATION: &str = "refreshabletoken.io/object";

impl Cluster {
    /// Creates the escrow Secret of an entry's claim; whether it stands now.
    pub async fn write_escrow(&self, namespace: &str, owner: &Owner, entry: &Entry) -> bool {
        let name = escrow_name(entry.claim());
        if named(&name).is_err() {
            return false;
        }
        let object = format!("{}/{}", owner.namespace, owner.name);
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels("escrow", &owner.name)),
            annotations: Some(BTreeMap::from([(OBJECT_ANNOTATION.to_owned(), object)])),
            ..ObjectMeta::default()
        };
        let data = BTreeMap::from([(ENTRY.to_owned(), ByteString(entry.encode()))]);
        let secret = Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() };
        match self.written(SecretWrite::Create, self.secrets(namespace).create(&writer(false), &secret)).await {
            Ok(_) => true,
            // An earlier try whose answer was lost, or another entry of this claim: only the same contents are as good.
            Err(Trouble::Conflict | Trouble::Unclear) => {
                matches!(self.read_escrow(namespace, entry.claim()).await, Memento::Entry(found) if *found == *entry)
            }
            Err(Trouble::Missing | Trouble::Denied) => false,
        }
    }

    /// GET the escrow Secret of a claim.
    pub async fn read_escrow(&self, namespace: &str, claim: &str) -> Memento {
        match self.secret(namespace, &escrow_name(claim)).await {
            Ok(secret) => read(secret).map_or(Memento::Unclear, |entry| Memento::Entry(Box::new(entry))),
            Err(Trouble::Missing) => Memento::Nothing,
            Err(Trouble::Conflict | Trouble::Denied | Trouble::Unclear) => Memento::Unclear,
        }
    }

    /// Deletes the escrow Secret of a claim; whether it is gone now.
    pub async fn delete_escrow(&self, namespace: &str, claim: &str) -> bool {
        let name = escrow_name(claim);
        if named(&name).is_err() {
            return true;
        }
        let deleted = self.written(SecretWrite::Delete, self.secrets(namespace).delete(&name, &DeleteParams::default())).await;
        matches!(deleted, Ok(_) | Err(Trouble::Missing))
    }

    /// Every entry in escrow. Secrets that hold none are left alone.
    pub async fn escrows(&self, namespace: &str) -> Result<Vec<Entry>, Trouble> {
        let all = ListParams::default().labels(&format!("{ROLE_LABEL}=escrow"));
        let secrets = bounded(self.secrets(namespace).list(&all)).await?;
        Ok(secrets.items.into_iter().filter_map(read).collect())
    }
}

fn read(secret: Secret) -> Option<Entry> {
    let entry = secret.data.and_then(|mut data| data.remove(ENTRY))?;
    Entry::decode(&entry.0)
}
