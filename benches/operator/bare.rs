//! The bare loop: the writes of a refresh and nothing else, as fast as eight tasks can make them.
//!
//! They are made by the operator's own code on what it has written, so that they are the same requests with bodies of the same size. There
//! is no decision, no journal, no token call and no read in between.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use kube::{Client, ResourceExt as _};
use refreshable_token_operator::api::RefreshableToken;
use refreshable_token_operator::operator::cluster::{Cluster, Owner};
use refreshable_token_operator::operator::metrics::Metrics;
use refreshable_token_operator::refresh::conclude::mark;
use refreshable_token_operator::refresh::exchange::{
    Mark, OutputAction, OutputAnswer, SeenOutput, StateAnswer, StateWrite, WriteAnswer,
};
use refreshable_token_operator::refresh::output::{ObjectName, Rendered, render};
use refreshable_token_operator::refresh::state::{Claim, State, Version};
use refreshable_token_operator::token::{AccessToken, FingerprintKey, Purpose};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::process::processor_time;
use crate::stage;
use crate::table::{number, per_second};
use crate::world::Way;

/// As many as with the best general tool, whose figures the goals rest on.
const TASKS: usize = 8;
/// How many digits at the end of a token tell one refresh from another.
const DIGITS: usize = 12;

/// The objects that the loop writes. The operator must not watch them.
pub struct Bare {
    cluster: Cluster,
    way: Way,
    subjects: Vec<Subject>,
}

/// One object as it was last written.
struct Subject {
    owner: Owner,
    object: RefreshableToken,
    state_name: String,
    state: State,
    version: Version,
    seen: SeenOutput,
    key: FingerprintKey,
    /// The access token, without its last digits.
    token: String,
    number: usize,
}

impl Bare {
    /// Takes over a fleet that an operator has refreshed. It is of no use to an operator afterwards.
    pub async fn of(fleet: &Fleet<'_>) -> anyhow::Result<Self> {
        let mut config = stage::config(fleet.world.kubeconfig()?).await?;
        config.default_retry = false;
        let cluster = Cluster::new(Client::try_from(config)?, None, Metrics::new());
        let mut subjects = Vec::new();
        for name in fleet.names() {
            subjects.push(Subject::read(&cluster, &fleet.namespace, name).await.with_context(|| format!("read {name}"))?);
        }
        Ok(Self { cluster, way: fleet.way, subjects })
    }

    /// Refreshes per second that the loop reaches in this time.
    pub async fn rate(&mut self, time: Duration) -> anyhow::Result<f64> {
        let begun = Instant::now();
        Ok(per_second(self.refresh(time).await?, begun.elapsed()))
    }

    /// Seconds of the processor that one refresh of the loop costs this process. Nothing else may go on in it.
    pub async fn cost(&mut self, time: Duration) -> anyhow::Result<f64> {
        let before = processor_time("/proc/self/stat")?;
        let refreshes = self.refresh(time).await?;
        let spent = processor_time("/proc/self/stat")?.saturating_sub(before);
        Ok(spent.as_secs_f64() / number(refreshes))
    }

    /// Refreshes that the loop makes in this time.
    async fn refresh(&mut self, time: Duration) -> anyhow::Result<usize> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        let share = self.subjects.len().div_ceil(TASKS);
        while !self.subjects.is_empty() {
            let rest = self.subjects.split_off(share.min(self.subjects.len()));
            let subjects = std::mem::replace(&mut self.subjects, rest);
            tasks.spawn(repeat(self.cluster.clone(), self.way, subjects, begun + time));
        }
        let mut refreshes = 0;
        while let Some(ended) = tasks.join_next().await {
            let (subjects, done) = ended.context("a task of the bare loop broke down")??;
            self.subjects.extend(subjects);
            refreshes += done;
        }
        Ok(refreshes)
    }
}

/// One task: its own objects, one after the other, until the time is over.
async fn repeat(cluster: Cluster, way: Way, mut subjects: Vec<Subject>, until: Instant) -> anyhow::Result<(Vec<Subject>, usize)> {
    let mut done = 0;
    loop {
        for subject in &mut subjects {
            if Instant::now() >= until {
                return Ok((subjects, done));
            }
            subject.refresh(&cluster, way).await?;
            done += 1;
        }
    }
}

