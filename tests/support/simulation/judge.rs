//! The verdict: what the issuer saw, and where the newest token is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refreshable_token_operator::refresh::journal::Entry;
use serde_json::Value;
use testbed::fake_cluster::{FakeCluster, Kind};

use super::calls::Weather;
use super::clock::Time;
use super::disk::Disk;
use super::issuer::{Answer, Issuer};
use super::{NAME, NAMESPACE, OPERATOR_NAMESPACE, STATE};

/// Knows everything.
pub struct Judge {
    /// The issuer.
    issuer: Mutex<Issuer>,
    cluster: FakeCluster,
    time: Time,
    facts: Mutex<Facts>,
}

/// What happened in a run.
#[derive(Debug)]
struct Facts {
    disks: Vec<Disk>,
    weather: Weather,
    lost_in_flight: bool,
    died_holding: bool,
    destroyed: bool,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact about the run")]
pub struct Verdict {
    /// Spent tokens that were presented again.
    pub double_spends: usize,
    /// Late single repeats.
    pub last_tries: u32,
    /// The newest token is nowhere in reach.
    pub lost: bool,
    /// An answer was lost on its way, or died with the only process that had it.
    pub excused: bool,
    /// A person took away the only copy.
    pub destroyed: bool,
    /// The object is Ready and its output holds the newest access token.
    pub healthy: bool,
    /// Why it stands still, if it does.
    pub stalled: Option<String>,
    /// Refreshes that the issuer granted.
    pub rotations: u32,
}

impl Judge {
    /// Over this cluster.
    pub fn new(issuer: Issuer, cluster: &FakeCluster, time: Time) -> Arc<Self> {
        let facts =
            Facts { disks: Vec::new(), weather: Weather::Fair, lost_in_flight: false, died_holding: false, destroyed: false };
        Arc::new(Self { issuer: Mutex::new(issuer), cluster: cluster.clone(), time, facts: Mutex::new(facts) })
    }

    /// The issuer.
    pub fn issuer(&self) -> MutexGuard<'_, Issuer> {
        self.issuer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A volume that a process may read again.
    pub fn add_disk(&self, disk: &Disk) {
        self.facts().disks.push(disk.clone());
    }

    /// A volume is gone.
    pub fn drop_disk(&self, disk: &Disk) {
        self.facts().disks.retain(|known| known.id() != disk.id());
    }

    /// What the token API does.
    pub fn weather(&self) -> Weather {
        self.facts().weather
    }

    /// Changes what the token API does.
    pub fn set_weather(&self, weather: Weather) {
        self.facts().weather = weather;
    }

    /// A request reaches the issuer.
    pub fn present(&self, token: &str, key: &str) -> Answer {
        let held = self.is_held();
        self.issuer().present(token, key, held, self.time.now())
    }

    /// A question about a token reaches the issuer.
    pub fn introspect(&self, token: &str) -> Answer {
        self.issuer().introspect(token, self.time.now())
    }

    /// An answer with a new pair did not arrive.
    pub fn lost_in_flight(&self) {
        self.facts().lost_in_flight = true;
    }

    /// A process died with a new pair that was nowhere else yet.
    pub fn died_holding(&self) {
        self.facts().died_holding = true;
    }

    /// A person is about to take away what is in the state Secret.
    pub fn person_destroys(&self, act: impl FnOnce()) {
        let before = self.is_held();
        act();
        if before && !self.is_held() {
            self.facts().destroyed = true;
        }
    }

    /// Whether the newest refresh token, if there is one, is anywhere in the operator's reach: state Secret, journal, escrow, seed.
    pub fn is_held(&self) -> bool {
        if !self.issuer().refreshes() {
            return true;
        }
        let newest = self.issuer().current().to_owned();
        // Where it nearly always is: a run asks thousands of times.
        if self.cluster.secret_value(NAMESPACE, STATE, "refresh_token").is_some_and(|value| value == newest.as_bytes()) {
            return true;
        }
        let secrets =
            [NAMESPACE, OPERATOR_NAMESPACE].into_iter().flat_map(|namespace| self.cluster.list(Kind::Secret, namespace));
        let kept = self.facts().disks.iter().flat_map(Disk::contents).any(|bytes| holds(&bytes, &newest));
        kept || secrets.into_iter().any(|secret| in_secret(&secret, &newest))
    }

    /// The reason of a condition that is true.
    fn reason(&self, type_: &str) -> Option<String> {
        let object = self.cluster.get(Kind::RefreshableToken, NAMESPACE, NAME)?;
        let mut conditions = object.pointer("/status/conditions")?.as_array()?.iter();
        let found = conditions.find(|condition| condition["type"] == type_ && condition["status"] == "True")?;
        found["reason"].as_str().map(str::to_owned)
    }

    /// Why the object stands still, if it does.
    pub fn stalled(&self) -> Option<String> {
        self.reason("Stalled")
    }

    /// The verdict on a run that has come to rest.
    pub fn verdict(&self) -> Verdict {
        let (held, ready) = (self.is_held(), self.reason("Ready").is_some());
        let (issuer, facts) = (self.issuer(), self.facts());
        let output = self.cluster.secret_value(NAMESPACE, "demo-token", "access_token");
        let output = output.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let newest = output.is_some_and(|access| issuer.is_good(access, self.time.now()));
        Verdict {
            double_spends: issuer.double_spends.len(),
            last_tries: issuer.last_tries,
            lost: !held,
            excused: issuer.may_lose() && (facts.lost_in_flight || facts.died_holding),
            destroyed: facts.destroyed,
            healthy: ready && newest && held && !issuer.is_revoked(),
            stalled: self.stalled(),
            rotations: issuer.rotations,
        }
    }
}

fn in_secret(secret: &Value, token: &str) -> bool {
    use base64::Engine as _;
    let values = secret["data"].as_object().into_iter().flat_map(|data| data.values());
    let bytes = values.filter_map(|value| base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok());
    bytes.into_iter().any(|bytes| holds(&bytes, token))
}

/// Whether bytes are the token, hold it as JSON text does, or are a journal entry that holds it.
fn holds(bytes: &[u8], token: &str) -> bool {
    if bytes == token.as_bytes() {
        return true;
    }
    let quoted = format!("\"{token}\"");
    let within = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| text.contains(&quoted));
    let in_entry = |entry: Entry| {
        let stored = entry.state.encode().values().any(|value| value == token.as_bytes() || within(value));
        stored || entry.answer.is_some_and(|answer| within(&answer.reply.body.0))
    };
    within(bytes) || Entry::decode(bytes).is_some_and(in_entry)
}
