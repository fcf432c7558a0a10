//! The parsed text before resolution: an arena of nodes, and of slots that stack the definitions of one field.

use std::borrow::Cow;
use std::sync::Arc;

use super::lexer::Number;
use super::map::Map;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotId(u32);

impl SlotId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
pub(super) enum Node<'t> {
    Null,
    Bool(bool),
    /// With its text, which is what a concatenation shows.
    Number(&'t str, Number),
    Text(Cow<'t, str>),
    /// Unquoted whitespace between two substitutions; nothing between objects or arrays.
    Space(&'t str),
    Array(Vec<NodeId>),
    Object(Map<SlotId>),
    Reference(Reference),
    /// What the layers below hold: the first part of `+=` where no path leads, inside a list.
    Below,
    Concat(Concat),
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) path: Vec<Arc<str>>,
    pub(super) optional: bool,
    pub(super) line: usize,
}

#[derive(Debug)]
pub(super) struct Concat {
    pub(super) parts: Vec<NodeId>,
    pub(super) line: usize,
    /// A reference to the field itself followed by something without any: `${path} [x]`, `+= x`.
    pub(super) appends: bool,
}

/// The definitions of one field that are not known to be hidden, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) layers: Vec<NodeId>,
}

#[derive(Debug)]
pub(super) struct Document<'t> {
    nodes: Vec<Node<'t>>,
    slots: Vec<Slot>,
    /// Values in the text, without the root.
    pub(super) values: usize,
}

impl<'t> Document<'t> {
    pub(super) const ROOT: NodeId = NodeId(0);

    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::Object(Map::default())], slots: Vec::new(), values: 0 }
    }

    pub(super) fn add(&mut self, node: Node<'t>) -> NodeId {
        let id = u32::try_from(self.nodes.len()).expect("a text with four billion values is refused long before");
        self.nodes.push(node);
        NodeId(id)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<'t> {
        &mut self.nodes[id.0 as usize]
    }

    /// The fields of a node that is an object.
    pub(super) fn fields(&self, id: NodeId) -> &Map<SlotId> {
        match self.node(id) {
            Node::Object(fields) => fields,
            _ => unreachable!("asked of objects only"),
        }
    }

    pub(super) fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id.index()]
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    fn layers(&mut self, id: SlotId) -> &mut Vec<NodeId> {
        &mut self.slots[id.index()].layers
    }

    /// Sets the field at `path` within `object`, over what is there.
    pub(super) fn set(&mut self, object: NodeId, path: &[Arc<str>], value: NodeId) {
        let (last, parents) = path.split_last().expect("a path has at least one element");
        let mut object = object;
        for key in parents {
            let slot = self.field(object, key);
            object = match self.top_object(slot) {
                Some(next) => next,
                None => {
                    self.values += 1;
                    let next = self.add(Node::Object(Map::default()));
                    self.layers(slot).push(next);
                    next
                }
            };
        }
        let slot = self.field(object, last);
        self.push_layer(slot, value);
    }

    /// The slot of a key, made if need be.
    fn field(&mut self, object: NodeId, key: &Arc<str>) -> SlotId {
        let fresh = SlotId(u32::try_from(self.slots.len()).expect("as many slots as values at most"));
        let Node::Object(map) = self.node_mut(object) else { unreachable!("fields are set in objects") };
        if let Some(slot) = map.get(key) {
            return *slot;
        }
        map.push(Arc::clone(key), fresh);
        self.slots.push(Slot::default());
        fresh
    }

    fn top_object(&self, slot: SlotId) -> Option<NodeId> {
        let top = *self.slot(slot).layers.last()?;
        matches!(self.node(top), Node::Object(_)).then_some(top)
    }

    fn push_layer(&mut self, slot: SlotId, value: NodeId) {
        if self.is_barrier(value) {
            self.layers(slot).clear();
        }
        match self.node(value) {
            Node::Object(_) => match self.top_object(slot) {
                Some(top) => self.merge(top, value),
                None => self.layers(slot).push(value),
            },
            Node::Concat(concat) => {
                let appended = concat.appends.then(|| concat.parts[1]);
                if !appended.is_some_and(|part| self.append(slot, part)) {
                    self.layers(slot).push(value);
                }
            }
            _ => self.layers(slot).push(value),
        }
    }

    /// Moves the fields of `above` into `below`, object by object.
    pub(super) fn merge(&mut self, below: NodeId, above: NodeId) {
        let Node::Object(fields) = std::mem::replace(self.node_mut(above), Node::Null) else {
            unreachable!("only objects merge")
        };
        for (key, from) in fields {
            let Node::Object(map) = self.node_mut(below) else { unreachable!("only objects merge") };
            match map.get(&key).copied() {
                None => map.push(key, from),
                Some(to) => {
                    for layer in std::mem::take(self.layers(from)) {
                        self.push_layer(to, layer);
                    }
                }
            }
        }
    }

    /// `x = ${x} [b]` over an array, or over a concatenation that ends with one, and likewise strings, need no
    /// substitution: this keeps a thousand `+=` flat. False when it cannot be done.
    fn append(&mut self, slot: SlotId, part: NodeId) -> bool {
        let Some(&top) = self.slot(slot).layers.last() else { return false };
        let target = match self.node(top) {
            Node::Concat(concat) => *concat.parts.last().expect("two parts at least"),
            _ => top,
        };
        let in_concat = target != top;
        match (self.node_mut(target), in_concat) {
            (Node::Array(_), _) => {}
            (Node::Text(_), false) => {}
            _ => return false,
        }
        match (std::mem::replace(self.node_mut(part), Node::Null), self.node_mut(target)) {
            (Node::Array(more), Node::Array(items)) => items.extend(more),
            (Node::Text(more), Node::Text(text)) => text.to_mut().push_str(&more),
            (other, _) => {
                *self.node_mut(part) = other;
                return false;
            }
        }
        true
    }

    /// Something written out that is no object: what is below it does not count.
    pub(super) fn is_barrier(&self, id: NodeId) -> bool {
        !matches!(self.node(id), Node::Object(_) | Node::Reference(_) | Node::Below | Node::Concat(_))
    }

    /// The text of a scalar as a concatenation shows it.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        Some(match self.node(id) {
            Node::Null => "null",
            Node::Bool(true) => "true",
            Node::Bool(false) => "false",
            Node::Number(text, _) => text,
            Node::Text(text) => text,
            Node::Space(text) => text,
            _ => return None,
        })
    }
}
