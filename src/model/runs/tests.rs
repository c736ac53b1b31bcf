use super::*;
use crate::model::Timestamp;

const KEY: &str = "a/d-1/3";

/// A run as `id status origin`: origins are `.` (a launch), `retry:PARENT:ROOT:NUMBER`, `again:PARENT:ROOT`, `sensor`.
fn run(second: i64, text: &str) -> RunView {
    let mut words = text.split(' ');
    let (id, status) = (words.next().expect("an id"), words.next().expect("a status"));
    let origin = words.next().expect("an origin");
    let parts: Vec<&str> = origin.split(':').collect();
    let origin = match parts[..] {
        ["."] => Origin::Launch,
        ["retry", parent, root, number] => Origin::Retry {
            parent: parent.to_owned(),
            root: root.to_owned(),
            number: number.parse().expect("a number"),
        },
        ["again", parent, root] => Origin::Reexecution { parent: parent.to_owned(), root: root.to_owned() },
        ["sensor"] => Origin::Sensor("s".into()),
        _ => panic!("{origin}"),
    };
    let created_at = Some(Timestamp::from_micros(second * 1_000_000));
    let (status, will_retry) =
        if status == "RETRYING" { (RunStatus::Failure, true) } else { (RunStatus::of(status), false) };
    RunView { origin, created_at, will_retry, ..RunView::new(id, KEY.parse().ok(), "job", status) }
}

/// Chains as `[launch and retries | doubled retries | re-executions]`, then copies.
fn told(runs: &[&str]) -> String {
    let runs: Vec<RunView> = (0..).zip(runs).map(|(second, text)| run(second, text)).collect();
    let ids = |runs: &[&RunView]| runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>().join(" ");
    // The order in which Dagster lists runs is no part of it.
    let kin = kin(runs.iter().rev());
    let chains = kin.chains.iter().map(|chain| {
        let mut text = ids(&chain.runs);
        if !chain.doubled.is_empty() || !chain.again.is_empty() {
            text.push_str(&format!(" | {} | {}", ids(&chain.doubled), ids(&chain.again)));
        }
        let state = match (chain.awaits_retry(), chain.has_ended()) {
            (true, _) => "awaits",
            (false, true) => "ended",
            (false, false) => "open",
        };
        format!("[{text}] {state}")
    });
    let mut parts: Vec<String> = chains.collect();
    if !kin.copies.is_empty() {
        parts.push(format!("copies {}", ids(&kin.copies)));
    }
    parts.join(", ")
}

