//! JFrog Distribution, `POST /distribution/api/v1/security/token` and `…/revoke`.
//!
//! Source: the vendor page in the seeds: form only; `grant_type`, `access_token` and `refresh_token` required; `expires_in` 0 (never) and
//! `refreshable` true by default; administrators for all, users for themselves. The page names no error. Ours are those of Access, and the
//! refresh token is spent by use, because the page says it "replaces" the token and a judge must assume the worst.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::access::live;
use super::core::{Core, Outcome};
use super::jfrog::{error, issued, not_found, refuse, unreadable};
use super::ledger::AccessState;
use super::record::{Api, Verdict};
use super::wire::{Authorization, Params, Reply, Request};

pub(super) fn refresh(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    try_refresh(core, request, now).unwrap_or_else(|refused| refused)
}

fn try_refresh(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let user = authenticate(core, request)?;
    let params = Params::form(request).map_err(|why| unreadable(&why))?;
    let required = |name: &str| params.get(name).ok_or_else(|| refuse(400, &format!("{name} is required")));
    if required("grant_type")? != "refresh_token" {
        return Err(refuse(400, "The only grant_type is refresh_token"));
    }
    let (access, token) = (required("access_token")?, required("refresh_token")?);
    let bad = |why: String| refuse(400, &why);
    let lifetime = TimeDelta::seconds(i64::from(params.seconds("expires_in").map_err(bad)?.unwrap_or(0)));
    let refreshable = params.flag("refreshable", true).map_err(bad)?;
    let id = live(core, token, now)?;
    let (subject, before) = match core.ledger.chain(id) {
        Some(known) if known.api == Api::JfrogDistribution => (known.subject.clone(), known.mint.clone()),
        _ => return Err(not_found(Verdict::Unknown)),
    };
    if subject != user && !core.config.is_admin(&user) {
        return Err(refuse(403, "The token belongs to another user"));
    }
    // "The refresh token of the access token that needs to be refreshed": the two must be one pair. Which status, is our choice.
    if !one_pair(core, access, token, now) {
        return Err(refuse(400, "The refresh token is not the one of the access token"));
    }
    let mut mint = core.jfrog_mint(&before.scope, &before.audience, lifetime, false);
    if !refreshable {
        mint.refresh = None;
    }
    let pair = core.ledger.rotate(token, &mint, now, core.config.old_access_token_dies);
    let pair = pair.ok_or_else(|| not_found(Verdict::Unknown))?;
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, issued(&pair, &mint, core.config.expires_in, false)))
}

/// The access token may have expired: refreshing is for "once it expires".
fn one_pair(core: &Core, access: &str, refresh: &str, now: DateTime<Utc>) -> bool {
    match core.ledger.access_state(access, now) {
        AccessState::Live(pair) | AccessState::Expired(pair, _) => pair.refresh() == refresh,
        AccessState::Revoked(_) | AccessState::Unknown => false,
    }
}

/// Exactly one of `token` and `token_id`, by an administrator: 200, or 404 (JFrog's REST reference).
pub(super) fn revoke(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    try_revoke(core, request, now).unwrap_or_else(|refused| refused)
}

fn try_revoke(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let user = authenticate(core, request)?;
    if !core.config.is_admin(&user) {
        return Err(refuse(403, "Only an administrator may revoke a token"));
    }
    let params = Params::form(request).map_err(|why| unreadable(&why))?;
    let token = match (params.get("token"), params.get("token_id")) {
        (Some(token), None) => Some(token.to_owned()),
        (None, Some(id)) => core.ledger.by_id(id).map(str::to_owned),
        (None, None) | (Some(_), Some(_)) => {
            return Err(refuse(400, "Exactly one of token and token_id is required"));
        }
    };
    let state = token.map(|token| core.ledger.access_state(&token, now));
    let Some(AccessState::Live(pair) | AccessState::Expired(pair, _) | AccessState::Revoked(pair)) = state else {
        return Err(refuse(404, "Token not found"));
    };
    core.ledger.revoke_pair(&pair);
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, Reply::json(200, &json!({}))))
}

fn authenticate(core: &Core, request: &Request) -> Result<String, Outcome> {
    match request.authorization() {
        Authorization::Basic(user, password) if core.config.password_fits(&user, &password) => Ok(user),
        Authorization::Basic(..) | Authorization::Bearer(_) | Authorization::None | Authorization::Unreadable => {
            let reply = error(401, "Bad credentials").with_header("www-authenticate", "Basic realm=\"Distribution\"");
            Err(Outcome::new(Verdict::Refused, reply))
        }
    }
}
