//! Manifests that the API server must refuse, with the field and the words that a person gets.

use super::{ACCESS, Case, DISTRIBUTION, ELASTIC, HTTP, OAUTH2, consumers, http};

/// What is changed in the base manifest (a merge patch), the field that the refusal names, and what it says.
type Row = (&'static str, &'static str, &'static str, &'static str);

const NAME: &str = "must be a name such as artifactory-ci";
const KEY: &str = "must be a key such as access_token";
const URL: &str = "must be an absolute URL";
const HOST: &str = "must name a host or a plain dotted IPv4 address";
const OUTSIDE: &str = "must not point at link-local, multicast, metadata or cluster-internal addresses";
const LINE: &str = "must be one line without control characters";
const COLON: &str = "must not hold a colon or a control character";
const UNKNOWN: &str = "unknown field";
const FILE_URL: &str = "must be an absolute URL such as https://art.example.com/api/npm/npm/";
const RESERVED: &str = "argocd.argoproj.io and sealedsecrets.bitnami.com are reserved";
const LABEL_NAME: &str = "each name must be written like team or example.com/team";

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (base, rows) in
        [(ACCESS, PROVIDER), (ACCESS, REQUEST), (ACCESS, REFRESH), (ACCESS, NAMES), (ACCESS, OUTPUTS), (ACCESS, FIELDS)]
    {
        cases.extend(rows.iter().map(|row| case(base, row)));
    }
    for (base, rows) in [(DISTRIBUTION, DISTRIBUTION_ROWS), (ELASTIC, ELASTIC_ROWS), (OAUTH2, OAUTH2_ROWS)] {
        cases.extend(rows.iter().map(|row| case(base, row)));
    }
    for (url, says) in URLS {
        cases.push(url_case(ACCESS, "jfrogAccess", "url", url, says));
    }
    for (base, provider, field) in [
        (ACCESS, "jfrogAccess", "url"),
        (DISTRIBUTION, "jfrogDistribution", "url"),
        (ELASTIC, "elasticCloudEnterprise", "url"),
        (OAUTH2, "oauth2", "tokenURL"),
    ] {
        for (url, says) in
            [("https://a.example.com/#x", URL), ("https://0x7f.1/", HOST), ("https://kubernetes.default.svc", OUTSIDE), ("", URL)]
        {
            cases.push(url_case(base, provider, field, url, says));
        }
        cases.extend(common(base, provider));
    }
    cases.extend(behind_proxy());
    cases.extend(oversize());
    cases.extend(FILES.iter().map(|(name, file, field, says)| beside("files", name, &format!("[{file}]"), field, says)));
    cases.extend(OUTPUT_METADATA.iter().map(|(name, entries, field, says)| beside("metadata", name, entries, field, says)));
    cases.extend(common(HTTP, "http"));
    cases.extend(http::bad());
    cases.extend(consumers::bad());
    cases
}

/// What stands beside the shape of an output.
fn beside(what: &str, name: &str, value: &str, field: &str, says: &str) -> Case {
    let change = format!("spec: {{outputs: [{{secretName: o, opaque: {{}}, {what}: {value}}}]}}");
    let field = if field == UNKNOWN { String::new() } else { format!("spec.outputs[0]{field}") };
    Case::new(name, ACCESS, &change, &field, says)
}

fn case(base: &str, (name, change, field, says): &Row) -> Case {
    Case::new(name, base, change, field, says)
}

fn url_case(base: &str, provider: &str, field: &str, url: &str, says: &str) -> Case {
    let change = format!("spec: {{provider: {{{provider}: {{{field}: {}}}}}}}", serde_json::to_string(url).unwrap());
    Case::new(&format!("{provider} at {url:?}"), base, &change, &format!("spec.provider.{provider}.{field}"), says)
}

