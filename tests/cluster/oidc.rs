//! A token server that none of us wrote: npm `oidc-provider`, whose refresh tokens work once and whose families die of a replay.
//!
//! `oidc/server.mjs` runs it. It needs Node and npm: without them the test says so and is skipped, with `CI=true` it fails.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kube::ResourceExt as _;
use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin};

use crate::world::{PATIENCE, Scene, condition, test};

const PACKAGE: &str = include_str!("oidc/package.json");
const LOCK: &str = include_str!("oidc/package-lock.json");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/oidc/server.mjs");
/// Older ones refuse the syntax of `oidc-provider` 9.
const OLDEST_NODE: (u32, u32) = (20, 19);

#[test]
fn a_real_server_refreshes_and_its_family_lives_until_it_is_revoked() {
    if let Err(missing) = node() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the capture of the test harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "SKIPPED oidc: {missing}");
        return;
    }
    test("oidc", |scene| async move {
        let server = Server::start().await.unwrap();
        scene.apply(&server.manifests()).await;
        scene.refreshed("oidc", 3).await;
        server.newest_is_held(&scene).await;

        // Suspended, so that nothing moves under the eyes of who looks.
        scene
            .kubectl(&["patch", "rtok", "oidc", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#], None)
            .await
            .checked()
            .unwrap();
        scene
            .until("oidc", "Ready=Suspended", |object| {
                condition(object, ConditionType::Ready).is_some_and(|(_, reason)| reason == "Suspended")
            })
            .await;
        server.newest_is_held(&scene).await;
        let newest = scene.value("oidc-state", "refresh_token").await.unwrap();
        assert!(server.is_active(&newest).await, "the family is dead: some refresh token was presented twice");
        let log = server.log().await;
        let presented: BTreeSet<_> = log.iter().map(|call| &call.presented).collect();
        assert_eq!(presented.len(), log.len(), "a refresh token was presented twice");
        assert!(log.iter().all(|call| call.status == 200), "{:?}", log.iter().map(|call| call.status).collect::<Vec<_>>());
        let committed = scene.status("oidc").await.chain_generation.unwrap();
        assert_eq!(log.len(), usize::try_from(committed).unwrap());

        // Somebody revokes the grant: one refusal, and no call after it, not even on request.
        server.revoke(&newest).await;
        scene
            .kubectl(&["patch", "rtok", "oidc", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#], None)
            .await
            .checked()
            .unwrap();
        scene.stalled("oidc", "ChainLost").await;
        scene
            .kubectl(&["annotate", "rtok", "oidc", "refreshabletoken.io/refresh-requested-at=now"], None)
            .await
            .checked()
            .unwrap();
        let object = scene
            .until("oidc", "the echo of the request", |object| {
                object.status.as_ref().and_then(|status| status.last_handled_refresh_request.as_deref()) == Some("now")
            })
            .await;
        let stalled = condition(&object, ConditionType::Stalled);
        assert_eq!(stalled, Some((ConditionStatus::True, "ChainLost".to_owned())), "{}", object.name_any());
        let after = server.log().await;
        assert_eq!(after.len(), log.len() + 1, "the dead token was presented again");
        assert_eq!(after.last().map(|call| (&call.presented, call.status)), Some((&newest, 400)));
    });
}

/// A refresh as the server saw it.
#[derive(Deserialize)]
struct Call {
    presented: String,
    status: u16,
    access_token: Option<String>,
    refresh_token: Option<String>,
}

/// What the server says of itself when it is ready.
#[derive(Deserialize)]
struct Greeting {
    url: String,
    client_id: String,
    client_secret: String,
    refresh_token: String,
}

/// The server; it ends when its standard input is closed, so with this value or with this process.
struct Server {
    greeting: Greeting,
    http: reqwest::Client,
    _stdin: ChildStdin,
    _child: Child,
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
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

    fn manifests(&self) -> String {
        let Greeting { url, client_id, client_secret, refresh_token } = &self.greeting;
        format!(
            r#"apiVersion: v1
kind: Secret
metadata: {{name: oidc-seed, labels: {{refreshabletoken.io/role: seed}}}}
stringData: {{refresh_token: "{refresh_token}", client_id: "{client_id}", client_secret: "{client_secret}"}}
---
apiVersion: refreshabletoken.io/v1alpha1
kind: RefreshableToken
metadata: {{name: oidc}}
spec:
  provider: {{oauth2: {{tokenURL: "{url}/token", clientAuthentication: Basic}}}}
  credential: {{seedSecretRef: {{name: oidc-seed}}}}
  outputs:
  - secretName: oidc-token
    opaque: {{refreshTokenKey: refresh_token, expirationTimeKey: expires_at}}
"#
        )
    }

    /// State and output hold the newest pair that the server gave.
    async fn newest_is_held(&self, scene: &Scene<'_>) {
        let held = async {
            loop {
                let newest = self.log().await.pop().map(|call| (call.access_token, call.refresh_token));
                let mut held = Vec::new();
                for secret in ["oidc-state", "oidc-token"] {
                    held.push(Some((scene.value(secret, "access_token").await, scene.value(secret, "refresh_token").await)));
                }
                if held.iter().all(|pair| *pair == newest) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, held).await;
        assert!(in_time.is_ok(), "state and output do not hold the newest pair");
    }

    async fn log(&self) -> Vec<Call> {
        let answer = self.http.get(format!("{}/_test/log", self.greeting.url)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Token introspection (RFC 7662).
    async fn is_active(&self, token: &str) -> bool {
        let answer: serde_json::Value = serde_json::from_slice(&self.post("/token/introspection", token).await).unwrap();
        answer["active"].as_bool().unwrap()
    }

    /// Token revocation (RFC 7009); this server ends the whole grant.
    async fn revoke(&self, token: &str) {
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
fn node() -> anyhow::Result<()> {
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
