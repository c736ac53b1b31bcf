//! Thresholds and triggers as users write them: `p95 < 90s`, `queueDepth > 100`. A small typed grammar.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use super::{Metric, Unit, metric::number, schema::text_schema, time::as_string};

/// How the samples of a metric become one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// The percentile, in (0, 100).
    Percentile(f64),
    Max,
    Min,
    Mean,
    Count,
    /// The sum of the samples over the time of the scenario.
    Rate,
    Last,
}

/// A sample and what it weighs: of a gauge, the seconds that it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    pub value: f64,
    pub weight: f64,
}

impl Aggregate {
    /// The one number of these samples; percentiles are by nearest rank, so each was really measured. `elapsed` is the
    /// scenario's time in seconds. `None` without samples: absence is not zero.
    pub fn of(self, samples: Vec<f64>, elapsed: f64) -> Option<f64> {
        self.weighed(samples.into_iter().map(|value| Weighed { value, weight: 1.0 }).collect(), elapsed)
    }

    /// Likewise of samples that do not all weigh the same: a percentile is the first value, from the lowest on, that with
    /// all below it has this share of the weight. Where nothing has a weight, all have the same.
    pub fn weighed(self, mut samples: Vec<Weighed>, elapsed: f64) -> Option<f64> {
        let last = samples.last()?.value;
        let count = samples.len() as f64;
        let sum: f64 = samples.iter().map(|sample| sample.value).sum();
        if samples.iter().all(|sample| sample.weight <= 0.0) {
            samples.iter_mut().for_each(|sample| sample.weight = 1.0);
        }
        let whole: f64 = samples.iter().map(|sample| sample.weight).sum();
        Some(match self {
            Self::Percentile(percent) => {
                samples.sort_unstable_by(|one, other| one.value.total_cmp(&other.value));
                let (share, mut below) = (whole * percent / 100.0, 0.0);
                let reached = samples.iter().find(|sample| {
                    below += sample.weight;
                    below >= share
                });
                // Sums round: what lacks the last of it is the highest.
                reached.or(samples.last())?.value
            }
            Self::Max => samples.iter().map(|sample| sample.value).fold(f64::MIN, f64::max),
            Self::Min => samples.iter().map(|sample| sample.value).fold(f64::MAX, f64::min),
            Self::Mean => samples.iter().map(|sample| sample.value * sample.weight).sum::<f64>() / whole,
            Self::Count => count,
            Self::Rate => sum / elapsed.max(f64::MIN_POSITIVE),
            Self::Last => last,
        })
    }
}

impl Aggregate {
    /// A share has no percentiles: it is one number, `rate`, which need not be written.
    fn of_share(metric: Metric, text: &str) -> Result<Self, String> {
        match text {
            "" | "rate" => Ok(Self::Rate),
            "count" if metric == Metric::Failures => Ok(Self::Count),
            _ if metric == Metric::Failures => Err(format!(
                "`{text}` is no aggregate of `{metric}`; allowed are `rate` (a share, as in `rate < 1%`) and `count`"
            )),
            _ => Err(format!("`{text}` is no aggregate of `{metric}`; allowed is `rate`, as in `rate > 99%`")),
        }
    }
}

