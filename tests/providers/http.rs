//! The declared provider: requests byte for byte, pointers, expiries, error rules, and answers that mean harm.
//!
//! The examples of `examples/manifests` are read from there. Recorded replies name their source; tokens in them are made up.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use refreshable_token_operator::api::{ProviderSpec, RefreshableToken, RequestSpec, validate};
use refreshable_token_operator::provider::{
    Class, Method, Provider, RefreshInput, RequestError, Semantics, StepResults, TokenRequest,
};
use refreshable_token_operator::token::{AccessToken, HeldTokens, Login, RefreshToken, SecretText, TokenSet};
use serde_json::{Value, json};

use super::{at, held, jwt, reply, secret, sent};

/// A declaration that is as small as can be, changed by a merge patch.
pub fn declared(change: &Value) -> Value {
    let mut spec = json!({
        "request": {"url": "https://api.example.com/token", "auth": {"bearer": "RefreshToken"}},
        "reply": {"accessToken": "/access", "refreshToken": "/refresh"},
        "semantics": {"rotation": "Strict"},
    });
    json_patch::merge(&mut spec, change);
    spec
}

fn provider(change: &Value) -> Provider {
    let spec: ProviderSpec = serde_json::from_value(json!({"http": declared(change)})).unwrap();
    Provider::new(spec, RequestSpec::default())
}

fn login() -> Login {
    let named =
        [("user", "ci"), ("password", "p:a ß"), ("key", "k\"&=+é"), ("plain", "k-1"), ("broken", "a\r\nX: y"), ("empty", "")];
    let named = named.into_iter().map(|(key, value)| (key.to_owned(), SecretText::new(value))).collect();
    Login { named, ..Login::default() }
}

fn request(change: &Value, held: &HeldTokens) -> Result<TokenRequest, RequestError> {
    provider(change).request(&RefreshInput {
        held,
        login: &login(),
        now: sent(),
        attempt: "attempt-1",
        results: &StepResults::default(),
    })
}

/// Header fields as they would be sent.
pub fn headers(request: &TokenRequest) -> Vec<(&str, &str)> {
    request.headers.iter().map(|(name, value)| (name.as_ref(), value.reveal())).collect()
}

fn read(change: &Value, status: u16, body: impl AsRef<[u8]>) -> Result<TokenSet, Class> {
    provider(change).read(&reply(status, body), sent()).map_err(|error| error.class)
}

// ---------------------------------------------------------------- requests

#[test]
fn every_part_of_a_request_is_encoded_for_its_place() {
    let form = request(
        &json!({"request": {"method": "PATCH", "url": "https://api.example.com/t?x=a%20b",
            "headers": [{"name": "Accept", "value": "text/json; q=1"}, {"name": "X-Key", "seedKey": "plain"},
                {"name": "Idempotency-Key", "from": "AttemptID"}],
            "fields": [{"name": "grant type", "value": "refresh&x=y"}, {"name": "t", "from": "RefreshToken"},
                {"name": "a", "from": "AccessToken"}, {"name": "k", "seedKey": "key"}]}}),
        &held(),
    )
    .unwrap();
    assert_eq!((form.method, form.url.as_str()), (Method::Patch, "https://api.example.com/t?x=a%20b"));
    let expected =
        [("authorization", "Bearer RT+1/=&"), ("Accept", "text/json; q=1"), ("X-Key", "k-1"), ("Idempotency-Key", "attempt-1")];
    assert_eq!(headers(&form), expected);
    let body = form.body.unwrap();
    assert_eq!(body.content_type, "application/x-www-form-urlencoded");
    assert_eq!(body.content.reveal(), "grant+type=refresh%26x%3Dy&t=RT%2B1%2F%3D%26&a=AT-1&k=k%22%26%3D%2B%C3%A9");
}

#[test]
fn a_json_body_is_one_object_whatever_its_values_hold() {
    let change = json!({"request": {"auth": {"bearer": null, "basic": {"usernameKey": "user", "passwordKey": "password"}}, "encoding": "JSON",
        "fields": [{"name": "t\"", "from": "RefreshToken"}, {"name": "k", "seedKey": "key"},
            {"name": "ttl", "value": "3600", "jsonType": "Number"}, {"name": "text", "value": "3600"},
            {"name": "on", "value": "true", "jsonType": "Boolean"}]}});
    let sent = request(&change, &held()).unwrap();
    let basic = format!("Basic {}", STANDARD.encode("ci:p:a ß"));
    assert_eq!(headers(&sent), [("accept", "application/json"), ("authorization", basic.as_str())]);
    let body = sent.body.unwrap();
    assert_eq!(body.content_type, "application/json");
    let read: Value = serde_json::from_str(body.content.reveal()).unwrap();
    assert_eq!(read, json!({"t\"": "RT+1/=&", "k": "k\"&=+é", "ttl": 3600, "text": "3600", "on": true}));
}

