//! What is good and may still surprise: load that is not what was meant, faults that meet, thresholds without samples.
//! Pure, and known without a look at anything: `validate`, `plan` and `run` say it.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    fault::{DrainService, Fault, Selector, StopTasks},
    load::Arrivals,
    model::{Metric, Scope, Span, Timestamp, target::DenyWindow},
    plan::{Plan, PlannedFault},
    spec::{Overlap, Path, Problem, Scenario, StartTrigger},
};

/// Everything about one scenario that its manifest alone shows.
pub fn surprises(scenario: &Scenario, plan: &Plan) -> Vec<Problem> {
    let seen = Seen::of(scenario, plan);
    let mut notes = load(scenario, plan, &seen);
    notes.extend(bounds(scenario, &seen));
    notes.extend(start(scenario, plan));
    for (index, declared) in scenario.spec.faults.iter().enumerate() {
        let own: Vec<&PlannedFault> = plan.faults.iter().filter(|fault| fault.id.name == declared.name).collect();
        notes.extend(fault(&faults().index(index), &own, &seen));
    }
    notes.extend(meetings(scenario, plan));
    notes.extend(expectations(scenario, plan, &seen));
    notes
}

/// Which occurrences the guard's windows forbid, if the scenario starts at this instant.
pub fn forbidden(scenario: &Scenario, plan: &Plan, windows: &[DenyWindow], starts_at: Timestamp) -> Vec<Problem> {
    let each = scenario.spec.faults.iter().enumerate();
    each.filter_map(|(index, declared)| {
        let own: Vec<&PlannedFault> = plan.faults.iter().filter(|fault| fault.id.name == declared.name).collect();
        denied(&faults().index(index), &own, windows, starts_at)
    })
    .collect()
}

fn spec() -> Path {
    Path::root("spec")
}

fn faults() -> Path {
    spec().key("faults")
}

fn note(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(path.clone(), message)
}

/// What one walk through the plan shows.
struct Seen {
    /// By phase.
    phases: Vec<u32>,
    /// By choice of the plan.
    choices: Vec<u32>,
    last: Duration,
    /// The most arrivals within a second.
    crowd: usize,
}

const SECOND: Duration = Duration::from_secs(1);

impl Seen {
    fn of(scenario: &Scenario, plan: &Plan) -> Self {
        let mut seen = Self {
            phases: vec![0; scenario.spec.load.len()],
            choices: vec![0; plan.choices.len()],
            last: Duration::ZERO,
            crowd: 0,
        };
        // A crowd is of interest up to the bound that it breaks: no more of it is held.
        let most = scenario.spec.limits.max_in_flight.map_or(0, |most| most as usize);
        let mut within = std::collections::VecDeque::new();
        for arrival in plan.arrivals.from(0) {
            seen.phases[arrival.phase as usize] += 1;
            seen.choices[arrival.choice as usize] += 1;
            seen.last = arrival.offset;
            if most > 0 {
                within.push_back(arrival.offset);
                while within.front().is_some_and(|first| *first + SECOND <= arrival.offset) {
                    within.pop_front();
                }
                seen.crowd = seen.crowd.max(within.len());
            }
        }
        seen
    }
}

fn load(scenario: &Scenario, plan: &Plan, seen: &Seen) -> Vec<Problem> {
    let at = spec().key("load");
    let mut notes = vec![];
    for (index, phase) in scenario.spec.load.iter().enumerate() {
        let here = at.index(index);
        if seen.phases[index] == 0 {
            notes.push(note(&here, format!("the phase `{}` has no arrival", phase.name)));
        }
        if let Arrivals::Trace(trace) = &phase.arrivals
            && let Some((count, last)) = trace.cut(phase.length.duration())
        {
            let message = format!(
                "{count} of the {} arrivals of `{}` come after the phase's end and are left out: the last is at {}",
                trace.offsets_us.len(),
                trace.file,
                Span::new(last)
            );
            let help = "make `for` longer, or `speed` higher, if they are meant";
            notes.push(note(&here.key("for"), message).with_help(help));
        }
    }
    notes.extend(undrawn(scenario, plan, seen));
    notes
}

