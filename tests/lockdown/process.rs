//! The process itself: no core dumps, no other process's eyes, no words of a panic.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use refreshable_token_operator::operator::process::protect;
use refreshable_token_operator::operator::telemetry::{LogFormat, Telemetry};

use crate::world::PROGRAM;

/// Stands for a token in the message of a panic.
const CANARY: &str = "canary-in-a-panic-3f9c";

#[test]
fn the_program_can_neither_dump_core_nor_be_looked_into() {
    // Accepts and never answers: the program waits at its very start.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let url = format!("http://{}", server.local_addr().unwrap());
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \"{url}\"}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\ncurrent-context: c\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let mut child = Command::new(PROGRAM).args(["run", "--kubeconfig"]).arg(&kubeconfig).stderr(Stdio::null()).spawn().unwrap();
    // It has called: its start is over.
    let called = server.accept().unwrap();
    let process = format!("/proc/{}", child.id());
    let limits = std::fs::read_to_string(format!("{process}/limits"));
    let owner = std::fs::metadata(format!("{process}/environ")).map(|file| file.uid());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(called);
    let core = limits.unwrap().lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // proc(5): the files of a process that is not dumpable belong to root.
    assert_eq!(owner.unwrap(), 0);
}

/// Not a test: what the child process does.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    Telemetry::logs().start(LogFormat::Json, "info");
    protect().unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    let thread = std::thread::spawn(|| panic!("{CANARY}"));
    std::thread::sleep(Duration::from_millis(10));
    assert!(thread.join().is_err());
}

#[test]
fn a_panic_says_where_and_nothing_else() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "process::child"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr).into_owned() + &String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("tests/lockdown/process.rs:") && said.contains("panicked"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn a_namespace_that_would_change_a_request_path_is_refused() {
    for flag in ["--namespace", "--operator-namespace"] {
        for name in ["../kube-system", "a/b", "a?dryRun=All", "A", "a.b"] {
            let refused = Command::new(PROGRAM).args(["run", flag, name, "--kubeconfig", "/nowhere"]).output().unwrap();
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(said.contains("a namespace is lower case"), "{flag} {name}: {said}");
        }
    }
}
