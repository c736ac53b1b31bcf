//! One scenario's reconciler: steer, decide, append, act, publish, wait. The same code runs live and in the simulation.

mod answers;
mod census;
mod drain;
mod forget;
mod steer;
mod trouble;

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use forget::may_be_forgotten;
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use indexmap::IndexMap;
use tokio::sync::watch;

use super::{Control, Desired, Ears, Handle, LastVerdicts, claims, say::say};
use crate::{
    decide::{self, Act, Decision, Purpose, Turn},
    journal::{Event, Fenced, Record, State, Store},
    model::{Acted, Census, Observation, Outcome, Query, Request, ScenarioName, Seen, Timestamp, Verdict, lane},
    plan::{self, Plan},
    publish::{self, Beside, Rejection},
    spec::Deletion,
    world::{Clock, World},
};

/// A status is written at most this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// After a failed census the next one waits this long.
const CENSUS_AGAIN: Duration = Duration::from_secs(5);
/// A fault whose objects another one has is tried again after this.
const OBJECTS_AGAIN: Duration = Duration::from_secs(1);
/// An append that takes longer is a standstill. Looks from before it do not count any more.
const STOOD_STILL: Duration = Duration::from_secs(5);
/// How many sentences of each kind a conclusion keeps; the report has all.
const SENTENCES: usize = 10;

/// Drives one scenario from its manifest to its verdict, and again for every new version.
pub struct Reconciler<W, S, C> {
    shared: Handle<W, S, C>,
    name: ScenarioName,
    desired: watch::Receiver<Desired>,
    shutdown: watch::Receiver<bool>,
    state: State,
    plan: Option<Plan>,
    observation: Observation,
    calls: FuturesUnordered<Call>,
    tenure: Tenure,
    /// Whether launches of this tenure that wait for their instant are still to be sent.
    sending: Arc<AtomicBool>,
    looking: BTreeSet<Query>,
    counting: bool,
    census_after: Timestamp,
    /// Arrivals whose latency was published.
    measured: BTreeSet<u32>,
    rejection: Option<Rejection>,
    stalled: Option<Rejection>,
    verdicts: watch::Receiver<LastVerdicts>,
    control: watch::Receiver<Control>,
    /// What people ask of it now.
    asked: Asked,
    /// Since when no manifest names it, as far as this process knows.
    deleted_at: Option<Timestamp>,
    /// What the manifest last said of its own deletion.
    deletion: Option<Deletion>,
    /// The version that is wanted, by its digest, and since when this process knows of it.
    known_since: Option<(String, Timestamp)>,
    /// What the next generation waits for; `None` while one lives.
    turn: Option<Turn>,
    dirty: bool,
    /// How many arrivals were due when the status was last rendered.
    due: u32,
    publish_after: Timestamp,
    wake_at: Option<Timestamp>,
}

/// Counts the generations and targets of this process. An answer to a call of an earlier one is dropped: it speaks of
/// other runs, and what it would have told is found by a look.
type Tenure = u64;

/// A call in flight: it outlives the pass that made it.
type Call = Pin<Box<dyn Future<Output = (Tenure, Answer)> + Send>>;

/// What people ask of a scenario beside the manifests.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    halted: Option<Request>,
    suspended: Option<Request>,
}

