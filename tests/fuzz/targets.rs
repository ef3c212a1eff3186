//! What others hand in, as bytes: each target takes any, and breaks down only where a promise of the operator's is broken.
//!
//! Used by the tests beside it and by `fuzz/run`, which looks for inputs by the code that they reach.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use refreshable_token_operator::api::template::{Name, Template};
use refreshable_token_operator::api::{ProviderSpec, RefreshWindow, RefreshableToken, RequestSpec, SpecDuration, Window};
use refreshable_token_operator::operator::endpoint::EndpointPolicy;
use refreshable_token_operator::operator::transport::CaBundle;
use refreshable_token_operator::provider::{Class, Probed, Provider, RawBody, Reply, StepResults};
use refreshable_token_operator::token::{AccessToken, RefreshToken, SecretText, SigningKey, jwt_claims};
use serde_json::{Value, json};
use url::{Host, Url};

use super::exchange;

/// What takes an input, and panics where it is not as it shall be.
type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("reply", reply),
    ("refusal", refusal),
    ("endpoint", endpoint),
    ("address", address),
    ("policy", policy),
    ("template", template),
    ("journal", exchange::journal),
    ("object", object),
    ("jwt", jwt),
    ("duration", duration),
    ("window", window),
    ("pem", pem),
];

/// Runs the target of this name; whether there is one.
pub fn run(name: &str, data: &[u8]) -> bool {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.map(|(_, target)| target(data)).is_some()
}

/// 27 June 2018, 11:38:15 UTC.
pub fn sent() -> DateTime<Utc> {
    DateTime::from_timestamp(1_530_099_495, 0).unwrap()
}

const EXAMPLES: [&str; 4] = [
    include_str!("../../examples/manifests/vault-renew-self.yaml"),
    include_str!("../../examples/manifests/gitlab-personal-access-token.yaml"),
    include_str!("../../examples/manifests/pocketbase-auth-refresh.yaml"),
    include_str!("../../examples/manifests/azure-container-registry.yaml"),
];

/// A token API of each kind; the declared ones are those of the examples, and one with every part of `provider.http`.
static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    let declared = EXAMPLES.iter().map(|text| {
        let object: RefreshableToken = serde_saphyr::from_str(text.split("\n---\n").last().unwrap()).unwrap();
        object.spec.provider.unwrap()
    });
    let error =
        |status: Value, pointer: &str, class: &str| json!({"status": status, "pointer": pointer, "equals": "x", "class": class});
    let whole = json!({"http": {
        "request": {"url": "https://api.example.com/token", "auth": {"bearer": "RefreshToken"}},
        "reply": {"accessToken": "/a", "refreshToken": "/b/0", "scope": "/s", "tokenID": "/i", "subject": "/c",
            "expiry": {"pointer": "/e", "format": "UnixSeconds"},
            "success": {"statuses": [200, 202], "require": [{"pointer": "/ok", "equals": "true"}]},
            "errors": [error(json!(400), "/error", "ChainOver"), error(Value::Null, "/error/code", "Transient")]},
        "semantics": {"rotation": "Strict"},
        "probe": {"request": {"url": "https://api.example.com/me", "auth": {"bearer": "RefreshToken"}},
            "unspent": [{"status": 200, "pointer": "/state", "equals": "active"}], "spent": [{"status": 200, "pointer": "/state", "equals": "x"}]},
        "verify": {"request": {"url": "https://api.example.com/me", "auth": {"bearer": "AccessToken"}},
            "success": {"require": [{"pointer": "/state", "equals": "active"}]}},
    }});
    let oauth2 = |preset: &str| {
        json!({"oauth2": {"tokenURL": "https://idp.example.com/token", "preset": preset,
        "revocationURL": "https://idp.example.com/revoke"}})
    };
    let named = [
        json!({"jfrogAccess": {"url": "https://art.example.com"}}),
        json!({"jfrogDistribution": {"url": "https://art.example.com"}}),
        json!({"elasticCloudEnterprise": {"url": "https://ece.example.com"}}),
        json!({"oauth2": {"tokenURL": "https://idp.example.com/token"}}),
        oauth2("Keycloak"),
        oauth2("Entra"),
        oauth2("Dex"),
        whole,
    ];
    let asks = json!({"oauth2": {"tokenURL": "https://idp.example.com/token", "introspectionURL": "https://idp.example.com/introspect"}});
    let read = |spec| serde_json::from_value::<ProviderSpec>(spec).unwrap();
    let specs = named.into_iter().map(read).chain(declared).chain(std::iter::once(read(asks)));
    specs.map(|spec| Provider::new(spec, RequestSpec::default())).collect()
});

