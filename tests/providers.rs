//! The token APIs as tables: what a request looks like on the wire, and what a recorded reply proves.
//!
//! Recorded replies name their source; tokens, hosts and signatures in them are made up.

#![allow(clippy::unnecessary_wraps, reason = "the small makers below give what the optional fields take")]

#[path = "providers/http.rs"]
mod http;
#[path = "providers/steps.rs"]
mod steps;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use refreshable_token_operator::api::{ClientAuthentication, Oauth2, ProviderSpec, RequestSpec, Rotation, SpecDuration};
use refreshable_token_operator::provider::{
    Class, Delivery, ElasticCloudEnterprise, JfrogAccess, JfrogDistribution, Lost, Provider, RawBody, RefreshInput, Reply,
    RequestError, Semantics, StepResults, TokenError, TokenRequest,
};
use refreshable_token_operator::token::{AccessToken, HeldTokens, Login, RefreshToken, SecretText, TokenSet};
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Api {
    Access,
    Distribution,
    Ece,
    Oauth2,
}
use Api::{Access, Distribution, Ece};

const ALL: [Api; 4] = [Access, Distribution, Ece, Api::Oauth2];
/// The APIs whose refresh token works once.
const SPENDING: [Api; 3] = [Access, Distribution, Api::Oauth2];

fn spec(api: Api, url: &str) -> ProviderSpec {
    let url = url.to_owned();
    match api {
        Access => ProviderSpec::JfrogAccess(Box::new(JfrogAccess { url, tls: None, proxy: None, timeouts: None })),
        Distribution => {
            ProviderSpec::JfrogDistribution(Box::new(JfrogDistribution { url, tls: None, proxy: None, timeouts: None }))
        }
        Ece => {
            ProviderSpec::ElasticCloudEnterprise(Box::new(ElasticCloudEnterprise { url, tls: None, proxy: None, timeouts: None }))
        }
        Api::Oauth2 => ProviderSpec::Oauth2(Box::new(oauth2(&url))),
    }
}

fn oauth2(url: &str) -> Oauth2 {
    Oauth2 { token_url: url.to_owned(), revocation_url: Some("https://api.example.com/revoke".to_owned()), ..Oauth2::default() }
}

fn provider(api: Api) -> Provider {
    Provider::new(spec(api, "https://api.example.com"), RequestSpec { lifetime: hour(), ..RequestSpec::default() })
}

fn hour() -> Option<SpecDuration> {
    Some(SpecDuration::from_secs(3600))
}

/// 27 June 2018, 11:38:15 UTC: the `iat` of the vendor's JFrog Distribution sample.
fn sent() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_530_099_495)
}

fn at(seconds: i64) -> Option<DateTime<Utc>> {
    Some(sent() + TimeDelta::seconds(seconds))
}

fn secret(text: &str) -> Option<SecretText> {
    Some(SecretText::new(text))
}

fn held() -> HeldTokens {
    HeldTokens {
        access_token: Some(AccessToken::new("AT-1")),
        refresh_token: Some(RefreshToken::new("RT+1/=&")),
        ..HeldTokens::default()
    }
}

fn login() -> Login {
    let (client_id, client_secret) = (secret("my app"), secret("s:e+c%ä"));
    Login { username: secret("ci"), password: secret("p:a ß"), client_id, client_secret, ..Login::default() }
}

fn request(spec: ProviderSpec, wish: RequestSpec, held: &HeldTokens, login: &Login) -> Result<TokenRequest, RequestError> {
    Provider::new(spec, wish).request(&RefreshInput {
        held,
        login,
        now: sent(),
        attempt: "attempt-1",
        results: &StepResults::default(),
    })
}

fn header<'a>(request: &'a TokenRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.reveal())
}

fn body(request: &TokenRequest) -> Option<&str> {
    request.body.as_ref().map(|body| {
        assert_eq!(body.content_type, "application/x-www-form-urlencoded");
        body.content.reveal()
    })
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn reply(status: u16, body: impl AsRef<[u8]>) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply { status, headers, body: RawBody(body.as_ref().to_vec()) }
}

fn read(api: Api, status: u16, body: impl AsRef<[u8]>) -> Result<TokenSet, TokenError> {
    provider(api).read(&reply(status, body), sent())
}

/// What a refusal proves; none for tokens.
fn class(api: Api, status: u16, body: impl AsRef<[u8]>) -> Option<Class> {
    read(api, status, body).err().map(|error| error.class)
}

/// A JWT with this payload and a signature that nothing checks.
fn jwt(payload: &serde_json::Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
}

// ---------------------------------------------------------------- requests

#[test]
fn every_wish_is_repeated_in_a_jfrog_access_refresh() {
    let full = RequestSpec {
        lifetime: hour(),
        scope: Some("applied-permissions/groups:a,b".into()),
        audience: Some("jfrt@* jfxr@*".into()),
        username: Some("ci".into()),
        description: Some("é & more".into()),
        include_reference_token: Some(true),
        project_key: Some("build".into()),
    };
    let start = "grant_type=refresh_token&refresh_token=RT%2B1%2F%3D%26";
    let rows = [
        (RequestSpec::default(), String::new()),
        (RequestSpec { include_reference_token: Some(false), ..RequestSpec::default() }, String::new()),
        // 0 is a token that never expires: only an old object can hold it, and it is not asked for.
        (RequestSpec { lifetime: Some(SpecDuration::from_secs(0)), ..RequestSpec::default() }, String::new()),
        (
            full,
            "&expires_in=3600&include_reference_token=true&scope=applied-permissions%2Fgroups%3Aa%2Cb&audience=jfrt%40*+jfxr%40*\
             &username=ci&description=%C3%A9+%26+more&project_key=build"
                .to_owned(),
        ),
    ];
    for (wish, rest) in rows {
        let request = request(spec(Access, "https://art.example.com"), wish, &held(), &Login::default()).unwrap();
        assert_eq!(request.url, "https://art.example.com/access/api/v1/tokens");
        assert_eq!(body(&request), Some(format!("{start}{rest}").as_str()));
        assert_eq!(header(&request, "authorization"), Some("Bearer AT-1"));
        assert_eq!(header(&request, "accept"), Some("application/json"));
    }
}

