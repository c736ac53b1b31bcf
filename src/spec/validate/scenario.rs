//! Scenarios.

use std::time::Duration;

use super::{
    Attachments, Path, Problem, Problems, targets,
    thresholds::{Names, expect},
};
use crate::{
    fault::{Fault, Selector, StopTasks},
    load::{Arrivals, JobMix, RawTrace, Trace, TraceError, Weighted},
    model::{ASSET_JOB, Span, lane},
    spec::{
        FaultSpec, FaultTrigger, Limits, LoadPhase, Overlap, Scenario, ScenarioSpec, Start, StartTrigger,
        mix::RawMix,
        partition::RawPartition,
        passed_on::RunConfig,
        problem::help_for,
        raw::{Raw, RawArrivals, RawFault, RawLimits, RawPhase, RawScenario, RawStart, RawStopTasks},
    },
};

/// More arrivals than this are no scenario but a mistake.
const MOST_ARRIVALS: u32 = 1_000_000;
const MOST_PHASES: usize = 100;
const MOST_FAULTS: usize = 100;
/// A fault comes so often at most, and not more often than once in so long.
const MOST_REPEATS: u32 = 1_000;
const LEAST_REPEAT: Duration = Duration::from_secs(1);
/// A tag of a run that dagstorm itself writes.
const OWN_TAGS: &str = "dagstorm/";

/// Makes a scenario valid, or names everything that is wrong with it.
///
/// `is_whole`: nothing of the file had to be left out. If not, only what stands on its own is judged: the load's end is
/// not known when a phase is missing.
pub fn scenario(raw: Raw<RawScenario>, is_whole: bool, attachments: Attachments<'_>) -> Result<Scenario, Vec<Problem>> {
    let mut problems = Problems::default();
    let named = Path::root("metadata").key("name");
    let name = problems.name(&named, &raw.metadata.name);
    if lane::is_reserved(&raw.metadata.name) {
        let message =
            format!("`{}` is the name of a lane: `--` and a number at the end are dagstorm's own", raw.metadata.name);
        problems.add(&named, message);
    }
    let at = Path::root("spec");
    let spec = raw.spec;
    let target = problems.name(&at.key("target"), &spec.target);
    let start = spec.start.and_then(|raw_start| start(&mut problems, &at.key("start"), raw_start, &raw.metadata.name));
    let overlaps = start.as_ref().is_some_and(|start| start.overlap == Overlap::Allow);
    if overlaps && raw.metadata.name.len() > lane::LONGEST_NAME {
        let message = format!(
            "with `overlap: allow` a name has {} characters at most: its turns are told apart by a number behind it",
            lane::LONGEST_NAME
        );
        problems.add(&named, message);
    }
    let names = is_whole.then(|| Names {
        phases: spec.load.iter().map(|phase| phase.name.clone()).collect(),
        faults: spec.faults.iter().map(|fault| fault.name.clone()).collect(),
    });
    let load = load(&mut problems, &at.key("load"), spec.load, is_whole, attachments);
    let faults = faults(&mut problems, &at.key("faults"), spec.faults);
    let expect = expect(&mut problems, &at.key("expect"), &spec.expect, names.as_ref());
    let limits = limits(&mut problems, &at.key("limits"), spec.limits);
    if is_whole && problems.0.is_empty() {
        check_amount(&mut problems, &at, &load, spec.seed, &limits);
        check_times(&mut problems, &at.key("faults"), &faults, &load);
    }
    let (Some(name), Some(target), true) = (name, target, problems.0.is_empty()) else { return Err(problems.0) };
    let faults = faults.into_iter().map(|(_, fault)| fault).collect();
    Ok(Scenario {
        name,
        labels: raw.metadata.labels,
        suspend: spec.suspend,
        deletion: spec.deletion,
        spec: ScenarioSpec { target, seed: spec.seed, start, load, faults, expect, limits },
    })
}

