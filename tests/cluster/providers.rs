//! Providers that several objects share: of a namespace, and of the cluster.

use std::time::Duration;

use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde_json::json;
use testbed::issuer::{Api as Kind, Fault, Issuer, Pair, Rule};

use crate::manifest::{LONG, keys};
use crate::sight::{calls_at, wait};
use crate::stage;
use crate::world::{Scene, condition, test};

/// How long an answer is held back, in milliseconds.
const HELD: u64 = 1_500;

/// A provider of a kind with the lines that it has in a spec.
fn provider(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: refreshabletoken.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

impl Scene<'_> {
    /// The object called `name` with a `providerRef` in the place of the provider.
    fn referring(&self, kind: Kind, name: &str, reference: &str, more: &str) -> String {
        let whole = self.object(kind, name, more);
        let inline = whole.lines().find(|line| line.starts_with("  provider: ")).unwrap().to_owned();
        whole.replace(&inline, &format!("  providerRef: {reference}"))
    }

    /// The provider line of the shared issuer.
    fn at_issuer(&self, kind: Kind) -> String {
        let lines = stage::provider_yaml(kind, &self.world.issuer);
        format!("{}\n", lines.lines().next().unwrap())
    }

    /// The seed of a first pair, and the object that refers.
    async fn refers(&self, kind: Kind, name: &str, reference: &str) -> Pair {
        let pair = self.pair(kind, name, Duration::from_secs(30)).await;
        self.apply(&format!("{}{}", self.seed(kind, name, &pair), self.referring(kind, name, reference, ""))).await;
        pair
    }

    /// Waits until the condition Ready of a provider has this status and reason.
    async fn told(&self, resource: &str, name: &str, wanted: &str) {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}"#;
        wait(&format!("{resource}/{name} {wanted}"), || async {
            let output = self.kubectl(&["get", resource, name, "-o", path], None).await;
            output.checked().ok().filter(|said| said.trim() == wanted).map(|_| ())
        })
        .await;
    }
}

#[test]
fn a_provider_that_comes_later_wakes_the_objects_that_wait_for_it() {
    test("provider-later", |scene| async move {
        let first = scene.refers(Kind::JfrogAccess, "one", "{name: jfrog}").await;
        let second = scene.refers(Kind::JfrogAccess, "two", "{kind: TokenProvider, name: jfrog}").await;
        scene.stalled("one", "ProviderMissing").await;
        scene.stalled("two", "ProviderMissing").await;
        assert_eq!((scene.calls(&first), scene.calls(&second)), (0, 0));
        scene.apply(&provider("TokenProvider", "jfrog", &scene.at_issuer(Kind::JfrogAccess))).await;
        scene.refreshed("one", 2).await;
        scene.refreshed("two", 2).await;
        scene.told("tokenprovider", "jfrog", "True Reachable").await;
        for (name, pair) in [("one", &first), ("two", &second)] {
            scene.holds_newest(name, pair).await;
            scene.never_twice(pair);
        }
        let status = scene.status("one").await;
        assert_eq!(status.effective.unwrap().provider, "jfrogAccess");
    });
}

#[test]
fn a_provider_that_is_mended_wakes_its_objects_and_one_that_goes_stops_them() {
    test("provider-mended", |scene| async move {
        let closed = "  provider: {jfrogAccess: {url: \"http://127.0.0.1:9\"}}\n";
        scene.apply(&provider("TokenProvider", "jfrog", closed)).await;
        scene.told("tokenprovider", "jfrog", "False EndpointUnreachable").await;
        let pair = scene.refers(Kind::JfrogAccess, "token", "{name: jfrog}").await;
        scene.until("token", "EndpointUnreachable", |object| format!("{object:?}").contains("EndpointUnreachable")).await;
        assert_eq!(scene.calls(&pair), 0);
        scene.apply(&provider("TokenProvider", "jfrog", &scene.at_issuer(Kind::JfrogAccess))).await;
        scene.refreshed("token", 1).await;
        scene.kubectl(&["delete", "tokenprovider", "jfrog"], None).await.checked().unwrap();
        let stopped = scene.stalled("token", "ProviderMissing").await;
        let ready = condition(&stopped, ConditionType::Ready).unwrap();
        assert_eq!(ready.0, ConditionStatus::True, "the token is valid still: {ready:?}");
        scene.apply(&provider("TokenProvider", "jfrog", &scene.at_issuer(Kind::JfrogAccess))).await;
        let before = stopped.status.unwrap().chain_generation.unwrap();
        scene.refreshed("token", before + 1).await;
        scene.holds_newest("token", &pair).await;
        scene.never_twice(&pair);
    });
}

