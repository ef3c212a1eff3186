//! Many objects of one namespace, and what the token API knows about them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use refreshable_token_operator::api::RefreshableToken;
use serde_json::{Value, json};
use testbed::issuer::{Chain, ChainId, Issuer, Verdict};
use tokio::time::{Instant, sleep};

use crate::world::{CLIENT, Way, World};

/// How many requests are made side by side where only the end counts.
const SIDE_BY_SIDE: usize = 16;
/// How long nothing may happen while something is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the ledger of the issuer is looked at. Rare, because the issuer answers nobody meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// A lifetime that ends after every measurement.
pub const DAY: TimeDelta = TimeDelta::hours(24);

/// Objects of one namespace that differ in nothing but their names and tokens.
pub struct Fleet<'a> {
    /// Where they live.
    pub world: &'a World,
    /// Their path.
    pub way: Way,
    /// Their namespace.
    pub namespace: String,
    /// Where they find their token API.
    pub url: String,
    /// When they are refreshed: the field of the spec.
    pub refresh: Value,
    members: Vec<(String, ChainId)>,
}

impl<'a> Fleet<'a> {
    /// A namespace without objects.
    pub async fn new(world: &'a World, way: Way, namespace: &str) -> anyhow::Result<Self> {
        world.namespace(namespace).await?;
        let url = world.issuer(way).url().to_owned();
        Ok(Self { world, way, namespace: namespace.to_owned(), url, refresh: json!({}), members: Vec::new() })
    }

    /// Their token API.
    pub fn issuer(&self) -> &'a Issuer {
        self.world.issuer(self.way)
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// The objects.
    pub fn objects(&self) -> Api<RefreshableToken> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// Adds objects with their seeds until there are `wanted`. The tokens that are issued from now on live for a day.
    pub async fn grow(&mut self, wanted: usize) -> anyhow::Result<()> {
        self.live_for(DAY);
        let issuer = self.issuer();
        let seeded = (self.len()..wanted).map(|number| {
            let name = format!("t{number:05}");
            let pair = issuer.seed_oauth2(&format!("{}-{name}", self.namespace), CLIENT.0, DAY);
            (name, pair)
        });
        let seeded: Vec<_> = seeded.collect();
        let fleet = &*self;
        let created = futures::stream::iter(&seeded).map(|(name, pair)| fleet.create(name, pair.refresh()));
        created.buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await?;
        self.members.extend(seeded.into_iter().map(|(name, pair)| (name, pair.chain)));
        Ok(())
    }

    async fn create(&self, name: &str, refresh_token: &str) -> anyhow::Result<()> {
        let seed = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{name}-seed"), "labels": {"refreshabletoken.io/role": "seed"}},
            "stringData": {"refresh_token": refresh_token, "client_id": CLIENT.0, "client_secret": CLIENT.1},
        });
        let object = json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken", "metadata": {"name": name},
            "spec": {
                "provider": {"oauth2": {"tokenURL": format!("{}/oauth2/token", self.url), "rotation": self.way.rotation()}},
                "credential": {"seedSecretRef": {"name": format!("{name}-seed")}},
                "refresh": self.refresh,
                "outputs": [{"secretName": format!("{name}-token"), "opaque": {"expirationTimeKey": "expires_at"}}],
            },
        });
        let secrets: Api<Secret> = Api::namespaced(self.world.client.clone(), &self.namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(seed)?).await.context("create a seed")?;
        self.objects().create(&PostParams::default(), &serde_json::from_value(object)?).await.context("create an object")?;
        Ok(())
    }

    /// How long the tokens live that are issued from now on.
    pub fn live_for(&self, lifetime: TimeDelta) {
        // Zero would be for ever.
        self.issuer().with(|core, _| core.config.oauth2_lifetime = lifetime.max(TimeDelta::seconds(1)));
    }

    /// Lets each token that is issued from now on end when `end` says at that moment. Never returns.
    pub async fn end_at(&self, end: impl Fn() -> DateTime<Utc>) {
        loop {
            self.live_for(end() - self.issuer().now());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until each object was refreshed this often since it exists.
    pub async fn refreshed(&self, wanted: usize) -> anyhow::Result<()> {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let done: Vec<usize> = self.chains(|chain| chain.refreshes);
            let ready = done.iter().filter(|refreshes| **refreshes >= wanted).count();
            if ready == self.len() {
                return Ok(());
            }
            let sum = done.iter().sum();
            if sum != before {
                (before, since) = (sum, Instant::now());
            }
            let (of, place) = (self.len(), &self.namespace);
            ensure!(
                since.elapsed() < PATIENCE,
                "{ready} of {of} objects in {place} were refreshed {wanted} times, and no more come"
            );
            sleep(LOOK).await;
        }
    }

    /// Something of each object's chain.
    pub fn chains<T>(&self, ask: impl Fn(&Chain) -> T) -> Vec<T> {
        self.issuer().with(|core, _| self.members.iter().filter_map(|(_, id)| core.ledger.chain(*id)).map(&ask).collect())
    }

    /// Requests that the token API has seen.
    pub fn calls(&self) -> usize {
        self.issuer().with(|core, _| core.ledger.log().len())
    }

    /// Chain and time of each refresh that was accepted, from the request of this number on.
    pub fn accepted_since(&self, number: usize) -> Vec<(ChainId, DateTime<Utc>)> {
        self.issuer().with(|core, _| {
            let accepted = core.ledger.log().iter().skip(number).filter(|entry| entry.verdict == Verdict::Accepted);
            accepted.filter_map(|entry| Some((entry.chain?, entry.at))).collect()
        })
    }

    /// Says in each object's status that its refresh is due now. What an operator that runs does, it does at once; one that does not,
    /// when it starts. At least two seconds after the last refresh: the operator's times are whole seconds, and a plan that is not after
    /// the last refresh waits.
    pub async fn make_due(&self) -> anyhow::Result<()> {
        sleep(Duration::from_secs(2)).await;
        let now = self.issuer().now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let (objects, patch) = (&self.objects(), &Patch::Merge(json!({"status": {"nextRefreshTime": now}})));
        let patched = futures::stream::iter(self.names()).map(|name| async move {
            objects.patch_status(name, &PatchParams::default(), patch).await.context("make an object due").map(drop)
        });
        patched.buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await
    }
}
