//! Deletion policies: what becomes of state Secret and tokens, and that no deletion hangs.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use refreshable_token_operator::api::{CLEANUP_FINALIZER, RefreshableToken};
use serde_json::{Value, json};
use testbed::issuer::{Api as Kind, Fault, Operation, Pair, Rule, Verdict};
use tokio::time::Instant;

use crate::manifest::{LONG, access, elastic, keys};
use crate::sight::wait;
use crate::world::{Scene, test};

/// Longest time of a deletion: the minute that the operator allows itself, and what a shared machine needs.
const AT_MOST: Duration = Duration::from_secs(80);

impl Scene<'_> {
    /// An object with this policy, refreshed once.
    async fn with_policy(&self, name: &str, policy: &str) -> (Value, Pair) {
        let pair = self.hour(name).await;
        self.put_seed(name, &keys(&pair)).await;
        let mut object = self.access(name, LONG);
        object["spec"]["deletionPolicy"] = policy.into();
        self.put(&object).await;
        self.refreshed(name, 1).await;
        (object, pair)
    }

    /// Deletes the object and waits until it is gone; gives the time that took.
    async fn delete(&self, name: &str) -> Duration {
        let begun = Instant::now();
        self.objects().delete(name, &DeleteParams::default()).await.unwrap();
        wait(&format!("{}/{name}: its end", self.namespace), || async {
            self.objects().get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
        assert!(begun.elapsed() < AT_MOST, "{:?}", begun.elapsed());
        begun.elapsed()
    }

    async fn has_state(&self, name: &str) -> bool {
        self.secrets().get_opt(&format!("{name}-state")).await.unwrap().is_some()
    }

    /// How often the issuer was asked to revoke something of this chain, and how often it did.
    fn revocations(&self, pair: &Pair) -> (usize, usize) {
        let log = self.world.issuer.log();
        let asked = log.iter().filter(|seen| seen.chain == Some(pair.chain) && seen.operation == Operation::Revoke);
        let done = asked.clone().filter(|seen| seen.verdict == Verdict::Accepted).count();
        (asked.count(), done)
    }

    /// Asserts that no event about the object shows a token of the chain.
    async fn tells_no_token(&self, name: &str, pair: &Pair) {
        let newest = self.world.issuer.newest(pair.chain).unwrap();
        let secrets =
            [Some(newest.access_token), newest.refresh_token, Some(pair.access_token.clone()), pair.refresh_token.clone()];
        for (reason, note) in self.events(name).await {
            assert!(secrets.iter().flatten().all(|secret| !note.contains(secret.as_str())), "{reason} shows a token");
        }
    }
}

fn held(object: &RefreshableToken) -> bool {
    object.metadata.finalizers.iter().flatten().any(|name| name == CLEANUP_FINALIZER)
}

#[test]
fn retain_leaves_everything_and_holds_nothing_up() {
    test("deletion-retain", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        assert!(!held(&scene.objects().get("a").await.unwrap()));
        scene.delete("a").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(scene.has_state("a").await);
        assert_eq!(scene.revocations(&pair), (0, 0));
    });
}

#[test]
fn delete_takes_the_state_secret_and_no_token() {
    test("deletion-delete", |scene| async move {
        let (_, pair) = scene.with_policy("a", "Delete").await;
        assert!(held(&scene.objects().get("a").await.unwrap()));
        let newest = scene.world.issuer.newest(pair.chain).unwrap();
        scene.delete("a").await;
        assert!(!scene.has_state("a").await);
        scene.event("a", "StateDeleted").await;
        assert_eq!(scene.revocations(&pair), (0, 0));
        assert_eq!(scene.world.issuer.newest(pair.chain).unwrap(), newest);
        scene.tells_no_token("a", &pair).await;
    });
}

#[test]
fn a_policy_can_be_changed_back() {
    test("deletion-back", |scene| async move {
        let (mut object, pair) = scene.with_policy("a", "Revoke").await;
        object["spec"]["deletionPolicy"] = "Retain".into();
        scene.put(&object).await;
        scene.until("a", "no finalizer", |object| !held(object)).await;
        scene.healthy("a").await;
        object["spec"]["deletionPolicy"] = "Delete".into();
        scene.put(&object).await;
        scene.until("a", "the finalizer", held).await;
        object["spec"].as_object_mut().unwrap().remove("deletionPolicy");
        scene.put(&object).await;
        scene.until("a", "no finalizer", |object| !held(object)).await;
        scene.delete("a").await;
        assert!(scene.has_state("a").await);
        assert_eq!((scene.revocations(&pair), scene.calls(&pair)), ((0, 0), 1));
    });
}

