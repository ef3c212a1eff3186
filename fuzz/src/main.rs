//! libFuzzer over one of the targets of tests/fuzz, by the name that `FUZZ_TARGET` gives.
#![no_main]

#[path = "../../tests/fuzz/exchange.rs"]
mod exchange;
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

use std::sync::LazyLock;

static TARGET: LazyLock<String> = LazyLock::new(|| std::env::var("FUZZ_TARGET").unwrap_or_default());

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert!(targets::run(&TARGET, data), "no target {:?}: see tests/fuzz/targets.rs", TARGET.as_str());
});
