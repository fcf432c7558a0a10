//! Where keys and log entries stand as znodes: docs/adr/0020.
//!
//! `<chroot>/data/<family>/<shard>/<leaf>`: the family is what stands before the key's first `/`, the shard is one of 256 by
//! hash, so that none has ten thousand children where a family has two million keys. `<chroot>/log/<bucket>/<number>`.
//!
//! Of the cluster (docs/adr/0023): `<chroot>/cluster`, `<chroot>/fence/<term>#<cluster>/<epoch>`, `<chroot>/nodes/<name>#<incarnation>`.

use sha2::{Digest, Sha256};

use super::super::hex;
use crate::core::cluster::ids::{Epoch, Incarnation, NodeId, NodeName, Term};
use crate::core::cluster::record::{Fence, FenceKey};

/// Log entries under one node.
const BUCKET: u64 = 1000;
/// The key is its family, without a `/`. No escaped leaf reads so.
const FAMILY_ITSELF: &str = "%%";
/// The empty string.
const EMPTY: &str = "%";

/// A key's znode, and the parents that must be there before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Below `data/`.
    pub(super) family: String,
    pub(super) shard: String,
    pub(super) leaf: String,
}

/// Paths below one chroot.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    /// Without a `/` at its end.
    root: String,
}

impl Paths {
    pub(super) fn new(chroot: &str) -> Self {
        Self { root: chroot.trim_end_matches('/').to_owned() }
    }

    pub(super) fn root(&self) -> &str {
        if self.root.is_empty() { "/" } else { &self.root }
    }

    pub(super) fn format(&self) -> String {
        format!("{}/format", self.root)
    }

    pub(super) fn owner(&self) -> String {
        format!("{}/owner", self.root)
    }

    pub(super) fn data(&self) -> String {
        format!("{}/data", self.root)
    }

    pub(super) fn log(&self) -> String {
        format!("{}/log", self.root)
    }

    /// A znode that never is: a check of it fails.
    pub(super) fn never(&self) -> String {
        format!("{}/never", self.root)
    }

    /// The cluster's record.
    pub(super) fn cluster(&self) -> String {
        format!("{}/cluster", self.root)
    }

    /// Above all fences; made with the first record.
    pub(super) fn fences(&self) -> String {
        format!("{}/fence", self.root)
    }

    pub(super) fn fence(&self, key: &FenceKey) -> String {
        format!("{}/fence/{}", self.root, fence_name(key))
    }

    /// The epoch is a name, not a value: what a transaction checks of a value is its version, which begins anew in a znode that was made anew.
    pub(super) fn epoch(&self, fence: &Fence) -> String {
        format!("{}/{}", self.fence(&fence.key), fence.epoch)
    }

    pub(super) fn nodes(&self) -> String {
        format!("{}/nodes", self.root)
    }

    pub(super) fn node(&self, id: &NodeId) -> String {
        format!("{}/nodes/{}", self.root, node_name(id))
    }

    pub(super) fn bucket(&self, number: u64) -> String {
        format!("{}/log/{:016}", self.root, number / BUCKET)
    }

    pub(super) fn entry(&self, number: u64) -> String {
        format!("{}/{number:016}", self.bucket(number))
    }

    pub(super) fn key(&self, key: &str) -> String {
        let Place { family, shard, leaf } = Place::of(key);
        format!("{}/data/{family}/{shard}/{leaf}", self.root)
    }
}

fn fence_name(FenceKey { cluster_id, term }: &FenceKey) -> String {
    format!("{term}#{}", escape(cluster_id.as_str()))
}

/// The fence of that name, unless somebody made it by hand and otherwise than we would.
pub(super) fn fence_key(name: &str) -> Option<FenceKey> {
    let (term, cluster) = name.split_once('#')?;
    let key = FenceKey { cluster_id: unescape(cluster)?.as_str().into(), term: Term(term.parse().ok()?) };
    (fence_name(&key) == name).then_some(key)
}

pub(super) fn epoch(name: &str) -> Option<Epoch> {
    let epoch = Epoch(name.parse().ok()?);
    (epoch.to_string() == name).then_some(epoch)
}

fn node_name(NodeId { name, incarnation }: &NodeId) -> String {
    format!("{}#{incarnation}", escape(name.as_str()))
}

