//! What serde finds wrong in a tree, in the words of a manifest.

use std::fmt;

use serde::de::{self, Unexpected};

use crate::spec::problem::Segment;

/// What serde found wrong. `path` is built from the inside out.
#[derive(Debug)]
pub struct Error {
    pub path: Vec<Segment>,
    pub kind: Kind,
    /// The last key of the path is meant, not its value.
    pub on_key: bool,
}

#[derive(Debug)]
pub enum Kind {
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
    /// Something required stood here, and what it is in cannot be without it.
    Blank,
}

impl Error {
    pub fn new(kind: Kind) -> Self {
        Self { path: vec![], kind, on_key: false }
    }

    pub fn below(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }

    /// What cannot be passed on, and how to write what is meant.
    pub fn refused(message: String, help: impl Into<String>) -> Self {
        Self::new(Kind::Refused { message, help: help.into() })
    }

    /// An error of the key itself.
    pub fn of_key(self, key: &str) -> Self {
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

/// How to write what was expected.
pub fn way_out(expected: &str, found: &str, is_number: bool) -> String {
    match expected {
        "a text" if is_number => ": put it in quotes".to_owned(),
        "a list" => match found.strip_prefix("the text ") {
            Some(text) => format!(": write it in brackets, as in `[{}]`", text.trim_matches('`')),
            None => ": put `- ` before each item, or write `[…]`".to_owned(),
        },
        "a map" | "a map of fields" if found == "a list" => ": leave out the `-` or the brackets".to_owned(),
        _ => String::new(),
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
        | Unexpected::Other(_) => "something else".to_owned(),
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
        "u8" | "i8" | "i16" | "u128" | "i128" | "isize" => "a whole number",
        "f32" => "a number",
        "unit" | "option" => "nothing",
        other if other.starts_with("enum ") || other.starts_with("variant ") => "one of the allowed words",
        other if other.starts_with("struct ") => "a map of fields",
        other => other,
    }
    .to_owned()
}
