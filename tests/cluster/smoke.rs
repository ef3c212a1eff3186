//! The main job: each API refreshes again and again, and the newest pair stands in state and output.

use std::collections::BTreeSet;

use refreshable_token_operator::api::STATUS_MANAGER;
use testbed::issuer::Api as Kind;

use crate::world::test;

#[test]
fn every_api_refreshes_at_least_three_times() {
    test("smoke", |scene| async move {
        let kinds = [
            (Kind::JfrogAccess, "access"),
            (Kind::JfrogDistribution, "distribution"),
            (Kind::ElasticCloudEnterprise, "elastic"),
            (Kind::Oauth2, "oauth2"),
        ];
        let mut pairs = Vec::new();
        for (kind, name) in kinds {
            pairs.push((name, scene.token(kind, name).await));
        }
        for (name, pair) in &pairs {
            scene.refreshed(name, 3).await;
            scene.holds_newest(name, pair).await;
            scene.never_twice(pair);
            // The operator writes its status without saying who wrote what, and that takes it from nobody.
            let fields = scene.objects().get(name).await.unwrap().metadata.managed_fields;
            let managers: BTreeSet<String> = fields.into_iter().flatten().filter_map(|entry| entry.manager).collect();
            assert!(managers.len() == 2 && managers.contains(STATUS_MANAGER), "{managers:?}");
        }
        assert_eq!(scene.world.issuer.double_spends(), 0);
    });
}
