//! What people ask beside the manifests: halt everything, suspend one scenario. It is files, so that it outlives the
//! process and needs none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use crate::{
    model::{Request, ScenarioName, Timestamp},
    publish::{Folder, PersonEvent, write_atomically},
    world::{Clock, SystemClock},
};

/// The file whose presence halts everything: in the folder of manifests, or under `control` in the data folder.
pub const HALT: &str = "HALT";
/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How much of a halt's reason is read.
const LONGEST_REASON: usize = 200;
/// A scenario that is to be forgotten is so at once, or not at all: it may come back one day.
const FORGET_WITHIN: Duration = Duration::from_secs(60);
/// What stands before who asked, and since when, in a file of ours.
const BY: &str = "by: ";
const SINCE: &str = "since: ";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    /// Nothing starts, what runs is stopped and healed.
    pub halted: Option<Request>,
    /// These scenarios are stopped and do not start.
    pub suspended: BTreeMap<ScenarioName, Request>,
    /// Nothing shall stay of these, once they are deleted and nothing of them is under way.
    pub forgotten: BTreeSet<ScenarioName>,
}

impl Control {
    /// What has changed since `before`, for people.
    pub fn changes(&self, before: &Self, now: Timestamp) -> Vec<PersonEvent> {
        let mut events = vec![];
        match (&before.halted, &self.halted) {
            (before, Some(request)) if before.as_ref() != Some(request) => {
                events.push(PersonEvent::warning(now, None, "Halted", format!("everything is halted: {request}")));
            }
            (Some(request), None) => {
                let message = format!("the halt is lifted; it was {request}");
                events.push(PersonEvent::normal(now, None, "HaltLifted", message));
            }
            (_, _) => {}
        }
        for (name, request) in self.suspended.iter().filter(|(name, _)| !before.suspended.contains_key(*name)) {
            let message = format!("`dagstorm suspend` asked for it {request}");
            events.push(PersonEvent::normal(now, Some(name.clone()), "Suspended", message));
        }
        for name in before.suspended.keys().filter(|name| !self.suspended.contains_key(*name)) {
            let message = "`dagstorm resume` took the suspension back".to_owned();
            events.push(PersonEvent::normal(now, Some(name.clone()), "Resumed", message));
        }
        events
    }
}

/// Where it is asked.
#[derive(Debug, Clone)]
pub struct Controls {
    folder: PathBuf,
    manifests: Option<PathBuf>,
    /// Whether the last reading failed.
    is_lost: Arc<AtomicBool>,
}

impl Controls {
    /// Those of a data folder, and of the folder of manifests where there is one.
    pub fn new(data: &Path, manifests: Option<&Path>) -> Self {
        Self { folder: data.join("control"), manifests: manifests.map(Path::to_owned), is_lost: Arc::default() }
    }

    /// Reads what is asked for.
    ///
    /// # Errors
    /// When it cannot be known: then what was asked last goes on.
    pub fn read(&self) -> io::Result<Control> {
        let mut halted = request(&self.folder.join(HALT))?;
        if let Some(manifests) = self.manifests.as_ref().filter(|_| halted.is_none()) {
            // A folder that is away says nothing.
            fs::metadata(manifests)?;
            halted = request(&manifests.join(HALT))?;
        }
        Ok(Control { halted, suspended: self.named("suspended")?, forgotten: self.forgotten()? })
    }

