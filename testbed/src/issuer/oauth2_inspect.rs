//! OAuth 2.0, `/oauth2/revoke` (RFC 7009), `/oauth2/introspect` (RFC 7662) and the server's metadata (RFC 8414). None spends anything.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::core::{Core, Outcome};
use super::ledger::{AccessState, RefreshState};
use super::oauth2::{authenticate, form, no_store};
use super::record::{Api, ChainId, Pair, Verdict};
use super::wire::{Params, Reply, Request};

/// RFC 7009 section 2.2: 200 also for an unknown token. A refresh token takes the whole grant with it (section 2.1), an access token only itself.
pub(super) fn revoke(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    let (params, client) = match asked(core, request, now) {
        Ok(asked) => asked,
        Err(refused) => return refused,
    };
    let token = params.get("token").unwrap_or_default();
    let done = Outcome::new(Verdict::Accepted, Reply::empty(200));
    let Some(chain) = core.ledger.chain_of_token(token).filter(|chain| owns(core, *chain, &client)) else {
        return Outcome { verdict: Verdict::Unknown, ..done };
    };
    match core.ledger.access_state(token, now) {
        AccessState::Live(pair) | AccessState::Expired(pair, _) => {
            core.ledger.revoke_pair(&Pair { refresh_token: None, ..pair });
        }
        AccessState::Revoked(_) => {}
        AccessState::Unknown => core.ledger.revoke_chain(chain),
    }
    done
}

/// RFC 7662 section 2.2: `{"active":false}` and nothing else for whatever is not valid, for whatever reason.
pub(super) fn introspect(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    let (params, client) = match asked(core, request, now) {
        Ok(asked) => asked,
        Err(refused) => return refused,
    };
    let token = params.get("token").unwrap_or_default();
    let (verdict, found) = match (core.ledger.refresh_state(token, now), core.ledger.access_state(token, now)) {
        (RefreshState::Live { chain, generation }, _) => (Verdict::Accepted, core.ledger.pair(chain, generation).cloned()),
        (_, AccessState::Live(pair)) => (Verdict::Accepted, Some(pair)),
        (RefreshState::Spent { .. }, _) => (Verdict::Spent, None),
        (RefreshState::Revoked { .. }, _) | (_, AccessState::Revoked(_)) => (Verdict::Revoked, None),
        (RefreshState::Expired { .. }, _) | (_, AccessState::Expired(..)) => (Verdict::Expired, None),
        (RefreshState::Unknown | RefreshState::Foreign, AccessState::Unknown) => (Verdict::Unknown, None),
    };
    let body = match found.filter(|pair| owns(core, pair.chain, &client)) {
        Some(pair) => active(core, &pair, token, &client),
        None => json!({"active": false}),
    };
    Outcome::new(verdict, no_store(Reply::json(200, &body)))
}

fn active(core: &Core, pair: &Pair, token: &str, client: &str) -> Value {
    let mut body = Map::new();
    body.insert("active".into(), true.into());
    body.insert("scope".into(), pair.scope.clone().into());
    body.insert("client_id".into(), client.into());
    body.insert("sub".into(), pair.subject.clone().into());
    body.insert("iss".into(), core.config.issuer_url.clone().into());
    body.insert("iat".into(), pair.issued_at.timestamp().into());
    let expires_at = if token == pair.access_token {
        body.insert("token_type".into(), "Bearer".into());
        body.insert("jti".into(), pair.token_id.clone().into());
        pair.expires_at
    } else {
        core.ledger.refresh_expires_at(token)
    };
    if let Some(at) = expires_at {
        body.insert("exp".into(), at.timestamp().into());
    }
    Value::Object(body)
}

fn asked(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Result<(Params, String), Outcome> {
    let params = form(request)?;
    let client = authenticate(core, request, &params, now)?;
    if params.get("token").is_none() {
        let body = json!({"error": "invalid_request", "error_description": "token is required"});
        return Err(Outcome::new(Verdict::Refused, no_store(Reply::json(400, &body))));
    }
    Ok((params, client))
}

fn owns(core: &Core, chain: ChainId, client: &str) -> bool {
    core.ledger.chain(chain).is_some_and(|known| known.api == Api::Oauth2 && known.client.as_deref() == Some(client))
}

/// RFC 8414 section 3.2.
pub(super) fn metadata(core: &Core) -> Outcome {
    let issuer = &core.config.issuer_url;
    let at = |path: &str| format!("{issuer}/oauth2/{path}");
    let told = json!({
        "issuer": issuer, "token_endpoint": at("token"), "revocation_endpoint": at("revoke"), "introspection_endpoint": at("introspect"),
    });
    Outcome::new(Verdict::Accepted, Reply::json(200, &told))
}
