//! The flags that all ready-made scenarios have, and the frame of the manifest that they make.

use std::fmt::Write;

use clap::{Arg, Args};

use super::{
    Lacks,
    place::Place,
    scale::{multiple, share},
};
use crate::{
    cli::draft::{Draft, text, value},
    spec::Kind,
};

/// Flags of every ready-made scenario. What a scenario's defaults are it says itself.
#[derive(Debug, Args)]
pub struct Basics {
    /// How fast runs are launched: a number and /s, /min, /h or /d
    #[arg(long, value_name = "RATE")]
    pub rate: String,
    /// How long the load lasts, as in 90s, 5m or 1h30m. Other times that are not given keep their share of it
    #[arg(long = "for", value_name = "DURATION")]
    pub length: String,
    /// Which jobs are launched, with their weights; they need no run config, and the weights need not add up to 100
    #[arg(long, value_name = "JOB=WEIGHT,…")]
    pub mix: Vec<String>,
    /// Every random choice comes from it: the same seed is the same load
    #[arg(long, value_name = "NUMBER")]
    pub seed: String,
    /// How long nothing may have happened before the records are audited; longer than the longest step
    #[arg(long, value_name = "DURATION")]
    pub quiet: String,
    /// What must hold of every run and step: exactlyOnce, atLeastOnce or atMostOnce
    #[arg(long, value_name = "CONTRACT", default_value = CONTRACT)]
    pub contract: String,
    /// Instead of the scenario's own thresholds, as in `runLatency=p95 < 10m`; may be repeated; `none` for none
    #[arg(long = "threshold", value_name = "METRIC=CONDITION")]
    pub thresholds: Vec<String>,
    /// Most runs that are under way at once; arrivals beyond it are dropped [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    max_in_flight: Option<String>,
    /// A load of more runs than this is refused [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    max_runs: Option<String>,
    /// So long after the start unfinished runs are waited for no longer [default: no limit]
    #[arg(long, value_name = "DURATION")]
    max_duration: Option<String>,
    /// The scenario's name: of its status, its report and the tags of its runs [default: that of the command]
    #[arg(long)]
    name: Option<String>,
    /// Show the manifest that these flags mean, and do nothing
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    pub place: Place,
}

const CONTRACT: &str = "exactlyOnce";
const NO_THRESHOLDS: &str = "none";

/// What a scenario is without any flag.
#[derive(Debug)]
pub struct Defaults {
    pub rate: &'static str,
    pub length: &'static str,
    pub seed: &'static str,
    pub quiet: &'static str,
}

/// A threshold of a shipped scenario.
#[derive(Debug)]
pub struct Shipped {
    pub metric: &'static str,
    pub conditions: &'static [&'static str],
    pub remark: &'static str,
}

/// What is a scenario's own in its manifest.
#[derive(Debug)]
pub struct Own {
    pub name: &'static str,
    pub suite: &'static str,
    /// What it is, as comments.
    pub head: &'static str,
    /// The phases, and the faults after them.
    pub body: String,
    pub defaults: &'static Defaults,
    pub thresholds: &'static [Shipped],
}

/// Gives a common flag the default of one scenario.
pub fn defaults_to(value: &'static str) -> impl FnOnce(Arg) -> Arg {
    move |arg| arg.required(false).default_value(value)
}

