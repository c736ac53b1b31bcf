//! What is wrong with the syntax of a document, in our own words: the library's are for those who program with it.

use serde_saphyr::{Error, ExternalMessageSource, budget::BudgetBreach, granit_parser::ErrorKind};

use super::{
    problem::{Path, Place, Problem, Segment},
    tree::Node,
};

pub const DEEPEST: usize = 32;
pub const MOST_NODES: usize = 50_000;
/// An anchor or two is a convenience, a hundred are an alias bomb.
pub const MOST_ALIASES: usize = 16;

/// The one thing that keeps the rest from being read.
pub fn problem(error: &Error, text: &str) -> Problem {
    let place = place(error);
    let (message, help) = explain(error, place, text);
    let problem = Problem::at(place, message);
    if help.is_empty() { problem } else { problem.with_help(help) }
}

fn place(error: &Error) -> Place {
    error.location().map_or(Place::default(), |at| Place::new(at.line(), at.column(), 1))
}

/// The error itself, without what was wrapped around it.
fn inner(error: &Error) -> &Error {
    if let Error::WithSnippet { error, .. } | Error::AliasError { error, .. } = error { inner(error) } else { error }
}

fn kind(error: &Error) -> Option<&ErrorKind> {
    let Error::ExternalMessage { source, .. } = inner(error) else { return None };
    let ExternalMessageSource::Parser(scan) = &**source else { return None };
    Some(scan.kind())
}

/// What is wrong, and the way out.
fn explain(error: &Error, place: Place, text: &str) -> (String, &'static str) {
    if let Error::Budget { breach, .. } = inner(error) {
        return (too_much(breach), "");
    }
    if let Some(ErrorKind::RecursionLimitExceeded) = kind(error) {
        return (too_much(&BudgetBreach::Depth { depth: DEEPEST + 1 }), "");
    }
    if let Some(kind) = kind(error) {
        return (format!("not valid YAML: {}", of_kind(kind)), way_out(kind));
    }
    let error = inner(error);
    let is_recursive = matches!(
        error,
        Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
            | Error::RecursiveReferencesRequireWeakTypes { .. }
    );
    if is_recursive {
        return (too_much(&BudgetBreach::Aliases { aliases: MOST_ALIASES + 1 }), "");
    }
    if matches!(error, Error::MultipleDocuments { .. }) {
        return (
            "a second document begins here without a `---` line of its own".to_owned(),
            "put `---` alone in a line",
        );
    }
    if matches!(error, Error::MergeKeyNotAllowed { .. } | Error::MergeValueNotMapOrSeqOfMaps { .. }) {
        return (MERGE.to_owned(), MERGE_HELP);
    }
    if matches!(error, Error::Eof { .. }) {
        return ("not valid YAML: the text ends before the document does".to_owned(), "");
    }
    if is_of_a_tag(error) {
        let help = "leave the tag out; for a text, write the value in quotes";
        return ("the tag before this value does not fit it".to_owned(), help);
    }
    let is_key = text.lines().nth(place.line.saturating_sub(1) as usize).is_some_and(|line| line.contains("{{"));
    let help =
        if is_key { "is this a template that was not rendered?" } else { "a key is a text, without `?`, `[` or `{`" };
    let is_unread = matches!(error, Error::Unexpected { .. } | Error::Message { .. } | Error::InvalidScalar { .. });
    let what = if is_unread { "a list or a map stands where a key belongs" } else { "this cannot be read" };
    (format!("not valid YAML: {what}"), help)
}

/// `!!int 0123`: nothing but a tag asks the parser for a number or a truth value.
fn is_of_a_tag(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidScalar { .. }
            | Error::InvalidBooleanStrict { .. }
            | Error::TaggedScalarCannotDeserializeIntoString { .. }
    )
}

fn too_much(breach: &BudgetBreach) -> String {
    if matches!(breach, BudgetBreach::Depth { .. }) {
        return format!("nested too deeply: a document has at most {DEEPEST} levels");
    }
    if matches!(breach, BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. }) {
        return format!("too many anchors and aliases: a document has at most {MOST_ALIASES} of each");
    }
    format!("too many values: a document has at most {MOST_NODES}")
}

