//! The reversals: a fault that was not seen, or met no run, proves nothing.

use super::Audit;
use crate::{
    journal::{FaultStage, Generation},
    model::Census,
    plan::Plan,
};

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
            FaultStage::Healed(_) if fault.seen_at.is_none() => {
                audit.gap("FaultUnseen", format!("fault {id} was never seen in place"));
            }
            FaultStage::Healed(_) => {
                let met = census.runs.iter().map(|record| &record.run).any(|run| {
                    run.started_at.is_some_and(|started| started <= fault.intended_at)
                        && run.ended_at.is_none_or(|ended| ended >= fault.intended_at)
                });
                if !met {
                    audit.gap("FaultWithoutOverlap", format!("no run was in flight when fault {id} was injected"));
                }
            }
        }
    }
}
