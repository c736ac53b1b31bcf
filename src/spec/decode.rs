//! From a tree to typed values, with all that is wrong and not just the first of it.
//!
//! serde ends at the first error. So what is wrong is named, taken out of the tree, and the tree is read again, until
//! nothing wrong is left: the types and the schema stay serde's own, and a file's errors come all at once.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

use super::{
    passed_on::{PASSED_ON, PassedOn, WRITTEN, Written, check_key},
    problem::{Path, Problem, Segment, help_for, meant},
    tree::{Entry, Node, Value},
};

/// More errors than this help nobody.
pub const MOST_PROBLEMS: usize = 50;

/// What a tree says, as far as it can be read, and what is wrong with it.
pub struct Decoded<T> {
    pub value: Option<T>,
    pub problems: Vec<Problem>,
}

/// Reads a tree as a `T`.
pub fn decode<T: DeserializeOwned>(root: &Node) -> Decoded<T> {
    let mut root = root.clone();
    let mut problems = root.take_duplicates();
    let mut removed: Vec<Vec<Segment>> = vec![];
    // Unknown fields: one of them may be what is missing beside it.
    let mut misspelt: Vec<Vec<Segment>> = vec![];
    loop {
        let mut error = match T::deserialize(&root) {
            Ok(value) => return Decoded { value: Some(value), problems },
            Err(error) => error,
        };
        error.path.reverse();
        let is_consequence = match &error.kind {
            Kind::Missing(field) => {
                let mut path = error.path.clone();
                path.push(Segment::Key((*field).to_owned()));
                removed.contains(&path) || is_misspelt(field, &error.path, &misspelt)
            }
            Kind::Consequence => true,
            Kind::Unknown { .. } | Kind::Wrong(_) | Kind::Refused { .. } | Kind::Type { .. } => false,
        };
        if !is_consequence {
            problems.push(problem(&root, &error));
        }
        if matches!(error.kind, Kind::Unknown { .. }) {
            misspelt.push(error.path.clone());
        }
        if problems.len() >= MOST_PROBLEMS {
            let place = problems.last().and_then(|last| last.place).unwrap_or(root.locate(&Path(error.path), true));
            problems.push(Problem::at(place, format!("too many errors: these are the first {MOST_PROBLEMS}")));
            return Decoded { value: None, problems };
        }
        if error.path.is_empty() || removed.contains(&error.path) {
            return Decoded { value: None, problems };
        }
        root.remove(&error.path);
        removed.push(error.path);
    }
}

/// Whether an unknown field beside a missing one probably is that one.
fn is_misspelt(field: &str, around: &[Segment], misspelt: &[Vec<Segment>]) -> bool {
    misspelt.iter().any(|path| match path.split_last() {
        Some((Segment::Key(word), rest)) => rest == around && meant(word, [field]).is_some(),
        Some((Segment::Index(_), _)) | None => false,
    })
}

fn problem(root: &Node, error: &Error) -> Problem {
    let path = Path(error.path.clone());
    match &error.kind {
        Kind::Missing(field) => {
            let place = root.locate(&path, true);
            Problem::new(path.key(field), "missing").with_place(place)
        }
        Kind::Unknown { what, word, allowed } => {
            let message = format!("unknown {what} `{word}`");
            let problem = Problem::new(path, message).with_help(help_for(word, allowed.iter().copied()));
            Problem { on_key: error.on_key, ..problem }
        }
        Kind::Wrong(message) => Problem { on_key: error.on_key, ..Problem::new(path, message.clone()) },
        Kind::Refused { message, help } => {
            Problem { on_key: error.on_key, ..Problem::new(path, message.clone()).with_help(help.clone()) }
        }
        Kind::Type { found, expected, is_number } => {
            let written = root.at(&error.path).and_then(|node| node.plain.as_deref()).filter(|_| *is_number);
            let found = written.map_or_else(|| found.clone(), |written| format!("the number `{written}`"));
            let quote = if expected == "a text" && *is_number { ": put it in quotes" } else { "" };
            let message = format!("expected {expected}, found {found}{quote}");
            Problem { on_key: error.on_key, ..Problem::new(path, message) }
        }
        Kind::Consequence => Problem::new(path, "wrong"),
    }
}

