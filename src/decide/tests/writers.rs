//! Two dagstorms, each with a data folder of its own, on one manifest.

use super::{super::notice, *};
use crate::{
    journal::Dependency,
    model::{Origin, WriterId},
};

/// One arrival every 10 s, 3 in all. A settle is 15 s, and a launch may be sent 1 s late: two of them and a look are 37 s.
fn waiting() -> Case {
    let mut case = Case::new(false);
    case.event(0.0, Event::WriterNamed { writer: writer("own") });
    case
}

fn writer(id: &str) -> WriterId {
    id.parse().unwrap()
}

impl Case {
    /// What a look shows: launches of arrivals by a dagstorm that says when it began.
    fn shows(&mut self, second: f64, by: &str, began: f64, indices: &[u32]) -> &mut Self {
        let runs = indices.iter().map(|index| RunView {
            writer: Some(writer(by)),
            generation_started: Some(at(began)),
            origin: Origin::Launch,
            ..RunView::new(format!("{by}-{index}"), Some(self.plan.key(*index)), "fast_job", RunStatus::Started)
        });
        let location = Some(LocationView::default());
        let view = DagsterView { version: "1".to_owned(), runs: runs.collect(), since: None, location };
        self.observation.merge(Observation {
            dagster: Some(Timed { asked_at: at(second), answer: Seen::Fresh(view) }),
            ..Observation::default()
        });
        self
    }

    /// Decides, and lives through what is noted, until nothing more is.
    fn lives(&mut self, second: f64) -> Vec<Event> {
        let mut all = vec![];
        loop {
            let current = self.state.current.as_ref().unwrap();
            let decision = decide(&self.plan, current, &self.observation, at(second));
            if decision.notes.is_empty() {
                return all;
            }
            for event in decision.notes {
                self.event(second, event.clone());
                all.push(event);
            }
        }
    }

    fn has_started(&self) -> bool {
        self.state.current.as_ref().unwrap().started_at.is_some()
    }

    fn waits_for(&self) -> Option<&Why> {
        self.state.current.as_ref().unwrap().unready.get(&Dependency::Writer).map(|fact| &fact.value)
    }

    fn told(&mut self) -> Option<(String, bool)> {
        let current = self.state.current.as_ref().unwrap();
        let seen = self.observation.dagster.as_ref().unwrap();
        let events = notice::runs(&self.plan, current, seen.answer.fresh().unwrap(), seen.asked_at);
        let event = events.into_iter().find(|event| matches!(event, Event::OtherWriterSeen { .. }))?;
        self.event(50.0, event);
        let other = &self.state.current.as_ref().unwrap().other_writer.as_ref().unwrap().value;
        Some((other.reason.clone(), other.is_first))
    }
}

#[test]
fn another_ones_runs_are_adopted_when_what_it_owes_stays_absent_for_two_settles() {
    // The generation began 5 s before this one looked. What is absent, and since when that is counted.
    for (what, shown, proved) in [
        ("the next arrival, due at 5 s", &[0][..], 5.0 + 37.0),
        ("the next arrival, due at 15 s", &[0, 1], 15.0 + 37.0),
        ("an arrival before the last one, due at 5 s", &[0, 2], 5.0 + 37.0),
    ] {
        let mut case = waiting();
        case.shows(1.0, "other", -5.0, shown).lives(1.0);
        assert_eq!(case.waits_for().unwrap().kind, WhyKind::Awaited, "{what}");
        case.shows(proved - 0.1, "other", -5.0, shown).lives(proved);
        assert!(!case.has_started(), "{what}");
        case.shows(proved, "other", -5.0, shown).lives(proved);
        assert!(case.has_started(), "{what}");
    }
}

#[test]
fn when_another_one_has_launched_all_nothing_is_waited_for_but_a_settle() {
    let mut case = waiting();
    case.shows(1.0, "other", -60.0, &[0, 1, 2]).lives(1.0);
    assert!(!case.has_started());
    case.shows(15.0, "other", -60.0, &[0, 1, 2]).lives(15.0);
    assert!(case.has_started());
}

#[test]
fn another_one_that_launches_meanwhile_is_at_work() {
    let mut case = waiting();
    case.shows(1.0, "other", -5.0, &[0]).lives(1.0);
    case.shows(6.0, "other", -5.0, &[0, 1]).lives(6.0);
    let why = case.waits_for().unwrap();
    assert_eq!(why.kind, WhyKind::Mismatch);
    assert!(why.message.contains("the dagstorm of data folder other launched run other-1"), "{}", why.message);
    // Then it is gone: its next arrival was due at 15 s.
    case.shows(51.9, "other", -5.0, &[0, 1]).lives(52.0);
    assert!(!case.has_started());
    case.shows(52.0, "other", -5.0, &[0, 1]).lives(52.0);
    assert!(case.has_started());
}

#[test]
fn what_nobody_could_launch_proves_nothing() {
    let mut case = waiting();
    case.shows(1.0, "other", -5.0, &[0]).lives(1.0);
    let why = Why { kind: WhyKind::Unreachable, message: "gone".to_owned() };
    case.event(10.0, Event::Unready { dependency: Dependency::Dagster, why });
    case.event(40.0, Event::Readied { dependency: Dependency::Dagster });
    case.shows(76.9, "other", -5.0, &[0]).lives(77.0);
    assert!(!case.has_started(), "Dagster was back at 40 s");
    case.shows(77.0, "other", -5.0, &[0]).lives(77.0);
    assert!(case.has_started());
}

