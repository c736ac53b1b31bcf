//! L1: the faults. Each file says what to look at, what to do, how to undo it and when it is healed. Pure.

mod declared;
pub mod partition;
pub mod permissions;
mod stop_tasks;

pub use declared::{Cut, DenyQueue, DrainInstances, DrainService, Partition, Redeliver};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
pub use stop_tasks::{Follow, Pick, Room, Selector, StopTasks, may_stop};

use crate::model::{Effect, Observation, Query, Target, TaskView, Timestamp, Undo};

/// A fault as a scenario declares it. A new one is one more file and one more arm here.
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

/// What a fault answers that `spec` refuses: it never gets this far.
const NOT_CARRIED_OUT: &str = "this version plans this fault and cannot carry it out";

/// Whether a fault can be injected now. An empty list of targets is never `Ready`.
#[derive(Debug, Clone, PartialEq)]
pub enum Aim {
    Ready {
        targets: Vec<TaskView>,
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
    /// The fault's identity, for the only free text that AWS keeps.
    pub reason: String,
}

impl Aiming<'_> {
    fn rng(&self) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.stream);
        rng
    }
}

/// How far an injected fault has got, judged from one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The look is missing, failed, or too old.
    Unseen,
    /// The targets still run, and so does all that should.
    Intact,
    /// Some targets still run, and something is missing.
    NotYet,
    /// The targets are gone, the baseline is not back.
    Broken,
    /// The baseline is back.
    Steady,
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
            Self::DrainService(_)
            | Self::DrainInstances(_)
            | Self::Partition(_)
            | Self::DenyQueue(_)
            | Self::Redeliver(_) => None,
        }
    }

    /// Chooses the targets within the guards and says what to do and how to undo it.
    pub fn aim(&self, aiming: &Aiming<'_>) -> Aim {
        match self {
            Self::StopTasks(fault) => fault.aim(aiming),
            Self::DrainService(_)
            | Self::DrainInstances(_)
            | Self::Partition(_)
            | Self::DenyQueue(_)
            | Self::Redeliver(_) => Aim::Never(NOT_CARRIED_OUT.to_owned()),
        }
    }

    /// Judges a look asked at or after `since`.
    pub fn progress(
        &self,
        target: &Target,
        targets: &[TaskView],
        observation: &Observation,
        since: Timestamp,
    ) -> Progress {
        match self {
            Self::StopTasks(fault) => fault.progress(target, targets, observation, since),
            Self::DrainService(_)
            | Self::DrainInstances(_)
            | Self::Partition(_)
            | Self::DenyQueue(_)
            | Self::Redeliver(_) => Progress::Unseen,
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
