//! One seed from its begin to its end: poll by hand, crash at random awaits, then let all converge and judge.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use dagstorm::{
    journal::{Event, Found, Record, State, SubmissionStage},
    model::{GenerationId, Key, Phase, ScenarioName, Timestamp, Verdict},
    operator::{ABSENT_FOR, Control, Desired, Fleet, Shared as Operator},
    plan::{self, Plan},
    publish::{self, Beside, Folder, Status},
    world::Clock,
};
use tokio::sync::watch;

use crate::{
    clock::{Shared, SimClock},
    core::{Core, DESIRED},
    mutants::Mutant,
    scenarios::{Script, script},
    store::{Disk, SimStore},
    world::SimWorld,
};

/// All must have converged so long after the storm.
const CALM: Duration = Duration::from_secs(3 * 3600);
/// How often convergence is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// More polls than this at one instant are a busy loop.
const BUSY: u64 = 2_000;
const MOST_CRASHES: u32 = 6;

#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub violations: Vec<String>,
    pub crashes: u64,
    pub passed: u64,
    pub failed: u64,
    pub unknown: u64,
    pub stopped: u64,
    pub faults: u64,
    pub recovered: u64,
    pub polls: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.violations.extend(other.violations.iter().cloned());
        self.crashes += other.crashes;
        self.passed += other.passed;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.stopped += other.stopped;
        self.faults += other.faults;
        self.recovered += other.recovered;
        self.polls += other.polls;
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub fn simulate(seed: u64, mutant: Mutant) -> Outcome {
    let errors = Arc::new(AtomicU64::new(0));
    let mut outcome = tracing::subscriber::with_default(Errors(Arc::clone(&errors)), || run(seed, mutant));
    let errors = errors.load(Ordering::SeqCst);
    if errors > 0 {
        outcome.violations.push(format!("{errors} lines were logged at ERROR"));
    }
    outcome
}

fn run(seed: u64, mutant: Mutant) -> Outcome {
    let core: Shared = Arc::new(Mutex::new(Core::new(seed)));
    let disk = Disk::default();
    let script = script(&core, mutant);
    let (began, mut crashes_left) = {
        let mut core = core.lock().unwrap();
        core.idempotent = !core.chance(15);
        let (began, storm) = (core.now, core.millis(0, 60_000));
        core.storm_ends = if core.chance(10) { began } else { began.plus(storm) };
        let crashes = core.millis(0, u64::from(MOST_CRASHES)).as_millis() as u32;
        (began, crashes)
    };
    // Everything is halted for a while, and goes on.
    let halt = {
        let mut core = core.lock().unwrap();
        core.chance(10).then(|| {
            let from = core.millis(0, 40_000);
            (from, from + core.millis(0, 40_000))
        })
    };
    let deadline = core.lock().unwrap().storm_ends.plus(CALM);
    let mut outcome = Outcome::default();
    let mut epoch = 0;
    let folder = loop {
        epoch += 1;
        let folder = Folder::nowhere();
        let crash_at = (crashes_left > 0).then(|| core.lock().unwrap().millis(1, 250).as_millis() as u64);
        let operator = operate(&core, &disk, mutant, epoch, folder.clone(), script.clone(), halt, began);
        let ended = drive(operator, &core, &disk, &folder, crash_at, deadline, &script, &mut outcome.polls);
        match ended {
            Ended::Crashed => {
                crashes_left -= 1;
                outcome.crashes += 1;
                disk.crash(&core);
            }
            Ended::Converged => break folder,
            Ended::Stuck(why) => {
                core.lock().unwrap().violations.push(why);
                break folder;
            }
        }
    };
    judge(&core, &disk, &folder, &script, &mut outcome);
    outcome
}

/// From when to when everything is halted.
type Halt = Option<(Duration, Duration)>;

type Operate = Pin<Box<dyn Future<Output = ScenarioName>>>;

