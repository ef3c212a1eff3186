//! The operator as a static program, and the image made of it: for the end-to-end suite, and for the benchmark, which weighs both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use testbed::image::{Image, Layer, PROFILE, Start, static_program};

/// Name of the program.
pub const NAME: &str = "refreshable-token-operator";
/// Registry and repository, as in the chart's default values.
const REPOSITORY: &str = "ghcr.io/refreshable-token-operator/refreshable-token-operator";
/// As the Dockerfile has them; a test compares.
pub const USER: &str = "65532:65532";
/// What an image may weigh at most, uncompressed: 15 MB.
pub const MOST: usize = 15_000_000;

/// The operator, built for this machine.
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is not static, so that no image can be made of it.
    dynamic: Option<String>,
}

impl Program {
    /// Why no node can run it.
    pub fn obstacle(&self) -> Option<String> {
        self.dynamic.clone()
    }
}

/// Builds the operator: static if this machine can, else as it can.
pub fn operator() -> anyhow::Result<Program> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = target()?;
    match static_program(workspace, &target, NAME) {
        Ok(path) => Ok(Program { path, dynamic: None }),
        Err(error) => {
            let why = format!("no static program can be built: {error:#}");
            let status = Command::new("cargo")
                .args(["build", "--profile", PROFILE, "--locked", "--bin", NAME])
                .current_dir(workspace)
                .env("CARGO_TARGET_DIR", &target)
                .status()
                .context("start cargo")?;
            ensure!(status.success(), "cargo build: {status}");
            Ok(Program { path: target.join(PROFILE).join(NAME), dynamic: Some(why) })
        }
    }
}

/// The folder that cargo built this program into.
pub fn target() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    // …/target/release/examples/e2e, or …/target/release/deps/operator-…
    own.ancestors().nth(3).map(Path::to_owned).context("find the target folder")
}

/// The image: the program and the certificate authorities that Mozilla trusts, and nothing else. No shell, no package, no user database.
pub fn image(program: &Path) -> anyhow::Result<Image> {
    let mut layer = Layer::default();
    for folder in ["etc", "etc/ssl", "etc/ssl/certs"] {
        layer.folder(folder, 0o755);
    }
    layer.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities().into_bytes());
    layer.file(NAME, 0o755, fs::read(program).with_context(|| format!("read {}", program.display()))?);
    let start = Start { entrypoint: vec![format!("/{NAME}")], user: USER.into(), ..Start::default() };
    Image::new(&format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION")), layer, &start)
}

/// Mozilla's list of a pinned version, so that equal sources are an equal image on every machine. A file and not a part of the program:
/// scanners see it, and an administrator can mount another one over it.
fn authorities() -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let encoded = BASE64.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            // Base64 is ASCII, and writing to a String cannot fail.
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
