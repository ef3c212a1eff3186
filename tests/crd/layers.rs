//! The layers of src/lib.rs hold: the core names no client, no clock and no effect.

use std::path::{Path, PathBuf};

/// Every Rust file at or below `path` of the package, with its code: comments are left out.
fn sources(path: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![root.join(path)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let code = code.join("\n");
            found.push((path.strip_prefix(root).unwrap().to_owned(), code));
        }
    }
    assert!(!found.is_empty(), "{path}: no source");
    found
}

fn core() -> Vec<(PathBuf, String)> {
    ["src/refresh", "src/provider", "src/token.rs", "src/token", "src/api"].into_iter().flat_map(sources).collect()
}

/// Files of `sources` that name one of `words`.
fn naming(sources: &[(PathBuf, String)], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, code) in sources {
        let named = words.iter().filter(|word| code.contains(**word));
        found.extend(named.map(|word| format!("{} names {word}", path.display())));
    }
    found
}

#[test]
fn the_core_names_no_effect() {
    let effects = [
        "reqwest",
        "hyper",
        "tokio",
        "std::{",
        "std::net",
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "crate::operator",
        "super::operator",
        "SystemTime",
        "Instant",
        "Utc::now",
        "Local::now",
        "Timestamp::now",
        "Zoned::now",
    ];
    assert_eq!(naming(&core(), &effects), Vec::<String>::new());
}

/// Of kube, the kinds need the derive macros and `kube::core`, and token APIs one macro for their part of a manifest; the rest of the
/// core needs nothing.
#[test]
fn the_core_names_no_kubernetes_client() {
    let allowed = ["core", "KubeSchema;", "{CustomResource, KubeSchema};", "CustomResourceExt as _;"];
    for (path, code) in core() {
        for (_, rest) in code.match_indices("kube::").map(|(at, word)| code.split_at(at + word.len())) {
            let fits = path.starts_with("src/api") && allowed.iter().any(|allowed| rest.starts_with(allowed))
                || path.starts_with("src/provider") && rest.starts_with("KubeSchema;");
            assert!(fits, "{} names kube::{}", path.display(), rest.lines().next().unwrap_or_default());
        }
    }
}

#[test]
fn the_wall_clock_is_read_in_one_file() {
    let clocks = ["Utc::now", "Local::now", "SystemTime", "Timestamp::now", "Zoned::now"];
    assert_eq!(naming(&sources("src"), &clocks), ["src/operator/clock.rs names Utc::now"]);
    // CLOCK_MONOTONIC stops during suspend; tokio's Instant bounds a single call and follows paused time in tests.
    assert_eq!(naming(&sources("src"), &["std::time::Instant", "std::time::{Duration, Instant"]), Vec::<String>::new());
}

#[test]
fn the_environment_is_read_by_arguments_only() {
    let mut others = sources("src");
    // Where each program starts, and a test, which asks for itself and for the tools of the machine.
    let readers = ["src/main.rs", "src/bin/kubectl-rtok/main.rs", "src/operator/transport/ssrf.rs"];
    others.retain(|(path, _)| !readers.iter().any(|reader| path == Path::new(reader)));
    assert_eq!(naming(&others, &["std::env", "env::var", "env::args"]), Vec::<String>::new());
}

#[test]
fn the_map_names_every_module() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules: Vec<_> =
        text.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() >= 5, "{modules:?}");
    for module in modules {
        assert!(text.contains(&format!("//! - [`{module}`]: ")), "src/lib.rs: list `{module}` with what it is for");
    }
}
