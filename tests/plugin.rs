//! `kubectl-rtok` as a process, without a cluster: exit status, standard output, and that nothing of a kubeconfig is ever shown.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-rtok");

/// How a call ended.
#[derive(Debug)]
struct Called {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Called {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Called {
    /// It ended so, said this, and nothing secret.
    fn says(&self, code: i32, wanted: &str) {
        assert!(self.code == Some(code) && self.err.contains(wanted), "{self:#?}");
        assert!(!self.err.contains("canary") && !self.out.contains("canary"), "{self:#?}");
    }
}

fn plugin(line: &str) -> Command {
    let mut command = Command::new(PLUGIN);
    command.args(line.split_whitespace()).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// `status` with a kubeconfig of this user and more of the cluster.
fn with(folder: &Path, user: &str, cluster: &str) -> Called {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'{cluster}}}}}]\nusers: [{{name: u, user: {user}}}]\n"
    );
    let path = folder.join("config");
    std::fs::write(&path, text).unwrap();
    plugin("status --request-timeout 20s").env("KUBECONFIG", path).output().unwrap().into()
}

/// A program that prints a text, and its path.
fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_a_kubeconfig_holds_is_neither_shown_nor_the_end_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let exec = |script: &str| {
        let path = program(here, "get-token", script);
        let user = format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}, interactiveMode: Never}}}}",
            path.display()
        );
        with(here, &user, "")
    };
    with(here, r#"{token: "canary\nsecond"}"#, "").says(2, "the token of the user holds a line break");
    exec("echo canary-token; exit 7").says(2, "get-token that gives the credentials failed: exit status: 7");
    exec("echo '{status: {token: [canary]}}'").says(2, "printed no ExecCredential");
    exec("echo '{}'").says(2, "printed no ExecCredential");
    let proxied = |url: &str| with(here, "{token: a}", &format!(", proxy-url: '{url}'"));
    proxied("ftp://user:canary@proxy.example.com").says(2, "proxy-url ftp://proxy.example.com is not");
    proxied("http://user:canary@127.0.0.1:1").says(3, "the API server cannot be reached");
    proxied("socks5://user:canary@127.0.0.1:1").says(3, "the API server cannot be reached");
    with(here, "{token: a}", "").says(3, "the API server cannot be reached");
}

#[test]
fn a_proxy_of_the_kubeconfig_is_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
        asked
    });
    with(folder.path(), "{token: a}", &format!(", proxy-url: 'http://{address}'")).says(3, "the API server cannot be reached");
    // Whoever was not asked waits no longer.
    drop(TcpStream::connect(address));
    assert_eq!(proxy.join().unwrap().trim_end(), "CONNECT 127.0.0.1:1 HTTP/1.1");
}

#[test]
fn what_cannot_be_written_is_an_error_and_a_reader_that_went_is_none() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let called: Called = plugin("version --client").stdout(full).stderr(Stdio::piped()).output().unwrap().into();
    called.says(1, "standard output cannot be written: ");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let called: Called = plugin("version --client").stdout(writer).stderr(Stdio::piped()).output().unwrap().into();
    assert!(called.code == Some(0) && called.err.is_empty(), "{called:#?}");
}

#[test]
fn each_file_is_checked_whatever_the_one_before_was() {
    let folder = tempfile::tempdir().unwrap();
    let good: Called = plugin("init jfrogAccess --name ci -n build").output().unwrap().into();
    assert!(good.code == Some(0) && good.out.contains("namespace: build"), "{good:#?}");
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (a, b, c) = (file("a", "kind: \"S\\e[2Jx\""), folder.path().join("none").display().to_string(), file("c", &good.out));
    let called: Called = plugin(&format!("validate -f {a} -f {b} -f {c}")).output().unwrap().into();
    called.says(2, "there is no RefreshableToken, TokenProvider or ClusterTokenProvider in it");
    assert!(called.err.contains("cannot be read") && called.out.contains("RefreshableToken ci is valid"), "{called:#?}");
    assert!(called.err.contains("S [2Jx is passed over"), "{called:#?}");
    let rendered: Called = plugin(&format!("render -f {c} -n other")).output().unwrap().into();
    assert!(rendered.out.contains("namespace: build"), "that of the manifest: {rendered:#?}");
    std::fs::write(&c, good.out.replace("  namespace: build\n", "")).unwrap();
    let rendered: Called = plugin(&format!("render -f {c} -n other")).output().unwrap().into();
    assert!(rendered.out.contains("namespace: other"), "{rendered:#?}");
}

#[test]
fn flags_that_do_not_go_together_are_refused_before_anybody_is_asked() {
    for verb in ["consumers ci", "inspect ci", "reseed ci --stdin", "explain ci", "status ci", "refresh ci"] {
        let called: Called = plugin(&format!("{verb} -A")).output().unwrap().into();
        called.says(2, "cannot be used with");
    }
    let called: Called = plugin("status --as-group a").output().unwrap().into();
    called.says(2, "--as <USER>");
    let called: Called = plugin("doctor --operator-namespace A.b").output().unwrap().into();
    called.says(2, "a namespace is lower case letters");
}
