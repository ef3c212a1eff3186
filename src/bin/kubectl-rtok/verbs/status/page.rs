//! Everything about one token, and what to do.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{ConditionType, Reason, RefreshableToken, RefreshableTokenStatus, RolloutTarget};

use super::table::verdict;
use crate::advice::advice;
use crate::cluster::Reach;
use crate::output::{Paint, Table, printable};
use crate::situation::Situation;
use crate::targets::{observed, place};
use crate::time::both;
use crate::usage::{Use, summary};
use crate::verbs::events::recent;
use crate::verbs::{consumers, explain};

/// How many events are shown. Our choice: what led to where it is now.
const EVENTS: usize = 5;

/// An object, and what is known of it beside. What may not be read is left out, and said to be.
pub(super) struct Looked {
    pub(super) situation: Situation,
    pub(super) uses: Option<Vec<Use>>,
    pub(super) events: Option<Vec<Event>>,
}

/// Looks at everything about one object.
pub(super) async fn look(reach: &Reach, object: &RefreshableToken) -> Looked {
    let within = reach.narrowed(object);
    let situation = explain::look(&within, object.clone()).await;
    let uses = consumers::find(&within, object).await.ok();
    let events = within.events(Some(&object.name_any())).await.ok();
    Looked { situation, uses, events }
}

/// The page of one object.
pub(super) fn page(looked: &Looked, now: DateTime<Utc>, paint: Paint) -> String {
    let Looked { situation, uses, events } = looked;
    let object = &situation.object;
    let status = object.status.clone().unwrap_or_default();
    let (ready, reason, colour) = verdict(object);
    let mut text = format!("{}   {}\n", place(object), paint.text(colour, &printable(&format!("Ready={ready} {reason}"))));
    let mut facts = Table::new(&["", ""]);
    let mut fact = |name: &str, value: String| facts.row(vec![name.into(), value.into()]);
    for condition in &status.conditions {
        fact(&format!("{:?}", condition.type_), format!("{}: {}", condition.reason, condition.message));
    }
    token(&status, now, &mut fact);
    fact("Next refresh", situation.next_in_words(now));
    fact("Provider", situation.provider_in_words());
    fact("Seed", format!("Secret {}", object.spec.credential.seed_secret_ref.name));
    fact("State", format!("Secret {}, never to be mounted", object.spec.state_secret_name(&object.name_any())));
    for output in &object.spec.outputs {
        let name = &output.secret_name;
        let written = status.outputs.iter().find(|written| written.secret_name == *name);
        let written = written
            .map_or_else(|| "not written yet".to_owned(), |w| format!("{}, written {}", w.type_, both(w.last_write_time, now)));
        let who = match uses {
            Some(uses) => "used by ".to_owned() + &summary(&uses.iter().filter(|one| one.secret == *name).collect::<Vec<_>>()),
            None => "who uses it cannot be told: Pods may not be listed".to_owned(),
        };
        fact("Output", format!("Secret {name}: {written}; {who}"));
    }
    for target in object.spec.rollout.iter().flat_map(|rollout| &rollout.targets) {
        fact("Rollout", rollout(target, &status, now));
    }
    text.push_str(&facts.text(paint, "  ", true));
    match events {
        Some(events) if events.is_empty() => {}
        Some(events) => {
            let newest = events.len().saturating_sub(EVENTS);
            let _ = write!(
                text,
                "  Events\n{}",
                recent(events.get(newest..).unwrap_or_default(), false, now).text(paint, "    ", true)
            );
        }
        None => text.push_str("  Events cannot be read\n"),
    }
    let _ = writeln!(text, "  What to do: {}", what_to_do(object, &status, now));
    text
}

/// What is known of a target of `spec.rollout`.
fn rollout(target: &RolloutTarget, status: &RefreshableTokenStatus, now: DateTime<Utc>) -> String {
    let known = status.rollouts.iter().find(|known| known.is_of(target));
    let last = known.and_then(|known| known.last_restart_time);
    let last = last.map_or_else(|| "not restarted yet".to_owned(), |time| format!("last restarted {}", both(time, now)));
    match known.and_then(|known| known.message.as_ref()) {
        Some(message) => format!("{target}: {last}; {message}"),
        None => format!("{target}: {last}"),
    }
}

fn token(status: &RefreshableTokenStatus, now: DateTime<Utc>, fact: &mut impl FnMut(&str, String)) {
    let Some(token) = &status.token else { return };
    let named = [("subject", &token.subject), ("scope", &token.scope), ("id", &token.token_id)];
    let more: Vec<String> = named.iter().filter_map(|(name, value)| Some(format!(", {name} {}", value.as_ref()?))).collect();
    fact("Token", format!("{}{}", token.fingerprint, more.concat()));
    let lifetime = token.lifetime.as_ref().map(|lifetime| format!(", lifetime {lifetime}")).unwrap_or_default();
    let expires =
        token.expiration_time.map_or_else(|| "neither the answer nor the token says".to_owned(), |time| both(time, now));
    fact("Expires", format!("{expires}{lifetime}"));
    if let Some(time) = token.refresh_token_expiration_time {
        fact("Refresh token", format!("expires {}", both(time, now)));
    }
    if let Some(time) = status.last_refresh_time {
        fact("Last refresh", format!("{}, number {}", both(time, now), status.chain_generation.unwrap_or(0)));
    }
    if let Some(failures) = status.consecutive_failures.filter(|failures| *failures > 0) {
        let when = status.last_failure_time.map(|time| format!(", the last {}", both(time, now))).unwrap_or_default();
        fact("Failures", format!("{failures} in a row{when}"));
    }
}

