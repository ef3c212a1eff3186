//! What README.md says about the kubectl plug-in: its verbs, and the commands that need no cluster. Those that need one are run by
//! tests/cluster/plugin.

use std::path::Path;
use std::process::{Command, Output};

use crate::{blocks, first_column};

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-rtok");

/// Runs commands in a folder. No kubeconfig: whoever asked for a cluster would fail.
pub fn without_cluster(commands: &str, folder: &Path) -> Output {
    // As kubectl does it: the first word chooses the program. That kubectl finds it is shown on a cluster.
    let script = format!("set -e\nkubectl() {{ shift; '{PLUGIN}' \"$@\"; }}\n{commands}");
    Command::new("bash").args(["-c", &script]).current_dir(folder).env("KUBECONFIG", "/nowhere").output().unwrap()
}

#[test]
fn each_verb_has_a_row_and_each_row_a_verb() {
    let help = Command::new(PLUGIN).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| line.starts_with("  "));
    let mut verbs: Vec<&str> = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    verbs.retain(|verb| !verb.is_empty() && *verb != "help");
    let mut rows: Vec<&str> = first_column("| verb | |").iter().filter_map(|row| row.split(' ').next()).collect();
    // Two verbs stand in one row.
    rows.push("resume");
    verbs.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, verbs);
}

#[test]
fn the_commands_without_a_cluster_do_what_it_says() {
    let block = blocks("sh").into_iter().find(|block| block.starts_with("kubectl rtok init")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = without_cluster(block, folder.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("RefreshableToken artifactory-ci is valid"), "{text}");
    let secret = text.split_once("is valid\n").unwrap().1;
    let secret: serde_json::Value = serde_saphyr::from_str(secret).unwrap();
    assert_eq!(secret["stringData"]["access_token"], "made-up-access-token");
    assert_eq!(secret["metadata"]["labels"]["refreshabletoken.io/role"], "output");
}