const STATUSES: [u16; 20] = [200, 201, 202, 204, 302, 400, 401, 403, 404, 405, 408, 409, 415, 429, 449, 500, 501, 502, 503, 504];

/// An answer: a byte for the token API, one for the status, header fields up to an empty line, and the body. Without an empty line
/// all is body.
fn answer(data: &[u8]) -> Option<(&'static Provider, Reply)> {
    let ([api, status], rest) = data.split_first_chunk::<2>()?;
    let providers: &'static [Provider] = &PROVIDERS;
    let provider = providers.get(usize::from(*api) % providers.len())?;
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let end = rest.windows(2).position(|pair| pair == b"\n\n");
    let (header, body) = end.map_or((&[][..], rest), |end| (&rest[..end], &rest[end + 2..]));
    let header = String::from_utf8_lossy(header);
    let fields = header.lines().filter_map(|line| line.split_once(": "));
    let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some((provider, Reply { status, headers, body: RawBody(body.to_vec()) }))
}

/// Every text in a document.
fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The answer to a refresh: a token that is taken stands in the answer, what is shown holds none, and a success is never given up.
fn reply(data: &[u8]) {
    let Some((provider, reply)) = answer(data) else { return };
    let read = provider.read(&reply, sent());
    let mut all = Vec::new();
    texts(&serde_json::from_slice(&reply.body.0).unwrap_or_default(), &mut all);
    match &read {
        Ok(set) => {
            let access = set.access_token.as_ref().map(AccessToken::reveal);
            let refresh = set.refresh_token.as_ref().map(RefreshToken::reveal);
            assert!(access.is_some() || refresh.is_some());
            let reference = set.reference_token.as_ref().map(SecretText::reveal);
            for token in [access, refresh, reference].into_iter().flatten() {
                assert!(!token.is_empty() && all.iter().any(|text| text == token), "a token that nobody gave");
                for shown in [&set.scope, &set.subject, &set.token_id].into_iter().flatten() {
                    assert!(!shown.contains(token) && !shown.chars().any(char::is_control), "a token is shown");
                }
            }
        }
        Err(error) => {
            assert_eq!(error.status, reply.status);
            assert!(error.retry_after.is_none_or(|pause| (1..=3600).contains(&pause.as_secs())));
        }
    }
    let printed = format!("{reply:?} {read:?} {:?}", read.as_ref().err().map(ToString::to_string));
    // Words of our own are shorter than this.
    let secret = |text: &&String| text.len() >= 64 && !shown(&read, text);
    assert!(!all.iter().filter(secret).any(|text| printed.contains(text.as_str())), "an answer is printed");
}

/// Whether a text is what the answer calls its token, scope or subject, which a status may show.
fn shown(
    read: &Result<refreshable_token_operator::token::TokenSet, refreshable_token_operator::provider::TokenError>,
    text: &str,
) -> bool {
    let Ok(set) = read else { return false };
    [&set.scope, &set.subject, &set.token_id].into_iter().flatten().any(|shown| shown.contains(text))
}

