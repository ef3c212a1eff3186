//! SIGKILL before the n-th system call of a refresh, by strace's tampering (strace(1), option `--inject`).
//!
//! strace is attached to an operator at rest, so that counting begins with the refresh. It counts each system call of each thread by
//! itself; a census of an undisturbed refresh says how far to count.

use std::collections::BTreeMap;
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

use super::case::{Case, Journal, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{Cycle, died_with_answer, story};
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
    let mut row = Row::new(WHAT);
    match census(Cycle::Steady).await {
        Ok(counts) => {
            let plans = plans(&counts, extent);
            row.note = format!("{} system calls of {} kinds", counts.values().sum::<usize>(), counts.len());
            judge(plans, &mut row).await;
        }
        Err(error) => row.violations.push(format!("the census: {error:#}")),
    }
    row
}

fn plans(counts: &BTreeMap<String, usize>, extent: Extent) -> Vec<(String, usize)> {
    let all = counts.iter().flat_map(|(call, count)| (1..=*count).map(|number| (call.clone(), number)));
    if extent == Extent::Extended {
        return all.collect();
    }
    all.filter(|(call, _)| LEAVES.contains(&call.as_str())).step_by(SHARE).collect()
}

async fn judge(plans: Vec<(String, usize)>, row: &mut Row) {
    let (mut killed, mut waits) = (0, BTreeMap::new());
    let cases = plans.into_iter().map(|(call, number)| async move {
        let _place = world().places.acquire().await;
        let played = play(&call, number).await;
        (format!("{call} {number}"), played)
    });
    let mut cases: FuturesUnordered<_> = cases.map(tokio::spawn).collect();
    while let Some(ended) = cases.next().await {
        row.plans += 1;
        let (plan, played) = match ended {
            Ok((plan, Ok(played))) => (plan, played),
            Ok((plan, Err(error))) => {
                row.violations.push(format!("{plan}: {error:#}"));
                continue;
            }
            Err(error) => {
                row.violations.push(format!("a case broke down: {error}"));
                continue;
            }
        };
        killed += u64::from(played.killed);
        row.double_spends += played.double_spends;
        if played.double_spends > 0 {
            row.violations.push(format!("{plan}: spent twice\n{}", played.story));
        }
        match played.verdict {
            Verdict::WentOn => {}
            Verdict::Waits(reason) => *waits.entry(reason).or_insert(0) += 1,
            Verdict::Lost(_) if played.may_lose => row.allowed += 1,
            Verdict::Lost(reason) => {
                row.lost += 1;
                row.violations.push(format!("{plan}: lost, {reason}\n{}", played.story));
            }
            Verdict::Unclear(how) => row.violations.push(format!("{plan}: {how}\n{}", played.story)),
        }
    }
    // Some calls come once more or less in a refresh, such as those by which threads wait for each other.
    if killed * 2 < row.plans {
        row.violations.push(format!("only {killed} of {} plans killed the operator: they prove nothing", row.plans));
    }
    row.note.push_str(&format!("; killed {killed} times"));
    if !waits.is_empty() {
        row.note.push_str(&format!("; held and waiting: {waits:?}"));
    }
}

/// What came of a plan.
struct Played {
    killed: bool,
    verdict: Verdict,
    double_spends: u64,
    may_lose: bool,
    story: String,
}

async fn play(call: &str, number: usize) -> anyhow::Result<Played> {
    let case = ready(Cycle::Steady).await?;
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let strace = attach(&case, &["-e", &format!("trace={call}"), "-e", &inject], Path::new("/dev/null")).await?;
    case.script.count();
    case.force("under strace").await?;
    let begun = Instant::now();
    let mut killed = false;
    // Dead, or through.
    while !killed && case.settled(2, Duration::ZERO).await? != Verdict::WentOn {
        killed = case.operator().ended()?.is_some();
        ensure!(begun.elapsed() < PATIENCE, "neither dead nor through\n{}", story(&case));
    }
    if !killed {
        case.rest().await;
        killed = case.operator().ended()?.is_some();
    }
    detach(strace).await?;
    case.start().await?;
    let mut verdict = case.settled(2, PATIENCE).await?;
    let may_lose = killed && died_with_answer(&case);
    if verdict == Verdict::WentOn {
        let next = case.newest() + 1;
        case.force("once more").await?;
        verdict = case.settled(next, PATIENCE).await?;
    }
    let played = Played { killed, verdict, double_spends: case.double_spends(), may_lose, story: story(&case) };
    case.close().await;
    Ok(played)
}

/// A case at rest before a steady refresh.
async fn ready(cycle: Cycle) -> anyhow::Result<Case> {
    let options = Options { journal: Journal::None, ..Options::default() };
    let case = Case::new(&unique("strace"), options).await?;
    case.start().await?;
    if cycle == Cycle::Steady {
        case.apply().await?;
        let verdict = case.settled(1, PATIENCE).await?;
        ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
    }
    case.rest().await;
    Ok(case)
}

/// How often each system call is made in a refresh, by the thread that makes it most often.
async fn census(cycle: Cycle) -> anyhow::Result<BTreeMap<String, usize>> {
    let case = ready(cycle).await?;
    let output = case.folder().join("strace.log");
    let strace = attach(&case, &["-s", "0"], &output).await?;
    case.force("under strace").await?;
    let verdict = case.settled(2, PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
    case.rest().await;
    detach(strace).await?;
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let log = std::fs::read_to_string(&output).context("read the log of strace")?;
    for line in log.lines() {
        // `1234 sendto(9, ...`; the second half of an interrupted call begins with `<...`.
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        if let Some((call, _)) = rest.trim_start().split_once('(').filter(|(call, _)| call.chars().all(is_of_name)) {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, call), count) in by_thread {
        let most = counts.entry(call.to_owned()).or_default();
        *most = count.max(*most);
    }
    ensure!(counts.contains_key("sendto") || counts.contains_key("writev"), "nothing was sent: {counts:?}");
    case.close().await;
    Ok(counts)
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Attaches strace to all threads of the operator.
async fn attach(case: &Case, options: &[&str], output: &Path) -> anyhow::Result<Child> {
    let id = case.operator().id().context("not started")?.to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-p", &id, "-o"]).arg(output).args(options);
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