/// Jobs that no arrival of the whole load is of, at the first phase that names them.
fn undrawn(scenario: &Scenario, plan: &Plan, seen: &Seen) -> Vec<Problem> {
    let drawn = plan.choices.iter().zip(&seen.choices).filter(|(_, runs)| **runs > 0);
    let mut known: BTreeSet<&str> = drawn.map(|(choice, _)| choice.job.as_str()).collect();
    let mut notes = vec![];
    for (index, phase) in scenario.spec.load.iter().enumerate() {
        let jobs = phase.jobs.jobs.iter().map(|job| job.job.as_str());
        let jobs: Vec<&str> = jobs.filter(|job| known.insert(job)).collect();
        let message = match &jobs[..] {
            [] => continue,
            [job] => format!("no arrival draws the job `{job}`"),
            jobs => {
                let named: Vec<String> = jobs.iter().take(MOST_NAMED).map(|job| format!("`{job}`")).collect();
                let more = if jobs.len() > MOST_NAMED { ", …" } else { "" };
                format!("no arrival draws these {} jobs: {}{more}", jobs.len(), named.join(", "))
            }
        };
        notes.push(note(&spec().key("load").index(index).key("jobs"), message));
    }
    notes
}

/// So many names stand in a warning.
const MOST_NAMED: usize = 4;

/// Bounds that what arrives breaks.
fn bounds(scenario: &Scenario, seen: &Seen) -> Option<Problem> {
    let most = scenario.spec.limits.max_in_flight?;
    (seen.crowd > most as usize).then(|| {
        let message = format!(
            "up to {} runs arrive within a second, and {most} may be under way: the others are dropped, unless runs end as fast",
            seen.crowd
        );
        note(&spec().keys("limits.maxInFlight"), message).with_help("raise it, or make the arrivals fewer")
    })
}

fn start(scenario: &Scenario, plan: &Plan) -> Option<Problem> {
    let start = scenario.spec.start.as_ref()?;
    let StartTrigger::Every(every) = &start.trigger else { return None };
    let least = plan.ends_at + plan.expect.quiet.duration();
    (start.overlap == Overlap::Forbid && every.duration() < least).then(|| {
        let least = Span::new(least);
        note(
            &spec().keys("start.every"),
            format!("load and quiet take {least}, which is longer than {every}: the turns between are left out"),
        )
    })
}

/// What is odd about one declared fault by itself.
fn fault(at: &Path, own: &[&PlannedFault], seen: &Seen) -> Option<Problem> {
    let mut known = own.iter().filter(|fault| fault.when.is_none());
    let late = known.find(|fault| fault.offset > seen.last)?;
    let message = format!(
        "`{}` begins at {}, after the last arrival ({}): it may meet no run in flight, and then proves nothing",
        late.id,
        Span::new(late.offset),
        Span::new(seen.last)
    );
    Some(note(at, message))
}

fn denied(at: &Path, own: &[&PlannedFault], windows: &[DenyWindow], starts_at: Timestamp) -> Option<Problem> {
    let meets = |fault: &&&PlannedFault| windows.iter().any(|window| covers(window, starts_at.plus(fault.offset)));
    let known: Vec<&&PlannedFault> = own.iter().filter(|fault| fault.when.is_none()).collect();
    let met: Vec<String> = known.iter().filter(|fault| meets(fault)).map(|fault| format!("`{}`", fault.id)).collect();
    if met.is_empty() {
        return None;
    }
    let which = if met.len() == known.len() && met.len() > 1 { "all occurrences".to_owned() } else { met.join(", ") };
    Some(note(at, format!("started at {}, a deny window of the guard forbids {which}", whole_seconds(starts_at))))
}

