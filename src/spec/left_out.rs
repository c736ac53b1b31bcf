//! What of a document could not be read, so that nothing is said to be missing that was only wrong.

use std::collections::BTreeSet;

use super::problem::{Path, Segment, meant};

/// The fields that were wrong or missing, and were said to be so.
#[derive(Debug, Clone, Default)]
pub struct LeftOut {
    paths: Vec<Vec<Segment>>,
    /// The unknown fields among them: one of them may be what is missing beside it.
    unknown: Vec<Vec<Segment>>,
    /// What was given twice: the first was read.
    doubled: Vec<Vec<Segment>>,
}

impl LeftOut {
    pub fn add(&mut self, path: Vec<Segment>) {
        self.paths.push(path);
    }

    pub fn add_unknown(&mut self, path: Vec<Segment>) {
        self.unknown.push(path.clone());
        self.paths.push(path);
    }

    pub fn add_doubled(&mut self, path: Vec<Segment>) {
        self.doubled.push(path);
    }

    /// Whether exactly this was left out.
    pub fn contains(&self, path: &[Segment]) -> bool {
        self.paths.iter().any(|one| one == path)
    }

    /// Whether the field of this path was left out: by itself, with what it is in, or under a misspelt name.
    pub fn has(&self, path: &Path) -> bool {
        self.paths.iter().any(|one| path.0.starts_with(one)) || self.is_misspelt(&path.0)
    }

    /// Whether this or something in it was left out, or given twice.
    pub fn touches(&self, path: &Path) -> bool {
        self.has(path) || self.paths.iter().chain(&self.doubled).any(|one| one.starts_with(&path.0))
    }

    /// Whether a field of this map is unknown, and so may be any of its fields.
    pub fn has_unknown_in(&self, map: &Path) -> bool {
        self.unknown.iter().any(|one| one.split_last().is_some_and(|(_, around)| around == map.0))
    }

    /// Whether the list, or an item of it as a whole, was left out.
    pub fn lacks_items(&self, list: &Path) -> bool {
        let is_item = |one: &[Segment]| one.len() == list.0.len() + 1 && one.starts_with(&list.0);
        self.has(list) || self.paths.iter().any(|one| is_item(one))
    }

    /// Where an item of a list stood that was read as the one of this number.
    pub fn index(&self, list: &Path, number: usize) -> usize {
        let gone = self.paths.iter().filter_map(|one| match one.split_last() {
            Some((Segment::Index(index), around)) if around == list.0 => Some(*index),
            Some((Segment::Index(_) | Segment::Key(_), _)) | None => None,
        });
        let gone: BTreeSet<usize> = gone.collect();
        gone.into_iter().fold(number, |index, gone| if gone <= index { index + 1 } else { index })
    }

    fn is_misspelt(&self, path: &[Segment]) -> bool {
        let Some((Segment::Key(field), around)) = path.split_last() else { return false };
        self.unknown.iter().any(|one| match one.split_last() {
            // What a merge key would bring may be any field.
            Some((Segment::Key(word), rest)) => {
                rest == around && (word == "<<" || meant(word, [field.as_str()]).is_some())
            }
            Some((Segment::Index(_), _)) | None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_known() {
        let at = Path::root("spec");
        let mut left_out = LeftOut::default();
        left_out.add(at.key("load").index(1).0);
        left_out.add_unknown(at.keys("dagster.setle").0);
        for (path, has, touches) in [
            (at.key("load"), false, true),
            (at.key("load").index(1), true, true),
            (at.key("load").index(1).key("name"), true, true),
            (at.key("load").index(0), false, false),
            (at.keys("dagster.settle"), true, true),
            (at.keys("dagster.url"), false, false),
        ] {
            assert_eq!((left_out.has(&path), left_out.touches(&path)), (has, touches), "{path}");
        }
        assert!(left_out.has_unknown_in(&at.key("dagster")) && !left_out.has_unknown_in(&at));
        left_out.add_doubled(at.keys("guard.region").0);
        assert!(left_out.touches(&at.key("guard")) && !left_out.has(&at.keys("guard.region")));
        let load = at.key("load");
        assert_eq!([0, 1, 2].map(|number| left_out.index(&load, number)), [0, 2, 3]);
    }
}
