//! `dagstorm validate`, and what `run` refuses in the same words.

use super::{
    dagster::Dagster,
    rig::{HEAD, Rig, repository, scenario, target},
};

const URL: &str = "http://127.0.0.1:9/graphql";

/// One of each: good, bad in several ways, together wrong, and good with a surprise.
fn mixture() -> Rig {
    let rig = Rig::new();
    rig.write("target.yaml", &target(URL));
    rig.write("good.yaml", &scenario("good", ""));
    rig.write("sub/bad.yaml", &scenario("bad", "  sed: 7\n").replace("rate: 1/s", "rate: fast"));
    rig.write("sub/twice.yaml", &scenario("good", ""));
    rig.write(
        "faults.yaml",
        &scenario("faults", "  faults: [{ name: kill, after: 1s, stopTasks: { service: workers } }]\n"),
    );
    rig.write(
        "trace.yaml",
        &format!(
            "{}spec: {{ target: elsewhere, start: {{ after: [goot] }}, load: [{{ name: a, for: 10s, arrivals: {{ trace: {{ file: times.csv }} }}, jobs: {{ b: 1 }} }}] }}\n",
            HEAD.to_owned() + "metadata: { name: trace }\n"
        ),
    );
    rig.write("times.csv", "time\n1\n2\n");
    rig.write(
        "circle.yaml",
        &["one", "two"]
            .map(|name| {
                let other = if name == "one" { "two" } else { "one" };
                scenario(name, &format!("  start: {{ after: [{other}] }}\n"))
            })
            .join("---\n"),
    );
    rig.write(".hidden/bad.yaml", "nothing: good");
    rig.write("notes.txt", "no manifest");
    rig
}

#[test]
fn everything_is_named_with_its_place() {
    let rig = mixture();
    let done = rig.run(&["validate", "."]);
    assert_eq!((done.code, done.err.as_str()), (2, ""));
    insta::assert_snapshot!("validate.txt", done.out);
    let done = rig.run(&["validate", "-o", "json", "."]);
    assert_eq!((done.code, done.err.as_str()), (2, ""));
    insta::assert_snapshot!("validate.json", done.out);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let done = rig.run(&["validate", "-o", "yaml", "."]);
    assert_eq!((done.code, done.err.as_str()), (2, ""));
    assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&done.out).unwrap(), json);
    insta::assert_snapshot!("validate.yaml", done.out);
    assert_eq!(rig.run(&["validate", "-o", "text", "."]).out, rig.run(&["validate", "-o", "table", "."]).out);
}

#[test]
fn exit_codes() {
    let rig = mixture();
    let good = scenario("a", "");
    for (arguments, stdin, code, gist) in [
        (&["validate", "good.yaml", "target.yaml"][..], "", 0, "2 files, 2 manifests: 2 good, 0 bad\n"),
        (&["validate", "./good.yaml", "good.yaml", "target.yaml"], "", 0, "2 files, 2 manifests: 2 good, 0 bad\n"),
        (&["validate", "-"], &good, 0, "1 file, 1 manifest: 1 good, 0 bad, 1 warning\n"),
        (&["validate", "-", "target.yaml"], &good, 0, "2 files, 2 manifests: 2 good, 0 bad\n"),
        (&["validate", "-"], "", 2, "1 file: no manifest in there\n"),
        (&["validate", "absent.yaml"], "", 2, "--> absent.yaml"),
        (&["validate", "sub/bad.yaml"], "", 2, "did you mean `seed`?"),
        (&["validate", "trace.yaml"], "", 0, "2 warnings"),
        (&["validate", "--strict", "trace.yaml"], "", 2, "0 good, 1 bad\n"),
        (&["validate", "--strict", "good.yaml", "target.yaml"], "", 0, "2 good, 0 bad\n"),
        (&["validate", "--strict", "-"], &good, 2, "error: spec.target: no manifest that was given is the Target"),
        (
            &["validate", "trace.yaml", "target.yaml"],
            "",
            2,
            "error: spec.target: no manifest that was given is the Target",
        ),
        (&["validate", "-", "target.yaml"], &good.replace("target: local", "target: locl"), 2, "did you mean `local`?"),
        (&["validate", "trace.yaml", "good.yaml"], "", 0, "did you mean `good`?"),
    ] {
        let done = rig.run_with(arguments, stdin);
        assert_eq!(done.code, code, "{arguments:?}: {}{}", done.out, done.err);
        assert!(done.out.contains(gist), "{arguments:?}: {}", done.out);
    }
    rig.write("empty/readme.txt", "");
    let done = rig.run(&["validate", "empty"]);
    assert_eq!(done.code, 2);
    assert!(done.out.contains("no manifest is in this folder"), "{}", done.out);
    for arguments in [&["validate"][..], &["validate", "-o", "csv", "."]] {
        let done = rig.run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        assert!(!done.err.is_empty());
    }
}

#[test]
fn the_shipped_manifests_are_good() {
    let rig = Rig::new();
    let done = rig.run(&["validate", repository("manifests").to_str().unwrap()]);
    assert_eq!(done.code, 0, "{}", done.out);
}