/// The answer to a refresh, to a request for first tokens or to a revocation as a proof: what a server in front can have said proves nothing
/// about a token that works once. And as the answer to a question or a step, which only the API itself can have given.
fn refusal(data: &[u8]) {
    let Some((provider, reply)) = answer(data) else { return };
    let declared =
        provider.url().starts_with("https://api.example.com") || EXAMPLES.iter().any(|text| text.contains(provider.url()));
    if let Err(error) = provider.read(&reply, sent())
        && provider.semantics().spends()
        && !declared
        && matches!(reply.status, 300..=399 | 408 | 500..=599)
    {
        assert_eq!(error.class, Class::Unknown, "{error}");
    }
    let named = provider.spec().name() == "oauth2" || provider.spec().name() == "http";
    match provider.read_probe(&reply) {
        Probed::Unspent | Probed::Spent => assert!(named && matches!(reply.status, 200..=299 | 400..=499)),
        Probed::Unclear => {}
    }
    let mut results = StepResults::default();
    let step = provider.read_step(0, &reply, &mut results);
    let printed = format!("{step:?} {results:?}");
    let mut all = Vec::new();
    texts(&serde_json::from_slice(&reply.body.0).unwrap_or_default(), &mut all);
    assert!(!all.iter().any(|text| text.len() >= 64 && printed.contains(text.as_str())), "a result is printed");
    if let Err(error) = &step {
        assert!(results == StepResults::default() && error.class != Class::Unknown, "{error}");
    }
    let verified = provider.read_verification(&reply);
    assert!(verified.is_err() || (200..300).contains(&reply.status));
    // To first tokens: no chain is over that has not begun, and OAuth 2.0 begins none without a refresh token.
    match provider.clone().creating().read(&reply, sent()) {
        Ok(set) => assert!(set.refresh_token.is_some() || provider.name() != "oauth2"),
        Err(error) => assert_ne!(error.class, Class::ChainOver, "{error}"),
    }
    for error in [provider.read_revocation(&reply, sent()).err(), step.err(), verified.err()].into_iter().flatten() {
        assert_eq!(error.status, reply.status);
        assert!(error.retry_after.is_none_or(|pause| (1..=3600).contains(&pause.as_secs())));
    }
}

/// Whether the standard library and the plainest reading of the RFCs call an address one of the inside.
fn inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let mapped = ip.to_ipv4().is_some_and(|ip| inside(ip.into()));
            mapped
                || ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

/// A URL that is allowed without a rule leads over https to a public address or a whole name.
fn endpoint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let policy = EndpointPolicy::default();
    // A proxy's address is a scheme of its own and no more than a host and a port.
    let (scheme, allowed) = match (policy.check_url(&text), policy.check_proxy(&text)) {
        (Ok(allowed), Err(_)) => ("https", allowed),
        (Err(_), Ok(proxy)) => ("http", proxy),
        (Err(_), Err(_)) => return,
        (Ok(_), Ok(_)) => panic!("{text} is both"),
    };
    assert_eq!((allowed.scheme(), allowed.username(), allowed.password(), allowed.fragment()), (scheme, "", None, None));
    assert!(scheme == "https" || (allowed.path(), allowed.query()) == ("/", None), "{text}");
    assert_eq!(Url::parse(&text).unwrap(), allowed);
    match allowed.host().unwrap() {
        Host::Ipv4(ip) => assert!(!inside(ip.into()), "{ip}"),
        Host::Ipv6(ip) => assert!(!inside(ip.into()), "{ip}"),
        Host::Domain(name) => {
            assert!(name.contains('.') && name.parse::<IpAddr>().is_err(), "{name}");
            let last = name.rsplit('.').next().unwrap();
            let of_cluster = name == "cluster.local" || name.ends_with(".cluster.local");
            assert!(!["", "svc", "localhost"].contains(&last) && !of_cluster, "{name}");
            // No other reader of the same text sees another host.
            let written = text.to_ascii_lowercase();
            let authority = written.trim_start_matches(&format!("{scheme}://")).split(['/', '?']).next().unwrap();
            assert_eq!(authority.split(':').next(), Some(name), "{text}");
        }
    }
}

/// An address that is allowed without a rule is none of the inside, in whatever dress.
fn address(data: &[u8]) {
    let policy = EndpointPolicy::default();
    if let Some(bytes) = data.first_chunk::<16>() {
        let ip = Ipv6Addr::from(*bytes);
        let allowed = policy.check_address("art.example.com", ip.into()).is_ok();
        assert!(!(allowed && inside(ip.into())), "{ip}");
        // As a name, it is not another one.
        assert_eq!(policy.check_url(&format!("https://[{ip}]/")).is_ok(), allowed, "{ip}");
    }
    if let Some(bytes) = data.first_chunk::<4>() {
        let ip = std::net::Ipv4Addr::from(*bytes);
        let allowed = policy.check_address("art.example.com", ip.into()).is_ok();
        assert!(!(allowed && inside(ip.into())), "{ip}");
        let dresses = [ip.to_ipv6_mapped(), Ipv6Addr::from_bits((0x0064_ff9b_u128 << 96) | u128::from(ip.to_bits()))];
        for dress in dresses {
            assert_eq!(policy.check_address("art.example.com", dress.into()).is_ok(), allowed, "{dress}");
        }
    }
}

