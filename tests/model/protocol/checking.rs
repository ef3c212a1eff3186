//! The model as stateright wants it, and a run of the checker.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use refreshable_token_operator::refresh::exchange::Step;
use refreshable_token_operator::refresh::state::State;
use refreshable_token_operator::token::{HeldTokens, RefreshToken};
use stateright::{Checker as _, HasDiscoveries, Model, Path, Property};

use super::Protocol;
use super::machine::{LIFE, SEED_FINGERPRINT, at, token};
use super::spec::owner;
use super::status::{Known, Recollection};
use super::steps::Way;
use super::variant::Variant;
use super::world::{Doing, Issuer, KEYS, Replica, Request, Wire, World};

/// What can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// A replica looks at the object; true: at an old copy.
    Begin(usize, bool),
    /// A replica performs its next step, which ends this way.
    Perform(usize, Way),
    /// A replica's process dies; true: and its journal with it.
    Crash(usize, bool),
    /// A late request arrives.
    Arrive(Request),
    /// A late request comes to nothing.
    Vanish(Request),
    /// A long time passes.
    Tick,
    /// Somebody edits the state Secret.
    Edit,
    /// Somebody puts these earlier contents back.
    Restore(u32),
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let seed = refreshable_token_operator::token::Fingerprint::from_stored(SEED_FINGERPRINT);
        let tokens = HeldTokens {
            refresh_token: Some(RefreshToken::new(token(0))),
            issued_time: Some(at(0)),
            expiration_time: Some(at(0) + TimeDelta::seconds(LIFE)),
            ..HeldTokens::default()
        };
        let state = State {
            tokens,
            generation: 1,
            owner: owner(),
            key: Some(self.machine.key.name()),
            seeds: vec![seed],
            ..State::default()
        };
        let status = self.known.number(Known { generation: 1, ..Known::default() });
        let memory = self.memories.number(Recollection::default());
        let replica =
            Replica { memory, view: status, process: 0, journal: 0, entry: None, replays: Vec::new(), doing: Doing::Idle };
        vec![World {
            time: 0,
            secret: Some(self.machine.hold(state)),
            written: Some(0),
            escrow: Vec::new(),
            copies: Vec::new(),
            status,
            issuer: Issuer { newest: 0, spent_at: 0, keys: [0; KEYS], revoked: false, twice: false },
            late: Vec::new(),
            replicas: [replica.clone(), replica],
            left: self.variant.faults,
            excused: false,
            restored: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        for (index, replica) in world.replicas.iter().enumerate() {
            match &replica.doing {
                Doing::Idle => {
                    actions.push(Action::Begin(index, false));
                    if replica.view != world.status {
                        actions.push(Action::Begin(index, true));
                    }
                }
                Doing::Reporting(_) => self.ways(world, index, Wire::None, actions),
                Doing::Exchange(exchange) => self.ways(world, index, exchange.wire, actions),
            }
            if left.crashes > 0 {
                actions.push(Action::Crash(index, false));
                if left.wipes > 0 {
                    actions.push(Action::Crash(index, true));
                }
            }
        }
        for late in &world.late {
            actions.extend([Action::Arrive(*late), Action::Vanish(*late)]);
        }
        if left.ticks > 0 {
            actions.push(Action::Tick);
        }
        if left.edits > 0 {
            actions.push(Action::Edit);
        }
        if left.restores > 0 {
            actions.extend(world.copies.iter().map(|copy| Action::Restore(*copy)));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        match action {
            Action::Begin(index, stale) => self.begin(world, index, stale),
            Action::Perform(index, way) => self.perform(world, index, way),
            Action::Crash(index, wipe) => self.crash(world, index, wipe),
            Action::Arrive(request) => self.arrive(world, request),
            Action::Vanish(request) => self.vanish(world, request),
            Action::Tick => self.tick(world),
            Action::Edit => self.edit(world),
            Action::Restore(copy) => self.restore(world, copy),
        }
    }

    fn within_boundary(&self, _world: &World) -> bool {
        true
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("never spent twice", |model: &Self, world| model.first(model.never_spent_twice(world))),
            Property::always("never lost", |model: &Self, world| model.first(model.never_lost(world))),
        ];
        // A wrong variant has to be caught by what it does to the token.
        if self.variant.without.is_none() {
            properties.push(Property::always("no dead end", |model: &Self, world| model.first(model.no_dead_end(world))));
        }
        properties
    }
}

