//! One seed from its begin to its end: operators are polled by hand, crash, stand still and follow each other; then all
//! must converge, and is judged.

use std::{
    collections::BTreeMap,
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use dagstorm::{decide::AWS_SETTLE, model::Timestamp, publish::Folder};

use crate::{
    core::{BEGAN, Core},
    judge,
    mutants::Mutant,
    process::{Process, STOP_WITHIN, Surroundings},
    scenarios::{last_arrivals, script},
    store::Disk,
    storm::{Happened, Keep, Mishap},
    weather::{Crash, OUTAGE, Rival, Turn, Weather},
};

/// All must have converged so long after the storm.
const CALM: Duration = Duration::from_secs(3 * 3600);
/// A crash that has not come so long after the storm is not waited for.
const LATELY: Duration = Duration::from_secs(120);
/// How often convergence is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// More polls than this at one instant are a busy loop.
const BUSY: u64 = 2_000;
/// So long an append may stand still at most, and what follows it.
const LONGEST_STALL: Duration = Duration::from_secs(45);
/// Where there was no room, it is looked for this often: as in `src/operator/reconcile/trouble.rs`.
const ROOM_EVERY: Duration = Duration::from_secs(5);
/// How often a new data folder waits for what is on its way unseen.
const HIDDEN_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub violations: Vec<String>,
    pub happened: Happened,
    pub counts: Counts,
    /// The last things that happened, if they were asked for.
    pub told: Vec<String>,
}

/// What came of the mishaps, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts(pub BTreeMap<&'static str, u64>);

impl Counts {
    pub fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }
}

/// Runs a seed. `tell`: keep what happened last.
pub fn simulate(seed: u64, mutant: Mutant, keep: &Keep, tell: bool) -> Outcome {
    let errors = Arc::new(Mutex::new(vec![]));
    let mut outcome = tracing::subscriber::with_default(Errors(Arc::clone(&errors)), || {
        let mut simulation = Simulation::new(seed, mutant, keep, tell);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| simulation.run())) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            simulation.around.core.clear_poison();
            simulation.violates(format!("it panicked: {}", text.unwrap_or_default()));
            return simulation.give_up();
        }
        simulation.judge()
    });
    let errors = std::mem::take(&mut *errors.lock().unwrap());
    outcome.violations.extend(errors.into_iter().map(|error| format!("it was logged at ERROR: {error}")));
    outcome
}

struct Simulation {
    around: Surroundings,
    weather: Weather,
    /// All that live; the last one holds the folder, unless it has just died.
    processes: Vec<Process>,
    crash: Option<Crash>,
    /// When the next one starts, while none holds the folder.
    starts_at: Option<Timestamp>,
    /// What was published last, by whoever held the folder last.
    folder: Folder,
    rival: Option<Rivalry>,
    counts: Counts,
}

/// Another dagstorm.
struct Rivalry {
    when: Rival,
    around: Surroundings,
    process: Option<Process>,
}

enum Ended {
    Converged,
    Stuck(String),
}

impl Simulation {
    fn new(seed: u64, mutant: Mutant, keep: &Keep, tell: bool) -> Self {
        let mut core = Core::new(seed, keep.clone());
        core.told = tell.then(Default::default);
        let weather = Weather::draw(&mut core);
        let script = script(seed, &mut core.storm, mutant, weather.rival.is_some());
        core.last_arrivals = last_arrivals(&script);
        let (core, halt) = (Arc::new(Mutex::new(core)), weather.halt);
        let ahead = Arc::new(AtomicI64::new(0));
        let around = Surroundings { core, disk: Disk::default(), ahead, script, halt, mutant };
        let rival = weather.rival.map(|when| {
            let around = Surroundings { disk: Disk::of_rival(), ..around.clone() };
            Rivalry { when, around, process: None }
        });
        let starts_at = Some(weather.rival.map_or(BEGAN, |rival| rival.first_at));
        Self {
            around,
            weather,
            processes: vec![],
            crash: None,
            starts_at,
            rival,
            folder: Folder::nowhere(),
            counts: Counts::default(),
        }
    }

