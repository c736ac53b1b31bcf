//! `dagstorm plan` without a target that answers: what it shows, what it asks for, and how it ends.

use std::time::{Duration, Instant};

use super::rig::{HEAD, Rig, finish, repository, scenario, target};

/// A Target with everything; nobody is there.
const FULL: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: { name: local }
spec:
  dagster: { url: 'http://127.0.0.1:9/graphql', location: demo, requestTimeout: 2s, settle: 5s }
  ecs: { cluster: demo, services: { workers: taskiq-worker, autoscaler: autoscaler } }
  queues: { tasks: { name: taskiq-tasks, deadLetters: taskiq-dead } }
  network: { workers: { securityGroup: sg-0a1 }, peers: { sqs: { securityGroup: sg-0a2, port: 443 }, dagster: { cidr: 10.0.3.0/24, port: 3000 } } }
  metrics: { namespace: dagstorm }
  guard: { account: '000000000000', region: us-east-1, requireTag: { dagstorm-ready: 'true' }, maxAffected: 50%, minHealthy: 1 }
";

fn rig() -> Rig {
    let rig = Rig::new();
    rig.write("target.yaml", FULL);
    rig
}

/// A ready-made scenario, by its path below `manifests/`.
fn shipped(name: &str) -> String {
    repository("manifests").join(name).to_str().unwrap().to_owned()
}

