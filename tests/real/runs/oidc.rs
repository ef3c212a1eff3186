//! SIGKILL at random moments, against a token server that none of us wrote: `oidc-provider`, which revokes the whole family when a spent
//! refresh token is presented.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::{Context as _, ensure};
use serde_json::json;
use testbed::proxy::Signal;
use tokio::time::{Duration, Instant, sleep};

use super::case::{Case, NAME, Options, PATIENCE};
use super::plan::story;
use super::random::Random;
use super::world::{unique, world};
use crate::oidc_server::{Greeting, Server, node};
use crate::proof::{Extent, Row};

const WHAT: &str = "real binary: SIGKILL at random moments, oidc-provider";
const SEED: u64 = 100;
/// A refresh takes less, even on a busy machine.
const REFRESH: u64 = 150;

/// Kills again and again; a chain that is lost in flight begins anew with another server.
pub async fn run(extent: Extent) -> Row {
    if let Err(missing) = node() {
        // Past the capture of the test harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {WHAT}: {missing}");
        return Row::skipped(WHAT, &missing.to_string());
    }
    let kills = if extent == Extent::Extended { 200 } else { 8 };
    let mut row = Row::new(WHAT);
    row.note = format!("seed {SEED}");
    let mut random = Random::new(SEED);
    let _place = world().place().await;
    while row.plans < kills && row.holds() {
        match walk(&mut random, kills, &mut row).await {
            Ok(()) => {}
            Err(error) => row.violations.push(format!("after {} kills: {error:#}", row.plans)),
        }
    }
    row
}

/// One family, until it has been killed often enough or is lost.
async fn walk(random: &mut Random, kills: u64, row: &mut Row) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let case = begin(&server).await?;
    ensure!(rest(&case, &server, 1).await? == Rest::WentOn, "the first refresh fails\n{}", story(&case));
    let mut stood = Rest::WentOn;
    while row.plans < kills && stood == Rest::WentOn {
        let refreshes = server.log().await.len();
        case.script.count();
        case.force(&row.plans.to_string()).await?;
        sleep(random.milliseconds(REFRESH)).await;
        case.operator().signal(Signal::Kill);
        row.plans += 1;
        case.start().await?;
        stood = rest(&case, &server, refreshes + 1).await?;
        if stood == Rest::Lost {
            let newest = server.log().await.pop().and_then(|call| call.refresh_token).unwrap_or_default();
            ensure!(!case.was_held(&newest).await, "lost for no reason\n{}", story(&case));
            row.allowed += 1;
        }
    }
    let log = server.log().await;
    let presented: BTreeSet<_> = log.iter().map(|call| &call.presented).collect();
    row.double_spends += u64::try_from(log.len() - presented.len())?;
    let newest = log.last().and_then(|call| call.refresh_token.clone()).context("no refresh")?;
    ensure!(server.is_active(&newest).await, "the family is dead\n{}", story(&case));
    case.close().await;
    Ok(())
}

async fn begin(server: &Server) -> anyhow::Result<Case> {
    let Greeting { url, client_id, client_secret, refresh_token, .. } = &server.greeting;
    let options = Options { token_api: Some(url.clone()), ..Options::default() };
    let mut case = Case::new(&unique("oidc"), options).await?;
    let address = format!("{}/token", case.token_url());
    case.spec = json!({"provider": {"oauth2": {"tokenURL": address, "clientAuthentication": "Basic"}}});
    case.start().await?;
    case.put_keys(json!({"refresh_token": refresh_token, "client_id": client_id, "client_secret": client_secret})).await?;
    case.put_object(json!({})).await?;
    Ok(case)
}

/// How a family came to rest.
#[derive(PartialEq, Eq)]
enum Rest {
    /// The state Secret holds the newest pair, and no claim is open.
    WentOn,
    /// The newest refresh token is held, and the object says why it is not used.
    Waits,
    /// It is held nowhere, and the object says so.
    Lost,
}

/// Waits until a family of so many refreshes has come to rest.
async fn rest(case: &Case, server: &Server, refreshes: usize) -> anyhow::Result<Rest> {
    let begun = Instant::now();
    loop {
        let log = server.log().await;
        let state = case.values(&format!("{NAME}-state")).await?;
        let newest = log.last().and_then(|call| call.refresh_token.as_ref());
        let claimed = state.get("state.json").is_some_and(|facts| facts.contains("\"claim\""));
        let held = state.get("refresh_token") == newest.or(Some(&server.greeting.refresh_token));
        if log.len() >= refreshes && held && !claimed {
            return Ok(Rest::WentOn);
        }
        let object = case.objects().get(NAME).await?;
        if super::judge::stalled(&object).is_some_and(|reason| reason == "RefreshOutcomeUnknown") {
            return Ok(if held { Rest::Waits } else { Rest::Lost });
        }
        ensure!(begun.elapsed() < PATIENCE, "{} refreshes of {refreshes}, and no rest\n{}", log.len(), story(case));
        sleep(Duration::from_millis(100)).await;
    }
}
