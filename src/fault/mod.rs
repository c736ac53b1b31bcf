//! L1: the faults. Each file says what to look at, what to do, how to undo it and when it is healed. Pure.

mod deny_queue;
mod drain_instances;
mod drain_service;
mod guard;
pub mod partition;
pub mod permissions;
mod pick;
mod redeliver;
mod stop_tasks;

pub use deny_queue::DenyQueue;
pub use drain_instances::DrainInstances;
pub use drain_service::DrainService;
use indexmap::IndexMap;
pub use partition::{Cut, Partition};
pub use pick::{Pick, Room, permits};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
pub use redeliver::Redeliver;
use serde::{Deserialize, Serialize};
pub use stop_tasks::{Follow, Selector, StopTasks};

use crate::model::{
    Effect, Object, Observation, Outcome, PolicyView, Query, Seen, Target, TaskArn, TaskView, Timed, Timestamp, Undo,
    WhyKind, WriterId,
    mark::{self, FAULT_TAG},
};

/// A fault as a scenario declares it. `docs/architecture.md` lists what a new one touches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    StopTasks(StopTasks),
    DrainService(DrainService),
    DrainInstances(DrainInstances),
    Partition(Partition),
    DenyQueue(DenyQueue),
    Redeliver(Redeliver),
}

/// The role of the queue that faults are about unless they name another.
const TASKS: &str = "tasks";

/// Whether a fault can be injected now. An empty list of targets is never `Ready`.
#[derive(Debug, Clone, PartialEq)]
pub enum Aim {
    Ready {
        /// The tasks that it stops.
        targets: Vec<TaskView>,
        /// The objects that it changes: no other fault may have them meanwhile.
        objects: Vec<Object>,
        inject: Vec<Effect>,
        undo: Undo,
    },
    /// Not now; a later look may change it.
    Wait(String),
    /// Not in this scenario: what is asked for is forbidden or cannot exist.
    Never(String),
}

/// What an aim is taken with.
pub struct Aiming<'a> {
    pub target: &'a Target,
    pub observation: &'a Observation,
    /// A look asked before this instant is too old to aim by.
    pub not_before: Timestamp,
    /// The scenario's seed and the number of this occurrence among all: the draw of targets depends on nothing else.
    pub seed: u64,
    pub stream: u64,
    /// What the first occurrence of the fault chose, if this is another.
    pub first: Option<First<'a>>,
    /// The fault's identity, for the only free text that AWS keeps.
    pub reason: String,
    /// The fault's identity, for the mark: `scenario/generation/fault`.
    pub fault: String,
    /// The data folder that works on it, for the mark. `None`: nothing will be marked.
    pub writer: Option<&'a WriterId>,
    /// When it is to be over at the latest, for the mark.
    pub heal_by: Timestamp,
}

impl Aiming<'_> {
    /// The tags that mark an object which is about to be changed.
    fn mark(&self, undo: &[Effect]) -> Result<IndexMap<String, String>, Aim> {
        let signature = mark::Signature { fault: &self.fault, writer: self.writer, heal_by: self.heal_by };
        mark::tags(&signature, undo).map_err(Aim::Never)
    }
}

/// What the first occurrence of a fault chose, and when.
#[derive(Debug, Clone, Copy)]
pub struct First<'a> {
    pub targets: &'a [TaskView],
    pub at: Timestamp,
}

/// What was recorded of an injection.
pub struct Injected<'a> {
    pub fault: String,
    pub targets: &'a [TaskView],
    pub objects: &'a [Object],
    pub undo: &'a Undo,
    pub outcomes: &'a [Option<Outcome>],
}

impl Injected<'_> {
    /// Whether these tags are of this fault.
    fn has_marked(&self, tags: &IndexMap<String, String>) -> bool {
        tags.get(FAULT_TAG) == Some(&self.fault)
    }
}

/// The role of the queue, where a manifest names none.
fn tasks() -> String {
    TASKS.to_owned()
}

/// What has to be looked at for a fault of a queue.
fn queue_query(target: &Target, role: &str) -> Option<Query> {
    target.queue_name(role).map(|_| Query::Policy { queue: role.to_owned() })
}

/// What a look shows, if it was asked late enough and answered.
fn fresh<'a, T>(seen: Option<&'a Timed<T>>, not_before: Timestamp, what: &str) -> Result<&'a T, Aim> {
    let Some(seen) = seen else { return Err(Aim::Wait(format!("{what} was not looked at yet"))) };
    if seen.asked_at < not_before {
        return Err(Aim::Wait(format!("the last look at {what} is too old")));
    }
    match &seen.answer {
        Seen::Fresh(view) => Ok(view),
        Seen::Unavailable(why) => Err(Aim::Wait(format!("{what}: {why}"))),
    }
}

/// What a look asked at or after `since` shows; else how far that lets judge.
fn judged<T>(seen: Option<&Timed<T>>, since: Timestamp) -> Result<&T, Progress> {
    match seen.filter(|seen| seen.asked_at >= since).map(|seen| &seen.answer) {
        Some(Seen::Fresh(view)) => Ok(view),
        Some(Seen::Unavailable(why)) if why.kind == WhyKind::NotFound => Err(Progress::Gone),
        Some(Seen::Unavailable(_)) | None => Err(Progress::Unseen),
    }
}

