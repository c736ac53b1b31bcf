//! The five scenarios of the specification from flags: `dagstorm run steady-load --rate 6/min`.
//!
//! Flags become the text of a manifest, and that text is loaded as any file is: what runs is what `--print` shows.

mod basics;
mod burst_load;
mod mixed_workload;
mod network_partition;
mod place;
mod scale;
mod steady_load;
mod worker_failure;

use clap::Subcommand;
pub use place::usual_url;

use self::{
    basics::Basics,
    place::{Found, Guard, Path},
};
use super::{
    check::{Severity, check, scenarios},
    draft::{Draft, NAME, Wrong},
    files::Given,
};
use crate::{
    decide::AWS_SETTLE,
    model::{Span, Target},
    spec::{Document, FaultSpec, FaultTrigger, LoadPhase, Manifest, help_for, load, no_attachments},
};

const NAMES: [&str; 5] = ["steady-load", "burst-load", "mixed-workload", "worker-failure", "network-partition"];

/// The ready-made scenarios. A file of such a name is reached as `./steady-load`.
#[derive(Debug, Subcommand)]
pub enum Ready {
    SteadyLoad(steady_load::Arguments),
    BurstLoad(burst_load::Arguments),
    MixedWorkload(mixed_workload::Arguments),
    WorkerFailure(worker_failure::Arguments),
    NetworkPartition(network_partition::Arguments),
}

/// What the flags mean.
#[derive(Debug)]
pub struct Built {
    /// The manifest as `--print` shows it.
    pub text: String,
    /// It shall be shown, not run.
    pub is_printed: bool,
    /// The manifest, with the file of the Target if that was given.
    pub given: Given,
    /// What is worth knowing before it runs.
    pub notes: Vec<String>,
}

/// What the Target lacks, so that a threshold on it can only fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lacks {
    workers: bool,
    queue: bool,
}

impl Ready {
    /// Makes the manifest and checks it.
    ///
    /// # Errors
    /// All that is wrong, each with the flag that it comes from.
    pub fn build(&self) -> Result<Built, Vec<Wrong>> {
        let basics = self.basics();
        let found = basics.place.find(self.guard(), self.path())?;
        let lacks = match found.target()? {
            Some(target) => Lacks {
                workers: target.ecs.as_ref().is_none_or(|ecs| ecs.service("workers").is_none()),
                queue: target.queue.is_none(),
            },
            None => Lacks::default(),
        };
        let mut scenario = self.draft(found.name(), lacks);
        if let Found::Flags(_) = found {
            scenario.flag("spec.faults[0].stopTasks.service", "--cluster and --workers");
            scenario.flag("spec.faults[0].partition.and", "--workers-group and --peer-at");
        }
        let mut text = scenario.text.clone();
        let mut files = vec![];
        match &found {
            Found::Nowhere => {}
            Found::File { file, text, target: _, commented: _ } => {
                files.push((file.clone(), Ok(text.clone().into_bytes())));
            }
            Found::Flags(target) => text = format!("{}---\n{text}", target.text),
        }
        files.insert(0, (NAME.to_owned(), Ok(text.clone().into_bytes())));
        let given = Given::of(files);
        let mut wrong = refusals(&given, &scenario, &found, basics.print);
        if !wrong.is_empty() {
            wrong.extend(self.commented(&found).map(Wrong::Flag));
            return Err(wrong);
        }
        if matches!(found, Found::Nowhere) && !basics.print {
            return Err(vec![Wrong::Flag(place::WHERE.to_owned())]);
        }
        let mut notes = basics.left_out(self.thresholds(), lacks);
        notes.extend(self.times().and_then(|flag| crowded(&given, flag)));
        Ok(Built { text, is_printed: basics.print, given, notes })
    }

    fn basics(&self) -> &Basics {
        match self {
            Self::SteadyLoad(arguments) => &arguments.basics,
            Self::BurstLoad(arguments) => &arguments.basics,
            Self::MixedWorkload(arguments) => &arguments.basics,
            Self::WorkerFailure(arguments) => &arguments.basics,
            Self::NetworkPartition(arguments) => &arguments.basics,
        }
    }

    /// What a fault may not exceed, where there is one.
    fn guard(&self) -> Option<&Guard> {
        match self {
            Self::SteadyLoad(_) | Self::BurstLoad(_) | Self::MixedWorkload(_) => None,
            Self::WorkerFailure(arguments) => Some(&arguments.guard),
            Self::NetworkPartition(arguments) => Some(&arguments.guard),
        }
    }

    /// The path that is cut, where one is.
    fn path(&self) -> Option<(&str, &Path)> {
        match self {
            Self::SteadyLoad(_) | Self::BurstLoad(_) | Self::MixedWorkload(_) | Self::WorkerFailure(_) => None,
            Self::NetworkPartition(arguments) => Some((&arguments.peer, &arguments.path)),
        }
    }

