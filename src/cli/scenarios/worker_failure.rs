//! `dagstorm run worker-failure`: a share of the workers is stopped, again and again.

use clap::Args;

use super::{
    Lacks,
    basics::{Basics, Defaults, Own, Shipped, defaults_to, scenario},
    place::Guard,
    scale::instants,
};
use crate::cli::draft::{Draft, value};

/// While the load goes on, a share of the workers' ECS tasks is stopped, again and again.
///
/// It needs the role `workers` of the Target. The Target's guard has the last word on how many tasks are stopped.
#[derive(Debug, Args)]
#[command(
    mut_arg("rate", defaults_to(DEFAULTS.rate)),
    mut_arg("length", defaults_to(DEFAULTS.length)),
    mut_arg("mix", defaults_to(MIX)),
    mut_arg("seed", defaults_to(DEFAULTS.seed)),
    mut_arg("quiet", defaults_to(DEFAULTS.quiet)),
    after_help = "Examples:
  dagstorm run worker-failure --target target.yaml --pick one --kills 2
  dagstorm run worker-failure --target target.yaml --for 10m --kill-after 2m --kill-every 2m --kills 3
  dagstorm run worker-failure --location demo --cluster demo --workers taskiq-worker --print"
)]
pub struct Arguments {
    /// How many tasks are stopped at once: one, all, a number, or a share as in 30% (rounded up)
    #[arg(long, value_name = "AMOUNT", default_value = PICK, help_heading = "Kills")]
    pick: String,
    /// From the start to the first kill [default: 8m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Kills")]
    kill_after: Option<String>,
    /// From one kill to the next; at least 1s [default: 5m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Kills")]
    kill_every: Option<String>,
    /// How many times; the last one before the load's end
    #[arg(long, value_name = "NUMBER", default_value = KILLS, help_heading = "Kills")]
    kills: String,
    #[command(flatten)]
    pub guard: Guard,
    #[command(flatten)]
    pub basics: Basics,
}

const DEFAULTS: Defaults = Defaults { rate: "3/min", length: "30m", seed: "11", quiet: "10m" };
const MIX: &str = "fast_job=50%,slow_job=50%";
const PICK: &str = "30%";
const KILLS: &str = "4";
pub const THRESHOLDS: &[Shipped] = &[Shipped {
    metric: "recoveryTime",
    conditions: &["max < 5m"],
    remark: "from the stop until the service runs as many tasks as it wants again",
}];

impl Arguments {
    pub fn draft(&self, target: &str, lacks: Lacks) -> Draft {
        let basics = &self.basics;
        let after = basics.time(self.kill_after.as_ref(), 8, 30, "8m");
        let every = basics.time(self.kill_every.as_ref(), 5, 30, "5m");
        let draft = self.flags(&after, &every);
        let when = instants(&after, &every, self.kills.parse().unwrap_or(0));
        let body = format!(
            "  load:
    - name: base
      for: {}
      arrivals: {{ constant: {{ rate: {} }} }}
      jobs: {}
  faults:
    - name: kill
      after: {}
      repeat: {{ every: {}, times: {} }}{}
      # A share is rounded up; the Target's guard has the last word. Busy workers that protect themselves are stopped too.
      stopTasks: {{ service: workers, pick: {}, includeProtected: true }}
",
            value(&basics.length),
            value(&basics.rate),
            basics.jobs(),
            value(&after),
            value(&every),
            value(&self.kills),
            if when.is_empty() { String::new() } else { format!(" # at {when}") },
            value(&self.pick),
        );
        let own = Own {
            name: "worker-failure",
            suite: "faults",
            head: "Worker failure: while the load goes on, some of the workers' ECS tasks are stopped, again and again.",
            body,
            defaults: &DEFAULTS,
            thresholds: THRESHOLDS,
        };
        basics.finish(draft, &own, target, lacks)
    }

    fn flags(&self, after: &str, every: &str) -> Draft {
        let mut draft = scenario();
        let rate = "spec.load[0].arrivals.constant.rate";
        draft.flag_or_default(rate, "--rate", DEFAULTS.rate, self.basics.rate == DEFAULTS.rate);
        let at = |field: &str| format!("spec.faults[0].{field}");
        draft.flag_or_default(&at("after"), "--kill-after", after, self.kill_after.is_none());
        draft.flag_or_default(&at("repeat.every"), "--kill-every", every, self.kill_every.is_none());
        draft.flag_or_default(&at("repeat.times"), "--kills", KILLS, self.kills == KILLS);
        draft.flag(&at("repeat"), format!("--kill-after, --kill-every and --kills ({after}, {every}, {})", self.kills));
        draft.flag_or_default(&at("stopTasks.pick"), "--pick", PICK, self.pick == PICK);
        draft
    }
}
