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
}

/// What the numbers of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; written as a duration.
    Seconds,
    Count,
    /// A second; written as a rate.
    PerSecond,
}

impl Metric {
    pub const ALL: [Self; 9] = [
        Self::RunLatency,
        Self::StartLatency,
        Self::Lateness,
        Self::RecoveryTime,
        Self::QueueAge,
        Self::QueueDepth,
        Self::Workers,
        Self::SubmissionErrors,
        Self::Throughput,
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
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Self::RunLatency | Self::StartLatency | Self::Lateness | Self::RecoveryTime | Self::QueueAge => {
                Unit::Seconds
            }
            Self::QueueDepth | Self::Workers | Self::SubmissionErrors => Unit::Count,
            Self::Throughput => Unit::PerSecond,
        }
    }

    /// What can be looked at while a scenario runs: a fault may wait for it, and it is sampled.
    pub const GAUGES: [Self; 3] = [Self::QueueDepth, Self::QueueAge, Self::Workers];

    pub fn is_gauge(self) -> bool {
        Self::GAUGES.contains(&self)
    }

    /// Renders a number of this metric for people.
    pub fn show(self, value: f64) -> String {
        match self.unit() {
            Unit::Seconds => {
                let length = Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Span::LONGEST);
                Span::new(length.min(Span::LONGEST)).to_string()
            }
            Unit::Count => format!("{value}"),
            Unit::PerSecond => format!("{value}/s"),
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
            | Self::Throughput => None,
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
            | Self::Throughput => Duration::from_secs(2),
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
            | Self::Throughput => Duration::from_secs(15),
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
