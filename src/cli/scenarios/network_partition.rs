//! `dagstorm run network-partition`: the workers are cut off from a peer, for a while.

use clap::Args;

use super::{
    Lacks,
    basics::{Basics, Defaults, Own, Shipped, defaults_to, scenario},
    place::{Guard, Path},
    scale::instants,
};
use crate::cli::draft::{Draft, text, value};

/// While the load goes on, the workers are cut off from SQS (or another peer) for a while.
///
/// It needs `network.workers` and the peer in the Target. How the rules were is recorded before they are changed, and
/// they are put back afterwards, also if dagstorm is killed meanwhile.
#[derive(Debug, Args)]
#[command(
    mut_arg("rate", defaults_to(DEFAULTS.rate)),
    mut_arg("length", defaults_to(DEFAULTS.length)),
    mut_arg("mix", defaults_to(MIX)),
    mut_arg("seed", defaults_to(DEFAULTS.seed)),
    mut_arg("quiet", defaults_to(DEFAULTS.quiet)),
    after_help = "Examples:
  dagstorm run network-partition --target target.yaml --cut-for 1m
  dagstorm run network-partition --target target.yaml --for 10m --peer postgres --cut hard --cuts 1
  dagstorm run network-partition --location demo --workers-group sg-workers --peer-at sg-endpoints:443 --print"
)]
pub struct Arguments {
    /// What the workers are cut off from: a name among the Target's `network.peers`
    #[arg(long, value_name = "NAME", default_value = PEER, help_heading = "Cut")]
    pub peer: String,
    /// newConnections leaves established connections alone, as security groups do; hard stalls them too
    #[arg(long, value_name = "HOW", default_value = CUT, help_heading = "Cut")]
    cut: String,
    /// From the start to the first cut [default: 8m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Cut")]
    cut_after: Option<String>,
    /// How long a cut lasts; at least 1s [default: 3m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Cut")]
    cut_for: Option<String>,
    /// From one cut to the next; longer than --cut-for [default: 10m of 30m]
    #[arg(long, value_name = "DURATION", help_heading = "Cut")]
    cut_every: Option<String>,
    /// How many times; the last one is over before the load's end
    #[arg(long, value_name = "NUMBER", default_value = CUTS, help_heading = "Cut")]
    cuts: String,
    #[command(flatten)]
    pub path: Path,
    #[command(flatten)]
    pub guard: Guard,
    #[command(flatten)]
    pub basics: Basics,
}

const DEFAULTS: Defaults = Defaults { rate: "4/min", length: "30m", seed: "13", quiet: "10m" };
const MIX: &str = "fast_job=70%,slow_job=20%,mixed_job=10%";
const PEER: &str = "sqs";
const CUT: &str = "newConnections";
const CUTS: &str = "2";
pub const THRESHOLDS: &[Shipped] = &[Shipped {
    metric: "recoveryTime",
    conditions: &["max < 8m"],
    remark: "from the cut, so the time of the cut is in it",
}];

impl Arguments {
    pub fn draft(&self, target: &str, lacks: Lacks) -> Draft {
        let basics = &self.basics;
        let after = basics.time(self.cut_after.as_ref(), 8, 30, "8m");
        let length = basics.time(self.cut_for.as_ref(), 3, 30, "3m");
        let every = basics.time(self.cut_every.as_ref(), 10, 30, "10m");
        let draft = self.flags(&after, &length, &every);
        let when = instants(&after, &every, self.cuts.parse().unwrap_or(0));
        let body = format!(
            "  load:
    - name: base
      for: {}
      arrivals: {{ constant: {{ rate: {} }} }}
      jobs: {}
  faults:
    - name: cut
      after: {}
      for: {} # then it is healed
      repeat: {{ every: {}, times: {} }}{}
      partition: {{ between: workers, and: {}, cut: {} }}
",
            value(&basics.length),
            value(&basics.rate),
            basics.jobs(),
            value(&after),
            value(&length),
            value(&every),
            value(&self.cuts),
            if when.is_empty() { String::new() } else { format!(" # at {when}") },
            text(&self.peer),
            value(&self.cut),
        );
        let own = Own {
            name: "network-partition",
            suite: "faults",
            head: "Network partition: while the load goes on, the workers are cut off from a peer, for a while.",
            body,
            defaults: &DEFAULTS,
            thresholds: THRESHOLDS,
        };
        basics.finish(draft, &own, target, lacks)
    }

    fn flags(&self, after: &str, length: &str, every: &str) -> Draft {
        let mut draft = scenario();
        let rate = "spec.load[0].arrivals.constant.rate";
        draft.flag_or_default(rate, "--rate", DEFAULTS.rate, self.basics.rate == DEFAULTS.rate);
        let at = |field: &str| format!("spec.faults[0].{field}");
        draft.flag_or_default(&at("after"), "--cut-after", after, self.cut_after.is_none());
        draft.flag_or_default(&at("for"), "--cut-for", length, self.cut_for.is_none());
        draft.flag_or_default(&at("repeat.every"), "--cut-every", every, self.cut_every.is_none());
        draft.flag_or_default(&at("repeat.times"), "--cuts", CUTS, self.cuts == CUTS);
        draft.flag(&at("repeat"), format!("--cut-after, --cut-every and --cuts ({after}, {every}, {})", self.cuts));
        draft.flag_or_default(&at("partition.and"), "--peer", PEER, self.peer == PEER);
        draft.flag_or_default(&at("partition.cut"), "--cut", CUT, self.cut == CUT);
        draft
    }
}
