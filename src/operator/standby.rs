//! Beside the holder: waiting for the data folder, and leaving it at once when another process took it over.

use std::{future::poll_fn, io, path::Path, pin::pin, task::Poll, time::Duration};

use futures::Future;
use tokio::sync::watch;

use super::{Lease, Watcher};
use crate::journal::{Fenced, Holding};

/// How often a standby looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the data folder can be taken over, and takes it. `None`: a shutdown came first.
///
/// # Errors
/// When the lease cannot be read at the beginning. What fails later is said, and tried again.
pub async fn wait(data: &Path, mut shutdown: watch::Receiver<bool>) -> io::Result<Option<Lease>> {
    let mut watcher = Watcher::new(data)?;
    let (holder, shown) = (watcher.holder(), data.display());
    tracing::info!("standing by: another dagstorm{holder} holds the data folder {shown}");
    let mut said = None;
    while !*shutdown.borrow() {
        let looked = tokio::task::spawn_blocking(move || {
            let looked = watcher.look(std::time::Instant::now());
            (watcher, looked)
        });
        let (back, looked) = looked.await.map_err(io::Error::other)?;
        watcher = back;
        match looked {
            Ok(Some(lease)) => {
                tracing::info!(epoch = lease.holding.epoch(), "the data folder {shown} is taken over");
                return Ok(Some(lease));
            }
            Ok(None) => said = None,
            Err(error) => {
                let text = error.to_string();
                if said.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "the data folder {shown} cannot be taken over; trying again");
                    said = Some(text);
                }
            }
        }
        tokio::select! {
            changed = shutdown.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(None)
}

/// Drives `work` as long as the folder is held. Whoever was stopped or starved finds out that it is held no more before
/// any of the work goes on; the work is dropped then, with every call that is in flight.
///
/// # Errors
/// When another process took the folder over.
pub async fn while_held<T>(holding: &Holding, work: impl Future<Output = Result<T, Fenced>>) -> Result<T, Fenced> {
    while_confirmed(|| holding.confirm(), holding.lost(), work).await
}

/// As `while_held`, whatever it is that tells whether the folder is held.
///
/// # Errors
/// What `confirm` answers before any step of the work, or what `lost` ends with.
pub async fn while_confirmed<T>(
    confirm: impl Fn() -> Result<(), Fenced>,
    lost: impl Future<Output = Fenced>,
    work: impl Future<Output = Result<T, Fenced>>,
) -> Result<T, Fenced> {
    let (mut work, mut lost) = (pin!(work), pin!(lost));
    poll_fn(|context| {
        confirm()?;
        if let Poll::Ready(fenced) = lost.as_mut().poll(context) {
            return Poll::Ready(Err(fenced));
        }
        work.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs, time::Instant};

    use super::*;

    #[tokio::test]
    async fn work_does_not_go_on_once_the_folder_was_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("epoch");
        fs::write(&path, "1").expect("written");
        let holding = Holding::new(&path, 1);
        let steps = Cell::new(0);
        let work = async {
            loop {
                steps.set(steps.get() + 1);
                assert!(steps.get() < 10, "it goes on for ever");
                if steps.get() == 3 {
                    // Stopped for an hour; meanwhile another process takes over, and the renewals do not know yet.
                    holding.renewed(Instant::now() - Duration::from_secs(3_600));
                    fs::write(&path, "2").expect("written");
                }
                tokio::task::yield_now().await;
            }
        };
        let ended: Result<(), Fenced> = while_held(&holding, work).await;
        assert_eq!((ended, steps.get()), (Err(Fenced { epoch: 1, newest: 2 }), 3));
        let idle = while_held(&holding, std::future::pending::<Result<(), Fenced>>());
        assert!(idle.await.is_err(), "also when the work waits for something else");
    }

    #[tokio::test]
    async fn work_that_ends_has_ended() {
        assert_eq!(while_held(&Holding::alone(1), async { Ok(7) }).await, Ok(7));
    }
}
