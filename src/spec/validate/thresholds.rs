//! What must hold.

use super::{Path, Problem, Problems};
use crate::{
    model::{Aggregate, Criterion, Faults, Metric, Scope, Span, Threshold},
    spec::{
        Expect,
        criterion::{RawCriterion, RawThreshold},
        problem::help_for,
        raw::RawExpect,
    },
};

/// The names that a threshold may mention. `None`: a part of the file is missing, so they are not all known.
pub struct Names {
    pub phases: Vec<String>,
    pub faults: Vec<String>,
}

pub fn expect(problems: &mut Problems, at: &Path, raw: &RawExpect, names: Option<&Names>) -> Expect {
    let mut thresholds = vec![];
    for (word, written) in &raw.thresholds {
        let here = at.key("thresholds").key(word);
        let Ok(metric) = word.parse::<Metric>() else {
            let help = help_for(word, Metric::ALL.map(Metric::word));
            problems.0.push(Problem::new(here, format!("unknown metric `{word}`")).with_help(help).on_key());
            continue;
        };
        if written.is_empty() {
            problems.add(&here, "is empty: write at least one threshold, as in `[\"max < 500\"]`");
        }
        for (index, one) in written.iter().enumerate() {
            thresholds.extend(criterion(problems, &here.index(index), metric, one, names));
        }
    }
    Expect { contract: raw.contract, quiet: raw.quiet, thresholds }
}

fn criterion(
    problems: &mut Problems,
    at: &Path,
    metric: Metric,
    written: &RawThreshold,
    names: Option<&Names>,
) -> Option<Criterion> {
    let raw = &written.options;
    let text = if written.is_map { &at.key("that") } else { at };
    let threshold = Threshold::parse(metric, &raw.that).map_err(|message| problems.add(text, message)).ok();
    if threshold.is_some_and(|one| one.aggregate == Aggregate::Rate) && metric.is_gauge() {
        problems.add(text, format!("`rate` of `{metric}` says nothing; `mean` is over the time"));
    }
    if raw.min_samples == Some(0) {
        problems.add(&at.key("minSamples"), "is at least 1");
    }
    if raw.grace.is_some() && !raw.abort_on_fail {
        problems.add(&at.key("grace"), "is how long `abortOnFail` waits: give `abortOnFail: true` too");
    }
    let scope = scope(problems, at, metric, raw, names)?;
    let abort_after = raw.abort_on_fail.then(|| raw.grace.unwrap_or_default());
    Some(Criterion { threshold: threshold?, scope, min_samples: raw.min_samples, abort_after })
}

fn scope(
    problems: &mut Problems,
    at: &Path,
    metric: Metric,
    raw: &RawCriterion,
    names: Option<&Names>,
) -> Option<Scope> {
    let given = [("during", &raw.during), ("around", &raw.around), ("outside", &raw.outside)];
    let mut present = given.into_iter().filter_map(|(field, name)| Some((field, name.as_deref()?)));
    let Some((field, name)) = present.next() else {
        if raw.margin.is_some() {
            problems.add(&at.key("margin"), "widens `around` or `outside`: give one of them too");
        }
        return Some(Scope::Whole);
    };
    if let Some((second, _)) = present.next() {
        let message = format!("`{second}` excludes `{field}`");
        problems.0.push(Problem::new(at.key(second), message).on_key());
        return None;
    }
    let (here, before) = (at.key(field), problems.0.len());
    if metric == Metric::RecoveryTime && field != "around" {
        let help = "write `around` and the name of a fault";
        problems.add_with_help(&here, "`recoveryTime` is of faults, and cannot be restricted so", help);
    }
    if raw.margin.is_some() && (field == "during" || metric == Metric::RecoveryTime) {
        let message = match field {
            "during" => "widens `around` or `outside`, and no phase",
            _ => "widens times, and `recoveryTime` is of the faults themselves",
        };
        problems.add(&at.key("margin"), message);
    }
    if let Some(names) = names {
        check_name(problems, &here, field, name, names);
    }
    let (faults, margin) = (Faults::from(name), raw.margin.unwrap_or(Span::ZERO));
    (problems.0.len() == before).then(|| match field {
        "during" => Scope::During { phase: name.to_owned() },
        "around" => Scope::Around { faults, margin },
        _ => Scope::Outside { faults, margin },
    })
}

fn check_name(problems: &mut Problems, here: &Path, field: &str, name: &str, names: &Names) {
    let (what, known) = if field == "during" { ("phase", &names.phases) } else { ("fault", &names.faults) };
    let is_all = what == "fault" && name == Faults::ALL && !known.is_empty();
    if is_all || known.iter().any(|one| one == name) {
        return;
    }
    if known.is_empty() {
        problems.add(here, "the scenario has no fault");
        return;
    }
    let all = if what == "fault" { Some(Faults::ALL) } else { None };
    let help = help_for(name, known.iter().map(String::as_str).chain(all));
    problems.add_with_help(here, format!("no {what} is named `{name}`"), help);
}
