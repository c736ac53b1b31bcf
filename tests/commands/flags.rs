//! `dagstorm run steady-load` and its sisters: what flags mean, and what is said of wrong ones.

use dagstorm::spec::{Manifest, Scenario, load, no_attachments};

use super::rig::{Done, Rig, finish, repository, scenario, target};

const NAMES: [&str; 5] = ["steady-load", "burst-load", "mixed-workload", "worker-failure", "network-partition"];
const NOBODY: &str = "http://127.0.0.1:9/graphql";

/// Nearly every flag that the scenario has, in a line.
const COMMON: &str = "--rate 1/s --for 2m --mix fast_job=70,slow_job=30 --mix other_job --seed 42 --quiet 90s \
    --name mine-alone --threshold runLatency=p95<2m --threshold runLatency=max<5m --threshold lateness=max<1s \
    --location demo --dagster-url http://127.0.0.1:9/graphql --header Dagster-Cloud-Api-Token=TOKEN --queue tasks";

fn own_flags(name: &str) -> &'static str {
    match name {
        "steady-load" => "--max-in-flight 50 --max-runs 2000 --max-duration 2h --contract atLeastOnce",
        "burst-load" => "--peak 3/s --spike-after 10s --spike-for 5s --spike-every 30s",
        "mixed-workload" => "--schedule-size 5 --schedule-every 20s --people 1/s --backfill 2/s",
        "worker-failure" => {
            "--pick one --kill-after 20s --kill-every 10s --kills 6 --cluster demo --workers taskiq-worker \
             --account 000000000000 --region us-east-1 --require-tag dagstorm-ready=true --max-affected 1 --min-healthy 2"
        }
        "network-partition" => {
            "--peer database --cut hard --cut-after 20s --cut-for 15s --cut-every 40s --cuts 2 \
             --workers-group sg-workers --peer-at 10.0.4.0/24:5432"
        }
        other => panic!("{other}"),
    }
}

fn all_flags(name: &str) -> Vec<&'static str> {
    own_flags(name).split_whitespace().chain(COMMON.split_whitespace()).collect()
}

fn print(rig: &Rig, name: &str, flags: &[&str]) -> Done {
    let arguments: Vec<&str> = ["run", name, "--print"].iter().chain(flags).copied().collect();
    rig.run(&arguments)
}

fn scenario_in(text: &[u8]) -> Scenario {
    let mut scenarios =
        load("test.yaml", text, &no_attachments).into_iter().filter_map(|document| match document.content {
            Ok(Manifest::Scenario(scenario)) => Some(*scenario),
            Ok(Manifest::Target(_)) => None,
            Err(errors) => panic!("{errors:?}"),
        });
    scenarios.next().unwrap()
}

