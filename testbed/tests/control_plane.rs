//! The real control plane does what its documentation says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test that fails is a failed test; the figures are for the reader"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use testbed::control_plane::{Binaries, ControlPlane, RequestKey, requests_between};

/// Set in the process that [`nothing_survives_a_killed_owner`] starts; names the file to report to.
const REPORT: &str = "TESTBED_REPORT";

/// Owner of a ConfigMap by way of an owner reference that the garbage collector follows.
const CHILD: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: child
  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: owner, uid: UID}
";

#[tokio::test]
async fn starts_in_seconds_and_serves_kubectl() {
    // Else the first run on a machine would measure the build.
    let found = tokio::task::spawn_blocking(Binaries::find).await.unwrap();
    found.unwrap();
    let start = now();
    let control_plane = ControlPlane::start().await.unwrap();
    let took = start.elapsed();
    println!("ready in {} ms", took.as_millis());
    print_memory(&control_plane);
    assert!(took < Duration::from_secs(60), "{took:?}");

    let create = ["create", "configmap", "a", "--from-literal=k=v"];
    kubectl(&control_plane, &create).await;
    let get = ["get", "configmap", "a", "-o", "jsonpath={.data.k}"];
    assert_eq!(kubectl(&control_plane, &get).await, "v");
    let manifest = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "from-stdin"}}"#;
    let apply = ["apply", "--server-side", "-f", "-"];
    let output = control_plane.kubectl(&apply, Some(manifest)).await.unwrap();
    assert!(output.checked().unwrap().contains("from-stdin"));
    let missing = control_plane.kubectl(&["get", "configmap", "b"], None).await.unwrap();
    assert!(!missing.status.success());
    assert!(missing.stderr.contains("NotFound"), "{}", missing.stderr);

    // The file works for any client, not only for ours.
    let file = control_plane.kubeconfig_path();
    assert_eq!(fs::read_to_string(file).unwrap(), control_plane.kubeconfig_yaml());
}

#[tokio::test]
async fn two_instances_at_once_do_not_collide() {
    let (one, two) = tokio::join!(ControlPlane::start(), ControlPlane::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.url(), two.url());
    kubectl(&one, &["create", "configmap", "mine"]).await;
    let here = kubectl(&one, &["get", "configmaps", "-o", "name"]).await;
    let there = kubectl(&two, &["get", "configmaps", "-o", "name"]).await;
    assert!(here.contains("configmap/mine"), "{here}");
    assert!(!there.contains("configmap/mine"), "{there}");
}

