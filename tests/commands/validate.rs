//! `dagstorm validate`, and what `run` refuses in the same words.

use super::rig::{HEAD, Rig, repository, scenario, target};

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
        "trace.json",
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
        (&["validate", "trace.json"], "", 0, "2 warnings"),
        (&["validate", "trace.json", "good.yaml"], "", 0, "did you mean `good`?"),
    ] {
        let done = rig.run_with(arguments, stdin);
        assert_eq!(done.code, code, "{arguments:?}: {}{}", done.out, done.err);
        assert!(done.out.contains(gist), "{arguments:?}: {}", done.out);
    }
    rig.write("empty/readme.txt", "");
    let done = rig.run(&["validate", "empty"]);
    assert_eq!(done.code, 2);
    assert!(done.out.contains("no manifest is in this folder"), "{}", done.out);
    for arguments in [&["validate"][..], &["validate", "-o", "yaml", "."]] {
        assert_eq!(rig.run(arguments).code, 2);
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
    for (arguments, gist) in [
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
