//! What the documents name is there: paths, links, modules, make targets, commands, flags, variables, crates; and the text
//! that each mutant of the simulation replaces.
//!
//! Every check is a function from a document to its mistakes, so that a test can plant a mistake and see it found.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

#[path = "docs/document.rs"]
mod document;
#[path = "docs/shell.rs"]
mod shell;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use document::{Document, all_documents, root};
use serde::Deserialize;

/// Folders of the repository that documents name files of.
const FOLDERS: &[&str] = &["src", "tests", "docs", "deploy", "manifests", "benches", ".ci"];

/// Options of other programs that documents name alone.
const OPTIONS_OF_OTHERS: &[&str] = &["--read-only", "--endpoint-url"];

/// One mutant of `tests/sim/mutants.json`, as `tests/sim/mutants.py` reads it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    file: String,
    edits: Vec<Edit>,
    #[serde(default, rename = "mishap")]
    _mishap: Option<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

/// `find` and `replace` are lists of lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    find: Vec<String>,
    replace: Vec<String>,
}

fn mutants() -> Vec<Mutant> {
    serde_json::from_str(&fs::read_to_string(root().join("tests/sim/mutants.json")).unwrap()).unwrap()
}

fn misplaced(mutants: &[Mutant]) -> Vec<String> {
    let mut wrong = vec![];
    let mut names = BTreeSet::new();
    for Mutant { name, file, edits, .. } in mutants {
        if !names.insert(name) {
            wrong.push(format!("two mutants are called `{name}`"));
        }
        if edits.is_empty() {
            wrong.push(format!("`{name}` changes nothing"));
        }
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        for edit in edits {
            let (find, replace) = (edit.find.join("\n"), edit.replace.join("\n"));
            let found = text.matches(&find).count();
            if found != 1 {
                wrong.push(format!("`{name}`: {file} has the text {found} times instead of once: {find}"));
            }
            if find == replace {
                wrong.push(format!("`{name}` replaces a text by itself"));
            }
        }
    }
    wrong
}

/// Words of code spans and shell blocks that are paths of this repository.
fn missing_paths(document: &Document) -> Vec<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let folder = root().join(&document.path).parent().unwrap().to_owned();
    let words = document.words();
    let mut wrong = vec![];
    for word in words.iter().map(|word| word.trim_end_matches(['/', ':', ',', '.'])) {
        if word.is_empty() || !word.chars().all(is_plain) {
            continue;
        }
        let is_source = !word.contains('/') && (word.ends_with(".rs") || word.ends_with(".py"));
        let is_path = word.split_once('/').is_some_and(|(first, _)| FOLDERS.contains(&first));
        if is_source && !files().iter().any(|file| file.ends_with(word)) {
            wrong.push(format!("{}: no file is called `{word}`", document.path));
        }
        if is_path && !root().join(word).exists() && !folder.join(word).exists() {
            wrong.push(format!("{}: there is no `{word}`", document.path));
        }
    }
    wrong
}

/// All files of `FOLDERS`.
fn files() -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let mut files = vec![];
    for folder in FOLDERS {
        collect(&root().join(folder), &mut files);
    }
    files
}

fn dead_links(document: &Document) -> Vec<String> {
    let folder = root().join(&document.path).parent().unwrap().to_owned();
    let mut wrong = vec![];
    for link in document.links().iter().filter(|link| !link.contains("://")) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() { root().join(&document.path) } else { folder.join(file) };
        let text = if target.is_file() { fs::read_to_string(&target).unwrap() } else { String::new() };
        let own = if file.is_empty() { &document.text } else { &text };
        if !target.exists() || !(anchor.is_empty() || document::anchors(own).contains(anchor)) {
            wrong.push(format!("{}: the link `{link}` leads nowhere", document.path));
        }
    }
    wrong
}

/// `make TARGET NAME=value` in code spans and shell blocks.
fn missing_make_targets(document: &Document) -> Vec<String> {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let has_target = |name: &str| makefile.lines().any(|line| line.starts_with(&format!("{name}:")));
    let mut wrong = vec![];
    for command in document.commands() {
        let Some(at) = command.iter().position(|word| word == "make") else { continue };
        let is_variable = |word: &&String| word.contains('=');
        let variables = command.iter().filter(is_variable).filter_map(|word| word.split_once('='));
        for (name, _) in variables.filter(|(name, _)| !makefile.contains(&format!("$({name})"))) {
            wrong.push(format!("{}: the Makefile does not know `{name}`", document.path));
        }
        let targets = command[at + 1..].iter().filter(|word| !word.contains('=') && !word.starts_with('-'));
        for target in targets.filter(|target| !has_target(target)) {
            wrong.push(format!("{}: there is no `make {target}`", document.path));
        }
    }
    wrong
}

