//! What is passed on is what the launchpad would read.

use serde_json::{Value as Json, json};

use super::run_config;
use crate::spec::{Manifest, load, no_attachments};

/// The job's run config and tags, or the errors.
fn job(file: &str, job: &str) -> Result<(Json, Json), Vec<String>> {
    let text = match file {
        "a.json" => format!(
            r#"{{ "apiVersion": "dagstorm.dev/v1alpha1", "kind": "Scenario", "metadata": {{ "name": "a" }}, "spec": {{
            "target": "t", "load": [{{ "name": "b", "for": "1s", "arrivals": {{ "constant": {{ "rate": "1/s" }} }},
            "jobs": {{ "j": {job} }} }}] }} }}"#
        ),
        _ => format!(
            "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: {{ name: a }}\nspec:\n  target: t\n  load:\n  \
             - name: b\n    for: 1s\n    arrivals: {{ constant: {{ rate: 1/s }} }}\n    jobs:\n      j:\n        {job}"
        ),
    };
    match load(file, text.as_bytes(), &no_attachments).pop().expect("a document").content {
        Ok(Manifest::Scenario(scenario)) => {
            let job = &scenario.spec.load[0].jobs.jobs[0];
            Ok((job.run_config.clone(), json!(job.tags)))
        }
        Ok(Manifest::Target(_)) => panic!("a target"),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn a_run_config_is_what_the_launchpad_would_send() {
    for (written, sent) in [
        (
            "{ a: yes, b: 81e47, c: 0123, d: 1_000, e: 1:30 }",
            json!({"a": true, "b": "81e47", "c": 83, "d": 1000, "e": 90}),
        ),
        (
            "{ a: 2026-01-02, b: 1.10, c: 1e3, d: 0x1F, e: 0o17 }",
            json!({"a": "2026-01-02", "b": 1.1, "c": "1e3", "d": 31, "e": "0o17"}),
        ),
        (
            "{ a: ~, b: , c: null, d: 12345678901234567890 }",
            json!({"a": null, "b": null, "c": null, "d": 12_345_678_901_234_567_890_u64}),
        ),
        ("{ a: \"yes\", b: '0123', c: \"1e3\", d: \"\" }", json!({"a": "yes", "b": "0123", "c": "1e3", "d": ""})),
        ("{ a: [on, 'on', [0123, {b: no}]] }", json!({"a": [true, "on", [83, {"b": false}]]})),
        ("{ a: &x 0123, b: *x, c: &y 'yes', d: *y }", json!({"a": 83, "b": 83, "c": "yes", "d": "yes"})),
        (
            "{ a: !!str 0123, b: !!int 83, c: !!bool true, d: !!str yes, e: !!map {} }",
            json!({"a": "0123", "b": 83, "c": true, "d": "yes", "e": {}}),
        ),
        (
            "\n          a: |-\n            yes\n          b: >-\n            0123\n          c: |\n            yes\n",
            json!({"a": "yes", "b": "0123", "c": "yes\n"}),
        ),
        (
            "\n          a:\n            yes # said so\n          b: |- # no |\n            0123",
            json!({"a": true, "b": "0123"}),
        ),
        ("\n          a: |-\n            yes", json!({"a": "yes"})),
        ("\n          a: # no |\n            yes", json!({"a": true})),
        ("\n          a: one\n            two\n          é: no", json!({"a": "one two", "é": false})),
        ("{ '0123': 1, \"yes\": 2, on_call: 3, =: 4 }", json!({"0123": 1, "yes": 2, "on_call": 3, "=": 4})),
        (
            "{ a: <, b: ., c: .5, d: -.5, e: 08, f: -0 }",
            json!({"a": "<", "b": ".", "c": 0.5, "d": "-.5", "e": "08", "f": 0}),
        ),
    ] {
        let read = job("a.yaml", &format!("runConfig: {written}"));
        assert_eq!(read.map(|(config, _)| config), Ok(sent), "{written}");
    }
}

#[test]
fn what_json_cannot_hold_is_refused_with_its_reading() {
    for (written, words) in [
        (
            "a: .inf",
            "runConfig.a: `.inf` is infinity to Dagster, and a launch is sent as JSON, which has no such number; if a text is meant, write it in quotes",
        ),
        ("a: -.inf", "`-.inf` is infinity to Dagster"),
        ("a: .nan", "`.nan` is no number (NaN) to Dagster"),
        ("a: [1.0e+999]", "runConfig.a[0]: `1.0e+999` is infinity to Dagster"),
        (
            "a: 123456789012345678901",
            "`123456789012345678901` is a number of more than 64 bits to Dagster, and cannot be sent exactly",
        ),
        ("a: -9223372036854775809", "`-9223372036854775809` is a number of more than 64 bits"),
        ("a: 0x_", "Dagster's launchpad fails at `0x_`"),
        ("a: =", "Dagster's launchpad fails at `=`"),
        (
            "yes: 1",
            "runConfig.yes: the key `yes` is the truth value `true` to Dagster, and a launch is sent as JSON, whose keys are texts; if the text is meant, write `\"yes\"`",
        ),
        ("a: { 0123: 1 }", "the key `0123` is the number `83` to Dagster"),
        ("a: !!float 1", "the tag `!!float` says otherwise than the value"),
        ("a: !!int '5'", "the tag `!!int` says otherwise than the value"),
        ("a: !secret key", "the tag `!secret` says otherwise than the value"),
        ("a: !!int 0o8", "the tag before this value does not fit it"),
        ("a: !!bool maybe", "the tag before this value does not fit it"),
        ("a: !!float a", "the tag before this value does not fit it"),
        ("a: !!timestamp 2026-01-02", "the tag before this value does not fit it; leave the tag out"),
        ("a: !!set { b }", "the tag `!!set` says otherwise"),
    ] {
        let errors = job("a.yaml", &format!("runConfig: {{ {written} }}")).expect_err(written);
        assert!(errors.len() == 1 && errors[0].contains(words), "{written}: {errors:?}");
    }
    let errors = job("a.yaml", "runConfig: { a: .inf, b: { c: .nan, yes: 1 } }").expect_err("three");
    assert_eq!(errors.len(), 3, "all at once: {errors:?}");
}

#[test]
fn what_dagster_writes_for_a_partition_is_read_back() {
    for (yaml, read) in [
        ("{}\n", json!({})),
        ("", json!({})),
        (
            "ops:\n  a:\n    config:\n      day: '2026-11-20'\n      n: 1\n      t: 2026-01-02\n      p: '010'\n",
            json!({ "ops": { "a": { "config": { "day": "2026-11-20", "n": 1, "t": "2026-01-02", "p": "010" } } } }),
        ),
        ("a: &id001\n- 1\nb: *id001\n", json!({ "a": [1], "b": [1] })),
        (
            "a: one two three four five six seven eight nine ten eleven twelve thirteen fourteen\n  fifteen\n",
            json!({ "a": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen" }),
        ),
    ] {
        assert_eq!(run_config(yaml), Ok(read), "{yaml}");
    }
    for (yaml, words) in [("- a\n", "it is no map"), ("a: .inf\n", "a: `.inf` is infinity"), ("a: [", "not valid YAML")]
    {
        let error = run_config(yaml).expect_err(yaml);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_tag_is_the_text_that_was_written() {
    for (written, text) in [
        ("1.10", "1.10"),
        ("81e4712", "81e4712"),
        ("0123", "0123"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("True", "True"),
        ("2026-01-02", "2026-01-02"),
        ("12345678901234567890123", "12345678901234567890123"),
        (".inf", ".inf"),
        ("-0", "-0"),
        ("\"\"", ""),
        ("'~'", "~"),
        ("!!str ~", "~"),
        ("!!str 5", "5"),
        ("a: b", "a: b"),
    ] {
        let written = if written.contains(": ") { format!("'{written}'") } else { written.to_owned() };
        let read = job("a.yaml", &format!("tags: {{ k: {written} }}"));
        assert_eq!(read.map(|(_, tags)| tags), Ok(json!({ "k": text })), "{written}");
    }
    for (written, words) in [
        (
            "~",
            "tags.k: `~` is nothing (null), where a text is expected; if the text is meant, write `\"~\"`; else leave it out",
        ),
        ("null", "`null` is nothing (null)"),
        ("", "tags.k: is empty, where a text is expected; write `\"\"` for the empty text, or leave it out"),
        ("[a]", "expected a text, found a list"),
        ("{ a: b }", "expected a text, found a map"),
        ("!secret 5", "the tag `!secret`"),
    ] {
        let errors = job("a.yaml", &format!("tags: {{ k: {written} }}")).expect_err(written);
        assert!(errors.len() == 1 && errors[0].contains(words), "{written}: {errors:?}");
    }
}

#[test]
fn in_json_the_types_are_those_of_json() {
    let written = r#"{ "runConfig": { "a": 1e3, "b": "yes", "c": -0, "d": 0.1, "e": null, "f": true, "0123": "0123" }, "tags": { "k": "0123" } }"#;
    let (config, tags) = job("a.json", written).expect("it reads");
    let sent = json!({ "a": 1000.0, "b": "yes", "c": 0, "d": 0.1, "e": null, "f": true, "0123": "0123" });
    assert_eq!((config, tags), (sent, json!({ "k": "0123" })));
    for (written, words) in [
        (
            r#"{ "runConfig": { "a": 123456789012345678901 } }"#,
            "`123456789012345678901` is a number of more than 64 bits",
        ),
        (r#"{ "tags": { "k": 5 } }"#, "expected a text, found the number `5`: put it in quotes"),
        (r#"{ "tags": { "k": 1.10 } }"#, "expected a text, found the number `1.10`: put it in quotes"),
        (r#"{ "tags": { "k": true } }"#, "expected a text, found `true`"),
        (r#"{ "tags": { "k": null } }"#, "expected a text, found nothing"),
    ] {
        let errors = job("a.json", written).expect_err(written);
        assert!(errors.len() == 1 && errors[0].contains(words), "{written}: {errors:?}");
    }
}

#[test]
fn a_message_quotes_what_was_written() {
    for (field, words) in [
        ("weight: 81e4712", "`81e4712` is no finite number"),
        ("weight: .inf", "`.inf` is no finite number"),
        ("weight: -1.50", "`-1.5"),
        ("job: 1", "unknown field `job`"),
    ] {
        let errors = job("a.yaml", field).expect_err(field);
        assert!(errors[0].contains(words) && !errors[0].contains("`inf`"), "{field}: {errors:?}");
    }
    for (name, words) in
        [("81e4712", "the number `81e4712`"), ("1.10", "the number `1.10`"), ("0x1F", "the number `0x1F`")]
    {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1\nkind: Target\nmetadata: {{ name: a }}\nspec: {{ dagster: {{ url: 'http://x/graphql', location: {name} }} }}"
        );
        let errors = load("a.yaml", text.as_bytes(), &no_attachments).pop().expect("one").content.expect_err(name);
        assert!(errors[0].message.contains(&format!("expected a text, found {words}: put it in quotes")), "{errors:?}");
    }
}