#[allow(clippy::too_many_arguments, reason = "one call, from the loop above")]
fn operate(
    core: &Shared,
    disk: &Disk,
    mutant: Mutant,
    epoch: u64,
    folder: Folder,
    script: Script,
    halt: Halt,
    began: Timestamp,
) -> Operate {
    let clock = SimClock(Arc::clone(core));
    let world = SimWorld { core: Arc::clone(core), disk: disk.clone(), mutant };
    let store = SimStore { disk: disk.clone(), core: Arc::clone(core), mutant };
    let verdicts = watch::Sender::default();
    let control = watch::Sender::new(control_at(clock.now(), began, halt));
    let shared = Arc::new(Operator { world, store, clock: clock.clone(), folder, epoch, verdicts, control });
    Box::pin(async move {
        let (_shutdown, receiver) = watch::channel(false);
        let mut fleet = Fleet::new(Arc::clone(&shared), receiver);
        fleet.take_up().await.expect("the simulated disk can be listed");
        let mut versions = script.into_iter().peekable();
        loop {
            while let Some((_, desired)) = versions.next_if(|(offset, _)| began.plus(*offset) <= clock.now()) {
                // Twice: a deletion needs two readings, some time apart.
                fleet.want(&desired, true, clock.now().minus(ABSENT_FOR));
                fleet.want(&desired, true, clock.now());
            }
            shared.control.send_replace(control_at(clock.now(), began, halt));
            let edges = halt.into_iter().flat_map(|(from, to)| [began.plus(from), began.plus(to)]);
            let version = versions.peek().map(|(offset, _)| began.plus(*offset));
            let next = edges.filter(|edge| *edge > clock.now()).chain(version).min();
            let change = async {
                match next {
                    Some(instant) => clock.sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ended = fleet.step() => return ended.expect("nobody takes over yet"),
                () = change => {}
            }
        }
    })
}

fn control_at(now: Timestamp, began: Timestamp, halt: Halt) -> Control {
    let is_halted = halt.is_some_and(|(from, to)| began.plus(from) <= now && now < began.plus(to));
    Control { halted: is_halted.then(|| "a drill".to_owned()), ..Control::default() }
}

enum Ended {
    Crashed,
    Converged,
    Stuck(String),
}

#[allow(clippy::too_many_arguments, reason = "one call, from the loop above")]
fn drive(
    mut operator: Operate,
    core: &Shared,
    disk: &Disk,
    folder: &Folder,
    crash_at: Option<u64>,
    deadline: Timestamp,
    script: &Script,
    polls: &mut u64,
) -> Ended {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut own = 0;
    let mut checked = core.lock().unwrap().now;
    let (mut instant, mut since) = (core.lock().unwrap().now, 0);
    loop {
        while flag.0.swap(false, Ordering::SeqCst) {
            own += 1;
            *polls += 1;
            if crash_at.is_some_and(|at| own >= at) {
                return Ended::Crashed;
            }
            if let Poll::Ready(name) = operator.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Ended::Stuck(format!("the reconciler of {name} ended"));
            }
        }
        // A crash that is still to come may find everything done: then it has nothing to break.
        let idle = core.lock().unwrap().timers.is_empty();
        let due = idle || core.lock().unwrap().now >= checked.plus(CHECK_EVERY);
        if due {
            checked = core.lock().unwrap().now;
        }
        if due && (crash_at.is_none() || idle) && has_converged(core, disk, folder, script) {
            return Ended::Converged;
        }
        let now = core.lock().unwrap().now;
        if now > instant {
            (instant, since) = (now, own);
        } else if own - since > BUSY {
            return Ended::Stuck(format!("a busy loop at {now}: {:?}", phases(folder, script)));
        }
        if now > deadline {
            // Whoever should crash and never did has converged long ago.
            return if has_converged(core, disk, folder, script) {
                Ended::Converged
            } else {
                Ended::Stuck(format!("not converged at {now}: {:?}", phases(folder, script)))
            };
        }
        let due = core.lock().unwrap().advance();
        match due {
            Some(due) => due.into_iter().for_each(Waker::wake),
            None => return Ended::Stuck(format!("nothing will ever happen: {:?}", phases(folder, script))),
        }
    }
}

/// Where everything stands, for a message.
fn phases(folder: &Folder, script: &Script) -> Vec<String> {
    let latest = folder.latest();
    let stands = latest.values().map(|status| {
        let (name, body) = (&status.metadata.name, &status.status);
        format!("{name} {:?} {} {:?}", body.observed_generation, body.phase, body.load)
    });
    let wanted =
        script.iter().map(|(offset, versions)| format!("{offset:?}: {:?}", versions.keys().collect::<Vec<_>>()));
    stands.chain(wanted).collect()
}

