//! The effects of an exchange's steps on the world, and what the process is told of them.

use refreshable_token_operator::refresh::conclude::mark;
use refreshable_token_operator::refresh::exchange::{Mark, MarkAnswer, StateWrite, Step};

use super::machine::{Answer, TICK, Unwritten, claim_number, presented};
use super::operator::is_last_try;
use super::status::Known;
use super::variant::Promise;
use super::world::{Doing, Exchanging, Kept, Request, Wire, World};
use super::{Protocol, Rule};

/// How often a status is tried to be stored.
const STATUS_TRIES: u8 = 3;

/// How an effect ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// As it should.
    Well,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is not done, and nobody knows.
    NeverArrives,
    /// It is refused, or does not leave.
    Denied,
    /// The client gives up, and the request arrives later.
    GivesUp,
}

impl Protocol {
    /// Performs what a process has to do next; none where it cannot end in that way.
    pub(super) fn perform(&self, world: &World, index: usize, way: Way) -> Option<World> {
        let mut next = world.clone();
        match &world.replicas.get(index)?.doing {
            Doing::Idle => None,
            Doing::Reporting(_) => self.report(next, index, way),
            Doing::Exchange(exchange) => {
                let node = self.machine.nodes.value(exchange.node);
                let answer = match &node.step {
                    Step::ReadState => self.read(&mut next, index, way)?,
                    Step::WriteState(write) => {
                        let writes = node.writes.unwrap_or_default();
                        let answer = self.write(&mut next, index, (write, writes), way)?;
                        let held = exchange.holds > 0 && !write.dry_run;
                        match answer {
                            Answer::Unwritten(Unwritten::Conflict) if held && self.without(Rule::Rebase) => {
                                Answer::Written(exchange.version)
                            }
                            Answer::Unwritten(Unwritten::Denied) if held && self.without(Rule::HoldWhenDenied) => {
                                next.replicas.get_mut(index)?.doing = Doing::Idle;
                                return Some(next);
                            }
                            answer => answer,
                        }
                    }
                    Step::Connect { .. } => match way {
                        Way::Well => Answer::Connected,
                        _ => return None,
                    },
                    Step::Mark(about) => self.mark(&mut next, index, about, way)?,
                    Step::Journal(_) => self.journal(&mut next, index, node.writes, way)?,
                    Step::ReadJournal => {
                        Some(Answer::Remembered(world.replicas.get(index)?.entry)).filter(|_| way == Way::Well)?
                    }
                    Step::WriteEscrow(_) => self.write_escrow(&mut next, node.writes?, way)?,
                    Step::ReadEscrow(claim) | Step::DeleteEscrow(claim) => {
                        let deletes = matches!(node.step, Step::DeleteEscrow(_));
                        self.look_at_escrow(&mut next, claim, deletes, way)?
                    }
                    Step::Send { request, within } => {
                        let body = request.body.as_ref().map(|body| body.content.reveal()).unwrap_or_default();
                        let token = presented(body).unwrap_or_else(|| unreachable!("a request without a token"));
                        let key = request.headers.iter().find(|(name, _)| *name == "idempotency-key");
                        let key = key.and_then(|(_, value)| claim_number(value.reveal())).unwrap_or_default();
                        let request = Request { token, key, last: is_last_try(exchange.trigger) };
                        let passed = exchange.claimed.map_or(0, |claimed| TICK * i64::from(world.time - claimed));
                        let late = within.is_some_and(|within| passed > i64::try_from(within.as_secs()).unwrap_or(i64::MAX));
                        return self.send(next, index, (request, late), way);
                    }
                    Step::Output { .. } | Step::Pause(_) | Step::Done(_) => unreachable!("gone over at once"),
                    Step::Ask { .. } => unreachable!("nothing in the spec asks for it"),
                };
                self.go_on(next, index, answer)
            }
        }
    }

    fn read(&self, next: &mut World, index: usize, way: Way) -> Option<Answer> {
        if way != Way::Well {
            next.left.unclear = next.left.unclear.checked_sub(1).filter(|_| way == Way::NeverArrives)?;
            return Some(Answer::Unseen);
        }
        let exchange = exchange(next, index)?;
        let version = exchange.look();
        Some(next.secret.map_or(Answer::Absent, |contents| Answer::Found(contents, version, next.written)))
    }

