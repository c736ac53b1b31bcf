//! `dagstorm run mixed-workload`: all jobs at once, in phases that overlap.

use clap::Args;

use super::{
    Lacks,
    basics::{Basics, Defaults, Own, Shipped, defaults_to, scenario},
};
use crate::cli::draft::{Draft, value};

/// Several jobs at once, in phases that overlap: a base, a schedule, people, and a backfill.
///
/// --rate is the rate of the base. The people start 1.5 times as many runs, the backfill goes from as many to four times
/// as many. With --mix all phases launch these jobs; without, each has a mix of its own.
#[derive(Debug, Args)]
#[command(
    mut_arg("rate", defaults_to(DEFAULTS.rate)),
    mut_arg("length", defaults_to(DEFAULTS.length)),
    mut_arg("seed", defaults_to(DEFAULTS.seed)),
    mut_arg("quiet", defaults_to(DEFAULTS.quiet)),
    after_help = "Examples:
  dagstorm run mixed-workload --target target.yaml --for 10m
  dagstorm run mixed-workload --target target.yaml --mix fast_job=3,slow_job=1 --schedule-size 10
  dagstorm run mixed-workload --print > scenario.yaml"
)]
pub struct Arguments {
    /// Runs that start at once, on schedule
    #[arg(long, value_name = "NUMBER", default_value = "2", help_heading = "Phases")]
    schedule_size: String,
    /// From one instant of the schedule to the next [default: 10m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Phases")]
    schedule_every: Option<String>,
    /// The mean rate at which people start runs [default: 1.5 times --rate]
    #[arg(long, value_name = "RATE", help_heading = "Phases")]
    people: Option<String>,
    /// The last and highest rate of the backfill [default: four times --rate]
    #[arg(long, value_name = "RATE", help_heading = "Phases")]
    backfill: Option<String>,
    #[command(flatten)]
    pub basics: Basics,
}

const DEFAULTS: Defaults = Defaults { rate: "2/min", length: "30m", seed: "3", quiet: "8m" };
pub const THRESHOLDS: &[Shipped] =
    &[Shipped { metric: "runLatency", conditions: &["p50 < 10m", "p95 < 30m"], remark: "" }];

/// What each phase launches if no mix is given.
const BASE: &str = " { fast_job: 60%, slow_job: 20%, mixed_job: 20% }";
const SCHEDULE: &str = "
        - job: sequential_slow_job # three slow steps, one after another
        - job: mixed_job
          weight: 2 # drawn twice as often as an entry without a weight (1)
          tags: { trigger: schedule } # tags of your own on these runs
          runConfig: # what you would type into Dagster's launchpad
            loggers: { console: { config: { log_level: WARNING } } }";
const PEOPLE: &str = " { fast_job: 3, parallel_fast_job: 1 }";
const BACKFILL: &str = " { fast_job: 1 }";
const HEAD: &str = "Mixed workload: several jobs at once, in phases that overlap, each with a shape of its own.

  base      ##############################    constant   weighted jobs
  schedule  #         #         #             burst      what a schedule starts
  people         ....................         poisson    people start runs by hand: irregular
  backfill            --==##@@                stairs     a backfill that is turned up step by step";

impl Arguments {
    pub fn draft(&self, target: &str, lacks: Lacks) -> Draft {
        let basics = &self.basics;
        let own_mix = basics.mix.is_empty();
        let jobs = |shipped: &str| if own_mix { shipped.to_owned() } else { format!(" {}", basics.jobs()) };
        let part = |part: u32, otherwise: &str| value(&basics.time(None, part, 30, otherwise));
        let every = basics.time(self.schedule_every.as_ref(), 10, 30, "10m");
        let people = basics.times_the_rate(self.people.as_ref(), 1.5, "3/min");
        let backfill = basics.times_the_rate(self.backfill.as_ref(), 4.0, "8/min");
        let draft = self.flags(&every, &people, &backfill);
        let (length, rate) = (value(&basics.length), value(&basics.rate));
        let body = format!(
            "  load:
    - name: base
      for: {length}
      arrivals: {{ constant: {{ rate: {rate} }} }}
      jobs:{}

    - name: schedule
      for: {length}
      arrivals: {{ burst: {{ size: {}, every: {} }} }}
      jobs:{}

    - name: people
      after: {}
      for: {}
      arrivals: {{ poisson: {{ rate: {} }} }} # on average; the gaps come from the seed
      jobs:{}

    - name: backfill
      after: {}
      for: {}
      arrivals: {{ stairs: {{ from: {rate}, to: {}, steps: 4 }} }} # four levels of equal length
      jobs:{}
",
            jobs(BASE),
            value(&self.schedule_size),
            value(&every),
            jobs(SCHEDULE),
            part(5, "5m"),
            part(20, "20m"),
            value(&people),
            jobs(PEOPLE),
            part(10, "10m"),
            part(8, "8m"),
            value(&backfill),
            jobs(BACKFILL),
        );
        let own = Own {
            name: "mixed-workload",
            suite: "basic",
            head: HEAD,
            body,
            defaults: &DEFAULTS,
            thresholds: THRESHOLDS,
        };
        basics.finish(draft, &own, target, lacks)
    }

    fn flags(&self, every: &str, people: &str, backfill: &str) -> Draft {
        let (length, rate) = (&self.basics.length, &self.basics.rate);
        let mut draft = scenario();
        draft.flag_or_default("spec.load[0].arrivals", "--rate", DEFAULTS.rate, rate == DEFAULTS.rate);
        draft.flag_or_default("spec.load[1].arrivals.burst.size", "--schedule-size", "2", self.schedule_size == "2");
        let is_default = self.schedule_every.is_none();
        draft.flag_or_default("spec.load[1].arrivals.burst.every", "--schedule-every", every, is_default);
        draft.flag_or_default("spec.load[2].arrivals", "--people", people, self.people.is_none());
        draft.flag_or_default("spec.load[3].arrivals", "--backfill", backfill, self.backfill.is_none());
        draft.flag_or_default("spec.load[3].arrivals.stairs.from", "--rate", DEFAULTS.rate, rate == DEFAULTS.rate);
        for phase in 1..4 {
            let is_default = length == DEFAULTS.length;
            draft.flag_or_default(&format!("spec.load[{phase}].for"), "--for", DEFAULTS.length, is_default);
            draft.flag(&format!("spec.load[{phase}].jobs"), "--mix");
        }
        draft
    }
}
