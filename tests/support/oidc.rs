//! A token server that none of us wrote: npm `oidc-provider`, whose refresh tokens work once and whose families die of a replay.
//!
//! `tests/cluster/oidc/server.mjs` runs it. It needs Node and npm: see [`node`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin};

const PACKAGE: &str = include_str!("../cluster/oidc/package.json");
const LOCK: &str = include_str!("../cluster/oidc/package-lock.json");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/oidc/server.mjs");
/// Older ones refuse the syntax of `oidc-provider` 9.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// A refresh as the server saw it.
#[derive(Deserialize)]
pub struct Call {
    /// The refresh token that came.
    pub presented: String,
    /// Status of the answer.
    pub status: u16,
    /// The new access token.
    pub access_token: Option<String>,
    /// The new refresh token.
    pub refresh_token: Option<String>,
}

/// A client that signs what it sends, with a key of RFC 7515.
#[derive(Deserialize)]
pub struct Signer {
    /// `rsa` or `ec`, as its key.
    pub client_id: String,
    /// A first refresh token.
    pub refresh_token: String,
}

/// Who may log in with a password.
#[derive(Deserialize)]
pub struct User {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// What the server says of itself when it is ready.
#[derive(Deserialize)]
pub struct Greeting {
    /// Its address.
    pub url: String,
    /// The client with a secret.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// A first refresh token.
    pub refresh_token: String,
    /// A user.
    pub user: User,
    /// Clients that sign.
    pub signers: Vec<Signer>,
}

/// The server; it ends when its standard input is closed, so with this value or with this process.
pub struct Server {
    /// What it said of itself.
    pub greeting: Greeting,
    http: reqwest::Client,
    _stdin: ChildStdin,
    _child: Child,
}

impl Server {
    /// Starts it; the first time its packages are installed.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tokio::task::spawn_blocking(installed).await??;
        let mut child = tokio::process::Command::new("node")
            .arg(SERVER)
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It warns of development settings, which is what they are.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start node")?;
        let stdin = child.stdin.take().context("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let greeting = lines.next_line().await?.context("the server ended: run node tests/cluster/oidc/server.mjs by hand")?;
        let greeting = serde_json::from_str(&greeting)?;
        Ok(Self { greeting, http: reqwest::Client::new(), _stdin: stdin, _child: child })
    }

    /// Every refresh so far.
    pub async fn log(&self) -> Vec<Call> {
        let answer = self.http.get(format!("{}/_test/log", self.greeting.url)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Token introspection (RFC 7662).
    pub async fn is_active(&self, token: &str) -> bool {
        let answer: serde_json::Value = serde_json::from_slice(&self.post("/token/introspection", token).await).unwrap();
        answer["active"].as_bool().unwrap()
    }

    /// Token revocation (RFC 7009); this server ends the whole grant.
    pub async fn revoke(&self, token: &str) {
        self.post("/token/revocation", token).await;
    }

    async fn post(&self, path: &str, token: &str) -> Vec<u8> {
        let Greeting { url, client_id, client_secret, .. } = &self.greeting;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("token", token), ("client_id", client_id), ("client_secret", client_secret)])
            .finish();
        let request = self.http.post(format!("{url}{path}")).header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        answer.bytes().await.unwrap().to_vec()
    }
}

/// Whether there are a new enough Node and an npm.
pub fn node() -> anyhow::Result<()> {
    let version =
        output(Command::new("node").arg("--version")).context("Node is missing: this test needs Node 20.19 or later")?;
    let mut parts = version.trim().trim_start_matches('v').split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { bail!("node --version says {version}") };
    ensure!((major, minor) >= OLDEST_NODE, "Node {} is too old: this test needs 20.19 or later", version.trim());
    output(Command::new("npm").arg("--version")).context("npm is missing: it comes with most Node packages")?;
    Ok(())
}

/// A folder with the packages of the lock file, installed once.
fn installed() -> anyhow::Result<PathBuf> {
    let digest = ring::digest::digest(&ring::digest::SHA256, LOCK.as_bytes());
    let digest = digest.as_ref().first_chunk().context("a digest of 32 bytes")?;
    let name = format!("{:016x}", u64::from_be_bytes(*digest));
    let cache = testbed::cache::folder()?.join("oidc-provider");
    let folder = cache.join(name);
    if folder.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache)?;
    let lock = File::create(cache.join("install.lock"))?;
    lock.lock().context("wait for another process that installs")?;
    if !folder.exists() {
        install(&cache.join("unfinished"))?;
        fs::rename(cache.join("unfinished"), &folder)?;
    }
    Ok(folder)
}

/// Under the lock: nobody else is in this folder, and what is there was left by a process that was killed.
fn install(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    fs::write(folder.join("package.json"), PACKAGE)?;
    fs::write(folder.join("package-lock.json"), LOCK)?;
    let flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
    output(Command::new("npm").args(flags).current_dir(folder)).context("install oidc-provider")?;
    Ok(())
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