    fn write(&self, next: &mut World, index: usize, (write, contents): (&StateWrite, u32), way: Way) -> Option<Answer> {
        let claims = write.state.claim.is_some();
        let (exists, time) = (next.secret.is_some(), next.time);
        let exchange = exchange(next, index)?;
        if claims && !write.dry_run {
            exchange.claimed.get_or_insert(time);
        }
        let named = write.replaces.as_ref().map(|version| version.resource_version.clone());
        let fresh = exchange.knows && named.as_ref() == Some(&exchange.version.to_string()) || self.without(Rule::CompareAndSwap);
        let refusal = match named {
            None if exists => Some(Unwritten::Conflict),
            Some(_) if !exists => Some(Unwritten::Missing),
            Some(_) if !fresh => Some(Unwritten::Conflict),
            None | Some(_) => None,
        };
        match way {
            Way::Well => {}
            Way::AnswerLost => {
                next.left.unclear = next.left.unclear.checked_sub(1).filter(|_| refusal.is_none() && !write.dry_run)?;
            }
            Way::NeverArrives => {
                next.left.unclear = next.left.unclear.checked_sub(1)?;
                return Some(Answer::Unwritten(Unwritten::Unclear));
            }
            Way::Denied => {
                next.left.denials = next.left.denials.checked_sub(1)?;
                return Some(Answer::Unwritten(Unwritten::Denied));
            }
            Way::GivesUp => return None,
        }
        if let Some(refusal) = refusal {
            return Some(Answer::Unwritten(refusal));
        }
        if write.dry_run {
            return Some(Answer::Written(self::exchange(next, index)?.version));
        }
        next.put_secret(contents, Some(next.time));
        if way == Way::AnswerLost {
            return Some(Answer::Unwritten(Unwritten::Unclear));
        }
        Some(Answer::Written(self::exchange(next, index)?.wrote()))
    }

    fn mark(&self, next: &mut World, index: usize, about: &Mark, way: Way) -> Option<Answer> {
        if self.without(Rule::Mark) {
            return (way == Way::Well).then_some(Answer::Marked(MarkAnswer::Done));
        }
        let current = exchange(next, index)?.current;
        match way {
            Way::Well if !current => return Some(Answer::Marked(MarkAnswer::Stale)),
            Way::Well => {}
            Way::AnswerLost => next.left.unclear = next.left.unclear.checked_sub(1).filter(|_| current)?,
            Way::NeverArrives => {
                next.left.unclear = next.left.unclear.checked_sub(1)?;
                return Some(Answer::Marked(MarkAnswer::Unclear));
            }
            Way::Denied => {
                next.left.denials = next.left.denials.checked_sub(1)?;
                return Some(Answer::Marked(MarkAnswer::Denied));
            }
            Way::GivesUp => return None,
        }
        let marked = Known::of(&mark(&self.known.value(next.status).status(), about));
        let status = self.known.number(marked);
        next.put_status(status);
        if way == Way::AnswerLost {
            return Some(Answer::Marked(MarkAnswer::Unclear));
        }
        let exchange = exchange(next, index)?;
        (exchange.object, exchange.current) = (status, true);
        Some(Answer::Marked(MarkAnswer::Done))
    }

    /// A process writes its own journal. The journal that lies says that it did.
    fn journal(&self, next: &mut World, index: usize, entry: Option<u32>, way: Way) -> Option<Answer> {
        match way {
            Way::Well => {}
            Way::Denied => {
                next.left.disk = next.left.disk.checked_sub(1)?;
                Self::told_of_journal(next, index, Kept::Refused);
                return Some(Answer::Kept(false));
            }
            Way::AnswerLost | Way::NeverArrives | Way::GivesUp => return None,
        }
        Self::told_of_journal(next, index, Kept::Done);
        if !self.without(Rule::Journal) {
            next.replicas.get_mut(index)?.entry = entry;
        }
        Some(Answer::Kept(true))
    }

    /// Before the answer it is only the intent that is written.
    fn told_of_journal(next: &mut World, index: usize, kept: Kept) {
        if let Some(exchange) = exchange(next, index).filter(|exchange| exchange.holds > 0) {
            exchange.journal = kept;
        }
    }

    /// The escrow Secret of a claim is created; one that stands is as good only with the same contents.
    fn write_escrow(&self, next: &mut World, entry: u32, way: Way) -> Option<Answer> {
        match way {
            Way::Well => {}
            Way::Denied => {
                next.left.denials = next.left.denials.checked_sub(1)?;
                return Some(Answer::Kept(false));
            }
            Way::AnswerLost | Way::NeverArrives | Way::GivesUp => return None,
        }
        let claim = |entry: u32| self.machine.kept.value(entry).entry.claim().to_owned();
        if next.escrow.iter().any(|stands| claim(*stands) == claim(entry)) {
            return Some(Answer::Kept(next.escrow.contains(&entry)));
        }
        next.escrow.push(entry);
        next.escrow.sort_unstable();
        Some(Answer::Kept(true))
    }

