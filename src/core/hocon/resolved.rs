//! Resolved values: shared, so that a substitution costs nothing, and knowing their expanded size.

use std::rc::Rc;
use std::sync::Arc;

use super::document::{Document, Node, NodeId};
use super::lexer::Number;
use super::map::Map;
use super::value::{Object, Value};

#[derive(Debug, Clone)]
pub(super) enum Resolved {
    /// A scalar of the text.
    Leaf(NodeId),
    /// A string made by concatenation.
    Text(Rc<str>),
    Array(Rc<List>),
    Object(Rc<Fields>),
}

/// What a value would take if nothing of it were shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) bytes: usize,
    pub(super) depth: usize,
}

impl Size {
    /// Of a value without its contents; keys and items cost a little too.
    const fn of(bytes: usize) -> Self {
        Self { values: 1, bytes: bytes.saturating_add(16), depth: 0 }
    }

    fn add(&mut self, item: Size) {
        self.values = self.values.saturating_add(item.values);
        self.bytes = self.bytes.saturating_add(item.bytes);
        self.depth = self.depth.max(item.depth + 1);
    }
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) items: Vec<Resolved>,
    size: Size,
}

#[derive(Debug)]
pub(super) struct Fields {
    pub(super) map: Map<Resolved>,
    size: Size,
}

impl Resolved {
    pub(super) fn array(items: Vec<Resolved>, document: &Document<'_>) -> Self {
        let mut size = Size { depth: 1, ..Size::of(0) };
        items.iter().for_each(|item| size.add(item.size(document)));
        Resolved::Array(Rc::new(List { items, size }))
    }

    pub(super) fn object(map: Map<Resolved>, document: &Document<'_>) -> Self {
        let mut size = Size { depth: 1, ..Size::of(0) };
        for (key, value) in map.iter() {
            size.bytes = size.bytes.saturating_add(key.len());
            size.add(value.size(document));
        }
        Resolved::Object(Rc::new(Fields { map, size }))
    }

    pub(super) fn size(&self, document: &Document<'_>) -> Size {
        match self {
            Resolved::Leaf(id) => Size::of(document.text(*id).unwrap_or_default().len()),
            Resolved::Text(text) => Size::of(text.len()),
            Resolved::Array(list) => list.size,
            Resolved::Object(fields) => fields.size,
        }
    }

    /// The text of a scalar, `None` for an object or array.
    pub(super) fn text<'a>(&'a self, document: &'a Document<'_>) -> Option<&'a str> {
        match self {
            Resolved::Leaf(id) => document.text(*id),
            Resolved::Text(text) => Some(text),
            Resolved::Array(_) | Resolved::Object(_) => None,
        }
    }

    pub(super) fn at(&self, path: &[Arc<str>]) -> Found {
        let mut value = self;
        for key in path {
            let Resolved::Object(fields) = value else { return Found::Hidden };
            let Some(next) = fields.map.get(key) else { return Found::Missing };
            value = next;
        }
        Found::Value(value.clone())
    }

    /// Unshares; the recursion is bounded by the depth that was checked when the value was made.
    pub(super) fn into_value(self, document: &Document<'_>) -> Value {
        match self {
            Resolved::Leaf(id) => match document.node(id) {
                Node::Null => Value::Null,
                Node::Bool(value) => Value::Bool(*value),
                Node::Number(_, Number::Int(value)) => Value::Int(*value),
                Node::Number(_, Number::Float(value)) => Value::Float(*value),
                _ => Value::String(document.text(id).unwrap_or_default().to_owned()),
            },
            Resolved::Text(text) => Value::String(text.to_string()),
            Resolved::Array(list) => {
                let items = Rc::try_unwrap(list).map_or_else(|list| list.items.clone(), |list| list.items);
                Value::Array(items.into_iter().map(|item| item.into_value(document)).collect())
            }
            Resolved::Object(fields) => Value::Object(into_object(fields, document)),
        }
    }
}

pub(super) fn into_object(fields: Rc<Fields>, document: &Document<'_>) -> Object {
    let map = Rc::try_unwrap(fields).map_or_else(|fields| fields.map.clone(), |fields| fields.map);
    Object(map.map(|value| value.into_value(document)))
}

/// What a lookup comes to.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// Nothing here; an older layer may have it.
    Missing,
    /// Nothing, since something that is no object stands on the way; older layers do not count.
    Hidden,
    Value(Resolved),
}

impl Found {
    pub(super) fn at(&self, path: &[Arc<str>]) -> Found {
        match self {
            Found::Value(value) => value.at(path),
            other => other.clone(),
        }
    }
}
