//! What a test looks at: calls at the issuer, events, conditions, Secrets, and kstatus.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use refreshable_token_operator::api::{ConditionStatus, ConditionType, RefreshableToken};
use testbed::issuer::{Issuer, Operation, Pair};
use tokio::time::Instant;

use crate::world::{PATIENCE, Scene, condition};

/// What kstatus makes of an object (kstatus `pkg/kstatus/status`, the generic rules).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kstatus {
    Current,
    InProgress,
    Failed,
}

/// The rules of kstatus for a kind that it does not know.
pub fn kstatus(object: &RefreshableToken) -> Kstatus {
    let Some(status) = &object.status else { return Kstatus::Current };
    if status.observed_generation.is_some_and(|seen| Some(seen) != object.metadata.generation) {
        return Kstatus::InProgress;
    }
    let is = |type_, wanted| condition(object, type_).is_some_and(|(status, _)| status == wanted);
    if is(ConditionType::Reconciling, ConditionStatus::True) {
        return Kstatus::InProgress;
    }
    if is(ConditionType::Stalled, ConditionStatus::True) {
        return Kstatus::Failed;
    }
    let unready = is(ConditionType::Ready, ConditionStatus::False) || is(ConditionType::Ready, ConditionStatus::Unknown);
    if unready { Kstatus::InProgress } else { Kstatus::Current }
}

/// How often a refresh of this pair's chain was asked for.
pub fn calls_at(issuer: &Issuer, pair: &Pair) -> usize {
    let about = |seen: &&testbed::issuer::Presentation| seen.chain == Some(pair.chain) && seen.operation == Operation::Refresh;
    issuer.log().iter().filter(about).count()
}

/// Waits until `done` gives something; panics with `what` when it does not come.
pub async fn wait<T, F: Future<Output = Option<T>>>(what: &str, done: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = done().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Scene<'_> {
    /// How often a refresh of this pair's chain was asked for at the shared issuer.
    pub fn calls(&self, pair: &Pair) -> usize {
        calls_at(&self.world.issuer, pair)
    }

    /// Asserts that no refresh of the chain is asked for in these seconds.
    pub async fn quiet(&self, pair: &Pair, seconds: u64) {
        let before = self.calls(pair);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(self.calls(pair), before, "{}: the token API was called", self.namespace);
    }

    /// Waits until a condition has this status and reason.
    pub async fn says(&self, name: &str, type_: ConditionType, status: ConditionStatus, reason: &str) -> RefreshableToken {
        let what = format!("{type_:?}={status:?} {reason}");
        self.until(name, &what, |object| condition(object, type_) == Some((status, reason.to_owned()))).await
    }

    /// Waits until the object is healthy: Ready, observed, and nothing wrong with it.
    pub async fn healthy(&self, name: &str) -> RefreshableToken {
        let healthy = |object: &RefreshableToken| {
            let ready = condition(object, ConditionType::Ready).is_some_and(|(status, _)| status == ConditionStatus::True);
            ready && kstatus(object) == Kstatus::Current
        };
        self.until(name, "health", healthy).await
    }

    /// Waits until the operator has looked at the newest generation.
    pub async fn observed(&self, name: &str) -> RefreshableToken {
        let seen = |object: &RefreshableToken| {
            object.status.as_ref().and_then(|status| status.observed_generation) == object.metadata.generation
        };
        self.until(name, "observedGeneration", seen).await
    }

    /// Message of a condition.
    pub fn message(object: &RefreshableToken, type_: ConditionType) -> String {
        let conditions = object.status.iter().flat_map(|status| &status.conditions);
        conditions.filter(|c| c.type_ == type_).map(|c| c.message.clone()).collect()
    }

    /// Reasons and notes of the events about an object.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.world.client.clone(), self.namespace);
        let list = api.list(&ListParams::default().fields(&format!("regarding.name={name}"))).await.unwrap();
        list.items.into_iter().map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect()
    }

    /// Waits for an event of this reason; gives its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        wait(&format!("{}/{name}: event {reason}", self.namespace), || async {
            self.events(name).await.into_iter().find(|(found, _)| found == reason).map(|(_, note)| note)
        })
        .await
    }

    /// A Secret that must be there.
    pub async fn secret(&self, name: &str) -> Secret {
        self.secrets().get(name).await.unwrap()
    }

    /// Waits until a Secret is as wanted.
    pub async fn until_secret(&self, name: &str, what: &str, wanted: impl Fn(&Secret) -> bool) -> Secret {
        wait(&format!("{}/{name}: {what}", self.namespace), || async {
            self.secrets().get_opt(name).await.unwrap().filter(&wanted)
        })
        .await
    }

    /// The contents of a state Secret's `state.json`.
    pub async fn state(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.value(&format!("{name}-state"), "state.json").await.unwrap()).unwrap()
    }
}
