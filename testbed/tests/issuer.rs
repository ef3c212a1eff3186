//! The issuers as a plain HTTP client sees them: each documented row, each fault on the wire, and what the ledger says afterwards.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use testbed::issuer::{
    Api, Builder, Client as OauthClient, ClientAuth, Delivery, ExpiresIn, Fault, Issuer, Operation, Pair, Replay, Rotation, Rule,
    Verdict, jwt_payload,
};

const HOUR: TimeDelta = TimeDelta::hours(1);

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().pool_max_idle_per_host(0).retry(reqwest::retry::never()).build().unwrap()
}

async fn start(builder: Builder) -> Issuer {
    builder.start().await.unwrap()
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The refresh of the Access page, with more fields.
fn access(issuer: &Issuer, bearer: &str, token: &str, more: &[(&str, &str)]) -> RequestBuilder {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    form.extend(more);
    client().post(format!("{}/access/api/v1/tokens", issuer.url())).bearer_auth(bearer).form(&form)
}

fn access_pair(issuer: &Issuer, pair: &Pair) -> RequestBuilder {
    access(issuer, &pair.access_token, pair.refresh(), &[])
}

fn distribution(issuer: &Issuer, user: &str, form: &[(&str, &str)]) -> RequestBuilder {
    let url = format!("{}/distribution/api/v1/security/token", issuer.url());
    client().post(url).basic_auth(user, Some(format!("{user}-password"))).form(form)
}

fn ece(issuer: &Issuer, path: &str) -> RequestBuilder {
    client().post(format!("{}/api/v1/users/auth/{path}", issuer.url()))
}

fn oauth(issuer: &Issuer, token: &str) -> RequestBuilder {
    oauth_form(issuer, &[("grant_type", "refresh_token"), ("refresh_token", token)])
}

fn oauth_form(issuer: &Issuer, form: &[(&str, &str)]) -> RequestBuilder {
    client().post(format!("{}/oauth2/token", issuer.url())).basic_auth("ci-client", Some("client-secret")).form(form)
}

fn me(issuer: &Issuer, bearer: &str) -> RequestBuilder {
    client().get(format!("{}/access/api/v1/tokens/me", issuer.url())).bearer_auth(bearer)
}

// JFrog Access

#[tokio::test]
async fn the_two_curl_calls_of_the_access_page_work() {
    let issuer = start(Issuer::builder()).await;
    let create = [("refreshable", "true"), ("include_reference_token", "true"), ("description", "test refresh token")];
    let url = format!("{}/access/api/v1/tokens", issuer.url());
    let (status, first) = answer(client().post(url).bearer_auth("ci-identity-token").form(&create)).await;
    assert_eq!(status, 200);
    assert_eq!(first["expires_in"], 31_536_000);
    assert_eq!(first["scope"], "applied-permissions/user");
    assert_eq!((&first["token_type"], &first["description"]), (&json!("Bearer"), &json!("test refresh token")));
    assert_eq!(text(&first["refresh_token"]).len(), 36);
    assert!(text(&first["reference_token"]).starts_with("cmVmd") && text(&first["reference_token"]).len() == 64);
    let claims = jwt_payload(text(&first["access_token"])).unwrap();
    assert_eq!(claims["jti"], first["token_id"]);
    for claim in ["iss", "sub", "scp", "aud", "iat", "exp"] {
        assert!(!claims[claim].is_null(), "{claim} is missing");
    }

    let more = [("include_reference_token", "true")];
    let (status, second) = answer(access(&issuer, text(&first["access_token"]), text(&first["refresh_token"]), &more)).await;
    assert_eq!(status, 200);
    for field in ["token_id", "access_token", "refresh_token", "reference_token"] {
        assert_ne!(first[field], second[field], "{field}");
    }
    assert_eq!(second["description"], "test refresh token");
    // "<reference_token> can be used in place of <access_token>"
    let third = answer(access(&issuer, text(&second["reference_token"]), text(&second["refresh_token"]), &[])).await;
    assert_eq!(third.0, 200);
    assert_eq!(third.1["reference_token"], Value::Null, "not asked for in this request");
    assert_eq!((issuer.refreshes(issuer.chain_of(Api::JfrogAccess, "ci").unwrap()), issuer.double_spends()), (2, 0));
}

#[tokio::test]
async fn access_defaults_and_limits_of_create() {
    let issuer = start(Issuer::builder().configure(|config| config.access_max_expiry = TimeDelta::days(400))).await;
    let url = format!("{}/access/api/v1/tokens", issuer.url());
    let create = |bearer: &str, body: Value| answer(client().post(&url).bearer_auth(bearer).json(&body));
    let (status, plain) = create("ci-identity-token", json!({})).await;
    assert_eq!((status.as_u16(), &plain["refresh_token"], &plain["reference_token"]), (200, &Value::Null, &Value::Null));
    let forever = create("admin-identity-token", json!({"expires_in": 0, "refreshable": true})).await;
    assert_eq!((forever.0.as_u16(), &forever.1["expires_in"]), (200, &Value::Null));
    assert_eq!(jwt_payload(text(&forever.1["access_token"])).unwrap()["exp"], Value::Null);
    let other = create("admin-identity-token", json!({"username": "ci", "expires_in": "60"})).await;
    assert_eq!((other.0.as_u16(), &other.1["expires_in"]), (200, &json!(60)));
    for (bearer, body, status) in [
        ("ci-identity-token", json!({"expires_in": 0}), 403),
        ("ci-identity-token", json!({"expires_in": 401 * 86_400}), 403),
        ("ci-identity-token", json!({"username": "admin"}), 403),
        ("ci-identity-token", json!({"scope": "applied-permissions/admin"}), 403),
        ("ci-identity-token", json!({"expires_in": -1}), 400),
        ("ci-identity-token", json!({"refreshable": "yes"}), 400),
        ("ci-identity-token", json!({"description": "d".repeat(1025)}), 400),
        ("ci-identity-token", json!({"grant_type": "password"}), 400),
        ("nobody", json!({}), 401),
    ] {
        assert_eq!(create(bearer, body.clone()).await.0, status, "{body}");
    }
    let text = client().post(&url).bearer_auth("ci-identity-token").header("content-type", "text/plain").body("a=b");
    assert_eq!(answer(text).await.0, 415);
    assert_eq!(answer(client().get(&url)).await.0, 405);
}

#[tokio::test]
async fn a_spent_access_refresh_token_is_not_found_and_counted() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_access("ci", HOUR);
    assert_eq!(answer(access_pair(&issuer, &pair)).await.0, 200);
    assert_eq!(issuer.double_spends(), 0);
    let (status, body) = answer(access_pair(&issuer, &pair)).await;
    let message = "Token matching the provided refresh token was not found.";
    assert_eq!((status.as_u16(), body), (404, json!({"errors": [{"code": "NOT_FOUND", "message": message}]})));
    assert_eq!((issuer.double_spends(), issuer.presented(pair.refresh()), issuer.refreshes(pair.chain)), (1, 2, 1));
    let verdicts: Vec<_> = issuer.log().iter().map(|entry| (entry.verdict, entry.was_spent, entry.delivery)).collect();
    assert_eq!(verdicts, [(Verdict::Accepted, false, Delivery::Delivered), (Verdict::Spent, true, Delivery::Delivered)]);
    // No family revocation by default: the successor lives.
    let newest = issuer.newest(pair.chain).unwrap();
    assert_eq!(answer(access_pair(&issuer, &newest)).await.0, 200);
}

