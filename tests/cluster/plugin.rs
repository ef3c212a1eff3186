//! `kubectl rtok` against the real API server and a running operator: what each verb prints, its exit status, and that no token is
//! ever among it.

mod doctor;
mod readme;
mod verbs;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::leaks::found;
use crate::world::Scene;

/// The program, built for the tests.
const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-rtok");

/// The plug-in in a namespace, and all that it has printed there.
pub struct Plugin<'a> {
    scene: Scene<'a>,
    printed: Mutex<Vec<(String, String)>>,
}

/// How a call ended.
#[derive(Debug)]
pub struct Called {
    /// Exit status.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Called {
    /// Standard output of a call that ended with this status and said all of these.
    pub fn says(&self, code: i32, wanted: &[&str]) -> &str {
        assert_eq!(self.code, code, "{self:#?}");
        for text in wanted {
            assert!(self.out.contains(text) || self.err.contains(text), "no {text:?} in {self:#?}");
        }
        &self.out
    }

    /// Standard output as JSON or YAML.
    pub fn parsed(&self) -> Value {
        serde_saphyr::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl<'a> Plugin<'a> {
    /// Nothing called yet.
    pub fn new(scene: Scene<'a>) -> Self {
        Self { scene, printed: Mutex::default() }
    }

    /// Calls it as the administrator.
    pub async fn call(&self, line: &str) -> Called {
        self.call_with(line, None).await
    }

    /// The same with standard input.
    pub async fn call_with(&self, line: &str, input: Option<&str>) -> Called {
        let mut command = Command::new(PLUGIN);
        command.args(["-n", self.scene.namespace]).args(line.split_whitespace());
        command.env("KUBECONFIG", self.scene.world.plane.kubeconfig_path());
        self.run(line, command, input).await
    }

    /// Runs a command and keeps what it printed.
    pub async fn run(&self, line: &str, mut command: Command, input: Option<&str>) -> Called {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.unwrap_or_default().to_owned();
        // Whoever does not read it closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let called = Called { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
        self.printed.lock().unwrap().push((line.to_owned(), format!("{}{}", called.out, called.err)));
        called
    }

    /// Asserts that none of the tokens that the issuer gave in this namespace, in any spelling, was printed.
    pub fn printed_no_token(&self, more: &[&str]) {
        let chains = self.scene.world.issuer.chains();
        let own = chains.into_iter().filter(|chain| chain.subject.starts_with(self.scene.namespace));
        let mut secrets: Vec<String> = more.iter().map(|secret| (*secret).to_owned()).collect();
        for pair in own.flat_map(|chain| chain.pairs) {
            secrets.extend([Some(pair.access_token), pair.refresh_token, pair.reference_token].into_iter().flatten());
        }
        assert!(secrets.len() >= 4, "too few secrets to search for");
        for (line, text) in self.printed.lock().unwrap().iter() {
            assert_eq!(found(text, &secrets), Vec::<String>::new(), "kubectl rtok {line}");
        }
    }

    /// A file of this test.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scene.world.plane.folder().join(format!("{}-{name}", self.scene.namespace));
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A Pod of the Deployment `web` that mounts one Secret and has another one in its environment, with all that stands between.
pub async fn deployment(scene: Scene<'_>, mounted: &str, environment: &str) {
    let spec = json!({
        "containers": [{"name": "web", "image": "web",
            "volumeMounts": [{"name": "token", "mountPath": "/token"}],
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": environment, "key": "access_token"}}}]}],
        "volumes": [{"name": "token", "secret": {"secretName": mounted}}],
    });
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": spec});
    let workload = json!({"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    let made = |kind: &str, version: &str, name: &str, owner: Option<Value>, spec: &Value| {
        let owners: Vec<Value> = owner.into_iter().collect();
        json!({"apiVersion": version, "kind": kind, "spec": spec,
               "metadata": {"name": name, "labels": {"app": "web"}, "ownerReferences": owners}})
    };
    let mut owner: Option<Value> = None;
    let rows = [
        ("Deployment", "apps/v1", "web", &workload),
        ("ReplicaSet", "apps/v1", "web-5d", &workload),
        ("Pod", "v1", "web-5d-x", &spec),
    ];
    for (kind, version, name, spec) in rows {
        let object = made(kind, version, name, owner.take(), spec);
        let made = scene.kubectl(&["create", "-o", "json", "-f", "-"], Some(&object.to_string())).await.checked().unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        owner =
            Some(json!({"apiVersion": version, "kind": kind, "name": name, "uid": made["metadata"]["uid"], "controller": true}));
    }
}

/// The folder of the program, for a PATH in which kubectl finds it.
pub fn folder() -> &'static Path {
    Path::new(PLUGIN).parent().unwrap()
}
