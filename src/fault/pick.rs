//! How many things a fault takes, and what bounds it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::model::{Guard, TaskView, schema::text_schema, target::Amount, time::as_string};

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

impl Room {
    /// Counts tasks, of which so many may be stopped.
    pub fn of(pick: Pick, guard: &Guard, tasks: &[TaskView], permitted: u32) -> Self {
        let running = tasks.iter().filter(|task| is_alive(task)).count() as u32;
        Self {
            pick,
            running,
            permitted,
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

pub(super) fn is_alive(task: &TaskView) -> bool {
    task.running && !task.stopping
}

/// Whether the guard permits the account, the region and the tags of a task.
pub fn permits(guard: &Guard, task: &TaskView) -> bool {
    let place = task.arn.region_and_account();
    let same = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|name| found == Some(name));
    same(&guard.region, place.map(|(region, _)| region))
        && same(&guard.account, place.map(|(_, account)| account))
        && guard.require_tag.iter().all(|(tag, value)| task.tags.get(tag) == Some(value))
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
    use crate::model::TaskArn;

    fn task(id: &str, ready: bool) -> TaskView {
        let arn = TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id}").into());
        let tags = [("ready".to_owned(), ready.to_string())].into_iter().collect();
        TaskView { arn, running: true, stopping: false, protected: false, own: false, created_at: None, tags }
    }

    #[test]
    fn the_room_is_said_in_words() {
        for (pick, text, words) in [
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
            let guard: Guard = serde_json::from_str(text).expect(text);
            let permitted = tasks.iter().filter(|task| is_alive(task) && permits(&guard, task)).count() as u32;
            let room = Room::of(pick.parse().expect("a pick"), &guard, &tasks, permitted);
            assert_eq!(room.to_string(), words, "{pick} {text}");
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
