//! One case: an object in a namespace of its own, its operator, and a proxy on each side of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use refreshable_token_operator::api::RefreshableToken;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::issuer::Pair;
use testbed::proxy::{Proxy, Script, Side, Upstream};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::process::{Command, Process};
use super::relics::Relics;
use super::world::{World, world};
use crate::stage;

/// Name of the object.
pub const NAME: &str = "a";
/// How long a case waits for something that must come. Generous: machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The operator is at rest when nothing was asked for so long. Our choice: it answers itself within milliseconds.
const REST: Duration = Duration::from_millis(250);

/// Whether there is a journal, and what becomes of it when the operator starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// There is none.
    None,
    /// The next process finds it.
    Kept,
    /// The next process begins an empty one.
    Gone,
}

/// What makes a case.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lifetime of every access token, the first one included.
    pub lifetime: Duration,
    /// The journal.
    pub journal: Journal,
    /// Replicas.
    pub replicas: usize,
    /// One of the replicas leads, and only that one works.
    pub elect: bool,
    /// A token API of another kind than the shared issuer; without a slash at its end.
    pub token_api: Option<String>,
    /// The port of this machine on which metrics are served.
    pub metrics: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3600),
            journal: Journal::Kept,
            replicas: 1,
            elect: false,
            token_api: None,
            metrics: None,
        }
    }
}

/// A case.
pub struct Case {
    // Dropped in this order: the operator before what it talks to.
    /// The operator's replicas.
    pub replicas: Vec<Process>,
    /// Rules and record of both proxies.
    pub script: Arc<Script>,
    /// The namespace.
    pub namespace: String,
    /// The first pair.
    pub pair: Pair,
    /// What it was made with.
    pub options: Options,
    /// The object's `provider` and `request`.
    pub spec: Value,
    relics: Mutex<Relics>,
    token_api: Proxy,
    _kubernetes: Proxy,
    folder: TempDir,
}

impl Case {
    /// A namespace with proxies and nothing else.
    pub async fn new(namespace: &str, options: Options) -> anyhow::Result<Self> {
        let world = world();
        world.namespace(namespace).await?;
        let script = Script::new();
        let upstream = Upstream::tls(world.plane.url(), &world.plane.authority_pem()?)?;
        let kubernetes = Proxy::start(Side::Kubernetes, upstream, &script).await?;
        let upstream = Upstream::plain(options.token_api.as_deref().unwrap_or(world.issuer.url()))?;
        let token_api = Proxy::start(Side::TokenApi, upstream, &script).await?;
        let folder = tempfile::Builder::new().prefix("rtok-real-").tempdir()?;
        write_settings(world, &folder, kubernetes.url())?;
        let pair = world.issuer.seed_jfrog_access(namespace, chrono::TimeDelta::from_std(options.lifetime)?);
        let spec = json!({
            "provider": {"jfrogAccess": {"url": token_api.url(), "timeouts": {"connect": "2s", "request": "5s"}}},
            "request": {"lifetime": format!("{}s", options.lifetime.as_secs())},
        });
        let mut case = Self {
            replicas: Vec::new(),
            script,
            namespace: namespace.to_owned(),
            pair,
            options,
            spec,
            relics: Mutex::default(),
            token_api,
            _kubernetes: kubernetes,
            folder,
        };
        case.replicas = (0..case.options.replicas).map(|number| case.replica(number)).collect();
        let signalled = case.replicas.clone();
        case.script.on_signal(move |signal| signalled.iter().for_each(|replica| replica.signal(signal)));
        Ok(case)
    }

    fn replica(&self, number: usize) -> Process {
        let mut more = Vec::new();
        if self.options.elect {
            more.push("--leader-elect".to_owned());
        }
        if let Some(port) = self.options.metrics {
            more.push(format!("--metrics-addr=127.0.0.1:{port}"));
        }
        if self.options.journal != Journal::None {
            more.push(format!("--journal-dir=journal-{number}"));
        }
        replica(number, &self.namespace, self.folder.path(), more)
    }

    /// The only replica.
    pub fn operator(&self) -> &Process {
        &self.replicas[0]
    }

