//! L3: a scenario compiled into what will be done and when. A pure function of the accepted spec: same seed, same plan.

use std::time::Duration;

use crate::{
    fault::Fault,
    model::{FaultId, GenerationId, Key, ScenarioName},
    spec::{Expect, Scenario, ScenarioSpec},
};

/// Everything that one generation will do, as offsets from its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    pub seed: u64,
    /// Sorted by offset; an arrival's index in here is the index of its key.
    pub arrivals: Vec<Arrival>,
    /// Sorted by offset.
    pub faults: Vec<PlannedFault>,
    /// When the last phase of load ends.
    pub ends_at: Duration,
    pub expect: Expect,
    /// How long after the start unfinished runs are waited for at most.
    pub max_duration: Option<Duration>,
    /// The jobs' names, each once; arrivals name them by index.
    pub jobs: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub offset: Duration,
    pub job: u32,
}

/// One occurrence of a declared fault.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    pub id: FaultId,
    pub offset: Duration,
    pub fault: Fault,
    /// The stream of the seed that draws its targets.
    pub stream: u64,
}

impl Plan {
    /// The key of the arrival of this index.
    pub fn key(&self, index: u32) -> Key {
        Key { scenario: self.scenario.clone(), generation: self.generation.clone(), index }
    }

    /// The name of the job that the arrival of this index runs.
    pub fn job(&self, index: u32) -> &str {
        &self.jobs[self.arrivals[index as usize].job as usize]
    }

    pub fn fault(&self, id: &FaultId) -> Option<&PlannedFault> {
        self.faults.iter().find(|fault| fault.id == *id)
    }
}

/// Compiles a valid scenario. It cannot fail: what could is checked by `spec`.
pub fn compile(scenario: &Scenario, generation: &GenerationId) -> Plan {
    let spec = &scenario.spec;
    let (arrivals, jobs) = arrivals(spec);
    Plan {
        scenario: scenario.name.clone(),
        generation: generation.clone(),
        seed: spec.seed,
        arrivals,
        faults: faults(spec),
        ends_at: spec
            .load
            .iter()
            .map(|phase| phase.after.duration() + phase.length.duration())
            .max()
            .unwrap_or_default(),
        expect: spec.expect.clone(),
        max_duration: spec.limits.max_duration.map(|span| span.duration()),
        jobs,
    }
}

fn arrivals(spec: &ScenarioSpec) -> (Vec<Arrival>, Vec<String>) {
    let mut jobs: Vec<String> = vec![];
    let mut arrivals = vec![];
    for (number, phase) in spec.load.iter().enumerate() {
        let indices: Vec<u32> = phase.jobs.jobs.iter().map(|choice| intern(&mut jobs, &choice.job)).collect();
        let draw = phase.jobs.draw(spec.seed, number as u64);
        let offsets = phase.arrivals.offsets(phase.length.duration(), spec.seed, number as u64);
        arrivals.extend(
            offsets
                .zip(draw)
                .map(|(offset, drawn)| Arrival { offset: phase.after.duration() + offset, job: indices[drawn] }),
        );
    }
    // Stable: arrivals of one instant keep the order of the phases.
    arrivals.sort_by_key(|arrival| arrival.offset);
    (arrivals, jobs)
}

fn intern(jobs: &mut Vec<String>, job: &str) -> u32 {
    let index = jobs.iter().position(|known| known == job).unwrap_or_else(|| {
        jobs.push(job.to_owned());
        jobs.len() - 1
    });
    index as u32
}

fn faults(spec: &ScenarioSpec) -> Vec<PlannedFault> {
    let mut faults = vec![];
    for (number, declared) in spec.faults.iter().enumerate() {
        let (every, times) =
            declared.repeat.as_ref().map_or((Duration::ZERO, 1), |repeat| (repeat.every.duration(), repeat.times));
        faults.extend((0..times).map(|turn| PlannedFault {
            id: FaultId { name: declared.name.clone(), occurrence: turn + 1 },
            offset: declared.after.duration() + every * turn,
            fault: declared.fault.clone(),
            stream: ((number as u64) << 32) | u64::from(turn),
        }));
    }
    faults.sort_by_key(|fault| fault.offset);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Manifest, load};

    fn compiled(load_yaml: &str) -> Plan {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: {{ name: a }}\nspec:\n  target: local\n  seed: 7\n{load_yaml}"
        );
        let documents = load("test.yaml", text.as_bytes());
        match documents.first().map(|document| &document.content) {
            Some(Ok(Manifest::Scenario(scenario))) => {
                compile(scenario, &GenerationId { digest: scenario.digest(), repeat: 1 })
            }
            other => panic!("not a scenario: {other:?}"),
        }
    }

    #[test]
    fn phases_overlap_in_order_and_the_draw_is_their_own() {
        let plan = compiled(
            "  load:
    - { name: base, for: 30s, arrivals: { constant: { rate: 6/min } }, jobs: { fast_job: 70%, slow_job: 30% } }
    - { name: spikes, after: 5s, for: 10s, arrivals: { burst: { size: 3, every: 5s } }, jobs: { fast_job: 1 } }
  faults:
    - { name: kill, after: 3s, repeat: { every: 10s, times: 2 }, stopTasks: { service: workers, pick: 30% } }
",
        );
        let offsets: Vec<u64> = plan.arrivals.iter().map(|arrival| arrival.offset.as_secs()).collect();
        assert_eq!(offsets, [0, 5, 5, 5, 10, 10, 10, 10, 20]);
        assert_eq!(plan.ends_at, Duration::from_secs(30));
        assert_eq!(plan.jobs, ["fast_job", "slow_job"]);
        assert_eq!(plan.key(3).to_string(), format!("a/{}/3", plan.generation));
        let faults: Vec<(String, u64)> =
            plan.faults.iter().map(|fault| (fault.id.to_string(), fault.offset.as_secs())).collect();
        assert_eq!(faults, [("kill#1".to_owned(), 3), ("kill#2".to_owned(), 13)]);
        assert_ne!(plan.faults[0].stream, plan.faults[1].stream);
    }

    #[test]
    fn changing_the_shape_leaves_the_drawn_jobs_alone() {
        let jobs = |shape: &str| {
            let plan = compiled(&format!(
                "  load:\n    - {{ name: base, for: 60s, arrivals: {shape}, jobs: {{ fast_job: 1, slow_job: 1 }} }}\n"
            ));
            (0..10).map(|index| plan.job(index).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(jobs("{ constant: { rate: 1/s } }"), jobs("{ burst: { size: 10, every: 10s } }"));
    }
}
