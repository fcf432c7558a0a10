//! Which process has the store open for writing. Its owner's lock keeps two servers apart on one machine; a copy of the data directory
//! on another machine has the same identity, so it is not enough.
//!
//! `<chroot>/holder/<run>` goes away with the session of its process, and each transaction checks that it is there. To take the store
//! is to make one's own with a change of `<chroot>/holder`, which must be as it was when nobody else's was seen below it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::link::{Link, Look, Trouble};
use super::load;
use super::owner::{self, Owner};
use super::paths::Paths;
use super::plan::Operation;
use crate::runtime::{clock, random};

/// Looks while others come and go.
const TRIES: u32 = 20;
/// Between two looks at a holder that may be gone.
const LOOK: Duration = Duration::from_millis(200);
/// ZooKeeper tells the end of a session some time after it.
const GRACE: Duration = Duration::from_secs(3);

/// One run of a process that writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Of this run only.
    #[serde(skip)]
    run: String,
    #[serde(skip)]
    owner: Option<Owner>,
    node: String,
    data_dir: String,
    pid: u32,
    /// Of the machine, until it starts anew; empty when it does not say.
    boot: String,
    /// The data directory, on this machine.
    directory: (u64, u64),
    session_ms: u64,
}

impl Holder {
    /// # Errors
    /// When the data directory cannot be looked at.
    pub(super) fn new(owner: &Owner, session_timeout: Duration) -> io::Result<Self> {
        let directory = std::fs::metadata(&owner.data_dir)?;
        Ok(Self {
            run: random::id(),
            owner: Some(owner.clone()),
            node: owner.node.clone(),
            data_dir: owner.data_dir.clone(),
            pid: std::process::id(),
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
            directory: (directory.dev(), directory.ino()),
            session_ms: u64::try_from(session_timeout.as_millis()).unwrap_or(u64::MAX),
        })
    }

    pub(super) fn path(&self, paths: &Paths) -> String {
        format!("{}/{}", paths.holder(), self.run)
    }

    /// This process has the lock of that data directory, so the other one has ended.
    fn has_outlived(&self, other: &Self) -> bool {
        !self.boot.is_empty() && self.boot == other.boot && self.directory == other.directory
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {:?} (process {}, data directory {})", self.node, self.pid, self.data_dir)
    }
}

/// Why this run may not write.
#[derive(Debug)]
pub(super) enum Other {
    Holds(Holder),
    /// Another data directory has taken the store over: it never may again.
    Owns(String),
}

/// From now on until its session ends, this run may write. `Some`: another one may.
///
/// Whose the store is was read after the look, and it changes only while its new owner's run is seen in a look (`owner::claim`). So
/// when the transaction finds all as it was at the look, the store is still that of this run's data directory.
pub(super) async fn take(link: &Link, paths: &Paths, holder: &Holder) -> Result<Option<Other>, Trouble> {
    let (above, own) = (paths.holder(), holder.path(paths));
    let made = serde_json::to_vec(holder).expect("plain fields");
    for _ in 0..TRIES {
        let Look { data, children } = link.look(&above, std::slice::from_ref(&above)).await?;
        let Some((_, version)) = data else {
            load::is_there(link, paths).await?;
            tracing::warn!(path = %above, "it was deleted by somebody, and is made again");
            link.make_all(&above).await?;
            continue;
        };
        if let Some(owner) = holder.owner.as_ref().filter(|owner| !owner.takes_over)
            && let Some(by) = owner::another(link, paths, owner).await?
        {
            return Ok(Some(Other::Owns(by)));
        }
        let mut operations = vec![Operation::SetAt(above.clone(), Vec::new(), version)];
        for run in children.into_iter().flatten().flatten() {
            let path = format!("{above}/{run}");
            if path == own {
                // Of an earlier session of this run, or of this one.
                if link.is_mine(&path).await? == Some(true) {
                    return Ok(None);
                }
            } else if let Some(stored) = link.get(&path).await? {
                match serde_json::from_slice::<Holder>(&stored) {
                    Ok(other) if !holder.has_outlived(&other) => return Ok(Some(Other::Holds(other))),
                    _ => {}
                }
            }
            operations.push(Operation::Delete(path));
        }
        operations.push(Operation::CreateEphemeral(own.clone(), made.clone()));
        match link.transact(&operations).await {
            Ok(()) => return Ok(None),
            // Somebody came or went meanwhile.
            Err(Trouble::Failed { .. }) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Err(Trouble::NoAnswer(format!("{above} changes all the time")))
}

/// Waits for as long as the session of a process that is gone may last. `Some`: the other one is alive.
pub(super) async fn take_in_time(link: &Link, paths: &Paths, holder: &Holder) -> Result<Option<Other>, Trouble> {
    let began = clock::instant();
    loop {
        let other = match take(link, paths, holder).await? {
            Some(Other::Holds(other)) => other,
            taken => return Ok(taken),
        };
        if clock::since(began) > Duration::from_millis(other.session_ms) + GRACE {
            return Ok(Some(Other::Holds(other)));
        }
        tracing::info!(holder = %other, "waits until the session of the store's holder ends");
        sleep(LOOK).await;
    }
}
