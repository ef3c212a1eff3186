//! How long a new token is on its way inside the operator: from the token API's answer to the journal, the state Secret and the output.
//!
//! A proxy on each side takes the times: what it adds to each answer is in the figures. One refresh at a time, so that no refresh waits for
//! another.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testbed::proxy::{Proxy, Script, Seen, Side, Upstream};
use tokio::time::{Instant, sleep};

use crate::Setting;
use crate::fleet::Fleet;
use crate::process::{Options, Process};
use crate::ratio::options;
use crate::table::{Row, Table, Unit, quantile};
use crate::world::{Way, World};

/// How long one refresh may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The stages, in the order in which a token comes through them.
const STAGES: [&str; 3] = ["answer -> durable in the journal", "answer -> committed", "answer -> published"];

/// What is between the operator and its servers.
struct Between {
    script: Arc<Script>,
    kubernetes: Proxy,
    token_api: Proxy,
}

/// Each run over some objects, one after the other.
pub async fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let world = World::start(setting, false).await?;
    let script = Script::new();
    let upstream = Upstream::tls(world.plane.url(), &world.plane.authority_pem()?)?;
    let kubernetes = Proxy::start(Side::Kubernetes, upstream, &script).await?;
    let token_api = Proxy::start(Side::TokenApi, Upstream::plain(world.issuer(Way::Strict).url())?, &script).await?;
    let between = Between { script, kubernetes, token_api };
    let mut fleet = Fleet::new(&world, Way::Strict, "latency").await?;
    between.token_api.url().clone_into(&mut fleet.url);
    fleet.grow(setting.pick(20, 3)).await?;
    let kubeconfig = world.kubeconfig()?.replace(world.plane.url(), between.kubernetes.url());
    let options = Options { kubeconfig, ..options(&world, &[&fleet.namespace], None)? };
    let mut process = Process::start(&world, &options)?;
    fleet.refreshed(1).await?;
    process.at_rest().await?;
    let refreshes = setting.pick(300, 6);
    let mut quantiles: [[Vec<f64>; 2]; 3] = Default::default();
    for run in 0..setting.runs {
        let times = sample(&fleet, &between.script, refreshes, run).await?;
        for (stage, [half, most]) in quantiles.iter_mut().enumerate() {
            let times: Vec<f64> = times.iter().filter_map(|times| times.get(stage).copied()).collect();
            half.extend(quantile(&times, 50));
            most.extend(quantile(&times, 99));
        }
    }
    process.stop().await?;
    drop(fleet);
    for (stage, quantiles) in STAGES.into_iter().zip(quantiles) {
        for (name, values) in ["p50", "p99"].into_iter().zip(quantiles) {
            let row = Row::new(format!("latency: {stage}: {name}"), Unit::Milliseconds, values);
            table.row(&row.note(format!("of {refreshes} refreshes in each run, strict path")));
        }
    }
    world.end()
}

/// Milliseconds from the answer to the end of each stage, for each refresh.
async fn sample(fleet: &Fleet<'_>, script: &Script, refreshes: usize, run: usize) -> anyhow::Result<Vec<[f64; 3]>> {
    let names: Vec<&str> = fleet.names().collect();
    let mut times = Vec::new();
    for (number, name) in names.iter().cycle().take(refreshes).enumerate() {
        script.count();
        let wish = json!({"metadata": {"annotations": {"refreshabletoken.io/refresh-requested-at": format!("{run}-{number}")}}});
        fleet.objects().patch(name, &PatchParams::default(), &Patch::Merge(wish)).await.context("ask for a refresh")?;
        let begun = Instant::now();
        times.push(loop {
            if let Some(times) = stages(&script.course()) {
                break times;
            }
            ensure!(begun.elapsed() < PATIENCE, "{name} is not refreshed");
            sleep(Duration::from_millis(10)).await;
        });
    }
    Ok(times)
}

/// The times of a course that has come to its last write, the status.
fn stages(course: &[Seen]) -> Option<[f64; 3]> {
    let call = course.iter().find(|seen| seen.side == Side::TokenApi)?;
    let answered = call.answered?;
    let write = |method: &str, end: &str| {
        course.iter().find(|seen| seen.begun >= answered && seen.method == method && seen.path.ends_with(end) && !seen.dry_run)
    };
    let (commit, output) = (write("PUT", "-state")?, write("PATCH", "-token")?);
    write("PUT", "/status")?.answered?;
    let since = |time: Instant| time.saturating_duration_since(answered).as_secs_f64() * 1000.0;
    Some([since(commit.begun), since(commit.answered?), since(output.answered?)])
}
