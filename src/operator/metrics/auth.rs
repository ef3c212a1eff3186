//! Who may read `/metrics`: whoever the API server knows by a bearer token (TokenReview) and lets `get` the nonResourceURL
//! `/metrics` (SubjectAccessReview), as the components of Kubernetes do it. What cannot be asked is refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::operator::cluster::{Cluster, Trouble};

/// How long an answer holds. Our choice: with a scrape every 15 s the API server is asked once for four of them, and
/// who loses the right to read loses the metrics within a minute.
const ALLOWED_FOR: Duration = Duration::from_secs(60);
/// How long a refusal holds. Our choice: a wrong token costs the API server little, and a role that was just bound works soon.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How many answers are kept. Our choice: a few scrapers, each with a token that changes within the hour.
const MOST_KEPT: usize = 64;
/// How many tokens are asked about at once. Our choice: whoever floods the listener shall not flood the API server.
const AT_ONCE: usize = 4;
/// The path that is judged.
const PATH: &str = "/metrics";

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its bearer may read.
    Allowed,
    /// There is no token, or nobody knows it.
    Unauthenticated,
    /// Its bearer may not read.
    Forbidden,
    /// The API server gave no clear answer.
    Unclear,
}

/// Asks the API server and keeps its answers for a while.
pub struct Gate {
    cluster: Cluster,
    /// By the digest of the token.
    kept: Mutex<HashMap<Vec<u8>, (Verdict, Instant)>>,
    asking: Semaphore,
    /// The last question had no clear answer, and the log says so.
    unclear: AtomicBool,
}

impl Gate {
    /// A gate that has asked nothing yet.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, kept: Mutex::default(), asking: Semaphore::new(AT_ONCE), unclear: AtomicBool::new(false) }
    }

    /// Judges the bearer of a header field `Authorization`.
    pub async fn judge(&self, authorization: Option<&HeaderValue>) -> Verdict {
        let Some(token) = authorization.and_then(bearer) else { return Verdict::Unauthenticated };
        let key = digest(&SHA256, token.as_bytes()).as_ref().to_vec();
        if let Some(verdict) = self.known(&key) {
            return verdict;
        }
        // The semaphore is never closed.
        let _place = self.asking.acquire().await;
        // Another request may have asked about the same token meanwhile.
        if let Some(verdict) = self.known(&key) {
            return verdict;
        }
        let answer = self.ask(token).await;
        let unclear = self.unclear.swap(answer.is_err(), Ordering::Relaxed);
        let verdict = answer.unwrap_or_else(|trouble| {
            // Once, and not at every scrape.
            if !unclear {
                tracing::warn!(
                    ?trouble,
                    "nobody can be let in to /metrics: allow create of tokenreviews and subjectaccessreviews"
                );
            }
            Verdict::Unclear
        });
        self.keep(key, verdict);
        verdict
    }

    async fn ask(&self, token: &str) -> Result<Verdict, Trouble> {
        let Some(user) = self.cluster.bearer(token).await? else { return Ok(Verdict::Unauthenticated) };
        let allowed = self.cluster.may_get(user, PATH).await?;
        Ok(if allowed { Verdict::Allowed } else { Verdict::Forbidden })
    }

    fn known(&self, key: &[u8]) -> Option<Verdict> {
        let kept = self.lock();
        kept.get(key).filter(|(_, until)| Instant::now() < *until).map(|(verdict, _)| *verdict)
    }

    fn keep(&self, key: Vec<u8>, verdict: Verdict) {
        let time = match verdict {
            Verdict::Allowed => ALLOWED_FOR,
            Verdict::Unauthenticated | Verdict::Forbidden => REFUSED_FOR,
            Verdict::Unclear => return,
        };
        let now = Instant::now();
        let mut kept = self.lock();
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, (_, until)| now < *until);
        }
        // What is good is not pushed out by a flood of what is not.
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, (verdict, _)| *verdict == Verdict::Allowed);
        }
        if kept.len() < MOST_KEPT {
            kept.insert(key, (verdict, now + time));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, (Verdict, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `Bearer <token>` (RFC 6750 section 2.1; the scheme's case does not matter).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_token() {
        let token = |text| bearer(&HeaderValue::from_static(text)).map(str::to_owned);
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer abc").as_deref(), Some("abc"));
        assert_eq!((token("Basic abc"), token("Bearer "), token("Bearer"), token("abc")), (None, None, None, None));
    }
}
