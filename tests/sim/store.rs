//! Journals on a simulated disk: what was written and not yet synced is gone, wholly or in part, after a crash; what a
//! superseded holder writes counts for nothing; and there may be no room.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use dagstorm::{
    journal::{Event, Fenced, Record, Store, decode, encode},
    model::{Effect, GenerationId, Key, ScenarioName, TaskArn, Timestamp, Verdict, WriterId},
};

use crate::{
    clock::{Shared, pause},
    core::Core,
    faults::Faults,
    hands::Orphan,
    mutants::Mutant,
    scenarios::QUIET,
    storm::{Dice, Mishap},
};

/// The first epoch of the other dagstorm, less one.
const EPOCHS_OF_RIVAL: u64 = 1_000;

/// An append stands still for at most so many milliseconds: half of them for so long that what follows is just in time.
const LONG: u64 = 20_000;
const SHORT: u64 = 1_100;

/// The data folder, whoever uses it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// The newest epoch that anyone took.
    epoch: u64,
    files: BTreeMap<ScenarioName, File>,
    /// Intents that are durable and not yet acted on, by the epoch of who intended.
    intents: BTreeMap<(u64, Intent), u32>,
    faults: Faults,
    /// There is no room until then.
    full_until: Option<Timestamp>,
    /// So many writes were torn by a crash.
    torn: u64,
    /// So many folders were lost before this one.
    lost: u64,
    /// It is the other dagstorm's.
    is_rivals: bool,
}

/// What a durable record allows to do once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Intent {
    Launch(Key),
    Terminate(String),
    Stop(TaskArn),
    /// As the record has it.
    Change(String),
}

impl Intent {
    fn of(effect: &Effect) -> Self {
        match effect {
            Effect::LaunchRun { key, .. } => Self::Launch(key.clone()),
            Effect::TerminateRun { run_id } => Self::Terminate(run_id.clone()),
            Effect::StopTask { task, .. } => Self::Stop(task.clone()),
            Effect::RehearseRules { .. }
            | Effect::Mark { .. }
            | Effect::Unmark { .. }
            | Effect::AuthorizeRules { .. }
            | Effect::RevokeRules { .. }
            | Effect::SetDesiredCount { .. }
            | Effect::SetInstance { .. }
            | Effect::CloneAcl { .. }
            | Effect::SwapAcl { .. }
            | Effect::DeleteAcls { .. }
            | Effect::DenyQueue { .. }
            | Effect::AllowQueue { .. }
            | Effect::CopyMessages { .. } => Self::Change(serde_json::to_string(effect).expect("effects are JSON")),
        }
    }
}

#[derive(Default)]
struct File {
    durable: Vec<Record>,
    unsynced: Vec<Record>,
    /// The holder whose writes count.
    writer: u64,
    /// So many records counted when each earlier holder was superseded.
    ends: BTreeMap<u64, usize>,
    generation: Option<GenerationId>,
    /// By whom the generation was stopped, and when by that one's clock.
    stopped: Option<(u64, Timestamp)>,
    /// It was started, or runs of it were seen.
    has_runs: bool,
    /// Its end was decided: nothing new goes out.
    is_ending: bool,
}

#[derive(Clone)]
pub struct SimStore {
    pub disk: Disk,
    pub core: Shared,
    pub epoch: u64,
    pub mutant: Mutant,
}

impl Disk {
    /// What would be read after a crash now.
    pub fn durable(&self, scenario: &ScenarioName) -> Vec<Record> {
        self.0.lock().unwrap().files.get(scenario).map(|file| file.durable.clone()).unwrap_or_default()
    }

    pub fn is_empty(&self, scenario: &ScenarioName) -> bool {
        self.0.lock().unwrap().files.get(scenario).is_none_or(|file| file.durable.is_empty())
    }

    pub fn names(&self) -> Vec<ScenarioName> {
        self.0.lock().unwrap().files.keys().cloned().collect()
    }

    /// Takes the folder over: a new epoch.
    pub fn take(&self) -> u64 {
        let mut inner = self.0.lock().unwrap();
        inner.epoch += 1;
        inner.epoch
    }

    pub fn epoch(&self) -> u64 {
        self.0.lock().unwrap().epoch
    }

    /// The data folder of the other dagstorm. Its epochs are none of the first one's.
    pub fn of_rival() -> Self {
        Self(Arc::new(Mutex::new(Inner { epoch: EPOCHS_OF_RIVAL, is_rivals: true, ..Inner::default() })))
    }

    /// The identity of the folder: a new one has another.
    pub fn writer(&self) -> WriterId {
        self.0.lock().unwrap().writer()
    }

    pub fn torn(&self) -> u64 {
        self.0.lock().unwrap().torn
    }

    pub fn fill(&self, until: Timestamp) {
        self.0.lock().unwrap().full_until = Some(until);
    }

    pub fn is_full(&self, at: Timestamp) -> bool {
        self.0.lock().unwrap().full_until.is_some_and(|until| at < until)
    }

