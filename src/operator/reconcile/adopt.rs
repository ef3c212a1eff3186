//! What a chain is begun with, and who stands in its way.

use kube::runtime::controller::Action;

use super::{Turn, UNAVAILABLE_PAUSE};
use crate::operator::cluster::Trouble;
use crate::operator::credential::{self, Unusable};
use crate::operator::provider::Resolved;
use crate::operator::rival;
use crate::provider::Semantics;
use crate::refresh::decide::{Rival, SeedView};
use crate::refresh::exchange::Seed;

impl Turn {
    pub(super) async fn read_seed(&mut self, resolved: &Resolved) -> Result<(), Action> {
        let reference = &self.object.spec.credential.seed_secret_ref;
        let provider = self.offer(resolved);
        let read = match credential::opted_in(&self.context.cluster, &self.namespace, &reference.name).await {
            Ok(secret) => {
                let seed = credential::seed(&secret, &self.name, &provider, &self.object.spec.credential, &self.context.key);
                seed.map(|seed| (secret, seed))
            }
            Err(unusable) => Err(unusable),
        };
        self.seed = match read {
            Ok((secret, seed)) => {
                let resource_version = secret.metadata.resource_version.clone().unwrap_or_default();
                self.seed_secret = Some(secret);
                SeedView::Read { resource_version, seed }
            }
            Err(Unusable::Refused(reason, message)) => SeedView::Unusable { reason, message },
            Err(Unusable::Unavailable) => return Err(Action::requeue(UNAVAILABLE_PAUSE)),
        };
        Ok(())
    }

    /// The seed, if this look has read a usable one.
    pub(super) fn seed_that_was_read(&self) -> Option<&Seed> {
        match &self.seed {
            SeedView::Read { seed, .. } => Some(seed),
            SeedView::Seen(_) | SeedView::NotSeen | SeedView::Unusable { .. } => None,
        }
    }

    /// The object that stands in the way of a chain that begins with this seed.
    pub(super) async fn find_rival(&self, resolved: &Resolved) -> Result<Option<Rival>, Action> {
        let fingerprint = self.seed_that_was_read().map(|seed| &seed.fingerprint);
        let reissued = self.offer(resolved).semantics() == Semantics::Reissue;
        let rival = rival::find(&self.object, reissued, fingerprint, &self.context.objects());
        let (None, Some(fingerprint)) = (&rival, fingerprint) else { return Ok(rival) };
        // Nor one that the watches do not show yet.
        let unavailable = || Action::requeue(UNAVAILABLE_PAUSE);
        let taken = self.context.taken(&self.work.hold).await.ok_or_else(unavailable)?;
        let Some(other) = taken.by_another(&self.uid, fingerprint) else { return Ok(None) };
        match self.context.cluster.object(&other.namespace, &other.name).await {
            Ok(object) => Ok(rival::still(other, &object)),
            Err(Trouble::Missing) => Ok(None),
            Err(_) => Err(unavailable()),
        }
    }
}
