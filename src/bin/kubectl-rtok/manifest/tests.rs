//! Files that are good, and each way in which one is not.

use super::*;

const GOOD: &str = "apiVersion: refreshabletoken.io/v1alpha1
kind: RefreshableToken
metadata: {name: ci}
spec:
  provider: {jfrogAccess: {url: 'https://art.example.com'}}
  credential: {seedSecretRef: {name: ci-seed}}
  outputs: [{secretName: ci-token, opaque: {}}]
";

fn wrong(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    match documents(&GOOD.replace(from, to), None).unwrap().as_slice() {
        [Document::Invalid(_, mistakes)] => mistakes.clone(),
        other => panic!("{to}: {other:?}"),
    }
}

#[test]
fn good_ones_pass_and_other_kinds_are_named() {
    let text = format!("{GOOD}---\nkind: Secret\nmetadata: {{name: s}}\n---\n");
    let documents = documents(&text, None).unwrap();
    assert!(matches!(&documents[0], Document::Valid(object) if object.metadata.name.as_deref() == Some("ci")));
    assert_eq!(documents[1..], [Document::Other("Secret s".to_owned())]);
}

#[test]
fn each_mistake_is_named_by_its_field() {
    let rows = [
        ("opaque: {}", "opaque: {accessTokenKye: x}", "spec.outputs[0].opaque.accessTokenKye: there is no such field"),
        ("opaque: {}", "opaque: {}, basicAuth: {username: a}", "spec.outputs[0]: must have exactly one of"),
        ("opaque: {}", "opaque: []", "spec.outputs[0].opaque: must be of type object"),
        ("secretName: ci-token, ", "", "spec.outputs[0].secretName: is required"),
        ("{name: ci-seed}", "{name: Bad_Name}", "spec.credential.seedSecretRef.name: must be a lower case"),
        (
            "{url: 'https://art.example.com'}",
            "{url: 'art.example.com'}",
            "spec.provider.jfrogAccess.url: must be an absolute URL",
        ),
        ("metadata: {name: ci}", "metadata: {name: CI}", "metadata.name: must be"),
        ("{name: ci}", "{name: ci, lables: {a: b}}", "metadata.lables: there is no such field"),
        ("{name: ci}", "{name: ci, labels: {a: 1}}", "metadata.labels.a: must be of type string"),
        ("{name: ci}", "{name: ci, namespace: a.b}", "metadata.namespace: must be"),
        ("apiVersion: refreshabletoken.io/v1alpha1\n", "", "apiVersion: must be refreshabletoken.io/v1alpha1"),
        ("opaque: {}", "\"op\\e[2J\": {}", "spec.outputs[0].op [2J: there is no such field"),
        ("v1alpha1", "v1", "apiVersion: must be refreshabletoken.io/v1alpha1"),
        ("spec:\n", "deletionPolicy: Revoke\nspec:\n", "deletionPolicy: there is no such field"),
        ("spec:\n", "spec:\n  deletionPolicy: Forget\n", "spec.deletionPolicy: must be one of"),
        ("spec:\n", "spec:\n  refresh: {before: soon}\n", "spec: "),
        ("spec:\n", "spec:\n  refresh: {before: 1m, beforePercent: 3}\n", "spec.refresh: set before or beforePercent"),
        (
            "provider: {",
            "provider: {elasticCloudEnterprise: {url: 'https://e.example.com'}, ",
            "spec.provider: must have exactly one of",
        ),
    ];
    for (from, to, expected) in rows {
        let mistakes = wrong(from, to);
        assert!(mistakes.iter().any(|mistake| mistake.starts_with(expected)), "{to}: {mistakes:?}");
    }
}

#[test]
fn a_file_that_is_no_yaml_is_not_shown() {
    let error = documents("kind: Secret\nstringData: {access_token: canary-of-a-file\n", None).unwrap_err();
    assert!(error.message.starts_with("this is not YAML, line ") && !error.message.contains("canary"), "{error:?}");
    let twice = documents("kind: Secret\nstringData: {canary: a, canary: b}\n", None).unwrap_err();
    assert_eq!(twice.message, "a mapping has the same key twice, line 2, column 25");
}

