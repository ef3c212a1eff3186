//! `status`: tokens at a glance, or everything about one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt as _;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::watcher;
use refreshable_token_operator::api::{
    ConditionStatus, ConditionType, Reason, RefreshableToken, RefreshableTokenStatus, RolloutTarget,
};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};

use super::consumers;
use super::events::recent;
use super::explain::look;
use crate::Session;
use crate::advice::advice;
use crate::cluster::{Listed, Reach, object_name};
use crate::failure::{Failure, Verdict};
use crate::output::{Cell, Colour, Format, Paint, Table, names, objects, on_terminal, print};
use crate::situation::Situation;
use crate::targets::{is_ready, place, ready};
use crate::time::{age, both, relative};
use crate::usage::{Use, summary};

/// How often a screen is drawn anew. Our choice: its countdowns have seconds.
const REDRAW: Duration = Duration::from_secs(1);
/// How many events are shown. Our choice: what led to where it is now.
const EVENTS: usize = 5;

// Arguments of `status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok status                     tokens of the namespace
  kubectl rtok status -A -o wide          tokens of all namespaces, with provider and next refresh
  kubectl rtok status artifactory-ci      everything about one, and what to do
  kubectl rtok status --watch             again whenever something changes

Exit status 1 if a token that is shown is not ready.")]
pub struct Status {
    /// Names of RefreshableTokens; none: all of the namespace.
    #[arg(value_name = "NAME", value_parser = object_name)]
    names: Vec<String>,
    /// Those with these labels.
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    selector: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
    /// Leave out the headings.
    #[arg(long)]
    no_headers: bool,
    /// Show it again whenever something changes, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

impl Status {
    /// Shows it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let reach = session.reach().await?;
        if self.watch {
            return self.follow(&reach, session.paint).await;
        }
        let listed = self.find(&reach).await?;
        let text = self.page(&reach, &listed, session.paint).await?;
        print(&text);
        Ok(Verdict::of(listed.broken.is_empty() && listed.objects.iter().all(is_ready)))
    }

    async fn find(&self, reach: &Reach) -> Result<Listed, Failure> {
        if self.names.is_empty() {
            return reach.objects(self.selector.as_deref()).await;
        }
        let mut listed = Listed::default();
        for name in &self.names {
            listed.objects.push(reach.object(name).await?);
        }
        Ok(listed)
    }

    async fn page(&self, reach: &Reach, listed: &Listed, paint: Paint) -> Result<String, Failure> {
        let now = SystemClock.now();
        match self.output {
            Format::Json | Format::Yaml => objects(self.output, &listed.objects, !self.names.is_empty()),
            Format::Name => Ok(names(listed.objects.iter().filter_map(|object| object.metadata.name.as_deref()))),
            Format::Table if !self.names.is_empty() => {
                let mut text = String::new();
                for (at, object) in listed.objects.iter().enumerate() {
                    let gap = if at == 0 { "" } else { "\n" };
                    text = text + gap + &one(reach, object, now, paint).await;
                }
                Ok(text)
            }
            Format::Table | Format::Wide => {
                Ok(table(listed, reach.everywhere, self.output == Format::Wide, now).text(paint, "", self.no_headers))
            }
        }
    }

    /// Watches: on a terminal the whole page again and again, else a page for each change.
    async fn follow(&self, reach: &Reach, paint: Paint) -> Result<Verdict, Failure> {
        let config = self
            .selector
            .as_deref()
            .map_or_else(watcher::Config::default, |selector| watcher::Config::default().labels(selector));
        let mut changes = watcher(reach.watched(), config).boxed();
        let screen = on_terminal();
        let mut due = true;
        loop {
            if due || screen {
                let listed = self.find(reach).await?;
                let page = self.page(reach, &listed, paint).await?;
                let home = if screen { "\u{1b}[H\u{1b}[2J" } else { "" };
                print(&format!("{home}{page}"));
            }
            due = tokio::select! {
                change = changes.next() => match change {
                    // The first list was just shown.
                    Some(Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object))) => self.shows(&object),
                    Some(Ok(_)) => false,
                    // The watch begins anew by itself; meanwhile the API server is asked at every turn.
                    Some(Err(_)) => { tokio::time::sleep(REDRAW).await; false }
                    None => return Ok(Verdict::Good),
                },
                () = tokio::time::sleep(REDRAW) => false,
            };
        }
    }

    fn shows(&self, object: &RefreshableToken) -> bool {
        self.names.is_empty() || self.names.contains(&object.name_any())
    }
}

