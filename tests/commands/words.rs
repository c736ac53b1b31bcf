//! `dagstorm schema`, `dagstorm explain`, the helps, and readers that go away.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::rig::Rig;

#[test]
fn fields_are_explained() {
    let rig = Rig::new();
    let mut out = String::new();
    for path in ["scenario.spec.load.arrivals", "spec.faults.stopTasks.pick", "target.spec.guard.maxAffected"] {
        let done = rig.run(&["explain", path]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{path}");
        out += &format!("# {path}\n{}\n", done.out);
    }
    let done = rig.run(&["explain"]);
    assert_eq!(done.code, 0);
    insta::assert_snapshot!("explain.txt", out + "#\n" + &done.out);
    let done = rig.run(&["explain", "spec.laod"]);
    assert_eq!((done.code, done.out.as_str()), (2, ""));
    assert!(done.err.contains("did you mean `load`?"), "{}", done.err);
}

#[test]
fn the_schema_is_json_and_knows_both_kinds() {
    let rig = Rig::new();
    let schema = |arguments: &[&str]| -> serde_json::Value {
        let done = rig.run(arguments);
        assert_eq!((done.code, done.err.as_str()), (0, ""));
        serde_json::from_str(&done.out).unwrap()
    };
    let both = schema(&["schema"]);
    assert_eq!(both["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(both["properties"]["kind"]["enum"], serde_json::json!(["Scenario", "Target"]));
    insta::assert_snapshot!("schema-target.json", format!("{:#}", schema(&["schema", "target"])));
    assert_eq!(schema(&["schema", "Scenario"])["title"], "Scenario");
    let report = schema(&["schema", "report"]);
    assert_eq!(
        (&report["title"], &report["properties"]["kind"]["const"]),
        (&"dagstorm report".into(), &"Report".into())
    );
    assert_eq!(rig.run(&["schema", "scenari"]).code, 2);
}

#[test]
fn every_command_has_a_help_with_examples() {
    let rig = Rig::new();
    for command in ["validate", "plan", "schema", "explain", "run", "report", "top", "init", "completions"] {
        let done = rig.run(&[command, "--help"]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{command}");
        assert!(done.out.contains("Examples:\n  dagstorm"), "{command}: {}", done.out);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let rig = Rig::new();
    let mut child =
        rig.command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    // More than a pipe holds is still to come when the reader goes.
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn shells_complete_commands_and_scenarios() {
    let rig = Rig::new();
    for shell in ["bash", "zsh", "fish"] {
        let done = rig.run(&["completions", shell]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{shell}");
        for word in ["dagstorm", "validate", "burst-load", "spike-every", "compare", "top"] {
            assert!(done.out.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(rig.run(&["completions", "cmd"]).code, 2);
}
