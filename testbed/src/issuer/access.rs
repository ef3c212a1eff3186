//! JFrog Access, `POST /access/api/v1/tokens`: create and refresh.
//!
//! Sources: the vendor page in the seeds (fields, bearer or reference token, a new `token_id`, `reference_token` on request),
//! JFrog's REST reference (defaults, limits, 400 for another instance, refresh within `token.refresh-expiry`), issues of its clients
//! (404 for a spent token, the expired token as bearer). What no source says is marked as our choice.

use chrono::{DateTime, TimeDelta, Utc};

use super::core::{Core, Outcome};
use super::jfrog::{error, foreign, issued, not_found, refuse, unreadable};
use super::ledger::{AccessState, RefreshState};
use super::random::jwt_payload;
use super::record::{Api, ChainId, Mint, Verdict};
use super::wire::{Authorization, Params, Request};

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) admin: bool,
}

/// The longest values JFrog takes (REST reference, "Create Token").
const LIMITS: [(&str, usize); 4] = [("username", 255), ("scope", 500), ("audience", 255), ("description", 1024)];

pub(super) fn tokens(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    let params = match Params::form_or_json(request) {
        Ok(params) => params,
        Err(why) => return unreadable(&why),
    };
    let result = match params.get("grant_type") {
        None | Some("client_credentials") => create(core, request, &params, now),
        Some("refresh_token") => refresh(core, request, &params, now),
        Some(_) => Err(refuse(400, "Unsupported grant_type")),
    };
    result.unwrap_or_else(|refused| refused)
}

fn create(core: &mut Core, request: &Request, params: &Params, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let caller = authenticate(core, request, now, TimeDelta::zero())?;
    let defaults = core.jfrog_mint("applied-permissions/user", "*@*", core.config.access_default_expiry, false);
    let mut mint = asked(core, &caller, params, defaults)?;
    if !params.flag("refreshable", false).map_err(|why| refuse(400, &why))? {
        mint.refresh = None;
    }
    let user = params.get("username").unwrap_or(&caller.user);
    if user != caller.user && !caller.admin {
        return Err(refuse(403, "Only an administrator may create a token for another user"));
    }
    let pair = core.ledger.begin(Api::JfrogAccess, user, None, mint.clone(), now);
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, issued(&pair, &mint, core.config.expires_in, true)))
}

fn refresh(core: &mut Core, request: &Request, params: &Params, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let token = params.get("refresh_token");
    // Before authentication, because the bearer of such a caller is from elsewhere too and the page says 400 and not 401.
    if token.is_some_and(|token| core.ledger.is_foreign(token)) {
        return Err(foreign());
    }
    let caller = authenticate(core, request, now, core.config.refresh_window)?;
    let token = token.ok_or_else(|| refuse(400, "refresh_token is required"))?;
    let chain = live(core, token, now)?;
    let (subject, before) = match core.ledger.chain(chain) {
        Some(known) if known.api == Api::JfrogAccess => (known.subject.clone(), known.mint.clone()),
        _ => return Err(not_found(Verdict::Unknown)),
    };
    if subject != caller.user || params.get("username").is_some_and(|user| user != subject) {
        return Err(refuse(403, "The authenticated user is not the user of the token"));
    }
    let lifetime = core.config.access_default_expiry;
    let defaults = Mint { description: before.description, ..core.jfrog_mint(&before.scope, &before.audience, lifetime, false) };
    let mut mint = asked(core, &caller, params, defaults)?;
    // The page's refresh does not repeat refreshable=true and still gets a refresh token.
    if !params.flag("refreshable", true).map_err(|why| refuse(400, &why))? {
        mint.refresh = None;
    }
    let pair = core.ledger.rotate(token, &mint, now, core.config.old_access_token_dies);
    let pair = pair.ok_or_else(|| not_found(Verdict::Unknown))?;
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, issued(&pair, &mint, core.config.expires_in, true)))
}