#[test]
fn without_flags_it_is_the_shipped_manifest() {
    let rig = Rig::new();
    for name in NAMES {
        let done = print(&rig, name, &[]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{name}");
        let shipped = std::fs::read(repository("manifests").join(format!("{name}.yaml"))).unwrap();
        assert_eq!(scenario_in(done.out.as_bytes()), scenario_in(&shipped), "{name}");
    }
}

#[test]
fn what_is_printed_is_golden_and_good() {
    let rig = Rig::new();
    for name in NAMES {
        let (without, with) = (print(&rig, name, &[]), print(&rig, name, &all_flags(name)));
        assert_eq!((with.code, with.err.as_str()), (0, ""), "{name}");
        insta::assert_snapshot!(format!("{name}.yaml"), format!("{}\n===\n\n{}", without.out, with.out));
        for (printed, tally) in
            [(without, "1 manifest: 1 good, 0 bad, 1 warning"), (with, "2 manifests: 2 good, 0 bad")]
        {
            let checked = rig.run_with(&["validate", "-"], &printed.out);
            assert!(checked.out.contains(tally), "{name}: {}", checked.out);
            assert_eq!(checked.code, 0, "{name}");
        }
    }
    assert_eq!(std::fs::read_dir(&rig.folder).unwrap().count(), 0, "it does nothing else");
}

#[test]
fn times_that_are_not_given_keep_their_share() {
    let rig = Rig::new();
    for name in NAMES {
        for length in ["40s", "7m", "3h"] {
            let done = print(&rig, name, &["--for", length]);
            assert_eq!((done.code, done.err.as_str()), (0, ""), "{name} for {length}");
        }
    }
    let done = print(&rig, "worker-failure", &["--for", "15m"]);
    assert!(done.out.contains("after: 4m\n      repeat: { every: 2m30s, times: 4 }"), "{}", done.out);
    let done = print(&rig, "burst-load", &["--rate", "3/s"]);
    assert!(done.out.contains("base: 3/s, peak: 15/s"), "{}", done.out);
}

#[test]
fn wrong_flags_are_named() {
    let rig = Rig::new();
    rig.write("least.yaml", &target(NOBODY));
    rig.write("bad.yaml", &target("nowhere"));
    rig.write("scenario.yaml", &scenario("other", ""));
    rig.write("two.yaml", &format!("{}---\n{}", target(NOBODY), target(NOBODY).replace("name: local", "name: other")));
    let mut out = String::new();
    for line in [
        "steady-load --print --rate 6/fortnight",
        "steady-load --print --rate often --for long --mix a=1,a=2,b=x --seed dice --quiet 5 --name Mine",
        "steady-load --print --mix ,",
        "steady-load --print --mix a=0",
        "steady-load --print --contract twice --max-in-flight 0 --max-runs 10",
        "steady-load --print --threshold latency=fast --threshold runLatency=soon",
        "steady-load --print --for 0s",
        "steady-load --print --rate 20000/s",
        "burst-load --print --peak 1/min --spike-every 3m",
        "burst-load --print --spike-for 1h",
        "mixed-workload --print --rate 6/fortnight --schedule-size many --backfill much",
        "worker-failure --print --kills 20",
        "worker-failure --print --kill-after 1h --pick none",
        "worker-failure --print --location demo",
        "worker-failure --print --location demo --cluster c --workers w --account 7 --min-healthy -",
        "network-partition --print --cut softly --cut-for 11m",
        "network-partition --print --location demo",
        "network-partition --print --location demo --workers-group sg-1 --peer-at 10.0.0.1/8:443",
        "steady-load",
        "steady-load --dagster-url http://127.0.0.1:9/graphql",
        "steady-load --location demo --dagster-url nowhere",
        "steady-load --target absent.yaml",
        "steady-load --target bad.yaml",
        "steady-load --target scenario.yaml",
        "steady-load --target two.yaml",
        "steady-load --target two.yaml --target-name locale",
        "steady-load --target-name local",
        "worker-failure --target least.yaml",
        "stedy-load",
        "scenario steady-load",
        "scenario.yaml steady-load",
    ] {
        let arguments: Vec<&str> = ["run"].into_iter().chain(line.split(' ')).collect();
        let done = rig.run(&arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{line}: {}", done.err);
        out += &format!("$ dagstorm run {line}\n{}\n", done.err);
    }
    insta::assert_snapshot!("wrong-flags.txt", out);
    assert!(!rig.path("dagstorm-data").exists(), "nothing was begun");
}

#[test]
fn only_flags_that_mean_something_are_taken() {
    let rig = Rig::new();
    for (line, words) in [
        ("steady-load --peak 3/s", "--peak"),
        ("burst-load --pick one", "--pick"),
        ("worker-failure --cut hard", "--cut"),
        ("network-partition --kills 3", "--kills"),
        ("steady-load --max-affected 1", "--max-affected"),
        ("worker-failure --target t.yaml --max-affected 1", "cannot be used with"),
        ("steady-load --target t.yaml --location demo", "cannot be used with"),
        ("worker-failure --workers w", "--cluster"),
        ("steady-load scenario.yaml", "unexpected argument 'scenario.yaml'"),
        ("stedy-load --rate 6/min", "did you mean `steady-load`?"),
    ] {
        let arguments: Vec<&str> = ["run"].into_iter().chain(line.split(' ')).collect();
        let done = rig.run(&arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{line}");
        assert!(done.err.contains(words), "{line}: {}", done.err);
    }
    let done = rig.run(&["run", "stedy-load", "--target", "x"]);
    assert!(!done.err.contains("tip:") && done.err.lines().count() == 1, "one tip is enough: {}", done.err);
    for (name, has, has_not) in [
        ("steady-load", "[default: 6/min]", "--peak"),
        ("burst-load", "--spike-every <DURATION>", "--pick"),
        ("mixed-workload", "--schedule-size <NUMBER>", "--cut"),
        ("worker-failure", "--kills <NUMBER>", "--peer"),
        ("network-partition", "[default: newConnections]", "--kills"),
    ] {
        let done = rig.run(&["run", name, "--help"]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{name}");
        assert!(done.out.contains(has) && !done.out.contains(has_not), "{name}: {}", done.out);
    }
}

#[test]
fn the_target_comes_from_a_file_or_from_flags() {
    let rig = Rig::new();
    let faults = "  faults: [{ name: kill, after: 1s, stopTasks: { service: workers } }]\n";
    // A file with more in it than the Target: that is left alone, good or bad.
    rig.write("all.yaml", &format!("{}---\n{}", scenario("other", faults), target(NOBODY)));
    rig.write("other.yaml", &target(NOBODY).replace("name: local", "name: other"));
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = rig.command(arguments);
        command.envs(environment.iter().copied());
        finish(command, "")
    };
    for (arguments, environment, name) in [
        (&["--target", "all.yaml"][..], &[][..], "target: local\n"),
        (&["--target", "other.yaml"], &[], "target: other\n"),
        (&[], &[("DAGSTORM_TARGET", "other.yaml")], "target: other\n"),
        (&["--target", "all.yaml"], &[("DAGSTORM_TARGET", "other.yaml")], "target: local\n"),
        (&["--location", "demo"], &[("DAGSTORM_TARGET", "other.yaml")], "target: mine\n"),
        (&["--location", "demo"], &[("DAGSTER_GRAPHQL_URL", "http://host/graphql")], "url: \"http://host/graphql\"\n"),
    ] {
        let arguments: Vec<&str> = ["run", "steady-load", "--print"].iter().chain(arguments).copied().collect();
        let done = run(&arguments, environment);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{arguments:?} {environment:?}");
        assert!(done.out.contains(name), "{arguments:?} {environment:?}: {}", done.out);
        let has_target = done.out.contains("kind: Target");
        assert_eq!(has_target, arguments.contains(&"--location"), "{arguments:?}");
    }
    // It does run: as far as somebody to talk to. What the Target cannot show is said.
    let arguments = ["run", "burst-load", "--target", "all.yaml", "--start-timeout", "1s", "--data", "data"];
    let done = run(&arguments, &[]);
    assert_eq!(done.code, 4, "{}{}", done.out, done.err);
    assert!(done.out.contains("burst-load: Waiting — DagsterUnreachable"), "{}", done.out);
    assert!(done.err.contains("the threshold `workers: max >= 4` is left out"), "{}", done.err);
    let statuses: Vec<_> =
        std::fs::read_dir(rig.path("data/status")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(statuses, ["burst-load.yaml"], "the other scenario of the file is left alone");
}

#[test]
fn a_file_of_that_name_is_reached_by_its_path() {
    let rig = Rig::new();
    rig.write("steady-load", "kind: Nothing");
    let done = rig.run(&["run", "./steady-load"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--> ./steady-load:1:7"), "{}", done.err);
}

#[test]
fn faults_that_do_not_fit_are_told_beforehand() {
    let rig = Rig::new();
    rig.write("target.yaml", &(target(NOBODY) + "  ecs: { cluster: demo, services: { workers: taskiq-worker } }\n"));
    for (length, is_told) in [("20s", true), ("2m", false)] {
        let command = "run worker-failure --target target.yaml --start-timeout 1s --for";
        let arguments: Vec<&str> = command.split(' ').chain([length]).collect();
        let done = rig.run(&arguments);
        assert_eq!(done.code, 4, "{}{}", done.out, done.err);
        let words = "not every `kill` may fit into the load: each waits until the one before it is healed, which takes 15s at least";
        assert_eq!(done.err.contains(words), is_told, "{length}: {}", done.err);
    }
}
