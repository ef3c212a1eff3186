//! JFrog Access, `/access/api/v1/tokens/…`: read and revoke tokens.
//!
//! Sources: JFrog's REST reference (`GET /tokens/me` and `/tokens/{id}` since 7.53.1; `DELETE`: 200 revoked, 204 already revoked, 400
//! another instance; `DELETE /tokens/revoke` for administrators) and the fields jfrog-client-go and the Vault plugin read.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::access::{Caller, authenticate};
use super::core::{Core, Outcome};
use super::jfrog::{foreign, refuse, unreadable};
use super::ledger::AccessState;
use super::record::{Pair, Verdict};
use super::wire::{Authorization, Params, Reply, Request};

const PREFIX: &str = "/access/api/v1/tokens/";

pub(super) fn read(core: &Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    let result = authenticate(core, request, now, TimeDelta::zero()).and_then(|caller| {
        let pair = named(core, request, now, &caller)?.0;
        Ok(Outcome::of_pair(Verdict::Accepted, &pair, Reply::json(200, &described(core, &pair))))
    });
    result.unwrap_or_else(|refused| refused)
}

fn described(core: &Core, pair: &Pair) -> Value {
    let mint = core.ledger.chain(pair.chain).map(|chain| chain.mint.clone());
    let instance = &core.config.instance;
    let mut body = Map::new();
    body.insert("token_id".into(), pair.token_id.clone().into());
    body.insert("subject".into(), format!("jfac@{instance}/users/{}", pair.subject).into());
    body.insert("issued_at".into(), pair.issued_at.timestamp().into());
    body.insert("issuer".into(), format!("jfac@{instance}").into());
    body.insert("refreshable".into(), pair.refresh_token.is_some().into());
    if let Some(at) = pair.expires_at {
        body.insert("expiry".into(), at.timestamp().into());
    }
    if let Some(description) = mint.and_then(|mint| mint.description) {
        body.insert("description".into(), description.into());
    }
    Value::Object(body)
}

pub(super) fn revoke(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    let by_value = request.path.strip_prefix(PREFIX) == Some("revoke");
    let result = if by_value { revoke_value(core, request, now) } else { revoke_named(core, request, now) };
    result.unwrap_or_else(|refused| refused)
}

fn revoke_named(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let caller = authenticate(core, request, now, TimeDelta::zero())?;
    let (pair, revoked) = named(core, request, now, &caller)?;
    if revoked {
        return Ok(Outcome::of_pair(Verdict::Accepted, &pair, Reply::empty(204)));
    }
    core.ledger.revoke_pair(&pair);
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, Reply::empty(200)))
}

/// `DELETE /tokens/revoke` with `token=` (7.68 and later): the value of an access or reference token, by an administrator.
fn revoke_value(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let caller = authenticate(core, request, now, TimeDelta::zero())?;
    if !caller.admin {
        return Err(refuse(403, "Only an administrator may revoke a token by its value"));
    }
    let params = Params::form_or_json(request).map_err(|why| unreadable(&why))?;
    let token = params.get("token").ok_or_else(|| refuse(400, "token is required"))?;
    if core.ledger.is_foreign(token) {
        return Err(foreign());
    }
    match core.ledger.access_state(token, now) {
        AccessState::Unknown => Err(refuse(404, "Token not found")),
        AccessState::Revoked(pair) => Ok(Outcome::of_pair(Verdict::Accepted, &pair, Reply::empty(204))),
        AccessState::Live(pair) | AccessState::Expired(pair, _) => {
            core.ledger.revoke_pair(&pair);
            let reply = Reply::json(200, &json!({"revoked-token-id": pair.token_id}));
            Ok(Outcome::of_pair(Verdict::Accepted, &pair, reply))
        }
    }
}

/// The token of the last part of the path and whether it is revoked; `me` is the bearer itself. Not being allowed to see it is 403.
fn named(core: &Core, request: &Request, now: DateTime<Utc>, caller: &Caller) -> Result<(Pair, bool), Outcome> {
    let id = request.path.strip_prefix(PREFIX).unwrap_or_default();
    let token = match (id, request.authorization()) {
        ("me", Authorization::Bearer(token)) => Some(token),
        _ if core.ledger.is_foreign(id) => return Err(foreign()),
        _ => core.ledger.by_id(id).map(str::to_owned),
    };
    let (pair, revoked) = match token.map(|token| core.ledger.access_state(&token, now)) {
        Some(AccessState::Live(pair) | AccessState::Expired(pair, _)) => (pair, false),
        Some(AccessState::Revoked(pair)) => (pair, true),
        Some(AccessState::Unknown) | None => return Err(refuse(404, "Token not found")),
    };
    if pair.subject != caller.user && !caller.admin {
        return Err(refuse(403, "The token belongs to another user"));
    }
    Ok((pair, revoked))
}