#[test]
fn what_a_provider_does_not_fit_is_told_and_costs_no_call() {
    test("provider-unfit", |scene| async move {
        scene.apply(&provider("TokenProvider", "jfrog", &scene.at_issuer(Kind::JfrogDistribution))).await;
        let pair = scene.pair(Kind::JfrogDistribution, "token", Duration::from_secs(30)).await;
        let object =
            scene.referring(Kind::JfrogDistribution, "token", "{name: jfrog}", "").replace("  request: {lifetime: 30s}\n", "");
        scene.apply(&format!("{}{object}", scene.seed(Kind::JfrogDistribution, "token", &pair))).await;
        let told = scene.stalled("token", "InvalidSpec").await;
        assert!(format!("{told:?}").contains("spec.request.lifetime"), "{told:?}");
        assert_eq!(scene.calls(&pair), 0);
    });
}

#[test]
fn a_provider_of_the_cluster_serves_the_namespaces_that_it_names() {
    test("provider-cluster", |scene| async move {
        let name = "provider-cluster";
        let spec = |allowed: &str| {
            format!(
                "{}  allowedNamespaces: {allowed}\n",
                scene.at_issuer(Kind::Oauth2).trim_end_matches("}}\n").to_owned()
                    + ", clientSecretRef: {name: shared-client}}}\n"
            )
        };
        scene.apply(&provider("ClusterTokenProvider", name, &spec("{names: [elsewhere]}"))).await;
        let pair = scene.refers(Kind::Oauth2, "token", &format!("{{kind: ClusterTokenProvider, name: {name}}}")).await;
        scene.stalled("token", "ProviderNotAllowed").await;
        assert_eq!(scene.calls(&pair), 0);
        // The namespace has this label from Kubernetes itself.
        let labelled = format!("{{matchLabels: {{kubernetes.io/metadata.name: {}}}}}", scene.namespace);
        scene.apply(&provider("ClusterTokenProvider", name, &spec(&labelled))).await;
        // The client's Secret is looked for in the operator's namespace, and not in this one.
        scene.stalled("token", "SeedMissing").await;
        let client = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: shared-client, namespace: {}, labels: {{refreshabletoken.io/role: seed}}}}\nstringData: {{client_id: client, client_secret: secret}}\n",
            stage::OPERATOR_NAMESPACE
        );
        scene.world.plane.kubectl(&["apply", "-f", "-"], Some(&client)).await.unwrap().checked().unwrap();
        // The watch of Secrets tells those that wait for it, in whatever namespace they are.
        scene.refreshed("token", 1).await;
        scene.holds_newest("token", &pair).await;
        scene.told("clustertokenprovider", name, "True Reachable").await;
    });
}

/// The first pause after a failure is ten minutes, so that nothing but the authorities can bring these on; and the condition of a provider,
/// which is looked at each minute, comes too late.
fn authorities_that_are_mended_wake_whoever_waits_for_them(named: &'static str, kind: &'static str, data: &'static str) {
    test(named, move |scene| async move {
        let issuer = Issuer::builder().tls(true).start().await.unwrap();
        let other = Issuer::builder().tls(true).start().await.unwrap();
        let ca = |pem: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "ca"}, data: {"ca.crt": pem}});
        let trusting = json!({"jfrogAccess": {"url": issuer.url(), "tls": {"caBundleRef": {"kind": kind, "name": "ca"}}}});
        let shared = serde_json::to_string(&trusting).unwrap();
        scene.apply(&provider("TokenProvider", "jfrog", &format!("  provider: {shared}\n"))).await;
        let mut pairs = Vec::new();
        for name in ["own", "shared"] {
            let pair = issuer.seed_jfrog_access(name, chrono::TimeDelta::hours(1));
            scene.put_seed(name, &keys(&pair)).await;
            let mut object = scene.manifest(name, trusting.clone());
            object["spec"]["request"] = json!({"lifetime": LONG});
            object["spec"]["refresh"] = json!({"retry": {"initialDelay": "10m"}});
            if name == "shared" {
                object["spec"].as_object_mut().unwrap().remove("provider");
                object["spec"]["providerRef"] = json!({"name": "jfrog"});
            }
            scene.put(&object).await;
            pairs.push((name, pair));
        }
        for (name, _) in &pairs {
            scene.stalled(name, "CABundleInvalid").await;
        }
        scene.put(&ca(other.ca_pem().unwrap())).await;
        for (name, pair) in &pairs {
            scene.says(name, ConditionType::Reconciling, ConditionStatus::True, "EndpointUnreachable").await;
            assert_eq!(calls_at(&issuer, pair), 0);
        }
        let mended = tokio::time::Instant::now();
        scene.put(&ca(issuer.ca_pem().unwrap())).await;
        for (name, pair) in &pairs {
            scene.refreshed(name, 1).await;
            scene.healthy(name).await;
            assert_eq!(calls_at(&issuer, pair), 1);
        }
        assert!(mended.elapsed() < Duration::from_secs(45), "{:?}", mended.elapsed());
    });
}

