//! The operator is killed hundreds of times while what it says and hears is lost, late, cut or refused: each key runs once.
//!
//! `WIRE_SEED` names the draws of the proxy, of the server and of the kills (not what the machine makes of them in time);
//! `WIRE_KILLS` how many kills there are.

use std::{
    collections::BTreeMap,
    env, fs,
    time::{Duration, Instant},
};

use dagstorm::spec::{self, Manifest};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::{
    dagster::{Dagster, Quirks, now},
    judge::{self, Journal},
    proxy::{LONGEST_DELAY, Proxy},
    rig::{Operator, scenario, target, until},
    schema::Sdl,
};

const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
/// A launch is sent within 1 s of its intent and within the client's time-out, is held back by the proxy, and its run is
/// seen within half a second. The rest is for a busy machine.
const SETTLE: Duration = Duration::from_millis(4_500);
/// Of every so many kills one follows an edit of the folder.
const EDIT_EVERY: u32 = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_runs_exactly_once_through_kills_and_a_faulty_network() {
    assert!(SETTLE > Duration::from_secs(1) + REQUEST_TIMEOUT + LONGEST_DELAY + Duration::from_millis(500));
    let seed = number("WIRE_SEED").unwrap_or_else(|| now() as u64);
    let kills = number("WIRE_KILLS").unwrap_or(200) as u32;
    println!("WIRE_SEED={seed} WIRE_KILLS={kills}");
    let dagster = Dagster::new(Sdl::installed(), seed, Quirks::default());
    let proxy = Proxy::new(&dagster.listen().await, seed);
    let url = proxy.listen().await;
    let mut operator = Operator::new();
    let timeouts = [REQUEST_TIMEOUT, SETTLE].map(|span| format!("{}ms", span.as_millis()));
    operator.write("target.yaml", &target(&url, &timeouts[0], &timeouts[1], ""));
    let mut folder = Folder::new(kills);
    for name in NAMES {
        operator.write(&format!("{name}.yaml"), &folder.manifest(name));
    }

    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let began = Instant::now();
    for kill in 0..kills {
        operator.start();
        let life = life(&mut rng);
        if kill % EDIT_EVERY == EDIT_EVERY - 1 {
            let before = life.mul_f64(rng.random_range(0.0..=1.0));
            tokio::time::sleep(before).await;
            folder.edit(&operator, kill);
            tokio::time::sleep(life - before).await;
        } else {
            tokio::time::sleep(life).await;
        }
        operator.kill();
    }
    let storm = began.elapsed();

    proxy.calm();
    folder.finish(&operator);
    operator.start();
    let statuses = verdicts(&operator, &folder).await;
    assert!(operator.stop().await.success(), "{}", operator.log());
    println!("a storm of {:.1} s, then {:.1} s", storm.as_secs_f64(), (began.elapsed() - storm).as_secs_f64());

    let (data, runs) = (operator.path("data"), dagster.runs());
    let mut journals = BTreeMap::new();
    for name in NAMES {
        journals.insert(name.to_owned(), Journal::read(&data, name).await);
    }
    let tally = judge::launches(&journals, &runs);
    println!("{tally:?} {:?}", proxy.launches());
    for (name, status) in &statuses {
        println!("{name}: {}: {}", status["phase"], status["audit"]["message"]);
        judge::verdict(&data, name, status, &journals[name], &runs);
    }
    judge::events(&data, &journals, &runs);
    judge::log(&operator.log());
    assert_eq!(dagster.truth.lock().unwrap().misfits, [""; 0], "every request fits Dagster's schema");
    assert!(tally.epochs <= u64::from(kills) + 1, "one epoch a start: {}", tally.epochs);
    if kills >= 200 {
        assert_that_it_was_a_storm(&tally, &proxy, kills);
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How long a process lives: some die while they start, some soon after, a few live long enough to forget a deletion.
fn life(rng: &mut ChaCha8Rng) -> Duration {
    Duration::from_millis(match rng.random_range(0..100) {
        0..25 => rng.random_range(0..30),
        25..50 => rng.random_range(30..150),
        50..95 => rng.random_range(150..450),
        _ => rng.random_range(1_000..1_800),
    })
}

const STEADY: &str = "steady";
const BURSTS: &str = "bursts";
const PICKY: &str = "picky";
const EDITED: &str = "edited";
const FICKLE: &str = "fickle";
const NAMES: [&str; 5] = [STEADY, BURSTS, PICKY, EDITED, FICKLE];

/// What is in the watched folder.
struct Folder {
    /// About as long as the storm, in milliseconds.
    length: u32,
    edits: u64,
    is_there: bool,
}

impl Folder {
    fn new(kills: u32) -> Self {
        Self { length: (kills * 260).max(3_000), edits: 0, is_there: true }
    }

    fn manifest(&self, name: &str) -> String {
        let whole = format!("{}ms", self.length);
        match name {
            STEADY => scenario(name, 1, &whole, "constant: { rate: 3/s }", "fast_job: 3, slow_job: 1"),
            BURSTS => scenario(name, 2, &whole, "burst: { size: 12, every: 5s }", "fast_job: 1, slow_job: 1"),
            PICKY => scenario(name, 3, &whole, "poisson: { rate: 1/s }", "fast_job: 1, picky_job: 1"),
            EDITED => scenario(name, 1_000 + self.edits, "6s", "constant: { rate: 3/s }", "fast_job: 1"),
            FICKLE => scenario(name, 4, "12s", "constant: { rate: 1/s }", "slow_job: 1"),
            other => panic!("no scenario `{other}`"),
        }
    }

    /// Another version, in one step or with the file half written for a while; a file that goes and comes back.
    fn edit(&mut self, operator: &Operator, kill: u32) {
        let path = operator.path("manifests").join("edited.yaml");
        match (kill / EDIT_EVERY) % 4 {
            0 => {
                self.edits += 1;
                operator.write("edited.yaml", &self.manifest(EDITED));
            }
            1 => {
                self.edits += 1;
                let text = self.manifest(EDITED);
                fs::write(path, &text[..text.len() / 2]).unwrap();
            }
            2 => fs::write(path, self.manifest(EDITED)).unwrap(),
            _ => {
                let path = operator.path("manifests").join("fickle.yaml");
                self.is_there = !self.is_there;
                if self.is_there {
                    fs::write(path, self.manifest(FICKLE)).unwrap();
                } else {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }

    /// At the end all files are there and whole.
    fn finish(&mut self, operator: &Operator) {
        self.is_there = true;
        for name in [EDITED, FICKLE] {
            operator.write(&format!("{name}.yaml"), &self.manifest(name));
        }
    }

    /// The digest of the version that is wanted at the end.
    fn digest(&self, name: &str) -> String {
        let documents = spec::load("a.yaml", self.manifest(name).as_bytes(), &spec::no_attachments);
        match &documents[0].content {
            Ok(Manifest::Scenario(scenario)) => scenario.digest(),
            other => panic!("{other:?}"),
        }
    }
}

/// The statuses when every scenario has the verdict of its last version.
async fn verdicts(operator: &Operator, folder: &Folder) -> BTreeMap<String, Value> {
    let mut statuses = BTreeMap::new();
    for name in NAMES {
        let digest = folder.digest(name);
        let is_it = |status: &Value| {
            let generation = status["observedGeneration"].as_str().unwrap_or_default();
            generation.starts_with(&digest) && matches!(status["phase"].as_str(), Some("Passed" | "Failed" | "Unknown"))
        };
        let status = until(&format!("the verdict of {name}"), || operator.status(name).filter(is_it)).await;
        statuses.insert(name.to_owned(), status);
    }
    statuses
}

/// A test in which nothing went wrong proves nothing.
fn assert_that_it_was_a_storm(tally: &judge::Tally, proxy: &Proxy, kills: u32) {
    let met = proxy.launches();
    let missing: Vec<_> = Proxy::all_faults().into_iter().filter(|fault| !met.contains_key(fault)).collect();
    assert!(missing.is_empty(), "no launch met with {missing:?}");
    assert!(tally.epochs > u64::from(kills / 4), "too few processes came to life: {}", tally.epochs);
    assert!(tally.acknowledged > 200, "{tally:?}");
    assert!(tally.looked_up > 30 && tally.sent_again > 30, "{tally:?}");
    assert!(tally.stopped > 3 && tally.rejected > 0, "{tally:?}");
    // The proxy keeps none from the server more than twice: the other attempts died with their process, or were not made
    // any more, since the manifest was edited.
    assert!(tally.absent * 4 < tally.acknowledged, "{tally:?}");
}
