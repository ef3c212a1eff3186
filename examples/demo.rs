//! The main job, live: a real control plane, simulated token APIs and the operator, refreshing Secrets before your eyes.
//!
//! `cargo run --example demo` runs until Ctrl-C; `--for 90s` ends by itself and judges what it saw.

#[path = "../tests/support/stage.rs"]
#[allow(dead_code, reason = "tests use more of the stage than the demo does")]
mod stage;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use refreshable_token_operator::api::{ProviderSpec, RefreshableToken, SpecDuration};
use testbed::control_plane::{Binaries, ControlPlane};
use testbed::issuer::{Api as Kind, Issuer, Pair};

/// Runs the operator against simulated token APIs on a real Kubernetes API server.
#[derive(Parser)]
struct Arguments {
    /// End after this time (such as 90s), and fail unless every token was refreshed at least twice, every Secret holds the
    /// newest access token, and no refresh token was presented twice.
    #[arg(long = "for", value_name = "DURATION", value_parser = SpecDuration::parse)]
    duration: Option<SpecDuration>,
}

const NAMESPACE: &str = "demo";
/// Lifetime of the demo's tokens: short enough to watch, long enough to read.
const LIFETIME: TimeDelta = TimeDelta::seconds(30);

const TOKENS: [(&str, Kind); 4] = [
    ("jfrog-access", Kind::JfrogAccess),
    ("jfrog-distribution", Kind::JfrogDistribution),
    ("elastic-cloud", Kind::ElasticCloudEnterprise),
    ("oauth2", Kind::Oauth2),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("no runtime: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(demo(arguments.duration));
    // A build of the control plane that was interrupted is not waited for; it dies with this process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("the demo failed: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop before the clean-up.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn demo(duration: Option<SpecDuration>) -> anyhow::Result<bool> {
    // Bound before anything is started, so that Ctrl-C ends the demo in order at any time.
    let interrupt = interrupted();
    tokio::pin!(interrupt);
    say("Starting etcd and kube-apiserver (the first time they are built from source, about 8 minutes) ...\n");
    let (plane, issuer, operator, pairs) = tokio::select! {
        started = start() => started?,
        () = &mut interrupt => {
            // The daemons die with their owner, which was dropped.
            say("\nInterrupted before it had begun.\n");
            return Ok(duration.is_none());
        }
    };
    look_around(&plane)?;
    let client = Client::try_from(stage::config(plane.kubeconfig_yaml()).await?)?;
    let ended = watch(&client, duration.map(SpecDuration::get), interrupt).await;
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => {
            say(&format!("\nThe control plane no longer answers: {error:#}\n"));
            return Ok(false);
        }
    };
    let verdict = match duration {
        Some(_) if ended => Some(judge(&client, &issuer, &pairs).await?),
        Some(_) => Some(vec!["interrupted, so nothing was judged".to_owned()]),
        None => None,
    };
    say("\nCleaning up ...\n");
    operator.stop().await?;
    plane.stop()?;
    if let Some(problems) = &verdict {
        for problem in problems {
            say(&format!("NOT AS IT SHALL BE: {problem}\n"));
        }
        if problems.is_empty() {
            say(
                "Every token was refreshed at least twice, every Secret held the newest access token, no refresh token was presented twice.\n",
            );
        }
    }
    Ok(verdict.is_none_or(|problems| problems.is_empty()))
}

async fn start() -> anyhow::Result<(ControlPlane, Issuer, stage::Running, BTreeMap<&'static str, Pair>)> {
    let plane = ControlPlane::start().await?;
    stage::install(&plane).await?;
    let issuer = issuer().await?;
    say(&format!("Control plane at {}, token APIs at {}.\n", plane.url(), issuer.url()));
    let operator = stage::Running::start(plane.kubeconfig_yaml(), &[]).await?;
    let pairs = apply(&plane, &issuer).await?;
    Ok((plane, issuer, operator, pairs))
}

/// Ctrl-C, or SIGTERM, which is how programs that run this end it.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

/// What to try in another terminal; the kubectl is the one that came with the control plane.
fn look_around(plane: &ControlPlane) -> anyhow::Result<()> {
    let kubectl = Binaries::find()?.kubectl;
    say(&format!(
        "\nLook around in another terminal:
  export KUBECONFIG={}
  alias kubectl={}
  kubectl get rtok -n {NAMESPACE} -o wide
  kubectl describe rtok -n {NAMESPACE} jfrog-access
  kubectl get secret -n {NAMESPACE} oauth2-token -o jsonpath='{{.data.access_token}}' | base64 -d; echo
  kubectl delete secret -n {NAMESPACE} oauth2-token      # it comes back, and no token is spent
  kubectl annotate rtok -n {NAMESPACE} oauth2 --overwrite refreshabletoken.io/refresh-requested-at=\"$(date)\"
  cargo run --bin kubectl-rtok -- explain oauth2 -n {NAMESPACE}   # the plug-in says when it refreshes next, and why; built once
End with Ctrl-C.\n\n",
        plane.kubeconfig_path().display(),
        kubectl.display()
    ));
    Ok(())
}

