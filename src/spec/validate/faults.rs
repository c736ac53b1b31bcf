//! The faults of a scenario.

use std::time::Duration;

use super::{Path, Problems, scenario::LEAST_REPEAT};
use crate::{
    fault::{Fault, Selector, StopTasks},
    model::Span,
    spec::{
        FaultSpec, FaultTrigger,
        outline::Asks,
        problem::help_for,
        raw::{RawFault, RawStopTasks},
    },
};

const MOST_FAULTS: usize = 100;
/// A fault comes so often at most.
const MOST_REPEATS: u32 = 1_000;

/// The faults that are good, each with its place in the list.
pub fn faults(problems: &mut Problems<'_>, at: &Path, raw: Vec<RawFault>, asks: &mut Asks) -> Vec<(usize, FaultSpec)> {
    if raw.len() > MOST_FAULTS {
        problems.add(at, format!("has {} faults; {MOST_FAULTS} are the most", raw.len()));
    }
    let names: Vec<Option<String>> = raw.iter().map(|fault| fault.name.0.clone()).collect();
    let mut seen: Vec<&str> = vec![];
    let mut faults = vec![];
    for (number, raw) in raw.into_iter().enumerate() {
        let index = problems.left_out.index(at, number);
        let here = at.index(index);
        if let Some(name) = &names[number] {
            problems.own_name(&here.key("name"), "fault", name, &mut seen);
        }
        faults.extend(fault(problems, &here, raw, asks).map(|fault| (index, fault)));
    }
    faults
}

fn fault(problems: &mut Problems<'_>, at: &Path, raw: RawFault, asks: &mut Asks) -> Option<FaultSpec> {
    let has_trigger = problems.exactly_one(at, &[("after", raw.after.is_some()), ("when", raw.when.is_some())]);
    let given = [
        ("stopTasks", raw.stop_tasks.is_some()),
        ("drainService", raw.drain_service.is_some()),
        ("drainInstances", raw.drain_instances.is_some()),
        ("partition", raw.partition.is_some()),
        ("denyQueue", raw.deny_queue.is_some()),
        ("redeliver", raw.redeliver.is_some()),
    ];
    if let Some(when) = raw.when {
        asks.metric(&at.key("when"), when.metric);
    }
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
    asks.fault(at, &fault);
    check_length(problems, at, &fault, raw.length, raw.repeat.as_ref().map(|repeat| repeat.every));
    check_what(problems, at, &fault);
    let trigger = raw.after.map(FaultTrigger::After).or(raw.when.map(FaultTrigger::When));
    let trigger = trigger.filter(|_| has_trigger)?;
    let name = raw.name.0?;
    Some(FaultSpec { name, trigger, length: raw.length, repeat: raw.repeat, fault })
}

fn check_what(problems: &mut Problems<'_>, at: &Path, fault: &Fault) {
    if let Fault::Partition(partition) = fault
        && partition.between != "workers"
    {
        let help = "only the workers' security group is known to the target: write `between: workers`";
        problems.add_with_help(&at.keys("partition.between"), format!("`{}` is nobody", partition.between), help);
    }
    let queue = match fault {
        Fault::DenyQueue(deny) => Some(("denyQueue.queue", &deny.queue)),
        Fault::Redeliver(redeliver) => Some(("redeliver.queue", &redeliver.queue)),
        Fault::StopTasks(_) | Fault::DrainService(_) | Fault::DrainInstances(_) | Fault::Partition(_) => None,
    };
    if let Some((path, queue)) = queue.filter(|(_, queue)| *queue != "tasks") {
        let message = format!("`{queue}` is no queue of a target");
        problems.add_with_help(&at.keys(path), message, help_for(queue, ["tasks"]));
    }
}

fn check_length(problems: &mut Problems<'_>, at: &Path, fault: &Fault, length: Option<Span>, every: Option<Span>) {
    let here = at.key("for");
    match (fault.lasts(), length) {
        (true, None) if problems.left_out.has(&here) => {}
        (true, None) => {
            problems.add(at, format!("`{}` stays until it is undone: say how long, as in `for: 45s`", fault.word()));
        }
        (true, Some(length)) if length.duration() < LEAST_REPEAT => problems.add(&here, "is at least 1s"),
        (true, Some(length)) if every.is_some_and(|every| every <= length) => {
            let help = "make `repeat.every` longer than `for`";
            problems.add_with_help(&here, format!("is not over ({length}) when the next repeat begins"), help);
        }
        (false, Some(_)) => {
            problems.add(&here, format!("`{}` is over as soon as it is done: leave `for` out", fault.word()));
        }
        (true, Some(_)) | (false, None) => {}
    }
}

fn stop_tasks(problems: &mut Problems<'_>, at: &Path, raw: RawStopTasks) -> Option<StopTasks> {
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
        Selector::Tag(tags) if tags.is_empty() && !problems.left_out.touches(&at.key("tag")) => {
            problems.add(&at.key("tag"), "is empty: it would mean every task")
        }
        Selector::Tag(_) => {}
    }
    Some(StopTasks { tasks, pick: raw.pick, follow: raw.follow, include_protected: raw.include_protected })
}

/// Faults belong into the load, which ends at `load_ends`: one that comes later proves nothing.
pub fn check_times(problems: &mut Problems<'_>, at: &Path, faults: &[(usize, FaultSpec)], load_ends: Duration) {
    let ends = Span::new(load_ends);
    for (index, fault) in faults {
        let here = at.index(*index);
        let FaultTrigger::After(after) = fault.trigger else { continue };
        let begins = after.duration();
        if begins >= load_ends {
            let message = format!("the load ends at {ends}: a fault that begins then or later proves nothing");
            problems.add_with_help(&here.key("after"), message, format!("begin it before {ends}"));
            continue;
        }
        let is_unknown =
            |field: &str| problems.left_out.touches(&here.key(field)) || problems.is_said(&here.key(field));
        if is_unknown("repeat") || is_unknown("for") {
            continue;
        }
        let (times, every) =
            fault.repeat.as_ref().map_or((1, Duration::ZERO), |repeat| (repeat.times.max(1), repeat.every.duration()));
        let last = begins.saturating_add(every.saturating_mul(times - 1));
        let length = fault.length.map_or(Duration::ZERO, Span::duration);
        let fits = |room: Duration| match every.as_micros() {
            0 => 1,
            every => room.saturating_sub(begins).as_micros().div_ceil(every).max(1),
        };
        if last >= load_ends {
            let message =
                format!("the last of {times} would begin at {}, and the load ends at {ends}", Span::new(last));
            let help = format!("`times` is {} at most here, or make the load longer", fits(load_ends));
            problems.add_with_help(&here.key("repeat"), message, help);
        } else if last.saturating_add(length) > load_ends {
            let over = Span::new(last.saturating_add(length));
            let message = format!(
                "it would be in place until {over}, and the load ends at {ends}: nothing shows then how it recovers"
            );
            problems.add_with_help(&here.key("for"), message, "make it shorter or earlier, or make the load longer");
        }
    }
}