impl FromStr for Aggregate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not an aggregate; allowed are `p50`, `p95`, `p99.9` (any percentile), `max`, `min`, `mean`, `count`, `rate`, `last`"
            )
        };
        match text {
            "max" => Ok(Self::Max),
            "min" => Ok(Self::Min),
            "mean" => Ok(Self::Mean),
            "count" => Ok(Self::Count),
            "rate" => Ok(Self::Rate),
            "last" => Ok(Self::Last),
            _ => {
                let percent = text.strip_prefix('p').and_then(number).ok_or_else(wrong)?;
                let inside = percent > 0.0 && percent < 100.0;
                if inside { Ok(Self::Percentile(percent)) } else { Err(wrong()) }
            }
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Max => f.write_str("max"),
            Self::Min => f.write_str("min"),
            Self::Mean => f.write_str("mean"),
            Self::Count => f.write_str("count"),
            Self::Rate => f.write_str("rate"),
            Self::Last => f.write_str("last"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Longer signs first: `<=` begins with `<`.
    const ALL: [(&'static str, Self); 4] =
        [("<=", Self::LessOrEqual), (">=", Self::GreaterOrEqual), ("<", Self::Less), (">", Self::Greater)];

    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// Cuts `left < right` at its sign.
fn cut(text: &str) -> Option<(&str, Comparison, &str)> {
    let at = text.find(['<', '>'])?;
    let (sign, comparison) = Comparison::ALL.into_iter().find(|(sign, _)| text[at..].starts_with(sign))?;
    Some((text[..at].trim(), comparison, text[at + sign.len()..].trim()))
}

/// What a metric must hold: `p95 < 90s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    pub metric: Metric,
    pub aggregate: Aggregate,
    pub comparison: Comparison,
    /// In the metric's unit: seconds, a number, or a second.
    pub value: f64,
}

impl Threshold {
    /// Reads `p95 < 90s` for a metric.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what is allowed.
    pub fn parse(metric: Metric, text: &str) -> Result<Self, String> {
        let (aggregate, comparison, value) = cut(text).ok_or_else(|| {
            format!("`{text}` is not a threshold: write an aggregate, one of < <= > >=, and a value, as in `p95 < 90s`")
        })?;
        let aggregate = match metric.unit() {
            Unit::Share => Aggregate::of_share(metric, aggregate)?,
            Unit::Seconds | Unit::Count | Unit::PerSecond => aggregate.parse()?,
        };
        let value = match aggregate {
            Aggregate::Count => Metric::SubmissionErrors.read(value)?,
            Aggregate::Percentile(_)
            | Aggregate::Max
            | Aggregate::Min
            | Aggregate::Mean
            | Aggregate::Rate
            | Aggregate::Last => metric.read(value)?,
        };
        Ok(Self { metric, aggregate, comparison, value })
    }

    /// Renders what was measured and is compared with this threshold.
    pub fn show(&self, value: f64) -> String {
        self.render(value, Metric::show_measured)
    }

    fn render(&self, value: f64, show: fn(Metric, f64) -> String) -> String {
        match self.aggregate {
            Aggregate::Count => format!("{value}"),
            Aggregate::Percentile(_)
            | Aggregate::Max
            | Aggregate::Min
            | Aggregate::Mean
            | Aggregate::Rate
            | Aggregate::Last => show(self.metric, value),
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    /// Reads what `Display` writes: the metric, then the threshold.
    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, rest) = text.split_once(' ').ok_or_else(|| format!("`{text}` is not a threshold of a metric"))?;
        Self::parse(metric.parse()?, rest)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            self.metric,
            self.aggregate,
            self.comparison.sign(),
            self.render(self.value, Metric::show)
        )
    }
}

as_string!(Threshold, "a threshold such as `p95 < 90s`");

/// What a fault waits for: `queueDepth > 100`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct When {
    pub metric: Metric,
    pub comparison: Comparison,
    /// In the metric's unit.
    pub value: f64,
}

impl When {
    /// Whether a value is what is waited for.
    pub fn holds(self, value: f64) -> bool {
        self.comparison.holds(value, self.value)
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, comparison, value) = cut(text).ok_or_else(|| {
            format!(
                "`{text}` is not a trigger: write a metric, one of < <= > >=, and a value, as in `queueDepth > 100`"
            )
        })?;
        const GAUGES: &str = "a trigger watches `queueDepth`, `queueAge` or `workers`";
        let metric: Metric = metric.parse().map_err(|_| format!("`{metric}` is no gauge; {GAUGES}"))?;
        if !metric.is_gauge() {
            return Err(format!("`{metric}` is not known while a scenario runs; {GAUGES}"));
        }
        Ok(Self { metric, comparison, value: metric.read(value)? })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric, self.comparison.sign(), self.metric.show(self.value))
    }
}

