//! The endpoints of an authorization server that is known by its issuer identifier.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{Resolved, lock};
use crate::api::{ProviderSpec, Reason};
use crate::operator::Context;
use crate::operator::credential::{Unusable, outfit};
use crate::provider::{Delivery, Endpoints, endpoints, metadata_requests};

/// How long metadata count as known. Our choice: endpoints move once in years, and their server announces it.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// How soon they are asked for again after that failed. Our choice: many objects may wait for one server.
const AGAIN: Duration = Duration::from_secs(30);

/// What servers have told.
#[derive(Default)]
pub(in crate::operator) struct Discovered {
    /// By where the Secrets and ConfigMaps are with which the server is called, and its issuer identifier.
    known: Mutex<HashMap<(String, String), Known>>,
}

impl Discovered {
    /// Has whoever could not be asked with what is in `home` asked again at the next look.
    pub(super) fn forget_failed(&self, home: &str) {
        lock(&self.known).retain(|(place, _), known| place != home || known.told.is_ok());
    }
}

#[derive(Clone)]
struct Known {
    /// When it was asked, on the clock that counts suspend.
    asked: Duration,
    told: Result<Endpoints, Unusable>,
}

impl Context {
    /// Puts the endpoints in the place of the issuer identifier.
    pub(super) async fn discover(&self, mut provider: Resolved) -> Result<Resolved, Unusable> {
        let issuer = match &provider.spec {
            ProviderSpec::Oauth2(oauth2) if oauth2.token_url.is_empty() => oauth2.issuer_url.clone(),
            _ => None,
        };
        let Some(issuer) = issuer else { return Ok(provider) };
        let found = self.endpoints(&provider, &issuer).await?;
        if let ProviderSpec::Oauth2(oauth2) = &mut provider.spec {
            oauth2.token_url = found.token;
            oauth2.issuer_url = None;
            oauth2.revocation_url = oauth2.revocation_url.take().or(found.revocation);
            oauth2.introspection_url = oauth2.introspection_url.take().or(found.introspection);
        }
        Ok(provider)
    }

    async fn endpoints(&self, provider: &Resolved, issuer: &str) -> Result<Endpoints, Unusable> {
        let key = (provider.home.clone(), issuer.to_owned());
        let now = self.clock.since_boot();
        let known = lock(&self.providers.discovered.known).get(&key).cloned();
        if let Some(Known { asked, told }) = &known {
            let lasts = if told.is_ok() { KNOWN_FOR } else { AGAIN };
            if now.saturating_sub(*asked) < lasts {
                return told.clone();
            }
        }
        let told = match (self.ask(provider, issuer).await, known.map(|known| known.told)) {
            (Err(_), Some(Ok(before))) => Ok(before),
            (told, _) => told,
        };
        lock(&self.providers.discovered.known).insert(key, Known { asked: now, told: told.clone() });
        told
    }

    async fn ask(&self, provider: &Resolved, issuer: &str) -> Result<Endpoints, Unusable> {
        let failed =
            |what: &str| Unusable::Refused(Reason::DiscoveryFailed, format!("the metadata of issuerURL cannot be read: {what}"));
        let requests = metadata_requests(issuer).map_err(|why| failed(&why.to_string()))?;
        let connection = outfit::read(&self.cluster, &provider.home, &provider.spec).await?.on(&provider.connection());
        let mut why = String::new();
        for request in requests {
            match self.calls.send(&request, &connection).await {
                Delivery::Answered(reply) => match endpoints(issuer, &reply) {
                    Ok(found) => return Ok(found),
                    Err(no) => why = no.to_string(),
                },
                // The other address is at the same server.
                Delivery::NotSent(no) => return Err(failed(&no.to_string())),
                Delivery::Lost { why: lost, .. } => why = lost.to_string(),
            }
        }
        Err(failed(&why))
    }
}