#[test]
fn jfrog_access_authenticates_with_what_is_alive() {
    let access = held().access_token;
    let both = login();
    let half = Login { password: None, ..login() };
    let empty = Login { password: secret(""), ..login() };
    let none = Login::default();
    let basic = basic("ci:p:a ß");
    // access token, reference token, its end, login, Authorization
    let rows = [
        (access.clone(), None, None, &both, Ok("Bearer AT-1")),
        (access.clone(), secret("cmVmd"), at(1), &both, Ok("Bearer AT-1")),
        (None, secret("cmVmd"), at(1), &both, Ok("Bearer cmVmd")),
        (Some(AccessToken::new("")), secret("cmVmd"), None, &both, Ok("Bearer cmVmd")),
        // Expired, the boundary included.
        (access.clone(), None, at(0), &both, Ok(basic.as_str())),
        (None, secret("cmVmd"), at(-1), &both, Ok(basic.as_str())),
        (access.clone(), None, at(-1), &half, Ok("Bearer AT-1")),
        (access.clone(), None, at(-1), &empty, Ok("Bearer AT-1")),
        (access, None, at(-1), &none, Ok("Bearer AT-1")),
        (None, None, None, &both, Ok(basic.as_str())),
        (None, None, None, &half, Err(RequestError::Missing("access_token (seed or state Secret)"))),
    ];
    for (row, (access_token, reference_token, expiration_time, login, expected)) in rows.into_iter().enumerate() {
        let held = HeldTokens { access_token, reference_token, expiration_time, ..held() };
        let request = request(spec(Access, "https://art.example.com"), RequestSpec::default(), &held, login);
        let value = request.as_ref().map(|request| header(request, "authorization").unwrap());
        assert_eq!(value, expected.as_ref().copied(), "row {row}");
    }
}

#[test]
fn a_jfrog_distribution_refresh_always_names_both_tokens_and_a_lifetime() {
    let wish = RequestSpec { lifetime: hour(), ..RequestSpec::default() };
    let url = "https://art.example.com/prefix/";
    let sent = request(spec(Distribution, url), wish.clone(), &held(), &login()).unwrap();
    assert_eq!(sent.url, "https://art.example.com/prefix/distribution/api/v1/security/token");
    let form = "grant_type=refresh_token&refresh_token=RT%2B1%2F%3D%26&access_token=AT-1&expires_in=3600&refreshable=true";
    assert_eq!(body(&sent), Some(form));
    assert_eq!(header(&sent, "authorization"), Some(basic("ci:p:a ß").as_str()));

    let no_lifetime = RequestSpec::default();
    let zero = RequestSpec { lifetime: Some(SpecDuration::from_secs(0)), ..RequestSpec::default() };
    let no_access = HeldTokens { access_token: None, ..held() };
    let no_refresh = HeldTokens { refresh_token: Some(RefreshToken::new("")), ..held() };
    let no_user = Login { username: None, ..login() };
    let no_password = Login { password: None, ..login() };
    let rows = [
        (&no_lifetime, &held(), &login(), "request.lifetime (spec)"),
        (&zero, &held(), &login(), "request.lifetime (spec)"),
        (&wish, &no_access, &login(), "access_token (seed or state Secret)"),
        (&wish, &no_refresh, &login(), "refresh_token (seed or state Secret)"),
        (&wish, &held(), &no_user, "username (seed Secret)"),
        (&wish, &held(), &no_password, "password (seed Secret)"),
    ];
    for (wish, held, login, missing) in rows {
        let refused = request(spec(Distribution, url), wish.clone(), held, login);
        assert_eq!(refused, Err(RequestError::Missing(missing)));
    }
}

#[test]
fn an_elastic_cloud_enterprise_refresh_has_no_body_and_needs_no_refresh_token() {
    let held = HeldTokens { refresh_token: None, ..held() };
    let url = "https://ece.example.com:12443";
    let sent = request(spec(Ece, url), RequestSpec::default(), &held, &Login::default()).unwrap();
    assert_eq!(sent.url, "https://ece.example.com:12443/api/v1/users/auth/_refresh");
    assert_eq!(body(&sent), None);
    assert_eq!(header(&sent, "authorization"), Some("Bearer AT-1"));
    assert_eq!(header(&sent, "accept"), Some("application/json"));
    let nothing = request(spec(Ece, url), RequestSpec::default(), &HeldTokens::default(), &login());
    assert_eq!(nothing, Err(RequestError::Missing("access_token (seed or state Secret)")));
}

#[test]
fn oauth2_clients_authenticate_as_declared() {
    let form = "grant_type=refresh_token&refresh_token=RT%2B1%2F%3D%26&scope=a+b";
    // RFC 6749 section 2.3.1: form-urlencoded before base64.
    let encoded = basic("my+app:s%3Ae%2Bc%25%C3%A4");
    let rows = [
        (None, String::new(), Some(encoded.as_str())),
        (Some(ClientAuthentication::Basic), String::new(), Some(encoded.as_str())),
        (Some(ClientAuthentication::Post), "&client_id=my+app&client_secret=s%3Ae%2Bc%25%C3%A4".to_owned(), None),
        (Some(ClientAuthentication::Tls), "&client_id=my+app".to_owned(), None),
        (Some(ClientAuthentication::None), "&client_id=my+app".to_owned(), None),
    ];
    let wish = RequestSpec { scope: Some("a b".into()), ..RequestSpec::default() };
    for (client_authentication, rest, authorization) in rows {
        let spec = Oauth2 { client_authentication, ..oauth2("https://idp.example.com/token?tenant=a%20b") };
        let sent = request(ProviderSpec::Oauth2(Box::new(spec.clone())), wish.clone(), &held(), &login()).unwrap();
        assert_eq!(sent.url, "https://idp.example.com/token?tenant=a%20b");
        assert_eq!(body(&sent), Some(format!("{form}{rest}").as_str()));
        assert_eq!(header(&sent, "authorization"), authorization);
        assert_eq!(header(&sent, "accept"), Some("application/json"));

        let no_id = Login { client_id: None, ..login() };
        let missing = RequestError::Missing("client_id (Secret of clientSecretRef, or the seed)");
        assert_eq!(request(ProviderSpec::Oauth2(Box::new(spec.clone())), wish.clone(), &held(), &no_id), Err(missing));
        let no_secret = Login { client_secret: None, ..login() };
        let public = matches!(client_authentication, Some(ClientAuthentication::Tls | ClientAuthentication::None));
        assert_eq!(request(ProviderSpec::Oauth2(Box::new(spec)), wish.clone(), &held(), &no_secret).is_ok(), public);
    }
}