const MERGE: &str = "merge keys (`<<`) are not read";
const MERGE_HELP: &str = "write the fields out, or use an anchor for a whole value, as in `jobs: *usual`";

/// What the parser found, by its kind.
fn of_kind(kind: &ErrorKind) -> String {
    use ErrorKind as K;
    if let K::UnclosedFlowCollection { open } = kind {
        return format!("the bracket `{open}` is never closed");
    }
    if let K::MismatchedFlowCollectionEnd { open, close } = kind {
        return format!("the bracket `{open}` is closed by `{close}`");
    }
    if let K::UnexpectedCharacter { character } = kind {
        let can = if character.is_control() { "the character" } else { "a value cannot begin with" };
        let here = if character.is_control() { " cannot stand here" } else { "" };
        return format!("{can} `{}`{here}", character.escape_default());
    }
    let found = of_flow(kind).into_iter().chain(of_block(kind)).find(|(is_it, _)| *is_it);
    found.map_or_else(|| odd(kind), |(_, sentence)| sentence).to_owned()
}

/// Whether it is this, and a sentence for it: of brackets, quotes and tabs.
fn of_flow(kind: &ErrorKind) -> [(bool, &'static str); 6] {
    use ErrorKind as K;
    [
        (
            matches!(
                kind,
                K::UnexpectedEofFlowSequence | K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping
            ),
            "a bracket is never closed",
        ),
        (matches!(kind, K::UnclosedQuotedScalar), "the quote that begins here is never closed"),
        (
            matches!(
                kind,
                K::TabNotAllowed
                    | K::TabInBlockIndentation
                    | K::TabInIndentation
                    | K::TabAtBlockScalarStart
                    | K::TabInPlainScalar
            ),
            "a tab stands where only spaces may",
        ),
        (
            matches!(kind, K::ExpectedFlowMappingSeparator),
            "inside `{ }` a `,` or the closing `}` is missing before this",
        ),
        (
            matches!(kind, K::ExpectedFlowSequenceSeparator),
            "inside `[ ]` a `,` or the closing `]` is missing before this",
        ),
        (matches!(kind, K::MisplacedFlowCollectionEnd), "this bracket closes nothing"),
    ]
}

/// The same, of lines, keys and what stands inside values.
fn of_block(kind: &ErrorKind) -> [(bool, &'static str); 9] {
    use ErrorKind as K;
    [
        (matches!(kind, K::ExpectedBlockSequenceEntry), "a list goes on here without the `-` of its next item"),
        (
            matches!(
                kind,
                K::ExpectedBlockMappingKey
                    | K::InvalidIndentation
                    | K::InvalidBlockScalarIndent
                    | K::InvalidFlowScalarIndent
                    | K::InvalidQuotedScalarIndent
            ),
            "this line does not begin in the column of the lines beside it",
        ),
        (matches!(kind, K::SimpleKeyExpected | K::InvalidSimpleKey), "this line has no `:` after its key"),
        (is_colon(kind), "a `:` cannot stand here"),
        (
            matches!(kind, K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar),
            "something follows the closing quote",
        ),
        (
            matches!(
                kind,
                K::UnknownQuotedScalarEscape
                    | K::InvalidQuotedScalarHexEscape
                    | K::InvalidLowSurrogateHexEscape
                    | K::InvalidLowSurrogate
                    | K::MissingLowSurrogate
                    | K::UnpairedLowSurrogate
                    | K::InvalidUnicodeEscape
            ),
            "after a `\\` inside double quotes stands something that is no escape",
        ),
        (
            matches!(
                kind,
                K::BlockEntryInFlowCollection
                    | K::BlockSequenceEntryNotAllowed
                    | K::InvalidBlockEntryWhitespace
                    | K::PlainScalarStartsWithDashFlowIndicator
            ),
            "a `-` cannot stand here",
        ),
        (matches!(kind, K::CommentNotSeparated), "a `#` begins a comment only after a space"),
        (matches!(kind, K::MissingAnchorOrAliasName), "after `*` or `&` the name of an anchor is missing"),
    ]
}

fn is_colon(kind: &ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(
        kind,
        K::MappingValueNotAllowed
            | K::MappingKeyNotAllowed
            | K::InvalidColonPlacement
            | K::InvalidMappingValueWhitespace
            | K::FlowMappingValueAdjacentCollection
    )
}

/// The rest of the kinds.
fn odd(kind: &ErrorKind) -> &'static str {
    use ErrorKind as K;
    let is_tag = matches!(
        kind,
        K::UndeclaredTagHandle
            | K::ExpectedTagBang
            | K::ExpectedTagDirectiveBang
            | K::InvalidGlobalTagCharacter
            | K::InvalidTagTerminator
            | K::MissingTagUri
            | K::UnclosedVerbatimTag
            | K::InvalidTagEscape
            | K::InvalidTagUtf8LeadingByte
            | K::InvalidTagUtf8TrailingByte
            | K::InvalidTagUtf8
    );
    let is_directive = matches!(
        kind,
        K::DuplicateVersionDirective
            | K::UnsupportedYamlMajorVersion
            | K::DuplicateTagDirective
            | K::MissingDocumentEndBeforeDirective
            | K::InvalidDirectiveTerminator
            | K::DirectiveDisallowed
            | K::MissingYamlVersionSeparator
            | K::MissingDirectiveName
            | K::InvalidDirectiveName
    );
    match (is_tag, is_directive) {
        (true, _) => "a value cannot begin with `!`",
        (_, true) => "a line cannot begin with `%`",
        (false, false) if matches!(kind, K::InvalidBlockScalarHeader | K::ZeroBlockScalarIndent) => {
            "after `|` or `>` the line ends, and the text begins in the next one"
        }
        (false, false) => "this does not fit what stands before it",
    }
}

fn way_out(kind: &ErrorKind) -> &'static str {
    use ErrorKind as K;
    let ways = [
        (
            matches!(
                kind,
                K::TabNotAllowed
                    | K::TabInBlockIndentation
                    | K::TabInIndentation
                    | K::TabAtBlockScalarStart
                    | K::TabInPlainScalar
            ),
            "indent with spaces",
        ),
        (
            matches!(kind, K::SimpleKeyExpected | K::InvalidSimpleKey | K::CommentInterceptedScalar),
            "a key is followed by `:` and a space",
        ),
        (
            is_colon(kind),
            "in this line or the one above, a colon or the space after it is missing, or a text with a colon needs quotes",
        ),
        (
            matches!(kind, K::ExpectedBlockMappingKey | K::ExpectedBlockSequenceEntry | K::InvalidIndentation),
            "begin it in the column of the lines that it belongs to",
        ),
        (
            matches!(
                kind,
                K::UnexpectedCharacter { .. }
                    | K::InvalidTrailingSingleQuotedScalar
                    | K::InvalidTrailingDoubleQuotedScalar
                    | K::UndeclaredTagHandle
                    | K::MissingAnchorOrAliasName
            ),
            "put the whole value in quotes",
        ),
        (
            matches!(kind, K::UnknownQuotedScalarEscape | K::InvalidQuotedScalarHexEscape | K::InvalidUnicodeEscape),
            "write `\\\\` for a backslash, or use single quotes",
        ),
    ];
    ways.into_iter().find(|(is_it, _)| *is_it).map_or("", |(_, way)| way)
}