impl Subject {
    async fn read(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<Self> {
        let object = cluster.object(namespace, name).await.map_err(|trouble| anyhow::anyhow!("the object: {trouble:?}"))?;
        let owner =
            Owner { namespace: namespace.to_owned(), name: name.to_owned(), uid: object.uid().context("the object has no UID")? };
        let state_name = object.spec.state_secret_name(name);
        let StateAnswer::Found(stored) = cluster.read_state(namespace, &state_name).await else {
            bail!("there is no state Secret");
        };
        let token = stored.state.tokens.access_token.as_ref().map(AccessToken::reveal).unwrap_or_default();
        let token = token.get(..token.len().saturating_sub(DIGITS)).unwrap_or_default().to_owned();
        let key = FingerprintKey::new(b"bare loop");
        let output = rendered(&object, &owner, &stored.state, &key)?;
        let (OutputAnswer::Found(seen), _) = cluster.output(&owner, OutputAction::Read, None, &output).await else {
            bail!("there is no output");
        };
        Ok(Self { owner, object, state_name, state: stored.state, version: stored.version, seen, key, token, number: 0 })
    }

    /// The writes of one refresh, in the order in which the operator makes them.
    async fn refresh(&mut self, cluster: &Cluster, way: Way) -> anyhow::Result<()> {
        self.number += 1;
        if way == Way::Strict {
            self.claim(cluster).await?;
        }
        self.state.tokens.access_token = Some(AccessToken::new(format!("{}{:0DIGITS$}", self.token, self.number)));
        self.state = State { generation: self.state.generation + 1, ..self.state.released() };
        self.write_state(cluster).await?;
        let output = rendered(&self.object, &self.owner, &self.state, &self.key)?;
        let (answer, _) = cluster.output(&self.owner, OutputAction::Apply, Some(&self.seen), &output).await;
        anyhow::ensure!(answer == OutputAnswer::Done, "the output: {answer:?}");
        self.tell(&output);
        self.write_status(cluster).await
    }

    /// The claim in the state Secret, and the mark in the status.
    async fn claim(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let access = self.state.tokens.access_token.as_ref().map(AccessToken::reveal).unwrap_or_default();
        let fingerprint = self.key.fingerprint(Purpose::Token, access.as_bytes());
        let id = format!("{:036}", self.number);
        let mut claim = Claim::new(id.clone(), "operator-0", &id);
        (claim.fingerprint, claim.journal) = (fingerprint.to_string(), Some(id));
        self.state.claim = Some(claim.clone());
        self.write_state(cluster).await?;
        let status = self.object.status.take().unwrap_or_default();
        self.object.status = Some(mark(&status, &Mark { claim, fingerprint }));
        self.write_status(cluster).await
    }

    async fn write_state(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let write = StateWrite { state: self.state.clone(), replaces: Some(self.version.clone()), dry_run: false, begins: false };
        match cluster.write_state(&self.owner.namespace, &self.state_name, &self.owner.name, &write).await {
            WriteAnswer::Done(version) => self.version = *version,
            other => bail!("the state Secret: {other:?}"),
        }
        Ok(())
    }

    async fn write_status(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let written = cluster.put_status(&self.owner.namespace, &self.object).await;
        self.object = written.map_err(|trouble| anyhow::anyhow!("the status: {trouble:?}"))?;
        Ok(())
    }

    /// What the status says of a refresh that is done.
    fn tell(&mut self, output: &Rendered) {
        let status = self.object.status.get_or_insert_default();
        status.attempt = None;
        status.chain_generation = Some(self.state.generation);
        for written in &mut status.outputs {
            written.content_hash = output.content_hash.to_string();
        }
        let access = self.state.tokens.access_token.as_ref().map(AccessToken::reveal).unwrap_or_default();
        if let Some(token) = &mut status.token {
            token.fingerprint = self.key.fingerprint(Purpose::Token, access.as_bytes()).to_string();
        }
    }
}

fn rendered(object: &RefreshableToken, owner: &Owner, state: &State, key: &FingerprintKey) -> anyhow::Result<Rendered> {
    let name = ObjectName { name: &owner.name, namespace: &owner.namespace };
    let now = state.tokens.issued_time.unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let outputs = render(&object.spec.outputs, name, &state.tokens, key, now)?;
    outputs.into_iter().next().context("the object has no output")
}
