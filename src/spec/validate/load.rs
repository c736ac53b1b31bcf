//! The load of a scenario: phases, shapes, traces, jobs.

use std::time::Duration;

use super::{Attachments, Path, Problem, Problems};
use crate::{
    load::{Arrivals, JobMix, RawTrace, Trace, TraceError, Weighted},
    model::Span,
    spec::{
        Limits, LoadPhase,
        mix::{RawJob, RawMix},
        raw::{RawArrivals, RawPhase},
    },
};

/// More arrivals than this are no scenario but a mistake.
const MOST_ARRIVALS: u32 = 1_000_000;
const MOST_PHASES: usize = 100;
/// A tag of a run that dagstorm itself writes.
const OWN_TAGS: &str = "dagstorm/";
/// So far from 100 percentages may be that were rounded, as thirds are: 33.3% three times.
const ROUNDED_PERCENT: f64 = 0.11;

/// The phases that are good, each with its place in the list.
pub struct Load {
    pub phases: Vec<(usize, LoadPhase)>,
    /// When the last of all phases ends, if that is known of all.
    pub ends: Option<Duration>,
}

pub fn load(problems: &mut Problems<'_>, at: &Path, phases: Vec<RawPhase>, attachments: Attachments<'_>) -> Load {
    if phases.is_empty() && !problems.left_out.touches(at) {
        problems.add(at, "a scenario needs at least one phase of load");
    }
    if phases.len() > MOST_PHASES {
        problems.add(at, format!("has {} phases; {MOST_PHASES} are the most", phases.len()));
    }
    let names: Vec<Option<String>> = phases.iter().map(|phase| phase.name.0.clone()).collect();
    let mut seen: Vec<&str> = vec![];
    let mut ends: Option<Duration> = (!problems.left_out.lacks_items(at)).then_some(Duration::ZERO);
    let mut load = vec![];
    for (number, raw) in phases.into_iter().enumerate() {
        let index = problems.left_out.index(at, number);
        let here = at.index(index);
        if let Some(name) = &names[number] {
            problems.own_name(&here.key("name"), "phase", name, &mut seen);
        }
        if raw.length.0 == Some(Span::ZERO) {
            problems.add(&here.key("for"), "a phase lasts longer than 0s");
        }
        let end = raw.length.0.filter(|_| !problems.left_out.has(&here.key("after")));
        let end = end.map(|length| raw.after.duration().saturating_add(length.duration()));
        ends = ends.zip(end).map(|(one, other)| one.max(other));
        let mix = raw.jobs.0.map(|mix| jobs(problems, &here.key("jobs"), mix));
        let shape = raw.arrivals.0.and_then(|arrivals| {
            let known = mix.as_ref().filter(|_| !problems.left_out.lacks_items(&here.key("jobs")));
            self::arrivals(problems, &here.key("arrivals"), arrivals, raw.length.0, known, attachments)
        });
        if let (Some(name), Some(length), Some(arrivals), Some(jobs)) = (raw.name.0, raw.length.0, shape, mix) {
            load.push((index, LoadPhase { name, after: raw.after, length, arrivals, jobs }));
        }
    }
    Load { phases: load, ends }
}

/// `jobs`: those of the phase, if all are known.
fn arrivals(
    problems: &mut Problems<'_>,
    at: &Path,
    raw: RawArrivals,
    length: Option<Span>,
    jobs: Option<&JobMix>,
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
        RawArrivals::Trace(raw) => Arrivals::Trace(trace(problems, &at.key("trace"), &raw, jobs, attachments)?),
    };
    // Without the phase's length, only what holds in a phase of any length is judged.
    let found = shape.problems(length.map_or(Span::LONGEST, Span::duration));
    let is_good = found.is_empty();
    for (field, message) in found {
        problems.add(&at.keys(&field), message);
    }
    is_good.then_some(shape)
}

/// Reads the file of a trace, which lies in the manifest's folder or below it.
fn trace(
    problems: &mut Problems<'_>,
    at: &Path,
    raw: &RawTrace,
    jobs: Option<&JobMix>,
    attachments: Attachments<'_>,
) -> Option<Trace> {
    let is_below = !raw.file.is_empty()
        && !raw.file.starts_with(['/', '\\'])
        && !raw.file.split(['/', '\\']).any(|part| part == ".." || part.contains('\0'));
    if !is_below {
        let help = "name a file beside the manifest or below its folder, as in `traces/weekday.csv`";
        problems.add_with_help(&at.key("file"), format!("`{}` is not allowed", raw.file), help);
    }
    let before = problems.found.len();
    for (field, message) in raw.problems() {
        problems.add(&at.keys(&field), message);
    }
    for tag in raw.columns.iter().flat_map(|columns| columns.tags.keys()).filter(|tag| tag.starts_with(OWN_TAGS)) {
        own_tag(problems, &at.keys("columns.tags").key(tag));
    }
    if !is_below || problems.found.len() > before {
        return None;
    }
    let here = at.key("file");
    let bytes = attachments(&raw.file).map_err(|message| problems.add(&here, message)).ok()?;
    let names: Option<Vec<&str>> = jobs.map(|mix| mix.jobs.iter().map(|one| one.job.as_str()).collect());
    match raw.read(&bytes, names.as_deref()) {
        Ok(reading) => {
            if let Some(column) = reading.unused_job {
                let message = format!("the column `{column}` of `{}` is not used: jobs are drawn by weight", raw.file);
                let help = format!("to launch the job that each row names, add `columns: {{ job: {column} }}`");
                problems.remark(&here, message, help);
            }
            Some(reading.trace)
        }
        Err(errors) => {
            for TraceError { line, message } in errors {
                let text = if line == 0 { message } else { format!("{}:{line}: {message}", raw.file) };
                problems.add(&here, text);
            }
            None
        }
    }
}

