//! Starts a control plane: finds the programs, starts the daemons, waits until they answer.

use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::ControlPlane;
use super::access::{Kubeconfig, ServerCertificates, User};
use super::binaries::{Binaries, Places};
use super::client::ApiClient;
use super::daemons::{self, ApiserverOptions};
use super::folder::InstanceFolder;
use crate::stopwatch::Stopwatch;
use crate::supervised::Supervised;

/// The group that may do everything (Kubernetes documentation, "Using RBAC Authorization").
const ADMIN_GROUP: &str = "system:masters";
/// Its user name in every cluster (Kubernetes documentation, "Core component roles").
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
/// Our choice: it takes 3 s on an idle machine, and tests run many things at once.
const START_DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(25);
/// Our choice: a port is lost between choosing and binding it only by rare chance.
const PORT_ATTEMPTS: usize = 5;

/// Options of a [`ControlPlane`], made by [`ControlPlane::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    users: Vec<User>,
    apiserver: ApiserverOptions,
    /// Addresses beside the loopback one under which clients reach the API server.
    addresses: Vec<IpAddr>,
    /// Tried before any free port.
    first_port: Option<u16>,
}

impl Builder {
    /// Adds a user; [`ControlPlane::user`] gives its kubeconfig. RBAC grants it nothing yet.
    #[must_use]
    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.users.push(User::new(name, groups));
        self
    }

    /// Keeps an audit log at level Metadata, for [`ControlPlane::audit_events`].
    #[must_use]
    pub fn audit(mut self) -> Self {
        self.apiserver.audit = true;
        self
    }

    /// Adds arguments of kube-apiserver, such as `--feature-gates=…`; they win over the defaults.
    #[must_use]
    pub fn extra_apiserver_args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        self.apiserver.extra.extend(arguments);
        self
    }

    /// Also runs kube-controller-manager, with garbage collection by owner, the deletion of
    /// namespaces and ServiceAccounts only. It builds the program on first use.
    ///
    /// The garbage collector learns of a new CustomResourceDefinition within 30 s.
    #[must_use]
    pub fn controller_manager(mut self) -> Self {
        self.apiserver.service_accounts = true;
        self
    }

    /// Also runs every controller and kube-scheduler, and lets Pods and a kubelet reach the API server at `addresses`, which have to be
    /// this machine's.
    #[must_use]
    pub fn workloads(mut self, addresses: &[IpAddr]) -> Self {
        self.apiserver.workloads = true;
        self.addresses = addresses.to_vec();
        self.controller_manager()
    }

    /// Listens on this port if it is free, else on any.
    #[must_use]
    pub fn first_port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Starts the control plane and returns when it answers.
    ///
    /// Fails if the programs can neither be found nor built, or if a daemon ends or does not
    /// answer within two minutes; the error then holds the end of its log.
    pub async fn start(self) -> anyhow::Result<ControlPlane> {
        let programs = Programs::find(&self.apiserver).await?;
        let folder = InstanceFolder::create()?;
        let certificates = ServerCertificates::generate(&self.addresses)?;
        let admin = User::new("admin", &[ADMIN_GROUP]);
        let controllers = User::new(CONTROLLER_MANAGER, &[ADMIN_GROUP]);
        let scheduling = User::new(SCHEDULER, &[]);
        let users = [vec![admin.clone(), controllers.clone(), scheduling.clone()], self.users.clone()].concat();
        daemons::write_files(folder.path(), &certificates, &users)?;

        let etcd = daemons::etcd(&programs.binaries.etcd, folder.path());
        let mut etcd = Supervised::start(&etcd)?;
        let access = |port| ApiClient::new(port, &certificates.authority, &admin.token);
        let (apiserver, client) = self.start_apiserver(&programs.binaries, folder.path(), &mut etcd, access).await?;

        let kubeconfig = |user: &User| {
            let path = folder.path().join(format!("{}.kubeconfig", user.token));
            Kubeconfig::write(path, client.url(), &certificates.authority, user)
        };
        let admin = kubeconfig(&admin)?;
        let users = self.users.iter().map(kubeconfig).collect::<Result<_, _>>()?;
        let controller_manager = match &programs.controller_manager {
            None => None,
            Some(program) => {
                let kubeconfig = kubeconfig(&controllers)?;
                let workloads = self.apiserver.workloads;
                let launch = daemons::controller_manager(program, folder.path(), &kubeconfig.path, workloads);
                let mut daemon = Supervised::start(&launch)?;
                wait_for(&mut [&mut daemon], || client.has_default_service_account()).await?;
                Some(daemon)
            }
        };
        let scheduler = match &programs.scheduler {
            None => None,
            Some(program) => {
                Some(Supervised::start(&daemons::scheduler(program, folder.path(), &kubeconfig(&scheduling)?.path))?)
            }
        };
        Ok(ControlPlane {
            scheduler,
            controller_manager,
            apiserver,
            etcd,
            client,
            admin,
            users,
            kubectl: programs.binaries.kubectl,
            audit: self.apiserver.audit,
            folder,
        })
    }

    /// Starts kube-apiserver, again on another port if another process took the one it was given.
    async fn start_apiserver(
        &self,
        binaries: &Binaries,
        folder: &Path,
        etcd: &mut Supervised,
        access: impl Fn(u16) -> anyhow::Result<ApiClient>,
    ) -> anyhow::Result<(Supervised, ApiClient)> {
        let mut first = self.first_port;
        let mut attempt = 1;
        loop {
            let port = first.take().map_or_else(free_port, Ok)?;
            let client = access(port)?;
            let program = &binaries.kube_apiserver;
            let launch = daemons::kube_apiserver(program, folder, port, &self.apiserver);
            let mut apiserver = Supervised::start(&launch)?;
            match wait_for(&mut [etcd, &mut apiserver], || client.is_ready()).await {
                Ok(()) => return Ok((apiserver, client)),
                Err(_) if attempt < PORT_ATTEMPTS && apiserver.lost_its_port() => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Everything to run.
struct Programs {
    binaries: Binaries,
    controller_manager: Option<PathBuf>,
    scheduler: Option<PathBuf>,
}

impl Programs {
    /// On a thread of its own, since a build blocks for minutes.
    async fn find(options: &ApiserverOptions) -> anyhow::Result<Self> {
        let (controllers, workloads) = (options.service_accounts, options.workloads);
        let find = move || {
            let places = Places::from_environment()?;
            let binaries = places.binaries()?;
            let controller_manager = controllers.then(|| places.controller_manager()).transpose()?;
            let scheduler = workloads.then(|| places.node()).transpose()?.map(|found| found.kube_scheduler);
            Ok(Self { binaries, controller_manager, scheduler })
        };
        tokio::task::spawn_blocking(find).await.context("find the programs of the control plane")?
    }
}

/// A port of the loopback address that nothing listens on at this moment.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until `ready` says so; fails if one of `daemons` ends or the time is over.
async fn wait_for<F: Future<Output = bool>>(daemons: &mut [&mut Supervised], ready: impl Fn() -> F) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    while !ready().await {
        for daemon in &mut *daemons {
            daemon.ensure_running()?;
        }
        if watch.elapsed() > START_DEADLINE {
            let logs: Vec<_> = daemons.iter().map(|daemon| daemon.log_end()).collect();
            bail!("not ready in {START_DEADLINE:?}\n{}", logs.join("\n"));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_another_process_took_is_given_up() {
        let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = other.local_addr().unwrap().port();
        let builder = Builder::default().first_port(taken);
        let control_plane = builder.start().await.unwrap();
        assert!(!control_plane.url().ends_with(&format!(":{taken}")));
    }

    #[tokio::test]
    async fn an_argument_that_the_server_refuses_is_in_the_error() {
        let builder = Builder::default().extra_apiserver_args(["--no-such-flag"]);
        let error = builder.start().await.unwrap_err().to_string();
        assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
    }
}
