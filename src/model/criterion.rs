//! A threshold with what it is measured over: a phase, the times around faults or without them, so many samples.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Metric, Span, Threshold};

/// What must hold, of which part of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Criterion {
    pub threshold: Threshold,
    pub scope: Scope,
    /// With fewer samples it is not known whether it holds.
    pub min_samples: Option<u32>,
    /// It ends the scenario as soon as it does not hold, so long after the start at the earliest.
    pub abort_after: Option<Span>,
}

/// Of which arrivals, at which times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Scope {
    #[default]
    Whole,
    /// The arrivals of a phase, by its name; of what is no matter of arrivals, the time of the phase.
    During { phase: String },
    /// From `margin` before the injection of a fault to `margin` after the proof that it is healed.
    Around { faults: Faults, margin: Span },
    /// All other times of the scenario.
    Outside { faults: Faults, margin: Span },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Faults {
    All,
    /// All occurrences of the fault with this name.
    Named(String),
}

impl Faults {
    /// Stands for all faults in a manifest.
    pub const ALL: &'static str = "faults";

    /// Whether it means the fault of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(own) => own == name,
        }
    }
}

impl From<&str> for Faults {
    fn from(name: &str) -> Self {
        if name == Self::ALL { Self::All } else { Self::Named(name.to_owned()) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(Self::ALL),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl Criterion {
    pub fn metric(&self) -> Metric {
        self.threshold.metric
    }

    /// What is compared with what, of which part: the name in reports.
    pub fn name(&self) -> String {
        let margin = |margin: &Span| if *margin == Span::ZERO { String::new() } else { format!(" ± {margin}") };
        let scope = match &self.scope {
            Scope::Whole => String::new(),
            Scope::During { phase } => format!(" during {phase}"),
            Scope::Around { faults, margin: wide } => format!(" around {faults}{}", margin(wide)),
            Scope::Outside { faults, margin: wide } => format!(" outside {faults}{}", margin(wide)),
        };
        format!("{}{scope}", self.threshold)
    }
}

impl From<Threshold> for Criterion {
    fn from(threshold: Threshold) -> Self {
        Self { threshold, scope: Scope::Whole, min_samples: None, abort_after: None }
    }
}

impl fmt::Display for Criterion {
    /// All of it, for a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.min_samples.map(|least| format!("{least} samples or more"));
        let abort = self.abort_after.map(|grace| match grace {
            Span::ZERO => "aborts".to_owned(),
            _ => format!("aborts from {grace} on"),
        });
        let more: Vec<String> = least.into_iter().chain(abort).collect();
        f.write_str(&self.name())?;
        if more.is_empty() { Ok(()) } else { write!(f, " ({})", more.join("; ")) }
    }
}

/// As it is kept: a threshold alone is a text, as it was before there was more.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(Threshold),
    Full(Full),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Full {
    that: Threshold,
    #[serde(default, skip_serializing_if = "Scope::is_whole")]
    scope: Scope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_samples: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    abort_after: Option<Span>,
}

impl Scope {
    fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

impl From<Written> for Criterion {
    fn from(written: Written) -> Self {
        match written {
            Written::Plain(threshold) => threshold.into(),
            Written::Full(Full { that: threshold, scope, min_samples, abort_after }) => {
                Self { threshold, scope, min_samples, abort_after }
            }
        }
    }
}

impl From<Criterion> for Written {
    fn from(criterion: Criterion) -> Self {
        let Criterion { threshold, scope, min_samples, abort_after } = criterion;
        if scope.is_whole() && min_samples.is_none() && abort_after.is_none() {
            return Self::Plain(threshold);
        }
        Self::Full(Full { that: threshold, scope, min_samples, abort_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_said() {
        let threshold = Threshold::parse(Metric::RunLatency, "p95 < 90s").expect("a threshold");
        let plain = Criterion::from(threshold);
        let (phase, margin) = ("base".to_owned(), Span::from_secs(30));
        for (criterion, json, said) in [
            (plain.clone(), r#""runLatency p95 < 1m30s""#, "runLatency p95 < 1m30s"),
            (
                Criterion { scope: Scope::During { phase }, min_samples: Some(20), ..plain.clone() },
                r#"{"that":"runLatency p95 < 1m30s","scope":{"during":{"phase":"base"}},"minSamples":20}"#,
                "runLatency p95 < 1m30s during base (20 samples or more)",
            ),
            (
                Criterion { scope: Scope::Around { faults: "kill".into(), margin }, ..plain.clone() },
                r#"{"that":"runLatency p95 < 1m30s","scope":{"around":{"faults":{"named":"kill"},"margin":"30s"}}}"#,
                "runLatency p95 < 1m30s around kill ± 30s",
            ),
            (
                Criterion {
                    scope: Scope::Outside { faults: "faults".into(), margin: Span::ZERO },
                    abort_after: Some(margin),
                    ..plain
                },
                r#"{"that":"runLatency p95 < 1m30s","scope":{"outside":{"faults":"all","margin":"0s"}},"abortAfter":"30s"}"#,
                "runLatency p95 < 1m30s outside faults (aborts from 30s on)",
            ),
        ] {
            assert_eq!(serde_json::to_string(&criterion).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Criterion>(json).expect("a criterion"), criterion);
            assert_eq!(criterion.to_string(), said);
        }
    }
}
