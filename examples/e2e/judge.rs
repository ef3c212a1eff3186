//! The account, by what the issuer saw: nothing spent twice, nothing lost.

use std::time::Duration;

use anyhow::{bail, ensure};
use testbed::issuer::Delivery;
use tokio::time::Instant;

use crate::suite::{Suite, Token};

/// How long a refresh that is under way gets to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails unless no refresh token was spent twice, every chain lives, and the state and the output of each token hold the issuer's newest
/// pair.
pub async fn account(suite: &Suite) -> anyhow::Result<String> {
    ensure!(suite.issuer.double_spends() == 0, "{} refresh tokens were spent twice", suite.issuer.double_spends());
    let mut refreshes = 0;
    for token in &suite.tokens {
        holds_newest(suite, token).await?;
        refreshes += suite.issuer.refreshes(token.seed.chain);
        let seen = suite.issuer.presented(token.seed.refresh());
        ensure!(token.seed.refresh_token.is_none() || seen == 1, "the seed of {} was presented {seen} times", token.name);
    }
    let log = suite.issuer.log();
    let lost = log.iter().filter(|call| matches!(call.delivery, Delivery::Dropped | Delivery::Truncated)).count();
    ensure!(lost == 0, "{lost} answers found nobody to read them");
    Ok(format!("{refreshes} refreshes of {} chains, 0 spent twice, 0 lost; each seed was presented once", suite.tokens.len()))
}

/// Waits until state and output hold the issuer's newest pair.
pub async fn holds_newest(suite: &Suite, token: &Token) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let Some(newest) = suite.issuer.newest(token.seed.chain) else { bail!("{}: the issuer knows no pair", token.name) };
        let (state, output) = (format!("{}-state", token.name), format!("{}-token", token.name));
        let held = [
            suite.value(token.namespace, &state, "access_token").await?,
            suite.value(token.namespace, &output, "access_token").await?,
        ];
        let refresh = suite.value(token.namespace, &state, "refresh_token").await?;
        let right = held.iter().all(|held| held.as_ref() == Some(&newest.access_token)) && refresh == newest.refresh_token;
        let lives = suite.issuer.chains().iter().any(|chain| chain.id == token.seed.chain && !chain.revoked);
        ensure!(lives, "{}: the chain is dead", token.name);
        if right {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{}: the Secrets do not hold the issuer's newest pair", token.name);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
