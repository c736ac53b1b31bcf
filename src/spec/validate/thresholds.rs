//! What must hold.

use super::{Path, Problem, Problems};
use crate::{
    model::{Aggregate, Criterion, Faults, Metric, Scope, Span, Threshold},
    spec::{
        Expect,
        criterion::{RawCriterion, RawThreshold},
        left_out::LeftOut,
        outline::Asks,
        problem::help_for,
        raw::{RawExpect, RawFault, RawPhase},
    },
};

/// The names that a threshold may mention. `None`: they are not all known.
pub struct Names {
    phases: Option<Vec<String>>,
    faults: Option<Vec<String>>,
}

impl Names {
    pub fn of(phases: &[RawPhase], faults: &[RawFault], left_out: &LeftOut) -> Self {
        let spec = Path::root("spec");
        let all = |list: &str, names: Vec<Option<String>>| {
            let is_whole = !left_out.lacks_items(&spec.key(list));
            names.into_iter().collect::<Option<Vec<String>>>().filter(|_| is_whole)
        };
        Self {
            phases: all("load", phases.iter().map(|phase| phase.name.0.clone()).collect()),
            faults: all("faults", faults.iter().map(|fault| fault.name.0.clone()).collect()),
        }
    }
}

pub fn expect(problems: &mut Problems<'_>, at: &Path, raw: &RawExpect, names: &Names, asks: &mut Asks) -> Expect {
    let mut thresholds = vec![];
    for (word, written) in &raw.thresholds {
        let here = at.key("thresholds").key(word);
        let Ok(metric) = word.parse::<Metric>() else {
            let help = help_for(word, Metric::ALL.map(Metric::word));
            problems.found.push(Problem::new(here, format!("unknown metric `{word}`")).with_help(help).on_key());
            continue;
        };
        if written.list.is_empty() && !problems.left_out.touches(&here) {
            problems.add(&here, "is empty: write at least one threshold, as in `[\"max < 500\"]`");
        }
        asks.threshold(metric);
        for (number, one) in written.list.iter().enumerate() {
            let index = problems.left_out.index(&here, number);
            let place = if written.is_list { here.index(index) } else { here.clone() };
            thresholds.extend(criterion(problems, &place, metric, one, names));
        }
    }
    Expect { contract: raw.contract, quiet: raw.quiet, thresholds }
}

fn criterion(
    problems: &mut Problems<'_>,
    at: &Path,
    metric: Metric,
    written: &RawThreshold,
    names: &Names,
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
    if raw.grace.is_some() && !raw.abort_on_fail && !problems.left_out.has(&at.key("abortOnFail")) {
        problems.add(&at.key("grace"), "is how long `abortOnFail` waits: give `abortOnFail: true` too");
    }
    let scope = scope(problems, at, metric, raw, names)?;
    let abort_after = raw.abort_on_fail.then(|| raw.grace.unwrap_or_default());
    Some(Criterion { threshold: threshold?, scope, min_samples: raw.min_samples, abort_after })
}

fn scope(problems: &mut Problems<'_>, at: &Path, metric: Metric, raw: &RawCriterion, names: &Names) -> Option<Scope> {
    let given = [("during", &raw.during), ("around", &raw.around), ("outside", &raw.outside)];
    let mut present = given.into_iter().filter_map(|(field, name)| Some((field, name.as_deref()?)));
    let Some((field, name)) = present.next() else {
        let was_given = |field: &str| problems.left_out.has(&at.key(field));
        if raw.margin.is_some() && !was_given("around") && !was_given("outside") {
            problems.add(&at.key("margin"), "widens `around` or `outside`: give one of them too");
        }
        return Some(Scope::Whole);
    };
    if let Some((second, _)) = present.next() {
        let message = format!("`{second}` excludes `{field}`");
        problems.found.push(Problem::new(at.key(second), message).on_key());
        return None;
    }
    let (here, before) = (at.key(field), problems.found.len());
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
    check_name(problems, &here, field, name, names);
    let (faults, margin) = (Faults::from(name), raw.margin.unwrap_or(Span::ZERO));
    (problems.found.len() == before).then(|| match field {
        "during" => Scope::During { phase: name.to_owned() },
        "around" => Scope::Around { faults, margin },
        _ => Scope::Outside { faults, margin },
    })
}

fn check_name(problems: &mut Problems<'_>, here: &Path, field: &str, name: &str, names: &Names) {
    let (what, known) = if field == "during" { ("phase", &names.phases) } else { ("fault", &names.faults) };
    let Some(known) = known else { return };
    let is_all = what == "fault" && name == Faults::ALL && !known.is_empty();
    if is_all || known.iter().any(|one| one == name) {
        return;
    }
    if known.is_empty() {
        problems.add(here, format!("the scenario has no {what}"));
        return;
    }
    let all = if what == "fault" { Some(Faults::ALL) } else { None };
    let help = help_for(name, known.iter().map(String::as_str).chain(all));
    problems.add_with_help(here, format!("no {what} is named `{name}`"), help);
}