#[test]
fn ready_made_scenarios_are_shown() {
    let rig = rig();
    for name in ["burst-load", "mixed-workload", "network-partition", "worker-failure", "soak", "demo/worker-failure"] {
        let done = rig.run(&["plan", "--offline", "target.yaml", &shipped(&format!("{name}.yaml"))]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{name}");
        assert!(done.out.lines().all(|line| line.chars().count() <= 80), "{}", done.out);
        insta::assert_snapshot!(format!("plan-{}.txt", name.replace('/', "-")), done.out);
    }
}

#[test]
fn programs_get_the_same_fields_in_both_forms() {
    let rig = rig();
    let file = shipped("demo/worker-failure.yaml");
    let written = |form: &str| {
        let done = rig.run(&["plan", "--offline", "-o", form, "target.yaml", &file]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{form}");
        done.out
    };
    let (json, yaml) = (written("json"), written("yaml"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), value);
    assert_eq!(value["scenarios"][0]["arrivals"]["total"], 14);
    insta::assert_snapshot!("plan.json", json);
    insta::assert_snapshot!("plan.yaml", yaml);
    assert_eq!(written("text"), written("table"));
}

#[test]
fn the_policy_is_what_all_six_faults_need() {
    let rig = rig();
    let faults = "  faults:
    - { name: a, after: 1s, stopTasks: { service: workers } }
    - { name: b, after: 1s, for: 1s, drainService: { service: autoscaler } }
    - { name: c, after: 1s, for: 1s, drainInstances: {} }
    - { name: d, after: 1s, for: 1s, partition: { between: workers, and: sqs } }
    - { name: e, after: 1s, for: 1s, denyQueue: {} }
    - { name: f, after: 1s, redeliver: { share: 1 } }
    - { name: g, after: 3s, for: 1s, partition: { between: workers, and: dagster, cut: hard } }
";
    rig.write("all.yaml", &scenario("all", faults));
    let done = rig.run(&["plan", "--policy", "target.yaml", "all.yaml"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    insta::assert_snapshot!("plan-policy.json", done.out);
    let alone: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let sids: std::collections::BTreeSet<&str> =
        alone["Statement"].as_array().unwrap().iter().map(|statement| statement["Sid"].as_str().unwrap()).collect();
    assert_eq!(sids.len(), alone["Statement"].as_array().unwrap().len(), "an Sid is unique");
    let beside = rig.run(&["plan", "--offline", "-o", "json", "target.yaml", "all.yaml"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&beside.out).unwrap()["policy"], alone);

    rig.write("plain.yaml", &target("http://127.0.0.1:9/graphql"));
    rig.write("none.yaml", &scenario("none", ""));
    let done = rig.run(&["plan", "--policy", "plain.yaml", "none.yaml"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(done.err.contains("they need no policy"), "{}", done.err);
}

#[test]
fn what_cannot_be_reached_is_a_line_and_with_online_an_error() {
    let rig = rig();
    rig.write("one.yaml", &scenario("one", ""));
    for (more, code) in [(&[][..], 0), (&["--online"], 4)] {
        let done = rig.run(&[&["plan", "target.yaml", "one.yaml"], more].concat());
        assert_eq!((done.code, done.err.as_str()), (code, ""), "{}", done.out);
        for gist in [
            "? Dagster was not looked at: http://127.0.0.1:9/graphql cannot be reached:",
            "? AWS was not looked at: no AWS credentials:",
        ] {
            assert_eq!(done.out.matches(gist).count(), 1, "{}", done.out);
        }
        assert!(!done.out.contains('✓') && !done.out.contains('✗'), "{}", done.out);
    }
    // With credentials each service is asked, and none of them answers.
    let mut command = rig.command(&["plan", "-o", "json", "target.yaml", "one.yaml"]);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let done = finish(command, "");
    let seen: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let unreached = seen["targets"][0]["unreached"].as_array().unwrap();
    let what: Vec<&str> = unreached.iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!((done.code, what), (0, vec!["Dagster", "STS", "ECS", "SQS"]));
    assert_eq!(seen["targets"][0]["problems"], serde_json::json!([]));
}

#[test]
fn exit_codes() {
    let rig = rig();
    let good = scenario("good", "");
    rig.write("good.yaml", &good);
    rig.write("bad.yaml", &scenario("bad", "  sed: 7\n"));
    rig.write("far.yaml", &format!("{HEAD}metadata: {{ name: far }}\nspec: {{ target: elsewhere, load: [{{ name: a, for: 1s, arrivals: {{ burst: {{ size: 1, every: 1s }} }}, jobs: {{ b: 1 }} }}] }}\n"));
    rig.write("empty/readme.txt", "");
    for (arguments, stdin, code, gist) in [
        (&["plan", "--offline", "target.yaml", "good.yaml"][..], "", 0, "good · target local"),
        (&["plan", "--offline", "target.yaml", "-"], &good, 0, "good · target local"),
        (&["plan", "--offline", "."], "", 2, "did you mean `seed`?"),
        (&["plan", "bad.yaml", "target.yaml"], "", 2, "--> bad.yaml:8:3"),
        (&["plan", "absent.yaml"], "", 2, "--> absent.yaml"),
        (&["plan", "empty"], "", 2, "no manifest is in this folder"),
        (&["plan", "-"], "", 2, "no manifest is in these files"),
        (&["plan", "target.yaml"], "", 2, "there is nothing to plan"),
        (&["plan", "far.yaml"], "", 0, "no manifest that was given is the Target `elsewhere`"),
        (&["plan", "--online", "far.yaml"], "", 2, "no manifest that was given is the Target `elsewhere`"),
        (&["plan", "--online", "--offline", "good.yaml"], "", 2, "cannot be used with"),
        (&["plan", "--policy", "-o", "yaml", "good.yaml"], "", 2, "cannot be used with"),
        (&["plan"], "", 2, "required"),
    ] {
        let done = rig.run_with(arguments, stdin);
        assert_eq!(done.code, code, "{arguments:?}: {}{}", done.out, done.err);
        let (said, silent) = if gist.starts_with("no manifest that") || code == 0 {
            (&done.out, &done.err)
        } else {
            (&done.err, &done.out)
        };
        assert!(said.contains(gist), "{arguments:?}: {said}");
        assert_eq!(silent, "", "{arguments:?}");
    }
}

#[test]
fn a_million_arrivals_are_shown_at_once() {
    let rig = rig();
    let flood = scenario("flood", "").replace(
        "for: 10s, arrivals: { constant: { rate: 1/s } }",
        "for: 1000s, arrivals: { constant: { rate: 1000/s } }",
    );
    rig.write("flood.yaml", &flood);
    let began = Instant::now();
    let done = rig.run(&["plan", "--offline", "target.yaml", "flood.yaml"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        done.out.contains("arrivals  1000000, mean 1000/s, peak 1000 in a second, 60000 in a minute"),
        "{}",
        done.out
    );
    // An optimized build takes a tenth of this one's time.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