impl Protocol {
    /// The checker goes on for a while after it has found something, and would report the last: only the first, which is the
    /// nearest to the beginning, counts.
    fn first(&self, holds: bool) -> bool {
        holds || self.found.swap(true, Ordering::Relaxed)
    }

    /// The ways in which a step can end.
    fn ways(&self, world: &World, index: usize, wire: Wire, actions: &mut Vec<Action>) {
        let left = &world.left;
        let ways = [
            (Way::Well, true),
            (Way::AnswerLost, if wire == Wire::None { left.unclear > 0 } else { left.lost > 0 }),
            (Way::NeverArrives, if wire == Wire::None { left.unclear > 0 } else { left.lost > 0 }),
            (Way::Denied, wire == Wire::None && (left.denials > 0 || left.aborts > 0 || left.disk > 0)),
            (Way::GivesUp, wire != Wire::None && left.late > 0),
        ];
        actions.extend(ways.iter().filter(|(_, possible)| *possible).map(|(way, _)| Action::Perform(index, *way)));
    }

    /// A path in words.
    fn tell(&self, path: Path<World, Action>) -> Vec<String> {
        path.into_vec().iter().filter_map(|(world, action)| Some(self.line(world, (*action)?))).collect()
    }

    fn line(&self, world: &World, action: Action) -> String {
        let name = |index: usize| if index == 0 { "one" } else { "two" };
        let Action::Perform(index, way) = action else { return format!("{action:?}") };
        let what = match world.replicas.get(index).map(|replica| &replica.doing) {
            Some(Doing::Exchange(exchange)) if exchange.wire != Wire::None => format!("{:?}", exchange.wire),
            Some(Doing::Exchange(exchange)) => self.step_word(&self.machine.nodes.value(exchange.node).step),
            Some(Doing::Reporting(report)) => {
                format!("store status (current: {}) {:?}", report.current, self.known.value(report.status))
            }
            Some(Doing::Idle) | None => String::new(),
        };
        format!("{}: {what}: {way:?}", name(index))
    }

    fn step_word(&self, step: &Step) -> String {
        match step {
            Step::WriteState(write) => {
                let claim = write.state.claim.as_ref().map(|claim| claim.id.clone());
                let generation = write.state.generation;
                let version = write.replaces.as_ref().map(|version| version.resource_version.clone());
                format!("write state over {version:?}: generation {generation}, claim {claim:?}, dry run {}", write.dry_run)
            }
            Step::Mark(mark) => format!("mark {}", mark.claim.id),
            other => format!("{other:?}").chars().take(60).collect(),
        }
    }
}

/// What a run of the checker came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The variant.
    pub name: &'static str,
    /// Different states.
    pub states: usize,
    /// Longest of the shortest paths to a state.
    pub depth: usize,
    /// Different exchanges that the step function was asked about.
    pub exchanges: usize,
    /// How many properties were checked in each state.
    pub properties: usize,
    /// Properties that do not hold, each with its shortest counterexample, one line for each step.
    pub violations: Vec<(&'static str, Vec<String>)>,
    /// Every state was visited.
    pub complete: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.complete { "all" } else { "cut off" };
        write!(f, "{:<45} {:>10} states ({end}), depth {}, {} exchanges", self.name, self.states, self.depth, self.exchanges)?;
        for (property, path) in &self.violations {
            write!(f, "\n  not so: {property}\n    {}", path.join("\n    "))?;
        }
        Ok(())
    }
}

/// Runs the checker until all states are visited, `most` are, or a property is found broken.
pub fn check(variant: Variant, threads: usize, most: usize) -> Report {
    let model = Protocol::new(variant);
    let properties = model.properties().len();
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::Any)
        .target_state_count(most)
        .timeout(Duration::from_secs(24 * 3600))
        .spawn_bfs()
        .join();
    let model = checker.model();
    let violations: Vec<_> = checker.discoveries().into_iter().map(|(name, path)| (name, model.tell(path))).collect();
    Report {
        name: variant.name,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        exchanges: model.machine.nodes.len(),
        properties,
        complete: violations.is_empty() && checker.state_count() < most,
        violations,
    }
}
