//! Who sees every effect of every replica, in order, and decides what becomes of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use refreshable_token_operator::refresh::exchange::SEND_WITHIN;
use testbed::fake_cluster::Effect::Stale;
use testbed::fake_cluster::{EventFate, Fate, Loss, Plan, Seen, SeenEvent, Verb};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fault::Fault;
use super::random::Random;

/// How long a request to Kubernetes takes. Our choice: more than nothing, so that concurrent requests have an order.
const LATENCY: Duration = Duration::from_millis(1);
/// Longer than any run: what a dead process's watch would show never comes.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How many effects are remembered for the report of a failed run.
const LOG: usize = 400;
/// How many of the newest effects are remembered for the report of a run that does not come to rest.
const NEWEST: usize = 24;

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A request to Kubernetes, such as `Update Secret demo-state`.
    Kubernetes(String),
    /// A connection to the token API that is closed at once.
    Connect,
    /// The call of the token API.
    Send,
    /// A write of the journal.
    Journal,
}

/// Something that a person does at a step.
pub type Act = Box<dyn FnOnce() + Send>;

/// What random walks do to effects and events.
pub struct Chance {
    /// Draws.
    pub random: Random,
    /// One effect in so many has a fault; 0: none.
    pub faults: u64,
    /// One list in so many is stale; 0: none.
    pub stale: u64,
    /// One event in so many is dropped, delayed or cut off; 0: none.
    pub events: u64,
    /// The faults that are drawn.
    pub kinds: &'static [Fault],
    /// Crashes that may still come.
    pub crashes: u32,
}

impl Chance {
    /// How many writes late a list is, if it is.
    fn stale(&mut self) -> Option<u64> {
        self.random.one_in(self.stale).then(|| self.random.below(12) + 1)
    }

    fn event(&mut self) -> EventFate {
        if !self.random.one_in(self.events) {
            return EventFate::Send;
        }
        match self.random.below(4) {
            0 => EventFate::Drop,
            1 => EventFate::Cut,
            _ => EventFate::Delay(Duration::from_millis(self.random.below(60_000))),
        }
    }
}

#[derive(Default)]
struct Inner {
    armed: bool,
    index: usize,
    faults: BTreeMap<usize, Fault>,
    acts: BTreeMap<usize, Act>,
    at: BTreeMap<usize, Step>,
    chance: Option<Chance>,
    dead: BTreeSet<String>,
    to_kill: Vec<String>,
    down: Option<Instant>,
    down_since: Option<Instant>,
    denied: Option<(u16, Instant)>,
    deny_after_send: Option<(u16, Duration)>,
    deny_escrow: bool,
    calls_while_down: u32,
    calls: u32,
    kill_after_first: Option<Duration>,
    log: Vec<String>,
    /// All effects, whether it is armed or not.
    total: usize,
    newest: VecDeque<String>,
    hit: u32,
    /// Processes that hold a new pair in memory only, and could not help it.
    holding: BTreeSet<String>,
    /// Processes with a journal that outlives them.
    journals: BTreeSet<String>,
    /// Processes that have yet to try to write what they hold into such a journal.
    owing: BTreeSet<String>,
}

/// What begins at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The API server is down for so long.
    Down(Duration),
    /// SIGTERM.
    Stop,
}

/// The one place that every effect passes. Clones are the same one.
#[derive(Clone, Default)]
pub struct Control {
    inner: Arc<Mutex<Inner>>,
    /// Told when a process is to be killed or stopped.
    pub changed: Arc<Notify>,
    stops: Arc<Mutex<bool>>,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count: the next effect has index 0.
    pub fn arm(&self) {
        let mut inner = self.lock();
        (inner.armed, inner.index) = (true, 0);
    }

    /// Ends all faults.
    pub fn disarm(&self) {
        let mut inner = self.lock();
        inner.armed = false;
        inner.chance = None;
        inner.faults.clear();
        inner.acts.clear();
    }

    /// Effects since it was armed.
    pub fn effects(&self) -> usize {
        self.lock().index
    }

    /// Faults and acts that came about.
    pub fn hit(&self) -> u32 {
        self.lock().hit
    }

    /// A fault for the effect of this index.
    pub fn fault(&self, index: usize, fault: Fault) {
        self.lock().faults.insert(index, fault);
    }

    /// An act just before the effect of this index.
    pub fn act(&self, index: usize, act: Act) {
        self.lock().acts.insert(index, act);
    }

    /// What begins just before the effect of this index.
    pub fn step(&self, index: usize, step: Step) {
        self.lock().at.insert(index, step);
    }

    /// Faults by chance, from now on.
    pub fn chance(&self, chance: Chance) {
        self.lock().chance = Some(chance);
    }

