//! Answers of the largest size that is read: each is kept or told, and nobody else waits for it.

use std::time::Duration;

use refreshable_token_operator::provider::{Delivery, Lost, MOST_BODY, RawBody, Reply};
use serde_json::json;
use testbed::fake_cluster::{Kind as Resource, set_secret_value};

use crate::crowd::{Api, Crowd, answered, granted};
use crate::simulation::run::simulate;
use crate::simulation::{NAMESPACE, OPERATOR_NAMESPACE};

const SECOND: Duration = Duration::from_secs(1);
/// More than there are places in flight.
const MANY: usize = 6;

fn named(word: &str) -> Vec<String> {
    (0..MANY).map(|number| format!("{word}{number}")).collect()
}

/// A grant whose tokens fill the largest answer.
fn large(name: &str, count: usize) -> Delivery {
    let body =
        |token: &str| json!({ "access_token": token, "refresh_token": format!("refresh-{name}-{count}"), "expires_in": 600 });
    let room = MOST_BODY - body("").to_string().len();
    let body = body(&"x".repeat(room)).to_string();
    assert_eq!(body.len(), MOST_BODY);
    answered(200, body)
}

fn cut() -> Delivery {
    let reply = Reply { status: 200, headers: Vec::new(), body: RawBody(vec![b'x'; MOST_BODY]) };
    Delivery::Lost { why: Lost::TooLarge, partial: Some(reply) }
}

#[test]
fn bad_input_50_answers_of_the_largest_size_are_kept_and_hold_up_nobody() {
    simulate(async || {
        let names = [named("cut"), named("page"), named("large"), named("plain")].concat();
        let api = Api::new(|name, count| match name.trim_end_matches(char::is_numeric) {
            "cut" => cut(),
            "page" => answered(200, vec![b'<'; MOST_BODY]),
            "large" => large(name, count),
            _ => granted(name, count),
        });
        let crowd = Crowd::begin(&names, &api).await;
        let settled = |crowd: &Crowd| {
            names.iter().all(|name| match name.trim_end_matches(char::is_numeric) {
                "cut" | "page" => crowd.says(name, "Stalled") == "RefreshOutcomeUnknown",
                _ => crowd.says(name, "Ready") == "TokenFresh",
            })
        };
        let done = crowd.until(60 * SECOND, SECOND, settled).await;
        let told: Vec<_> = names.iter().map(|name| (name, crowd.says(name, "Stalled"), crowd.says(name, "Ready"))).collect();
        assert!(done, "{told:?}");
        for name in [named("cut"), named("page")].concat() {
            let kept = crowd.cluster.secret_value(NAMESPACE, &format!("{name}-state"), "unparsed_response").unwrap();
            assert_eq!((kept.len(), api.asked(&name)), (MOST_BODY, 1), "{name}");
        }
        crowd.end().await;
    });
}

/// Somebody fills the state Secrets of some objects, so that what comes can be written nowhere; the others go on.
#[test]
fn a_state_secret_that_somebody_fills_holds_up_no_other_object() {
    simulate(async || {
        let (full, plain) = (named("full"), named("plain"));
        let api =
            Api::new(|name, count| if name.starts_with("full") && count > 1 { large(name, count) } else { granted(name, count) });
        let crowd = Crowd::begin(&[full.clone(), plain.clone()].concat(), &api).await;
        let begun = |crowd: &Crowd| full.iter().chain(&plain).all(|name| crowd.generation(name) == 1);
        assert!(crowd.until(60 * SECOND, SECOND, begun).await);
        let occupy = |value: Option<&[u8]>| {
            for name in &full {
                let edit = |secret: &mut serde_json::Value| set_secret_value(secret, "note", value);
                assert!(crowd.cluster.edit(Resource::Secret, NAMESPACE, &format!("{name}-state"), edit));
            }
        };
        occupy(Some(vec![b'x'; 960 * 1024].as_slice()));
        // Two lifetimes later all have been refreshed but those.
        let on = |crowd: &Crowd| plain.iter().all(|name| crowd.generation(name) >= 3);
        assert!(
            crowd.until(1500 * SECOND, SECOND, on).await,
            "{:?}",
            plain.iter().map(|name| crowd.generation(name)).collect::<Vec<_>>()
        );
        for name in &full {
            assert_eq!((crowd.generation(name), api.asked(name)), (1, 2), "{name}");
            assert_eq!(crowd.says(name, "Reconciling"), "WriteFailed", "{name}: {:#}", crowd.status(name));
        }
        assert!(crowd.cluster.list(Resource::Secret, OPERATOR_NAMESPACE).len() <= 1, "none fits into escrow");
        // Mended: what was held in memory all the while is written.
        occupy(None);
        let committed = |crowd: &Crowd| full.iter().all(|name| crowd.generation(name) == 2);
        assert!(crowd.until(60 * SECOND, SECOND, committed).await);
        crowd.end().await;
    });
}
