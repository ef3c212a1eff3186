//! What all steps share: the place, the token issuer and judge, the four tokens, and ways to ask about them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::TimeDelta;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use refreshable_token_operator::api::RefreshableToken;
use testbed::issuer::{Api as Kind, Issuer, Pair, Rotation};
use tokio::time::Instant;

use crate::helm::{Helm, Release};
use crate::place::Place;
use crate::stage;
use crate::steps::Step;
use crate::table::Table;

/// The installation that works for the whole cluster.
pub const MAIN: Release = Release { name: "rto", namespace: "refreshable-token-system" };
/// Where its tokens are.
pub const NAMESPACE: &str = "build";
/// How long a step waits for something that must come. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(120);
/// Long enough to outlive an installation that is away for a while; refreshes are asked for. Our choice.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Of OAuth 2.0: short enough to be refreshed by the clock while the suite runs. Our choice.
const SHORT: TimeDelta = TimeDelta::seconds(30);
/// The four APIs, each with its object.
const TOKENS: [(&str, Kind); 4] = [
    ("jfrog-access", Kind::JfrogAccess),
    ("jfrog-distribution", Kind::JfrogDistribution),
    ("elastic-cloud", Kind::ElasticCloudEnterprise),
    ("oauth2", Kind::Oauth2),
];

/// A token and the pair that its seed holds.
pub struct Token {
    /// Name of the object; its output is `<name>-token`, its state `<name>-state`.
    pub name: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// The API.
    pub kind: Kind,
    /// The first pair.
    pub seed: Pair,
}

/// The suite, in one place.
pub struct Suite {
    /// Where.
    pub place: Place,
    /// Administrator of the cluster.
    pub client: Client,
    /// Token APIs and judge.
    pub issuer: Arc<Issuer>,
    /// Helm.
    pub helm: Helm,
    /// The tokens of the main installation.
    pub tokens: Vec<Token>,
    /// Whether the step about mounted Secrets has left its Pod.
    pub has_workload: bool,
    requests: AtomicU32,
}

impl Suite {
    /// Starts the issuer, strict as the least forgiving one: a token that is spent twice kills its whole chain.
    pub async fn start(place: Place, folder: &Path) -> anyhow::Result<Self> {
        let (name, address) = place.issuer();
        let client = testbed::issuer::Client {
            secret: "secret".into(),
            auth: testbed::issuer::ClientAuth::Basic,
            scope: "read write".into(),
        };
        let issuer = Issuer::builder().client("client", client).rotation(Rotation::Strict).family_revocation(true);
        let issuer = issuer.tls(true).host(name).listen((address, 0).into());
        let issuer = issuer.configure(|config| {
            config.ece_session = LIFETIME;
            config.oauth2_lifetime = SHORT;
        });
        let issuer = Arc::new(issuer.start().await?);
        let client = Client::try_from(stage::config(place.plane().kubeconfig_yaml()).await?)?;
        let helm = Helm::new(folder, place.plane().kubeconfig_path())?;
        let mut suite =
            Self { place, client, issuer, helm, tokens: Vec::new(), has_workload: false, requests: AtomicU32::new(0) };
        suite.tokens = TOKENS.map(|(name, kind)| suite.token(NAMESPACE, name, kind)).into();
        Ok(suite)
    }

    /// Runs the steps, all or those wanted; whether each showed what it shall.
    pub async fn run(mut self, only: &[String], mut table: Table) -> anyhow::Result<bool> {
        for step in Step::ALL {
            let wanted = only.is_empty() || step.is_needed() || only.iter().any(|name| name == step.name());
            if !wanted || (step.needs_pods() && matches!(self.place, Place::Process(_))) {
                continue;
            }
            match step.run(&mut self, &mut table).await {
                Ok(lines) => table.row(step.name(), &lines),
                Err(error) => {
                    table.failure(step.name(), &error);
                    table.append("the operator's last words", &self.place.log_end(MAIN).await);
                    if step.is_needed() {
                        break;
                    }
                }
            }
        }
        Ok(table.finish())
    }

