//! A fuzzer for `spec::load`: good and bad manifests, broken further at random, for FUZZ_SECONDS (2 in `make test`, 60
//! in `make fuzz`). Nothing may panic, hang, or be slow; what does is kept in `target/fuzz` with the seed that made it.
//!
//! It needs nothing but stable Rust: whole words of the grammar as well as bytes are changed, so that most inputs get
//! past the YAML reader and into the types and the checks.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail loudly")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dagstorm::{
    model::GenerationId,
    plan,
    spec::{Locator, Manifest, load, no_attachments, relate},
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// Slower than this, on a busy machine in a debug build, is a defect of the reader.
const SLOW: Duration = Duration::from_secs(5);

const WORDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "spec",
    "target",
    "seed",
    "suspend",
    "start",
    "after",
    "at",
    "every",
    "cron",
    "overlap",
    "load",
    "for",
    "arrivals",
    "jobs",
    "faults",
    "repeat",
    "times",
    "when",
    "stopTasks",
    "service",
    "pick",
    "partition",
    "between",
    "and",
    "cut",
    "expect",
    "contract",
    "quiet",
    "thresholds",
    "limits",
    "maxInFlight",
    "maxRuns",
    "constant",
    "ramp",
    "stairs",
    "poisson",
    "burst",
    "spike",
    "diurnal",
    "trace",
    "rate",
    "from",
    "to",
    "steps",
    "size",
    "base",
    "peak",
    "low",
    "high",
    "period",
    "file",
    "Scenario",
    "Target",
    "dagstorm.dev/v1alpha1",
    "6/min",
    "0/s",
    "10000/s",
    "1e400/s",
    "30s",
    "366d",
    "0s",
    "-1s",
    "999999999999h",
    "1ms",
    "30%",
    "101%",
    "all",
    "one",
    "true",
    "null",
    "~",
    ".nan",
    ".inf",
    "-.inf",
    "1e308",
    "18446744073709551616",
    "-9223372036854775809",
    "0x7f",
    "0o7",
    "\"\"",
    "''",
    "{}",
    "[]",
    "[[[[[[[[",
    "{{{{{{",
    "&a",
    "*a",
    "<<",
    "!!binary",
    "!!map",
    "? ",
    "---",
    "...",
    "|",
    ">",
    "- ",
    ": ",
    "#",
    "\t",
    "\u{feff}",
    "\u{0}",
    "\u{85}",
    "é",
    "🦀",
    "p95 < 90s",
    "queueDepth > 100",
    "0 2 * * *",
    "2026-11-24T02:00:00Z",
    "10.0.0.0/33",
    "::/0",
];

fn corpus() -> Vec<String> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "json") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![];
    collect(&root.join("manifests"), &mut paths);
    collect(&root.join("tests/manifests"), &mut paths);
    paths.sort();
    let texts: Vec<String> = paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    assert!(texts.len() > 20, "the corpus is the shipped manifests and tests/manifests");
    texts
}

/// One to eight changes: words, lines and bytes taken out, doubled, exchanged, moved in from another text.
fn mutate(rng: &mut ChaCha8Rng, corpus: &[String]) -> Vec<u8> {
    let mut text = corpus.choose(rng).unwrap().clone();
    for _ in 0..rng.random_range(1..=8) {
        text = match rng.random_range(0..7) {
            0 => exchange_word(rng, &text),
            1 => {
                let mut lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    lines.remove(rng.random_range(0..lines.len()));
                }
                lines.join("\n")
            }
            2 => {
                let mut lines: Vec<&str> = text.lines().collect();
                if let Some(line) = lines.choose(rng).copied() {
                    let at = rng.random_range(0..=lines.len());
                    let times = rng.random_range(1..=3);
                    lines.splice(at..at, std::iter::repeat_n(line, times));
                }
                lines.join("\n")
            }
            3 => {
                let other = corpus.choose(rng).unwrap();
                let line = other.lines().collect::<Vec<_>>().choose(rng).copied().unwrap_or_default().to_owned();
                let mut lines: Vec<&str> = text.lines().collect();
                lines.insert(rng.random_range(0..=lines.len()), &line);
                lines.join("\n")
            }
            4 => {
                let at = boundary(&text, rng.random_range(0..=text.len()));
                format!("{}{}{}", &text[..at], WORDS.choose(rng).unwrap(), &text[at..])
            }
            5 => text[..boundary(&text, rng.random_range(0..=text.len()))].to_owned(),
            _ => text.replacen("  ", if rng.random() { " " } else { "    " }, rng.random_range(0..20)),
        };
    }
    let mut bytes = text.into_bytes();
    if rng.random_range(0..4) == 0 && !bytes.is_empty() {
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
    }
    bytes
}

