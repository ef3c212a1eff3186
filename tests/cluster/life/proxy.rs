//! A token API behind a proxy: nothing is spent before the tunnel stands, and whoever waits is woken by a mended Secret.

use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde_json::json;
use testbed::connect_proxy::{ConnectProxy, Manner};
use testbed::issuer::Issuer;

use crate::manifest::{LONG, access, keys};
use crate::sight::calls_at;
use crate::world::{Scene, test};

#[test]
fn a_token_is_refreshed_through_a_proxy_and_one_that_is_refused_costs_nothing() {
    test("proxy", |scene| async move {
        let issuer = Issuer::builder().tls(true).start().await.unwrap();
        let demand = Manner::Demand { username: "operator".to_owned(), password: "right".to_owned() };
        let proxy = ConnectProxy::start(Manner::Refuse(403), None).await.unwrap();
        let pair = issuer.seed_jfrog_access("a", chrono::TimeDelta::hours(1));
        scene
            .put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": issuer.ca_pem().unwrap()}}))
            .await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.manifest("a", access(&issuer));
        object["spec"]["request"] = json!({"lifetime": LONG});
        let provider = &mut object["spec"]["provider"]["jfrogAccess"];
        provider["tls"] = json!({"caBundleRef": {"kind": "ConfigMap", "name": "ca"}});
        provider["proxy"] = json!({"url": proxy.url(), "credentialsSecretRef": {"name": "proxy-seed"}});
        scene.put(&object).await;
        let told = scene.stalled("a", "ProxyCredentialsInvalid").await;
        assert!(Scene::message(&told, ConditionType::Stalled).contains("Secret proxy-seed does not exist"));
        assert_eq!(proxy.asked(), []);

        // The watch tells each time, and nobody has to touch the object.
        scene.put_seed("proxy", &[("username", "operator"), ("password", "wrong")]).await;
        scene.says("a", ConditionType::Reconciling, ConditionStatus::True, "EndpointUnreachable").await;
        proxy.behave(demand);
        scene.put_seed("proxy", &[("username", "operator"), ("password", "wrong again")]).await;
        let told =
            scene.until("a", "407", |object| Scene::message(object, ConditionType::Stalled).contains("does not take")).await;
        assert!(Scene::message(&told, ConditionType::Stalled).contains("proxy.credentialsSecretRef"));
        assert_eq!(calls_at(&issuer, &pair), 0);
        assert!(proxy.asked().iter().all(|asked| !asked.opened), "{:?}", proxy.asked());

        scene.put_seed("proxy", &[("username", "operator"), ("password", "right")]).await;
        scene.refreshed("a", 1).await;
        assert_eq!(calls_at(&issuer, &pair), 1);
        let asked = proxy.asked();
        let address = issuer.url().trim_start_matches("https://").trim_end_matches('/').to_owned();
        assert!(asked.iter().all(|asked| asked.line == format!("CONNECT {address} HTTP/1.1")), "{asked:?}");
        assert!(asked.iter().any(|asked| asked.opened), "{asked:?}");
        scene.healthy("a").await;
    });
}
