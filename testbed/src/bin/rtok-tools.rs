//! Prints where a tool of the checks of chart and workflows is, and builds it first if need be.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use testbed::tools::{KUBERNETES_VERSIONS, Tool, monitors, schemas};

/// Prints where a tool of the checks is. The first time it is built, which takes minutes.
#[derive(Parser)]
struct Arguments {
    /// What to find.
    what: What,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Helm 3.
    Helm3,
    /// Helm 4.
    Helm4,
    /// kubeconform.
    Kubeconform,
    /// actionlint.
    Actionlint,
    /// The folder of the schemas of the Prometheus Operator's kinds, for kubeconform.
    Monitors,
    /// The folder of the schemas of Kubernetes' kinds, for kubeconform.
    Schemas,
    /// The versions that there are schemas of, one a line.
    KubernetesVersions,
}

fn main() -> anyhow::Result<ExitCode> {
    let path = match Arguments::parse().what {
        What::Helm3 => Tool::Helm3.find()?,
        What::Helm4 => Tool::Helm4.find()?,
        What::Kubeconform => Tool::Kubeconform.find()?,
        What::Actionlint => Tool::Actionlint.find()?,
        What::Monitors => monitors()?,
        What::Schemas => schemas()?,
        What::KubernetesVersions => {
            print(&KUBERNETES_VERSIONS.map(|(version, _)| version).join("\n"));
            return Ok(ExitCode::SUCCESS);
        }
    };
    print(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}