#[test]
fn a_header_can_carry_the_token_with_a_word_before_it() {
    let rows = [
        (json!({"name": "PRIVATE-TOKEN", "from": "RefreshToken"}), ("PRIVATE-TOKEN", "RT+1/=&")),
        (json!({"name": "Authorization", "prefix": "ApiKey", "seedKey": "plain"}), ("Authorization", "ApiKey k-1")),
    ];
    for (header, expected) in rows {
        let sent = request(&json!({"request": {"auth": {"bearer": null, "header": header}}}), &held()).unwrap();
        assert_eq!(headers(&sent), [("accept", "application/json"), expected]);
        assert!(sent.body.is_none() && sent.method == Method::Post);
    }
}

#[test]
fn what_is_missing_or_cannot_be_sent_is_named_and_nothing_is_sent() {
    let none = HeldTokens::default();
    let broken = |text: &str| HeldTokens { refresh_token: Some(RefreshToken::new(text)), ..held() };
    let field = |field: Value| json!({"request": {"fields": [field]}});
    let header = |header: Value| json!({"request": {"headers": [header]}});
    let key = |key: &str| RequestError::KeyNotSendable(key.to_owned());
    let long = "x".repeat(64 * 1024 + 1);
    let rows = [
        (json!({}), &none, RequestError::Missing("refresh_token (seed or state Secret)")),
        (json!({}), &broken(""), RequestError::Missing("refresh_token (seed or state Secret)")),
        (json!({}), &broken("a\r\nb"), RequestError::NotSendable("refresh_token")),
        (json!({}), &broken("a b"), RequestError::NotSendable("refresh_token")),
        (json!({}), &broken(&long), RequestError::NotSendable("refresh_token")),
        (field(json!({"name": "t", "from": "RefreshToken"})), &broken("a\nb"), RequestError::NotSendable("refresh_token")),
        (
            field(json!({"name": "t", "from": "AccessToken"})),
            &HeldTokens { access_token: None, ..held() },
            RequestError::Missing("access_token (seed or state Secret)"),
        ),
        (field(json!({"name": "k", "seedKey": "gone"})), &held(), RequestError::MissingKey("gone".into())),
        (field(json!({"name": "k", "seedKey": "empty"})), &held(), RequestError::MissingKey("empty".into())),
        (field(json!({"name": "k", "seedKey": "broken"})), &held(), key("broken")),
        (header(json!({"name": "X-K", "seedKey": "broken"})), &held(), key("broken")),
        (header(json!({"name": "X-K", "seedKey": "key"})), &held(), key("key")),
        // What the CRD refuses.
        (
            field(json!({"name": "k"})),
            &held(),
            RequestError::Declared("a value needs exactly one of value, from, seedKey and fromResult"),
        ),
        (
            field(json!({"name": "k", "value": "v", "seedKey": "key"})),
            &held(),
            RequestError::Declared("a value needs exactly one of value, from, seedKey and fromResult"),
        ),
        (
            header(json!({"name": "X", "value": "a\r\nb"})),
            &held(),
            RequestError::Declared("a value holds a character that its place does not allow"),
        ),
    ];
    for (row, (change, held, expected)) in rows.into_iter().enumerate() {
        let mut change = change;
        if change["request"]["fields"].is_array() {
            change["request"]["auth"] = Value::Null;
        }
        assert_eq!(request(&change, held), Err(expected), "row {row}");
    }
    let basic = json!({"request": {"auth": {"bearer": null, "basic": {"usernameKey": "password", "passwordKey": "user"}}}});
    assert_eq!(request(&basic, &held()), Err(key("password")), "a colon would end a user name");
}

#[test]
fn semantics_are_as_declared() {
    let rows = [
        (json!({"rotation": "Strict"}), Semantics::SingleUse),
        (json!({"rotation": "Grace", "graceSeconds": 30}), Semantics::Grace(std::time::Duration::from_secs(30))),
        (json!({"rotation": "IdempotencyKey"}), Semantics::IdempotencyKey),
        (json!({"rotation": "Reusable"}), Semantics::Reusable),
        (json!({"rotation": "RenewsItself"}), Semantics::RenewsItself),
        (json!({"rotation": "Reissue"}), Semantics::Reissue),
        // Refused by the CRD; read as the strict case.
        (json!({"rotation": "Grace"}), Semantics::SingleUse),
        (json!({"rotation": "Grace", "graceSeconds": 0}), Semantics::SingleUse),
    ];
    for (semantics, expected) in rows {
        assert_eq!(provider(&json!({"semantics": semantics})).semantics(), expected);
    }
    assert!(provider(&json!({})).keeps_omitted_refresh_token());
    assert!(provider(&json!({"reply": {"onMissingRefreshToken": "Keep"}})).keeps_omitted_refresh_token());
    assert!(!provider(&json!({"reply": {"onMissingRefreshToken": "EndChain"}})).keeps_omitted_refresh_token());
}

// ---------------------------------------------------------------- tokens

