//! One scenario's reconciler: steer, decide, append, act, publish, wait. The same code runs live and in the simulation.

use std::{collections::BTreeSet, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{Desired, Handle, say::say};
use crate::{
    audit,
    decide::{self, Decision, Purpose},
    journal::{Conclusion, Event, Record, State, Store, SubmissionStage},
    model::{Census, CensusQuery, GenerationId, Observation, Outcome, Query, ScenarioName, Seen, Timestamp, Verdict},
    plan::{self, Plan},
    publish::{self, Beside, Rejection},
    world::{Clock, World},
};

/// A status is written at most this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// After a failed census the next one waits this long.
const CENSUS_AGAIN: Duration = Duration::from_secs(5);
/// A call that is sent later than this after its intent is not sent: the settle window counts from the intent.
const SEND_SLACK: Duration = Duration::from_secs(1);
/// How many sentences of each kind a conclusion keeps; the report has all.
const SENTENCES: usize = 10;

/// Drives one scenario from its manifest to its verdict, and again for every new version.
pub struct Reconciler<W, S, C> {
    shared: Handle<W, S, C>,
    name: ScenarioName,
    desired: watch::Receiver<Desired>,
    shutdown: watch::Receiver<bool>,
    state: State,
    records: Vec<Record>,
    plan: Option<Plan>,
    observation: Observation,
    calls: FuturesUnordered<Call>,
    tenure: Tenure,
    looking: BTreeSet<Query>,
    counting: bool,
    census_after: Timestamp,
    /// Runs whose latency was published.
    measured: BTreeSet<String>,
    rejection: Option<Rejection>,
    stalled: Option<Rejection>,
    dirty: bool,
    publish_after: Timestamp,
    wake_at: Option<Timestamp>,
}

/// Counts the generations and targets of this process. An answer to a call of an earlier one is dropped: it speaks of
/// other runs, and what it would have told is found by a look.
type Tenure = u64;

/// A call in flight: it outlives the pass that made it.
type Call = Pin<Box<dyn Future<Output = (Tenure, Answer)> + Send>>;

enum Answer {
    Acted(Purpose, Outcome),
    Looked(Query, Observation),
    Counted(Seen<Census>),
    Emitted(Outcome),
}

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    pub fn new(
        shared: Handle<W, S, C>,
        name: ScenarioName,
        desired: watch::Receiver<Desired>,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let now = shared.clock.now();
        Self {
            shared,
            name,
            desired,
            shutdown,
            state: State::default(),
            records: vec![],
            plan: None,
            observation: Observation::default(),
            calls: FuturesUnordered::new(),
            tenure: 0,
            looking: BTreeSet::new(),
            counting: false,
            census_after: now,
            measured: BTreeSet::new(),
            rejection: None,
            stalled: None,
            dirty: true,
            publish_after: now,
            wake_at: None,
        }
    }

    /// Runs until the shutdown. A journal that cannot be read or written stops this scenario alone, visibly.
    pub async fn run(mut self) -> ScenarioName {
        if let Err(error) = self.drive().await {
            tracing::error!(scenario = %self.name, %error, "the scenario is stalled: its journal cannot be used");
            let reason = if error.kind() == io::ErrorKind::InvalidData { "JournalDamaged" } else { "JournalUnusable" };
            self.stalled = Some(Rejection { at: self.shared.clock.now(), reason, message: error.to_string() });
            self.publish_now();
        }
        self.name
    }

    async fn drive(&mut self) -> io::Result<()> {
        self.replay().await?;
        while !*self.shutdown.borrow() {
            self.wake_at = None;
            let lived = self.state.living().is_some();
            self.steer().await?;
            self.pass().await?;
            self.publish();
            // An end makes room for what is wanted next: steer again before waiting.
            if !lived || self.state.living().is_some() {
                self.wait().await?;
            }
        }
        self.drain().await
    }

    async fn replay(&mut self) -> io::Result<()> {
        self.records = self.shared.store.read(&self.name).await?;
        for record in &self.records {
            self.state.apply(record).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        self.compile();
        Ok(())
    }

    /// Compares the generation that lives with the one that is wanted.
    async fn steer(&mut self) -> io::Result<()> {
        let desired = self.desired.borrow_and_update().clone();
        let rejection = desired.rejection();
        if self.rejection.as_ref() != rejection {
            self.rejection = rejection.cloned();
            self.dirty = true;
        }
        let wanted = match &desired {
            Desired::Unread => return Ok(()),
            Desired::Deleted => None,
            Desired::Present { wanted, .. } => wanted.clone(),
        };
        let Some(living) = self.state.living() else {
            let Some(wanted) = wanted else { return Ok(()) };
            let digest = wanted.scenario.digest();
            let repeats = self.state.repeats_of(&digest);
            if repeats > 0 && !self.may_repeat(&digest, wanted.again) {
                return Ok(());
            }
            let generation = GenerationId { digest, repeat: repeats + 1 };
            let (scenario, target) = (Box::new(wanted.scenario.clone()), Box::new(wanted.target.clone()));
            self.append(vec![Event::Accepted { generation, scenario, target }]).await?;
            self.begin_tenure();
            self.compile();
            return Ok(());
        };
        let event = match &wanted {
            None if matches!(desired, Desired::Deleted) => Some("the manifest was deleted"),
            None => None,
            Some(wanted) if wanted.scenario.digest() != living.id.digest => Some("the manifest was edited"),
            Some(wanted) if wanted.target != living.target && living.is_untouched() => {
                let target = Box::new(wanted.target.clone());
                self.append(vec![Event::Retargeted { target }]).await?;
                self.begin_tenure();
                return Ok(());
            }
            Some(_) => None,
        };
        match event {
            Some(reason) if living.stop.is_none() => {
                self.append(vec![Event::StopRequested { reason: reason.to_owned() }]).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Forgets what was seen and asked of another generation or target.
    fn begin_tenure(&mut self) {
        self.tenure += 1;
        self.observation = Observation::default();
        self.looking.clear();
        self.counting = false;
    }

    fn call(&self, answer: impl Future<Output = Answer> + Send + 'static) {
        let tenure = self.tenure;
        self.calls.push(async move { (tenure, answer.await) }.boxed());
    }

    /// Whether a spec that has had its end runs again: it was stopped before its verdict, or `run` asks for it, once.
    fn may_repeat(&self, digest: &str, again: bool) -> bool {
        let past = self.state.past.iter().rev().find(|past| past.generation.digest == digest);
        past.is_none_or(|past| past.conclusion.verdict == Verdict::Stopped || (again && past.epoch < self.shared.epoch))
    }

    fn compile(&mut self) {
        self.plan = self.state.current.as_ref().map(|current| plan::compile(&current.scenario, &current.id));
        self.measured.clear();
        self.dirty = true;
    }

    /// Decides until nothing more is to be noted, making every event durable before its act is sent.
    async fn pass(&mut self) -> io::Result<()> {
        loop {
            let (Some(plan), Some(current)) = (&self.plan, &self.state.current) else { return Ok(()) };
            let decision = decide::decide(plan, current, &self.observation, self.shared.clock.now());
            let Decision { notes, intents, acts, looks, audit, wake_at, .. } = decision;
            let again = !notes.is_empty();
            let intended_at = self.shared.clock.now();
            let events: Vec<Event> = notes.into_iter().chain(intents).collect();
            if !events.is_empty() {
                self.append(events).await?;
            }
            for act in acts {
                let (shared, target) = (Arc::clone(&self.shared), self.target());
                self.call(async move {
                    let outcome = if shared.clock.now() > intended_at.plus(SEND_SLACK) {
                        // Whatever is judged by the instant of the intent must hold for the call itself.
                        Outcome::Refused { reason: "it could not be sent in time".to_owned(), retry: true }
                    } else {
                        shared.world.act(&target, &act.effect).await
                    };
                    Answer::Acted(act.purpose, outcome)
                });
            }
            for query in looks {
                self.look(query);
            }
            if audit {
                self.count();
            }
            if !again {
                self.wake_at = wake_at;
                return Ok(());
            }
        }
    }

    fn target(&self) -> crate::model::Target {
        self.state.current.as_ref().expect("acts and looks are of a generation").target.clone()
    }

    /// Looks, unless the same look is under way.
    fn look(&mut self, query: Query) {
        if !self.looking.insert(query.clone()) {
            return;
        }
        let (shared, target) = (Arc::clone(&self.shared), self.target());
        self.call(async move {
            let observation = shared.world.look(&target, &query).await;
            Answer::Looked(query, observation)
        });
    }

    fn count(&mut self) {
        if self.counting || self.shared.clock.now() < self.census_after {
            return;
        }
        let Some(plan) = &self.plan else { return };
        self.counting = true;
        let query = CensusQuery { scenario: plan.scenario.clone(), generation: plan.generation.clone() };
        let (shared, target) = (Arc::clone(&self.shared), self.target());
        self.call(async move { Answer::Counted(shared.world.census(&target, &query).await) });
    }

    /// Waits until there is something to do, then takes in every answer that is there.
    async fn wait(&mut self) -> io::Result<()> {
        let mut wake_at = self.wake_at;
        if self.dirty {
            wake_at = Some(wake_at.map_or(self.publish_after, |at| at.min(self.publish_after)));
        }
        let clock = Arc::clone(&self.shared);
        let sleep = async {
            match wake_at {
                Some(at) => clock.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let first = tokio::select! {
            biased;
            changed = self.shutdown.changed() => { closed(changed).await; None }
            Some(answer) = self.calls.next() => Some(answer),
            changed = self.desired.changed() => { closed(changed).await; None }
            () = sleep => None,
        };
        self.take(first).await
    }

    async fn take(&mut self, first: Option<(Tenure, Answer)>) -> io::Result<()> {
        let mut events = vec![];
        let mut next = first;
        while let Some((tenure, answer)) = next {
            match answer {
                _ if tenure != self.tenure => {}
                Answer::Acted(purpose, outcome) => {
                    let current = self.state.current.as_ref().expect("an act is of a generation");
                    events.extend(decide::outcome(current, &purpose, outcome));
                }
                Answer::Looked(query, observation) => {
                    self.looking.remove(&query);
                    self.observation.merge(observation);
                    self.measure();
                }
                Answer::Counted(Seen::Fresh(census)) => {
                    self.counting = false;
                    if !self.is_too_early(&census) {
                        events.extend(self.conclude(&census)?);
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
        if events.is_empty() { Ok(()) } else { self.append(events).await }
    }

    /// Whether an attempt may still complete, and there is patience left to wait for it.
    fn is_too_early(&mut self, census: &Census) -> bool {
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

    /// Judges the records; the report is complete before the conclusion is written.
    fn conclude(&mut self, census: &Census) -> io::Result<Option<Event>> {
        let (Some(plan), Some(current)) = (&self.plan, self.state.living()) else { return Ok(None) };
        let audit = audit::audit(plan, &self.records, census)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let report = publish::report(plan, &self.state, current, census, &audit);
        if let Err(error) = self.shared.folder.write_report(&report) {
            tracing::error!(scenario = %self.name, %error, "the report cannot be written; trying again");
            self.census_after = self.shared.clock.now().plus(CENSUS_AGAIN);
            return Ok(None);
        }
        let first = |messages: Vec<String>| messages.into_iter().take(SENTENCES).collect::<Vec<_>>();
        let conclusion = Conclusion {
            verdict: audit.verdict,
            message: audit.summary(),
            counts: Some(audit.counts.clone()),
            findings: first(audit.findings.iter().map(|finding| finding.message.clone()).collect()),
            gaps: first(audit.gaps.iter().map(|gap| gap.message.clone()).collect()),
            recoveries: first(audit.recoveries.iter().map(|finding| finding.message.clone()).collect()),
            assumptions: audit.assumptions,
        };
        Ok(Some(Event::Concluded { conclusion }))
    }

    /// Publishes the latencies of runs that ended since the last look.
    fn measure(&mut self) {
        let (Some(plan), Some(current)) = (&self.plan, &self.state.current) else { return };
        let Some(view) = self.observation.dagster.as_ref().and_then(|seen| seen.answer.fresh()) else { return };
        let Some(started_at) = current.started_at.filter(|_| current.target.metrics.is_some()) else { return };
        let ended: Vec<_> =
            view.runs.iter().filter(|run| run.status.is_terminal() && !self.measured.contains(&run.run_id)).collect();
        if ended.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        let datum = publish::latencies(&self.name, plan, started_at, ended.iter().copied(), now);
        self.measured.extend(ended.iter().map(|run| run.run_id.clone()));
        if let Some(datum) = datum {
            let (shared, target) = (Arc::clone(&self.shared), self.target());
            self.call(async move { Answer::Emitted(shared.world.emit(&target, &[datum]).await) });
        }
    }

    /// Makes events durable, then true.
    async fn append(&mut self, events: Vec<Event>) -> io::Result<()> {
        let (at, epoch, first) = (self.shared.clock.now(), self.shared.epoch, self.state.next_seq);
        let records: Vec<Record> =
            events.into_iter().zip(first..).map(|(event, seq)| Record { seq, at, epoch, event }).collect();
        // An illegal record must not reach the disk. Nothing is done on the strength of it before it is there.
        for record in &records {
            self.state.apply(record).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        self.shared.store.append(&self.name, &records).await?;
        for record in &records {
            say(self.plan.as_ref(), &self.name, record);
        }
        let events = publish::for_people(&self.name, &records);
        if let Err(error) = self.shared.folder.append_events(&events) {
            tracing::warn!(scenario = %self.name, %error, "events.jsonl cannot be written");
        }
        self.records.extend(records);
        self.dirty = true;
        Ok(())
    }

    fn publish(&mut self) {
        let now = self.shared.clock.now();
        let ended = self.state.current.as_ref().is_some_and(|current| current.concluded.is_some());
        if self.dirty && (ended || now >= self.publish_after) {
            self.publish_now();
            self.publish_after = now.plus(PUBLISH_EVERY);
        }
    }

    /// A status that cannot be written is said and tried again with the next change; the journal has it all.
    fn publish_now(&mut self) {
        self.dirty = false;
        let beside = Beside { rejection: self.rejection.as_ref(), stalled: self.stalled.as_ref() };
        if self.state.current.is_none() && *self.desired.borrow() == Desired::Deleted && self.stalled.is_none() {
            if let Err(error) = self.shared.folder.remove_status(&self.name) {
                tracing::error!(scenario = %self.name, %error, "the status cannot be removed");
            }
            return;
        }
        let status = match (&self.plan, &self.state.current) {
            (Some(plan), Some(current)) => publish::status(plan, &self.state, current, beside),
            _ => publish::not_accepted(&self.name, &self.state, beside),
        };
        if let Err(error) = self.shared.folder.write_status(&status) {
            tracing::error!(scenario = %self.name, %error, "the status cannot be written");
        }
    }

    /// After a shutdown: what was sent is waited for and recorded. What is left, the next start finds by its intent.
    async fn drain(&mut self) -> io::Result<()> {
        let deadline = self.shared.clock.now().plus(decide::AWS_SETTLE);
        let shared = Arc::clone(&self.shared);
        let sleep = shared.clock.sleep_until(deadline);
        tokio::pin!(sleep);
        let is_waiting = |state: &State| {
            state.current.as_ref().is_some_and(|current| {
                current.open.iter().any(|index| current.submissions[index].stage == SubmissionStage::Intended)
                    || current.faults.values().any(|fault| fault.outcomes.contains(&None))
            })
        };
        while is_waiting(&self.state) && !self.calls.is_empty() {
            let answer = tokio::select! {
                biased;
                answer = self.calls.next() => answer,
                () = &mut sleep => break,
            };
            self.take(answer).await?;
        }
        self.publish_now();
        Ok(())
    }
}

/// A closed channel says nothing more: never wait for it in a busy loop.
async fn closed<T>(changed: Result<(), T>) {
    if changed.is_err() {
        std::future::pending::<()>().await;
    }
}
