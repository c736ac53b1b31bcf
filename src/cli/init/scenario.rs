//! The Scenario that `dagstorm init` writes: a minute of gentle load, and a fault as a comment. Pure.

use super::{choose::Choice, find::Findings};
use crate::cli::draft::{remark, text};

/// What a job is called as long as nobody has said which.
pub const SOME_JOB: &str = "your_job";

/// The job that the scenario launches, and whether it is a real one.
pub fn job(findings: &Findings) -> (&str, bool) {
    let found = findings.code.as_ref().ok();
    match found.and_then(|found| found.ready.first()) {
        Some(job) => (job, true),
        None => (SOME_JOB, false),
    }
}

/// The whole file.
pub fn render(target: &str, findings: &Findings) -> String {
    let (job, is_real) = job(findings);
    let change = if is_real { "" } else { " # a job of yours that needs no run config: change this" };
    let needs = match &findings.workers {
        Choice::One(_) => "",
        Choice::Several(_) | Choice::None(_) => " It needs `ecs` in the Target.",
    };
    format!(
        "# A first load: one run every ten seconds for a minute, nothing is broken. It really launches these runs.
# Every field: dagstorm explain scenario.spec
apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: first-load }}
spec:
  target: {}
  seed: 1 # the same seed draws the same jobs at the same instants
  load:
    - name: base
      for: 1m
      arrivals: {{ constant: {{ rate: 6/min }} }}
      jobs: {{ {}: 1 }}{change}
{}
  # To stop one of the workers after twenty seconds, take the # away.{needs}
  # faults:
  #   - {{ name: kill, after: 20s, stopTasks: {{ service: workers, pick: one }} }}

  expect:
    contract: exactlyOnce # nothing lost, nothing completed twice
    quiet: 1m # so long nothing may have happened before the records are audited: longer than your longest step
  limits: {{ maxRuns: 10 }} # a load of more runs than this is refused
",
        text(target),
        text(job),
        other_jobs(findings)
    )
}

fn other_jobs(findings: &Findings) -> String {
    let Ok(found) = &findings.code else { return String::new() };
    let list = |jobs: &[String], words: &str| match jobs {
        [] => String::new(),
        jobs => format!("      # {words}: {}\n", remark(&jobs.join(", "))),
    };
    let others = found.ready.get(1..).unwrap_or_default();
    list(others, "other jobs, which can be mixed in, as in { this: 70%, that: 30% }")
        + &list(
            &found.demanding,
            "jobs that need a run config or a partition, as in { this: { weight: 1, runConfig: { … } } }",
        )
}