#[test]
fn an_answer_is_read_at_its_pointers() {
    let change = json!({"reply": {"accessToken": "/a~1b/0/x~0y", "refreshToken": "/r//0", "tokenID": "/id", "scope": "/s",
        "subject": "/who/name", "refreshExpiry": {"pointer": "/left", "format": "Seconds"}}});
    let body = json!({"a/b": [{"x~y": "AT-2"}], "r": {"": ["RT-2"]}, "id": 34992, "s": ["api", "self_rotate"],
        "who": {"name": "ci"}, "left": "60"});
    let expected = TokenSet {
        access_token: Some(AccessToken::new("AT-2")),
        refresh_token: Some(RefreshToken::new("RT-2")),
        refresh_token_expiration_time: at(60),
        token_id: Some("34992".into()),
        scope: Some("api self_rotate".into()),
        subject: Some("ci".into()),
        ..TokenSet::default()
    };
    assert_eq!(read(&change, 200, body.to_string()), Ok(expected));
}

#[test]
fn the_end_of_a_token_is_read_in_each_form() {
    let never = 100 * 365 * 86_400;
    let now = sent().timestamp();
    let live = jwt(&json!({"iat": now, "exp": now + 600}));
    let rows: &[(&str, Value, Option<i64>)] = &[
        ("Seconds", json!(3600), Some(3600)),
        ("Seconds", json!(" 3600.9 "), Some(3600)),
        ("Seconds", json!(0), None),
        ("Seconds", json!(-1), None),
        ("Seconds", json!(0.4), None),
        ("Seconds", json!(1e308), Some(never)),
        ("Seconds", json!(u64::MAX), Some(never)),
        ("Seconds", json!("NaN"), None),
        ("Seconds", json!("inf"), None),
        ("Seconds", json!(true), None),
        ("Seconds", json!([3600]), None),
        ("Seconds", json!({"s": 3600}), None),
        ("Seconds", Value::Null, None),
        ("RFC3339", json!("2018-06-27T13:39:15.000+02:00"), Some(60)),
        ("RFC3339", json!("9999-12-31T23:59:59Z"), Some(never)),
        ("RFC3339", json!("2018-06-27"), None),
        ("RFC3339", json!(1_530_099_555), None),
        // The beginning of the day, 12 h 21 min 45 s away.
        ("Date", json!("2018-06-28"), Some(44_505)),
        ("Date", json!("2018-06-27"), Some(-41_895)),
        ("Date", json!("2018-02-30"), None),
        ("Date", json!("28.06.2018"), None),
        ("Date", json!("2018-06-28T00:00:00Z"), None),
        ("Date", json!("+262000-01-01"), Some(never)),
        ("UnixSeconds", json!(now + 60), Some(60)),
        ("UnixSeconds", json!(1_530_099_555.987), Some(60)),
        ("UnixSeconds", json!("1530099555"), Some(60)),
        ("UnixSeconds", json!(0), None),
        ("UnixSeconds", json!(-5), None),
        ("UnixSeconds", json!(1e300), Some(never)),
        ("UnixSeconds", json!("2018-06-27T11:39:15Z"), None),
        ("UnixMilliseconds", json!((now + 60) * 1000), Some(60)),
        ("UnixMilliseconds", json!("1530099555000"), Some(60)),
        ("UnixMilliseconds", json!(1e308), Some(never)),
    ];
    for (format, value, expected) in rows {
        let change = json!({"reply": {"expiry": {"pointer": "/end", "format": format}}});
        let set = read(&change, 200, json!({"access": "AT-2", "end": value}).to_string()).unwrap();
        assert_eq!(set.expiration_time, expected.and_then(at), "{format} {value}");
        // What the answer does not say, a JWT may.
        let set = read(&change, 200, json!({"access": live, "end": value}).to_string()).unwrap();
        assert_eq!(set.expiration_time, expected.or(Some(600)).and_then(at), "{format} {value}");
    }
    // Without a pointer: the JWT, or nothing.
    assert_eq!(read(&json!({}), 200, json!({"access": live}).to_string()).unwrap().expiration_time, at(600));
    assert_eq!(read(&json!({}), 200, json!({"access": "AT-2"}).to_string()).unwrap().expiration_time, None);
    // At the ends of time nothing overflows.
    for now in [DateTime::<chrono::Utc>::MIN_UTC, DateTime::<chrono::Utc>::MAX_UTC] {
        for format in ["Seconds", "UnixSeconds", "UnixMilliseconds", "Date", "RFC3339"] {
            let provider = provider(&json!({"reply": {"expiry": {"pointer": "/end", "format": format}}}));
            for end in [json!(1e308), json!(1), json!("2018-06-28"), json!("2018-06-27T11:39:15Z")] {
                assert!(provider.read(&reply(200, json!({"access": "AT-2", "end": end}).to_string()), now).is_ok());
            }
        }
    }
}

