//! OAuth 2.0, `POST /oauth2/token`: `refresh_token`, `client_credentials`, `password`, token exchange and JWT bearer.
//!
//! Source: RFC 6749 sections 2.3.1 (client authentication; RFC 7523 for those that sign), 4.3, 4.4, 5.1, 5.2 and 6; rotation as described by RFC 9700 section 4.14.2. Where the RFC
//! leaves room the answers are those of `oidc-provider` 9, which were recorded: one fixed description for every kind of `invalid_grant`, a wider
//! scope or a wrong client spends nothing.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::assertion;
use super::config::{Client, ClientAuth, Replay, Rotation};
use super::core::{Core, Outcome};
use super::ledger::RefreshState;
use super::record::{Api, ChainId, Pair, Verdict};
use super::wire::{Authorization, Params, ParamsError, Reply, Request};

/// RFC 8693 section 2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 section 2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 section 3.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) fn token(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    try_token(core, request, now).unwrap_or_else(|refused| refused)
}

fn try_token(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let params = form(request)?;
    let grant_type = params.get("grant_type").ok_or_else(|| invalid_request("grant_type is required"))?;
    if let TOKEN_EXCHANGE | JWT_BEARER = grant_type {
        return shown(core, request, &params, now);
    }
    let client = authenticate(core, request, &params, now)?;
    match grant_type {
        "refresh_token" => refresh(core, &params, &client, now),
        "client_credentials" => client_credentials(core, &params, &client, now),
        "password" if core.config.first_refresh_tokens => password(core, &params, &client, now),
        _ => Err(refuse(400, "unsupported_grant_type", "the grant type is not supported")),
    }
}

fn refresh(core: &mut Core, params: &Params, client: &str, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let token = params.get("refresh_token").ok_or_else(|| invalid_request("refresh_token is required"))?;
    let (chain, replayed) = usable(core, token, client, now)?;
    let granted = core.ledger.chain(chain).map(|known| known.scope.clone()).unwrap_or_default();
    let scope = narrowed(&granted, params.get("scope"))?;
    if let Some(pair) = &replayed {
        return Ok(Outcome::of_pair(Verdict::Replayed, pair, issued(core, pair, now)));
    }
    let spent_before = matches!(core.ledger.refresh_state(token, now), RefreshState::Spent { .. });
    let mint = core.oauth2_mint(&scope, core.config.oauth2_lifetime, true);
    let dies = core.config.old_access_token_dies;
    let pair = match core.config.rotation {
        Rotation::Reusable => core.ledger.reuse(token, &mint, now, dies),
        Rotation::Grace { .. } if spent_before => core.ledger.further(chain, &mint, None, now),
        Rotation::Strict | Rotation::Grace { .. } => core.ledger.rotate(token, &mint, now, dies),
    };
    let pair = pair.ok_or_else(|| invalid_grant(Verdict::Unknown))?;
    let verdict = if spent_before { Verdict::Replayed } else { Verdict::Accepted };
    Ok(Outcome::of_pair(verdict, &pair, issued(core, &pair, now)))
}

/// The chain of a token this client may use now; with the pair to give again when it is a repetition that gets the same one.
fn usable(core: &Core, token: &str, client: &str, now: DateTime<Utc>) -> Result<(ChainId, Option<Pair>), Outcome> {
    let state = core.ledger.refresh_state(token, now);
    let chain = match state {
        RefreshState::Unknown | RefreshState::Foreign => {
            return Err(invalid_grant(Verdict::Unknown));
        }
        RefreshState::Live { chain, .. } | RefreshState::Spent { chain, .. } => chain,
        RefreshState::Revoked { .. } => return Err(invalid_grant(Verdict::Revoked)),
        RefreshState::Expired { .. } => return Err(invalid_grant(Verdict::Expired)),
    };
    let owned = core.ledger.chain(chain).is_some_and(|known| known.api == Api::Oauth2 && known.client.as_deref() == Some(client));
    if !owned {
        return Err(invalid_grant(Verdict::Refused));
    }
    match (state, grace(core, token, now)) {
        (RefreshState::Spent { .. }, None) => Err(invalid_grant(Verdict::Spent)),
        (RefreshState::Spent { .. }, Some((Replay::SamePair, pair))) => Ok((chain, Some(pair))),
        _ => Ok((chain, None)),
    }
}

