//! What is good and may still surprise: faults that meet, load that ends early, thresholds without samples. Pure.

use std::time::Duration;

use serde::Serialize;

use super::{preview::Preview, whole_seconds};
use crate::{
    fault::{DrainService, Fault, Selector, StopTasks},
    model::{Metric, Span, Target, Timestamp, target::DenyWindow},
    plan::{Plan, PlannedFault},
    spec::{Overlap, Scenario, StartTrigger},
};

/// One remark, with the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    pub path: String,
    pub message: String,
}

/// Everything about one scenario. `starts_at`: when it would begin, if that is known.
pub fn surprises(
    scenario: &Scenario,
    target: Option<&Target>,
    plan: &Plan,
    preview: &Preview,
    starts_at: Option<Timestamp>,
) -> Vec<Note> {
    let mut notes = vec![];
    if scenario.suspend {
        notes.push(note("spec.suspend", "it does not start as long as this is true"));
    }
    notes.extend(load(preview));
    notes.extend(start(scenario, plan));
    for (index, declared) in scenario.spec.faults.iter().enumerate() {
        let own: Vec<&PlannedFault> = plan.faults.iter().filter(|fault| fault.id.name == declared.name).collect();
        let path = format!("spec.faults[{index}]");
        notes.extend(fault(&path, &own, preview));
        if let (Some(target), Some(starts_at)) = (target, starts_at) {
            notes.extend(denied(&path, &own, &target.guard.deny_windows, starts_at));
        }
    }
    notes.extend(meetings(scenario, plan));
    notes.extend(expectations(scenario, plan));
    notes
}

fn note(path: impl Into<String>, message: impl Into<String>) -> Note {
    Note { path: path.into(), message: message.into() }
}

fn load(preview: &Preview) -> Vec<Note> {
    let mut notes = vec![];
    for (index, phase) in preview.phases.iter().enumerate().filter(|(_, phase)| phase.total == 0) {
        notes.push(note(format!("spec.load[{index}]"), format!("the phase `{}` has no arrival", phase.name)));
    }
    for job in preview.jobs.iter().filter(|job| job.runs == 0) {
        notes.push(note("spec.load", format!("no arrival draws the job `{}`", job.job)));
    }
    notes
}

fn start(scenario: &Scenario, plan: &Plan) -> Option<Note> {
    let start = scenario.spec.start.as_ref()?;
    let StartTrigger::Every(every) = &start.trigger else { return None };
    let least = plan.ends_at + plan.expect.quiet.duration();
    (start.overlap == Overlap::Forbid && every.duration() < least).then(|| {
        let least = Span::new(least);
        note(
            "spec.start.every",
            format!("load and quiet take {least}, which is longer than {every}: the turns between are left out"),
        )
    })
}

/// What is odd about one declared fault by itself.
fn fault(path: &str, own: &[&PlannedFault], preview: &Preview) -> Vec<Note> {
    let mut notes = vec![];
    let known = || own.iter().filter(|fault| fault.when.is_none());
    let last = preview.last.map(Span::duration).unwrap_or_default();
    if let Some(late) = known().find(|fault| fault.offset > last) {
        notes.push(note(
            path,
            format!(
                "`{}` begins at {}, after the last arrival ({}): it may meet no run in flight, and then proves nothing",
                late.id,
                Span::new(late.offset),
                Span::new(last)
            ),
        ));
    }
    notes
}

/// Which occurrences the guard's windows forbid, if the scenario starts at this instant.
fn denied(path: &str, own: &[&PlannedFault], windows: &[DenyWindow], starts_at: Timestamp) -> Vec<Note> {
    let meets = |fault: &&&PlannedFault| windows.iter().any(|window| covers(window, starts_at.plus(fault.offset)));
    let known: Vec<&&PlannedFault> = own.iter().filter(|fault| fault.when.is_none()).collect();
    let met: Vec<String> = known.iter().filter(|fault| meets(fault)).map(|fault| format!("`{}`", fault.id)).collect();
    if met.is_empty() {
        return vec![];
    }
    let which = if met.len() == known.len() && met.len() > 1 { "all occurrences".to_owned() } else { met.join(", ") };
    vec![note(path, format!("started at {}, a deny window of the guard forbids {which}", whole_seconds(starts_at)))]
}

/// Whether an instant is in a window: one that began at most its length before is still open.
fn covers(window: &DenyWindow, at: Timestamp) -> bool {
    window.cron.next(at.minus(window.length.duration())).is_some_and(|begin| begin <= at)
}

/// Two different faults on the same thing at the same time: the first such meeting of each two.
fn meetings(scenario: &Scenario, plan: &Plan) -> Vec<Note> {
    let declared = &scenario.spec.faults;
    let mut notes = vec![];
    for (index, one) in declared.iter().enumerate() {
        for other in &declared[..index] {
            let Some(thing) = common(&one.fault, &other.fault) else { continue };
            let Some((a, b)) = meeting(plan, &other.name, &one.name) else { continue };
            let message =
                format!("`{}` ({}) and `{}` ({}) meet: both act on {thing}", a.id, interval(a), b.id, interval(b));
            notes.push(note(format!("spec.faults[{index}]"), message));
        }
    }
    notes
}

