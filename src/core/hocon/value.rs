//! What a parsed text is made of, and what callers do with it.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::map::Map;
use super::path::parse_path;
use super::{Error, Limits};

/// A value without substitutions. An integral number within `i64` is always an `Int`; a `Float` is finite if parsed.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Array(Vec<Value>),
    Object(Object),
}

/// Fields in the order in which their keys first appeared. Equality ignores that order.
#[derive(Debug, Clone, Default)]
pub struct Object(pub(super) Map<Value>);

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The field with exactly this key; a dot has no meaning here.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets the field with exactly this key and returns what it was.
    pub fn insert(&mut self, key: &str, value: Value) -> Option<Value> {
        self.0.insert(Arc::from(key), value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// The value at a path expression such as `a.b` or `a."b.c"`; `None` also for what is no path.
    pub fn get_path(&self, path: &str) -> Option<&Value> {
        let elements = parse_path(path, Limits::default().depth()).ok()?;
        let (last, parents) = elements.split_last()?;
        let mut object = self;
        for key in parents {
            object = object.get(key)?.as_object()?;
        }
        object.get(last)
    }

    /// Sets the value at a path expression, making the objects on the way; what is no object on the way gives way.
    ///
    /// # Errors
    /// When `path` is no path expression, or is longer than the default depth limit.
    pub fn set_path(&mut self, path: &str, value: Value) -> Result<(), Error> {
        let elements = parse_path(path, Limits::default().depth())?;
        let mut object = self;
        let (last, parents) = elements.split_last().expect("a path has at least one element");
        for key in parents {
            if !matches!(object.get(key), Some(Value::Object(_))) {
                object.0.insert(Arc::clone(key), Value::Object(Object::new()));
            }
            let Some(Value::Object(next)) = object.0.get_mut(key) else { unreachable!("just made an object") };
            object = next;
        }
        object.0.insert(Arc::clone(last), value);
        Ok(())
    }

    /// Lays `over` on top: its fields win, objects under the same key merge.
    pub fn merge(&mut self, over: Object) {
        for (key, value) in over.0 {
            match (self.0.get_mut(&key), value) {
                (Some(Value::Object(below)), Value::Object(above)) => below.merge(above),
                (_, value) => drop(self.0.insert(key, value)),
            }
        }
    }

    /// This object with the gaps filled from `fallback`.
    #[must_use]
    pub fn with_fallback(self, mut fallback: Object) -> Object {
        fallback.merge(self);
        fallback
    }

    pub fn to_json(&self) -> serde_json::Value {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_json())).collect()
    }

    /// JSON text, indented by four spaces.
    pub fn to_json_pretty(&self) -> String {
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
        self.serialize(&mut serializer).expect("text in memory, with keys that are strings");
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Object {
    fn from_iter<T: IntoIterator<Item = (&'a str, Value)>>(fields: T) -> Self {
        let mut object = Self::new();
        for (key, value) in fields {
            object.insert(key, value);
        }
        object
    }
}

impl Value {
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A float that is not finite becomes null, as JSON has no such number.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::String(value) => value.as_str().into(),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Object(object) => object.to_json(),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Array(items) => serializer.collect_seq(items),
            Value::Object(object) => object.serialize(serializer),
        }
    }
}