/// For a spent token within its grace window whose successor is still unused: how a repetition is answered, and the successor.
pub(super) fn grace(core: &Core, token: &str, now: DateTime<Utc>) -> Option<(Replay, Pair)> {
    let Rotation::Grace { window, replay } = core.config.rotation else {
        return None;
    };
    let RefreshState::Spent { chain, at, successor } = core.ledger.refresh_state(token, now) else {
        return None;
    };
    let pair = core.ledger.pair(chain, successor?)?;
    let unused = matches!(core.ledger.refresh_state(pair.refresh(), now), RefreshState::Live { .. });
    (unused && now < at + window).then(|| (replay, pair.clone()))
}

/// RFC 6749 section 4.4: no refresh token (4.4.3), never for a public client (4.4).
fn client_credentials(core: &mut Core, params: &Params, client: &str, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let known = core.config.clients.get(client).cloned();
    let Some(known) = known.filter(|known| known.auth != ClientAuth::None) else {
        return Err(refuse(400, "unauthorized_client", "a public client may not use this grant type"));
    };
    let scope = narrowed(&known.scope, params.get("scope"))?;
    let mint = core.oauth2_mint(&scope, core.config.oauth2_lifetime, core.config.first_refresh_tokens);
    let pair = core.ledger.begin(Api::Oauth2, client, Some(client), mint, now);
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, issued(core, &pair, now)))
}

/// RFC 6749 section 4.3: the pair of a user, for a client of any kind.
fn password(core: &mut Core, params: &Params, client: &str, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let user = params.get("username").ok_or_else(|| invalid_request("username is required"))?;
    let password = params.get("password").ok_or_else(|| invalid_request("password is required"))?;
    if !core.config.password_fits(user, password) {
        return Err(invalid_grant(Verdict::Refused));
    }
    let granted = core.config.clients.get(client).map(|known| known.scope.clone()).unwrap_or_default();
    let scope = narrowed(&granted, params.get("scope"))?;
    let mint = core.oauth2_mint(&scope, core.config.oauth2_lifetime, true);
    let pair = core.ledger.begin(Api::Oauth2, user, Some(client), mint, now);
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, issued(core, &pair, now)))
}

/// RFC 8693 section 2 and RFC 7523 section 2.1: another token brings one. A client authenticates if it says who it is.
fn shown(core: &mut Core, request: &Request, params: &Params, now: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let named = params.get("client_id").is_some() || request.authorization() != Authorization::None;
    let client = if named { Some(authenticate(core, request, params, now)?) } else { None };
    let exchanged = params.get("grant_type") == Some(TOKEN_EXCHANGE);
    let token = params.get(if exchanged { "subject_token" } else { "assertion" });
    let token = token.ok_or_else(|| invalid_request("the token to show is required"))?;
    if exchanged && params.get("subject_token_type") != Some(JWT) {
        return Err(invalid_request("subject_token_type is required, and only JWTs are taken"));
    }
    let Some(subject) = assertion::subject(core, token, now) else {
        // RFC 8693 section 2.2.2, RFC 7521 section 4.1.1.
        return Err(if exchanged {
            invalid_request("the subject token is not acceptable")
        } else {
            invalid_grant(Verdict::Refused)
        });
    };
    let scope = params.get("scope").unwrap_or_default().to_owned();
    // Whom a refresh token is for must be known (RFC 6749 section 6).
    let refreshable = core.config.first_refresh_tokens && client.is_some();
    let mint = core.oauth2_mint(&scope, core.config.oauth2_lifetime, refreshable);
    let pair = core.ledger.begin(Api::Oauth2, &subject, client.as_deref(), mint, now);
    let mut reply = issued(core, &pair, now);
    if exchanged && let Ok(Value::Object(mut body)) = serde_json::from_slice(&reply.body) {
        body.insert("issued_token_type".into(), ACCESS_TOKEN.into());
        reply.body = Value::Object(body).to_string().into_bytes();
    }
    Ok(Outcome::of_pair(Verdict::Accepted, &pair, reply))
}

/// "MUST NOT include any scope not originally granted" (RFC 6749 section 6); the original one where none is asked for.
fn narrowed(granted: &str, asked: Option<&str>) -> Result<String, Outcome> {
    let Some(asked) = asked else {
        return Ok(granted.to_owned());
    };
    if asked.split(' ').all(|word| granted.split(' ').any(|known| known == word)) {
        return Ok(asked.to_owned());
    }
    Err(refuse(400, "invalid_scope", "requested scope is wider than the one granted"))
}

