//! `stopTasks`: ECS StopTask on some tasks of a service; the service's scheduler starts the replacements.

use std::fmt;

use indexmap::IndexMap;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Aim, Aiming, First, Injected, Pick, Progress, Room, fresh, guard,
    pick::{is_alive, permits},
};
use crate::model::{
    Effect, Guard, Object, Observation, Query, Target, TaskArn, TaskSet, TaskView, Timestamp, Undo, target::Amount,
};

/// Stops tasks: of the service behind a role of the target, or whatever a family, tags or `startedBy` select.
///
/// It needs no undo of ours: ECS replaces the tasks of a service. It is healed when the service runs as many tasks as
/// it wants and none of the targets; tasks of no service are replaced by nobody, and it is healed when they are gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopTasks {
    /// Which tasks.
    pub tasks: Selector,
    /// How many of them.
    #[serde(default)]
    pub pick: Pick,
    /// How repeats choose.
    #[serde(default)]
    pub follow: Follow,
    /// Whether tasks under scale-in protection may be stopped too: by it a worker says that it is busy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_protected: bool,
}

/// Which tasks a fault is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selector {
    /// Those of the service behind a role of the target's `ecs.services`.
    Service(String),
    /// Those of a task definition's family, whoever started them.
    Family(String),
    /// Those that carry all of these tags.
    Tag(IndexMap<String, String>),
    /// Those that were started with this `startedBy`.
    StartedBy(String),
}

/// What the repeats of a fault act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Follow {
    /// The tasks that the first occurrence chose, as far as they still run.
    Once,
    /// The tasks that the first occurrence chose, and what replaced them.
    Sticky,
    /// A new choice among all tasks that run then, replacements included.
    #[default]
    Replacements,
}