text_schema!(
    When,
    "When",
    "A gauge, a comparison and a value: `queueDepth`, `queueAge` or `workers`.",
    "^\\s*(queueDepth|queueAge|workers)\\s*(<=|>=|<|>)\\s*\\S+\\s*$",
    ["queueDepth > 100"]
);
as_string!(When, "a trigger such as `queueDepth > 100`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_of_what_was_measured() {
        let samples = || vec![3.0, 1.0, 4.0, 2.0];
        for (text, value) in [
            ("p50", 2.0),
            ("p51", 3.0),
            ("p99.9", 4.0),
            ("p1", 1.0),
            ("max", 4.0),
            ("min", 1.0),
            ("mean", 2.5),
            ("count", 4.0),
            ("rate", 1.0),
            ("last", 2.0),
        ] {
            let aggregate: Aggregate = text.parse().expect(text);
            assert_eq!(aggregate.of(samples(), 10.0), Some(value), "{text}");
            assert_eq!(aggregate.of(vec![], 10.0), None, "{text}");
        }
    }

    #[test]
    fn what_stood_for_longer_weighs_more() {
        let samples = || [(1.0, 8.0), (9.0, 1.0), (2.0, 1.0)].map(|(value, weight)| Weighed { value, weight }).to_vec();
        for (text, value) in [
            ("p50", 1.0),
            ("p80", 1.0),
            ("p81", 2.0),
            ("p90", 2.0),
            ("p90.1", 9.0),
            ("mean", 1.9),
            ("max", 9.0),
            ("min", 1.0),
            ("count", 3.0),
            ("last", 2.0),
        ] {
            let aggregate: Aggregate = text.parse().expect(text);
            assert_eq!(aggregate.weighed(samples(), 10.0), Some(value), "{text}");
        }
        let weightless = vec![Weighed { value: 1.0, weight: 0.0 }, Weighed { value: 3.0, weight: 0.0 }];
        assert_eq!(Aggregate::Mean.weighed(weightless, 10.0), Some(2.0));
    }

    #[test]
    fn thresholds_read_and_print() {
        for (metric, text, printed) in [
            ("runLatency", "p95 < 90s", "runLatency p95 < 1m30s"),
            ("runLatency", "p99.9<=1m", "runLatency p99.9 <= 1m"),
            ("queueDepth", "max < 500", "queueDepth max < 500"),
            ("workers", "max >= 4", "workers max >= 4"),
            ("recoveryTime", "count >= 2", "recoveryTime count >= 2"),
            ("throughput", "rate > 6/min", "throughput rate > 6/min"),
            ("failures", "rate < 1%", "failures rate < 1%"),
            ("failures", "< 0.25%", "failures rate < 0.25%"),
            ("failures", "count <= 3", "failures count <= 3"),
            ("successRate", ">= 99.9%", "successRate rate >= 99.9%"),
        ] {
            let threshold = Threshold::parse(metric.parse().expect(metric), text).expect(text);
            assert_eq!(threshold.to_string(), printed);
            assert_eq!(printed.parse::<Threshold>(), Ok(threshold));
        }
    }

    #[test]
    fn mistakes_say_what_is_allowed() {
        for (metric, text, gist) in [
            (Metric::RunLatency, "p95 <", "no value"),
            (Metric::RunLatency, "p95 < 90", "a duration, as in `90s`"),
            (Metric::RunLatency, "p101 < 1s", "not an aggregate"),
            (Metric::RunLatency, "p0 < 1s", "not an aggregate"),
            (Metric::RunLatency, "pNaN < 1s", "not an aggregate"),
            (Metric::RunLatency, "avg < 1s", "not an aggregate"),
            (Metric::RunLatency, "p95 = 1s", "one of < <= > >="),
            (Metric::QueueDepth, "max < 5s", "a number, as in `500`"),
            (Metric::QueueDepth, "max < inf", "a number"),
            (Metric::QueueDepth, "max < -5", "a number"),
            (Metric::Throughput, "mean > 5", "a rate, as in `6/min`"),
            (Metric::Failures, "rate < 1", "a share in percent, as in `1%`"),
            (Metric::Failures, "p95 < 1%", "`rate` (a share"),
            (Metric::SuccessRate, "count > 5", "allowed is `rate`"),
            (Metric::SuccessRate, "> 101%", "a share in percent"),
        ] {
            let message = Threshold::parse(metric, text).expect_err(text);
            assert!(message.contains(gist), "{text}: {message}");
        }
        for (text, gist) in [
            ("queueDepth", "not a trigger"),
            ("queueDept > 1", "is no gauge"),
            ("runLatency > 1s", "not known while"),
            ("queueAge > 100", "a duration"),
        ] {
            let message = text.parse::<When>().expect_err(text);
            assert!(message.contains(gist), "{text}: {message}");
        }
        assert_eq!("queueDepth>100".parse::<When>().expect("a trigger").to_string(), "queueDepth > 100");
    }
}
