//! The commands of README.md, section "kubectl rtok", typed as a reader types them: by kubectl, which finds the plug-in in the PATH.

use std::path::Path;

use tokio::process::Command;

use super::{Called, Plugin, deployment, folder};
use crate::manifest::LONG;
use crate::world::test;

/// The lines of the shell block of README.md in which this line stands.
fn block(line: &str) -> Vec<&'static str> {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut with = blocks.filter(|block| block.lines().any(|known| known == line));
    with.next().unwrap_or_else(|| panic!("README.md has no block with {line}")).lines().collect()
}

async fn shell(plugin: &Plugin<'_>, line: &str, folder: &Path) -> Called {
    let plane = &plugin.scene.world.plane;
    let kubectl = plane.kubectl_path().parent().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(folder).env("KUBECONFIG", plane.kubeconfig_path());
    command.env("PATH", format!("{}:{}:{}:/usr/bin:/bin", folder.display(), kubectl.display(), super::folder().display()));
    plugin.run(line, command, None).await
}

#[test]
fn its_commands_do_what_it_says() {
    test("build", |scene| async move {
        scene.begun("artifactory-ci").await;
        deployment(scene, "artifactory-ci-token", "other").await;
        let plugin = Plugin::new(scene);
        let here = tempfile::tempdir().unwrap();
        for line in block("kubectl rtok doctor -n build") {
            let called = shell(&plugin, line, here.path()).await;
            assert!(called.code == 0 && called.out.len() > 20, "{line}: {called:#?}");
        }
        plugin.printed_no_token(&[]);
    });
}

#[test]
fn kubectl_completes_the_plug_in_by_its_hook() {
    test("plugin-complete", |scene| async move {
        scene.put(&scene.access("artifactory-ci", LONG)).await;
        let plugin = Plugin::new(scene);
        let here = tempfile::tempdir().unwrap();
        let hook = "kubectl rtok completion kubectl > kubectl_complete-rtok && chmod +x kubectl_complete-rtok";
        assert_eq!(shell(&plugin, hook, here.path()).await.code, 0);
        let offered = |line: &'static str| shell(&plugin, line, here.path());
        offered("kubectl __complete rtok sta").await.says(0, &["status\tShow tokens", ":4"]);
        offered("kubectl __complete rtok -n plugin-complete explain arti").await.says(0, &["artifactory-ci\n:4"]);
        assert!(folder().join("kubectl-rtok").exists());
    });
}