impl Basics {
    /// The jobs as a map of YAML.
    pub fn jobs(&self) -> String {
        let joined = self.mix.join(",");
        let entries = joined.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
            let (job, weight) = entry.rsplit_once('=').unwrap_or((entry, "1"));
            format!("{}: {}", text(job.trim()), value(weight.trim()))
        });
        let entries: Vec<String> = entries.collect();
        if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
    }

    /// A time that was given, or its share of the load's length.
    pub fn time(&self, given: Option<&String>, part: u32, whole: u32, otherwise: &str) -> String {
        given.cloned().or_else(|| share(&self.length, part, whole)).unwrap_or_else(|| otherwise.to_owned())
    }

    /// A rate that was given, or so many times the base's.
    pub fn times_the_rate(&self, given: Option<&String>, factor: f64, otherwise: &str) -> String {
        given.cloned().or_else(|| multiple(&self.rate, factor)).unwrap_or_else(|| otherwise.to_owned())
    }

    /// The whole manifest. The draft knows the scenario's own flags already.
    pub fn finish(&self, mut draft: Draft, own: &Own, target: &str, lacks: Lacks) -> Draft {
        let Defaults { rate, length, seed, quiet } = own.defaults;
        draft.flag("metadata.name", "--name");
        draft.flag_or_default("spec.seed", "--seed", seed, self.seed == *seed);
        draft.flag_or_default("spec.load[0].for", "--for", length, self.length == *length);
        draft.flag("spec.load[0].jobs", "--mix");
        let is_default = self.rate == *rate && self.length == *length;
        draft.flag_or_default("spec.load", "--rate and --for", &format!("{rate}, {length}"), is_default);
        draft.flag_or_default("spec.expect.quiet", "--quiet", quiet, self.quiet == *quiet);
        draft.flag("spec.expect.contract", "--contract");
        draft.flag("spec.expect.thresholds", "--threshold");
        let mut out = String::new();
        for line in own.head.lines() {
            let _ = writeln!(out, "{}", format!("# {line}").trim_end());
        }
        let name = text(self.name.as_deref().unwrap_or(own.name));
        let _ = write!(
            out,
            "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata:
  name: {name}
  labels: {{ suite: {} }}
spec:
  target: {}
  seed: {} # the same seed draws the same jobs at the same instants
{}  expect:
    contract: {}{}
    quiet: {} # longer than the longest step: a late duplicate is still seen
{}{}",
            own.suite,
            text(target),
            value(&self.seed),
            own.body,
            value(&self.contract),
            if self.contract == CONTRACT { " # nothing lost, nothing completed twice" } else { "" },
            value(&self.quiet),
            self.thresholds(own.thresholds, lacks),
            self.limits(&mut draft),
        );
        draft.text = out;
        draft
    }

    /// One line for each threshold that the Target can only fail, and that was therefore left out.
    pub fn left_out(&self, shipped: &[Shipped], lacks: Lacks) -> Vec<String> {
        if !self.thresholds.is_empty() {
            return vec![];
        }
        let note = |shipped: &Shipped| {
            let lacking = lacking(shipped.metric, lacks)?;
            let Shipped { metric, conditions, remark: _ } = shipped;
            Some(format!("the threshold `{metric}: {}` is left out: {lacking}", conditions.join(", ")))
        };
        shipped.iter().filter_map(note).collect()
    }

    fn thresholds(&self, shipped: &[Shipped], lacks: Lacks) -> String {
        let mut out = String::new();
        if self.thresholds.is_empty() {
            for Shipped { metric, conditions, remark } in shipped {
                let conditions: Vec<String> = conditions.iter().map(|condition| text(condition)).collect();
                let line = format!("{metric}: [{}]", conditions.join(", "));
                let _ = match lacking(metric, lacks) {
                    Some(lacking) => writeln!(out, "      # {line} # left out: {lacking}"),
                    None if remark.is_empty() => writeln!(out, "      {line}"),
                    None => writeln!(out, "      {line} # {remark}"),
                };
            }
        } else if self.thresholds != [NO_THRESHOLDS] {
            let mut metrics: indexmap::IndexMap<&str, Vec<String>> = indexmap::IndexMap::new();
            for threshold in &self.thresholds {
                let (metric, condition) = threshold.split_once('=').unwrap_or((threshold, ""));
                metrics.entry(metric.trim()).or_default().push(text(condition.trim()));
            }
            for (metric, conditions) in metrics {
                let _ = writeln!(out, "      {}: [{}]", text(metric), conditions.join(", "));
            }
        }
        let has_any = out.lines().any(|line| !line.trim_start().starts_with('#'));
        let head = if has_any { "    thresholds:\n" } else { "" };
        head.to_owned() + &out
    }

    fn limits(&self, draft: &mut Draft) -> String {
        let mut fields = vec![];
        for (field, flag, given) in [
            ("maxInFlight", "--max-in-flight", &self.max_in_flight),
            ("maxRuns", "--max-runs", &self.max_runs),
            ("maxDuration", "--max-duration", &self.max_duration),
        ] {
            draft.flag(&format!("spec.limits.{field}"), flag);
            fields.extend(given.as_ref().map(|given| format!("{field}: {}", value(given))));
        }
        if fields.is_empty() { String::new() } else { format!("  limits: {{ {} }}\n", fields.join(", ")) }
    }
}

/// Why this metric has no samples on the Target.
fn lacking(metric: &str, lacks: Lacks) -> Option<&'static str> {
    match metric {
        "workers" if lacks.workers => Some("the Target names no ECS service for the role `workers`"),
        "queueDepth" | "queueAge" if lacks.queue => Some("the Target names no queue"),
        _ => None,
    }
}

/// The draft of a scenario, to which its own flags are to be added.
pub fn scenario() -> Draft {
    Draft::new(Kind::Scenario)
}
