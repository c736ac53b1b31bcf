//! Files as they are exported, good and bad.

use serde_json::json;

use super::{rows::MOST_ROWS, *};

fn raw(file: &str, column: Option<&str>) -> RawTrace {
    RawTrace {
        file: file.to_owned(),
        column: column.map(str::to_owned),
        columns: None,
        numbers: Numbers::default(),
        speed: 1.0,
    }
}

fn read(raw: &RawTrace, text: &str) -> Result<Trace, Vec<TraceError>> {
    raw.read(text.as_bytes(), None).map(|reading| reading.trace)
}

#[test]
fn traces_read() {
    for (file, column, text, expected) in [
        ("a.csv", None, "1.5\n0\n2\n", vec![0, 1_500_000, 2_000_000]),
        ("a.csv", None, "\u{feff}time,job\r\n0.25,a\r\n\r\n1,b\r\n", vec![250_000, 1_000_000]),
        ("a.CSV", Some("at"), "job, at\na, 3\nb, 1e-6\n", vec![1, 3_000_000]),
        ("a.txt", None, "2026-11-24T12:00:01Z\n2026-11-24T13:00:00.5+01:00\n", vec![0, 500_000]),
        ("a.tsv", Some("t"), "x\tt\n,\t1\n", vec![1_000_000]),
        ("a.csv", Some("when it was"), "\"when it was\"\n\"7\"\n", vec![7_000_000]),
        ("a.jsonl", None, "1\n\"2\"\n\n{\"time\": 0.5}\n", vec![500_000, 1_000_000, 2_000_000]),
        ("a.ndjson", Some("at"), "{\"at\":\"2026-11-24T12:00:00Z\",\"time\":9}", vec![0]),
        // As psql, pandas and spreadsheets write them.
        ("a.csv", None, "id,time\n7,2026-11-27 08:00:24\n9,2026-11-27 08:00:25.5\n", vec![0, 1_500_000]),
        ("a.csv", None, "id;Start Time;job\n7;\"2026-11-27 08:00:24,250\";a\n", vec![0]),
        ("a.csv", None, "sep=;\r\nid;time\r\n7;1.5\r\n", vec![1_500_000]),
        (
            "a.csv",
            None,
            "id\tcreated_at\n7\t2026-11-27 08:00:24+00\n8\t2026-11-27 10:00:24+01\n",
            vec![0, 3_600_000_000],
        ),
        ("a.csv", None, "id,time,created_at\n7,3,2026-11-27 08:00:24\n", vec![3_000_000]),
        ("a.csv", None, "1.5,\n0,\n", vec![0, 1_500_000]),
        ("a.jsonl", None, "{\"id\":7,\"created_at\":\"2026-11-27 08:00:24\"}\n", vec![0]),
    ] {
        let trace = read(&raw(file, column), text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(*trace.offsets_us, expected, "{text}");
        assert!(trace.problems(Duration::from_secs(10)).is_empty() && trace.rows.is_none());
    }
    let epoch = RawTrace { numbers: Numbers::EpochMilliseconds, ..raw("a.csv", None) };
    let trace = read(&epoch, "timestamp\n1795766424500\n1795766424000\n").expect("it reads");
    assert_eq!(*trace.offsets_us, [0, 500_000]);
}

#[test]
fn a_bad_trace_names_its_line() {
    let many = "0\n".repeat(MOST_ROWS + 1);
    for (file, column, text, line, words) in [
        ("a.parquet", None, "1", 0, "ends in"),
        ("a", None, "1", 0, "ends in"),
        ("a.csv", None, "", 0, "no row"),
        ("a.csv", None, "time\n", 0, "no row"),
        ("a.csv", None, "1\ntwo\n", 2, "`two` is not a time: a time is"),
        ("a.csv", None, "1\ntwo\n3\nfour\nfive\n", 2, "`two` is not a time"),
        ("a.csv", None, "1\ntwo\n3\nfour\nfive\n", 2, "(and 2 more lines are like that)"),
        ("a.csv", None, "1O.5\n2\n", 1, "`1O.5` is not a time"),
        ("a.csv", None, "1\n\n-2\n", 3, "`-2`"),
        ("a.csv", None, "1\nNaN\n", 2, "`NaN`"),
        ("a.csv", None, "inf\n", 1, "`inf`"),
        ("a.csv", None, "1\n2026-11-24T12:00:00Z\n", 2, "line 1 has a number of seconds"),
        ("a.csv", None, "2026-11-24 12:00:00\n2026-11-24 12:00:00Z\n", 2, "all rows of a trace are of one kind"),
        ("a.csv", None, "time\n03/04/2026 08:00\n", 2, "2026-04-03 with the day first"),
        ("a.csv", Some("at"), "time,job\n1,a\n", 1, "no column `at`; the header has `time`, `job`"),
        ("a.csv", Some("at"), "job,at\na\n", 2, "the row has 1 columns, and column 2 is needed"),
        ("a.csv", None, "id,time2\n1,2\n", 1, "none of the columns `id`, `time2` has a name such as `time`"),
        ("a.csv", None, "start_time;created_at\n1;2\n", 1, "`start_time`, `created_at` may all be the time"),
        ("a.csv", None, "7,2026-11-24T12:00:00Z\n", 1, "2 columns and no header"),
        ("a.csv", None, &many, MOST_ROWS as u64 + 1, "1000000 rows"),
        ("a.jsonl", None, "1\n{\"on\": 1}", 2, "none of the fields `on` has a name such as `time`"),
        ("a.jsonl", None, "{\"time\": 1}\n{\"on\": 1}", 2, "no field `time`"),
        ("a.jsonl", None, "{\"time\": null}", 1, "no field `time`"),
        ("a.jsonl", None, "{\"time\": true}", 1, "a number, a text or an object"),
        ("a.json", None, "[1, 2]", 1, "a JSON array is not read"),
        ("a.jsonl", None, "1\n{", 2, "no JSON"),
    ] {
        let errors = read(&raw(file, column), text).expect_err(words);
        let is_there = |error: &TraceError| error.line == line && error.message.contains(words);
        assert!(errors.iter().any(is_there), "{errors:?} instead of {line}: {words}");
    }
    for (bytes, line, words) in [(&b"1\n\xff\xfe\n"[..], 2, "UTF-8"), (b"\xff\xfe1\0", 0, "UTF-16")] {
        let errors = raw("a.csv", None).read(bytes, None).expect_err("it is not UTF-8");
        assert!(errors[0].line == line && errors[0].message.contains(words), "{errors:?}");
    }
}

fn columns(text: &str) -> RawTrace {
    let columns = serde_json::from_str(text).expect(text);
    RawTrace { columns: Some(columns), ..raw("a.csv", None) }
}

#[test]
fn rows_say_what_they_launch() {
    let raw = columns(
        r#"{"job":"job","tags":{"team":"owner"},"runConfig":{"ops.load.config.day":"day","ops.load.config.n":"n"}}"#,
    );
    let text = "time,job,owner,day,n\n2,slow_job,data,2026-11-27,\n1,fast_job,,,7\n3,slow_job,data,2026-11-27,\n";
    let reading = raw.read(text.as_bytes(), Some(&["fast_job", "slow_job"])).expect("it reads");
    assert_eq!(reading.unused_job, None);
    let rows = reading.trace.rows.as_ref().expect("rows");
    assert_eq!(*rows.of, [1, 0, 0], "in the order of their times");
    assert_eq!(
        serde_json::to_value(&rows.kinds).expect("JSON"),
        json!([
            { "job": "slow_job", "tags": { "team": "data" }, "runConfig": { "ops": { "load": { "config": { "day": "2026-11-27" } } } } },
            { "job": "fast_job", "runConfig": { "ops": { "load": { "config": { "n": "7" } } } } },
        ]),
        "a cell is a text"
    );
    let own = json!({ "ops": { "load": { "config": { "day": "never", "dry": true } } }, "loggers": {} });
    assert_eq!(
        rows.kinds[0].run_config_in(&own),
        json!({ "ops": { "load": { "config": { "day": "2026-11-27", "dry": true } } }, "loggers": {} })
    );
    let kept = serde_json::to_string(&reading.trace).expect("JSON");
    assert_eq!(serde_json::from_str::<Trace>(&kept).expect("a trace"), reading.trace);

    let lines = RawTrace { file: "a.jsonl".to_owned(), ..raw.clone() };
    let text = "{\"time\":1,\"job\":\"fast_job\",\"n\":7}\n{\"time\":2,\"job\":\"fast_job\",\"owner\":3}\n";
    let reading = lines.read(text.as_bytes(), None).expect("it reads");
    let kinds = serde_json::to_value(&reading.trace.rows.expect("rows").kinds).expect("JSON");
    assert_eq!(
        kinds,
        json!([
            { "job": "fast_job", "runConfig": { "ops": { "load": { "config": { "n": 7 } } } } },
            { "job": "fast_job", "tags": { "team": "3" } },
        ]),
        "a field of JSON keeps its type"
    );
}

#[test]
fn unknown_jobs_and_columns_are_named_with_their_lines() {
    let by_weight = raw("a.csv", None);
    let raw = columns(r#"{"job":"job"}"#);
    let text = "time,job\n1,fast_job\n2,fast_jb\n3,\n4,fast_jb\nx,fast_job\n";
    let errors = raw.read(text.as_bytes(), Some(&["fast_job"])).expect_err("three mistakes");
    let told: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.line, error.message)).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], "3: `fast_jb` is none of the phase's jobs: `fast_job` (and one more line is like that)");
    assert_eq!(told[1], "4: the row names no job");
    assert!(told[2].starts_with("6: `x` is not a time"), "{told:?}");
    let reading = by_weight.read(text.replace("x,", "5,").as_bytes(), None).expect("it reads");
    assert_eq!(reading.unused_job.as_deref(), Some("job"));

    for (text, words) in [
        (r#"{"time":"a"}"#, "no column `a`"),
        (r#"{"tags":{"team":"owner"}}"#, "no column `owner`; the header has `time`, `job`"),
    ] {
        let errors = columns(text).read(b"time,job\n1,a\n", None).expect_err(words);
        assert!(errors[0].line == 1 && errors[0].message.contains(words), "{errors:?}");
    }
    for (text, words) in [
        (r#"{"runConfig":{"ops..a":"a"}}"#, "is no field of a run config"),
        (r#"{"runConfig":{"ops":"a","ops.b":"b"}}"#, "cannot be set beside another"),
    ] {
        assert!(columns(text).problems()[0].1.contains(words), "{text}");
    }
    let both = RawTrace { column: Some("a".to_owned()), ..columns(r#"{"time":"a"}"#) };
    assert_eq!(both.problems().len(), 1);
}

#[test]
fn a_trace_plays_faster_and_ends_with_its_phase() {
    let mut trace = read(&raw("a.csv", None), "0\n3\n10\n20").expect("it reads");
    let count = |trace: &Trace, seconds| trace.instants(Duration::from_secs(seconds)).count();
    assert_eq!((count(&trace, 10), count(&trace, 11)), (2, 3));
    assert_eq!(trace.cut(Duration::from_secs(10)), Some((2, Duration::from_secs(20))));
    assert_eq!(trace.cut(Duration::from_secs(21)), None);
    trace.speed = 2.0;
    assert_eq!(trace.instants(Duration::from_secs(9)).collect::<Vec<_>>(), [0, 1_500_000, 5_000_000]);
    assert_eq!(trace.cut(Duration::from_secs(10)), Some((1, Duration::from_secs(10))));
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        trace.speed = speed;
        assert_eq!(trace.problems(Duration::from_secs(9))[0].0, "speed");
    }
    let late = read(&raw("a.csv", None), "10\n").expect("it reads");
    assert_eq!(late.problems(Duration::from_secs(10))[0].0, "file", "no row is inside the phase");
}

#[test]
fn a_trace_survives_the_journal() {
    let trace = read(&raw("a.csv", None), "0\n3").expect("it reads");
    let text = serde_json::to_string(&trace).expect("it serializes");
    assert_eq!(text, r#"{"file":"a.csv","speed":1.0,"offsetsUs":[0,3000000]}"#);
    assert_eq!(serde_json::from_str::<Trace>(&text).expect("it reads"), trace);
}
