//! The four numbers that a person asks for first, and how they differ from those of the last run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{latency::Quantiles, recorded::Recorded};
use crate::model::{Counts, GenerationId, Metric, Span, Timestamp, Verdict};

/// A change up to this share of what was before is none.
const TOLERANCE: f64 = 0.1;
/// A change of a length of time below this means nothing, in seconds: runs, and recoveries (looks come once a second).
const LEAST_LATENCY_S: f64 = 0.1;
const LEAST_RECOVERY_S: f64 = 1.0;

/// The four numbers that a person asks for first. Each is absent where nothing was measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written", into = "Written")]
pub struct Headline {
    /// 95 of 100 runs that succeeded took no longer, from their intended instant.
    pub latency_p95: Option<Span>,
    /// Completed runs a second, from the start to the last completion.
    pub throughput: Option<f64>,
    /// Runs that ended as SUCCESS, as a share of the acknowledged launches.
    pub success_rate: Option<f64>,
    /// The longest recovery of a fault.
    pub recovery: Option<Span>,
}

/// The four numbers that a person asks for first. Each is absent where nothing was measured.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Headline")]
struct Written {
    /// 95 of 100 runs that succeeded took no longer, from their intended instant to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_latency_p95: Option<Span>,
    /// The same in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_latency_p95_seconds: Option<f64>,
    /// Completed runs over the time from the start to the last completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    throughput: Option<String>,
    /// The same, a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    throughput_per_second: Option<f64>,
    /// Runs that ended as SUCCESS, as a share of the acknowledged launches, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
    /// The longest recovery of a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_time: Option<Span>,
    /// The same in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_time_seconds: Option<f64>,
}

impl From<Headline> for Written {
    fn from(headline: Headline) -> Self {
        Self {
            run_latency_p95: headline.latency_p95,
            run_latency_p95_seconds: headline.latency_p95.map(Span::seconds),
            throughput: headline.throughput.map(|rate| Metric::Throughput.show_measured(rate)),
            throughput_per_second: headline.throughput,
            success_rate: headline.success_rate,
            recovery_time: headline.recovery,
            recovery_time_seconds: headline.recovery.map(Span::seconds),
        }
    }
}

impl From<Written> for Headline {
    fn from(written: Written) -> Self {
        Self {
            latency_p95: written.run_latency_p95,
            throughput: written.throughput_per_second,
            success_rate: written.success_rate,
            recovery: written.recovery_time,
        }
    }
}

impl Headline {
    /// `ends`: the instants at which runs succeeded.
    pub fn of(
        latency: Option<&Quantiles>,
        ends: &[Timestamp],
        started_at: Option<Timestamp>,
        counts: &Counts,
        recoveries: impl Iterator<Item = Span>,
    ) -> Self {
        let lasted = ends.iter().max().zip(started_at).map(|(last, started)| last.since(started).as_secs_f64());
        Self {
            latency_p95: latency.map(|of| of.p95),
            throughput: lasted.filter(|seconds| *seconds > 0.0).map(|seconds| ends.len() as f64 / seconds),
            success_rate: share(u64::from(counts.completed), u64::from(counts.acknowledged)),
            recovery: recoveries.max(),
        }
    }

    /// Of a report as it lies there; one of an older version has no throughput.
    pub fn of_recorded(report: &Recorded) -> Self {
        let count = |word: &str| report.counts.get(word).copied().unwrap_or(0);
        report.headline.clone().unwrap_or_else(|| Self {
            latency_p95: report.run_latency.as_ref().map(|of| of.p95),
            throughput: None,
            success_rate: share(count("completed"), count("acknowledged")),
            recovery: report.faults.iter().filter_map(|fault| fault.recovery_time).max(),
        })
    }

    /// Each with its name, its value in words and, beside a run before it, how it differs.
    pub fn figures(&self, last: Option<&Self>) -> Vec<Figure> {
        let span = |span: Option<Span>| span.map(|span| span.rounded().to_string());
        let rate = |rate: Option<f64>| rate.map(|rate| Metric::Throughput.show_rounded(rate));
        let percent = |share: Option<f64>| share.map(percent);
        let figure = |name, value: Option<String>, change: &dyn Fn(&Self) -> Change| Figure {
            name,
            value: value.unwrap_or_else(|| "–".to_owned()),
            change: last.map(change),
        };
        let lengths = |now: Option<Span>, then: Option<Span>, least, words| {
            change(now.map(Span::seconds), then.map(Span::seconds), span(then), least, words)
        };
        vec![
            figure("Run latency, p95", span(self.latency_p95), &|last| {
                lengths(self.latency_p95, last.latency_p95, LEAST_LATENCY_S, LATENCY)
            }),
            figure("Throughput", rate(self.throughput), &|last| {
                change(self.throughput, last.throughput, rate(last.throughput), 0.0, THROUGHPUT)
            }),
            figure("Success rate", percent(self.success_rate), &|last| {
                points(self.success_rate, last.success_rate, percent(last.success_rate))
            }),
            figure("Longest recovery", span(self.recovery), &|last| {
                lengths(self.recovery, last.recovery, LEAST_RECOVERY_S, RECOVERY)
            }),
        ]
    }
}

fn share(some: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| some as f64 / all as f64)
}

/// One of the four, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    pub name: &'static str,
    pub value: String,
    pub change: Option<Change>,
}

/// How it differs from the last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub sort: Sort,
    pub words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sort {
    Better,
    Worse,
    /// Within the tolerance.
    Same,
    /// One of the two has no such number.
    Unknown,
}

/// What more of it is called, what less, and whether more is better.
#[derive(Debug, Clone, Copy)]
struct Words {
    more: &'static str,
    less: &'static str,
    is_gain: bool,
}

