//! The steps, in their order. Each gives the lines that say what it has shown.

mod check;
mod install;
mod kills;
mod life;
mod namespaces;
mod pods;

use crate::judge;
use crate::suite::Suite;
use crate::table::Table;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `helm install`.
    Install,
    /// `helm test`.
    Check,
    /// All four APIs are refreshed.
    Providers,
    /// A Pod mounts the outputs and sees new tokens.
    Mount,
    /// An image pull Secret is rewritten in place and used.
    Pull,
    /// The leader is killed, in two ways.
    Kill,
    /// kubelet is started again.
    Kubelet,
    /// `helm upgrade` with a claim open.
    Upgrade,
    /// `helm uninstall` and `helm install`.
    Reinstall,
    /// An installation for one namespace.
    Namespaces,
    /// What the operator may do.
    Permissions,
    /// What the issuer says at the end.
    Account,
}

impl Step {
    /// In the order of running.
    pub const ALL: [Self; 12] = [
        Self::Install,
        Self::Check,
        Self::Providers,
        Self::Mount,
        Self::Pull,
        Self::Kill,
        Self::Kubelet,
        Self::Upgrade,
        Self::Reinstall,
        Self::Namespaces,
        Self::Permissions,
        Self::Account,
    ];

    /// Name in the table and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Check => "check",
            Self::Providers => "providers",
            Self::Mount => "mount",
            Self::Pull => "pull",
            Self::Kill => "kill",
            Self::Kubelet => "kubelet",
            Self::Upgrade => "upgrade",
            Self::Reinstall => "reinstall",
            Self::Namespaces => "namespaces",
            Self::Permissions => "permissions",
            Self::Account => "account",
        }
    }

    /// Whether no other step makes sense without it.
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Install | Self::Providers | Self::Account)
    }

    /// Whether it is about what a kubelet does.
    pub fn needs_pods(self) -> bool {
        matches!(self, Self::Mount | Self::Pull | Self::Kubelet)
    }

    /// Runs it.
    pub async fn run(self, suite: &mut Suite, table: &mut Table) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Install => install::install(suite).await,
            Self::Check => check::check(suite).await,
            Self::Providers => install::providers(suite).await,
            Self::Mount => pods::mount(suite).await,
            Self::Pull => pods::pull(suite).await,
            Self::Kill => kills::kill(suite).await,
            Self::Kubelet => pods::kubelet(suite).await,
            Self::Upgrade => life::upgrade(suite).await,
            Self::Reinstall => life::reinstall(suite).await,
            Self::Namespaces => namespaces::namespaces(suite, table).await,
            Self::Permissions => namespaces::permissions(suite, table).await,
            Self::Account => Ok(vec![judge::account(suite).await?]),
        }
    }
}

/// The names of all steps.
pub fn names() -> Vec<&'static str> {
    Step::ALL.map(Step::name).into()
}