    /// The way out where the Target lacks what `dagstorm init` has written as comments.
    fn commented(&self, found: &Found) -> Option<String> {
        let Found::File { file, text: _, target, commented } = found else { return None };
        let missing = match self {
            Self::SteadyLoad(_) | Self::BurstLoad(_) | Self::MixedWorkload(_) => return None,
            Self::WorkerFailure(_) => target.ecs.is_none().then_some("ecs")?,
            Self::NetworkPartition(arguments) => match &target.network {
                None => "network",
                Some(network) => (!network.peers.contains_key(&arguments.peer)).then_some("peers")?,
            },
        };
        let (_, line) = commented.iter().find(|(field, _)| field == missing)?;
        Some(format!(
            "{file}:{line}: `{missing}` stands there as a comment: remove the `#` from it and from the lines below that you \
             mean"
        ))
    }

    /// The flag that says how often a fault comes, where there is one.
    fn times(&self) -> Option<&'static str> {
        match self {
            Self::SteadyLoad(_) | Self::BurstLoad(_) | Self::MixedWorkload(_) => None,
            Self::WorkerFailure(_) => Some("--kills"),
            Self::NetworkPartition(_) => Some("--cuts"),
        }
    }

    fn thresholds(&self) -> &'static [basics::Shipped] {
        match self {
            Self::SteadyLoad(_) => steady_load::THRESHOLDS,
            Self::BurstLoad(_) => burst_load::THRESHOLDS,
            Self::MixedWorkload(_) => mixed_workload::THRESHOLDS,
            Self::WorkerFailure(_) => worker_failure::THRESHOLDS,
            Self::NetworkPartition(_) => network_partition::THRESHOLDS,
        }
    }

    fn draft(&self, target: &str, lacks: Lacks) -> Draft {
        match self {
            Self::SteadyLoad(arguments) => arguments.draft(target, lacks),
            Self::BurstLoad(arguments) => arguments.draft(target, lacks),
            Self::MixedWorkload(arguments) => arguments.draft(target, lacks),
            Self::WorkerFailure(arguments) => arguments.draft(target, lacks),
            Self::NetworkPartition(arguments) => arguments.draft(target, lacks),
        }
    }
}

/// Everything that is wrong, in the words of the flags where one is behind it. Only what runs must be able to run.
fn refusals(given: &Given, scenario: &Draft, found: &Found, is_printed: bool) -> Vec<Wrong> {
    let least = if is_printed || matches!(found, Found::Nowhere) { Severity::Error } else { Severity::Blocker };
    let mut wrong = vec![];
    for file in check(given) {
        for checked in &file.documents {
            let draft = match found {
                Found::Flags(target) if checked.document.kind.as_deref() == Some(target.kind.word()) => target,
                Found::Flags(_) | Found::File { .. } | Found::Nowhere => scenario,
            };
            for finding in checked.findings.iter().filter(|finding| finding.severity >= least) {
                let found = draft.wrong(&finding.error, file.file.text());
                // One flag may stand in several places.
                if !wrong.contains(&found) {
                    wrong.push(found);
                }
            }
        }
    }
    wrong
}

/// One line if the occurrences of a fault do not fit into the load: each waits until the one before it is healed.
fn crowded(given: &Given, flag: &str) -> Option<String> {
    let (scenario, target) = scenarios(given).into_iter().next()?;
    target?;
    let ends = scenario.spec.load.iter().map(LoadPhase::ends).max()?;
    let is_crowded = |fault: &&FaultSpec| {
        let (FaultTrigger::After(after), Some(repeat)) = (fault.trigger, &fault.repeat) else { return false };
        let apart = repeat.every.duration().max(AWS_SETTLE + fault.length.unwrap_or_default().duration());
        after.duration() + apart * repeat.times.saturating_sub(1) >= ends
    };
    let fault = scenario.spec.faults.iter().find(is_crowded)?;
    Some(format!(
        "not every `{}` may fit into the load: each waits until the one before it is healed, which takes {} \
         at least; what is skipped makes the verdict Unknown, so give a longer --for or a lower {flag}",
        fault.name,
        Span::new(AWS_SETTLE)
    ))
}

/// The Target that a draft is, if it is a good one.
fn target_of(draft: &Draft) -> Result<Target, Vec<Wrong>> {
    let documents = load(NAME, draft.text.as_bytes(), &no_attachments);
    match documents.into_iter().next().map(|document: Document| document.content) {
        Some(Ok(Manifest::Target(target))) => Ok(*target),
        Some(Err(errors)) => Err(errors.iter().map(|error| draft.wrong(error, &draft.text)).collect()),
        Some(Ok(Manifest::Scenario(_))) | None => unreachable!("the draft of a Target is one document, and a Target"),
    }
}

/// Whether it is the name of a ready-made scenario.
pub fn is_ready(word: &str) -> bool {
    NAMES.contains(&word)
}

/// What to say of a word where a file or a ready-made scenario was expected; `None` if it looks like a file.
pub fn unknown(word: &str) -> Option<String> {
    if is_ready(word) {
        let message = format!("`{word}` is a ready-made scenario and stands alone: its Target comes by --target FILE");
        return Some(message);
    }
    if word == "-" || word.contains(['/', '\\', '.']) {
        return None;
    }
    Some(format!("`{word}` is neither a file nor a ready-made scenario; {}", help_for(word, NAMES)))
}
