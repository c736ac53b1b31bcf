//! A manifest that is written from flags: its text, and which flag a mistake in it comes from.

use std::io::{self, Write};

use super::{is_colored, say};
use crate::spec::{Kind, ManifestError};

/// The name under which a text that was made from flags is loaded.
pub const NAME: &str = "<flags>";

/// Something that keeps flags from being a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A flag, in a line.
    Flag(String),
    /// What no flag is behind: a manifest's own error, with its line.
    Manifest(String),
}

impl Wrong {
    /// Says it on stderr. If nobody listens there, nothing can be done about it.
    pub fn say(&self) {
        match self {
            Self::Flag(message) => say(message),
            Self::Manifest(rendered) => {
                let _ = writeln!(anstream::stderr(), "{rendered}\n");
            }
        }
    }
}

/// One document, and the flags that its fields came from.
#[derive(Debug, Clone)]
pub struct Draft {
    pub kind: Kind,
    pub text: String,
    origins: Vec<Origin>,
}

/// A field's path, and the flag that is to blame for what is wrong there or below.
#[derive(Debug, Clone)]
struct Origin {
    path: String,
    flag: String,
}

impl Draft {
    pub fn new(kind: Kind) -> Self {
        Self { kind, text: String::new(), origins: vec![] }
    }

    /// Says which flag (or flags, in words) decides on a field and on all that lies below it.
    pub fn flag(&mut self, path: &str, flag: impl Into<String>) {
        self.origins.push(Origin { path: path.to_owned(), flag: flag.into() });
    }

    /// The same for a flag that may have its default: a message about it says so.
    pub fn flag_or_default(&mut self, path: &str, flag: &str, value: &str, is_default: bool) {
        self.flag(path, if is_default { format!("{flag} ({value} unless you say)") } else { flag.to_owned() });
    }

    /// An error in the words of the command line, or with its line of `source` if no flag is behind it.
    pub fn wrong(&self, error: &ManifestError, source: &str) -> Wrong {
        self.blame(error).map_or_else(|| Wrong::Manifest(error.render(source, is_colored(&io::stderr()))), Wrong::Flag)
    }

    fn blame(&self, error: &ManifestError) -> Option<String> {
        let covers = |origin: &&Origin| {
            let rest = error.path.strip_prefix(origin.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let origin = self.origins.iter().filter(covers).max_by_key(|origin| origin.path.len())?;
        // A line of a text that nobody has written yet helps nobody.
        let help = error.help.as_ref().filter(|help| !help.contains(" in line "));
        let help = help.map_or_else(String::new, |help| format!("; {help}"));
        Some(format!("{}: {}{help}", origin.flag, error.message))
    }
}

/// A value that YAML itself gives a type: a number stays one. What could be anything but one plain value is quoted.
pub fn value(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_./%+-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if begins && text.chars().all(is_safe) { text.to_owned() } else { quoted(text) }
}

/// A value that is a text, whatever it looks like.
pub fn text(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_word { value(text) } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    // JSON's texts are YAML's double-quoted ones.
    serde_json::to_string(text).expect("a text always serializes")
}

/// Foreign words in a comment: one line of printable characters, and not too long.
pub fn remark(text: &str) -> String {
    const LONGEST: usize = 160;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    let mut short: String = line.chars().take(LONGEST).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Place;

    #[test]
    fn nothing_gets_out_of_its_value() {
        for (given, as_value, as_text) in [
            ("6/min", "6/min", "\"6/min\""),
            ("30%", "30%", "\"30%\""),
            ("fast_job", "fast_job", "fast_job"),
            ("000000000000", "000000000000", "\"000000000000\""),
            ("true", "true", "\"true\""),
            ("", "\"\"", "\"\""),
            ("a: b", "\"a: b\"", "\"a: b\""),
            ("1 } # \"x\"\n- y", r#""1 } # \"x\"\n- y""#, r#""1 } # \"x\"\n- y""#),
            ("-", "\"-\"", "\"-\""),
            ("https://host/graphql", "\"https://host/graphql\"", "\"https://host/graphql\""),
        ] {
            assert_eq!((value(given), text(given)), (as_value.to_owned(), as_text.to_owned()), "{given}");
        }
        assert_eq!(remark("two\nlines\u{1b}[31m"), "two lines[31m");
    }

    #[test]
    fn the_nearest_flag_is_blamed() {
        let mut draft = Draft::new(Kind::Scenario);
        draft.flag("spec.load[0].jobs", "--mix");
        draft.flag_or_default("spec.load[0]", "--for", "20m", true);
        let blame = |path: &str| {
            draft.blame(&ManifestError {
                path: path.to_owned(),
                help: Some("do this".to_owned()),
                place: Place::default(),
                ..ManifestError::of_file(NAME, "is wrong")
            })
        };
        assert_eq!(blame("spec.load[0].jobs.a.weight").as_deref(), Some("--mix: is wrong; do this"));
        assert_eq!(blame("spec.load[0].jobsx").as_deref(), Some("--for (20m unless you say): is wrong; do this"));
        assert_eq!(blame("spec.load[1]"), None);
    }
}