    /// All of it is gone. Returns what its open faults leave behind.
    pub fn lose(&self, now: Timestamp) -> Vec<Orphan> {
        let mut inner = self.0.lock().unwrap();
        let orphans = inner.faults.orphans(now);
        *inner = Inner { torn: inner.torn, lost: inner.lost + 1, ..Inner::default() };
        orphans
    }

    /// A copy of messages is sent, or is not: whose, the records know. Returns what is wrong with that.
    pub fn note_copy(&self, epoch: u64, is_sent: bool) -> Option<String> {
        let mut inner = self.0.lock().unwrap();
        if is_sent { inner.faults.note_copy(epoch) } else { inner.faults.note_no_copy(epoch) }
    }

    /// A crash: of what was not synced, any first part may have reached the disk. All is read anew from its bytes.
    pub fn crash(&self, core: &mut Core, dice: &mut Dice) {
        let mut inner = self.0.lock().unwrap();
        for name in inner.files.keys().cloned().collect::<Vec<_>>() {
            let file = inner.files.get_mut(&name).expect("just listed");
            let known = file.durable.len();
            let mut bytes: Vec<u8> = file.durable.iter().flat_map(encode).collect();
            let rest: Vec<u8> = std::mem::take(&mut file.unsynced).iter().flat_map(encode).collect();
            bytes.extend_from_slice(&rest[..dice.below(rest.len() + 1)]);
            let (records, good) = decode(&bytes).expect("durable bytes are whole but for their tail");
            assert_eq!(&records[..known], &file.durable[..], "what was read is what was written");
            inner.torn += u64::from(good < bytes.len());
            for record in &records[known..] {
                core.tell(|| format!("reached the disk all the same: {name}: {}", brief(record)));
            }
            inner.count(core, &name, &records[known..]);
        }
    }

    /// No effect before its durable intent, and one effect an intent; no launch after a durable stop.
    pub fn check_intent(&self, effect: &Effect, epoch: u64) -> Option<String> {
        let mut inner = self.0.lock().unwrap();
        let intent = Intent::of(effect);
        if let Intent::Launch(key) = &intent
            && let Some(file) = inner.files.get(&key.scenario)
            && file.stopped.is_some_and(|(by, _)| by == epoch)
            && file.generation.as_ref() == Some(&key.generation)
        {
            return Some(format!("{key} is launched after it was stopped"));
        }
        match inner.intents.get_mut(&(epoch, intent.clone())).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                None
            }
            None => Some(format!("without a durable intent of its own: {intent:?} by operator {epoch}")),
        }
    }
}

impl Inner {
    fn writer(&self) -> WriterId {
        let name = if self.is_rivals { "rival".to_owned() } else { format!("folder-{}", self.lost) };
        name.parse().expect("it is an id")
    }

    /// Records that are durable now, and count.
    fn count(&mut self, core: &mut Core, scenario: &ScenarioName, records: &[Record]) {
        let writer = self.writer();
        let file = self.files.entry(scenario.clone()).or_default();
        for record in records {
            let effects = self.faults.note(core, scenario, file.generation.as_ref(), record);
            let intents = file.note(core, &writer, scenario, record).into_iter().chain(effects.iter().map(Intent::of));
            for intent in intents {
                *self.intents.entry((record.epoch, intent)).or_default() += 1;
            }
            file.durable.push(record.clone());
        }
    }
}

impl File {
    /// What a record allows to do of Dagster.
    fn note(&mut self, core: &mut Core, writer: &WriterId, scenario: &ScenarioName, record: &Record) -> Vec<Intent> {
        let generation = self.generation.clone();
        match &record.event {
            Event::Accepted { generation, .. } => {
                self.generation = Some(generation.clone());
                self.stopped = None;
                self.has_runs = false;
                self.is_ending = false;
            }
            Event::Started { at, .. } => {
                let generation = generation.as_ref().expect("a start is of a generation");
                core.note_begun(writer, scenario, generation, *at, self.has_runs);
                self.has_runs = true;
            }
            Event::Adopting { .. } => self.has_runs = true,
            Event::StopRequested { .. } => {
                self.stopped = Some((record.epoch, record.at));
                self.is_ending = true;
            }
            Event::Aborted { .. } => self.is_ending = true,
            Event::FaultIntended { fault, .. } if self.is_ending => {
                core.violates(format!("{scenario}: {fault} begins, and the end is decided"));
            }
            Event::SubmitIntended { index, .. } if self.is_ending => {
                core.violates(format!("{scenario}: arrival {index} is launched, and the end is decided"));
            }
            Event::Concluded { conclusion } if conclusion.verdict == Verdict::Stopped => {
                let generation = generation.expect("a conclusion is of a generation");
                let (_, stopped_at) = self.stopped.expect("only what was stopped is concluded so");
                let in_time = record.at < stopped_at.plus(QUIET);
                if self.has_runs && in_time && core.is_working_on(scenario, &generation) {
                    core.violates(format!("{scenario}/{generation} is concluded as stopped, and its runs go on"));
                }
            }
            Event::SubmitIntended { index, .. } => {
                let generation = generation.expect("a launch is of a generation");
                return vec![Intent::Launch(Key { scenario: scenario.clone(), generation, index: *index })];
            }
            Event::TerminateIntended { run_id } => return vec![Intent::Terminate(run_id.clone())],
            _ => {}
        }
        vec![]
    }
}

