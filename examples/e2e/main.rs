//! Installs the chart with Helm as a user does, lets the operator work there through all that befalls it, and prints what was shown.
//!
//! `cargo run --release --example e2e`. One suite, two places: a real cluster of one node, with the built image and real Pods; and a real
//! API server where the operator is a process under the ServiceAccount, the RBAC and the arguments of the same chart. Where no node can be
//! run, one line says why; the second place is never skipped. What the token issuer saw is the proof, not what the operator says.

mod build;
mod helm;
mod image;
mod judge;
mod node;
mod place;
mod process;
#[path = "../../tests/support/stage.rs"]
#[allow(dead_code, reason = "tests use more of the stage than this does")]
mod stage;
mod steps;
mod suite;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use testbed::one_node::{self, Capsule, OneNode};

use image::Program;
use node::NodePlace;
use place::Place;
use process::ProcessPlace;
use suite::Suite;
use table::{Table, say};

/// Installs the chart on a real cluster and shows that no token is lost or spent twice, whatever befalls the operator.
#[derive(Clone, Parser)]
struct Arguments {
    /// Run this step only, with those that it needs; may be repeated.
    #[arg(long, value_name = "STEP", value_parser = steps::names())]
    only: Vec<String>,
    /// Run in this place only.
    #[arg(long, value_name = "PLACE", value_parser = ["image", "node", "process"])]
    place: Vec<String>,
    /// kubelet's syncFrequency in seconds, on which it depends how soon a Pod sees a changed Secret; the default of kubelet is 60.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    kubelet_sync: u64,
    /// Set for the part that runs in the capsule: its folder.
    #[arg(long, hide = true, requires = "program")]
    inside: Option<PathBuf>,
    /// The operator, built.
    #[arg(long, hide = true)]
    program: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, place: &str) -> bool {
        self.place.is_empty() || self.place.iter().any(|wanted| wanted == place)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::crypto();
    let ended = match (&arguments.inside, &arguments.program) {
        (Some(folder), Some(program)) => block(in_node(&arguments, folder, program)),
        _ => everywhere(&arguments),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("e2e cannot run: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// All places, one after the other. On the main thread, which the capsule wants.
fn everywhere(arguments: &Arguments) -> anyhow::Result<bool> {
    // What has to be fetched or built comes first: the capsule has no network.
    let obstacle =
        one_node::obstacle().map_or_else(|| one_node::install_packages().err().map(|error| format!("{error:#}")), Some);
    let program = image::operator()?;
    helm::find()?;
    say(&table::head());
    let mut holds = true;
    if arguments.wants("image") {
        holds &= build::show(&program);
    }
    if arguments.wants("node") {
        match obstacle.or_else(|| program.obstacle()) {
            Some(why) => say(&format!("node     skipped: no node can run here: {why}\n")),
            None => holds &= inside(arguments, &program)?,
        }
    }
    if arguments.wants("process") {
        holds &= block(in_process(arguments, program))?;
    }
    say(if holds { "\nall of it was shown\n" } else { "\nNOT all of it was shown\n" });
    Ok(holds)
}

/// Runs this program once more, in a capsule.
fn inside(arguments: &Arguments, program: &Program) -> anyhow::Result<bool> {
    testbed::control_plane::Binaries::find()?;
    testbed::control_plane::NodeBinaries::find()?;
    let capsule = Capsule::open()?;
    let mut again = vec!["--inside".into(), capsule.folder().into(), "--program".into(), program.path.clone().into_os_string()];
    again.extend(["--kubelet-sync".into(), arguments.kubelet_sync.to_string().into()]);
    for only in &arguments.only {
        again.extend(["--only".into(), only.into()]);
    }
    let status = capsule.run(&std::env::current_exe().context("find this program")?, again)?;
    Ok(status.success())
}

async fn in_node(arguments: &Arguments, folder: &Path, program: &Path) -> anyhow::Result<bool> {
    let mut table = Table::new("node");
    let sync = Duration::from_secs(arguments.kubelet_sync);
    let node = OneNode::start(folder, sync).await?;
    table.row("cluster", &["API server, controllers, scheduler, containerd and kubelet run".into()]);
    let place = NodePlace::new(node, program, sync).await?;
    Suite::start(Place::Node(Box::new(place)), folder).await?.run(&arguments.only, table).await
}

async fn in_process(arguments: &Arguments, program: Program) -> anyhow::Result<bool> {
    let mut table = Table::new("process");
    let folder = tempfile::Builder::new().prefix("rtok-e2e-").tempdir().context("create a folder")?;
    let place = ProcessPlace::start(program.path, folder.path()).await?;
    table.row("cluster", &["API server and controllers run".into()]);
    Suite::start(Place::Process(Box::new(place)), folder.path()).await?.run(&arguments.only, table).await
}

fn block(what: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let ended = runtime.block_on(what);
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
