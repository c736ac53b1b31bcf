//! From a tree to typed values, with all that is wrong and not just the first of it.
//!
//! serde ends at the first error. So what is wrong is named, taken out of the tree, and the tree is read again, until
//! nothing wrong is left: the types and the schema stay serde's own, and a file's errors come all at once. A required
//! field that is wrong or missing leaves a blank: a `Part` is read from it as nothing, and what has no `Part` for it is
//! taken out as a whole.

mod error;

pub use error::Error;
use error::{Kind, way_out};
use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

use super::{
    left_out::LeftOut,
    part::PART,
    passed_on::{PASSED_ON, PassedOn, WRITTEN, Written, check_key},
    problem::{Path, Problem, Segment, help_for},
    tree::{Entry, Node, Value},
};

/// More errors than this help nobody.
pub const MOST_PROBLEMS: usize = 50;

/// What a tree says, as far as it can be read, and what is wrong with it.
pub struct Decoded<T> {
    pub value: Option<T>,
    pub problems: Vec<Problem>,
    /// What `value` lacks.
    pub left_out: LeftOut,
}

/// Reads a tree as a `T`. `left_out`: what is known to be wrong already.
pub fn decode<T: DeserializeOwned>(root: &Node, left_out: LeftOut) -> Decoded<T> {
    let mut reading = Reading { root: root.clone(), problems: vec![], left_out };
    reading.problems = reading.root.take_duplicates();
    for problem in &reading.problems {
        reading.left_out.add_doubled(problem.path.0.clone());
    }
    loop {
        let value = match T::deserialize(&reading.root) {
            Ok(value) => Some(value),
            Err(error) => {
                if reading.go_on(error) {
                    continue;
                }
                None
            }
        };
        let Reading { problems, left_out, .. } = reading;
        return Decoded { value, problems, left_out };
    }
}

struct Reading {
    root: Node,
    problems: Vec<Problem>,
    left_out: LeftOut,
}

impl Reading {
    /// Says what is wrong, and takes it out of the tree. Whether the tree may now be read again.
    fn go_on(&mut self, mut error: Error) -> bool {
        error.path.reverse();
        let path = Path(error.path.clone());
        match &error.kind {
            Kind::Missing(field) => {
                let field = path.key(field);
                if !self.left_out.has(&field) && !self.say(&error) {
                    return false;
                }
                self.root.put_blank(&field.0);
                self.left_out.add(field.0);
                true
            }
            Kind::Blank => match error.path.split_last() {
                Some((_, around)) => self.take_out(around.to_vec()),
                None => false,
            },
            Kind::Consequence => self.take_out(error.path),
            Kind::Unknown { .. } => {
                let is_whole = self.say(&error);
                self.left_out.add_unknown(error.path.clone());
                self.root.remove(&error.path);
                is_whole && !error.path.is_empty()
            }
            Kind::Wrong(_) | Kind::Refused { .. } | Kind::Type { .. } => self.say(&error) && self.take_out(error.path),
        }
    }

    fn take_out(&mut self, path: Vec<Segment>) -> bool {
        if path.is_empty() || self.left_out.contains(&path) {
            return false;
        }
        self.root.remove(&path);
        self.left_out.add(path);
        true
    }

    /// Whether there is room for more.
    fn say(&mut self, error: &Error) -> bool {
        self.problems.push(problem(&self.root, error));
        if self.problems.len() < MOST_PROBLEMS {
            return true;
        }
        let place = self.problems.last().and_then(|last| last.place);
        let place = place.unwrap_or_else(|| self.root.locate(&Path(error.path.clone()), true));
        self.problems.push(Problem::at(place, format!("too many errors: these are the first {MOST_PROBLEMS}")));
        false
    }
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
            let written = root.at(&path).and_then(|node| node.plain.as_deref()).filter(|_| *is_number);
            let found = written.map_or_else(|| found.clone(), |written| format!("the number `{written}`"));
            let message = format!("expected {expected}, found {found}{}", way_out(expected, &found, *is_number));
            Problem { on_key: error.on_key, ..Problem::new(path, message) }
        }
        Kind::Consequence | Kind::Blank => Problem::new(path, "wrong"),
    }
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
                let written = self.plain.clone().unwrap_or_else(|| number.to_string());
                Err(Error::new(Kind::Wrong(format!("`{written}` is no finite number"))))
            }
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items::new(items, Reader::Own)),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, Reader::Own)),
            Value::Removed => Err(Error::new(Kind::Consequence)),
            Value::Blank => Err(Error::new(Kind::Blank)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Blank if name == PART => visitor.visit_none(),
            Value::Blank
            | Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Removed => match name {
                PASSED_ON => visitor.visit_newtype_struct(PassedOn(self)),
                WRITTEN => visitor.visit_newtype_struct(Written(self)),
                _ => visitor.visit_newtype_struct(self),
            },
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
            | Value::Removed
            | Value::Blank => self.deserialize_any(visitor),
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
            Value::Blank => Err(Error::new(Kind::Blank)),
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
            Value::Null | Value::Removed | Value::Blank => Unexpected::Unit,
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