#[tokio::test]
async fn who_may_refresh_on_access() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_access("ci", HOUR);
    let other = issuer.seed_jfrog_access("other", HOUR);
    let (foreign_access, foreign_refresh) = issuer.foreign_pair("ci");
    let errors = |(status, body): (StatusCode, Value)| (status.as_u16(), text(&body["errors"][0]["code"]).to_owned());
    for (bearer, token, status, code) in [
        (other.access_token.as_str(), pair.refresh(), 403, "FORBIDDEN"),
        ("admin-identity-token", pair.refresh(), 403, "FORBIDDEN"),
        ("garbage", pair.refresh(), 401, "UNAUTHORIZED"),
        (foreign_access.as_str(), pair.refresh(), 401, "UNAUTHORIZED"),
        (foreign_access.as_str(), foreign_refresh.as_str(), 400, "BAD_REQUEST"),
        (pair.access_token.as_str(), "never-issued", 404, "NOT_FOUND"),
        (pair.access_token.as_str(), "", 400, "BAD_REQUEST"),
    ] {
        let got = errors(answer(access(&issuer, bearer, token, &[])).await);
        assert_eq!(got, (status, code.to_owned()));
    }
    let twice = format!("grant_type=refresh_token&refresh_token={0}&refresh_token={0}", pair.refresh());
    let url = format!("{}/access/api/v1/tokens", issuer.url());
    let twice = client()
        .post(url)
        .bearer_auth(&pair.access_token)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(twice);
    assert_eq!(answer(twice).await.0, 400);
    // None of it spent the token.
    assert_eq!((issuer.double_spends(), issuer.refreshes(pair.chain)), (0, 0));
    assert_eq!(answer(access(&issuer, "ci-identity-token", pair.refresh(), &[])).await.0, 200);
}

#[tokio::test]
async fn access_takes_json_and_basic_only_where_enabled() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_access("ci", HOUR);
    let url = format!("{}/access/api/v1/tokens", issuer.url());
    let body = json!({"grant_type": "refresh_token", "refresh_token": pair.refresh(), "refreshable": true, "expires_in": 60});
    let basic = || client().post(&url).basic_auth("ci", Some("ci-password")).json(&body);
    assert_eq!(answer(basic()).await.0, 401);
    issuer.with(|core, _| core.config.access_basic = true);
    assert_eq!(answer(client().post(&url).basic_auth("ci", Some("wrong")).json(&body)).await.0, 401);
    let (status, first) = answer(basic()).await;
    assert_eq!((status.as_u16(), &first["expires_in"]), (200, &json!(60)));
}

#[tokio::test]
async fn access_refreshes_within_the_window_after_expiry_and_not_later() {
    let issuer = start(Issuer::builder().configure(|config| config.refresh_window = TimeDelta::minutes(10))).await;
    let (pair, late) = (issuer.seed_jfrog_access("ci", HOUR), issuer.seed_jfrog_access("ci", HOUR));
    issuer.set_clock_offset(HOUR + TimeDelta::minutes(9));
    assert_eq!(answer(me(&issuer, &pair.access_token)).await.0, 401, "dead for everything but the refresh");
    assert_eq!(answer(access_pair(&issuer, &pair)).await.0, 200);
    issuer.set_clock_offset(HOUR + TimeDelta::minutes(11));
    let (status, body) = answer(access_pair(&issuer, &late)).await;
    assert_eq!((status.as_u16(), &body["errors"][0]["message"]), (401, &json!("Invalid token, expired")));
    assert_eq!(answer(access(&issuer, "ci-identity-token", late.refresh(), &[])).await.0, 404, "forgotten by the issuer");
}

#[tokio::test]
async fn access_tells_the_lifetime_as_it_is_set_to() {
    let issuer = start(Issuer::builder()).await;
    for (style, seen) in [(ExpiresIn::Number, json!(90)), (ExpiresIn::Text, json!("90")), (ExpiresIn::Absent, Value::Null)] {
        issuer.with(|core, _| core.config.expires_in = style);
        let pair = issuer.seed_jfrog_access("ci", HOUR);
        let (_, body) = answer(access(&issuer, &pair.access_token, pair.refresh(), &[("expires_in", "90")])).await;
        assert_eq!(body["expires_in"], seen);
    }
    issuer.with(|core, _| (core.config.allow_refreshable, core.config.expires_in) = (false, ExpiresIn::Number));
    let url = format!("{}/access/api/v1/tokens", issuer.url());
    let (status, body) = answer(client().post(url).bearer_auth("ci-identity-token").form(&[("refreshable", "true")])).await;
    assert_eq!((status.as_u16(), &body["refresh_token"]), (200, &Value::Null), "switched off without a word");
}

#[tokio::test]
async fn access_tokens_are_read_and_revoked() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_access("ci", HOUR);
    let tokens = format!("{}/access/api/v1/tokens", issuer.url());
    let (status, body) = answer(me(&issuer, pair.reference())).await;
    assert_eq!((status.as_u16(), &body["token_id"], &body["refreshable"]), (200, &json!(pair.token_id), &json!(true)));
    assert_eq!(body["expiry"].as_i64().unwrap() - body["issued_at"].as_i64().unwrap(), 3600);
    let by_id = client().get(format!("{tokens}/{}", pair.token_id));
    assert_eq!(answer(by_id.try_clone().unwrap().bearer_auth("admin-identity-token")).await.0, 200);
    assert_eq!(answer(by_id.bearer_auth(issuer.seed_jfrog_access("other", HOUR).access_token)).await.0, 403);
    assert_eq!(answer(client().get(format!("{tokens}/none")).bearer_auth("admin-identity-token")).await.0, 404);

    let delete = |id: &str, bearer: &str| answer(client().delete(format!("{tokens}/{id}")).bearer_auth(bearer));
    assert_eq!(delete("me", &pair.access_token).await.0, 200);
    assert_eq!(delete("me", &pair.access_token).await.0, 401);
    assert_eq!(delete(&pair.token_id, "admin-identity-token").await.0, 204);
    assert_eq!(answer(me(&issuer, &pair.access_token)).await.0, 401);
    assert_eq!(answer(access(&issuer, "ci-identity-token", pair.refresh(), &[])).await.0, 404, "revoked with its access token");

    let value = issuer.seed_jfrog_access("ci", HOUR);
    let form = [("token", value.access_token.as_str())];
    let revoke = |bearer: &str| answer(client().delete(format!("{tokens}/revoke")).bearer_auth(bearer).form(&form));
    assert_eq!(revoke("ci-identity-token").await.0, 403);
    assert_eq!(revoke("admin-identity-token").await, (StatusCode::OK, json!({"revoked-token-id": value.token_id})));
    let (foreign, _) = issuer.foreign_pair("ci");
    let foreign = client().delete(format!("{tokens}/revoke")).bearer_auth("admin-identity-token").form(&[("token", foreign)]);
    assert_eq!(answer(foreign).await.0, 400);
}

