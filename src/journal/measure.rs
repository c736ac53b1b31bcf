//! What a threshold is compared with: one number of the records of a generation and of what is known of its runs.
//!
//! The audit measures at the end; a threshold that may end a scenario early is measured on the way. What both mean by a
//! number is one thing, so it stands here, below both.

use std::time::Duration;

use super::{
    fault::{FaultStage, FaultState},
    generation::{Generation, Sample},
    launch::{Launched, Launches},
    submission::SubmissionStage,
};
use crate::{
    model::{Aggregate, Criterion, Faults, Metric, RunStatus, Scope, Timestamp, Weighed},
    plan::{Arrival, Plan},
};

/// What a number is made of.
pub struct Evidence<'a> {
    pub plan: &'a Plan,
    pub generation: &'a Generation,
    /// The launches of the generation, as they were seen last.
    pub launches: &'a Launches,
    /// When they were seen.
    pub until: Timestamp,
    /// When a fault was over, as far as it is known.
    pub recovered: &'a dyn Fn(&FaultState) -> Option<Timestamp>,
}

/// `None`: there is nothing that it could be made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub value: Option<f64>,
    pub samples: u64,
}

const NOTHING: Measured = Measured { value: None, samples: 0 };

/// Times, each with its end, in order and apart from each other.
type Windows = Vec<(Timestamp, Timestamp)>;

