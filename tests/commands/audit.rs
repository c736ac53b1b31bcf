//! `dagstorm audit`: the verdict again, from the history alone.

use std::fs;

use crate::{
    dagster::Dagster,
    rig::{Rig, scenario, target},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_history_says_again_what_was_found_and_a_changed_one_something_else() {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    rig.write("target.yaml", &target(&dagster.url));
    let quick = scenario("quick", "  expect: { quiet: 1s, thresholds: { submissionErrors: ['count < 1'] } }\n");
    rig.write("quick.yaml", &quick.replace("for: 10s", "for: 3s"));
    let done = rig.run(&["run", "target.yaml", "quick.yaml", "--data", "data"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let [folder] = &glob(&rig)[..] else { panic!("{:?}", glob(&rig)) };
    for file in ["history.jsonl", "keys.csv", "junit.xml", "report.md", "report.html", "report.json"] {
        assert!(rig.path(&format!("{folder}/{file}")).is_file(), "{file}");
    }
    // On another machine: nothing but the file is there.
    let other = Rig::new();
    let history = fs::read_to_string(rig.path(&format!("{folder}/history.jsonl"))).unwrap();
    other.write("history.jsonl", &history);
    let again = other.run(&["audit", "history.jsonl"]);
    assert_eq!((again.code, again.err.as_str()), (0, ""), "{}", again.out);
    assert!(again.out.contains("Passed — 3 of 3 acknowledged runs completed exactly once"), "{}", again.out);
    assert!(again.out.contains("the same as was found then"), "{}", again.out);
    let json: serde_json::Value = serde_json::from_str(&other.run(&["audit", ".", "-o", "json"]).out).unwrap();
    assert_eq!((&json["verdict"], &json["same"]), (&"Passed".into(), &true.into()), "{json}");

    // The page is rendered again, too: the same byte by byte.
    let again = other.run(&["audit", "history.jsonl", "--html", "page.html"]);
    assert_eq!(again.code, 0, "{}", again.err);
    let page = |path| fs::read_to_string(path).unwrap();
    assert_eq!(page(other.path("page.html")), page(rig.path(&format!("{folder}/report.html"))));
    let again = other.run(&["audit", "history.jsonl", "--html", "absent/page.html"]);
    assert!(again.code != 0 && again.err.contains("absent/page.html cannot be written"), "{}", again.err);

    // One completion more.
    let twice: String = history
        .lines()
        .map(|line| match line.find(r#"{"step":"one","kind":"Succeeded""#) {
            Some(at) if line.contains("/1\"") => {
                let event = &line[at..line.len() - 3];
                format!("{},{event}{}\n", &line[..line.len() - 3], &line[line.len() - 3..])
            }
            _ => format!("{line}\n"),
        })
        .collect();
    other.write("twice.jsonl", &twice);
    let again = other.run(&["audit", "twice.jsonl"]);
    assert_eq!(again.code, 1, "{}{}", again.out, again.err);
    assert!(again.out.contains("step one was completed 2 times"), "{}", again.out);
    assert!(again.err.contains("twice.jsonl: this is not what was found when it was written"), "{}", again.err);

    // Without its end nothing can be compared; a part of a line is an error with its place.
    let lines: Vec<&str> = history.lines().collect();
    other.write("short.jsonl", &lines[..lines.len() - 1].join("\n"));
    let again = other.run(&["audit", "short.jsonl"]);
    assert_eq!(again.code, 0, "{}", again.out);
    assert!(again.err.contains("it has no end"), "{}", again.err);
    other.write("torn.jsonl", &history[..history.len() - 20]);
    for (file, gist) in
        [("torn.jsonl", format!("line {}: EOF", lines.len())), ("absent.jsonl", "No such file".to_owned())]
    {
        let done = other.run(&["audit", file]);
        assert_eq!(done.code, 2, "{}", done.out);
        assert!(done.err.contains(file) && done.err.contains(&gist), "{}", done.err);
    }
}

fn glob(rig: &Rig) -> Vec<String> {
    let folders = fs::read_dir(rig.path("data/reports/quick")).unwrap();
    let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("data/reports/quick/{name}")).collect()
}
