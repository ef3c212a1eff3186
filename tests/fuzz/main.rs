//! Every target with every input that is kept for it, and with some thousand changed ones. `fuzz/run TARGET` looks for more, and adds
//! what breaks a target to the kept ones.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

mod exchange;
mod targets;

use std::path::{Path, PathBuf};

use fastrand::Rng;

/// Changed inputs per target.
const CHANGED: usize = 4000;
/// Longest input that is made. Our choice: what matters comes early, and long inputs cost time.
const LONGEST: usize = 4096;

/// Pieces that parsers look for.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e308",
    "1e400",
    "99999999999999999999",
    "NaN",
    "\n\n",
    "access_token",
    "refresh_token",
    "expires_in",
    "error",
    "invalid_grant",
    "retry-after: ",
    "https://",
    "http://",
    "@",
    "#",
    "%2e",
    "[::",
    "127.0.0.1",
    "0x7f",
    ".svc",
    "{{",
    "}}",
    "{%",
    "%}",
    " if ",
    "| tojson",
    "token.access",
    "1h",
    "-----BEGIN CERTIFICATE-----\n",
    "+262142-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "\u{0}",
    "\u{ad}",
    "é",
];

/// What is kept for a target, by name.
fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// An input with a change or a few.
fn changed(random: &mut Rng, inputs: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut input = inputs[random.usize(..inputs.len())].1.clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        let until = random.usize(at..=input.len().min(at + 32));
        match random.u8(..6) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            1 => drop(input.splice(at..until, [random.u8(..)])),
            2 => drop(input.drain(at..until)),
            3 => {
                let copy = input[at..until].repeat(random.usize(1..4));
                drop(input.splice(at..at, copy));
            }
            4 => {
                let other = &inputs[random.usize(..inputs.len())].1;
                let from = random.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => drop(input.splice(at..until, PIECES[random.usize(..PIECES.len())].bytes())),
        }
    }
    input.truncate(LONGEST);
    input
}

/// Runs a target; panics with the input, for a person to keep.
fn meet(target: fn(&[u8]), input: &[u8], what: &str) {
    let met = std::panic::catch_unwind(|| target(input));
    assert!(met.is_ok(), "{what} breaks down with {:?}", String::from_utf8_lossy(input));
}

#[test]
fn every_target_takes_what_is_kept_for_it() {
    for (name, target) in targets::TARGETS {
        let inputs = kept(name);
        assert!(!inputs.is_empty(), "nothing is kept for {name}");
        for (path, input) in inputs {
            meet(*target, &input, &format!("{name}, {}", path.display()));
        }
        assert!(targets::run(name, b""));
    }
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")).unwrap();
    for folder in folders.map(|folder| folder.unwrap().file_name()) {
        assert!(targets::TARGETS.iter().any(|(name, _)| folder == **name), "no target {}", folder.display());
    }
    assert!(!targets::run("another", b""));
}

#[test]
fn every_target_takes_what_is_changed() {
    std::thread::scope(|scope| {
        for (name, target) in targets::TARGETS {
            scope.spawn(move || {
                let inputs = kept(name);
                let mut random = Rng::with_seed(7);
                for number in 0..CHANGED {
                    meet(*target, &changed(&mut random, &inputs), &format!("{name}, change {number}"));
                }
            });
        }
    });
}