fn own_tag(problems: &mut Problems<'_>, at: &Path) {
    let message = format!("tags that begin with `{OWN_TAGS}` are dagstorm's own");
    problems.found.push(Problem::new(at.clone(), message).on_key());
}

fn jobs(problems: &mut Problems<'_>, at: &Path, raw: RawMix) -> JobMix {
    if !problems.left_out.touches(at) {
        check_weights(problems, at, &raw.jobs);
    }
    let is_list = raw.is_list;
    let jobs = raw.jobs.into_iter().enumerate().map(|(number, job)| {
        let index = problems.left_out.index(at, number);
        let here = if is_list { at.index(index) } else { at.key(&job.job) };
        if job.job.trim().is_empty() {
            let name = if is_list { &here.key("job") } else { &here };
            problems.add(name, "the job's name is empty");
        }
        for tag in job.tags.keys().filter(|tag| tag.starts_with(OWN_TAGS)) {
            own_tag(problems, &here.key("tags").key(tag));
        }
        if !job.run_config.is_object() {
            problems.add(&here.key("runConfig"), "a run config is a map, as Dagster's launchpad takes it");
        }
        Weighted { job: job.job, weight: job.weight.number, run_config: job.run_config, tags: job.tags }
    });
    JobMix { jobs: jobs.collect() }
}

/// Weights are relative, so any sum of them means something. Percentages alone that are not 100 together mean nothing:
/// one of them is wrong, and nothing tells which. Beside weights, a percentage can only be meant as a weight.
fn check_weights(problems: &mut Problems<'_>, at: &Path, jobs: &[RawJob]) {
    if jobs.is_empty() {
        problems.add(at, "no job: name at least one, as in `{ fast_job: 1 }`");
        return;
    }
    if jobs.iter().all(|job| job.weight.number <= 0.0) {
        problems.add(at, "no job has a weight above zero");
        return;
    }
    let percentages = jobs.iter().filter(|job| job.weight.is_percent).count();
    let sum: f64 = jobs.iter().map(|job| job.weight.number).sum();
    // Three decimals are more than anyone writes, and hide what sums of floating-point numbers add.
    let shown = (sum * 1000.0).round() / 1000.0;
    if percentages == jobs.len() {
        if (sum - 100.0).abs() > ROUNDED_PERCENT {
            let help = "make them 100% together, or write weights without `%`, of which only the proportions count";
            problems.add_with_help(at, format!("the percentages add up to {shown}%, not to 100%"), help);
        }
    } else if percentages > 0 {
        let message = format!(
            "percentages and weights without `%` are mixed: each counts as a weight out of {shown}, so `{}` gets {}%",
            jobs[0].job,
            (jobs[0].weight.number / sum * 1000.0).round() / 10.0
        );
        problems.remark(at, message, "write all of them with `%`, or none");
    }
}

/// How many arrivals the whole load plans; of the good phases, if some are not.
pub fn check_amount(problems: &mut Problems<'_>, at: &Path, load: &[(usize, LoadPhase)], seed: u64, limits: &Limits) {
    let limit = limits.max_runs.filter(|limit| *limit > 0).unwrap_or(MOST_ARRIVALS).min(MOST_ARRIVALS);
    let most = limit as usize + 1;
    let mut count = 0;
    for (index, phase) in load {
        count += phase.arrivals.offsets(phase.length.duration(), seed, *index as u64).take(most - count).count();
        if count < most {
            continue;
        }
        let help = "lower a rate or shorten a phase";
        if limits.max_runs == Some(limit) {
            let message = format!("the load plans more than {limit} arrivals");
            problems.add_with_help(&at.keys("limits.maxRuns"), message, format!("{help}, or raise the limit"));
        } else {
            problems.add_with_help(&at.key("load"), format!("more than {MOST_ARRIVALS} arrivals"), help);
        }
        return;
    }
    let here = at.key("load");
    if count == 0 && !problems.left_out.touches(&here) && !problems.is_said(&here) {
        problems.add(&here, "no phase has an arrival");
    }
}