/// What the conditions come to: status and reason of Ready, and the colour for it.
fn verdict(object: &RefreshableToken) -> (String, String, Colour) {
    let Some(condition) = ready(object) else { return ("Unknown".to_owned(), "NotSeen".to_owned(), Colour::Yellow) };
    let colour = match condition.status {
        ConditionStatus::True => Colour::Green,
        ConditionStatus::False => Colour::Red,
        ConditionStatus::Unknown => Colour::Yellow,
    };
    (format!("{:?}", condition.status), condition.reason.clone(), colour)
}

fn table(listed: &Listed, everywhere: bool, wide: bool, now: DateTime<Utc>) -> Table {
    let mut headings = vec!["NAME", "READY", "REASON", "EXPIRES", "NEXT REFRESH", "FAILURES", "AGE"];
    if everywhere {
        headings.insert(0, "NAMESPACE");
    }
    if wide {
        headings.extend(["PROVIDER", "GENERATION", "OUTPUTS", "SUSPENDED"]);
    }
    let mut table = Table::new(&headings);
    for object in &listed.objects {
        table.row(row(object, everywhere, wide, now));
    }
    for broken in &listed.broken {
        table.row(broken_row(broken, everywhere));
    }
    table
}

fn row(object: &RefreshableToken, everywhere: bool, wide: bool, now: DateTime<Utc>) -> Vec<Cell> {
    let status = object.status.clone().unwrap_or_default();
    let (ready, reason, colour) = verdict(object);
    let time = |time: Option<DateTime<Utc>>| match time {
        Some(time) if wide => both(time, now),
        Some(time) => relative(time, now),
        None => "-".to_owned(),
    };
    let created = object.creation_timestamp().and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0));
    let mut cells = vec![
        object.name_any().into(),
        Cell::coloured(ready, colour),
        Cell::coloured(reason, colour),
        time(status.token.as_ref().and_then(|token| token.expiration_time)).into(),
        time(status.next_refresh_time).into(),
        status.consecutive_failures.unwrap_or(0).to_string().into(),
        created.map_or_else(|| "-".to_owned(), |time| age(time, now)).into(),
    ];
    if everywhere {
        cells.insert(0, object.namespace().unwrap_or_default().into());
    }
    if wide {
        let own = object.spec.provider.as_ref().map(|provider| provider.name().to_owned());
        let told = status.effective.as_ref().map(|effective| effective.provider.clone());
        cells.push(own.or(told).unwrap_or_else(|| "-".to_owned()).into());
        cells.push(status.chain_generation.unwrap_or(0).to_string().into());
        cells.push(object.spec.outputs.len().to_string().into());
        cells.push(object.spec.suspended().to_string().into());
    }
    cells
}

fn broken_row(broken: &InvalidObject, everywhere: bool) -> Vec<Cell> {
    let name = broken.metadata.name.clone().unwrap_or_default();
    let mut cells = vec![
        name.into(),
        Cell::coloured("False", Colour::Red),
        Cell::coloured("does not fit the schema of this version", Colour::Red),
    ];
    if everywhere {
        cells.insert(0, broken.metadata.namespace.clone().unwrap_or_default().into());
    }
    cells
}

/// Everything about one object. What may not be read is left out, and said to be.
async fn one(reach: &Reach, object: &RefreshableToken, now: DateTime<Utc>, paint: Paint) -> String {
    let within = reach.narrowed(object);
    let situation = look(&within, object.clone()).await;
    let uses = consumers::find(&within, object).await;
    let events = within.events(Some(&object.name_any())).await;
    page(&situation, uses.as_ref().ok().map(Vec::as_slice), events.as_ref().ok().map(Vec::as_slice), now, paint)
}

/// The page of one object.
fn page(situation: &Situation, uses: Option<&[Use]>, events: Option<&[Event]>, now: DateTime<Utc>, paint: Paint) -> String {
    let object = &situation.object;
    let status = object.status.clone().unwrap_or_default();
    let (ready, reason, colour) = verdict(object);
    let mut text = format!("{}   {}\n", place(object), paint.text(colour, &format!("Ready={ready} {reason}")));
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
        Some([]) => {}
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
    // In this order: what holds everything up before what is being worked on.
    let order = [ConditionType::Stalled, ConditionType::Reconciling, ConditionType::Ready, ConditionType::SecretsSynced];
    let conditions = order.iter().filter_map(|type_| status.conditions.iter().find(|condition| condition.type_ == *type_));
    let todo = conditions.filter_map(|condition| Reason::parse(&condition.reason).and_then(advice)).collect::<Vec<_>>();
    if let Some(first) = todo.first() {
        let (name, seed) = (object.name_any(), &object.spec.credential.seed_secret_ref.name);
        return first.replace("NAME", &name).replace("SEED", seed);
    }
    // Its own schedule is long past, and no condition says why: nobody works on it.
    let overdue = status.next_refresh_time.is_some_and(|next| (now - next).num_seconds() > 60);
    if status.conditions.is_empty() || overdue {
        return "look whether the operator runs, and whether it watches this namespace: kubectl rtok doctor".to_owned();
    }
    "nothing".to_owned()
}

