//! `stopTasks`: ECS StopTask on some tasks of a service; the service's scheduler starts the replacements.

use std::{fmt, str::FromStr};

use indexmap::IndexMap;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};

use super::{Aim, Aiming, First, Injected, Progress, fresh};
use crate::model::{
    Effect, Guard, Observation, Query, Target, TaskSet, TaskView, Timestamp, Undo, schema::text_schema, target::Amount,
    time::as_string,
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

/// How many tasks: `one`, `all`, a number or a share such as `30%` (rounded up to at least one, then capped by the guard).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    #[default]
    One,
    All,
    Some(Amount),
}

/// How many tasks of a service a pick may stop, and what bounds it. The share is rounded up, then capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub pick: Pick,
    pub running: u32,
    /// Of these, how many may be stopped: by the guard, and because they are neither protected nor our own.
    pub permitted: u32,
    pub wanted: u32,
    /// The guard's limit, and how many it allows.
    pub max_affected: Option<(Amount, u32)>,
    /// How many must stay, and how many that allows.
    pub min_healthy: (u32, u32),
}

impl StopTasks {
    fn service<'a>(&self, target: &'a Target) -> Option<&'a str> {
        match &self.tasks {
            Selector::Service(role) => target.ecs.as_ref()?.service(role),
            Selector::Family(_) | Selector::Tag(_) | Selector::StartedBy(_) => None,
        }
    }

    pub fn describe(&self) -> String {
        format!("stop {} of {}", self.pick, self.tasks)
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
        let room = Room::of(pick, guard, tasks);
        let mut allowed: Vec<TaskView> = followed.into_iter().filter(|task| may_stop(guard, task)).cloned().collect();
        if allowed.is_empty() {
            return Err(Aim::Wait(match room.running {
                0 => format!("{what}: no task runs"),
                running => format!(
                    "{what}: none of the {running} running tasks may be stopped (not permitted by the guard's account, \
                     region and tags, under scale-in protection, or dagstorm's own)"
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
        Ok(Aim::Ready { targets: allowed, objects: vec![], inject, undo })
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

impl Room {
    /// Counts the tasks of a service.
    pub fn of(pick: Pick, guard: &Guard, tasks: &[TaskView]) -> Self {
        let running = tasks.iter().filter(|task| is_alive(task)).count() as u32;
        Self {
            pick,
            running,
            permitted: tasks.iter().filter(|task| may_stop(guard, task)).count() as u32,
            wanted: pick.of(running),
            max_affected: guard.max_affected.map(|limit| (limit, limit.cap(running))),
            min_healthy: (guard.min_healthy, running.saturating_sub(guard.min_healthy)),
        }
    }

    /// How many would be stopped.
    pub fn count(&self) -> u32 {
        let cap = self.max_affected.map_or(self.running, |(_, most)| most).min(self.min_healthy.1);
        self.wanted.min(cap).min(self.permitted)
    }
}

/// In words: `30% of 5 running = 2, maxAffected 50% allows 3, minHealthy 1 allows 4 → 2`.
impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} running", self.pick, self.running)?;
        if let Pick::All | Pick::Some(Amount::Percent(_)) = self.pick {
            write!(f, " = {}", self.wanted)?;
        }
        if self.permitted < self.running {
            write!(f, ", {} may be stopped", self.permitted)?;
        }
        if let Some((limit, most)) = self.max_affected {
            write!(f, ", maxAffected {} allows {most}", Pick::Some(limit))?;
        }
        if self.min_healthy.0 > 0 {
            write!(f, ", minHealthy {} allows {}", self.min_healthy.0, self.min_healthy.1)?;
        }
        write!(f, " → {}", self.count())
    }
}

/// Whether a fault may stop this task now: it runs, it is under no scale-in protection, it is not dagstorm's own, and the
/// guard permits its account, its region and its tags.
pub fn may_stop(guard: &Guard, task: &TaskView) -> bool {
    is_alive(task) && !task.protected && !task.own && permits(guard, task)
}

fn is_alive(task: &TaskView) -> bool {
    task.running && !task.stopping
}

fn permits(guard: &Guard, task: &TaskView) -> bool {
    let place = task.arn.region_and_account();
    let same = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|name| found == Some(name));
    same(&guard.region, place.map(|(region, _)| region))
        && same(&guard.account, place.map(|(_, account)| account))
        && guard.require_tag.iter().all(|(tag, value)| task.tags.get(tag) == Some(value))
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

impl Pick {
    pub(super) fn of(self, running: u32) -> u32 {
        match self {
            Self::One => 1,
            Self::All => running,
            Self::Some(amount) => amount.of(running),
        }
    }
}

impl FromStr for Pick {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no number of things: write `one`, `all`, a number such as `2`, or a share such as `30%`"
            )
        };
        match text {
            "one" => return Ok(Self::One),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let (digits, percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        match (number, percent) {
            (0, _) => Err(format!("`{text}` is nothing: it is at least 1, or 1%")),
            (101.., true) => Err(format!("`{text}` is more than all: a share is 100% at most")),
            (share, true) => Ok(Self::Some(Amount::Percent(share))),
            (count, false) => Ok(Self::Some(Amount::Count(count))),
        }
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("one"),
            Self::All => f.write_str("all"),
            Self::Some(Amount::Count(count)) => write!(f, "{count}"),
            Self::Some(Amount::Percent(share)) => write!(f, "{share}%"),
        }
    }
}

text_schema!(
    Pick,
    "Pick",
    "How many: `one`, `all`, a number, or a share (rounded up to at least one, then capped by the guard).",
    "^(one|all|[1-9][0-9]*|([1-9][0-9]?|100)%)$" or integer,
    ["one", "30%", 2]
);
as_string!(Pick, "`one`, `all`, a number such as `2`, or a share such as `30%`");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Seen, ServiceView, TaskArn, Timed};

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
        StopTasks { tasks: Selector::Service("workers".to_owned()), pick, follow: Follow::default() }
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
    fn the_room_is_said_in_words() {
        for (pick, guard, words) in [
            (
                "30%",
                r#"{"maxAffected":{"percent":50},"minHealthy":1}"#,
                "30% of 5 running = 2, maxAffected 50% allows 3, minHealthy 1 allows 4 → 2",
            ),
            ("one", "{}", "one of 5 running → 1"),
            ("9", "{}", "9 of 5 running → 5"),
            ("all", r#"{"minHealthy":6}"#, "all of 5 running = 5, minHealthy 6 allows 0 → 0"),
            (
                "all",
                r#"{"requireTag":{"ready":"true"},"maxAffected":{"count":4}}"#,
                "all of 5 running = 5, 3 may be stopped, maxAffected 4 allows 4 → 3",
            ),
        ] {
            let mut tasks: Vec<TaskView> = ["a", "b", "c"].map(|id| task(id, true)).to_vec();
            tasks.extend(["d", "e"].map(|id| task(id, false)));
            tasks.push(TaskView { stopping: true, ..task("gone", true) });
            let room = Room::of(pick.parse().expect("a pick"), &target(guard).guard, &tasks);
            assert_eq!(room.to_string(), words, "{pick} {guard}");
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

    #[test]
    fn picks_read_and_print() {
        for text in ["one", "all", "3", "30%"] {
            assert_eq!(text.parse::<Pick>().expect(text).to_string(), text);
        }
        for text in ["0", "0%", "101%", "some", "-1", ""] {
            assert!(text.parse::<Pick>().is_err(), "{text}");
        }
    }
}
