//! How long a plan of a million arrivals takes, and how much memory: `cargo bench --bench plan_million`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may fail loudly")]

use std::{fmt::Write, fs, hint::black_box, time::Instant};

use dagstorm::{
    load::{Arrivals, RawTrace},
    model::GenerationId,
    plan,
    spec::{Manifest, Scenario, load, no_attachments},
};

const SHAPES: &[(&str, &[&str])] = &[
    ("constant", &["{ constant: { rate: 100/s } }"]),
    ("ramp", &["{ ramp: { from: 0/s, to: 200/s } }"]),
    ("stairs", &["{ stairs: { from: 10/s, to: 190/s, steps: 10 } }"]),
    ("poisson", &["{ poisson: { rate: 99/s } }"]),
    ("burst", &["{ burst: { size: 1000, every: 10s } }"]),
    ("spike", &["{ spike: { base: 50/s, peak: 550/s, after: 30s, for: 10s, every: 100s } }"]),
    ("diurnal", &["{ diurnal: { low: 1/s, high: 199/s, period: 2000s } }"]),
    (
        "four at once",
        &[
            "{ constant: { rate: 25/s } }",
            "{ poisson: { rate: 24/s } }",
            "{ diurnal: { low: 1/s, high: 49/s, period: 2000s } }",
            "{ ramp: { from: 0/s, to: 50/s } }",
        ],
    ),
    // Last: what reading it leaves free hides how much a plan needs. Its shape is put in below.
    ("trace", &["{ constant: { rate: 1/h } }"]),
];

fn main() {
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>14}{:>12}",
        "shape", "arrivals", "plan ms", "walk ms", "arrivals/s", "peak MB"
    );
    for (name, phases) in SHAPES {
        let mut scenario = scenario(phases);
        if *name == "trace" {
            scenario.spec.load[0].arrivals = trace();
        }
        let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
        peak_kb();
        let before = peak_kb();
        let begin = Instant::now();
        let plan = plan::compile(&scenario, &generation);
        let planned = begin.elapsed();
        let begin = Instant::now();
        assert_eq!(plan.arrivals.from(0).map(black_box).count() as u32, plan.arrivals.len());
        let walked = begin.elapsed();
        println!(
            "{name:<14}{:>10}{:>10.0}{:>10.0}{:>14.0}{:>12.1}",
            plan.arrivals.len(),
            planned.as_secs_f64() * 1e3,
            walked.as_secs_f64() * 1e3,
            f64::from(plan.arrivals.len()) / planned.as_secs_f64(),
            peak_kb().saturating_sub(before) as f64 / 1024.0,
        );
    }
}

fn scenario(phases: &[&str]) -> Scenario {
    let head = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: million }\n";
    let mut text = format!("{head}spec:\n  target: local\n  seed: 7\n  load:\n");
    for (number, shape) in phases.iter().enumerate() {
        let jobs = "{ fast_job: 70%, slow_job: 30% }";
        writeln!(text, "    - {{ name: p{number}, for: 10000s, arrivals: {shape}, jobs: {jobs} }}").unwrap();
    }
    match load("bench.yaml", text.as_bytes(), &no_attachments).remove(0).content {
        Ok(Manifest::Scenario(scenario)) => *scenario,
        other => panic!("not a scenario: {other:?}"),
    }
}

fn trace() -> Arrivals {
    let mut text = String::from("time\n");
    for row in 0..1_000_000 {
        writeln!(text, "{}", f64::from(row) * 0.01).unwrap();
    }
    let raw: RawTrace = serde_json::from_str(r#"{"file":"bench.csv"}"#).unwrap();
    Arrivals::Trace(raw.read(text.as_bytes(), None).unwrap().trace)
}

/// The most memory that was resident since the last call, which begins anew here where the system allows it.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    // Linux sets the peak back to what is resident now.
    let _ = fs::write("/proc/self/clear_refs", "5");
    peak
}