/// A policy file that is taken cannot allow what is never allowed.
fn policy(data: &[u8]) {
    let Ok(policy) = EndpointPolicy::from_yaml(&String::from_utf8_lossy(data)) else { return };
    for never in ["169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::", "ff02::1", "::ffff:169.254.169.254"] {
        assert!(policy.check_address("art.example.com", never.parse().unwrap()).is_err(), "{never}");
    }
    for never in
        ["https://kubernetes.default.svc/", "https://metadata.google.internal/", "http://169.254.169.254/", "https://0x7f.1/"]
    {
        assert!(policy.check_url(never).is_err(), "{never}");
    }
}

/// A template that is taken writes no more than a Secret holds.
fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1);
            assert!(!error.to_string().chars().any(char::is_control) && error.what.len() < 1024, "{error}");
            return;
        }
    };
    for value in ["", "t", "\"<&'\n\0é"] {
        let written = template.render(|name| (name != Name::Reference).then(|| value.repeat(1024)));
        assert!(
            written.is_ok_and(|written| written.len() <= 1024 * 1024)
                || value.len() > 1
                || data.len() > 256
                || template.names(Name::Reference)
        );
    }
}

/// An object as it is stored, with its status, and what other things happen: see [`exchange::object`].
fn object(data: &[u8]) {
    let mut documents = serde_json::Deserializer::from_slice(data).into_iter::<RefreshableToken>();
    if let Some(Ok(object)) = documents.next() {
        let rest = data.get(documents.byte_offset()..).unwrap_or_default();
        exchange::object(&object, rest);
    }
}

/// A token, and the claims of one.
fn jwt(data: &[u8]) {
    let _ = jwt_claims(&AccessToken::new(String::from_utf8_lossy(data)));
    let token = AccessToken::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(data)));
    if let Some(claims) = jwt_claims(&token) {
        assert!(serde_json::from_slice::<Value>(data).is_ok_and(|value| value.is_object()), "{claims:?}");
    }
}

/// A duration that is taken is written back as one that says the same.
fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(duration) = SpecDuration::parse(text) else { return };
    assert!(text.len() <= 20, "{text}");
    if !duration.get().is_zero() && duration.get().as_secs() <= 99_999 * 3600 {
        assert_eq!(SpecDuration::parse(&duration.to_string()), Ok(duration), "{text}");
    }
}

/// A time, a cron expression and a time zone, each on a line. A window that is taken opens within nine years, and when it is asked for.
fn window(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (Some(time), Some(cron), Some(zone)) = (lines.next(), lines.next(), lines.next()) else { return };
    let Ok(time) = DateTime::parse_from_rfc3339(time).map(|time| time.to_utc()) else { return };
    let duration = SpecDuration::from_secs(3600);
    let spec = RefreshWindow { cron: cron.to_owned(), time_zone: Some(zone.to_owned()), duration };
    let Ok(window) = Window::read(&spec) else { return };
    let until = time.checked_add_signed(TimeDelta::days(9 * 366)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let opens = window.opens(time, until);
    // What zones did long ago, and what calendars come to at their end, is not looked at.
    if (1970..9000).contains(&time.year()) {
        let opens = opens.unwrap_or_else(|| panic!("{text} never opens"));
        assert!(time < opens + TimeDelta::seconds(3600) && opens < until, "{text} opens at {opens}");
    }
}

/// Certificate authorities and private keys.
fn pem(data: &[u8]) {
    let _ = CaBundle::parse(data);
    if let Err(error) = SigningKey::parse(data) {
        assert!(error.to_string().len() < 300);
    }
}
