//! The process: takes the data folder, takes up the journals, then follows the manifests until it is told to stop.

use std::{io, path::PathBuf, pin::Pin, sync::Arc};

use futures::Future;
use serde::Serialize;
use tokio::sync::watch;

use super::{
    Attachment, Catalog, FileReport, Fleet, Following, Intake, Lack, Lease, LeaseError, Scan, ScannedFile, Shared,
    Verdicts, gauges,
};
use crate::{
    journal::{FileStore, Store},
    model::{Phase, ScenarioName},
    publish::{Folder, Status},
    world::{Clock, SystemClock, World},
};

/// What to serve.
#[derive(Debug, Clone)]
pub struct Options {
    pub source: Source,
    pub data: PathBuf,
}

/// Where the manifests come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A watched folder; it is followed until a shutdown.
    Folder(Following),
    /// Some files, read once; it ends when all their scenarios have ended. Concluded specs run once more.
    Files(Vec<ScannedFile>),
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error("the data folder {} cannot be used: {source}", folder.display())]
    Data { folder: PathBuf, source: io::Error },
    #[error("the folder of manifests {} and the data folder {} must not lie in each other", manifests.display(), data.display())]
    Nested { manifests: PathBuf, data: PathBuf },
}

#[derive(Serialize)]
struct IntakeFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    files: Vec<FileReport>,
}

/// Serves until `shutdown` says so, or, for files, until every scenario has ended. Returns the last statuses.
///
/// # Errors
/// When the data folder cannot be used. Nothing was sent then.
pub async fn serve<W: World>(
    world: W,
    options: Options,
    shutdown: watch::Receiver<bool>,
    started: impl FnOnce(Folder),
) -> Result<Vec<Status>, ServeError> {
    check_nesting(&options)?;
    let data = &options.data;
    let mut lease = Lease::acquire(data)?;
    let failed = |source: io::Error| ServeError::Data { folder: data.clone(), source };
    let folder = Folder::open(data).map_err(failed)?;
    let store = FileStore::open(&data.join("journal")).map_err(failed)?;
    lease.raise_above(newest_epoch(&store).await.map_err(failed)?).map_err(failed)?;
    let shared = Arc::new(Shared {
        world,
        store,
        clock: SystemClock,
        folder: folder.clone(),
        epoch: lease.epoch,
        verdicts: Verdicts::default(),
    });
    let mut fleet = Fleet::new(Arc::clone(&shared), shutdown.clone());
    started(folder.clone());
    match options.source {
        Source::Folder(following) => {
            fleet.take_up().await.map_err(failed)?;
            let manifests = following.root.display();
            tracing::info!(%manifests, data = %data.display(), epoch = lease.epoch, "watching");
            let catalog = Catalog::default();
            let catalog = if following.prune_empty { catalog.pruning_empty() } else { catalog };
            follow(&shared, &mut fleet, Intake::new(&following), catalog, shutdown).await;
        }
        Source::Files(files) => {
            let mut catalog = Catalog::again();
            let now = shared.clock.now();
            catalog.update(files, &on_disk, true, now);
            fleet.want(&catalog.desired(), false, now);
            until_all_ended(&shared, &mut fleet, &catalog, shutdown).await;
        }
    }
    Ok(folder.latest().into_values().collect())
}

/// The highest epoch that any journal holds. One that cannot be read stalls its own scenario later.
async fn newest_epoch(store: &FileStore) -> io::Result<u64> {
    let mut newest = 0;
    for name in store.names().await? {
        let records = store.read(&name).await.unwrap_or_default();
        newest = newest.max(records.last().map_or(0, |record| record.epoch));
    }
    Ok(newest)
}

fn check_nesting(options: &Options) -> Result<(), ServeError> {
    let Source::Folder(Following { root: manifests, .. }) = &options.source else { return Ok(()) };
    let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let (manifests, data) = (whole(manifests), whole(&options.data));
    if manifests.starts_with(&data) || data.starts_with(&manifests) {
        return Err(ServeError::Nested { manifests, data });
    }
    Ok(())
}

