//! Simulated time, and the wait for it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use dagstorm::{model::Timestamp, world::Clock};

use crate::core::Core;

pub type Shared = Arc<Mutex<Core>>;

#[derive(Clone)]
pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().now
    }

    fn sleep_until(&self, instant: Timestamp) -> impl Future<Output = ()> + Send {
        Sleep { core: Arc::clone(&self.0), until: instant, id: None }
    }
}

/// Sleeps a while; at least one poll is pending, so that every wait is a place to crash at.
pub fn pause(core: &Shared, length: Duration) -> Sleep {
    let until = core.lock().unwrap().now.plus(length);
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
