//! `dagstorm run burst-load`: spikes of five times the base.

use clap::Args;

use super::{
    Lacks,
    basics::{Basics, Defaults, Own, Shipped, defaults_to, scenario},
};
use crate::cli::draft::{Draft, value};

/// A base with spikes of five times its rate: does the autoscaler follow?
#[derive(Debug, Args)]
#[command(
    mut_arg("rate", defaults_to(DEFAULTS.rate)),
    mut_arg("length", defaults_to(DEFAULTS.length)),
    mut_arg("mix", defaults_to(MIX)),
    mut_arg("seed", defaults_to(DEFAULTS.seed)),
    mut_arg("quiet", defaults_to(DEFAULTS.quiet)),
    after_help = "Examples:
  dagstorm run burst-load --target target.yaml --rate 4/min --peak 40/min --spike-for 30s
  dagstorm run burst-load --target target.yaml --for 5m --mix fast_job --threshold 'runLatency=p95 < 2m'
  dagstorm run burst-load --print | dagstorm validate -"
)]
pub struct Arguments {
    /// The rate of a spike [default: five times --rate]
    #[arg(long, value_name = "RATE", help_heading = "Spikes")]
    peak: Option<String>,
    /// From the start to the first spike [default: 5m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Spikes")]
    spike_after: Option<String>,
    /// How long a spike lasts [default: 2m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Spikes")]
    spike_for: Option<String>,
    /// From one spike to the next; at least --spike-after and --spike-for together [default: 10m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Spikes")]
    spike_every: Option<String>,
    #[command(flatten)]
    pub basics: Basics,
}

const DEFAULTS: Defaults = Defaults { rate: "4/min", length: "30m", seed: "5", quiet: "8m" };
const MIX: &str = "fast_job=85%,parallel_fast_job=10%,slow_job=5%";
pub const THRESHOLDS: &[Shipped] = &[
    Shipped { metric: "runLatency", conditions: &["p95 < 15m"], remark: "from the intended instant to the run's end" },
    Shipped { metric: "workers", conditions: &["max >= 4"], remark: "the autoscaler did answer" },
    Shipped { metric: "queueDepth", conditions: &["max < 200"], remark: "" },
];

impl Arguments {
    pub fn draft(&self, target: &str, lacks: Lacks) -> Draft {
        let basics = &self.basics;
        let peak = basics.times_the_rate(self.peak.as_ref(), 5.0, "20/min");
        let after = basics.time(self.spike_after.as_ref(), 5, 30, "5m");
        let length = basics.time(self.spike_for.as_ref(), 2, 30, "2m");
        let every = basics.time(self.spike_every.as_ref(), 10, 30, "10m");
        let mut draft = scenario();
        let at = |field: &str| format!("spec.load[0].arrivals.spike{field}");
        draft.flag_or_default(&at(".base"), "--rate", DEFAULTS.rate, basics.rate == DEFAULTS.rate);
        draft.flag_or_default(&at(".peak"), "--peak", &peak, self.peak.is_none());
        draft.flag_or_default(&at(".after"), "--spike-after", &after, self.spike_after.is_none());
        draft.flag_or_default(&at(".for"), "--spike-for", &length, self.spike_for.is_none());
        draft.flag_or_default(&at(".every"), "--spike-every", &every, self.spike_every.is_none());
        let body = format!(
            "  load:
    - name: spikes
      for: {}
      arrivals: {{ spike: {{ base: {}, peak: {}, after: {}, for: {}, every: {} }} }}
      jobs: {}
",
            value(&basics.length),
            value(&basics.rate),
            value(&peak),
            value(&after),
            value(&length),
            value(&every),
            basics.jobs(),
        );
        let own = Own {
            name: "burst-load",
            suite: "basic",
            head: "Burst load: the rate is `base`, and `peak` for a while, again and again.",
            body,
            defaults: &DEFAULTS,
            thresholds: THRESHOLDS,
        };
        basics.finish(draft, &own, target, lacks)
    }
}
