//! Launches that Dagster refuses for now: what is sent again, what is final, and how long is waited.

use super::*;
use crate::model::{LocationState, LocationView, Runs};

const NOT_FOUND: &str = "PipelineNotFoundError: Could not find Pipeline demo.r.fast_job";

/// What a look asked at that second shows of the location.
fn location(case: &mut Case, second: f64, state: LocationState, forbidden: Option<&str>) {
    let location = LocationView { state, forbidden: forbidden.map(str::to_owned) };
    let view = DagsterView { version: "1".to_owned(), runs: Runs::default(), since: None, location: Some(location) };
    case.observation.dagster = Some(Timed { asked_at: at(second), answer: Seen::Fresh(view) });
}

fn lacks() -> LocationState {
    let (message, known) = ("no job `fast_job`".to_owned(), "it has: slow_job".to_owned());
    LocationState::Lacks { jobs: vec!["fast_job".to_owned()], message, known }
}

/// The first arrival was sent at 0 and refused at 0.5.
fn refused() -> Case {
    let mut case = Case::started(false);
    case.sent(0.0, 0, 1);
    case.event(0.5, Event::SubmitRefused { index: 0, reason: NOT_FOUND.to_owned(), retry: true });
    case
}

fn notes(case: &Case, second: f64) -> Vec<Event> {
    let current = case.state.current.as_ref().unwrap();
    decide(&case.plan, current, &case.observation, at(second)).notes
}

/// Decides and notes, until nothing more is noted; returns what was.
fn settle(case: &mut Case, second: f64) -> Vec<Event> {
    let mut all = vec![];
    loop {
        let new = notes(case, second);
        if new.is_empty() {
            return all;
        }
        for event in new {
            case.event(second, event.clone());
            all.push(event);
        }
    }
}

#[test]
fn what_dagster_does_not_find_is_final_only_where_the_location_is_loaded() {
    for (state, asked, is_final, what) in [
        (LocationState::Ready, 0.6, false, "the job is there again"),
        (LocationState::NotLoaded("a load error".to_owned()), 0.6, false, "it reloads"),
        (LocationState::Absent("no such location".to_owned()), 0.6, false, "the workspace reloads"),
        (lacks(), 0.4, false, "the look was asked before the launch was refused"),
        (lacks(), 0.6, true, "it is loaded and has no such job"),
    ] {
        let mut case = refused();
        location(&mut case, asked, state, None);
        let rejected = settle(&mut case, 0.7)
            .into_iter()
            .any(|event| matches!(event, Event::SubmitRefused { index: 0, retry: false, .. }));
        assert_eq!(rejected, is_final, "{what}");
        if !is_final {
            assert!(case.decides(11.0).contains("launch 0 attempt 2"), "{what}: {}", case.decides(11.0));
        }
    }
}

#[test]
fn launches_of_a_job_that_went_away_are_rejected_for_one_reason() {
    let mut case = refused();
    location(&mut case, 0.6, lacks(), None);
    settle(&mut case, 0.7);
    for (index, second) in [(1, 10.0), (2, 20.0)] {
        case.sent(second, index, 1);
        case.event(second, Event::SubmitRefused { index, reason: NOT_FOUND.to_owned(), retry: true });
        location(&mut case, second + 0.1, lacks(), None);
        settle(&mut case, second + 0.2);
    }
    let current = case.state.current.as_ref().unwrap();
    let groups: Vec<(u32, u32, &str)> =
        current.rejections().into_iter().map(|group| (group.count, group.first, group.reason)).collect();
    let reason = format!("no job `fast_job` (first seen at {})", at(0.7));
    assert_eq!(groups, [(3, 0, reason.as_str())]);
    let unready = &current.unready[&crate::journal::Dependency::Jobs];
    assert_eq!((unready.at, unready.value.message.as_str()), (at(0.7), "no job `fast_job`: it has: slow_job"));
}

