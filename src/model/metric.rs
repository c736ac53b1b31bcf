//! What is measured, in which unit, and how a gauge is looked at.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, de};

use super::{Observation, Query, Span, Target, Timed, Timestamp, time::as_string};

/// The role whose running tasks `workers` counts.
const WORKERS: &str = "workers";

/// What is measured; `meaning` says what each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    RunLatency,
    StartLatency,
    Lateness,
    RecoveryTime,
    QueueAge,
    QueueDepth,
    Workers,
    SubmissionErrors,
    Throughput,
    Failures,
    SuccessRate,
}

/// What the numbers of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; written as a duration.
    Seconds,
    Count,
    /// A second; written as a rate.
    PerSecond,
    /// A share of all; written in percent.
    Share,
}

impl Metric {
    pub const ALL: [Self; 11] = [
        Self::RunLatency,
        Self::StartLatency,
        Self::Lateness,
        Self::RecoveryTime,
        Self::QueueAge,
        Self::QueueDepth,
        Self::Workers,
        Self::SubmissionErrors,
        Self::Throughput,
        Self::Failures,
        Self::SuccessRate,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::RunLatency => "runLatency",
            Self::StartLatency => "startLatency",
            Self::Lateness => "lateness",
            Self::RecoveryTime => "recoveryTime",
            Self::QueueAge => "queueAge",
            Self::QueueDepth => "queueDepth",
            Self::Workers => "workers",
            Self::SubmissionErrors => "submissionErrors",
            Self::Throughput => "throughput",
            Self::Failures => "failures",
            Self::SuccessRate => "successRate",
        }
    }

    /// What it is, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::RunLatency => {
                "From the intended instant of an arrival to the end of its run: no coordinated omission."
            }
            Self::StartLatency => "From the intended instant of an arrival to the start of its run.",
            Self::Lateness => "How long after its intended instant a launch was sent.",
            Self::RecoveryTime => {
                "From a fault's injection to the first look that showed the baseline again, with the queue moving."
            }
            Self::QueueAge => {
                "The age of the oldest message in the queue, the highest of each minute, as CloudWatch keeps it."
            }
            Self::QueueDepth => "Messages that wait in the queue or are worked on; approximate, as SQS counts them.",
            Self::Workers => "Running tasks of the service with the role `workers`.",
            Self::SubmissionErrors => "Arrivals that were rejected, never arrived, or were dropped.",
            Self::Throughput => "Completed runs over the time from the start to the last completion.",
            Self::Failures => {
                "Launches that ended as FAILURE by an error of the job's own code, of all that ended: their share (`rate`) or their \
                 number (`count`). With this threshold such failures are no findings of their own."
            }
            Self::SuccessRate => {
                "Launches that ended as SUCCESS, of all that ended; retries that Dagster made belong to their launch."
            }
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Self::RunLatency | Self::StartLatency | Self::Lateness | Self::RecoveryTime | Self::QueueAge => {
                Unit::Seconds
            }
            Self::QueueDepth | Self::Workers | Self::SubmissionErrors => Unit::Count,
            Self::Throughput => Unit::PerSecond,
            Self::Failures | Self::SuccessRate => Unit::Share,
        }
    }

    /// What can be looked at while a scenario runs: a fault may wait for it, and it is sampled.
    pub const GAUGES: [Self; 3] = [Self::QueueDepth, Self::QueueAge, Self::Workers];

    pub fn is_gauge(self) -> bool {
        Self::GAUGES.contains(&self)
    }

    /// Renders a number of this metric, exactly: it is read back as it is.
    pub fn show(self, value: f64) -> String {
        match self.unit() {
            Unit::Seconds => seconds(value).to_string(),
            Unit::Count => format!("{value}"),
            Unit::Share => format!("{}%", round(value * 100.0, 4)),
            // A rate that was written by the minute is shown by the minute: nobody reads 0.16666666666666666/s.
            Unit::PerSecond => {
                let by_the_minute = round(value * 60.0, 3);
                let is_exact = value > 0.0 && value < 1.0 && by_the_minute / 60.0 == value;
                if is_exact { format!("{by_the_minute}/min") } else { format!("{value}/s") }
            }
        }
    }

    /// Renders what was measured, with as many digits as it has: milliseconds, and of others about three.
    pub fn show_measured(self, value: f64) -> String {
        match self.unit() {
            Unit::Seconds => seconds(value).to_the_millisecond().to_string(),
            Unit::Count => format!("{}", round(value, 2)),
            Unit::Share => format!("{}%", round(value * 100.0, 2)),
            Unit::PerSecond if value > 0.0 && value < 1.0 => format!("{}/min", digits(value * 60.0)),
            Unit::PerSecond => format!("{}/s", digits(value)),
        }
    }

    /// Renders a number beside others that it is compared with.
    pub fn show_rounded(self, value: f64) -> String {
        match self.unit() {
            Unit::Seconds => seconds(value).rounded().to_string(),
            Unit::Count | Unit::PerSecond | Unit::Share => self.show_measured(value),
        }
    }

    /// Reads a number of this metric.
    pub(super) fn read(self, text: &str) -> Result<f64, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("no value: {}", self.wants()));
        }
        match self.unit() {
            Unit::Seconds => text
                .parse::<Span>()
                .map(|span| span.duration().as_secs_f64())
                .map_err(|_| format!("`{text}` is not a duration: {}", self.wants())),
            Unit::Count => number(text).ok_or_else(|| format!("`{text}` is not a number: {}", self.wants())),
            Unit::Share => {
                let share = text.strip_suffix('%').and_then(|text| number(text.trim())).map(|percent| percent / 100.0);
                let share = share.filter(|share| *share <= 1.0);
                share.ok_or_else(|| format!("`{text}` is not a share: {}", self.wants()))
            }
            Unit::PerSecond => {
                let rate = text.split_once('/').and_then(|(times, per)| {
                    let seconds = match per.trim() {
                        "s" => 1.0,
                        "m" | "min" => 60.0,
                        "h" => 3600.0,
                        _ => return None,
                    };
                    Some(number(times.trim())? / seconds)
                });
                rate.ok_or_else(|| format!("`{text}` is not a rate: {}", self.wants()))
            }
        }
    }

    fn wants(self) -> &'static str {
        match self.unit() {
            Unit::Seconds => "it is compared with a duration, as in `90s`",
            Unit::Count => "it is compared with a number, as in `500`",
            Unit::PerSecond => "it is compared with a rate, as in `6/min`",
            Unit::Share => "it is compared with a share in percent, as in `1%`",
        }
    }
}