/// One line: what a person does now.
fn what_to_do(object: &RefreshableToken, status: &RefreshableTokenStatus, now: DateTime<Utc>) -> String {
    let operator = "look whether the operator runs, and whether it watches this namespace: kubectl rtok doctor";
    if status.conditions.is_empty() {
        return operator.to_owned();
    }
    // What the conditions say is about an older spec.
    if !observed(object) {
        return format!("wait until the operator has seen the newest change; if it does not, {operator}");
    }
    // In this order: what holds everything up before what is being worked on, and workloads that were not restarted last.
    let order = [ConditionType::Stalled, ConditionType::Reconciling, ConditionType::Ready, ConditionType::SecretsSynced];
    let conditions = order.iter().filter_map(|type_| status.conditions.iter().find(|condition| condition.type_ == *type_));
    let rollouts = status.rollouts.iter().filter_map(|rollout| rollout.reason.as_ref());
    let mut reasons = conditions.map(|condition| &condition.reason).chain(rollouts);
    if let Some(first) = reasons.find_map(|reason| Reason::parse(reason).and_then(advice)) {
        let (name, seed) = (object.name_any(), &object.spec.credential.seed_secret_ref.name);
        return first.replace("NAME", &name).replace("SEED", seed);
    }
    // Its own schedule is long past, and no condition says why: nobody works on it.
    let overdue = status.next_refresh_time.is_some_and(|next| (now - next).num_seconds() > 60);
    if overdue { operator.to_owned() } else { "nothing".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, condition, object};
    use super::*;
    use crate::situation::tests::alone;

    fn looked(object: RefreshableToken, uses: Option<Vec<Use>>, events: Option<Vec<Event>>) -> Looked {
        Looked { situation: alone(object), uses, events }
    }

    #[test]
    fn the_page_says_when_next_and_what_to_do() {
        let fresh = page(
            &looked(object(&condition("Ready", "True", "TokenFresh")), Some(Vec::new()), Some(Vec::new())),
            at(600),
            Paint(false),
        );
        assert!(fresh.starts_with("build/ci   Ready=True TokenFresh\n"), "{fresh}");
        assert!(fresh.contains("1970-01-01T00:40:00Z (in 30m): 20m before the expiry, 0s earlier by jitter"), "{fresh}");
        assert!(fresh.contains("not written yet; used by nobody") && fresh.ends_with("  What to do: nothing\n"), "{fresh}");
        let both = format!("{}, {}", condition("Ready", "True", "TokenFresh"), condition("Stalled", "True", "ChainLost"));
        let lost = page(&looked(object(&both), None, None), at(600), Paint(false));
        assert!(lost.contains("What to do: begin a new chain: kubectl rtok reseed ci;"), "{lost}");
        assert!(lost.contains("Pods may not be listed") && lost.contains("Events cannot be read"), "{lost}");
    }

    #[test]
    fn each_target_of_a_roll_out_has_a_line() {
        let mut object = object(&condition("Ready", "True", "TokenFresh"));
        object.spec.rollout = serde_saphyr::from_str("{targets: [{kind: Deployment, name: a}, {kind: DaemonSet, name: b}]}").ok();
        let rollouts = "[{kind: Deployment, name: a, contentHash: h, lastRestartTime: '1970-01-01T00:05:00Z', message: may not}]";
        object.status.as_mut().unwrap().rollouts = serde_saphyr::from_str(rollouts).unwrap();
        let page = page(&looked(object, None, None), at(600), Paint(false));
        assert!(page.contains("Deployment/a: last restarted 1970-01-01T00:05:00Z (5m ago); may not\n"), "{page}");
        assert!(page.contains("DaemonSet/b: not restarted yet\n"), "{page}");
    }

    #[test]
    fn a_refresh_that_is_overdue_without_a_word_points_to_the_operator() {
        let page = |now| page(&looked(object(&condition("Ready", "True", "TokenFresh")), None, None), now, Paint(false));
        assert!(page(at(2460)).ends_with("What to do: nothing\n"));
        assert!(page(at(2461)).contains("look whether the operator runs"));
    }

    #[test]
    fn something_is_to_be_done_about_a_change_that_nobody_saw_and_a_workload_that_was_not_restarted() {
        let todo = |object: RefreshableToken| {
            let page = page(&looked(object, None, None), at(600), Paint(false));
            page.rsplit_once("What to do: ").unwrap().1.trim_end().to_owned()
        };
        let fresh = || object(&condition("Ready", "True", "TokenFresh"));
        let mut changed = fresh();
        changed.metadata.generation = Some(2);
        assert!(todo(changed).starts_with("wait until the operator has seen the newest change"));
        let mut rolled = fresh();
        let rollouts = "[{kind: Deployment, name: a}, {kind: Deployment, name: b, reason: RolloutForbidden, message: may not}]";
        rolled.status.as_mut().unwrap().rollouts = serde_saphyr::from_str(rollouts).unwrap();
        assert!(todo(rolled).starts_with("allow the operator to get, list and patch the workload"));
    }
}
