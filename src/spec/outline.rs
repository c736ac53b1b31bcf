//! What scenarios ask of each other and of targets, and what targets have: also of documents with mistakes, as far as it
//! could be read.

use super::{FaultTrigger, Scenario, StartTrigger, problem::Path};
use crate::{
    fault::{Fault, Selector, StopTasks},
    model::{Metric, ScenarioName, Target, target::Place},
};

/// What others have to fit.
#[derive(Debug, Clone, PartialEq)]
pub enum Outline {
    Scenario(Asks),
    Target(Offers),
}

/// What a scenario asks of others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asks {
    pub target: Option<ScenarioName>,
    /// The scenarios that it waits for, each with its place in `start.after`.
    pub after: Vec<(usize, ScenarioName)>,
    pub needs: Vec<(Path, Need)>,
}

/// What a target must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    Cluster,
    Queue,
    /// A service behind this role.
    Role(String),
    /// A peer of this name, which dagstorm itself does not stand beside.
    Peer(String),
}

/// What a target has. `Known::Unknown` where it was wrong, which is said elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Offers {
    pub roles: Known<Names>,
    pub queue: Known<()>,
    pub peers: Known<Names>,
    /// The workers' security group, if dagstorm carries it too.
    pub shared_group: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    Unknown,
    Absent,
    There(T),
}

/// Names, and whether they are all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub names: Vec<String>,
    pub is_whole: bool,
}

impl<T> Known<T> {
    /// What is there, unless it was left out.
    pub fn of(value: Option<T>, was_left_out: bool) -> Self {
        match value {
            Some(value) => Self::There(value),
            None if was_left_out => Self::Unknown,
            None => Self::Absent,
        }
    }
}

impl Asks {
    pub fn of(scenario: &Scenario) -> Self {
        let spec = &scenario.spec;
        let mut asks = Self { target: Some(spec.target.clone()), ..Self::default() };
        let at = Path::root("spec");
        for (index, fault) in spec.faults.iter().enumerate() {
            let here = at.key("faults").index(index);
            if let FaultTrigger::When(when) = &fault.trigger {
                asks.metric(&here.key("when"), when.metric);
            }
            asks.fault(&here, &fault.fault);
        }
        for threshold in &spec.expect.thresholds {
            asks.threshold(threshold.metric());
        }
        if let Some(when) = spec.limits.abort_on.as_ref().and_then(|abort_on| abort_on.when) {
            asks.metric(&at.keys("limits.abortOn.when"), when.metric);
        }
        if let Some(StartTrigger::After(names)) = spec.start.as_ref().map(|start| &start.trigger) {
            asks.after = names.iter().cloned().enumerate().collect();
        }
        asks
    }

    /// What a fault acts on.
    pub fn fault(&mut self, at: &Path, fault: &Fault) {
        let (field, need) = match fault {
            Fault::StopTasks(StopTasks { tasks: Selector::Service(role), .. }) => {
                ("stopTasks.service", Need::Role(role.clone()))
            }
            Fault::StopTasks(StopTasks {
                tasks: Selector::Family(_) | Selector::Tag(_) | Selector::StartedBy(_),
                ..
            }) => ("stopTasks", Need::Cluster),
            Fault::DrainService(drain) => ("drainService.service", Need::Role(drain.service.clone())),
            Fault::DrainInstances(_) => ("drainInstances", Need::Cluster),
            Fault::Partition(partition) => ("partition.and", Need::Peer(partition.and.clone())),
            Fault::DenyQueue(_) => ("denyQueue", Need::Queue),
            Fault::Redeliver(_) => ("redeliver", Need::Queue),
        };
        self.needs.push((at.keys(field), need));
    }

    /// What a threshold on this metric is measured at.
    pub fn threshold(&mut self, metric: Metric) {
        self.metric(&Path::root("spec").keys("expect.thresholds").key(metric.word()), metric);
    }

    pub fn metric(&mut self, at: &Path, metric: Metric) {
        let need = match metric {
            Metric::QueueDepth | Metric::QueueAge => Need::Queue,
            Metric::Workers => Need::Role("workers".to_owned()),
            Metric::RunLatency
            | Metric::StartLatency
            | Metric::Lateness
            | Metric::RecoveryTime
            | Metric::SubmissionErrors
            | Metric::Failures
            | Metric::SuccessRate
            | Metric::Throughput => return,
        };
        // Several thresholds of one metric lack the same.
        if !self.needs.contains(&(at.clone(), need.clone())) {
            self.needs.push((at.clone(), need));
        }
    }
}

impl Offers {
    pub fn of(target: &Target) -> Self {
        let whole = |names: Vec<String>| Names { names, is_whole: true };
        let peers = target.network.as_ref().map(|network| whole(network.peers.keys().cloned().collect()));
        let shared = target.network.as_ref().filter(|network| {
            // A partition changes the rules of the workers' group: all that carries it loses the path.
            network.own == Some(Place::SecurityGroup(network.workers_group.clone()))
        });
        Self {
            roles: Known::of(target.ecs.as_ref().map(|ecs| whole(ecs.services.keys().cloned().collect())), false),
            queue: Known::of(target.queue.as_ref().map(|_| ()), false),
            peers: Known::of(peers, false),
            shared_group: shared.map(|network| network.workers_group.clone()),
        }
    }
}
