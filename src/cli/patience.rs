//! Until when `dagstorm run` waits for scenarios that get nowhere. Pure: statuses and the time go in.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    decide::PATIENCE,
    model::{Condition, ConditionStatus, ConditionType, Phase, RunCounts, ScenarioName, Timestamp},
    publish::{ANOTHER_WRITER, Status},
};

/// How `run` waits.
pub struct Patience {
    /// So long a scenario may be unable to start, or to reach Dagster when it is over.
    timeout: Duration,
    watched: BTreeMap<ScenarioName, Watched>,
}

/// What is known of one scenario that has not ended.
struct Watched {
    /// Since when it cannot go on by itself.
    blocked_since: Option<Timestamp>,
    stands: Stands,
    unchanged_since: Timestamp,
}

/// Where a scenario stands. As long as it is the same, nothing has come of waiting.
type Stands = (Phase, Option<RunCounts>, Vec<Condition>);

impl Patience {
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, watched: BTreeMap::new() }
    }

    /// Takes the latest statuses. Returns whether nothing more can be waited for: some scenario has not ended, and none of
    /// those gets anywhere.
    pub fn is_over(&mut self, latest: &BTreeMap<ScenarioName, Status>, now: Timestamp) -> bool {
        let timeout = self.timeout;
        let (mut stuck, mut goes_on) = (false, false);
        for (name, status) in latest.iter().filter(|(_, status)| !status.status.phase.is_final()) {
            let body = &status.status;
            let stands = (body.phase, body.runs, body.conditions.clone());
            let watched = self.watched.entry(name.clone()).or_insert_with(|| Watched {
                blocked_since: None,
                stands: stands.clone(),
                unchanged_since: now,
            });
            if watched.stands != stands {
                watched.stands = stands;
                watched.unchanged_since = now;
            }
            watched.blocked_since = is_blocked(status, now).then(|| watched.blocked_since.unwrap_or(now));
            let is_past = body.gives_up_at.is_some_and(|at| now >= at);
            let is_refused = body.conditions.iter().any(|condition| condition.reason == ANOTHER_WRITER);
            let is_blocked = is_refused || watched.blocked_since.is_some_and(|since| now.since(since) >= timeout);
            let is_unchanged = is_past && now.since(watched.unchanged_since) >= PATIENCE + timeout;
            if is_blocked || is_unchanged {
                stuck = true;
            } else {
                goes_on = true;
            }
        }
        stuck && !goes_on
    }
}

/// Whether it waits for something that only others can bring: a start, or, once its launches are given up, a Dagster that
/// can be asked how its runs ended.
fn is_blocked(status: &Status, now: Timestamp) -> bool {
    match status.status.phase {
        Phase::Pending | Phase::Waiting | Phase::Suspended => true,
        Phase::Running | Phase::Settling | Phase::Auditing => {
            let is_of_dagster = |condition: &Condition| {
                condition.kind == ConditionType::Ready
                    && condition.status == ConditionStatus::False
                    && (condition.reason.starts_with("Dagster") || condition.reason == "NotDagster")
            };
            let is_past = status.status.gives_up_at.is_some_and(|at| now >= at);
            is_past && status.status.conditions.iter().any(is_of_dagster)
        }
        Phase::Passed | Phase::Failed | Phase::Unknown | Phase::Stopped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Dependency, Event, Record, State},
        model::{GenerationId, Why, WhyKind},
        plan,
        publish::{Beside, status},
        spec::{Manifest, load, no_attachments},
    };

    const SCENARIO: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: a }
spec:
  target: local
  load: [{ name: base, for: 10s, arrivals: { constant: { rate: 1/s } }, jobs: { a: 1 } }]
  limits: { maxDuration: 20s }
";
    const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
        "requestTimeout":"5s","settle":"15s"}}"#;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).plus(Duration::from_secs(second))
    }

    /// The status after these events; it was accepted and started at 0, if it has started.
    fn after(has_started: bool, events: Vec<Event>) -> Status {
        let Some(Ok(Manifest::Scenario(scenario))) =
            load("a.yaml", SCENARIO.as_bytes(), &no_attachments).pop().map(|document| document.content)
        else {
            panic!("not a scenario");
        };
        let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
        let plan = plan::compile(&scenario, &generation);
        let target = Box::new(serde_json::from_str(TARGET).expect("a target"));
        let accepted = Event::Accepted { generation, scenario, target };
        let started = Event::Started { at: at(0), dagster_version: "1".to_owned() };
        let mut state = State::default();
        let events = [accepted].into_iter().chain(has_started.then_some(started)).chain(events);
        for (seq, event) in (0..).zip(events) {
            let record = Record { seq, at: at(0), epoch: 1, event };
            state.apply(&record).expect("a legal record");
        }
        status(&plan, &state, state.current.as_ref().expect("it was accepted"), Beside::default())
    }

    fn unready(dependency: Dependency) -> Event {
        let why = Why { kind: WhyKind::Unreachable, message: "gone".to_owned() };
        Event::Unready { dependency, why }
    }

    fn latest(statuses: &[(&str, &Status)]) -> BTreeMap<ScenarioName, Status> {
        statuses.iter().map(|(name, status)| (name.parse().expect("a name"), (*status).clone())).collect()
    }

    /// The second at which `run` gives up, asked every ten seconds for two hours.
    fn gives_up(statuses: &[(&str, &Status)]) -> Option<u64> {
        let (mut patience, latest) = (Patience::new(Duration::from_secs(60)), latest(statuses));
        (0..720).map(|turn| turn * 10).find(|second| patience.is_over(&latest, at(*second)))
    }

    #[test]
    fn what_gets_nowhere_is_waited_for_no_longer_than_it_is_said() {
        let waiting = after(false, vec![unready(Dependency::Launches)]);
        let running = after(true, vec![]);
        let lost = after(true, vec![unready(Dependency::Dagster)]);
        let contended = Why { kind: WhyKind::Mismatch, message: "another dagstorm launches it".to_owned() };
        let contended = after(false, vec![Event::Unready { dependency: Dependency::Writer, why: contended }]);
        let without_a_job = after(true, vec![unready(Dependency::Jobs)]);
        for (what, statuses, expected) in [
            ("it cannot start", &[("a", &waiting)][..], Some(60)),
            ("another dagstorm launches it: time changes nothing", &[("a", &contended)], Some(0)),
            ("Dagster is gone when it is over", &[("a", &lost)], Some(80)),
            ("nothing changes any more", &[("a", &running)], Some(1_860)),
            ("a job is gone, its runs are not", &[("a", &without_a_job)], Some(1_860)),
            ("one of them goes on", &[("a", &waiting), ("b", &running)], Some(1_860)),
            ("there is none", &[], None),
        ] {
            assert_eq!(gives_up(statuses), expected, "{what}");
        }
    }

    #[test]
    fn who_goes_on_once_is_waited_for_again() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let (waiting, running) = (after(false, vec![]), after(true, vec![]));
        for (second, status, is_over) in [
            (0, &waiting, false),
            (50, &waiting, false),
            (55, &running, false),
            (58, &waiting, false),
            (70, &waiting, false),
            (118, &waiting, true),
        ] {
            assert_eq!(patience.is_over(&latest(&[("a", status)]), at(second)), is_over, "{second}");
        }
    }
}
