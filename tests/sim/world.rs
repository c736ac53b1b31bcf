//! The simulated world: calls that end well, or are lost, late, refused, throttled; looks that fail.

use std::time::Duration;

use dagstorm::{
    model::{
        Acted, AgeView, AlarmView, Census, CensusQuery, DagsterView, Datum, Effect, GenerationId, Key, LocationState,
        LocationView, Observation, Outcome, PartitionAsk, PartitionView, PartitionsView, Query, QueueView, Receipt,
        RunRecord, RunStatus, RunView, Runs, ScenarioName, Seen, ServiceView, StepEvent, StepEventKind, StepsView,
        Target, TaskView, Timed, Timestamp, Why, WhyKind, WriterId, tags,
    },
    world::{Clock, Leftovers, World},
};

use crate::{
    aws,
    clock::{Shared, SimClock, pause},
    core::{BEGAN, Core, DESIRED, brief},
    mutants::Mutant,
    objects::SERVICE,
    rivals::writer_of,
    runs::SimRun,
    scenarios::{REQUEST_TIMEOUT, SETTLE},
    store::Disk,
    storm::Mishap,
};

/// The longest that a launch can still have an effect.
const LAUNCH_WINDOW: Duration = Duration::from_millis(SETTLE.as_millis() as u64 - 100);
/// The longest that an AWS call can still have an effect: `AWS_SETTLE`, less what it may wait to be sent.
const AWS_WINDOW: Duration = Duration::from_millis(13_900);
/// How often a scenario may try in an outage, `WHILE_IT_OPENS` after its first launch that was refused in it: what its
/// breaker still lets through, and the probes.
const MOST_REFUSED: u64 = 20;
const WHILE_IT_OPENS: Duration = Duration::from_secs(1);
const AWS_TIMEOUT: Duration = Duration::from_secs(10);
/// What Dagster says while the code location is not loaded.
pub const RELOADING: &str = "the location reloads";

#[derive(Clone)]
pub struct SimWorld {
    pub core: Shared,
    pub clock: SimClock,
    pub disk: Disk,
    /// Of the operator that looks and acts.
    pub epoch: u64,
    pub mutant: Mutant,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Fate {
    Done,
    RequestLost,
    ReplyLost,
    Late(Duration),
    Refused,
    Rejected,
    /// The job is not there, because its location is not loaded.
    NotLoaded,
}

impl World for SimWorld {
    async fn look(&self, _: &Target, query: &Query) -> Observation {
        let asked_at = self.clock.now();
        let (first, second, fails) = {
            let mut core = self.core.lock().unwrap();
            self.check_silence(&mut core, "looks");
            let truly = core.now;
            let asked = core.asked.entry(asked_at).or_insert(truly);
            *asked = truly.min(*asked);
            let is_refused = core.is_outage() && matches!(query, Query::Dagster { .. });
            let fails = core.strikes(Mishap::LookFailed, 20).is_some() || is_refused;
            (core.millis(0, 200), core.millis(0, 800), fails)
        };
        // The answer is from some time between question and reply.
        pause(&self.core, first).await;
        let observation = self.answer(query, asked_at, fails);
        pause(&self.core, second).await;
        self.note_shown(&observation);
        if let (Query::Dagster { scenario, generation, .. }, Some(Timed { answer: Seen::Fresh(view), .. })) =
            (query, &observation.dagster)
        {
            self.core.lock().unwrap().note_runs_shown(&self.disk.writer(), scenario, generation, view);
        }
        observation
    }

    async fn act(&self, _: &Target, effect: &Effect) -> Acted {
        // A connection is at hand at once.
        let sent_at = matches!(effect, Effect::LaunchRun { .. }).then(|| self.clock.now());
        Acted { outcome: self.carry_out(effect).await, sent_at }
    }

    async fn census(&self, _: &Target, query: &CensusQuery) -> Seen<Census> {
        let (wait, fails) = {
            let mut core = self.core.lock().unwrap();
            self.check_silence(&mut core, "reads the records");
            let fails = core.strikes(Mishap::CensusFailed, 30).is_some() || core.is_outage();
            let slow = core.storm.strikes(Mishap::CensusSlow, 20).map(|mut dice| dice.millis(1, 30_000));
            (slow.unwrap_or_else(|| core.millis(1, 900)), fails)
        };
        pause(&self.core, wait).await;
        if fails {
            return Seen::Unavailable(why());
        }
        let taken_at = self.clock.now();
        let core = self.core.lock().unwrap();
        let mut runs: Vec<RunRecord> =
            of(&core, &query.scenario, &query.generation).map(|(id, run)| record(&core, id, run)).collect();
        if self.mutant == Mutant::BlindAuditor {
            for run in &mut runs {
                let mut seen = false;
                run.events
                    .retain(|event| event.kind != StepEventKind::Succeeded || !std::mem::replace(&mut seen, true));
            }
        }
        Seen::Fresh(Census { taken_at, dagster_version: "simulated".to_owned(), runs, completions: None })
    }