#[test]
fn credentials_that_http_cannot_carry_are_refused_before_anything_is_sent() {
    let wish = RequestSpec { lifetime: hour(), ..RequestSpec::default() };
    let long = "x".repeat(64 * 1024 + 1);
    for text in ["a\nb", "a\r\nX: y", "a\0", "line-end\n", long.as_str()] {
        let bad = HeldTokens { access_token: Some(AccessToken::new(text)), ..held() };
        for api in [Access, Distribution, Ece] {
            let refused = request(spec(api, "https://api.example.com"), wish.clone(), &bad, &login());
            assert_eq!(refused, Err(RequestError::NotSendable("access_token")), "{api:?}");
        }
        let bad = HeldTokens { refresh_token: Some(RefreshToken::new(text)), ..held() };
        for api in SPENDING {
            let refused = request(spec(api, "https://api.example.com"), wish.clone(), &bad, &login());
            assert_eq!(refused, Err(RequestError::NotSendable("refresh_token")), "{api:?}");
        }
        let rows = [
            (Distribution, Login { username: secret(text), ..login() }, "username"),
            (Distribution, Login { password: secret(text), ..login() }, "password"),
            (Api::Oauth2, Login { client_id: secret(text), ..login() }, "client_id"),
            (Api::Oauth2, Login { client_secret: secret(text), ..login() }, "client_secret"),
        ];
        for (api, login, name) in rows {
            let refused = request(spec(api, "https://api.example.com"), wish.clone(), &held(), &login);
            assert_eq!(refused, Err(RequestError::NotSendable(name)), "{api:?}");
        }
    }
    // A space would end a bearer token, a colon a user name.
    let bad = HeldTokens { access_token: Some(AccessToken::new("a b")), ..held() };
    let refused = request(spec(Ece, "https://api.example.com"), wish.clone(), &bad, &login());
    assert_eq!(refused, Err(RequestError::NotSendable("access_token")));
    let bad = Login { username: secret("a:b"), ..login() };
    let refused = request(spec(Distribution, "https://api.example.com"), wish, &held(), &bad);
    assert_eq!(refused, Err(RequestError::NotSendable("username")));
}

#[test]
fn a_base_url_keeps_its_prefix_and_loses_its_slashes() {
    let rows = [
        ("https://art.example.com", Some("https://art.example.com/access/api/v1/tokens")),
        ("https://art.example.com/", Some("https://art.example.com/access/api/v1/tokens")),
        ("https://art.example.com/jfrog//", Some("https://art.example.com/jfrog/access/api/v1/tokens")),
        ("http://127.0.0.1:8082/a/b", Some("http://127.0.0.1:8082/a/b/access/api/v1/tokens")),
        ("https://user:pw@art.example.com", None),
        ("https://art.example.com/#top", None),
        ("https://art.example.com/?a=b", None),
        ("https://art.example\n.com/", None),
        ("https://art.example.com/ä", None),
        ("ftp://art.example.com", None),
        ("art.example.com", None),
        ("", None),
    ];
    for (url, expected) in rows {
        let built = request(spec(Access, url), RequestSpec::default(), &held(), &login());
        assert_eq!(built.as_ref().ok().map(|request| request.url.as_str()), expected, "{url}");
        assert!(expected.is_some() || matches!(built, Err(RequestError::Url(_))), "{url}");
    }
}

#[test]
fn semantics_are_the_apis_or_as_declared() {
    let declared = |rotation, grace_seconds| {
        let spec = Oauth2 { rotation, grace_seconds, ..oauth2("https://idp.example.com") };
        Provider::new(ProviderSpec::Oauth2(Box::new(spec)), RequestSpec::default()).semantics()
    };
    assert_eq!(provider(Access).semantics(), Semantics::SingleUse);
    assert_eq!(provider(Distribution).semantics(), Semantics::SingleUse);
    assert_eq!(provider(Ece).semantics(), Semantics::RenewsItself);
    assert_eq!(declared(None, None), Semantics::SingleUse);
    assert_eq!(declared(Some(Rotation::Strict), None), Semantics::SingleUse);
    assert_eq!(declared(Some(Rotation::Grace), Some(30)), Semantics::Grace(Duration::from_secs(30)));
    assert_eq!(declared(Some(Rotation::Reusable), None), Semantics::Reusable);
    assert_eq!(declared(Some(Rotation::IdempotencyKey), Some(30)), Semantics::IdempotencyKey);
    // Refused by the CRD; an old object is read as the strict case.
    for grace in [None, Some(0), Some(-1)] {
        assert_eq!(declared(Some(Rotation::Grace), grace), Semantics::SingleUse);
    }
}

// ---------------------------------------------------------------- tokens

