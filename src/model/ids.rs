//! Names and identities. Each is valid by construction: what parses may go into a path, a tag or a log line.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};

use super::{schema::text_schema, time::as_string};

/// The longest name of a scenario or target: a DNS label, as in Kubernetes.
const LONGEST_NAME: usize = 63;

/// The name of a scenario or a target: lower-case letters, digits and `-`, 63 at most (a DNS label).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScenarioName(Arc<str>);

impl ScenarioName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScenarioName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let inner = |c: char| edge(c) || c == '-';
        if text.is_empty()
            || text.len() > LONGEST_NAME
            || !text.chars().all(inner)
            || !text.starts_with(edge)
            || !text.ends_with(edge)
        {
            return Err(format!(
                "`{text}` is not a name: use lower-case letters, digits and `-`, {LONGEST_NAME} at most, a letter or digit at both ends"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ScenarioName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One accepted version of a scenario and the number of its repeat, written `digest-repeat`.
///
/// The digest is over the scenario's spec alone: the same spec has the same digest wherever and whenever it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenerationId {
    pub digest: String,
    pub repeat: u32,
}

impl FromStr for GenerationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a generation (digest-repeat)");
        let (digest, repeat) = text.rsplit_once('-').ok_or_else(wrong)?;
        if digest.is_empty() || !digest.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        Ok(Self { digest: digest.to_owned(), repeat: repeat.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.digest, self.repeat)
    }
}

/// The key of one submission, `scenario/generation/index`: the run tag `dagstorm/key`. It has no attempt number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    pub index: u32,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(scenario), Some(generation), Some(index), None) => Ok(Self {
                scenario: scenario.parse()?,
                generation: generation.parse()?,
                index: index.parse().map_err(|_| format!("`{text}`: `{index}` is not an index"))?,
            }),
            _ => Err(format!("`{text}` is not a key (scenario/generation/index)")),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.scenario, self.generation, self.index)
    }
}

/// The identity of a data folder, and so of whichever dagstorm writes there: every run names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId(Arc<str>);

/// The longest id of a writer: it stands in tags beside other things.
const LONGEST_WRITER: usize = 40;

impl WriterId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WriterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > LONGEST_WRITER || !text.chars().all(is_plain) {
            return Err(format!(
                "`{text}` is not the id of a data folder: it has lower-case letters, digits and `-`, {LONGEST_WRITER} at most"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One occurrence of a fault: its name in the scenario and the number of its repeat, written `name#1`, `name#2` …
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId {
    pub name: String,
    pub occurrence: u32,
}

impl FromStr for FaultId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a fault's occurrence (name#number)");
        let (name, occurrence) = text.rsplit_once('#').ok_or_else(wrong)?;
        Ok(Self { name: name.to_owned(), occurrence: occurrence.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.occurrence)
    }
}

/// The ARN of an ECS task, as AWS gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TaskArn(pub Arc<str>);

impl TaskArn {
    /// The task's id: what stands behind the last `/`.
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The region and the account that the ARN names, if it is an ARN.
    pub fn region_and_account(&self) -> Option<(&str, &str)> {
        let mut parts = self.0.split(':').skip(3);
        Some((parts.next()?, parts.next()?))
    }
}

impl fmt::Display for TaskArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Texts that occur again and again, each kept once: a large census has few names and many events.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<Arc<str>>);

impl Names {
    /// Has `text` share what is kept.
    pub fn share(&mut self, text: &mut Arc<str>) {
        match self.0.get(text) {
            Some(known) => text.clone_from(known),
            None => drop(self.0.insert(Arc::clone(text))),
        }
    }

    pub fn share_key(&mut self, key: &mut Key) {
        self.share(&mut key.scenario.0);
    }

    pub fn share_writer(&mut self, writer: &mut WriterId) {
        self.share(&mut writer.0);
    }
}

text_schema!(
    ScenarioName,
    "Name",
    "The name of a scenario or a target (a DNS label).",
    "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    ["nightly"]
);
text_schema!(
    GenerationId,
    "Generation",
    "The digest of a scenario's spec and the number of its repeat.",
    "^[0-9a-fA-F]+-[0-9]+$",
    ["3f2a9c41d0b7-1"]
);
text_schema!(
    Key,
    "Key",
    "The key of one submission, `scenario/generation/index`: the run tag `dagstorm/key`.",
    "^[a-z0-9-]+/[0-9a-fA-F]+-[0-9]+/[0-9]+$",
    ["nightly/3f2a9c41d0b7-1/17"]
);
text_schema!(
    FaultId,
    "FaultId",
    "One occurrence of a fault: its name in the scenario and the number of its repeat.",
    "^.+#[0-9]+$",
    ["kill#1"]
);
text_schema!(
    WriterId,
    "Writer",
    "The id of a data folder: the run tag `dagstorm/writer`.",
    "^[a-z0-9-]{1,40}$",
    ["3f9c1d2ab47e"]
);
as_string!(WriterId);
as_string!(ScenarioName);
as_string!(GenerationId);
as_string!(Key);
as_string!(FaultId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_text() {
        let text = "burst-load/0a1b2c3d4e5f-2/17";
        let key: Key = text.parse().expect("a key");
        assert_eq!((key.generation.repeat, key.index), (2, 17));
        assert_eq!(key.to_string(), text);
        for text in ["", "a/b/c", "a/0a-1", "a/0a-1/1/2", "A/0a-1/1", "a/xyz-1/1"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "steady-load", "9-lives"] {
            assert!(good.parse::<ScenarioName>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "..", "ä", long.as_str()] {
            assert!(bad.parse::<ScenarioName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_arn_names_its_account() {
        let arn = TaskArn("arn:aws:ecs:us-east-1:000000000000:task/demo/abc".into());
        assert_eq!(arn.region_and_account(), Some(("us-east-1", "000000000000")));
        assert_eq!(arn.id(), "abc");
    }
}
