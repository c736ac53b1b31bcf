//! `dagstorm plan`: what some manifests would do, before anything happens.

mod aims;
mod chart;
mod jobs;
mod looks;
mod online;
mod policy;
mod preview;
mod rules;
mod table;

use std::{io::Write, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{
    Exit, Output,
    check::{CheckedFile, Severity, check, scenarios},
    files::Given,
    is_colored, print, print_as, say,
    surprises::{forbidden, whole_seconds},
    validate::{Asked, findings},
};
use crate::{
    fault::permissions::Arns,
    model::{GenerationId, ScenarioName, Span, Target, Timestamp},
    plan::{self, Plan},
    spec::{Contract, Limits, Overlap, Scenario, StartTrigger},
    world::{Clock, LiveWorld, SystemClock},
};
use chart::Layout;
use looks::TargetLooks;
use policy::{Need, Policy};
use preview::{FaultPreview, Preview};

/// Show what some manifests would do: every arrival and every fault over time, and whether the targets would permit it.
///
/// Nothing is launched, stopped or changed. What can be reached is looked at: jobs, services and the tasks that a fault
/// may choose, the rules that a partition would change, with EC2's own dry run of that. The exit code is 0 when all that
/// was looked at would work, 2 for a bad manifest, 4 when a target cannot be used as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm plan target.yaml scenario.yaml
  dagstorm plan --offline manifests/
  dagstorm plan --online target.yaml scenario.yaml && dagstorm run target.yaml scenario.yaml
  dagstorm plan --policy target.yaml manifests/ > policy.json
  dagstorm plan -o json target.yaml scenario.yaml | jq '.scenarios[].arrivals.total'")]
pub struct Arguments {
    /// Files, folders (searched as the operator does), or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How the result is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// Contact nothing.
    #[arg(long, conflicts_with = "online")]
    offline: bool,
    /// A target that cannot be reached is an error (4); without, it is said and passed over.
    #[arg(long)]
    online: bool,
    /// Print the least IAM policy alone, as JSON, and contact nothing. What the Target does not say (account, region) is `*`.
    #[arg(long, conflicts_with_all = ["online", "output"])]
    policy: bool,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    scenarios: Vec<ScenarioPlan>,
    /// Empty with `--offline`.
    targets: Vec<TargetLooks>,
    /// The least that these scenarios need; none if that is nothing.
    policy: Option<Policy>,
}

/// One remark, with the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Note {
    path: String,
    message: String,
}

/// One scenario as it would run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScenarioPlan {
    name: ScenarioName,
    target: ScenarioName,
    generation: GenerationId,
    seed: u64,
    /// In words.
    start: String,
    /// When that is, if it is known and not just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Timestamp>,
    /// How long the load lasts.
    lasts: Span,
    arrivals: Preview,
    faults: Vec<FaultPreview>,
    contract: Contract,
    quiet: Span,
    thresholds: Vec<String>,
    limits: Limits,
    notes: Vec<Note>,
}

/// A scenario with what belongs to it.
struct Planned<'a> {
    scenario: &'a Scenario,
    target: Option<&'a Target>,
    plan: Plan,
}

/// What programs get, whatever the terminal's width.
const COLUMNS_FOR_PROGRAMS: usize = 60;
const WIDTH_WITHOUT_TERMINAL: usize = 80;
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=160;

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    let given = Given::read(&arguments.paths);
    let checked = check(&given);
    if refuse(&checked) {
        return Ok(Exit::Usage);
    }
    let planned: Vec<Planned<'_>> =
        scenarios(&given).into_iter().map(|(scenario, target)| Planned::new(scenario, target)).collect();
    if planned.is_empty() {
        say("no Scenario is in these files: there is nothing to plan");
        return Ok(Exit::Usage);
    }
    if arguments.policy {
        return print_policy(policy::policy(&needs(&planned, &[])));
    }
    let targets = if arguments.offline { vec![] } else { look(&planned).await };
    let width = if arguments.output == Output::Table { width() } else { WIDTH_WITHOUT_TERMINAL };
    let report = Report {
        scenarios: planned.iter().map(|one| scenario_plan(one, &checked, arguments.output, width)).collect(),
        policy: policy::policy(&needs(&planned, &targets)),
        targets,
    };
    print_as(arguments.output, &report, || table::paint(&table::render(&report, width)))?;
    let without_target = planned.iter().any(|one| one.target.is_none());
    let unusable = report.targets.iter().any(|target| !target.problems.is_empty());
    let unreached = report.targets.iter().any(|target| !target.unreached.is_empty());
    Ok(match (arguments.online, without_target, unusable, unreached) {
        (true, true, _, _) => Exit::Usage,
        (_, _, true, _) | (true, _, _, true) => Exit::Environment,
        (_, _, false, _) => Exit::Passed,
    })
}