/// The first two occurrences that meet. Those of one fault are sorted and do not overlap.
fn meeting<'a>(plan: &'a Plan, one: &str, other: &str) -> Option<(&'a PlannedFault, &'a PlannedFault)> {
    let of = |name: &str| {
        let name = name.to_owned();
        plan.faults.iter().filter(move |fault| fault.id.name == name && fault.when.is_none())
    };
    let (mut ones, mut others) = (of(one).peekable(), of(other).peekable());
    while let (Some(a), Some(b)) = (ones.peek().copied(), others.peek().copied()) {
        if a.offset <= end(b) && b.offset <= end(a) {
            return Some((a, b));
        }
        if end(a) < end(b) {
            ones.next()
        } else {
            others.next()
        };
    }
    None
}

fn end(fault: &PlannedFault) -> Duration {
    fault.offset + fault.length.unwrap_or_default()
}

fn interval(fault: &PlannedFault) -> String {
    match fault.length {
        None => format!("at {}", Span::new(fault.offset)),
        Some(_) => format!("{} to {}", Span::new(fault.offset), Span::new(end(fault))),
    }
}

/// What a fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing<'a> {
    Service(&'a str),
    /// Tasks of any service.
    Tasks,
    Rules,
    Queue(&'a str),
}

/// What two faults have in common, in words.
fn common(one: &Fault, other: &Fault) -> Option<String> {
    match (touched(one), touched(other)) {
        (Thing::Service(a), Thing::Service(b)) => (a == b).then(|| format!("the tasks of `{a}`")),
        (Thing::Service(role), Thing::Tasks) | (Thing::Tasks, Thing::Service(role)) => {
            Some(format!("tasks that may be of `{role}`"))
        }
        (Thing::Tasks, Thing::Tasks) => Some("tasks of the cluster".to_owned()),
        (Thing::Rules, Thing::Rules) => Some("the network of the workers".to_owned()),
        (Thing::Queue(a), Thing::Queue(b)) => (a == b).then(|| format!("the queue `{a}`")),
        (Thing::Service(_) | Thing::Tasks, Thing::Rules | Thing::Queue(_))
        | (Thing::Rules, Thing::Service(_) | Thing::Tasks | Thing::Queue(_))
        | (Thing::Queue(_), Thing::Service(_) | Thing::Tasks | Thing::Rules) => None,
    }
}

fn touched(fault: &Fault) -> Thing<'_> {
    match fault {
        Fault::StopTasks(StopTasks { tasks: Selector::Service(role), .. })
        | Fault::DrainService(DrainService { service: role }) => Thing::Service(role),
        Fault::StopTasks(StopTasks {
            tasks: Selector::Family(_) | Selector::Tag(_) | Selector::StartedBy(_), ..
        })
        | Fault::DrainInstances(_) => Thing::Tasks,
        Fault::Partition(_) => Thing::Rules,
        Fault::DenyQueue(fault) => Thing::Queue(&fault.queue),
        Fault::Redeliver(fault) => Thing::Queue(&fault.queue),
    }
}