#[test]
fn of_two_at_work_the_one_that_began_later_gives_way() {
    for (began, is_first) in [(-0.1, true), (0.1, false)] {
        let mut case = waiting();
        case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
        case.acknowledged(0).shows(2.0, "other", began, &[0]);
        let (reason, told) = case.told().unwrap();
        assert_eq!(told, is_first, "{reason}");
        assert!(case.told().is_none(), "once");
        let decided = case.decides(10.0);
        assert_eq!(decided.contains("aborted"), is_first, "{decided}");
        assert_eq!(decided.contains("launch"), !is_first, "{decided}");
    }
}

#[test]
fn the_one_that_began_earlier_gives_way_if_it_has_launched_nothing() {
    let refused = || Event::SubmitRefused { index: 0, reason: "busy".to_owned(), retry: true };
    let in_doubt = || Event::SubmitInDoubt { index: 0, reason: "timed out".to_owned() };
    // A settle and the second by which a launch may be late pass after the attempt at 0.2 s.
    for (what, sent, second, gives_way) in [
        ("nothing was sent", None, 10.0, true),
        ("all was refused", Some(refused()), 10.0, true),
        ("it may be on its way", Some(in_doubt()), 16.1, false),
        ("it is absent", Some(in_doubt()), 16.2, true),
    ] {
        let mut case = waiting();
        case.event(0.1, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
        if let Some(answer) = sent {
            case.event(0.2, Event::SubmitIntended { index: 0, attempt: 1, due: None }).event(0.3, answer);
        }
        case.shows(second, "other", 5.0, &[0]);
        let (reason, is_first) = case.told().unwrap();
        assert_eq!(is_first, gives_way, "{what}: {reason}");
        assert_eq!(reason.ends_with(", and this one has launched none"), gives_way, "{what}: {reason}");
    }
    // What is in doubt when the other one is seen first is absent later, while nothing of the other one changes.
    let mut case = waiting();
    case.event(0.1, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    case.event(0.2, Event::SubmitIntended { index: 0, attempt: 1, due: None }).event(0.3, in_doubt());
    assert!(!case.shows(16.1, "other", 5.0, &[0]).told().unwrap().1);
    case.shows(16.2, "other", 5.0, &[0]);
    let (reason, is_first) = case.told().unwrap();
    assert!(is_first && reason.ends_with(", and this one has launched none"), "{reason}");
}

#[test]
fn the_one_that_was_taken_for_gone_gives_way_to_the_one_that_adopted_its_runs() {
    // This one launched arrival 0, was away, and the other one went on with its generation.
    let mut case = waiting();
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    case.shows(50.0, "other", 0.0, &[1]);
    let (reason, is_first) = case.told().unwrap();
    assert!(is_first && reason.ends_with("after it took this one for gone"), "{reason}");
    // This one has adopted the other one's runs, which launches again.
    let mut case = waiting();
    case.event(0.5, Event::Adopting { runs: 1 });
    case.event(1.0, Event::Submitted { index: 0, run_id: "other-0".to_owned(), found: Found::Adopted });
    case.event(1.0, Event::Started { at: at(-60.0), dagster_version: "1".to_owned() });
    case.shows(50.0, "other", -60.0, &[0, 1]);
    assert!(!case.told().unwrap().1, "its id is the smaller one");
    // Both have adopted a third one's: the smaller id goes on.
    for (by, is_first) in [("other", true), ("strange", false)] {
        let mut case = waiting();
        case.event(0.5, Event::Adopting { runs: 1 });
        case.event(1.0, Event::Submitted { index: 0, run_id: "third-0".to_owned(), found: Found::Adopted });
        case.event(1.0, Event::Started { at: at(-60.0), dagster_version: "1".to_owned() });
        case.shows(50.0, by, -60.0, &[1]);
        assert_eq!(case.told().unwrap().1, is_first, "{by}");
    }
}

#[test]
fn a_process_that_comes_back_launches_nothing_new_before_it_has_looked() {
    let mut case = waiting();
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    case.observation.awoke_at = Some(at(9.0));
    assert!(!case.decides(10.0).contains("launch"), "{}", case.decides(10.0));
    case.no_dagster(10.1);
    assert!(!case.decides(10.2).contains("launch"), "a look that failed shows nothing");
    case.shows(10.3, "own", 0.0, &[]);
    assert!(case.decides(10.4).contains("launch 0 attempt 1"), "{}", case.decides(10.4));
    let why = Why { kind: WhyKind::Unreachable, message: "gone".to_owned() };
    let dagster = Some(Timed { asked_at: at(12.0), answer: Seen::Unavailable(why) });
    case.observation.merge(Observation { dagster, ..Observation::default() });
    assert!(case.decides(12.1).contains("launch 0 attempt 1"), "later looks may fail");
}

#[test]
fn a_process_that_stood_still_sends_nothing_again_before_it_has_looked() {
    let mut case = waiting();
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    case.event(0.1, Event::SubmitIntended { index: 0, attempt: 1, due: None });
    case.event(0.2, Event::SubmitRefused { index: 0, reason: "busy".to_owned(), retry: true });
    case.shows(1.0, "own", 0.0, &[]);
    assert!(case.decides(30.0).contains("launch 0 attempt 2"), "{}", case.decides(30.0));
    case.observation.awoke_at = Some(at(29.0));
    assert!(!case.decides(30.0).contains("launch"), "{}", case.decides(30.0));
    case.shows(29.5, "own", 0.0, &[]);
    assert!(case.decides(30.0).contains("launch 0 attempt 2"), "{}", case.decides(30.0));
}
