//! The corpus of manifests: good ones that a strict reader might refuse, bad ones with what each is answered, and hostile
//! ones that are made here because nobody wants to store them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail loudly")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use dagstorm::spec::{load, no_attachments};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "json"));
    paths.sort();
    paths
}

#[test]
fn good_manifests_are_good() {
    let folder = folder("good");
    let mut count = 0;
    for path in files(&folder) {
        let read = |name: &str| fs::read(folder.join(name)).map_err(|error| error.to_string());
        let documents = load(&path.display().to_string(), &fs::read(&path).unwrap(), &read);
        assert!(!documents.is_empty(), "{}", path.display());
        for document in documents {
            let errors = document.content.err().unwrap_or_default();
            assert!(errors.is_empty(), "{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
            count += 1;
        }
    }
    assert!(count >= 12);
}

/// What a hostile file is made of, by name.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let head = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: a }\n";
    let phase = "{ name: base, for: 10s, arrivals: { constant: { rate: 1/s } }, jobs: { fast_job: 1 } }";
    let good = format!("{head}spec:\n  target: local\n  load:\n    - {phase}\n");
    let many = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
    let deep = 100_000;
    vec![
        ("50 MB of comments", format!("{good}{}", "# comment\n".repeat(5_000_000)).into_bytes()),
        ("a byte above the limit", vec![b'#'; (1 << 20) + 1]),
        ("1 MB in one line", format!("{good}  labels: {}", "x".repeat(1_000_000)).into_bytes()),
        ("one line of 400 KB with a mistake at its end", {
            let jobs = many(20_000, &|number| format!("job_number_{number}: 1, "));
            format!("{head}spec: {{ target: local, load: [{{ name: a, for: 1s, arrivals: {{ constant: {{ rate: 1/s }} }}, jobs: {{ {jobs} last: -1 }} }}] }}\n").into_bytes()
        }),
        (
            "100,000 levels of flow lists",
            format!("{head}spec: {}{}\n", "[".repeat(deep), "]".repeat(deep)).into_bytes(),
        ),
        (
            "100,000 levels of flow maps",
            format!("{head}spec: {}1{}\n", "{a: ".repeat(deep), "}".repeat(deep)).into_bytes(),
        ),
        ("1,000 levels of block maps", {
            let block = many(1_000, &|level| format!("{}a:\n", " ".repeat(level)));
            format!("{head}spec:\n{}", block.lines().fold(String::new(), |text, line| text + " " + line + "\n"))
                .into_bytes()
        }),
        ("60,000 values", format!("{head}spec: [{}]\n", "1,".repeat(60_000)).into_bytes()),
        ("a billion laughs", {
            let mut text = format!("{head}a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
            for level in 1..12 {
                let below = format!("*a{}, ", level - 1).repeat(9);
                writeln!(text, "a{level}: &a{level} [{}]", below.trim_end_matches(", ")).unwrap();
            }
            text.into_bytes()
        }),
        ("a NUL byte", good.replace("fast_job", "fast\0job").into_bytes()),
        ("not UTF-8", [good.replace("base", "b").as_bytes(), b"# caf\xe9\n"].concat()),
        (
            "UTF-16 with its mark",
            good.encode_utf16().flat_map(u16::to_le_bytes).fold(vec![0xff, 0xfe], |mut all, byte| {
                all.push(byte);
                all
            }),
        ),
        ("an executable", b"\x7fELF\x02\x01\x01\0\0\0\0\0".to_vec()),
        ("5,000 documents", format!("---\n{good}").repeat(5_000).into_bytes()),
        ("1,001 empty documents", "---\n".repeat(1_001).into_bytes()),
        ("a hundred mistakes", {
            let phases = many(100, &|number| {
                format!("    - {{ nam: p{number}, for: ten, arrivals: {{ constnat: 1 }}, jobs: {{ a: -1 }} }}\n")
            });
            format!("{head}spec:\n  target: local\n  load:\n{phases}").into_bytes()
        }),
        ("500 digits", good.replace("10s", &format!("{}s", "9".repeat(500))).into_bytes()),
        ("a year at the fastest rate", good.replace("10s", "366d").replace("1/s", "10000/s").into_bytes()),
        ("2,000 phases", {
            let phases = many(2_000, &|number| format!("    - {}\n", phase.replace("base", &format!("p{number}"))));
            format!("{head}spec:\n  target: local\n  load:\n{phases}").into_bytes()
        }),
        ("a field name of 100,000 characters", format!("{good}  {}: 1\n", "field".repeat(20_000)).into_bytes()),
        ("right-to-left and control characters", good.replace("base", "\u{202e}esab\u{1b}[31m").into_bytes()),
    ]
}

/// `make test` watches time and memory of these through the program, in `tests/e2e/test_hostile_manifests.py`.
#[test]
fn hostile_manifests_are_answered() {
    let mut out = String::new();
    for (what, bytes) in hostile() {
        let began = std::time::Instant::now();
        let documents = load("hostile.yaml", &bytes, &no_attachments);
        let errors: Vec<String> = documents
            .iter()
            .filter_map(|document| document.content.as_ref().err())
            .flatten()
            .map(ToString::to_string)
            .collect();
        println!("{what}: {:?}, {} bytes, {} errors", began.elapsed(), bytes.len(), errors.len());
        writeln!(out, "# {what} ({} errors)", errors.len()).unwrap();
        for error in errors.iter().take(3) {
            let shown: String = error.chars().take(300).collect();
            writeln!(out, "{}", shown.escape_debug()).unwrap();
        }
    }
    insta::assert_snapshot!("hostile", out);
}

/// Words of the libraries that read manifests for us. They are for those who program with them.
const RAW_WORDS: [&str; 42] = [
    "scalar",
    "mapping",
    "sequence",
    "indicator",
    "while scanning",
    "while parsing",
    "did not find expected",
    "simple key",
    "alias references",
    "unknown anchor",
    "EOF",
    "eof",
    "budget",
    "policy",
    "disallowed",
    "in this context",
    "misplaced",
    "Component error",
    "Pattern",
    "CronPattern",
    "out of bounds",
    "invalid type",
    "invalid value",
    "invalid length",
    "missing field",
    "expected struct",
    "enum ",
    "variant",
    "tuple",
    "newtype",
    "identifier",
    "key must be a string",
    "trailing",
    "control character",
    "surrogate",
    "recursion",
    "at line",
    "relative URL",
    "InvalidInput",
    "os error",
    "ParseError",
    "jiff",
];

/// No message shows what a library said: where, what is wrong and what to do are in our own words.
#[test]
fn no_message_has_a_librarys_words() {
    let folder = folder("bad");
    let mut seen = 0;
    let mut told = vec![];
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let read = |attachment: &str| fs::read(folder.join(attachment)).map_err(|_| "is not there".to_owned());
        for document in load(&name, &fs::read(&path).unwrap(), &read) {
            told.extend(document.content.err().into_iter().flatten().chain(document.remarks));
        }
        seen += 1;
    }
    for (what, bytes) in hostile() {
        for document in load(what, &bytes, &no_attachments) {
            told.extend(document.content.err().into_iter().flatten());
        }
    }
    for text in BROKEN {
        for (name, text) in [("a.yaml", format!("{HEAD}spec:\n  target: a\n{text}\n")), ("a.json", (*text).to_owned())]
        {
            let errors: Vec<_> = load(name, text.as_bytes(), &no_attachments)
                .into_iter()
                .flat_map(|document| document.content.err().unwrap_or_default())
                .collect();
            assert!(!errors.is_empty(), "{name} is good: {text}");
            told.extend(errors);
        }
    }
    assert!(seen >= 247, "{seen}");
    for error in told {
        // What the file itself says stands in backquotes.
        let whole = format!("{}; {}", error.message, error.help.as_deref().unwrap_or_default());
        let own: String = whole.split('`').step_by(2).collect();
        let raw = RAW_WORDS.iter().find(|word| own.contains(**word));
        assert!(raw.is_none(), "`{}` in: {error}", raw.unwrap_or(&""));
        assert!(!error.message.trim().is_empty(), "{error:?}");
    }
}

const HEAD: &str = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: a }\n";

/// Beginnings of what people get wrong in YAML and in JSON, each refused by both readers.
const BROKEN: [&str; 34] = [
    "{",
    "[",
    "}",
    "]",
    "\"a",
    "'a",
    "a: b: c",
    "  a: 1\n b: 2",
    "- a\n b",
    "\ta: 1",
    "a:\n\t- b",
    "? a",
    "? [a]: b",
    "*a",
    "a: *",
    "a: &",
    "a: @b",
    "a: `b`",
    "a: %b",
    "%YAML 9",
    "a: !b!c d",
    "a: {b: 1",
    "a: [1, 2",
    "a: [1, 2}",
    "a: \"\\q\"",
    "a: \"\\u12\"",
    "a: 'b' c",
    "a: |x\n b",
    "<<: {a: 1}",
    "a: {- b}",
    "a: [a:b: c]",
    "- -",
    "{\"a\": 1,}",
    "{\"a\" 1}",
];