fn start(problems: &mut Problems, at: &Path, raw: RawStart, own_name: &str) -> Option<Start> {
    let given = [
        ("after", raw.after.is_some()),
        ("at", raw.at.is_some()),
        ("every", raw.every.is_some()),
        ("cron", raw.cron.is_some()),
    ];
    if !problems.exactly_one(at, &given) {
        return None;
    }
    if raw.overlap.is_some() && raw.every.is_none() && raw.cron.is_none() {
        problems.add(&at.key("overlap"), "belongs to `every` or `cron`: nothing else starts twice");
    }
    let trigger = match (raw.after, raw.at, raw.every, raw.cron) {
        (Some(names), ..) => {
            let here = at.key("after");
            if names.is_empty() {
                problems.add(&here, "is empty: name at least one scenario");
            }
            let mut after = vec![];
            for (index, name) in names.iter().enumerate() {
                if name == own_name {
                    problems.add(&here.index(index), "a scenario cannot wait for itself");
                }
                after.extend(problems.name(&here.index(index), name));
            }
            StartTrigger::After(after)
        }
        (None, Some(instant), ..) => StartTrigger::At(instant),
        (None, None, Some(every), _) => {
            if every.duration() < LEAST_REPEAT {
                problems.add(&at.key("every"), "is at least 1s");
            }
            StartTrigger::Every(every)
        }
        (None, None, None, Some(cron)) => StartTrigger::Cron(cron),
        (None, None, None, None) => return None,
    };
    Some(Start { trigger, overlap: raw.overlap.unwrap_or_default() })
}

fn load(
    problems: &mut Problems,
    at: &Path,
    phases: Vec<RawPhase>,
    is_whole: bool,
    attachments: Attachments<'_>,
) -> Vec<LoadPhase> {
    if phases.is_empty() && is_whole {
        problems.add(at, "a scenario needs at least one phase of load");
    }
    if phases.len() > MOST_PHASES {
        problems.add(at, format!("has {} phases; {MOST_PHASES} are the most", phases.len()));
    }
    let names: Vec<String> = phases.iter().map(|phase| phase.name.clone()).collect();
    let mut seen: Vec<&str> = vec![];
    let mut load = vec![];
    for (index, raw) in phases.into_iter().enumerate() {
        let here = at.index(index);
        problems.own_name(&here.key("name"), "phase", &names[index], &mut seen);
        if raw.length == Span::ZERO {
            problems.add(&here.key("for"), "a phase lasts longer than 0s");
        }
        let jobs = jobs(problems, &here.key("jobs"), raw.jobs);
        let shape = arrivals(problems, &here.key("arrivals"), raw.arrivals, raw.length, attachments);
        load.extend(shape.map(|arrivals| LoadPhase {
            name: raw.name,
            after: raw.after,
            length: raw.length,
            arrivals,
            jobs,
        }));
    }
    load
}

fn arrivals(
    problems: &mut Problems,
    at: &Path,
    raw: RawArrivals,
    length: Span,
    attachments: Attachments<'_>,
) -> Option<Arrivals> {
    let shape = match raw {
        RawArrivals::Constant(shape) => Arrivals::Constant(shape),
        RawArrivals::Ramp(shape) => Arrivals::Ramp(shape),
        RawArrivals::Stairs(shape) => Arrivals::Stairs(shape),
        RawArrivals::Poisson(shape) => Arrivals::Poisson(shape),
        RawArrivals::Burst(shape) => Arrivals::Burst(shape),
        RawArrivals::Spike(shape) => Arrivals::Spike(shape),
        RawArrivals::Diurnal(shape) => Arrivals::Diurnal(shape),
        RawArrivals::Trace(raw) => Arrivals::Trace(trace(problems, &at.key("trace"), &raw, attachments)?),
    };
    let found = shape.problems(length.duration());
    let is_good = found.is_empty();
    for (field, message) in found {
        problems.add(&at.keys(&field), message);
    }
    is_good.then_some(shape)
}

