//! Two dagstorms with a data folder each, on the same manifests: which of them goes on, and whether the other one stops.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dagstorm::model::{DagsterView, GenerationId, Key, Origin, ScenarioName, Timestamp, WriterId, tags};

use crate::{core::Core, runs::SimRun};

/// A launch of this long ago was to be seen by a look that a start was decided by.
const LOOK: Duration = Duration::from_millis(2_500);
/// A launch may be on its way to its instant when a look says that it must not be.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// A dagstorm that has been at work for so long is none that is taken for gone.
const AT_WORK: Duration = Duration::from_secs(8);

/// One dagstorm's generation.
type Work = (WriterId, ScenarioName, GenerationId);

#[derive(Default)]
pub struct Rivals {
    /// There are two of them.
    pub are_there: bool,
    begun: BTreeMap<Work, Begun>,
    /// When each was first shown a launch by the other one, after it had begun.
    shown: BTreeMap<Work, Timestamp>,
    /// Since when the process of each data folder can write to it.
    lives: BTreeMap<WriterId, Timestamp>,
    /// Those whose last launch was lost on its way.
    pub lost: BTreeSet<WriterId>,
    /// The keys that both of them launched.
    pub contended: u64,
}

struct Begun {
    /// As it says so itself.
    at: Timestamp,
    truly: Timestamp,
    has_adopted: bool,
}

pub fn writer_of(run: &SimRun) -> Option<WriterId> {
    run.tags.get(tags::WRITER)?.parse().ok()
}

impl Core {
    /// A dagstorm is at work from an instant on. Before it, it may be taken for gone.
    pub fn note_life(&mut self, writer: WriterId, from: Timestamp) {
        let known = self.rivals.lives.entry(writer).or_insert(from);
        *known = from.max(*known);
    }

    /// The durable record of a start. Who starts anew has been shown no run of another dagstorm.
    pub fn note_begun(
        &mut self,
        writer: &WriterId,
        scenario: &ScenarioName,
        generation: &GenerationId,
        at: Timestamp,
        has_adopted: bool,
    ) {
        if !self.rivals.are_there {
            return;
        }
        let truly = self.now;
        let visible = self.runs.iter().find(|(_, run)| {
            let is_of_it = run.key.scenario == *scenario && run.key.generation == *generation;
            is_of_it && run.created_at.plus(LOOK) < truly && writer_of(run).as_ref() != Some(writer)
        });
        if let Some((id, _)) = visible.filter(|_| !has_adopted) {
            self.violates(format!("{writer} starts {scenario}, though {id} of another dagstorm is there"));
        }
        let begun = Begun { at, truly, has_adopted };
        self.rivals.begun.insert((writer.clone(), scenario.clone(), generation.clone()), begun);
    }

    /// A look shows runs to a dagstorm.
    pub fn note_runs_shown(
        &mut self,
        writer: &WriterId,
        scenario: &ScenarioName,
        generation: &GenerationId,
        view: &DagsterView,
    ) {
        let work = (writer.clone(), scenario.clone(), generation.clone());
        let is_of_other =
            |run: &dagstorm::model::RunView| run.origin == Origin::Launch && run.writer.as_ref() != Some(writer);
        if self.rivals.begun.contains_key(&work) && view.runs.iter().any(is_of_other) {
            let now = self.now;
            self.rivals.shown.entry(work).or_insert(now);
        }
    }

    /// A dagstorm sends a launch.
    pub fn note_rival(&mut self, writer: &WriterId, key: &Key) {
        if !self.rivals.are_there {
            return;
        }
        let now = self.now;
        let work = |writer: &WriterId| (writer.clone(), key.scenario.clone(), key.generation.clone());
        let Some(own) = self.rivals.begun.get(&work(writer)) else { return };
        let others = self.rivals.begun.iter().filter(|((other, scenario, generation), _)| {
            other != writer && *scenario == key.scenario && *generation == key.generation
        });
        let mut wrong = vec![];
        for ((other, ..), begun) in others {
            let gives_way = match (own.has_adopted, begun.has_adopted) {
                (true, false) => false,
                (false, true) => true,
                _ => (begun.at, other) < (own.at, writer),
            };
            let shown = self.rivals.shown.get(&work(writer));
            if gives_way && shown.is_some_and(|shown| shown.plus(UNDER_WAY) < now) {
                wrong.push(format!("{writer} launches {key}, though it was shown that {other} is at work"));
            }
            let lives_since = self.rivals.lives[writer];
            let was_there = |run: &SimRun| {
                let is_of_it = run.key.scenario == key.scenario && run.key.generation == key.generation;
                is_of_it && run.created_at.plus(LOOK) < lives_since && writer_of(run).as_ref() == Some(other)
            };
            if gives_way && begun.has_adopted && self.runs.values().any(was_there) {
                wrong.push(format!("{writer} came back after {other} took over, and launches {key}"));
            }
            if gives_way && begun.has_adopted && lives_since.plus(AT_WORK) < begun.truly {
                wrong.push(format!("{other} took {writer} for gone, and that one launches {key}"));
            }
        }
        for violation in wrong {
            self.violates(violation);
        }
    }

    /// A run of a key that has another one. By two dagstorms, it may be: neither could see the other one.
    pub fn note_again(&mut self, key: &Key, tags: &BTreeMap<String, String>) {
        let writer = |run: &SimRun| run.tags.get(tags::WRITER) == tags.get(tags::WRITER);
        if self.runs.values().any(|run| run.key == *key && writer(run)) {
            self.violates(format!("{key} was launched twice"));
        } else if self.runs.values().any(|run| run.key == *key) {
            self.rivals.contended += 1;
        }
    }
}