    async fn leftovers(&self, _: &Target) -> Leftovers {
        let (wait, fails) = {
            let mut core = self.core.lock().unwrap();
            self.check_silence(&mut core, "looks for leftovers");
            (core.millis(1, 900), core.strikes(Mishap::LookFailed, 20).is_some())
        };
        pause(&self.core, wait).await;
        if fails {
            Leftovers { found: vec![], unseen: vec![why()] }
        } else {
            aws::leftovers(&self.core.lock().unwrap())
        }
    }

    async fn emit(&self, _: &Target, _: &[Datum]) -> Outcome {
        Outcome::Done(Receipt::Published)
    }
}

impl SimWorld {
    /// An effect, with the fate that is drawn for it.
    async fn carry_out(&self, effect: &Effect) -> Outcome {
        if let Some(violation) = self.disk.check_intent(effect, self.epoch) {
            let mut core = self.core.lock().unwrap();
            if core.is_for_an_orphan(effect) {
                core.rescued += u64::from(matches!(effect, Effect::Unmark { .. }));
            } else {
                core.violates(violation);
            }
        }
        if !matches!(effect, Effect::LaunchRun { .. } | Effect::TerminateRun { .. } | Effect::StopTask { .. }) {
            return self.change(effect).await;
        }
        let is_launch = matches!(effect, Effect::LaunchRun { .. });
        let fate = {
            let mut core = self.core.lock().unwrap();
            core.note_sent(effect);
            if let Effect::LaunchRun { key, .. } = effect {
                core.note_rival(&self.disk.writer(), key);
            }
            self.check_silence(&mut core, "acts");
            let window = if is_launch { LAUNCH_WINDOW } else { AWS_WINDOW } - core.stepped;
            self.fate(&mut core, effect, window)
        };
        let timeout = if is_launch { REQUEST_TIMEOUT } else { AWS_TIMEOUT };
        let (travel, back) = {
            let mut core = self.core.lock().unwrap();
            (core.millis(1, 300), core.millis(1, 300))
        };
        match fate {
            Fate::Done => {
                self.core.lock().unwrap().send(travel, effect.clone());
                pause(&self.core, travel + back).await;
                match effect {
                    Effect::LaunchRun { key, .. } => match self.run_of(key) {
                        Some(run_id) => Outcome::Done(Receipt::Launched { run_id }),
                        None => self.unknown("the run is not there yet"),
                    },
                    Effect::TerminateRun { .. } => Outcome::Done(Receipt::Terminating),
                    Effect::StopTask { .. } => Outcome::Done(Receipt::Stopping),
                    other => panic!("a change of an object: {other:?}"),
                }
            }
            Fate::RequestLost => {
                pause(&self.core, timeout).await;
                self.unknown("timed out")
            }
            Fate::ReplyLost | Fate::Late(_) => {
                let delay = if let Fate::Late(late) = fate { late } else { travel };
                self.core.lock().unwrap().send(delay, effect.clone());
                pause(&self.core, timeout).await;
                self.unknown("timed out")
            }
            Fate::Refused => {
                pause(&self.core, back).await;
                Outcome::Refused { reason: "throttled".to_owned(), retry: true }
            }
            Fate::Rejected => {
                pause(&self.core, back).await;
                Outcome::Refused { reason: "the configuration is invalid".to_owned(), retry: false }
            }
            Fate::NotLoaded => {
                pause(&self.core, back).await;
                let retry = self.mutant != Mutant::BelievesNotFound;
                Outcome::Refused { reason: format!("PipelineNotFoundError: {RELOADING}"), retry }
            }
        }
    }

    /// Whoever was superseded while it stood still does nothing any more.
    pub fn check_silence(&self, core: &mut Core, what: &str) {
        if core.silent.contains(&self.epoch) {
            core.violates(format!("operator {} {what}, though another one took over while it stood still", self.epoch));
        }
    }

    /// Whoever looks at the group knows from now on what the look shows.
    fn note_shown(&self, observation: &Observation) {
        let mut core = self.core.lock().unwrap();
        let now = core.now;
        for view in observation.objects.values() {
            match &view.answer {
                Seen::Fresh(view) => core.shown.insert(self.epoch, (now, view.rules.clone())),
                Seen::Unavailable(_) => core.shown.remove(&self.epoch),
            };
        }
    }

    pub fn unknown(&self, reason: &str) -> Outcome {
        match self.mutant {
            Mutant::UnknownIsRefused => Outcome::Refused { reason: reason.to_owned(), retry: true },
            _ => Outcome::Unknown { reason: reason.to_owned() },
        }
    }