type Gauges = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn follow<W: World, S: Store, C: Clock>(
    shared: &Arc<Shared<W, S, C>>,
    fleet: &mut Fleet<W, S, C>,
    mut intake: Intake,
    mut catalog: Catalog,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut gauges: Gauges = Box::pin(async {});
    loop {
        let next = intake.next();
        tokio::pin!(next);
        // Whatever else ends meanwhile does not start the wait for a change anew.
        let scan = loop {
            tokio::select! {
                biased;
                changed = shutdown.changed() => if changed.is_err() || *shutdown.borrow() { break None },
                name = fleet.step() => ended(&name, &shutdown),
                scan = &mut next => break Some(scan),
                () = &mut gauges => gauges = next_gauges(shared, &catalog),
            }
        };
        let Some(scan) = scan else { break };
        let now = shared.clock.now();
        if catalog.update(scan.files.clone(), &|path| found(&scan, path), scan.is_complete, now) {
            report(shared, &catalog);
        }
        if catalog.is_read() {
            fleet.want(&catalog.desired(), catalog.is_complete(), now);
        }
    }
    tracing::info!("stopping: no new launches, waiting for the answers of those in flight");
    fleet.finish().await;
}

/// A reconciler ended: at a shutdown, which it may learn of before we do, or because its journal cannot be used.
fn ended(name: &ScenarioName, shutdown: &watch::Receiver<bool>) {
    if !*shutdown.borrow() {
        tracing::error!(scenario = %name, "this scenario is not reconciled any more");
    }
}

fn found(scan: &Scan, path: &str) -> Option<Attachment> {
    scan.attachments.iter().find(|attachment| attachment.name == path).cloned()
}

/// Finds what files name that were given by their paths.
pub fn on_disk(path: &str) -> Option<Attachment> {
    Attachment::look(path.to_owned(), PathBuf::from(path)).ok()
}

async fn until_all_ended<W: World, S: Store, C: Clock>(
    shared: &Arc<Shared<W, S, C>>,
    fleet: &mut Fleet<W, S, C>,
    catalog: &Catalog,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut gauges: Gauges = Box::pin(async {});
    let wanted = catalog.wanted();
    loop {
        let latest = shared.folder.latest();
        let all = wanted
            .iter()
            .all(|wanted| latest.get(&wanted.scenario.name).is_some_and(|status| has_ended(status, &wanted.digest)));
        if all {
            return;
        }
        let tick = tokio::time::sleep(std::time::Duration::from_millis(100));
        tokio::select! {
            biased;
            changed = shutdown.changed() => if changed.is_err() || *shutdown.borrow() { break },
            () = &mut gauges => gauges = next_gauges(shared, catalog),
            name = fleet.step() => ended(&name, &shutdown),
            () = tick => {}
        }
    }
    fleet.finish().await;
}

/// It reached its verdict in the wanted version, or can reach none.
fn has_ended(status: &Status, digest: &str) -> bool {
    let body = &status.status;
    let current = body.observed_generation.as_ref().is_some_and(|generation| generation.digest == digest);
    status.is_stalled() || (current && body.phase.is_final() && body.phase != Phase::Stopped)
}

fn next_gauges<W: World, S: Store, C: Clock>(shared: &Arc<Shared<W, S, C>>, catalog: &Catalog) -> Gauges {
    let (shared, targets) = (Arc::clone(shared), catalog.targets().cloned().collect());
    Box::pin(async move {
        gauges::publish(shared, targets).await;
        tokio::time::sleep(gauges::EVERY).await;
    })
}

fn report<W, S, C>(shared: &Arc<Shared<W, S, C>>, catalog: &Catalog) {
    let files = catalog.report();
    for file in files.iter().filter(|file| !file.accepted) {
        for error in &file.errors {
            tracing::warn!(file = file.file, "{error}");
        }
    }
    let note = catalog.lack().map(Lack::message);
    if let (Some(note), Some(Lack::Empty), true) = (note, catalog.lack(), catalog.is_read()) {
        tracing::warn!("{note}");
    }
    if let Err(error) = shared.folder.write_intake(&IntakeFile { note, files }) {
        tracing::error!(%error, "intake.yaml cannot be written");
    }
}
