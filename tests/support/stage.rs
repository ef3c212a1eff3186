//! A stage for the operator: a real control plane, a token issuer, and the operator as it is shipped, in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use refreshable_token_operator::operator::endpoint::EndpointPolicy;
use refreshable_token_operator::operator::{Operator, Settings};
use testbed::control_plane::ControlPlane;
use testbed::issuer::{Api, Issuer, Pair, Seed};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Namespace of the operator's own Secrets.
pub const OPERATOR_NAMESPACE: &str = "refreshable-token-operator";

/// The only way to let the operator call a simulator on this machine.
pub const LOOPBACK_POLICY: &str = "
rules:
- hosts: [\"127.0.0.1\", \"localhost\"]
  addresses: [\"127.0.0.0/8\", \"::1/128\"]
  schemes: [https, http]
";

/// Makes rustls ready; kube and reqwest need it before their first client.
pub fn crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client configuration for a kubeconfig of the control plane.
pub async fn config(yaml: &str) -> anyhow::Result<kube::Config> {
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::from_yaml(yaml)?, &KubeConfigOptions::default()).await?;
    Ok(config)
}

/// Applies the CRDs as a user does, and waits until they are served.
pub async fn install(plane: &ControlPlane) -> anyhow::Result<()> {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let crds = crds.to_str().context("the path of crds/ is not text")?;
    plane.kubectl(&["apply", "-f", crds], None).await?.checked()?;
    let kinds = ["refreshabletokens", "tokenproviders", "clustertokenproviders"];
    let kinds = kinds.map(|kind| format!("crd/{kind}.refreshabletoken.io"));
    let wait = ["wait", "--for=condition=Established", &kinds[0], &kinds[1], &kinds[2], "--timeout=30s"];
    plane.kubectl(&wait, None).await?.checked()?;
    plane.kubectl(&["create", "namespace", OPERATOR_NAMESPACE], None).await?.checked()?;
    // What is served is discovered a moment later; kubectl, which knows no short names until then, would keep that for minutes.
    let ask = ["api-resources", "--cached=false", "--api-group=refreshabletoken.io", "--output=name"];
    let begun = Instant::now();
    while plane.kubectl(&ask, None).await?.checked()?.lines().count() < kinds.len() {
        ensure!(begun.elapsed() < Duration::from_secs(30), "the kinds are served and not discovered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// An operator running in this process.
///
/// It has a runtime of its own, so that it can be killed with everything that it was doing.
pub struct Running {
    /// Where it shows metrics.
    pub metrics: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    runtime: Option<Runtime>,
}

impl Running {
    /// Starts the operator; with `namespaces` empty it watches all.
    pub async fn start(kubeconfig: &str, namespaces: &[&str]) -> anyhow::Result<Self> {
        Self::start_under(LOOPBACK_POLICY, kubeconfig, namespaces, None).await
    }

    /// The same under another endpoint policy, or with a journal.
    pub async fn start_under(
        policy: &str,
        kubeconfig: &str,
        namespaces: &[&str],
        journal: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let settings = Settings {
            config: config(kubeconfig).await?,
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            secrets_watch: true,
            rollout: true,
            service_account_tokens: true,
            operator_namespace: Some(OPERATOR_NAMESPACE.to_owned()),
            endpoint_policy: EndpointPolicy::from_yaml(policy)?,
            journal_dir: journal.map(Path::to_owned),
            leader_elect: false,
            shards: 1,
            max_in_flight: 4,
            pod: "operator-0".to_owned(),
            metrics_addr: Some((Ipv4Addr::LOCALHOST, 0).into()),
            metrics_auth: false,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let operator = match runtime.spawn(Operator::start(settings)).await? {
            Ok(operator) => operator,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error.into());
            }
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let metrics = operator.metrics_address().context("the operator shows no metrics")?;
        let task = runtime.spawn(async move { operator.run(stopped.cancelled_owned()).await });
        Ok(Self { metrics, stop, task, runtime: Some(runtime) })
    }

    /// Ends it as SIGKILL does, as far as tasks can be: whatever it was doing is not finished.
    pub fn kill(self) {
        drop(self);
    }

    /// Stops it as SIGTERM does and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), &mut self.task)
            .await
            .context("the operator does not stop")?
            .context("the operator panicked")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A runtime that is dropped among tasks would wait, which is not allowed there.
        self.runtime.take().map(Runtime::shutdown_background).unwrap_or_default();
    }
}

/// The seed Secret of a pair, as `rtok-issuer` prints it.
pub fn seed_yaml(name: &str, namespace: &str, api: Api, pair: &Pair) -> String {
    let user = matches!(api, Api::JfrogDistribution).then(|| ("admin".to_owned(), "admin-password".to_owned()));
    let client = matches!(api, Api::Oauth2).then(|| ("client".to_owned(), "secret".to_owned()));
    Seed { name: name.to_owned(), api, pair: pair.clone(), user, client }.secret(namespace)
}

/// The `provider` and `request` lines of a spec for a pair of this issuer.
pub fn provider_yaml(api: Api, issuer: &Issuer) -> String {
    let url = issuer.url();
    match api {
        Api::JfrogAccess => format!("  provider: {{jfrogAccess: {{url: \"{url}\"}}}}\n  request: {{lifetime: 30s}}\n"),
        Api::JfrogDistribution => {
            format!("  provider: {{jfrogDistribution: {{url: \"{url}\"}}}}\n  request: {{lifetime: 30s}}\n")
        }
        Api::ElasticCloudEnterprise => format!("  provider: {{elasticCloudEnterprise: {{url: \"{url}\"}}}}\n"),
        Api::Oauth2 => format!("  provider: {{oauth2: {{tokenURL: \"{url}/oauth2/token\"}}}}\n"),
    }
}