#[tokio::test]
async fn the_replaced_access_token_lives_or_dies_as_set() {
    let issuer = start(Issuer::builder()).await;
    for (dies, status) in [(false, 200), (true, 401)] {
        issuer.with(|core, _| core.config.old_access_token_dies = dies);
        let pair = issuer.seed_jfrog_access("ci", HOUR);
        assert_eq!(answer(access_pair(&issuer, &pair)).await.0, 200);
        assert_eq!(answer(me(&issuer, &pair.access_token)).await.0, status);
    }
}

// JFrog Distribution

#[tokio::test]
async fn the_curl_call_of_the_distribution_page_works_once() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_distribution("ci", HOUR);
    let form = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh()), ("access_token", &pair.access_token)];
    let (status, body) = answer(distribution(&issuer, "ci", &form)).await;
    assert_eq!(status, 200);
    let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["access_token", "expires_in", "refresh_token", "scope", "token_type"]);
    assert_eq!(body["expires_in"], 0, "left out of the request, it never expires");
    assert_eq!(jwt_payload(text(&body["access_token"])).unwrap()["exp"], Value::Null);
    assert_eq!(answer(distribution(&issuer, "ci", &form)).await.0, 404);
    assert_eq!((issuer.double_spends(), issuer.refreshes(pair.chain)), (1, 1));
}

#[tokio::test]
async fn distribution_wants_its_form_its_pair_and_basic() {
    let issuer = start(Issuer::builder().user("eve", "eve-password", false)).await;
    let pair = issuer.seed_jfrog_distribution("ci", HOUR);
    let other = issuer.seed_jfrog_distribution("ci", HOUR);
    let full = |access: &'_ str| {
        vec![
            ("grant_type".to_owned(), "refresh_token".to_owned()),
            ("refresh_token".to_owned(), pair.refresh().to_owned()),
            ("access_token".to_owned(), access.to_owned()),
        ]
    };
    let post = |user: &str, form: &[(String, String)]| {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        answer(distribution(&issuer, user, &form))
    };
    for missing in 0..3 {
        let mut form = full(&pair.access_token);
        form.remove(missing);
        assert_eq!(post("ci", &form).await.0, 400);
    }
    assert_eq!(post("ci", &full(&other.access_token)).await.0, 400, "not one pair");
    assert_eq!(post("eve", &full(&pair.access_token)).await.0, 403);
    assert_eq!(post("nobody", &full(&pair.access_token)).await.0, 401);
    let url = format!("{}/distribution/api/v1/security/token", issuer.url());
    assert_eq!(answer(client().post(&url).bearer_auth(&pair.access_token).form(&full(&pair.access_token))).await.0, 401);
    let json = json!({"grant_type": "refresh_token", "refresh_token": pair.refresh(), "access_token": pair.access_token});
    assert_eq!(answer(client().post(&url).basic_auth("ci", Some("ci-password")).json(&json)).await.0, 415);
    assert_eq!(issuer.refreshes(pair.chain), 0);
    // Past its expiry, by an administrator, with a lifetime, and for the last time.
    issuer.set_clock_offset(HOUR * 2);
    let mut form = full(&pair.access_token);
    form.extend([("expires_in".to_owned(), "123".to_owned()), ("refreshable".to_owned(), "false".to_owned())]);
    let (status, body) = post("admin", &form).await;
    assert_eq!((status.as_u16(), &body["expires_in"], &body["refresh_token"]), (200, &json!(123), &Value::Null));
}

#[tokio::test]
async fn distribution_revokes_by_token_or_id() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_distribution("ci", HOUR);
    let url = format!("{}/distribution/api/v1/security/token/revoke", issuer.url());
    let post = |user: &str, form: &[(&str, &str)]| {
        answer(client().post(&url).basic_auth(user, Some(format!("{user}-password"))).form(form))
    };
    assert_eq!(post("ci", &[("token_id", &pair.token_id)]).await.0, 403);
    assert_eq!(post("admin", &[("token_id", &pair.token_id), ("token", &pair.access_token)]).await.0, 400);
    assert_eq!(post("admin", &[("token_id", "none")]).await.0, 404);
    assert_eq!(post("admin", &[("token_id", &pair.token_id)]).await.0, 200);
    let form = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh()), ("access_token", &pair.access_token)];
    assert_eq!(answer(distribution(&issuer, "ci", &form)).await.0, 404);
}

// Elastic Cloud Enterprise

#[tokio::test]
async fn an_ece_token_renews_itself_and_a_lost_answer_is_harmless() {
    let issuer = start(Issuer::builder()).await;
    let (status, login) = answer(ece(&issuer, "_login").json(&json!({"username": "ci", "password": "ci-password"}))).await;
    assert_eq!(status, 200);
    let token = text(&login["token"]);
    let ends = text(&login["session_expiration_time"]).parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!((ends - issuer.now() - HOUR).abs() < TimeDelta::minutes(1));
    for _ in 0..2 {
        let (status, body) = answer(ece(&issuer, "_refresh").bearer_auth(token)).await;
        assert_eq!(status, 200);
        assert_ne!(text(&body["token"]), token);
        assert_eq!(body.as_object().unwrap().len(), 2);
    }
    assert_eq!((issuer.double_spends(), issuer.presented(token)), (0, 2));
    let get = client().get(format!("{}/api/v1/users/auth", issuer.url())).bearer_auth(token);
    let (status, body) = answer(get).await;
    assert_eq!((status.as_u16(), &body["expires_at"]), (200, &login["session_expiration_time"]));
    assert_eq!(answer(ece(&issuer, "_logout").bearer_auth(token)).await, (StatusCode::OK, json!({})));
    assert_eq!(answer(ece(&issuer, "_refresh").bearer_auth(token)).await.0, 401);
}