/// An instant as people write it.
pub fn whole_seconds(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// Whether an instant is in a window: one that began at most its length before is still open.
fn covers(window: &DenyWindow, at: Timestamp) -> bool {
    window.cron.next(at.minus(window.length.duration())).is_some_and(|begin| begin <= at)
}

/// Two different faults on the same thing at the same time: the first such meeting of each two.
fn meetings(scenario: &Scenario, plan: &Plan) -> Vec<Problem> {
    let declared = &scenario.spec.faults;
    let mut notes = vec![];
    for (index, one) in declared.iter().enumerate() {
        for other in &declared[..index] {
            let Some(thing) = common(&one.fault, &other.fault) else { continue };
            let Some((a, b)) = meeting(plan, &other.name, &one.name) else { continue };
            let message =
                format!("`{}` ({}) and `{}` ({}) meet: both act on {thing}", a.id, interval(a), b.id, interval(b));
            notes.push(note(&faults().index(index), message));
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

/// ECS kills a stopped task so long after it asked it to end, unless its definition says otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

fn expectations(scenario: &Scenario, plan: &Plan, seen: &Seen) -> Vec<Problem> {
    let mut notes = samples(scenario, plan, seen);
    let stops = |fault: &PlannedFault| match fault.fault {
        Fault::StopTasks(_) | Fault::DrainService(_) | Fault::DrainInstances(_) => true,
        Fault::Partition(_) | Fault::DenyQueue(_) | Fault::Redeliver(_) => false,
    };
    let quiet = plan.expect.quiet;
    if quiet.duration() < STOP_TIMEOUT && plan.faults.iter().any(stops) {
        let message = format!(
            "a stopped task may work on for {} until ECS kills it: what it completes after {quiet} of quiet is not seen",
            Span::new(STOP_TIMEOUT)
        );
        notes.push(note(&spec().keys("expect.quiet"), message));
    }
    if let Some(most) = scenario.spec.limits.max_duration.filter(|most| most.duration() <= plan.ends_at) {
        let ends_at = Span::new(plan.ends_at);
        let message =
            format!("the load lasts {ends_at}, {most} or longer: what has not finished when it ends is not waited for");
        notes.push(note(&spec().keys("limits.maxDuration"), message));
    }
    notes
}

/// Thresholds that cannot have the samples that they need.
fn samples(scenario: &Scenario, plan: &Plan, seen: &Seen) -> Vec<Problem> {
    let mut notes = vec![];
    for threshold in &plan.expect.thresholds {
        let at = spec().keys("expect.thresholds").key(threshold.metric().word());
        let arrivals = match (threshold.metric(), &threshold.scope) {
            (Metric::RecoveryTime, _) => {
                if plan.faults.is_empty() {
                    notes.push(note(&at, "there is no fault, so there is no sample: the verdict will be Unknown"));
                }
                continue;
            }
            (Metric::RunLatency | Metric::StartLatency | Metric::Lateness, Scope::During { phase }) => {
                let own = scenario.spec.load.iter().position(|one| one.name == *phase);
                own.map_or(0, |index| seen.phases[index])
            }
            (Metric::RunLatency | Metric::StartLatency | Metric::Lateness, _) => seen.phases.iter().sum(),
            (
                Metric::QueueAge
                | Metric::QueueDepth
                | Metric::Workers
                | Metric::SubmissionErrors
                | Metric::Failures
                | Metric::SuccessRate
                | Metric::Throughput,
                _,
            ) => continue,
        };
        if let Some(least) = threshold.min_samples.filter(|least| arrivals < *least) {
            let message = format!(
                "`{}` asks for {least} samples, and {arrivals} runs arrive: the verdict will be Unknown",
                threshold.name()
            );
            notes.push(note(&at, message));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::plan::tests::scenario,
        model::{GenerationId, Target},
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
        let starts_at = "2026-11-26T01:59:30Z".parse().expect("an instant");
        let mut found = surprises(&scenario, &plan);
        found.extend(
            target.iter().flat_map(|target| forbidden(&scenario, &plan, &target.guard.deny_windows, starts_at)),
        );
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
                "start: { every: 2m }\nexpect: { thresholds: { recoveryTime: ['max < 1m'] } }\nlimits: { maxDuration: 30s }".to_owned(),
                vec![
                    "spec.start.every: load and quiet take 4m, which is longer than 2m: the turns between are left out",
                    "spec.expect.thresholds.recoveryTime: there is no fault, so there is no sample: the verdict will be Unknown",
                    "spec.limits.maxDuration: the load lasts 1m, 30s or longer: what has not finished when it ends is not waited for",
                ],
            ),
            (
                format!("faults: [ {} ]\nexpect: {{ quiet: 5s, thresholds: {{ runLatency: {{ that: p95 < 9s, minSamples: 10 }} }} }}\nlimits: {{ maxInFlight: 2 }}", stop("a", "10s")),
                vec![
                    "spec.limits.maxInFlight: up to 3 runs arrive within a second, and 2 may be under way: the others are dropped, unless runs end as fast",
                    "spec.expect.thresholds.runLatency: `runLatency p95 < 9s` asks for 10 samples, and 9 runs arrive: the verdict will be Unknown",
                    "spec.expect.quiet: a stopped task may work on for 30s until ECS kills it: what it completes after 5s of quiet is not seen",
                ],
            ),
        ] {
            assert_eq!(notes(&format!("{LOAD}{more}"), None), expected, "{more}");
        }
        let empty = "load:\n  - { name: base, for: 10s, arrivals: { burst: { size: 1, every: 10s } }, jobs: { a: 1, b: 0 } }\n  - { name: none, for: 1s, arrivals: { poisson: { rate: 1/d } }, jobs: { a: 1 } }\n";
        assert_eq!(
            notes(empty, None),
            ["spec.load[1]: the phase `none` has no arrival", "spec.load[0].jobs: no arrival draws the job `b`"]
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
