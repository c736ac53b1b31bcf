//! A required field that may be left out of what is read, so that the rest is judged in the same run.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A required field: `None` where it was missing or wrong. Whoever decodes has said so already.
#[derive(Debug)]
pub struct Part<T>(pub Option<T>);

/// By this name the reader of trees knows the type.
pub const PART: &str = "dagstorm::Part";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(PART, Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = Part<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part<T>, D::Error> {
        T::deserialize(deserializer).map(|value| Part(Some(value)))
    }

    fn visit_none<E: de::Error>(self) -> Result<Part<T>, E> {
        Ok(Part(None))
    }
}