#[test]
fn recorded_grants_are_read_in_full() {
    let uuid = "f96bda0c-ab50-4b7e-96f1-be8bd20605a3";
    // Vendor's page "Refresh a Token" (JFrog Distribution); the JWT's payload is the page's, header and signature are not.
    let payload = json!({"sub": "lenon", "scp": "applied-permissions/admin", "aud": "jfds@01ch05tj4n3ss80s6n3v2307b9",
        "iss": "jfds@01ch05tj4n3ss80s6n3v2307b9", "exp": 1_530_099_618, "iat": 1_530_099_495,
        "jti": "a433f0d0-5498-4b29-a987-f2713dbc297f"});
    let token = jwt(&payload);
    let distribution = json!({"access_token": token, "refresh_token": uuid, "expires_in": 123,
        "scope": "applied-permissions/admin", "token_type": "Bearer"});
    let expected = TokenSet {
        access_token: Some(AccessToken::new(token.as_str())),
        refresh_token: Some(RefreshToken::new(uuid)),
        expiration_time: at(123),
        token_id: Some("a433f0d0-5498-4b29-a987-f2713dbc297f".into()),
        scope: Some("applied-permissions/admin".into()),
        subject: Some("lenon".into()),
        ..TokenSet::default()
    };
    assert_eq!(read(Distribution, 200, distribution.to_string()), Ok(expected));

    // Company guide "Refresh JFrog Token" (JFrog Access), with the comma that its sample lacks; JFrog's own page has the expiry as
    // a quoted text in places.
    for expires_in in ["31560000", "\"31560000\""] {
        let access = format!(
            r#"{{ "token_id" : "d60de904-3444-4a65-87bc-7ae8fb1c2163", "access_token" : "AT-2", "refresh_token" : "RT-2",
                "expires_in" : {expires_in}, "scope" : "applied-permissions/user", "token_type" : "Bearer",
                "reference_token" :"cmVmdGtuOjAx", "description" : "test refresh token" }}"#
        );
        let expected = TokenSet {
            access_token: Some(AccessToken::new("AT-2")),
            refresh_token: Some(RefreshToken::new("RT-2")),
            reference_token: secret("cmVmdGtuOjAx"),
            expiration_time: at(31_560_000),
            token_id: Some("d60de904-3444-4a65-87bc-7ae8fb1c2163".into()),
            scope: Some("applied-permissions/user".into()),
            ..TokenSet::default()
        };
        assert_eq!(read(Access, 200, access), Ok(expected));
    }

    // Attributes of the vendor's page "Refresh authentication token" (Elastic Cloud Enterprise).
    let ece = json!({"token": "AT-2", "session_expiration_time": "2018-06-27T13:38:15.000+02:00"});
    let expected = TokenSet { access_token: Some(AccessToken::new("AT-2")), expiration_time: at(0), ..TokenSet::default() };
    assert_eq!(read(Ece, 200, ece.to_string()), Ok(expected));

    // Order and members as oidc-provider 9.13.3 sends them.
    let oidc = r#"{"access_token":"AT-2","expires_in":3600,"id_token":"e30.e30.c2ln","refresh_token":"RT-2","scope":"openid","token_type":"Bearer"}"#;
    let expected = TokenSet {
        access_token: Some(AccessToken::new("AT-2")),
        refresh_token: Some(RefreshToken::new("RT-2")),
        expiration_time: at(3600),
        scope: Some("openid".into()),
        ..TokenSet::default()
    };
    assert_eq!(read(Api::Oauth2, 200, oidc), Ok(expected.clone()));
    assert_eq!(read(Api::Oauth2, 201, oidc), Ok(expected));
}