/// Says what is wrong with the manifests, if something is.
fn refuse(checked: &[CheckedFile<'_>]) -> bool {
    let documents = || checked.iter().flat_map(|file| &file.documents);
    let is_good = documents().count() > 0 && documents().all(|document| document.is_good(Severity::Error));
    if !is_good {
        let wrong = findings(checked, Severity::Error, is_colored(&std::io::stderr()));
        let _ = write!(anstream::stderr(), "{wrong}");
        if documents().count() == 0 {
            say("no manifest is in these files");
        }
    }
    !is_good
}

fn print_policy(policy: Option<Policy>) -> anyhow::Result<Exit> {
    match policy {
        Some(policy) => print(&format!("{}\n", serde_json::to_string_pretty(&policy)?))?,
        None => say("these scenarios call nothing of AWS's: they need no policy"),
    }
    Ok(Exit::Passed)
}

impl<'a> Planned<'a> {
    fn new(scenario: &'a Scenario, target: Option<&'a Target>) -> Self {
        let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
        Self { plan: plan::compile(scenario, &generation), scenario, target }
    }
}

/// Each target once, with all that its scenarios need of it.
async fn look(planned: &[Planned<'_>]) -> Vec<TargetLooks> {
    let world = LiveWorld::default();
    let looks = distinct(planned).into_iter().map(|(target, own)| online::look(&world, target, own));
    futures::future::join_all(looks).await
}

/// Asks the Dagster of each Target about what its scenarios launch there.
pub(super) async fn ask_dagster(given: &Given) -> Vec<Asked> {
    let world = LiveWorld::default();
    let planned: Vec<Planned<'_>> =
        scenarios(given).into_iter().map(|(scenario, target)| Planned::new(scenario, target)).collect();
    let looks = distinct(&planned).into_iter().map(|(target, own)| {
        let world = &world;
        async move {
            let looks = online::ask_dagster(world, target, &own).await;
            let unreached = looks.unreached.into_iter().map(|one| format!("{}: {}", one.what, one.why));
            Asked {
                target: looks.name,
                problems: looks.problems.into_iter().chain(unreached).collect(),
                notes: looks.notes,
            }
        }
    });
    futures::future::join_all(looks).await
}

/// Each target once, with its scenarios.
fn distinct<'a>(planned: &'a [Planned<'a>]) -> Vec<(&'a Target, Vec<(&'a Scenario, &'a Plan)>)> {
    let mut targets: Vec<&Target> = vec![];
    for target in planned.iter().filter_map(|one| one.target) {
        if !targets.iter().any(|known| known.name == target.name) {
            targets.push(target);
        }
    }
    let own = |target: &Target| {
        let of_target = |one: &&Planned<'_>| one.target.is_some_and(|own| own.name == target.name);
        planned.iter().filter(of_target).map(|one| (one.scenario, &one.plan)).collect()
    };
    targets.into_iter().map(|target| (target, own(target))).collect()
}

fn needs<'a>(planned: &[Planned<'a>], looks: &[TargetLooks]) -> Vec<Need<'a>> {
    let need = |one: &Planned<'a>| {
        let target = one.target?;
        let seen = looks.iter().find(|look| look.name == target.name).and_then(|look| look.identity.as_ref());
        let region = target.guard.region.clone().or_else(|| seen.and_then(|seen| seen.region.clone()));
        let account = target.guard.account.clone().or_else(|| seen.map(|seen| seen.account.clone()));
        Some(Need { scenario: one.scenario, target, arns: Arns { region, account } })
    };
    planned.iter().filter_map(need).collect()
}

