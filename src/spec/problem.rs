//! What is wrong with a manifest: places, paths, messages, and how they are shown.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};

pub use crate::model::meant;

/// A place in a file. Lines and columns count from 1, in characters; line 0 means that the place is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub line: u64,
    pub column: u64,
    /// How many characters are meant.
    pub length: u64,
}

impl Place {
    pub fn new(line: u64, column: u64, length: u64) -> Self {
        Self { line, column, length }
    }

    /// Its first character.
    pub fn start(self) -> Self {
        Self { length: 1, ..self }
    }

    /// The place in the file of a place in a part that begins at this line and column (both from 0).
    pub fn within(self, lines: u64, columns: u64) -> Self {
        match self.line {
            0 => self,
            1 => Self { line: 1 + lines, column: self.column + columns, ..self },
            line => Self { line: line + lines, ..self },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    Key(String),
    Index(usize),
}

/// The way from a document's root to a field: `spec.load[0].arrivals`.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Path(pub Vec<Segment>);

impl Path {
    pub fn root(key: &str) -> Self {
        Self::default().key(key)
    }

    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Several keys at once: `a.b`.
    #[must_use]
    pub fn keys(&self, dotted: &str) -> Self {
        dotted.split('.').fold(self.clone(), |path, key| path.key(key))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if key.is_empty() || key.contains(['.', '[', ']', ' ', '"']) => {
                    write!(f, "[{key:?}]")?;
                }
                Segment::Key(key) if number == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Something that is wrong, before it is known where in the file its path stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: Path,
    pub message: String,
    pub help: Option<String>,
    /// Where it is, if that is not where the path's value stands.
    pub place: Option<Place>,
    /// The key is meant, not its value.
    pub on_key: bool,
}

impl Problem {
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), help: None, place: None, on_key: false }
    }

    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::new(Path::default(), message) }
    }

    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    #[must_use]
    pub fn with_place(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    #[must_use]
    pub fn on_key(self) -> Self {
        Self { on_key: true, ..self }
    }
}

/// Foreign text in a message: what stands between backquotes is cut when it is long, and nothing of it can move a
/// terminal's cursor or turn the direction of writing.
pub fn tame(message: &str) -> String {
    const LONGEST: usize = 60;
    let is_wild = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let parts = message.split('`').enumerate().map(|(number, part)| {
        let is_quote = number % 2 == 1;
        let count = part.chars().count();
        let kept = if is_quote && count > LONGEST { LONGEST } else { count };
        let mut text = String::new();
        for c in part.chars().take(kept) {
            if is_wild(c) { text.extend(c.escape_unicode()) } else { text.push(c) }
        }
        if kept < count {
            text.push('…');
        }
        text
    });
    parts.collect::<Vec<_>>().join("`")
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    pub file: String,
    pub place: Place,
    /// The field's path, where there is one.
    pub path: String,
    pub message: String,
    /// The way out: what was meant, what is allowed.
    pub help: Option<String>,
}

impl ManifestError {
    /// An error about a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        let (file, message) = (file.to_owned(), message.into());
        Self { file, place: Place::default(), path: String::new(), message, help: None }
    }

    /// The error with its line of `source` and the place marked, for a terminal or plain.
    pub fn render(&self, source: &str, color: bool) -> String {
        self.render_as(&Level::ERROR, source, color)
    }

    /// The same for what is no error yet.
    pub fn render_warning(&self, source: &str, color: bool) -> String {
        self.render_as(&Level::WARNING, source, color)
    }

    fn render_as(&self, level: &Level<'static>, source: &str, color: bool) -> String {
        let title =
            if self.path.is_empty() { self.message.clone() } else { format!("{}: {}", self.path, self.message) };
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut group = match self.range(source) {
            Some((first_line, text, range)) => level.clone().primary_title(title).element(
                Snippet::source(text)
                    .line_start(first_line)
                    .path(self.file.as_str())
                    .annotation(AnnotationKind::Primary.span(range)),
            ),
            None => level.clone().primary_title(title).element(annotate_snippets::Origin::path(self.file.as_str())),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    /// The number of its line, the line, and the bytes of it that are meant.
    fn range<'a>(&self, source: &'a str) -> Option<(usize, &'a str, std::ops::Range<usize>)> {
        let index = usize::try_from(self.place.line.checked_sub(1)?).ok()?;
        let line = source.trim_start_matches('\u{feff}').lines().nth(index)?;
        let byte = |column: u64| {
            let skip = usize::try_from(column).unwrap_or(usize::MAX);
            line.char_indices().nth(skip).map_or(line.len(), |(byte, _)| byte)
        };
        let start = byte(self.place.column.saturating_sub(1));
        let end = byte(self.place.column.saturating_sub(1).saturating_add(self.place.length)).max(start);
        // A line that nobody can read is shown around the mark alone.
        if line.len() > LONGEST_LINE {
            let from = floor(line, start.saturating_sub(LONGEST_LINE / 2));
            let to = floor(line, (from + LONGEST_LINE).min(line.len()));
            let range = (start - from).min(to - from)..(end - from).min(to - from);
            return Some((index + 1, &line[from..to], range));
        }
        Some((index + 1, line, start..end))
    }
}

const LONGEST_LINE: usize = 400;

/// The nearest boundary of a character at or below `byte`.
fn floor(text: &str, mut byte: usize) -> usize {
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// What to say beside an unknown word: what was meant, and what is allowed.
pub fn help_for<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let allowed: Vec<String> = known.clone().into_iter().map(|candidate| format!("`{candidate}`")).collect();
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    // A word of a thousand characters is no near miss of anything.
    match meant(word, known).filter(|_| word.len() < 100) {
        Some(meant) => format!("did you mean `{meant}`? Allowed: {allowed}"),
        None => format!("allowed: {allowed}"),
    }
}
