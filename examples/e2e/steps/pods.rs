//! What Pods see: files that change, an image pull Secret, a kubelet that comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use testbed::issuer::Api as Kind;
use testbed::registry::{Admit, Registry};
use tokio::time::Instant;

use super::install::REGISTRY;
use crate::judge::holds_newest;
use crate::node::{NodePlace, SHELL, shell};
use crate::place::Place;
use crate::suite::{NAMESPACE, Suite, Token};

/// How often every token is refreshed while a Pod watches. Our choice: some twenty measurements.
const ROUNDS: usize = 5;
/// How often the files are looked at: how far a measurement may be wrong. Our choice.
const LOOK: Duration = Duration::from_millis(5);

/// A Pod mounts every output as a folder; how long it takes from the change of a Secret to the change of the file in the container.
pub async fn mount(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    suite.kubectl(&["apply", "-f", "-"], Some(&workload(&suite.tokens))).await?;
    suite.has_workload = true;
    let (files, sync) = {
        let node = node(suite)?;
        let pod = node.ready(NAMESPACE, "workload").await?;
        (PathBuf::from(format!("/proc/{}/root/tokens", node.process(&pod).await?)), node.sync)
    };
    let secrets: Api<Secret> = Api::namespaced(suite.client.clone(), NAMESPACE);
    let mut delays = Vec::new();
    for _ in 0..ROUNDS {
        let watching =
            tokio::spawn(delays_of(secrets.clone(), files.clone(), suite.tokens.iter().map(|token| token.name).collect(), sync));
        // The watch has to stand before the first write.
        tokio::time::sleep(Duration::from_millis(500)).await;
        suite.refresh_all().await?;
        delays.extend(watching.await??);
    }
    delays.sort();
    let at = |share: usize| delays.get((delays.len() - 1) * share / 100).copied().unwrap_or_default().as_secs_f64();
    for token in &suite.tokens {
        let path = format!("/tokens/{}/access_token", token.name);
        holds_newest(suite, token).await?;
        let seen = suite.kubectl(&["-n", NAMESPACE, "exec", "workload", "--", "cat", &path], None).await?;
        ensure!(
            suite.issuer.newest(token.seed.chain).is_some_and(|newest| newest.access_token == seen),
            "{path} is not the newest token"
        );
    }
    Ok(vec![
        format!(
            "Secret written -> file changed in the running container: p50 {:.2} s, max {:.2} s of {} changes, with syncFrequency {} s",
            at(50),
            at(100),
            delays.len(),
            sync.as_secs()
        ),
        format!(
            "kubelet's default is {} s: up to 1.5 times that; `--kubelet-sync 60` measures it",
            testbed::one_node::DEFAULT_SYNC.as_secs()
        ),
        "kubectl exec -- cat: every file is the token that the issuer issued last".into(),
    ])
}

/// Until the file of each of these tokens has changed: for every change of an output, how long it took until the file held that content or
/// a newer one.
async fn delays_of(
    secrets: Api<Secret>,
    files: PathBuf,
    names: Vec<&'static str>,
    sync: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let newest = secrets.list_metadata(&ListParams::default().limit(1)).await?.metadata.resource_version;
    let mut events = secrets.watch(&WatchParams::default(), &newest.unwrap_or_default()).await?.boxed();
    // Contents that are written and not seen yet, oldest first.
    let mut written: BTreeMap<&str, Vec<(String, Instant)>> = BTreeMap::new();
    let (mut delays, mut changed) = (Vec::new(), BTreeSet::new());
    let deadline = Instant::now() + Duration::from_secs(120) + sync * 2;
    while changed.len() < names.len() {
        ensure!(Instant::now() < deadline, "{} of {} files changed", changed.len(), names.len());
        match tokio::time::timeout(LOOK, events.next()).await {
            Ok(Some(Ok(WatchEvent::Added(secret) | WatchEvent::Modified(secret)))) => {
                let name = secret.metadata.name.unwrap_or_default();
                let token = secret.data.unwrap_or_default().remove("access_token").map(|bytes| bytes.0).unwrap_or_default();
                if let Some(name) = names.iter().find(|known| name == format!("{known}-token")) {
                    let token = String::from_utf8(token).context("a token is no text")?;
                    written.entry(name).or_default().push((token, Instant::now()));
                }
            }
            Err(_) | Ok(Some(Ok(_))) => {}
            Ok(other) => bail!("the watch of Secrets ended: {other:?}"),
        }
        for (name, waiting) in &mut written {
            let held = std::fs::read_to_string(files.join(name).join("access_token")).unwrap_or_default();
            if let Some(seen) = waiting.iter().position(|(token, _)| *token == held) {
                delays.extend(waiting.drain(..=seen).map(|(_, since)| since.elapsed()));
                changed.insert(*name);
            }
        }
    }
    Ok(delays)
}