    /// Where the operator's files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts all replicas that do not run and waits until they watch.
    pub async fn start(&self) -> anyhow::Result<()> {
        for number in 0..self.replicas.len() {
            // Objects and Secrets.
            let wanted = self.script.watches() + 2;
            if !self.launch(number).await? || self.options.elect {
                // Who does not lead does not watch.
                continue;
            }
            let replica = &self.replicas[number];
            let begun = Instant::now();
            while self.script.watches() < wanted {
                let ended = replica.ended()?;
                ensure!(ended.is_none() && begun.elapsed() < PATIENCE, "the operator does not start: {}", replica.log_end());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    /// Starts a replica if it does not run; says whether.
    pub async fn launch(&self, number: usize) -> anyhow::Result<bool> {
        let replica = &self.replicas[number];
        let dead = match replica.id() {
            None => false,
            Some(_) if replica.ended()?.is_none() => return Ok(false),
            Some(_) => true,
        };
        let journal = self.folder.path().join(format!("journal-{number}"));
        if dead {
            let found = (self.options.journal == Journal::Kept).then_some(journal.as_path());
            self.relics.lock().await.collect(self, found).await?;
        }
        if self.options.journal == Journal::Gone && journal.exists() {
            std::fs::remove_dir_all(&journal)?;
        }
        if self.options.journal != Journal::None {
            std::fs::create_dir_all(&journal)?;
        }
        replica.start()?;
        Ok(true)
    }

    /// Whether a token was held when an operator died, in the state Secret or in a journal that the next one found.
    pub async fn was_held(&self, token: &str) -> bool {
        self.relics.lock().await.hold(token)
    }

    /// Waits until the operator has nothing to ask.
    pub async fn rest(&self) {
        loop {
            let seen = self.script.seen().len();
            tokio::time::sleep(REST).await;
            if self.script.seen().len() == seen {
                return;
            }
        }
    }

    /// Waits until a rule has struck.
    pub async fn struck(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.script.struck() {
            ensure!(begun.elapsed() < PATIENCE, "the fault did not strike\n{}", super::plan::story(self));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Reasons of the events about the object.
    pub async fn events(&self) -> anyhow::Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(world().client.clone(), &self.namespace);
        let events = events.list(&ListParams::default()).await.context("list events")?;
        Ok(events.items.into_iter().filter_map(|event| event.reason).collect())
    }

    /// The seed and the object.
    pub async fn apply(&self) -> anyhow::Result<()> {
        self.put_seed(&self.pair).await?;
        self.put_object(json!({})).await
    }

    /// The seed with this pair.
    pub async fn put_seed(&self, pair: &Pair) -> anyhow::Result<()> {
        self.put_keys(json!({"access_token": pair.access_token, "refresh_token": pair.refresh_token})).await
    }

    /// The seed with these keys.
    pub async fn put_keys(&self, keys: Value) -> anyhow::Result<()> {
        let name = format!("{NAME}-seed");
        let seed = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": keys,
            "metadata": {"name": name, "labels": {"refreshabletoken.io/role": "seed"}},
        });
        self.secrets().patch(&name, &user(), &Patch::Apply(seed)).await.context("apply the seed")?;
        Ok(())
    }

    /// The object, with annotations.
    pub async fn put_object(&self, annotations: Value) -> anyhow::Result<()> {
        let mut object = json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken",
            "metadata": {"name": NAME, "namespace": self.namespace, "annotations": annotations},
            "spec": {
                "refresh": {"retry": {"initialDelay": "1s", "maxDelay": "2s"}},
                "credential": {"seedSecretRef": {"name": format!("{NAME}-seed")}},
                "outputs": [{"secretName": format!("{NAME}-token"), "opaque": {"expirationTimeKey": "expires_at"}}],
            },
        });
        for (field, value) in self.spec.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        self.objects().patch(NAME, &user(), &Patch::Apply(object)).await.context("apply the object")?;
        Ok(())
    }

    /// Asks for one refresh.
    pub async fn force(&self, value: &str) -> anyhow::Result<()> {
        self.put_object(json!({"refreshabletoken.io/refresh-requested-at": value})).await
    }

    /// Where the object finds the token API.
    pub fn token_url(&self) -> &str {
        self.token_api.url()
    }

    /// The objects of this case.
    pub fn objects(&self) -> Api<RefreshableToken> {
        Api::namespaced(world().client.clone(), &self.namespace)
    }

    /// The Secrets of this case.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(world().client.clone(), &self.namespace)
    }

    /// Ends the operator and takes the namespace's object away, so that no watch of another sees it.
    pub async fn close(self) {
        self.replicas.iter().for_each(|replica| replica.signal(testbed::proxy::Signal::Kill));
        // What is left behind is in nobody's way.
        let _ = self.objects().delete(NAME, &DeleteParams::default()).await;
    }
}

/// A replica for a namespace, with the settings that stand in its folder.
pub fn replica(number: usize, namespace: &str, folder: &Path, more: Vec<String>) -> Process {
    let mut arguments: Vec<String> =
        ["--kubeconfig=kubeconfig", "--endpoint-policy=policy.yaml", "--log-format=text"].map(String::from).into();
    arguments.extend(["namespace", "operator-namespace"].map(|flag| format!("--{flag}={namespace}")));
    arguments.extend(more);
    Process::new(Command {
        binary: world().binary.clone(),
        arguments: arguments.into_iter().map(Into::into).collect(),
        pod: format!("operator-{number}"),
        folder: folder.to_owned(),
    })
}

/// Who applies manifests.
pub fn user() -> PatchParams {
    PatchParams::apply("user").force()
}

/// What a replica finds in its folder. The kubeconfig names the proxy, which needs no authority.
pub fn write_settings(world: &World, folder: &TempDir, proxy: &str) -> anyhow::Result<()> {
    let kubeconfig = world.plane.user("operator")?.yaml.replace(world.plane.url(), proxy);
    std::fs::write(folder.path().join("kubeconfig"), kubeconfig)?;
    std::fs::write(folder.path().join("policy.yaml"), stage::LOOPBACK_POLICY)?;
    Ok(())
}
