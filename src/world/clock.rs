//! The machine's own clock.

use super::Clock;
use crate::model::Timestamp;

/// Wall time for records, tokio's timer for sleeping (late by about a millisecond).
///
/// Wall time may be set at any moment. Set back, every wait takes longer, and nothing else happens. Set forward, every
/// window ends so much earlier: what a clock may be set forward within one settle is to be added to the target's
/// `settle`. The simulation does both (`tests/sim/clock.rs`).
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