#[tokio::test]
async fn ece_tells_its_errors_in_the_envelope_and_the_header() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_ece("ci", HOUR);
    issuer.set_clock_offset(HOUR);
    let wrong = json!({"username": "ci", "password": "wrong"});
    for (request, code) in [
        (ece(&issuer, "_refresh").bearer_auth(&pair.access_token), "root.unauthorized"),
        (ece(&issuer, "_refresh").bearer_auth("garbage"), "root.unauthorized"),
        (ece(&issuer, "_refresh"), "root.unauthorized"),
        (ece(&issuer, "_login").json(&wrong), "root.unauthenticated"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "x-cloud-error-codes")), (401, code));
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], code);
        assert!(body["errors"][0]["message"].is_string());
    }
    // 501 is set by an administrator and processes nothing.
    let reply = testbed::issuer::ece_error(501, "authc.no_authentication_cluster", "configure it");
    let body = String::from_utf8(reply.body).unwrap();
    issuer.arm(Rule::once(Fault::Status { code: reply.status, headers: reply.headers, body, process: false }));
    let pair = issuer.seed_ece("ci", HOUR);
    let response = ece(&issuer, "_refresh").bearer_auth(&pair.access_token).send().await.unwrap();
    assert_eq!(header(&response, "x-cloud-error-codes"), "authc.no_authentication_cluster");
    assert_eq!((response.status().as_u16(), issuer.refreshes(pair.chain)), (501, 0));
}

#[tokio::test]
async fn the_curl_call_of_the_ece_page_works_with_basic() {
    let issuer = start(Issuer::builder()).await;
    let basic = |password: &str| answer(ece(&issuer, "_refresh").basic_auth("ci", Some(password.to_owned())));
    assert_eq!(basic("ci-password").await.0, 200);
    assert_eq!(basic("wrong").await.0, 401);
    issuer.with(|core, _| core.config.ece_basic = false);
    assert_eq!(basic("ci-password").await.0, 401);
}

// OAuth 2.0

#[tokio::test]
async fn an_oauth2_refresh_rotates_and_a_spent_token_is_invalid_grant() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    let response = oauth(&issuer, pair.refresh()).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "no-store"));
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(3600), &json!("api offline_access"))
    );
    assert_eq!(text(&body["refresh_token"]).len(), 43);
    let response = oauth(&issuer, pair.refresh()).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (400, "no-store"));
    let spent: Value = response.json().await.unwrap();
    assert_eq!(spent, json!({"error": "invalid_grant", "error_description": "grant request is invalid"}));
    assert_eq!(answer(oauth(&issuer, "unknown")).await.1, spent, "the body never says why");
    assert_eq!(answer(oauth(&issuer, text(&body["refresh_token"]))).await.0, 200, "no family revocation unless set");
    assert_eq!((issuer.double_spends(), issuer.refreshes(pair.chain)), (1, 2));
}

#[tokio::test]
async fn family_revocation_kills_the_successor_and_its_access_token() {
    let issuer = start(Issuer::builder().family_revocation(true)).await;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    let (_, second) = answer(oauth(&issuer, pair.refresh())).await;
    assert_eq!(answer(oauth(&issuer, pair.refresh())).await.0, 400);
    let (status, body) = answer(oauth(&issuer, text(&second["refresh_token"]))).await;
    assert_eq!((status.as_u16(), &body["error"]), (400, &json!("invalid_grant")));
    assert_eq!(introspect(&issuer, text(&second["access_token"])).await, json!({"active": false}));
    assert!(issuer.chains()[0].revoked);
    assert_eq!(issuer.double_spends(), 1, "the successor was revoked, not spent");
    let untouched = issuer.seed_oauth2("other", "ci-client", HOUR);
    assert_eq!(answer(oauth(&issuer, untouched.refresh())).await.0, 200);
    // The same for JFrog, whose bearer dies with the chain.
    let jfrog = issuer.seed_jfrog_access("ci", HOUR);
    answer(access_pair(&issuer, &jfrog)).await;
    answer(access_pair(&issuer, &jfrog)).await;
    let newest = issuer.newest(jfrog.chain).unwrap();
    assert_eq!(answer(me(&issuer, &newest.access_token)).await.0, 401);
    assert_eq!(answer(access(&issuer, "ci-identity-token", newest.refresh(), &[])).await.0, 404);
}

async fn introspect(issuer: &Issuer, token: &str) -> Value {
    let url = format!("{}/oauth2/introspect", issuer.url());
    let request = client().post(url).basic_auth("ci-client", Some("client-secret")).form(&[("token", token)]);
    let (status, body) = answer(request).await;
    assert_eq!(status, 200);
    body
}

#[tokio::test]
async fn grace_answers_a_repetition_until_the_window_or_the_successor_is_used() {
    let window = TimeDelta::seconds(30);
    for replay in [Replay::SamePair, Replay::NewPair] {
        let issuer = start(Issuer::builder().rotation(Rotation::Grace { window, replay })).await;
        let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
        let (_, first) = answer(oauth(&issuer, pair.refresh())).await;
        let (status, again) = answer(oauth(&issuer, pair.refresh())).await;
        assert_eq!(status, 200);
        assert_eq!(first["refresh_token"] == again["refresh_token"], replay == Replay::SamePair);
        assert_eq!(first["access_token"] == again["access_token"], replay == Replay::SamePair);
        assert_eq!((issuer.double_spends(), issuer.refreshes(pair.chain)), (0, 1));
        assert_eq!(issuer.log()[1].verdict, Verdict::Replayed);
        issuer.set_clock_offset(window);
        assert_eq!(answer(oauth(&issuer, pair.refresh())).await.0, 400);
        assert_eq!(issuer.double_spends(), 1);
        // Once the successor is used, the window is closed early.
        issuer.set_clock_offset(TimeDelta::zero());
        let second = issuer.seed_oauth2("ci", "ci-client", HOUR);
        let (_, successor) = answer(oauth(&issuer, second.refresh())).await;
        assert_eq!(answer(oauth(&issuer, text(&successor["refresh_token"]))).await.0, 200);
        assert_eq!(answer(oauth(&issuer, second.refresh())).await.0, 400);
    }
}

