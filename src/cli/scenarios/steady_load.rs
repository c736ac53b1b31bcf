//! `dagstorm run steady-load`: an even pace, nothing is broken.

use clap::Args;

use super::{
    Lacks,
    basics::{Basics, Defaults, Own, Shipped, defaults_to, scenario},
};
use crate::cli::draft::{Draft, value};

/// An even pace, nothing is broken: the baseline that the others are compared with.
#[derive(Debug, Args)]
#[command(
    mut_arg("rate", defaults_to(DEFAULTS.rate)),
    mut_arg("length", defaults_to(DEFAULTS.length)),
    mut_arg("mix", defaults_to(MIX)),
    mut_arg("seed", defaults_to(DEFAULTS.seed)),
    mut_arg("quiet", defaults_to(DEFAULTS.quiet)),
    after_help = "Examples:
  dagstorm run steady-load --target target.yaml --rate 6/min --for 5m --mix fast_job=70,slow_job=30
  dagstorm run steady-load --dagster-url http://127.0.0.1:3000/graphql --location demo --mix fast_job
  dagstorm run steady-load --rate 2/s --print > scenario.yaml"
)]
pub struct Arguments {
    #[command(flatten)]
    pub basics: Basics,
}

const DEFAULTS: Defaults = Defaults { rate: "6/min", length: "20m", seed: "7", quiet: "8m" };
const MIX: &str = "fast_job=90%,slow_job=10%";
pub const THRESHOLDS: &[Shipped] = &[
    Shipped { metric: "runLatency", conditions: &["p95 < 10m"], remark: "from the intended instant to the run's end" },
    Shipped { metric: "submissionErrors", conditions: &["count < 1"], remark: "" },
];

impl Arguments {
    pub fn draft(&self, target: &str, lacks: Lacks) -> Draft {
        let basics = &self.basics;
        let mut draft = scenario();
        let rate = "spec.load[0].arrivals.constant.rate";
        draft.flag_or_default(rate, "--rate", DEFAULTS.rate, basics.rate == DEFAULTS.rate);
        let body = format!(
            "  load:
    - name: base
      for: {}
      arrivals: {{ constant: {{ rate: {} }} }} # evenly, the first at once
      jobs: {}
",
            value(&basics.length),
            value(&basics.rate),
            basics.jobs(),
        );
        let own = Own {
            name: "steady-load",
            suite: "basic",
            head: "Steady load: an even pace, nothing is broken.",
            body,
            defaults: &DEFAULTS,
            thresholds: THRESHOLDS,
        };
        basics.finish(draft, &own, target, lacks)
    }
}