#[test]
fn authorities_in_a_config_map_wake_whoever_waits_for_them() {
    authorities_that_are_mended_wake_whoever_waits_for_them("provider-authorities", "ConfigMap", "data");
}

/// A Secret without any label of the operator: no watch shows it.
#[test]
fn authorities_in_a_secret_wake_whoever_waits_for_them() {
    authorities_that_are_mended_wake_whoever_waits_for_them("provider-authorities-secret", "Secret", "stringData");
}

#[test]
fn a_provider_with_a_limit_is_asked_for_one_token_after_the_other() {
    test("provider-limit", |scene| async move {
        let own = scene.at_issuer(Kind::JfrogAccess);
        scene.apply(&provider("TokenProvider", "jfrog", &format!("{own}  limits: {{maxConcurrent: 1}}\n"))).await;
        scene.told("tokenprovider", "jfrog", "True Reachable").await;
        let mut pairs = Vec::new();
        let mut all = String::new();
        for name in ["one", "two", "three"] {
            let pair = scene.hour(name).await;
            scene.world.issuer.arm(Rule::once(Fault::Delay { before_ms: 0, answer_ms: HELD }).chain(pair.chain));
            all += "---\n";
            all += &scene.seed(Kind::JfrogAccess, name, &pair);
            all += &scene.referring(Kind::JfrogAccess, name, "{name: jfrog}", "");
            pairs.push((name, pair));
        }
        scene.apply(&all).await;
        for (name, pair) in &pairs {
            scene.refreshed(name, 1).await;
            scene.holds_newest(name, pair).await;
            scene.never_twice(pair);
        }
        let log = scene.world.issuer.log();
        let first = |pair: &Pair| log.iter().find(|call| call.chain == Some(pair.chain)).unwrap().at;
        let mut times: Vec<_> = pairs.iter().map(|(_, pair)| first(pair)).collect();
        times.sort();
        let apart = times.windows(2).map(|two| (two[1] - two[0]).num_milliseconds()).min().unwrap();
        assert!(apart >= i64::try_from(HELD).unwrap(), "a call while another was not answered: {times:?}");
    });
}

#[test]
fn the_rules_of_the_kinds_are_checked_at_admission() {
    test("provider-rules", |scene| async move {
        let refused = async |yaml: String| {
            let output = scene.kubectl(&["apply", "-f", "-"], Some(&yaml)).await;
            output.checked().expect_err("it was taken").to_string()
        };
        let own = scene.at_issuer(Kind::Oauth2);
        let both = scene.object(Kind::Oauth2, "both", "  providerRef: {name: x}\n");
        assert!(refused(both).await.contains("exactly one of provider and providerRef"));
        let neither = scene.object(Kind::Oauth2, "neither", "").replace(&own, "");
        assert!(refused(neither).await.contains("exactly one of provider and providerRef"));
        let empty = scene.referring(Kind::Oauth2, "empty", "{}", "");
        assert!(refused(empty).await.contains("spec.providerRef.name"));
        let nobodys = provider("ClusterTokenProvider", "nobodys", &format!("{own}  allowedNamespaces: {{}}\n"));
        assert!(refused(nobodys).await.contains("must have names or matchLabels"));
        let empty = provider("TokenProvider", "empty", "  provider: {}\n");
        assert!(refused(empty).await.contains("exactly one of"));
        for (limits, says) in [
            ("{}", "must have maxConcurrent or requestsPerMinute"),
            ("{maxConcurrent: 0}", "should be greater than or equal to 1"),
            ("{requestsPerMinute: 6001}", "should be less than or equal to 6000"),
        ] {
            let limited = provider("TokenProvider", "limited", &format!("{own}  limits: {limits}\n"));
            let said = refused(limited).await;
            assert!(said.contains(says), "{limits}: {said}");
        }
    });
}