/// What serde found wrong. `path` is built from the inside out.
#[derive(Debug)]
pub struct Error {
    path: Vec<Segment>,
    kind: Kind,
    /// The last key of the path is meant, not its value.
    on_key: bool,
}

#[derive(Debug)]
enum Kind {
    Missing(&'static str),
    Unknown {
        what: &'static str,
        word: String,
        allowed: &'static [&'static str],
    },
    Wrong(String),
    /// Another program cannot be given what was written.
    Refused {
        message: String,
        help: String,
    },
    Type {
        found: String,
        expected: String,
        is_number: bool,
    },
    /// What is missing here was taken out because it was wrong itself.
    Consequence,
}

impl Error {
    fn new(kind: Kind) -> Self {
        Self { path: vec![], kind, on_key: false }
    }

    fn below(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }

    /// What cannot be passed on, and how to write what is meant.
    pub(super) fn refused(message: String, help: impl Into<String>) -> Self {
        Self::new(Kind::Refused { message, help: help.into() })
    }

    /// An error of the key itself.
    fn of_key(self, key: &str) -> Self {
        Self { on_key: true, ..self.below(Segment::Key(key.to_owned())) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Wrong(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let is_number = matches!(found, Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_));
        let (found, expected) = (words(&found), expectation(&expected.to_string()));
        Self::new(Kind::Type { found, expected, is_number })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }

    fn unknown_field(word: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(Kind::Unknown { what: "field", word: word.to_owned(), allowed })
    }

    fn unknown_variant(word: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(Kind::Unknown { what: "choice", word: word.to_owned(), allowed })
    }
}

fn words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number `{number}`"),
        Unexpected::Signed(number) => format!("the number `{number}`"),
        Unexpected::Float(number) => format!("the number `{number}`"),
        Unexpected::Str(text) => format!("the text `{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing (leave the field out, or give it a value)".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        Unexpected::Char(_)
        | Unexpected::Bytes(_)
        | Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => found.to_string(),
    }
}

