//! L3: a scenario compiled into what will be done and when. A pure function of the accepted spec: same seed, same plan.

mod schedule;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use indexmap::IndexMap;
pub use schedule::{Arrival, Schedule, Walk};
use serde::Serialize;

use crate::{
    fault::Fault,
    load::{Arrivals, Draw, JobMix, Rows, Weighted},
    model::{
        Criterion, FaultId, GenerationId, Key, KeyStream, Metric, PARTITION_TAG, PartitionAsk, Partitioning,
        ScenarioName, Timestamp, When,
    },
    spec::{AbortOn, Expect, FaultTrigger, Scenario, ScenarioSpec},
};

/// Everything that one generation will do, as offsets from its start.
#[derive(Debug, Clone)]
pub struct Plan {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    pub seed: u64,
    pub arrivals: Schedule,
    /// What arrivals launch, each once; they name it by index.
    pub choices: Vec<Choice>,
    /// What must be known of them before the start.
    pub asks: Vec<PartitionAsk>,
    /// Sorted by offset.
    pub faults: Vec<PlannedFault>,
    /// When the last phase of load ends.
    pub ends_at: Duration,
    pub expect: Expect,
    /// How long after the start unfinished runs are waited for at most.
    pub max_duration: Option<Duration>,
    /// How many runs may be under way at once.
    pub max_in_flight: Option<u32>,
    /// What ends it early.
    pub abort_on: Option<AbortOn>,
}

/// A job as a mix asks for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    pub job: String,
    pub run_config: serde_json::Value,
    /// Tags of the run beside dagstorm's own.
    pub tags: IndexMap<String, String>,
    /// The assets that are selected, as `a/b`; empty: the whole job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<PlannedPartition>,
}

/// Which partition each arrival of a choice runs for. A choice with one is of one entry of one phase alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPartition {
    pub partitioning: Partitioning,
    pub stream: KeyStream,
}

/// One occurrence of a declared fault.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    pub id: FaultId,
    /// From the start of the scenario; with `when`, from the instant at which its first occurrence began.
    pub offset: Duration,
    /// What it waits for.
    pub when: Option<When>,
    /// How long it stays, if it is one that stays.
    pub length: Option<Duration>,
    pub fault: Fault,
    /// The stream of the seed that draws its targets.
    pub stream: u64,
}

impl Plan {
    /// The key of the arrival of this index.
    pub fn key(&self, index: u32) -> Key {
        Key { scenario: self.scenario.clone(), generation: self.generation.clone(), index }
    }

    /// What the arrival of this index launches; it is one of the plan's.
    pub fn choice(&self, index: u32) -> &Choice {
        let arrival = self.arrivals.get(index).expect("only planned arrivals are asked for");
        &self.choices[arrival.choice as usize]
    }

    /// The name of the job that the arrival of this index runs.
    pub fn job(&self, index: u32) -> &str {
        &self.choice(index).job
    }

    /// The names of all jobs, each once.
    pub fn jobs(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let names = self.choices.iter().map(|choice| choice.job.as_str());
        names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
    }

    /// The gauges that must be sampled for the thresholds and for `limits.abortOn`, each once.
    pub fn sampled(&self) -> BTreeSet<Metric> {
        let metrics = self.expect.thresholds.iter().map(Criterion::metric);
        let aborting = self.abort_on.as_ref().and_then(|abort_on| abort_on.when).map(|when| when.metric);
        metrics.chain(aborting).filter(|metric| metric.is_gauge()).collect()
    }

    /// How long after the intended instant of its arrival each of these came; what the plan does not know is left out.
    pub fn delays(&self, started_at: Timestamp, instants: Vec<(u32, Timestamp)>) -> Vec<Duration> {
        self.delays_of(started_at, instants, |_| true)
    }

