//! What all runs share: one control plane, one issuer, one binary, and a namespace for each case.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use testbed::control_plane::ControlPlane;
use testbed::issuer::{Client as OauthClient, ClientAuth, Issuer, Rotation};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::stage;

/// How many operators work at the same time. Our choice: more only wait for each other on a small machine.
const AT_ONCE: usize = 10;

/// How many wait for most of their time.
const IDLE_AT_ONCE: usize = 40;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    stage::crypto();
    Runtime::new().unwrap()
});

static WORLD: LazyLock<anyhow::Result<World>> = LazyLock::new(|| RUNTIME.block_on(World::start()));

/// The shared parts.
pub struct World {
    /// The control plane.
    pub plane: ControlPlane,
    /// Strict, with family revocation: the least forgiving one.
    pub issuer: Issuer,
    /// A client with all rights, past all proxies.
    pub client: Client,
    /// The operator's binary.
    pub binary: PathBuf,
    places: Semaphore,
    idle: Semaphore,
}

/// A name that no other case has.
pub fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Starts the shared parts, or says why that is not possible.
pub fn ready() -> anyhow::Result<&'static World> {
    WORLD.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Runs something on the shared runtime.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    ready().unwrap();
    RUNTIME.block_on(body)
}

/// The shared parts, from within [`run`].
pub fn world() -> &'static World {
    ready().unwrap()
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let binary = tokio::task::spawn_blocking(binary).await??;
        let plane = ControlPlane::builder().user("operator", &["system:masters"]).start().await?;
        stage::install(&plane).await?;
        let client = OauthClient { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read write".into() };
        let issuer = Issuer::builder().client("client", client).rotation(Rotation::Strict).family_revocation(true);
        let client = Client::try_from(stage::config(plane.kubeconfig_yaml()).await?)?;
        Ok(Self {
            plane,
            issuer: issuer.start().await?,
            client,
            binary,
            places: Semaphore::new(AT_ONCE),
            idle: Semaphore::new(IDLE_AT_ONCE),
        })
    }

    /// A place for a case that works.
    pub async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // They are never closed.
        self.places.acquire().await.ok()
    }

    /// A place for a case that waits for most of its time.
    pub async fn idle_place(&self) -> Option<SemaphorePermit<'_>> {
        self.idle.acquire().await.ok()
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.with_context(|| format!("create the namespace {name}"))?;
        Ok(())
    }
}

/// The binary that was built with the tests. An example gets none: cargo then builds it, together with the example, so that nothing
/// they share is built twice.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(built) = option_env!("CARGO_BIN_EXE_refreshable-token-operator") {
        return Ok(built.into());
    }
    let name = "refreshable-token-operator";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--bin", name, "--example", "prove"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    ensure!(build.status().context("run cargo")?.success(), "the operator cannot be built");
    let example = std::env::current_exe().context("find this program")?;
    let profile = example.parent().and_then(std::path::Path::parent).context("find the folder of built programs")?;
    Ok(profile.join(name))
}