/// serde's names of types in the words of a manifest.
fn expectation(expected: &str) -> String {
    match expected {
        "u64" | "usize" | "u32" => "a whole number from 0 up",
        "u16" => "a whole number from 0 to 65535",
        "i64" | "i32" => "a whole number",
        "f64" => "a number",
        "a string" | "str" => "a text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map of fields",
        other => other,
    }
    .to_owned()
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (Err(_), Ok(number)) => visitor.visit_i64(number),
                (Err(_), Err(_)) => visitor.visit_f64(*number as f64),
            },
            Value::Float(number) if !number.is_finite() => {
                let written = self.plain.as_deref().unwrap_or_default();
                Err(Error::new(Kind::Wrong(format!("`{written}` is no finite number"))))
            }
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items::new(items, Reader::Own)),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, Reader::Own)),
            Value::Removed => Err(Error::new(Kind::Consequence)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            PASSED_ON => visitor.visit_newtype_struct(PassedOn(self)),
            WRITTEN => visitor.visit_newtype_struct(Written(self)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            // An unquoted `81e4712` is beyond all numbers, and a text is wanted: that it is a number is what is wrong.
            Value::Float(number) if !number.is_finite() => {
                Err(de::Error::invalid_type(Unexpected::Float(*number), &visitor))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Removed => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let choices = || variants.iter().map(|variant| format!("`{variant}`")).collect::<Vec<_>>().join(", ");
        match &self.value {
            Value::Text(_) => visitor.visit_enum(Choice { node: self, entry: None }),
            Value::Map(entries) => {
                let mut live = entries.iter().filter(|entry| !matches!(entry.node.value, Value::Removed));
                match (live.next(), live.next()) {
                    (Some(entry), None) => visitor.visit_enum(Choice { node: self, entry: Some(entry) }),
                    (Some(_), Some(second)) => {
                        let message = format!("only one of {} may be given", choices());
                        Err(Error::new(Kind::Wrong(message)).of_key(&second.key))
                    }
                    (None, _) if entries.is_empty() => {
                        Err(Error::new(Kind::Wrong(format!("empty: give one of {}", choices()))))
                    }
                    (None, _) => Err(Error::new(Kind::Consequence)),
                }
            }
            Value::Removed => Err(Error::new(Kind::Consequence)),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => {
                Err(de::Error::invalid_type(self.unexpected(), &format!("one of {}", choices()).as_str()))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

impl Node {
    pub(super) fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null | Value::Removed => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Integer(number) => Unexpected::Signed(i64::try_from(*number).unwrap_or(i64::MAX)),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }
}

/// Who reads the values of a list or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Own,
    /// Dagster, by [`PassedOn`].
    Dagster,
}

pub(super) struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    reader: Reader,
}

impl<'de> Items<'de> {
    pub(super) fn new(items: &'de [Node], reader: Reader) -> Self {
        Self { items: items.iter().enumerate(), reader }
    }
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let next = self.items.find(|(_, item)| !matches!(item.value, Value::Removed));
        let Some((index, item)) = next else { return Ok(None) };
        read(item, self.reader, seed).map(Some).map_err(|error| error.below(Segment::Index(index)))
    }
}

fn read<'de, T: DeserializeSeed<'de>>(node: &'de Node, reader: Reader, seed: T) -> Result<T::Value, Error> {
    match reader {
        Reader::Own => seed.deserialize(node),
        Reader::Dagster => seed.deserialize(PassedOn(node)),
    }
}

pub(super) struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
    reader: Reader,
}

impl<'de> Entries<'de> {
    pub(super) fn new(entries: &'de [Entry], reader: Reader) -> Self {
        Self { entries: entries.iter(), current: None, reader }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.entries.find(|entry| !matches!(entry.node.value, Value::Removed));
        let Some(entry) = self.current else { return Ok(None) };
        if self.reader == Reader::Dagster {
            check_key(entry).map_err(|error| error.of_key(&entry.key))?;
        }
        let key: de::value::StrDeserializer<'de, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.of_key(&entry.key))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let entry = self.current.expect("a value is asked for after its key");
        read(&entry.node, self.reader, seed).map_err(|error| error.below(Segment::Key(entry.key.clone())))
    }
}

/// A choice: a word alone, or a map with one key.
struct Choice<'de> {
    node: &'de Node,
    entry: Option<&'de Entry>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word = self.entry.map_or_else(|| self.node.text().unwrap_or_default(), |entry| entry.key.as_str());
        let word: de::value::StrDeserializer<'de, Error> = word.into_deserializer();
        let variant = seed.deserialize(word).map_err(|error| match self.entry {
            Some(entry) => error.of_key(&entry.key),
            None => error,
        })?;
        Ok((variant, self))
    }
}

impl Choice<'_> {
    fn place(&self, error: Error) -> Error {
        match self.entry {
            Some(entry) => error.below(Segment::Key(entry.key.clone())),
            None => error,
        }
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.entry {
            None => Ok(()),
            Some(_) => Err(Error::new(Kind::Wrong("expected a word, found a map".to_owned()))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        match self.entry {
            Some(entry) => seed.deserialize(&entry.node).map_err(|error| self.place(error)),
            None => {
                let word = self.node.text().unwrap_or_default();
                Err(Error::new(Kind::Wrong(format!("`{word}` needs its fields: write `{word}: {{ … }}`"))))
            }
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::new(Kind::Wrong("expected a map".to_owned())))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::new(Kind::Wrong("expected a map".to_owned())))
    }
}
