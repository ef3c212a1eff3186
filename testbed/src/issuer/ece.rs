//! Elastic Cloud Enterprise, `/api/v1/users/auth`: a bearer token that renews itself.
//!
//! Sources: the vendor page in the seeds (`_refresh`, its answer, 401 with `x-cloud-error-codes`) and the API description of cloud-sdk-go
//! (`_login`, `_logout`, `GET`). 501, 502 and 503 are states of the authentication cluster and are set as faults. Nothing is consumed: the
//! old token lives to its own end unless `old_access_token_dies` is set; the vendor does not say.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::core::{Core, Outcome};
use super::ledger::AccessState;
use super::record::{Api, Pair, Verdict};
use super::wire::{Authorization, Params, Reply, Request};

/// The error envelope and its header; `code` is for example `root.unauthorized`.
#[must_use]
pub fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"errors": [{"code": code, "message": message}]});
    Reply::json(status, &body).with_header("x-cloud-error-codes", code)
}

pub(super) fn login(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    let Ok(params) = Params::json(request) else {
        return refuse(400, "root.malformed_json", "The request body cannot be read");
    };
    let (Some(user), Some(password)) = (params.get("username"), params.get("password")) else {
        return refuse(400, "root.missing_field", "username and password are required");
    };
    if !core.config.password_fits(user, password) {
        return refuse(401, "root.unauthenticated", "The username or the password is wrong");
    }
    begin(core, user, now)
}

pub(super) fn refresh(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    if let Authorization::Basic(user, password) = request.authorization() {
        // The page's sample is `curl --user`; such a caller has no session yet, so it gets a new one.
        let known = core.config.ece_basic && core.config.password_fits(&user, &password);
        return if known { begin(core, &user, now) } else { unauthorized(Verdict::Refused) };
    }
    let old = match session(core, request, now) {
        Ok(pair) => pair,
        Err(verdict) => return unauthorized(verdict),
    };
    match core.ledger.renew(&old, now, core.config.old_access_token_dies) {
        Some(pair) => Outcome::of_pair(Verdict::Accepted, &pair, Reply::json(200, &described(&pair))),
        None => unauthorized(Verdict::Unknown),
    }
}

/// Ends the session: every token of its chain (cloud-sdk-go: "destroys the session"). Without a valid token it is 401, our choice.
pub(super) fn logout(core: &mut Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    match session(core, request, now) {
        Ok(pair) => {
            core.ledger.revoke_chain(pair.chain);
            Outcome::of_pair(Verdict::Accepted, &pair, Reply::json(200, &json!({})))
        }
        Err(verdict) => unauthorized(verdict),
    }
}

pub(super) fn read(core: &Core, request: &Request, now: DateTime<Utc>) -> Outcome {
    match session(core, request, now) {
        Ok(pair) => {
            let body = json!({"expires_at": time(&pair), "refresh_token_url": "/api/v1/users/auth/_refresh"});
            Outcome::of_pair(Verdict::Accepted, &pair, Reply::json(200, &body))
        }
        Err(verdict) => unauthorized(verdict),
    }
}

fn begin(core: &mut Core, user: &str, now: DateTime<Utc>) -> Outcome {
    let pair = core.seed_ece(user, core.config.ece_session, now);
    Outcome::of_pair(Verdict::Accepted, &pair, Reply::json(200, &described(&pair)))
}

fn session(core: &Core, request: &Request, now: DateTime<Utc>) -> Result<Pair, Verdict> {
    let Authorization::Bearer(token) = request.authorization() else {
        return Err(Verdict::Refused);
    };
    let pair = match core.ledger.access_state(&token, now) {
        AccessState::Live(pair) => pair,
        AccessState::Expired(..) => return Err(Verdict::Expired),
        AccessState::Revoked(_) => return Err(Verdict::Revoked),
        AccessState::Unknown => return Err(Verdict::Unknown),
    };
    let here = core.ledger.chain(pair.chain).is_some_and(|chain| chain.api == Api::ElasticCloudEnterprise);
    if here { Ok(pair) } else { Err(Verdict::Unknown) }
}

fn described(pair: &Pair) -> Value {
    json!({"token": pair.access_token, "session_expiration_time": time(pair)})
}

/// RFC 3339 with milliseconds. A session that never ends is told as the year 9999, since the field is required.
fn time(pair: &Pair) -> String {
    pair.expires_at.map_or_else(|| "9999-12-31T23:59:59.000Z".into(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn unauthorized(verdict: Verdict) -> Outcome {
    Outcome::new(verdict, error(401, "root.unauthorized", "The authentication token is invalid or expired."))
}

fn refuse(status: u16, code: &str, message: &str) -> Outcome {
    Outcome::new(Verdict::Refused, error(status, code, message))
}