    /// What the files of a folder ask of the scenarios that they are named after.
    fn named(&self, folder: &str) -> io::Result<BTreeMap<ScenarioName, Request>> {
        let folder = self.folder.join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let mut requests = BTreeMap::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(name): Option<ScenarioName> = name else { continue };
            requests.extend(request(&path)?.map(|request| (name, request)));
        }
        Ok(requests)
    }

    fn forgotten(&self) -> io::Result<BTreeSet<ScenarioName>> {
        let now = SystemClock.now();
        let is_fresh = |request: &Request| now < request.since.plus(FORGET_WITHIN);
        Ok(self.named("forget")?.into_iter().filter(|(_, request)| is_fresh(request)).map(|(name, _)| name).collect())
    }

    /// Asks for a halt.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn halt(&self, reason: &str, by: &str) -> io::Result<PathBuf> {
        self.ask(&self.folder, HALT, reason, by)
    }

    fn ask(&self, folder: &Path, name: &str, reason: &str, by: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let path = folder.join(name);
        let first = if reason.is_empty() { String::new() } else { format!("{reason}\n") };
        write_atomically(&path, format!("{first}{BY}{by}\n{SINCE}{}\n", SystemClock.now()).as_bytes())?;
        Ok(path)
    }

    /// Takes a halt of the data folder back. False: there was none.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn lift(&self) -> io::Result<bool> {
        remove(&self.folder.join(HALT))
    }

    /// Suspends a scenario.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn suspend(&self, scenario: &ScenarioName, by: &str) -> io::Result<()> {
        self.ask(&self.folder.join("suspended"), scenario.as_str(), "", by).map(drop)
    }

    /// Asks the operator to forget a scenario within a minute.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, scenario: &ScenarioName, by: &str) -> io::Result<()> {
        self.ask(&self.folder.join("forget"), scenario.as_str(), "", by).map(drop)
    }

    /// Takes that back, or away when it is done.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn forget_no_more(&self, scenario: &ScenarioName) -> io::Result<bool> {
        remove(&self.folder.join("forget").join(scenario.as_str()))
    }

    /// Lets a suspended scenario go on. False: it was not suspended here.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn resume(&self, scenario: &ScenarioName) -> io::Result<bool> {
        remove(&self.folder.join("suspended").join(scenario.as_str()))
    }

    /// Tells of every change, for ever.
    pub async fn follow(self, sender: watch::Sender<Control>, folder: Folder) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.tell(&sender, &folder).await;
        }
    }

    /// Reads and tells what has changed, the people too. What cannot be known changes nothing, and is said once.
    pub async fn tell(&self, sender: &watch::Sender<Control>, folder: &Folder) {
        let controls = self.clone();
        let read = tokio::task::spawn_blocking(move || controls.read()).await;
        match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(control) => {
                self.is_lost.store(false, Ordering::Relaxed);
                let mut events = vec![];
                sender.send_if_modified(|known| {
                    let changed = *known != control;
                    events = control.changes(known, SystemClock.now());
                    *known = control;
                    changed
                });
                tell_people(folder, &events);
            }
            Err(error) => {
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "whether a halt is asked for cannot be read: what was asked last goes on");
                }
            }
        }
    }
}

/// Writes events that are of no journal, and logs them.
pub fn tell_people(folder: &Folder, events: &[PersonEvent]) {
    for event in events {
        let scenario = event.scenario.as_ref().map(ToString::to_string);
        if event.is_warning() {
            tracing::warn!(scenario, reason = event.reason, "{}", event.message);
        } else {
            tracing::info!(scenario, reason = event.reason, "{}", event.message);
        }
    }
    if events.is_empty() {
        return;
    }
    if let Err(error) = folder.append_events(events) {
        tracing::warn!(%error, "events.jsonl cannot be written");
    }
}

/// What a file asks; `None`: there is no such file. It counts whatever is in it, and whatever it is.
fn request(path: &Path) -> io::Result<Option<Request>> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = found.is_file().then(|| fs::read(path).ok()).flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_reason = |line: &&str| !line.starts_with(BY) && !line.starts_with(SINCE);
    let reason = text.lines().filter(is_reason).collect::<Vec<_>>().join(" ");
    let tame = |text: &str| text.trim().chars().take(LONGEST_REASON).filter(|c| !c.is_control()).collect::<String>();
    let written = || found.modified().ok().map_or(SystemClock.now(), instant);
    Ok(Some(Request {
        reason: tame(&reason),
        by: field(BY).map_or_else(|| format!("the file {}", path.display()), tame),
        since: field(SINCE).and_then(|since| since.parse().ok()).unwrap_or_else(written),
    }))
}