#[test]
fn large_files_are_read_and_too_large_ones_refused() {
    let many = "kind: Secret\n---\n".repeat(1100) + GOOD;
    assert!(matches!(documents(&many, None).unwrap().last(), Some(Document::Valid(_))));
    let keys: Vec<String> = (0..150_000).map(|key| format!("  k{key}: v\n")).collect();
    assert_eq!(documents(&format!("kind: ConfigMap\ndata:\n{}", keys.concat()), None).unwrap().len(), 1);
    let flood = "[]\n---\n".repeat(MOST_DOCUMENTS + 1);
    assert!(documents(&flood, None).unwrap_err().message.starts_with("this is more YAML than is read"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let (fits, more) = (usize::try_from(LARGEST).unwrap(), usize::try_from(LARGEST + 1).unwrap());
    std::fs::write(file.path(), " ".repeat(fits)).unwrap();
    assert_eq!(read(file.path()).map(|text| text.len()), Ok(fits));
    std::fs::write(file.path(), " ".repeat(more)).unwrap();
    assert!(read(file.path()).unwrap_err().message.ends_with("is larger than 16 MiB, which no manifest is"));
}

const PROVIDER: &str = "apiVersion: refreshabletoken.io/v1alpha1
kind: TokenProvider
metadata: {name: shared}
spec: {provider: {elasticCloudEnterprise: {url: 'https://e.example.com'}}}
";
const CLUSTER: &str = "apiVersion: refreshabletoken.io/v1alpha1
kind: ClusterTokenProvider
metadata: {name: shared}
spec: {allowedNamespaces: {names: [build]}, provider: {jfrogAccess: {url: 'https://art.example.com'}}}
";

fn only_mistakes(text: &str, namespace: Option<&str>) -> Vec<String> {
    let all = documents(text, namespace).unwrap();
    all.into_iter().flat_map(|one| if let Document::Invalid(_, mistakes) = one { mistakes } else { Vec::new() }).collect()
}

#[test]
fn providers_are_checked_as_their_own_kinds() {
    let said = |text: &str| documents(text, None).unwrap();
    assert_eq!(said(PROVIDER), [Document::Provider("TokenProvider shared".to_owned())]);
    assert_eq!(said(CLUSTER), [Document::Provider("ClusterTokenProvider shared".to_owned())]);
    for (text, from, to, expected) in [
        (PROVIDER, "https://e", "e", "spec.provider.elasticCloudEnterprise.url: must be an absolute URL"),
        (PROVIDER, "spec: {", "spec: {limits: {}, ", "spec.limits: must have maxConcurrent or requestsPerMinute"),
        (PROVIDER, "spec: {", "spec: {limits: {maxConcurrent: 0}, ", "spec.limits.maxConcurrent: must be 1 to 1000"),
        (PROVIDER, "spec: {", "spec: {limit: {}, ", "spec.limit: there is no such field"),
        (CLUSTER, "{names: [build]}", "{}", "spec.allowedNamespaces: must have names or matchLabels"),
        (CLUSTER, "allowedNamespaces: {names: [build]}, ", "", "spec.allowedNamespaces: is required"),
    ] {
        assert!(text.contains(from), "{from}");
        let mistakes = only_mistakes(&text.replace(from, to), None);
        assert!(mistakes.iter().any(|mistake| mistake.starts_with(expected)), "{to}: {mistakes:?}");
    }
}

#[test]
fn a_token_is_checked_with_the_provider_of_the_same_file() {
    let refers = |kind: &str| {
        GOOD.replace("provider: {jfrogAccess: {url: 'https://art.example.com'}}", &format!("providerRef: {{{kind}name: shared}}"))
            .replace("spec:\n", "spec:\n  request: {scope: x}\n")
    };
    let token = refers("");
    assert_eq!(only_mistakes(&token, None), Vec::<String>::new(), "its provider is not known");
    let wrong = |text: String, namespace| only_mistakes(&text, namespace);
    let joined = wrong(format!("{token}---\n{PROVIDER}"), None);
    assert!(joined.iter().any(|mistake| mistake.starts_with("spec.request.scope: can be asked for with")), "{joined:?}");
    let elsewhere = PROVIDER.replace("{name: shared}", "{name: shared, namespace: other}");
    assert!(wrong(format!("{token}---\n{elsewhere}"), None).is_empty(), "of another namespace, perhaps");
    let clustered = format!("{CLUSTER}---\n{}", refers("kind: ClusterTokenProvider, "));
    assert!(wrong(clustered.clone(), Some("build")).is_empty() && wrong(clustered.clone(), None).is_empty());
    let refused = wrong(clustered, Some("other"));
    assert_eq!(refused, ["spec.providerRef: ClusterTokenProvider shared does not allow namespace other"]);
}

#[test]
fn a_namespace_is_filled_in_where_there_is_none() {
    let namespace = |text: &str| match documents(text, Some("build")).unwrap().remove(0) {
        Document::Valid(object) => object.metadata.namespace,
        other => panic!("{other:?}"),
    };
    assert_eq!(namespace(GOOD).as_deref(), Some("build"));
    assert_eq!(namespace(&GOOD.replace("{name: ci}", "{name: ci, namespace: own}")).as_deref(), Some("own"));
}