/// What all providers share.
fn common(base: &str, provider: &str) -> Vec<Case> {
    let rows = [
        ("tls: {caBundleRef: {kind: ConfigMap, name: ../ca}}", "tls.caBundleRef.name", NAME),
        ("tls: {caBundleRef: {kind: Secret, name: ca, key: a/b}}", "tls.caBundleRef.key", KEY),
        ("tls: {caBundleRef: {name: ca}}", "tls.caBundleRef.kind", "Required value"),
        ("tls: {caBundleRef: {kind: Pod, name: ca}}", "tls.caBundleRef.kind", r#"supported values: "ConfigMap", "Secret""#),
        ("tls: {}", "tls", "must have caBundleRef or clientCertificateRef"),
        ("tls: {clientCertificateRef: {}}", "tls.clientCertificateRef.name", "Required value"),
        ("tls: {clientCertificateRef: {name: a/b}}", "tls.clientCertificateRef.name", NAME),
        ("proxy: {}", "proxy.url", "Required value"),
        ("proxy: {url: 'https://proxy.example.com:3128'}", "proxy.url", "must be http:// with a host and a port"),
        ("proxy: {url: 'http://a:b@proxy.example.com:3128'}", "proxy.url", "must be http:// with a host and a port"),
        ("proxy: {url: 'http://proxy.example.com:3128/path'}", "proxy.url", "must be http:// with a host and a port"),
        ("proxy: {url: 'http://proxy.example.com:0'}", "proxy.url", "must be http:// with a host and a port"),
        ("proxy: {url: 'proxy.example.com:3128'}", "proxy.url", "must be http:// with a host and a port"),
        ("proxy: {url: 'http://0x7f.1:3128'}", "proxy.url", "must name a host or a plain dotted IPv4 address"),
        ("proxy: {url: 'http://169.254.169.254:3128'}", "proxy.url", "must not point at link-local"),
        ("proxy: {url: 'http://proxy.svc:3128'}", "proxy.url", "must not point at link-local"),
        ("proxy: {url: 'http://p:1', credentialsSecretRef: {}}", "proxy.credentialsSecretRef.name", "Required value"),
        ("proxy: {url: 'http://p:1', credentialsSecretRef: {name: a/b}}", "proxy.credentialsSecretRef.name", NAME),
        ("timeouts: {connect: 31s}", "timeouts.connect", "must be from 1s to 30s, written like 1h30m, 20m or 45s"),
        ("timeouts: {request: 61s}", "timeouts.request", "must be from 1s to 60s"),
        ("timeouts: {request: 0s}", "timeouts.request", "must be from 1s to 60s"),
        ("timeouts: {connect: 1ms}", "timeouts.connect", "must be from 1s to 30s"),
        ("tls: {caBundleRef: {kind: ConfigMap, name: ca}, insecureSkipVerify: true}", "", UNKNOWN),
    ];
    let case = |(change, field, says): (&str, &str, &str)| {
        let field = if field.is_empty() { String::new() } else { format!("spec.provider.{provider}.{field}") };
        let patch = format!("spec: {{provider: {{{provider}: {{{change}}}}}}}");
        Case::new(&format!("{provider} with {change}"), base, &patch, &field, says)
    };
    rows.into_iter().map(case).collect()
}

/// Token APIs whose tokens the proxy would read.
fn behind_proxy() -> Vec<Case> {
    let plain = "url: 'http://api.example.com/'";
    let rows = [
        (ACCESS, "jfrogAccess", plain),
        (DISTRIBUTION, "jfrogDistribution", plain),
        (ELASTIC, "elasticCloudEnterprise", plain),
        (OAUTH2, "oauth2", "tokenURL: 'http://idp.example.com/'"),
        (OAUTH2, "oauth2", "tokenURL: null, issuerURL: 'http://idp.example.com/'"),
        (OAUTH2, "oauth2", "revocationURL: 'http://idp.example.com/'"),
        (HTTP, "http", "request: {url: 'http://api.example.com/'}"),
        (HTTP, "http", "revoke: {request: {url: 'http://api.example.com/'}}"),
    ];
    let case = |(base, provider, change): (&str, &str, &str)| {
        let change = format!("spec: {{provider: {{{provider}: {{{change}, proxy: {{url: 'http://proxy.example.com:3128'}}}}}}}}");
        let says = "proxy needs URLs that begin with https://";
        Case::new(&format!("{provider} by http behind a proxy"), base, &change, &format!("spec.provider.{provider}"), says)
    };
    rows.into_iter().map(case).collect()
}

/// Texts one longer than allowed.
fn oversize() -> Vec<Case> {
    let rows = [
        ("spec.request.scope", 501, "may not be more than 500 bytes"),
        ("spec.request.audience", 256, "may not be more than 255 bytes"),
        ("spec.request.username", 256, "may not be more than 255 bytes"),
        ("spec.request.description", 1025, "may not be more than 1024 bytes"),
        ("spec.request.projectKey", 256, "may not be more than 255 bytes"),
        ("spec.credential.seedSecretRef.name", 254, "may not be more than 253 bytes"),
        ("spec.credential.seedSecretRef.accessTokenKey", 254, "may not be more than 253 bytes"),
        ("spec.stateSecretName", 254, "may not be more than 253 bytes"),
        ("spec.refresh.before", 21, "may not be more than 20 bytes"),
        ("metadata.name", 241, "metadata.name must have at most 240 characters"),
    ];
    let mut cases: Vec<_> = rows
        .into_iter()
        .map(|(path, length, says)| {
            let text = "a".repeat(length);
            let change = path.rsplit('.').fold(text, |inner, field| format!("{{{field}: {inner}}}"));
            // The rule about the object's name is one of the whole object, so the refusal names no field but its text does.
            let field = if path == "metadata.name" { "" } else { path };
            Case::new(&format!("{length} bytes in {path}"), ACCESS, &change, field, says)
        })
        .collect();
    let url = format!("https://a.example.com/{}", "p".repeat(491));
    cases.push(url_case(ACCESS, "jfrogAccess", "url", &url, "may not be more than 512 bytes"));
    let user = "u".repeat(256);
    let change = format!("spec: {{outputs: [{{secretName: o, basicAuth: {{username: {user}}}}}]}}");
    let field = "spec.outputs[0].basicAuth.username";
    cases.push(Case::new("256 bytes of user name", ACCESS, &change, field, "may not be more than 255 bytes"));
    let output = |n| format!("{{secretName: o{n}, opaque: {{}}}}");
    let outputs: Vec<_> = (0..21).map(output).collect();
    let change = format!("spec: {{outputs: [{}]}}", outputs.join(", "));
    cases.push(Case::new("bad input 33: 21 outputs", ACCESS, &change, "spec.outputs", "must have at most 20 items"));
    let registries: Vec<_> = (0..21).map(|n| format!("r{n}.example.com")).collect();
    let docker = format!("{{registries: [{}], username: ci}}", registries.join(", "));
    let change = format!("spec: {{outputs: [{{secretName: o, dockerConfigJSON: {docker}}}]}}");
    let field = "spec.outputs[0].dockerConfigJSON.registries";
    cases.push(Case::new("21 registries", ACCESS, &change, field, "must have at most 20 items"));
    cases
}

const URLS: &[(&str, &str)] = &[
    ("art.example.com", URL),
    ("//art.example.com", URL),
    ("ftp://art.example.com", URL),
    ("HTTPS://art.example.com", URL),
    ("https:/art.example.com", URL),
    ("https://", URL),
    ("https:///path", URL),
    ("https://user:pw@art.example.com", URL),
    ("https://user@art.example.com", URL),
    ("https://art.example.com@evil.example.org", URL),
    ("https://art.example.com#fragment", URL),
    ("https://art.example.com/?query", URL),
    ("https://art.example.com/a b", URL),
    ("https://art.example.com/\n", URL),
    ("https://art.example.com/\u{7}", URL),
    ("https://art.exämple.com", URL),
    ("https://art%2eexample.com", URL),
    ("https://art.example.com\\@evil.example.org", URL),
    ("https://art.example.com/\\evil", URL),
    ("https://art.example.com:0", URL),
    ("https://art.example.com:65536", URL),
    ("https://art.example.com:https", URL),
    ("https://art.example.com:", URL),
    ("https://art.example.com.", URL),
    ("https://-art.example.com", URL),
    ("https://art..example.com", URL),
    ("https://[fe80::1%25eth0]/", URL),
    ("https://2130706433/", HOST),
    ("https://0x7f.1/", HOST),
    ("https://0x7f000001", HOST),
    ("https://127.1:8443", HOST),
    ("https://010.0.0.1/", HOST),
    ("https://0300.0250.0.1/", HOST),
    ("https://256.1.1.1/", HOST),
    ("https://1.2.3.4.5/", HOST),
    ("https://169.254.169.254/", OUTSIDE),
    ("https://169.254.170.2:443/v2", OUTSIDE),
    ("https://0.0.0.0/", OUTSIDE),
    ("https://224.0.0.1/", OUTSIDE),
    ("https://255.255.255.255/", OUTSIDE),
    ("https://100.100.100.200/", OUTSIDE),
    ("https://168.63.129.16/", OUTSIDE),
    ("https://[::ffff:169.254.169.254]/", OUTSIDE),
    ("https://[::ffff:a9fe:a9fe]/", OUTSIDE),
    ("https://[0:0:0:0:0:ffff:a9fe:a9fe]/", OUTSIDE),
    ("https://[::169.254.169.254]/", OUTSIDE),
    ("https://[64:ff9b::a9fe:a9fe]/", OUTSIDE),
    ("https://[FE80::1]/", OUTSIDE),
    ("https://[ff02::1]/", OUTSIDE),
    ("https://[::]/", OUTSIDE),
    ("https://[fd00:ec2::254]/", OUTSIDE),
    ("https://[fd20:ce::254]/", OUTSIDE),
    ("https://kubernetes.default.svc", OUTSIDE),
    ("https://kubernetes.default.svc.cluster.local:443/api", OUTSIDE),
    ("https://Kubernetes.Default", OUTSIDE),
    ("https://kubernetes.default.svc.corp.example.com", OUTSIDE),
    ("https://vault.secrets.svc:8200", OUTSIDE),
    ("https://kubernetes", OUTSIDE),
    ("https://metadata.google.internal/computeMetadata/v1", OUTSIDE),
    ("https://metadata", OUTSIDE),
    ("https://metadata.goog", OUTSIDE),
    ("https://instance-data/latest", OUTSIDE),
];

const PROVIDER: &[Row] = &[
    ("no provider at all", "spec: {provider: null}", "spec", "must have exactly one of provider and providerRef"),
    ("a provider with a path in its name", "spec: {provider: null, providerRef: {name: a/b}}", "spec.providerRef.name", NAME),
    ("an empty provider", "spec: {provider: {jfrogAccess: null}}", "spec.provider", "must have exactly one of"),
    (
        "two providers",
        "spec: {provider: {oauth2: {tokenURL: https://idp.example.com/token}}}",
        "spec.provider",
        "must have exactly one of elasticCloudEnterprise, http, jfrogAccess, jfrogDistribution, oauth2",
    ),
    (
        "an unknown provider",
        "spec: {provider: {gitlab: {url: https://a.example.com}}}",
        "",
        "unknown field \"spec.provider.gitlab\"",
    ),
    (
        "a provider without address",
        "spec: {provider: {jfrogAccess: {url: null}}}",
        "spec.provider.jfrogAccess.url",
        "Required value",
    ),
];

const REQUEST: &[Row] = &[
    ("a lifetime of nothing", "spec: {request: {lifetime: 0s}}", "spec.request.lifetime", "must be from 1s to 99999h"),
    ("a lifetime in days", "spec: {request: {lifetime: 1d}}", "spec.request.lifetime", "written like 1h30m, 20m or 45s"),
    ("a lifetime as a number", "spec: {request: {lifetime: 3600}}", "spec.request.lifetime", "must be of type string"),
    (
        "a lifetime beyond the longest",
        "spec: {request: {lifetime: 99999h1s}}",
        "spec.request.lifetime",
        "must be from 1s to 99999h",
    ),
    ("a scope of two lines", "spec: {request: {scope: \"a\\nb\"}}", "spec.request.scope", LINE),
    ("a C1 control character in a scope", "spec: {request: {scope: \"a\\u0085b\"}}", "spec.request.scope", LINE),
    ("an empty scope", "spec: {request: {scope: \"\"}}", "spec.request.scope", "should be at least 1 chars long"),
    ("an escape in a description", "spec: {request: {description: \"a\\e[31mb\"}}", "spec.request.description", LINE),
    ("a bell in an audience", "spec: {request: {audience: \"a\\ab\"}}", "spec.request.audience", LINE),
    ("a delete in a user name", "spec: {request: {username: \"a\\x7fb\"}}", "spec.request.username", LINE),
    ("a tab in a project", "spec: {request: {projectKey: \"a\\tb\"}}", "spec.request.projectKey", LINE),
    (
        "a word instead of true",
        "spec: {request: {includeReferenceToken: \"yes\"}}",
        "spec.request.includeReferenceToken",
        "must be of type boolean",
    ),
];

const REFRESH: &[Row] = &[
    (
        "before and beforePercent",
        "spec: {refresh: {before: 20m, beforePercent: 33}}",
        "spec.refresh",
        "set before or beforePercent, not both",
    ),
    ("0 percent", "spec: {refresh: {beforePercent: 0}}", "spec.refresh.beforePercent", "greater than or equal to 1"),
    ("67 percent", "spec: {refresh: {beforePercent: 67}}", "spec.refresh.beforePercent", "less than or equal to 66"),
    ("half a percent", "spec: {refresh: {beforePercent: 33.5}}", "spec.refresh.beforePercent", "must be of type integer"),
    ("negative jitter", "spec: {refresh: {jitterPercent: -1}}", "spec.refresh.jitterPercent", "greater than or equal to 0"),
    ("51 percent of jitter", "spec: {refresh: {jitterPercent: 51}}", "spec.refresh.jitterPercent", "less than or equal to 50"),
    ("before of nothing", "spec: {refresh: {before: 0s}}", "spec.refresh.before", "must be from 1s to 99999h"),
    ("an interval of 0", "spec: {refresh: {minInterval: 0s}}", "spec.refresh.minInterval", "must be from 1m to 99999h"),
    ("an interval of 1 ms", "spec: {refresh: {minInterval: 1ms}}", "spec.refresh.minInterval", "must be from 1m to 99999h"),
    (
        "an interval below the floor",
        "spec: {refresh: {minInterval: 59s}}",
        "spec.refresh.minInterval",
        "must be from 1m to 99999h",
    ),
    ("a negative interval", "spec: {refresh: {minInterval: -1h}}", "spec.refresh.minInterval", "must be from 1m to 99999h"),
    ("an interval in days", "spec: {refresh: {maxInterval: 1d}}", "spec.refresh.maxInterval", "must be from 1m to 99999h"),
    ("an interval of 10^9 hours", "spec: {refresh: {maxInterval: 1000000000h}}", "spec.refresh.maxInterval", "to 99999h"),
    ("a fraction", "spec: {refresh: {before: 1.5h}}", "spec.refresh.before", "written like 1h30m, 20m or 45s"),
    ("an empty duration", "spec: {refresh: {before: \"\"}}", "spec.refresh.before", "must be from 1s to 99999h"),
    ("seconds before minutes", "spec: {refresh: {before: 1s1m}}", "spec.refresh.before", "written like 1h30m, 20m or 45s"),
    ("a duration with a space", "spec: {refresh: {before: 1h 30m}}", "spec.refresh.before", "written like 1h30m, 20m or 45s"),
    ("a duration without unit", "spec: {refresh: {before: \"90\"}}", "spec.refresh.before", "written like 1h30m, 20m or 45s"),
    (
        "intervals in the wrong order",
        "spec: {refresh: {minInterval: 2h, maxInterval: 1h}}",
        "spec.refresh",
        "minInterval (default 1m) must not be above maxInterval (default 24h)",
    ),
    (
        "an interval above the default",
        "spec: {refresh: {minInterval: 25h}}",
        "spec.refresh",
        "must not be above maxInterval (default 24h)",
    ),
    (
        "delays in the wrong order",
        "spec: {refresh: {retry: {initialDelay: 2m, maxDelay: 1m}}}",
        "spec.refresh.retry",
        "initialDelay (default 5s) must not be above maxDelay (default 10m)",
    ),
    ("a delay below the default", "spec: {refresh: {retry: {maxDelay: 4s}}}", "spec.refresh.retry", "initialDelay (default 5s)"),
    ("no delay", "spec: {refresh: {retry: {initialDelay: 0s}}}", "spec.refresh.retry.initialDelay", "must be from 1s to 1h"),
    ("a delay of two hours", "spec: {refresh: {retry: {initialDelay: 2h}}}", "spec.refresh.retry.initialDelay", "from 1s to 1h"),
    ("a delay of two days", "spec: {refresh: {retry: {maxDelay: 48h}}}", "spec.refresh.retry.maxDelay", "must be from 1s to 24h"),
];

const NAMES: &[Row] = &[
    (
        "a seed in another namespace's path",
        "spec: {credential: {seedSecretRef: {name: ../../kube-system/secrets/x}}}",
        "spec.credential.seedSecretRef.name",
        NAME,
    ),
    (
        "a seed with a query",
        "spec: {credential: {seedSecretRef: {name: x?dryRun=All}}}",
        "spec.credential.seedSecretRef.name",
        NAME,
    ),
    ("a seed's subresource", "spec: {credential: {seedSecretRef: {name: x/status}}}", "spec.credential.seedSecretRef.name", NAME),
    (
        "a seed of encoded dots",
        "spec: {credential: {seedSecretRef: {name: \"%2e%2e\"}}}",
        "spec.credential.seedSecretRef.name",
        NAME,
    ),
    ("a seed without name", "spec: {credential: {seedSecretRef: {name: \"\"}}}", "spec.credential.seedSecretRef.name", NAME),
    ("no seed", "spec: {credential: {seedSecretRef: null}}", "spec.credential.seedSecretRef", "Required value"),
    ("no credential", "spec: {credential: null}", "spec.credential", "Required value"),
    (
        "a grace without the token it is for",
        "spec: {outputs: [{secretName: o, opaque: {previousAccessTokenGrace: 5m}}]}",
        "spec.outputs[0].opaque",
        "previousAccessTokenGrace needs previousAccessTokenKey",
    ),
    (
        "a grace of nothing",
        "spec: {outputs: [{secretName: o, opaque: {previousAccessTokenKey: p, previousAccessTokenGrace: 0s}}]}",
        "spec.outputs[0].opaque.previousAccessTokenGrace",
        "must be from 1s to 99999h",
    ),
    (
        "a previous token with a path",
        "spec: {outputs: [{secretName: o, opaque: {previousAccessTokenKey: a/b}}]}",
        "spec.outputs[0].opaque.previousAccessTokenKey",
        KEY,
    ),
    (
        "the previous token at the key of the newest",
        "spec: {outputs: [{secretName: o, opaque: {previousAccessTokenKey: access_token}}]}",
        "spec.outputs[0].opaque",
        "the keys of one Secret must differ from each other",
    ),
    (
        "labels for somebody else's Secret",
        "spec: {outputs: [{secretName: o, opaque: {}, creationPolicy: Merge, metadata: {labels: {a: b}}}]}",
        "spec.outputs[0].metadata",
        "must be left out with creationPolicy: Merge",
    ),
    (
        "an unknown creation policy",
        "spec: {outputs: [{secretName: o, opaque: {}, creationPolicy: CreateOrMerge}]}",
        "spec.outputs[0].creationPolicy",
        r#"supported values: "Owner", "Orphan", "Merge""#,
    ),
    (
        "bad input 24: an output of a type that Kubernetes fills",
        "spec: {outputs: [{secretName: o, opaque: {}, type: kubernetes.io/service-account-token}]}",
        "",
        UNKNOWN,
    ),
    (
        "bad input 25: an output that lets nodes join",
        "spec: {outputs: [{secretName: o, opaque: {}, type: bootstrap.kubernetes.io/token}]}",
        "",
        UNKNOWN,
    ),
    (
        "a key with a slash",
        "spec: {credential: {seedSecretRef: {accessTokenKey: a/b}}}",
        "spec.credential.seedSecretRef.accessTokenKey",
        KEY,
    ),
    (
        "an empty key",
        "spec: {credential: {seedSecretRef: {refreshTokenKey: \"\"}}}",
        "spec.credential.seedSecretRef.refreshTokenKey",
        KEY,
    ),
    ("a key of dots", "spec: {credential: {seedSecretRef: {usernameKey: ..}}}", "spec.credential.seedSecretRef.usernameKey", KEY),
    (
        "a key that begins with dots",
        "spec: {credential: {seedSecretRef: {passwordKey: ..data}}}",
        "spec.credential.seedSecretRef.passwordKey",
        KEY,
    ),
    (
        "one key for both tokens",
        "spec: {credential: {seedSecretRef: {accessTokenKey: refresh_token}}}",
        "spec.credential.seedSecretRef",
        "accessTokenKey (default access_token) and refreshTokenKey (default refresh_token) must differ",
    ),
    ("a state Secret with a path", "spec: {stateSecretName: a/b}", "spec.stateSecretName", NAME),
    ("a state Secret in capitals", "spec: {stateSecretName: State}", "spec.stateSecretName", NAME),
    (
        "the seed as state",
        "spec: {stateSecretName: seed}",
        "spec.credential.seedSecretRef.name",
        "the seed must not be the state Secret",
    ),
    (
        "the default state as seed",
        "spec: {credential: {seedSecretRef: {name: token-state}}}",
        "spec.credential.seedSecretRef.name",
        "the seed must not be the state Secret",
    ),
    (
        "bad input 27: an output as state",
        "spec: {stateSecretName: out}",
        "spec.outputs",
        "an output must not be the state Secret (stateSecretName; default: the object's name and -state)",
    ),
    (
        "bad input 27: the default state as output",
        "spec: {outputs: [{secretName: token-state, opaque: {}}]}",
        "spec.outputs",
        "an output must not be the state Secret",
    ),
    (
        "bad input 27: the seed as output",
        "spec: {outputs: [{secretName: seed, opaque: {}}]}",
        "spec.outputs",
        "an output must not be the seed Secret: give it another secretName",
    ),
];

const OUTPUTS: &[Row] = &[
    ("no outputs", "spec: {outputs: null}", "spec.outputs", "Required value"),
    ("an empty list of outputs", "spec: {outputs: []}", "spec.outputs", "should have at least 1 items"),
    (
        "bad input 28: two outputs of one name",
        "spec: {outputs: [{secretName: o, opaque: {}}, {secretName: o, basicAuth: {username: ci}}]}",
        "spec.outputs[1]",
        "Duplicate value",
    ),
    ("an output with a path", "spec: {outputs: [{secretName: ../o, opaque: {}}]}", "spec.outputs[0].secretName", NAME),
    ("an output without name", "spec: {outputs: [{opaque: {}}]}", "spec.outputs[0].secretName", "Required value"),
    (
        "no shape",
        "spec: {outputs: [{secretName: o}]}",
        "spec.outputs[0]",
        "must have exactly one of opaque, dockerConfigJSON and basicAuth",
    ),
    (
        "two shapes",
        "spec: {outputs: [{secretName: o, opaque: {}, basicAuth: {username: ci}}]}",
        "spec.outputs[0]",
        "must have exactly one of opaque, dockerConfigJSON and basicAuth",
    ),
    (
        "one key for two values",
        "spec: {outputs: [{secretName: o, opaque: {expirationTimeKey: x, refreshTokenKey: x}}]}",
        "spec.outputs[0].opaque",
        "the keys of one Secret must differ from each other",
    ),
    (
        "the default key for another value",
        "spec: {outputs: [{secretName: o, opaque: {expirationTimeKey: access_token}}]}",
        "spec.outputs[0].opaque",
        "(accessTokenKey defaults to access_token)",
    ),
    (
        "a key with a slash",
        "spec: {outputs: [{secretName: o, opaque: {accessTokenKey: a/b}}]}",
        "spec.outputs[0].opaque.accessTokenKey",
        KEY,
    ),
    (
        "a key of a dot",
        "spec: {outputs: [{secretName: o, opaque: {expirationTimeKey: .}}]}",
        "spec.outputs[0].opaque.expirationTimeKey",
        KEY,
    ),
    (
        "a key with an umlaut",
        "spec: {outputs: [{secretName: o, opaque: {refreshTokenKey: ä}}]}",
        "spec.outputs[0].opaque.refreshTokenKey",
        KEY,
    ),
    (
        "a key with a space",
        "spec: {request: {includeReferenceToken: true}, outputs: [{secretName: o, opaque: {referenceTokenKey: a b}}]}",
        "spec.outputs[0].opaque.referenceTokenKey",
        KEY,
    ),
    (
        "a reference token that is not asked for",
        "spec: {outputs: [{secretName: o, opaque: {referenceTokenKey: reference}}]}",
        "spec.outputs",
        "an output with referenceTokenKey needs request.includeReferenceToken: true",
    ),
    (
        "a reference token that is asked not to come",
        "spec: {request: {includeReferenceToken: false}, outputs: [{secretName: o, opaque: {referenceTokenKey: reference}}]}",
        "spec.outputs",
        "needs request.includeReferenceToken: true",
    ),
    (
        "a registry twice",
        "spec: {outputs: [{secretName: o, dockerConfigJSON: {registries: [a.example.com, a.example.com], username: ci}}]}",
        "spec.outputs[0].dockerConfigJSON.registries",
        "each registry may stand only once",
    ),
    (
        "a registry with a quote",
        "spec: {outputs: [{secretName: o, dockerConfigJSON: {registries: ['a\"b'], username: ci}}]}",
        "spec.outputs[0].dockerConfigJSON.registries",
        "each registry must be written as image names begin with it",
    ),
    (
        "an empty registry",
        "spec: {outputs: [{secretName: o, dockerConfigJSON: {registries: [''], username: ci}}]}",
        "spec.outputs[0].dockerConfigJSON.registries",
        "such as docker.example.com",
    ),
    (
        "no registry",
        "spec: {outputs: [{secretName: o, dockerConfigJSON: {registries: [], username: ci}}]}",
        "spec.outputs[0].dockerConfigJSON.registries",
        "should have at least 1 items",
    ),
    (
        "registries without user",
        "spec: {outputs: [{secretName: o, dockerConfigJSON: {registries: [a.example.com]}}]}",
        "spec.outputs[0].dockerConfigJSON.username",
        "Required value",
    ),
    (
        "a colon in a registry's user",
        "spec: {outputs: [{secretName: o, dockerConfigJSON: {registries: [a.example.com], username: 'c:i'}}]}",
        "spec.outputs[0].dockerConfigJSON.username",
        COLON,
    ),
    (
        "a colon in a user",
        "spec: {outputs: [{secretName: o, basicAuth: {username: 'c:i'}}]}",
        "spec.outputs[0].basicAuth.username",
        COLON,
    ),
    (
        "a line break in a user",
        "spec: {outputs: [{secretName: o, basicAuth: {username: \"c\\ni\"}}]}",
        "spec.outputs[0].basicAuth.username",
        COLON,
    ),
    (
        "an empty user",
        "spec: {outputs: [{secretName: o, basicAuth: {username: ''}}]}",
        "spec.outputs[0].basicAuth.username",
        "at least 1 chars",
    ),
];

/// Fields that do not exist, most of them for a reason.
const FIELDS: &[Row] = &[
    ("a typing error", "spec: {refresh: {befor: 20m}}", "", "unknown field \"spec.refresh.befor\""),
    ("a seed of another namespace", "spec: {credential: {seedSecretRef: {namespace: kube-system}}}", "", UNKNOWN),
    ("an output in another namespace", "spec: {outputs: [{secretName: out, opaque: {}, namespace: kube-system}]}", "", UNKNOWN),
    (
        "an output that makes Kubernetes mint a token",
        "spec: {outputs: [{secretName: out, opaque: {}, type: kubernetes.io/service-account-token}]}",
        "",
        "unknown field \"spec.outputs[0].type\"",
    ),
    (
        "an output that lets nodes join",
        "spec: {outputs: [{secretName: out, opaque: {}, type: bootstrap.kubernetes.io/token}]}",
        "",
        UNKNOWN,
    ),
    ("a token in the object", "spec: {credential: {refreshToken: s3cr3t}}", "", "unknown field \"spec.credential.refreshToken\""),
    ("a field beside spec", "specs: {}", "", "unknown field \"specs\""),
];

const DISTRIBUTION_ROWS: &[Row] = &[
    (
        "first tokens of an API that gives none",
        "spec: {credential: {bootstrap: Create}}",
        "spec.credential.bootstrap",
        "bootstrap belongs to jfrogAccess, elasticCloudEnterprise and oauth2 with grant: RefreshToken",
    ),
    (
        "no lifetime",
        "spec: {request: {lifetime: null}}",
        "spec.request.lifetime",
        "without it the API gives a token that never expires",
    ),
    (
        "no request",
        "spec: {request: null}",
        "spec.request.lifetime",
        "Required value: must be set with jfrogDistribution, such as 1h",
    ),
    ("a scope", "spec: {request: {scope: x}}", "spec.request.scope", "scope can be asked for with jfrogAccess and oauth2 only"),
    (
        "an audience",
        "spec: {request: {audience: x}}",
        "spec.request.audience",
        "audience can be asked for with jfrogAccess and with oauth2 with grant: ClientCredentials or TokenExchange only",
    ),
    ("a project", "spec: {request: {projectKey: x}}", "spec.request", "can be asked for with jfrogAccess only"),
];

const ELASTIC_ROWS: &[Row] = &[
    ("a lifetime", "spec: {request: {lifetime: 1h}}", "spec.request.lifetime", "the other APIs decide themselves"),
    ("a scope", "spec: {request: {scope: x}}", "spec.request.scope", "scope can be asked for with jfrogAccess and oauth2 only"),
    ("a description", "spec: {request: {description: x}}", "spec.request", "can be asked for with jfrogAccess only"),
    (
        "a refresh token",
        "spec: {outputs: [{secretName: o, opaque: {refreshTokenKey: refresh}}]}",
        "spec.outputs",
        "elasticCloudEnterprise has no refresh token: leave refreshTokenKey out",
    ),
];

const OAUTH2_ROWS: &[Row] = &[
    (
        "Revoke without a place for it",
        "spec: {deletionPolicy: Revoke}",
        "spec.provider.oauth2.revocationURL",
        "Required value: must be set with deletionPolicy: Revoke",
    ),
    (
        "an unknown deletion policy",
        "spec: {deletionPolicy: Orphan}",
        "spec.deletionPolicy",
        r#"supported values: "Retain", "Delete", "Revoke""#,
    ),
    (
        "a revocation URL with a fragment",
        "spec: {provider: {oauth2: {revocationURL: 'https://a.example.com/#x'}}}",
        "spec.provider.oauth2.revocationURL",
        URL,
    ),
    (
        "a revocation URL with a hidden address",
        "spec: {provider: {oauth2: {revocationURL: 'https://0x7f.1/'}}}",
        "spec.provider.oauth2.revocationURL",
        HOST,
    ),
    (
        "a revocation URL in the cluster",
        "spec: {provider: {oauth2: {revocationURL: 'https://kubernetes.default.svc'}}}",
        "spec.provider.oauth2.revocationURL",
        OUTSIDE,
    ),
    (
        "an introspection URL with a fragment",
        "spec: {provider: {oauth2: {introspectionURL: 'https://a.example.com/#x'}}}",
        "spec.provider.oauth2.introspectionURL",
        URL,
    ),
    (
        "an introspection URL with a hidden address",
        "spec: {provider: {oauth2: {introspectionURL: 'https://0x7f.1/'}}}",
        "spec.provider.oauth2.introspectionURL",
        HOST,
    ),
    (
        "an introspection URL in the cluster",
        "spec: {provider: {oauth2: {introspectionURL: 'https://kubernetes.default.svc'}}}",
        "spec.provider.oauth2.introspectionURL",
        OUTSIDE,
    ),
    ("a lifetime", "spec: {request: {lifetime: 1h}}", "spec.request.lifetime", "the other APIs decide themselves"),
    ("a user name", "spec: {request: {username: x}}", "spec.request", "can be asked for with jfrogAccess only"),
    (
        "a reference token",
        "spec: {request: {includeReferenceToken: true}}",
        "spec.request",
        "can be asked for with jfrogAccess only",
    ),
    (
        "graceSeconds alone",
        "spec: {provider: {oauth2: {graceSeconds: 30}}}",
        "spec.provider.oauth2",
        "graceSeconds belongs to rotation: Grace",
    ),
    ("Grace alone", "spec: {provider: {oauth2: {rotation: Grace}}}", "spec.provider.oauth2", "set both or neither"),
    (
        "graceSeconds with Strict",
        "spec: {provider: {oauth2: {rotation: Strict, graceSeconds: 30}}}",
        "spec.provider.oauth2",
        "graceSeconds belongs to rotation: Grace",
    ),
    (
        "no grace",
        "spec: {provider: {oauth2: {rotation: Grace, graceSeconds: 0}}}",
        "spec.provider.oauth2.graceSeconds",
        "greater than or equal to 1",
    ),
    (
        "grace of more than a day",
        "spec: {provider: {oauth2: {rotation: Grace, graceSeconds: 86401}}}",
        "spec.provider.oauth2.graceSeconds",
        "less than or equal to 86400",
    ),
    (
        "an unknown rotation",
        "spec: {provider: {oauth2: {rotation: strict}}}",
        "spec.provider.oauth2.rotation",
        r#"supported values: "Strict", "Grace", "IdempotencyKey", "Reusable""#,
    ),
    (
        "an unknown authentication",
        "spec: {provider: {oauth2: {clientAuthentication: mTLS}}}",
        "spec.provider.oauth2.clientAuthentication",
        r#"supported values: "Basic", "Post", "PrivateKeyJWT", "TLS", "None""#,
    ),
    (
        "a client that shows a certificate it has not",
        "spec: {provider: {oauth2: {clientAuthentication: TLS, tls: {caBundleRef: {kind: ConfigMap, name: ca}}}}}",
        "spec.provider.oauth2.clientAuthentication",
        "clientAuthentication: TLS needs tls.clientCertificateRef",
    ),
    (
        "a client's Secret with a path",
        "spec: {provider: {oauth2: {clientSecretRef: {name: a/b}}}}",
        "spec.provider.oauth2.clientSecretRef.name",
        NAME,
    ),
    (
        "a client key with a slash",
        "spec: {provider: {oauth2: {clientSecretRef: {name: c, clientIDKey: a/b}}}}",
        "spec.provider.oauth2.clientSecretRef.clientIDKey",
        KEY,
    ),
    (
        "a secret key with a slash",
        "spec: {provider: {oauth2: {clientSecretRef: {name: c, clientSecretKey: a/b}}}}",
        "spec.provider.oauth2.clientSecretRef.clientSecretKey",
        KEY,
    ),
    (
        "one key for client and secret",
        "spec: {provider: {oauth2: {clientSecretRef: {name: c, clientIDKey: client_secret}}}}",
        "spec.provider.oauth2.clientSecretRef",
        "clientIDKey (default client_id), clientSecretKey (default client_secret), privateKeyKey (default private_key) and keyIDKey",
    ),
    (
        "one key for the private key and its name",
        "spec: {provider: {oauth2: {clientAuthentication: PrivateKeyJWT, clientSecretRef: {name: c, keyIDKey: private_key}}}}",
        "spec.provider.oauth2.clientSecretRef",
        "must differ from each other",
    ),
    (
        "a private key's key with a slash",
        "spec: {provider: {oauth2: {clientAuthentication: PrivateKeyJWT, clientSecretRef: {name: c, privateKeyKey: a/b}}}}",
        "spec.provider.oauth2.clientSecretRef.privateKeyKey",
        KEY,
    ),
    (
        "a key ID's key with a slash",
        "spec: {provider: {oauth2: {clientAuthentication: PrivateKeyJWT, clientSecretRef: {name: c, keyIDKey: a/b}}}}",
        "spec.provider.oauth2.clientSecretRef.keyIDKey",
        KEY,
    ),
    (
        "a private key without its use",
        "spec: {provider: {oauth2: {clientSecretRef: {name: c, privateKeyKey: k}}}}",
        "spec.provider.oauth2",
        "assertionAudience, privateKeyKey and keyIDKey belong to clientAuthentication: PrivateKeyJWT",
    ),
    (
        "a key ID without its use",
        "spec: {provider: {oauth2: {clientAuthentication: Post, clientSecretRef: {name: c, keyIDKey: k}}}}",
        "spec.provider.oauth2",
        "belong to clientAuthentication: PrivateKeyJWT",
    ),
    (
        "an audience of nothing that is signed",
        "spec: {provider: {oauth2: {assertionAudience: 'https://idp.example.com'}}}",
        "spec.provider.oauth2",
        "belong to clientAuthentication: PrivateKeyJWT",
    ),
    (
        "an audience of two lines",
        "spec: {provider: {oauth2: {clientAuthentication: PrivateKeyJWT, assertionAudience: \"a\\nb\"}}}",
        "spec.provider.oauth2.assertionAudience",
        LINE,
    ),
    (
        "an unknown preset",
        "spec: {provider: {oauth2: {preset: github}}}",
        "spec.provider.oauth2.preset",
        r#"supported values: "Keycloak", "Okta", "Auth0", "Entra", "Google", "Hydra", "Dex""#,
    ),
    (
        "an unknown grant",
        "spec: {provider: {oauth2: {grant: Password}}}",
        "spec.provider.oauth2.grant",
        r#"supported values: "RefreshToken", "ClientCredentials", "TokenExchange", "JWTBearer""#,
    ),
    (
        "the rotation of a token that is not there",
        "spec: {provider: {oauth2: {grant: ClientCredentials, rotation: Strict}}}",
        "spec.provider.oauth2",
        "rotation and graceSeconds belong to grant: RefreshToken",
    ),
    (
        "a grace for a token that is not there",
        "spec: {provider: {oauth2: {grant: ClientCredentials, rotation: Grace, graceSeconds: 5}}}",
        "spec.provider.oauth2",
        "rotation and graceSeconds belong to grant: RefreshToken",
    ),
    (
        "the credentials of a public client",
        "spec: {provider: {oauth2: {grant: ClientCredentials, clientAuthentication: None}}}",
        "spec.provider.oauth2.clientAuthentication",
        "grant: ClientCredentials needs a client that authenticates",
    ),
    (
        "two places for the client's credentials",
        "spec: {provider: {oauth2: {grant: ClientCredentials, clientSecretRef: {name: c}}}}",
        "spec.provider.oauth2.clientSecretRef",
        "clientSecretRef belongs to grant: RefreshToken",
    ),
    (
        "an output with a refresh token that is not there",
        "spec: {provider: {oauth2: {grant: ClientCredentials}}, outputs: [{secretName: o, opaque: {refreshTokenKey: refresh}}]}",
        "spec.outputs",
        "there is a refresh token with grant: RefreshToken only",
    ),
    (
        "a trial without a call",
        "spec: {recovery: {verifyBeforePublish: true}}",
        "spec.recovery.verifyBeforePublish",
        "verifyBeforePublish needs a call that tries a token",
    ),
    (
        "a replaced token's end at once",
        "spec: {provider: {oauth2: {revocationURL: 'https://idp.example.com/revoke'}}, refresh: {revokeReplacedAfter: 0s}}",
        "spec.refresh.revokeReplacedAfter",
        "must be from 1s to 99999h",
    ),
    (
        "a replaced token's end without an endpoint",
        "spec: {refresh: {revokeReplacedAfter: 10m}}",
        "spec.refresh.revokeReplacedAfter",
        "revokeReplacedAfter needs an API that revokes a single access token",
    ),
    (
        "a replaced token's end where it ends the chain",
        "spec: {provider: {oauth2: {preset: Hydra, revocationURL: 'https://idp.example.com/revoke'}}, refresh: {revokeReplacedAfter: 10m}}",
        "spec.refresh.revokeReplacedAfter",
        "revokeReplacedAfter needs an API that revokes a single access token",
    ),
    (
        "a token that is shown for longer than it is good",
        "spec: {provider: {oauth2: {revocationURL: 'https://idp.example.com/revoke'}}, refresh: {revokeReplacedAfter: 1m}, \
         outputs: [{secretName: o, opaque: {previousAccessTokenKey: before, previousAccessTokenGrace: 5m}}]}",
        "spec.refresh.revokeReplacedAfter",
        "must not be below previousAccessTokenGrace",
    ),
    (
        "a token that is shown until it ends, and revoked before",
        "spec: {provider: {oauth2: {revocationURL: 'https://idp.example.com/revoke'}}, refresh: {revokeReplacedAfter: 1m}, \
         outputs: [{secretName: o, opaque: {previousAccessTokenKey: before}}]}",
        "spec.refresh.revokeReplacedAfter",
        "must not be below previousAccessTokenGrace",
    ),
    (
        "first tokens by no grant",
        "spec: {credential: {bootstrap: Create}}",
        "spec.provider.oauth2.bootstrapGrant",
        "must be set with credential.bootstrap: the grant that brings the first tokens",
    ),
    (
        "first tokens by the grant of all others",
        "spec: {provider: {oauth2: {bootstrapGrant: RefreshToken}}, credential: {bootstrap: Create}}",
        "spec.provider.oauth2.bootstrapGrant",
        r#"supported values: "ClientCredentials", "Password", "TokenExchange", "JWTBearer""#,
    ),
    (
        "a chain where each token is obtained anew",
        "spec: {provider: {oauth2: {grant: ClientCredentials}}, credential: {bootstrap: Create}}",
        "spec.credential.bootstrap",
        "bootstrap belongs to jfrogAccess, elasticCloudEnterprise and oauth2 with grant: RefreshToken",
    ),
    (
        "a grant that begins nothing where each token is obtained anew",
        "spec: {provider: {oauth2: {grant: TokenExchange, bootstrapGrant: Password}}}",
        "spec.provider.oauth2.bootstrapGrant",
        "bootstrapGrant belongs to grant: RefreshToken",
    ),
    (
        "first tokens for the credentials of a public client",
        "spec: {provider: {oauth2: {bootstrapGrant: ClientCredentials, clientAuthentication: None}}, credential: {bootstrap: Create}}",
        "spec.provider.oauth2.clientAuthentication",
        "bootstrapGrant: ClientCredentials needs a client that authenticates",
    ),
    (
        "a ServiceAccount beside a password",
        "spec: {provider: {oauth2: {bootstrapGrant: Password}}, credential: {bootstrap: Create, serviceAccountRef: {name: a, audience: b}}}",
        "spec.credential.serviceAccountRef",
        "serviceAccountRef belongs to oauth2 with grant: TokenExchange or JWTBearer, and to bootstrap with such a bootstrapGrant",
    ),
    (
        "a ServiceAccount that would begin a chain if one were asked for",
        "spec: {provider: {oauth2: {bootstrapGrant: JWTBearer}}, credential: {serviceAccountRef: {name: a, audience: b}}}",
        "spec.credential.serviceAccountRef",
        "serviceAccountRef belongs to oauth2 with grant: TokenExchange or JWTBearer, and to bootstrap with such a bootstrapGrant",
    ),
    (
        "an audience in an assertion's request for first tokens",
        "spec: {provider: {oauth2: {bootstrapGrant: JWTBearer}}, credential: {bootstrap: Create}, request: {audience: x}}",
        "spec.request.audience",
        "for first tokens by any bootstrapGrant but JWTBearer",
    ),
    (
        "an audience for first tokens that are not asked for",
        "spec: {provider: {oauth2: {bootstrapGrant: Password}}, request: {audience: x}}",
        "spec.request.audience",
        "for first tokens by any bootstrapGrant but JWTBearer",
    ),
    (
        "a type of token beside a password",
        "spec: {provider: {oauth2: {bootstrapGrant: Password, subjectTokenType: 'urn:x'}}, credential: {bootstrap: Create}}",
        "spec.provider.oauth2",
        "subjectTokenType and requestedTokenType belong to grant: TokenExchange and to bootstrapGrant: TokenExchange",
    ),
    (
        "a recovery that cannot begin",
        "spec: {recovery: {onLostChain: Bootstrap}}",
        "spec.credential.bootstrap",
        "must be set with recovery.onLostChain: Bootstrap",
    ),
    (
        "an unknown recovery",
        "spec: {recovery: {onLostChain: Retry}}",
        "spec.recovery.onLostChain",
        r#"supported values: "WaitForSeed", "Bootstrap""#,
    ),
    (
        "a ServiceAccount that nothing is shown of",
        "spec: {credential: {serviceAccountRef: {name: a, audience: b}}}",
        "spec.credential.serviceAccountRef",
        "serviceAccountRef belongs to oauth2 with grant: TokenExchange or JWTBearer",
    ),
    (
        "a ServiceAccount without an audience",
        "spec: {provider: {oauth2: {grant: JWTBearer}}, credential: {serviceAccountRef: {name: a}}}",
        "spec.credential.serviceAccountRef.audience",
        "Required value",
    ),
    (
        "a ServiceAccount's audience of two lines",
        "spec: {provider: {oauth2: {grant: JWTBearer}}, credential: {serviceAccountRef: {name: a, audience: \"a\\nb\"}}}",
        "spec.credential.serviceAccountRef.audience",
        LINE,
    ),
    (
        "a ServiceAccount with a path in its name",
        "spec: {provider: {oauth2: {grant: JWTBearer}}, credential: {serviceAccountRef: {name: a/b, audience: b}}}",
        "spec.credential.serviceAccountRef.name",
        NAME,
    ),
    (
        "a type of token that nothing is exchanged for",
        "spec: {provider: {oauth2: {subjectTokenType: 'urn:x'}}}",
        "spec.provider.oauth2",
        "subjectTokenType and requestedTokenType belong to grant: TokenExchange",
    ),
    (
        "a type of token of two lines",
        "spec: {provider: {oauth2: {grant: TokenExchange, subjectTokenType: \"a\\nb\"}}}",
        "spec.provider.oauth2.subjectTokenType",
        LINE,
    ),
    (
        "a wanted type of token of two lines",
        "spec: {provider: {oauth2: {grant: TokenExchange, requestedTokenType: \"a\\nb\"}}}",
        "spec.provider.oauth2.requestedTokenType",
        LINE,
    ),
    (
        "an audience in an assertion's request",
        "spec: {provider: {oauth2: {grant: JWTBearer}}, request: {audience: x}}",
        "spec.request.audience",
        "grant: ClientCredentials or TokenExchange only",
    ),
    (
        "an issuer with a fragment",
        "spec: {provider: {oauth2: {tokenURL: null, issuerURL: 'https://idp.example.com/#x'}}}",
        "spec.provider.oauth2.issuerURL",
        URL,
    ),
    (
        "an issuer in another dress",
        "spec: {provider: {oauth2: {tokenURL: null, issuerURL: 'https://0x7f.1/'}}}",
        "spec.provider.oauth2.issuerURL",
        HOST,
    ),
    (
        "an issuer inside the cluster",
        "spec: {provider: {oauth2: {tokenURL: null, issuerURL: 'https://kubernetes.default.svc'}}}",
        "spec.provider.oauth2.issuerURL",
        OUTSIDE,
    ),
    (
        "two places for the token endpoint",
        "spec: {provider: {oauth2: {issuerURL: 'https://idp.example.com'}}}",
        "spec.provider.oauth2",
        "must have exactly one of tokenURL and issuerURL",
    ),
    (
        "an audience in a refresh",
        "spec: {request: {audience: x}}",
        "spec.request.audience",
        "audience can be asked for with jfrogAccess and with oauth2 with grant: ClientCredentials or TokenExchange only",
    ),
    (
        "the client's Secret of another namespace",
        "spec: {provider: {oauth2: {clientSecretRef: {name: c, namespace: kube-system}}}}",
        "",
        UNKNOWN,
    ),
    (
        "the client's Secret as output",
        "spec: {provider: {oauth2: {clientSecretRef: {name: out}}}}",
        "spec.outputs",
        "an output must not be the Secret of clientSecretRef: give it another secretName",
    ),
    (
        "the client's Secret as state",
        "spec: {stateSecretName: c, provider: {oauth2: {clientSecretRef: {name: c}}}}",
        "spec.provider.oauth2.clientSecretRef.name",
        "clientSecretRef must not name the state Secret",
    ),
];

/// Files: the name of the case, the file, the field below the output, and the words.
const FILES: &[Row] = &[
    ("a file without a form", "{key: f}", ".files[0]", "must have exactly one of npmrc, pipConf"),
    (
        "a file with two forms",
        "{key: f, template: x, netrc: {machines: [a], username: ci}}",
        ".files[0]",
        "must have exactly one of npmrc, pipConf",
    ),
    ("bad input 28: two files of one key", "{key: f, template: x}, {key: f, template: y}", ".files[1]", "Duplicate value"),
    (
        "a file at the key of the token",
        "{key: access_token, template: x}",
        ".files",
        "the key of a file must differ from the other keys of the Secret",
    ),
    ("a file at a path", "{key: a/b, template: x}", ".files[0].key", KEY),
    ("a file without key", "{template: x}", ".files[0].key", "Required value"),
    ("an empty template", "{key: f, template: ''}", ".files[0].template", "at least 1 chars"),
    (
        "an npm registry with a comment in it",
        "{key: f, npmrc: {registry: 'https://a.example.com/x;y'}}",
        ".files[0].npmrc.registry",
        FILE_URL,
    ),
    (
        "an npm registry with a variable in it",
        "{key: f, npmrc: {registry: 'https://a.example.com/${HOME}'}}",
        ".files[0].npmrc.registry",
        FILE_URL,
    ),
    (
        "an npm registry with a password in it",
        "{key: f, npmrc: {registry: 'https://u:p@a.example.com/'}}",
        ".files[0].npmrc.registry",
        FILE_URL,
    ),
    (
        "a scope without at sign",
        "{key: f, npmrc: {registry: 'https://a.example.com', scopes: [acme]}}",
        ".files[0].npmrc.scopes",
        "each scope must be written like @acme",
    ),
    (
        "a pip index of two lines",
        "{key: f, pipConf: {indexURL: \"https://a\\nb\", username: ci}}",
        ".files[0].pipConf.indexURL",
        FILE_URL,
    ),
    (
        "a colon in pip's user",
        "{key: f, pipConf: {indexURL: 'https://a.example.com', username: 'c:i'}}",
        ".files[0].pipConf.username",
        COLON,
    ),
    (
        "a Maven server with a variable for a name",
        "{key: f, mavenSettings: {serverIDs: ['${x}'], username: ci}}",
        ".files[0].mavenSettings.serverIDs",
        "each id must be of visible ASCII characters without braces",
    ),
    (
        "a Maven user in braces",
        "{key: f, mavenSettings: {serverIDs: [central], username: '{ci}'}}",
        ".files[0].mavenSettings.username",
        "must not hold braces, which Maven reads",
    ),
    (
        "a colon in Maven's user",
        "{key: f, mavenSettings: {serverIDs: [central], username: 'c:i'}}",
        ".files[0].mavenSettings.username",
        COLON,
    ),
    (
        "a machine with a port",
        "{key: f, netrc: {machines: ['a.example.com:8443'], username: ci}}",
        ".files[0].netrc.machines",
        "each machine must be a host name without port",
    ),
    (
        "a space in the user of a netrc",
        "{key: f, netrc: {machines: [a], username: 'c i'}}",
        ".files[0].netrc.username",
        "must be of visible ASCII characters without space, quotes",
    ),
    ("a colon in the user of a netrc", "{key: f, netrc: {machines: [a], username: 'c:i'}}", ".files[0].netrc.username", COLON),
    (
        "a Git URL with a query",
        "{key: f, gitCredentials: {urls: ['https://a.example.com?x'], username: ci}}",
        ".files[0].gitCredentials.urls",
        FILE_URL,
    ),
    (
        "a colon in Git's user",
        "{key: f, gitCredentials: {urls: ['https://a.example.com'], username: 'c:i'}}",
        ".files[0].gitCredentials.username",
        COLON,
    ),
    (
        "a registry with a quote in a file",
        "{key: f, dockerConfigJSON: {registries: ['a\"b'], username: ci}}",
        ".files[0].dockerConfigJSON.registries",
        "each registry must be written as image names begin with it",
    ),
    (
        "a registry twice in a file",
        "{key: f, dockerConfigJSON: {registries: [a, a], username: ci}}",
        ".files[0].dockerConfigJSON.registries",
        "each registry may stand only once",
    ),
    (
        "a colon in a registry's user in a file",
        "{key: f, dockerConfigJSON: {registries: [a], username: 'c:i'}}",
        ".files[0].dockerConfigJSON.username",
        COLON,
    ),
];

/// Labels and annotations, in the same order of columns. Bad input 26 is the reserved ones.
const OUTPUT_METADATA: &[Row] = &[
    ("bad input 26: a label of Kubernetes", "{labels: {kubernetes.io/x: v}}", ".metadata.labels", RESERVED),
    ("bad input 26: a label below it", "{labels: {service.kubernetes.io/x: v}}", ".metadata.labels", RESERVED),
    ("bad input 26: a label of ours", "{labels: {refreshabletoken.io/role: seed}}", ".metadata.labels", RESERVED),
    ("bad input 26: a cluster of Argo CD", "{labels: {argocd.argoproj.io/secret-type: cluster}}", ".metadata.labels", RESERVED),
    (
        "bad input 26: a key of Sealed Secrets",
        "{annotations: {sealedsecrets.bitnami.com/managed: 'true'}}",
        ".metadata.annotations",
        RESERVED,
    ),
    ("bad input 26: an annotation of Kubernetes", "{annotations: {x.k8s.io/y: z}}", ".metadata.annotations", RESERVED),
    ("a label without a name", "{labels: {example.com/: v}}", ".metadata.labels", LABEL_NAME),
    ("an annotation with a space", "{annotations: {'a b': v}}", ".metadata.annotations", LABEL_NAME),
    ("a label's value with a space", "{labels: {a: 'b c'}}", ".metadata.labels", "the value of a label must be of letters"),
    ("an unknown part of the metadata", "{finalizers: [a]}", UNKNOWN, UNKNOWN),
];
