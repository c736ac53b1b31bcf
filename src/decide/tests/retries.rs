//! Runs that Dagster makes again: what is waited for, and how long.

use super::*;

impl Case {
    /// All three launches are acknowledged, and a look asked at that second shows their runs.
    fn looked(second: f64, version: &str, runs: &[RunView]) -> Self {
        let mut case = Self::new(false);
        case.event(0.0, Event::Started { at: at(0.0), dagster_version: version.to_owned() });
        for index in 0..3 {
            case.acknowledged(index);
        }
        let location = Some(LocationView::default());
        let runs = runs.iter().cloned().collect();
        let view = DagsterView { version: version.to_owned(), runs, since: None, location };
        case.observation.dagster = Some(Timed { asked_at: at(second), answer: Seen::Fresh(view) });
        // What was counted is noted first.
        let current = case.state.current.as_ref().unwrap();
        let counted = decide(&case.plan, current, &case.observation, at(second)).notes;
        let counted =
            counted.into_iter().find(|event| matches!(event, Event::Counted { .. })).expect("the first look counts");
        case.event(second, counted);
        case
    }

    fn run(&self, index: u32, status: RunStatus) -> RunView {
        RunView::new(format!("r{index}"), Some(self.plan.key(index)), "fast_job", status)
    }

    /// The second at which the audit is due when nothing changes after a look at 40 s.
    fn audits_at(version: &str, end: impl Fn(RunView) -> RunView) -> f64 {
        let plain = Self::new(false);
        let mut runs: Vec<RunView> = (0..3).map(|index| plain.run(index, RunStatus::Success)).collect();
        runs[2] = end(runs[2].clone());
        let case = Self::looked(40.0, version, &runs);
        let current = case.state.current.as_ref().unwrap();
        let mut decision = Decision::default();
        conclude::decide(&case.plan, current, &case.observation, at(41.0), &mut decision);
        decision.wake_at.expect("it waits").since(at(0.0)).as_secs_f64()
    }
}

#[test]
fn an_announced_retry_is_waited_for_two_minutes_and_no_longer() {
    let failed = |run| RunView { status: RunStatus::Failure, ..run };
    let retrying = |run| RunView { status: RunStatus::Failure, will_retry: true, ..run };
    let running = |run| RunView { status: RunStatus::Started, ..run };
    for (what, version, audited, expected) in [
        ("all have succeeded", "1.13.27", Case::audits_at("1.13.27", |run| run), 60.0),
        ("one has failed for good", "1.13.27", Case::audits_at("1.13.27", failed), 60.0),
        ("a retry is announced", "1.13.27", Case::audits_at("1.13.27", retrying), 160.0),
        ("a run is under way", "1.13.27", Case::audits_at("1.13.27", running), 1_840.0),
    ] {
        assert_eq!(audited, expected, "{what} on {version}");
    }
}