fn has_converged(core: &Shared, disk: &Disk, folder: &Folder, script: &Script) -> bool {
    let (last_change, wanted) = script.last().expect("a script has a first version");
    let began = Timestamp::from_micros(1_790_000_000_000_000);
    if core.lock().unwrap().now < began.plus(*last_change) {
        return false;
    }
    let latest = folder.latest();
    let is_final = |name: &ScenarioName| latest.get(name).is_some_and(|status| status.status.phase.is_final());
    let reached = wanted.iter().all(|(name, desired)| {
        let Desired::Present { wanted: Some(wanted), .. } = desired else { return true };
        let digest = wanted.scenario.digest();
        // A verdict of this very spec is final, also where another version was tried in between.
        is_final(name)
            && latest[name]
                .status
                .history
                .iter()
                .any(|past| past.generation.digest == digest && past.verdict != Verdict::Stopped)
    });
    reached
        && disk.names().iter().all(|name| wanted.contains_key(name) || is_final(name) || disk.durable(name).is_empty())
}

fn judge(core: &Shared, disk: &Disk, folder: &Folder, script: &Script, outcome: &mut Outcome) {
    let mut core = core.lock().unwrap();
    let mut violations = std::mem::take(&mut core.violations);
    if core.tasks.len() as u32 != DESIRED {
        violations.push(format!("the service runs {} tasks at the end", core.tasks.len()));
    }
    let latest = folder.latest();
    for name in disk.names() {
        let mut state = State::default();
        for record in disk.durable(&name) {
            if let Err(error) = state.apply(&record) {
                violations.push(format!("{name}: {error}"));
                break;
            }
        }
        violations.extend(replay_differs(&state, latest.get(&name)));
        let Some(current) = &state.current else { continue };
        outcome.faults += current.faults.values().filter(|fault| fault.seen_at.is_some()).count() as u64;
        outcome.recovered += current
            .submissions
            .values()
            .filter(|submission| {
                matches!(submission.stage, SubmissionStage::Acknowledged { found: Found::LookedUp, .. })
            })
            .count() as u64;
        for past in &state.past {
            let mine = |key: &Key| key.scenario == name && key.generation == past.generation;
            // What was acknowledged must be there; a pass says that of all that was planned.
            let acknowledged = acknowledged(&disk.durable(&name), &past.generation);
            match past.conclusion.verdict {
                Verdict::Passed => {
                    outcome.passed += 1;
                    if !core.truth_holds(&planned(&disk.durable(&name), &past.generation), mine) {
                        violations.push(format!("{name}: Passed, yet the truth differs"));
                    }
                }
                Verdict::Failed => {
                    outcome.failed += 1;
                    if core.truth_holds(&acknowledged, mine) {
                        violations.push(format!("{name}: Failed without cause: {}", past.conclusion.message));
                    }
                }
                Verdict::Unknown => outcome.unknown += 1,
                Verdict::Stopped => outcome.stopped += 1,
            }
        }
    }
    let (_, wanted) = script.last().expect("a script has a first version");
    for name in wanted.keys().filter(|name| !latest.contains_key(*name)) {
        violations.push(format!("{name} has no status"));
    }
    outcome.violations = violations;
}

/// The scenario of a generation, as it was accepted.
fn accepted(records: &[Record], generation: &GenerationId) -> Option<Plan> {
    records.iter().find_map(|record| match &record.event {
        Event::Accepted { generation: id, scenario, .. } if id == generation => Some(plan::compile(scenario, id)),
        _ => None,
    })
}

fn planned(records: &[Record], generation: &GenerationId) -> BTreeSet<Key> {
    let plan = accepted(records, generation).expect("what was concluded was accepted");
    (0..plan.arrivals.len()).map(|index| plan.key(index)).collect()
}

fn acknowledged(records: &[Record], generation: &GenerationId) -> BTreeSet<Key> {
    let plan = accepted(records, generation).expect("what was concluded was accepted");
    let mut current = false;
    let mut keys = BTreeSet::new();
    for record in records {
        match &record.event {
            Event::Accepted { generation: id, .. } => current = id == generation,
            Event::Submitted { index, .. } if current => {
                keys.insert(plan.key(*index));
            }
            _ => {}
        }
    }
    keys
}

/// The status that was published last is the one that a replay of the journal renders.
fn replay_differs(state: &State, published: Option<&Status>) -> Option<String> {
    let (current, mut published) = (state.current.as_ref()?, published?.clone());
    // What it waits for next is the manifests' and the others' matter, not the journal's.
    published.status.next = None;
    if published.status.phase == Phase::Suspended {
        published.status.phase = Phase::Stopped;
    }
    let plan = plan::compile(&current.scenario, &current.id);
    let replayed = publish::status(&plan, state, current, Beside::default());
    (replayed != published).then(|| format!("replay differs from live: {replayed:#?} instead of {published:#?}"))
}

/// Counts what is logged at ERROR.
struct Errors(Arc<AtomicU64>);

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
