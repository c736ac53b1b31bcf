//! One writer, whatever happens to it: two operators on one data folder, and a folder without room.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use dagstorm::{
    journal::{Event, FileStore, Holding, Record, State, Store},
    model::ScenarioName,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::{
    dagster::{Dagster, WHO},
    rig::{HEAD, Rig},
};

const NAME: &str = "loaded";

struct Operator {
    child: Child,
    log: std::path::PathBuf,
}

/// What a failing test leaves behind must not run on.
impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Operator {
    fn start(rig: &Rig, who: &str, mut command: Command) -> Self {
        let log = rig.path(&format!("{who}.log"));
        let mut file = File::create(&log).unwrap();
        command.env("WHO", who).env("DAGSTORM_LOG", "info,dagstorm::operator::reconcile::trouble=debug");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Through a pipe: a limit on the length of files is none for it.
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || io::copy(&mut stderr, &mut file));
        Self { child, log }
    }

    fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn says(&self, words: &str) {
        until(&format!("{words} in {}", self.log.display()), || self.log().contains(words)).await;
    }

    async fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        until("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(45), "not within 45 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn manifests(rig: &Rig, dagster: &Dagster, rate: u32, seconds: u32) {
    manifests_with(rig, dagster, rate, seconds, "");
}

fn manifests_with(rig: &Rig, dagster: &Dagster, rate: u32, seconds: u32, more: &str) {
    let url = &dagster.url;
    rig.write(
        "manifests/all.yaml",
        &format!(
            "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: local }}
spec:
  dagster: {{ url: '{url}', location: demo, requestTimeout: 2s, settle: 3s, headersFromEnv: {{ {WHO}: WHO }} }}
---
{HEAD}metadata: {{ name: {NAME} }}
spec:
  target: local
  load:
    - name: base
      for: {seconds}s
      arrivals: {{ constant: {{ rate: {rate}/s }} }}
      jobs: {{ fast_job: 1 }}
  expect: {{ quiet: 1s }}
{more}"
        ),
    );
}

fn operator(rig: &Rig, who: &str) -> Operator {
    Operator::start(rig, who, rig.command(&["operator", "--manifests", "manifests", "--data", "data"]))
}

/// What whoever comes next reads.
async fn records(rig: &Rig) -> Vec<Record> {
    let store = FileStore::open(&rig.path("data/journal"), Holding::alone(u64::MAX)).unwrap();
    let records = store.read(&NAME.parse::<ScenarioName>().unwrap()).await.unwrap();
    let mut state = State::default();
    records.iter().for_each(|record| state.apply(record).unwrap());
    records
}

fn attempts(records: &[Record]) -> BTreeMap<u32, u32> {
    let intended = records.iter().filter_map(|record| match &record.event {
        Event::SubmitIntended { index, attempt, .. } => Some((*index, *attempt)),
        _ => None,
    });
    intended.collect()
}

/// The arrivals that were sent again, but for those that a holder wrote down last: it may have been stopped before it sent
/// them, up to 200 ms later.
fn sent_again(records: &[Record]) -> Vec<u32> {
    let mut last: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for record in records {
        if let Event::SubmitIntended { index, attempt: 1, .. } = &record.event {
            last.entry(record.epoch).or_default().push(*index);
        }
    }
    let may_repeat: Vec<u32> = last.values().flat_map(|sent| sent.iter().rev().take(2)).copied().collect();
    let again = attempts(records).into_iter().filter(|(_, attempt)| *attempt > 1).map(|(index, _)| index);
    again.filter(|index| !may_repeat.contains(index)).collect()
}

fn launches(dagster: &Dagster) -> BTreeMap<String, usize> {
    let mut launches = BTreeMap::new();
    for run in dagster.runs() {
        *launches.entry(run.key().to_owned()).or_default() += 1;
    }
    launches
}

fn status(rig: &Rig) -> String {
    fs::read_to_string(rig.path(&format!("data/status/{NAME}.yaml"))).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_stopped_and_goes_on_writes_nothing_that_counts_and_launches_nothing() {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    manifests(&rig, &dagster, 5, 16);
    let mut first = operator(&rig, "first");
    until("launches of the first", || dagster.launched_by("first") >= 5).await;
    let mut second = operator(&rig, "second");
    second.says(&format!("standing by: another dagstorm (process {} on ", first.child.id())).await;
    let alone = rig.run(&["operator", "--manifests", "manifests", "--data", "data", "--no-standby"]);
    assert_eq!(alone.code, 4);
    assert!(alone.err.contains("another dagstorm holds the data folder data (process "), "{}", alone.err);

    first.send(Signal::STOP);
    let stopped = Instant::now();
    second.says("is taken over").await;
    // It was last renewed up to a second before it was stopped.
    assert!(stopped.elapsed() > Duration::from_millis(4_900), "after {:?} already", stopped.elapsed());
    until("launches of the second", || dagster.launched_by("second") >= 5).await;
    let before = dagster.launched_by("first");
    first.send(Signal::CONT);
    first.says("superseded: everything is dropped, and nothing more is sent").await;
    first.says(&format!("standing by: another dagstorm (process {} on ", second.child.id())).await;
    until("all launches", || launches(&dagster).len() == 80).await;
    assert_eq!(dagster.launched_by("first"), before, "launches of a superseded holder");
    assert!(launches(&dagster).values().all(|times| *times == 1), "{:?}", launches(&dagster));

    second.child.kill().unwrap();
    second.ends().await;
    first.says("is taken over").await;
    until("the end", || status(&rig).contains("phase: Passed")).await;
    first.send(Signal::TERM);
    assert_eq!(first.ends().await.code(), Some(0));
    let records = records(&rig).await;
    let epochs: Vec<u64> = records.iter().map(|record| record.epoch).collect();
    assert!(epochs.is_sorted() && [1, 2, 3].iter().all(|epoch| epochs.contains(epoch)), "{epochs:?}");
    assert_eq!(attempts(&records).len(), 80);
    assert_eq!(sent_again(&records), Vec::<u32>::new(), "what was not intended when a holder was stopped");
    assert_eq!(launches(&dagster).len(), 80);
    assert!(launches(&dagster).values().all(|times| *times == 1), "{:?}", launches(&dagster));
    let log = first.log();
    let warnings = log.lines().filter(|line| line.contains("WARN") && !line.contains("config file overridden"));
    assert!(warnings.map(|line| line.contains("superseded")).eq([true]), "one line says it: {log}");
    assert!(!first.log().contains("\"level\":\"ERROR\""), "{}", first.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_followed_ends() {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    manifests(&rig, &dagster, 5, 60);
    let mut run = Operator::start(&rig, "run", rig.command(&["run", "manifests/all.yaml", "--data", "data"]));
    until("launches of the run", || dagster.launched_by("run") >= 3).await;
    let second = operator(&rig, "second");
    second.says("standing by").await;
    run.send(Signal::STOP);
    second.says("is taken over").await;
    until("launches of the second", || dagster.launched_by("second") >= 3).await;
    let before = dagster.launched_by("run");
    run.send(Signal::CONT);
    assert_eq!(run.ends().await.code(), Some(4));
    let words = "another dagstorm took the data folder over (its epoch is 2, this one's 1): everything was dropped";
    run.says(words).await;
    assert_eq!(dagster.launched_by("run"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_launched_and_with_room_it_goes_on() {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    manifests(&rig, &dagster, 20, 10);
    // A file may be 20 KiB long: what goes beyond is cut off in the middle of a line, as by a disk that is full.
    let mut command = rig.command(&[]);
    let program = command.get_program().to_owned();
    command = Command::new("sh");
    let limited = "trap '' XFSZ; ulimit -S -f 40; exec \"$@\"";
    command.args(["-c", limited, "sh"]).arg(program);
    command.args(["operator", "--manifests", "manifests", "--data", "data"]);
    command.current_dir(&rig.folder).env_clear().env("PATH", std::env::var("PATH").unwrap());
    let mut operator = Operator::start(&rig, "limited", command);
    until("DiskFull", || status(&rig).contains("DiskFull")).await;
    let stalled = status(&rig);
    let place = format!("data/journal/{NAME}/0000000001-00000001.jsonl: File too large");
    assert!(stalled.contains(&place) && stalled.contains("make room, and the scenario goes on by itself"), "{stalled}");
    let written = records(&rig).await;
    let launched = launches(&dagster);
    assert!(!launched.is_empty() && launched.len() < 200, "{}", launched.len());
    let intended = attempts(&written);
    let index = |key: &String| key.rsplit('/').next().unwrap().parse::<u32>().unwrap();
    assert!(launched.keys().all(|key| intended.contains_key(&index(key))), "nothing without its durable intent");
    // Not at the next attempt either.
    operator.says("there still is no room").await;
    assert_eq!(launches(&dagster), launched);
    assert_eq!(records(&rig).await, written);
    assert_eq!(operator.log().matches("there is no room for its journal").count(), 1, "{}", operator.log());

    let unlimited = Rlimit { current: None, maximum: None };
    prlimit(Some(operator.pid()), Resource::Fsize, unlimited).unwrap();
    until("all launches", || launches(&dagster).len() == 200).await;
    until("the end", || status(&rig).contains("phase: Passed")).await;
    assert!(!status(&rig).contains("DiskFull"), "{}", status(&rig));
    assert!(launches(&dagster).values().all(|times| *times == 1), "{:?}", launches(&dagster));
    assert_eq!(attempts(&records(&rig).await).len(), 200);
    operator.send(Signal::TERM);
    assert_eq!(operator.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_a_newer_version_says_so() {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    manifests(&rig, &dagster, 1, 5);
    rig.write(&format!("data/journal/{NAME}/0000000007-00000001.jsonl"), "{\"v\":99,\"crc\":\"\",\"wave\":{}}\n");
    let mut operator = operator(&rig, "old");
    until("a status", || status(&rig).contains("reason: JournalNewer")).await;
    assert!(status(&rig).contains("upgrade dagstorm"), "{}", status(&rig));
    assert!(dagster.runs().is_empty());
    operator.send(Signal::TERM);
    assert_eq!(operator.ends().await.code(), Some(0));
    assert_eq!(fs::read_to_string(rig.path("data/epoch")).unwrap(), "8\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_that_comes_again_keeps_a_short_journal_and_counts_on() {
    let (rig, dagster) = (Rig::new(), Dagster::start().await);
    manifests_with(&rig, &dagster, 2, 1, "  start: { every: 1s }\n");
    let segments = || {
        let folder = fs::read_dir(rig.path(&format!("data/journal/{NAME}"))).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let reports = || fs::read_dir(rig.path(&format!("data/reports/{NAME}"))).map_or(0, Iterator::count);
    for (round, generations) in [(1, 3), (2, 5)] {
        let mut operator = operator(&rig, &format!("round-{round}"));
        until("verdicts", || reports() >= generations).await;
        // The next one was accepted: all before is one record.
        until("a compaction", || launches(&dagster).len() > 2 * generations).await;
        operator.child.kill().unwrap();
        operator.ends().await;
        let records = records(&rig).await;
        let Event::Compacted { past } = &records[0].event else { panic!("{:?}", records[0]) };
        let repeats: Vec<u32> = past.iter().map(|summary| summary.generation.repeat).collect();
        assert!(repeats.len() >= generations && repeats.iter().copied().eq(1..=repeats.len() as u32), "{repeats:?}");
        let accepted = records.iter().filter(|record| matches!(record.event, Event::Accepted { .. })).count();
        assert_eq!((segments().len(), accepted), (1, 1), "{:?}", segments());
    }
    assert!(launches(&dagster).values().all(|times| *times == 1), "{:?}", launches(&dagster));
}
