//! What became of a chain. The issuer knows what was presented and what is newest; the cluster shows what is held.

use std::collections::BTreeMap;
use std::time::Duration;

use refreshable_token_operator::api::{ConditionStatus, ConditionType, RefreshableToken};
use testbed::issuer::{Operation, Presentation};
use testbed::proxy::Side;
use tokio::time::Instant;

use super::case::{Case, NAME};
use super::world::world;

/// How often a case is looked at.
const LOOK: Duration = Duration::from_millis(60);

/// What became of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest pair stands in the state Secret and in the output, and no claim is open.
    WentOn,
    /// The newest refresh token is held, and the object says why it is not used.
    Waits(String),
    /// The newest refresh token is held nowhere, and the object says so.
    Lost(String),
    /// Neither, until patience ended; the text tells how it stood.
    Unclear(String),
}

/// How a case stands at one moment.
#[derive(Debug, Default)]
struct View {
    refresh_token: Option<String>,
    access_token: Option<String>,
    claimed: bool,
    seed: Option<String>,
    output: Option<String>,
    stalled: Option<String>,
}

impl Case {
    /// Refresh tokens of this chain that were presented when they were spent. The one late repeat of a token whose answer was lost is not
    /// counted: once, and not before its access token has ended (protocol, step 13).
    pub fn double_spends(&self) -> u64 {
        let mut late = BTreeMap::new();
        let mut doubles = 0;
        for presentation in self.presentations().into_iter().filter(|presentation| presentation.was_spent) {
            let token = presentation.token.unwrap_or_default();
            let chains = world().issuer.chains();
            let pairs = chains.into_iter().filter(|chain| chain.id == self.pair.chain).flat_map(|chain| chain.pairs);
            let expiry = pairs.into_iter().find(|pair| pair.refresh() == token).and_then(|pair| pair.expires_at);
            let repeats = late.entry(token).or_insert(0);
            *repeats += 1;
            if *repeats > 1 || expiry.is_none_or(|expiry| presentation.at < expiry) {
                doubles += 1;
            }
        }
        doubles
    }

    /// Requests to refresh this chain that reached the issuer.
    pub fn presentations(&self) -> Vec<Presentation> {
        let ours = |seen: &Presentation| seen.chain == Some(self.pair.chain) && seen.operation == Operation::Refresh;
        world().issuer.log().into_iter().filter(ours).collect()
    }

    /// How often this chain was to be refreshed, whether or not the request reached the issuer.
    pub fn calls(&self) -> usize {
        self.script.seen().iter().filter(|seen| seen.side == Side::TokenApi).count()
    }

    /// Whether the state Secret holds the newest pair now.
    pub async fn holds_newest(&self) -> anyhow::Result<bool> {
        let newest = world().issuer.newest(self.pair.chain);
        let view = self.view().await?;
        Ok(newest
            .is_some_and(|newest| view.refresh_token == newest.refresh_token && view.access_token == Some(newest.access_token)))
    }

    /// Generation of the issuer's newest pair.
    pub fn newest(&self) -> usize {
        world().issuer.newest(self.pair.chain).map_or(0, |pair| pair.generation)
    }

    /// Waits until the chain has come to rest, at this generation or a later one.
    pub async fn settled(&self, generation: usize, patience: Duration) -> anyhow::Result<Verdict> {
        self.settled_beyond(&[], generation, patience).await
    }

    /// The same, while the object may be stalled for these reasons: they are expected to pass.
    pub async fn settled_beyond(&self, passing: &[&str], generation: usize, patience: Duration) -> anyhow::Result<Verdict> {
        let begun = Instant::now();
        let mut stood = None;
        loop {
            let view = self.view().await?;
            let newest = world().issuer.newest(self.pair.chain);
            let newest = newest.as_ref().unwrap_or(&self.pair);
            let token = newest.refresh_token.as_ref();
            let held = view.refresh_token.as_ref() == token || (newest.generation == 0 && view.seed.as_ref() == token);
            let published = view.access_token.as_ref() == Some(&newest.access_token) && view.output == view.access_token;
            if held && published && !view.claimed && newest.generation >= generation {
                return Ok(Verdict::WentOn);
            }
            // Looked at twice: a condition may be older than what is under way.
            let stalled = view.stalled.clone().filter(|reason| !passing.contains(&reason.as_str()));
            let stands = stalled.map(|reason| (reason, held));
            if let Some((reason, held)) = stands.clone().filter(|_| stands == stood) {
                return Ok(if held { Verdict::Waits(reason) } else { Verdict::Lost(reason) });
            }
            stood = stands;
            if begun.elapsed() > patience {
                return Ok(Verdict::Unclear(format!(
                    "newest token {}, generation {} of {generation}, published {published}, claimed {}, stalled {:?}",
                    if held { "held" } else { "held nowhere" },
                    newest.generation,
                    view.claimed,
                    view.stalled
                )));
            }
            tokio::time::sleep(if stood.is_some() { LOOK * 5 } else { LOOK }).await;
        }
    }

    async fn view(&self) -> anyhow::Result<View> {
        let mut view = View::default();
        let mut state = self.values(&format!("{NAME}-state")).await?;
        let facts: serde_json::Value =
            state.remove("state.json").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        view.claimed = !facts["claim"].is_null();
        (view.refresh_token, view.access_token) = (state.remove("refresh_token"), state.remove("access_token"));
        view.seed = self.values(&format!("{NAME}-seed")).await?.remove("refresh_token");
        view.output = self.values(&format!("{NAME}-token")).await?.remove("access_token");
        view.stalled = self.objects().get_opt(NAME).await?.as_ref().and_then(stalled);
        Ok(view)
    }

    /// A Secret's values as text; none if there is no such Secret.
    pub async fn values(&self, secret: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let data = self.secrets().get_opt(secret).await?.and_then(|secret| secret.data).unwrap_or_default();
        Ok(data.into_iter().map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes.0).into_owned())).collect())
    }
}

/// Why the object waits for a person.
pub fn stalled(object: &RefreshableToken) -> Option<String> {
    let conditions = &object.status.as_ref()?.conditions;
    let stalled = conditions.iter().find(|condition| condition.type_ == ConditionType::Stalled)?;
    (stalled.status == ConditionStatus::True).then(|| stalled.reason.clone())
}
