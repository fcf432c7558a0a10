//! Whose store it is. Binaries and drivers are in a data directory, and records without them are worth little: so a store
//! belongs to the data directory that made it, and the lock of that keeps a second server out.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::link::{Link, Trouble};
use super::paths::Paths;
use super::plan::Operation;
use crate::runtime::random;

const FILE: &str = "identity";
/// To become the owner, and the time between two.
const TRIES: u32 = 50;
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Of the data directory, for ever.
    identity: String,
    /// For people.
    pub node: String,
    pub data_dir: String,
    /// Also what is another's.
    #[serde(skip)]
    pub(super) takes_over: bool,
}

impl Owner {
    /// Gives the data directory an identity when it has none.
    ///
    /// # Errors
    /// When its file cannot be read or written.
    pub fn of(data_dir: &Path, node: &str) -> io::Result<Self> {
        let owner = |identity: String| {
            let data_dir = data_dir.display().to_string();
            Self { identity, node: node.into(), data_dir, takes_over: false }
        };
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

    /// May also have what is another's, whose data directory is gone: `ZooKeeperStore::claim` takes it.
    pub fn taking_over(self) -> Self {
        Self { takes_over: true, ..self }
    }
}

/// Whose the store is, if it is another's.
pub(super) async fn another(link: &Link, paths: &Paths, owner: &Owner) -> Result<Option<String>, Trouble> {
    link.get(&paths.owner()).await?.map_or(Ok(None), |stored| by_another(&stored, paths, owner))
}

/// What cannot be read is nobody's, and nobody's reason to give the store up.
fn by_another(stored: &[u8], paths: &Paths, owner: &Owner) -> Result<Option<String>, Trouble> {
    let found: Owner = serde_json::from_slice(stored).map_err(|_| {
        Trouble::Damaged(format!(
            "{} is not as a server writes it: delete it in ZooKeeper's shell, and start the server again whose store this is",
            paths.owner()
        ))
    })?;
    let is_own = found.identity == owner.identity;
    Ok((!is_own).then(|| format!("node {:?} with data directory {}", found.node, found.data_dir)))
}

/// Makes the store that of this owner, when it is nobody's, or when the owner takes it over. `Some`: it is another's. It is done only while
/// the owner's run holds the store by the znode `hold`: so nobody else takes the store meanwhile who was its owner until now. One that
/// `is_used` was somebody's before.
pub(super) async fn claim(
    link: &Link,
    paths: &Paths,
    owner: &Owner,
    hold: &str,
    is_used: bool,
) -> Result<Option<String>, Trouble> {
    let made = serde_json::to_vec(owner).expect("plain fields");
    for _ in 0..TRIES {
        let operation = match link.get(&paths.owner()).await? {
            None => {
                if is_used {
                    tracing::warn!(
                        path = paths.owner(),
                        data_dir = owner.data_dir,
                        "it is missing though the store was used: somebody deleted it; the store is that of this data directory now"
                    );
                }
                Operation::Create(paths.owner(), made.clone())
            }
            Some(stored) => match by_another(&stored, paths, owner) {
                Ok(None) => return Ok(None),
                _ if owner.takes_over => Operation::Set(paths.owner(), made.clone()),
                by => return by,
            },
        };
        match link.transact(&[Operation::Check(hold.into()), operation]).await {
            Ok(()) => {}
            // The run's next session may hold it in a moment.
            Err(Trouble::Failed { .. }) => sleep(AGAIN).await,
            Err(trouble) => return Err(trouble),
        }
    }
    Err(Trouble::NoAnswer("somebody else took the store meanwhile, or it changes hands all the time".into()))
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