/// The registry takes the newest token of JFrog Access as a password. A Pod is started before and after a refresh.
pub async fn pull(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    let token = suite.tokens.iter().find(|token| token.kind == Kind::JfrogAccess).context("no token of JFrog Access")?;
    let (issuer, chain) = (Arc::clone(&suite.issuer), token.seed.chain);
    let admit: Admit = Arc::new(move |user, password| {
        user == "ci" && issuer.newest(chain).is_some_and(|newest| newest.access_token == password)
    });
    let image = shell(&format!("{REGISTRY}/private/shell:1"))?;
    let registry = Registry::start(REGISTRY.parse()?, image, admit).await?;
    node(suite)?.node.allow_registry(REGISTRY)?;
    let uid = ["-n", NAMESPACE, "get", "secret", "jfrog-access-pull", "-o", "jsonpath={.type} {.metadata.uid}"];
    let before = suite.kubectl(&uid, None).await?;
    suite.kubectl(&["apply", "-f", "-"], Some(&private("without", ""))).await?;
    for name in ["before-refresh", "after-refresh"] {
        let secrets = "  imagePullSecrets: [{name: jfrog-access-pull}]\n";
        suite.kubectl(&["apply", "-f", "-"], Some(&private(name, secrets))).await?;
        node(suite)?.ready(NAMESPACE, name).await?;
        if name == "before-refresh" {
            suite.refresh_all().await?;
        }
    }
    let after = suite.kubectl(&uid, None).await?;
    ensure!(
        before == after && after.starts_with("kubernetes.io/dockerconfigjson "),
        "the Secret was `{before}` and is `{after}`"
    );
    let log = registry.log();
    let mut passwords: Vec<_> = log.iter().filter(|fetch| fetch.admitted).filter_map(|fetch| fetch.password.as_deref()).collect();
    passwords.dedup();
    ensure!(passwords.len() == 2, "{} passwords were admitted one after the other", passwords.len());
    let refused = log.iter().filter(|fetch| !fetch.admitted && fetch.password.is_none()).count();
    let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    let why = suite.kubectl(&["-n", NAMESPACE, "get", "pod", "without", "-o", waiting], None).await?;
    ensure!(["ErrImagePull", "ImagePullBackOff"].contains(&why.as_str()) && refused > 0, "the Pod without the Secret is `{why}`");
    suite
        .kubectl(&["-n", NAMESPACE, "delete", "pod", "without", "before-refresh", "after-refresh", "--wait=false"], None)
        .await?;
    Ok(vec![
        "kubelet fetched an image with the token of before and with that of after a refresh; same Secret object, rewritten in place".into(),
        format!("without imagePullSecrets: {why}"),
    ])
}

/// kubelet ends and comes back; the Pods run on, and the workload sees the next token.
pub async fn kubelet(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    if !suite.has_workload {
        suite.kubectl(&["apply", "-f", "-"], Some(&workload(&suite.tokens))).await?;
        node(suite)?.ready(NAMESPACE, "workload").await?;
    }
    let begun = Instant::now();
    let process = {
        let node = node(suite)?;
        let pod = node.ready(NAMESPACE, "workload").await?;
        node.process(&pod).await?
    };
    match &mut suite.place {
        Place::Node(place) => place.node.restart_kubelet().await?,
        Place::Process(_) => bail!("there is no kubelet here"),
    }
    let took = begun.elapsed();
    suite.refresh_all().await?;
    let token = suite.tokens.first().context("no token")?;
    let file = PathBuf::from(format!("/proc/{process}/root/tokens/{}/access_token", token.name));
    let begun = Instant::now();
    loop {
        let held = std::fs::read_to_string(&file).context("the workload's process is another")?;
        if suite.issuer.newest(token.seed.chain).is_some_and(|newest| newest.access_token == held) {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(180), "the workload does not see the newest token");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(vec![format!(
        "kubelet ended and was ready again after {:.1} s; the workload, the same process, sees a token that was issued after it",
        took.as_secs_f64()
    )])
}

fn node(suite: &Suite) -> anyhow::Result<&NodePlace> {
    match &suite.place {
        Place::Node(place) => Ok(place),
        Place::Process(_) => bail!("there are no Pods here"),
    }
}

/// A Pod of an application, as little trusted as the restricted Pod Security Standard asks for, with a folder for each output.
fn workload(tokens: &[Token]) -> String {
    let mounts: Vec<_> =
        tokens.iter().map(|token| format!("{{name: {0}, mountPath: /tokens/{0}, readOnly: true}}", token.name)).collect();
    let volumes: Vec<_> = tokens
        .iter()
        .map(|token| format!("{{name: {0}, secret: {{secretName: {0}-token, defaultMode: 0440}}}}", token.name))
        .collect();
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: workload, namespace: {NAMESPACE}}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65534, fsGroup: 65534, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: shell
    image: {SHELL}
    imagePullPolicy: Never
    securityContext: {{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
    volumeMounts: [{}]
  volumes: [{}]
",
        mounts.join(", "),
        volumes.join(", ")
    )
}

/// A Pod of an image that the registry gives to nobody without a password.
fn private(name: &str, secrets: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
{secrets}  containers:
  - {{name: shell, image: \"{REGISTRY}/private/shell:1\", imagePullPolicy: Always}}
"
    )
}
