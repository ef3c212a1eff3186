//! The krew manifest is what krew takes, and names what the release workflow builds.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The manifest of a release whose archives hold their own names.
fn filled() -> Value {
    let folder = tempfile::tempdir().unwrap();
    for architecture in ["amd64", "arm64"] {
        std::fs::write(folder.path().join(archive(architecture)), archive(architecture)).unwrap();
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/krew/fill");
    let output = Command::new(program).arg(VERSION).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_str(std::str::from_utf8(&output.stdout).unwrap()).unwrap()
}

fn archive(architecture: &str) -> String {
    format!("kubectl-rtok-linux-{architecture}.tar.gz")
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// As krew's own check (`validate-krew-manifest`) and its guide for developers ask.
#[test]
fn the_manifest_is_well_formed() {
    let manifest = filled();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!((&manifest["kind"], &manifest["metadata"]["name"]), (&"Plugin".into(), &"rtok".into()));
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], format!("v{VERSION}"));
    let short = spec["shortDescription"].as_str().unwrap();
    assert!((10..=50).contains(&short.len()) && !short.ends_with('.') && !short.contains("kubectl"), "{short}");
    for text in ["description", "caveats"] {
        let lines = spec[text].as_str().unwrap().lines().collect::<Vec<_>>();
        assert!(lines.iter().all(|line| line.len() <= 120), "{lines:?}");
    }
    let platforms = spec["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let labels = &platform["selector"]["matchLabels"];
        let archive = archive(labels["arch"].as_str().unwrap());
        assert_eq!((&labels["os"], &platform["bin"]), (&"linux".into(), &"kubectl-rtok".into()));
        let uri = platform["uri"].as_str().unwrap();
        assert_eq!(uri, format!("{}/releases/download/v{VERSION}/{archive}", env!("CARGO_PKG_REPOSITORY")));
        assert_eq!(platform["sha256"], sha256(&archive), "the checksum is that of the archive");
    }
}

#[test]
fn the_release_builds_what_the_manifest_names() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/release.yaml")).unwrap();
    let workflow: Value = serde_saphyr::from_str(&text).unwrap();
    let job = &workflow["jobs"]["plugin"];
    let built: Vec<_> = job["strategy"]["matrix"]["include"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| archive(row["architecture"].as_str().unwrap()))
        .collect();
    let named: Vec<_> = filled()["spec"]["platforms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(built, named);
    assert!(
        text.contains("kubectl-rtok-linux-$ARCHITECTURE.tar.gz")
            && text.contains(".github/krew/fill")
            && text.contains("plugin/*")
    );
}