fn instant(time: SystemTime) -> Timestamp {
    let micros = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = folder.path().join("manifests");
        let controls = Controls::new(folder.path(), Some(&manifests));
        assert!(controls.read().is_err(), "a folder of manifests that is away says nothing");
        fs::create_dir(&manifests).expect("made");
        assert_eq!(controls.read().expect("read"), Control::default());
        let name: ScenarioName = "a".parse().expect("a name");
        controls.suspend(&name, "ann@laptop").expect("written");
        controls.forget(&name, "ann@laptop").expect("written");
        controls.halt("an incident", "ann@laptop").expect("written");
        let asked = controls.read().expect("read");
        let halted = asked.halted.expect("halted");
        assert_eq!((halted.reason.as_str(), halted.by.as_str()), ("an incident", "ann@laptop"));
        assert_eq!(asked.suspended[&name].by, "ann@laptop");
        assert!(asked.forgotten.contains(&name) && controls.forget_no_more(&name).expect("removed"));
        assert!(controls.lift().expect("removed"));
        assert!(!controls.lift().expect("nothing to remove"));
        for (text, reason) in [("", ""), ("maintenance\nuntil nine\n", "maintenance until nine")] {
            fs::write(manifests.join(HALT), text).expect("written");
            let halted = controls.read().expect("read").halted.expect("halted");
            assert_eq!((halted.reason.as_str(), halted.by.ends_with("/HALT")), (reason, true), "{halted}");
            assert!(halted.since > Timestamp::from_micros(0) && halted.since <= SystemClock.now());
        }
        fs::remove_file(manifests.join(HALT)).expect("removed");
        assert!(controls.resume(&name).expect("removed"));
        assert_eq!(controls.read().expect("read"), Control::default());
    }

    #[test]
    fn a_request_to_forget_is_no_standing_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let controls = Controls::new(folder.path(), None);
        let name: ScenarioName = "a".parse().expect("a name");
        controls.forget(&name, "ann").expect("written");
        fs::write(folder.path().join("control/forget/a"), "by: ann\nsince: 2026-01-01T00:00:00Z\n").expect("written");
        assert_eq!(controls.read().expect("read"), Control::default());
    }

    #[test]
    fn what_people_did_is_told() {
        let request = |reason: &str| Request {
            reason: reason.to_owned(),
            by: "ann@laptop".to_owned(),
            since: "2026-12-01T03:00:00Z".parse().expect("an instant"),
        };
        let name: ScenarioName = "a".parse().expect("a name");
        let halted = Control { halted: Some(request("incident 42")), ..Control::default() };
        let other = Control { halted: Some(request("incident 43")), ..Control::default() };
        let suspended = Control { suspended: [(name, request(""))].into(), ..Control::default() };
        let by = "(by ann@laptop, since 2026-12-01T03:00:00.000000Z)";
        for (before, after, expected) in [
            (&Control::default(), &halted, vec![format!("Warning Halted everything is halted: incident 42 {by}")]),
            (&halted, &halted, vec![]),
            (&halted, &other, vec![format!("Warning Halted everything is halted: incident 43 {by}")]),
            (
                &halted,
                &Control::default(),
                vec![format!("Normal HaltLifted the halt is lifted; it was incident 42 {by}")],
            ),
            (&Control::default(), &suspended, vec![format!("Normal Suspended `dagstorm suspend` asked for it {by}")]),
            (
                &suspended,
                &Control::default(),
                vec!["Normal Resumed `dagstorm resume` took the suspension back".to_owned()],
            ),
        ] {
            let told = after.changes(before, Timestamp::from_micros(0));
            let told: Vec<String> =
                told.iter().map(|one| format!("{} {} {}", one.kind, one.reason, one.message)).collect();
            assert_eq!(told, expected);
        }
    }
}
