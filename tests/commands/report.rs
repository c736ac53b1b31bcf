//! `dagstorm report`: what was proved, and two runs side by side.

use std::fs;

use serde_json::Value;

use crate::{
    dagster::Dagster,
    rig::{Done, Rig, scenario, target},
};

/// Two generations of one scenario, by their folders, the older one first.
async fn ran_twice() -> (Rig, [String; 2]) {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    rig.write("target.yaml", &target(&dagster.url));
    let quick = scenario("quick", "  expect: { quiet: 1s, thresholds: { submissionErrors: ['count < 1'] } }\n");
    rig.write("quick.yaml", &quick.replace("for: 10s", "for: 3s"));
    for _ in 0..2 {
        let done = rig.run(&["run", "target.yaml", "quick.yaml", "--data", "data"]);
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    }
    let mut names: Vec<String> = fs::read_dir(rig.path("data/reports/quick"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let names = names.try_into().unwrap();
    (rig, names)
}

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}{}", done.out, done.err))
}

/// A copy of a report's folder, with its `report.json` changed.
fn spoilt(rig: &Rig, folder: &str, copy: &str, change: impl Fn(&mut Value)) {
    for file in ["keys.csv", "history.jsonl", "report.json"] {
        let text = fs::read_to_string(rig.path(&format!("{folder}/{file}"))).unwrap();
        rig.write(&format!("{copy}/{file}"), &text);
    }
    let path = format!("{copy}/report.json");
    let mut report: Value = serde_json::from_str(&fs::read_to_string(rig.path(&path)).unwrap()).unwrap();
    change(&mut report);
    rig.write(&path, &report.to_string());
}

