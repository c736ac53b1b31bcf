//! What is wanted against what lives: a generation begins, is stopped, or its target is exchanged.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{Asked, Reconciler};
use crate::{
    decide::{self, Turn, Waiting},
    journal::{Event, Generation, Store},
    model::{GenerationId, Observation, Timestamp, lane},
    operator::{
        Desired, Wanted,
        lanes::{self, NotYet},
    },
    spec::Deletion,
    world::{Clock, World},
};

/// A lane that cannot take its turn yet looks again after so long.
const SOON: Duration = Duration::from_millis(100);

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    /// Compares the generation that lives with the one that is wanted.
    pub(super) async fn steer(&mut self) -> io::Result<()> {
        let desired = self.desired.borrow_and_update().clone();
        let rejection = desired.rejection();
        if self.rejection.as_ref() != rejection {
            self.rejection = rejection.cloned();
            self.dirty = true;
        }
        let held = self.held();
        self.note_deletion(&desired);
        if self.is_to_be_forgotten(&desired) {
            return self.forget_all().await;
        }
        let wanted = match &desired {
            // A halt does not wait for the manifests.
            Desired::Unread if held.is_some() => return self.keep_or_stop(None, false, held).await,
            Desired::Unread => return Ok(()),
            Desired::Deleted => None,
            Desired::Present { wanted, .. } => wanted.as_deref(),
        };
        if let Some(wanted) = wanted
            && self.known_since.as_ref().is_none_or(|(digest, _)| *digest != wanted.digest)
        {
            self.known_since = Some((wanted.digest.clone(), self.shared.clock.now()));
        }
        if let Some(wanted) = wanted {
            self.deletion = Some(wanted.scenario.deletion);
        }
        if self.state.living().is_none() {
            return self.begin(wanted, held).await;
        }
        self.set_turn(None);
        self.name_writer().await?;
        self.keep_or_stop(wanted, matches!(desired, Desired::Deleted), held).await
    }

    /// What keeps this scenario from running, whatever its manifest says.
    fn held(&mut self) -> Option<Turn> {
        let control = self.control.borrow_and_update();
        let own = control.suspended.get(&self.name).or_else(|| control.suspended.get(&lane::scenario(&self.name)));
        let asked = Asked { halted: control.halted.clone(), suspended: own.cloned() };
        drop(control);
        if self.asked != asked {
            self.asked = asked;
            self.dirty = true;
        }
        let suspended = self.asked.suspended.as_ref().map(|_| Turn::Suspended);
        self.asked.halted.as_ref().map(|_| Turn::Halted).or(suspended)
    }

    fn note_deletion(&mut self, desired: &Desired) {
        let is_deleted = matches!(desired, Desired::Deleted);
        if is_deleted != self.deleted_at.is_some() {
            self.deleted_at = is_deleted.then(|| self.shared.clock.now());
            self.dirty = true;
        }
    }

    /// Begins the next generation if its turn has come.
    async fn begin(&mut self, wanted: Option<&Wanted>, held: Option<Turn>) -> io::Result<()> {
        let Some(wanted) = wanted else {
            self.set_turn(None);
            self.shared.turns.post_free(&self.name, false);
            return Ok(());
        };
        let (turn, seen) = self.turn(wanted);
        let is_free = held.is_none() && matches!(turn, Turn::Due | Turn::At(_));
        self.shared.turns.post_free(&self.name, is_free && lanes::allows(&wanted.scenario));
        let turn = match (turn, held) {
            (Turn::Had, _) => Turn::Had,
            (_, Some(held)) => held,
            (Turn::Due, None) if !self.claims(seen) => Turn::At(self.shared.clock.now().plus(SOON)),
            (turn, None) => turn,
        };
        if turn == Turn::Due {
            let repeat = self.state.repeats_of(&wanted.digest) + 1;
            let generation = GenerationId { digest: wanted.digest.clone(), repeat };
            let (scenario, target) = (Box::new(wanted.scenario.clone()), Box::new(wanted.target.clone()));
            let accepted = Event::Accepted { generation, scenario, target };
            let named = Event::WriterNamed { writer: self.shared.writer.clone() };
            self.append(self.state.compacted().into_iter().chain([accepted, named]).collect()).await?;
            self.begin_tenure();
            self.compile();
            self.set_turn(None);
        } else {
            self.set_turn(Some(turn));
        }
        Ok(())
    }

    /// A crash can lose the record of the writer and keep the one of the generation. Then the writer is recorded again, before the
    /// start.
    async fn name_writer(&mut self) -> io::Result<()> {
        let is_nameless = |one: &Generation| one.writer.is_none() && one.started_at.is_none();
        if self.state.living().is_some_and(is_nameless) {
            self.append(vec![Event::WriterNamed { writer: self.shared.writer.clone() }]).await?;
        }
        Ok(())
    }

    /// What it waits for; and, where turns may overlap, by which last turn that was judged.
    fn turn(&mut self, wanted: &Wanted) -> (Turn, Option<Option<Timestamp>>) {
        if wanted.again {
            let may = decide::may_run_again(&self.state, &wanted.digest, self.shared.epoch);
            return (if may { Turn::Due } else { Turn::Had }, None);
        }
        let now = self.shared.clock.now();
        let taken = match lanes::allows(&wanted.scenario).then(|| self.shared.turns.last(&self.name)) {
            None => None,
            Some(Ok(taken)) => Some(taken),
            // All lanes are read within a moment of each other.
            Some(Err(NotYet)) => return (Turn::At(now.plus(SOON)), None),
        };
        let turn = decide::turn(&Waiting {
            scenario: &wanted.scenario,
            digest: &wanted.digest,
            state: &self.state,
            verdicts: &self.verdicts.borrow_and_update(),
            known_since: self.known_since.as_ref().map_or(now, |(_, since)| *since),
            taken,
            now,
        });
        (turn, taken)
    }

    /// Takes a turn that is due, unless another lane was faster.
    fn claims(&self, seen: Option<Option<Timestamp>>) -> bool {
        seen.is_none_or(|seen| self.shared.turns.claim(&self.name, seen, self.shared.clock.now()))
    }

    fn set_turn(&mut self, turn: Option<Turn>) {
        if self.turn != turn {
            self.turn = turn;
            self.dirty = true;
        }
    }

    /// Stops the generation that lives if it is not wanted any more; exchanges its target if nothing was sent yet.
    async fn keep_or_stop(&mut self, wanted: Option<&Wanted>, is_deleted: bool, held: Option<Turn>) -> io::Result<()> {
        let Some(living) = self.state.living() else { return Ok(()) };
        let reason = match wanted {
            None if is_deleted => "the manifest was deleted",
            _ if held.is_some() => "",
            None => return Ok(()),
            Some(wanted) if wanted.digest != living.id.digest => "the manifest was edited",
            Some(wanted) if wanted.scenario.suspend && !wanted.again => "the scenario was suspended by its manifest",
            Some(wanted) if wanted.target != living.target && living.is_untouched() => {
                let target = Box::new(wanted.target.clone());
                self.append(vec![Event::Retargeted { target }]).await?;
                self.begin_tenure();
                return Ok(());
            }
            Some(_) => return Ok(()),
        };
        if living.stop.is_some() {
            return Ok(());
        }
        let reason = match (reason, &self.asked) {
            ("", Asked { halted: Some(request), .. }) => format!("everything was halted: {request}"),
            ("", Asked { halted: None, suspended: Some(request) }) => format!("the scenario was suspended {request}"),
            (reason, _) => reason.to_owned(),
        };
        let deletion = self.deletion.unwrap_or(living.scenario.deletion);
        let terminate = wanted.is_none() && deletion == Deletion::Terminate;
        self.append(vec![Event::StopRequested { reason, terminate }]).await
    }

    /// Forgets what was seen and asked of another generation or target.
    pub(super) fn begin_tenure(&mut self) {
        self.tenure += 1;
        self.sending = Arc::new(AtomicBool::new(true));
        self.observation = Observation::default();
        self.looking.clear();
        self.counting = false;
    }
}
