//! From raw to valid. What the types cannot say is checked here, all of it, each error with its path.

mod scenario;
mod target;
mod targets;
mod thresholds;

pub use scenario::scenario;
pub use target::target;

use super::problem::{Path, Problem};
use crate::model::ScenarioName;

/// Reads a file that a manifest names, by its path relative to the manifest.
pub type Attachments<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// Collects what is wrong.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &Path, message: impl Into<String>) {
        self.0.push(Problem::new(path.clone(), message));
    }

    fn add_with_help(&mut self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.0.push(Problem::new(path.clone(), message).with_help(help));
    }

    fn name(&mut self, path: &Path, name: &str) -> Option<ScenarioName> {
        name.parse().map_err(|message: String| self.add(path, message)).ok()
    }

    /// A name that its list does not have yet.
    fn own_name<'a>(&mut self, path: &Path, what: &str, name: &'a str, seen: &mut Vec<&'a str>) {
        if self.name(path, name).is_some() && seen.contains(&name) {
            self.add(path, format!("a second {what} named `{name}`"));
        }
        seen.push(name);
    }

    fn not_empty(&mut self, path: &Path, text: &str) {
        if text.trim().is_empty() {
            self.add(path, "is empty");
        }
    }

    /// Exactly one of some fields that exclude each other.
    fn exactly_one(&mut self, path: &Path, given: &[(&str, bool)]) -> bool {
        let names = || given.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let mut present = given.iter().filter(|(_, is_given)| *is_given);
        match (present.next(), present.next()) {
            (Some(_), None) => true,
            (None, _) => {
                self.add(path, format!("incomplete: give one of {}", names()));
                false
            }
            (Some((first, _)), Some((second, _))) => {
                let message = format!("`{second}` excludes `{first}`");
                let help = format!("give exactly one of {}", names());
                self.0.push(Problem::new(path.key(second), message).with_help(help).on_key());
                false
            }
        }
    }
}
