//! The chart is installed, and the four APIs are refreshed.

use testbed::issuer::{Api as Kind, Seed};

use crate::suite::{MAIN, NAMESPACE, Suite, Token};

/// Where images for Pods come from in the step about pull Secrets.
pub const REGISTRY: &str = "10.250.0.1:5000";

/// `helm install` as in NOTES, and what runs then.
pub async fn install(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    let values = suite.values("");
    let arguments = [&["--create-namespace"], suite.place.helm_arguments()].concat();
    suite.helm.put("install", MAIN, &values, &arguments).await?;
    let crd = ["wait", "--for=condition=Established", "crd/refreshabletokens.refreshabletoken.io", "--timeout=30s"];
    suite.kubectl(&crd, None).await?;
    let mut lines = vec![format!("helm install {} --namespace {}, with 2 replicas", MAIN.name, MAIN.namespace)];
    lines.extend(suite.place.settle(MAIN).await?);
    Ok(lines)
}

/// Seeds and objects are applied as users do; each token is refreshed twice, and one of them once more by the clock.
pub async fn providers(suite: &mut Suite) -> anyhow::Result<Vec<String>> {
    prepare(suite, NAMESPACE).await?;
    for token in &suite.tokens {
        suite.kubectl(&["apply", "-f", "-"], Some(&manifest(suite, token))).await?;
    }
    for token in &suite.tokens {
        suite.refreshed(token, 1).await?;
    }
    suite.refresh_all().await?;
    let clock = suite.tokens.iter().find(|token| token.kind == Kind::Oauth2);
    if let Some(token) = clock {
        suite.refreshed(token, 3).await?;
    }
    let counts = suite.tokens.iter().map(|token| format!("{} {}", token.name, suite.issuer.refreshes(token.seed.chain)));
    Ok(vec![
        format!("refreshes that the issuer accepted: {}", counts.collect::<Vec<_>>().join(", ")),
        format!(
            "over TLS at {}, whose name the operator looked up; one refresh was asked for, one came by the clock",
            suite.issuer.url()
        ),
    ])
}

/// A namespace with the issuer's certificate authority in it.
pub async fn prepare(suite: &Suite, namespace: &str) -> anyhow::Result<()> {
    suite.kubectl(&["create", "namespace", namespace], None).await?;
    let authority = format!("--from-literal=ca.crt={}", suite.issuer.ca_pem().unwrap_or_default());
    suite.kubectl(&["-n", namespace, "create", "configmap", "issuer-ca", &authority], None).await?;
    Ok(())
}

/// Seed and object of a token.
pub fn manifest(suite: &Suite, token: &Token) -> String {
    let url = suite.issuer.url();
    let tls = "tls: {caBundleRef: {kind: ConfigMap, name: issuer-ca, key: ca.crt}}";
    let (provider, request) = match token.kind {
        Kind::JfrogAccess => (format!("jfrogAccess: {{url: \"{url}\", {tls}}}"), "  request: {lifetime: 10m}\n"),
        Kind::JfrogDistribution => (format!("jfrogDistribution: {{url: \"{url}\", {tls}}}"), "  request: {lifetime: 10m}\n"),
        Kind::ElasticCloudEnterprise => (format!("elasticCloudEnterprise: {{url: \"{url}\", {tls}}}"), ""),
        Kind::Oauth2 => (format!("oauth2: {{tokenURL: \"{url}/oauth2/token\", {tls}}}"), ""),
    };
    let user = matches!(token.kind, Kind::JfrogDistribution).then(|| ("admin".to_owned(), "admin-password".to_owned()));
    let client = matches!(token.kind, Kind::Oauth2).then(|| ("client".to_owned(), "secret".to_owned()));
    let (name, namespace) = (token.name, token.namespace);
    let seed = Seed { name: format!("{name}-seed"), api: token.kind, pair: token.seed.clone(), user, client }.secret(namespace);
    let pull = if token.kind == Kind::JfrogAccess {
        format!("  - secretName: {name}-pull\n    dockerConfigJSON: {{registries: [\"{REGISTRY}\"], username: ci}}\n")
    } else {
        String::new()
    };
    format!(
        "{seed}---\napiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  provider: {{{provider}}}\n{request}  credential: {{seedSecretRef: {{name: {name}-seed}}}}\n  outputs:\n  - secretName: {name}-token\n    opaque: {{expirationTimeKey: expires_at}}\n{pull}"
    )
}
