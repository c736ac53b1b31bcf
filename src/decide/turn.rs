//! When a scenario's turn comes: its next generation begins its life then.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    journal::{State, Summary},
    model::{ScenarioName, Span, Timestamp, Verdict},
    spec::{Scenario, StartTrigger},
};

/// An instant of a `cron` that passed at most so long before this process knew of the scenario is made up for, if the
/// scenario had turns before: the operator was being restarted then.
const GRACE: Duration = Duration::from_secs(60);

/// What a scenario of which no generation lives waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: its turn is now.
    Due,
    /// This instant.
    At(Timestamp),
    /// A verdict of these scenarios, newer than its own last turn.
    After(Vec<ScenarioName>),
    /// `suspend: false`, or `dagstorm resume`.
    Suspended,
    /// The lifting of a halt.
    Halted,
    /// Another version: this one has had its only turn.
    Had,
}

/// What a turn depends on.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    pub scenario: &'a Scenario,
    /// The digest of its spec.
    pub digest: &'a str,
    pub state: &'a State,
    /// When each scenario last had a verdict.
    pub verdicts: &'a BTreeMap<ScenarioName, Timestamp>,
    /// When this process first knew of this version.
    pub known_since: Timestamp,
    /// Where turns may overlap: when the last one was taken, whoever did. `None`: they may not.
    pub taken: Option<Option<Timestamp>>,
    pub now: Timestamp,
}

/// Says what a scenario waits for. A generation that was stopped before its verdict counts as no turn.
///
/// While a generation lives nobody asks: the turns that come up meanwhile are left out (`overlap: forbid`).
pub fn turn(waiting: &Waiting<'_>) -> Turn {
    let last = last_verdict(waiting.state, waiting.digest);
    let start = waiting.scenario.spec.start.as_ref();
    if let (Some(taken), Some(start)) = (waiting.taken, start) {
        let turn = overlapping(&start.trigger, taken, waiting);
        return if waiting.scenario.suspend { Turn::Suspended } else { turn };
    }
    let turn = match waiting.scenario.spec.start.as_ref().map(|start| &start.trigger) {
        None | Some(StartTrigger::At(_)) if last.is_some() => Turn::Had,
        None => Turn::Due,
        Some(StartTrigger::At(at)) => not_before(*at, waiting.now),
        Some(StartTrigger::After(names)) => after(names, last, waiting.verdicts),
        Some(StartTrigger::Every(every)) => {
            last.map_or(Turn::Due, |last| not_before(next_of(*every, last), waiting.now))
        }
        Some(StartTrigger::Cron(cron)) => {
            let from = last.map_or(waiting.known_since, |last| last.concluded_at.max(waiting.known_since.minus(GRACE)));
            cron.next(from).map_or(Turn::Had, |next| not_before(next, waiting.now))
        }
    };
    if waiting.scenario.suspend && turn != Turn::Had { Turn::Suspended } else { turn }
}

/// Turns beside each other: each counts from the one before, whether or not that has ended.
fn overlapping(trigger: &StartTrigger, taken: Option<Timestamp>, waiting: &Waiting<'_>) -> Turn {
    let due = match trigger {
        StartTrigger::Every(every) => taken.map(|taken| taken.plus(every.duration())),
        StartTrigger::Cron(cron) => {
            let from = taken.map_or(waiting.known_since, |taken| taken.max(waiting.known_since.minus(GRACE)));
            match cron.next(from) {
                Some(next) => Some(next),
                None => return Turn::Had,
            }
        }
        // Nothing else comes again while it runs; `spec` refuses it.
        StartTrigger::After(_) | StartTrigger::At(_) => return Turn::Had,
    };
    due.map_or(Turn::Due, |due| not_before(due, waiting.now))
}

/// Whether this very spec may run once more because `dagstorm run` asks for it: once a process, and again what was
/// stopped.
pub fn may_run_again(state: &State, digest: &str, epoch: u64) -> bool {
    let last = state.past.iter().rev().find(|past| past.generation.digest == digest);
    last.is_none_or(|last| last.conclusion.verdict == Verdict::Stopped || last.epoch < epoch)
}

fn last_verdict<'a>(state: &'a State, digest: &str) -> Option<&'a Summary> {
    let own = state.past.iter().rev().filter(|past| past.generation.digest == digest);
    own.clone().find(|past| past.conclusion.verdict != Verdict::Stopped)
}

fn not_before(instant: Timestamp, now: Timestamp) -> Turn {
    if instant <= now { Turn::Due } else { Turn::At(instant) }
}