/// Reads the file of a trace, which lies in the manifest's folder or below it.
fn trace(problems: &mut Problems, at: &Path, raw: &RawTrace, attachments: Attachments<'_>) -> Option<Trace> {
    let is_below = !raw.file.is_empty()
        && !raw.file.starts_with(['/', '\\'])
        && !raw.file.split(['/', '\\']).any(|part| part == ".." || part.contains('\0'));
    if !is_below {
        let help = "name a file beside the manifest or below its folder, as in `traces/weekday.csv`";
        problems.add_with_help(&at.key("file"), format!("`{}` is not allowed", raw.file), help);
        return None;
    }
    match attachments(&raw.file) {
        Ok(bytes) => match raw.read(&bytes) {
            Ok(trace) => return Some(trace),
            Err(TraceError { line: 0, message }) => problems.add(&at.key("file"), message),
            Err(error) => problems.add(&at.key("file"), format!("{}:{}: {}", raw.file, error.line, error.message)),
        },
        Err(message) => problems.add(&at.key("file"), message),
    }
    None
}

fn jobs(problems: &mut Problems, at: &Path, raw: RawMix) -> JobMix {
    if raw.jobs.is_empty() {
        problems.add(at, "no job: name at least one, as in `{ fast_job: 1 }`");
    } else if raw.jobs.iter().all(|job| job.weight.0 <= 0.0) {
        problems.add(at, "no job has a weight above zero");
    }
    let is_list = raw.is_list;
    let jobs = raw.jobs.into_iter().enumerate().map(|(index, job)| {
        let name = job.job.or_else(|| job.assets.is_some().then(|| ASSET_JOB.to_owned()));
        let here = if is_list { at.index(index) } else { at.key(name.as_deref().unwrap_or_default()) };
        if name.is_none() {
            problems.add_with_help(&here.key("job"), "missing", "name a job, or `assets`");
        } else if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            let name = if is_list { &here.key("job") } else { &here };
            problems.add(name, "the job's name is empty");
        }
        for tag in job.tags.keys().filter(|tag| tag.starts_with(OWN_TAGS)) {
            let message = format!("tags that begin with `{OWN_TAGS}` are dagstorm's own");
            problems.0.push(Problem::new(here.key("tags").key(tag), message).on_key());
        }
        let RunConfig(run_config) = job.run_config;
        if !run_config.is_object() {
            problems.add(&here.key("runConfig"), "a run config is a map, as Dagster's launchpad takes it");
        }
        let partition = job.partition.map(|RawPartition(partition)| partition);
        targets::check_partition(problems, &here, partition.as_ref(), &job.tags);
        let assets = targets::assets(problems, &here.key("assets"), job.assets);
        let job_name = name.unwrap_or_default();
        Weighted { job: job_name, weight: job.weight.0, run_config, tags: job.tags, partition, assets }
    });
    JobMix { jobs: jobs.collect() }
}

fn faults(problems: &mut Problems, at: &Path, raw: Vec<RawFault>) -> Vec<(usize, FaultSpec)> {
    if raw.len() > MOST_FAULTS {
        problems.add(at, format!("has {} faults; {MOST_FAULTS} are the most", raw.len()));
    }
    let names: Vec<String> = raw.iter().map(|fault| fault.name.clone()).collect();
    let mut seen: Vec<&str> = vec![];
    let mut faults = vec![];
    for (index, raw) in raw.into_iter().enumerate() {
        let here = at.index(index);
        problems.own_name(&here.key("name"), "fault", &names[index], &mut seen);
        faults.extend(fault(problems, &here, raw).map(|fault| (index, fault)));
    }
    faults
}

