//! Outputs that somebody deletes or edits are put back from the operator's state; the token API is not called.

use crate::world::test;

#[test]
fn a_deleted_or_edited_output_is_put_back_without_a_token_call() {
    test("drift", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        scene.healthy("a").await;
        let before = scene.secret("a-token").await;
        scene.kubectl(&["label", "secret", "a-token", "team=build"], None).await.checked().unwrap();

        let edits = [
            r#"[{"op": "replace", "path": "/data/access_token", "value": "ZWRpdGVk"}]"#,
            r#"[{"op": "remove", "path": "/data/access_token"}]"#,
            r#"[{"op": "remove", "path": "/data/expires_at"}]"#,
            r#"[{"op": "replace", "path": "/data/expires_at", "value": "ZWRpdGVk"}]"#,
            r#"[{"op": "remove", "path": "/metadata/labels/refreshabletoken.io~1role"}]"#,
        ];
        for edit in edits {
            scene.kubectl(&["patch", "secret", "a-token", "--type=json", "-p", edit], None).await.checked().unwrap();
            let role = before.metadata.labels.as_ref().unwrap()["refreshabletoken.io/role"].clone();
            let what = format!("put back after {edit}");
            let back = scene.until_secret("a-token", &what, |secret| {
                let labels = secret.metadata.labels.clone().unwrap_or_default();
                secret.data == before.data && labels.get("refreshabletoken.io/role") == Some(&role)
            });
            let labels = back.await.metadata.labels.unwrap();
            assert_eq!(labels["team"], "build", "a label of somebody else's is kept");
        }

        scene.remove("a-token").await;
        let back = scene.until_secret("a-token", "made again", |secret| secret.metadata.uid != before.metadata.uid).await;
        assert_eq!((back.data, back.type_), (before.data, before.type_));
        assert_eq!(back.metadata.owner_references, before.metadata.owner_references);
        scene.event("a", "SecretRestored").await;
        assert_eq!(scene.calls(&pair), 1, "only the first refresh");
        scene.healthy("a").await;
    });
}

#[test]
fn a_refresh_keeps_what_others_put_on_an_output() {
    test("drift-kept", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        for args in [["label", "team=build"], ["annotate", "note=kept"]] {
            scene.kubectl(&[args[0], "secret", "a-token", args[1]], None).await.checked().unwrap();
        }
        scene.force("a", "1").await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &pair).await;
        let metadata = scene.secret("a-token").await.metadata;
        assert_eq!(metadata.labels.unwrap()["team"], "build");
        assert_eq!(metadata.annotations.unwrap()["note"], "kept");
    });
}