#[tokio::test]
async fn requests_are_counted_exactly_and_by_user() {
    let control_plane = ControlPlane::builder().audit().user("alice", &["team:a", "team:b"]).start().await.unwrap();
    let before = control_plane.request_counts().await.unwrap();
    for name in ["a", "b", "c"] {
        kubectl(&control_plane, &["create", "configmap", name]).await;
    }
    let conflict = ["create", "configmap", "a"];
    let output = control_plane.kubectl(&conflict, None).await.unwrap();
    assert!(output.stderr.contains("already exists"), "{}", output.stderr);
    let after = control_plane.request_counts().await.unwrap();

    let counts: Vec<_> = requests_between(&before, &after)
        .into_iter()
        .filter(|(key, _)| key.resource == "configmaps" && key.verb == "POST")
        .collect();
    let post = |code| RequestKey::new("POST", "", "configmaps", "", code);
    assert_eq!(counts, [(post(201), 3), (post(409), 1)]);

    let alice = control_plane.user("alice").unwrap();
    let file = alice.path.to_str().unwrap();
    let as_alice = ["--kubeconfig", file];
    let whoami = [&as_alice[..], &["auth", "whoami", "-o", "yaml"]].concat();
    let identity = kubectl(&control_plane, &whoami).await;
    assert!(identity.contains("username: alice"), "{identity}");
    assert!(identity.contains("team:a") && identity.contains("team:b"), "{identity}");
    let list = [&as_alice[..], &["get", "secrets"]].concat();
    let denied = control_plane.kubectl(&list, None).await.unwrap();
    assert!(denied.stderr.contains("Forbidden"), "{}", denied.stderr);
    assert!(control_plane.user("bob").is_err());

    let count = |user: &str, verb: &str, resource: &str| {
        let counts = control_plane.audit_counts().unwrap();
        let matching = counts.iter().filter(|(key, _)| key.user == user && key.verb == verb && key.resource == resource);
        matching.map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(count("admin", "create", "configmaps"), 4);
    assert_eq!(count("alice", "create", "configmaps"), 0);
    assert_eq!(count("alice", "list", "secrets"), 1);
}

#[tokio::test]
async fn controller_manager_deletes_dependents_and_namespaces() {
    let start = now();
    let control_plane = ControlPlane::builder().controller_manager().start().await.unwrap();
    println!("ready in {} ms", start.elapsed().as_millis());
    print_memory(&control_plane);
    let kubectl = async |arguments: &[&str]| kubectl(&control_plane, arguments).await;
    kubectl(&["create", "configmap", "owner"]).await;
    let uid = kubectl(&["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]).await;
    let child = CHILD.replace("UID", &uid);
    let output = control_plane.kubectl(&["create", "-f", "-"], Some(&child)).await;
    output.unwrap().checked().unwrap();
    kubectl(&["delete", "configmap", "owner"]).await;
    kubectl(&["wait", "--for=delete", "configmap/child", "--timeout=60s"]).await;

    kubectl(&["create", "namespace", "gone"]).await;
    kubectl(&["create", "configmap", "inside", "-n", "gone"]).await;
    kubectl(&["delete", "namespace", "gone", "--timeout=60s"]).await;
    let namespaces = kubectl(&["get", "namespaces", "-o", "name"]).await;
    assert!(!namespaces.contains("gone"), "{namespaces}");
}

#[tokio::test]
async fn nothing_survives_dropping_or_stopping() {
    let dropped = ControlPlane::start().await.unwrap();
    let traces = Traces::of(&dropped);
    assert!(traces.all_there());
    drop(dropped);
    assert_eq!(traces.left(), Vec::<PathBuf>::new());

    let stopped = ControlPlane::start().await.unwrap();
    let traces = Traces::of(&stopped);
    stopped.stop().unwrap();
    assert_eq!(traces.left(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn nothing_survives_a_killed_owner() {
    let scratch = tempfile::tempdir().unwrap();
    let report = scratch.path().join("report");
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "owner_that_gets_killed", "--nocapture"])
        .env(REPORT, &report)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let text = wait_until(|| fs::read_to_string(&report).ok()).unwrap();
    let traces = Traces(text.lines().map(PathBuf::from).collect());
    assert_eq!(traces.0.len(), 3, "{text}");
    assert!(traces.all_there());

    // SIGKILL: nothing of the owner's code runs any more.
    owner.kill().unwrap();
    owner.wait().unwrap();
    let start = now();
    wait_until(|| traces.left().is_empty().then_some(()));
    println!("all gone after {} ms", start.elapsed().as_millis());
    assert_eq!(traces.left(), Vec::<PathBuf>::new());
}

/// Not a test by itself: the process that [`nothing_survives_a_killed_owner`] kills.
#[tokio::test]
async fn owner_that_gets_killed() {
    let Some(report) = env::var_os(REPORT) else {
        return;
    };
    let control_plane = ControlPlane::start().await.unwrap();
    let Traces(paths) = Traces::of(&control_plane);
    let lines: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let unfinished = Path::new(&report).with_extension("new");
    fs::write(&unfinished, lines.join("\n")).unwrap();
    fs::rename(unfinished, report).unwrap();
    // Ends by itself too, should the killer have been killed.
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// Paths that exist while a control plane does: its folder and its processes in `/proc`.
struct Traces(Vec<PathBuf>);

impl Traces {
    fn of(control_plane: &ControlPlane) -> Self {
        let ids = control_plane.process_ids();
        let processes = ids.values().map(|id| PathBuf::from(format!("/proc/{id}/cmdline")));
        Self(processes.chain([control_plane.folder().to_owned()]).collect())
    }

    /// What still exists; a process that nobody has waited for yet has an empty command line.
    fn left(&self) -> Vec<PathBuf> {
        let exists = |path: &&PathBuf| match fs::read(path) {
            Ok(command_line) => !command_line.is_empty(),
            Err(_) => path.is_dir(),
        };
        self.0.iter().filter(exists).cloned().collect()
    }

    fn all_there(&self) -> bool {
        self.left() == self.0
    }
}

async fn kubectl(control_plane: &ControlPlane, arguments: &[&str]) -> String {
    let output = control_plane.kubectl(arguments, None).await.unwrap();
    output.checked().unwrap()
}

fn wait_until<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if start.elapsed() > Duration::from_secs(60) {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn print_memory(control_plane: &ControlPlane) {
    for (name, id) in control_plane.process_ids() {
        println!("{name}: {} MB resident", resident_kilobytes(id) / 1024);
    }
}

fn resident_kilobytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "measures real processes")]
fn now() -> Instant {
    Instant::now()
}
