//! `dagstorm init` where nothing can be reached; the real stack is in `tests/e2e/test_init.py`.

use std::fs;

use super::{
    cloud::Cloud,
    rig::{Rig, finish},
};

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
    assert!(done.err.contains("no AWS credentials were found: neither"), "{}", done.err);
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
fn what_does_not_answer_holds_nothing_up() {
    // Connections are made, and nobody takes them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    for (endpoint, words) in [("http://127.0.0.1:9", "cannot be reached"), (&silent, "did not answer within 4s")] {
        let rig = Rig::new();
        let url = format!("{endpoint}/graphql");
        let mut command = rig.command(&["init", "--region", "us-east-1", "--dagster-url", &url]);
        command.env("AWS_ENDPOINT_URL", endpoint);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let began = std::time::Instant::now();
        let done = finish(command, "");
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.err.contains(words), "{}", done.err);
        assert!(done.err.contains("nothing of AWS: the account (STS GetCallerIdentity)"), "{}", done.err);
        assert!(began.elapsed().as_secs() < 20, "{endpoint}");
        assert_eq!(rig.run(&["validate", "."]).code, 0);
    }
}

/// What `init` writes and says of a cloud, and what it asked for.
fn found(cloud: Cloud, arguments: &[&str]) -> (String, String, String, Vec<String>) {
    let (rig, served) = (Rig::new(), cloud.serve());
    let url = format!("{}/graphql", served.url);
    let arguments: Vec<&str> = ["init", "--dagster-url", &url].iter().chain(arguments).copied().collect();
    let mut command = rig.command(&arguments);
    for (name, value) in [
        ("AWS_ENDPOINT_URL", served.url.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ] {
        command.env(name, value);
    }
    let done = finish(command, "");
    assert_eq!(done.code, 0, "{}", done.err);
    let checked = rig.run(&["validate", "."]);
    assert_eq!((checked.code, checked.out.as_str()), (0, "2 files, 2 manifests: 2 good, 0 bad\n"));
    let read = |name: &str| fs::read_to_string(rig.path(name)).unwrap().replace(&served.url, "http://dagster");
    (read("target.yaml"), read("scenario.yaml"), done.err.replace(&served.url, "http://dagster"), served.asked())
}

fn ambiguous() -> Cloud {
    Cloud {
        clusters: vec![
            ("blue", vec![("etl-worker", &["sg-1"]), ("web", &["sg-2"])]),
            ("green", vec![("etl-worker", &["sg-3", "sg-4"]), ("scaler-a", &[]), ("scaler-b", &[])]),
        ],
        queues: vec![("etl-jobs", Some("etl-lost")), ("etl-lost", None), ("mail-jobs.fifo", None), ("other", None)],
        locations: vec![
            ("broken", None),
            ("etl", Some(&["needs_it!", "plain", "second", "__ASSET_JOB"])),
            ("more", Some(&["x"])),
        ],
        ..Cloud::default()
    }
}

#[test]
fn what_is_ambiguous_is_offered() {
    let (target, scenario, said, asked) = found(ambiguous(), &[]);
    insta::assert_snapshot!("ambiguous.txt", format!("{target}\n=== scenario.yaml\n{scenario}\n=== stderr\n{said}"));
    let allowed = [
        "DescribeServices",
        "GetCallerIdentity",
        "GetQueueAttributes",
        "ListClusters",
        "ListQueues",
        "ListServices",
        "graphql",
    ];
    assert_eq!(asked, allowed, "it only looks");
}

#[test]
fn flags_choose_among_what_is_ambiguous() {
    let flags = ["--cluster", "green", "--queue", "etl-jobs", "--location", "more", "--autoscaler", "scaler-b"];
    let (target, scenario, said, _) = found(ambiguous(), &flags);
    for text in [
        "    cluster: green\n    services: # role: service; faults name roles\n      workers: etl-worker\n      autoscaler: scaler-b\n",
        "      # other services of this cluster: scaler-a\n",
        "  queues: { tasks: { name: etl-jobs, deadLetters: etl-lost } }\n",
        "    location: more # there are also: etl\n    repository: own\n",
        "  #   workers: { securityGroup: sg-3 }\n  #   workers: { securityGroup: sg-4 }\n",
        "    account: \"123456789012\"\n    region: eu-central-1\n    # requireTag",
    ] {
        assert!(target.contains(text), "{text}: {target}");
    }
    assert!(scenario.contains("jobs: { x: 1 }\n"), "{scenario}");
    let group = "dagstorm: the security group of the workers may be sg-3 or sg-4; choose by --workers-group\n";
    assert!(said.ends_with(group), "{said}");
}

#[test]
fn groups_come_from_the_tasks_where_the_service_has_none() {
    let cloud = Cloud {
        clusters: vec![("only", vec![("worker", &[])])],
        task_groups: &["sg-of-the-task"],
        queues: vec![("any", None)],
        locations: vec![("etl", Some(&["all_need_it!"]))],
        ..Cloud::default()
    };
    let (target, scenario, said, _) = found(cloud.clone(), &[]);
    assert!(target.contains("    workers: { securityGroup: sg-of-the-task }\n"), "{target}");
    assert!(target.contains("  queues: { tasks: { name: any } }\n"), "{target}");
    assert!(scenario.contains("jobs: { your_job: 1 } #"), "{scenario}");
    assert!(scenario.contains(
        "jobs that need a run config or a partition, as in { this: { weight: 1, runConfig: { … } } }: all_need_it"
    ));
    assert!(said.contains("no job of code location `etl` can be launched without a run config"), "{said}");
    let (target, _, said, _) = found(Cloud { task_groups: &[], ..cloud }, &[]);
    assert!(target.contains("  #   workers: { securityGroup: sg-0123456789abcdef0 }\n"), "{target}");
    assert!(said.contains("neither service worker nor its tasks name a security group"), "{said}");
}

#[test]
fn what_is_denied_leaves_the_rest() {
    let denied: [(&'static [&'static str], &str, &str); 4] = [
        (
            &["ListClusters"],
            "no ECS service of the workers: ECS ListClusters: AccessDenied",
            "queues: { tasks: { name: q",
        ),
        (&["GetQueueAttributes"], "no SQS queue: SQS queue q: AccessDenied", "workers: worker\n"),
        (&["GetCallerIdentity"], "no account: STS did not tell it", "workers: worker\n"),
        (&["ListClusters", "ListQueues", "GetCallerIdentity"], "nothing of AWS: the account", "location: etl"),
    ];
    for (denied, words, has) in denied {
        let cloud = Cloud {
            clusters: vec![("only", vec![("worker", &["sg-1"])])],
            queues: vec![("q", None)],
            locations: vec![("etl", Some(&["fast"]))],
            denied,
            ..Cloud::default()
        };
        let (target, _, said, _) = found(cloud, &[]);
        assert!(said.contains(words), "{denied:?}: {said}");
        assert!(target.contains(has), "{denied:?}: {target}");
    }
}

