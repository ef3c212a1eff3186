//! The admin endpoint: the judge's book and the faults, over HTTP. Its paths and bodies are documented in the module above.
//!
//! No authentication, tokens in the clear: never give this port to anything that holds a real credential.

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::Rule;
use super::record::{Api, ChainId, Presentation};
use super::server::{Shared, State};
use super::wire::{Params, Reply, Request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockOffset {
    offset_seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seed {
    api: Api,
    subject: String,
    #[serde(default)]
    client: String,
    lifetime_seconds: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Revoke {
    chain: ChainId,
}

/// Answers one request to `/_admin/…`.
pub(super) fn handle(shared: &Shared, request: &Request) -> Reply {
    respond(shared, request).unwrap_or_else(|refused| refused)
}

fn respond(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
    let mut state = shared.lock();
    let now = shared.now(&state);
    let path = request.path.strip_prefix("/_admin/").unwrap_or_default();
    let body = match (request.method.as_str(), path) {
        ("GET", "state") => json!({
            "now": now,
            "clockOffsetSeconds": state.offset.num_seconds(),
            "doubleSpends": state.core.ledger.double_spends(),
            "presentations": state.core.ledger.log().len(),
            "chains": state.core.ledger.chains().collect::<Vec<_>>(),
            "faults": state.core.faults.armed(),
        }),
        ("GET", "presentations") => presentations(&state, request)?,
        ("GET", "newest") => newest(&state, request)?,
        ("GET", "ca.pem") => {
            return shared.ca_pem.as_ref().map(|pem| Reply::text(200, pem)).ok_or_else(|| problem(404, "TLS is off"));
        }
        ("GET", "faults") => json!(state.core.faults.armed()),
        ("POST", "faults") => {
            state.core.faults.arm(parse::<Rule>(request)?);
            return Ok(Reply::json(201, &json!(state.core.faults.armed())));
        }
        ("DELETE", "faults") => {
            state.core.faults.clear();
            return Ok(Reply::empty(204));
        }
        ("PUT", "clock") => {
            let asked: ClockOffset = parse(request)?;
            state.offset =
                TimeDelta::try_seconds(asked.offset_seconds).ok_or_else(|| problem(400, "the offset is out of range"))?;
            json!({"now": shared.now(&state), "clockOffsetSeconds": asked.offset_seconds})
        }
        ("POST", "seed") => seed(&mut state, shared, &parse(request)?),
        ("POST", "revoke") => {
            state.core.ledger.revoke_chain(parse::<Revoke>(request)?.chain);
            return Ok(Reply::empty(204));
        }
        _ => return Err(problem(404, "no such admin path or method")),
    };
    Ok(Reply::json(200, &body))
}

fn presentations(state: &State, request: &Request) -> Result<Value, Reply> {
    let params = Params::query(request).map_err(|_| problem(400, "the query cannot be read"))?;
    let token = params.get("token");
    let fits = |entry: &&Presentation| token.is_none_or(|token| entry.token.as_deref() == Some(token));
    Ok(json!(state.core.ledger.log().iter().filter(fits).collect::<Vec<_>>()))
}

/// `?chain=3`, or `?api=jfrogAccess&subject=ci`.
fn newest(state: &State, request: &Request) -> Result<Value, Reply> {
    let params = Params::query(request).map_err(|_| problem(400, "the query cannot be read"))?;
    let ledger = &state.core.ledger;
    let chain = match (params.get("chain"), params.get("api"), params.get("subject")) {
        (Some(number), None, None) => number.parse().ok().map(ChainId),
        (None, Some(api), Some(subject)) => {
            let api: Api = serde_json::from_value(json!(api)).map_err(|_| problem(400, "no such api"))?;
            ledger.chain_of(api, subject)
        }
        _ => return Err(problem(400, "either chain, or api and subject")),
    };
    let pair = chain.and_then(|chain| ledger.newest(chain)).ok_or_else(|| problem(404, "no such chain"))?;
    Ok(json!(pair))
}

fn seed(state: &mut State, shared: &Shared, asked: &Seed) -> Value {
    let (now, lifetime) = (shared.now(state), TimeDelta::seconds(i64::from(asked.lifetime_seconds)));
    json!(match asked.api {
        Api::JfrogAccess => state.core.seed_jfrog_access(&asked.subject, lifetime, now),
        Api::JfrogDistribution => state.core.seed_jfrog_distribution(&asked.subject, lifetime, now),
        Api::ElasticCloudEnterprise => state.core.seed_ece(&asked.subject, lifetime, now),
        Api::Oauth2 => state.core.seed_oauth2(&asked.subject, &asked.client, lifetime, now),
    })
}

fn parse<T: for<'a> Deserialize<'a>>(request: &Request) -> Result<T, Reply> {
    serde_json::from_slice(&request.body).map_err(|error| problem(400, &error.to_string()))
}

fn problem(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"message": message}))
}
