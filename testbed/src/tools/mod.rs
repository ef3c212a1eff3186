//! Programs and files that check the chart and the workflows: Helm 3 and 4, kubeconform, actionlint, and the schemas of Kubernetes
//! versions and of the Prometheus Operator. Built or made once, in the cache folder, from Go modules whose versions and checksums are
//! pinned here.

mod monitors;
mod schemas;

use std::path::PathBuf;

use crate::cache;
use crate::go_build::{self, Module, Program, Recipe};

pub use monitors::monitors;
pub use schemas::{KUBERNETES_VERSIONS, schemas};

/// A program to find or build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The last major version, which many pipelines still use.
    Helm3,
    /// The newest major version.
    Helm4,
    /// Compares manifests with JSON Schemas.
    Kubeconform,
    /// Checks GitHub's workflows.
    Actionlint,
}

struct Source {
    module: Module,
    program: Program,
    /// What `go.mod` asks for is behind these words.
    version: &'static str,
}

macro_rules! module {
    ($folder:literal) => {
        Module {
            go_mod: include_str!(concat!("../../tools/", $folder, "/go.mod")),
            go_sum: include_str!(concat!("../../tools/", $folder, "/go.sum")),
            tools_go: include_str!(concat!("../../tools/", $folder, "/tools.go")),
        }
    };
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Helm3, Self::Helm4, Self::Kubeconform, Self::Actionlint];

    /// Name for the command line and of the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.source().program.name
    }

    /// The program, built first if need be: minutes, once per machine.
    ///
    /// Blocks; progress goes to standard error. Fails if it must be built and there is no recent enough `go`, or if the build
    /// fails.
    pub fn find(self) -> anyhow::Result<PathBuf> {
        let Source { module, program, version } = self.source();
        let version = module.after(version)?;
        let recipe = Recipe { title: "chart tools", module, programs: &[program], linker_flags: self.linker_flags(version)? };
        let name = format!("{}-{version}-{}", program.name, go_build::platform());
        let folder = go_build::cached("go".as_ref(), &cache::folder()?.join("tools"), &name, &recipe)?;
        Ok(folder.join(program.name))
    }

    fn source(self) -> Source {
        let (module, name, package, version) = match self {
            Self::Helm3 => (module!("helm3"), "helm3", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3 v"),
            Self::Helm4 => (module!("helm4"), "helm4", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4 v"),
            Self::Kubeconform => (
                module!("kubeconform"),
                "kubeconform",
                "github.com/yannh/kubeconform/cmd/kubeconform",
                "github.com/yannh/kubeconform v",
            ),
            Self::Actionlint => (
                module!("actionlint"),
                "actionlint",
                "github.com/rhysd/actionlint/cmd/actionlint",
                "github.com/rhysd/actionlint v",
            ),
        };
        Source { module, program: Program { name, package }, version }
    }

    /// What the projects' own release builds set (their Makefiles). Helm 3 takes itself for one of Kubernetes 1.20 without.
    fn linker_flags(self, version: &str) -> anyhow::Result<String> {
        Ok(match self {
            Self::Helm3 => {
                let minor = self.source().module.after("k8s.io/client-go v0.")?.split('.').next().unwrap_or_default();
                let kubernetes = ["pkg/lint/rules", "pkg/chartutil"].map(|package| {
                    let package = format!("-X helm.sh/helm/v3/{package}");
                    format!("{package}.k8sVersionMajor=1 {package}.k8sVersionMinor={minor}")
                });
                format!("-X helm.sh/helm/v3/internal/version.version=v{version} {}", kubernetes.join(" "))
            }
            Self::Helm4 => format!("-X helm.sh/helm/v4/internal/version.version=v{version}"),
            Self::Kubeconform => format!("-X main.version=v{version}"),
            Self::Actionlint => format!("-X github.com/rhysd/actionlint.version={version}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_a_version_and_flags() {
        for tool in Tool::ALL {
            let source = tool.source();
            let version = source.module.after(source.version).unwrap();
            assert_eq!(version.split('.').count(), 3, "{tool:?} {version}");
            assert!(tool.linker_flags(version).unwrap().contains(version), "{tool:?}");
            assert!(source.module.tools_go.contains(source.program.package), "{tool:?}");
        }
        assert!(Tool::Helm3.linker_flags("3").unwrap().contains("chartutil.k8sVersionMinor=3"), "the minor of client-go");
    }
}
