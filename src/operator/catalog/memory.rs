//! What is remembered of the folder, also over a restart: which file each scenario was in when that could last be read.
//!
//! It decides what a file that cannot be read may hold. Pure; `operator::remembered` reads and writes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{ScenarioName, Timestamp};

/// What the last readings of the folder showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The scenarios that are in the folder, or may be.
    pub homes: BTreeMap<ScenarioName, Home>,
    /// The files that are there.
    pub files: BTreeMap<String, FileMemory>,
    /// The scenarios that were deleted from the folder, and when.
    pub deleted: BTreeMap<ScenarioName, Timestamp>,
}

/// Where a scenario is, and what it was when it could last be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Home {
    /// The file; several where it may be in each of them.
    pub files: BTreeSet<String>,
    /// The digest of its spec; empty before it could be read.
    #[serde(default)]
    pub digest: String,
    /// The manifest says `suspend: true`.
    #[serde(default)]
    pub suspended: bool,
}

/// What a file held when all of it could last be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileMemory {
    /// Documents that say nothing of whose they are: so many are another tool's.
    pub unmarked: usize,
    /// It could be read, at least once.
    pub was_read: bool,
}

/// One file of a reading, in short.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Glance {
    /// The scenarios that its documents name, good or bad.
    pub names: BTreeSet<ScenarioName>,
    /// Documents of ours whose name cannot be read.
    pub nameless: usize,
    /// Documents that say nothing of whose they are.
    pub unmarked: usize,
}

impl Memory {
    /// Takes a reading in. Returns the files in which a scenario may be that no document names.
    ///
    /// - A file with a nameless document of ours may hold what it held before.
    /// - So may a file that lost a scenario and has more unmarked documents than before: a bad edit can make one of it.
    /// - A file that appears with a nameless document of ours may hold what vanished from other files by then: a file can
    ///   be renamed and broken at once. Later on it holds back nothing more.
    /// - Everything else holds back nothing.
    pub fn take(&mut self, files: &BTreeMap<String, Glance>) -> BTreeSet<String> {
        let named: BTreeSet<&ScenarioName> = files.values().flat_map(|glance| &glance.names).collect();
        let mut unclear = BTreeSet::new();
        for (file, glance) in files {
            let before = self.files.get(file).copied();
            let lost = self.homes.iter().any(|(name, home)| home.files.contains(file) && !named.contains(name));
            let grew = before.is_some_and(|before| before.was_read && glance.unmarked > before.unmarked);
            if glance.nameless > 0 || (lost && grew) {
                unclear.insert(file.clone());
            }
        }
        let new: BTreeSet<&String> = unclear.iter().filter(|file| !self.files.contains_key(*file)).collect();
        for (_, home) in self.homes.iter_mut().filter(|(name, _)| !named.contains(name)) {
            if !home.files.iter().any(|file| files.contains_key(file)) {
                home.files.extend(new.iter().copied().cloned());
            }
        }
        self.files = files
            .iter()
            .map(|(file, glance)| {
                let before = self.files.get(file).copied().unwrap_or_default();
                let read = FileMemory { unmarked: glance.unmarked, was_read: true };
                (file.clone(), if unclear.contains(file) { before } else { read })
            })
            .collect();
        unclear
    }

