//! Which partition and which assets a run is launched for.

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The job in which Dagster runs assets that are selected without a job.
pub const ASSET_JOB: &str = "__ASSET_JOB";
/// Dagster's tags of a run's partition.
pub const PARTITION_TAG: &str = "dagster/partition";
pub const PARTITION_SET_TAG: &str = "dagster/partition_set";

/// Which partition an arrival runs for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Partitioning {
    /// This key, always.
    Key(String),
    /// The key that is the last one when the scenario starts.
    Latest,
    /// One key after another, in their order; then from the first one again.
    Each(Keys),
    /// A key drawn by the seed.
    Draw(Keys),
}

/// Keys to choose from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Keys {
    /// All that the job has when the scenario starts, in Dagster's order.
    All,
    These(Vec<String>),
}

/// What must be known of a launch before the scenario starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionAsk {
    /// The plan's number of what is launched.
    pub choice: u32,
    pub job: String,
    /// The assets that are selected, as `a/b`; empty: the whole job.
    pub assets: Vec<String>,
    pub partitioning: Option<Partitioning>,
    /// The manifest itself gives the run a tag that says a partition.
    pub is_tagged: bool,
    pub stream: KeyStream,
    /// How many arrivals launch it.
    pub turns: u32,
}

/// What keys are drawn by: the scenario's seed, and the entry of the mix. No other draw has a part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyStream {
    pub seed: u64,
    pub phase: u32,
    pub entry: u32,
}

/// What Dagster says of one [`PartitionAsk`].
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionsView {
    pub choice: u32,
    /// All keys of the job or the assets, in short.
    pub there: Option<KeyRange>,
    /// The keys to choose from; empty where no partition is asked for.
    pub keys: Vec<String>,
    /// What Dagster adds to a run of a key: of every key that an arrival has.
    pub partitions: Vec<PartitionView>,
}

/// The keys that there are, in Dagster's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRange {
    pub first: String,
    pub last: String,
    pub count: usize,
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, count } = self;
        match count {
            1 => write!(f, "1 key, {first}"),
            2 => write!(f, "2 keys, {first} and {last}"),
            _ => write!(f, "{count} keys, from {first} to {last}"),
        }
    }
}

/// What Dagster adds to a run of a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionView {
    pub key: String,
    /// The run config, in Dagster's YAML.
    pub config: String,
    pub tags: IndexMap<String, String>,
}

/// More keys than this are counted and not listed.
const LISTED: usize = 5;

impl Partitioning {
    /// Which of so many keys the arrival has that comes after `turn` others of its kind.
    pub fn position(&self, stream: KeyStream, turn: u32, keys: usize) -> usize {
        match self {
            Self::Key(_) | Self::Latest => 0,
            Self::Each(_) => turn as usize % keys.max(1),
            Self::Draw(_) => {
                // A digest for each turn: any of them is drawn without those before it.
                let mut hash = Sha256::new_with_prefix(stream.seed.to_be_bytes());
                [stream.phase, stream.entry, turn].iter().for_each(|number| hash.update(number.to_be_bytes()));
                let drawn = hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
                (drawn % keys.max(1) as u64) as usize
            }
        }
    }

    /// In the words of a manifest.
    pub fn describe(&self) -> String {
        let of = |keys: &Keys| match keys {
            Keys::All => "all keys".to_owned(),
            Keys::These(keys) if keys.len() <= LISTED => keys.join(", "),
            Keys::These(keys) => format!("{} keys", keys.len()),
        };
        match self {
            Self::Key(key) => format!("`{key}`"),
            Self::Latest => "latest".to_owned(),
            Self::Each(keys) => format!("each of {}", of(keys)),
            Self::Draw(keys) => format!("drawn from {}", of(keys)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_turn_or_by_the_seed() {
        let stream = KeyStream { seed: 7, phase: 0, entry: 1 };
        let first = |partitioning: &Partitioning, stream| {
            (0..6).map(|turn| partitioning.position(stream, turn, 3)).collect::<Vec<_>>()
        };
        assert_eq!(first(&Partitioning::Latest, stream), [0; 6]);
        assert_eq!(first(&Partitioning::Each(Keys::All), stream), [0, 1, 2, 0, 1, 2]);
        let draw = Partitioning::Draw(Keys::All);
        assert_eq!(first(&draw, stream), first(&draw, stream));
        let sixty = |stream| (0..60).map(|turn| draw.position(stream, turn, 3)).collect::<Vec<_>>();
        for other in
            [KeyStream { seed: 8, ..stream }, KeyStream { phase: 1, ..stream }, KeyStream { entry: 2, ..stream }]
        {
            assert_ne!(sixty(stream), sixty(other), "{other:?}");
        }
        let mut counts = [0_u32; 3];
        (0..3_000).for_each(|turn| counts[draw.position(stream, turn, 3)] += 1);
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
