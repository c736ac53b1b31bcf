//! Simulated time, and the wait for it.
//!
//! What is assumed of the wall clock of an operator's machine: it runs at the right rate, and may be set at any moment.
//! Set back, by any amount: everything waits longer, nothing else. Set forward: whatever is waited for ends so much
//! earlier, so all steps forward within one settle window must fit into what the window has to spare over the longest
//! call in flight. `Clock::sleep_until` counts by a clock that nobody sets.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use dagstorm::{model::Timestamp, world::Clock};

use crate::core::Core;

pub type Shared = Arc<Mutex<Core>>;

/// The clock of one machine.
#[derive(Clone)]
pub struct SimClock {
    pub core: Shared,
    /// By so many microseconds it is ahead of the truth.
    pub ahead: Arc<AtomicI64>,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let truth = self.core.lock().unwrap().now;
        Timestamp::from_micros(truth.as_micros() + self.ahead.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, instant: Timestamp) {
        pause(&self.core, instant.since(self.now())).await;
    }
}

/// Sleeps a while; at least one poll is pending, so that every wait is a place to crash at.
pub fn pause(core: &Shared, length: Duration) -> Sleep {
    let until = core.lock().unwrap().now.plus(length);
    sleep_until(core, until)
}

/// Sleeps until an instant of the true time.
pub fn sleep_until(core: &Shared, until: Timestamp) -> Sleep {
    Sleep { core: Arc::clone(core), until, id: None }
}

pub struct Sleep {
    core: Shared,
    until: Timestamp,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let shared = Arc::clone(&self.core);
        let mut core = shared.lock().unwrap();
        if let Some(id) = self.id.take() {
            core.timers.remove(&(until, id));
            if core.now >= until {
                return Poll::Ready(());
            }
        }
        let id = core.id();
        core.timers.insert((until, id), context.waker().clone());
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id
            && let Ok(mut core) = self.core.lock()
        {
            core.timers.remove(&(self.until, id));
        }
    }
}
