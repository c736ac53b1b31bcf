//! `stopTasks`: ECS StopTask on some tasks of a service; the service's scheduler starts the replacements.

use std::fmt;

use indexmap::IndexMap;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Aim, Aiming, First, Injected, Pick, Progress, Room, fresh,
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

    /// Whether this task may be stopped, as the last look shows it: a stop whose fate is not known is sent again.
    pub fn may_repeat(&self, task: &TaskArn, target: &Target, observation: &Observation) -> bool {
        let Ok((_, tasks)) = self.seen(target, observation, Timestamp::from_micros(0)) else { return false };
        let left = tasks.iter().filter(|one| is_alive(one)).count() as u32;
        let may = tasks.iter().any(|one| one.arn == *task && self.may_stop(&target.guard, one));
        may && left > target.guard.min_healthy
    }

    /// How many of these tasks a pick may stop.
    pub fn room(&self, pick: Pick, guard: &Guard, tasks: &[TaskView]) -> Room {
        let permitted = tasks.iter().filter(|task| self.may_stop(guard, task)).count() as u32;
        Room::of(pick, guard, tasks, permitted)
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
mod tests {
    use super::*;
    use crate::model::{Seen, ServiceView, Timed};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn target(guard: &str) -> Target {
        serde_json::from_str(&format!(
            r#"{{"name":"local","dagster":{{"url":"http://x/graphql","location":"demo","repository":"r","requestTimeout":"5s","settle":"15s"}},
                "ecs":{{"cluster":"demo","services":{{"workers":"taskiq-worker"}}}},"guard":{guard}}}"#
        ))
        .expect("a target")
    }

    fn kill(pick: Pick) -> StopTasks {
        StopTasks {
            tasks: Selector::Service("workers".to_owned()),
            pick,
            follow: Follow::default(),
            include_protected: false,
        }
    }

    fn task(id: &str, ready: bool) -> TaskView {
        let arn = TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id}"));
        let tags = [("ready".to_owned(), ready.to_string())].into_iter().collect();
        TaskView { arn, running: true, stopping: false, protected: false, own: false, created_at: None, tags }
    }

    fn seen(asked_at: Timestamp, desired: u32, tasks: Vec<TaskView>) -> Observation {
        let view = ServiceView { desired, running: tasks.len() as u32, tasks, ..ServiceView::default() };
        let timed = Timed { asked_at, answer: Seen::Fresh(view) };
        Observation { services: [("taskiq-worker".to_owned(), timed)].into(), ..Observation::default() }
    }

    fn aim(pick: &str, guard: &str, observation: &Observation) -> Aim {
        let fault = kill(pick.parse().expect("a pick"));
        let target = target(guard);
        either(fault.aim(&aiming(&target, observation, None)))
    }

    fn either(aim: Result<Aim, Aim>) -> Aim {
        aim.unwrap_or_else(|aim| aim)
    }

    fn aiming<'a>(target: &'a Target, observation: &'a Observation, first: Option<First<'a>>) -> Aiming<'a> {
        Aiming {
            target,
            observation,
            not_before: at(10),
            seed: 7,
            stream: 1,
            first,
            reason: "s/g/kill#1".to_owned(),
            fault: "s/g/kill#1".to_owned(),
            heal_by: at(99),
        }
    }

    fn chosen(aim: Aim) -> Result<usize, String> {
        match aim {
            Aim::Ready { targets, objects, inject, undo } => {
                assert!(objects.is_empty());
                assert_eq!(targets.len(), inject.len());
                assert_eq!(undo.steady.as_deref(), Some("taskiq-worker"));
                Ok(targets.len())
            }
            Aim::Wait(reason) | Aim::Never(reason) => Err(reason),
        }
    }

    #[test]
    fn picks_are_rounded_up_then_capped() {
        let five = seen(at(10), 5, ["a", "b", "c", "d", "e"].map(|id| task(id, true)).to_vec());
        for (pick, guard, count) in [
            ("one", "{}", Ok(1)),
            ("all", "{}", Ok(5)),
            ("30%", "{}", Ok(2)),
            ("10%", "{}", Ok(1)),
            ("9", "{}", Ok(5)),
            ("all", r#"{"minHealthy":1}"#, Ok(4)),
            ("all", r#"{"maxAffected":{"percent":50}}"#, Ok(3)),
            ("all", r#"{"maxAffected":{"count":2},"minHealthy":4}"#, Ok(1)),
            ("one", r#"{"minHealthy":5}"#, Err("minHealthy 5")),
            ("one", r#"{"requireTag":{"ready":"true"}}"#, Ok(1)),
            ("one", r#"{"requireTag":{"ready":"false"}}"#, Err("none of the 5 running tasks may be stopped")),
            ("one", r#"{"account":"111111111111"}"#, Err("none of the 5 running tasks may be stopped")),
            ("one", r#"{"region":"eu-west-1"}"#, Err("none of the 5 running tasks may be stopped")),
            ("one", r#"{"region":"us-east-1","account":"000000000000"}"#, Ok(1)),
        ] {
            match (chosen(aim(pick, guard, &five)), count) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{pick} {guard}"),
                (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{pick} {guard}: {found}"),
                (found, wanted) => panic!("{pick} {guard}: {found:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn no_look_no_aim() {
        let old = seen(at(9), 1, vec![task("a", true)]);
        let none = seen(at(10), 1, vec![]);
        for observation in [Observation::default(), old, none] {
            assert!(matches!(aim("one", "{}", &observation), Aim::Wait(_)));
        }
    }

    #[test]
    fn steady_needs_replacements() {
        let fault = kill(Pick::One);
        let (target, gone) = (target("{}"), [task("a", true)]);
        let stopping = TaskView { stopping: true, ..task("a", true) };
        for (observation, expected) in [
            (seen(at(9), 2, vec![task("b", true), task("c", true)]), Progress::Unseen),
            (seen(at(10), 2, vec![task("a", true), task("b", true)]), Progress::Intact),
            (seen(at(10), 2, vec![task("a", true)]), Progress::NotYet),
            (seen(at(10), 2, vec![stopping, task("b", true)]), Progress::Broken),
            (seen(at(10), 2, vec![task("b", true)]), Progress::Broken),
            (seen(at(10), 2, vec![task("b", true), task("c", true)]), Progress::Steady),
        ] {
            let injected =
                Injected { fault: String::new(), targets: &gone, objects: &[], undo: &Undo::default(), outcomes: &[] };
            assert_eq!(fault.progress(&target, &injected, &observation, at(10)), expected);
        }
    }

    #[test]
    fn what_is_protected_or_our_own_is_left_alone() {
        let spared = [TaskView { protected: true, ..task("p", true) }, TaskView { own: true, ..task("o", true) }];
        let all = [&spared[..], &[task("a", true), task("b", true)]].concat();
        let Aim::Ready { targets, .. } = aim("all", "{}", &seen(at(10), 4, all)) else { panic!("no targets") };
        let mut names: Vec<&str> = targets.iter().map(|task| task.arn.id()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b"]);
        let reason = chosen(aim("all", "{}", &seen(at(10), 2, spared.to_vec()))).expect_err("nobody");
        assert!(reason.contains("none of the 2 running tasks") && reason.contains("dagstorm's own"), "{reason}");
        let (target, seen) = (target("{}"), seen(at(10), 2, spared.to_vec()));
        let busy = StopTasks { include_protected: true, ..kill(Pick::All) };
        let Aim::Ready { targets, .. } = either(busy.aim(&aiming(&target, &seen, None))) else { panic!("no targets") };
        assert_eq!(targets, spared[..1], "never our own");
    }

    #[test]
    fn repeats_follow_what_they_are_told_to() {
        let created = |id: &str, second: i64| TaskView { created_at: Some(at(second)), ..task(id, true) };
        // `a` and `b` were chosen at 5; `c` was there as well; `d`, `e` and `f` came later.
        let first = [created("a", 1), created("b", 2)];
        let all = [created("a", 1), created("c", 3), created("f", 9), created("d", 7), created("e", 8)];
        let later = [created("c", 3), created("e", 8)];
        let other = [created("c", 3)];
        for (follow, tasks, wanted) in [
            (Follow::Once, &all[..], Ok(vec!["a"])),
            (Follow::Once, &later, Err("are gone")),
            (Follow::Sticky, &all, Ok(vec!["a", "d"])),
            (Follow::Sticky, &later, Ok(vec!["e"])),
            (Follow::Sticky, &other, Err("nothing runs yet")),
            (Follow::Replacements, &other, Ok(vec!["c"])),
        ] {
            let (target, seen) = (target("{}"), seen(at(10), 3, tasks.to_vec()));
            let fault = StopTasks { follow, ..kill(Pick::One) };
            let first = First { targets: &first, at: at(5) };
            let found = match either(fault.aim(&aiming(&target, &seen, Some(first)))) {
                Aim::Ready { targets, .. } => Ok(targets),
                Aim::Wait(reason) | Aim::Never(reason) => Err(reason),
            };
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => {
                    let mut found: Vec<&str> = found.iter().map(|task| task.arn.id()).collect();
                    found.sort_unstable();
                    assert_eq!(found, wanted, "{follow:?}");
                }
                (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{follow:?}: {found}"),
                (found, wanted) => panic!("{follow:?}: {found:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn tasks_of_no_service_are_healed_when_they_are_gone() {
        let of = TaskSet::Family("run".to_owned());
        let fault = StopTasks { tasks: Selector::Family("run".to_owned()), ..kill(Pick::All) };
        let (target, gone) = (target("{}"), [task("a", true), task("b", true)]);
        assert_eq!(fault.query(&target), Some(Query::Tasks { of: of.clone() }));
        let seen = |tasks: Vec<TaskView>| {
            let timed = Timed { asked_at: at(10), answer: Seen::Fresh(tasks) };
            Observation { tasks: [(of.clone(), timed)].into(), ..Observation::default() }
        };
        let Aim::Ready { targets, undo, .. } = either(fault.aim(&aiming(&target, &seen(gone.to_vec()), None))) else {
            panic!("no targets")
        };
        assert_eq!((targets.len(), undo), (2, Undo::default()), "nothing is waited for but their end");
        for (tasks, expected) in [
            (vec![task("a", true), task("b", true)], Progress::Intact),
            (vec![task("b", true), task("c", true)], Progress::NotYet),
            (vec![task("c", true)], Progress::Steady),
            (vec![], Progress::Steady),
        ] {
            let injected =
                Injected { fault: String::new(), targets: &gone, objects: &[], undo: &Undo::default(), outcomes: &[] };
            assert_eq!(fault.progress(&target, &injected, &seen(tasks), at(10)), expected);
        }
    }
}