    /// A first pair of a new chain.
    pub fn token(&self, namespace: &'static str, name: &'static str, kind: Kind) -> Token {
        let subject = format!("{namespace}-{name}");
        let seed = match kind {
            Kind::JfrogAccess => self.issuer.seed_jfrog_access(&subject, LIFETIME),
            Kind::JfrogDistribution => self.issuer.seed_jfrog_distribution(&subject, LIFETIME),
            Kind::ElasticCloudEnterprise => self.issuer.seed_ece(&subject, LIFETIME),
            Kind::Oauth2 => self.issuer.seed_oauth2(&subject, "client", LIFETIME),
        };
        Token { name, namespace, kind, seed }
    }

    /// Values of the chart for this place, and `more` lines of YAML.
    pub fn values(&self, more: &str) -> String {
        let (name, address) = self.place.issuer();
        format!(
            "image: {{pullPolicy: Never}}\nendpointPolicy:\n  rules:\n  - hosts: [\"{name}\"]\n    addresses: [\"{address}/32\"]\n{more}"
        )
    }

    /// `kubectl` as the administrator; fails if it fails.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> anyhow::Result<String> {
        self.place.plane().kubectl(arguments, stdin).await?.checked()
    }

    /// The object of a token.
    pub async fn object(&self, token: &Token) -> anyhow::Result<RefreshableToken> {
        let objects: Api<RefreshableToken> = Api::namespaced(self.client.clone(), token.namespace);
        objects.get(token.name).await.with_context(|| format!("get {}", token.name))
    }

    /// How many refreshes of a token are committed.
    pub async fn generation(&self, token: &Token) -> anyhow::Result<i64> {
        Ok(self.object(token).await?.status.and_then(|status| status.chain_generation).unwrap_or(0))
    }

    /// Waits until so many are.
    pub async fn refreshed(&self, token: &Token, generation: i64) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.generation(token).await? < generation {
            if begun.elapsed() > PATIENCE {
                let status = self.object(token).await?.status;
                bail!("{}: refresh {generation} did not come in {PATIENCE:?}: {status:#?}", token.name);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Asks for a refresh as the README says; does not wait for it.
    pub async fn ask(&self, token: &Token) -> anyhow::Result<()> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let value = format!("refreshabletoken.io/refresh-requested-at=request-{request}");
        self.kubectl(&["-n", token.namespace, "annotate", "--overwrite", "rtok", token.name, &value], None).await?;
        Ok(())
    }

    /// Asks for a refresh of every token and waits until each is committed; how long that took.
    pub async fn refresh_all(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut before = Vec::new();
        for token in &self.tokens {
            before.push(self.generation(token).await?);
        }
        for token in &self.tokens {
            self.ask(token).await?;
        }
        for (token, before) in self.tokens.iter().zip(before) {
            self.refreshed(token, before + 1).await?;
        }
        Ok(begun.elapsed())
    }

    /// A value of a Secret.
    pub async fn value(&self, namespace: &str, secret: &str, key: &str) -> anyhow::Result<Option<String>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = secrets.get_opt(secret).await?.and_then(|secret| secret.data).and_then(|mut data| data.remove(key));
        found.map(|bytes| String::from_utf8(bytes.0).context("a value is no text")).transpose()
    }

    /// Name of the Pod that leads; waits until there is one other than `not`.
    pub async fn leader(&self, release: Release, not: Option<&str>) -> anyhow::Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), release.namespace);
        let begun = Instant::now();
        loop {
            let lease = leases.get_opt("refreshable-token-operator").await?;
            let holder = lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity).unwrap_or_default();
            if !holder.is_empty() && Some(holder.as_str()) != not {
                return Ok(holder);
            }
            ensure!(begun.elapsed() < PATIENCE, "nobody leads in {PATIENCE:?} but {holder}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The Pod of a holder's identity: what stands before the name of the process.
pub fn pod_of(holder: &str) -> &str {
    holder.rsplit_once('_').map_or(holder, |(pod, _)| pod)
}
