//! Where calls may go, and how the connection is verified: nothing is spent unless both are right.

use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde_json::{Value, json};
use testbed::issuer::{Client, ClientAuth, Issuer, Operation};

use crate::manifest::{LONG, access, keys};
use crate::sight::calls_at;
use crate::stage::Running;
use crate::world::{Scene, World, alone, test};

fn bundle(name: &str, kind: &str, pem: &str) -> Value {
    let data = if kind == "Secret" { "stringData" } else { "data" };
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, data: {"ca.crt": pem}})
}

/// An object whose provider is served with TLS, and trusts this bundle.
fn trusting(scene: Scene<'_>, name: &str, issuer: &Issuer, kind: &str, bundle: &str) -> Value {
    let mut object = scene.manifest(name, access(issuer));
    object["spec"]["request"] = json!({"lifetime": LONG});
    object["spec"]["provider"]["jfrogAccess"]["tls"] = json!({"caBundleRef": {"kind": kind, "name": bundle}});
    object
}

#[test]
fn certificate_authorities_are_taken_from_a_config_map_or_a_secret() {
    test("endpoint-tls", |scene| async move {
        let issuer = Issuer::builder().tls(true).start().await.unwrap();
        for kind in ["ConfigMap", "Secret"] {
            let name = kind.to_lowercase();
            scene.put(&bundle(&name, kind, issuer.ca_pem().unwrap())).await;
            let pair = issuer.seed_jfrog_access(&name, chrono::TimeDelta::hours(1));
            scene.put_seed(&name, &keys(&pair)).await;
            scene.put(&trusting(scene, &name, &issuer, kind, &name)).await;
            scene.refreshed(&name, 1).await;
            scene.healthy(&name).await;
        }
    });
}

#[test]
fn a_server_that_cannot_be_verified_gets_no_token() {
    test("endpoint-ca", |scene| async move {
        let issuer = Issuer::builder().tls(true).start().await.unwrap();
        let other = Issuer::builder().tls(true).start().await.unwrap();
        let pair = issuer.seed_jfrog_access("ca", chrono::TimeDelta::hours(1));
        scene.put_seed("a", &keys(&pair)).await;
        scene.put(&trusting(scene, "a", &issuer, "ConfigMap", "ca")).await;
        let object = scene.stalled("a", "CABundleInvalid").await;
        assert!(Scene::message(&object, ConditionType::Stalled).contains("ConfigMap ca, key ca.crt"));

        scene.put(&bundle("ca", "ConfigMap", other.ca_pem().unwrap())).await;
        let mut object = trusting(scene, "a", &issuer, "ConfigMap", "ca");
        object["spec"]["refresh"] = json!({"jitterPercent": 1});
        scene.put(&object).await;
        scene.says("a", ConditionType::Reconciling, ConditionStatus::True, "EndpointUnreachable").await;
        assert_eq!(calls_at(&issuer, &pair), 0);

        scene.put(&bundle("ca", "ConfigMap", issuer.ca_pem().unwrap())).await;
        scene.refreshed("a", 1).await;
        assert_eq!(calls_at(&issuer, &pair), 1);
        scene.healthy("a").await;
    });
}

#[test]
fn a_client_certificate_is_shown_and_a_mended_one_is_used_at_once() {
    test("endpoint-mutual", |scene| async move {
        let issuer = Issuer::builder().mutual_tls().start().await.unwrap();
        let (certificate, key) = issuer.client_certificate().unwrap();
        let pair = issuer.seed_jfrog_access("a", chrono::TimeDelta::hours(1));
        scene.put(&bundle("ca", "ConfigMap", issuer.ca_pem().unwrap())).await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = trusting(scene, "a", &issuer, "ConfigMap", "ca");
        scene.put(&object).await;
        // TLS ends with an alert only after the request was sent; nothing of it was read.
        let shown = scene.stalled("a", "ClientCertificateInvalid").await;
        assert!(Scene::message(&shown, ConditionType::Stalled).contains("tls.clientCertificateRef"));

        object["spec"]["provider"]["jfrogAccess"]["tls"]["clientCertificateRef"] = json!({"name": "client-seed"});
        scene.put(&object).await;
        let message = async |part: &str| loop {
            let shown = scene.stalled("a", "ClientCertificateInvalid").await;
            if Scene::message(&shown, ConditionType::Stalled).contains(part) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        message("Secret client-seed does not exist").await;
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "client-seed"}, "stringData": {"tls.crt": certificate, "tls.key": "none"}});
        scene.put(&secret).await;
        secret["metadata"]["labels"] = json!({"refreshabletoken.io/role": "seed"});
        scene.put(&secret).await;
        message("tls.key holds no private key").await;
        assert_eq!(calls_at(&issuer, &pair), 0);
        // The watch tells, and nobody has to touch the object.
        secret["stringData"] = json!({"tls.key": key});
        scene.put(&secret).await;
        scene.refreshed("a", 1).await;
        assert_eq!(calls_at(&issuer, &pair), 1);
        scene.healthy("a").await;
    });
}