    /// Once the token API has answered, writes of the state Secret are refused with this code for so long.
    pub fn deny_after_send(&self, code: u16, time: Duration) {
        self.lock().deny_after_send = Some((code, time));
    }

    /// As long as writes of the state Secret are refused, those of escrow Secrets are too.
    pub fn deny_escrow(&self) {
        self.lock().deny_escrow = true;
    }

    /// The token API has answered.
    pub fn note_answer(&self) {
        let mut inner = self.lock();
        if let Some((code, time)) = inner.deny_after_send.take() {
            inner.denied = Some((code, Instant::now() + time));
            inner.hit += 1;
        }
    }

    /// The process whose effect comes first dies so long after it.
    pub fn kill_after_first(&self, time: Duration) {
        self.lock().kill_after_first = Some(time);
    }

    /// Calls of the token API.
    pub fn calls(&self) -> u32 {
        self.lock().calls
    }

    /// The API server is down until then.
    pub fn down_for(&self, time: Duration) {
        let mut inner = self.lock();
        (inner.down_since, inner.down) = (Some(Instant::now()), Some(Instant::now() + time));
    }

    fn is_down(&self) -> bool {
        self.lock().down.is_some_and(|until| until > Instant::now())
    }

    /// Calls of the token API that were begun while the API server was down.
    pub fn calls_while_down(&self) -> u32 {
        self.lock().calls_while_down
    }

    /// A process no longer acts on the world.
    pub fn bury(&self, process: &str) {
        self.lock().dead.insert(process.to_owned());
    }

    /// Whether a process is dead.
    pub fn is_dead(&self, process: &str) -> bool {
        self.lock().dead.contains(process)
    }

    /// Processes that a fault has killed and that nobody has cleared away yet.
    pub fn take_killed(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().to_kill)
    }

    /// Whether SIGTERM came.
    pub fn take_stop(&self) -> bool {
        std::mem::take(&mut self.stops.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last effects, for people.
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// How many effects there were, whether it was armed or not.
    pub fn total(&self) -> usize {
        self.lock().total
    }

    /// The newest of them, for people.
    pub fn newest(&self) -> String {
        self.lock().newest.make_contiguous().join("\n")
    }

    /// A process has a journal that outlives it.
    pub fn note_journal(&self, process: &str) {
        self.lock().journals.insert(process.to_owned());
    }

    /// A process has got a new pair.
    pub fn note_held(&self, process: &str) {
        let mut inner = self.lock();
        inner.holding.insert(process.to_owned());
        if inner.journals.contains(process) {
            inner.owing.insert(process.to_owned());
        }
    }

    /// Who uses an answer before it is in the journal has no excuse for losing it.
    fn note_use(&self, process: &str, effect: &Effect) {
        let mut inner = self.lock();
        match effect {
            Effect::Journal => {
                inner.owing.remove(process);
            }
            Effect::Kubernetes(what) if is_commit(what) && inner.owing.remove(process) => {
                inner.holding.remove(process);
            }
            Effect::Kubernetes(_) | Effect::Connect | Effect::Send => {}
        }
    }

    /// A process has made durable what it holds.
    pub fn note_durable(&self, process: &str) {
        self.lock().holding.remove(process);
    }

    /// Whether a process has a new pair that it has not made durable.
    pub fn was_holding(&self, process: &str) -> bool {
        self.lock().holding.contains(process)
    }

    /// Notes a line among the effects.
    pub fn note(&self, line: String) {
        let mut inner = self.lock();
        if inner.log.len() < LOG {
            inner.log.push(line);
        }
    }

    /// An effect is about to happen: the fault that meets it.
    pub fn effect(&self, process: &str, effect: &Effect) -> Option<Fault> {
        self.note_use(process, effect);
        let (index, act) = {
            let mut inner = self.lock();
            if inner.dead.contains(process) {
                return Some(Fault::CrashBefore);
            }
            inner.total += 1;
            if inner.newest.len() == NEWEST {
                inner.newest.pop_front();
            }
            inner.newest.push_back(format!("{process} {effect:?}"));
            if !inner.armed {
                return None;
            }
            let index = inner.index;
            inner.index += 1;
            (index, inner.acts.remove(&index))
        };
        if let Some(act) = act {
            act();
            self.lock().hit += 1;
            self.note(format!("{index}: a person acts"));
        }
        self.begin_step(index);
        if let Some(time) = self.lock().kill_after_first.take() {
            let (control, process) = (self.clone(), process.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                control.lock().hit += 1;
                control.kill(&process);
            });
        }
        let fault = self.draw(index, effect);
        self.note(format!("{index} {process} {effect:?} {fault:?}"));
        if fault.is_some() {
            self.lock().hit += 1;
        }
        if fault.is_some_and(Fault::is_crash) {
            self.kill(process);
        }
        fault
    }

    fn begin_step(&self, index: usize) {
        let Some(step) = self.lock().at.remove(&index) else { return };
        self.lock().hit += 1;
        self.note(format!("{index}: {step:?}"));
        match step {
            Step::Down(time) => self.down_for(time),
            Step::Stop => {
                *self.stops.lock().unwrap_or_else(PoisonError::into_inner) = true;
                self.changed.notify_one();
            }
        }
    }

    fn draw(&self, index: usize, effect: &Effect) -> Option<Fault> {
        let mut inner = self.lock();
        if let Some(fault) = inner.faults.remove(&index) {
            return Some(fault);
        }
        let chance = inner.chance.as_mut()?;
        if !chance.random.one_in(chance.faults) {
            return None;
        }
        let fault = *chance.random.pick(chance.kinds);
        // A disk that never answers is no fault that the operator could do anything about.
        if fault.is_crash() {
            chance.crashes = chance.crashes.checked_sub(1)?;
        }
        (*effect != Effect::Journal || !matches!(fault, Fault::Hang | Fault::HangApplied)).then_some(fault)
    }

    /// A process dies at this moment.
    pub fn kill(&self, process: &str) {
        let mut inner = self.lock();
        if inner.dead.insert(process.to_owned()) {
            inner.to_kill.push(process.to_owned());
            self.changed.notify_one();
        }
    }

    /// A call of the token API is begun.
    pub fn note_call(&self) {
        let mut inner = self.lock();
        inner.calls += 1;
        // What was claimed and marked just before may still be sent: nobody has told its process.
        let known = inner.down_since.is_some_and(|since| since.elapsed() > SEND_WITHIN);
        if known && inner.down.is_some_and(|until| until > Instant::now()) {
            inner.calls_while_down += 1;
        }
    }
}

