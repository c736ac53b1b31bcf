//! `stopTasks`: ECS StopTask on some tasks of a service; the service's scheduler starts the replacements.

use std::{fmt, str::FromStr};

use indexmap::IndexMap;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};

use super::{Aim, Aiming, Injected, Progress};
use crate::model::{
    Effect, Guard, Observation, Query, Target, TaskView, Timestamp, Undo, schema::text_schema, target::Amount,
    time::as_string,
};

/// Stops tasks of the service behind a role of the target.
///
/// It needs no undo of ours: ECS replaces the tasks of a service. It is healed when the service runs as many tasks as
/// it wants and none of the targets.
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
    /// Of these, how many the guard lets be a target.
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
        Some(Query::Service { service: self.service(target)?.to_owned() })
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Aim {
        let Some(service) = self.service(aiming.target) else {
            return Aim::Never(format!("the target names no service for {}", self.tasks));
        };
        let Some(seen) = aiming.observation.services.get(service) else {
            return Aim::Wait(format!("service {service} was not looked at yet"));
        };
        if seen.asked_at < aiming.not_before {
            return Aim::Wait(format!("the last look at service {service} is too old"));
        }
        let view = match &seen.answer {
            crate::model::Seen::Fresh(view) => view,
            crate::model::Seen::Unavailable(why) => return Aim::Wait(format!("service {service}: {why}")),
        };
        let guard = &aiming.target.guard;
        let room = Room::of(self.pick, guard, &view.tasks);
        let mut allowed: Vec<TaskView> = view.tasks.iter().filter(|task| may_stop(guard, task)).cloned().collect();
        if allowed.is_empty() {
            return Aim::Wait(match room.running {
                0 => format!("service {service} runs no task"),
                running => {
                    format!("none of the {running} running tasks of service {service} is permitted by the guard")
                }
            });
        }
        let count = room.count();
        if count == 0 {
            return Aim::Wait(format!(
                "service {service} runs {} tasks: the guard lets none be stopped (minHealthy {}, maxAffected {})",
                room.running,
                guard.min_healthy,
                guard.max_affected.map_or("unset".to_owned(), |limit| Pick::Some(limit).to_string()),
            ));
        }
        allowed.sort_by(|a, b| a.arn.cmp(&b.arn));
        allowed.shuffle(&mut aiming.rng());
        allowed.truncate(count as usize);
        let inject = allowed
            .iter()
            .map(|task| Effect::StopTask { task: task.arn.clone(), reason: aiming.reason.clone() })
            .collect();
        let undo = Undo { effects: vec![], steady: Some(service.to_owned()) };
        Aim::Ready { targets: allowed, objects: vec![], inject, undo }
    }

    pub fn progress(
        &self,
        target: &Target,
        injected: &Injected<'_>,
        observation: &Observation,
        since: Timestamp,
    ) -> Progress {
        let view = self.service(target).and_then(|service| observation.services.get(service));
        let Some((asked_at, view)) = view.and_then(|seen| Some((seen.asked_at, seen.answer.fresh()?))) else {
            return Progress::Unseen;
        };
        if asked_at < since {
            return Progress::Unseen;
        }
        let alive = || view.tasks.iter().filter(|task| is_alive(task));
        let steady = view.desired > 0 && alive().count() as u32 >= view.desired;
        let still_there = alive().any(|task| injected.targets.iter().any(|gone| gone.arn == task.arn));
        match (still_there, steady) {
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
            write!(f, ", the guard permits {}", self.permitted)?;
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

/// Whether a fault may stop this task now: it runs, it is under no scale-in protection, and the guard permits its account,
/// its region and its tags.
pub fn may_stop(guard: &Guard, task: &TaskView) -> bool {
    is_alive(task) && !task.protected && permits(guard, task)
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
        TaskView { arn, running: true, stopping: false, protected: false, tags }
    }

    fn seen(asked_at: Timestamp, desired: u32, tasks: Vec<TaskView>) -> Observation {
        let view = ServiceView { desired, running: tasks.len() as u32, tasks, ..ServiceView::default() };
        let timed = Timed { asked_at, answer: Seen::Fresh(view) };
        Observation { services: [("taskiq-worker".to_owned(), timed)].into(), ..Observation::default() }
    }

    fn aim(pick: &str, guard: &str, observation: &Observation) -> Aim {
        let fault = kill(pick.parse().expect("a pick"));
        let target = target(guard);
        fault.aim(&Aiming {
            target: &target,
            observation,
            not_before: at(10),
            seed: 7,
            stream: 1,
            reason: "s/g/kill#1".to_owned(),
            fault: "s/g/kill#1".to_owned(),
            heal_by: at(99),
        })
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
            ("one", r#"{"requireTag":{"ready":"false"}}"#, Err("permitted by the guard")),
            ("one", r#"{"account":"111111111111"}"#, Err("permitted by the guard")),
            ("one", r#"{"region":"eu-west-1"}"#, Err("permitted by the guard")),
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
                "all of 5 running = 5, the guard permits 3, maxAffected 4 allows 4 → 3",
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
    fn picks_read_and_print() {
        for text in ["one", "all", "3", "30%"] {
            assert_eq!(text.parse::<Pick>().expect(text).to_string(), text);
        }
        for text in ["0", "0%", "101%", "some", "-1", ""] {
            assert!(text.parse::<Pick>().is_err(), "{text}");
        }
    }
}