fn fault(problems: &mut Problems, at: &Path, raw: RawFault) -> Option<FaultSpec> {
    let has_trigger = problems.exactly_one(at, &[("after", raw.after.is_some()), ("when", raw.when.is_some())]);
    let given = [
        ("stopTasks", raw.stop_tasks.is_some()),
        ("drainService", raw.drain_service.is_some()),
        ("drainInstances", raw.drain_instances.is_some()),
        ("partition", raw.partition.is_some()),
        ("denyQueue", raw.deny_queue.is_some()),
        ("redeliver", raw.redeliver.is_some()),
    ];
    if let Some(repeat) = &raw.repeat {
        if !(1..=MOST_REPEATS).contains(&repeat.times) {
            problems.add(&at.keys("repeat.times"), format!("is from 1 to {MOST_REPEATS}"));
        }
        if repeat.every.duration() < LEAST_REPEAT {
            problems.add(&at.keys("repeat.every"), "is at least 1s");
        }
    }
    if !problems.exactly_one(at, &given) {
        return None;
    }
    let choices = [
        raw.stop_tasks.and_then(|raw| stop_tasks(problems, &at.key("stopTasks"), raw)).map(Fault::StopTasks),
        raw.drain_service.map(Fault::DrainService),
        raw.drain_instances.map(Fault::DrainInstances),
        raw.partition.map(Fault::Partition),
        raw.deny_queue.map(Fault::DenyQueue),
        raw.redeliver.map(Fault::Redeliver),
    ];
    let fault = choices.into_iter().flatten().next()?;
    check_length(problems, at, &fault, raw.length, raw.repeat.as_ref().map(|repeat| repeat.every));
    if let Fault::Partition(partition) = &fault
        && partition.between != "workers"
    {
        let help = "only the workers' security group is known to the target: write `between: workers`";
        problems.add_with_help(&at.keys("partition.between"), format!("`{}` is nobody", partition.between), help);
    }
    let queue = match &fault {
        Fault::DenyQueue(deny) => Some(("denyQueue.queue", &deny.queue)),
        Fault::Redeliver(redeliver) => Some(("redeliver.queue", &redeliver.queue)),
        Fault::StopTasks(_) | Fault::DrainService(_) | Fault::DrainInstances(_) | Fault::Partition(_) => None,
    };
    if let Some((path, queue)) = queue.filter(|(_, queue)| *queue != "tasks") {
        let message = format!("`{queue}` is no queue of a target");
        problems.add_with_help(&at.keys(path), message, help_for(queue, ["tasks"]));
    }
    let trigger = raw.after.map(FaultTrigger::After).or(raw.when.map(FaultTrigger::When));
    let trigger = trigger.filter(|_| has_trigger)?;
    Some(FaultSpec { name: raw.name, trigger, length: raw.length, repeat: raw.repeat, fault })
}

fn check_length(problems: &mut Problems, at: &Path, fault: &Fault, length: Option<Span>, every: Option<Span>) {
    let here = at.key("for");
    match (fault.lasts(), length) {
        (true, None) => {
            problems.add(at, format!("`{}` stays until it is undone: say how long, as in `for: 45s`", fault.word()));
        }
        (true, Some(length)) if length.duration() < LEAST_REPEAT => problems.add(&here, "is at least 1s"),
        (true, Some(length)) if every.is_some_and(|every| every <= length) => {
            problems.add(&here, format!("is not over ({length}) when the next repeat begins"));
        }
        (false, Some(_)) => {
            problems.add(&here, format!("`{}` is over as soon as it is done: leave `for` out", fault.word()));
        }
        (true, Some(_)) | (false, None) => {}
    }
}

fn stop_tasks(problems: &mut Problems, at: &Path, raw: RawStopTasks) -> Option<StopTasks> {
    let given = [
        ("service", raw.service.is_some()),
        ("family", raw.family.is_some()),
        ("tag", raw.tag.is_some()),
        ("startedBy", raw.started_by.is_some()),
    ];
    if !problems.exactly_one(at, &given) {
        return None;
    }
    let choices = [
        raw.service.map(Selector::Service),
        raw.family.map(Selector::Family),
        raw.tag.map(Selector::Tag),
        raw.started_by.map(Selector::StartedBy),
    ];
    let tasks = choices.into_iter().flatten().next()?;
    match &tasks {
        Selector::Service(text) => problems.not_empty(&at.key("service"), text),
        Selector::Family(text) => problems.not_empty(&at.key("family"), text),
        Selector::StartedBy(text) => problems.not_empty(&at.key("startedBy"), text),
        Selector::Tag(tags) if tags.is_empty() => problems.add(&at.key("tag"), "is empty: it would mean every task"),
        Selector::Tag(_) => {}
    }
    Some(StopTasks { tasks, pick: raw.pick, follow: raw.follow, include_protected: raw.include_protected })
}