    /// The escrow Secret of a claim is read, or deleted.
    fn look_at_escrow(&self, next: &mut World, claim: &str, deletes: bool, way: Way) -> Option<Answer> {
        let place = next.escrow.iter().position(|entry| self.machine.kept.value(*entry).entry.claim() == claim);
        match way {
            Way::Well if deletes => {
                place.map(|place| next.escrow.remove(place));
                Some(Answer::Kept(true))
            }
            Way::Well => Some(Answer::Remembered(place.and_then(|place| next.escrow.get(place).copied()))),
            Way::NeverArrives => {
                next.left.unclear = next.left.unclear.checked_sub(1)?;
                Some(if deletes { Answer::Kept(false) } else { Answer::Forgotten })
            }
            Way::AnswerLost | Way::Denied | Way::GivesUp => None,
        }
    }

    /// The one request that cannot be taken back: it leaves, is handled, and its answer comes; each at its own time.
    fn send(&self, mut next: World, index: usize, (request, late): (Request, bool), way: Way) -> Option<World> {
        let (time, promise, excused) = (next.time, self.variant.promise, next.excused);
        let mut issuer = next.issuer;
        let exchange = exchange(&mut next, index)?;
        let answer = match (exchange.wire, way) {
            (Wire::None, Way::Well) if late => Answer::HeldBack,
            (Wire::None, Way::Well) => {
                exchange.wire = Wire::Sent(request);
                return Some(next);
            }
            (Wire::None, Way::Denied) => {
                next.left.aborts = next.left.aborts.checked_sub(1)?;
                Answer::NotSent
            }
            (Wire::Sent(request), Way::Well) => {
                exchange.wire = issuer.present(request, time, promise, excused).map_or(Wire::Refused, Wire::Granted);
                next.issuer = issuer;
                return Some(next);
            }
            (Wire::Sent(request), Way::GivesUp) => {
                exchange.wire = Wire::None;
                next.left.late = next.left.late.checked_sub(1)?;
                next.send_late(request);
                Answer::Unanswered
            }
            (Wire::Sent(_), Way::NeverArrives) => {
                exchange.wire = Wire::None;
                next.left.lost = next.left.lost.checked_sub(1)?;
                Answer::Unanswered
            }
            (Wire::Granted(number), Way::Well) => {
                (exchange.wire, exchange.holds, exchange.journal) = (Wire::None, number, Kept::NotYet);
                Answer::Granted(number)
            }
            (Wire::Refused, Way::Well) => {
                exchange.wire = Wire::None;
                Answer::Refused
            }
            (Wire::Granted(_) | Wire::Refused, Way::AnswerLost) => {
                let granted = exchange.wire != Wire::Refused;
                exchange.wire = Wire::None;
                next.excused |= granted && promise == Promise::Strict;
                next.left.lost = next.left.lost.checked_sub(1)?;
                Answer::Unanswered
            }
            _ => return None,
        };
        self.go_on(next, index, answer)
    }

    /// Stores a status, over what somebody else has written meanwhile.
    fn report(&self, mut next: World, index: usize, way: Way) -> Option<World> {
        let replica = next.replicas.get_mut(index)?;
        let Doing::Reporting(report) = &mut replica.doing else { return None };
        let status = report.status;
        match way {
            Way::Well if !report.current => {
                report.tries += 1;
                report.current = true;
                if report.tries >= STATUS_TRIES {
                    replica.doing = Doing::Idle;
                }
            }
            Way::Well => {
                (replica.view, replica.doing) = (status, Doing::Idle);
                next.put_status(status);
            }
            Way::AnswerLost if report.current => {
                replica.doing = Doing::Idle;
                next.left.unclear = next.left.unclear.checked_sub(1)?;
                next.put_status(status);
            }
            Way::Denied => {
                replica.doing = Doing::Idle;
                next.left.denials = next.left.denials.checked_sub(1)?;
            }
            Way::AnswerLost | Way::NeverArrives | Way::GivesUp => return None,
        }
        Some(next)
    }
}

fn exchange(world: &mut World, index: usize) -> Option<&mut Exchanging> {
    match &mut world.replicas.get_mut(index)?.doing {
        Doing::Exchange(exchange) => Some(exchange),
        Doing::Idle | Doing::Reporting(_) => None,
    }
}