fn scenario_plan(one: &Planned<'_>, checked: &[CheckedFile<'_>], output: Output, width: usize) -> ScenarioPlan {
    let Planned { scenario, target, plan } = one;
    let spec = &scenario.spec;
    let columns = match output {
        Output::Table => Layout::new(width, names(scenario)).columns,
        Output::Json | Output::Yaml => COLUMNS_FOR_PROGRAMS,
    };
    let now = SystemClock.now();
    let (start, starts_at) = start(scenario, now);
    let arrivals = preview::preview(scenario, plan, columns);
    let mut notes = warnings(scenario, checked);
    let begin = starts_at.or_else(|| starts_now(scenario).then_some(now));
    if scenario.suspend {
        notes.push(Note {
            path: "spec.suspend".to_owned(),
            message: "it does not start as long as this is true".to_owned(),
        });
    }
    if let (Some(target), Some(begin)) = (target, begin) {
        let windows = forbidden(scenario, plan, &target.guard.deny_windows, begin);
        notes.extend(windows.into_iter().map(|note| Note { path: note.path.to_string(), message: note.message }));
    }
    ScenarioPlan {
        name: scenario.name.clone(),
        target: spec.target.clone(),
        generation: plan.generation.clone(),
        seed: spec.seed,
        start,
        starts_at,
        lasts: Span::new(plan.ends_at),
        arrivals,
        faults: preview::faults(plan),
        contract: spec.expect.contract,
        quiet: spec.expect.quiet,
        thresholds: spec.expect.thresholds.iter().map(ToString::to_string).collect(),
        limits: spec.limits.clone(),
        notes,
    }
}

/// What stands before the lines of a scenario's chart.
fn names(scenario: &Scenario) -> impl Iterator<Item = &str> {
    let faults = scenario.spec.faults.iter().map(|fault| fault.name.as_str());
    scenario.spec.load.iter().map(|phase| phase.name.as_str()).chain(faults)
}

/// What `validate` warns of, and what `run` would refuse.
fn warnings(scenario: &Scenario, checked: &[CheckedFile<'_>]) -> Vec<Note> {
    let is_own = |document: &&super::check::CheckedDocument<'_>| {
        document.document.kind.as_deref() == Some("Scenario")
            && document.document.name.as_deref() == Some(scenario.name.as_str())
    };
    let findings = checked.iter().flat_map(|file| &file.documents).filter(is_own).flat_map(|own| &own.findings);
    findings.map(|finding| Note { path: finding.error.path.clone(), message: finding.error.message.clone() }).collect()
}

fn start(scenario: &Scenario, now: Timestamp) -> (String, Option<Timestamp>) {
    let Some(start) = &scenario.spec.start else { return ("at once".to_owned(), None) };
    let (words, at) = match &start.trigger {
        StartTrigger::After(names) => {
            let names: Vec<&str> = names.iter().map(ScenarioName::as_str).collect();
            (format!("after the verdict of {}", names.join(", ")), None)
        }
        StartTrigger::At(at) => (format!("at {}", whole_seconds(*at)), Some(*at)),
        StartTrigger::Every(every) => (format!("at once, and every {every}"), None),
        StartTrigger::Cron(cron) => (format!("by cron {cron}"), cron.next(now)),
    };
    let overlap = if start.overlap == Overlap::Allow { ", beside itself if need be" } else { "" };
    (words + overlap, at)
}

fn starts_now(scenario: &Scenario) -> bool {
    match scenario.spec.start.as_ref().map(|start| &start.trigger) {
        None | Some(StartTrigger::Every(_)) => true,
        Some(StartTrigger::After(_) | StartTrigger::At(_) | StartTrigger::Cron(_)) => false,
    }
}

/// The terminal's, within reason.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH_WITHOUT_TERMINAL } else { columns.clamp(*WIDTHS.start(), *WIDTHS.end()) }
}

#[cfg(test)]
pub mod tests {
    use crate::spec::{Manifest, Scenario, load, no_attachments};

    /// A scenario of this spec, without its target.
    pub fn scenario(spec: &str) -> Scenario {
        let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let head = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: a }\nspec:\n  target: t\n";
        let documents = load("test.yaml", (head.to_owned() + &indented).as_bytes(), &no_attachments);
        match documents.into_iter().next().map(|document| document.content) {
            Some(Ok(Manifest::Scenario(scenario))) => *scenario,
            other => panic!("not a scenario: {other:?}"),
        }
    }
}
