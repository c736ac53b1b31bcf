//! Which tasks of the services came and went: what a finding is explained by.

use std::collections::BTreeSet;

use super::Decision;
use crate::{
    journal::{Event, Generation},
    model::{Observation, TaskArn},
};

/// Notes tasks that began to run or ceased to, by the looks that are made anyway.
pub fn decide(state: &Generation, observation: &Observation, decision: &mut Decision) {
    let Some(started_at) = state.started_at.filter(|_| state.audit_began_at.is_none()) else { return };
    for (service, seen) in &observation.services {
        let Some(view) = seen.answer.fresh().filter(|_| seen.asked_at >= started_at) else { continue };
        let running = view.tasks.iter().filter(|task| task.running && !task.stopping);
        let running: BTreeSet<&TaskArn> = running.map(|task| &task.arn).collect();
        let known = state.tasks.iter().filter(|(_, life)| life.service == *service && life.left_at.is_none());
        let known: BTreeSet<&TaskArn> = known.map(|(arn, _)| arn).collect();
        let of = |tasks: &mut dyn Iterator<Item = &&TaskArn>| tasks.map(|arn| (*arn).clone()).collect::<Vec<_>>();
        let came = of(&mut running.difference(&known));
        let left = of(&mut known.difference(&running));
        if !came.is_empty() || !left.is_empty() {
            let (service, asked_at) = (service.clone(), seen.asked_at);
            decision.notes.push(Event::TasksChanged { service, asked_at, came, left });
        }
    }
}
