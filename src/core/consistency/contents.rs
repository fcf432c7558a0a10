//! The content that is there, and whether anything refers to it. 41 bytes a blob, and the table's own room.

use std::collections::HashMap;

/// How a blob is, as far as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its hash is right, or was not asked for.
    Whole,
    Damaged,
    /// It could not be read.
    Unreadable,
    Missing,
}

#[derive(Debug, Clone, Copy)]
struct Content {
    size_bytes: u64,
    damaged: bool,
    referenced: bool,
}

#[derive(Debug, Default)]
pub struct Contents {
    all: HashMap<[u8; 32], Content>,
    /// What could not be read, and why.
    unreadable: HashMap<[u8; 32], String>,
}

/// `None` for what is no hash: no content has such a name.
fn parse(sha256: &str) -> Option<[u8; 32]> {
    let (mut hash, digits) = ([0; 32], sha256.as_bytes());
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(hash)
}

impl Contents {
    pub fn add(&mut self, sha256: &str, size_bytes: u64) {
        if let Some(hash) = parse(sha256) {
            self.all.insert(hash, Content { size_bytes, damaged: false, referenced: false });
        }
    }

    pub fn set_damaged(&mut self, sha256: &str) {
        if let Some(content) = parse(sha256).and_then(|hash| self.all.get_mut(&hash)) {
            content.damaged = true;
        }
    }

    pub fn set_unreadable(&mut self, sha256: &str, why: String) {
        if let Some(hash) = parse(sha256) {
            self.unreadable.insert(hash, why);
        }
    }

    /// Why it could not be read.
    pub fn unreadable(&self, sha256: &str) -> Option<&str> {
        self.unreadable.get(&parse(sha256)?).map(String::as_str)
    }

    /// Notes that something refers to it, as so large.
    pub fn refer(&mut self, sha256: &str, size_bytes: u64) -> State {
        match parse(sha256).and_then(|hash| self.all.get_mut(&hash)) {
            None => State::Missing,
            Some(content) => {
                content.referenced = true;
                let is_unreadable = parse(sha256).is_some_and(|hash| self.unreadable.contains_key(&hash));
                match content.damaged || content.size_bytes != size_bytes {
                    true => State::Damaged,
                    false if is_unreadable => State::Unreadable,
                    false => State::Whole,
                }
            }
        }
    }

    pub fn is_referenced(&self, sha256: &str) -> bool {
        parse(sha256).and_then(|hash| self.all.get(&hash)).is_some_and(|content| content.referenced)
    }

    /// Number and bytes.
    pub fn total(&self) -> (u64, u64) {
        self.sum(|_| true)
    }

    /// Number and bytes of that which nothing was seen to refer to.
    pub fn unreferenced(&self) -> (u64, u64) {
        self.sum(|content| !content.referenced)
    }

    fn sum(&self, which: impl Fn(&Content) -> bool) -> (u64, u64) {
        let those = self.all.values().filter(|content| which(content));
        those.fold((0, 0), |(number, bytes), content| (number + 1, bytes + content.size_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hash_is_nowhere() {
        let mut contents = Contents::default();
        for no_hash in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            contents.add(no_hash, 1);
            assert_eq!(contents.refer(no_hash, 1), State::Missing);
        }
        assert_eq!(contents.total(), (0, 0));
    }

    #[test]
    fn content_counts_as_referenced_once_something_refers_to_it() {
        let (one, other) = ("ab".repeat(32), "cd".repeat(32));
        let mut contents = Contents::default();
        contents.add(&one, 5);
        contents.add(&other, 7);
        assert_eq!(contents.refer(&one, 5), State::Whole);
        assert_eq!(contents.refer(&one, 6), State::Damaged);
        contents.set_damaged(&one);
        assert_eq!(contents.refer(&one, 5), State::Damaged);
        contents.set_unreadable(&other, "away".into());
        assert_eq!((contents.refer(&other, 7), contents.unreadable(&other)), (State::Unreadable, Some("away")));
        let mut contents = Contents::default();
        contents.add(&one, 5);
        contents.add(&other, 7);
        contents.refer(&one, 5);
        assert_eq!((contents.total(), contents.unreferenced()), ((2, 12), (1, 7)));
        assert!(contents.is_referenced(&one) && !contents.is_referenced(&other));
    }
}
