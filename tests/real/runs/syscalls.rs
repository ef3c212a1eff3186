//! SIGKILL before the n-th system call of a refresh, by strace's tampering (strace(1), option `--inject`).
//!
//! strace is attached to an operator at rest, so that counting begins with the refresh. It counts each system call of each thread by
//! itself, so each plan names a thread; a census of an undisturbed refresh says how far to count.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::case::{Case, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{Cycle, died_with_newest, story};
use super::tally::{Played, Tally};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

const WHAT: &str = "real binary: SIGKILL at each system call of a refresh";
/// What the short extent looks at: the calls by which something leaves the process.
const LEAVES: [&str; 10] =
    ["sendto", "write", "writev", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "connect"];
/// The short extent kills at one of so many of them.
const SHARE: usize = 2;

/// Kills at each system call.
pub async fn run(extent: Extent) -> Row {
    if let Err(missing) = Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await {
        // Past the capture of the test harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {WHAT}: strace cannot be run ({missing}); Debian has it as package strace");
        return Row::skipped(WHAT, "strace is missing");
    }
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {WHAT}: the operator shuts itself off from its own user, so only root can attach"
        );
        return Row::skipped(WHAT, "not root");
    }
    let mut row = Row::new(WHAT);
    let cycles: &[Cycle] = if extent == Extent::Extended { &[Cycle::First, Cycle::Steady] } else { &[Cycle::Steady] };
    let mut plans = Vec::new();
    for cycle in cycles {
        match census(*cycle).await {
            Ok(counts) => {
                row.add_note(&format!("{cycle:?}: {} system calls", counts.values().sum::<usize>()));
                plans.extend(plans_of(*cycle, &counts, extent));
            }
            Err(error) => row.violations.push(format!("the census: {error:#}")),
        }
    }
    judge(plans, row).await
}

/// A system call of one thread; none: of any thread that is born during the refresh.
type Call = (Option<usize>, String);

/// A plan: SIGKILL before this one of a thread's calls of that name.
struct Plan {
    cycle: Cycle,
    call: Call,
    number: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cycle, call: (thread, name), number } = self;
        write!(out, "{cycle:?} refresh, thread {thread:?}, {name} {number}")
    }
}

fn plans_of(cycle: Cycle, counts: &BTreeMap<Call, usize>, extent: Extent) -> Vec<Plan> {
    let all = counts.iter().flat_map(|(call, count)| (1..=*count).map(|number| Plan { cycle, call: call.clone(), number }));
    if extent == Extent::Extended {
        return all.collect();
    }
    all.filter(|plan| LEAVES.contains(&plan.call.1.as_str())).step_by(SHARE).collect()
}

async fn judge(plans: Vec<Plan>, row: Row) -> Row {
    let (mut killed, all) = (0, plans.len());
    let mut tally = Tally::new(row);
    let cases = plans.into_iter().map(|plan| async move {
        let _place = world().place().await;
        let played = play(&plan).await;
        (plan, played)
    });
    let mut cases: FuturesUnordered<_> = cases.map(tokio::spawn).collect();
    while let Some(ended) = cases.next().await {
        match ended {
            Ok((plan, Ok((played, dead)))) => {
                killed += usize::from(dead);
                tally.count(plan, Ok(played));
            }
            Ok((plan, Err(error))) => tally.count(plan, Err(error)),
            Err(error) => tally.count("a case broke down", Err(error.into())),
        }
    }
    let mut row = tally.row();
    row.add_note(&format!("killed {killed} times"));
    // Some calls come once more or less in a refresh, such as those by which threads wait for each other.
    if killed * 2 < all {
        row.violations.push(format!("only {killed} of {all} plans killed the operator: they prove nothing"));
    }
    row
}

/// What came of a plan, and whether it killed the operator.
async fn play(plan: &Plan) -> anyhow::Result<(Played, bool)> {
    let Plan { cycle, call: (thread, name), number } = plan;
    let case = ready(*cycle).await?;
    let inject = format!("inject={name}:signal=SIGKILL:when={number}");
    let strace = attach(&case, *thread, &["-e", &format!("trace={name}"), "-e", &inject], Path::new("/dev/null")).await?;
    case.script.count();
    refresh(&case, *cycle).await?;
    let begun = Instant::now();
    let mut killed = false;
    // Dead, or through.
    while !killed && case.settled(cycle.generation(), Duration::ZERO).await? != Verdict::WentOn {
        killed = case.operator().ended()?.is_some();
        ensure!(begun.elapsed() < PATIENCE, "neither dead nor through\n{}", story(&case));
    }
    if !killed {
        case.rest().await;
        killed = case.operator().ended()?.is_some();
    }
    detach(strace).await?;
    case.start().await?;
    let mut verdict = case.settled(cycle.generation(), PATIENCE).await?;
    let may_lose = killed && died_with_newest(&case).await;
    if verdict == Verdict::WentOn {
        let next = case.newest() + 1;
        case.force("once more").await?;
        verdict = case.settled(next, PATIENCE).await?;
    }
    let played = Played { verdict, double_spends: case.double_spends(), may_lose, wrong: None, story: story(&case) };
    case.close().await;
    Ok((played, killed))
}

