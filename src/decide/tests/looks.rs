//! What a look asks Dagster for: what has changed, and now and then everything.

use super::*;

/// The `since` of the look that is due at that second, as a second.
fn since(case: &Case, second: f64) -> Option<f64> {
    let current = case.state.current.as_ref().unwrap();
    let decision = decide(&case.plan, current, &case.observation, at(second));
    let mut sinces = decision.looks.into_iter().filter_map(|look| match look {
        Query::Dagster { since, .. } => Some(since),
        _ => None,
    });
    sinces.next().expect("a look at Dagster is due").map(|since| since.since(at(0.0)).as_secs_f64())
}

/// Merges a look asked at that second, of runs with the seconds at which Dagster changed them.
fn see(case: &mut Case, second: f64, since: Option<f64>, runs: &[(u32, f64)]) {
    let runs = runs.iter().map(|(index, changed)| RunView {
        updated_at: Some(at(*changed)),
        ..RunView::new(format!("r{index}"), Some(case.plan.key(*index)), "fast_job", RunStatus::Success)
    });
    let location = Some(LocationView::default());
    let view = DagsterView { version: "1".to_owned(), runs: runs.collect(), since: since.map(at), location };
    let dagster = Some(Timed { asked_at: at(second), answer: Seen::Fresh(view) });
    case.observation.merge(Observation { dagster, ..Observation::default() });
}

fn fail(case: &mut Case, second: f64) {
    let why = Why { kind: WhyKind::Unreachable, message: "gone".to_owned() };
    let dagster = Some(Timed { asked_at: at(second), answer: Seen::Unavailable(why) });
    case.observation.merge(Observation { dagster, ..Observation::default() });
}

#[test]
fn a_look_asks_for_what_has_changed_by_dagsters_own_clock() {
    let mut case = Case::new(false);
    assert_eq!(since(&case, 0.0), None, "nothing is known");
    see(&mut case, 0.5, None, &[]);
    assert_eq!(since(&case, 2.0), None, "before the start all runs are asked for");
    case.event(2.0, Event::Started { at: at(2.0), dagster_version: "1".to_owned() });
    see(&mut case, 3.0, None, &[]);
    assert_eq!(since(&case, 4.5), None, "Dagster's clock was not seen yet");
    see(&mut case, 5.0, None, &[(0, 104.0)]);
    assert_eq!(since(&case, 6.5), Some(94.0), "its clock is ahead");
    see(&mut case, 7.0, Some(94.0), &[(0, 104.0), (1, 106.0)]);
    assert_eq!(since(&case, 8.5), Some(96.0));
    see(&mut case, 9.0, Some(96.0), &[]);
    assert_eq!(since(&case, 10.5), Some(96.0), "nothing has changed since");
    fail(&mut case, 11.0);
    assert_eq!(since(&case, 31.0), Some(96.0), "the runs are still known");
    assert_eq!(since(&case, 65.5), None, "after a minute all are asked for: some may have been deleted");
    see(&mut case, 66.0, None, &[(1, 106.0)]);
    assert_eq!(since(&case, 67.5), Some(96.0));
    let (runs, whole_at) = case.observation.known_runs().expect("a whole look was merged");
    assert_eq!((runs.len(), whole_at), (1, at(66.0)), "run r0 was deleted");
}

#[test]
fn all_runs_are_asked_for_less_often_the_more_there_are() {
    let mut case = Case::started(false);
    let runs: Vec<(u32, f64)> = (0..10_000).map(|index| (index, 20.0)).collect();
    see(&mut case, 1.0, None, &runs);
    assert_eq!(since(&case, 600.0), Some(10.0));
    assert_eq!(since(&case, 661.0), None);
}