#[test]
fn run_refuses_in_the_same_words_and_touches_nothing() {
    let rig = mixture();
    rig.write("suspended/paused.yaml", &scenario("paused", "  suspend: true\n"));
    for (arguments, gist) in [
        (&["run", "suspended/paused.yaml", "target.yaml"][..], "Scenario `paused` says `suspend: true`"),
        (&["run", "sub/bad.yaml"][..], "--> sub/bad.yaml:8:3"),
        (&["run", "good.yaml"], "no manifest that was given is the Target `local`"),
        (&["run", "faults.yaml", "target.yaml"], "has no `spec.ecs`"),
        (&["run", "target.yaml"], "there is nothing to run"),
        (&["run", "absent.yaml"], "--> absent.yaml"),
    ] {
        let done = rig.run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}");
        assert!(done.err.contains(gist), "{arguments:?}: {}", done.err);
    }
    assert!(!rig.path("dagstorm-data").exists());
}

/// Every file of the corpus, one mistake each (a few with several): the answer is the golden, in one file for each.
#[test]
fn every_bad_manifest_has_its_answer() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/bad");
    let mut names: Vec<String> = std::fs::read_dir(&root)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml") || name.ends_with(".json"))
        .collect();
    names.sort();
    assert!(names.len() >= 60);
    for name in names {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dagstorm"))
            .args(["validate", &name])
            .current_dir(&root)
            .output()
            .expect("the program runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        insta::with_settings!({ snapshot_path => "../manifests/bad/answers", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.rsplit_once('.').expect("an ending").0, text);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn online_the_dagster_of_each_target_is_asked() {
    let dagster = Dagster::start().await;
    for (job, url, code, gist) in [
        ("fast_job", dagster.url.as_str(), 0, ""),
        (
            "fast_jab",
            &dagster.url,
            4,
            "✗ target local: one: code location `demo` has no job `fast_jab`: did you mean `fast_job`?",
        ),
        (
            "picky_job",
            &dagster.url,
            4,
            "✗ target local: one: Dagster rejects the run config of job `picky_job`: Missing required config entry \"ops\"",
        ),
        ("fast_job", URL, 4, "✗ target local: Dagster: http://127.0.0.1:9/graphql cannot be reached"),
    ] {
        let rig = Rig::new();
        rig.write("target.yaml", &target(url));
        rig.write("one.yaml", &scenario("one", "").replace("fast_job", job));
        let done = tokio::task::block_in_place(|| rig.run(&["validate", "--online", "target.yaml", "one.yaml"]));
        assert_eq!((done.code, done.err.as_str()), (code, ""), "{}", done.out);
        assert!(done.out.contains(gist) && done.out.ends_with("2 files, 2 manifests: 2 good, 0 bad\n"), "{}", done.out);
        let done =
            tokio::task::block_in_place(|| rig.run(&["validate", "-o", "json", "--online", "target.yaml", "one.yaml"]));
        let value: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        let problems = value["targets"][0]["problems"].as_array().unwrap().len();
        assert_eq!((done.code, problems), (code, usize::from(code == 4)), "{value}");
        assert_eq!(rig.run(&["validate", "target.yaml", "one.yaml"]).code, 0, "without, nobody is asked");
    }
    assert!(dagster.runs().is_empty(), "nothing was launched");
}

/// What a person would not think stands in `validate` already, without a look at anything.
#[test]
fn what_may_surprise_is_a_warning() {
    let rig = Rig::new();
    rig.write("target.yaml", &target(URL));
    rig.write("times.csv", "time,job\n1,b\n2,b\n20,b\n");
    let load = "[{ name: a, for: 10s, arrivals: { trace: { file: times.csv } }, jobs: { b: 90%, c: 1 } }, { name: none, for: 1s, arrivals: { poisson: { rate: 1/d } }, jobs: { b: 1 } }]";
    rig.write(
        "odd.yaml",
        &format!(
            "{HEAD}metadata: {{ name: odd }}\nspec: {{ target: local, load: {load}, limits: {{ maxInFlight: 1 }} }}\n"
        ),
    );
    let done = rig.run(&["validate", "-o", "json", "odd.yaml", "target.yaml"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let warnings: Vec<String> = json["files"][0]["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}: {}", one["path"].as_str().unwrap(), one["message"].as_str().unwrap()))
        .collect();
    for words in [
        "spec.load[0].for: 1 of the 3 arrivals of `times.csv` come after the phase's end",
        "spec.load[0].arrivals.trace.file: the column `job` of `times.csv` is not used",
        "spec.load[0].jobs: percentages and weights without `%` are mixed",
        "spec.load[1]: the phase `none` has no arrival",
    ] {
        assert!(warnings.iter().any(|warning| warning.starts_with(words)), "{words} in {warnings:#?}");
    }
    let done = rig.run(&["plan", "--offline", "odd.yaml", "target.yaml"]);
    assert!(done.code == 0 && done.out.contains("are mixed"), "{}{}", done.out, done.err);
}

/// A trace's own columns decide what is launched, with which tags and which config.
#[test]
fn a_trace_launches_what_its_rows_name() {
    let rig = Rig::new();
    rig.write("target.yaml", &target(URL));
    rig.write(
        "runs.csv",
        "id;created_at;job\n7;2026-11-27 08:00:24;b\n8;2026-11-27 08:00:26;c\n9;2026-11-27 08:00:25;b\n",
    );
    let load = "[{ name: a, for: 10s, arrivals: { trace: { file: runs.csv, columns: { job: job } } }, jobs: { b: 1, c: 99 } }]";
    rig.write("trace.yaml", &format!("{HEAD}metadata: {{ name: trace }}\nspec: {{ target: local, load: {load} }}\n"));
    let done = rig.run(&["plan", "--offline", "-o", "json", "trace.yaml", "target.yaml"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let jobs = &json["scenarios"][0]["arrivals"]["jobs"];
    assert_eq!(*jobs, serde_json::json!([{ "job": "b", "runs": 2 }, { "job": "c", "runs": 1 }]));
}
