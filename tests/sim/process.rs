//! One operator: the real fleet over what is simulated, polled by hand.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use dagstorm::{
    journal::Fenced,
    model::{Request, ScenarioName, Timestamp},
    operator::{ABSENT_FOR, Claims, Control, Fleet, SWEEP_EVERY, Shared as Operator, Turns, sweep, while_confirmed},
    publish::Folder,
    world::Clock,
};
use tokio::sync::watch;

use crate::{
    clock::{Shared, SimClock, pause, sleep_until},
    core::BEGAN,
    mutants::Mutant,
    scenarios::{Script, target},
    store::{Disk, SimStore},
    world::SimWorld,
};

/// So long after a renewal of its lease an operator does not ask whether it holds the folder: as in `Holding`.
const TRUSTED_FOR: Duration = Duration::from_secs(3);

/// How long a shutdown may take.
pub const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Two instants between which everything is halted.
pub type Halt = Option<(Timestamp, Timestamp)>;

/// What an operator is made of.
#[derive(Clone)]
pub struct Surroundings {
    pub core: Shared,
    pub disk: Disk,
    pub ahead: Arc<AtomicI64>,
    pub script: Script,
    pub halt: Halt,
    pub mutant: Mutant,
}

pub struct Process {
    pub epoch: u64,
    pub folder: Folder,
    pub polls: u64,
    pub paused_until: Timestamp,
    pub began_at: Timestamp,
    /// When it was told to end, and how long after its end the next one starts.
    pub told_to_end: Option<(Timestamp, Duration)>,
    shutdown: watch::Sender<bool>,
    /// Until then it trusts in its last renewal.
    trusts_until: Arc<Mutex<Timestamp>>,
    flag: Arc<Flag>,
    waker: Waker,
    work: Pin<Box<dyn Future<Output = Ended>>>,
}

/// How an operator ends: told to, or because a reconciler did; or superseded.
pub type Ended = Result<Option<ScenarioName>, Fenced>;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Process {
    /// Takes the data folder, and starts.
    pub fn start(around: &Surroundings) -> Self {
        let (epoch, folder, trusts_until) = (around.disk.take(), Folder::nowhere(), Arc::new(Mutex::new(BEGAN)));
        {
            let mut core = around.core.lock().unwrap();
            core.tell(|| format!("operator {epoch}: starts"));
            let now = core.now;
            core.note_life(around.disk.writer(), now);
        }
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let (disk, core, trusts) = (around.disk.clone(), Arc::clone(&around.core), Arc::clone(&trusts_until));
        let confirm = move || {
            let (now, newest) = (core.lock().unwrap().now, disk.epoch());
            let is_trusted = now < *trusts.lock().unwrap();
            if newest > epoch && !is_trusted { Err(Fenced { epoch, newest }) } else { Ok(()) }
        };
        let (shutdown, told) = watch::channel(false);
        let work = operate(around.clone(), epoch, folder.clone(), told);
        let work = while_confirmed(confirm, std::future::pending(), work);
        Self {
            epoch,
            folder,
            polls: 0,
            paused_until: BEGAN,
            began_at: around.core.lock().unwrap().now,
            told_to_end: None,
            shutdown,
            trusts_until,
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            work: Box::pin(work),
        }
    }

    /// It was superseded and does not know yet: it just renewed.
    pub fn trust(&self, now: Timestamp) {
        *self.trusts_until.lock().unwrap() = now.plus(TRUSTED_FOR);
    }

    /// Whether it must know by now who holds the folder.
    pub fn must_know(&self, now: Timestamp) -> bool {
        now >= *self.trusts_until.lock().unwrap()
    }

    pub fn is_woken(&self) -> bool {
        self.flag.0.swap(false, Ordering::SeqCst)
    }

    /// As by SIGTERM: it heals, waits for its answers, and ends.
    pub fn tell_to_end(&mut self, now: Timestamp, next_after: Duration) {
        self.told_to_end = Some((now, next_after));
        self.shutdown.send_replace(true);
    }

    pub fn poll(&mut self) -> Poll<Ended> {
        self.polls += 1;
        self.work.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// The work of an operator that holds the folder. It ends when it is told to, or when a reconciler does.
async fn operate(around: Surroundings, epoch: u64, folder: Folder, mut told: watch::Receiver<bool>) -> Ended {
    let Surroundings { core, disk, ahead, script, halt, mutant } = around;
    let truth = || core.lock().unwrap().now;
    let clock = SimClock { core: Arc::clone(&core), ahead };
    let world = SimWorld { core: Arc::clone(&core), clock: clock.clone(), disk: disk.clone(), epoch, mutant };
    let writer = disk.writer();
    let store = SimStore { disk, core: Arc::clone(&core), epoch, mutant };
    let control = watch::Sender::new(control_at(truth(), halt));
    let verdicts = watch::Sender::default();
    let shared = Arc::new(Operator {
        world,
        store,
        clock: clock.clone(),
        folder,
        writer,
        epoch,
        verdicts,
        control,
        turns: Turns::default(),
        claims: Claims::default(),
        stop_within: STOP_WITHIN,
    });
    let mut fleet = Fleet::new(Arc::clone(&shared), told.clone());
    fleet.take_up().await.expect("the simulated disk can be listed");
    let mut versions = script.into_iter().peekable();
    let mut sweeping = next_sweep(&shared, mutant, Duration::ZERO);
    loop {
        while let Some((_, desired)) = versions.next_if(|(offset, _)| BEGAN.plus(*offset) <= truth()) {
            // Twice: a deletion needs two readings, some time apart.
            fleet.want(&desired, |_| false, clock.now().minus(ABSENT_FOR));
            fleet.want(&desired, |_| false, clock.now());
        }
        shared.control.send_replace(control_at(truth(), halt));
        let edges = halt.into_iter().flat_map(|(from, to)| [from, to]);
        let version = versions.peek().map(|(offset, _)| BEGAN.plus(*offset));
        let next = edges.filter(|edge| *edge > truth()).chain(version).min();
        let change = async {
            match next {
                Some(instant) => sleep_until(&core, instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = told.changed() => return fleet.finish().await.map(|()| None),
            ended = fleet.step() => return ended.map(Some),
            () = &mut sweeping => sweeping = next_sweep(&shared, mutant, SWEEP_EVERY),
            () = change => {}
        }
    }
}

/// What lost data folders left behind is looked for beside everything else.
fn next_sweep(
    shared: &Arc<Operator<SimWorld, SimStore, SimClock>>,
    mutant: Mutant,
    wait: Duration,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        pause(&shared.clock.core, wait).await;
        sweep(shared, vec![target(mutant)]).await;
    })
}

fn control_at(now: Timestamp, halt: Halt) -> Control {
    let is_halted = halt.is_some_and(|(from, to)| from <= now && now < to);
    let drill = || Request { reason: "a drill".to_owned(), by: "the weather".to_owned(), since: BEGAN };
    Control { halted: is_halted.then(drill), ..Control::default() }
}
