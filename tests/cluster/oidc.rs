//! A token server that none of us wrote: npm `oidc-provider`, whose refresh tokens work once and whose families die of a replay.
//!
//! It needs Node and npm: without them the test says so and is skipped, with `CI=true` it fails.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use kube::ResourceExt as _;
use refreshable_token_operator::api::{ConditionStatus, ConditionType};

use crate::oidc_server::{Greeting, Server, node};
use crate::world::{PATIENCE, Scene, condition, test};

#[test]
fn a_real_server_refreshes_and_its_family_lives_until_it_is_revoked() {
    if let Err(missing) = node() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the capture of the test harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "SKIPPED oidc: {missing}");
        return;
    }
    test("oidc", |scene| async move {
        let server = Server::start().await.unwrap();
        scene.apply(&manifests(&server)).await;
        scene.refreshed("oidc", 3).await;
        newest_is_held(&server, &scene).await;

        // Suspended, so that nothing moves under the eyes of who looks.
        scene
            .kubectl(&["patch", "rtok", "oidc", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#], None)
            .await
            .checked()
            .unwrap();
        scene
            .until("oidc", "Ready=Suspended", |object| {
                condition(object, ConditionType::Ready).is_some_and(|(_, reason)| reason == "Suspended")
            })
            .await;
        newest_is_held(&server, &scene).await;
        let newest = scene.value("oidc-state", "refresh_token").await.unwrap();
        assert!(server.is_active(&newest).await, "the family is dead: some refresh token was presented twice");
        let log = server.log().await;
        let presented: BTreeSet<_> = log.iter().map(|call| &call.presented).collect();
        assert_eq!(presented.len(), log.len(), "a refresh token was presented twice");
        assert!(log.iter().all(|call| call.status == 200), "{:?}", log.iter().map(|call| call.status).collect::<Vec<_>>());
        let committed = scene.status("oidc").await.chain_generation.unwrap();
        assert_eq!(log.len(), usize::try_from(committed).unwrap());

        // Somebody revokes the grant: one refusal, and no call after it, not even on request.
        server.revoke(&newest).await;
        scene
            .kubectl(&["patch", "rtok", "oidc", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#], None)
            .await
            .checked()
            .unwrap();
        scene.stalled("oidc", "ChainLost").await;
        scene
            .kubectl(&["annotate", "rtok", "oidc", "refreshabletoken.io/refresh-requested-at=now"], None)
            .await
            .checked()
            .unwrap();
        let object = scene
            .until("oidc", "the echo of the request", |object| {
                object.status.as_ref().and_then(|status| status.last_handled_refresh_request.as_deref()) == Some("now")
            })
            .await;
        let stalled = condition(&object, ConditionType::Stalled);
        assert_eq!(stalled, Some((ConditionStatus::True, "ChainLost".to_owned())), "{}", object.name_any());
        let after = server.log().await;
        assert_eq!(after.len(), log.len() + 1, "the dead token was presented again");
        assert_eq!(after.last().map(|call| (&call.presented, call.status)), Some((&newest, 400)));
    });
}

fn manifests(server: &Server) -> String {
    let Greeting { url, client_id, client_secret, refresh_token, .. } = &server.greeting;
    format!(
        r#"apiVersion: v1
kind: Secret
metadata: {{name: oidc-seed, labels: {{refreshabletoken.io/role: seed}}}}
stringData: {{refresh_token: "{refresh_token}", client_id: "{client_id}", client_secret: "{client_secret}"}}
---
apiVersion: refreshabletoken.io/v1alpha1
kind: RefreshableToken
metadata: {{name: oidc}}
spec:
  provider: {{oauth2: {{issuerURL: "{url}", clientAuthentication: Basic}}}}
  credential: {{seedSecretRef: {{name: oidc-seed}}}}
  outputs:
  - secretName: oidc-token
    opaque: {{refreshTokenKey: refresh_token, expirationTimeKey: expires_at}}
"#
    )
}

/// State and output hold the newest pair that the server gave.
async fn newest_is_held(server: &Server, scene: &Scene<'_>) {
    let held = async {
        loop {
            let newest = server.log().await.pop().map(|call| (call.access_token, call.refresh_token));
            let mut held = Vec::new();
            for secret in ["oidc-state", "oidc-token"] {
                held.push(Some((scene.value(secret, "access_token").await, scene.value(secret, "refresh_token").await)));
            }
            if held.iter().all(|pair| *pair == newest) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, held).await;
    assert!(in_time.is_ok(), "state and output do not hold the newest pair");
}