#[test]
fn a_server_tells_its_endpoints_itself() {
    test("endpoint-discovery", |scene| async move {
        let client = Client { secret: "secret".into(), auth: ClientAuth::Basic, scope: "read".into() };
        let issuer = Issuer::builder().client("client", client).start().await.unwrap();
        let pair = issuer.seed_oauth2("discovered", "client", chrono::TimeDelta::hours(1));
        scene.put_seed("a", &[("refresh_token", pair.refresh()), ("client_id", "client"), ("client_secret", "secret")]).await;
        // An issuer is a name: one that differs by a slash is another one.
        let at = |url: &str| scene.manifest("a", json!({"oauth2": {"issuerURL": url}}));
        for wrong in [format!("{}/", issuer.url()), format!("{}/realms/other", issuer.url())] {
            scene.put(&at(&wrong)).await;
            let object = scene.stalled("a", "DiscoveryFailed").await;
            assert!(Scene::message(&object, ConditionType::Stalled).contains("metadata of issuerURL"));
        }
        assert_eq!(calls_at(&issuer, &pair), 0);
        let mut object = at(issuer.url());
        object["spec"]["deletionPolicy"] = "Revoke".into();
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        let asked = |issuer: &Issuer| issuer.log().iter().filter(|call| call.operation == Operation::Inspect).count();
        let before = asked(&issuer);
        scene.force("a", "again").await;
        scene.refreshed("a", 2).await;
        assert_eq!(asked(&issuer), before, "what is known is not asked for again");
        let newest = issuer.chains().last().unwrap().pairs.last().unwrap().refresh().to_owned();
        scene.kubectl(&["delete", "rtok", "a"], None).await.checked().unwrap();
        let revoked =
            |call: &testbed::issuer::Presentation| call.operation == Operation::Revoke && call.token.as_ref() == Some(&newest);
        assert!(issuer.log().iter().any(revoked), "the revocation endpoint is discovered too");
    });
}

#[test]
fn a_port_where_nobody_listens_is_tried_again_with_pauses_and_spends_nothing() {
    test("endpoint-refused", |scene| async move {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        object["spec"]["provider"]["jfrogAccess"]["url"] = format!("http://127.0.0.1:{port}").into();
        scene.put(&object).await;
        scene.says("a", ConditionType::Reconciling, ConditionStatus::True, "EndpointUnreachable").await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        assert_eq!(scene.status("a").await.consecutive_failures, Some(1), "the first pause is 5 s");
        assert_eq!(scene.secrets().get_opt("a-state").await.unwrap(), None, "nothing was claimed");
        object["spec"]["provider"]["jfrogAccess"]["url"] = scene.world.issuer.url().into();
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.holds_newest("a", &pair).await;
    });
}

#[test]
fn an_address_that_no_policy_allows_is_not_called() {
    test("endpoint-policy", |scene| async move {
        let rows = [("private", "https://10.0.0.1"), ("unique-local", "https://[fc00::1]"), ("plain", "http://art.example.com")];
        for (name, url) in rows {
            let pair = scene.hour(name).await;
            scene.put_seed(name, &keys(&pair)).await;
            let mut object = scene.access(name, LONG);
            object["spec"]["provider"]["jfrogAccess"]["url"] = url.into();
            scene.put(&object).await;
            scene.stalled(name, "EndpointNotAllowed").await;
        }
        let mut metadata = scene.access("metadata", LONG);
        metadata["spec"]["provider"]["jfrogAccess"]["url"] = "https://169.254.169.254".into();
        let refused = scene.try_put(&metadata).await.unwrap_err().to_string();
        assert!(refused.contains("provider.jfrogAccess.url"), "{refused}");
    });
}

/// The policy lets objects name `localhost`, and not reach this machine.
#[test]
fn bad_input_9_a_name_that_leads_to_a_refused_address_is_not_called() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("endpoint-name").await;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        object["spec"]["provider"]["jfrogAccess"]["url"] =
            format!("http://localhost:{}", listener.local_addr().unwrap().port()).into();
        scene.put(&object).await;
        let policy = "rules:\n- hosts: [localhost]\n  addresses: [10.0.0.0/8]\n  schemes: [http]\n";
        let kubeconfig = &world.plane.user("operator").unwrap().yaml;
        let operator = Running::start_under(policy, kubeconfig, &["endpoint-name"], None).await.unwrap();
        scene.stalled("a", "EndpointNotAllowed").await;
        assert_eq!(scene.secrets().get_opt("a-state").await.unwrap(), None, "nothing was claimed");
        assert!(listener.accept().is_err(), "not one connection");
        operator.stop().await.unwrap();
    });
}