/// The chain of a refresh token that may be spent now. A token past `token.refresh-expiry` is answered like a forgotten one: the hourly
/// cleanup drops its record, so its refresh token cannot be found (our choice; the vendor names no status).
pub(super) fn live(core: &Core, token: &str, now: DateTime<Utc>) -> Result<ChainId, Outcome> {
    match core.ledger.refresh_state(token, now) {
        RefreshState::Live { chain, .. } => Ok(chain),
        RefreshState::Foreign => Err(foreign()),
        RefreshState::Unknown => Err(not_found(Verdict::Unknown)),
        RefreshState::Spent { .. } => Err(not_found(Verdict::Spent)),
        RefreshState::Revoked { .. } => Err(not_found(Verdict::Revoked)),
        RefreshState::Expired { .. } => Err(not_found(Verdict::Expired)),
    }
}

/// What the parameters ask for on top of the defaults, or why it is refused.
fn asked(core: &Core, caller: &Caller, params: &Params, defaults: Mint) -> Result<Mint, Outcome> {
    for (name, limit) in LIMITS {
        if params.get(name).is_some_and(|value| value.chars().count() > limit) {
            return Err(refuse(400, &format!("{name} is longer than {limit} characters")));
        }
    }
    let bad = |why: String| refuse(400, &why);
    let scope = params.get("scope").unwrap_or(&defaults.scope).to_owned();
    let widened = scope != defaults.scope && scope != "applied-permissions/user";
    if widened && !caller.admin {
        return Err(refuse(403, "The scope is not permitted"));
    }
    params.flag("force_revocable", false).map_err(bad)?;
    let mut mint = Mint {
        scope,
        audience: params.get("audience").unwrap_or(&defaults.audience).to_owned(),
        description: params.get("description").map(str::to_owned).or(defaults.description),
        reference: params.flag("include_reference_token", false).map_err(bad)?,
        ..defaults
    };
    if let Some(seconds) = params.seconds("expires_in").map_err(bad)? {
        let own = core.jfrog_mint("", "", TimeDelta::seconds(i64::from(seconds)), false);
        (mint.lifetime, mint.refresh) = (own.lifetime, own.refresh);
        let cap = core.config.access_max_expiry;
        let over = cap > TimeDelta::zero() && mint.lifetime.is_none_or(|life| life > cap);
        if !caller.admin && (over || mint.lifetime.is_none()) {
            return Err(refuse(403, "The expiry is not permitted"));
        }
    }
    Ok(mint)
}

/// Who calls: an identity token, a bearer or reference token that is alive or expired less than `window` ago, or Basic where enabled.
pub(super) fn authenticate(core: &Core, request: &Request, now: DateTime<Utc>, window: TimeDelta) -> Result<Caller, Outcome> {
    match request.authorization() {
        Authorization::Bearer(token) => bearer(core, &token, now, window),
        Authorization::Basic(user, password) if core.config.access_basic && core.config.password_fits(&user, &password) => {
            Ok(caller(core, &user, ""))
        }
        Authorization::Basic(..) => Err(unauthenticated("Bad credentials")),
        Authorization::None | Authorization::Unreadable => Err(unauthenticated("Authentication is required")),
    }
}

fn bearer(core: &Core, token: &str, now: DateTime<Utc>, window: TimeDelta) -> Result<Caller, Outcome> {
    if let Some(user) = core.config.identity_tokens.get(token) {
        return Ok(caller(core, user, ""));
    }
    let pair = match core.ledger.access_state(token, now) {
        AccessState::Live(pair) => pair,
        AccessState::Expired(pair, at) if now < at + window => pair,
        AccessState::Expired(..) => return Err(unauthenticated("Invalid token, expired")),
        AccessState::Revoked(_) => return Err(unauthenticated("Invalid token, revoked")),
        AccessState::Unknown if jwt_payload(token).is_some() => {
            return Err(unauthenticated("Invalid token, signature"));
        }
        AccessState::Unknown => return Err(unauthenticated("Invalid token, malformed")),
    };
    match core.ledger.chain(pair.chain) {
        Some(chain) if chain.api == Api::JfrogAccess => Ok(caller(core, &chain.subject, &pair.scope)),
        _ => Err(unauthenticated("Invalid token, signature")),
    }
}

fn caller(core: &Core, user: &str, scope: &str) -> Caller {
    Caller { user: user.to_owned(), admin: core.config.is_admin(user) || scope == "applied-permissions/admin" }
}

fn unauthenticated(message: &str) -> Outcome {
    Outcome::new(Verdict::Refused, error(401, message).with_header("www-authenticate", "Bearer realm=\"Access\""))
}