impl StopTasks {
    fn service<'a>(&self, target: &'a Target) -> Option<&'a str> {
        match &self.tasks {
            Selector::Service(role) => target.ecs.as_ref()?.service(role),
            Selector::Family(_) | Selector::Tag(_) | Selector::StartedBy(_) => None,
        }
    }

    pub fn describe(&self) -> String {
        let protected = if self.include_protected { ", protected ones too" } else { "" };
        format!("stop {} of {}{protected}", self.pick, self.tasks)
    }

    pub fn query(&self, target: &Target) -> Option<Query> {
        let of = match &self.tasks {
            Selector::Service(_) => return Some(Query::Service { service: self.service(target)?.to_owned() }),
            Selector::Family(family) => TaskSet::Family(family.clone()),
            Selector::Tag(tags) => TaskSet::Tag(tags.clone().into_iter().collect()),
            Selector::StartedBy(who) => TaskSet::StartedBy(who.clone()),
        };
        target.ecs.as_ref().map(|_| Query::Tasks { of })
    }

    /// What the last look at the tasks shows: how many are wanted, if anybody says so, and those that are there.
    fn seen<'a>(
        &self,
        target: &Target,
        observation: &'a Observation,
        not_before: Timestamp,
    ) -> Result<(Option<u32>, &'a [TaskView]), Aim> {
        let what = self.what(target);
        match self.query(target) {
            Some(Query::Service { service }) => {
                let view = fresh(observation.services.get(&service), not_before, &what)?;
                Ok((Some(view.desired), &view.tasks))
            }
            Some(Query::Tasks { of }) => Ok((None, fresh(observation.tasks.get(&of), not_before, &what)?)),
            Some(_) | None => Err(Aim::Never(format!("the target names no service for {}", self.tasks))),
        }
    }

    fn what(&self, target: &Target) -> String {
        self.service(target).map_or_else(|| format!("the tasks of {}", self.tasks), |name| format!("service {name}"))
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Result<Aim, Aim> {
        let (_, tasks) = self.seen(aiming.target, aiming.observation, aiming.not_before)?;
        if self.is_draining(aiming) {
            return Err(Aim::Wait(guard::nothing_replaces(&self.what(aiming.target))));
        }
        let (guard, what) = (&aiming.target.guard, self.what(aiming.target));
        let (pick, followed) = self.followed(aiming, tasks)?;
        let room = self.room(pick, guard, tasks);
        let mut allowed: Vec<TaskView> =
            followed.into_iter().filter(|task| self.may_stop(guard, task)).cloned().collect();
        if allowed.is_empty() {
            return Err(Aim::Wait(match room.running {
                0 => format!("{what}: no task runs"),
                running => format!(
                    "{what}: none of the {running} running tasks may be stopped (not permitted by the guard's account, \
                     region and tags, under scale-in protection without `includeProtected`, or dagstorm's own)"
                ),
            }));
        }
        let count = room.count();
        if count == 0 {
            return Err(Aim::Wait(format!(
                "{what}: {} tasks run, and the guard lets none be stopped (minHealthy {}, maxAffected {})",
                room.running,
                guard.min_healthy,
                guard.max_affected.map_or("unset".to_owned(), |limit| Pick::Some(limit).to_string()),
            )));
        }
        allowed.sort_by(|a, b| a.arn.cmp(&b.arn));
        allowed.shuffle(&mut aiming.rng());
        allowed.truncate(count as usize);
        let inject = allowed
            .iter()
            .map(|task| Effect::StopTask { task: task.arn.clone(), reason: aiming.reason.clone() })
            .collect();
        let undo = Undo { effects: vec![], steady: self.service(aiming.target).map(str::to_owned) };
        // Faults on one service wait for each other, whoever they are of: each counts on what the other leaves.
        let objects = self.service_object(aiming).into_iter().collect();
        Ok(Aim::Ready { targets: allowed, objects, inject, undo })
    }

    /// Whether a task may be stopped now: it runs, it is not dagstorm's own, it is under no scale-in protection unless that
    /// does not matter, and the guard permits its account, its region and its tags.
    pub fn may_stop(&self, guard: &Guard, task: &TaskView) -> bool {
        is_alive(task) && !task.own && (self.include_protected || !task.protected) && permits(guard, task)
    }

    /// Whether a stop whose fate is not known may be sent again, as a look asked at or after `since` shows its task. Those of
    /// `going` may be stopped by now, or will be: none of them counts as one that stays.
    pub fn may_repeat(
        &self,
        task: &TaskArn,
        going: &[&TaskArn],
        target: &Target,
        observation: &Observation,
        since: Timestamp,
    ) -> bool {
        let Ok((_, tasks)) = self.seen(target, observation, since) else { return false };
        let stays = |one: &&TaskView| is_alive(one) && one.arn != *task && !going.contains(&&one.arn);
        let left = tasks.iter().filter(stays).count() as u32;
        let may = tasks.iter().any(|one| one.arn == *task && self.may_stop(&target.guard, one));
        may && left >= target.guard.min_healthy
    }

    /// How many of these tasks a pick may stop.
    pub fn room(&self, pick: Pick, guard: &Guard, tasks: &[TaskView]) -> Room {
        let permitted = tasks.iter().filter(|task| self.may_stop(guard, task)).count() as u32;
        Room::of(pick, guard, tasks, permitted)
    }

    fn is_draining(&self, aiming: &Aiming<'_>) -> bool {
        let view = self.service(aiming.target).and_then(|service| aiming.observation.services.get(service));
        view.and_then(|view| view.answer.fresh()).is_some_and(|view| view.draining)
    }

    fn service_object(&self, aiming: &Aiming<'_>) -> Option<Object> {
        let view = aiming.observation.services.get(self.service(aiming.target)?)?.answer.fresh()?;
        (!view.arn.is_empty()).then(|| Object::Service(view.arn.clone()))
    }

    /// The tasks that this occurrence chooses among, and how many of them.
    fn followed<'a>(&self, aiming: &Aiming<'_>, tasks: &'a [TaskView]) -> Result<(Pick, Vec<&'a TaskView>), Aim> {
        let alive = tasks.iter().filter(|task| is_alive(task));
        let (Some(First { targets, at }), Follow::Once | Follow::Sticky) = (aiming.first, self.follow) else {
            return Ok((self.pick, alive.collect()));
        };
        let is_chosen = |task: &TaskView| targets.iter().any(|chosen| chosen.arn == task.arn);
        let came_later = |task: &TaskView| task.created_at.is_some_and(|created| created > at);
        let mut found: Vec<&TaskView> = match self.follow {
            Follow::Once => alive.filter(|task| is_chosen(task)).collect(),
            Follow::Sticky | Follow::Replacements => alive.filter(|task| is_chosen(task) || came_later(task)).collect(),
        };
        // ECS does not say which task replaces which: as many as were chosen, the oldest first.
        found.sort_by(|a, b| (a.created_at, &a.arn).cmp(&(b.created_at, &b.arn)));
        found.truncate(targets.len());
        match (found.is_empty(), self.follow) {
            (true, Follow::Once) => {
                Err(Aim::Never("follow: once, and the tasks that the first occurrence chose are gone".to_owned()))
            }
            (true, Follow::Sticky | Follow::Replacements) => {
                Err(Aim::Wait("follow: sticky, and nothing runs yet that replaces what was stopped".to_owned()))
            }
            (false, _) => Ok((Pick::Some(Amount::Count(found.len() as u32)), found)),
        }
    }

    pub fn progress(
        &self,
        target: &Target,
        injected: &Injected<'_>,
        observation: &Observation,
        since: Timestamp,
    ) -> Progress {
        let Ok((desired, tasks)) = self.seen(target, observation, since) else { return Progress::Unseen };
        let alive = || tasks.iter().filter(|task| is_alive(task));
        let left = alive().filter(|task| injected.targets.iter().any(|gone| gone.arn == task.arn)).count();
        // Nobody replaces tasks of no service: nothing went as long as all of them are there.
        let steady = desired.map_or(left == 0 || left == injected.targets.len(), |desired| {
            desired > 0 && alive().count() as u32 >= desired
        });
        match (left > 0, steady) {
            (true, true) => Progress::Intact,
            (true, false) => Progress::NotYet,
            (false, true) => Progress::Steady,
            (false, false) => Progress::Broken,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(role) => f.write_str(role),
            Self::Family(family) => write!(f, "family {family}"),
            Self::Tag(tags) => {
                let pairs: Vec<String> = tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
                write!(f, "tag {}", pairs.join(","))
            }
            Self::StartedBy(who) => write!(f, "startedBy {who}"),
        }
    }
}

#[cfg(test)]
mod tests;