#[tokio::test]
async fn a_reusable_refresh_token_stays_and_is_left_out() {
    let issuer = start(Issuer::builder().rotation(Rotation::Reusable)).await;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    for _ in 0..3 {
        let (status, body) = answer(oauth(&issuer, pair.refresh())).await;
        assert_eq!((status.as_u16(), &body["refresh_token"]), (200, &Value::Null));
        assert_ne!(body["access_token"], pair.access_token);
    }
    assert_eq!((issuer.double_spends(), issuer.refreshes(pair.chain)), (0, 3));
    assert_eq!(issuer.newest(pair.chain).unwrap().refresh(), pair.refresh());
}

#[tokio::test]
async fn oauth2_refuses_as_the_rfc_says_and_spends_nothing() {
    let issuer = start(Issuer::builder().configure(|config| config.clients.extend(more_clients()))).await;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    let token = pair.refresh();
    let url = format!("{}/oauth2/token", issuer.url());
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let wide = [refresh[0], refresh[1], ("scope", "api admin")];
    let posted = [refresh[0], refresh[1], ("client_id", "ci-client"), ("client_secret", "client-secret")];
    let other = client().post(&url).basic_auth("other", Some("other-secret"));
    for (request, status, error) in [
        (oauth_form(&issuer, &wide), 400, "invalid_scope"),
        (oauth_form(&issuer, &[("grant_type", "password")]), 400, "unsupported_grant_type"),
        (oauth_form(&issuer, &[("refresh_token", token)]), 400, "invalid_request"),
        (oauth_form(&issuer, &[("grant_type", "refresh_token")]), 400, "invalid_request"),
        (oauth_form(&issuer, &[refresh[0], refresh[1], refresh[1]]), 400, "invalid_request"),
        (oauth_form(&issuer, &posted), 400, "invalid_request"),
        (client().post(&url).basic_auth("ci-client", Some("client-secret")).json(&json!({})), 400, "invalid_request"),
        (client().post(&url).basic_auth("ci-client", Some("wrong")).form(&refresh), 401, "invalid_client"),
        (client().post(&url).basic_auth("nobody", Some("x")).form(&refresh), 401, "invalid_client"),
        (client().post(&url).form(&refresh), 401, "invalid_client"),
        (client().post(&url).form(&[refresh[0], refresh[1], ("client_id", "ci-client")]), 401, "invalid_client"),
        (other.form(&refresh), 400, "invalid_grant"),
        (client().post(&url).form(&[("grant_type", "client_credentials"), ("client_id", "public")]), 400, "unauthorized_client"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (status, "no-store"), "{error}");
        assert_eq!(header(&response, "www-authenticate").starts_with("Basic"), status == 401, "{error}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], error);
    }
    assert_eq!((issuer.double_spends(), issuer.refreshes(pair.chain)), (0, 0));
    let narrow = oauth_form(&issuer, &[refresh[0], refresh[1], ("scope", "api")]);
    assert_eq!(answer(narrow).await.1["scope"], "api");
    // The narrowed answer does not narrow the grant (RFC 6749 section 6).
    let newest = issuer.newest(pair.chain).unwrap();
    assert_eq!(answer(oauth(&issuer, newest.refresh())).await.1["scope"], "api offline_access");
}

fn more_clients() -> Vec<(String, OauthClient)> {
    let make = |secret: &str, auth| OauthClient { secret: secret.into(), auth, scope: "api".into() };
    vec![
        ("other".into(), make("other-secret", ClientAuth::Any)),
        ("public".into(), make("", ClientAuth::None)),
        ("post".into(), make("post-secret", ClientAuth::Post)),
        ("od:d&= id".into(), make("s%c+r=t: ü", ClientAuth::Basic)),
    ]
}

#[tokio::test]
async fn oauth2_clients_prove_themselves_in_three_ways() {
    let issuer = start(Issuer::builder().configure(|config| config.clients.extend(more_clients()))).await;
    let url = format!("{}/oauth2/token", issuer.url());
    let with_token = |id: &'static str, more: &[(&str, &str)]| {
        let mut form = vec![("grant_type".to_owned(), "refresh_token".to_owned())];
        form.push(("refresh_token".into(), issuer.seed_oauth2("ci", id, HOUR).refresh().into()));
        form.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        form
    };
    let post = client().post(&url).form(&with_token("post", &[("client_id", "post"), ("client_secret", "post-secret")]));
    assert_eq!(answer(post).await.0, 200);
    let wrong_way = client().post(&url).basic_auth("post", Some("post-secret")).form(&with_token("post", &[]));
    assert_eq!(answer(wrong_way).await.0, 401);
    assert_eq!(answer(client().post(&url).form(&with_token("public", &[("client_id", "public")]))).await.0, 200);
    // RFC 6749 section 2.3.1: form-encoded before it becomes Basic.
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let odd = client().post(&url).basic_auth(encode("od:d&= id"), Some(encode("s%c+r=t: ü")));
    assert_eq!(answer(odd.form(&with_token("od:d&= id", &[]))).await.0, 200);
    let (status, body) = answer(oauth_form(&issuer, &[("grant_type", "client_credentials"), ("scope", "api")])).await;
    assert_eq!((status.as_u16(), &body["refresh_token"], &body["scope"]), (200, &Value::Null, &json!("api")));
}

#[tokio::test]
async fn a_grant_begins_a_chain_of_its_client_where_the_server_is_set_so() {
    let builder = Issuer::builder().user("ci", "ci-password", false);
    let issuer = start(builder.configure(|config| config.first_refresh_tokens = true)).await;
    let password = [("grant_type", "password"), ("username", "ci"), ("password", "ci-password")];
    for form in [&[("grant_type", "client_credentials")][..], &password] {
        let (status, body) = answer(oauth_form(&issuer, form)).await;
        assert_eq!(status.as_u16(), 200, "{body}");
        assert_eq!(answer(oauth(&issuer, text(&body["refresh_token"]))).await.0, 200);
        assert_eq!(answer(oauth(&issuer, text(&body["refresh_token"]))).await.1["error"], "invalid_grant");
    }
    let wrong = [password[0], password[1], ("password", "wrong")];
    assert_eq!(answer(oauth_form(&issuer, &wrong)).await.1["error"], "invalid_grant");
    assert_eq!(answer(oauth_form(&issuer, &password[..2])).await.1["error"], "invalid_request");
    assert_eq!(issuer.chain_of(Api::Oauth2, "ci"), issuer.chains().last().map(|chain| chain.id));
}