#[test]
fn every_api_revokes() {
    test("deletion-revoke", |scene| async move {
        let url = scene.world.issuer.url();
        let distribution = json!({"jfrogDistribution": {"url": url}});
        let oauth2 =
            json!({"oauth2": {"tokenURL": format!("{url}/oauth2/token"), "revocationURL": format!("{url}/oauth2/revoke")}});
        let rows = [
            (Kind::JfrogAccess, "access", access(&scene.world.issuer)),
            (Kind::JfrogDistribution, "distribution", distribution),
            (Kind::ElasticCloudEnterprise, "elastic", elastic(&scene.world.issuer)),
            (Kind::Oauth2, "oauth2", oauth2),
        ];
        let mut pairs = Vec::new();
        for (kind, name, provider) in rows {
            let pair = scene.pair(kind, name, Duration::from_secs(3600)).await;
            scene.apply(&scene.seed(kind, name, &pair)).await;
            let mut object = scene.manifest(name, provider);
            if matches!(kind, Kind::JfrogAccess | Kind::JfrogDistribution) {
                object["spec"]["request"] = json!({"lifetime": LONG});
            }
            object["spec"]["deletionPolicy"] = "Revoke".into();
            scene.put(&object).await;
            pairs.push((name, pair));
        }
        for (name, pair) in pairs {
            scene.refreshed(name, 1).await;
            scene.delete(name).await;
            scene.event(name, "TokenRevoked").await;
            let (asked, done) = scene.revocations(&pair);
            assert_eq!((asked, done), (1, 1), "{name}");
            assert!(!scene.has_state(name).await, "{name}");
            scene.tells_no_token(name, &pair).await;
        }
    });
}

#[test]
fn a_token_api_that_comes_back_revokes() {
    test("deletion-retry", |scene| async move {
        let (_, pair) = scene.with_policy("a", "Revoke").await;
        let down = Fault::Status { code: 503, headers: Vec::new(), body: String::new(), process: false };
        scene.world.issuer.arm(Rule::once(down).operation(Operation::Revoke).chain(pair.chain));
        scene.delete("a").await;
        scene.event("a", "TokenRevoked").await;
        assert_eq!(scene.revocations(&pair), (2, 1));
        assert!(!scene.has_state("a").await);
    });
}

/// The token revoked itself: from then on it is refused.
#[test]
fn a_revocation_whose_answer_is_lost_is_not_called_failed() {
    test("deletion-lost", |scene| async move {
        let (_, pair) = scene.with_policy("a", "Revoke").await;
        let lost = Fault::DropAnswer { reset: true };
        scene.world.issuer.arm(Rule::once(lost).operation(Operation::Revoke).chain(pair.chain));
        scene.delete("a").await;
        let told = scene.event("a", "RevocationFailed").await;
        assert!(told.contains("nobody knows whether"), "{told}");
        assert_eq!(scene.revocations(&pair), (2, 1));
        scene.tells_no_token("a", &pair).await;
    });
}

/// Each of these keeps the tokens from being revoked, and none the object from going.
#[test]
fn what_stands_in_the_way_of_a_revocation_is_told_and_given_up() {
    test("deletion-give-up", |scene| async move {
        let mut objects = Vec::new();
        for name in ["unreachable", "refused", "seedless", "policy"] {
            objects.push((name, scene.with_policy(name, "Revoke").await));
        }
        let suspend = |object: &mut Value, url: &str| {
            object["spec"]["suspend"] = true.into();
            object["spec"]["provider"]["jfrogAccess"]["url"] = url.into();
        };
        for (name, (object, _)) in &mut objects {
            match *name {
                "unreachable" => suspend(object, "http://127.0.0.1:1"),
                "policy" => suspend(object, "https://10.0.0.1"),
                _ => {}
            }
            scene.put(object).await;
        }
        scene.remove("seedless-seed").await;
        let refused = objects.iter().find(|(name, _)| *name == "refused").unwrap().1.1.clone();
        let no = Fault::Status { code: 403, headers: Vec::new(), body: refused.access_token.clone(), process: false };
        scene.world.issuer.arm(Rule::once(no).operation(Operation::Revoke).chain(refused.chain));

        let all = objects.iter().map(|(name, _)| async move { (*name, scene.delete(name).await) });
        for (name, time) in futures::future::join_all(all).await {
            assert!(!scene.has_state(name).await, "{name}");
            // JFrog Access is asked with the token itself: without a seed all the same.
            let told = scene.event(name, if name == "seedless" { "TokenRevoked" } else { "RevocationFailed" }).await;
            assert!(name == "seedless" || told.contains("token ID"), "{told}");
            assert!(name == "unreachable" || time < Duration::from_secs(25), "{name} is given up at once: {time:?}");
        }
        for (name, (_, pair)) in &objects {
            scene.tells_no_token(name, pair).await;
        }
    });
}

