//! Manifests that the API server and the operator must take.

use super::{ACCESS, Case, DISTRIBUTION, ELASTIC, OAUTH2, consumers, http};

/// All of them; field and words of a [`Case`] are empty.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = ROWS.iter().map(|(name, base, change)| Case::new(name, base, change, "", "")).collect();
    for url in URLS {
        let url = serde_json::to_string(url).unwrap();
        let change = format!("spec: {{provider: {{oauth2: {{tokenURL: {url}}}}}}}");
        cases.push(Case::new(&format!("oauth2 at {url}"), OAUTH2, &change, "", ""));
        if !url.contains('?') {
            let change = format!("spec: {{provider: {{jfrogAccess: {{url: {url}}}}}}}");
            cases.push(Case::new(&format!("jfrogAccess at {url}"), ACCESS, &change, "", ""));
        }
    }
    cases.extend(largest());
    cases.extend(http::good());
    cases.extend(consumers::good());
    cases
}

/// Everything at exactly its limit.
fn largest() -> Vec<Case> {
    let a = |length| "a".repeat(length);
    let name = format!("metadata: {{name: {}}}", a(240));
    // Characters count, not bytes.
    let (umlauts, line) = ("ä".repeat(500), a(255));
    let request = format!(
        "spec: {{request: {{scope: {umlauts}, audience: {line}, username: {line}, projectKey: {line}, description: {}}}}}",
        "ä".repeat(1024)
    );
    let names = format!(
        "spec: {{stateSecretName: {}, credential: {{seedSecretRef: {{name: {}, accessTokenKey: {}}}}}}}",
        "s".repeat(253),
        a(253),
        a(253)
    );
    let output = |n| format!("{{secretName: o{n}, opaque: {{accessTokenKey: token}}}}");
    let outputs = format!("spec: {{outputs: [{}]}}", (0..20).map(output).collect::<Vec<_>>().join(", "));
    let registries: Vec<_> = (0..20).map(|n| format!("r{n}.example.com")).collect();
    let docker = format!("{{registries: [{}], username: {line}}}", registries.join(", "));
    let registries = format!("spec: {{outputs: [{{secretName: o, dockerConfigJSON: {docker}}}]}}");
    let url = format!("spec: {{provider: {{jfrogAccess: {{url: https://a.example.com/{}}}}}}}", a(490));
    [
        ("a name of 240", name),
        ("the longest requests", request),
        ("the longest names", names),
        ("20 outputs", outputs),
        ("20 registries", registries),
        ("a URL of 512", url),
    ]
    .into_iter()
    .map(|(name, change)| Case::new(name, ACCESS, &change, "", ""))
    .collect()
}

/// `http` and addresses of this machine or network pass: the operator's endpoint policy decides about them.
const URLS: &[&str] = &[
    "https://art.example.com",
    "https://art.example.com/",
    "https://art.example.com:8443/base/path",
    "https://ART.example.com/%7Ebase;x=1,2",
    "https://my_host.example.com:65535",
    "https://x1.example.com:1",
    "https://3com.example",
    "https://svc.example.com",
    "https://metadata.example.com",
    "https://0.pool.example.com",
    "https://169.254.example.com",
    "https://8.8.8.8",
    "https://10.0.0.255:443/x",
    "https://[2001:db8::1]:8443/x",
    "http://art.example.com",
    "http://127.0.0.1:8080",
    "http://localhost",
    "https://[::1]:8443",
    "https://idp.example.com/token?tenant=a&x=%20",
    "https://idp.example.com?tenant=a",
];