#[tokio::test]
async fn introspection_spends_nothing_and_revocation_says_200_to_all() {
    let issuer = start(Issuer::builder().family_revocation(true)).await;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    assert_eq!(introspect(&issuer, pair.refresh()).await["active"], true);
    let access = introspect(&issuer, &pair.access_token).await;
    assert_eq!(
        (&access["sub"], &access["client_id"], &access["jti"]),
        (&json!("ci"), &json!("ci-client"), &json!(pair.token_id))
    );
    let (_, second) = answer(oauth(&issuer, pair.refresh())).await;
    assert_eq!(introspect(&issuer, pair.refresh()).await, json!({"active": false}));
    assert_eq!(
        introspect(&issuer, text(&second["refresh_token"])).await["active"],
        true,
        "asking about a spent one kills nothing"
    );
    assert_eq!((issuer.double_spends(), issuer.presented(pair.refresh())), (0, 1));
    // Nobody else learns of it or ends it.
    issuer.with(|core, _| core.config.clients.extend(more_clients()));
    for (path, told) in [("introspect", json!({"active": false})), ("revoke", json!(""))] {
        let other = client().post(format!("{}/oauth2/{path}", issuer.url())).basic_auth("other", Some("other-secret"));
        assert_eq!(answer(other.form(&[("token", text(&second["refresh_token"]))])).await, (StatusCode::OK, told));
    }
    assert_eq!(introspect(&issuer, text(&second["refresh_token"])).await["active"], true);
    let url = format!("{}/oauth2/revoke", issuer.url());
    let revoke =
        |token: &str| answer(client().post(&url).basic_auth("ci-client", Some("client-secret")).form(&[("token", token)]));
    assert_eq!(revoke("unknown").await.0, 200);
    assert_eq!(revoke(text(&second["access_token"])).await.0, 200);
    assert_eq!(introspect(&issuer, text(&second["access_token"])).await, json!({"active": false}));
    assert_eq!(introspect(&issuer, text(&second["refresh_token"])).await["active"], true);
    assert_eq!(revoke(text(&second["refresh_token"])).await.0, 200);
    assert_eq!(answer(oauth(&issuer, text(&second["refresh_token"]))).await.0, 400);
    assert_eq!(answer(client().post(&url).form(&[("token", "x")])).await.0, 401);
}

#[tokio::test]
async fn an_oauth2_refresh_token_expires_and_rotation_starts_its_life_anew() {
    let issuer = start(Issuer::builder().configure(|config| config.oauth2_refresh_lifetime = HOUR * 2)).await;
    let (pair, idle) = (issuer.seed_oauth2("ci", "ci-client", HOUR), issuer.seed_oauth2("ci", "ci-client", HOUR));
    issuer.set_clock_offset(TimeDelta::minutes(90));
    let (status, second) = answer(oauth(&issuer, pair.refresh())).await;
    assert_eq!(status, 200, "the access token expired, the refresh token did not");
    issuer.set_clock_offset(TimeDelta::minutes(180));
    assert_eq!(answer(oauth(&issuer, idle.refresh())).await.0, 400);
    assert_eq!(issuer.log().last().unwrap().verdict, Verdict::Expired);
    assert_eq!(answer(oauth(&issuer, text(&second["refresh_token"]))).await.0, 200);
}

// Faults on the wire

#[tokio::test]
async fn an_answer_dropped_after_processing_has_spent_the_token() {
    let issuer = start(Issuer::builder()).await;
    for reset in [false, true] {
        let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
        issuer.arm(Rule::once(Fault::DropAnswer { reset }).chain(pair.chain));
        let error = oauth(&issuer, pair.refresh()).send().await.unwrap_err();
        assert_eq!(format!("{error:?}").contains("ConnectionReset"), reset, "{error:?}");
        let last = issuer.log().pop().unwrap();
        assert_eq!((last.verdict, last.delivery, last.status), (Verdict::Accepted, Delivery::Dropped, 200));
        assert_eq!(issuer.refreshes(pair.chain), 1);
        assert_eq!(answer(oauth(&issuer, pair.refresh())).await.0, 400, "spent, and nobody has the successor");
        let successor = issuer.newest(pair.chain).unwrap();
        assert!(last.answer.contains(successor.refresh()));
        assert_eq!(answer(oauth(&issuer, successor.refresh())).await.0, 200);
    }
    assert_eq!(issuer.double_spends(), 2);
}

#[tokio::test]
async fn a_reset_before_processing_spends_nothing() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_access("ci", HOUR);
    issuer.arm(Rule::once(Fault::ResetBefore).on(Api::JfrogAccess));
    let error = access_pair(&issuer, &pair).send().await.unwrap_err();
    assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
    let last = issuer.log().pop().unwrap();
    assert_eq!((last.verdict, last.delivery), (Verdict::NotProcessed, Delivery::Dropped));
    assert_eq!((issuer.refreshes(pair.chain), issuer.presented(pair.refresh()), issuer.double_spends()), (0, 1, 0));
    assert_eq!(answer(access_pair(&issuer, &pair)).await.0, 200);
    // A spent token that meets a fault is a double spend all the same.
    issuer.arm(Rule::once(Fault::ResetBefore));
    assert!(access_pair(&issuer, &pair).send().await.is_err());
    assert_eq!(issuer.double_spends(), 1);
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_after_the_bytes_asked_for() {
    let issuer = start(Issuer::builder()).await;
    for (keep, chunked) in [(0, false), (40, false), (40, true), (1 << 30, false)] {
        let pair = issuer.seed_jfrog_access("ci", HOUR);
        issuer.arm(Rule::once(Fault::Truncate { keep, chunked }));
        let mut response = access_pair(&issuer, &pair).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut got = Vec::new();
        let error = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => got.extend_from_slice(&bytes),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(error.is_some(), "the client must notice");
        let last = issuer.log().pop().unwrap();
        assert_eq!((last.verdict, last.delivery), (Verdict::Accepted, Delivery::Truncated));
        assert_eq!(got.len(), keep.min(last.answer.len() - 1));
        assert!(last.answer.as_bytes().starts_with(&got));
    }
}