fn after(names: &[ScenarioName], last: Option<&Summary>, verdicts: &BTreeMap<ScenarioName, Timestamp>) -> Turn {
    let is_newer = |at: &Timestamp| last.is_none_or(|last| *at > last.accepted_at);
    let missing: Vec<ScenarioName> =
        names.iter().filter(|name| !verdicts.get(*name).is_some_and(is_newer)).cloned().collect();
    if missing.is_empty() { Turn::Due } else { Turn::After(missing) }
}

/// The first turn that the last one did not run into.
fn next_of(every: Span, last: &Summary) -> Timestamp {
    let every = every.duration();
    let lasted = last.concluded_at.since(last.accepted_at);
    let turns = lasted.as_nanos().div_ceil(every.as_nanos().max(1)).max(1);
    last.accepted_at.plus(every.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Conclusion, Event, Record},
        spec::{Manifest, load, no_attachments},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).plus(Duration::from_secs(second as u64))
    }

    fn scenario(more: &str) -> Scenario {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load: [{{ name: base, for: 10s, arrivals: {{ constant: {{ rate: 1/s }} }}, jobs: {{ fast_job: 1 }} }}]
{more}"
        );
        match load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
            Some(Ok(Manifest::Scenario(scenario))) => *scenario,
            other => panic!("{other:?}"),
        }
    }

    /// Generations of the scenario: accepted and concluded at these seconds, with this verdict.
    fn past(scenario: &Scenario, turns: &[(i64, i64, Verdict)]) -> State {
        let mut state = State::default();
        let target = serde_json::from_str(
            r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r","requestTimeout":"5s","settle":"15s"}}"#,
        )
        .expect("a target");
        let target: Box<crate::model::Target> = Box::new(target);
        for (number, (begin, end, verdict)) in (1..).zip(turns) {
            let generation = crate::model::GenerationId { digest: scenario.digest(), repeat: number };
            let conclusion = Conclusion { verdict: *verdict, ..Conclusion::stopped("an end") };
            for (second, event) in [
                (begin, Event::Accepted { generation, scenario: Box::new(scenario.clone()), target: target.clone() }),
                (end, Event::Concluded { conclusion }),
            ] {
                let record = Record { seq: state.next_seq, at: at(*second), epoch: 1, event };
                state.apply(&record).expect("legal");
            }
        }
        state
    }

    #[test]
    fn every_trigger_has_its_turn() {
        use Verdict::{Passed, Stopped};
        let names = |names: &[&str]| Turn::After(names.iter().map(|name| name.parse().expect("a name")).collect());
        let cron = "  start: { cron: '*/10 * * * *' }";
        // 1 790 000 000 is 14:13:20 of a day: the next multiple of ten minutes is 400 s away.
        for (more, turns, verdicts, known_since, now, expected) in [
            ("", &[][..], &[][..], 0, 0, Turn::Due),
            ("", &[(0, 5, Passed)], &[], 0, 9, Turn::Had),
            ("", &[(0, 5, Stopped)], &[], 0, 9, Turn::Due),
            ("  suspend: true", &[], &[], 0, 0, Turn::Suspended),
            ("  suspend: true", &[(0, 5, Stopped)], &[], 0, 9, Turn::Suspended),
            ("  suspend: true", &[(0, 5, Passed)], &[], 0, 9, Turn::Had),
            ("  start: { every: 10s }", &[], &[], 0, 0, Turn::Due),
            ("  start: { every: 10s }", &[(3, 8, Passed)], &[], 0, 9, Turn::At(at(13))),
            ("  start: { every: 10s }", &[(3, 8, Passed)], &[], 0, 13, Turn::Due),
            ("  start: { every: 10s }", &[(3, 14, Passed)], &[], 0, 15, Turn::At(at(23))),
            ("  start: { every: 10s }", &[(3, 13, Passed)], &[], 0, 13, Turn::Due),
            ("  start: { every: 10s }", &[(3, 8, Passed), (8, 9, Stopped)], &[], 0, 9, Turn::At(at(13))),
            ("  suspend: true\n  start: { every: 10s }", &[(3, 8, Passed)], &[], 0, 9, Turn::Suspended),
            (cron, &[], &[], 0, 0, Turn::At(at(400))),
            (cron, &[], &[], 0, 399, Turn::At(at(400))),
            (cron, &[], &[], 0, 401, Turn::Due),
            (cron, &[], &[], 401, 401, Turn::At(at(1_000))),
            (cron, &[(400, 500, Passed)], &[], 0, 501, Turn::At(at(1_000))),
            (cron, &[(400, 1_100, Passed)], &[], 0, 1_101, Turn::At(at(1_600))),
            (cron, &[(400, 500, Passed)], &[], 1_030, 1_030, Turn::Due),
            (cron, &[(400, 500, Passed)], &[], 1_090, 1_090, Turn::At(at(1_600))),
            ("  start: { after: [b, c] }", &[], &[], 0, 0, names(&["b", "c"])),
            ("  start: { after: [b, c] }", &[], &[("b", 3)], 0, 4, names(&["c"])),
            ("  start: { after: [b, c] }", &[], &[("b", 3), ("c", 4)], 0, 4, Turn::Due),
            ("  start: { after: [b, c] }", &[(4, 9, Passed)], &[("b", 3), ("c", 4)], 0, 9, names(&["b", "c"])),
            ("  start: { after: [b, c] }", &[(4, 9, Passed)], &[("b", 5), ("c", 8)], 0, 9, Turn::Due),
            ("  start: { after: [b, c] }", &[(4, 9, Stopped)], &[("b", 3), ("c", 4)], 0, 9, Turn::Due),
        ] {
            let scenario = scenario(more);
            let state = past(&scenario, turns);
            let verdicts = verdicts.iter().map(|(name, second)| (name.parse().expect("a name"), at(*second))).collect();
            let waiting = Waiting {
                scenario: &scenario,
                digest: &scenario.digest(),
                state: &state,
                verdicts: &verdicts,
                known_since: at(known_since),
                taken: None,
                now: at(now),
            };
            assert_eq!(turn(&waiting), expected, "{more} {turns:?} known {known_since} now {now}");
        }
    }

    #[test]
    fn turns_that_may_overlap_count_from_the_one_before() {
        let (every, cron) =
            ("  start: { every: 10s, overlap: allow }", "  start: { cron: '*/10 * * * *', overlap: allow }");
        for (more, taken, known_since, now, expected) in [
            (every, None, 0, 0, Turn::Due),
            (every, Some(5), 0, 14, Turn::At(at(15))),
            (every, Some(5), 0, 15, Turn::Due),
            (every, Some(5), 0, 99, Turn::Due),
            (cron, None, 0, 399, Turn::At(at(400))),
            (cron, Some(400), 0, 401, Turn::At(at(1_000))),
            (cron, Some(400), 0, 1_000, Turn::Due),
            (cron, Some(400), 1_090, 1_090, Turn::At(at(1_600))),
            ("  suspend: true\n  start: { every: 10s, overlap: allow }", None, 0, 0, Turn::Suspended),
        ] {
            let scenario = scenario(more);
            // The lane's own turns are no matter: it was stopped, or another lane came later.
            let state = past(&scenario, &[(0, 3, Verdict::Passed)]);
            let waiting = Waiting {
                scenario: &scenario,
                digest: &scenario.digest(),
                state: &state,
                verdicts: &BTreeMap::new(),
                known_since: at(known_since),
                taken: Some(taken.map(at)),
                now: at(now),
            };
            assert_eq!(turn(&waiting), expected, "{more} taken {taken:?} now {now}");
        }
    }

    #[test]
    fn an_instant_is_waited_for_once() {
        let scenario = scenario(&format!("  start: {{ at: '{}' }}", at(100)));
        for (turns, now, expected) in [
            (&[][..], 0, Turn::At(at(100))),
            (&[], 500, Turn::Due),
            (&[(100, 150, Verdict::Passed)], 500, Turn::Had),
            (&[(100, 150, Verdict::Stopped)], 500, Turn::Due),
        ] {
            let state = past(&scenario, turns);
            let waiting = Waiting {
                scenario: &scenario,
                digest: &scenario.digest(),
                state: &state,
                verdicts: &BTreeMap::new(),
                known_since: at(0),
                taken: None,
                now: at(now),
            };
            assert_eq!(turn(&waiting), expected, "{turns:?} now {now}");
        }
    }

    #[test]
    fn run_repeats_what_ended_before_it_came() {
        let scenario = scenario("");
        let digest = scenario.digest();
        assert!(may_run_again(&past(&scenario, &[]), &digest, 1));
        assert!(!may_run_again(&past(&scenario, &[(0, 5, Verdict::Passed)]), &digest, 1), "once a process");
        assert!(may_run_again(&past(&scenario, &[(0, 5, Verdict::Passed)]), &digest, 2));
        assert!(may_run_again(&past(&scenario, &[(0, 5, Verdict::Stopped)]), &digest, 1));
    }
}
