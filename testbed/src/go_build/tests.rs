//! The cache, with a script in place of `go`.

use std::ffi::OsString;
use std::process::Command;

use tempfile::TempDir;

use super::*;

const PROGRAMS: [Program; 2] =
    [Program { name: "one", package: "example.org/one" }, Program { name: "two", package: "example.org/two" }];

const MODULE: Module = Module { go_mod: "module example.org/tools\n\ngo 1.26.0\n", go_sum: "", tools_go: "" };

/// Notes each call, refuses settings of the caller, and "builds" slowly enough to be overtaken.
const FAKE_GO: &str = r#"#!/bin/sh
echo "$*" >> "CALLS"
[ "${GOFLAGS-unset}" = "" ] && [ "$GOWORK" = off ] || { echo "bad settings"; exit 1; }
if [ "$1" = env ]; then echo VERSION; exit; fi
while [ "$1" != -o ]; do shift; done
sleep 0.2
echo "program $3" > "$2"
"#;

struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new(version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scene = Self { folder };
        let script = FAKE_GO.replace("CALLS", scene.path("calls").to_str().unwrap()).replace("VERSION", version);
        scene.install(&script);
        scene
    }

    /// Makes `script` the `go` command. Another process writes it: a file that this one has open for
    /// writing while a parallel test forks cannot be executed ("text file busy").
    fn install(&self, script: &str) {
        let write = "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"";
        let status = Command::new("/bin/sh")
            .args(["-c", write, "sh"])
            .args([self.path("go").as_os_str(), script.as_ref()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cached(&self) -> anyhow::Result<PathBuf> {
        let go = OsString::from(self.path("go"));
        let recipe = Recipe { title: "test", module: MODULE, programs: &PROGRAMS, linker_flags: String::new() };
        cached(&go, &self.path("cache"), "versions", &recipe)
    }

    /// Number of `go build` calls so far.
    fn builds(&self) -> usize {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|call| call.starts_with("build ")).count()
    }
}

#[test]
fn the_second_time_nothing_is_run() {
    let scene = Scene::new("go1.26.0");
    let folder = scene.cached().unwrap();
    let two = fs::read_to_string(folder.join("two")).unwrap();
    assert_eq!(two, "program example.org/two\n");
    assert_eq!(scene.builds(), 2);
    fs::remove_file(scene.path("go")).unwrap();
    assert_eq!(scene.cached().unwrap(), folder);
}

#[test]
fn a_folder_that_is_not_complete_is_built_again() {
    // The file that is spoiled and what is left of it.
    for (file, rest) in [(MARKER, None), ("two", None), ("one", Some("pro"))] {
        let scene = Scene::new("go1.26.0");
        let path = scene.cached().unwrap().join(file);
        match rest {
            None => fs::remove_file(path).unwrap(),
            Some(rest) => fs::write(path, rest).unwrap(),
        }
        let folder = scene.cached().unwrap();
        assert_eq!(scene.builds(), 4, "{file}");
        let one = fs::read_to_string(folder.join("one")).unwrap();
        assert_eq!(one, "program example.org/one\n", "{file}");
        assert!(is_complete(&folder, &["one", "two"]), "{file}");
    }
}

#[test]
fn the_rest_of_a_killed_build_is_removed() {
    let scene = Scene::new("go1.26.0");
    let rest = scene.path("cache").join(".versions-killed");
    fs::create_dir_all(rest.join("out")).unwrap();
    scene.cached().unwrap();
    assert!(!rest.exists());
}

#[test]
fn callers_at_the_same_time_build_once() {
    let scene = Scene::new("go1.26.0");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| scene.cached().unwrap());
        }
    });
    assert_eq!(scene.builds(), 2);
}

#[test]
fn no_go_or_an_old_one_is_said_with_the_remedy() {
    let remedy = "install Go 1.26 or set KUBEBUILDER_ASSETS";
    let old = Scene::new("go1.25.9");
    let error = format!("{:#}", old.cached().unwrap_err());
    assert!(error.contains("too old (go1.25.9)") && error.contains(remedy), "{error}");
    assert_eq!(old.builds(), 0);

    let none = Scene::new("go1.26.0");
    fs::remove_file(none.path("go")).unwrap();
    let error = format!("{:#}", none.cached().unwrap_err());
    assert!(error.contains(remedy), "{error}");
    assert!(!none.path("cache/versions").exists());
}

#[test]
fn a_failed_build_leaves_nothing_and_says_why() {
    let scene = Scene::new("go1.26.0");
    let script = "#!/bin/sh\n[ $1 = env ] && echo go1.26.0 && exit\necho no such module; exit 1\n";
    scene.install(script);
    let error = format!("{:#}", scene.cached().unwrap_err());
    assert!(error.contains("building one") && error.contains("no such module"), "{error}");
    let left: Vec<_> = fs::read_dir(scene.path("cache")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the lock: {left:?}");
}
