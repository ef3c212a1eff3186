//! What the process must not let out of its memory: core dumps, the eyes of other processes, and words of a panic.

use std::io;

/// Shuts what stands open by default. For the very start: before a token or a key is in memory.
///
/// Fails only where the system refuses to be stricter with its own process, which a sandbox may do.
pub fn protect() -> io::Result<()> {
    silence_panics();
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    // Also where a core pattern pipes into a program, which no limit stops; and no process of the same user can attach or read
    // /proc/<pid>/mem (prctl(2), PR_SET_DUMPABLE).
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// A panic says where, and not what: its message may hold anything, tokens included.
fn silence_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|location| format!("{}:{}", location.file(), location.line()));
        tracing::error!(
            place = place.as_deref().unwrap_or("unknown"),
            "panicked; its message is not shown, as it may hold a token"
        );
    }));
}
