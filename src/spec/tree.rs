//! A document as a tree in which every key and every value knows its place. YAML ends here.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned, Tagged};

use super::{
    problem::{Path, Place, Problem, Segment},
    syntax::{self, Repair},
};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    pub value: Value,
    /// A scalar without quotes, as it was written.
    pub plain: Option<String>,
    /// Its tag, as in `!!str 5`.
    pub tag: Option<String>,
    pub dialect: Dialect,
    /// The bytes of the source that define it.
    source: Source,
}

/// Bytes of the source: from, and how many.
type Source = (usize, usize);

/// The language of a document. It decides how other programs read its scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Yaml,
    /// Its numbers, texts and truth values are told apart by their own syntax.
    Json,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// It was wrong, was said to be so, and is passed over.
    Removed,
    /// Something required belongs here, and was missing or wrong.
    Blank,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    /// The key was written without quotes.
    pub is_plain: bool,
    pub node: Node,
    source: Source,
}

/// A document that was read, but for single values that are no YAML.
pub struct Read {
    pub root: Node,
    /// What is wrong with these values, each with its path.
    pub problems: Vec<Problem>,
}

/// So many values are passed over at most.
const MOST_REPAIRS: usize = 20;

/// Reads one YAML (or JSON) document. A value that only lacks its quotes is named and passed over.
///
/// # Errors
/// What is wrong with the syntax, if what follows cannot be read because of it.
pub fn parse(text: &str, dialect: Dialect) -> Result<Read, Vec<Problem>> {
    parse_within(text, dialect, syntax::MOST_ALIASES)
}

/// Reads a document that Dagster has written: an alias for everything that occurs twice in it is no bomb.
///
/// # Errors
/// See [`parse`].
pub fn parse_of_dagster(text: &str) -> Result<Node, Vec<Problem>> {
    let Read { root, problems } = parse_within(text, Dialect::Yaml, syntax::MOST_NODES)?;
    if problems.is_empty() { Ok(root) } else { Err(problems) }
}

fn parse_within(text: &str, dialect: Dialect, most_aliases: usize) -> Result<Read, Vec<Problem>> {
    let mut text = text.to_owned();
    let mut repairs: Vec<Repair> = vec![];
    loop {
        let error = match parse_once(&text, most_aliases) {
            Ok(mut root) => {
                root.quote(&text, dialect);
                let problems = repairs.iter().map(|repair| repair.problem(&mut root, &text)).collect();
                return Ok(Read { root, problems });
            }
            Err(error) => error,
        };
        let repair = Repair::of(&error, &text).filter(|_| repairs.len() < MOST_REPAIRS);
        match repair {
            Some(repair) => {
                text.replace_range(repair.at..=repair.at, "x");
                repairs.push(repair);
            }
            None => {
                let mut nothing = Node::made(Place::default(), Value::Removed);
                let mut problems: Vec<Problem> =
                    repairs.iter().map(|repair| repair.problem(&mut nothing, &text)).collect();
                problems.push(syntax::problem(&error, &text));
                return Err(problems);
            }
        }
    }
}

fn parse_once(text: &str, most_aliases: usize) -> Result<Node, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            max_depth: syntax::DEEPEST,
            max_nodes: syntax::MOST_NODES,
            max_aliases: most_aliases,
            max_anchors: most_aliases,
            max_documents: 1,
        },
    };
    serde_saphyr::from_str_with_options::<Node>(text, options)
}

impl Node {
    /// What stands in no source.
    fn made(place: Place, value: Value) -> Self {
        Self { place, value, plain: None, tag: None, dialect: Dialect::Yaml, source: (0, 0) }
    }