/// RFC 6749 section 5.1, with the headers it demands. A token that is not rotated is left out.
fn issued(core: &Core, pair: &Pair, now: DateTime<Utc>) -> Reply {
    let mut body = Map::new();
    body.insert("access_token".into(), pair.access_token.clone().into());
    body.insert("token_type".into(), "Bearer".into());
    body.insert("scope".into(), pair.scope.clone().into());
    if let (Some(token), false) = (&pair.refresh_token, core.config.rotation == Rotation::Reusable) {
        body.insert("refresh_token".into(), token.clone().into());
    }
    if let Some(at) = pair.expires_at {
        core.config.expires_in.put((at - now).num_seconds(), &mut body);
    }
    no_store(Reply::json(200, &Value::Object(body)))
}

/// Who the client is, or `invalid_client`. Secrets in Basic are form-encoded first (RFC 6749 section 2.3.1).
pub(super) fn authenticate(core: &mut Core, request: &Request, params: &Params, now: DateTime<Utc>) -> Result<String, Outcome> {
    let posted = params.get("client_secret");
    if params.get("client_assertion").is_some() {
        if posted.is_some() || request.authorization() != Authorization::None {
            return Err(invalid_request("only one way of client authentication is allowed"));
        }
        return assertion::proven(core, params, now).ok_or_else(invalid_client);
    }
    let (id, secret, how) = match request.authorization() {
        Authorization::Basic(_, _) if posted.is_some() => {
            return Err(invalid_request("only one way of client authentication is allowed"));
        }
        Authorization::Basic(id, secret) => (decoded(&id), Some(decoded(&secret)), ClientAuth::Basic),
        Authorization::Bearer(_) | Authorization::Unreadable => return Err(invalid_client()),
        Authorization::None => {
            let id = params.get("client_id").ok_or_else(invalid_client)?;
            let how = if posted.is_some() { ClientAuth::Post } else { ClientAuth::None };
            (id.to_owned(), posted.map(str::to_owned), how)
        }
    };
    if params.get("client_id").is_some_and(|named| named != id) {
        return Err(invalid_request("client_id is not that of the authenticated client"));
    }
    match core.config.clients.get(&id) {
        Some(client) if proves(client, how, secret.as_deref()) => Ok(id),
        Some(_) | None => Err(invalid_client()),
    }
}

fn proves(client: &Client, how: ClientAuth, secret: Option<&str>) -> bool {
    match client.auth {
        ClientAuth::None => how == ClientAuth::None,
        ClientAuth::PrivateKeyJwt => false,
        ClientAuth::Any => how != ClientAuth::None && secret == Some(client.secret.as_str()),
        ClientAuth::Basic | ClientAuth::Post => how == client.auth && secret == Some(client.secret.as_str()),
    }
}

fn decoded(text: &str) -> String {
    // A lone value parses as a name; `=` and `&` stand percent-encoded in what was encoded rightly.
    let mut parsed = url::form_urlencoded::parse(text.as_bytes());
    match (parsed.next(), parsed.next()) {
        (Some((name, value)), None) if value.is_empty() && !text.contains('=') => name.into_owned(),
        _ => text.to_owned(),
    }
}

pub(super) fn form(request: &Request) -> Result<Params, Outcome> {
    Params::form(request).map_err(|why| match why {
        ParamsError::MediaType => invalid_request("only application/x-www-form-urlencoded content is supported"),
        ParamsError::Malformed => invalid_request("the request body cannot be read"),
        ParamsError::Duplicate(name) => invalid_request(&format!("'{name}' parameter must not be provided twice")),
    })
}

/// RFC 6749 section 5.2.
fn error(status: u16, code: &str, description: &str) -> Reply {
    no_store(Reply::json(status, &json!({"error": code, "error_description": description})))
}

pub(super) fn no_store(reply: Reply) -> Reply {
    reply.with_header("cache-control", "no-store").with_header("pragma", "no-cache")
}

fn refuse(status: u16, code: &str, description: &str) -> Outcome {
    Outcome::new(Verdict::Refused, error(status, code, description))
}

fn invalid_request(description: &str) -> Outcome {
    refuse(400, "invalid_request", description)
}

/// 401 with a challenge: RFC 6749 section 5.2 demands it when the client used the header, and allows it always.
fn invalid_client() -> Outcome {
    let reply = error(401, "invalid_client", "client authentication failed");
    Outcome::new(Verdict::Refused, reply.with_header("www-authenticate", "Basic realm=\"oauth2\""))
}

fn invalid_grant(verdict: Verdict) -> Outcome {
    Outcome::new(verdict, error(400, "invalid_grant", "grant request is invalid"))
}