#[test]
fn hostile_answers_are_unknown_and_drop_no_token() {
    let deep = format!(r#"{{"access":"AT-2","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        r#""AT-2""#,
        "<html>login</html>",
        r#"{"access":"AT-2""#,
        r#"{"access":"AT-2"}x"#,
        r#"{"access":"AT-2","access":"AT-3"}"#,
        r#"{"access":"AT-2","refresh":"RT-2","x":{"a":1,"a":2}}"#,
        r#"{"access":"AT-2","x":[{"a":{"b":1,"b":1}}]}"#,
        r#"{"access":"AT-2","n":1e400}"#,
        r#"{"access":"AT-2","n":NaN}"#,
        r#"{"access":7,"refresh":"RT-2"}"#,
        r#"{"access":{"value":"AT-2"}}"#,
        r#"{"access":"AT-2","refresh":["RT-2"]}"#,
        r#"{"access":"AT-2","refresh":false}"#,
        r#"{"access":"","refresh":null}"#,
        deep.as_str(),
    ];
    let errors =
        json!({"reply": {"errors": [{"status": 500, "class": "Transient"}, {"pointer": "/never", "class": "Transient"}]}});
    for body in bodies {
        for rotation in ["Strict", "Reusable"] {
            let mut change = errors.clone();
            change["semantics"] = json!({"rotation": rotation});
            assert_eq!(read(&change, 200, body), Err(Class::Unknown), "{body:.80}");
            assert_eq!(read(&change, 201, body), Err(Class::Unknown), "{body:.80}");
        }
    }
    // Exactly as granted, control characters and quotes included; one token without the other.
    let odd = "a\0b\n\"'\\ é";
    let set = read(&json!({}), 200, json!({"access": odd, "refresh": odd}).to_string()).unwrap();
    assert_eq!((set.access_token, set.refresh_token), (Some(AccessToken::new(odd)), Some(RefreshToken::new(odd))));
    let set = read(&json!({}), 200, r#"{"access":null,"refresh":"RT-2"}"#).unwrap();
    assert_eq!((set.access_token, set.refresh_token), (None, Some(RefreshToken::new("RT-2"))));
}

#[test]
fn what_is_shown_in_status_is_short_plain_and_holds_no_token() {
    let change = json!({"reply": {"tokenID": "/t", "scope": "/t", "subject": "/t"}});
    let long = "x".repeat(1025);
    for text in [
        json!(long),
        json!("two\nlines"),
        json!("AT-2"),
        json!("Bearer RT-2"),
        json!(["a", "AT-2"]),
        json!(""),
        json!({}),
        json!([1]),
        json!(1.5),
    ] {
        let set = read(&change, 200, json!({"access": "AT-2", "refresh": "RT-2", "t": text}).to_string()).unwrap();
        assert_eq!((set.token_id, set.scope, set.subject), (None, None, None), "{text}");
    }
}

// ---------------------------------------------------------------- success and errors

#[test]
fn success_is_what_the_manifest_says() {
    let tokens = |ok: Value| json!({"ok": ok, "access": "AT-2", "refresh": "RT-2"}).to_string();
    let require = |check: Value| json!({"reply": {"success": {"statuses": [202], "require": [check]}}});
    let rows = [
        (json!({"pointer": "/ok"}), json!(false), true),
        (json!({"pointer": "/ok"}), Value::Null, false),
        (json!({"pointer": "/gone"}), json!(true), false),
        (json!({"pointer": "/ok", "equals": "true"}), json!(true), true),
        (json!({"pointer": "/ok", "equals": "true"}), json!("true"), true),
        (json!({"pointer": "/ok", "equals": "true"}), json!(false), false),
        (json!({"pointer": "/ok", "equals": "1"}), json!(1), true),
        (json!({"pointer": "/ok", "equals": "1"}), json!(1.5), false),
        (json!({"pointer": "/ok", "equals": "null"}), Value::Null, false),
        (json!({"pointer": "/ok", "equals": "[]"}), json!([]), false),
    ];
    for (check, ok, good) in rows {
        let read = read(&require(check.clone()), 202, tokens(ok.clone()));
        // Tokens that came without what shall be there are kept for a person to look at.
        assert_eq!(read.is_ok(), good, "{check} {ok}");
        assert!(good || read == Err(Class::Unknown), "{check} {ok}");
    }
    // Tokens with a status that is not one of success.
    for status in [200, 201, 203, 301, 302] {
        assert_eq!(read(&require(json!({"pointer": "/ok"})), status, tokens(json!(true))), Err(Class::Unknown), "{status}");
    }
    assert!(read(&json!({}), 201, tokens(json!(true))).is_ok());
}

#[test]
fn the_first_rule_that_fits_says_what_an_error_proves() {
    use Class::{ChainOver, Configuration, Throttled, Transient, Unknown};
    let errors = json!({"reply": {"errors": [
        {"status": 400, "pointer": "/error", "equals": "busy", "class": "Throttled"},
        {"status": 400, "pointer": "/error", "class": "ChainOver"},
        {"pointer": "/error/code", "equals": "7", "class": "Configuration"},
        {"pointer": "/error", "equals": "spent", "class": "ChainOver"},
        {"status": 503, "class": "Transient"},
        {"status": 404, "class": "Unknown"},
        // A status of success alone proves nothing; the CRD refuses the rule.
        {"status": 200, "class": "Configuration"},
        {"class": "Configuration"},
    ]}});
    let rows = [
        (400, r#"{"error":"busy"}"#, Throttled),
        (400, r#"{"error":"else"}"#, ChainOver),
        (400, r#"{"error":null}"#, Unknown),
        (400, r#"{"error":{"code":7}}"#, ChainOver),
        (409, r#"{"error":{"code":7}}"#, Configuration),
        (409, r#"{"error":{"code":8}}"#, Unknown),
        (401, r#"{"error":"spent"}"#, ChainOver),
        // GitHub and Slack refuse with a status of success.
        (200, r#"{"error":"spent"}"#, ChainOver),
        (200, r#"{"error":"else"}"#, Unknown),
        // A server that failed proves only what is listed with its status.
        (500, r#"{"error":"spent"}"#, Unknown),
        (503, "<html>", Transient),
        (404, "", Unknown),
        // Two names: neither counts.
        (400, r#"{"error":"busy","error":"spent"}"#, Unknown),
        // Not listed: what HTTP says.
        (401, "", Configuration),
        (405, "", Configuration),
        (429, "", Throttled),
        (302, "", Unknown),
        (418, "", Unknown),
        (502, "", Unknown),
        (204, "", Unknown),
    ];
    for (status, body, expected) in rows {
        assert_eq!(read(&errors, status, body), Err(expected), "{status} {body}");
    }
    // A token in the answer is no refusal, whatever else it says.
    assert!(read(&errors, 200, r#"{"error":"spent","access":"AT-2"}"#).is_ok());
}

#[test]
fn unlisted_failures_are_unknown_where_a_token_is_spent_and_repeated_where_not() {
    for rotation in ["Strict", "Grace", "IdempotencyKey", "Reusable", "RenewsItself"] {
        let change = json!({"semantics": {"rotation": rotation, "graceSeconds": (rotation == "Grace").then_some(30)}});
        let spends = provider(&change).semantics().spends();
        for status in (500..600).chain([408]) {
            let expected = if spends { Class::Unknown } else { Class::Transient };
            assert_eq!(read(&change, status, "x"), Err(expected), "{rotation} {status}");
        }
        for status in [300, 302, 307, 400, 402, 409, 499] {
            let expected = if spends { Class::Unknown } else { Class::Configuration };
            assert_eq!(read(&change, status, "x"), Err(expected), "{rotation} {status}");
        }
        for status in [100, 202, 204, 299, 600, 999] {
            assert_eq!(read(&change, status, "x"), Err(Class::Unknown), "{rotation} {status}");
        }
    }
    let mut busy = reply(503, "");
    busy.headers.push(("retry-after".into(), "120".into()));
    let error = provider(&json!({"reply": {"errors": [{"status": 503, "class": "Transient"}]}})).read(&busy, sent()).unwrap_err();
    assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(120)));
}

// ---------------------------------------------------------------- revocation

#[test]
fn a_revocation_is_sent_and_read_as_declared() {
    let revoke = |statuses: Value| {
        json!({"revoke": {"statuses": statuses, "request": {"method": "DELETE",
        "url": "https://api.example.com/self", "auth": {"bearer": "AccessToken"}}},
        "reply": {"errors": [{"status": 403, "pointer": "/gone", "class": "ChainOver"}]}})
    };
    let (held, login) = (held(), login());
    let input = RefreshInput { held: &held, login: &login, now: sent(), attempt: "", results: &StepResults::default() };
    assert!(provider(&json!({})).revocation(&input).is_none());
    let sent_request = provider(&revoke(Value::Null)).revocation(&input).unwrap().unwrap();
    assert_eq!((sent_request.method, sent_request.url.as_str()), (Method::Delete, "https://api.example.com/self"));
    assert_eq!(headers(&sent_request), [("accept", "application/json"), ("authorization", "Bearer AT-1")]);
    assert!(provider(&revoke(Value::Null)).revocation(&RefreshInput { held: &HeldTokens::default(), ..input }).is_none());

    let rows = [
        (Value::Null, 200, "", None),
        (Value::Null, 204, "", None),
        (json!([202]), 202, "", None),
        (json!([202]), 204, "", Some(Class::Configuration)),
        (Value::Null, 403, r#"{"gone":true}"#, None),
        (Value::Null, 403, "", Some(Class::Configuration)),
        (Value::Null, 503, "", Some(Class::Transient)),
        (Value::Null, 429, "", Some(Class::Throttled)),
    ];
    for (statuses, status, body, expected) in rows {
        let read = provider(&revoke(statuses)).read_revocation(&reply(status, body), sent());
        assert_eq!(read.err().map(|error| error.class), expected, "{status} {body}");
    }
}

// ---------------------------------------------------------------- the examples

/// The object of an example.
pub fn example(text: &str) -> RefreshableToken {
    let object = text.split("\n---\n").last().unwrap();
    let written: Value = serde_saphyr::from_str(object).unwrap();
    let read: RefreshableToken = serde_saphyr::from_str(object).unwrap();
    // What is not a field is dropped silently by decoding.
    assert_eq!(serde_json::to_value(&read.spec).unwrap(), written["spec"], "a field is unknown or misspelt");
    validate(read.metadata.name.as_deref().unwrap(), &read.spec).unwrap();
    let seed: Value = serde_saphyr::from_str(text.split("\n---\n").next().unwrap()).unwrap();
    assert_eq!(seed["metadata"]["name"], read.spec.credential.seed_secret_ref.name.as_str());
    read
}

const VAULT: &str = include_str!("../../examples/manifests/vault-renew-self.yaml");
const GITLAB: &str = include_str!("../../examples/manifests/gitlab-personal-access-token.yaml");
const POCKETBASE: &str = include_str!("../../examples/manifests/pocketbase-auth-refresh.yaml");

struct Recorded {
    provider: Provider,
}

impl Recorded {
    fn new(text: &str) -> Self {
        Self { provider: Provider::new(example(text).spec.provider.unwrap(), RequestSpec::default()) }
    }

    fn sends(&self) -> Told {
        let (held, login) = (held(), Login::default());
        let input = RefreshInput { held: &held, login: &login, now: sent(), attempt: "", results: &StepResults::default() };
        told(&self.provider.request(&input).unwrap())
    }

    fn revokes(&self) -> Option<Told> {
        let (held, login) = (held(), Login::default());
        let input = RefreshInput { held: &held, login: &login, now: sent(), attempt: "", results: &StepResults::default() };
        self.provider.revocation(&input).map(|request| told(&request.unwrap()))
    }

    fn read(&self, status: u16, body: &str) -> Result<TokenSet, Class> {
        self.provider.read(&reply(status, body), sent()).map_err(|error| error.class)
    }
}

/// Method, URL and header fields of a request without a body.
type Told = (Method, String, Vec<(String, String)>);

fn told(request: &TokenRequest) -> Told {
    assert!(request.body.is_none());
    let headers = headers(request).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (request.method, request.url.clone(), headers)
}

/// What is sent: JSON is asked for, and one header field holds the token.
fn one(method: Method, url: &str, header: (&str, &str)) -> Told {
    let headers = [("accept", "application/json"), header];
    (method, url.to_owned(), headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

/// Answers of OpenBao 2.7.2 to POST /v1/auth/token/renew-self, recorded.
#[test]
fn vault_as_recorded() {
    let vault = Recorded::new(VAULT);
    let base = "https://vault.example.com:8200/v1/auth/token";
    assert_eq!(vault.provider.semantics(), Semantics::RenewsItself);
    assert_eq!(vault.sends(), one(Method::Post, &format!("{base}/renew-self"), ("X-Vault-Token", "AT-1")));
    assert_eq!(vault.revokes(), Some(one(Method::Post, &format!("{base}/revoke-self"), ("X-Vault-Token", "AT-1"))));
    let renewed = |life: u32, warnings: Value| {
        json!({"request_id": "be684e18-dd83-bb29-e6fc-21643deb49b1", "lease_id": "", "renewable": false, "lease_duration": 0,
            "data": null, "wrap_info": null, "warnings": warnings, "auth": {"client_token": "s.AT-1", "accessor": "ROtnxNf1k5cr47Jc",
            "policies": ["default", "ci"], "token_policies": ["default", "ci"], "metadata": null, "lease_duration": life, "renewable": true,
            "entity_id": "", "token_type": "service", "orphan": true, "mfa_requirement": null, "num_uses": 0}})
        .to_string()
    };
    let expected = TokenSet {
        access_token: Some(AccessToken::new("s.AT-1")),
        expiration_time: at(30),
        token_id: Some("ROtnxNf1k5cr47Jc".into()),
        scope: Some("default ci".into()),
        ..TokenSet::default()
    };
    assert_eq!(vault.read(200, &renewed(30, Value::Null)), Ok(expected.clone()));
    // Near its end the life shrinks.
    let capped = json!(["TTL of \"20s\" exceeded the effective max_ttl of \"6s\"; TTL value is capped accordingly"]);
    assert_eq!(vault.read(200, &renewed(6, capped)), Ok(TokenSet { expiration_time: at(6), ..expected }));
    let rows = [
        (403, r#"{"errors":["permission denied"]}"#, Class::ChainOver),
        // A policy that does not let the token renew itself.
        (403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, Class::Configuration),
        (400, r#"{"errors":["lease is not renewable"]}"#, Class::Configuration),
        (404, r#"{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}"#, Class::Configuration),
        (503, r#"{"errors":["Vault is sealed"]}"#, Class::Transient),
    ];
    for (status, body, class) in rows {
        assert_eq!(vault.read(status, body), Err(class), "{status} {body}");
    }
    // Revoked before.
    let gone = reply(403, r#"{"errors":["permission denied"]}"#);
    assert_eq!(vault.provider.read_revocation(&gone, sent()), Ok(()));
    assert_eq!(vault.provider.read_revocation(&reply(204, ""), sent()), Ok(()));
}

/// GitLab: the answer as in gitlab.com issue 426779 and the page "Personal access tokens API", refusals as in `lib/api/api_guard.rb`
/// and `lib/api/helpers.rb` of its source.
#[test]
fn gitlab_as_recorded() {
    let gitlab = Recorded::new(GITLAB);
    let own = "https://gitlab.example.com/api/v4/personal_access_tokens/self";
    assert_eq!(gitlab.provider.semantics(), Semantics::SingleUse);
    assert_eq!(gitlab.sends(), one(Method::Post, &format!("{own}/rotate"), ("PRIVATE-TOKEN", "RT+1/=&")));
    assert_eq!(gitlab.revokes(), Some(one(Method::Delete, own, ("PRIVATE-TOKEN", "RT+1/=&"))));
    let rotated = json!({"id": 34992, "name": "testrotation", "revoked": false, "created_at": "2018-06-27T11:38:15.907Z",
        "scopes": ["api"], "user_id": 43793, "last_used_at": null, "active": true, "expires_at": "2018-07-04", "token": "glpat-2"});
    let expected = TokenSet {
        access_token: Some(AccessToken::new("glpat-2")),
        refresh_token: Some(RefreshToken::new("glpat-2")),
        expiration_time: Some("2018-07-04T00:00:00Z".parse().unwrap()),
        token_id: Some("34992".into()),
        scope: Some("api".into()),
        ..TokenSet::default()
    };
    for status in [200, 201] {
        assert_eq!(gitlab.read(status, &rotated.to_string()), Ok(expected.clone()));
    }
    let rows = [
        (
            401,
            r#"{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}"#,
            Class::ChainOver,
        ),
        (
            401,
            r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#,
            Class::ChainOver,
        ),
        // Said of a token that is not known, and of one that may not.
        (401, r#"{"message":"401 Unauthorized"}"#, Class::Configuration),
        (403, r#"{"error":"insufficient_scope","error_description":"x","scope":"api"}"#, Class::Configuration),
        (405, r#"{"message":"405 Method Not Allowed"}"#, Class::Configuration),
        (429, "Retry later\n", Class::Throttled),
        (400, r#"{"message":"400 Bad request"}"#, Class::Unknown),
        (500, r#"{"message":"500 Internal Server Error"}"#, Class::Unknown),
        (502, "<html>", Class::Unknown),
    ];
    for (status, body, class) in rows {
        assert_eq!(gitlab.read(status, body), Err(class), "{status} {body}");
    }
}

/// Answers of PocketBase 0.40.6 to POST /api/collections/…/auth-refresh, recorded; the token's signature is not.
#[test]
fn pocketbase_as_recorded() {
    let pocketbase = Recorded::new(POCKETBASE);
    let url = "https://pocketbase.example.com/api/collections/users/auth-refresh";
    assert_eq!(pocketbase.provider.semantics(), Semantics::RenewsItself);
    assert_eq!(pocketbase.sends(), one(Method::Post, url, ("authorization", "Bearer AT-1")));
    assert_eq!(pocketbase.revokes(), None);
    let token = jwt(&json!({"collectionId": "pbc_3142635823", "exp": sent().timestamp() + 30, "id": "ndxo338fgf0uw06",
        "refreshable": true, "type": "auth"}));
    let record = json!({"record": {"collectionId": "pbc_3142635823", "collectionName": "users", "created": "2026-11-28 15:22:24.703Z",
        "email": "a@example.com", "emailVisibility": false, "id": "ndxo338fgf0uw06", "updated": "2026-11-28 15:22:24.703Z",
        "verified": true}, "token": token});
    let expected = TokenSet {
        access_token: Some(AccessToken::new(token.as_str())),
        expiration_time: sent().checked_add_signed(TimeDelta::seconds(30)),
        subject: Some("ndxo338fgf0uw06".into()),
        ..TokenSet::default()
    };
    assert_eq!(pocketbase.read(200, &record.to_string()), Ok(expected));
    let refusal = r#"{"data":{},"message":"The request requires valid record authorization token.","status":401}"#;
    let rows = [
        (401, refusal, Class::ChainOver),
        (401, "<html>", Class::Configuration),
        (404, r#"{"data":{},"message":"Missing or invalid collection context.","status":404}"#, Class::Configuration),
        (502, "", Class::Transient),
    ];
    for (status, body, class) in rows {
        assert_eq!(pocketbase.read(status, body), Err(class), "{status} {body}");
    }
}

// ---------------------------------------------------------------- properties

/// A JSON Pointer to a path (RFC 6901 sections 3 and 4).
fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect::<Vec<_>>().concat()
}

fn valid(change: &Value) -> bool {
    let spec = json!({"provider": {"http": declared(change)}, "credential": {"seedSecretRef": {"name": "seed"}},
        "outputs": [{"secretName": "out", "opaque": {}}]});
    validate("token", &serde_json::from_value(spec).unwrap()).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pointer_finds_what_its_path_names_and_nothing_else(
        path in prop::collection::vec("[a-z~/0-9é \"]{0,6}", 1..5), other in prop::collection::vec("[a-z~/0-9]{0,6}", 1..5),
        token in "[ -~]{1,20}",
    ) {
        let at = |path: &[String], leaf: Value| path.iter().rev().fold(leaf, |inner, name| json!({ name.as_str(): inner }));
        let change = json!({"reply": {"accessToken": pointer(&path)}});
        prop_assert!(valid(&change), "{}", pointer(&path));
        let body = at(&path, json!(token)).to_string();
        let set = read(&change, 200, &body);
        prop_assert_eq!(set.map(|set| set.access_token), Ok(Some(AccessToken::new(token.as_str()))));
        if path != other {
            let elsewhere = at(&other, json!(token)).to_string();
            prop_assert_eq!(read(&change, 200, elsewhere), Err(Class::Unknown));
        }
    }

    #[test]
    fn any_text_is_a_pointer_or_refused_and_neither_panics(text in "[/~01a-z.#\\n\u{e9}-]{0,12}", body in ".{0,40}") {
        let change = json!({"reply": {"accessToken": text}});
        let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        prop_assert_eq!(valid(&change), text.starts_with('/') && escapes && !text.contains('\n'), "{:?}", text);
        let _ = read(&change, 200, body);
    }

    #[test]
    fn no_value_breaks_out_of_its_place(
        token in "\\PC{1,40}", key in prop::collection::vec("[\\PC]{1,8}", 1..4), json in any::<bool>(),
    ) {
        let names: BTreeSet<String> = key.into_iter().collect();
        let fields: Vec<_> = names.iter().map(|name| json!({"name": name, "from": "RefreshToken"})).collect();
        let encoding = if json { "JSON" } else { "Form" };
        let change = json!({"request": {"auth": null, "encoding": encoding, "fields": fields}});
        let held = HeldTokens { refresh_token: Some(RefreshToken::new(token.as_str())), ..held() };
        let sent = request(&change, &held).unwrap();
        prop_assert_eq!(headers(&sent), [("accept", "application/json")]);
        let body = sent.body.unwrap();
        // Read back by another parser: as many fields as were declared, each with the whole token.
        let read: Vec<(String, String)> = if json {
            let object: serde_json::Map<String, Value> = serde_json::from_str(body.content.reveal()).unwrap();
            object.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
        } else {
            url::form_urlencoded::parse(body.content.reveal().as_bytes()).into_owned().collect()
        };
        prop_assert_eq!(read, names.into_iter().map(|name| (name, token.clone())).collect::<Vec<_>>());
    }

    #[test]
    fn a_header_value_is_sent_whole_or_not_at_all(token in "[\\x00-\\x7f\u{e9}]{1,20}", bearer in any::<bool>()) {
        let auth = if bearer { json!({"bearer": "RefreshToken"}) } else { json!({"bearer": null, "header": {"name": "X-T", "from": "RefreshToken"}}) };
        let held = HeldTokens { refresh_token: Some(RefreshToken::new(token.as_str())), ..held() };
        let sent = request(&json!({"request": {"auth": auth}}), &held);
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let sent = sent.unwrap();
            let expected = if bearer { format!("Bearer {token}") } else { token };
            prop_assert_eq!(headers(&sent).last().map(|(_, value)| *value), Some(expected.as_str()));
        } else {
            prop_assert_eq!(sent, Err(RequestError::NotSendable("refresh_token")));
        }
    }

    #[test]
    fn nothing_that_is_held_or_answered_is_printed(canary in "[A-Za-z0-9+/&=%]{24,40}", status in 100_u16..600, granted in any::<bool>()) {
        let named = [("key".to_owned(), SecretText::new(canary.as_str()))].into();
        let login = Login { named, password: secret(&canary), ..Login::default() };
        let held = HeldTokens { refresh_token: Some(RefreshToken::new(canary.as_str())), ..held() };
        let change = json!({"request": {"headers": [{"name": "X-Key", "seedKey": "key"}],
            "fields": [{"name": "t", "from": "RefreshToken"}]}, "reply": {"scope": "/error", "tokenID": "/error", "errors": [
            {"pointer": "/error", "class": "ChainOver"}]}});
        let built = provider(&change).request(&RefreshInput { held: &held, login: &login, now: sent(), attempt: "", results: &StepResults::default() });
        let bad = Login { named: [("key".to_owned(), SecretText::new(format!("{canary}\n")))].into(), ..Login::default() };
        let refused = provider(&change).request(&RefreshInput { held: &held, login: &bad, now: sent(), attempt: "", results: &StepResults::default() });
        let mut body = json!({"error": canary, "x": canary});
        if granted {
            body["access"] = json!(canary);
        }
        let read = provider(&change).read(&reply(status, body.to_string()), sent());
        let shown = read.as_ref().err().map(ToString::to_string);
        let printed = format!("{built:?} {:?} {refused:?} {:?} {login:?} {read:?} {shown:?}", built.as_ref().map(|built| &built.headers), refused.as_ref().map_err(ToString::to_string));
        for disguise in super::disguises(&canary) {
            prop_assert!(!printed.contains(&disguise), "{}", printed);
        }
    }
}
