//! Suspend: no call, no write, and the expiry is still told.

use std::time::Duration;

use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use testbed::issuer::Api as Kind;

use crate::manifest::keys;
use crate::world::{condition, test};

#[test]
fn a_suspended_object_is_left_alone_until_it_goes_on() {
    test("suspend", |scene| async move {
        let pair = scene.pair(Kind::JfrogAccess, "a", Duration::from_secs(3600)).await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", "9s");
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
        object["spec"]["suspend"] = true.into();
        scene.put(&object).await;
        let seen = scene.observed("a").await;
        assert_eq!(seen.status.as_ref().unwrap().next_refresh_time, None, "none will happen without a change");
        let (status, reason) = condition(&seen, ConditionType::Ready).unwrap();
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "Suspended"), "still valid");

        let calls = scene.calls(&pair);
        scene.remove("a-token").await;
        let state = scene.secret("a-state").await.metadata.resource_version;
        scene.force("a", "while suspended").await;
        scene.says("a", ConditionType::Ready, ConditionStatus::False, "Expired").await;
        assert_eq!(scene.calls(&pair), calls, "no call past the due time");
        assert_eq!(scene.secrets().get_opt("a-token").await.unwrap(), None, "no write");
        assert_eq!(scene.secret("a-state").await.metadata.resource_version, state);

        object["spec"]["suspend"] = false.into();
        scene.put(&object).await;
        scene.refreshed("a", i64::try_from(calls).unwrap() + 1).await;
        scene.holds_newest("a", &pair).await;
        let status = scene.healthy("a").await.status.unwrap();
        assert_eq!(status.last_handled_refresh_request.as_deref(), Some("while suspended"));
        scene.never_twice(&pair);
    });
}
