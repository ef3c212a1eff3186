//! The leader is killed.

use tokio::time::Instant;

use crate::judge::holds_newest;
use crate::place::Kill;
use crate::suite::{MAIN, Suite, pod_of};

/// SIGKILL of the leader's process, then a forced deletion of the next leader's Pod; each time every token is refreshed afterwards.
pub async fn kill(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for how in [Kill::Process, Kill::Pod] {
        let leader = suite.leader(MAIN, None).await?;
        let begun = Instant::now();
        let done = suite.place.kill(MAIN, pod_of(&leader), how).await?;
        let next = suite.leader(MAIN, Some(&leader)).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let took = suite.refresh_all().await?;
        for token in &suite.tokens {
            holds_newest(suite, token).await?;
        }
        lines.push(format!(
            "{done}: {} leads after {seconds:.1} s; all tokens refreshed {:.1} s later",
            pod_of(&next),
            took.as_secs_f64()
        ));
    }
    Ok(lines)
}