#[allow(clippy::too_many_lines, reason = "one story: each command shows what the one before left")]
#[tokio::test(flavor = "multi_thread")]
async fn reports_are_shown_and_compared() {
    let (rig, [first, second]) = ran_twice().await;
    let folder = format!("data/reports/quick/{first}");

    // The latest, by nothing, by its scenario, by its folder and by its file; the older one by its name.
    let (older, newer) = (format!("quick/{first}"), format!("quick/{second}"));
    let (by_folder, by_file) = (format!("./data/reports/{newer}"), format!("data/reports/{newer}/report.json"));
    for (run, shown) in [
        (None, &newer),
        (Some("quick"), &newer),
        (Some(&by_folder), &newer),
        (Some(&by_file), &newer),
        (Some(&older), &older),
    ] {
        let mut arguments = vec!["report", "--data", "data"];
        arguments.extend(run);
        let done = rig.run(&arguments);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{run:?}");
        let head = format!("{shown}: Passed — 3 of 3 acknowledged runs completed exactly once");
        assert!(done.out.starts_with(&head), "{run:?}: {}", done.out);
        for part in ["✓ submissionErrors count < 1", "planned 3 · ", "fast_job  3 of 3", "history.jsonl", "keys.csv"]
        {
            assert!(done.out.contains(part), "{part}: {}", done.out);
        }
    }
    let file: Value = serde_json::from_str(&fs::read_to_string(rig.path(&by_file)).unwrap()).unwrap();
    assert_eq!(json(&rig.run(&["report", "quick", "--data", "data", "-o", "json"])), file);
    let yaml = rig.run(&["report", "quick", "--data", "data", "-o", "yaml"]);
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml.out).unwrap(), file);
    let markdown = rig.run(&["report", "quick", "--data", "data", "-o", "markdown"]);
    assert!(markdown.out.starts_with("# quick: Passed"), "{}", markdown.out);
    // What is written is what its schema says.
    let schema: Value = serde_json::from_str(&rig.run(&["schema", "report"]).out).unwrap();
    assert!(jsonschema::draft7::is_valid(&schema, &file));

    // The second run stands beside the first, and the index has both.
    assert_eq!(file["lastRun"]["generation"], first.as_str());
    assert_eq!((&file["lastRun"]["verdict"], &file["lastRun"]["editedSince"]), (&"Passed".into(), &false.into()));
    assert_eq!(file["headline"]["successRate"], 1.0);
    let earlier = json(&rig.run(&["report", &older, "--data", "data", "-o", "json"]));
    assert_eq!(earlier["lastRun"], Value::Null);
    let shown = rig.run(&["report", "quick", "--data", "data"]).out;
    assert!(shown.contains("Success rate") && shown.contains("the same as the last run: 100%"), "{shown}");
    assert!(shown.contains(&format!("(the last run: {first}, Passed)")), "{shown}");
    let index = fs::read_to_string(rig.path("data/reports/index.html")).unwrap();
    assert!(index.contains(&first) && index.contains(&second));
    fs::remove_file(rig.path("data/reports/index.html")).unwrap();
    let again = rig.run(&["report", "--index", "--data", "data"]);
    assert_eq!((again.code, again.out.as_str()), (0, "data/reports/index.html\n"), "{}", again.err);
    assert_eq!(fs::read_to_string(rig.path("data/reports/index.html")).unwrap(), index);
    assert_eq!(rig.run(&["report", "--index", "--data", "nowhere"]).code, 2);

    // Three runs each say nothing of how long runs take.
    let compare =
        |a: &str, b: &str, more: &[&str]| rig.run(&[&["report", "--data", "data", "--compare", a, b], more].concat());
    let same = compare(&older, &newer, &["-o", "json"]);
    assert_eq!((same.code, json(&same)["outcome"].as_str()), (0, Some("nothingWorse")), "{}", same.out);
    assert_eq!(json(&same)["setup"], Value::Array(vec![]));
    assert_eq!(json(&same)["before"]["samplesFrom"], "history.jsonl");
    let judgements: Vec<&str> = same.out.lines().filter(|line| line.contains("\"judgement\"")).map(str::trim).collect();
    assert!(judgements.len() >= 8 && judgements.iter().all(|line| line.contains("tooFewSamples")), "{judgements:?}");

    // What broke is an exit code of its own, and what is not known too.
    spoilt(&rig, &folder, "broken", |report| {
        report["verdict"] = "Failed".into();
        report["thresholds"][0]["holds"] = false.into();
        report["manifest"]["spec"]["seed"] = 99.into();
    });
    let broken = compare(&older, "broken", &["--html", "compared.html"]);
    let page = fs::read_to_string(rig.path("compared.html")).unwrap();
    for part in ["Content-Security-Policy", "spec.seed", "threshold submissionErrors count < 1", older.as_str()] {
        let escaped = part.replace('<', "\\u003c");
        assert!(page.contains(&escaped), "{part}");
    }
    assert_eq!((broken.code, broken.err.as_str()), (1, ""), "{}", broken.out);
    for part in
        ["Not the same set-up", "spec.seed", "✗ verdict: Passed → Failed", "✗ threshold submissionErrors count < 1"]
    {
        assert!(broken.out.contains(part), "{part}: {}", broken.out);
    }
    assert!(compare("broken", &older, &["-o", "markdown"]).out.starts_with("## ✅ Nothing is worse: 2 mended"));
    assert_eq!(rig.run(&["report", "broken"]).code, 1);
    spoilt(&rig, &folder, "unknown", |report| report["verdict"] = "Unknown".into());
    assert_eq!(compare(&older, "unknown", &[]).code, 3);
    assert_eq!(rig.run(&["report", "unknown/report.json"]).code, 3);

    // Without its history the keys are read, without these the report alone.
    for (removed, source) in [("history.jsonl", "keys.csv"), ("keys.csv", "report.json")] {
        fs::remove_file(rig.path(&format!("broken/{removed}"))).unwrap();
        let compared = json(&compare("broken", &older, &["-o", "json"]));
        assert_eq!(compared["before"]["samplesFrom"], source);
        let latency = &compared["measures"][0];
        assert_eq!((&latency["metric"], &latency["samples"]), (&"runLatency".into(), &serde_json::json!([3, 3])));
    }
    // A history that cannot be read is said, and the keys do.
    rig.write("unknown/history.jsonl", "{}");
    let passed_over = compare("unknown", &older, &["-o", "json"]);
    assert!(passed_over.err.contains("unknown/history.jsonl: line 1"), "{}", passed_over.err);
    assert_eq!(json(&passed_over)["before"]["samplesFrom"], "keys.csv");
}