/// A write of the state Secret that counts.
fn is_commit(what: &str) -> bool {
    let write = what.starts_with("Update Secret ") || what.starts_with("Create Secret ");
    write && what.ends_with("-state")
}

/// The plan of the cluster: what the control says.
pub struct ControlPlan(pub Control);

impl Plan for ControlPlan {
    fn request(&mut self, seen: &Seen<'_>) -> Fate {
        let request = seen.request;
        let name = if request.name.is_empty() { request.body["metadata"]["name"].as_str().unwrap_or("*") } else { &request.name };
        // kube names events after the machine's clock.
        let shown = if request.kind == testbed::fake_cluster::Kind::Event { "*" } else { name };
        let (status, dry) = (if request.status { "/status" } else { "" }, if request.dry_run { " (dry)" } else { "" });
        let what = format!("{:?} {}{status} {shown}{dry}", request.verb, request.kind.name());
        let fault = self.0.effect(seen.client, &Effect::Kubernetes(what));
        if self.0.is_dead(seen.client) {
            return fault.unwrap_or(Fault::CrashBefore).fate();
        }
        if self.0.is_down() {
            return Fate::lose(false, Loss::Reset).after(LATENCY);
        }
        if let Some(fault) = fault {
            return fault.fate().after(LATENCY);
        }
        let mut inner = self.0.lock();
        let denied = inner.denied.filter(|(_, until)| *until > Instant::now());
        let secret = name.ends_with("-state") || inner.deny_escrow && name.contains("-escrow-");
        if let Some((code, _)) = denied.filter(|_| request.verb.is_write() && !request.dry_run && secret) {
            return Fate::refuse(code).after(LATENCY);
        }
        // A GET without a resourceVersion is answered by etcd; only a list may come from a cache.
        if request.verb == Verb::List
            && let Some(writes) = inner.chance.as_mut().and_then(Chance::stale)
        {
            return Fate { effect: Stale(writes), delay: LATENCY };
        }
        Fate::default().after(LATENCY)
    }

    fn handled(&mut self, seen: &Seen<'_>, code: u16) {
        let request = seen.request;
        let name = if request.name.is_empty() { request.body["metadata"]["name"].as_str().unwrap_or("*") } else { &request.name };
        let keeps = name.ends_with("-state") || name.contains("-escrow-");
        if keeps && code < 300 && request.verb.is_write() && !request.dry_run && !self.0.is_dead(seen.client) {
            self.0.note_durable(seen.client);
        }
    }

    fn event(&mut self, event: &SeenEvent<'_>) -> EventFate {
        let mut inner = self.0.lock();
        if inner.dead.contains(event.client) {
            return EventFate::Delay(NEVER);
        }
        inner.chance.as_mut().map_or(EventFate::Send, Chance::event)
    }
}
