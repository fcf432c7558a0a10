//! Where cells and log entries stand as znodes: docs/adr/0020, docs/adr/0028.
//!
//! `<chroot>/data/<shard>/<cell>`: the cell is named by what stands behind the key's last `/`, the shard is one of 256 by hash, so
//! that none has ten thousand children where there are two million cells. A long value stands below its cell, under the part
//! of its key up to that `/`. `<chroot>/log/<bucket>/<number>`.
//!
//! Of the cluster (docs/adr/0023): `<chroot>/cluster`, `<chroot>/fence/<term>#<cluster>/<epoch>`, `<chroot>/nodes/<name>#<incarnation>`.

use sha2::{Digest, Sha256};

use super::super::hex;
use crate::core::cluster::ids::{Epoch, Incarnation, NodeId, NodeName, Term};
use crate::core::cluster::record::{Fence, FenceKey};

/// Log entries under one node.
const BUCKET: u64 = 1000;
/// The empty string.
const EMPTY: &str = "%";

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

    /// Above the run that may write.
    pub(super) fn holder(&self) -> String {
        format!("{}/holder", self.root)
    }

    pub(super) fn data(&self) -> String {
        format!("{}/data", self.root)
    }

    pub(super) fn log(&self) -> String {
        format!("{}/log", self.root)
    }

    /// Is there for a moment, to learn when it was made.
    pub(super) fn clock(&self, id: &str) -> String {
        format!("{}/clock-{id}", self.root)
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

    pub(super) fn shards(&self) -> impl Iterator<Item = String> {
        (0..=u8::MAX).map(|shard| format!("{}/data/{}", self.root, hex(&[shard])))
    }

    pub(super) fn cell(&self, leaf: &str) -> String {
        format!("{}/data/{}/{}", self.root, hex(&Sha256::digest(leaf)[..1]), escape(leaf))
    }

    /// Of a value that is too long for its cell.
    pub(super) fn apart(&self, key: &str) -> String {
        let (prefix, leaf) = split(key);
        format!("{}/{}", self.cell(leaf), escape(prefix))
    }
}

/// Keys that end alike stand in one cell: the first part ends with the last `/`.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.split_at(key.rfind('/').map_or(0, |at| at + 1))
}

/// The leaf whose cell has this name, unless no cell has.
pub(super) fn leaf(name: &str) -> Option<String> {
    unescape(name)
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
        let paths = Paths::new("/d");
        let places: BTreeSet<String> = keys.iter().map(|key| paths.apart(key)).collect();
        assert_eq!(places.len(), keys.len());
        for key in keys {
            let (prefix, end) = split(key);
            assert_eq!(format!("{prefix}{end}"), key);
            let (place, cell) = (paths.apart(key), paths.cell(end));
            let (above, below) = place.rsplit_once('/').unwrap();
            assert_eq!((above, unescape(below).as_deref()), (cell.as_str(), Some(prefix)));
            let name = cell.rsplit_once('/').unwrap().1;
            assert_eq!(leaf(name).as_deref(), Some(end));
            for name in [name, below] {
                let plain = name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
                assert!(!name.is_empty() && !name.starts_with('.') && plain, "{name}");
            }
        }
    }

    #[test]
    fn what_belongs_to_one_job_stands_in_one_cell() {
        let leaves = ["jobs/7", "jobs-active/7", "job-queue/c/128/7", "7"].map(|key| split(key).1);
        assert_eq!(leaves, ["7"; 4]);
    }

    #[test]
    fn what_was_not_made_by_us_is_no_cell() {
        for name in ["%2", "%zz", "%c3", "a%"] {
            assert_eq!(leaf(name), None, "{name}");
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
    fn cells_spread_over_the_shards() {
        let paths = Paths::new("/d");
        let shards: BTreeSet<String> = paths.shards().collect();
        let of_cell = |n: u32| paths.cell(&n.to_string()).rsplit_once('/').unwrap().0.to_owned();
        assert_eq!((0..10_000).map(of_cell).collect::<BTreeSet<_>>(), shards);
        assert_eq!(shards.len(), 256);
    }
}