async fn issuer() -> anyhow::Result<Issuer> {
    use testbed::issuer::{Client as OauthClient, ClientAuth, Rotation};
    let client = OauthClient { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read write".into() };
    let builder = Issuer::builder().client("client", client);
    builder
        .rotation(Rotation::Strict)
        .family_revocation(true)
        .configure(|config| {
            config.ece_session = LIFETIME;
            config.oauth2_lifetime = LIFETIME;
        })
        .start()
        .await
}

/// Four objects and their seeds, as a user would write them.
async fn apply(plane: &ControlPlane, issuer: &Issuer) -> anyhow::Result<BTreeMap<&'static str, Pair>> {
    plane.kubectl(&["create", "namespace", NAMESPACE], None).await?.checked()?;
    let mut pairs = BTreeMap::new();
    for (name, kind) in TOKENS {
        let pair = match kind {
            Kind::JfrogAccess => issuer.seed_jfrog_access(name, LIFETIME),
            Kind::JfrogDistribution => issuer.seed_jfrog_distribution(name, LIFETIME),
            Kind::ElasticCloudEnterprise => issuer.seed_ece(name, LIFETIME),
            Kind::Oauth2 => issuer.seed_oauth2(name, "client", LIFETIME),
        };
        let seed = stage::seed_yaml(&format!("{name}-seed"), NAMESPACE, kind, &pair);
        let provider = stage::provider_yaml(kind, issuer);
        let object = format!(
            "---\napiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n{provider}  credential: {{seedSecretRef: {{name: {name}-seed}}}}\n  outputs:\n  - secretName: {name}-token\n    opaque: {{expirationTimeKey: expires_at}}\n"
        );
        plane.kubectl(&["apply", "-f", "-"], Some(&format!("{seed}{object}"))).await?.checked()?;
        pairs.insert(name, pair);
    }
    Ok(pairs)
}

/// Shows the table once a second until the time is over (true) or somebody interrupts (false).
async fn watch(
    client: &Client,
    duration: Option<Duration>,
    mut interrupt: impl Future<Output = ()> + Unpin,
) -> anyhow::Result<bool> {
    let end = tokio::time::sleep(duration.unwrap_or(Duration::MAX));
    tokio::pin!(end);
    let terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = &mut end => return Ok(true),
            () = &mut interrupt => return Ok(false),
            _ = ticks.tick() => {}
        }
        let table = table(client).await?;
        if terminal {
            if !shown.is_empty() {
                say(&format!("\x1b[{}A\x1b[J", shown.lines().count()));
            }
            say(&table);
            shown = table;
        } else if generations(&table) != generations(&shown) {
            // Without a terminal a table is printed when a token was refreshed, not every second.
            say(&format!("{}\n{table}\n", now().format("%H:%M:%SZ")));
            shown = table;
        }
    }
}

fn generations(table: &str) -> Vec<String> {
    table.lines().map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect()
}

async fn table(client: &Client) -> anyhow::Result<String> {
    let objects: Api<RefreshableToken> = Api::namespaced(client.clone(), NAMESPACE);
    let events: Api<Event> = Api::namespaced(client.clone(), NAMESPACE);
    let mut events = events.list(&ListParams::default()).await?.items;
    // The last one of each object wins.
    events.sort_by_key(|event| {
        event.series.as_ref().map(|series| series.last_observed_time.0).or(event.event_time.as_ref().map(|time| time.0))
    });
    let last: BTreeMap<String, String> =
        events.into_iter().filter_map(|event| Some((event.regarding?.name?, event.reason?))).collect();
    let mut text = format!(
        "{:<20} {:<24} {:>10} {:<20} {:>10} {:>12}  {}\n",
        "NAME", "PROVIDER", "GENERATION", "FINGERPRINT", "EXPIRES IN", "NEXT REFRESH", "LAST EVENT"
    );
    for object in objects.list(&ListParams::default()).await? {
        let name = object.name_any();
        let status = object.status.unwrap_or_default();
        let token = status.token.unwrap_or_default();
        let fingerprint: String = token.fingerprint.chars().take(17).collect();
        let line = format!(
            "{:<20} {:<24} {:>10} {:<20} {:>10} {:>12}  {}\n",
            name,
            object.spec.provider.as_ref().map_or("-", ProviderSpec::name),
            status.chain_generation.unwrap_or(0),
            fingerprint,
            until(token.expiration_time),
            until(status.next_refresh_time),
            last.get(&name).map_or("-", String::as_str),
        );
        text.push_str(&line);
    }
    Ok(text)
}

fn until(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{}s", (time - now()).num_seconds()))
}

#[expect(clippy::disallowed_methods, reason = "the demo shows countdowns to a person")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// What is not as it shall be. The judge is the issuer: it knows what was presented and what is newest.
async fn judge(client: &Client, issuer: &Issuer, pairs: &BTreeMap<&'static str, Pair>) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (name, pair) in pairs {
        let refreshes = issuer.refreshes(pair.chain);
        if refreshes < 2 {
            problems.push(format!("{name} was refreshed {refreshes} times only"));
        }
        if !holds_newest(client, issuer, name, pair).await? {
            problems.push(format!("Secret {name}-token does not hold the issuer's newest access token"));
        }
    }
    let doubles = issuer.double_spends();
    if doubles > 0 {
        problems.push(format!("{doubles} refresh tokens were presented twice"));
    }
    Ok(problems)
}

/// Whether the output holds the newest access token; a refresh under way gets some seconds to end.
async fn holds_newest(client: &Client, issuer: &Issuer, name: &str, pair: &Pair) -> anyhow::Result<bool> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    for _ in 0..10 {
        let secret = secrets.get(&format!("{name}-token")).await?;
        let token = secret.data.and_then(|mut data| data.remove("access_token")).context("no access_token in the Secret")?;
        if issuer.newest(pair.chain).is_some_and(|newest| newest.access_token.as_bytes() == token.0) {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(false)
}