fn expectations(scenario: &Scenario, plan: &Plan) -> Vec<Note> {
    let mut notes = vec![];
    let on_recovery = |metric: Metric| metric == Metric::RecoveryTime;
    if plan.faults.is_empty() && plan.expect.thresholds.iter().any(|threshold| on_recovery(threshold.metric())) {
        notes.push(note(
            "spec.expect.thresholds.recoveryTime",
            "there is no fault, so there is no sample: the verdict will be Unknown",
        ));
    }
    if let Some(most) = scenario.spec.limits.max_duration.filter(|most| most.duration() <= plan.ends_at) {
        let ends_at = Span::new(plan.ends_at);
        notes.push(note(
            "spec.limits.maxDuration",
            format!("the load lasts {ends_at}, {most} or longer: what has not finished when it ends is not waited for"),
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::plan::{preview::preview, tests::scenario},
        model::GenerationId,
        plan,
    };

    const LOAD: &str =
        "load: [ { name: base, for: 60s, arrivals: { burst: { size: 3, every: 20s } }, jobs: { a: 1 } } ]\n";

    fn windows(cron: &str, length: &str) -> Target {
        serde_json::from_str(&format!(
            r#"{{"name":"t","dagster":{{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}},
                "guard":{{"denyWindows":[{{"cron":"{cron}","for":"{length}"}}]}}}}"#
        ))
        .expect("a target")
    }

    fn notes(spec: &str, target: Option<&Target>) -> Vec<String> {
        let scenario = scenario(spec);
        let plan = plan::compile(&scenario, &GenerationId { digest: scenario.digest(), repeat: 1 });
        let seen = preview(&scenario, &plan, 60);
        let starts_at = Some("2026-11-26T01:59:30Z".parse().expect("an instant"));
        let found = surprises(&scenario, target, &plan, &seen, starts_at);
        found.into_iter().map(|note| format!("{}: {}", note.path, note.message)).collect()
    }

    #[test]
    fn what_may_surprise_is_said_and_nothing_else() {
        let stop =
            |name: &str, after: &str| format!("{{ name: {name}, after: {after}, stopTasks: {{ service: workers }} }}");
        let drain = |after: &str, length: &str| {
            format!("{{ name: drain, after: {after}, for: {length}, drainService: {{ service: workers }} }}")
        };
        for (more, expected) in [
            (String::new(), vec![]),
            (format!("faults: [ {}, {} ]", stop("a", "10s"), stop("b", "11s")), vec![]),
            (
                format!("faults: [ {}, {} ]", stop("a", "10s"), stop("b", "10s")),
                vec!["spec.faults[1]: `a#1` (at 10s) and `b#1` (at 10s) meet: both act on the tasks of `workers`"],
            ),
            (
                format!("faults: [ {}, {} ]", drain("5s", "10s"), stop("b", "15s")),
                vec!["spec.faults[1]: `drain#1` (5s to 15s) and `b#1` (at 15s) meet: both act on the tasks of `workers`"],
            ),
            (
                format!("faults: [ {}, {{ name: q, after: 6s, for: 2s, denyQueue: {{}} }}, {{ name: r, after: 7s, redeliver: {{ share: 1 }} }} ]", drain("5s", "10s")),
                vec!["spec.faults[2]: `q#1` (6s to 8s) and `r#1` (at 7s) meet: both act on the queue `tasks`"],
            ),
            (
                "faults: [ { name: a, after: 1s, repeat: { every: 10s, times: 3 }, for: 2s, partition: { between: workers, and: sqs } }, { name: b, after: 4s, repeat: { every: 9s, times: 3 }, for: 2s, partition: { between: workers, and: x } } ]".to_owned(),
                vec!["spec.faults[1]: `a#2` (11s to 13s) and `b#2` (13s to 15s) meet: both act on the network of the workers"],
            ),
            (
                "faults: [ { name: a, after: 5s, stopTasks: { family: f } }, { name: b, after: 5s, stopTasks: { service: w } }, { name: c, when: 'queueDepth > 1', stopTasks: { service: w } } ]".to_owned(),
                vec!["spec.faults[1]: `a#1` (at 5s) and `b#1` (at 5s) meet: both act on tasks that may be of `w`"],
            ),
            (
                format!("faults: [ {} ]", stop("a", "41s")),
                vec!["spec.faults[0]: `a#1` begins at 41s, after the last arrival (40s): it may meet no run in flight, and then proves nothing"],
            ),
            (
                "start: { every: 2m }\nexpect: { thresholds: { recoveryTime: ['max < 1m'] } }\nlimits: { maxDuration: 30s }\nsuspend: true".to_owned(),
                vec![
                    "spec.suspend: it does not start as long as this is true",
                    "spec.start.every: load and quiet take 4m, which is longer than 2m: the turns between are left out",
                    "spec.expect.thresholds.recoveryTime: there is no fault, so there is no sample: the verdict will be Unknown",
                    "spec.limits.maxDuration: the load lasts 1m, 30s or longer: what has not finished when it ends is not waited for",
                ],
            ),
        ] {
            assert_eq!(notes(&format!("{LOAD}{more}"), None), expected, "{more}");
        }
        let empty = "load:\n  - { name: base, for: 10s, arrivals: { burst: { size: 1, every: 10s } }, jobs: { a: 1, b: 0 } }\n  - { name: none, for: 1s, arrivals: { poisson: { rate: 1/d } }, jobs: { a: 1 } }\n";
        assert_eq!(
            notes(empty, None),
            ["spec.load[1]: the phase `none` has no arrival", "spec.load: no arrival draws the job `b`"]
        );
    }

    #[test]
    fn windows_meet_the_faults_that_begin_in_them() {
        // It starts at 01:59:30.
        let kill = format!(
            "{LOAD}faults: [ {{ name: kill, after: 10s, repeat: {{ every: 15s, times: 3 }}, stopTasks: {{ service: workers }} }} ]"
        );
        let said = |which: &str| {
            vec![format!("spec.faults[0]: started at 2026-11-26T01:59:30Z, a deny window of the guard forbids {which}")]
        };
        for (cron, length, expected) in [
            ("0 2 * * *", "1h", said("`kill#3`")),
            ("0 1 * * *", "59m45s", said("`kill#1`")),
            ("0 1 * * *", "2h", said("all occurrences")),
            ("0 1 * * *", "59m30s", vec![]),
            ("0 3 * * *", "1h", vec![]),
        ] {
            assert_eq!(notes(&kill, Some(&windows(cron, length))), expected, "{cron} {length}");
        }
    }
}