fn limits(problems: &mut Problems, at: &Path, raw: RawLimits) -> Limits {
    for (field, limit) in [("maxInFlight", raw.max_in_flight), ("maxRuns", raw.max_runs)] {
        if limit == Some(0) {
            problems.add(&at.key(field), "is at least 1");
        }
    }
    if let Some(abort) = &raw.abort_on {
        let here = at.key("abortOn");
        if let Some(alarm) = &abort.alarm {
            problems.not_empty(&here.key("alarm"), alarm);
        }
        if abort.alarm.is_none() && abort.when.is_none() && !abort.duplicate {
            problems.add(&here, "names nothing: give `alarm`, `when`, or `duplicate: true`");
        }
        if abort.grace.is_some() && abort.when.is_none() {
            problems.add(&here.key("for"), "is how long `when` must hold: give `when` too");
        }
    }
    Limits {
        max_in_flight: raw.max_in_flight,
        max_runs: raw.max_runs,
        max_duration: raw.max_duration,
        abort_on: raw.abort_on,
    }
}

/// How many arrivals the whole load plans.
fn check_amount(problems: &mut Problems, at: &Path, load: &[LoadPhase], seed: u64, limits: &Limits) {
    let limit = limits.max_runs.unwrap_or(MOST_ARRIVALS).min(MOST_ARRIVALS);
    let most = limit as usize + 1;
    let mut count = 0;
    for (number, phase) in load.iter().enumerate() {
        count += phase.arrivals.offsets(phase.length.duration(), seed, number as u64).take(most - count).count();
        if count < most {
            continue;
        }
        if limits.max_runs == Some(limit) {
            problems.add(&at.keys("limits.maxRuns"), format!("the load plans more than {limit} arrivals"));
        } else {
            let help = "lower a rate or shorten a phase";
            problems.add_with_help(&at.key("load"), format!("more than {MOST_ARRIVALS} arrivals"), help);
        }
        return;
    }
    if count == 0 {
        problems.add(&at.key("load"), "no phase has an arrival");
    }
}

/// Faults belong into the load: one that comes later proves nothing.
fn check_times(problems: &mut Problems, at: &Path, faults: &[(usize, FaultSpec)], load: &[LoadPhase]) {
    let load_ends = load.iter().map(LoadPhase::ends).max().unwrap_or_default();
    let ends = Span::new(load_ends);
    for (index, fault) in faults {
        let here = at.index(*index);
        let length = fault.length.map_or(Duration::ZERO, Span::duration);
        let repeats = fault
            .repeat
            .as_ref()
            .map_or(Duration::ZERO, |repeat| repeat.every.duration().saturating_mul(repeat.times.saturating_sub(1)));
        let FaultTrigger::After(after) = fault.trigger else { continue };
        let begins = after.duration();
        if begins >= load_ends {
            let message = format!("the load ends after {ends}: a fault later than that proves nothing");
            problems.add(&here.key("after"), message);
        } else if begins.saturating_add(repeats) >= load_ends {
            let message = format!("the last repeat would come after the load's end ({ends})");
            problems.add(&here.key("repeat"), message);
        } else if begins.saturating_add(repeats).saturating_add(length) > load_ends {
            let message =
                format!("it would outlast the load, which ends after {ends}: nothing shows then how it recovers");
            problems.add(&here.key("for"), message);
        }
    }
}