/// The Secrets that workloads mount.
pub fn outputs(object: &RefreshableToken) -> BTreeSet<&str> {
    object.spec.outputs.iter().map(|output| output.secret_name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn object(conditions: &str) -> RefreshableToken {
        let text = format!(
            "metadata: {{name: ci, namespace: build, uid: u, generation: 1, creationTimestamp: '1970-01-01T00:00:00Z'}}
spec:
  provider: {{jfrogAccess: {{url: 'https://art.example.com'}}}}
  credential: {{seedSecretRef: {{name: ci-seed}}}}
  refresh: {{jitterPercent: 0}}
  outputs: [{{secretName: ci-token, opaque: {{}}}}]
status:
  observedGeneration: 1
  chainGeneration: 3
  nextRefreshTime: '1970-01-01T00:40:00Z'
  token: {{fingerprint: 'hmac:t', issuedTime: '1970-01-01T00:00:00Z', expirationTime: '1970-01-01T01:00:00Z', lifetime: 1h0m0s, subject: jfrt@1}}
  conditions: [{conditions}]"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> String {
        format!("{{type: {type_}, status: '{status}', reason: {reason}, message: m, lastTransitionTime: '1970-01-01T00:00:00Z'}}")
    }

    #[test]
    fn the_table_has_one_line_per_token() {
        let fresh = object(&condition("Ready", "True", "TokenFresh"));
        let listed = Listed { objects: vec![fresh], broken: Vec::new() };
        let text = table(&listed, false, false, at(600)).text(Paint(false), "", false);
        assert_eq!(
            text,
            "NAME   READY   REASON       EXPIRES   NEXT REFRESH   FAILURES   AGE\nci     True    TokenFresh   in 50m    in 30m         0          10m\n"
        );
        let wide = table(&listed, true, true, at(600)).text(Paint(false), "", true);
        assert!(wide.starts_with("build   ci ") && wide.contains("1970-01-01T01:00:00Z (in 50m)"), "{wide}");
        assert!(wide.trim_end().ends_with("jfrogAccess   3   1   false"), "{wide}");
    }

    #[test]
    fn the_page_says_when_next_and_what_to_do() {
        let fresh =
            page(&Situation::of(object(&condition("Ready", "True", "TokenFresh"))), Some(&[]), Some(&[]), at(600), Paint(false));
        assert!(fresh.starts_with("build/ci   Ready=True TokenFresh\n"), "{fresh}");
        assert!(fresh.contains("1970-01-01T00:40:00Z (in 30m): 20m before the expiry, 0s earlier by jitter"), "{fresh}");
        assert!(fresh.contains("not written yet; used by nobody") && fresh.ends_with("  What to do: nothing\n"), "{fresh}");
        let both = format!("{}, {}", condition("Ready", "True", "TokenFresh"), condition("Stalled", "True", "ChainLost"));
        let lost = page(&Situation::of(object(&both)), None, None, at(600), Paint(false));
        assert!(lost.contains("What to do: begin a new chain: kubectl rtok reseed ci;"), "{lost}");
        assert!(lost.contains("Pods may not be listed") && lost.contains("Events cannot be read"), "{lost}");
    }

    #[test]
    fn each_target_of_a_roll_out_has_a_line() {
        let mut object = object(&condition("Ready", "True", "TokenFresh"));
        object.spec.rollout = serde_saphyr::from_str("{targets: [{kind: Deployment, name: a}, {kind: DaemonSet, name: b}]}").ok();
        let rollouts = "[{kind: Deployment, name: a, contentHash: h, lastRestartTime: '1970-01-01T00:05:00Z', message: may not}]";
        object.status.as_mut().unwrap().rollouts = serde_saphyr::from_str(rollouts).unwrap();
        let page = page(&Situation::of(object), None, None, at(600), Paint(false));
        assert!(page.contains("Deployment/a: last restarted 1970-01-01T00:05:00Z (5m ago); may not\n"), "{page}");
        assert!(page.contains("DaemonSet/b: not restarted yet\n"), "{page}");
    }

    #[test]
    fn a_refresh_that_is_overdue_without_a_word_points_to_the_operator() {
        let page = |now| page(&Situation::of(object(&condition("Ready", "True", "TokenFresh"))), None, None, now, Paint(false));
        assert!(page(at(2460)).ends_with("What to do: nothing\n"));
        assert!(page(at(2461)).contains("look whether the operator runs"));
    }
}
