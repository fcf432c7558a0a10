//! Substitution: evaluates the slots of a [`Document`] into values. The module's header tells how and why it ends.

use std::rc::Rc;
use std::sync::Arc;

use super::document::{Concat, Document, Node, NodeId, Reference, SlotId};
use super::join::{Joined, Mismatch};
use super::map::Map;
use super::path::render;
use super::resolved::{Fields, Found, Resolved, into_object};
use super::value::Object;
use super::{Error, ErrorKind, Limits};

/// No frame, or no ceiling.
const NONE: usize = usize::MAX;

/// Steps allowed for each value allowed. A text without cycles needs one or two.
const STEPS_PER_VALUE: usize = 16;

/// How much deeper substitutions may lead than the text itself.
const SUBSTITUTION_LEVELS: usize = 64;

/// How a slot is being evaluated, and what came of it.
#[derive(Clone)]
struct State {
    /// Only layers below this one can be seen; `NONE` for all.
    ceiling: usize,
    /// The frame that lowered the ceiling.
    lowered_by: usize,
    /// The frame that is evaluating an object or array layer as a whole.
    opened_by: usize,
    kept: Option<Found>,
}

pub(super) fn resolve(document: &Document<'_>, limits: &Limits) -> Result<Object, Error> {
    let mut resolver = Resolver {
        document,
        states: vec![State { ceiling: NONE, lowered_by: NONE, opened_by: NONE, kept: None }; document.slots()],
        frame: 0,
        lowest: NONE,
        met_cycle: false,
        trace: Vec::new(),
        steps: 0,
        values: document.values,
        bytes: 0,
        line: 1,
        limits,
    };
    let root = resolver.object(document.fields(Document::ROOT))?;
    // The kept results share the root's parts; without them it can be taken apart instead of copied.
    drop(resolver);
    match root {
        Resolved::Object(fields) => Ok(into_object(fields, document)),
        _ => unreachable!("the root is an object"),
    }
}

struct Resolver<'d, 't> {
    document: &'d Document<'t>,
    states: Vec<State>,
    /// How many evaluations are under way.
    frame: usize,
    /// The outermost frame whose unfinished slot was consulted since the current frame began.
    lowest: usize,
    /// A lookup came back to an unfinished slot since the current substitution began.
    met_cycle: bool,
    /// The substitutions under way.
    trace: Vec<&'d Reference>,
    steps: usize,
    values: usize,
    bytes: usize,
    /// Of the latest substitution, for errors about limits.
    line: usize,
    limits: &'d Limits,
}

impl<'d, 't> Resolver<'d, 't> {
    fn limit(&self, message: String) -> Error {
        Error::new(ErrorKind::Limit, self.line, message)
    }