#[test]
fn a_launch_and_its_retries_are_one() {
    for (runs, expected) in [
        (&[][..], ""),
        (&["a SUCCESS ."][..], "[a] ended"),
        (&["a STARTED ."][..], "[a] open"),
        (&["a SUCCESS .", "b SUCCESS ."][..], "[a] ended, [b] ended"),
        (&["a RETRYING ."][..], "[a] awaits"),
        (&["a RETRYING .", "b QUEUED retry:a:a:1"][..], "[a b] open"),
        (&["a RETRYING .", "b RETRYING retry:a:a:1", "c SUCCESS retry:b:a:2"][..], "[a b c] ended"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1"][..], "[a b] ended"),
        // Dagster made two retries of one run.
        (&["a RETRYING .", "b SUCCESS retry:a:a:1", "c SUCCESS retry:a:a:1"][..], "[a b | c | ] ended"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c SUCCESS retry:a:a:1"][..], "[a b | c | ] ended"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c STARTED retry:a:a:1"][..], "[a b | c | ] open"),
        (&["a RETRYING .", "b STARTED retry:a:a:1", "c FAILURE retry:a:a:1"][..], "[a b | c | ] open"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c RETRYING retry:a:a:1"][..], "[a b | c | ] awaits"),
        // And ran the further one again, too.
        (
            &["a RETRYING .", "b FAILURE retry:a:a:1", "c RETRYING retry:a:a:1", "d FAILURE retry:c:a:2"][..],
            "[a b | c d | ] ended",
        ),
        (
            &["a RETRYING .", "b RETRYING retry:a:a:1", "c FAILURE retry:a:a:1", "d QUEUED retry:b:a:2"][..],
            "[a b d | c | ] open",
        ),
        // A person executed it again; older versions copy the number of the retry.
        (&["a FAILURE .", "b SUCCESS again:a:a"][..], "[a |  | b] ended"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c SUCCESS retry:b:a:1"][..], "[a b |  | c] ended"),
        // Dagster retried what a person had executed again; the numbers count the whole group.
        (&["a FAILURE .", "b RETRYING again:a:a", "c SUCCESS retry:b:a:2"][..], "[a |  | b c] ended"),
        // The launched run was deleted.
        (&["b RETRYING retry:a:a:1", "c SUCCESS retry:b:a:2"][..], "[b c] ended"),
        (&["b SUCCESS again:a:a"][..], "copies b"),
        (&["a SUCCESS .", "b SUCCESS sensor"][..], "[a] ended, copies b"),
        (&["b RETRYING sensor", "c SUCCESS retry:b:b:1"][..], "copies b c"),
    ] {
        assert_eq!(told(runs), expected, "{runs:?}");
    }
}

/// Which run of the one launch among these says how it ended.
fn end(runs: &[&str]) -> String {
    let runs: Vec<RunView> = (0..).zip(runs).map(|(second, text)| run(second, text)).collect();
    let kin = kin(runs.iter().rev());
    let [chain] = &kin.chains[..] else { panic!("{kin:?}") };
    format!("{} {} {}", chain.end().run_id, chain.retries(), chain.has_succeeded())
}

#[test]
fn of_two_retries_of_one_run_the_one_that_succeeded_is_the_end() {
    for (runs, expected) in [
        (&["a FAILURE ."][..], "a 0 false"),
        (&["a RETRYING .", "b SUCCESS retry:a:a:1"][..], "b 1 true"),
        (&["a RETRYING .", "b SUCCESS retry:a:a:1", "c FAILURE retry:a:a:1"][..], "b 1 true"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c SUCCESS retry:a:a:1"][..], "c 1 true"),
        (&["a RETRYING .", "b STARTED retry:a:a:1", "c SUCCESS retry:a:a:1"][..], "c 1 true"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c STARTED retry:a:a:1"][..], "c 1 false"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c FAILURE retry:a:a:1"][..], "b 1 false"),
        (&["a RETRYING .", "b FAILURE retry:a:a:1", "c RETRYING retry:a:a:1", "d SUCCESS retry:c:a:2"][..], "d 1 true"),
        // What a person executed again says nothing of the launch.
        (&["a FAILURE .", "b SUCCESS again:a:a"][..], "a 0 false"),
    ] {
        assert_eq!(end(runs), expected, "{runs:?}");
    }
}

#[test]
fn a_retry_whose_root_was_deleted_still_is_one() {
    for (runs, retries) in [
        (&["a SUCCESS ."][..], 0),
        (&["a FAILURE .", "b SUCCESS retry:a:a:1"], 1),
        (&["b SUCCESS retry:a:a:1"], 1),
        (&["a FAILURE .", "c SUCCESS retry:b:a:2"], 2),
        (&["b FAILURE retry:a:a:1", "c SUCCESS retry:b:a:2"], 2),
        (&["c SUCCESS retry:b:a:2"], 2),
    ] {
        let runs: Vec<RunView> = (0..).zip(runs).map(|(second, text)| run(second, text)).collect();
        assert_eq!(kin(runs.iter()).chains[0].retries(), retries, "{runs:?}");
    }
}

#[test]
fn a_launch_goes_on_as_long_as_any_run_of_it_does() {
    for (runs, has_ended) in [
        (&["a FAILURE .", "b STARTED retry:a:a:1", "c SUCCESS retry:a:a:1"][..], false),
        (&["a FAILURE .", "b SUCCESS retry:a:a:1", "c STARTED retry:a:a:1"], false),
        (&["a FAILURE .", "b SUCCESS retry:a:a:1", "c RETRYING retry:a:a:1"], false),
        (&["a FAILURE .", "b SUCCESS retry:a:a:1", "c RETRYING retry:a:a:1", "d SUCCESS retry:c:a:3"], true),
        (&["a FAILURE .", "b SUCCESS retry:a:a:1", "c FAILURE retry:a:a:1"], true),
    ] {
        let runs: Vec<RunView> = (0..).zip(runs).map(|(second, text)| run(second, text)).collect();
        assert_eq!(kin(runs.iter()).chains[0].has_ended(), has_ended, "{runs:?}");
    }
}

#[test]
fn counts_follow_every_change() {
    let mut runs = Runs::default();
    let mut says = |text: &str| {
        runs.insert(run(0, text));
        let RunCounts { queued, running, succeeded, failed, canceled, retrying, .. } = runs.counts();
        (format!("{queued}{running}{succeeded}{failed}{canceled}{retrying}"), runs.open().count())
    };
    for (text, counts, open) in [
        ("a NOT_STARTED .", "100000", 1),
        ("a QUEUED .", "100000", 1),
        ("a STARTED .", "010000", 1),
        // The failure is seen before its announcement.
        ("a FAILURE .", "000100", 0),
        ("a RETRYING .", "000001", 1),
        ("b QUEUED retry:a:a:1", "100000", 1),
        ("b SUCCESS retry:a:a:1", "001000", 0),
        ("s STARTED sensor", "001000", 0),
        ("c STARTED .", "011000", 1),
        ("c CANCELED .", "001010", 0),
    ] {
        assert_eq!(says(text), (counts.to_owned(), open), "{text}");
    }
    assert_eq!((runs.len(), runs.not_started().count()), (4, 0));
    let mut other = run(0, "x STARTED .");
    other.key = None;
    runs.insert(other);
    assert_eq!((runs.counts().total(), runs.len()), (2, 5), "a run without a key is no launch");
}