/// A value or a key that could not be read because of its first character, and is passed over.
pub struct Repair {
    /// The byte of that character; it is replaced by a letter.
    pub at: usize,
    place: Place,
    first: char,
}

impl Repair {
    /// What can be passed over, if this error is such a value.
    pub fn of(error: &Error, text: &str) -> Option<Self> {
        let is_alias = matches!(inner(error), Error::UnknownAnchor { .. });
        let is_merge = matches!(inner(error), Error::MergeKeyNotAllowed { .. });
        let (is_character, is_nameless) = match kind(error) {
            Some(ErrorKind::UnexpectedCharacter { character }) => (matches!(character, '@' | '`' | '%'), false),
            Some(kind) => (false, matches!(kind, ErrorKind::MissingAnchorOrAliasName)),
            None => (false, false),
        };
        let wanted: &[char] = match (is_alias || is_nameless, is_merge, is_character) {
            (true, _, _) => &['*', '&'],
            (_, true, _) => &['<'],
            (_, _, true) => &['@', '`', '%'],
            (false, false, false) => return None,
        };
        let place = place(error);
        // Where a name is missing, the parser stands behind the sign.
        let columns = [place.column, place.column.saturating_sub(1)];
        columns.into_iter().take(if is_nameless { 2 } else { 1 }).find_map(|column| {
            let place = Place::new(place.line, column, 1);
            let (at, first) = character(text, place)?;
            wanted.contains(&first).then_some(Self { at, place, first })
        })
    }

