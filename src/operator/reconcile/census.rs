//! The end: the records are read and judged; and the latencies that are published on the way.

use std::{io, sync::Arc};

use super::{Answer, CENSUS_AGAIN, Reconciler, SENTENCES};
use crate::{
    audit, decide,
    journal::{Conclusion, Event, Launched, Launches, Store, failed_by_reason},
    model::{Census, CensusQuery},
    publish,
    world::{Clock, World},
};

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    pub(super) fn count(&mut self) {
        if self.counting || self.shared.clock.now() < self.census_after {
            return;
        }
        let Some(plan) = &self.plan else { return };
        self.counting = true;
        let (scenario, generation) = (plan.scenario.clone(), plan.generation.clone());
        let spool = self.shared.folder.report_folder(&scenario, &generation).map(|folder| folder.join(".census.jsonl"));
        let query = CensusQuery { scenario, generation, spool };
        let (shared, target) = (Arc::clone(&self.shared), self.target());
        self.call(async move { Answer::Counted(shared.world.census(&target, &query).await) });
    }

    /// Whether an attempt may still complete, and there is patience left to wait for it.
    pub(super) fn is_too_early(&mut self, census: &Census) -> bool {
        let Some(current) = self.state.living() else { return false };
        let Some(settles_at) = audit::settles_at(current, census) else { return false };
        let until = current.audit_began_at.unwrap_or(census.taken_at).plus(decide::PATIENCE);
        let limit = self.plan.as_ref().and_then(|plan| Some(current.started_at?.plus(plan.max_duration?)));
        let too_early = census.taken_at < settles_at.min(limit.map_or(until, |limit| limit.min(until)));
        if too_early {
            self.census_after = settles_at;
        }
        too_early
    }

    /// Judges the records, read anew from where they lie; the report is complete before the conclusion is written.
    pub(super) async fn conclude(&mut self, census: &Census) -> io::Result<Option<Event>> {
        let (Some(plan), Some(current)) = (&self.plan, self.state.living()) else { return Ok(None) };
        let records = self.shared.store.read(&self.name).await?;
        let audit =
            audit::audit(plan, &records, census).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let report = publish::report(plan, &self.state, current, census, &audit);
        let evidence = publish::Evidence { plan, generation: current, records: &records, census };
        if let Err(error) = self.shared.folder.write_report(&report, &evidence) {
            tracing::error!(scenario = %self.name, %error, "the report cannot be written; trying again");
            self.census_after = self.shared.clock.now().plus(CENSUS_AGAIN);
            return Ok(None);
        }
        let first = |messages: Vec<String>| messages.into_iter().take(SENTENCES).collect::<Vec<_>>();
        let conclusion = Conclusion {
            verdict: audit.verdict,
            message: publish::fold::sentence(&audit),
            counts: Some(audit.counts.clone()),
            thresholds: audit.thresholds.clone(),
            findings: first(publish::fold::findings(&audit.findings)),
            gaps: first(publish::fold::gaps(&audit)),
            recoveries: first(publish::fold::findings(&audit.recoveries)),
            effects: first(audit.effects.iter().map(audit::FaultEffect::sentence).collect()),
            assumptions: audit.assumptions,
        };
        Ok(Some(Event::Concluded { conclusion }))
    }

    /// Publishes the latencies of runs that ended since the last look.
    pub(super) fn measure(&mut self) {
        let (Some(plan), Some(current)) = (&self.plan, &self.state.current) else { return };
        let Some(view) = self.observation.dagster.as_ref().and_then(|seen| seen.answer.fresh()) else { return };
        let Some(started_at) = current.started_at.filter(|_| current.target.metrics.is_some()) else { return };
        let launches = view.runs.changed().map(|index| (index, view.runs.of_index(index)));
        let launches = Launches::of(current, plan, launches, failed_by_reason);
        let is_new = |one: &&Launched| one.ended_at.is_some() && !self.measured.contains(&one.index);
        let ended: Vec<&Launched> = launches.all.iter().filter(is_new).collect();
        if ended.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        let datum = publish::latencies(&self.name, plan, started_at, ended.iter().copied(), now);
        self.measured.extend(ended.iter().map(|one| one.index));
        if let Some(datum) = datum {
            let (shared, target) = (Arc::clone(&self.shared), self.target());
            self.call(async move { Answer::Emitted(shared.world.emit(&target, &[datum]).await) });
        }
    }
}
