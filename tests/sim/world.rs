//! The simulated world: calls that end well, or are lost, late, refused, throttled; looks that fail.

use std::time::Duration;

use dagstorm::{
    journal::Event,
    model::{
        Census, CensusQuery, DagsterView, Datum, Effect, GenerationId, Key, Observation, Outcome, Query, QueueView,
        Receipt, RunRecord, RunStatus, RunView, ScenarioName, Seen, ServiceView, StepEventKind, Target, TaskView,
        Timed, Why, WhyKind,
    },
    world::World,
};

use crate::{
    clock::{Shared, pause},
    core::{Core, DESIRED, SimRun},
    mutants::Mutant,
    scenarios::{REQUEST_TIMEOUT, SETTLE},
    store::Disk,
};

/// The longest that an AWS call can still have an effect.
const AWS_WINDOW_MS: u64 = 14_900;
const AWS_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct SimWorld {
    pub core: Shared,
    pub disk: Disk,
    pub mutant: Mutant,
}

enum Fate {
    Done,
    RequestLost,
    ReplyLost,
    Late,
    Refused,
    Rejected,
}

impl World for SimWorld {
    async fn look(&self, _: &Target, query: &Query) -> Observation {
        let (asked_at, first, second, fails) = {
            let mut core = self.core.lock().unwrap();
            let fails = core.is_storm() && core.chance(20);
            (core.now, core.millis(0, 200), core.millis(0, 800), fails)
        };
        // The answer is from some time between question and reply.
        pause(&self.core, first).await;
        let observation = self.answer(query, asked_at, fails);
        pause(&self.core, second).await;
        observation
    }

    async fn act(&self, _: &Target, effect: &Effect) -> Outcome {
        self.check_intent(effect);
        let (fate, is_launch) = (self.fate(), matches!(effect, Effect::LaunchRun { .. }));
        let timeout = if is_launch { REQUEST_TIMEOUT } else { AWS_TIMEOUT };
        let (travel, back, late) = {
            let mut core = self.core.lock().unwrap();
            let window = if is_launch { SETTLE.as_millis() as u64 - 100 } else { AWS_WINDOW_MS };
            (core.millis(1, 300), core.millis(1, 300), core.millis(0, window))
        };
        let unknown = |reason: &str| match self.mutant {
            Mutant::UnknownIsRefused => Outcome::Refused { reason: reason.to_owned(), retry: true },
            _ => Outcome::Unknown { reason: reason.to_owned() },
        };
        match fate {
            Fate::Done => {
                self.core.lock().unwrap().send(travel, effect.clone());
                pause(&self.core, travel + back).await;
                match effect {
                    Effect::LaunchRun { key, .. } => match self.run_of(key) {
                        Some(run_id) => Outcome::Done(Receipt::Launched { run_id }),
                        None => unknown("the run is not there yet"),
                    },
                    Effect::TerminateRun { .. } => Outcome::Done(Receipt::Terminating),
                    Effect::StopTask { .. } => Outcome::Done(Receipt::Stopping),
                }
            }
            Fate::RequestLost => {
                pause(&self.core, timeout).await;
                unknown("timed out")
            }
            Fate::ReplyLost | Fate::Late => {
                let delay = if matches!(fate, Fate::Late) { late } else { travel };
                self.core.lock().unwrap().send(delay, effect.clone());
                pause(&self.core, timeout).await;
                unknown("timed out")
            }
            Fate::Refused => {
                pause(&self.core, back).await;
                Outcome::Refused { reason: "throttled".to_owned(), retry: true }
            }
            Fate::Rejected => {
                pause(&self.core, back).await;
                Outcome::Refused { reason: "the configuration is invalid".to_owned(), retry: false }
            }
        }
    }

    async fn census(&self, _: &Target, query: &CensusQuery) -> Seen<Census> {
        let (wait, fails) = {
            let mut core = self.core.lock().unwrap();
            let fails = core.is_storm() && core.chance(20);
            let wait = if core.chance(20) { core.millis(1, 30_000) } else { core.millis(1, 900) };
            (wait, fails)
        };
        pause(&self.core, wait).await;
        if fails {
            return Seen::Unavailable(why());
        }
        let core = self.core.lock().unwrap();
        let mut runs: Vec<RunRecord> = of(&core, &query.scenario, &query.generation)
            .map(|(id, run)| RunRecord { run: view(id, run), events: run.events.clone() })
            .collect();
        if self.mutant == Mutant::BlindAuditor {
            for run in &mut runs {
                let mut seen = false;
                run.events
                    .retain(|event| event.kind != StepEventKind::Succeeded || !std::mem::replace(&mut seen, true));
            }
        }
        Seen::Fresh(Census { taken_at: core.now, dagster_version: "simulated".to_owned(), runs })
    }