    /// What becomes of a call. The settle assumption: what is late comes about within the window, also as set clocks
    /// measure it.
    pub fn fate(&self, core: &mut Core, effect: &Effect, window: Duration) -> Fate {
        let is_of_dagster = matches!(effect, Effect::LaunchRun { .. } | Effect::TerminateRun { .. });
        let fate = if core.is_outage() && is_of_dagster {
            refuse(core, &self.disk.writer(), effect);
            Fate::Refused
        } else if core.is_reloading() && matches!(effect, Effect::LaunchRun { .. }) {
            core.not_loaded += 1;
            Fate::NotLoaded
        } else if self.is_lost(core, effect) {
            Fate::RequestLost
        } else if core.strikes(Mishap::ReplyLost, 9).is_some() {
            Fate::ReplyLost
        } else if let Some(mut dice) = core.strikes(Mishap::Late, 14) {
            let window = window.as_millis() as u64;
            let least = if dice.chance(40) { window.saturating_sub(500) } else { 0 };
            Fate::Late(dice.millis(least, window))
        } else if core.strikes(Mishap::Refused, 14).is_some() {
            Fate::Refused
        } else if core.strikes(Mishap::Rejected, 3).is_some() {
            Fate::Rejected
        } else {
            Fate::Done
        };
        core.tell(|| format!("operator {}: {}: {fate:?}", self.epoch, brief(effect)));
        fate
    }

    /// Whether a call is lost on its way. Beside another dagstorm, of two launches one gets through: else who is at work is
    /// taken for gone.
    fn is_lost(&self, core: &mut Core, effect: &Effect) -> bool {
        let is_launch = matches!(effect, Effect::LaunchRun { .. });
        let was_lost = is_launch && core.rivals.are_there && core.rivals.lost.contains(&self.disk.writer());
        let is_lost = core.strikes(Mishap::RequestLost, if was_lost { 0 } else { 8 }).is_some();
        if is_launch && is_lost {
            core.rivals.lost.insert(self.disk.writer());
        } else if is_launch {
            core.rivals.lost.remove(&self.disk.writer());
        }
        is_lost
    }

    fn run_of(&self, key: &Key) -> Option<String> {
        let core = self.core.lock().unwrap();
        let writer = Some(self.disk.writer());
        let is_own = |run: &SimRun| run.key == *key && run.origin.is_launch() && writer_of(run) == writer;
        core.runs.iter().find(|(_, run)| is_own(run)).map(|(id, _)| id.clone())
    }

    #[allow(clippy::too_many_lines, reason = "one arm a query")]
    fn answer(&self, query: &Query, asked_at: Timestamp, fails: bool) -> Observation {
        let mut core = self.core.lock().unwrap();
        let mut observation = Observation::default();
        match query {
            Query::Dagster { scenario, generation, jobs, since } => {
                let state = if core.is_reloading() {
                    LocationState::NotLoaded(RELOADING.to_owned())
                } else {
                    LocationState::Ready
                };
                let location = (!jobs.is_empty()).then_some(LocationView { state, forbidden: None });
                // As Dagster: later than, not at.
                let is_changed = |run: &SimRun| since.is_none_or(|since| run.updated_at > since);
                let changed = of(&core, scenario, generation).filter(|(_, run)| is_changed(run));
                let runs = changed.map(|(id, run)| view(id, run)).collect();
                let since = *since;
                let fresh = |runs| {
                    let location = location.clone();
                    Seen::Fresh(DagsterView { version: "simulated".to_owned(), runs, since, location })
                };
                let answer = match (fails, self.mutant) {
                    (false, _) => fresh(runs),
                    (true, Mutant::FailedLookIsEmpty) => fresh(Runs::default()),
                    (true, _) => Seen::Unavailable(why()),
                };
                observation.dagster = Some(Timed { asked_at, answer });
            }
            Query::Steps { run_ids, .. } => {
                let asked = core.runs.iter().filter(|(id, _)| run_ids.contains(id));
                let records = asked.map(|(id, run)| record(&core, id, run)).collect();
                let view = StepsView { runs: records, work: vec![] };
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(view) };
                observation.steps = Some(Timed { asked_at, answer });
            }
            Query::Service { service } if service == SERVICE => {
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(aws::support(&mut core)) };
                observation.services.insert(service.clone(), Timed { asked_at, answer });
            }
            Query::Service { service } => {
                let mut view = ServiceView {
                    desired: DESIRED,
                    running: core.tasks.len() as u32,
                    tasks: tasks(&core),
                    ..ServiceView::default()
                };
                if self.mutant == Mutant::HealedTooEarly {
                    view.desired = view.desired.min(view.running);
                }
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(view) };
                observation.services.insert(service.clone(), Timed { asked_at, answer });
            }
            Query::QueueAge => {
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(ages(asked_at)) };
                observation.queue_age = Some(Timed { asked_at, answer });
            }
            Query::Queue => {
                let count = |status: RunStatus| core.runs.values().filter(|run| run.status == status).count() as u64;
                let view = QueueView { visible: count(RunStatus::Queued), in_flight: count(RunStatus::Started) };
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(view) };
                observation.queue = Some(Timed { asked_at, answer });
            }
            Query::Network { peer, hard } => {
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(aws::network(&mut core)) };
                observation.networks.insert((peer.clone(), *hard), Timed { asked_at, answer });
            }
            Query::Objects { objects } => {
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(aws::named(&mut core)) };
                observation.objects.insert(objects.clone(), Timed { asked_at, answer });
            }
            Query::Policy { queue } => {
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(aws::policy(&mut core)) };
                observation.policies.insert(queue.clone(), Timed { asked_at, answer });
            }
            Query::Alarm { name } => {
                let is_ringing = core.runs.values().filter(|run| run.status == RunStatus::Queued).count() > 3;
                let view = AlarmView { is_ringing, reason: "the queue is deep".to_owned() };
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(view) };
                observation.alarms.insert(name.clone(), Timed { asked_at, answer });
            }
            Query::Partitions { asks } => {
                let answer = if fails { Seen::Unavailable(why()) } else { Seen::Fresh(partitions(&mut core, asks)) };
                observation.partitions = Some(Timed { asked_at, answer });
            }
            Query::Instances | Query::Tasks { .. } | Query::Account | Query::Completions => panic!("not simulated"),
        }
        observation
    }
}

