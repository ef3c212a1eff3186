//! What all tests share: one control plane, one issuer, one operator, and a namespace for each test.

use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use refreshable_token_operator::api::{ConditionStatus, ConditionType, RefreshableToken, RefreshableTokenStatus};
use testbed::control_plane::ControlPlane;
use testbed::issuer::{Api as Kind, Client as OauthClient, ClientAuth, Issuer, Pair, Rotation};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::stage;

/// How long a test waits for something that must come. Generous: machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The runtime that outlives every test: the shared parts live on it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    stage::crypto();
    Runtime::new().unwrap()
});

static WORLD: LazyLock<World> = LazyLock::new(|| RUNTIME.block_on(World::start()).unwrap());

/// The shared parts.
pub struct World {
    /// The control plane.
    pub plane: ControlPlane,
    /// The token APIs: strict, with family revocation, lifetimes of 30 s where the request does not say.
    pub issuer: Issuer,
    /// A client with all rights.
    pub client: Client,
    /// The operator, if there is one.
    pub operator: Option<stage::Running>,
}

impl World {
    /// A control plane, an issuer and an operator.
    pub async fn start() -> anyhow::Result<Self> {
        let world = Self::bare().await?;
        let operator = world.operator(&[]).await?;
        Ok(Self { operator: Some(operator), ..world })
    }

    /// The same without an operator, for tests that start and stop their own.
    pub async fn bare() -> anyhow::Result<Self> {
        let plane = ControlPlane::builder().audit().user("operator", &["system:masters"]).user("limited", &[]).start().await?;
        stage::install(&plane).await?;
        let issuer = issuer().await?;
        let client = Client::try_from(stage::config(plane.kubeconfig_yaml()).await?)?;
        Ok(Self { plane, issuer, client, operator: None })
    }

    /// An operator for these namespaces; none: all.
    pub async fn operator(&self, namespaces: &[&str]) -> anyhow::Result<stage::Running> {
        stage::Running::start(&self.plane.user("operator")?.yaml, namespaces).await
    }

    /// The same with a journal. A journal whose process was just killed may be held for a moment.
    pub async fn operator_with(&self, journal: &std::path::Path, namespaces: &[&str]) -> anyhow::Result<stage::Running> {
        let kubeconfig = &self.plane.user("operator")?.yaml;
        let begun = Instant::now();
        loop {
            match stage::Running::start_under(stage::LOOPBACK_POLICY, kubeconfig, namespaces, Some(journal)).await {
                Err(_) if begun.elapsed() < Duration::from_secs(10) => tokio::time::sleep(Duration::from_millis(100)).await,
                other => return other,
            }
        }
    }

    /// Where the shared operator shows its metrics.
    pub fn metrics(&self) -> std::net::SocketAddr {
        self.operator.as_ref().unwrap().metrics
    }

    /// A new namespace.
    pub async fn scene(&self, namespace: &'static str) -> Scene<'_> {
        self.plane.kubectl(&["create", "namespace", namespace], None).await.unwrap().checked().unwrap();
        Scene { world: self, namespace }
    }
}

/// A strict issuer with family revocation: the least forgiving one.
pub async fn issuer() -> anyhow::Result<Issuer> {
    let client = OauthClient { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read write".into() };
    let issuer = Issuer::builder().client("client", client).rotation(Rotation::Strict).family_revocation(true);
    issuer
        .configure(|config| {
            config.ece_session = chrono::TimeDelta::seconds(30);
            config.oauth2_lifetime = chrono::TimeDelta::seconds(30);
        })
        .start()
        .await
}

/// Runs a test on the shared world, in a namespace of its own.
pub fn test<F: Future<Output = ()>>(namespace: &'static str, body: impl FnOnce(Scene<'static>) -> F) {
    let world = &*WORLD;
    RUNTIME.block_on(async move { body(world.scene(namespace).await).await });
}

/// Runs a test that brings its own control plane.
pub fn alone<F: Future<Output = ()>>(body: F) {
    RUNTIME.block_on(body);
}

/// A namespace of a world.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The world.
    pub world: &'a World,
    /// The namespace.
    pub namespace: &'static str,
}