fn exchange_word(rng: &mut ChaCha8Rng, text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || "./%-_".contains(c);
    let starts: Vec<usize> = text.char_indices().filter(|(_, c)| is_word(*c)).map(|(at, _)| at).collect();
    let Some(start) = starts.choose(rng).copied() else { return text.to_owned() };
    let begin = text[..start].char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(start, |(at, _)| at);
    let end = text[start..].find(|c| !is_word(c)).map_or(text.len(), |at| start + at);
    format!("{}{}{}", &text[..begin], WORDS.choose(rng).unwrap(), &text[end..])
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Everything that a user can reach with a manifest and without a target.
fn exercise(bytes: &[u8]) -> usize {
    let source = String::from_utf8_lossy(bytes);
    let documents = load("fuzz.yaml", bytes, &no_attachments);
    let (mut targets, mut scenarios) = (vec![], vec![]);
    for document in &documents {
        match &document.content {
            Ok(Manifest::Target(target)) => targets.push(target),
            Ok(Manifest::Scenario(scenario)) => scenarios.push((document.number, scenario)),
            Err(errors) => {
                assert!(!errors.is_empty(), "a refusal without a reason");
                for error in errors {
                    assert!(!error.render(&source, false).is_empty());
                    assert!(!error.message.is_empty());
                }
            }
        }
    }
    for (number, scenario) in &scenarios {
        let plan = plan::compile(scenario, &GenerationId { digest: scenario.digest(), repeat: 1 });
        assert!(!plan.arrivals.is_empty() && plan.arrivals.len() <= 1_000_000);
        let written = serde_json::to_string(scenario).unwrap();
        assert_eq!(
            serde_json::from_str::<dagstorm::spec::Scenario>(&written).unwrap(),
            ***scenario,
            "the journal keeps it"
        );
        for target in &targets {
            Locator::new("fuzz.yaml", bytes).locate(*number, relate(scenario, target));
        }
    }
    scenarios.len() + targets.len()
}

#[test]
fn no_manifest_makes_the_reader_fall() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let seconds = number("FUZZ_SECONDS", 2);
    let first = number("FUZZ_SEED", 1);
    let corpus = corpus();
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut runs, mut good, mut slowest) = (0_u64, 0_usize, (Duration::ZERO, 0));
    let mut failed = vec![];
    while Instant::now() < until || runs < 100 {
        let seed = first + runs;
        let bytes = mutate(&mut ChaCha8Rng::seed_from_u64(seed), &corpus);
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| exercise(&bytes))) {
            Ok(count) => good += count,
            Err(_) => failed.push(keep(seed, &bytes)),
        }
        let took = began.elapsed();
        if took > SLOW {
            failed.push(keep(seed, &bytes));
        }
        slowest = slowest.max((took, seed));
        runs += 1;
    }
    println!(
        "{runs} inputs, {good} good documents, slowest {:?} (seed {}), {} failed",
        slowest.0,
        slowest.1,
        failed.len()
    );
    assert!(good > 0, "no input was good: the fuzzer stays in the YAML reader");
    assert!(failed.is_empty(), "these inputs fail; FUZZ_SEED=<seed> FUZZ_SECONDS=0 repeats one: {failed:?}");
}

fn keep(seed: u64, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{seed}.yaml"));
    fs::write(&path, bytes).unwrap();
    path
}