/// Partitions come as time goes by, and each time they are asked for Dagster says something else of them.
fn partitions(core: &mut Core, asks: &[PartitionAsk]) -> Vec<PartitionsView> {
    let (now, dice) = (core.now, core.id());
    let count = 2 + now.since(BEGAN).as_secs() / 3;
    let keys: Vec<String> = (0..count).map(|number| format!("p{number}")).collect();
    let partition = |key: &String| PartitionView {
        key: key.clone(),
        config: format!("asked: {dice}"),
        tags: [("asked".to_owned(), dice.to_string())].into_iter().collect(),
    };
    let view = |ask: &PartitionAsk| PartitionsView {
        choice: ask.choice,
        there: None,
        keys: keys.clone(),
        partitions: keys.iter().map(partition).collect(),
    };
    asks.iter().map(view).collect()
}

/// Dagster takes nothing. Nobody hammers it then.
fn refuse(core: &mut Core, writer: &WriterId, effect: &Effect) {
    let Effect::LaunchRun { key, .. } = effect else { return };
    let now = core.now;
    let (first, later, all) = core.refused.entry((writer.clone(), key.scenario.clone())).or_insert((now, 0, 0));
    *all += 1;
    *later += u64::from(now >= first.plus(WHILE_IT_OPENS));
    if *later == MOST_REFUSED + 1 {
        core.violates(format!("{} hammers a Dagster that takes nothing", key.scenario));
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
    let tag = |name: &str| run.tags.get(name).map(String::as_str);
    RunView {
        started_at: run.started_at,
        ended_at: run.ended_at,
        generation_started: tag(tags::STARTED).and_then(|text| text.parse().ok()),
        writer: tag(tags::WRITER).and_then(|text| text.parse().ok()),
        created_at: Some(run.created_at),
        updated_at: Some(run.updated_at),
        origin: run.origin.clone(),
        will_retry: run.will_retry,
        ..RunView::new(id, Some(run.key.clone()), &run.job, run.status.clone())
    }
}

/// Of each whole minute one datum, and of some none.
fn ages(asked_at: Timestamp) -> AgeView {
    let newest = asked_at.as_micros() / 60_000_000 - 1;
    let there = (newest - 3..=newest).filter(|minute| minute * 7 % 10 < 7);
    let minutes = there.map(|minute| (Timestamp::from_micros(minute * 60_000_000), (minute % 90) as f64));
    AgeView { minutes: minutes.collect() }
}

fn tasks(core: &Core) -> Vec<TaskView> {
    core.tasks
        .keys()
        .map(|arn| TaskView {
            arn: arn.clone(),
            running: true,
            stopping: false,
            protected: false,
            own: false,
            created_at: None,
            tags: indexmap::IndexMap::new(),
        })
        .collect()
}

fn why() -> Why {
    Why { kind: WhyKind::Unreachable, message: "simulated".to_owned() }
}

fn record(core: &Core, id: &str, run: &SimRun) -> RunRecord {
    RunRecord { retry_refused: run.retry_refused.clone(), ..RunRecord::new(view(id, run), log(core, run)) }
}

/// What Dagster's log shows now.
fn log(core: &Core, run: &SimRun) -> Vec<StepEvent> {
    run.events.iter().filter(|(shows_at, _)| *shows_at <= core.now).map(|(_, event)| event.clone()).collect()
}
