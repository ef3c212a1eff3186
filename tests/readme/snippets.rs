//! The snippets that re-read a mounted token, each in its language: between two requests the file changes, and both tokens must come.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::blocks_of;

const PAGE: &str = include_str!("../../docs/guides/consumers/volume.md");
/// More than a compiler needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Writes the token, as the operator's outputs do: the bare token, and the header of curl's snippet.
fn write_token(folder: &Path, token: &str) {
    std::fs::write(folder.join("access_token"), token).unwrap();
    std::fs::write(folder.join("header"), format!("Authorization: Bearer {token}")).unwrap();
}

/// The snippet with the mounted folder and the API of this test.
fn snippet(language: &str, folder: &Path, url: &str) -> String {
    let blocks = blocks_of(PAGE, language);
    let block = blocks.iter().find(|block| block.contains("/token/") && !block.starts_with("ln ")).unwrap();
    block
        .replace("/token/", &format!("{}/", folder.display()))
        .replace("https://art.example.com/artifactory/api/system/ping", url)
}

/// Whether there is a program that the project itself does not need, as it does Rust and Go.
fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn build(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the program sent as `Authorization` in its first two requests. The first answer is given after the token has changed.
fn sent(start: impl FnOnce(&Path, &str) -> Child) -> [String; 2] {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    write_token(folder.path(), "first");
    let mut child = start(folder.path(), &url);
    let begun = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let Ok((mut stream, _)) = listener.accept() else {
            let ended = child.try_wait().unwrap().is_some_and(|status| !status.success());
            assert!(!ended && begun.elapsed() < PATIENCE, "only {seen:?} came");
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        let header = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
        });
        // To the end of the head: what is left unread would be a reset.
        seen.extend(header.last());
        write_token(folder.path(), "second");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
    }
    let _ = child.kill();
    child.wait().unwrap();
    seen.try_into().unwrap()
}

fn program(name: impl AsRef<std::ffi::OsStr>, arguments: &[&str], folder: &Path) -> Child {
    Command::new(name).args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

const FOLLOWED: [&str; 2] = ["Bearer first", "Bearer second"];

#[test]
fn the_shell_snippet_follows_the_file() {
    let sent = sent(|folder, url| {
        let script = snippet("sh", folder, url).replace("sleep 60", "sleep 0.1");
        program("sh", &["-c", &script], folder)
    });
    assert_eq!(sent, FOLLOWED);
}

#[test]
fn the_snippet_for_rust_follows_the_file() {
    let sent = sent(|folder, url| {
        let main = "\nfn main() {\n    use std::io::{Read as _, Write as _};\n    let place = std::env::args().nth(1).unwrap();\n    \
                    for _ in 0..2 {\n        let mut stream = std::net::TcpStream::connect(&place).unwrap();\n        \
                    write!(stream, \"GET / HTTP/1.1\\r\\nHost: api\\r\\nAuthorization: {}\\r\\n\\r\\n\", authorization().unwrap()).unwrap();\n        \
                    stream.read_to_end(&mut Vec::new()).unwrap();\n    }\n}\n";
        std::fs::write(folder.join("main.rs"), snippet("rust", folder, url) + main).unwrap();
        build("rustc", &["--edition", "2024", "main.rs"], folder);
        let place = url.trim_start_matches("http://").trim_end_matches('/');
        program(folder.join("main"), &[place], folder)
    });
    assert_eq!(sent, FOLLOWED);
}

#[test]
fn the_snippet_for_go_follows_the_file() {
    let sent = sent(|folder, url| {
        let main = "package main\n\nimport \"os\"\n\nfunc main() {\n\tfor range 2 {\n\t\tanswer, err := get(os.Args[1])\n\t\t\
                    if err != nil {\n\t\t\tpanic(err)\n\t\t}\n\t\tanswer.Body.Close()\n\t}\n}\n";
        std::fs::write(folder.join("main.go"), main).unwrap();
        std::fs::write(folder.join("api.go"), snippet("go", folder, url).replace("package api", "package main")).unwrap();
        build("go", &["build", "-o", "program", "main.go", "api.go"], folder);
        program(folder.join("program"), &[url], folder)
    });
    assert_eq!(sent, FOLLOWED);
}

#[test]
fn the_snippet_for_python_follows_the_file() {
    if has("python3") {
        let sent = sent(|folder, url| {
            let script = snippet("python", folder, url) + "\nimport sys\nfor _ in range(2):\n    get(sys.argv[1])\n";
            program("python3", &["-c", &script, url], folder)
        });
        assert_eq!(sent, FOLLOWED);
    }
}

#[test]
fn the_snippet_for_java_follows_the_file() {
    if has("javac") && has("java") {
        let sent = sent(|folder, url| {
            std::fs::write(folder.join("Api.java"), snippet("java", folder, url)).unwrap();
            let main = "final class Main {\n    public static void main(String[] arguments) throws Exception {\n        \
                        for (int i = 0; i < 2; i++) {\n            Api.get(arguments[0]);\n        }\n    }\n}\n";
            std::fs::write(folder.join("Main.java"), main).unwrap();
            build("javac", &["Api.java", "Main.java"], folder);
            program("java", &["-cp", ".", "Main", url], folder)
        });
        assert_eq!(sent, FOLLOWED);
    }
}

#[test]
fn the_snippet_for_node_follows_the_file() {
    if has("node") {
        let sent = sent(|folder, url| {
            let script =
                snippet("js", folder, url) + "\nfor (let i = 0; i < 2; i++) await (await get(process.argv[2])).text();\n";
            std::fs::write(folder.join("main.mjs"), script).unwrap();
            program("node", &["main.mjs", url], folder)
        });
        assert_eq!(sent, FOLLOWED);
    }
}
