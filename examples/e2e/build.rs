//! What is shown of the program and the image, before anything runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use testbed::image::{PROFILE, static_program};

use crate::image::{MOST, NAME, Program, USER, image, target};
use crate::node::text;
use crate::table::Table;

/// What is shown of a program, a line each.
type Shown = fn(&Path) -> anyhow::Result<Vec<String>>;

/// Shows what the image is; whether all of it holds.
pub fn show(program: &Program) -> bool {
    let mut table = Table::new("image");
    if let Some(why) = program.obstacle() {
        table.row("build", &[format!("skipped: {why}")]);
        return table.finish();
    }
    let steps: [(&str, Shown); 3] = [("content", content), ("runs", runs), ("reproducible", again)];
    for (step, shown) in steps {
        match shown(&program.path) {
            Ok(lines) => table.row(step, &lines),
            Err(error) => table.failure(step, &error),
        }
    }
    table.finish()
}

fn content(program: &Path) -> anyhow::Result<Vec<String>> {
    let image = image(program)?;
    ensure!(image.size() <= MOST, "{} bytes are more than {MOST}", image.size());
    let config = image.config()?;
    ensure!(text(&config, "/config/User") == USER, "the user is {}", text(&config, "/config/User"));
    agrees_with_the_dockerfile()?;
    Ok(vec![
        format!("{} bytes uncompressed, at most {MOST}; user {USER}; {}", image.size(), image.digest()),
        "one program and one file of certificate authorities, no shell; user, entrypoint and paths as in Dockerfile".into(),
    ])
}

/// Both ways to the image lead to the same place; only the Dockerfile is for users.
fn agrees_with_the_dockerfile() -> anyhow::Result<()> {
    let text = include_str!("../../Dockerfile");
    let last = text.rsplit("\nFROM ").next().unwrap_or_default();
    ensure!(last.starts_with("scratch"), "the last stage of Dockerfile is not made from scratch");
    let lines = [
        format!("USER {USER}"),
        format!("ENTRYPOINT [\"/{NAME}\"]"),
        format!("COPY --from=build /out/{NAME} /{NAME}"),
        "COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt".to_owned(),
    ];
    for line in lines {
        ensure!(last.lines().any(|found| found == line), "the last stage of Dockerfile has no line `{line}`");
    }
    Ok(())
}

/// The program in an empty root, where no library or file of this machine can help it.
fn runs(program: &Path) -> anyhow::Result<Vec<String>> {
    let root = tempfile::tempdir()?;
    let copy = root.path().join(NAME);
    fs::copy(program, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let (output, place) = match Command::new("chroot").arg(root.path()).args([&format!("/{NAME}"), "version"]).output() {
        Ok(output) if output.status.success() => (output, "in an empty root"),
        // Only root may change the root.
        _ => {
            (Command::new(&copy).arg("version").env_clear().output().context("start the program")?, "in the root of this machine")
        }
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(version == format!("{NAME} {}", env!("CARGO_PKG_VERSION")), "`version` says `{version}`");
    Ok(vec![format!("`version` {place}: {version}")])
}

/// Builds the product once more, from a copy of the sources in another folder and into another folder, and compares digests.
///
/// What the first build made of the dependencies is taken over, so that this takes a minute and not ten; their paths are the same in both.
fn again(program: &Path) -> anyhow::Result<Vec<String>> {
    let target = target()?;
    let scratch = tempfile::Builder::new().prefix("rtok-again-").tempdir_in(&target)?;
    let (sources, built) = (scratch.path().join("sources"), scratch.path().join("target"));
    copy_sources(&sources)?;
    for profile in [format!("{}-unknown-linux-musl/{PROFILE}", std::env::consts::ARCH), PROFILE.to_owned()] {
        let (from, to) = (target.join(&profile), built.join(&profile));
        fs::create_dir_all(&to)?;
        // Hard links: the disk holds them once. Not of what cargo writes in place.
        copy("-al", &[from.join("build"), from.join("deps")], &to)?;
        copy("-a", &[from.join(".fingerprint")], &to)?;
        for entry in fs::read_dir(to.join("deps"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().contains("refreshable_token_operator") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    let second = static_program(&sources, &built, NAME)?;
    let (one, two) = (image(program)?.digest(), image(&second)?.digest());
    ensure!(one == two, "two builds differ: {one} and {two}");
    let bytes = fs::read(&second)?;
    for path in [env!("CARGO_MANIFEST_DIR"), &sources.to_string_lossy(), &target.to_string_lossy()] {
        ensure!(!bytes.windows(path.len()).any(|found| found == path.as_bytes()), "the program names {path}");
    }
    Ok(vec!["built from a copy of the sources in another folder: the same digest; no path of this machine in it".into()])
}

/// What belongs to the product and the manifests that cargo wants to see.
fn copy_sources(to: &Path) -> anyhow::Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(to)?;
    let names: Vec<PathBuf> = fs::read_dir(from)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let wanted: Vec<PathBuf> = names.into_iter().filter(|path| !path.ends_with(".git") && !path.ends_with("target")).collect();
    copy("-r", &wanted, to)
}

fn copy(how: &str, from: &[PathBuf], to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg(how).args(from).arg(to).status().context("start cp")?;
    ensure!(status.success(), "cp to {}: {status}", to.display());
    Ok(())
}