    /// Takes the plain scalars over as they stand in the source.
    fn quote(&mut self, source: &str, dialect: Dialect) {
        self.dialect = dialect;
        match &mut self.value {
            Value::Text(text) => self.plain = is_plain(source, self.source, text).then(|| text.clone()),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                self.plain = Some(slice(source, self.source).trim().to_owned());
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.quote(source, dialect)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.is_plain = entry.key == slice(source, entry.source);
                    entry.node.quote(source, dialect);
                }
            }
            Value::Removed | Value::Blank => {}
        }
    }

    /// Takes out every key that its map has already, and says so.
    pub fn take_duplicates(&mut self) -> Vec<Problem> {
        let mut problems = vec![];
        self.collect_duplicates(&Path::default(), &mut problems);
        problems
    }

    fn collect_duplicates(&mut self, path: &Path, problems: &mut Vec<Problem>) {
        match &mut self.value {
            Value::Map(entries) => {
                let mut first: std::collections::BTreeMap<String, Place> = std::collections::BTreeMap::new();
                for entry in entries.iter_mut() {
                    let here = path.key(&entry.key);
                    if let Some(place) = first.get(&entry.key) {
                        let message = format!("`{}` is given twice", entry.key);
                        let help = format!("the first is in line {}: remove one of them", place.line);
                        problems.push(Problem::new(here, message).with_help(help).with_place(entry.key_place));
                        entry.node.value = Value::Removed;
                        continue;
                    }
                    first.insert(entry.key.clone(), entry.key_place);
                    entry.node.collect_duplicates(&here, problems);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.collect_duplicates(&path.index(index), problems);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Removed
            | Value::Blank => {}
        }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Removed
            | Value::Blank => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Removed
            | Value::Blank => None,
        }
    }

    /// Makes what is at this path as if it were not there.
    pub fn remove(&mut self, path: &[Segment]) {
        let Some((first, rest)) = path.split_first() else {
            self.value = Value::Removed;
            return;
        };
        match (first, &mut self.value) {
            (Segment::Key(key), Value::Map(entries)) => {
                for entry in entries.iter_mut().filter(|entry| entry.key == *key) {
                    entry.node.remove(rest);
                }
            }
            (Segment::Index(index), Value::List(items)) => {
                if let Some(item) = items.get_mut(*index) {
                    item.remove(rest);
                }
            }
            (Segment::Key(_) | Segment::Index(_), _) => {}
        }
    }

    /// Leaves a blank where something required is missing or was taken out. What is around it is a map.
    pub fn put_blank(&mut self, path: &[Segment]) {
        let Some((first, rest)) = path.split_first() else {
            self.value = Value::Blank;
            return;
        };
        let place = self.place.start();
        match (first, &mut self.value) {
            (Segment::Key(key), Value::Map(entries)) => match entries.iter_mut().find(|entry| entry.key == *key) {
                Some(entry) => entry.node.put_blank(rest),
                None if rest.is_empty() => {
                    let node = Self::made(place, Value::Blank);
                    let key = key.clone();
                    entries.push(Entry { key, key_place: place, is_plain: false, node, source: (0, 0) });
                }
                None => {}
            },
            (Segment::Index(index), Value::List(items)) => {
                if let Some(item) = items.get_mut(*index) {
                    item.put_blank(rest);
                }
            }
            (Segment::Key(_) | Segment::Index(_), _) => {}
        }
    }

    /// The path of the key or value that begins at this place, and what it is.
    pub fn find(&self, place: Place) -> Option<(Path, &Self)> {
        let is_there = |other: Place| (other.line, other.column) == (place.line, place.column);
        let deeper = |segment: Segment, node: &Self| {
            node.find(place).map(|(path, _)| {
                let mut segments = vec![segment];
                segments.extend(path.0);
                Path(segments)
            })
        };
        let found = match &self.value {
            Value::Map(entries) => entries.iter().find_map(|entry| {
                let segment = Segment::Key(entry.key.clone());
                if is_there(entry.key_place) { Some(Path(vec![segment])) } else { deeper(segment, &entry.node) }
            }),
            Value::List(items) => {
                items.iter().enumerate().find_map(|(index, item)| deeper(Segment::Index(index), item))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Removed
            | Value::Blank => is_there(self.place).then(Path::default),
        };
        found.and_then(|path| Some((path.clone(), self.at(&path)?)))
    }

    /// What stands at this path.
    pub fn at(&self, path: &Path) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, segment| match (segment, &node.value) {
            (Segment::Key(key), Value::Map(_)) => node.get(key).map(|entry| &entry.node),
            (Segment::Index(index), Value::List(items)) => items.get(*index),
            (Segment::Key(_) | Segment::Index(_), _) => None,
        })
    }

    /// Where this path stands: its value, or, when it is missing, the key of the nearest thing around it.
    pub fn locate(&self, path: &Path, on_key: bool) -> Place {
        let mut place = self.place.start();
        let mut node = self;
        for (number, segment) in path.0.iter().enumerate() {
            let is_last = number + 1 == path.0.len();
            match (segment, &node.value) {
                (Segment::Key(key), Value::Map(entries)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { return place };
                    place = if is_last && !on_key { entry.node.mark() } else { entry.key_place };
                    node = &entry.node;
                }
                (Segment::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(*index) else { return place };
                    place = if is_last { item.mark() } else { item.place.start() };
                    node = item;
                }
                (Segment::Key(_) | Segment::Index(_), _) => return place,
            }
        }
        place
    }

    /// What to mark of a value: all of a scalar, the beginning of anything that may go on for lines.
    fn mark(&self) -> Place {
        match &self.value {
            Value::List(_) | Value::Map(_) | Value::Null => self.place.start(),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::Removed | Value::Blank => {
                self.place
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tagged<Inner>>::deserialize(deserializer)?;
        let (place, source) = (place(&spanned), source(&spanned));
        let Tagged(Inner(value), tag) = spanned.value;
        Ok(Self { tag, source, ..Self::made(place, value) })
    }
}

/// Where the value itself stands: an alias is followed.
fn source<T>(spanned: &Spanned<T>) -> Source {
    let span = spanned.defined.span();
    let number = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    (number(span.byte_offset()), number(span.byte_len()))
}

fn slice(text: &str, (from, count): Source) -> &str {
    text.get(from..from.saturating_add(count)).unwrap_or_default()
}

/// Whether a text stands in the source without quotes, in one line. One in several lines is a text to every reader.
fn is_plain(source: &str, (from, count): Source, text: &str) -> bool {
    if text.is_empty() || text.contains('\n') || text != slice(source, (from, count)) {
        return false;
    }
    // The source of a text behind `|` or `>` ends with a line break, unless the document ends there.
    let is_last = source.len() == from + count;
    !(is_last && source[..from].trim_end_matches(' ').strip_suffix('\n').is_some_and(ends_with_a_block_header))
}

/// `|`, `>-`, `|2` …
fn ends_with_a_block_header(before: &str) -> bool {
    let line = before.lines().last().unwrap_or_default();
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    line.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')).ends_with(['|', '>'])
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    let at = spanned.referenced;
    Place::new(at.line(), at.column(), at.span().len().max(1))
}

/// A value without its place: `Spanned` puts it back.
struct Inner(Value);

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(i128::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = vec![];
        while let Some(item) = access.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = vec![];
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let node = access.next_value::<Node>()?;
            let (key_place, source) = (place(&key), source(&key));
            entries.push(Entry { key_place, key: key.value, is_plain: false, node, source });
        }
        Ok(Value::Map(entries))
    }
}
