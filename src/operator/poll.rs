//! Instead of the watch of Secrets, where the operator may not list them: an object's Secrets are asked for by name.
//!
//! Each look at an object begins with it, and an object is looked at every five minutes at least: so long can a changed seed or
//! an edited output go unnoticed.

use std::time::Duration;

use futures::future::join_all;
use kube::ResourceExt as _;

use super::Context;
use super::cluster::Trouble;
use crate::api::{ProviderSpec, ROLE_LABEL, RefreshableToken};

/// How long an answer counts as new. Our choice: the looks that follow on our own writes need no other.
const NEW: Duration = Duration::from_secs(10);

impl Context {
    /// Brings what was seen of an object's Secrets up to date; metadata only.
    pub(super) async fn look_at_secrets(&self, object: &RefreshableToken) {
        let (uid, now) = (object.uid().unwrap_or_default(), self.clock.since_boot());
        if self.secrets_watch || !self.memory.looks_again(&uid, now, NEW) {
            return;
        }
        let namespace = object.namespace().unwrap_or_default();
        let spec = &object.spec;
        let seed = Some(spec.credential.seed_secret_ref.name.as_str());
        let provider = spec.provider.iter().flat_map(ProviderSpec::secrets);
        let outputs = spec.outputs.iter().map(|output| output.secret_name.as_str());
        let names = seed.into_iter().chain(provider).chain(outputs);
        join_all(names.map(|name| self.look_at(&namespace, name))).await;
    }

    async fn look_at(&self, namespace: &str, name: &str) {
        match self.cluster.secret_metadata(namespace, name).await {
            // What the watch would show.
            Ok(metadata) if metadata.labels.as_ref().is_some_and(|labels| labels.get(ROLE_LABEL).is_some()) => {
                self.seen.wrote(&metadata);
            }
            Ok(_) | Err(Trouble::Missing) => self.seen.forget(namespace, name),
            // What was seen before is the best there is.
            Err(Trouble::Conflict | Trouble::Denied | Trouble::Unclear) => {}
        }
    }
}
