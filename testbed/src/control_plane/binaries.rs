//! Finds the programs of a control plane: given by the user, cached, or built once.
//!
//! In this order: the folder that `KUBEBUILDER_ASSETS` names (the convention of `setup-envtest`),
//! if it holds what is needed; the cache; a build from the Go modules into the cache.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::cache;
use crate::go_build::{self, Module, Program, Recipe};

/// Pins every version.
const MODULE: Module = Module {
    go_mod: include_str!("../../control-plane/go.mod"),
    go_sum: include_str!("../../control-plane/go.sum"),
    tools_go: include_str!("../../control-plane/tools.go"),
};
const ETCD: Program = Program { name: "etcd", package: "go.etcd.io/etcd/server/v3" };
const KUBE_APISERVER: Program = Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" };
const KUBECTL: Program = Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" };
const KUBE_CONTROLLER_MANAGER: Program =
    Program { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" };
const KUBE_SCHEDULER: Program = Program { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler" };
const KUBELET: Program = Program { name: "kubelet", package: "k8s.io/kubernetes/cmd/kubelet" };

/// What `go.mod` asks for, without the leading `v`.
struct Versions {
    kubernetes: &'static str,
    etcd: &'static str,
}

fn versions() -> anyhow::Result<Versions> {
    Ok(Versions { kubernetes: MODULE.after("k8s.io/kubernetes v")?, etcd: MODULE.after("go.etcd.io/etcd/server/v3 v")? })
}

/// The programs that every control plane needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

/// The programs that a node needs beside a control plane with kube-controller-manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeBinaries {
    /// Gives each Pod a node.
    pub kube_scheduler: PathBuf,
    /// Runs the Pods of a node.
    pub kubelet: PathBuf,
}

impl NodeBinaries {
    /// Finds the programs as [`Binaries::find`] does, with kube-controller-manager, which they are of no use without.
    pub fn find() -> anyhow::Result<Self> {
        let places = Places::from_environment()?;
        places.controller_manager()?;
        places.node()
    }
}

/// Where programs are looked for and what builds them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// `KUBEBUILDER_ASSETS`.
    pub(super) assets: Option<PathBuf>,
    /// Holds one folder per set of versions.
    pub(super) cache: PathBuf,
    /// The `go` command.
    pub(super) go: OsString,
}

impl Places {
    /// As the environment says; the cache is in [`cache::folder`].
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        Ok(Self {
            assets: env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from),
            cache: cache::folder()?.join("control-plane"),
            go: "go".into(),
        })
    }

    /// etcd, kube-apiserver and kubectl; building them takes minutes and blocks.
    pub(super) fn binaries(&self) -> anyhow::Result<Binaries> {
        let versions = versions()?;
        let folder =
            self.folder(&[ETCD, KUBE_APISERVER, KUBECTL], &format!("k8s-{}-etcd-{}", versions.kubernetes, versions.etcd))?;
        Ok(Binaries {
            etcd: folder.join(ETCD.name),
            kube_apiserver: folder.join(KUBE_APISERVER.name),
            kubectl: folder.join(KUBECTL.name),
        })
    }

    /// kube-controller-manager, a step of its own so that only its users pay for it.
    pub(super) fn controller_manager(&self) -> anyhow::Result<PathBuf> {
        let versions = versions()?;
        let folder = self.folder(&[KUBE_CONTROLLER_MANAGER], &format!("kube-controller-manager-{}", versions.kubernetes))?;
        Ok(folder.join(KUBE_CONTROLLER_MANAGER.name))
    }

    /// kube-scheduler and kubelet, for who runs Pods.
    pub(super) fn node(&self) -> anyhow::Result<NodeBinaries> {
        let versions = versions()?;
        let folder = self.folder(&[KUBE_SCHEDULER, KUBELET], &format!("node-{}", versions.kubernetes))?;
        Ok(NodeBinaries { kube_scheduler: folder.join(KUBE_SCHEDULER.name), kubelet: folder.join(KUBELET.name) })
    }

    /// A folder that holds all of `programs`.
    fn folder(&self, programs: &[Program], versions: &str) -> anyhow::Result<PathBuf> {
        if let Some(assets) = &self.assets {
            match programs.iter().find(|program| !assets.join(program.name).is_file()) {
                None => return Ok(std::path::absolute(assets)?),
                Some(missing) => {
                    eprintln!("control plane: KUBEBUILDER_ASSETS={} has no {}, trying the cache", assets.display(), missing.name);
                }
            }
        }
        let name = format!("{versions}-{}", go_build::platform());
        let linker_flags = linker_flags(self::versions()?.kubernetes);
        let recipe = Recipe { title: "control plane", module: MODULE, programs, linker_flags };
        go_build::cached(&self.go, &self.cache, &name, &recipe)
    }
}

/// Without these the programs report v0.0.0 (Kubernetes' `hack/lib/version.sh`).
fn linker_flags(kubernetes: &str) -> String {
    let variable = "k8s.io/component-base/version";
    let mut parts = kubernetes.split('.');
    let major = parts.next().unwrap_or_default();
    let minor = parts.next().unwrap_or_default();
    format!("-X {variable}.gitVersion=v{kubernetes} -X {variable}.gitMajor={major} -X {variable}.gitMinor={minor}")
}

impl Binaries {
    /// Finds the programs, building them first if need be: some minutes, once per machine.
    ///
    /// Blocks; progress goes to standard error. Fails if they must be built and there is no
    /// recent enough `go`, or if the build fails.
    pub fn find() -> anyhow::Result<Self> {
        Places::from_environment()?.binaries()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn versions_are_those_of_the_module() {
        let versions = versions().unwrap();
        let patch = |version: &str| version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
        assert_eq!([versions.kubernetes, versions.etcd].map(patch), [3; 2]);
    }

    #[test]
    fn given_programs_are_taken_only_if_all_are_there() {
        let scratch = tempfile::tempdir().unwrap();
        let assets = scratch.path().join("assets");
        let places = Places {
            assets: Some(assets.clone()),
            cache: scratch.path().join("cache"),
            // Reaching the build is an error that the test can see.
            go: "/no/such/go".into(),
        };
        fs::create_dir(&assets).unwrap();
        for program in [ETCD, KUBE_APISERVER] {
            fs::write(assets.join(program.name), "").unwrap();
        }
        assert!(places.binaries().is_err());

        fs::write(assets.join(KUBECTL.name), "").unwrap();
        let found = places.binaries().unwrap();
        assert_eq!(found.kubectl, assets.join("kubectl"));
        // Not among them, so not needed by who does not ask for it.
        assert!(places.controller_manager().is_err());
    }
}