impl Metric {
    /// What to look at for this gauge. `None`: it is no gauge, or the target does not name what it needs.
    pub fn query(self, target: &Target) -> Option<Query> {
        match self {
            Self::QueueDepth => target.queue.as_ref().map(|_| Query::Queue),
            Self::QueueAge => target.queue.as_ref().map(|_| Query::QueueAge),
            Self::Workers => {
                let service = target.ecs.as_ref()?.service(WORKERS)?;
                Some(Query::Service { service: service.to_owned() })
            }
            Self::RunLatency
            | Self::StartLatency
            | Self::Lateness
            | Self::RecoveryTime
            | Self::SubmissionErrors
            | Self::Throughput
            | Self::Failures
            | Self::SuccessRate => None,
        }
    }

    /// What the last look at this gauge showed, the oldest first, each with its instant: when it was asked, or of which
    /// minute it is. A failed look shows nothing.
    pub fn readings(self, target: &Target, observation: &Observation) -> Vec<(Timestamp, f64)> {
        match self.query(target) {
            Some(Query::Queue) => one(observation.queue.as_ref(), |view| (view.visible + view.in_flight) as f64),
            Some(Query::QueueAge) => {
                let seen = observation.queue_age.as_ref().and_then(|seen| seen.answer.fresh());
                seen.map(|view| view.minutes.clone()).unwrap_or_default()
            }
            Some(Query::Service { service }) => one(observation.services.get(&service), |view| f64::from(view.running)),
            Some(
                Query::Dagster { .. }
                | Query::Steps { .. }
                | Query::Network { .. }
                | Query::Instances
                | Query::Policy { .. }
                | Query::Objects { .. }
                | Query::Tasks { .. }
                | Query::Alarm { .. }
                | Query::Account
                | Query::Completions
                | Query::Partitions { .. },
            )
            | None => vec![],
        }
    }

