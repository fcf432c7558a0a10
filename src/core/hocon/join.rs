//! Concatenation of resolved values: strings, arrays or objects, and nothing mixed.

use std::rc::Rc;

use super::document::Document;
use super::map::Map;
use super::resolved::Resolved;

/// The parts so far.
pub(super) enum Joined {
    Nothing,
    /// One value keeps its type.
    One(Resolved),
    Text(String),
    List(Vec<Resolved>),
}

/// Kinds that do not go together.
pub(super) struct Mismatch;

impl Joined {
    /// Whitespace counts between scalars only.
    pub(super) fn push_space(self, space: &str, document: &Document<'_>) -> Self {
        match self {
            Joined::One(value) => match value.text(document) {
                Some(text) => Joined::Text(text.to_owned() + space),
                None => Joined::One(value),
            },
            Joined::Text(text) => Joined::Text(text + space),
            Joined::Nothing => Joined::Text(space.to_owned()),
            Joined::List(items) => Joined::List(items),
        }
    }

    /// `merge` lays the second object over the first.
    pub(super) fn push<E: From<Mismatch>>(
        self,
        value: Resolved,
        document: &Document<'_>,
        merge: impl FnOnce(Resolved, Resolved) -> Result<Resolved, E>,
    ) -> Result<Self, E> {
        Ok(match (self, value) {
            (Joined::Nothing, value) => Joined::One(value),
            (Joined::Text(text), value) => match value.text(document) {
                Some(more) => Joined::Text(text + more),
                // What was before the whitespace turned out to be nothing.
                None if text.chars().all(char::is_whitespace) => Joined::One(value),
                None => return Err(Mismatch.into()),
            },
            (Joined::One(a @ Resolved::Object(_)), b @ Resolved::Object(_)) => Joined::One(merge(a, b)?),
            (Joined::One(a), b) => match (a.text(document), b.text(document)) {
                (Some(text), Some(more)) => Joined::Text(text.to_owned() + more),
                (None, None) => Joined::List(items(a)?).extend(b)?,
                _ => return Err(Mismatch.into()),
            },
            (list @ Joined::List(_), value) => list.extend(value)?,
        })
    }

    fn extend(self, value: Resolved) -> Result<Self, Mismatch> {
        let Joined::List(mut list) = self else { return Err(Mismatch) };
        list.extend(items(value)?);
        Ok(Joined::List(list))
    }

    pub(super) fn finish(self, document: &Document<'_>) -> Option<Resolved> {
        match self {
            Joined::Nothing => None,
            Joined::One(value) => Some(value),
            Joined::Text(text) => Some(Resolved::Text(text.into())),
            Joined::List(items) => Some(Resolved::array(items, document)),
        }
    }
}

/// The items of an array, or of an object with numeric keys, in their order.
fn items(value: Resolved) -> Result<Vec<Resolved>, Mismatch> {
    match value {
        Resolved::Array(list) => Ok(Rc::try_unwrap(list).map_or_else(|list| list.items.clone(), |list| list.items)),
        Resolved::Object(fields) => numbered(&fields.map).ok_or(Mismatch),
        _ => Err(Mismatch),
    }
}

/// Keys that are no number are passed over; with none that is, the object is not a list.
fn numbered(map: &Map<Resolved>) -> Option<Vec<Resolved>> {
    let mut items: Vec<(u32, &Resolved)> =
        map.iter().filter_map(|(key, value)| key.parse().ok().map(|at| (at, value))).collect();
    items.sort_by_key(|(at, _)| *at);
    (!items.is_empty()).then(|| items.into_iter().map(|(_, value)| value.clone()).collect())
}