impl SimStore {
    /// Whether another holder came.
    fn fenced(&self) -> io::Result<()> {
        let newest = self.disk.epoch();
        if newest > self.epoch {
            self.core.lock().unwrap().fenced.insert(self.epoch);
            return Err(Fenced { epoch: self.epoch, newest }.into());
        }
        Ok(())
    }

    fn has_room(&self) -> io::Result<()> {
        let now = self.core.lock().unwrap().now;
        if self.disk.is_full(now) { Err(io::Error::new(io::ErrorKind::StorageFull, "simulated")) } else { Ok(()) }
    }
}

impl Store for SimStore {
    async fn append(&self, scenario: &ScenarioName, records: &[Record]) -> io::Result<()> {
        self.fenced()?;
        self.has_room()?;
        {
            let (mut inner, mut core) = (self.disk.0.lock().unwrap(), self.core.lock().unwrap());
            for record in records {
                inner.faults.check(&mut core, scenario, record);
            }
            let file = inner.files.entry(scenario.clone()).or_default();
            if self.epoch > file.writer {
                // What a superseded holder began to write where there was nothing to read yet does not count.
                file.unsynced.clear();
                file.writer = self.epoch;
            }
            if file.writer == self.epoch {
                file.unsynced.extend_from_slice(records);
            }
        }
        let wait = {
            let mut core = self.core.lock().unwrap();
            // A dagstorm that stands still may be taken for gone.
            let stalls = if core.rivals.are_there { 0 } else { 3 };
            match core.strikes(Mishap::Stall, stalls) {
                Some(mut dice) => {
                    let most = if dice.chance(50) { SHORT } else { LONG };
                    dice.millis(600, most)
                }
                None => core.millis(0, 3),
            }
        };
        if wait > Duration::from_millis(SHORT) {
            let mut core = self.core.lock().unwrap();
            core.stands_still_until = core.stands_still_until.max(core.now.plus(wait));
        }
        pause(&self.core, wait).await;
        if self.mutant != Mutant::NoWriteAhead {
            let (mut inner, mut core) = (self.disk.0.lock().unwrap(), self.core.lock().unwrap());
            let file = inner.files.get_mut(scenario).filter(|file| file.writer == self.epoch);
            let synced = file.map(|file| std::mem::take(&mut file.unsynced)).unwrap_or_default();
            let quiet = |record: &&Record| !matches!(record.event, Event::Counted { .. } | Event::Sampled { .. });
            for record in synced.iter().filter(quiet) {
                core.tell(|| format!("operator {}: {scenario}: {}", self.epoch, brief(record)));
            }
            inner.count(&mut core, scenario, &synced);
        }
        self.fenced()
    }

    async fn forget(&self, scenario: &ScenarioName) -> io::Result<()> {
        self.fenced()?;
        self.disk.0.lock().unwrap().files.remove(scenario);
        Ok(())
    }

    async fn read(&self, scenario: &ScenarioName) -> io::Result<Vec<Record>> {
        pause(&self.core, Duration::from_millis(1)).await;
        let (mut inner, mut core) = (self.disk.0.lock().unwrap(), self.core.lock().unwrap());
        let Some(file) = inner.files.get_mut(scenario) else { return Ok(vec![]) };
        if self.epoch > file.writer {
            // A write of the last holder is under way: a first part of it is there. What comes later does not count.
            let last = std::mem::replace(&mut file.writer, self.epoch);
            let mut there = std::mem::take(&mut file.unsynced);
            there.truncate(core.dice.below(there.len() + 1));
            inner.count(&mut core, scenario, &there);
            let file = inner.files.get_mut(scenario).expect("just seen");
            file.ends.insert(last, file.durable.len());
        }
        let file = &inner.files[scenario];
        let later = file.durable.iter().position(|record| record.epoch > self.epoch);
        let end = file.ends.get(&self.epoch).copied().or(later).unwrap_or(file.durable.len());
        let records = &file.durable[..end];
        // As of files: what was compacted is gone. The judge still sees all of it.
        let head = records.iter().rposition(|record| matches!(record.event, Event::Compacted { .. }));
        Ok(records[head.unwrap_or(0)..].to_vec())
    }

    async fn room(&self, _: &ScenarioName) -> io::Result<()> {
        pause(&self.core, Duration::from_millis(1)).await;
        self.has_room()
    }

    async fn names(&self) -> io::Result<Vec<ScenarioName>> {
        pause(&self.core, Duration::from_millis(1)).await;
        Ok(self.disk.names())
    }
}

/// A record in one line that is not too long.
fn brief(record: &Record) -> String {
    match &record.event {
        Event::Accepted { generation, .. } => format!("Accepted {generation}"),
        Event::Concluded { conclusion } => format!("Concluded {:?}: {}", conclusion.verdict, conclusion.message),
        Event::FaultIntended { fault, inject, .. } => format!("FaultIntended {fault}: {} effects", inject.len()),
        Event::Compacted { past } => format!("Compacted {} generations", past.len()),
        event => format!("{event:?}"),
    }
}
