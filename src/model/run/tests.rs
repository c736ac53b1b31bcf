use super::*;

/// An origin from what Dagster's answer holds: `parent`, `root`, tags.
fn origin(parent: Option<&str>, root: Option<&str>, tags: &[(&str, &'static str)]) -> String {
    Origin::of(parent, root, |name| tags.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)).to_string()
}

#[test]
fn who_made_a_run_is_read_off_what_dagster_records() {
    let copied = ("dagstorm/key", "a/d-1/3");
    for (parent, root, tags, expected) in [
        (None, None, &[][..], "a launch"),
        (None, None, &[copied][..], "a launch"),
        (None, None, &[("dagster/max_retries", "2"), ("dagster/priority", "3")][..], "a launch"),
        (Some("p"), Some("r"), &[("dagster/retry_number", "2")][..], "retry 2 of run p"),
        (None, None, &[("dagster/parent_run_id", "p"), ("dagster/retry_number", "1")][..], "retry 1 of run p"),
        (Some("p"), Some("p"), &[copied][..], "a re-execution of run p"),
        (Some("p"), None, &[("dagster/is_resume_retry", "true")][..], "a re-execution of run p"),
        // A retry of a sensor's run copies the sensor's tag.
        (Some("p"), Some("p"), &[("dagster/sensor_name", "s"), ("dagster/retry_number", "1")][..], "retry 1 of run p"),
        (None, None, &[copied, ("dagster/sensor_name", "s"), ("dagster/run_key", "k")][..], "a run of the sensor `s`"),
        (None, None, &[("dagster/schedule_name", "nightly")][..], "a run of the schedule `nightly`"),
        (None, None, &[("dagster/backfill", "abc")][..], "a run of the backfill abc"),
        (None, None, &[("dagster/auto_materialize", "true")][..], "a run of declarative automation"),
        (None, None, &[("dagster/from_automation_condition", "true")][..], "a run of declarative automation"),
    ] {
        assert_eq!(origin(parent, root, tags), expected, "{parent:?} {root:?} {tags:?}");
    }
    for tag in [SENSOR, SCHEDULE, BACKFILL, AUTOMATION[0], AUTOMATION[1], RETRY_NUMBER, PARENT, ROOT] {
        assert!(Origin::TAGS.contains(&tag), "{tag} tells who made a run, so a manifest must not set it");
    }
}

#[test]
fn dagsters_words_stay_what_they_are() {
    for (status, word, _) in RunStatus::TABLE {
        assert_eq!((RunStatus::of(word), status.word()), (status.clone(), word));
        let json = serde_json::to_string(&status).expect("JSON");
        assert_eq!(json, format!("\"{word}\""));
        assert_eq!(serde_json::from_str::<RunStatus>(&json).expect("a status"), status);
    }
    let odd = RunStatus::of("HIBERNATING");
    assert_eq!(
        (odd.to_string().as_str(), odd.standing(), odd.is_terminal()),
        ("HIBERNATING", Standing::Unknown, false)
    );
    for (old, status) in [
        ("\"Success\"", RunStatus::Success),
        ("\"Queued\"", RunStatus::Queued),
        ("{\"Other\":\"SUSPENDED\"}", RunStatus::Suspended),
        ("{\"Other\":\"HIBERNATING\"}", odd),
    ] {
        assert_eq!(serde_json::from_str::<RunStatus>(old).expect("an older history"), status, "{old}");
    }
}

fn failed(steps: &[(&str, Option<&str>, Option<&str>)], whole: Option<&str>, reason: Option<&str>) -> Option<String> {
    let mut run = RunView::new("r", None, "j", RunStatus::Failure);
    run.failure_reason = reason.map(Arc::from);
    let failure = |class: Option<&str>, source: Option<&str>| Failure {
        error: "ValueError: no".to_owned(),
        class: class.map(str::to_owned),
        source: source.map(str::to_owned),
    };
    let events = steps.iter().map(|(step, class, source)| StepEvent {
        step: (*step).into(),
        kind: StepEventKind::Failed,
        at: Timestamp::from_micros(0),
        task: None,
        failure: Some(Box::new(failure(*class, *source))),
    });
    let failure = whole.map(|class| Box::new(failure(Some(class), None)));
    RunRecord { failure, ..RunRecord::new(run, events.collect()) }.own_error()
}

#[test]
fn the_cause_of_a_failure_is_what_dagster_says_of_it_whoever_is_to_blame() {
    let failure = |error: &str, class: &str| {
        Some(Box::new(Failure { error: error.to_owned(), class: Some(class.to_owned()), source: None }))
    };
    let (own, death) = (failure("ValueError: no", "DagsterTypeCheckDidNotPass"), failure("it died", DEATHS[0]));
    let whole = failure("no space is left", "OSError");
    for (steps, whole, reason, expected) in [
        (&[][..], None, None, None),
        (&[][..], None, Some("START_TIMEOUT"), Some("START_TIMEOUT")),
        (&[][..], whole.clone(), Some("START_TIMEOUT"), Some("no space is left")),
        (&[None][..], None, Some("STEP_FAILURE"), Some("STEP_FAILURE")),
        (&[death.clone()][..], whole.clone(), Some("STEP_FAILURE"), Some("step a: it died")),
        // An error of the code comes before the deaths that followed from it.
        (&[own.clone(), death.clone()][..], whole.clone(), None, Some("step a: ValueError: no")),
        (&[death, own][..], whole, None, Some("step a: ValueError: no")),
    ] {
        let of = |failure: &Option<Box<Failure>>| StepEvent {
            failure: failure.clone(),
            ..StepEvent::new("a", StepEventKind::Failed, Timestamp::from_micros(0))
        };
        let mut run = RunView::new("r", None, "j", RunStatus::Failure);
        run.failure_reason = reason.map(Arc::from);
        let mut record = RunRecord { failure: whole, ..RunRecord::new(run, steps.iter().map(of).collect()) };
        assert_eq!(record.cause().as_deref(), expected, "{steps:?} {reason:?}");
        record.run.status = RunStatus::Canceled;
        assert_eq!(record.cause(), None, "only a failure has a cause");
    }
}

#[test]
fn an_error_of_the_code_is_told_from_a_death() {
    let own = Some("step a: ValueError: no".to_owned());
    let step = Some("DagsterExecutionStepExecutionError");
    for (class, source, expected) in [
        (step, Some("USER_CODE_ERROR"), own.clone()),
        (Some("DagsterTypeCheckDidNotPass"), Some("FRAMEWORK_ERROR"), own.clone()),
        (step, None, own),
        // It failed its health check: the event carries no exception.
        (None, Some("FRAMEWORK_ERROR"), None),
        (Some("ChildProcessCrashException"), Some("FRAMEWORK_ERROR"), None),
        (Some("DagsterExecutionInterruptedError"), Some("INTERRUPT"), None),
        (Some("RuntimeError"), Some("UNEXPECTED_ERROR"), None),
    ] {
        assert_eq!(failed(&[("a", class, source)], None, None), expected, "{class:?} {source:?}");
    }
    let whole = Some("ValueError: no".to_owned());
    for (class, reason, expected) in [
        (Some("DagsterResourceFunctionError"), Some("RUN_EXCEPTION"), whole.clone()),
        (Some("ImportError"), Some("JOB_INITIALIZATION_FAILURE"), whole.clone()),
        (Some("DagsterResourceFunctionError"), None, whole),
        (Some("RuntimeError"), Some("START_TIMEOUT"), None),
        (Some("RuntimeError"), Some("UNEXPECTED_TERMINATION"), None),
        (None, Some("UNKNOWN"), None),
        (None, None, None),
    ] {
        assert_eq!(failed(&[], class, reason), expected, "{class:?} {reason:?}");
    }
    let killed = [("a", Some("ChildProcessCrashException"), Some("FRAMEWORK_ERROR"))];
    assert_eq!(failed(&killed, Some("DagsterError"), Some("STEP_FAILURE")), None, "the run only repeats its step");
}