    /// How often a look at this gauge is worth its price: CloudWatch has a new datum of a queue once a minute.
    pub fn pace(self) -> Duration {
        match self {
            Self::QueueAge => Duration::from_secs(15),
            Self::QueueDepth
            | Self::Workers
            | Self::RunLatency
            | Self::StartLatency
            | Self::Lateness
            | Self::RecoveryTime
            | Self::SubmissionErrors
            | Self::Throughput
            | Self::Failures
            | Self::SuccessRate => Duration::from_secs(2),
        }
    }

    /// How long a sample of this gauge stands for what was at most: longer than from one to the next as long as looks
    /// succeed, and what was not seen is not filled in.
    pub fn stands(self) -> Duration {
        match self {
            Self::QueueAge => Duration::from_secs(60),
            Self::QueueDepth
            | Self::Workers
            | Self::RunLatency
            | Self::StartLatency
            | Self::Lateness
            | Self::RecoveryTime
            | Self::SubmissionErrors
            | Self::Throughput
            | Self::Failures
            | Self::SuccessRate => Duration::from_secs(15),
        }
    }

    /// The newest reading of the last look at this gauge.
    pub fn gauge(self, target: &Target, observation: &Observation) -> Option<(Timestamp, f64)> {
        self.readings(target, observation).pop()
    }
}

/// The value of a look that shows one, at the instant at which it was asked.
fn one<T>(seen: Option<&Timed<T>>, value: impl Fn(&T) -> f64) -> Vec<(Timestamp, f64)> {
    let fresh = seen.and_then(|seen| Some((seen.asked_at, value(seen.answer.fresh()?))));
    fresh.into_iter().collect()
}

fn seconds(value: f64) -> Span {
    let length = Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Span::LONGEST);
    Span::new(length.min(Span::LONGEST))
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// With three digits, and with all before the point.
fn digits(value: f64) -> f64 {
    match value.abs() {
        size if size >= 100.0 => round(value, 0),
        size if size >= 10.0 => round(value, 1),
        _ => round(value, 2),
    }
}

pub(super) fn number(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse::<f64>().ok().filter(|number| plain && number.is_finite())
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|metric| metric.word() == text).ok_or_else(|| {
            let allowed: Vec<String> = Self::ALL.iter().map(|metric| format!("`{}`", metric.word())).collect();
            format!("`{text}` is not a metric; allowed are {}", allowed.join(", "))
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

as_string!(Metric, "a metric such as `queueDepth`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_exactly_as_measured_and_rounded() {
        for (metric, value, exact, measured, rounded) in [
            (Metric::RunLatency, 60.607, "1m00.607s", "1m00.607s", "1m01s"),
            (Metric::RunLatency, 34.073_412, "34.073412s", "34.073s", "34.1s"),
            (Metric::Lateness, 0.0, "0s", "0s", "0s"),
            (Metric::QueueDepth, 10.0 / 3.0, "3.3333333333333335", "3.33", "3.33"),
            (Metric::Throughput, 0.1, "6/min", "6/min", "6/min"),
            (Metric::Throughput, 12.0, "12/s", "12/s", "12/s"),
            (Metric::Throughput, 0.123_456_789, "0.123456789/s", "7.41/min", "7.41/min"),
            (Metric::Throughput, 1.0 / 6.0, "10/min", "10/min", "10/min"),
            (Metric::Throughput, 123.456, "123.456/s", "123/s", "123/s"),
        ] {
            let shown = (metric.show(value), metric.show_measured(value), metric.show_rounded(value));
            assert_eq!(shown, (exact.to_owned(), measured.to_owned(), rounded.to_owned()), "{metric} {value}");
            // What is exact is read back: a journal holds it as text.
            let read = metric.read(exact).expect(exact);
            assert!((read - value).abs() < 1e-9, "{exact}: {read}");
        }
    }
}