#[tokio::test]
async fn a_delay_comes_before_processing_or_before_the_answer() {
    let issuer = start(Issuer::builder()).await;
    let never = 3_600_000;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    issuer.arm(Rule::once(Fault::Delay { before_ms: 0, answer_ms: never }));
    let call = tokio::spawn(oauth(&issuer, pair.refresh()).send());
    eventually(|| issuer.refreshes(pair.chain) == 1).await;
    assert_eq!(issuer.log()[0].delivery, Delivery::Pending);
    assert!(!call.is_finished());
    call.abort();
    eventually(|| issuer.log()[0].delivery == Delivery::Dropped).await;

    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    issuer.arm(Rule::once(Fault::Delay { before_ms: never, answer_ms: 0 }));
    let error = oauth(&issuer, pair.refresh()).timeout(Duration::from_millis(500)).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!((issuer.log().len(), issuer.refreshes(pair.chain)), (1, 0));

    for (before_ms, answer_ms) in [(200, 0), (0, 200), (100, 100)] {
        let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
        issuer.arm(Rule::once(Fault::Delay { before_ms, answer_ms }));
        let begun = started();
        assert_eq!(answer(oauth(&issuer, pair.refresh())).await.0, 200);
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a delay of the server under test")]
fn started() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_take_its_request_back() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    issuer.arm(Rule::once(Fault::Delay { before_ms: 1500, answer_ms: 0 }));
    let error = oauth(&issuer, pair.refresh()).timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(issuer.refreshes(pair.chain), 0);
    eventually(|| issuer.refreshes(pair.chain) == 1).await;
    eventually(|| issuer.log()[0].delivery == Delivery::Dropped).await;
}

async fn eventually(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it came to be");
}

#[tokio::test]
async fn a_hanging_issuer_answers_nothing_and_processes_only_if_told() {
    let issuer = start(Issuer::builder()).await;
    for (number, process) in [false, true].into_iter().enumerate() {
        let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
        issuer.arm(Rule::once(Fault::Hang { process }));
        let error = oauth(&issuer, pair.refresh()).timeout(Duration::from_millis(500)).send().await.unwrap_err();
        assert!(error.is_timeout());
        eventually(|| issuer.log().get(number).is_some_and(|entry| entry.delivery == Delivery::Dropped)).await;
        assert_eq!(issuer.refreshes(pair.chain), usize::from(process));
    }
}

#[tokio::test]
async fn a_status_or_bytes_stand_in_for_the_answer() {
    let issuer = start(Issuer::builder()).await;
    let status = |code, process| Fault::Status {
        code,
        headers: vec![("retry-after".into(), "7".into()), ("content-type".into(), "text/html".into())],
        body: "<html>busy</html>".into(),
        process,
    };
    for (process, refreshes) in [(false, 0), (true, 1)] {
        let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
        issuer.arm(Rule::once(status(503, process)));
        let response = oauth(&issuer, pair.refresh()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "7"));
        assert_eq!(response.text().await.unwrap(), "<html>busy</html>");
        assert_eq!(issuer.refreshes(pair.chain), refreshes);
    }
    let pair = issuer.seed_oauth2("ci", "ci-client", HOUR);
    issuer.arm(Rule::once(Fault::Malformed { body: "{\"access_token\":".into() }));
    let response = oauth(&issuer, pair.refresh()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "{\"access_token\":");
    assert_eq!((issuer.refreshes(pair.chain), issuer.log().pop().unwrap().delivery), (1, Delivery::Replaced));
}

#[tokio::test]
async fn a_fault_strikes_the_operation_and_chain_it_names() {
    let issuer = start(Issuer::builder()).await;
    let (one, two) = (issuer.seed_jfrog_access("ci", HOUR), issuer.seed_jfrog_access("other", HOUR));
    issuer.arm(Rule::once(Fault::ResetBefore).chain(two.chain));
    issuer.arm(Rule::once(Fault::ResetBefore).operation(Operation::Inspect));
    assert_eq!(answer(access_pair(&issuer, &one)).await.0, 200);
    assert!(access_pair(&issuer, &two).send().await.is_err());
    assert!(me(&issuer, &one.access_token).send().await.is_err());
    issuer.arm(Rule::once(Fault::ResetBefore).times(5));
    issuer.clear_faults();
    assert_eq!(answer(access_pair(&issuer, &two)).await.0, 200);
}

// Server

#[tokio::test]
async fn concurrent_refreshes_of_one_token_have_one_winner() {
    let issuer = start(Issuer::builder()).await;
    let pair = issuer.seed_jfrog_access("ci", HOUR);
    issuer.arm(Rule::once(Fault::Delay { before_ms: 50, answer_ms: 0 }).times(16));
    let calls: Vec<_> = (0..16).map(|_| tokio::spawn(access_pair(&issuer, &pair).send())).collect();
    let mut won = 0;
    for call in calls {
        won += usize::from(call.await.unwrap().unwrap().status() == 200);
    }
    assert_eq!((won, issuer.refreshes(pair.chain), issuer.double_spends()), (1, 1, 15));
}

#[tokio::test]
async fn tls_is_trusted_by_its_own_authority_only() {
    let issuer = start(Issuer::builder().tls(true)).await;
    let pair = issuer.seed_ece("ci", HOUR);
    assert!(issuer.url().starts_with("https://127.0.0.1:"));
    let ca = reqwest::Certificate::from_pem(issuer.ca_pem().unwrap().as_bytes()).unwrap();
    client();
    let trusting = Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("{}/api/v1/users/auth/_refresh", issuer.url().replace("127.0.0.1", host));
        assert_eq!(trusting.post(url).bearer_auth(&pair.access_token).send().await.unwrap().status(), 200);
    }
    assert!(ece(&issuer, "_refresh").bearer_auth(&pair.access_token).send().await.unwrap_err().is_connect());
    issuer.arm(Rule::once(Fault::DropAnswer { reset: false }));
    let url = format!("{}/api/v1/users/auth/_refresh", issuer.url());
    assert!(trusting.post(url).bearer_auth(&pair.access_token).send().await.is_err());
    assert_eq!(issuer.refreshes(pair.chain), 3);
}

