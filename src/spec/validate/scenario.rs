//! Scenarios.

use std::time::Duration;

use super::{
    Attachments, Judged, Path, Problems,
    faults::{check_times, faults},
    load::{check_amount, load},
    thresholds::{Names, expect},
};
use crate::{
    model::lane,
    spec::{
        Limits, Overlap, Scenario, ScenarioSpec, Start, StartTrigger,
        left_out::LeftOut,
        outline::Asks,
        raw::{Raw, RawLimits, RawScenario, RawStart},
    },
};

/// What comes again and again comes not more often than once in so long.
pub(super) const LEAST_REPEAT: Duration = Duration::from_secs(1);

/// Makes a scenario valid, or names everything that is wrong with it.
///
/// `left_out` was wrong, or stands in something that was: whatever follows from it is not judged.
pub fn scenario(raw: Raw<RawScenario>, left_out: &LeftOut, attachments: Attachments<'_>) -> Judged<Scenario, Asks> {
    let mut problems = Problems::new(left_out);
    let named = Path::root("metadata").key("name");
    let metadata = raw.metadata.0;
    let own_name = metadata.as_ref().and_then(|metadata| metadata.name.0.as_deref()).unwrap_or_default();
    let name = (!own_name.is_empty() || !left_out.has(&named)).then(|| problems.name(&named, own_name)).flatten();
    if lane::is_reserved(own_name) {
        let message = format!("`{own_name}` is the name of a lane: `--` and a number at the end are dagstorm's own");
        problems.add(&named, message);
    }
    let at = Path::root("spec");
    let Some(spec) = raw.spec.0 else {
        return Judged { problems: problems.found, outline: Some(Asks::default()), ..Judged::default() };
    };
    let mut asks = Asks::default();
    asks.target = spec.target.0.as_deref().and_then(|target| problems.name(&at.key("target"), target));
    let start = spec.start.and_then(|raw| start(&mut problems, &at.key("start"), raw, own_name, &mut asks));
    let overlaps = start.as_ref().is_some_and(|start| start.overlap == Overlap::Allow);
    if overlaps && own_name.len() > lane::LONGEST_NAME {
        let message = format!(
            "with `overlap: allow` a name has {} characters at most: its turns are told apart by a number behind it",
            lane::LONGEST_NAME
        );
        problems.add(&named, message);
    }
    let phases = spec.load.0.unwrap_or_default();
    let names = Names::of(&phases, &spec.faults, left_out);
    let load = load(&mut problems, &at.key("load"), phases, attachments);
    let faults = faults(&mut problems, &at.key("faults"), spec.faults, &mut asks);
    let expect = expect(&mut problems, &at.key("expect"), &spec.expect, &names, &mut asks);
    let limits = limits(&mut problems, &at.key("limits"), spec.limits, &mut asks);
    check_amount(&mut problems, &at, &load.phases, spec.seed, &limits);
    if let Some(ends) = load.ends {
        check_times(&mut problems, &at.key("faults"), &faults, ends);
    }
    let value = match (metadata, name, asks.target.clone()) {
        (Some(metadata), Some(name), Some(target)) => Some(Scenario {
            name,
            labels: metadata.labels,
            suspend: spec.suspend,
            deletion: spec.deletion,
            spec: ScenarioSpec {
                target,
                seed: spec.seed,
                start,
                load: load.phases.into_iter().map(|(_, phase)| phase).collect(),
                faults: faults.into_iter().map(|(_, fault)| fault).collect(),
                expect,
                limits,
            },
        }),
        (_, _, _) => None,
    };
    let is_good = problems.found.is_empty();
    Judged {
        value: value.filter(|_| is_good),
        problems: problems.found,
        remarks: problems.remarks,
        outline: Some(asks),
    }
}

fn start(problems: &mut Problems<'_>, at: &Path, raw: RawStart, own_name: &str, asks: &mut Asks) -> Option<Start> {
    let given = [
        ("after", raw.after.is_some()),
        ("at", raw.at.is_some()),
        ("every", raw.every.is_some()),
        ("cron", raw.cron.is_some()),
    ];
    let is_one = problems.exactly_one(at, &given);
    if is_one && raw.overlap.is_some() && raw.every.is_none() && raw.cron.is_none() {
        problems.add(&at.key("overlap"), "belongs to `every` or `cron`: nothing else starts twice");
    }
    if raw.every.is_some_and(|every| every.duration() < LEAST_REPEAT) {
        problems.add(&at.key("every"), "is at least 1s");
    }
    let here = at.key("after");
    let mut after = vec![];
    for (number, name) in raw.after.iter().flatten().enumerate() {
        let index = problems.left_out.index(&here, number);
        if name == own_name {
            problems.add(&here.index(index), "a scenario cannot wait for itself");
        }
        after.extend(problems.name(&here.index(index), name).map(|name| (index, name)));
    }
    if raw.after.as_ref().is_some_and(Vec::is_empty) && !problems.left_out.touches(&here) {
        problems.add(&here, "is empty: name at least one scenario");
    }
    asks.after.clone_from(&after);
    let trigger = match (raw.after, raw.at, raw.every, raw.cron) {
        (Some(_), ..) => StartTrigger::After(after.into_iter().map(|(_, name)| name).collect()),
        (None, Some(instant), ..) => StartTrigger::At(instant),
        (None, None, Some(every), _) => StartTrigger::Every(every),
        (None, None, None, Some(cron)) => StartTrigger::Cron(cron),
        (None, None, None, None) => return None,
    };
    is_one.then_some(Start { trigger, overlap: raw.overlap.unwrap_or_default() })
}

fn limits(problems: &mut Problems<'_>, at: &Path, raw: RawLimits, asks: &mut Asks) -> Limits {
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
        if let Some(when) = abort.when {
            asks.metric(&here.key("when"), when.metric);
        }
        let is_empty = abort.alarm.is_none() && abort.when.is_none() && !abort.duplicate;
        if is_empty && !problems.left_out.touches(&here) {
            problems.add(&here, "names nothing: give `alarm`, `when`, or `duplicate: true`");
        }
        if abort.grace.is_some() && abort.when.is_none() && !problems.left_out.has(&here.key("when")) {
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
