//! Builds a Rust program that needs nothing of the machine it runs on: static, with musl as its C library.
//!
//! musl and not a static glibc: glibc loads its name service modules at run time and says so at each link, while musl's resolver is part of
//! the program. Nothing asks for a newer processor than the architecture's first.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Debian's compiler for musl, which has the same name for every architecture.
const COMPILER: &str = "musl-gcc";

/// The profile of what is handed out, which the workspace defines; cargo's folder has the same name.
pub const PROFILE: &str = "dist";

/// Builds the program `name` of the package in `workspace` into `target`, and gives its path; seconds when nothing has changed, minutes
/// the first time. Blocks; cargo shows its progress on standard error.
///
/// The paths of the machine are not in it, so that a build in another folder is the same bytes. Fails if the standard library for musl
/// is not there and rustup cannot fetch it, or if there is no C compiler for musl.
pub fn static_program(workspace: &Path, target: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let triple = format!("{}-unknown-linux-musl", env::consts::ARCH);
    // Else cargo says so after minutes.
    let compiler = Command::new(COMPILER).arg("--version").stdin(Stdio::null()).output();
    ensure!(compiler.is_ok_and(|output| output.status.success()), "no C compiler for musl: {COMPILER} (Debian: musl-tools)");
    add_target(workspace, &triple)?;
    let arguments = ["build", "--profile", PROFILE, "--locked", "--target", &triple, "--bin", name];
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target)
        // An empty one of these would win over the other.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("--remap-path-prefix={}=/cargo", cargo_home()?.display()))
        .env(format!("CC_{}", triple.replace('-', "_")), COMPILER)
        .stdin(Stdio::null())
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "cargo {}: {status}", arguments.join(" "));
    Ok(target.join(triple).join(PROFILE).join(name))
}

/// Asks rustup for the standard library of `triple`, if it is not there.
fn add_target(workspace: &Path, triple: &str) -> anyhow::Result<()> {
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).current_dir(workspace).stdin(Stdio::null()).output()
    };
    let sysroot = run("rustc", &["--print", "sysroot"]).context("start rustc")?;
    let sysroot = String::from_utf8(sysroot.stdout).context("read the folder of the toolchain")?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(triple).is_dir() {
        return Ok(());
    }
    let added =
        run("rustup", &["target", "add", triple]).with_context(|| format!("no standard library for {triple}, and no rustup"))?;
    ensure!(added.status.success(), "rustup target add {triple}: {}", String::from_utf8_lossy(&added.stderr).trim());
    Ok(())
}

/// Where cargo keeps the sources of the dependencies.
fn cargo_home() -> anyhow::Result<PathBuf> {
    let given = env::var_os("CARGO_HOME").filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    given.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("find the folder of cargo: set CARGO_HOME or HOME")
}