pub(super) fn node_id(name: &str) -> Option<NodeId> {
    let (node, incarnation) = name.split_once('#')?;
    let incarnation = Incarnation(u64::from_str_radix(incarnation, 16).ok()?);
    let id = NodeId { name: NodeName::from(unescape(node)?.as_str()), incarnation };
    (node_name(&id) == name).then_some(id)
}

/// The first entry of its bucket makes the bucket, and the last takes it away.
pub(super) fn begins_bucket(number: u64) -> bool {
    number.is_multiple_of(BUCKET)
}

pub(super) fn ends_bucket(number: u64) -> bool {
    begins_bucket(number + 1)
}

impl Place {
    pub(super) fn of(key: &str) -> Self {
        let shard = hex(&Sha256::digest(key)[..1]);
        let (family, leaf) = match key.split_once('/') {
            Some((family, rest)) => (escape(family), escape(rest)),
            None => (escape(key), FAMILY_ITSELF.to_owned()),
        };
        Self { family, shard, leaf }
    }

    /// The key that stands there, unless no key does.
    pub(super) fn key(family: &str, leaf: &str) -> Option<String> {
        let family = unescape(family)?;
        Some(if leaf == FAMILY_ITSELF { family } else { format!("{family}/{}", unescape(leaf)?) })
    }
}

/// ZooKeeper forbids control characters, some others, `/`, and the names `.` and `..`.
fn escape(text: &str) -> String {
    if text.is_empty() {
        return EMPTY.to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_:@+=,~".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hex(&[byte]));
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    if escaped == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_a_place_of_its_own_and_comes_back_from_it() {
        let keys = [
            "", "/", "//", "a", "a/", "a//", "a/b", "a/b/c", "a%2fb", ".", "..", "../x", "x/..", "é/ü", "%", "%/%",
            "\0",
        ];
        let places: BTreeSet<String> = keys.iter().map(|key| Paths::new("/d").key(key)).collect();
        assert_eq!(places.len(), keys.len());
        for key in keys {
            let place = Place::of(key);
            assert_eq!(Place::key(&place.family, &place.leaf).as_deref(), Some(key));
            for name in [&place.family, &place.leaf] {
                assert!(
                    !name.is_empty()
                        && !name.starts_with('.')
                        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
                );
            }
        }
    }

    #[test]
    fn what_was_not_made_by_us_is_no_key() {
        for leaf in ["%2", "%zz", "%c3", "a%"] {
            assert_eq!(Place::key("jobs", leaf), None, "{leaf}");
        }
    }

    #[test]
    fn entries_sort_by_number_and_share_buckets_by_the_thousand() {
        let paths = Paths::new("/doyen/");
        assert_eq!(paths.entry(1_234_567), "/doyen/log/0000000000001234/0000000001234567");
        assert!(begins_bucket(0) && begins_bucket(2000) && !begins_bucket(1999) && ends_bucket(1999));
        assert_eq!((Paths::new("/").root(), Paths::new("/").data()), ("/", "/data".into()));
    }

    #[test]
    fn fences_and_runs_of_nodes_come_back_from_their_names_and_nothing_else_is_one() {
        let key = FenceKey { cluster_id: "a#/b".into(), term: Term(12) };
        let paths = Paths::new("/d");
        assert_eq!(paths.epoch(&Fence { key: key.clone(), epoch: Epoch(7) }), "/d/fence/12#a%23%2fb/7");
        assert_eq!(fence_key("12#a%23%2fb"), Some(key));
        let id = NodeId::new("node #1/é", 0xbeef);
        assert_eq!(node_id(paths.node(&id).rsplit_once('/').unwrap().1), Some(id));
        for odd in ["", "1", "#", "01#a", "1#a/b", "x#a", "1#%zz", "+1#a"] {
            assert_eq!(fence_key(odd), None, "{odd}");
        }
        for odd in ["", "a", "#", "a/b#1", "a#0x1", "a#BEEF", "a#0beef", "%zz#1"] {
            assert_eq!(node_id(odd), None, "{odd}");
        }
        assert_eq!((epoch("7"), epoch("07"), epoch("x")), (Some(Epoch(7)), None, None));
    }

    #[test]
    fn keys_spread_over_the_shards() {
        let shards: BTreeSet<String> = (0..10_000).map(|n| Place::of(&format!("jobs/{n}")).shard).collect();
        assert_eq!(shards.len(), 256);
    }
}