    /// Which of these files may hold a scenario that no document names. Of a scenario that was never seen in the folder
    /// (the memory is new, or was lost) each file that could never be read.
    pub fn may_hold<'a>(
        &'a self,
        unclear: &'a BTreeSet<String>,
        name: &'a ScenarioName,
    ) -> impl Iterator<Item = &'a str> {
        let home = self.homes.get(name);
        let is_deleted = self.deleted.contains_key(name);
        let may = move |file: &&String| match home {
            Some(home) => home.files.contains(*file),
            None => !is_deleted && self.files.get(*file).is_none_or(|known| !known.was_read),
        };
        unclear.iter().filter(may).map(String::as_str)
    }

    /// The scenario is deleted: no reading will find it where it was.
    pub fn delete(&mut self, name: &ScenarioName, now: Timestamp) -> Option<Home> {
        let home = self.homes.remove(name)?;
        self.deleted.insert(name.clone(), now);
        Some(home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ScenarioName {
        text.parse().expect("a name")
    }

    /// `a b` names two scenarios, `?` is a document of ours without a name, `-` one that says nothing of whose it is.
    fn glances(files: &[(&str, &str)]) -> BTreeMap<String, Glance> {
        let glance = |text: &str| {
            let words = || text.split_whitespace();
            Glance {
                names: words().filter(|word| !["?", "-"].contains(word)).map(name).collect(),
                nameless: words().filter(|word| *word == "?").count(),
                unmarked: words().filter(|word| *word == "-").count(),
            }
        };
        files.iter().map(|(file, text)| ((*file).to_owned(), glance(text))).collect()
    }

    /// What the catalog does with a reading.
    fn take(memory: &mut Memory, files: &[(&str, &str)]) -> BTreeSet<String> {
        let files = glances(files);
        let unclear = memory.take(&files);
        for (file, glance) in &files {
            for name in &glance.names {
                let files = [file.clone()].into();
                memory.homes.insert(name.clone(), Home { files, digest: String::new(), suspended: false });
            }
        }
        unclear
    }

    #[test]
    fn a_file_holds_back_what_it_held() {
        for (what, before, after, held_in) in [
            ("deleted", &[("a", "x"), ("b", "y")][..], &[("b", "y")][..], ""),
            ("broken", &[("a", "x"), ("b", "y")], &[("a", "?"), ("b", "y")], "a"),
            ("one of two broken", &[("a", "x y")], &[("a", "y ?")], "a"),
            ("deleted beside another broken file", &[("a", "x"), ("b", "y")], &[("b", "?")], ""),
            ("deleted beside one that is broken for long", &[("a", "x"), ("b", "?")], &[("b", "?")], ""),
            ("deleted beside another tool's", &[("a", "x"), ("k", "-")], &[("k", "-")], ""),
            ("deleted as another tool's comes", &[("a", "x")], &[("k", "-")], ""),
            ("renamed", &[("a", "x")], &[("c", "x")], "named"),
            ("renamed and broken", &[("a", "x")], &[("c", "?")], "c"),
            ("renamed and broken, or in one of two", &[("a", "x")], &[("c", "?"), ("d", "?")], "c d"),
            ("its head is lost", &[("a", "x")], &[("a", "-")], "a"),
            ("gone from beside an unmarked one", &[("a", "x -")], &[("a", "-")], ""),
            ("its head is lost beside an unmarked one", &[("a", "x -")], &[("a", "- -")], "a"),
            ("moved to another file, which is whole", &[("a", "x"), ("b", "y")], &[("a", "?"), ("b", "y x")], "named"),
        ] {
            let mut memory = Memory::default();
            take(&mut memory, before);
            let unclear = take(&mut memory, after);
            let x = name("x");
            let held: Vec<&str> = memory.may_hold(&unclear, &x).collect();
            let is_named = glances(after).values().any(|glance| glance.names.contains(&x));
            assert_eq!(if is_named { "named".to_owned() } else { held.join(" ") }, held_in, "{what}");
        }
    }

    #[test]
    fn what_is_held_stays_held_until_the_file_can_be_read() {
        let mut memory = Memory::default();
        take(&mut memory, &[("a", "x"), ("b", "y")]);
        for _ in 0..3 {
            let unclear = take(&mut memory, &[("a", "?"), ("b", "y")]);
            assert_eq!(memory.may_hold(&unclear, &name("x")).collect::<Vec<_>>(), ["a"]);
            // It is kept over a restart.
            let text = serde_json::to_string(&memory).expect("written");
            memory = serde_json::from_str(&text).expect("read");
        }
        // The other is deleted while this one is broken: it was never in it.
        let unclear = take(&mut memory, &[("a", "?")]);
        assert_eq!(memory.may_hold(&unclear, &name("y")).count(), 0);
        let unclear = take(&mut memory, &[("a", "z")]);
        assert_eq!((unclear.len(), memory.may_hold(&unclear, &name("x")).count()), (0, 0));
    }

    #[test]
    fn without_a_memory_what_was_never_readable_may_hold_anything() {
        let mut memory = Memory::default();
        let unclear = take(&mut memory, &[("a", "?"), ("b", "y")]);
        assert_eq!(memory.may_hold(&unclear, &name("of-a-journal")).collect::<Vec<_>>(), ["a"]);
        let unclear = take(&mut memory, &[("a", "x"), ("b", "?")]);
        assert_eq!(memory.may_hold(&unclear, &name("of-a-journal")).count(), 0, "b held y alone when it was read");
    }

    #[test]
    fn what_is_deleted_is_remembered_as_that() {
        let mut memory = Memory::default();
        take(&mut memory, &[("a", "x")]);
        let at = Timestamp::from_micros(7);
        assert!(memory.delete(&name("x"), at).is_some() && memory.delete(&name("x"), at).is_none());
        assert_eq!(memory.deleted.get(&name("x")), Some(&at));
        let unclear = take(&mut memory, &[("b", "?")]);
        assert_eq!(memory.may_hold(&unclear, &name("x")).count(), 0);
    }
}
