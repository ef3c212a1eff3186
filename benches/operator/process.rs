//! The operator as a process, and what the kernel says about it.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testbed::supervised::{Launch, Supervised};
use tokio::time::{Instant, sleep};

use crate::stage;
use crate::world::World;

/// One tick of the times in `/proc/<pid>/stat`: the kernel shows them in hundredths of a second (`USER_HZ`, proc(5)).
const TICK: Duration = Duration::from_millis(10);
/// The operator is at rest when it has used no more than a tick in this time: 0.5 % of a core. Our choice: longer than any answer of the
/// API server that it may be waiting for.
const REST: Duration = Duration::from_secs(2);
/// How long it may take to come to rest, or to stop.
const PATIENCE: Duration = Duration::from_secs(180);

/// How the operator is started. The journal and the listener are there always, as in the chart.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Its kubeconfig.
    pub kubeconfig: String,
    /// Namespaces to watch; none: all, as in the chart.
    pub namespaces: Vec<&'a str>,
    /// `--leader-elect`, as in the chart.
    pub elect: bool,
    /// `--shards`, for which there is an election; none: there is one.
    pub shards: Option<u16>,
    /// Which of several replicas it is.
    pub replica: usize,
    /// `--max-in-flight`; none: the default.
    pub in_flight: Option<u16>,
}

/// A running operator.
pub struct Process {
    child: Supervised,
    begun: Instant,
    listener: SocketAddr,
}

impl Process {
    /// Starts it.
    pub fn start(world: &World, options: &Options<'_>) -> anyhow::Result<Self> {
        let folder = world.folder();
        fs::write(folder.join("kubeconfig"), &options.kubeconfig).context("write the kubeconfig")?;
        // Taken by somebody else in between, the operator says so and ends.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a port")?.local_addr()?;
        let mut arguments: Vec<OsString> =
            ["run", "--kubeconfig=kubeconfig", "--endpoint-policy=policy.yaml"].map(Into::into).into();
        let name = format!("operator-{}", options.replica);
        arguments.push(format!("--journal-dir=journal-{}", options.replica).into());
        arguments.push(format!("--operator-namespace={}", stage::OPERATOR_NAMESPACE).into());
        arguments.push(format!("--metrics-addr={listener}").into());
        arguments.extend(options.namespaces.iter().map(|name| format!("--namespace={name}").into()));
        arguments.extend((options.elect || options.shards.is_some()).then(|| "--leader-elect".into()));
        arguments.extend(options.shards.map(|shards| format!("--shards={shards}").into()));
        arguments.extend(options.in_flight.map(|most| format!("--max-in-flight={most}").into()));
        let launch = Launch {
            program: world.program.clone(),
            arguments,
            environment: vec![("HOSTNAME".into(), name.clone().into()), ("RUST_LOG".into(), "info".into())],
            folder: folder.to_owned(),
            log: folder.join(format!("{name}.log")),
        };
        Ok(Self { begun: Instant::now(), child: Supervised::start(&launch)?, listener })
    }

    /// Waits until it has next to nothing to do; gives how long after its start that began, in the kernel's ticks:
    /// at least one.
    pub async fn at_rest(&mut self) -> anyhow::Result<Duration> {
        let asked = Instant::now();
        let mut samples = vec![(self.begun.elapsed(), self.cpu()?)];
        loop {
            sleep(TICK).await;
            let (now, cpu) = (self.begun.elapsed(), self.cpu()?);
            samples.push((now, cpu));
            let quiet = samples.iter().find(|(_, before)| cpu.saturating_sub(*before) <= TICK).map_or(now, |(time, _)| *time);
            samples.retain(|(time, _)| *time >= quiet);
            if now.saturating_sub(quiet) >= REST {
                return Ok(quiet.max(TICK));
            }
            self.child.ensure_running().context("the operator")?;
            ensure!(asked.elapsed() < PATIENCE, "the operator does not come to rest: {}", self.child.log_end());
        }
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        processor_time(&self.proc("stat"))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> anyhow::Result<u64> {
        // The exact figure; the operator shuts itself off from its own user, so that root only is shown it.
        let exact = fs::read_to_string(self.proc("smaps_rollup")).ok().and_then(|text| kibibytes(&text, "Rss:"));
        exact.map_or_else(|| self.status("VmRSS:"), Ok)
    }

    /// The most resident memory that it has had, in bytes.
    pub fn peak(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> anyhow::Result<u64> {
        let path = self.proc("status");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        kibibytes(&text, field).with_context(|| format!("find {field} in {path}"))
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// How many looks at objects have ended so far.
    pub async fn looks(&self) -> anyhow::Result<usize> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let text = client.get(format!("http://{}/metrics", self.listener)).send().await?.text().await?;
        let counts = text.lines().filter(|line| line.starts_with("refreshabletoken_reconcile_duration_seconds_count{"));
        Ok(counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum())
    }

    /// Stops it as Kubernetes does, and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child.terminate().context("stop the operator")?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("wait for the operator")? {
                ensure!(status.success(), "the operator ended with {status}: {}", self.child.log_end());
                return Ok(());
            }
            ensure!(asked.elapsed() < PATIENCE, "the operator does not stop: {}", self.child.log_end());
            sleep(TICK).await;
        }
    }
}

/// The processor time of the process whose `stat` of `/proc` this is, of all threads, in user and in kernel mode.
pub fn processor_time(path: &str) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    // The name, in parentheses, may hold anything. Behind it stands field 3; utime and stime are 14 and 15 (proc(5)).
    let fields = text.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks: Option<u32> = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks.filter(|_| !fields.is_empty()).with_context(|| format!("find the times in {path}"))?)
}

/// A field of a file of `/proc` that is written as `Rss:   1234 kB`, in bytes.
fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The size of a file in bytes.
pub fn file_size(path: &Path) -> anyhow::Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("look at {}", path.display()))?.len())
}
