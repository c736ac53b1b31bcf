//! From raw to valid. What the types cannot say is checked here, all of it, each error with its path.

mod faults;
mod load;
mod scenario;
mod target;
mod targets;
mod thresholds;

pub use scenario::scenario;
pub use target::target;

use super::{
    left_out::LeftOut,
    problem::{Path, Problem},
};
use crate::model::ScenarioName;

/// Reads a file that a manifest names, by its path relative to the manifest.
pub type Attachments<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// What was judged, as far as it could be read.
pub struct Judged<T, O> {
    /// `None` where something is wrong.
    pub value: Option<T>,
    pub problems: Vec<Problem>,
    /// What is good and may not be what was meant.
    pub remarks: Vec<Problem>,
    /// What others have to fit.
    pub outline: Option<O>,
}

impl<T, O> Default for Judged<T, O> {
    fn default() -> Self {
        Self { value: None, problems: vec![], remarks: vec![], outline: None }
    }
}

/// Collects what is wrong. What was left out of the raw types has been said already: nothing is concluded from it.
struct Problems<'a> {
    found: Vec<Problem>,
    remarks: Vec<Problem>,
    left_out: &'a LeftOut,
}

impl<'a> Problems<'a> {
    fn new(left_out: &'a LeftOut) -> Self {
        Self { found: vec![], remarks: vec![], left_out }
    }

    fn add(&mut self, path: &Path, message: impl Into<String>) {
        self.found.push(Problem::new(path.clone(), message));
    }

    fn add_with_help(&mut self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Problem::new(path.clone(), message).with_help(help));
    }

    fn remark(&mut self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.remarks.push(Problem::new(path.clone(), message).with_help(help));
    }

    /// Whether something is wrong with this or with what is in it.
    fn is_said(&self, path: &Path) -> bool {
        self.found.iter().any(|problem| problem.path.0.starts_with(&path.0))
    }

    fn name(&mut self, path: &Path, name: &str) -> Option<ScenarioName> {
        name.parse().map_err(|message: String| self.add(path, message)).ok()
    }

    /// A name that its list does not have yet.
    fn own_name<'n>(&mut self, path: &Path, what: &str, name: &'n str, seen: &mut Vec<&'n str>) {
        if self.name(path, name).is_some() && seen.contains(&name) {
            self.add_with_help(path, format!("a second {what} named `{name}`"), "give each a name of its own");
        }
        seen.push(name);
    }

    fn not_empty(&mut self, path: &Path, text: &str) {
        if text.trim().is_empty() {
            self.add(path, "is empty");
        }
    }

    /// Exactly one of some fields that exclude each other. What was left out counts as given.
    fn exactly_one(&mut self, path: &Path, given: &[(&str, bool)]) -> bool {
        let names = || given.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let was_left_out = |name: &str| self.left_out.has(&path.key(name));
        let present: Vec<(&str, bool)> =
            given.iter().filter(|(name, is_given)| *is_given || was_left_out(name)).copied().collect();
        match present[..] {
            [(_, is_given)] => is_given,
            [] => {
                // An unknown field may be the one that is missing.
                if !self.left_out.has_unknown_in(path) {
                    self.add(path, format!("incomplete: give one of {}", names()));
                }
                false
            }
            [(first, _), (second, _), ..] => {
                let message = format!("`{second}` excludes `{first}`");
                let help = format!("give exactly one of {}", names());
                self.found.push(Problem::new(path.key(second), message).with_help(help).on_key());
                false
            }
        }
    }
}