    fn core(&self) -> std::sync::MutexGuard<'_, Core> {
        self.around.core.lock().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.core().now
    }

    fn violates(&self, what: String) {
        self.core().violates(what);
    }

    fn run(&mut self) {
        let deadline = self.core().storm_ends.plus(CALM);
        let lately = self.core().storm_ends.plus(LATELY);
        let mut checked = BEGAN;
        let (mut instant, mut since) = (BEGAN, 0);
        let ended = loop {
            self.start_if_due();
            self.turn_all();
            let polls = self.counts.0.get("polls").copied().unwrap_or_default();
            if let Some(why) = self.poll_all().or_else(|| self.poll_rival()) {
                break Ended::Stuck(why);
            }
            let now = self.now();
            if now > instant {
                (instant, since) = (now, polls);
            } else if polls - since > BUSY {
                break Ended::Stuck(format!("a busy loop at {now}: {:?}", self.phases()));
            }
            // A crash that is still to come may find everything done: then it has nothing to break.
            let idle = self.core().timers.is_empty();
            let is_due = idle || now >= checked.plus(CHECK_EVERY);
            if is_due {
                checked = now;
            }
            let may_end = self.starts_at.is_none() && (self.crash.is_none() || idle || now > lately);
            if (is_due || now > deadline) && may_end && self.has_converged() {
                break Ended::Converged;
            }
            if now > deadline {
                break Ended::Stuck(format!("not converged at {now}: {:?}", self.phases()));
            }
            let due = self.core().advance();
            match due {
                Some(due) => due.into_iter().for_each(Waker::wake),
                None => break Ended::Stuck(format!("nothing will ever happen: {:?}", self.phases())),
            }
        };
        if let Ended::Stuck(why) = ended {
            self.violates(why);
        }
    }

    /// Starts the next operator, if none holds the folder and it is time.
    ///
    /// On a new data folder the settle assumption includes this: what its predecessor sent, and of which no trace is to
    /// be seen yet, comes about before the new one looks.
    fn start_if_due(&mut self) {
        let now = self.now();
        if self.starts_at.is_none_or(|at| now < at) {
            return;
        }
        if self.around.disk.epoch() == 0 && self.core().hides_a_launch() {
            let at = now.plus(HIDDEN_EVERY);
            self.core().alarm(at);
            self.starts_at = Some(at);
            return;
        }
        self.starts_at = None;
        self.follow();
    }

    /// Another operator takes the folder, whoever else lives.
    fn follow(&mut self) {
        // It has to learn anew what Dagster does not take.
        self.core().forget_refusals();
        let process = Process::start(&self.around);
        self.folder = process.folder.clone();
        self.processes.push(process);
        self.crash = self.weather.crashes.pop_front();
    }

    fn turn_all(&mut self) {
        let now = self.now();
        while let Some(turn) = self.weather.next(now) {
            self.turn(turn);
        }
    }

    fn turn(&mut self, turn: Turn) {
        let now = self.now();
        self.core().tell(|| format!("{turn:?}"));
        let is_held = self.starts_at.is_none();
        match turn {
            Turn::Outage => {
                let mut core = self.core();
                core.outage_ends = now.plus(OUTAGE);
                core.forget_refusals();
            }
            Turn::Reload(length) => {
                let mut core = self.core();
                core.reload_ends = now.plus(length);
            }
            Turn::Full(length) => {
                self.around.disk.fill(now.plus(length));
                let writer = self.around.disk.writer();
                self.core().note_life(writer, now.plus(length + ROOM_EVERY));
            }
            Turn::Shutdown(next_after) => {
                if let Some(holder) = self.processes.last_mut().filter(|holder| is_held && now >= holder.paused_until) {
                    holder.tell_to_end(now, next_after);
                }
            }
            Turn::Jump(by) => {
                self.around.ahead.fetch_add(by, Ordering::SeqCst);
            }
            Turn::Pause(until) => {
                if let Some(holder) = self.processes.last_mut().filter(|_| is_held) {
                    holder.paused_until = until;
                    self.core().alarm(until);
                }
            }
            Turn::Follow => {
                if is_held && self.processes.last().is_some_and(|holder| now < holder.paused_until) {
                    self.counts.add("takeovers of who stood still", 1);
                    self.follow();
                }
            }
            Turn::Usurp => {
                if let Some(holder) = self.processes.last().filter(|holder| is_held && now >= holder.paused_until) {
                    holder.trust(now);
                    self.counts.add("takeovers of who worked", 1);
                    self.follow();
                }
            }
        }
    }

    /// Lets every operator go on that is woken and does not stand still. Returns why it cannot go on at all.
    fn poll_all(&mut self) -> Option<String> {
        let mut number = 0;
        while number < self.processes.len() {
            let (now, newest) = (self.now(), self.around.disk.epoch());
            let process = &mut self.processes[number];
            if now < process.paused_until || !process.is_woken() {
                number += 1;
                continue;
            }
            let (epoch, is_holder) = (process.epoch, process.epoch == newest);
            if process.paused_until > BEGAN && !is_holder && process.must_know(now) {
                self.around.core.lock().unwrap().silent.insert(epoch);
            }
            let was_told = self.around.core.lock().unwrap().fenced.contains(&epoch);
            self.counts.add("polls", 1);
            if is_holder && self.crash.as_ref().is_some_and(|crash| process.polls + 1 >= crash.poll) {
                let crash = self.crash.take().expect("just seen");
                self.crash(crash);
                return None;
            }
            match process.poll() {
                // It may have woken itself.
                Poll::Pending if is_holder || !(was_told || process.must_know(now)) => {}
                Poll::Pending => {
                    self.processes.remove(number);
                    self.violates(format!("operator {epoch} goes on, though another one took over"));
                }
                Poll::Ready(Ok(Some(name))) => return Some(format!("the reconciler of {name} ended")),
                Poll::Ready(Ok(None)) => self.ended(number, is_holder),
                Poll::Ready(Err(_)) if is_holder => return Some(format!("operator {epoch} holds, and was sent away")),
                Poll::Ready(Err(fenced)) => {
                    self.counts.add("sent away", 1);
                    self.core().tell(|| format!("operator {epoch}: {fenced}"));
                    self.processes.remove(number);
                }
            }
        }
        None
    }

    /// Lets the other dagstorm start, go on, and end. Returns why it cannot go on at all.
    fn poll_rival(&mut self) -> Option<String> {
        let now = self.now();
        let rival = self.rival.as_mut()?;
        if rival.when.ends_at.is_some_and(|at| at <= now) {
            rival.process = None;
            return None;
        }
        if rival.process.is_none() && rival.when.starts_at <= now {
            rival.process = Some(Process::start(&rival.around));
        }
        let process = rival.process.as_mut().filter(|process| process.is_woken())?;
        self.counts.add("polls", 1);
        match process.poll() {
            Poll::Pending => None,
            Poll::Ready(ended) => Some(format!("the other dagstorm ended: {ended:?}")),
        }
    }

    /// An operator has ended as it was told to.
    fn ended(&mut self, number: usize, is_holder: bool) {
        let now = self.now();
        let gone = self.processes.remove(number);
        let (told_at, next_after) = gone.told_to_end.expect("it ends when it is told to");
        let mut core = self.around.core.lock().unwrap();
        core.tell(|| format!("operator {}: ends, as it was told to", gone.epoch));
        // Its journals may have stood still, or all of it.
        if now.since(told_at) > STOP_WITHIN + LONGEST_STALL && gone.paused_until < told_at {
            core.violates(format!("operator {} took {:?} to end", gone.epoch, now.since(told_at)));
        }
        if !is_holder {
            return;
        }
        let is_broken = core.objects.now().is_broken(&core.objects.baseline);
        // Whoever starts waits for what its predecessor may have sent.
        let could_heal = told_at >= core.storm_ends.max(gone.began_at.plus(AWS_SETTLE)).max(core.objects.mended_at)
            && core.orphans.is_empty()
            && !self.around.disk.is_full(told_at)
            && core.stands_still_until <= told_at
            && core.objects.edit.is_none();
        if could_heal && is_broken {
            core.violates(format!("operator {} ends, and leaves faults in place", gone.epoch));
        }
        let was_broken = core.objects.at(told_at).is_broken(&core.objects.baseline);
        self.counts.add("faults taken back at a shutdown", u64::from(was_broken && !is_broken));
        core.alarm(now.plus(next_after));
        self.starts_at = Some(now.plus(next_after));
    }

    /// The holder dies; with a lost disk, whoever else was there too.
    fn crash(&mut self, mut crash: Crash) {
        let now = self.now();
        let gone = self.processes.pop().expect("it was just polled");
        let lost = crash.disk_lost;
        self.core().tell(|| format!("operator {}: dies{}", gone.epoch, lost.map_or("", |_| ", and its disk with it")));
        drop(gone);
        let starts_at = now.plus(lost.unwrap_or_default());
        self.starts_at = Some(starts_at);
        let orphans = lost.map(|_| {
            self.processes.clear();
            self.core().sent.clear();
            self.around.disk.lose(now)
        });
        let disk = self.around.disk.clone();
        let mut core = self.core();
        core.alarm(starts_at);
        if let Some(orphans) = orphans {
            core.orphan(orphans);
            core.healed.clear();
            core.silent.clear();
            core.fenced.clear();
        } else {
            disk.crash(&mut core, &mut crash.dice);
        }
    }

    fn has_converged(&self) -> bool {
        let now = self.now();
        let has = |around: &Surroundings, folder: &Folder| judge::has_converged(around, folder, now);
        let rival = self.rival.as_ref().filter(|rival| rival.when.ends_at.is_none_or(|at| now < at));
        let rival_has =
            rival.is_none_or(|rival| rival.process.as_ref().is_some_and(|process| has(&rival.around, &process.folder)));
        rival_has && has(&self.around, &self.folder)
    }

    fn phases(&self) -> Vec<String> {
        judge::phases(&self.folder, &self.around.script)
    }

    /// Nothing can be judged any more.
    fn give_up(self) -> Outcome {
        let mut core = self.core();
        Outcome {
            violations: std::mem::take(&mut core.violations),
            happened: std::mem::take(&mut core.storm.happened),
            counts: Counts::default(),
            told: core.told.take().into_iter().flatten().collect(),
        }
    }

    fn judge(mut self) -> Outcome {
        // What is still there goes first: its timers are in the core.
        self.processes.clear();
        let mut outcome = Outcome { counts: std::mem::take(&mut self.counts), ..Outcome::default() };
        outcome.counts.add("torn writes", self.around.disk.torn());
        judge::judge(&self.around, &self.folder, &mut outcome);
        if let Some(Rivalry { around, process: Some(process), .. }) = &self.rival {
            judge::judge_folder(&mut self.around.core.lock().unwrap(), around, &process.folder, &mut outcome);
        }
        let mut core = self.core();
        core.forget_refusals();
        outcome.counts.add("launches refused in outages", core.refused_before);
        outcome.counts.add("launches refused while a location reloads", core.not_loaded);
        outcome.happened = std::mem::take(&mut core.storm.happened);
        outcome.told = core.told.take().into_iter().flatten().collect();
        drop(core);
        outcome
    }
}

impl Outcome {
    /// How often a mishap happened.
    pub fn of(&self, mishap: Mishap) -> u64 {
        self.happened.0.get(&mishap).map_or(0, |numbers| numbers.len() as u64)
    }
}

/// Keeps what is logged at ERROR.
struct Errors(Arc<Mutex<Vec<String>>>);

/// The fields of one line.
struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let Self(line) = self;
        write!(line, "{}={value:?} ", field.name()).expect("a string takes it");
    }
}

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
