//! Manifests of the declared provider, good and bad.

use super::{Case, HTTP, steps};

const HERE: &str = "spec.provider.http";
const KEY: &str = "must be a key such as access_token";
const LINE: &str = "must be one line without control characters";
const POINTER: &str = "must be a JSON Pointer (RFC 6901) such as /auth/client_token";
const NAME: &str = "must be a name such as X-Api-Key";
const RESULT: &str = "must be a name such as exchanged";
const FRAMES: &str = "must not be a header field that frames the message or speaks to proxies";
const UNKNOWN: &str = "unknown field";

/// The base manifest with `provider.http` changed.
fn changed(name: &str, change: &str, field: &str, says: &str) -> Case {
    let field = if field.is_empty() { String::new() } else { format!("{HERE}.{field}") };
    Case::new(name, HTTP, &format!("spec: {{provider: {{http: {{{change}}}}}}}"), &field, says)
}

/// Manifests that the API server must refuse.
pub fn bad() -> Vec<Case> {
    let mut cases: Vec<_> = ROWS.iter().map(|(name, change, field, says)| changed(name, change, field, says)).collect();
    for (place, before, after) in PLACES {
        for (name, change, field, says) in REQUEST {
            let base = *place == "request" || change.starts_with("url:");
            let url = if base { "" } else { "url: 'https://api.example.com/x', " };
            // In a list nothing is merged, so that nothing has to be taken away.
            let change = if before.contains('[') {
                change.replace("bearer: null, ", "").replace("bearer: null", "")
            } else {
                (*change).to_owned()
            };
            let field = if field.is_empty() { (*place).to_owned() } else { format!("{place}.{field}") };
            cases.push(changed(&format!("{name}, {place}"), &format!("{before}{url}{change}{after}"), &field, says));
        }
    }
    cases.extend(steps::BAD.iter().map(|(name, change, field, says)| changed(name, change, field, says)));
    for field in ["accessToken", "refreshToken", "tokenID", "scope", "subject"] {
        for pointer in POINTERS {
            let change = format!("reply: {{{field}: {}}}", serde_json::to_string(pointer).unwrap());
            cases.push(changed(&format!("{field} at {pointer:?}"), &change, &format!("reply.{field}"), POINTER));
        }
    }
    for reserved in RESERVED {
        let change = format!("request: {{headers: [{{name: {reserved}, value: x}}]}}");
        cases.push(changed(&format!("a header field {reserved}"), &change, "request.headers[0].name", FRAMES));
    }
    let whole = |name: &str, change: &str, field: &str, says: &str| Case::new(name, HTTP, change, field, says);
    cases.push(whole(
        "Revoke without a request for it",
        "spec: {deletionPolicy: Revoke}",
        "spec.provider.http.revoke",
        "Required value: must be set with deletionPolicy: Revoke",
    ));
    cases.push(whole(
        "a refresh token of a token that renews itself",
        "spec: {provider: {http: {request: {auth: {bearer: AccessToken}}, reply: {refreshToken: null}, semantics: {rotation: \
         RenewsItself}}}, outputs: [{secretName: o, opaque: {refreshTokenKey: refresh}}]}",
        "spec.outputs",
        "with rotation RenewsItself and Reissue there is no refresh token: leave refreshTokenKey out",
    ));
    cases.push(whole(
        "a lifetime",
        "spec: {request: {lifetime: 1h}}",
        "spec.request.lifetime",
        "the other APIs decide themselves",
    ));
    cases.push(whole("a scope", "spec: {request: {scope: x}}", "spec.request.scope", "jfrogAccess and oauth2 only"));
    cases.extend(oversize());
    cases
}

