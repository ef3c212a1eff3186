//! The annotation that asks for a refresh: one refresh per value.

use serde_json::json;

use crate::manifest::{LONG, keys};
use crate::world::test;

#[test]
fn each_value_of_the_annotation_is_one_refresh() {
    test("force", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        for (value, generation) in [("one", 2), ("two", 3)] {
            scene.force("a", value).await;
            let status = scene.refreshed("a", generation).await.status.unwrap();
            assert_eq!(status.last_handled_refresh_request.as_deref(), Some(value));
            scene.kubectl(&["label", "--overwrite", "rtok", "a", &format!("touched={value}")], None).await.checked().unwrap();
            scene.force("a", value).await;
            scene.quiet(&pair, 1).await;
        }
        assert_eq!(scene.calls(&pair), 3);
        scene.holds_newest("a", &pair).await;
    });
}

#[test]
fn a_request_that_is_there_from_the_beginning_is_met_by_the_first_refresh() {
    test("force-first", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        object["metadata"]["annotations"] = json!({"refreshabletoken.io/refresh-requested-at": "first"});
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        scene.quiet(&pair, 2).await;
        let status = scene.status("a").await;
        assert_eq!(status.last_handled_refresh_request.as_deref(), Some("first"));
        assert_eq!(scene.calls(&pair), 1);
    });
}