enum Answer {
    Acted(Purpose, Acted),
    Looked(Query, Box<Observation>),
    Counted(Seen<Census>),
    Emitted(Outcome),
}

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    pub fn new(shared: Handle<W, S, C>, name: ScenarioName, ears: Ears) -> Self {
        let now = shared.clock.now();
        let Ears { desired, control, verdicts, shutdown } = ears;
        Self {
            shared,
            name,
            desired,
            shutdown,
            state: State::default(),
            plan: None,
            observation: Observation::default(),
            calls: FuturesUnordered::new(),
            tenure: 0,
            sending: Arc::new(AtomicBool::new(true)),
            looking: BTreeSet::new(),
            counting: false,
            census_after: now,
            measured: BTreeSet::new(),
            rejection: None,
            stalled: None,
            verdicts,
            control,
            asked: Asked::default(),
            deleted_at: None,
            deletion: None,
            known_since: None,
            turn: None,
            dirty: true,
            due: 0,
            publish_after: now,
            wake_at: None,
        }
    }

    /// Runs until the shutdown. A journal that cannot be read or written stops this scenario alone, visibly.
    ///
    /// # Errors
    /// When another process took the data folder over: drop everything, send nothing more.
    pub async fn run(mut self) -> Result<ScenarioName, Fenced> {
        while let Err(error) = self.drive().await {
            if !self.survive(error).await? {
                break;
            }
        }
        self.shared.turns.post(&self.name, None);
        self.shared.turns.post_free(&self.name, false);
        Ok(self.name)
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
        self.sending.store(false, Ordering::Relaxed);
        self.drain().await
    }

    async fn replay(&mut self) -> io::Result<()> {
        self.state = self.shared.store.replay(&self.name).await?;
        let is_resumed = self.state.current.as_ref().is_some_and(|current| current.started_at.is_some());
        self.observation.awoke_at = is_resumed.then(|| self.shared.clock.now());
        self.compile();
        self.post_verdict();
        self.post_turn();
        self.claim_objects();
        Ok(())
    }

    /// Tells the other lanes when this one last took a turn. One that cannot be read tells nothing, and is not waited for.
    fn post_turn(&self) {
        let past = self.state.past.iter().map(|past| past.accepted_at);
        let last = past.chain(self.state.current.iter().map(|current| current.accepted_at)).max();
        self.shared.turns.post(&self.name, last);
    }

    /// Tells the scenarios that wait for this one of its last verdict.
    fn post_verdict(&self) {
        let verdicts = self.state.past.iter().filter(|past| past.conclusion.verdict != Verdict::Stopped);
        let Some(at) = verdicts.map(|past| past.concluded_at).max() else { return };
        // A verdict of a lane is one of its scenario.
        let name = lane::scenario(&self.name);
        self.shared.verdicts.send_if_modified(|known| {
            let is_newer = known.get(&name).is_none_or(|last| *last < at);
            if is_newer {
                Arc::make_mut(known).insert(name, at);
            }
            is_newer
        });
    }

    fn call(&self, answer: impl Future<Output = Answer> + Send + 'static) {
        let tenure = self.tenure;
        self.calls.push(async move { (tenure, answer.await) }.boxed());
    }

    fn labels(&self) -> IndexMap<String, String> {
        match &*self.desired.borrow() {
            Desired::Present { wanted: Some(wanted), .. } => wanted.scenario.labels.clone(),
            Desired::Present { wanted: None, .. } | Desired::Unread | Desired::Deleted => IndexMap::new(),
        }
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
            let Decision { notes, intents, acts, looks, audit, wake_at, .. } = self.yield_objects(decision);
            let again = !notes.is_empty();
            let intended_at = self.shared.clock.now();
            let events: Vec<Event> = notes.into_iter().chain(intents).collect();
            if !events.is_empty() {
                self.append(events).await?;
            }
            for act in acts {
                self.send(act, intended_at);
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

    /// Withdraws a fault whose objects another scenario's fault has: it is tried again a little later.
    fn yield_objects(&self, mut decision: Decision) -> Decision {
        let now = self.shared.clock.now();
        let taken = decision.intents.iter().find_map(|event| {
            let Event::FaultIntended { fault, objects, .. } = event else { return None };
            (!self.shared.claims.claim(&self.name, objects, now)).then(|| fault.clone())
        });
        if let Some(taken) = taken {
            decision.withdraw(&taken, now.plus(OBJECTS_AGAIN));
        }
        decision
    }

    /// Says which objects are changed by faults of this scenario, and which rest from them.
    fn claim_objects(&self) {
        let now = self.shared.clock.now();
        let faults = self.state.current.iter().flat_map(|current| current.faults.values());
        self.shared.claims.hold(&self.name, claims::held(faults, now), now);
    }

    /// Sends an effect at its instant, whatever becomes of this pass. What was stopped meanwhile is not launched.
    fn send(&mut self, act: Act, intended_at: Timestamp) {
        let (shared, target, sending) = (Arc::clone(&self.shared), self.target(), Arc::clone(&self.sending));
        let due = act.due.unwrap_or(intended_at);
        let refused = |reason: &str| Outcome::Refused { reason: reason.to_owned(), retry: true };
        let is_launch = matches!(act.purpose, Purpose::Submit { .. });
        self.observation.launching += u32::from(is_launch);
        self.call(async move {
            if due > shared.clock.now() {
                shared.clock.sleep_until(due).await;
            }
            let acted = if is_launch && !sending.load(Ordering::Relaxed) {
                refused("stopped before it was sent").into()
            } else if shared.clock.now() > due.plus(decide::SEND_SLACK) {
                // Whatever is judged by the instant of the intent must hold for the call itself.
                refused("it could not be sent in time").into()
            } else {
                shared.world.act(&target, &act.effect).await
            };
            Answer::Acted(act.purpose, acted)
        });
    }

    fn target(&self) -> crate::model::Target {
        self.state.current.as_ref().expect("acts and looks are of a generation").target.clone()
    }

    /// Looks, unless the same look is under way, or one at steps: which runs it asks for changes all the time.
    fn look(&mut self, query: Query) {
        let is_of_steps = |one: &Query| matches!(one, Query::Steps { .. });
        if is_of_steps(&query) && self.looking.iter().any(is_of_steps) {
            return;
        }
        if !self.looking.insert(query.clone()) {
            return;
        }
        let (shared, target) = (Arc::clone(&self.shared), self.target());
        self.call(async move {
            let observation = shared.world.look(&target, &query).await;
            Answer::Looked(query, Box::new(observation))
        });
    }

    /// Waits until there is something to do, then takes in every answer that is there.
    async fn wait(&mut self) -> io::Result<()> {
        let mut wake_at = self.wake_at;
        if self.dirty {
            wake_at = Some(wake_at.map_or(self.publish_after, |at| at.min(self.publish_after)));
        }
        if let Some(Turn::At(at)) = self.turn {
            wake_at = Some(wake_at.map_or(at, |earlier| earlier.min(at)));
        }
        let waits_for_others = matches!(self.turn, Some(Turn::After(_)));
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
            changed = self.control.changed() => { closed(changed).await; None }
            changed = self.verdicts.changed(), if waits_for_others => { closed(changed).await; None }
            () = sleep => None,
        };
        self.take(first).await
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
        let now = self.shared.clock.now();
        if now.since(at) > STOOD_STILL {
            self.observation.awoke_at = Some(now);
        }
        for record in &records {
            say(self.plan.as_ref(), &self.name, record);
        }
        let events = publish::for_people(&self.name, &records);
        if let Err(error) = self.shared.folder.append_events(&events) {
            tracing::warn!(scenario = %self.name, %error, "events.jsonl cannot be written");
        }
        if records.iter().any(|record| matches!(record.event, Event::StopRequested { .. })) {
            self.sending.store(false, Ordering::Relaxed);
        }
        if records.iter().any(|record| matches!(record.event, Event::Concluded { .. })) {
            self.post_verdict();
        }
        self.claim_objects();
        self.dirty = true;
        Ok(())
    }

    fn due(&self, now: Timestamp) -> u32 {
        match (&self.plan, &self.state.current) {
            (Some(plan), Some(current)) => publish::due(plan, current, Some(now)),
            (_, _) => 0,
        }
    }

    fn publish(&mut self) {
        let now = self.shared.clock.now();
        // What is due and held back changes nothing else.
        self.dirty |= self.due(now) != self.due;
        let ended = self.state.current.as_ref().is_some_and(|current| current.concluded.is_some());
        if self.dirty && (ended || now >= self.publish_after) {
            self.publish_now();
            self.publish_after = now.plus(PUBLISH_EVERY);
        }
    }

    fn publish_now(&mut self) {
        self.dirty = false;
        let now = self.shared.clock.now();
        self.due = self.due(now);
        let turn = self.turn.as_ref().zip(self.known_since.as_ref().map(|(_, since)| *since));
        let beside = Beside {
            rejection: self.rejection.as_ref(),
            stalled: self.stalled.as_ref(),
            turn,
            is_unconfirmed: self.stalled_faults().is_empty(),
            halted: self.asked.halted.as_ref(),
            suspended: self.asked.suspended.as_ref(),
            deleted_at: self.deleted_at,
            now: Some(now),
        };
        let is_unread = *self.desired.borrow() == Desired::Unread;
        if self.state.current.is_none() && is_unread && self.stalled.is_none() {
            // The first reading of the folder says what it is.
            return;
        }
        // A lane that never had a turn is nobody's matter.
        let is_nothing = *self.desired.borrow() == Desired::Deleted || lane::is_further(&self.name);
        if self.state.current.is_none() && is_nothing && self.stalled.is_none() {
            self.shared.folder.remove_status(&self.name);
            return;
        }
        let status = match (&self.plan, &self.state.current) {
            (Some(plan), Some(current)) => publish::status(plan, &self.state, current, beside),
            _ => publish::not_accepted(&self.name, &self.labels(), &self.state, beside),
        };
        self.shared.folder.write_status(status);
    }
}

/// A closed channel says nothing more: never wait for it in a busy loop.
async fn closed<T>(changed: Result<(), T>) {
    if changed.is_err() {
        std::future::pending::<()>().await;
    }
}