    fn step(&mut self, steps: usize) -> Result<(), Error> {
        self.steps += steps;
        if self.steps > self.limits.max_values.saturating_mul(STEPS_PER_VALUE).saturating_add(1000) {
            return Err(self.limit("Substitutions take too many steps to resolve".to_owned()));
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.step(1)?;
        self.frame += 1;
        let max = self.limits.depth() + SUBSTITUTION_LEVELS;
        if self.frame > max {
            return Err(self.limit(format!("Substitutions lead more than {max} levels deep")));
        }
        Ok(())
    }

    /// Charges for one more copy of a value.
    fn charge(&mut self, value: &Resolved) -> Result<(), Error> {
        let size = value.size(self.document);
        self.bytes = self.bytes.saturating_add(size.bytes);
        self.values = self.values.saturating_add(size.values - 1);
        if self.bytes > self.limits.max_expanded_bytes {
            return Err(self.limit(format!("Substitutions add more than {} bytes", self.limits.max_expanded_bytes)));
        }
        if self.values > self.limits.max_values {
            return Err(self.limit(format!("More than {} values after substitution", self.limits.max_values)));
        }
        Ok(())
    }

    fn check_depth(&self, value: Resolved) -> Result<Resolved, Error> {
        // The root is a level that nobody wrote.
        if value.size(self.document).depth > self.limits.depth() + 1 {
            return Err(self.limit(format!("Nested more than {} levels deep after substitution", self.limits.depth())));
        }
        Ok(value)
    }

    /// Notes that a result depends on how far the slot of that frame has come.
    fn consult(&mut self, frame: usize) {
        self.lowest = self.lowest.min(frame);
        self.met_cycle = true;
    }

    fn lookup(&mut self, path: &[Arc<str>]) -> Result<Found, Error> {
        let (first, rest) = path.split_first().expect("a path has at least one element");
        match self.document.fields(Document::ROOT).get(first) {
            Some(slot) => self.slot(*slot, rest),
            None => Ok(Found::Missing),
        }
    }

    /// The value at `rest` within the field; the whole field if `rest` is empty.
    fn slot(&mut self, id: SlotId, rest: &[Arc<str>]) -> Result<Found, Error> {
        if let Some(kept) = &self.states[id.index()].kept {
            return Ok(kept.at(rest));
        }
        self.enter()?;
        let frame = self.frame;
        let outer = std::mem::replace(&mut self.lowest, NONE);
        let State { ceiling, lowered_by, opened_by, .. } = self.states[id.index()];
        if ceiling != NONE {
            self.consult(lowered_by);
        }
        let found = if opened_by != NONE && rest.is_empty() {
            self.consult(opened_by);
            Found::Missing
        } else {
            self.layers(id, ceiling.min(self.document.slot(id).layers.len()), rest)?
        };
        if self.lowest >= frame {
            self.lowest = NONE;
            if ceiling == NONE && rest.is_empty() {
                self.states[id.index()].kept = Some(found.clone());
            }
        }
        self.lowest = self.lowest.min(outer);
        self.frame -= 1;
        Ok(found)
    }

    fn layers(&mut self, id: SlotId, ceiling: usize, rest: &[Arc<str>]) -> Result<Found, Error> {
        let mut merged: Option<Resolved> = None;
        for at in (0..ceiling).rev() {
            if merged.is_some() && self.document.is_barrier(self.document.slot(id).layers[at]) {
                break;
            }
            match (self.layer(id, at, rest)?, merged.take()) {
                (Found::Missing, upper) => merged = upper,
                (Found::Value(lower @ Resolved::Object(_)), Some(upper)) => merged = Some(self.merge(lower, &upper)?),
                (Found::Value(value @ Resolved::Object(_)), None) => merged = Some(value),
                (found, None) => return Ok(found),
                (_, Some(upper)) => return Ok(Found::Value(upper)),
            }
        }
        Ok(merged.map_or(Found::Missing, Found::Value))
    }

    fn layer(&mut self, id: SlotId, at: usize, rest: &[Arc<str>]) -> Result<Found, Error> {
        let node = self.document.slot(id).layers[at];
        match self.document.node(node) {
            Node::Reference(_) | Node::Below | Node::Concat(_) => {
                let frame = self.frame;
                let state = &mut self.states[id.index()];
                let before = (state.ceiling, state.lowered_by, state.opened_by);
                (state.ceiling, state.lowered_by, state.opened_by) = (at, frame, NONE);
                let found = self.unmerged(id, node, rest)?;
                let state = &mut self.states[id.index()];
                (state.ceiling, state.lowered_by, state.opened_by) = before;
                Ok(found)
            }
            Node::Object(fields) if !rest.is_empty() => match fields.get(&rest[0]) {
                Some(field) => self.slot(*field, &rest[1..]),
                None => Ok(Found::Missing),
            },
            _ if !rest.is_empty() => Ok(Found::Hidden),
            Node::Object(_) | Node::Array(_) => {
                let frame = self.frame;
                let before = std::mem::replace(&mut self.states[id.index()].opened_by, frame);
                let value = self.uncounted_item(node)?;
                self.states[id.index()].opened_by = before;
                Ok(value)
            }
            _ => Ok(Found::Value(Resolved::Leaf(node))),
        }
    }

    fn unmerged(&mut self, id: SlotId, node: NodeId, rest: &[Arc<str>]) -> Result<Found, Error> {
        match self.document.node(node) {
            Node::Reference(reference) => self.reference(reference, rest),
            Node::Concat(concat) => Ok(self.concat(concat, Some(id))?.at(rest)),
            _ => self.slot(id, rest),
        }
    }

    fn reference(&mut self, reference: &'d Reference, rest: &[Arc<str>]) -> Result<Found, Error> {
        self.line = reference.line;
        self.trace.push(reference);
        let outer = std::mem::replace(&mut self.met_cycle, false);
        let found = if rest.is_empty() {
            self.lookup(&reference.path)?
        } else {
            self.lookup(&[reference.path.as_slice(), rest].concat())?
        };
        let in_cycle = self.met_cycle;
        self.met_cycle = outer || (in_cycle && !matches!(found, Found::Value(_)));
        match &found {
            Found::Value(value) => self.charge(value)?,
            // Whether the target itself is missing is seen when the whole of it is asked for.
            Found::Missing | Found::Hidden if !rest.is_empty() => {}
            Found::Missing | Found::Hidden if reference.optional => {
                self.trace.pop();
                return Ok(Found::Missing);
            }
            Found::Missing | Found::Hidden => return Err(self.unresolved(reference, in_cycle)),
        }
        self.trace.pop();
        Ok(found)
    }

    fn unresolved(&self, reference: &Reference, in_cycle: bool) -> Error {
        const SHOWN: usize = 8;
        let show = |reference: &Reference| format!("${{{}}}", render(&reference.path));
        let mut message = format!("Could not resolve substitution to a value: {}", show(reference));
        if in_cycle {
            let trace: Vec<String> =
                self.trace.iter().rev().take(SHOWN).rev().map(|reference| show(reference)).collect();
            message += &format!(" was part of a cycle of substitutions involving {}", trace.join(", "));
        }
        Error::new(ErrorKind::Unresolved, reference.line, message)
    }

    /// An element of an array, or a part of a concatenation or slot.
    fn item(&mut self, node: NodeId) -> Result<Found, Error> {
        self.enter()?;
        let found = self.uncounted_item(node)?;
        self.frame -= 1;
        Ok(found)
    }

    fn uncounted_item(&mut self, node: NodeId) -> Result<Found, Error> {
        Ok(match self.document.node(node) {
            Node::Object(fields) => Found::Value(self.object(fields)?),
            Node::Array(nodes) => {
                let mut items = Vec::with_capacity(nodes.len());
                for node in nodes {
                    if let Found::Value(item) = self.item(*node)? {
                        items.push(item);
                    }
                }
                Found::Value(self.check_depth(Resolved::array(items, self.document))?)
            }
            Node::Reference(reference) => self.reference(reference, &[])?,
            Node::Concat(concat) => self.concat(concat, None)?,
            _ => Found::Value(Resolved::Leaf(node)),
        })
    }

    fn object(&mut self, fields: &'d Map<SlotId>) -> Result<Resolved, Error> {
        let mut map = Map::default();
        for (key, slot) in fields.iter() {
            if let Found::Value(value) = self.slot(*slot, &[])? {
                map.push(Arc::clone(key), value);
            }
        }
        self.check_depth(Resolved::object(map, self.document))
    }

    fn concat(&mut self, concat: &'d Concat, owner: Option<SlotId>) -> Result<Found, Error> {
        let document = self.document;
        let mut joined = Joined::Nothing;
        for part in &concat.parts {
            let found = match (document.node(*part), owner) {
                (Node::Space(space), _) => {
                    joined = joined.push_space(space, document);
                    continue;
                }
                (Node::Below, Some(owner)) => {
                    let found = self.slot(owner, &[])?;
                    if let Found::Value(value) = &found {
                        self.charge(value)?;
                    }
                    found
                }
                _ => self.item(*part)?,
            };
            if let Found::Value(value) = found {
                joined = joined
                    .push(value, document, |below, above| self.merge(below, &above).map_err(Failure::Error))
                    .map_err(|failure| failure.at(concat.line))?;
            }
        }
        match joined.finish(document) {
            Some(value) => Ok(Found::Value(self.check_depth(value)?)),
            None => Ok(Found::Missing),
        }
    }

    /// Lays the object `above` over the object `below`.
    fn merge(&mut self, below: Resolved, above: &Resolved) -> Result<Resolved, Error> {
        let (Resolved::Object(below), Resolved::Object(above)) = (below, above) else {
            unreachable!("only objects merge")
        };
        self.step(below.map.len() + above.map.len())?;
        let mut map = Rc::try_unwrap(below).map_or_else(|shared: Rc<Fields>| shared.map.clone(), |own| own.map);
        for (key, value) in above.map.iter() {
            let value = match (map.get(key), value) {
                (Some(under @ Resolved::Object(_)), Resolved::Object(_)) => self.merge(under.clone(), value)?,
                _ => value.clone(),
            };
            map.insert(Arc::clone(key), value);
        }
        self.check_depth(Resolved::object(map, self.document))
    }
}

/// Why a concatenation failed.
enum Failure {
    Mismatch,
    Error(Error),
}

impl From<Mismatch> for Failure {
    fn from(_: Mismatch) -> Self {
        Failure::Mismatch
    }
}

impl Failure {
    fn at(self, line: usize) -> Error {
        match self {
            Failure::Error(error) => error,
            Failure::Mismatch => {
                let message =
                    "Cannot concatenate object or list with a non-object-or-list, left and right are not compatible";
                Error::new(ErrorKind::WrongType, line, message)
            }
        }
    }
}
