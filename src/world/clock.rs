//! The machine's own clock.

use super::Clock;
use crate::model::Timestamp;

/// Wall time for records, tokio's timer for sleeping (late by about a millisecond).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    async fn sleep_until(&self, instant: Timestamp) {
        tokio::time::sleep(instant.since(self.now())).await;
    }
}