impl Evidence<'_> {
    /// The number of a threshold.
    pub fn measure(&self, criterion: &Criterion) -> Measured {
        let Some(started_at) = self.generation.started_at else { return NOTHING };
        let aggregate = criterion.threshold.aggregate;
        let elapsed = self.until.since(started_at).as_secs_f64();
        let of = |samples: Vec<f64>| Measured { samples: samples.len() as u64, value: aggregate.of(samples, elapsed) };
        let windows = self.windows(&criterion.scope, started_at);
        let phase = self.phase(&criterion.scope);
        let is_of = |arrival: &Arrival| match (&phase, &windows) {
            (Some(phase), _) => arrival.phase == *phase,
            (None, Some(windows)) => contains(windows, started_at.plus(arrival.offset)),
            (None, None) => true,
        };
        let delays = |instants: Vec<(u32, Timestamp)>| {
            of(self.plan.delays_of(started_at, instants, is_of).iter().map(Duration::as_secs_f64).collect())
        };
        match criterion.metric() {
            Metric::RunLatency => {
                let ends = self.launches.succeeded().filter_map(|one| Some((one.index, one.ended_at?)));
                delays(ends.collect())
            }
            Metric::StartLatency => {
                let starts = self.launches.all.iter().filter_map(|one| Some((one.index, one.started_at?)));
                delays(starts.collect())
            }
            Metric::Lateness => {
                let sent = self.generation.submissions.iter().filter(|(_, submission)| submission.attempts > 0);
                delays(sent.map(|(index, submission)| (*index, submission.departure().at())).collect())
            }
            Metric::RecoveryTime => of(self.recoveries(&criterion.scope)),
            metric @ (Metric::QueueAge | Metric::QueueDepth | Metric::Workers) => {
                let samples = weigh(&held(self.generation, metric, self.until), windows.as_deref());
                Measured { samples: samples.len() as u64, value: aggregate.weighed(samples, elapsed) }
            }
            Metric::Failures => share(self.ended(is_of).map(|one| one.is_some_and(|one| one.failed)), aggregate),
            Metric::SuccessRate => {
                let succeeded = |one: Option<&Launched>| one.is_some_and(|one| one.status == RunStatus::Success);
                share(self.ended(is_of).map(succeeded), aggregate)
            }
            Metric::SubmissionErrors => self.submission_errors(aggregate, elapsed, is_of),
            Metric::Throughput => match windows {
                Some(windows) => self.throughput_within(&windows),
                None => self.throughput(started_at),
            },
        }
    }

    /// The launches that have ended, of some arrivals; `None`: it was acknowledged, and Dagster has no run of it.
    fn ended(&self, is_of: impl Fn(&Arrival) -> bool) -> impl Iterator<Item = Option<&Launched>> {
        let ended = self.launches.all.iter().filter(|one| one.ended_at.is_some() || one.status == RunStatus::Success);
        let gone = self.launches.gone.iter().map(|index| (*index, None));
        let mut all: Vec<(u32, Option<&Launched>)> = ended.map(|one| (one.index, Some(one))).chain(gone).collect();
        // In the plan's order: one walk through it is enough.
        all.sort_by_key(|(index, _)| *index);
        let mut arrivals = self.plan.arrivals.from(0);
        all.retain(|(index, _)| arrivals.at(*index).as_ref().is_some_and(&is_of));
        all.into_iter().map(|(_, one)| one)
    }

    fn recoveries(&self, scope: &Scope) -> Vec<f64> {
        let faults = match scope {
            Scope::Around { faults, margin: _ } => faults,
            Scope::Whole | Scope::During { .. } | Scope::Outside { .. } => &Faults::All,
        };
        let over = self.generation.faults.iter().filter(|(id, fault)| {
            // What was recovered is judged when it is proved.
            faults.has(&id.name) && matches!(fault.stage, FaultStage::Healed(_))
        });
        over.filter_map(|(_, fault)| Some((self.recovered)(fault)?.since(fault.intended_at).as_secs_f64())).collect()
    }

    /// One number for the whole, whichever aggregate is asked for; a rate is over the time.
    fn submission_errors(&self, aggregate: Aggregate, elapsed: f64, is_of: impl Fn(&Arrival) -> bool) -> Measured {
        let mut arrivals = self.plan.arrivals.from(0);
        let (mut errors, mut due) = (0_u64, 0_u64);
        for (index, submission) in &self.generation.submissions {
            if !arrivals.at(*index).as_ref().is_some_and(&is_of) {
                continue;
            }
            due += 1;
            errors += u64::from(match submission.stage {
                SubmissionStage::Rejected(_) | SubmissionStage::Absent(_) | SubmissionStage::Dropped { .. } => true,
                SubmissionStage::Intended
                | SubmissionStage::InDoubt(_)
                | SubmissionStage::Deferred { .. }
                | SubmissionStage::Acknowledged { .. } => false,
            });
        }
        let errors = errors as f64;
        let value = if aggregate == Aggregate::Rate { errors / elapsed.max(f64::MIN_POSITIVE) } else { errors };
        Measured { value: (due > 0).then_some(value), samples: due }
    }

    /// Completed runs over the time from the start to the last completion.
    fn throughput(&self, started_at: Timestamp) -> Measured {
        let ends = self.completions();
        let lasted = ends.iter().max().map(|last| last.since(started_at).as_secs_f64()).filter(|second| *second > 0.0);
        Measured { value: lasted.map(|seconds| ends.len() as f64 / seconds), samples: ends.len() as u64 }
    }

    /// Completions at these times over their length.
    fn throughput_within(&self, windows: &[(Timestamp, Timestamp)]) -> Measured {
        let within = self.completions().iter().filter(|end| contains(windows, **end)).count();
        let seconds: f64 = windows.iter().map(|(from, to)| to.since(*from).as_secs_f64()).sum();
        Measured { value: (seconds > 0.0).then(|| within as f64 / seconds), samples: within as u64 }
    }

    fn completions(&self) -> Vec<Timestamp> {
        self.launches.succeeded().filter_map(|one| one.ended_at).collect()
    }

    /// The number of the phase that is meant, if one is. One that does not exist has no arrival.
    fn phase(&self, scope: &Scope) -> Option<u32> {
        let Scope::During { phase } = scope else { return None };
        let number = self.generation.scenario.spec.load.iter().position(|one| one.name == *phase);
        Some(number.map_or(u32::MAX, |number| number as u32))
    }

    /// The times that are meant; `None`: all.
    fn windows(&self, scope: &Scope, started_at: Timestamp) -> Option<Windows> {
        match scope {
            Scope::Whole => None,
            Scope::During { phase } => {
                let phase = self.generation.scenario.spec.load.iter().find(|one| one.name == *phase);
                let window = phase.map(|phase| {
                    let ends = started_at.plus(phase.ends()).min(self.until);
                    (started_at.plus(phase.after.duration()), ends)
                });
                Some(window.into_iter().filter(|(from, to)| from < to).collect())
            }
            Scope::Around { faults, margin } => Some(self.around(faults, margin.duration())),
            Scope::Outside { faults, margin } => {
                let mut windows = vec![];
                let mut from = started_at;
                for (begins, ends) in self.around(faults, margin.duration()) {
                    windows.push((from, begins.max(from)));
                    from = ends.max(from);
                }
                windows.push((from, self.until.max(from)));
                windows.retain(|(from, to)| from < to);
                Some(windows)
            }
        }
    }

    /// From `margin` before each injection to `margin` after the proof that it is healed, or until now.
    fn around(&self, faults: &Faults, margin: Duration) -> Windows {
        let known = self.generation.faults.iter().filter(|(id, _)| faults.has(&id.name));
        let mut spans: Windows = known
            .filter_map(|(_, fault)| {
                let ends = match fault.stage {
                    FaultStage::Healed(at) => at.plus(margin).min(self.until),
                    FaultStage::Open | FaultStage::GivenUp(_) => self.until,
                    FaultStage::Skipped(_) => return None,
                };
                Some((fault.intended_at.minus(margin), ends))
            })
            .collect();
        spans.sort_unstable();
        let mut merged: Windows = vec![];
        for (from, to) in spans {
            match merged.last_mut() {
                Some((_, last)) if from <= *last => *last = to.max(*last),
                Some(_) | None => merged.push((from, to)),
            }
        }
        merged
    }
}

