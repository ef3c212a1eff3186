//! A control plane with the chart on it, a strict issuer, and the operator as a process under the chart's rights.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use refreshable_token_operator::api::RefreshableToken;
use testbed::control_plane::{ControlPlane, Output};
use testbed::issuer::{Api as Kind, Client as OauthClient, ClientAuth, Issuer, Pair, Rotation};
use tokio::time::Instant;

use crate::stage;

/// The operator as it is built.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_refreshable-token-operator");
/// How long a test waits for something that must come. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(90);
/// Lets the operator call the simulators on this machine, as values of the chart.
pub const LOOPBACK: &str = "
endpointPolicy:
  rules:
  - hosts: ['127.0.0.1', localhost]
    addresses: ['127.0.0.0/8', '::1/128']
    schemes: [https, http]
";

/// Runs a test on a runtime of its own.
pub fn run<F: Future<Output = ()>>(body: F) {
    stage::crypto();
    tokio::runtime::Runtime::new().unwrap().block_on(body);
}

/// The shared parts of one test.
pub struct World {
    /// The control plane, with an audit log.
    pub plane: ControlPlane,
    /// The token APIs.
    pub issuer: Issuer,
    /// A client with all rights.
    pub client: Client,
}

impl World {
    /// With these users, who have no right yet.
    pub async fn new(users: &[&str]) -> Self {
        let builder = users.iter().fold(ControlPlane::builder().audit(), |builder, user| builder.user(user, &[]));
        let plane = builder.start().await.unwrap();
        let client = OauthClient { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read write".into() };
        let issuer = Issuer::builder().client("client", client).rotation(Rotation::Strict).family_revocation(true);
        let issuer = issuer
            .configure(|config| {
                config.ece_session = chrono::TimeDelta::seconds(30);
                config.oauth2_lifetime = chrono::TimeDelta::seconds(30);
            })
            .start()
            .await
            .unwrap();
        let client = Client::try_from(stage::config(plane.kubeconfig_yaml()).await.unwrap()).unwrap();
        Self { plane, issuer, client }
    }

    /// kubectl as the administrator; panics if it fails.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> String {
        self.plane.kubectl(arguments, stdin).await.unwrap().checked().unwrap()
    }

    /// kubectl with another kubeconfig.
    pub async fn kubectl_as(&self, kubeconfig: &Path, arguments: &[&str], stdin: Option<&str>) -> Output {
        let flag = format!("--kubeconfig={}", kubeconfig.display());
        let arguments: Vec<&str> = std::iter::once(flag.as_str()).chain(arguments.iter().copied()).collect();
        self.plane.kubectl(&arguments, stdin).await.unwrap()
    }

    /// A seed and an object called `name` with one output `<name>-token`.
    pub async fn token(&self, namespace: &str, kind: Kind, name: &str) -> Pair {
        let subject = format!("{namespace}-{name}");
        let lifetime = chrono::TimeDelta::seconds(30);
        let pair = match kind {
            Kind::JfrogAccess => self.issuer.seed_jfrog_access(&subject, lifetime),
            Kind::JfrogDistribution => self.issuer.seed_jfrog_distribution(&subject, lifetime),
            Kind::ElasticCloudEnterprise => self.issuer.seed_ece(&subject, lifetime),
            Kind::Oauth2 => self.issuer.seed_oauth2(&subject, "client", lifetime),
        };
        let seed = stage::seed_yaml(&format!("{name}-seed"), namespace, kind, &pair);
        let object = object(namespace, name, &stage::provider_yaml(kind, &self.issuer));
        self.kubectl(&["apply", "-f", "-"], Some(&format!("{seed}---\n{object}"))).await;
        pair
    }

    /// Waits until at least this many refreshes are committed.
    pub async fn refreshed(&self, namespace: &str, name: &str, generation: i64) {
        let api: Api<RefreshableToken> = Api::namespaced(self.client.clone(), namespace);
        let begun = Instant::now();
        loop {
            let status = api.get(name).await.unwrap().status;
            if status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0) >= generation {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{namespace}/{name}: refresh {generation} did not come: {status:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The values of a Secret.
    pub async fn secret(&self, namespace: &str, name: &str) -> Secret {
        Api::<Secret>::namespaced(self.client.clone(), namespace).get(name).await.unwrap()
    }
}

/// An object called `name` with the seed `<name>-seed` and one output `<name>-token`; `provider` is its lines of the spec.
pub fn object(namespace: &str, name: &str, provider: &str) -> String {
    format!(
        "apiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{provider}  credential: {{seedSecretRef: {{name: {name}-seed}}}}\n  outputs:\n  - {{secretName: {name}-token, opaque: {{}}}}\n"
    )
}
