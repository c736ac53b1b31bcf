//! The process: takes the data folder, takes up the journals, then follows the manifests until it is told to stop.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::Future;
use serde::Serialize;
use tokio::sync::watch;

use super::{
    Attachment, Catalog, Claims, Control, Controls, FileReport, Fleet, Following, Intake, Keep, Lack, Lease,
    LeaseError, Memory, SWEEP_EVERY, Scan, ScannedFile, Shared, Turns, Verdicts, control::tell_people, gauges,
    remembered, retention, standby, sweep, writer_id,
};
use crate::{
    journal::{Fenced, FileStore, Store},
    model::{Phase, ScenarioName},
    publish::{Folder, Status},
    world::{Clock, SystemClock, World},
};

/// What to serve.
#[derive(Debug, Clone)]
pub struct Options {
    pub source: Source,
    pub data: PathBuf,
    /// Wait until the data folder is free, and again when another process takes it over.
    pub standby: bool,
    /// How long a shutdown may take to heal and to wait for answers.
    pub stop_within: Duration,
    /// Which reports are kept.
    pub keep: Keep,
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
    #[error("{0}: everything was dropped, and nothing more was sent")]
    Fenced(#[from] Fenced),
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
/// When the data folder cannot be used, or another process holds it or takes it over.
pub async fn serve<W: World>(
    world: impl Fn() -> W,
    options: Options,
    shutdown: watch::Receiver<bool>,
    started: impl FnOnce(Folder),
) -> Result<Vec<Status>, ServeError> {
    check_nesting(&options)?;
    let data = &options.data;
    let failed = |source: io::Error| ServeError::Data { folder: data.clone(), source };
    let mut lease = Lease::acquire(data);
    if options.standby && matches!(lease, Err(LeaseError::Held { .. })) {
        let Some(next) = standby::wait(data, shutdown.clone()).await.map_err(failed)? else { return Ok(vec![]) };
        lease = Ok(next);
    }
    let mut lease = lease?;
    let folder = Folder::open(data).map_err(failed)?;
    let manifests = match &options.source {
        Source::Folder(following) => Some(following.root.as_path()),
        Source::Files(_) => None,
    };
    let controls = Controls::new(data, manifests);
    started(folder.clone());
    loop {
        let holding = lease.holding.clone();
        let control = asked(&controls, data, &folder).map_err(failed)?;
        let shared = Arc::new(Shared {
            world: world(),
            store: FileStore::open(&data.join("journal"), holding.clone()).map_err(failed)?,
            clock: SystemClock,
            folder: folder.clone(),
            writer: writer_id(data).map_err(failed)?,
            epoch: holding.epoch(),
            verdicts: Verdicts::default(),
            control: watch::Sender::new(control),
            turns: Turns::default(),
            claims: Claims::default(),
            stop_within: options.stop_within,
        });
        let asking = tokio::spawn(controls.clone().follow(shared.control.clone(), folder.clone()));
        let worked = standby::while_held(&holding, work(shared, &options, &controls, shutdown.clone())).await;
        asking.abort();
        match worked {
            Ok(worked) => {
                folder.flush();
                worked.map_err(failed)?;
                return Ok(folder.latest().into_values().collect());
            }
            Err(fenced) if options.standby => {
                tracing::warn!(%fenced, "superseded: everything is dropped, and nothing more is sent");
                drop(lease);
                let Some(next) = standby::wait(data, shutdown.clone()).await.map_err(failed)? else {
                    return Ok(vec![]);
                };
                lease = next;
            }
            Err(fenced) => return Err(fenced.into()),
        }
    }
}

/// What people ask, known before anything is taken up: a halted operator launches nothing, however it was started.
fn asked(controls: &Controls, data: &Path, folder: &Folder) -> io::Result<Control> {
    let control = controls.read().or_else(|_| Controls::new(data, None).read())?;
    tell_people(folder, &control.changes(&Control::default(), SystemClock.now()));
    Ok(control)
}

/// The work of a holder. That it was superseded is an error of its own, outside of that of the folder.
async fn work<W: World, S: Store, C: Clock>(
    shared: Arc<Shared<W, S, C>>,
    options: &Options,
    controls: &Controls,
    shutdown: watch::Receiver<bool>,
) -> Result<io::Result<()>, Fenced> {
    let mut fleet = Fleet::new(Arc::clone(&shared), shutdown.clone());
    match &options.source {
        Source::Folder(following) => {
            if let Err(error) = fleet.take_up().await {
                return Ok(Err(error));
            }
            let manifests = following.root.display();
            tracing::info!(%manifests, data = %options.data.display(), epoch = shared.epoch, "watching");
            let memory = remembered::read(&options.data);
            fleet.take_up_known(memory.homes.keys());
            let catalog = Catalog::default().remembering(memory);
            let catalog = if following.prune_empty { catalog.pruning_empty() } else { catalog };
            follow(&shared, &mut fleet, Intake::new(following), catalog, controls, options, shutdown).await?;
        }
        Source::Files(files) => {
            let mut catalog = Catalog::again();
            let now = shared.clock.now();
            catalog.update(files.clone(), &on_disk, true, now);
            let wanted = catalog.wanted().iter().map(|wanted| wanted.scenario.name.clone()).collect();
            let others = match fleet.heal_others(&wanted).await {
                Ok(others) => others,
                Err(error) => return Ok(Err(error)),
            };
            fleet.want(&catalog.desired(), |_| true, now);
            until_all_ended(&shared, &mut fleet, &catalog, &others, shutdown).await?;
            // Nobody asked for their ends.
            shared.folder.flush();
            others.iter().for_each(|name| shared.folder.forget(name));
        }
    }
    Ok(Ok(()))
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

/// What goes on beside everything else.
type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn follow<W: World, S: Store, C: Clock>(
    shared: &Arc<Shared<W, S, C>>,
    fleet: &mut Fleet<W, S, C>,
    mut intake: Intake,
    mut catalog: Catalog,
    controls: &Controls,
    options: &Options,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), Fenced> {
    let mut gauges: Background = Box::pin(async {});
    let mut sweep: Background = Box::pin(std::future::pending());
    let mut tidy = next_tidy(shared, options.keep, Duration::ZERO);
    let mut remembered = catalog.memory().clone();
    let mut swept = false;
    loop {
        let next = intake.next();
        tokio::pin!(next);
        // Whatever else ends meanwhile does not start the wait for a change anew.
        let scan = loop {
            tokio::select! {
                biased;
                changed = shutdown.changed() => if changed.is_err() || *shutdown.borrow() { break None },
                name = fleet.step() => ended(&name?, &shutdown),
                scan = &mut next => break Some(scan),
                () = &mut gauges => gauges = next_gauges(shared, &catalog),
                () = &mut sweep => sweep = next_sweep(shared, &catalog, SWEEP_EVERY),
                () = &mut tidy => tidy = next_tidy(shared, options.keep, retention::EVERY),
            }
        };
        let Some(scan) = scan else { break };
        let now = shared.clock.now();
        if catalog.update(scan.files.clone(), &|path| found(&scan, path), scan.is_complete, now) {
            report(shared, &catalog);
        }
        if catalog.is_read() {
            // Whoever suspends a scenario and then adds it is asked in that order.
            controls.tell(&shared.control, &shared.folder).await;
            let deleted = fleet.want(&catalog.desired(), |name| catalog.may_hold(name), now);
            catalog.delete(&deleted, now);
            remember(&options.data, &catalog, &mut remembered);
            tell_people(&shared.folder, &catalog.take_events());
            if !swept {
                // At the start, as soon as the targets are known.
                (swept, sweep) = (true, next_sweep(shared, &catalog, Duration::ZERO));
            }
        }
    }
    tracing::info!("stopping: no new launches, waiting for the answers of those in flight");
    fleet.finish().await
}

/// Writes down what changed of what is to be remembered. What cannot be written is tried again at the next change.
fn remember(data: &Path, catalog: &Catalog, known: &mut Memory) {
    if catalog.memory() == known {
        return;
    }
    match remembered::write(data, catalog.memory()) {
        Ok(()) => known.clone_from(catalog.memory()),
        Err(error) => tracing::warn!(%error, "what is in the folder of manifests cannot be remembered over a restart"),
    }
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
    others: &BTreeSet<ScenarioName>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), Fenced> {
    let mut gauges: Background = Box::pin(async {});
    let mut sweep = next_sweep(shared, catalog, Duration::ZERO);
    let wanted = catalog.wanted();
    loop {
        let latest = shared.folder.latest();
        let is_halted = shared.control.borrow().halted.is_some();
        let has_ended = |status: &Status, digest: &str| {
            let phase = status.status.phase;
            has_ended(status, digest) || (is_halted && (phase.is_final() || phase == Phase::Suspended))
        };
        let all = wanted
            .iter()
            .all(|wanted| latest.get(&wanted.scenario.name).is_some_and(|status| has_ended(status, &wanted.digest)));
        let is_done = |name: &ScenarioName| {
            latest.get(name).is_some_and(|status| status.status.phase.is_final() || status.is_stalled())
        };
        if all && others.iter().all(is_done) {
            // One that can reach no verdict may have launches under way: their answers are waited for and written down.
            fleet.stop();
            return fleet.finish().await;
        }
        let tick = tokio::time::sleep(Duration::from_millis(100));
        tokio::select! {
            biased;
            changed = shutdown.changed() => if changed.is_err() || *shutdown.borrow() { break },
            () = &mut gauges => gauges = next_gauges(shared, catalog),
            () = &mut sweep => sweep = next_sweep(shared, catalog, SWEEP_EVERY),
            name = fleet.step() => ended(&name?, &shutdown),
            () = tick => {}
        }
    }
    fleet.finish().await
}

/// It reached its verdict in the wanted version, or can reach none.
fn has_ended(status: &Status, digest: &str) -> bool {
    let body = &status.status;
    let current = body.observed_generation.as_ref().is_some_and(|generation| generation.digest == digest);
    status.is_stalled() || (current && body.phase.is_final() && body.phase != Phase::Stopped)
}

fn next_gauges<W: World, S: Store, C: Clock>(shared: &Arc<Shared<W, S, C>>, catalog: &Catalog) -> Background {
    let (shared, targets) = (Arc::clone(shared), catalog.targets().cloned().collect());
    Box::pin(async move {
        gauges::publish(shared, targets).await;
        tokio::time::sleep(gauges::EVERY).await;
    })
}

fn next_sweep<W: World, S: Store, C: Clock>(
    shared: &Arc<Shared<W, S, C>>,
    catalog: &Catalog,
    wait: Duration,
) -> Background {
    let (shared, targets) = (Arc::clone(shared), catalog.targets().cloned().collect());
    Box::pin(async move {
        tokio::time::sleep(wait).await;
        sweep(shared, targets).await;
    })
}

fn next_tidy<W: World, S: Store, C: Clock>(shared: &Arc<Shared<W, S, C>>, keep: Keep, wait: Duration) -> Background {
    let folder = shared.folder.clone();
    Box::pin(async move {
        tokio::time::sleep(wait).await;
        let tidied = tokio::task::spawn_blocking(move || retention::tidy(&folder, keep, std::time::SystemTime::now()));
        if let Err(error) = tidied.await {
            tracing::warn!(%error, "the reports cannot be looked through");
        }
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
