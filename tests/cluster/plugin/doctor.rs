//! What `doctor` says of token APIs, from this machine and in the operator's words.

use serde_json::{Value, json};
use testbed::issuer::Issuer;

use super::Plugin;
use crate::manifest::{access, keys};
use crate::world::{Scene, test};

fn shared(scene: Scene<'_>, name: &str, provider: &Value) -> Value {
    json!({ "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "TokenProvider",
            "metadata": { "name": name, "namespace": scene.namespace }, "spec": { "provider": provider } })
}

/// An object that refers, and its seed.
async fn refers(scene: Scene<'_>, name: &str, issuer: &Issuer) {
    scene.put_seed(name, &keys(&issuer.seed_jfrog_access(name, chrono::TimeDelta::hours(1)))).await;
    let mut object = scene.manifest(name, access(issuer));
    let spec = object["spec"].as_object_mut().unwrap();
    spec.remove("provider");
    spec.insert("providerRef".to_owned(), json!({ "name": "jfrog" }));
    scene.put(&object).await;
}

#[test]
fn a_token_api_is_seen_from_here_and_by_the_operator_and_costs_no_call() {
    test("plugin-doctor", |scene| async move {
        let issuer = Issuer::builder().tls(true).start().await.unwrap();
        scene
            .put(&json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca", "namespace": scene.namespace },
                          "data": { "ca.crt": issuer.ca_pem().unwrap() } }))
            .await;
        let mut provider = access(&issuer);
        provider["jfrogAccess"]["tls"] = json!({ "caBundleRef": { "kind": "ConfigMap", "name": "ca" } });
        scene.apply(&shared(scene, "jfrog", &provider).to_string()).await;
        for name in ["a", "b"] {
            refers(scene, name, &issuer).await;
            scene.refreshed(name, 1).await;
        }
        let plugin = Plugin::new(scene);
        plugin.call("refresh a --wait").await.says(0, &["plugin-doctor/a: refreshed, number 2"]);
        let calls = issuer.log().len();
        let doctor = plugin.call("doctor").await;
        let about = "TokenProvider plugin-doctor/jfrog";
        let operator = "Reachable: the token API can be reached, and its certificate is verified";
        doctor.says(0, &[operator, "from this machine, 127.0.0.1:", "a certificate that is verified"]);
        assert_eq!(doctor.out.matches(about).count(), 2, "once by each, whatever the number of tokens: {}", doctor.out);
        let some = plugin.call("doctor nobody a").await;
        some.says(1, &["FAILED", "plugin-doctor/nobody", "not found", "plugin-doctor/a"]);
        let offline = plugin.call("doctor --offline").await;
        offline.says(0, &[operator]);
        assert!(!offline.out.contains("from this machine"), "{}", offline.out);

        // Somebody who may not read the authorities cannot verify, and is told what is missing.
        let role = [
            "create",
            "role",
            "looker",
            "--verb=get,list",
            "--resource=refreshabletokens.refreshabletoken.io,tokenproviders.refreshabletoken.io",
        ];
        scene.kubectl(&role, None).await.checked().unwrap();
        scene.kubectl(&["create", "rolebinding", "looker", "--role=looker", "--user=looker"], None).await.checked().unwrap();
        let looker = plugin.call("doctor --as looker").await;
        looker.says(
            0,
            &["its certificate cannot be verified: ConfigMap ca, key ca.crt in namespace plugin-doctor", "you may not read it"],
        );

        // Nobody is there: a warning for this machine, and a failure in the operator's words.
        let mut closed = provider;
        closed["jfrogAccess"]["url"] = "https://127.0.0.1:9".into();
        scene.apply(&shared(scene, "jfrog", &closed).to_string()).await;
        let path = "jsonpath={.status.conditions[0].reason}";
        crate::sight::wait("EndpointUnreachable", || async {
            let output = scene.kubectl(&["get", "tokenprovider", "jfrog", "-o", path], None).await;
            output.checked().ok().filter(|said| said.trim() == "EndpointUnreachable").map(|_| ())
        })
        .await;
        let doctor = plugin.call("doctor -o json").await;
        assert_eq!(doctor.code, 1, "{doctor:#?}");
        let findings = doctor.parsed()["findings"].clone();
        let of = |grade: &str, says: &str| {
            let fits = |one: &&Value| {
                one["about"] == about && one["grade"] == grade && one["what"].as_str().is_some_and(|what| what.contains(says))
            };
            findings.as_array().unwrap().iter().filter(fits).count()
        };
        assert_eq!(of("failed", "EndpointUnreachable"), 1, "{findings:#}");
        assert_eq!(of("warning", "from this machine, 127.0.0.1:9: no connection can be made"), 1, "{findings:#}");
        assert_eq!(issuer.log().len(), calls, "nothing was asked of the token API");
        let pairs: Vec<_> = issuer.chains().into_iter().flat_map(|chain| chain.pairs).collect();
        let tokens: Vec<&str> = pairs.iter().flat_map(|pair| [pair.access_token.as_str(), pair.refresh()]).collect();
        plugin.printed_no_token(&tokens);
    });
}
