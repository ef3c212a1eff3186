//! How the static program of the image is linked.

#![allow(clippy::print_stdout, reason = "cargo reads it there")]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Where a program is loaded is drawn at its start, so that it holds a list of each pointer in it: 1.2 MB, or a tenth of that as a
    // bitmap (DT_RELR). The start-up code of musl reads one since 1.2.4, which Rust brings since 1.93; a linker that is too old says so.
    let static_program = env::var_os("CARGO_CFG_TARGET_ENV").is_some_and(|target| target == "musl");
    if static_program && minor().is_some_and(|minor| minor >= 93) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The minor version of the compiler, such as 95 of `rustc 1.95.0 (…)`.
fn minor() -> Option<u32> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.split('.').nth(1)?.parse().ok()
}