const ROWS: &[(&str, &str, &str)] = &[
    ("JFrog Access", ACCESS, "{}"),
    ("JFrog Distribution", DISTRIBUTION, "{}"),
    ("Elastic Cloud Enterprise", ELASTIC, "{}"),
    ("OAuth 2.0", OAUTH2, "{}"),
    (
        "all that JFrog Access can be asked for",
        ACCESS,
        "spec: {request: {lifetime: 1h, scope: 'applied-permissions/groups:readers api:*', audience: 'jfrt@*', username: ci, \
         description: 'for CI – builds', includeReferenceToken: true, projectKey: p}}",
    ),
    ("a scope of OAuth 2.0", OAUTH2, "spec: {request: {scope: 'openid offline_access'}}"),
    (
        "all four values in one Secret",
        ACCESS,
        "spec: {request: {includeReferenceToken: true}, outputs: [{secretName: o, opaque: {accessTokenKey: .npmrc, refreshTokenKey: \
         refresh, referenceTokenKey: reference, expirationTimeKey: expires_at}}]}",
    ),
    (
        "every shape",
        ACCESS,
        "spec: {outputs: [{secretName: a, opaque: {}}, {secretName: b, dockerConfigJSON: {registries: [docker.example.com, \
         'docker.example.com:5000/team', 'https://index.docker.io/v1/'], username: ci}}, {secretName: c, basicAuth: {username: 'CORP\\ci'}}]}",
    ),
    (
        "every file beside a shape",
        ACCESS,
        "spec: {outputs: [{secretName: a, basicAuth: {username: ci}, files: [{key: .npmrc, npmrc: {registry: \
         'https://art.example.com/api/npm/npm/', scopes: ['@acme', '@x.y_z']}}, {key: pip.conf, pipConf: {indexURL: \
         'https://art.example.com:8443/api/pypi/py/simple', username: 'ci@example.com'}}, {key: settings.xml, mavenSettings: \
         {serverIDs: [central, 'my server'], username: ci}}, {key: .netrc, netrc: {machines: [a.example.com, b], username: ci}}, \
         {key: .git-credentials, gitCredentials: {urls: ['https://git.example.com/team%20a/'], username: ci}}, {key: config.json, \
         dockerConfigJSON: {registries: [docker.example.com], username: ci}}, {key: app.env, template: \"TOKEN={{ token.access }}\\n\"}]}]}",
    ),
    (
        "a template of all that there is",
        ACCESS,
        "spec: {request: {includeReferenceToken: true}, outputs: [{secretName: a, opaque: {refreshTokenKey: r}, files: [{key: t, \
         template: '{{ token.refresh | b64encode }}{{ token.reference }}{% if token.expirationTime %}{{ token.issuedTime | tojson }}\
         {% endif %}{{ object.namespace ~ object.name }}'}]}]}",
    ),
    (
        "labels, annotations and an orphan",
        ACCESS,
        "spec: {outputs: [{secretName: a, opaque: {}, creationPolicy: Orphan, metadata: {labels: {team: build, \
         app.kubernetes.io/part-of: ci, example.com/empty: ''}, annotations: {reloader.stakater.com/match: 'true', \
         argocd.argoproj.io/compare-options: IgnoreExtraneous, note: 'a b: c'}}}]}",
    ),
    (
        "keys in somebody else's Secret",
        ACCESS,
        "spec: {outputs: [{secretName: a, opaque: {accessTokenKey: token}, creationPolicy: Merge}]}",
    ),
    (
        "the previous token",
        ELASTIC,
        "spec: {outputs: [{secretName: a, opaque: {previousAccessTokenKey: previous, previousAccessTokenGrace: 5m}}]}",
    ),
    (
        "certificate authorities and timeouts",
        ACCESS,
        "spec: {provider: {jfrogAccess: {tls: {caBundleRef: {kind: ConfigMap, name: corp-ca}}, timeouts: {connect: 1s, request: 60s}}}}",
    ),
    (
        "certificate authorities in a Secret",
        ELASTIC,
        "spec: {provider: {elasticCloudEnterprise: {tls: {caBundleRef: {kind: Secret, name: ca, key: tls.crt}}, timeouts: {connect: 30s, request: 1s}}}}",
    ),
    ("a proxy", ACCESS, "spec: {provider: {jfrogAccess: {proxy: {url: 'http://proxy.example.com:3128'}}}}"),
    ("a proxy at an address", ELASTIC, "spec: {provider: {elasticCloudEnterprise: {proxy: {url: 'http://[fd12::1]:3128/'}}}}"),
    (
        "a proxy that asks who it is",
        OAUTH2,
        "spec: {provider: {oauth2: {proxy: {url: 'http://10.1.2.3', credentialsSecretRef: {name: proxy}}}}}",
    ),
    ("chains that credentials begin", ACCESS, "spec: {credential: {bootstrap: Create}, recovery: {onLostChain: Bootstrap}}"),
    ("a chain that a login begins", ELASTIC, "spec: {credential: {bootstrap: Create}, recovery: {onLostChain: WaitForSeed}}"),
    ("a token that is tried", ELASTIC, "spec: {recovery: {verifyBeforePublish: true}}"),
    ("a token that nobody tries", OAUTH2, "spec: {recovery: {verifyBeforePublish: false}}"),
    (
        "a token that is tried, and revoked once it is replaced",
        OAUTH2,
        "spec: {provider: {oauth2: {introspectionURL: 'https://idp.example.com/i', revocationURL: 'https://idp.example.com/r'}}, \
         recovery: {verifyBeforePublish: true}, refresh: {revokeReplacedAfter: 5m}, \
         outputs: [{secretName: o, opaque: {previousAccessTokenKey: before, previousAccessTokenGrace: 5m}}]}",
    ),
    (
        "tokens of JFrog that are tried and revoked",
        ACCESS,
        "spec: {recovery: {verifyBeforePublish: true}, refresh: {revokeReplacedAfter: 1s}}",
    ),
    (
        "a chain that a password begins",
        OAUTH2,
        "spec: {provider: {oauth2: {bootstrapGrant: Password, clientAuthentication: None, rotation: Reusable}}, \
         credential: {bootstrap: Create}, recovery: {onLostChain: Bootstrap}, request: {audience: x, scope: offline_access}}",
    ),
    (
        "a chain that a ServiceAccount begins",
        OAUTH2,
        "spec: {provider: {oauth2: {bootstrapGrant: TokenExchange, clientSecretRef: {name: c}, subjectTokenType: 'urn:x', \
         requestedTokenType: 'urn:y'}}, credential: {bootstrap: Create, serviceAccountRef: {name: builder, audience: 'https://idp.example.com'}}, \
         outputs: [{secretName: o, opaque: {refreshTokenKey: refresh}}]}",
    ),
    ("a grant that could begin a chain", OAUTH2, "spec: {provider: {oauth2: {grant: RefreshToken, bootstrapGrant: JWTBearer}}}"),
    (
        "a token that is exchanged for another",
        OAUTH2,
        "spec: {provider: {oauth2: {grant: TokenExchange, clientAuthentication: None, subjectTokenType: 'urn:x', requestedTokenType: 'urn:y'}}, \
         credential: {serviceAccountRef: {name: builder, audience: 'https://idp.example.com'}}, request: {audience: x, scope: read}}",
    ),
    ("a token that is shown for another", OAUTH2, "spec: {provider: {oauth2: {grant: JWTBearer}}}"),
    (
        "a server that tells its endpoints",
        OAUTH2,
        "spec: {deletionPolicy: Revoke, provider: {oauth2: {tokenURL: null, issuerURL: 'https://idp.example.com/realms/build'}}}",
    ),
    (
        "a client that shows a certificate",
        OAUTH2,
        "spec: {provider: {oauth2: {clientAuthentication: TLS, tls: {clientCertificateRef: {name: client}}}}}",
    ),
    (
        "a client with grace",
        OAUTH2,
        "spec: {provider: {oauth2: {clientAuthentication: Post, rotation: Grace, graceSeconds: 86400, clientSecretRef: {name: c, \
         clientIDKey: id, clientSecretKey: secret}}}}",
    ),
    ("a chain that is deleted with its object", DISTRIBUTION, "spec: {deletionPolicy: Delete}"),
    ("tokens that are revoked with their object", ELASTIC, "spec: {deletionPolicy: Revoke}"),
    (
        "tokens that are revoked at an endpoint of its own",
        OAUTH2,
        "spec: {deletionPolicy: Revoke, provider: {oauth2: {revocationURL: 'https://idp.example.com/revoke?tenant=a'}}}",
    ),
    (
        "a revocation endpoint that is not used",
        OAUTH2,
        "spec: {deletionPolicy: Retain, provider: {oauth2: {revocationURL: 'https://idp.example.com/r', introspectionURL: 'https://idp.example.com/i?x=1'}}}",
    ),
    ("the shortest grace", OAUTH2, "spec: {provider: {oauth2: {rotation: Grace, graceSeconds: 1}}}"),
    ("a public client", OAUTH2, "spec: {provider: {oauth2: {clientAuthentication: None, rotation: Reusable}}}"),
    ("a preset", OAUTH2, "spec: {provider: {oauth2: {preset: GitHubApp}}}"),
    ("a preset and what wins over it", OAUTH2, "spec: {provider: {oauth2: {preset: Okta, rotation: Grace, graceSeconds: 60}}}"),
    (
        "a client that signs",
        OAUTH2,
        "spec: {provider: {oauth2: {clientAuthentication: PrivateKeyJWT, assertionAudience: 'https://idp.example.com', clientSecretRef: \
         {name: c, clientIDKey: id, privateKeyKey: tls.key, keyIDKey: kid}}}}",
    ),
    ("a client that signs by the keys' own names", OAUTH2, "spec: {provider: {oauth2: {clientAuthentication: PrivateKeyJWT}}}"),
    (
        "tokens that are obtained anew",
        OAUTH2,
        "spec: {request: {scope: 'a b', audience: 'https://api.example.com'}, provider: {oauth2: {grant: ClientCredentials, preset: Auth0, \
         clientAuthentication: Post}}}",
    ),
    ("the grant that is the default", OAUTH2, "spec: {provider: {oauth2: {grant: RefreshToken, rotation: Reusable}}}"),
    ("the client in the seed's Secret", OAUTH2, "spec: {provider: {oauth2: {clientSecretRef: {name: seed}}}}"),
    (
        "a whole schedule",
        ACCESS,
        "spec: {suspend: true, refresh: {before: 20m, jitterPercent: 10, minInterval: 1m, maxInterval: 24h, retry: {initialDelay: 5s, maxDelay: 10m}}}",
    ),
    (
        "the smallest numbers",
        ACCESS,
        "spec: {request: {lifetime: 1s}, refresh: {beforePercent: 1, jitterPercent: 0, minInterval: 60s, maxInterval: 1m, retry: \
         {initialDelay: 1s, maxDelay: 1s}}}",
    ),
    (
        "the largest numbers",
        ACCESS,
        "spec: {request: {lifetime: 99999h}, refresh: {beforePercent: 66, jitterPercent: 50, minInterval: 99999h, maxInterval: 99999h, \
         retry: {initialDelay: 1h, maxDelay: 24h}}}",
    ),
    ("the largest parts", ACCESS, "spec: {refresh: {before: 9999h59999m9999999s}}"),
    ("a duration in other units", ACCESS, "spec: {request: {lifetime: 3600s}, refresh: {before: 90m}}"),
    ("a state Secret of another name", ACCESS, "spec: {stateSecretName: elsewhere.v2}"),
    (
        "one-letter names",
        ACCESS,
        "metadata: {name: t}\nspec: {credential: {seedSecretRef: {name: s}}, outputs: [{secretName: o, opaque: {}}]}",
    ),
];