/// `cargo test --test NAME` in code spans and shell blocks.
fn missing_cargo_tests(document: &Document) -> Vec<String> {
    let exists = |name: &str| {
        [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")].iter().any(|file| root().join(file).exists())
    };
    let commands = document.commands();
    let named = commands.iter().flat_map(|command| command.windows(2).filter(|pair| pair[0] == "--test"));
    named
        .filter(|pair| !exists(&pair[1]))
        .map(|pair| format!("{}: there is no test program `{}`", document.path, pair[1]))
        .collect()
}

/// Command lines of shell blocks must be accepted by the program's own parser.
fn refused_commands(document: &Document) -> Vec<String> {
    let lines = document.shell_commands();
    let own = lines.iter().filter_map(|words| own_arguments(words));
    own.filter_map(|words| {
        let error = program().try_get_matches_from(&words).err()?;
        let is_help = error.exit_code() == 0;
        (!is_help).then(|| format!("{}: `{}` is refused: {error}", document.path, words.join(" ")))
    })
    .collect()
}

/// A command line of dagstorm, from the program's name on.
fn own_arguments(words: &[String]) -> Option<Vec<String>> {
    let is_assignment = |word: &&String| word.contains('=') && !word.starts_with('-');
    let words: Vec<String> = words.iter().skip_while(is_assignment).cloned().collect();
    let program = words.first()?;
    (program == "dagstorm" || program.starts_with("target/") && program.ends_with("/dagstorm")).then_some(words)
}

/// Commands in prose are shortened: the commands and options that they name must exist.
fn unknown_words(document: &Document) -> Vec<String> {
    let mut wrong = vec![];
    for words in document.span_commands().iter().filter_map(|words| own_arguments(words)) {
        let mut command = program();
        let mut rest = words[1..].iter().peekable();
        while let Some(next) = rest.peek().and_then(|word| command.find_subcommand(word)).cloned() {
            rest.next();
            command = next;
        }
        let is_root = command.get_name() == "dagstorm";
        if let Some(word) = rest.peek().filter(|word| is_root && !word.starts_with('-')) {
            wrong.push(format!("{}: there is no command `dagstorm {word}`", document.path));
        }
        let options = rest.filter(|word| word.starts_with('-') && word.len() > 1);
        for option in options.filter(|option| !has_option(&command, option)) {
            wrong.push(format!("{}: `{}` has no option `{option}`", document.path, command.get_name()));
        }
    }
    let everything = all_commands(&program());
    let scripts = scripts();
    let is_option = |span: &&String| span.starts_with("--") && span.chars().any(char::is_alphabetic);
    for option in document.spans().iter().filter(is_option).filter_map(|span| first_word(span)) {
        let is_known = everything.iter().any(|command| has_option(command, option))
            || scripts.contains(&format!("\"{option}\""))
            || scripts.contains(&format!("\"{}\": \"", option.trim_start_matches('-').replace('-', "_")))
            || OPTIONS_OF_OTHERS.contains(&option);
        if !is_known {
            wrong.push(format!("{}: nothing has the option `{option}`", document.path));
        }
    }
    wrong
}

/// The command line, with the options that commands share in each of them.
fn program() -> clap::Command {
    let mut command = dagstorm::cli::command();
    command.build();
    command
}

fn first_word(text: &str) -> Option<&str> {
    text.split([' ', '=']).next()
}

fn has_option(command: &clap::Command, option: &str) -> bool {
    let option = first_word(option).unwrap_or_default();
    let own = command.get_arguments().any(|argument| {
        let long = argument.get_long().is_some_and(|long| option == format!("--{long}"));
        long || argument.get_short().is_some_and(|short| option == format!("-{short}"))
    });
    own || ["--help", "-h", "--version"].contains(&option)
}

fn all_commands(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().flat_map(all_commands);
    std::iter::once(command.clone()).chain(below).collect()
}

/// The Python programs that documents name options of.
fn scripts() -> String {
    let is_script = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "py");
    files().iter().filter(|file| is_script(file)).map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Variables of the environment that begin with `DAGSTORM_`.
fn unknown_variables(document: &Document) -> Vec<String> {
    let commands = all_commands(&program());
    let by_clap: BTreeSet<String> = commands
        .iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
        .collect();
    let sources: String = files()
        .iter()
        .filter(|file| file.starts_with(root().join("src")) && file.extension().is_some_and(|ending| ending == "rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    let named = document.text.split(|c| !is_part(c)).filter(|word| word.starts_with("DAGSTORM_"));
    let unknown = named.filter(|word| !by_clap.contains(*word) && !sources.contains(&format!("\"{word}\"")));
    unknown.map(|word| format!("{}: nothing reads the variable `{word}`", document.path)).collect()
}

/// Rows `| level | module | holds |` of the table of modules: what they name in lower case is a file of the module.
fn missing_modules(document: &Document) -> Vec<String> {
    let is_name = |span: &&String| span.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut wrong = vec![];
    for line in document.text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", level, modules, holds, ""] = cells[..] else { continue };
        if level.parse::<u8>().is_err() {
            continue;
        }
        let folders: Vec<PathBuf> =
            document::spans_of(modules).iter().map(|module| root().join("src").join(module)).collect();
        for name in document::spans_of(holds).iter().filter(is_name) {
            let is_there = |folder: &PathBuf| folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file();
            if !folders.iter().any(is_there) {
                wrong.push(format!("{}: {modules} has no `{name}`", document.path));
            }
        }
    }
    wrong
}

/// The table of the section `## Dependencies` and `[dependencies]` of Cargo.toml name the same crates.
fn other_crates(document: &Document) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let own = rest.lines().take_while(|line| !line.starts_with('['));
    let own: BTreeSet<String> =
        own.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect();
    let section = document.text.split_once("\n## Dependencies\n").map_or("", |(_, rest)| rest);
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let named: BTreeSet<String> = cells.flat_map(document::spans_of).collect();
    own.symmetric_difference(&named)
        .map(|name| format!("{}: `{name}` is in Cargo.toml or in the table alone", document.path))
        .collect()
}

type Check = fn(&Document) -> Vec<String>;

/// The checks of every document.
const CHECKS: &[(&str, Check)] = &[
    ("paths", missing_paths),
    ("links", dead_links),
    ("make", missing_make_targets),
    ("cargo", missing_cargo_tests),
    ("commands", refused_commands),
    ("options", unknown_words),
    ("variables", unknown_variables),
    ("modules", missing_modules),
];

#[test]
fn every_mutant_has_its_place_once() {
    let mutants = mutants();
    assert!(mutants.len() > 40, "only {} mutants", mutants.len());
    let wrong = misplaced(&mutants);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_documents_name_is_there() {
    let documents = all_documents();
    assert!(documents.len() > 15, "only {} documents", documents.len());
    let wrong: Vec<String> =
        documents.iter().flat_map(|document| CHECKS.iter().flat_map(|(_, check)| check(document))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_lists_the_crates_of_cargo_toml() {
    let readme = Document::read("README.md");
    let wrong = other_crates(&readme);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let lacks = Document { text: readme.text.replacen("`thiserror`", "`thiserr`", 1), ..readme };
    assert_eq!(other_crates(&lacks).len(), 2, "one crate is missing and one is too many");
}

#[test]
fn the_examples_of_the_help_are_accepted() {
    let commands = all_commands(&program());
    let helps = commands.iter().filter_map(clap::Command::get_after_help).map(ToString::to_string);
    let examples: Vec<String> = helps
        .flat_map(|help| {
            help.lines().filter_map(|line| line.strip_prefix("  dagstorm ")).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(examples.len() > 20, "only {} examples", examples.len());
    let lines: Vec<String> = examples.iter().map(|example| format!("dagstorm {example}")).collect();
    let document = Document { path: "--help".to_owned(), text: format!("```sh\n{}\n```\n", lines.join("\n")) };
    let wrong = refused_commands(&document);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_mistake_is_found() {
    for (kind, text) in [
        ("paths", "see `src/unheard/of.rs`"),
        ("paths", "see `tests/sim/unheard.py --first 3`"),
        ("paths", "see `unheard_of.rs`"),
        ("paths", "```sh\ncp manifests/demo/unheard.yaml x/\n```"),
        ("links", "[see](docs/unheard.md)"),
        ("links", "[see](docs/runbook.md#unheard-of)"),
        ("links", "## Here\n\n[see](#there)"),
        ("make", "`make unheard`"),
        ("make", "```sh\nUNHEARD=1 make test   # a comment\n```"),
        ("cargo", "`cargo test --test unheard`"),
        ("commands", "```sh\ndagstorm unheard\n```"),
        ("commands", "```sh\nsleep 1 && dagstorm top --unheard\n```"),
        ("commands", "```console\n$ dagstorm operator --manifests a \\\n    --unheard b\n```"),
        ("commands", "```sh\ndagstorm run steady-load --target t.yaml --rate\n```"),
        ("options", "`dagstorm unheard`"),
        ("options", "`dagstorm heal\n--unheard`"),
        ("options", "with `--unheard-of`"),
        ("variables", "`DAGSTORM_UNHEARD=1`"),
        ("modules", "| 7 | `operator` | `serve`, `unheard` |"),
    ] {
        let document = Document { path: "planted.md".to_owned(), text: format!("{text}\n") };
        for (name, check) in CHECKS {
            assert_eq!(check(&document).len(), usize::from(*name == kind), "{name}: {text}: {:?}", check(&document));
        }
    }
}

#[test]
fn a_mutant_without_its_place_is_found() {
    let of = |find: &str, replace: &str| Mutant {
        name: "planted".to_owned(),
        file: "src/main.rs".to_owned(),
        edits: vec![Edit { find: vec![find.to_owned()], replace: vec![replace.to_owned()] }],
        _note: None,
        _mishap: None,
    };
    for (mutant, mistakes) in [
        (of("fn main() -> ExitCode {", "fn main() {"), 0),
        (of("fn unheard() {", ""), 1),
        (of("ExitCode", "Code"), 1),
        (of("fn main() -> ExitCode {", "fn main() -> ExitCode {"), 1),
        (Mutant { file: "src/unheard.rs".to_owned(), ..of("fn main", "fn other") }, 1),
        (Mutant { edits: vec![], ..of("", "") }, 1),
    ] {
        assert_eq!(misplaced(&[mutant]).len(), mistakes);
    }
    assert_eq!(misplaced(&[of("fn main", "fn a"), of("fn main", "fn b")]).len(), 1, "a name twice");
}
