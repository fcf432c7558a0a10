//! Keys of blobs: `<two digits>/<hash>/<order>-<id>`, a key of its own for each upload (docs/adr/0025).
//!
//! Nothing is overwritten, so who deletes an upload deletes no other one. The newest is the blob; older ones are what was not deleted yet.

use crate::ports::{BlobInfo, Stamp};

/// One upload, or refresh, of a content. The later one is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// When it was made, in nanoseconds, but after all that were there.
    order: u64,
    /// Random: two that are made in the same moment have different keys.
    id: u64,
}

impl Name {
    pub(super) fn after(newest: Option<Self>, now_ns: u64, id: u64) -> Self {
        Self { order: newest.map_or(now_ns, |newest| now_ns.max(newest.order.saturating_add(1))), id }
    }

    pub(super) fn stamp(self) -> Stamp {
        Stamp(self.id.cast_signed())
    }

    /// Sorts as names do.
    pub(super) fn text(self) -> String {
        format!("{:016x}-{:016x}", self.order, self.id)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (order, id) = text.split_once('-')?;
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let name = Self { order: number(order)?, id: number(id)? };
        (name.text() == text).then_some(name)
    }
}

/// An object that is an upload of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) sha256: String,
    pub(super) name: Name,
    pub(super) size_bytes: u64,
}

impl Found {
    /// `None` for a key that is none of a blob's. `key` is below the store's path.
    pub(super) fn of(key: &str, size_bytes: u64) -> Option<Self> {
        let (directory, rest) = key.split_once('/')?;
        let (sha256, name) = rest.split_once('/')?;
        let fits = is_hash(sha256) && &sha256[..2] == directory;
        fits.then_some(Self { sha256: sha256.to_owned(), name: Name::parse(name)?, size_bytes })
    }

    pub(super) fn key(&self) -> String {
        key(&self.sha256, self.name)
    }

    pub(super) fn info(&self) -> BlobInfo {
        BlobInfo { sha256: self.sha256.clone(), size_bytes: self.size_bytes, stamp: self.name.stamp() }
    }
}

pub(super) fn key(sha256: &str, name: Name) -> String {
    format!("{}/{}", directory(sha256), name.text())
}

/// Of all uploads of a content; `sha256` is a hash.
pub(super) fn directory(sha256: &str) -> String {
    format!("{}/{sha256}", &sha256[..2])
}

/// Behind all keys of this hash, and before those of the next.
pub(super) fn behind(sha256: &str) -> String {
    format!("{}/g", directory(sha256))
}

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_comes_after_all_that_are_there_also_when_the_clock_is_behind() {
        let first = Name::after(None, 1000, 7);
        let second = Name::after(Some(first), 900, 3);
        assert!(second > first && second.text() > first.text());
        assert!(Name::after(Some(second), 5000, 0) > second);
    }

    #[test]
    fn two_of_the_same_moment_have_keys_and_stamps_of_their_own() {
        let (one, other) = (Name::after(None, 1000, 7), Name::after(None, 1000, u64::MAX));
        assert_ne!(one.text(), other.text());
        assert_ne!(one.stamp(), other.stamp());
    }

    #[test]
    fn keys_are_read_back_and_foreign_ones_are_not() {
        let hash = "ab".repeat(32);
        let found = Found { sha256: hash.clone(), name: Name::after(None, 1000, 7), size_bytes: 5 };
        assert_eq!(Found::of(&found.key(), 5), Some(found.clone()));
        assert!(found.key() < behind(&hash));
        let name = found.name.text();
        for key in [
            "owner",
            &format!("tmp/{name}"),
            &hash,
            &directory(&hash),
            &format!("cd/{hash}/{name}"),
            &format!("ab/{hash}/{}", name.to_uppercase().replace('0', "+")),
            &format!("ab/{hash}/{name}/more"),
        ] {
            assert_eq!(Found::of(key, 5), None, "{key}");
        }
    }
}