    async fn emit(&self, _: &Target, _: &[Datum]) -> Outcome {
        Outcome::Done(Receipt::Published)
    }
}

impl SimWorld {
    fn fate(&self) -> Fate {
        let mut core = self.core.lock().unwrap();
        if !core.is_storm() {
            return Fate::Done;
        }
        let die = core.millis(0, 99).as_millis();
        match die {
            0..60 => Fate::Done,
            60..68 => Fate::RequestLost,
            68..76 => Fate::ReplyLost,
            76..88 => Fate::Late,
            88..98 => Fate::Refused,
            _ => Fate::Rejected,
        }
    }

    fn run_of(&self, key: &Key) -> Option<String> {
        let core = self.core.lock().unwrap();
        core.runs.iter().find(|(_, run)| run.key == *key).map(|(id, _)| id.clone())
    }

    fn answer(&self, query: &Query, asked_at: dagstorm::model::Timestamp, fails: bool) -> Observation {
        let core = self.core.lock().unwrap();
        let mut observation = Observation::default();
        match query {
            Query::Dagster { scenario, generation, .. } => {
                let runs = of(&core, scenario, generation).map(|(id, run)| view(id, run)).collect();
                let fresh =
                    |runs| Seen::Fresh(DagsterView { version: "simulated".to_owned(), runs, missing_jobs: vec![] });
                let answer = match (fails, self.mutant) {
                    (false, _) => fresh(runs),
                    (true, Mutant::FailedLookIsEmpty) => fresh(vec![]),
                    (true, _) => Seen::Unavailable(why()),
                };
                observation.dagster = Some(Timed { asked_at, answer });
            }
            Query::Service { service } => {
                let mut view = ServiceView { desired: DESIRED, running: core.tasks.len() as u32, tasks: tasks(&core) };
                if self.mutant == Mutant::HealedTooEarly {
                    view.desired = view.desired.min(view.running);
                }
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(view) };
                observation.services.insert(service.clone(), Timed { asked_at, answer });
            }
            Query::Queue => {
                let count = |status: RunStatus| core.runs.values().filter(|run| run.status == status).count() as u64;
                let view = QueueView { visible: count(RunStatus::Queued), in_flight: count(RunStatus::Started) };
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(view) };
                observation.queue = Some(Timed { asked_at, answer });
            }
        }
        observation
    }

    /// No effect before its durable intent.
    fn check_intent(&self, effect: &Effect) {
        let violation = match effect {
            Effect::LaunchRun { key, .. } => {
                let records = self.disk.durable(&key.scenario);
                let intended = records
                    .iter()
                    .any(|record| matches!(&record.event, Event::SubmitIntended { index, .. } if *index == key.index));
                (!intended).then(|| format!("{key} is launched without a durable intent"))
            }
            Effect::TerminateRun { run_id } => {
                let intended = self.disk.names().iter().flat_map(|name| self.disk.durable(name)).any(
                    |record| matches!(&record.event, Event::TerminateIntended { run_id: intended } if intended == run_id),
                );
                (!intended).then(|| format!("{run_id} is terminated without a durable intent"))
            }
            Effect::StopTask { task, .. } => {
                let names = self.disk.names();
                let intended = names.iter().flat_map(|name| self.disk.durable(name)).any(
                    |record| matches!(&record.event, Event::FaultIntended { inject, .. } if inject.contains(effect)),
                );
                (!intended).then(|| format!("{task} is stopped without a durable intent"))
            }
        };
        self.core.lock().unwrap().violations.extend(violation);
    }
}

fn of<'a>(
    core: &'a Core,
    scenario: &'a ScenarioName,
    generation: &'a GenerationId,
) -> impl Iterator<Item = (&'a String, &'a SimRun)> {
    core.runs.iter().filter(|(_, run)| {
        let tag = |name: &str| run.tags.get(name).map(String::as_str);
        tag("dagstorm/scenario") == Some(scenario.as_str())
            && tag("dagstorm/generation") == Some(generation.to_string().as_str())
    })
}

fn view(id: &str, run: &SimRun) -> RunView {
    RunView {
        run_id: id.to_owned(),
        key: Some(run.key.clone()),
        job: run.job.clone(),
        status: run.status.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
        generation_started: run.tags.get("dagstorm/started").and_then(|text| text.parse().ok()),
    }
}

fn tasks(core: &Core) -> Vec<TaskView> {
    core.tasks
        .keys()
        .map(|arn| TaskView { arn: arn.clone(), running: true, stopping: false, tags: indexmap::IndexMap::new() })
        .collect()
}

fn why() -> Why {
    Why { kind: WhyKind::Unreachable, message: "simulated".to_owned() }
}