/// How many of these are so: as a share, or counted.
fn share(all: impl Iterator<Item = bool>, aggregate: Aggregate) -> Measured {
    let (mut hits, mut count) = (0_u64, 0_u64);
    for hit in all {
        hits += u64::from(hit);
        count += 1;
    }
    let value = if aggregate == Aggregate::Count { hits as f64 } else { hits as f64 / (count as f64).max(1.0) };
    Measured { value: (count > 0).then_some(value), samples: count }
}

fn contains(windows: &[(Timestamp, Timestamp)], at: Timestamp) -> bool {
    windows.iter().any(|(from, to)| *from <= at && at < *to)
}

/// A sample and how long it stands: until the next one, as long as it was looked at, and to the end of sampling.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    from: Timestamp,
    length: Duration,
    value: f64,
}

/// A gauge over the time: a value is written down when it has changed, so each counts for the time that it stood.
///
/// `until`: what came later was not sampled.
fn held(generation: &Generation, metric: Metric, until: Timestamp) -> Vec<Held> {
    let ends = [generation.ending().map(|end| end.at), generation.audit_began_at, Some(until)];
    let until = ends.into_iter().flatten().min().unwrap_or(until);
    let mut samples = generation.samples.iter().filter(|sample| sample.metric == metric).peekable();
    let mut found = vec![];
    while let Some(Sample { asked_at, value, .. }) = samples.next() {
        let next = samples.peek().map_or(until.max(*asked_at), |next| next.asked_at);
        let length = next.since(*asked_at).min(metric.stands());
        found.push(Held { from: *asked_at, length, value: *value });
    }
    found
}

/// What each sample weighs: the seconds that it stands, or those of them that lie in the windows.
fn weigh(held: &[Held], windows: Option<&[(Timestamp, Timestamp)]>) -> Vec<Weighed> {
    let weight = |one: &Held| {
        let Some(windows) = windows else { return Some(one.length) };
        let ends = one.from.plus(one.length);
        let shared: Duration = windows.iter().map(|(from, to)| ends.min(*to).since(one.from.max(*from))).sum();
        (shared > Duration::ZERO || contains(windows, one.from)).then_some(shared)
    };
    held.iter().filter_map(|one| Some(Weighed { value: one.value, weight: weight(one)?.as_secs_f64() })).collect()
}

#[cfg(test)]
mod tests;