    /// Likewise of some arrivals.
    pub fn delays_of(
        &self,
        started_at: Timestamp,
        mut instants: Vec<(u32, Timestamp)>,
        is_of: impl Fn(&Arrival) -> bool,
    ) -> Vec<Duration> {
        // In the plan's order: one walk through it is enough.
        instants.sort_unstable();
        let mut arrivals = self.arrivals.from(0);
        let delay = |(index, at): (u32, Timestamp)| {
            let arrival = arrivals.at(index).filter(&is_of)?;
            Some(at.since(started_at.plus(arrival.offset)))
        };
        instants.into_iter().filter_map(delay).collect()
    }

    pub fn fault(&self, id: &FaultId) -> Option<&PlannedFault> {
        self.faults.iter().find(|fault| fault.id == *id)
    }
}

/// Compiles a valid scenario. It cannot fail: what could is checked by `spec`.
pub fn compile(scenario: &Scenario, generation: &GenerationId) -> Plan {
    let spec = &scenario.spec;
    let (arrivals, choices) = arrivals(spec);
    let asks = asks(&arrivals, &choices, spec.seed);
    Plan {
        scenario: scenario.name.clone(),
        generation: generation.clone(),
        seed: spec.seed,
        arrivals,
        choices,
        asks,
        faults: faults(spec),
        ends_at: spec
            .load
            .iter()
            .map(|phase| phase.after.duration().saturating_add(phase.length.duration()))
            .max()
            .unwrap_or_default(),
        expect: spec.expect.clone(),
        max_duration: spec.limits.max_duration.map(|span| span.duration()),
        max_in_flight: spec.limits.max_in_flight,
        abort_on: spec.limits.abort_on.clone(),
    }
}

fn arrivals(spec: &ScenarioSpec) -> (Schedule, Vec<Choice>) {
    let mut choices = Choices::default();
    let phases = (0..).zip(&spec.load).map(|(number, phase)| {
        let recorded = match &phase.arrivals {
            Arrivals::Trace(trace) => trace.rows.as_ref(),
            Arrivals::Constant(_)
            | Arrivals::Ramp(_)
            | Arrivals::Stairs(_)
            | Arrivals::Poisson(_)
            | Arrivals::Burst(_)
            | Arrivals::Spike(_)
            | Arrivals::Diurnal(_) => None,
        };
        let jobs = &phase.jobs.jobs;
        let Launched { draw, choices, counters } = match recorded {
            Some(rows) => as_recorded(rows, &phase.jobs, spec, number, &mut choices),
            None => Launched {
                draw: phase.jobs.draw(spec.seed, number),
                choices: (0..).zip(jobs).map(|(entry, job)| choices.intern(job, stream(spec, number, entry))).collect(),
                counters: (0..jobs.len()).collect(),
            },
        };
        let offsets = phase.arrivals.offsets(phase.length.duration(), spec.seed, number);
        let is_counted = jobs.iter().any(|weighted| weighted.partition.is_some());
        let counters = if is_counted { counters } else { vec![] };
        schedule::Phase { after: phase.after.duration(), offsets, draw, choices, counters }
    });
    (Schedule::new(phases.collect()), choices.list)
}

/// What the arrivals of a phase launch.
struct Launched {
    draw: Draw,
    /// What the draw's indices stand for in the plan …
    choices: Vec<u32>,
    /// … and in the phase's mix.
    counters: Vec<usize>,
}

fn stream(spec: &ScenarioSpec, phase: u64, entry: u32) -> KeyStream {
    KeyStream { seed: spec.seed, phase: phase as u32, entry }
}

/// Asks after the choices with a partition or with assets, and how many turns each has.
fn asks(arrivals: &Schedule, choices: &[Choice], seed: u64) -> Vec<PartitionAsk> {
    let is_asked = |choice: &Choice| choice.partition.is_some() || !choice.assets.is_empty();
    if !choices.iter().any(is_asked) {
        return vec![];
    }
    let mut turns = vec![0; choices.len()];
    for arrival in arrivals.from(0) {
        let turns = &mut turns[arrival.choice as usize];
        *turns = (arrival.turn + 1).max(*turns);
    }
    let ask = |(number, choice): (u32, &Choice)| PartitionAsk {
        choice: number,
        job: choice.job.clone(),
        assets: choice.assets.clone(),
        partitioning: choice.partition.as_ref().map(|planned| planned.partitioning.clone()),
        is_tagged: choice.tags.keys().any(|tag| tag == PARTITION_TAG || tag.starts_with(RANGE_TAGS)),
        stream: choice.partition.as_ref().map_or(KeyStream { seed, phase: 0, entry: 0 }, |planned| planned.stream),
        turns: turns[number as usize],
    };
    (0..).zip(choices).filter(|(_, choice)| is_asked(choice)).map(ask).collect()
}