/// Lists and texts one longer than allowed.
fn oversize() -> Vec<Case> {
    let list = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let headers = list(17, &|n| format!("{{name: X-{n}, value: x}}"));
    let fields = list(33, &|n| format!("{{name: f{n}, value: x}}"));
    let errors = list(33, &|n| format!("{{status: {}, class: Unknown}}", 400 + n));
    let checks = list(9, &|n| format!("{{pointer: /{n}}}"));
    let statuses = list(9, &|n| format!("{}", 200 + n));
    let long = |length: usize| "a".repeat(length);
    let rows = [
        (format!("request: {{headers: [{headers}]}}"), "request.headers", "must have at most 16 items"),
        (format!("request: {{fields: [{fields}]}}"), "request.fields", "must have at most 32 items"),
        (format!("reply: {{errors: [{errors}]}}"), "reply.errors", "must have at most 32 items"),
        (format!("reply: {{success: {{require: [{checks}]}}}}"), "reply.success.require", "must have at most 8 items"),
        (format!("reply: {{success: {{statuses: [{statuses}]}}}}"), "reply.success.statuses", "must have at most 8 items"),
        (format!("reply: {{scope: /{}}}", long(256)), "reply.scope", "may not be more than 256 bytes"),
        (
            format!("request: {{headers: [{{name: {}, value: x}}]}}", long(65)),
            "request.headers[0].name",
            "may not be more than 64 bytes",
        ),
        (
            format!("request: {{headers: [{{name: X, value: {}}}]}}", long(513)),
            "request.headers[0].value",
            "may not be more than 512 bytes",
        ),
        (
            format!("request: {{fields: [{{name: {}, value: x}}]}}", long(129)),
            "request.fields[0].name",
            "may not be more than 128 bytes",
        ),
        (format!("request: {{url: 'https://a.example.com/{}'}}", long(1003)), "request.url", "may not be more than 1024 bytes"),
    ];
    rows.into_iter().map(|(change, field, says)| changed(&format!("too much in {field}"), &change, field, says)).collect()
}

/// Manifests that the API server and the operator must take.
pub fn good() -> Vec<Case> {
    let list = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let long = "é".repeat(512);
    let largest = format!(
        "request: {{encoding: JSON, headers: [{}], fields: [{}]}}, reply: {{scope: /{}, success: {{statuses: [200, 201, 202, 203, 204, 205, \
         206, 299], require: [{}]}}, errors: [{}]}}",
        list(16, &|n| format!("{{name: {}{n:02}, value: {}}}", "x".repeat(62), "y".repeat(512))),
        list(32, &|n| format!("{{name: {}{n:02}, value: {long}}}", "f".repeat(126))),
        "p".repeat(255),
        list(8, &|n| format!("{{pointer: /{n}, equals: '{}'}}", "e".repeat(256))),
        list(32, &|n| format!("{{status: {}, pointer: /{}, equals: x, class: Transient}}", 500 + n, "q".repeat(255))),
    );
    let mut cases: Vec<_> = GOOD.iter().chain(steps::GOOD).map(|(name, change)| changed(name, change, "", "")).collect();
    cases.push(changed("everything at its limit", &largest, "", ""));
    cases
}

const POINTERS: &[&str] = &["", "token", "auth/token", "/a~", "/a~2", "/a/~b", "/a\n", "/a\u{1}b", "#/token", "$.token"];

const RESERVED: &[&str] = &[
    "Host",
    "content-length",
    "Content-Type",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Accept-Encoding",
    "Proxy-Authorization",
    "PROXY-CONNECTION",
];

pub type Row = (&'static str, &'static str, &'static str, &'static str);

/// Where requests stand, and what is before and after what is wrong there.
const PLACES: &[(&str, &str, &str)] = &[
    ("request", "request: {", "}"),
    ("revoke.request", "revoke: {request: {", "}}"),
    ("probe.request", "probe: {unspent: [{status: 200}], spent: [{status: 404}], request: {", "}}"),
    ("verify.request", "verify: {request: {", "}}"),
    ("steps[0].request", "semantics: {rotation: Reusable}, steps: [{results: [{name: r, pointer: /r}], request: {", "}}]"),
];

