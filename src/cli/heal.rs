//! `dagstorm heal`: takes back what faults left behind, found by its tags alone.

use std::fmt::Write as _;

use clap::{ArgGroup, Args};
use serde::Serialize;

use super::{Exit, Output, print_as};
use crate::{
    model::{Effect, Target, Timestamp, WriterId},
    operator::take_back,
    world::{Leftover, Leftovers, LiveWorld, check_certificates},
};

/// A copy of a network ACL can only be deleted when no subnet has it any more: what fails is tried again.
const ROUNDS: usize = 3;

/// Take back everything that faults left behind in the account and the region, with no local state.
///
/// Every AWS object that a fault changes carries its mark: the tags `dagstorm:fault`, `dagstorm:heal-by`,
/// `dagstorm:writer` and `dagstorm:undo.N`. This finds them all and takes them back, also those of a dagstorm that is at
/// work: it notices. Anyone who can set these tags can make dagstorm change the object that carries them.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true), after_help = "Exit codes: 0 nothing is left, 1 something is, 4 it \
cannot be known.

Examples:
  dagstorm heal --all --dry-run
  dagstorm heal --all --region eu-west-1
  dagstorm heal --fault nightly/3f2a9c41d0b7-1/cut.1")]
pub struct Arguments {
    /// All faults.
    #[arg(long, group = "what")]
    all: bool,
    /// One fault, as its mark names it: `scenario/generation/fault.occurrence`.
    #[arg(long, value_name = "FAULT", group = "what")]
    fault: Option<String>,
    /// The region; by default the one that the environment or the profile names.
    #[arg(long)]
    region: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Healing {
    leftovers: Vec<Healed>,
    /// What could not be looked at.
    unseen: Vec<String>,
    unhealed: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Healed {
    object: String,
    fault: String,
    /// The data folder whose dagstorm injected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<WriterId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heal_by: Option<Timestamp>,
    /// What was done, or would be.
    changes: Vec<String>,
    healed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    check_certificates()?;
    let world = LiveWorld::default();
    let place = Target::anywhere(arguments.region.clone());
    let wanted = |leftover: &Leftover| arguments.fault.as_ref().is_none_or(|fault| leftover.mark.fault == *fault);
    let before = world.all_leftovers(&place).await;
    let mut healed: Vec<Healed> = before.found.iter().filter(|one| wanted(one)).map(Healed::of).collect();
    let mut unseen = before.unseen.clone();
    if !arguments.dry_run {
        let after = take_all_back(&world, &place, before, &wanted, &mut healed).await;
        unseen.extend(after.unseen);
    }
    let unhealed = healed.iter().filter(|one| !one.healed).count();
    let mut unseen: Vec<String> = unseen.into_iter().map(|why| why.message).collect();
    unseen.sort();
    unseen.dedup();
    let healing = Healing { leftovers: healed, unseen, unhealed };
    print_as(arguments.output, &healing, || table(&healing, arguments.dry_run))?;
    Ok(match (healing.unhealed, healing.unseen.is_empty()) {
        (0, true) => Exit::Passed,
        (_, true) => Exit::Failed,
        (_, false) => Exit::Environment,
    })
}

/// Takes back what is found, and looks again: what carries a mark then is not healed, whatever the answers said.
async fn take_all_back(
    world: &LiveWorld,
    place: &Target,
    mut leftovers: Leftovers,
    wanted: &impl Fn(&Leftover) -> bool,
    healed: &mut [Healed],
) -> Leftovers {
    for _ in 0..ROUNDS {
        for leftover in leftovers.found.iter().filter(|one| wanted(one)) {
            let reason = take_back(world, place, leftover).await.err();
            let name = leftover.object.to_string();
            if let Some(known) = healed.iter_mut().find(|one| one.object == name && one.fault == leftover.mark.fault) {
                known.reason = reason;
            }
        }
        leftovers = world.all_leftovers(place).await;
        let is_left = |one: &Healed| {
            leftovers.found.iter().any(|left| left.object.to_string() == one.object && left.mark.fault == one.fault)
        };
        for one in healed.iter_mut() {
            // What could not be looked at again is not known to be healed.
            one.healed = leftovers.unseen.is_empty() && !is_left(one) && one.reason.is_none();
        }
        if healed.iter().all(|one| one.healed) {
            break;
        }
    }
    leftovers
}

impl Healed {
    fn of(leftover: &Leftover) -> Self {
        let (changes, reason) = match &leftover.mark.undo {
            Ok(undo) => (undo.iter().filter_map(Effect::describe).collect(), None),
            Err(reason) => (vec![], Some(reason.clone())),
        };
        Self {
            object: leftover.object.to_string(),
            fault: leftover.mark.fault.clone(),
            writer: leftover.mark.writer.clone(),
            heal_by: leftover.mark.heal_by,
            changes,
            healed: false,
            reason,
        }
    }
}

fn by(one: &Healed) -> String {
    one.writer.as_ref().map(|writer| format!(", by the dagstorm of data folder {writer}")).unwrap_or_default()
}

fn table(healing: &Healing, dry_run: bool) -> String {
    let mut text = String::new();
    for one in &healing.leftovers {
        let state = match (dry_run, one.healed) {
            (true, _) => "left behind",
            (false, true) => "healed",
            (false, false) => "NOT healed",
        };
        let _ = writeln!(text, "{}: {state} (fault {}{})", one.object, one.fault, by(one));
        for change in &one.changes {
            let _ = writeln!(text, "  {change}");
        }
        if let Some(reason) = &one.reason {
            let _ = writeln!(text, "  {reason}");
        }
    }
    for why in &healing.unseen {
        let _ = writeln!(text, "cannot be looked at: {why}");
    }
    let total = healing.leftovers.len();
    let _ = match (total, dry_run) {
        (0, _) if healing.unseen.is_empty() => writeln!(text, "no fault left anything behind"),
        (_, true) => writeln!(text, "{total} left behind; nothing was changed"),
        (_, false) => {
            writeln!(text, "{total} left behind, {} healed, {} unhealed", total - healing.unhealed, healing.unhealed)
        }
    };
    text
}