/// Somebody else's state Secret, and one that cannot be read, are not deleted.
#[test]
fn a_secret_that_is_not_the_objects_own_is_kept() {
    test("deletion-foreign", |scene| async move {
        scene.with_policy("a", "Revoke").await;
        scene.with_policy("b", "Delete").await;
        let state = scene.secret("b-state").await;
        let patch = |data: Value| Patch::Merge(json!({ "data": data }));
        let to_a = patch(serde_json::to_value(&state.data).unwrap());
        for name in ["a", "b"] {
            let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
            scene.objects().patch(name, &PatchParams::default(), &suspend).await.unwrap();
            scene.observed(name).await;
        }
        scene.secrets().patch("a-state", &PatchParams::default(), &to_a).await.unwrap();
        scene.secrets().patch("b-state", &PatchParams::default(), &patch(json!({"state.json": "e30="}))).await.unwrap();
        for name in ["a", "b"] {
            scene.delete(name).await;
            let told = scene.event(name, "CleanupFailed").await;
            assert!(told.contains(&format!("Secret {name}-state is kept")), "{told}");
            assert!(scene.has_state(name).await);
        }
    });
}

#[test]
fn an_exchange_under_way_ends_first() {
    test("deletion-midway", |scene| async move {
        let (_, pair) = scene.with_policy("a", "Revoke").await;
        scene.world.issuer.arm(Rule::once(Fault::Delay { before_ms: 2_000, answer_ms: 1_000 }).chain(pair.chain));
        scene.force("a", "now").await;
        scene.until_secret("a-state", "a claim", |secret| secret.metadata.finalizers.is_some()).await;
        scene.delete("a").await;
        scene.event("a", "TokenRevoked").await;
        assert_eq!((scene.calls(&pair), scene.revocations(&pair)), (2, (1, 1)));
        let newest = scene.world.issuer.newest(pair.chain).unwrap();
        let log = scene.world.issuer.log();
        let revoked = log.iter().find(|seen| seen.chain == Some(pair.chain) && seen.operation == Operation::Revoke).unwrap();
        assert_eq!(
            revoked.bearer.as_ref(),
            Some(&newest.access_token),
            "the pair of the exchange is revoked, not the one before"
        );
        assert!(!scene.has_state("a").await);
        scene.never_twice(&pair);
    });
}

/// What the namespace controller does: the namespace takes nothing new, and everything in it is deleted at once.
#[test]
fn a_namespace_goes_with_everything_in_it() {
    test("deletion-namespace", |scene| async move {
        let (_, revoked) = scene.with_policy("a", "Revoke").await;
        scene.with_policy("b", "Delete").await;
        scene.begun("c").await;
        scene
            .world
            .plane
            .kubectl(&["delete", "namespace", scene.namespace, "--wait=false"], None)
            .await
            .unwrap()
            .checked()
            .unwrap();
        scene.kubectl(&["delete", "secret", "--all", "--wait=false"], None).await.checked().unwrap();
        scene.kubectl(&["delete", "rtok", "--all", "--wait=false"], None).await.checked().unwrap();
        wait("an empty namespace", || async {
            let left = scene.kubectl(&["get", "rtok,secret", "-o", "name"], None).await.checked().unwrap();
            left.trim().is_empty().then_some(())
        })
        .await;
        assert!(scene.revocations(&revoked).0 <= 1, "the state Secret may have gone first");
    });
}