#[test]
fn a_look_asks_for_the_location_as_long_as_something_of_it_is_wrong() {
    let asks = |case: &Case, second: f64| {
        let current = case.state.current.as_ref().unwrap();
        let looks = decide(&case.plan, current, &case.observation, at(second)).looks;
        looks.iter().any(|look| matches!(look, Query::Dagster { jobs, .. } if !jobs.is_empty()))
    };
    let mut case = Case::started(false);
    assert!(!asks(&case, 0.1), "all is well");
    case = refused();
    assert!(asks(&case, 0.6), "a launch was refused");
    location(&mut case, 0.6, LocationState::NotLoaded("a load error".to_owned()), None);
    settle(&mut case, 0.7);
    case.sent(1.5, 0, 2);
    case.event(1.6, Event::Submitted { index: 0, run_id: "r0".to_owned(), found: Found::Acknowledged });
    assert!(asks(&case, 3.0), "it is said not to be loaded");
    location(&mut case, 3.0, LocationState::Ready, None);
    settle(&mut case, 3.1);
    assert!(!asks(&case, 5.0), "all is well again");
}

#[test]
fn nothing_starts_while_launches_are_not_permitted() {
    let mut case = Case::new(false);
    location(&mut case, 0.1, LocationState::Ready, Some("read-only"));
    let unready = settle(&mut case, 0.2);
    let why = Why { kind: WhyKind::Unauthorized, message: "read-only".to_owned() };
    assert_eq!(unready, [Event::Unready { dependency: crate::journal::Dependency::Launches, why }]);
    location(&mut case, 1.5, LocationState::Ready, None);
    let noted = settle(&mut case, 1.6);
    assert!(matches!(&noted[..], [Event::Readied { .. }, Event::Started { .. }]), "{noted:?}");
}

#[test]
fn launches_that_are_never_acknowledged_are_given_up_at_a_known_instant() {
    // Of three arrivals the first is refused for ever, the second is in doubt, the third was not sent.
    let gives_up = |limit: Option<&str>| {
        let mut scenario = scenario(false);
        scenario.spec.limits.max_duration = limit.map(|limit| limit.parse().unwrap());
        let mut case = Case::of(scenario);
        case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
        case.sent(0.0, 0, 1);
        case.event(0.5, Event::SubmitRefused { index: 0, reason: "UnauthorizedError: ".to_owned(), retry: true });
        case.sent(10.0, 1, 1);
        case.event(10.5, Event::SubmitInDoubt { index: 1, reason: "lost".to_owned() });
        case
    };
    for (limit, second, bound) in [
        (None, 1845.0, "the load's end, a settle of 15s and 30m; limits.maxDuration sets another limit"),
        (Some("1m"), 60.0, "limits.maxDuration, 1m"),
        (Some("5s"), 30.0, "limits.maxDuration, 5s"),
    ] {
        let mut case = gives_up(limit);
        assert_eq!(gives_up_at(&case.plan, case.state.current.as_ref().unwrap()), Some(at(second)));
        assert_eq!(notes(&case, second - 0.1), [], "{limit:?}");
        let reason = format!(
            "2 launches were not acknowledged and 1 not sent by {} ({bound}); the last failure: lost",
            at(second)
        );
        assert_eq!(notes(&case, second), [Event::LoadGivenUp { reason: reason.clone() }]);
        case.event(second, Event::LoadGivenUp { reason });
        let rejected = "not acknowledged in time: UnauthorizedError: ".to_owned();
        let rejected = Event::SubmitRefused { index: 0, reason: rejected, retry: false };
        assert_eq!(notes(&case, second), std::slice::from_ref(&rejected));
        case.event(second, rejected);
        assert_eq!(notes(&case, second), [], "what is in doubt is looked up first");
        case.dagster(second + 1.0, &[(1, RunStatus::Success)]);
        let found = settle(&mut case, second + 1.1);
        assert!(matches!(found[0], Event::Submitted { index: 1, found: Found::LookedUp, .. }), "{found:?}");
        let quiet = second + 1.1 + 20.0;
        case.dagster(quiet, &[(1, RunStatus::Success)]);
        assert_eq!(settle(&mut case, quiet + 0.1), [Event::AuditBegan], "it is judged without the others");
    }
}
