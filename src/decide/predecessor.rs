//! Runs of a generation that were there before this data folder knew of it, and whether the dagstorm that launched them is gone.
//!
//! Two dagstorms on one manifest would launch each arrival twice. Dagster has no lock to share, so the proof is the plan: a
//! dagstorm that is at work launches what is due, and launches it again when the answer was lost. If an arrival was due, two
//! settles have passed, and neither it nor any other run has come, then that dagstorm is gone.

use std::{collections::BTreeSet, time::Duration};

use super::{Decision, SEND_SLACK};
use crate::{
    journal::{Foreign, Generation},
    model::{DagsterView, RunView, Timestamp, Why, WhyKind, WriterId},
    plan::Plan,
};

/// A launch whose answer is lost is sent again a settle later: one that is at work is seen by its second launch at the latest.
const LAUNCHES: u32 = 2;
/// Before a launch is sent again it is looked for.
const LOOKED_UP: Duration = Duration::from_secs(5);

/// What an earlier dagstorm has left in Dagster of a generation.
pub struct Predecessor<'a> {
    /// One launch of each arrival, in the order of the arrivals.
    pub adopted: Vec<(u32, &'a RunView)>,
    /// When its generation began, by the runs' own tags.
    pub began_at: Option<Timestamp>,
    /// The data folders that launched them, other than this one; `None`: one before runs named their writers.
    writers: BTreeSet<Option<&'a WriterId>>,
}

impl<'a> Predecessor<'a> {
    pub fn of(plan: &Plan, state: &Generation, view: &'a DagsterView) -> Self {
        let mut found = Self { adopted: vec![], began_at: None, writers: BTreeSet::new() };
        for (index, kin) in view.runs.kin() {
            let planned = index < plan.arrivals.len();
            let launches =
                kin.chains.iter().filter(|chain| planned && chain.runs[0].key.as_ref() == Some(&plan.key(index)));
            // Whoever copied the tags to another job launched nothing of this plan.
            let launch = launches
                .map(|chain| (chain.runs[0], state.foreign(plan, index, chain)))
                .find(|(_, foreign)| matches!(foreign, None | Some(Foreign::Writer(_))));
            let Some((run, foreign)) = launch else { continue };
            if let Some(Foreign::Writer(writer)) = foreign {
                found.writers.insert(run.writer.as_ref().filter(|_| writer.is_some()));
            }
            found.began_at = [found.began_at, run.generation_started].into_iter().flatten().min();
            found.adopted.push((index, run));
        }
        found
    }

    /// Why the runs cannot be adopted yet: the dagstorm that launched them is at work, or not yet proved gone.
    pub fn is_contended(
        &self,
        plan: &Plan,
        state: &Generation,
        view: &DagsterView,
        asked_at: Timestamp,
        decision: &mut Decision,
    ) -> Option<Why> {
        let (last, newest) = *self.adopted.last().filter(|_| !self.writers.is_empty())?;
        let adopting = state.adopting?;
        // When all was launched, a dagstorm that still lives launches nothing more.
        let absent = (0..).zip(&self.adopted).find(|(index, (adopted, _))| index != adopted).map(|(index, _)| index);
        let next = plan.arrivals.get(absent.unwrap_or(last + 1))?;
        let due = self.began_at.unwrap_or(state.accepted_at).plus(next.offset);
        // As long as Dagster takes no launches, the other one launches nothing either.
        let since = due.max(adopting.since).max(state.readied_at.unwrap_or(due));
        let proved_at = since.plus((state.target.dagster.settle.duration() + SEND_SLACK) * LAUNCHES + LOOKED_UP);
        // With `maxInFlight` it may be dropping what is due.
        let is_full = plan.max_in_flight.is_some_and(|most| view.runs.open().count() as u32 >= most);
        if asked_at >= proved_at && !is_full {
            return None;
        }
        decision.wake(proved_at);
        let who: Vec<String> = self.writers.iter().map(|writer| named(*writer)).collect();
        let who = who.join(" and ");
        let why = |kind: WhyKind, message: String| Some(Why { kind, message });
        if adopting.runs > adopting.first {
            let message = format!(
                "another dagstorm is at work: {who} launched run {} of arrival {last} after this one had begun to look. Stop one of \
                 the two; an operator goes on by itself when the other one is gone",
                newest.run_id
            );
            return why(WhyKind::Mismatch, message);
        }
        let message = format!(
            "{who} launched {} runs of this generation, the last of arrival {last}. Its next launch is due at {due}; if that is \
             absent at {proved_at}, it is taken for gone and its runs are adopted. To launch all again, change the spec (its seed, say)",
            adopting.runs
        );
        why(WhyKind::Awaited, message)
    }
}

/// A dagstorm, by the data folder that it writes to.
pub(super) fn named(writer: Option<&WriterId>) -> String {
    writer.map_or_else(|| "an older dagstorm".to_owned(), |writer| format!("the dagstorm of data folder {writer}"))
}
