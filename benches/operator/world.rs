//! What a section runs against: a control plane, two token issuers, and a folder for the operator's files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tempfile::TempDir;
use testbed::control_plane::ControlPlane;
use testbed::issuer::{Client as OauthClient, ClientAuth, Issuer, Rotation};

use crate::{Setting, stage};

/// The user that the operator is. Its rights are all rights, but not those of the group `system:masters`, whose requests the API server
/// lets pass without a limit (Kubernetes documentation, "API Priority and Fairness").
pub const OPERATOR: &str = "operator";

/// The OAuth 2.0 client that all tokens are granted to, and its secret.
pub const CLIENT: (&str, &str) = ("client", "secret");

/// Which path of the protocol an object takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its refresh token works once: claim, mark, call, commit.
    Strict,
    /// Its refresh token can be used again: call, commit.
    Light,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Light];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict path",
            Self::Light => "light path",
        }
    }

    /// As a part of names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Light => "light",
        }
    }

    /// `rotation` of the spec.
    pub fn rotation(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Light => "Reusable",
        }
    }
}

/// The shared parts of a section.
pub struct World {
    /// The control plane.
    pub plane: ControlPlane,
    /// The administrator.
    pub client: Client,
    /// The operator's program.
    pub program: PathBuf,
    strict: Issuer,
    light: Issuer,
    folder: TempDir,
}

impl World {
    /// Starts the shared parts; with `audit` the API server tells who asked for what.
    pub async fn start(setting: &Setting, audit: bool) -> anyhow::Result<Self> {
        // A claim weighs 32 KiB, and etcd keeps every version until the next compaction: with the default of five minutes a storm would
        // come near the 2 GiB that it takes at most.
        let mut builder = ControlPlane::builder().user(OPERATOR, &[]).extra_apiserver_args(["--etcd-compaction-interval=1m"]);
        if audit {
            // In megabytes: the log is read whole, and the API server would begin another one at 100.
            builder = builder.audit().extra_apiserver_args(["--audit-log-maxsize=100000"]);
        }
        let plane = builder.start().await.context("start a control plane")?;
        stage::install(&plane).await?;
        let user = format!("--user={OPERATOR}");
        let bind = ["create", "clusterrolebinding", OPERATOR, "--clusterrole=cluster-admin", &user];
        plane.kubectl(&bind, None).await?.checked()?;
        let folder = tempfile::Builder::new().prefix("rtok-bench-").tempdir().context("create a folder")?;
        std::fs::write(folder.path().join("policy.yaml"), stage::LOOPBACK_POLICY).context("write the endpoint policy")?;
        Ok(Self {
            client: Client::try_from(stage::config(plane.kubeconfig_yaml()).await?)?,
            program: setting.program.clone(),
            strict: issuer(Rotation::Strict).await?,
            light: issuer(Rotation::Reusable).await?,
            folder,
            plane,
        })
    }

    /// The token API for the objects of a path.
    pub fn issuer(&self, way: Way) -> &Issuer {
        match way {
            Way::Strict => &self.strict,
            Way::Light => &self.light,
        }
    }

    /// Where the operator's files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The operator's kubeconfig.
    pub fn kubeconfig(&self) -> anyhow::Result<&str> {
        Ok(&self.plane.user(OPERATOR)?.yaml)
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = Namespace { metadata, ..Namespace::default() };
        namespaces.create(&PostParams::default(), &namespace).await.with_context(|| format!("create the namespace {name}"))?;
        Ok(())
    }

    /// Ends the control plane, and fails if a refresh token was presented after it was spent: figures of an operator that does that are
    /// worth nothing.
    pub fn end(self) -> anyhow::Result<()> {
        let doubles = self.strict.double_spends() + self.light.double_spends();
        anyhow::ensure!(doubles == 0, "{doubles} refresh tokens were presented after they were spent");
        self.plane.stop()
    }
}

async fn issuer(rotation: Rotation) -> anyhow::Result<Issuer> {
    let client = OauthClient { secret: CLIENT.1.into(), auth: ClientAuth::Basic, scope: "read write".into() };
    Issuer::builder().client(CLIENT.0, client).rotation(rotation).start().await
}