/// Begins the refresh.
async fn refresh(case: &Case, cycle: Cycle) -> anyhow::Result<()> {
    match cycle {
        Cycle::First => case.apply().await,
        Cycle::Steady => case.force("under strace").await,
    }
}

/// A case at rest before a refresh.
async fn ready(cycle: Cycle) -> anyhow::Result<Case> {
    let case = Case::new(&unique("strace"), Options::default()).await?;
    case.start().await?;
    if cycle == Cycle::Steady {
        case.apply().await?;
        let verdict = case.settled(1, PATIENCE).await?;
        ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
    }
    case.rest().await;
    Ok(case)
}

/// How often each thread makes each system call in a refresh.
async fn census(cycle: Cycle) -> anyhow::Result<BTreeMap<Call, usize>> {
    let case = ready(cycle).await?;
    let output = case.folder().join("strace.log");
    let threads = threads(&case)?;
    let strace = attach(&case, None, &["-s", "0"], &output).await?;
    refresh(&case, cycle).await?;
    let verdict = case.settled(cycle.generation(), PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
    case.rest().await;
    detach(strace).await?;
    let mut counts: BTreeMap<Call, usize> = BTreeMap::new();
    let mut born: BTreeMap<Call, BTreeMap<&str, usize>> = BTreeMap::new();
    let log = std::fs::read_to_string(&output).context("read the log of strace")?;
    for line in log.lines() {
        // `1234 sendto(9, ...`; the second half of an interrupted call begins with `<...`.
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(').filter(|(call, _)| call.chars().all(is_of_name)) else {
            continue;
        };
        match threads.iter().position(|known| known == thread) {
            Some(number) => *counts.entry((Some(number), call.to_owned())).or_default() += 1,
            None => *born.entry((None, call.to_owned())).or_default().entry(thread).or_default() += 1,
        }
    }
    // Each of them counts for itself.
    counts.extend(born.into_iter().map(|(call, threads)| (call, threads.into_values().max().unwrap_or_default())));
    let sends = |(_, name): &Call| name == "sendto" || name == "writev";
    ensure!(counts.keys().any(sends), "nothing was sent: {counts:?}");
    case.close().await;
    Ok(counts)
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The threads of an operator at rest, oldest first.
fn threads(case: &Case) -> anyhow::Result<Vec<String>> {
    let id = case.operator().id().context("not started")?;
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).context("list the threads of the operator")?;
    let mut threads =
        threads.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?)).collect::<anyhow::Result<Vec<u32>>>()?;
    threads.sort_unstable();
    Ok(threads.iter().map(ToString::to_string).collect())
}

/// Attaches strace to one thread, or to all and those that are born.
async fn attach(case: &Case, thread: Option<usize>, options: &[&str], output: &Path) -> anyhow::Result<Child> {
    let threads = threads(case)?;
    let mut strace = Command::new("strace");
    match thread {
        Some(number) => strace.args(["-p", threads.get(number).context("there are fewer threads than in the census")?]),
        None => strace.args(["-f", "-p", threads.first().context("no thread")?]),
    };
    strace.arg("-o").arg(output).args(options);
    let mut child = strace.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().context("start strace")?;
    let mut lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if line.contains("attached") {
            // What it says later must not fill the pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(child);
        }
        said.push_str(&line);
    }
    anyhow::bail!("strace cannot attach; is ptrace allowed here? {said}")
}

/// Lets the operator go, if it lives.
async fn detach(mut strace: Child) -> anyhow::Result<()> {
    if let Some(id) = strace.id() {
        // SIGINT lets it put everything right before it ends; SIGKILL would too, but not its log.
        let _ = Command::new("kill").args(["-INT", &id.to_string()]).stderr(Stdio::null()).status().await;
    }
    tokio::time::timeout(PATIENCE, strace.wait()).await.context("strace does not end")?.context("wait for strace")?;
    Ok(())
}
