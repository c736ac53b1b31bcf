//! Many at once, again and again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Span;

/// `size` arrivals at the same instant, the first burst at once, then every `every`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Burst {
    pub size: u32,
    pub every: Span,
}

impl Burst {
    pub fn offsets(&self, length: Duration) -> impl Iterator<Item = Duration> + use<> {
        let (size, every) = (self.size, self.every.duration());
        (0u32..)
            .map(move |burst| every.saturating_mul(burst))
            .take_while(move |offset| *offset < length)
            .flat_map(move |offset| std::iter::repeat_n(offset, size as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_together() {
        let shape = Burst { size: 2, every: Span::from_secs(30) };
        let offsets: Vec<u64> = shape.offsets(Duration::from_secs(61)).map(|offset| offset.as_secs()).collect();
        assert_eq!(offsets, [0, 0, 30, 30, 60, 60]);
    }
}