    /// What is wrong with the value, which is taken out of the tree. `text` is the repaired one.
    pub fn problem(&self, root: &mut Node, text: &str) -> Problem {
        let (mut path, value) = root.find(self.place).map_or((Path::default(), None), |(path, node)| {
            let own = node.text().filter(|_| self.begins(node)).map(|text| text.chars().skip(1).collect());
            (path, own)
        });
        let value: String = value.unwrap_or_else(|| rest_of_line(&text[self.at + 1..]));
        let whole = format!("{}{value}", self.first);
        root.remove(&path.0);
        if let (None, Some(Segment::Key(key))) = (root.at(&path).filter(|node| self.begins(node)), path.0.last_mut()) {
            // The key itself was repaired.
            key.replace_range(..1, &self.first.to_string());
        }
        let (message, help) = self.words(&whole);
        Problem::new(path, message).with_help(help).with_place(Place { length: self.length(&whole), ..self.place })
    }

    fn begins(&self, node: &Node) -> bool {
        (node.place.line, node.place.column) == (self.place.line, self.place.column)
    }

    fn length(&self, whole: &str) -> u64 {
        if self.first == '<' { 2 } else { whole.chars().count() as u64 }
    }

    fn words(&self, whole: &str) -> (String, String) {
        let quoted = whole.replace('\\', "\\\\").replace('"', "\\\"");
        let name: String = whole.chars().skip(1).collect();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        match self.first {
            '<' => (MERGE.to_owned(), MERGE_HELP.to_owned()),
            '*' if is_name => (
                format!("`{whole}` stands for what has the anchor `&{name}`, and nothing before it has"),
                format!("write `&{name}` before the value that is meant; a text that begins with `*` needs quotes"),
            ),
            first => (
                format!("`{whole}` is not valid YAML: a value that begins with `{first}` needs quotes"),
                format!("write it as `\"{quoted}\"`"),
            ),
        }
    }
}

fn rest_of_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" #").next().unwrap_or_default().trim_end().to_owned()
}

/// The byte and the character at a place.
fn character(text: &str, place: Place) -> Option<(usize, char)> {
    let line = usize::try_from(place.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let (offset, found) = text.get(before..)?.char_indices().nth(column)?;
    Some((before + offset, found))
}

/// What is wrong with a JSON file, in our own words.
pub fn json_problem(error: &serde_json::Error, text: &str) -> Problem {
    let message = error.to_string();
    let place = Place::new(error.line().max(1) as u64, error.column().max(1) as u64, 1);
    let before = character(text, place).map_or(text, |(at, _)| &text[..at]).trim_end();
    let has = |word: &str| message.contains(word);
    let found = [
        (error.is_eof(), "the text ends before the document does: a bracket or a quote is never closed"),
        (has("recursion"), "nested too deeply"),
        (has("trailing comma") || before.ends_with(','), "the comma before this is one too many"),
        (has("key must be a string"), "a key needs double quotes"),
        (has("expected `:`"), "a `:` is missing before this"),
        (has("expected `,`"), "a `,` or a closing bracket is missing before this, or a text has no double quotes"),
        (has("trailing characters"), "the document ends before this: a JSON file holds one"),
        (has("control character"), "a line break or a tab stands in a text: write `\\n` or `\\t`"),
        (has("escape") || has("surrogate") || has("unicode"), "after a `\\` stands something that is no escape"),
        (has("number"), "this is no number as JSON writes it"),
    ];
    let words = found.into_iter().find(|(is_it, _)| *is_it);
    let words = words.map_or("a value is missing here, or a text has no double quotes", |(_, words)| words);
    Problem::at(place, format!("not valid JSON: {words}"))
}
