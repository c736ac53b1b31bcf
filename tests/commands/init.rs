//! `dagstorm init` where nothing can be reached; the real stack is in `tests/e2e/test_init.py`.

use std::fs;

use super::rig::{Rig, finish};

const NOBODY: [&str; 2] = ["--dagster-url", "http://127.0.0.1:9/graphql"];

fn init(arguments: &[&'static str]) -> Vec<&'static str> {
    ["init"].iter().chain(&NOBODY).chain(arguments).copied().collect()
}

#[test]
fn with_nothing_reachable_both_files_are_good() {
    let rig = Rig::new();
    let done = rig.run(&init(&[]));
    assert_eq!(done.code, 0, "{}", done.err);
    let read = |name: &str| fs::read_to_string(rig.path(name)).unwrap();
    let text = format!(
        "{}\n=== stderr\n{}\n=== target.yaml\n{}\n=== scenario.yaml\n{}",
        done.out,
        done.err,
        read("target.yaml"),
        read("scenario.yaml")
    );
    insta::assert_snapshot!("init.txt", text);
    let checked = rig.run(&["validate", "target.yaml", "scenario.yaml"]);
    assert_eq!((checked.code, checked.out.as_str()), (0, "2 files, 2 manifests: 2 good, 0 bad\n"));
    assert_eq!(fs::read_dir(&rig.folder).unwrap().count(), 2, "nothing else was written");
}

#[test]
fn what_flags_say_is_not_looked_for() {
    let rig = Rig::new();
    let flags = [
        "made/here",
        "--name",
        "production",
        "--location",
        "etl",
        "--cluster",
        "c",
        "--workers",
        "true",
        "--autoscaler",
        "scaler",
        "--queue",
        "q",
        "--workers-group",
        "sg-1",
        "--region",
        "eu-central-1",
        "--header",
        "Dagster-Cloud-Api-Token=NO_SUCH_VARIABLE",
    ];
    let done = rig.run(&init(&flags));
    assert_eq!(done.code, 0, "{}", done.err);
    let target = fs::read_to_string(rig.path("made/here/target.yaml")).unwrap();
    for line in [
        "metadata: { name: production }",
        "    location: etl\n",
        "    headersFromEnv: { Dagster-Cloud-Api-Token: NO_SUCH_VARIABLE }\n",
        "    cluster: c\n",
        "      workers: \"true\"\n      autoscaler: scaler\n",
        "  queues: { tasks: { name: q } }\n",
        "    workers: { securityGroup: sg-1 }\n",
        "    region: eu-central-1\n",
    ] {
        assert!(target.contains(line), "{line}: {target}");
    }
    assert!(fs::read_to_string(rig.path("made/here/scenario.yaml")).unwrap().contains("  target: production\n"));
    let checked = rig.run(&["validate", "made"]);
    assert_eq!((checked.code, checked.out.as_str()), (0, "2 files, 2 manifests: 2 good, 0 bad\n"));
    assert!(done.err.contains("no variable NO_SUCH_VARIABLE"), "{}", done.err);
    assert!(done.err.contains("nothing of AWS: no credentials were found"), "{}", done.err);
}

#[test]
fn nothing_is_overwritten_unless_it_is_asked_for() {
    for (present, words) in [
        (&["target.yaml"][..], "target.yaml is there already"),
        (&["scenario.yaml"], "scenario.yaml is there already"),
        (&["scenario.yaml", "target.yaml"], "target.yaml and scenario.yaml are there already"),
    ] {
        let rig = Rig::new();
        for name in present {
            rig.write(name, "mine");
        }
        let done = rig.run(&init(&[]));
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        assert!(done.err.contains(words) && done.err.contains("--force"), "{}", done.err);
        assert_eq!(fs::read_dir(&rig.folder).unwrap().count(), present.len(), "all or nothing");
        for name in present {
            assert_eq!(fs::read_to_string(rig.path(name)).unwrap(), "mine");
        }
        assert_eq!(rig.run(&init(&["--force"])).code, 0);
        assert_eq!(rig.run(&["validate", "."]).code, 0);
    }
}

#[test]
fn wrong_flags_are_named_and_nothing_is_written() {
    let rig = Rig::new();
    for (arguments, words) in [
        (&["init", "--dagster-url", "nowhere"][..], "--dagster-url: `nowhere` is not an address"),
        (&["init", "--name", "Mine"], "--name: `Mine` is not a name"),
        (&["init", "--location", ""], "--location: "),
        (&["init", "--region", ""], "--region: "),
        (&["init", "--header", "Token"], "HEADER=VARIABLE"),
        (&["init", "--header", "a b=C"], "--header: "),
    ] {
        let done = rig.run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}: {}", done.err);
        assert!(done.err.contains(words), "{arguments:?}: {}", done.err);
    }
    assert_eq!(fs::read_dir(&rig.folder).unwrap().count(), 0);
}

#[test]
fn an_aws_that_does_not_answer_holds_nothing_up() {
    let rig = Rig::new();
    let mut command = rig.command(&init(&["--region", "us-east-1"]));
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let began = std::time::Instant::now();
    let done = finish(command, "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("nothing of AWS: the account (STS GetCallerIdentity)"), "{}", done.err);
    assert!(began.elapsed().as_secs() < 30);
    assert_eq!(rig.run(&["validate", "."]).code, 0);
}