impl Scene<'_> {
    /// `kubectl apply` of a manifest in this namespace.
    pub async fn apply(&self, yaml: &str) {
        self.kubectl(&["apply", "-f", "-"], Some(yaml)).await.checked().unwrap();
    }

    /// Any kubectl command in this namespace.
    pub async fn kubectl(&self, args: &[&str], stdin: Option<&str>) -> testbed::control_plane::Output {
        let args: Vec<&str> = ["-n", self.namespace].iter().chain(args).copied().collect();
        self.world.plane.kubectl(&args, stdin).await.unwrap()
    }

    /// The objects of this namespace.
    pub fn objects(&self) -> Api<RefreshableToken> {
        Api::namespaced(self.world.client.clone(), self.namespace)
    }

    /// The Secrets of this namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), self.namespace)
    }

    /// A first pair of a subject that is unique to this namespace.
    #[allow(clippy::unused_async, reason = "tests begin with it among other things that wait")]
    pub async fn pair(&self, kind: Kind, name: &str, lifetime: Duration) -> Pair {
        let subject = format!("{}-{name}", self.namespace);
        let lifetime = chrono::TimeDelta::from_std(lifetime).unwrap();
        let issuer = &self.world.issuer;
        match kind {
            Kind::JfrogAccess => issuer.seed_jfrog_access(&subject, lifetime),
            Kind::JfrogDistribution => issuer.seed_jfrog_distribution(&subject, lifetime),
            Kind::ElasticCloudEnterprise => issuer.seed_ece(&subject, lifetime),
            Kind::Oauth2 => issuer.seed_oauth2(&subject, "client", lifetime),
        }
    }

    /// Applies a seed and an object called `name` with one output `<name>-token`; gives the first pair.
    pub async fn token(&self, kind: Kind, name: &str) -> Pair {
        let pair = self.pair(kind, name, Duration::from_secs(30)).await;
        self.apply(&format!("{}{}", self.seed(kind, name, &pair), self.object(kind, name, ""))).await;
        pair
    }

    /// The seed `<name>-seed` of a pair.
    pub fn seed(&self, kind: Kind, name: &str, pair: &Pair) -> String {
        stage::seed_yaml(&format!("{name}-seed"), self.namespace, kind, pair)
    }

    /// The object called `name`; `more` are further lines of its spec, indented by two.
    pub fn object(&self, kind: Kind, name: &str, more: &str) -> String {
        let provider = stage::provider_yaml(kind, &self.world.issuer);
        format!(
            "---\napiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: {name}, namespace: {}}}\nspec:\n{provider}  credential: {{seedSecretRef: {{name: {name}-seed}}}}\n  outputs:\n  - secretName: {name}-token\n    opaque: {{expirationTimeKey: expires_at}}\n{more}",
            self.namespace
        )
    }

    /// The object's status.
    pub async fn status(&self, name: &str) -> RefreshableTokenStatus {
        self.objects().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the object's status is as wanted; panics with the last one when it does not come.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&RefreshableToken) -> bool) -> RefreshableToken {
        let begun = Instant::now();
        loop {
            let object = self.objects().get(name).await.unwrap();
            if wanted(&object) {
                return object;
            }
            assert!(begun.elapsed() < PATIENCE, "{}/{name}: {what} did not come: {:#?}", self.namespace, object.status);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until at least this many refreshes are committed.
    pub async fn refreshed(&self, name: &str, generation: i64) -> RefreshableToken {
        let enough = |object: &RefreshableToken| {
            object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0) >= generation
        };
        self.until(name, &format!("refresh {generation}"), enough).await
    }

    /// Waits until the object stands still for this reason.
    pub async fn stalled(&self, name: &str, reason: &str) -> RefreshableToken {
        self.until(name, &format!("Stalled={reason}"), |object| {
            condition(object, ConditionType::Stalled) == Some((ConditionStatus::True, reason.to_owned()))
        })
        .await
    }

    /// A value of a Secret as text.
    pub async fn value(&self, secret: &str, key: &str) -> Option<String> {
        let secret = self.secrets().get_opt(secret).await.unwrap()?;
        secret.data.and_then(|mut data| data.remove(key)).map(|bytes| String::from_utf8(bytes.0).unwrap())
    }

    /// Asserts that state and output hold the issuer's newest pair; a refresh under way gets time to end.
    pub async fn holds_newest(&self, name: &str, pair: &Pair) {
        let begun = Instant::now();
        loop {
            let newest = self.world.issuer.newest(pair.chain).unwrap();
            let output = self.value(&format!("{name}-token"), "access_token").await;
            let state = self.value(&format!("{name}-state"), "access_token").await;
            let refresh = self.value(&format!("{name}-state"), "refresh_token").await;
            let right = output.as_ref() == Some(&newest.access_token)
                && state.as_ref() == Some(&newest.access_token)
                && refresh == newest.refresh_token;
            if right {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{}/{name} does not hold the newest pair", self.namespace);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asserts that the first refresh token and each later one of a chain was presented at most once.
    pub fn never_twice(&self, pair: &Pair) {
        let chain = self.world.issuer.chains().into_iter().find(|chain| chain.id == pair.chain).unwrap();
        for pair in &chain.pairs {
            if let Some(token) = &pair.refresh_token {
                let presented = self.world.issuer.presented(token);
                assert!(presented <= 1, "a refresh token of {} was presented {presented} times", chain.subject);
            }
        }
    }
}

/// Status and reason of a condition.
pub fn condition(object: &RefreshableToken, type_: ConditionType) -> Option<(ConditionStatus, String)> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == type_).map(|c| (c.status, c.reason.clone()))
}