/// The comments are what they say: with the `#` taken away, they are manifests.
#[test]
fn what_is_offered_is_good() {
    let nothing = Cloud { locations: vec![("etl", Some(&["plain"]))], ..Cloud::default() };
    let two_groups = Cloud {
        clusters: vec![("only", vec![("worker", &["sg-3", "sg-4"])])],
        queues: vec![("q", None)],
        ..nothing.clone()
    };
    let rig = Rig::new();
    for (number, cloud) in [ambiguous(), nothing, two_groups].into_iter().enumerate() {
        let (target, scenario, _, _) = found(cloud, &[]);
        let taken = |text: &str, mark: &str| {
            let mut seen = std::collections::BTreeSet::new();
            let lines = text.lines().filter_map(|line| match line.trim_start().strip_prefix("# ") {
                // Of several, the first.
                Some(rest) if line.starts_with("  #") && rest.trim_start().contains(": ") && rest.contains(mark) => {
                    let field = rest.split(':').next().unwrap().to_owned();
                    seen.insert(field).then(|| format!("  {rest}"))
                }
                Some(rest) if rest == "network:" || rest == "faults:" || rest.starts_with("  - ") => {
                    Some(format!("  {rest}"))
                }
                _ => Some(line.to_owned()),
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        let folder = format!("{number}");
        rig.write(&format!("{folder}/target.yaml"), &taken(&target, "{"));
        rig.write(&format!("{folder}/scenario.yaml"), &taken(&scenario, "\0"));
        let done = rig.run(&["validate", "-o", "json", &folder]);
        assert_eq!(
            done.code,
            0,
            "{}{}",
            done.out,
            fs::read_to_string(rig.path(&format!("{folder}/target.yaml"))).unwrap()
        );
        let target = fs::read_to_string(rig.path(&format!("{folder}/target.yaml"))).unwrap();
        for field in ["\n  ecs:", "\n  queues:", "\n  network:\n    workers:", "\n  metrics:"] {
            assert!(target.contains(field), "{field}: {target}");
        }
        let scenario = fs::read_to_string(rig.path(&format!("{folder}/scenario.yaml"))).unwrap();
        assert!(scenario.contains("\n  faults:\n    - {"), "{scenario}");
    }
}
