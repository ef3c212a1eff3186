//! Arguments and start.

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use refreshable_token_operator::api;
use refreshable_token_operator::api::name::is_name;
use refreshable_token_operator::operator::check::{self, Scope};
use refreshable_token_operator::operator::cluster::Cluster;
use refreshable_token_operator::operator::endpoint::EndpointPolicy;
use refreshable_token_operator::operator::metrics::Metrics;
use refreshable_token_operator::operator::process;
#[cfg(feature = "otlp")]
use refreshable_token_operator::operator::telemetry::traces::TraceSettings;
use refreshable_token_operator::operator::telemetry::{LogFormat, Telemetry};
use refreshable_token_operator::operator::{Operator, Settings};
use tokio::runtime::Runtime;

/// The allocator of musl, the C library of the image, takes a third of the processor time of a refresh: it locks, and gives each large
/// piece back to the kernel. See docs/figures.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often free memory is given back to the kernel. Our choice: nobody waits for it.
const GIVE_BACK: Duration = Duration::from_secs(10);
/// A piece so large that mimalloc has no room for it at hand (include/mimalloc/types.h: `MI_LARGE_MAX_OBJ_SIZE` is 512 KiB).
const LARGE: usize = 1 << 20;

/// Refreshes tokens before they expire and writes them into Kubernetes Secrets. Never loses a refresh token, never spends one
/// twice.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<Run>),
    /// Say whether the operator could run with these arguments: one line for each thing looked at, exit status 1 if one fails.
    Check(Box<Run>),
    /// Print the CustomResourceDefinitions as YAML.
    Crd {
        /// Write each into a file of its own in this folder instead, such as crds.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
    /// Print the version.
    Version,
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Run {
    /// Kubeconfig file. Default: the Pod's service account, else ~/.kube/config.
    #[arg(long, env = "RTOK_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace to watch; may be repeated. Default: all namespaces.
    #[arg(long = "namespace", env = "RTOK_NAMESPACE", value_delimiter = ',', value_name = "NAME", value_parser = namespace)]
    namespaces: Vec<String>,
    /// List and watch labelled Secrets. Without it they are asked for by name, at least every five minutes: for installs that may
    /// not list Secrets.
    #[arg(long, env = "RTOK_SECRETS_WATCH", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    secrets_watch: bool,
    /// Restart the workloads of `spec.rollout`. Needs get, list and patch of Deployments, StatefulSets and DaemonSets.
    #[arg(long, env = "RTOK_ROLLOUT")]
    rollout: bool,
    /// Ask Kubernetes for tokens of the ServiceAccounts of `credential.serviceAccountRef`. Needs create of serviceaccounts/token.
    #[arg(long, env = "RTOK_SERVICE_ACCOUNT_TOKENS")]
    service_account_tokens: bool,
    /// Namespace of the operator's own Secrets. Default: that of the service account or of the kubeconfig's context.
    #[arg(long, env = "RTOK_OPERATOR_NAMESPACE", value_name = "NAME", value_parser = namespace)]
    operator_namespace: Option<String>,
    /// File that says which addresses beside public ones may be called. Default: none.
    #[arg(long, env = "RTOK_ENDPOINT_POLICY", value_name = "FILE")]
    endpoint_policy: Option<PathBuf>,
    /// Folder of the journal, where answers of token APIs are kept until they are committed: a folder that lives longer than the
    /// process, such as an emptyDir or a persistent volume. Default: no journal.
    #[arg(long, env = "RTOK_JOURNAL_DIR", value_name = "FOLDER")]
    journal_dir: Option<PathBuf>,
    /// Work only while this replica holds the Lease `refreshable-token-operator` in the operator's namespace: for two replicas or
    /// more. Without it every replica works; no token is spent twice either way.
    #[arg(long, env = "RTOK_LEADER_ELECT")]
    leader_elect: bool,
    /// Split the objects into so many shards, each with a Lease of its own, so that several replicas work at once. As many as there are
    /// replicas, or a few times that.
    #[arg(long, env = "RTOK_SHARDS", default_value_t = 1, requires = "leader_elect", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Address and port where /metrics, /livez and /readyz are served, such as 0.0.0.0:8080. Default: nowhere.
    #[arg(long, env = "RTOK_METRICS_ADDR", value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
    /// Show /metrics only to bearer tokens that the API server knows (TokenReview) and lets get the nonResourceURL /metrics.
    #[arg(long, env = "RTOK_METRICS_AUTH", requires = "metrics_addr")]
    metrics_auth: bool,
    /// How many refreshes may be under way at once: so many tokens are at risk when the process is killed.
    #[arg(long, env = "RTOK_MAX_IN_FLIGHT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_in_flight: u16,
    /// Form of the logs, which go to standard error.
    #[arg(long, env = "RTOK_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// What to log: a level, or several for parts of the program, such as `info,refreshable_token_operator=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", hide = true)]
    log: String,
    /// Name of this replica, shown in claims and events. Default: the host name.
    #[arg(long, env = "HOSTNAME", default_value = "refreshable-token-operator", hide = true)]
    pod: String,
}

/// A name that cannot change the path of a request; or empty, as a variable that is set to nothing.
fn namespace(text: &str) -> Result<String, &'static str> {
    let right = text.is_empty() || (is_name(text) && !text.contains('.'));
    if right { Ok(text.to_owned()) } else { Err("a namespace is lower case letters, digits and '-', such as build") }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run(*arguments),
        Command::Check(arguments) => check(*arguments).unwrap_or_else(|error| {
            print(&format!("FAILED  {error:#}\n"));
            ExitCode::FAILURE
        }),
        Command::Crd { dir: None } => print(&crds().map(|(_, text)| text).join("---\n")),
        Command::Crd { dir: Some(folder) } => write_crds(&folder).unwrap_or_else(|error| failed(&error)),
        Command::Version => print(&format!("refreshable-token-operator {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    // Whoever reads may have gone (`| head`): that is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Name of the file and text of each CustomResourceDefinition.
fn crds() -> [(String, String); 3] {
    // The schemas are made from our own types: they always serialise, as the test of the committed files shows.
    api::crds().map(|crd| (format!("{}.yaml", crd.spec.names.plural), serde_saphyr::to_string(&crd).unwrap_or_default()))
}

fn write_crds(folder: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (name, text) in crds() {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A runtime, and what clients need. One thread: the work is waiting, what blocks has threads of its own, and waking another thread
/// for each answer costs a sixth of a refresh (docs/figures.md).
fn runtime() -> anyhow::Result<Runtime> {
    // reqwest and kube panic without a process-wide provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}

/// Has free memory given back. mimalloc does that a second after it became free, if it has a page to find or to give up then; an operator
/// with nothing to do has neither, and would keep what its start took.
async fn give_back() {
    loop {
        tokio::time::sleep(GIVE_BACK).await;
        drop(black_box(Vec::<u8>::with_capacity(LARGE)));
    }
}

fn check(arguments: Run) -> anyhow::Result<ExitCode> {
    let findings = runtime()?.block_on(async {
        let settings = settings(arguments).await?;
        let operator_namespace = settings.operator_namespace.unwrap_or_else(|| settings.config.default_namespace.clone());
        let client = kube::Client::try_from(settings.config).context("no client can be made")?;
        let scope = Scope {
            namespaces: settings.namespaces,
            operator_namespace,
            leases: if settings.leader_elect { settings.shards } else { 0 },
            secrets_watch: settings.secrets_watch,
            metrics_auth: settings.metrics_auth,
            rollout: settings.rollout,
            service_account_tokens: settings.service_account_tokens,
        };
        anyhow::Ok(check::check(&Cluster::new(client, None, Metrics::default()), &scope).await)
    })?;
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    print(&(lines.join("\n") + "\n"));
    Ok(if findings.iter().all(|finding| finding.good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(arguments: Run) -> ExitCode {
    let open = process::protect().err();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let (telemetry, unusable) = match telemetry(&runtime) {
        Ok(telemetry) => (telemetry, None),
        Err(error) => (Telemetry::logs(), Some(error)),
    };
    telemetry.start(arguments.log_format, &arguments.log);
    if let Some(error) = open {
        tracing::warn!(%error, "the memory of this process cannot be shut off: no core dumps may be taken of it");
    }
    if let Some(error) = unusable {
        // Tokens are not given up for want of traces.
        tracing::error!("there are no traces: {error:#}");
    }
    let ended = runtime.block_on(async {
        tokio::spawn(give_back());
        let ended = operate(arguments).await;
        // What is left of the traces is sent by tasks of this runtime.
        let _ = tokio::task::spawn_blocking(|| telemetry.end()).await;
        ended
    });
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}

async fn operate(arguments: Run) -> anyhow::Result<()> {
    let settings = settings(arguments).await?;
    let operator = Operator::start(settings).await?;
    operator.run(stop_signal()?).await;
    Ok(())
}

#[cfg(feature = "otlp")]
fn telemetry(runtime: &Runtime) -> anyhow::Result<Telemetry> {
    let settings = TraceSettings::read(|name| std::env::var_os(name)?.into_string().ok());
    let traces = settings.traces(runtime.handle().clone()).context("check the OTEL_ variables")?;
    Ok(Telemetry::with_traces(traces))
}

#[cfg(not(feature = "otlp"))]
#[expect(clippy::unnecessary_wraps, reason = "with traces it can fail")]
fn telemetry(_: &Runtime) -> anyhow::Result<Telemetry> {
    Ok(Telemetry::logs())
}

async fn settings(arguments: Run) -> anyhow::Result<Settings> {
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path)
                .with_context(|| format!("the kubeconfig {} cannot be read", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .context("the kubeconfig cannot be used")?
        }
        None => match kube::Config::incluster() {
            Ok(config) => config,
            Err(_) => kube::Config::from_kubeconfig(&kube::config::KubeConfigOptions::default())
                .await
                .context("there is neither a service account nor a kubeconfig: name one with --kubeconfig")?,
        },
    };
    let endpoint_policy = match &arguments.endpoint_policy {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the endpoint policy {} cannot be read", path.display()))?;
            EndpointPolicy::from_yaml(&text).with_context(|| format!("the endpoint policy {}", path.display()))?
        }
        None => EndpointPolicy::default(),
    };
    Ok(Settings {
        config,
        namespaces: arguments.namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
        secrets_watch: arguments.secrets_watch,
        rollout: arguments.rollout,
        service_account_tokens: arguments.service_account_tokens,
        operator_namespace: arguments.operator_namespace.filter(|name| !name.is_empty()),
        endpoint_policy,
        journal_dir: arguments.journal_dir,
        leader_elect: arguments.leader_elect,
        shards: arguments.shards,
        max_in_flight: usize::from(arguments.max_in_flight),
        pod: arguments.pod,
        metrics_addr: arguments.metrics_addr,
        metrics_auth: arguments.metrics_auth,
    })
}

/// Resolves at the first SIGTERM or SIGINT; later ones change nothing, because a token may be held in memory only.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
