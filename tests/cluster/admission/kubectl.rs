//! What a person sees with kubectl: refusals, explanations, columns, and an installation that can be repeated.

use crate::world::{Scene, test};

const SPEC: &str = "  provider: {jfrogAccess: {url: https://art.example.com}}
  credential: {seedSecretRef: {name: seed}}
  outputs: [{secretName: out, opaque: {}}]
";

fn object(name: &str, more: &str) -> String {
    format!(
        "apiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: {name}}}\nspec:\n  suspend: true\n{SPEC}{more}"
    )
}

async fn refused(scene: Scene<'_>, manifest: &str) -> String {
    let output = scene.kubectl(&["apply", "-f", "-"], Some(manifest)).await;
    assert!(!output.status.success(), "{}", output.stdout);
    output.stderr
}

#[test]
fn apply_is_strict_and_says_what_to_do() {
    test("admission-apply", |scene| async move {
        let typed = refused(scene, &object("typed", "  refresh: {befor: 20m}\n")).await;
        assert!(typed.contains("unknown field \"spec.refresh.befor\""), "{typed}");
        let bad = refused(scene, &object("bad", "  refresh: {minInterval: 1d}\n")).await;
        assert!(
            bad.contains(
                r#"spec.refresh.minInterval: Invalid value: "1d": must be from 1m to 99999h, written like 1h30m, 20m or 45s"#
            ),
            "{bad}"
        );

        scene.apply(&object("good", "")).await;
        scene.apply(&object("good", "  stateSecretName: good-state\n")).await;
        let moved = refused(scene, &object("good", "  stateSecretName: elsewhere\n")).await;
        assert!(moved.contains("spec.stateSecretName: Forbidden: stateSecretName cannot be changed"), "{moved}");
    });
}

#[test]
fn explain_shows_what_the_fields_are_for() {
    test("admission-explain", |scene| async move {
        let explain = async |path: &str| scene.kubectl(&["explain", path], None).await.checked().unwrap();
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (path, says) in [
            ("rtok", "A token that is refreshed before it expires and written into Secrets."),
            ("rtok.spec", "The Secrets that workloads mount, 1 to 20."),
            ("rtok.spec.refresh", "Default: the last third of its real lifetime."),
            ("rtok.spec.refresh", "beforePercent <integer>"),
            ("rtok.spec.refresh.retry", "Delay after the first failure. Default: 5s."),
            ("rtok.spec.provider", "The token API that refreshes this token. Exactly one key."),
            ("rtok.spec.provider.oauth2.rotation", "ENUM: Strict Grace IdempotencyKey Reusable"),
            ("rtok.spec.credential.seedSecretRef", "with the label `refreshabletoken.io/role: seed`"),
            ("rtok.status.token", "When the token ends"),
        ] {
            let text = explain(path).await;
            assert!(flat(&text).contains(says), "{path}: {says}: {text}");
            assert!(!text.contains("Auto-generated") && !text.contains("<empty>"), "{path}: {text}");
        }
    });
}

#[test]
fn columns_have_the_names_that_people_look_for() {
    test("admission-columns", |scene| async move {
        scene.apply(&object("shown", "")).await;
        let get = async |args: &[&str]| scene.kubectl(args, None).await.checked().unwrap();
        let head = |text: &str| {
            text.lines().next().unwrap().split("  ").map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>().join("|")
        };
        let narrow = get(&["get", "rtok"]).await;
        assert_eq!(head(&narrow), "NAME|READY|REASON|EXPIRES|LAST REFRESH|AGE");
        let wide = get(&["get", "rtok", "-o", "wide"]).await;
        assert_eq!(head(&wide), "NAME|READY|REASON|EXPIRES|LAST REFRESH|AGE|PROVIDER|NEXT REFRESH|FAILURES|SUSPENDED");
        let row = wide.lines().nth(1).unwrap();
        assert!(row.starts_with("shown") && row.trim_end().ends_with("true") && !row.contains("<invalid>"), "{wide}");
        assert!(get(&["get", "refreshabletokens", "-o", "name"]).await.contains("refreshabletoken.refreshabletoken.io/shown"));
    });
}

/// `kubectl apply` keeps the whole manifest in an annotation, of at most 262144 bytes.
#[test]
fn the_crds_can_be_applied_again() {
    test("admission-again", |scene| async move {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
        for _ in 0..2 {
            let said = scene.kubectl(&["apply", "-f", crds], None).await.checked().unwrap();
            assert!(
                said.contains("customresourcedefinition.apiextensions.k8s.io/refreshabletokens.refreshabletoken.io unchanged"),
                "{said}"
            );
        }
        let name = "crd/refreshabletokens.refreshabletoken.io";
        let path = r"jsonpath={.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}";
        let annotation = scene.kubectl(&["get", name, "-o", path], None).await.checked().unwrap();
        assert!((1000..200_000).contains(&annotation.len()), "{} bytes", annotation.len());
        let path = "jsonpath={.status.conditions[?(@.type=='NonStructuralSchema')].message}{.status.conditions[?(@.type=='NamesAccepted')].status}";
        assert_eq!(scene.kubectl(&["get", name, "-o", path], None).await.checked().unwrap(), "True");
    });
}