#[test]
fn what_is_no_report_is_a_mistake_of_the_command_line() {
    let rig = Rig::new();
    rig.write("data/reports/night/ab-1/report.json", "{}");
    rig.write("data/reports/day/.keep", "");
    rig.write("torn/report.json", "{\"apiVersion\":");
    for (arguments, gist) in [
        (&["report", "--data", "nowhere"][..], "no report is in nowhere/reports"),
        (
            &["report", "knight", "--data", "data"],
            "`knight` is neither a scenario nor a report; scenarios in data/reports: day, night",
        ),
        (&["report", "night/cd-1", "--data", "data"], "generations of night: ab-1"),
        (&["report", "day", "--data", "data"], "`day` is neither"),
        (&["report", "night", "--data", "data"], "ab-1/report.json: it is no report.json: missing field `apiVersion`"),
        (&["report", "torn"], "torn/report.json: it is no report.json: EOF"),
        (&["report", "--compare", "a", "b"], "`a` is neither"),
        (&["report", "--compare", "a"], "2 values required"),
        (&["report", "--tolerance", "5%"], "--compare <A> <B>"),
        (&["report", "--compare", "a", "b", "--tolerance", "much"], "`much` is not a share"),
        (&["report", "x", "--compare", "a", "b"], "cannot be used with"),
    ] {
        let done = rig.run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}");
        assert!(done.err.contains(gist), "{arguments:?}: {}", done.err);
    }
}

/// Without a terminal it is one frame, of whatever is there.
#[tokio::test(flavor = "multi_thread")]
async fn top_prints_a_frame_of_a_folder() {
    let rig = Rig::new();
    let done = rig.run(&["top", "--data", "data"]);
    assert_eq!((done.code, done.err.as_str()), (3, ""), "there is nothing to see");
    assert_eq!(done.out, "dagstorm top data\n\n  waiting for data …\n");
    let dagster = Dagster::start().await;
    rig.write("target.yaml", &target(&dagster.url));
    rig.write("quick.yaml", &scenario("quick", "  expect: { quiet: 1s }\n").replace("for: 10s", "for: 3s"));
    assert_eq!(rig.run(&["run", "target.yaml", "quick.yaml", "--data", "data"]).code, 0);
    let done = rig.run(&["top", "--data", "data", "--once"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert!(done.out.starts_with("dagstorm top data · 1 Passed · "), "{}", done.out);
    let head = done.out.lines().next().unwrap();
    assert!(head.contains(" ended ") && !head.contains("no operator"), "{head}");
    assert!(done.out.contains("Launched ×3: "), "{}", done.out);
    let done = rig.run(&["top", "--data", "data", "--once", "--scenario", "slow"]);
    assert_eq!(done.code, 3);
    assert!(done.out.contains("no scenario has a name with that in it"), "{}", done.out);
    let done = rig.run(&["top", "--data", "data", "--once", "--scenario", "qui"]);
    assert_eq!(done.code, 0);
    let row = done.out.lines().find(|line| line.starts_with("  quick")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[..5], ["quick", "Passed", "3/3", "3", "3"], "{row}");
    assert_eq!(words[words.len() - 3..], ["0", "–", "Passed"], "{row}");
    assert!(done.out.contains("quick: Passed: 3 of 3 acknowledged runs completed exactly once"), "{}", done.out);
}