/// Dagster's tags of a run for several partitions of its assets begin so.
const RANGE_TAGS: &str = "dagster/asset_partition_range_";

/// What each row of a trace launches: the job that it names or that is drawn, with its own tags and run config.
fn as_recorded(rows: &Rows, jobs: &JobMix, spec: &ScenarioSpec, phase: u64, choices: &mut Choices) -> Launched {
    let kinds = || rows.of.iter().filter_map(|kind| rows.kinds.get(*kind as usize));
    let drawn = jobs.assign(spec.seed, phase, kinds().map(|kind| kind.job.as_deref()));
    let mut known: BTreeMap<(u32, usize), u32> = BTreeMap::new();
    let (mut own, mut counters) = (vec![], vec![]);
    let listed = rows.of.iter().zip(kinds()).zip(drawn).map(|((number, kind), job)| {
        *known.entry((*number, job)).or_insert_with(|| {
            let mut weighted = jobs.jobs[job].clone();
            weighted.run_config = kind.run_config_in(&weighted.run_config);
            weighted.tags.extend(kind.tags.clone());
            own.push(choices.intern(&weighted, stream(spec, phase, job as u32)));
            counters.push(job);
            own.len() as u32 - 1
        })
    });
    let draw = Draw::listed(listed.collect());
    Launched { draw, choices: own, counters }
}

#[derive(Default)]
struct Choices {
    list: Vec<Choice>,
    known: BTreeMap<String, u32>,
}

impl Choices {
    fn intern(&mut self, weighted: &Weighted, stream: KeyStream) -> u32 {
        let Weighted { job, weight: _, run_config, tags, partition, assets } = weighted.clone();
        let partition = partition.map(|partitioning| PlannedPartition { partitioning, stream });
        let choice = Choice { job, run_config, tags, assets, partition };
        let name = serde_json::to_string(&choice).expect("a choice has string keys only, so it always serializes");
        *self.known.entry(name).or_insert_with(|| {
            self.list.push(choice);
            self.list.len() as u32 - 1
        })
    }
}

fn faults(spec: &ScenarioSpec) -> Vec<PlannedFault> {
    let mut faults = vec![];
    for (number, declared) in spec.faults.iter().enumerate() {
        let (every, times) =
            declared.repeat.as_ref().map_or((Duration::ZERO, 1), |repeat| (repeat.every.duration(), repeat.times));
        let (begins, when) = match declared.trigger {
            FaultTrigger::After(after) => (after.duration(), None),
            FaultTrigger::When(when) => (Duration::ZERO, Some(when)),
        };
        faults.extend((0..times).map(|turn| PlannedFault {
            id: FaultId { name: declared.name.clone(), occurrence: turn + 1 },
            offset: begins + every * turn,
            when,
            length: declared.length.map(|length| length.duration()),
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
    use crate::spec::{Manifest, load, no_attachments};

    fn compiled(load_yaml: &str) -> Plan {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: {{ name: a }}\nspec:\n  target: local\n  seed: 7\n{load_yaml}"
        );
        let documents = load("test.yaml", text.as_bytes(), &no_attachments);
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
        let offsets: Vec<u64> = plan.arrivals.from(0).map(|arrival| arrival.offset.as_secs()).collect();
        assert_eq!(offsets, [0, 5, 5, 5, 10, 10, 10, 10, 20]);
        assert_eq!(plan.ends_at, Duration::from_secs(30));
        assert_eq!(plan.jobs(), ["fast_job", "slow_job"]);
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