#[test]
fn the_end_of_an_access_token_comes_from_the_answer_then_from_the_token() {
    let never = 100 * 365 * 86_400;
    let live = jwt(&json!({"iat": sent().timestamp(), "exp": sent().timestamp() + 600}));
    // Missing, textual, negative, zero, huge and senseless lifetimes: the token is taken all the same.
    let rows = [
        ("opaque", r"", None),
        ("opaque", r#","expires_in":null"#, None),
        ("opaque", r#","expires_in":3600"#, at(3600)),
        ("opaque", r#","expires_in":3600.9"#, at(3600)),
        ("opaque", r#","expires_in":"3600""#, at(3600)),
        ("opaque", r#","expires_in":" 3600 ""#, at(3600)),
        ("opaque", r#","expires_in":1"#, at(1)),
        ("opaque", r#","expires_in":0.4"#, None),
        ("opaque", r#","expires_in":0"#, None),
        ("opaque", r#","expires_in":"0""#, None),
        ("opaque", r#","expires_in":-1"#, None),
        ("opaque", r#","expires_in":-1e308"#, None),
        ("opaque", r#","expires_in":1e308"#, at(never)),
        ("opaque", r#","expires_in":18446744073709551615"#, at(never)),
        ("opaque", r#","expires_in":99999999999999999999999999"#, at(never)),
        ("opaque", r#","expires_in":"NaN""#, None),
        ("opaque", r#","expires_in":"inf""#, None),
        ("opaque", r#","expires_in":"soon""#, None),
        ("opaque", r#","expires_in":true"#, None),
        ("opaque", r#","expires_in":[3600]"#, None),
        (live.as_str(), r"", at(600)),
        (live.as_str(), r#","expires_in":60"#, at(60)),
        (live.as_str(), r#","expires_in":0"#, at(600)),
        (live.as_str(), r#","expires_in":"NaN""#, at(600)),
    ];
    for api in SPENDING {
        for (token, rest, expected) in rows {
            let set = read(api, 200, format!(r#"{{"access_token":"{token}"{rest}}}"#)).unwrap();
            assert_eq!(set.expiration_time, expected, "{api:?} {rest}");
        }
    }
    let rows = [
        ("opaque", r"", None),
        ("opaque", r#","session_expiration_time":"2018-06-27T11:39:15Z""#, at(60)),
        ("opaque", r#","session_expiration_time":"2018-06-27""#, None),
        ("opaque", r#","session_expiration_time":1530099555"#, None),
        ("opaque", r#","session_expiration_time":"9999-12-31T23:59:59Z""#, at(never)),
        (live.as_str(), r#","session_expiration_time":"tomorrow""#, at(600)),
        (live.as_str(), r#","session_expiration_time":"2018-06-27T11:39:15Z""#, at(60)),
    ];
    for (token, rest, expected) in rows {
        let set = read(Ece, 200, format!(r#"{{"token":"{token}"{rest}}}"#)).unwrap();
        assert_eq!(set.expiration_time, expected, "{rest}");
    }
}

#[test]
fn the_life_of_a_jwt_counts_from_the_request_and_never_beyond_a_sooner_exp() {
    let rows = [
        // iat and exp relative to the request, expected end
        (Some(0), 600, at(600)),
        // The server's clock is an hour ahead, or an hour behind.
        (Some(3600), 4200, at(600)),
        (Some(-3600), -3000, at(600)),
        // A token that was made earlier and has a minute left.
        (Some(-540), 60, at(60)),
        (None, 600, at(600)),
        (None, -600, at(-600)),
        // No sane life: exp as it is.
        (Some(700), 600, at(600)),
        (Some(600), 600, at(600)),
        (Some(0), 200 * 365 * 86_400, at(100 * 365 * 86_400)),
        (None, i64::MAX - sent().timestamp(), None),
        (Some(i64::MIN - i64::MIN / 2), i64::MAX - sent().timestamp(), None),
    ];
    for (issued, expires, expected) in rows {
        let now = sent().timestamp();
        let payload = match issued {
            Some(issued) => json!({"iat": now + issued, "exp": now + expires}),
            None => json!({"exp": now + expires}),
        };
        let set = read(Api::Oauth2, 200, json!({"access_token": jwt(&payload)}).to_string()).unwrap();
        assert_eq!(set.expiration_time, expected, "iat {issued:?} exp {expires}");
    }
}

#[test]
fn the_end_of_a_refresh_token_is_read_where_a_server_names_it() {
    // Keycloak `refresh_expires_in` (0 for offline tokens), GitHub and Google `refresh_token_expires_in`.
    let rows = [
        (json!({"refresh_expires_in": 1800}), at(1800)),
        (json!({"refresh_expires_in": 0}), None),
        (json!({"refresh_token_expires_in": "15811200"}), at(15_811_200)),
        (json!({"refresh_token_expires_in": 60, "refresh_expires_in": 90}), at(60)),
        (json!({"refresh_token_expires_in": -1}), None),
        (json!({}), None),
    ];
    for (mut answer, expected) in rows {
        answer["access_token"] = json!("AT-2");
        let set = read(Api::Oauth2, 200, answer.to_string()).unwrap();
        assert_eq!(set.refresh_token_expiration_time, expected, "{answer}");
    }
}

#[test]
fn whatever_token_an_answer_grants_is_kept_exactly() {
    for api in SPENDING {
        // One token without the other; an empty text or null is no token.
        let set = read(api, 200, r#"{"access_token":"AT-2","refresh_token":""}"#).unwrap();
        assert_eq!((set.access_token, set.refresh_token), (Some(AccessToken::new("AT-2")), None));
        for body in
            [r#"{"refresh_token":"RT-2","expires_in":60}"#, r#"{"access_token":"","refresh_token":"RT-2","expires_in":60}"#]
        {
            let set = read(api, 200, body).unwrap();
            assert_eq!((set.access_token, set.refresh_token), (None, Some(RefreshToken::new("RT-2"))));
            assert_eq!(set.expiration_time, None, "an expiry without its token");
        }
        let set = read(api, 200, r#"{"access_token":null,"refresh_token":"RT-2"}"#).unwrap();
        assert_eq!(set.refresh_token, Some(RefreshToken::new("RT-2")));
        // Exactly as granted, control characters and quotes included.
        let odd = "a\0b\n\"'\\ é";
        let set = read(api, 200, json!({"access_token": odd, "refresh_token": odd}).to_string()).unwrap();
        assert_eq!((set.access_token, set.refresh_token), (Some(AccessToken::new(odd)), Some(RefreshToken::new(odd))));
        // A token in another shape would be lost if it were taken for absent.
        for body in
            [r#"{"access_token":"AT-2","refresh_token":{"value":"RT-2"}}"#, r#"{"access_token":7,"refresh_token":"RT-2"}"#]
        {
            assert_eq!(class(api, 200, body), Some(Class::Unknown), "{api:?} {body}");
        }
    }
}

#[test]
fn what_is_shown_in_status_is_short_plain_and_no_token() {
    let long = "x".repeat(1025);
    for text in [long.as_str(), "two\nlines", "AT-2", "RT-2", "REF-2", "read RT-2 write"] {
        let token =
            json!({"access_token": "AT-2", "refresh_token": "RT-2", "reference_token": "REF-2", "scope": text, "token_id": text});
        let set = read(Access, 200, token.to_string()).unwrap();
        assert_eq!((set.scope, set.token_id), (None, None), "{text}");
        let token = jwt(&json!({"jti": text, "sub": text}));
        let body = json!({"access_token": token, "refresh_token": "RT-2", "reference_token": "REF-2"}).to_string();
        let set = read(Access, 200, body).unwrap();
        let expected = (text == "AT-2").then(|| text.to_owned());
        assert_eq!((set.token_id, set.subject), (expected.clone(), expected), "{text}");
    }
}

#[test]
fn a_success_without_readable_tokens_is_unknown_everywhere() {
    let deep = format!(r#"{{"access_token":"AT-2","token":"AT-2","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let rows: [(&str, &[u8]); 18] = [
        ("empty", b""),
        ("HTML", b"<html><body>Welcome to the portal</body></html>"),
        ("duplicate name", br#"{"access_token":"a","token":"a","refresh_token":"b","refresh_token":"c","token":"d"}"#),
        ("duplicate other name", br#"{"access_token":"a","token":"a","x":1,"x":1}"#),
        ("duplicate by escape", br#"{"access_token":"a","token":"a","access\u005ftoken":"b","\u0074oken":"b"}"#),
        ("no JSON number", br#"{"access_token":"a","token":"a","expires_in":NaN}"#),
        ("beyond every number", br#"{"access_token":"a","token":"a","expires_in":1e400}"#),
        ("deep nesting", deep.as_bytes()),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabVJLNN-.\x8e/\xc9\xcfN\xcdS\xb2R\x00\x00"),
        ("truncated", br#"{"access_token":"AT-2","token":"AT-2","refresh_token":"RT-"#),
        ("two objects", br#"{"access_token":"a","token":"a"}{"access_token":"b"}"#),
        ("array", br#"[{"access_token":"a","token":"a"}]"#),
        ("null", b"null"),
        ("no token", br#"{"token_type":"Bearer","expires_in":3600}"#),
        ("empty token", br#"{"access_token":"","token":""}"#),
        ("token is a number", br#"{"access_token":1,"token":1}"#),
        ("not UTF-8", b"{\"access_token\":\"\xff\",\"token\":\"\xff\"}"),
        ("form (GitHub without Accept)", b"access_token=AT-2&refresh_token=RT-2&token=AT-2"),
    ];
    for api in ALL {
        for (row, body) in rows {
            assert_eq!(class(api, 200, body), Some(Class::Unknown), "{api:?} {row}");
            assert_eq!(class(api, 201, body), Some(Class::Unknown), "{api:?} {row}");
        }
        // Only 200 and 201 grant.
        let good = r#"{"access_token":"AT-2","token":"AT-2"}"#;
        assert!(read(api, 200, good).is_ok(), "{api:?}");
        for status in [0, 100, 202, 203, 204, 206, 299, 600, u16::MAX] {
            assert_eq!(class(api, status, good), Some(Class::Unknown), "{api:?} {status}");
        }
    }
}

// ---------------------------------------------------------------- refusals

const HTML: &str = "<html><head><title>404 Not Found</title></head></html>";
// jfrog-cli issue 2490.
const NOT_FOUND: &str =
    r#"{ "errors" : [ { "code" : "NOT_FOUND", "message" : "Token matching the provided refresh token was not found." } ] }"#;
// Artifactory's own envelope, without a code.
const ARTIFACTORY_404: &str = r#"{"errors":[{"status":404,"message":"Not Found"}]}"#;

#[test]
fn jfrog_refusals() {
    use Class::{ChainOver, Configuration, Throttled, Unknown};
    let forbidden = r#"{"errors":[{"code":"FORBIDDEN","message":"x"}]}"#;
    let expired = r#"{"errors":[{"code":"UNAUTHORIZED","message":"Invalid token, expired"}]}"#;
    let rows = [
        (400, r#"{"errors":[{"code":"BAD_REQUEST","message":"x"}]}"#, Configuration),
        (400, HTML, Configuration),
        (401, expired, Configuration),
        (403, forbidden, Configuration),
        (404, NOT_FOUND, ChainOver),
        (404, ARTIFACTORY_404, Configuration),
        (404, HTML, Configuration),
        (404, "", Configuration),
        // A text that only speaks of the code.
        (404, r#"{"errors":[{"code":"OTHER","message":"NOT_FOUND"}]}"#, Configuration),
        (404, r#"{"code":"NOT_FOUND"}"#, Configuration),
        (405, "", Configuration),
        (415, "", Configuration),
        (429, "", Throttled),
        // The code of a spent token under another status proves nothing.
        (500, NOT_FOUND, Unknown),
        (409, "", Unknown),
        (418, "", Unknown),
    ];
    for api in [Access, Distribution] {
        for (status, body, expected) in rows {
            assert_eq!(class(api, status, body), Some(expected), "{api:?} {status} {body}");
        }
    }
}

#[test]
fn oauth2_refusals() {
    use Class::{ChainOver, Configuration, Throttled, Transient, Unknown};
    // oidc-provider 9.13.3, the rest by the codes of RFC 6749 section 5.2.
    let grant = r#"{"error":"invalid_grant","error_description":"grant request is invalid"}"#;
    let client = r#"{"error":"invalid_client","error_description":"client authentication failed"}"#;
    let scope = r#"{"error":"invalid_scope","error_description":"requested scope is not allowed","scope":"email"}"#;
    // Ory Hydra: a race that may be repeated, told apart by text only.
    let race = r#"{"error":"invalid_request","error_description":"failed to refresh token because of multiple concurrent requests using the same token"}"#;
    let rows = [
        (400, grant, ChainOver),
        (401, grant, ChainOver),
        // Atlassian.
        (403, grant, ChainOver),
        (401, client, Configuration),
        (400, client, Configuration),
        (400, scope, Configuration),
        (400, race, Configuration),
        (400, r#"{"error":"unauthorized_client"}"#, Configuration),
        (400, r#"{"error":"unsupported_grant_type"}"#, Configuration),
        (400, r#"{"error":"interaction_required"}"#, Configuration),
        (400, r#"{"error":"temporarily_unavailable"}"#, Transient),
        (400, r#"{"error":"server_error"}"#, Unknown),
        (400, r#"{"error":"something_else","error_description":"invalid_grant"}"#, Unknown),
        // HubSpot.
        (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"x"}"#, Unknown),
        (400, r#"{"error":"invalid_grant","error":"invalid_client"}"#, Unknown),
        (400, HTML, Unknown),
        (400, "", Unknown),
        (401, HTML, Configuration),
        (403, HTML, Configuration),
        (404, "Not Found", Configuration),
        (404, NOT_FOUND, Configuration),
        (405, "", Configuration),
        (415, "", Configuration),
        (429, grant, Throttled),
        (500, grant, Unknown),
        (503, r#"{"error":"temporarily_unavailable"}"#, Unknown),
        // Box.
        (409, "", Unknown),
        // GitHub and Slack, with a status of success.
        (200, r#"{"error":"bad_refresh_token","error_description":"x","error_uri":"y"}"#, ChainOver),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, ChainOver),
        (200, r#"{"ok":false,"error":"bad_client_secret"}"#, Configuration),
        (200, r#"{"error":"incorrect_client_credentials"}"#, Configuration),
        (200, r#"{"ok":false,"error":"internal_error"}"#, Unknown),
        (200, r#"{"ok":false,"error":"fatal_error","refresh_token":"RT-2"}"#, Unknown),
        (200, r#"{"ok":false}"#, Unknown),
        (200, r#"{"error":{"code":"invalid_grant"}}"#, Unknown),
    ];
    for (status, body, expected) in rows {
        assert_eq!(class(Api::Oauth2, status, body), Some(expected), "{status} {body}");
    }
    // An answer with tokens is no refusal, whatever else it says.
    for body in [r#"{"error":"invalid_grant","access_token":"AT-2"}"#, r#"{"error":null,"refresh_token":"RT-2"}"#] {
        assert!(read(Api::Oauth2, 200, body).is_ok(), "{body}");
    }
}

#[test]
fn elastic_cloud_enterprise_refusals() {
    use Class::{ChainOver, Configuration, Throttled, Transient};
    let envelope = |code: &str| json!({"errors": [{"code": code, "message": "x", "fields": ["y"]}]}).to_string();
    // The vendor's page: 401, 501, 502; 503 as in version 2.1, 449 as in cloud-sdk-go.
    let rows = [
        (401, envelope("root.unauthorized"), ChainOver, "root.unauthorized"),
        (401, envelope("root.unauthenticated"), ChainOver, "unauthorized"),
        (401, String::new(), ChainOver, "unauthorized"),
        (401, r#"{"message":"x"}"#.to_owned(), ChainOver, "unauthorized"),
        (401, HTML.to_owned(), Configuration, "a server in front"),
        (501, envelope("authc.no_authentication_cluster"), Configuration, "authc.no_authentication_cluster"),
        (501, String::new(), Configuration, "the API does not offer"),
        (502, envelope("authc.authentication_cluster_error"), Transient, "authc.authentication_cluster_error"),
        (502, HTML.to_owned(), Transient, "the API or a server"),
        (500, String::new(), Transient, "the API or a server"),
        (503, envelope("authc.authentication_cluster_error"), Transient, "the API or a server"),
        (504, HTML.to_owned(), Transient, "the API or a server"),
        (408, String::new(), Transient, "the API or a server"),
        (429, String::new(), Throttled, "the API asks"),
        (302, String::new(), Configuration, "the API redirects"),
        (403, envelope("root.unauthorized.rbac"), Configuration, "the API refuses"),
        (404, HTML.to_owned(), Configuration, "there is no"),
        (449, String::new(), Configuration, "the token needs elevated"),
    ];
    for (status, body, expected, detail) in rows {
        let error = read(Ece, status, &body).unwrap_err();
        assert_eq!((error.class, error.status), (expected, status), "{body}");
        assert!(error.detail.starts_with(detail), "{status} {body}: {}", error.detail);
    }
    // The header alone is enough, and several codes may stand in it.
    let mut alone = reply(401, HTML);
    alone.headers.push(("x-cloud-error-codes".into(), "a.b, root.unauthorized".into()));
    let error = provider(Ece).read(&alone, sent()).unwrap_err();
    assert!(error.class == ChainOver && error.detail.starts_with("root.unauthorized"), "{error}");
}

#[test]
fn only_listed_answers_prove_that_a_single_use_token_is_unspent() {
    for api in SPENDING {
        for status in (300..400).chain([408]).chain(500..600) {
            for body in ["", HTML, NOT_FOUND, r#"{"error":"invalid_grant"}"#, r#"{"error":"temporarily_unavailable"}"#] {
                assert_eq!(class(api, status, body), Some(Class::Unknown), "{api:?} {status} {body}");
            }
        }
    }
}

#[test]
fn a_pause_is_read_as_seconds_or_date_and_limited() {
    // The three date forms of RFC 9110 section 5.6.7.
    let rows = [
        ("120", Some(120)),
        (" 120 ", Some(120)),
        ("0", Some(1)),
        ("3601", Some(3600)),
        ("1000000000000", Some(3600)),
        ("99999999999999999999999999", Some(3600)),
        ("Wed, 27 Jun 2018 11:39:15 GMT", Some(60)),
        ("Wednesday, 27-Jun-18 11:39:15 GMT", Some(60)),
        ("Wed Jun 27 11:39:15 2018", Some(60)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 99 Jun 2018 11:39:15 GMT", None),
    ];
    for (value, seconds) in rows {
        for (api, status) in [(Access, 429), (Distribution, 429), (Api::Oauth2, 429), (Ece, 429), (Ece, 503)] {
            let mut busy = reply(status, "");
            busy.headers.push(("retry-after".into(), value.into()));
            let error = provider(api).read(&busy, sent()).unwrap_err();
            assert_eq!(error.retry_after, seconds.map(Duration::from_secs), "{api:?} {status} {value}");
        }
    }
    // Where the same request must not simply be repeated, a pause means nothing.
    let mut busy = reply(503, "");
    busy.headers.push(("retry-after".into(), "120".into()));
    assert_eq!(provider(Access).read(&busy, sent()).unwrap_err().retry_after, None);
}

/// Bad input 58: the clock of the server, or of one in front of it, is a year off.
#[test]
fn bad_input_58_the_servers_date_changes_no_end() {
    let token = jwt(&json!({"iat": sent().timestamp(), "exp": sent().timestamp() + 600}));
    for date in ["Thu, 27 Jun 2019 11:38:15 GMT", "Tue, 27 Jun 2017 11:38:15 GMT", "yesterday"] {
        for (api, body, end) in [
            (Access, r#"{"access_token":"AT-2","expires_in":3600}"#.to_owned(), at(3600)),
            (Distribution, r#"{"access_token":"AT-2","expires_in":"3600"}"#.to_owned(), at(3600)),
            (Api::Oauth2, json!({"access_token": token}).to_string(), at(600)),
            (Ece, r#"{"token":"AT-2","session_expiration_time":"2018-06-27T11:39:15Z"}"#.to_owned(), at(60)),
        ] {
            let mut dated = reply(200, body);
            dated.headers.extend([("date".to_owned(), date.to_owned()), ("age".to_owned(), "31536000".to_owned())]);
            assert_eq!(provider(api).read(&dated, sent()).unwrap().expiration_time, end, "{api:?} {date}");
            dated.status = 429;
            dated.headers.push(("retry-after".to_owned(), "120".to_owned()));
            let pause = provider(api).read(&dated, sent()).unwrap_err().retry_after;
            assert_eq!(pause, Some(Duration::from_secs(120)), "{api:?} {date}");
        }
    }
}

// ---------------------------------------------------------------- properties

/// Members that some reader looks at.
const NAMES: [&str; 16] = [
    "access_token",
    "refresh_token",
    "reference_token",
    "token",
    "expires_in",
    "session_expiration_time",
    "refresh_expires_in",
    "refresh_token_expires_in",
    "token_id",
    "scope",
    "error",
    "error_description",
    "errors",
    "code",
    "ok",
    "message",
];

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let code =
        prop::sample::select(vec!["invalid_grant", "NOT_FOUND", "bad_refresh_token", "root.unauthorized", "server_error", ""]);
    let token = (any::<i64>(), any::<i64>()).prop_map(|(iat, exp)| jwt(&json!({"iat": iat, "exp": exp, "sub": "s", "jti": "j"})));
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value.to_string())),
        ".{0,20}".prop_map(|value| json!(value)),
        code.prop_map(|value| json!(value)),
        token.prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            members(inner).prop_map(|members| json!(members)),
        ]
    })
}

fn members(value: impl Strategy<Value = serde_json::Value>) -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    prop::collection::vec((prop::sample::select(NAMES.to_vec()), value), 0..8)
        .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => r#"[{}\[\]",:a-z0-9\\ue.-]{0,60}"#.prop_map(String::into_bytes),
        3 => members(json_value()).prop_map(|members| json!(members).to_string().into_bytes()),
        3 => members(json_value()).prop_map(|mut members| {
            members.insert("access_token".into(), json!("AT-2"));
            members.insert("token".into(), json!("AT-2"));
            json!(members).to_string().into_bytes()
        }),
        1 => (members(json_value()), any::<prop::sample::Index>()).prop_map(|(members, cut)| {
            let mut body = json!(members).to_string().into_bytes();
            body.truncate(cut.index(body.len()));
            body
        }),
    ]
}

fn any_status() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(200_u16), 4 => prop::sample::select(vec![201, 400, 401, 403, 404, 429, 501, 502, 503]), 1 => any::<u16>()]
}

fn any_headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec!["retry-after", "x-cloud-error-codes", "content-type"]);
    let date = Just("Wed, 27 Jun 2018 11:39:15 GMT".to_owned());
    let value = prop_oneof![".{0,20}", "[0-9]{0,30}", date, Just("root.unauthorized".to_owned())];
    prop::collection::vec((name.prop_map(str::to_owned), value), 0..3)
}

/// `canary` as it is, in base64 at each of the three offsets, and form-urlencoded.
fn disguises(canary: &str) -> Vec<String> {
    let shifted = |offset: usize| {
        let text = STANDARD.encode(format!("{}{canary}", "x".repeat(offset)));
        // Without the ends, which depend on what stands beside the canary.
        text.chars().skip(4).take(text.len() - 8).collect()
    };
    let encoded = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
    vec![canary.to_owned(), encoded, shifted(0), shifted(1), shifted(2)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_read_without_panic_and_no_token_in_it_is_dropped(
        status in any_status(), headers in any_headers(), body in any_body(),
        sent in prop::sample::select(vec![sent(), DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC]),
    ) {
        let reply = Reply { status, headers, body: RawBody(body) };
        for api in ALL {
            let answer: Option<serde_json::Value> = serde_json::from_slice(&reply.body.0).ok();
            let text = |name: &str| answer.as_ref()?.get(name)?.as_str().filter(|text| !text.is_empty());
            let names = if api == Ece { ("token", None) } else { ("access_token", text("refresh_token")) };
            match provider(api).read(&reply, sent) {
                Ok(set) => {
                    prop_assert!(matches!(status, 200 | 201));
                    prop_assert!(set.access_token.is_some() || set.refresh_token.is_some());
                    prop_assert_eq!(set.access_token.as_ref().map(AccessToken::reveal), text(names.0));
                    prop_assert_eq!(set.refresh_token.as_ref().map(RefreshToken::reveal), names.1);
                }
                Err(error) => {
                    prop_assert_eq!(error.status, status);
                    // The raw answer is kept when the outcome is unknown: what may hold tokens must be.
                    let granted = matches!(status, 200 | 201) && text(names.0).is_some();
                    prop_assert!(!granted || error.class == Class::Unknown);
                    prop_assert!(error.retry_after.is_none_or(|pause| (1..=3600).contains(&pause.as_secs())));
                }
            }
        }
    }

    #[test]
    fn no_token_is_ever_printed(
        canary in "[A-Za-z0-9+/&=%]{24,40}", api in prop::sample::select(ALL.to_vec()), status in any_status(),
        places in prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..6), text in any::<bool>(),
    ) {
        let given = secret(&canary);
        let held = HeldTokens {
            access_token: Some(AccessToken::new(canary.as_str())), refresh_token: Some(RefreshToken::new(canary.as_str())),
            reference_token: given.clone(), ..HeldTokens::default()
        };
        let (client_id, client_secret) = (given.clone(), given.clone());
        let login = Login { username: given.clone(), password: given, client_id, client_secret, ..Login::default() };
        let input = RefreshInput { held: &held, login: &login, now: sent(), attempt: "attempt-1", results: &StepResults::default() };
        let built = provider(api).request(&input);
        prop_assert!(built.is_ok());
        let bad = HeldTokens { access_token: Some(AccessToken::new(format!("{canary}\n"))), refresh_token: None, ..held.clone() };
        let refused = provider(api).request(&RefreshInput { held: &bad, ..input });
        let sent_body = built.as_ref().ok().and_then(|request| request.body.as_ref().map(|body| &body.content));
        let headers = built.as_ref().ok().map(|request| &request.headers);
        let mut printed = vec![format!("{built:?} {sent_body:?} {headers:?} {input:?} {refused:?}")];
        printed.extend(refused.err().map(|error| error.to_string()));

        let mut answer: serde_json::Map<_, _> = places.into_iter().map(|name| (name.to_owned(), json!(canary))).collect();
        answer.insert("access_token".into(), json!(canary));
        answer.insert("token".into(), json!(canary));
        answer.insert("errors".into(), json!([{"code": canary, "message": canary}]));
        // As JSON, or as something that only holds the token.
        let body = if text { format!("token {canary}") } else { json!(answer).to_string() };
        let headers = vec![("x-cloud-error-codes".to_owned(), canary.clone()), ("retry-after".to_owned(), canary.clone())];
        let reply = Reply { status, headers, body: RawBody(body.into_bytes()) };
        let outcome = provider(api).read(&reply, sent());
        printed.push(format!("{reply:?} {outcome:?} {:?}", Delivery::Answered(reply.clone())));
        printed.push(format!("{:?}", Delivery::Lost { why: Lost::Timeout, partial: Some(reply) }));
        printed.extend(outcome.err().map(|error| error.to_string()));
        let printed = printed.join("\n");
        for disguise in disguises(&canary) {
            prop_assert!(!printed.contains(&disguise), "{}", disguise);
        }
    }
}
