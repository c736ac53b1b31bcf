//! The import rule: a module imports lower levels only. It is read off the `use` lines and paths, and cannot be argued with.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::visit::{self, Visit};

/// The levels of the design. A module that is missing here fails the test.
const LEVELS: &[(&str, u8)] = &[
    ("cli", 8),
    ("operator", 7),
    ("publish", 6),
    ("decide", 5),
    ("audit", 5),
    ("journal", 4),
    ("plan", 3),
    ("spec", 2),
    ("load", 1),
    ("fault", 1),
    ("world", 1),
    ("model", 0),
];

/// Modules without I/O, clock, async, logging or environment, and what may not be named in them.
const PURE: &[&str] = &["model", "load", "fault", "spec", "plan", "journal", "decide", "audit", "publish"];
/// Their files that read, write or wait.
const WITH_IO: &[&str] = &[
    "journal/files.rs",
    "journal/holding.rs",
    "journal/segment.rs",
    "publish/files.rs",
    "publish/shelf.rs",
    "publish/writer.rs",
];
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["tracing"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["jiff", "Timestamp", "now"],
];

/// AGENTS.md asks for about 400; this is where it stops being about.
const LONGEST_FILE: usize = 480;

/// A path as it stands in a file, segment by segment.
type Segments = Vec<String>;

fn sources() -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = vec![];
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.sort();
    files
}

/// The path of a module's file below `src`. `None`: it is of no module.
fn relative(file: &Path) -> Option<String> {
    let relative = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let relative = relative.to_str().unwrap();
    (!["main.rs", "lib.rs"].contains(&relative)).then(|| relative.to_owned())
}

#[derive(Default)]
struct Paths(Vec<Segments>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        flatten(&item.tree, &mut vec![], &mut self.0);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

fn flatten(tree: &syn::UseTree, prefix: &mut Segments, paths: &mut Vec<Segments>) {
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, paths);
            prefix.pop();
        }
        syn::UseTree::Name(name) => paths.push(prefix.iter().cloned().chain([name.ident.to_string()]).collect()),
        syn::UseTree::Rename(name) => paths.push(prefix.iter().cloned().chain([name.ident.to_string()]).collect()),
        syn::UseTree::Glob(_) => paths.push(prefix.iter().cloned().chain(["*".to_owned()]).collect()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, paths)),
    }
}

/// All paths of a file; its unit tests are left out.
fn paths(text: &str) -> Vec<Segments> {
    let mut file = syn::parse_file(text).unwrap();
    let is_test = |attributes: &[syn::Attribute]| {
        attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
        })
    };
    file.items.retain(|item| !matches!(item, syn::Item::Mod(module) if is_test(&module.attrs)));
    let mut paths = Paths::default();
    paths.visit_file(&file);
    paths.0
}

fn violations(module: &str, paths: &[Segments]) -> Vec<String> {
    let levels: BTreeMap<&str, u8> = LEVELS.iter().copied().collect();
    let Some(own) = levels.get(module) else { return vec![format!("module `{module}` has no level")] };
    let mut found = vec![];
    for path in paths.iter().filter(|path| path[0] == "crate" && path.len() > 1) {
        let other = path[1].as_str();
        match levels.get(other) {
            Some(level) if other != module && level >= own => {
                found.push(format!("`{module}` (level {own}) names `{}` (level {level})", path.join("::")));
            }
            Some(_) => {}
            None => found.push(format!("`{module}` names `{}`, which has no level", path.join("::"))),
        }
    }
    found
}

/// What a pure file may not name.
fn impurities(paths: &[Segments]) -> Vec<String> {
    let starts =
        |path: &Segments, bad: &&[&str]| path.len() >= bad.len() && path.iter().zip(bad.iter()).all(|(a, b)| a == b);
    let named = paths.iter().filter_map(|path| IMPURE.iter().find(|bad| starts(path, bad)));
    named.map(|bad| format!("it is pure, yet names `{}`", bad.join("::"))).collect()
}

/// All that is wrong with a file, by its path below `src`.
fn mistakes(file: &str, text: &str) -> Vec<String> {
    let paths = paths(text);
    let module = file.split('/').next().unwrap().trim_end_matches(".rs");
    let mut found = violations(module, &paths);
    if PURE.contains(&module) && !WITH_IO.contains(&file) {
        found.extend(impurities(&paths));
    }
    found
}

#[test]
fn modules_import_lower_levels_only() {
    let mut found = vec![];
    for file in sources() {
        let Some(relative) = relative(&file) else { continue };
        // Unit tests of their own file may use what production code may not.
        if file.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        found.extend(mistakes(&relative, &text).into_iter().map(|what| format!("{relative}: {what}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_edge_that_is_forbidden_is_found() {
    for (file, text, wrong) in [
        ("decide", "use crate::audit::audit;", true),
        ("audit", "use crate::decide;", true),
        ("model", "use crate::{spec::Scenario, model::Key};", true),
        ("load", "fn f() { crate::world::LiveWorld::default(); }", true),
        ("plan", "use std::{fs::File, time::Duration};", true),
        ("journal/state.rs", "use std::fs;", true),
        ("publish/html/mod.rs", "fn f() { tracing::info!(\"x\"); std::fs::read(\"x\"); }", true),
        ("publish/files.rs", "use std::fs;", false),
        ("decide", "fn f() { tracing::info!(\"x\"); tokio::spawn(async {}); }", true),
        ("unheard", "use crate::model::Key;", true),
        ("operator", "use crate::{publish::Folder, decide, model::Key}; use super::Desired;", false),
        ("plan", "use std::time::Duration; use crate::{spec::Scenario, model::Key};", false),
        ("plan", "#[cfg(test)] mod tests { use crate::cli; }", false),
    ] {
        assert_eq!(!mistakes(file, text).is_empty(), wrong, "{file}: {text}");
    }
}

#[test]
fn files_with_io_are_listed_for_a_reason() {
    for file in WITH_IO {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
        assert!(!impurities(&paths(&text)).is_empty(), "{file} is pure: take it off the list");
    }
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|file| {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
