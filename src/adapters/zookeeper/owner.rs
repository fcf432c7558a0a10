//! Whose store it is. Binaries and drivers are in a data directory, and records without them are worth little: so a store
//! belongs to the data directory that made it, and the lock of that keeps a second server out.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::link::{Link, Trouble};
use super::paths::Paths;
use super::plan::Operation;
use crate::runtime::random;

const FILE: &str = "identity";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Of the data directory, for ever.
    identity: String,
    /// For people.
    pub node: String,
    pub data_dir: String,
}

impl Owner {
    /// Gives the data directory an identity when it has none.
    ///
    /// # Errors
    /// When its file cannot be read or written.
    pub fn of(data_dir: &Path, node: &str) -> io::Result<Self> {
        let owner = |identity: String| Self { identity, node: node.into(), data_dir: data_dir.display().to_string() };
        let file = data_dir.join(FILE);
        match std::fs::read_to_string(&file) {
            Ok(identity) if !identity.trim().is_empty() => return Ok(owner(identity.trim().to_owned())),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (identity, aside) = (random::id(), data_dir.join("identity.new"));
        // Flushed and renamed, so that it is there whole or not at all.
        let mut out = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        writeln!(out, "{identity}")?;
        out.sync_all()?;
        std::fs::rename(&aside, &file)?;
        File::open(data_dir)?.sync_all()?;
        Ok(owner(identity))
    }
}

/// Makes the store that of this owner, when it is nobody's. `Some`: it is another's.
pub(super) async fn claim(link: &Link, paths: &Paths, owner: &Owner) -> Result<Option<String>, Trouble> {
    loop {
        if let Some(stored) = link.get(&paths.owner()).await? {
            return Ok(match serde_json::from_slice::<Owner>(&stored) {
                Ok(found) if found.identity == owner.identity => None,
                Ok(found) => Some(format!("node {:?} with data directory {}", found.node, found.data_dir)),
                Err(_) => Some("somebody who cannot be read".into()),
            });
        }
        let made = serde_json::to_vec(owner).expect("plain fields");
        match link.transact(&[Operation::Create(paths.owner(), made)]).await {
            Ok(()) | Err(Trouble::Failed { .. }) => {}
            Err(trouble) => return Err(trouble),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_keeps_its_identity_whatever_its_node_is_called() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Owner::of(one.path(), "a").unwrap();
        assert_eq!(Owner::of(one.path(), "b").unwrap().identity, first.identity);
        assert_ne!(Owner::of(other.path(), "a").unwrap().identity, first.identity);
        assert!(Owner::of(Path::new("/nowhere/at/all"), "a").is_err());
    }
}