/// What is wrong in any request.
const REQUEST: &[Row] = &[
    ("a URL with a fragment", "url: 'https://a.example.com/#x'", "url", "must be an absolute URL"),
    ("a URL with a hidden address", "url: 'https://0x7f.1/'", "url", "must name a host or a plain dotted IPv4 address"),
    ("a URL in the cluster", "url: 'https://kubernetes.default.svc'", "url", "must not point at link-local"),
    ("an unknown method", "method: HEAD", "method", r#"supported values: "POST", "PUT", "PATCH", "DELETE", "GET""#),
    ("a GET with a body", "method: GET, fields: [{name: a, value: b}]", "fields", "must be left out with method: GET"),
    (
        "a result's name with a space in auth",
        "auth: {bearer: null, header: {name: X, fromResult: 'a b'}}",
        "auth.header.fromResult",
        RESULT,
    ),
    (
        "a result's name with a space in a header field",
        "headers: [{name: X, fromResult: 'a b'}]",
        "headers[0].fromResult",
        RESULT,
    ),
    ("a result's name with a digit first", "fields: [{name: a, fromResult: 1a}]", "fields[0].fromResult", RESULT),
    (
        "two ways to authenticate",
        "auth: {bearer: AccessToken, header: {name: X, from: AccessToken}}",
        "auth",
        "must have exactly one of basic, bearer, header",
    ),
    ("no way to authenticate", "auth: {bearer: null}", "auth", "must have exactly one of basic, bearer, header"),
    ("an unknown token", "auth: {bearer: IDToken}", "auth.bearer", r#"supported values: "AccessToken", "RefreshToken""#),
    (
        "a user name's key with a slash",
        "auth: {bearer: null, basic: {usernameKey: a/b, passwordKey: b}}",
        "auth.basic.usernameKey",
        KEY,
    ),
    (
        "a password's key with a slash",
        "auth: {bearer: null, basic: {usernameKey: a, passwordKey: ../b}}",
        "auth.basic.passwordKey",
        KEY,
    ),
    (
        "a header without a value",
        "auth: {bearer: null, header: {name: X}}",
        "auth.header",
        "must have exactly one of from, seedKey and fromResult",
    ),
    (
        "a header with two values",
        "auth: {bearer: null, header: {name: X, from: AccessToken, seedKey: k}}",
        "auth.header",
        "must have exactly one of from, seedKey and fromResult",
    ),
    (
        "a header that ends its line",
        "auth: {bearer: null, header: {name: \"X: y\\r\\nZ\", from: AccessToken}}",
        "auth.header.name",
        NAME,
    ),
    ("the host as credential", "auth: {bearer: null, header: {name: Host, from: AccessToken}}", "auth.header.name", FRAMES),
    (
        "two words before a token",
        "auth: {bearer: null, header: {name: X, prefix: 'a b', from: AccessToken}}",
        "auth.header.prefix",
        NAME,
    ),
    ("a seed key with a slash in auth", "auth: {bearer: null, header: {name: X, seedKey: a/b}}", "auth.header.seedKey", KEY),
    (
        "a header field twice",
        "headers: [{name: X-A, value: a}, {name: x-a, value: b}]",
        "headers",
        "each header field may stand only once",
    ),
    (
        "the header field of auth twice",
        "auth: {bearer: null, header: {name: X-A, from: RefreshToken}}, headers: [{name: x-a, value: b}]",
        "headers",
        "must not have the header field of auth once more",
    ),
    (
        "a header field without value",
        "headers: [{name: X-A}]",
        "headers[0]",
        "must have exactly one of value, from, seedKey and fromResult",
    ),
    (
        "a header field with two values",
        "headers: [{name: X-A, value: a, from: AccessToken}]",
        "headers[0]",
        "must have exactly one of value, from, seedKey and fromResult",
    ),
    ("a header field's name with a space", "headers: [{name: 'X A', value: a}]", "headers[0].name", NAME),
    ("a header field without name", "headers: [{name: '', value: a}]", "headers[0].name", NAME),
    (
        "credentials beside auth",
        "headers: [{name: authorization, from: AccessToken}]",
        "headers[0].name",
        "must not be Authorization: use auth",
    ),
    ("another host", "headers: [{name: host, value: evil.example.org}]", "headers[0].name", FRAMES),
    (
        "a line break in a header field",
        "headers: [{name: X-A, value: \"a\\r\\nHost: b\"}]",
        "headers[0].value",
        "must be visible ASCII characters",
    ),
    (
        "a space at the end of a header field",
        "headers: [{name: X-A, value: 'a '}]",
        "headers[0].value",
        "must be visible ASCII characters",
    ),
    ("an umlaut in a header field", "headers: [{name: X-A, value: ä}]", "headers[0].value", "must be visible ASCII characters"),
    (
        "a template in place of a source",
        "headers: [{name: X-A, from: '{{ refreshToken }}'}]",
        "headers[0].from",
        "supported values",
    ),
    ("a seed key with a slash in a header field", "headers: [{name: X-A, seedKey: ../x}]", "headers[0].seedKey", KEY),
    ("no fields", "fields: []", "fields", "should have at least 1 items"),
    ("an encoding of nothing", "encoding: JSON", "encoding", "belongs to fields: set both or neither"),
    ("an unknown encoding", "encoding: XML, fields: [{name: a, value: b}]", "encoding", r#"supported values: "Form", "JSON""#),
    ("a field twice", "fields: [{name: a, value: a}, {name: a, from: RefreshToken}]", "fields", "each field may stand only once"),
    ("a field without value", "fields: [{name: a}]", "fields[0]", "must have exactly one of value, from, seedKey and fromResult"),
    (
        "a field with all values",
        "fields: [{name: a, value: b, from: AccessToken, seedKey: c}]",
        "fields[0]",
        "must have exactly one of value, from, seedKey and fromResult",
    ),
    (
        "a number that is none",
        "encoding: JSON, fields: [{name: a, value: '1e9', jsonType: Number}]",
        "fields[0]",
        "jsonType is for a value",
    ),
    (
        "a number with a zero before it",
        "encoding: JSON, fields: [{name: a, value: '007', jsonType: Number}]",
        "fields[0]",
        "jsonType is for a value",
    ),
    (
        "a truth value that is none",
        "encoding: JSON, fields: [{name: a, value: 'yes', jsonType: Boolean}]",
        "fields[0]",
        "jsonType is for a value",
    ),
    (
        "a token as a number",
        "encoding: JSON, fields: [{name: a, from: AccessToken, jsonType: Number}]",
        "fields[0]",
        "jsonType is for a value",
    ),
    ("a number in a form", "fields: [{name: a, value: '7', jsonType: Number}]", "fields", "jsonType belongs to encoding: JSON"),
    ("a field's name of two lines", "fields: [{name: \"a\\nb\", value: c}]", "fields[0].name", LINE),
    ("a field of two lines", "fields: [{name: a, value: \"b\\nc\"}]", "fields[0].value", LINE),
    ("a seed key with a slash in a field", "fields: [{name: a, seedKey: b/c}]", "fields[0].seedKey", KEY),
];

const ROWS: &[Row] = &[
    ("no request", "request: null", "request", "Required value"),
    ("no reply", "reply: null", "reply", "Required value"),
    ("no semantics", "semantics: null", "semantics", "Required value"),
    ("no access token", "reply: {accessToken: null}", "reply.accessToken", "Required value"),
    (
        "an unknown rotation",
        "semantics: {rotation: strict}",
        "semantics.rotation",
        r#"supported values: "Strict", "Grace", "IdempotencyKey", "Reusable", "RenewsItself", "Reissue""#,
    ),
    ("Grace alone", "semantics: {rotation: Grace}", "semantics", "graceSeconds belongs to rotation: Grace"),
    ("graceSeconds alone", "semantics: {graceSeconds: 30}", "semantics", "graceSeconds belongs to rotation: Grace"),
    (
        "grace of more than a day",
        "semantics: {rotation: Grace, graceSeconds: 86401}",
        "semantics.graceSeconds",
        "less than or equal to 86400",
    ),
    ("a request that presents nothing", "request: {auth: null}", "request", "must present the token that is refreshed"),
    (
        "a request that presents the wrong token",
        "request: {auth: {bearer: AccessToken}}",
        "request",
        "must present the token that is refreshed",
    ),
    (
        "a renewal that presents the wrong token",
        "reply: {refreshToken: null}, semantics: {rotation: RenewsItself}",
        "request",
        "AccessToken with rotation RenewsItself, RefreshToken with all others but Reissue",
    ),
    (
        "a renewal with a refresh token in its answer",
        "request: {auth: {bearer: AccessToken}}, semantics: {rotation: RenewsItself}",
        "semantics.rotation",
        "with rotation RenewsItself and Reissue there is no refresh token",
    ),
    (
        "a renewal with a refresh token in its request",
        "request: {auth: {bearer: AccessToken}, fields: [{name: a, from: RefreshToken}]}, reply: {refreshToken: null}, semantics: {rotation: RenewsItself}",
        "semantics.rotation",
        "with rotation RenewsItself and Reissue there is no refresh token",
    ),
    (
        "a renewal that revokes a refresh token",
        "request: {auth: {bearer: AccessToken}}, revoke: {request: {url: 'https://a.example.com/r', auth: {bearer: RefreshToken}}}, \
         reply: {refreshToken: null}, semantics: {rotation: RenewsItself}",
        "semantics.rotation",
        "with rotation RenewsItself and Reissue there is no refresh token",
    ),
    ("no successor", "reply: {refreshToken: null}", "reply.refreshToken", "Required value: must be set with rotation Strict"),
    (
        "a repeat without its key",
        "semantics: {rotation: IdempotencyKey}",
        "request",
        "must send AttemptID with rotation IdempotencyKey",
    ),
    (
        "an attempt that is none",
        "revoke: {request: {url: 'https://a.example.com/r', headers: [{name: X, from: AttemptID}]}}",
        "revoke.request",
        "must not send AttemptID",
    ),
    ("a revocation without address", "revoke: {request: {auth: {bearer: RefreshToken}}}", "revoke.request.url", "Required value"),
    (
        "a revocation by refusal",
        "revoke: {request: {url: 'https://a.example.com/r'}, statuses: [404]}",
        "revoke.statuses[0]",
        "less than or equal to 299",
    ),
    (
        "no refresh token, and what if it is missing",
        "semantics: {rotation: Reusable}, reply: {refreshToken: null, onMissingRefreshToken: Keep}",
        "reply.onMissingRefreshToken",
        "belongs to refreshToken",
    ),
    ("success by refusal", "reply: {success: {statuses: [200, 400]}}", "reply.success.statuses[1]", "less than or equal to 299"),
    ("success by nothing", "reply: {success: {statuses: []}}", "reply.success.statuses", "should have at least 1 items"),
    (
        "a required place that is none",
        "reply: {success: {require: [{pointer: ok}]}}",
        "reply.success.require[0].pointer",
        POINTER,
    ),
    (
        "a required text of two lines",
        "reply: {success: {require: [{pointer: /ok, equals: \"a\\nb\"}]}}",
        "reply.success.require[0].equals",
        LINE,
    ),
    ("an expiry at no place", "reply: {expiry: {pointer: x, format: Seconds}}", "reply.expiry.pointer", POINTER),
    ("an expiry without format", "reply: {expiry: {pointer: /x}}", "reply.expiry.format", "Required value"),
    (
        "an expiry in minutes",
        "reply: {expiry: {pointer: /x, format: Minutes}}",
        "reply.expiry.format",
        r#"supported values: "Seconds", "RFC3339", "Date""#,
    ),
    (
        "a refresh token's expiry at no place",
        "reply: {refreshExpiry: {pointer: x, format: Seconds}}",
        "reply.refreshExpiry.pointer",
        POINTER,
    ),
    (
        "an error that every answer is",
        "reply: {errors: [{class: ChainOver}]}",
        "reply.errors[0]",
        "must have a status of 300 or above, or a pointer",
    ),
    (
        "an error by success alone",
        "reply: {errors: [{status: 200, class: ChainOver}]}",
        "reply.errors[0]",
        "must have a status of 300 or above, or a pointer",
    ),
    (
        "an error that equals nowhere",
        "reply: {errors: [{status: 400, equals: x, class: ChainOver}]}",
        "reply.errors[0].equals",
        "belongs to pointer",
    ),
    ("an error at no place", "reply: {errors: [{pointer: error, class: ChainOver}]}", "reply.errors[0].pointer", POINTER),
    (
        "an error of two lines",
        "reply: {errors: [{pointer: /error, equals: \"a\\nb\", class: ChainOver}]}",
        "reply.errors[0].equals",
        LINE,
    ),
    (
        "an unknown class",
        "reply: {errors: [{status: 400, class: Fatal}]}",
        "reply.errors[0].class",
        r#"supported values: "Transient""#,
    ),
    ("an error without class", "reply: {errors: [{status: 400}]}", "reply.errors[0].class", "Required value"),
    (
        "a status that HTTP has not",
        "reply: {errors: [{status: 600, class: Unknown}]}",
        "reply.errors[0].status",
        "less than or equal to 599",
    ),
    ("a script", "request: {body: '{{ refreshToken }}'}", "", UNKNOWN),
    ("a secret in the query", "request: {query: [{name: t, from: RefreshToken}]}", "", UNKNOWN),
    ("a seed of another namespace", "request: {fields: [{name: t, seedKey: k, namespace: kube-system}]}", "", UNKNOWN),
];

const GOOD: &[(&str, &str)] = &[
    ("the smallest declaration", ""),
    (
        "a form with a client's credentials",
        "request: {auth: {bearer: null, basic: {usernameKey: client_id, passwordKey: client_secret}}, fields: [{name: grant_type, value: \
         refresh_token}, {name: refresh_token, from: RefreshToken}], headers: [{name: Accept, value: 'application/json; q=1'}, {name: User-Agent, value: x}]}",
    ),
    (
        "JSON of every type",
        "request: {method: PUT, encoding: JSON, fields: [{name: t, from: RefreshToken}, {name: a, from: AccessToken}, {name: k, seedKey: api_key}, \
         {name: ttl, value: '-0.5', jsonType: Number}, {name: b, value: 'false', jsonType: Boolean}]}",
    ),
    ("another scheme", "request: {auth: {bearer: null, header: {name: Authorization, prefix: Token, from: RefreshToken}}}"),
    (
        "an idempotency key in a field",
        "request: {fields: [{name: request_id, from: AttemptID}]}, semantics: {rotation: IdempotencyKey}",
    ),
    (
        "everything that a reply can say",
        "reply: {success: {statuses: [200], require: [{pointer: /ok, equals: 'true'}, {pointer: /data}]}, onMissingRefreshToken: EndChain, tokenID: \
         /~0/~1, scope: /data/0/scope, subject: '/a b', expiry: {pointer: /exp, format: UnixMilliseconds}, refreshExpiry: {pointer: /rexp, format: \
         RFC3339}, errors: [{status: 200, pointer: /error, equals: '', class: ChainOver}, {status: 500, class: Transient}, {pointer: /e, class: Throttled}]}",
    ),
    (
        "a token that renews itself",
        "request: {auth: {bearer: AccessToken}}, reply: {refreshToken: null}, semantics: {rotation: RenewsItself}, revoke: {request: {method: DELETE, url: \
         'https://a.example.com/r', auth: {bearer: AccessToken}}, statuses: [204]}",
    ),
    ("a token that is reused", "reply: {refreshToken: null}, semantics: {rotation: Reusable}"),
    ("grace", "semantics: {rotation: Grace, graceSeconds: 60}"),
];
