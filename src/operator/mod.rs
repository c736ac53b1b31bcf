//! L7: run and shutdown. One reconciler a scenario, fed by the intake; all of them in one task, none waits for another.

mod catalog;
mod claims;
mod control;
mod fleet;
mod gauges;
mod intake;
mod lanes;
mod lease;
mod orphan;
mod reconcile;
mod remembered;
mod retention;
mod say;
mod serve;
mod standby;
mod sweep;
mod writer;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use catalog::{Catalog, FileReport, Finder, Lack, Memory, ScannedFile, read_attachment};
pub use claims::Claims;
pub use control::{Control, Controls, HALT};
pub use fleet::{ABSENT_FOR, Ears, Fleet};
pub use intake::{Attachment, Following, Intake, LARGEST_ATTACHMENT, Scan, Version, Watch};
pub use lanes::{LANES, Turns};
pub use lease::{Lease, LeaseError, Ticket, Watcher};
pub use orphan::take_back;
pub use reconcile::{Reconciler, may_be_forgotten};
pub use remembered::{read as read_memory, write as write_memory};
pub use retention::Keep;
pub use serve::{Options, Source, on_disk, serve};
pub use standby::while_confirmed;
pub use sweep::{EVERY as SWEEP_EVERY, sweep};
pub use writer::writer_id;

use tokio::sync::watch;

use crate::{
    model::{ScenarioName, Target, Timestamp, WriterId},
    publish::{Folder, Rejection},
    spec::Scenario,
};

/// What all reconcilers share.
pub struct Shared<W, S, C> {
    pub world: W,
    pub store: S,
    pub clock: C,
    pub folder: Folder,
    /// The data folder, as runs name it.
    pub writer: WriterId,
    /// This writer's epoch.
    pub epoch: u64,
    /// When each scenario last had a verdict: others may wait for it.
    pub verdicts: Verdicts,
    /// What people ask beside the manifests.
    pub control: watch::Sender<Control>,
    /// Which turns of scenarios whose turns may overlap were taken.
    pub turns: Turns,
    /// Which AWS objects are being changed.
    pub claims: Claims,
    /// How long a shutdown may take to heal and to wait for answers.
    pub stop_within: Duration,
}

/// See [`Shared::verdicts`]. The newest of each scenario; reconcilers post theirs.
pub type Verdicts = watch::Sender<LastVerdicts>;

/// When each scenario last had a verdict.
pub type LastVerdicts = Arc<BTreeMap<ScenarioName, Timestamp>>;

/// A shared handle.
pub type Handle<W, S, C> = Arc<Shared<W, S, C>>;

/// What the manifests say of one scenario.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Desired {
    /// The folder was not read yet (or is empty, which prunes nothing): carry on with what the journal holds.
    #[default]
    Unread,
    /// No manifest names it any more.
    Deleted,
    /// A manifest names it. `wanted` is the last good version, if there ever was one.
    Present { wanted: Option<Arc<Wanted>>, rejection: Option<Rejection> },
}

impl Desired {
    /// Why the manifest as it is now was rejected, if it was.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Present { rejection, .. } => rejection.as_ref(),
            Self::Unread | Self::Deleted => None,
        }
    }
}

/// The scenario with its target, as they should be.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    pub scenario: Scenario,
    pub target: Target,
    /// The digest of the scenario's spec.
    pub digest: String,
    /// Run it now and once more, although it is not its turn or this very spec was concluded already (`dagstorm run`).
    pub again: bool,
}

impl Wanted {
    pub fn new(scenario: Scenario, target: Target, again: bool) -> Self {
        Self { digest: scenario.digest(), scenario, target, again }
    }
}
