//! The answers of calls: taken in, written down, and searched for what has to be said at once.

use std::io;

use futures::{FutureExt, StreamExt};

use super::{Answer, CENSUS_AGAIN, Reconciler, Tenure};
use crate::{
    decide::{self, Purpose, notice, steps},
    journal::{Event, Store},
    model::{Outcome, Query, Seen},
    world::{Clock, World},
};

/// Which looks have come in.
#[derive(Default)]
struct Looked {
    any: bool,
    dagster: bool,
    /// The runs whose steps were read.
    steps: Vec<String>,
}

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    /// Takes in this answer and all others that are there.
    pub(super) async fn take(&mut self, first: Option<(Tenure, Answer)>) -> io::Result<()> {
        let mut events = vec![];
        let mut looked = Looked::default();
        let mut next = first;
        while let Some((tenure, answer)) = next {
            match answer {
                _ if tenure != self.tenure => {}
                Answer::Acted(purpose, acted) => {
                    let is_launch = matches!(purpose, Purpose::Submit { .. });
                    self.observation.launching -= u32::from(is_launch);
                    let current = self.state.current.as_ref().expect("an act is of a generation");
                    events.extend(decide::sent(current, &purpose, acted.sent_at));
                    events.extend(decide::outcome(current, &purpose, acted.outcome));
                }
                Answer::Looked(query, observation) => {
                    looked.any = true;
                    looked.dagster |= matches!(query, Query::Dagster { .. });
                    self.looking.remove(&query);
                    if let Query::Steps { run_ids, .. } = &query {
                        looked.steps.clone_from(run_ids);
                    }
                    self.observation.merge(*observation);
                    if matches!(query, Query::Dagster { .. }) {
                        self.forget_read();
                        self.measure();
                    }
                }
                Answer::Counted(Seen::Fresh(census)) => {
                    self.counting = false;
                    if !self.is_too_early(&census) {
                        events.extend(self.conclude(&census).await?);
                    }
                }
                Answer::Counted(Seen::Unavailable(why)) => {
                    self.counting = false;
                    self.census_after = self.shared.clock.now().plus(CENSUS_AGAIN);
                    tracing::warn!(scenario = %self.name, %why, "the records could not be read; trying again");
                }
                Answer::Emitted(Outcome::Done(_)) => {}
                Answer::Emitted(Outcome::Refused { reason, .. } | Outcome::Unknown { reason }) => {
                    tracing::warn!(scenario = %self.name, %reason, "metrics were not published");
                }
            }
            next = self.calls.next().now_or_never().flatten();
        }
        if !events.is_empty() {
            self.append(events).await?;
        }
        let noticed = self.notice(&looked);
        if noticed.is_empty() { Ok(()) } else { self.append(noticed).await }
    }

    /// Runs whose steps were read are not gone through in every pass.
    fn forget_read(&mut self) {
        if let Some(current) = &self.state.current {
            self.observation.retain_unread(|run_id| !current.steps_read.contains(run_id));
        }
    }

    /// What the looks that came in show, by the state that the answers beside them have left.
    fn notice(&self, looked: &Looked) -> Vec<Event> {
        let (Some(plan), Some(current)) = (&self.plan, self.state.living()) else { return vec![] };
        let view = self.observation.dagster.as_ref().filter(|_| looked.dagster).and_then(|seen| seen.answer.fresh());
        let asked_at = self.observation.dagster.as_ref().map(|seen| seen.asked_at);
        let runs = view.zip(asked_at).map(|(view, asked_at)| notice::runs(plan, current, view, asked_at));
        let mut events = runs.unwrap_or_default();
        let steps = self.observation.steps.as_ref().and_then(|seen| seen.answer.fresh());
        events.extend(steps.map(|view| steps::notice(current, &looked.steps, view)).unwrap_or_default());
        if looked.any && self.observation.leaving.is_none() {
            events.extend(notice::breach(plan, current, &self.observation, self.shared.clock.now()));
        }
        events
    }
}