impl Aiming<'_> {
    /// A queue by its role, as an object that the guard lets be changed and that no other fault has.
    fn queue(&self, role: &str, what: &str) -> Result<&PolicyView, Aim> {
        let view = fresh(self.observation.policies.get(role), self.not_before, what)?;
        guard::permits_arn(&self.target.guard, &view.arn, &view.tags, what)?;
        guard::is_free(&view.tags, &self.fault, what)?;
        Ok(view)
    }

    fn rng(&self) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.stream);
        rng
    }
}

/// How far an injected fault has got, judged from one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The look is missing, failed, or too old.
    Unseen,
    /// Nothing of the fault is there: the targets still run, the objects are as they were.
    Intact,
    /// Part of it is in place.
    NotYet,
    /// The objects are as they were, but for the mark: the change has not come yet, or is taken back already.
    Marked,
    /// It is in place: the targets are gone, the objects changed.
    Broken,
    /// What we changed is back; what AWS does after that is not.
    Recovering,
    /// The baseline is back.
    Steady,
    /// Somebody else changed the object meanwhile: what is different.
    Foreign(String),
    /// What was changed does not exist any more: nothing is left to heal.
    Gone,
}

impl Fault {
    /// The word that a manifest uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::StopTasks(_) => "stopTasks",
            Self::DrainService(_) => "drainService",
            Self::DrainInstances(_) => "drainInstances",
            Self::Partition(_) => "partition",
            Self::DenyQueue(_) => "denyQueue",
            Self::Redeliver(_) => "redeliver",
        }
    }

    /// Whether it stays in place until it is undone: it needs a `for`.
    pub fn lasts(&self) -> bool {
        match self {
            Self::StopTasks(_) | Self::Redeliver(_) => false,
            Self::DrainService(_) | Self::DrainInstances(_) | Self::Partition(_) | Self::DenyQueue(_) => true,
        }
    }

    /// What has to be looked at, to aim and to judge.
    pub fn query(&self, target: &Target) -> Option<Query> {
        match self {
            Self::StopTasks(fault) => fault.query(target),
            Self::DrainService(fault) => fault.query(target),
            Self::DrainInstances(fault) => fault.query(target),
            Self::Partition(fault) => fault.query(target),
            Self::DenyQueue(fault) => fault.query(target),
            Self::Redeliver(fault) => fault.query(target),
        }
    }

    /// What has to be looked at while it is open.
    pub fn watch(&self, target: &Target, objects: &[Object]) -> Option<Query> {
        match self {
            Self::Partition(_) => Some(Query::Objects { objects: objects.to_vec() }),
            Self::StopTasks(_)
            | Self::DrainService(_)
            | Self::DrainInstances(_)
            | Self::DenyQueue(_)
            | Self::Redeliver(_) => self.query(target),
        }
    }

    /// Chooses the targets within the guards and says what to do and how to undo it.
    pub fn aim(&self, aiming: &Aiming<'_>) -> Aim {
        let aim = match self {
            Self::StopTasks(fault) => fault.aim(aiming),
            Self::DrainService(fault) => fault.aim(aiming),
            Self::DrainInstances(fault) => fault.aim(aiming),
            Self::Partition(fault) => fault.aim(aiming),
            Self::DenyQueue(fault) => fault.aim(aiming),
            Self::Redeliver(fault) => fault.aim(aiming),
        };
        aim.unwrap_or_else(|aim| aim)
    }

    /// Whether an effect whose fate is not known may be sent again, by a look asked at or after `since`: the guard has a say in
    /// that too. `others` are the effects of the fault that may have come about, or will.
    pub fn may_repeat<'a>(
        &self,
        effect: &Effect,
        others: &[&'a Effect],
        target: &Target,
        observation: &Observation,
        since: Timestamp,
    ) -> bool {
        match (self, effect) {
            (Self::StopTasks(fault), Effect::StopTask { task, .. }) => {
                let stopped =
                    |one: &&'a Effect| if let Effect::StopTask { task, .. } = one { Some(task) } else { None };
                let going: Vec<&TaskArn> = others.iter().filter_map(stopped).collect();
                fault.may_repeat(task, &going, target, observation, since)
            }
            (_, _) => true,
        }
    }

    /// Judges a look asked at or after `since`.
    pub fn progress(
        &self,
        target: &Target,
        injected: &Injected<'_>,
        observation: &Observation,
        since: Timestamp,
    ) -> Progress {
        match self {
            Self::StopTasks(fault) => fault.progress(target, injected, observation, since),
            Self::DrainService(fault) => fault.progress(target, injected, observation, since),
            Self::DrainInstances(fault) => fault.progress(injected, observation, since),
            Self::Partition(fault) => fault.progress(injected, observation, since),
            Self::DenyQueue(fault) => fault.progress(injected, observation, since),
            Self::Redeliver(fault) => fault.progress(injected, observation, since),
        }
    }

    /// What the fault is, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::StopTasks(fault) => fault.describe(),
            Self::DrainService(fault) => format!("drain service {}", fault.service),
            Self::DrainInstances(fault) => format!("drain {} of the container instances", fault.pick),
            Self::Partition(fault) => format!("cut {} from {} ({})", fault.between, fault.and, fault.cut),
            Self::DenyQueue(fault) => format!("deny the data plane of queue {}", fault.queue),
            Self::Redeliver(fault) => format!("deliver {} of queue {} once more", fault.share, fault.queue),
        }
    }
}
