//! The reversals: a fault that was not seen, or met no run, proves nothing.

use std::time::Duration;

use super::Audit;
use crate::{
    journal::{FaultStage, FaultState, Generation},
    model::{Census, Copies},
    plan::{Plan, PlannedFault},
};

/// So much earlier than planned is not early.
const NEARLY: Duration = Duration::from_secs(1);

fn is_cut_short(planned: &PlannedFault, fault: &FaultState) -> bool {
    let (Some(length), Some(heal)) = (planned.length, &fault.heal) else { return false };
    heal.cause.at < fault.intended_at.plus(length.saturating_sub(NEARLY))
}

pub fn judge(plan: &Plan, generation: &Generation, census: &Census, audit: &mut Audit) {
    for planned in &plan.faults {
        let id = &planned.id;
        let Some(fault) = generation.faults.get(id) else {
            audit.gap("FaultMissing", format!("fault {id} was never injected"));
            continue;
        };
        match &fault.stage {
            FaultStage::Skipped(reason) => audit.gap("FaultSkipped", format!("fault {id} was not injected: {reason}")),
            FaultStage::GivenUp(reason) => audit.gap("FaultNotRecovered", format!("fault {id}: {reason}")),
            FaultStage::Open => audit.gap("FaultOpen", format!("fault {id} is not healed")),
            FaultStage::Healed(_) if fault.refusal().is_some() => {
                let reason = fault.refusal().unwrap_or_default();
                audit.gap("FaultRefused", format!("fault {id} was refused: {reason}"));
            }
            FaultStage::Healed(_) if fault.seen_at.is_none() => {
                let said = fault.copies().map(|copies| format!(": {}", copies.sentence())).unwrap_or_default();
                audit.gap("FaultUnseen", format!("fault {id} was never seen in place{said}"));
            }
            FaultStage::Healed(_) if fault.copies().is_some_and(|copies| !copies.is_whole()) => {
                let said = fault.copies().map(Copies::sentence).unwrap_or_default();
                audit.gap("FaultNotWhole", format!("fault {id} did not do all that it began: {said}"));
            }
            FaultStage::Healed(_) if is_cut_short(planned, fault) => {
                let reason = fault.heal.as_ref().map(|heal| heal.cause.value.as_str()).unwrap_or_default();
                audit.gap("FaultCutShort", format!("fault {id} was taken back before its time: {reason}"));
            }
            FaultStage::Healed(_) => {
                // One that lasts meets whatever runs until it is taken back.
                let until = fault.heal.as_ref().map_or(fault.intended_at, |heal| heal.cause.at);
                let met = census.runs.iter().map(|record| &record.run).any(|run| {
                    run.started_at.is_some_and(|started| started <= until)
                        && run.ended_at.is_none_or(|ended| ended >= fault.intended_at)
                });
                if !met {
                    let when =
                        if fault.heal.is_some() { "while fault {} was in place" } else { "when fault {} was injected" };
                    audit.gap(
                        "FaultWithoutOverlap",
                        format!("no run was in flight {}", when.replace("{}", &id.to_string())),
                    );
                }
            }
        }
    }
}
