//! Where things that take long to make are kept between runs: programs of the control plane, token servers of others.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// `$RTOK_CACHE`, else `$XDG_CACHE_HOME/refreshable-token-operator`, else the same in `~/.cache` (XDG Base Directory
/// Specification). Absolute, since programs run in other folders; not created.
pub fn folder() -> anyhow::Result<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty());
    let cache = match (folder("RTOK_CACHE"), folder("XDG_CACHE_HOME")) {
        (Some(own), _) => PathBuf::from(own),
        (None, Some(all)) => Path::new(&all).join("refreshable-token-operator"),
        (None, None) => {
            env::home_dir().context("find the cache folder: set RTOK_CACHE or HOME")?.join(".cache/refreshable-token-operator")
        }
    };
    Ok(std::path::absolute(cache)?)
}
