//! An answer as a JSON document in which every object has every name once. Total on every input.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Reads a whole body; the error says what it is instead.
///
/// Refused: a name that occurs twice in one object, at any depth (readers differ in which value they take, so neither is the
/// answer), nesting beyond serde_json's limit of 128, a number beyond `f64` (1e400), anything after the document, and what is not
/// JSON at all (NaN).
pub(super) fn parse(body: &[u8]) -> Result<Value, &'static str> {
    if body.is_empty() {
        return Err("the answer is empty");
    }
    serde_json::from_slice(body).map(|Document(value)| value).map_err(|error| {
        if error.is_data() { "the answer has a name twice in one object" } else { "the answer is no complete JSON" }
    })
}

struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EachNameOnce).map(Self)
    }
}

struct EachNameOnce;

impl<'de> Visitor<'de> for EachNameOnce {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with every name once in each object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Document(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match members.entry(name) {
                Entry::Vacant(place) => {
                    let Document(value) = map.next_value()?;
                    place.insert(value);
                }
                Entry::Occupied(_) => return Err(A::Error::custom("a name occurs twice")),
            }
        }
        Ok(Value::Object(members))
    }
}