const LATENCY: Words = Words { more: "slower", less: "faster", is_gain: false };
const THROUGHPUT: Words = Words { more: "more", less: "less", is_gain: true };
const RECOVERY: Words = Words { more: "longer", less: "shorter", is_gain: false };

fn change(now: Option<f64>, then: Option<f64>, shown: Option<String>, least: f64, words: Words) -> Change {
    let (Some(now), Some(then), Some(shown)) = (now, then, shown) else { return unknown(now, then) };
    let by = now - then;
    if by.abs() < least || by.abs() <= TOLERANCE * then || by == 0.0 {
        return Change { sort: Sort::Same, words: format!("about the same as the last run: {shown}") };
    }
    let word = if by > 0.0 { words.more } else { words.less };
    let sort = if (by > 0.0) == words.is_gain { Sort::Better } else { Sort::Worse };
    let text = match by.abs() / then {
        relative if relative.is_finite() && relative < 2.0 => {
            format!("{:.0}% {word} than the last run: {shown}", relative * 100.0)
        }
        _ => format!("{word} than the last run: {shown}"),
    };
    Change { sort, words: text }
}

fn points(now: Option<f64>, then: Option<f64>, shown: Option<String>) -> Change {
    let (Some(now), Some(then), Some(shown)) = (now, then, shown) else { return unknown(now, then) };
    let by = (now - then) * 100.0;
    let (sort, word) = match by {
        _ if by.abs() < 0.005 => {
            return Change { sort: Sort::Same, words: format!("the same as the last run: {shown}") };
        }
        _ if by > 0.0 => (Sort::Better, "higher"),
        _ => (Sort::Worse, "lower"),
    };
    let by = trimmed(format!("{:.2}", by.abs()));
    let noun = if by == "1" { "point" } else { "points" };
    Change { sort, words: format!("{by} {noun} {word} than the last run: {shown}") }
}

fn unknown(now: Option<f64>, then: Option<f64>) -> Change {
    let words = match (now, then) {
        (Some(_), None) => "the last run has no such number",
        (None, Some(_)) => "the last run has one",
        (Some(_), Some(_)) | (None, None) => "not measured in the last run either",
    };
    Change { sort: Sort::Unknown, words: words.to_owned() }
}

/// A share as percents. What is not all is never shown as 100%.
pub fn percent(share: f64) -> String {
    format!("{}%", trimmed(format!("{:.2}", (share * 10_000.0 + 1e-6).floor() / 100.0)))
}

fn trimmed(number: String) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').to_owned() } else { number }
}

/// The run of the same scenario before this one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Which one.
    pub generation: GenerationId,
    /// What it proved.
    pub verdict: Verdict,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Whether the scenario was edited since: that may be why numbers differ.
    pub edited_since: bool,
    /// Its numbers.
    pub headline: Headline,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headline(p95: Option<u64>, throughput: f64, success: f64, recovery: Option<u64>) -> Headline {
        Headline {
            latency_p95: p95.map(Span::from_millis),
            throughput: Some(throughput),
            success_rate: Some(success),
            recovery: recovery.map(Span::from_millis),
        }
    }

    #[test]
    fn the_difference_is_said_in_words() {
        let last = headline(Some(18_300), 0.95, 0.993, Some(12_000));
        let told = |now: Headline, last: &Headline| -> Vec<(Sort, String)> {
            let changes = now.figures(Some(last)).into_iter().filter_map(|figure| figure.change);
            changes.map(|change| (change.sort, change.words)).collect()
        };
        let words = |texts: [(Sort, &str); 4]| texts.map(|(sort, text)| (sort, text.to_owned())).to_vec();
        assert_eq!(
            told(headline(Some(21_960), 0.76, 0.981, Some(8_000)), &last),
            words([
                (Sort::Worse, "20% slower than the last run: 18.3s"),
                (Sort::Worse, "20% less than the last run: 57/min"),
                (Sort::Worse, "1.2 points lower than the last run: 99.3%"),
                (Sort::Better, "33% shorter than the last run: 12s"),
            ])
        );
        assert_eq!(
            told(headline(Some(19_000), 3.0, 0.993, Some(12_400)), &last),
            words([
                (Sort::Same, "about the same as the last run: 18.3s"),
                (Sort::Better, "more than the last run: 57/min"),
                (Sort::Same, "the same as the last run: 99.3%"),
                (Sort::Same, "about the same as the last run: 12s"),
            ])
        );
        let nothing = Headline::default();
        assert_eq!(told(nothing.clone(), &nothing)[0].1, "not measured in the last run either");
        assert_eq!(told(nothing.clone(), &last)[3].1, "the last run has one");
        assert_eq!(told(last, &nothing)[3], (Sort::Unknown, "the last run has no such number".to_owned()));
    }

    #[test]
    fn what_is_not_all_is_not_a_hundred_percent() {
        for (share, shown) in
            [(1.0, "100%"), (0.999_999, "99.99%"), (0.985, "98.5%"), (0.0, "0%"), (1.0 / 3.0, "33.33%"), (0.29, "29%")]
        {
            assert_eq!(percent(share), shown);
        }
    }

    #[test]
    fn it_is_written_with_numbers_and_read_back() {
        let of = headline(Some(18_300), 0.95, 0.5, None);
        let json = serde_json::to_value(&of).expect("string keys");
        assert_eq!(
            json,
            serde_json::json!({ "runLatencyP95": "18.3s", "runLatencyP95Seconds": 18.3, "throughput": "57/min",
                "throughputPerSecond": 0.95, "successRate": 0.5 })
        );
        assert_eq!(serde_json::from_value::<Headline>(json).expect("a headline"), of);
    }
}
