//! A Markdown document, taken apart as far as the checks need it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::shell;

pub struct Document {
    /// Relative to the repository.
    pub path: String,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Everything that describes dagstorm to people.
pub fn all_documents() -> Vec<Document> {
    let mut paths = vec!["README.md".to_owned(), "AGENTS.md".to_owned(), "deploy/local/README.md".to_owned()];
    for folder in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        paths.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    paths.sort();
    paths.iter().map(|path| Document::read(path)).collect()
}

/// A fenced block.
struct Block {
    language: String,
    lines: Vec<String>,
}

impl Document {
    pub fn read(path: &str) -> Self {
        let file: PathBuf = root().join(path);
        Self { path: path.to_owned(), text: fs::read_to_string(file).unwrap() }
    }

    /// Fenced blocks, and the text without them.
    fn parts(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose) = (vec![], String::new());
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => open = Some(Block { language: language.to_owned(), lines: vec![] }),
                (None, None) => {
                    prose.push_str(line);
                    prose.push('\n');
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.lines.push(line.to_owned()),
            }
        }
        (blocks, prose)
    }

    /// What stands between single backticks in the prose, with line ends as spaces.
    pub fn spans(&self) -> Vec<String> {
        let (_, prose) = self.parts();
        prose
            .split("\n\n")
            .flat_map(|paragraph| paragraph.split("\n|").flat_map(spans_of).collect::<Vec<_>>())
            .collect()
    }

    /// Commands of shell blocks, and of other blocks those behind the prompt `$ `.
    pub fn shell_commands(&self) -> Vec<Vec<String>> {
        let (blocks, _) = self.parts();
        blocks
            .iter()
            .flat_map(|block| match block.language.as_str() {
                "sh" => shell::commands(&block.lines.join("\n")),
                "console" | "text" => shell::commands(&shell::typed(&block.lines)),
                _ => vec![],
            })
            .collect()
    }

    /// Code spans, taken for commands.
    pub fn span_commands(&self) -> Vec<Vec<String>> {
        self.spans().iter().flat_map(|span| shell::commands(span)).collect()
    }

    pub fn commands(&self) -> Vec<Vec<String>> {
        self.shell_commands().into_iter().chain(self.span_commands()).collect()
    }

    /// All words of code spans and shell blocks.
    pub fn words(&self) -> Vec<String> {
        self.commands().into_iter().flatten().collect()
    }

    /// Where links lead: `[text](target)`.
    pub fn links(&self) -> Vec<String> {
        let (_, prose) = self.parts();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }
}

/// What stands between single backticks in a paragraph.
pub fn spans_of(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The anchors of headings, as GitHub makes them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect()
}
