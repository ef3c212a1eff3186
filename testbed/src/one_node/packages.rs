//! The programs that a node takes from Debian.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// A file of each package, by which it is known to be there.
const PACKAGES: [(&str, &str); 6] = [
    ("containerd", "/usr/bin/containerd"),
    ("runc", "/usr/sbin/runc"),
    ("busybox-static", "/bin/busybox"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("iproute2", "/sbin/ip"),
    ("musl-tools", "/usr/bin/musl-gcc"),
];

/// Installs what is missing by apt-get, which shows its progress; needs root and Debian or one of its descendants.
pub fn install() -> anyhow::Result<()> {
    let missing = || PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect::<Vec<_>>();
    let names = missing();
    if names.is_empty() {
        return Ok(());
    }
    eprintln!("one node: installing {} from Debian", names.join(" "));
    let apt = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            // Standard output is for the results.
            .stdout(Stdio::from(std::io::stderr()))
            .status()
            .context("start apt-get")
    };
    let wanted = [&["install", "-y", "--no-install-recommends"], names.as_slice()].concat();
    // The list of packages may be old or absent.
    if !apt(&wanted)?.success() {
        apt(&["update"])?;
        ensure!(apt(&wanted)?.success(), "apt-get cannot install {}", names.join(" "));
    }
    let left = missing();
    ensure!(left.is_empty(), "still missing after the installation: {}", left.join(" "));
    Ok(())
}