#[tokio::test]
async fn the_admin_endpoint_seeds_breaks_and_tells() {
    let issuer = start(Issuer::builder()).await;
    let admin = format!("{}/_admin", issuer.url());
    let seed = json!({"api": "jfrogAccess", "subject": "ci", "lifetimeSeconds": 60});
    let (_, pair) = answer(client().post(format!("{admin}/seed")).json(&seed)).await;
    let (access_token, token) = (text(&pair["accessToken"]), text(&pair["refreshToken"]));
    let rule = json!({"api": "jfrogAccess", "chain": pair["chain"], "times": 1, "fault": {"type": "dropAnswer"}});
    assert_eq!(answer(client().post(format!("{admin}/faults")).json(&rule)).await.0, 201);
    assert_eq!(answer(client().post(format!("{admin}/faults")).json(&json!({"fault": {"type": "none"}}))).await.0, 400);
    assert!(access(&issuer, access_token, token, &[]).send().await.is_err());
    answer(client().post(format!("{admin}/faults")).json(&rule)).await;
    assert_eq!(answer(client().delete(format!("{admin}/faults"))).await.0, 204);
    assert_eq!(answer(client().get(format!("{admin}/faults"))).await.1, json!([]));
    assert_eq!(answer(access(&issuer, access_token, token, &[])).await.0, 404);
    let (_, log) = answer(client().get(format!("{admin}/presentations?token={token}"))).await;
    let verdicts: Vec<_> =
        log.as_array().unwrap().iter().map(|entry| (text(&entry["verdict"]), text(&entry["delivery"]))).collect();
    assert_eq!(verdicts, [("accepted", "dropped"), ("spent", "delivered")]);
    let (_, state) = answer(client().get(format!("{admin}/state"))).await;
    assert_eq!((&state["doubleSpends"], &state["chains"][0]["refreshes"], &state["faults"]), (&json!(1), &json!(1), &json!([])));
    let (_, newest) = answer(client().get(format!("{admin}/newest?api=jfrogAccess&subject=ci"))).await;
    assert_eq!(newest["generation"], 1);
    assert_eq!(answer(client().get(format!("{admin}/newest?chain=0"))).await.1, newest);
    let (_, clock) = answer(client().put(format!("{admin}/clock")).json(&json!({"offsetSeconds": 86_400 * 400}))).await;
    assert_eq!(clock["clockOffsetSeconds"], 86_400 * 400);
    assert_eq!(answer(me(&issuer, text(&newest["accessToken"]))).await.0, 401);
    answer(client().put(format!("{admin}/clock")).json(&json!({"offsetSeconds": 0}))).await;
    assert_eq!(answer(me(&issuer, text(&newest["accessToken"]))).await.0, 200);
    assert_eq!(answer(client().post(format!("{admin}/revoke")).json(&json!({"chain": 0}))).await.0, 204);
    assert_eq!(answer(me(&issuer, text(&newest["accessToken"]))).await.0, 401);
    assert_eq!(answer(client().get(format!("{admin}/none"))).await.0, 404);
    assert_eq!(answer(client().get(format!("{}/none", issuer.url()))).await.0, 404);
}

#[tokio::test]
async fn the_clock_of_the_issuer_runs_apart() {
    let issuer = start(Issuer::builder()).await;
    issuer.set_clock_offset(TimeDelta::minutes(-30));
    let pair = issuer.seed_ece("ci", HOUR);
    let (_, body) = answer(ece(&issuer, "_refresh").bearer_auth(&pair.access_token)).await;
    let claims = jwt_payload(text(&body["token"])).unwrap();
    issuer.set_clock_offset(TimeDelta::zero());
    let behind = issuer.now().timestamp() - claims["iat"].as_i64().unwrap();
    assert!((1790..1900).contains(&behind), "{behind}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_tokens() {
    let clock: testbed::issuer::Clock = std::sync::Arc::new(|| chrono::DateTime::UNIX_EPOCH);
    let make = || async {
        let issuer = start(Issuer::builder().seed(3).clock(clock.clone())).await;
        issuer.seed_jfrog_access("ci", HOUR)
    };
    assert_eq!(make().await, make().await);
}

// The binary

/// The program on a free port, and what it printed before it was ready. It ends with the value.
struct Program(std::process::Child, String);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        use std::io::BufRead as _;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rtok-issuer"));
        let mut child = command.args(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Self(child, String::new());
        for line in lines.map(Result::unwrap).take_while(|line| line != "# ready") {
            printed += &line;
            printed.push('\n');
        }
        program.1 = printed;
        program
    }

    fn url(&self) -> &str {
        self.1.lines().find_map(|line| line.strip_prefix("# url: ")).unwrap()
    }

    /// The value of a key in the Secret of that name.
    fn value(&self, secret: &str, key: &str) -> String {
        let quoted = format!("  name: \"{secret}\"\n");
        let document = self.1.split("---\n").find(|document| document.contains(&quoted)).unwrap();
        assert!(document.contains("refreshabletoken.io/role: seed") && document.contains("kind: Secret"));
        let line = document.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{key}: "))).unwrap();
        serde_json::from_str(line).unwrap()
    }
}

#[tokio::test]
async fn the_program_prints_seeds_that_work() {
    let program =
        Program::start(&["--lifetime", "90", "--namespace", "build", "--client", "robot:s3cret", "--user", "kim:pass:word"]);
    assert_eq!(program.value("ece-seed", "namespace"), "build");
    let token = |secret: &str, key: &str| program.value(secret, key);
    let refresh =
        |secret: &str| vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", token(secret, "refresh_token"))];
    let at = |path: &str| client().post(format!("{}{path}", program.url()));
    let access = at("/access/api/v1/tokens").bearer_auth(token("jfrog-access-seed", "access_token"));
    let mut with_access = refresh("jfrog-distribution-seed");
    with_access.push(("access_token", token("jfrog-distribution-seed", "access_token")));
    let user = (token("jfrog-distribution-seed", "username"), token("jfrog-distribution-seed", "password"));
    assert_eq!(user, ("kim".to_owned(), "pass:word".to_owned()));
    let (id, secret) = (token("oauth2-seed", "client_id"), token("oauth2-seed", "client_secret"));
    let oauth2 = at("/oauth2/token").basic_auth(id, Some(secret)).form(&refresh("oauth2-seed"));
    let (_, body) = answer(oauth2).await;
    assert_eq!(body["expires_in"], 90);
    let distribution = at("/distribution/api/v1/security/token").basic_auth(user.0, Some(user.1)).form(&with_access);
    for request in [
        access.form(&refresh("jfrog-access-seed")),
        distribution,
        at("/api/v1/users/auth/_refresh").bearer_auth(token("ece-seed", "access_token")),
    ] {
        assert_eq!(answer(request).await.0, 200);
    }
    let (_, state) = answer(client().get(format!("{}/_admin/state", program.url()))).await;
    let refreshes: Vec<_> =
        state["chains"].as_array().unwrap().iter().map(|chain| chain["refreshes"].as_u64().unwrap()).collect();
    assert_eq!((refreshes, &state["doubleSpends"]), (vec![1, 1, 1, 1], &json!(0)));
}

#[tokio::test]
async fn the_program_writes_its_authority_and_takes_its_options() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let options = ["--tls", "--ca-file", file.to_str().unwrap(), "--rotation", "reusable", "--expires-in", "text", "--seed", "5"];
    let program = Program::start(&options);
    client();
    let ca = reqwest::Certificate::from_pem(&std::fs::read(&file).unwrap()).unwrap();
    let trusting = Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let form = [("grant_type", "refresh_token".to_owned()), ("refresh_token", program.value("oauth2-seed", "refresh_token"))];
    for _ in 0..2 {
        let request = trusting.post(format!("{}/oauth2/token", program.url()));
        let (status, body) = answer(request.basic_auth("ci-client", Some("client-secret")).form(&form)).await;
        assert_eq!((status.as_u16(), &body["refresh_token"], &body["expires_in"]), (200, &Value::Null, &json!("3600")));
    }
    let again = Program::start(&options);
    assert_eq!(again.value("oauth2-seed", "refresh_token"), program.value("oauth2-seed", "refresh_token"));
}
